//! At most so much of the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Clock;

/// Work before a rest. What is rested from reads on until its buffers are full, so that rests after every
/// little piece would be no rests.
const STRETCH: Duration = Duration::from_millis(250);

/// Follows how long a kind of work takes: after a stretch of it comes a rest in proportion, so that it
/// goes on for a share of the time, whether it is quick or slow. Those who work beside each other rest
/// in turn, each for its share of all that was worked.
#[derive(Debug)]
pub struct Share {
    clock: Arc<dyn Clock>,
    percent: u32,
    /// Work since the last rest.
    worked: Mutex<Duration>,
}

impl Share {
    /// At most so many percent of the time, from 1 to 100.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, percent: u8) -> Self {
        Self {
            clock,
            percent: u32::from(percent.clamp(1, 100)),
            worked: Mutex::default(),
        }
    }

    /// Does a piece of the work, and rests when it is time to.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let begun = self.clock.elapsed();
        let done = work.await;
        let rest = self.rest_after(self.clock.elapsed().saturating_sub(begun));
        if !rest.is_zero() {
            self.clock.sleep(rest).await;
        }
        done
    }

    /// How long to rest after so much work.
    fn rest_after(&self, work: Duration) -> Duration {
        let mut worked = self.worked.lock().unwrap_or_else(PoisonError::into_inner);
        *worked += work;
        if *worked < STRETCH {
            return Duration::ZERO;
        }
        std::mem::take(&mut *worked).saturating_mul(100 - self.percent) / self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::ManualClock;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn share(percent: u8) -> (Arc<ManualClock>, Share) {
        let clock = Arc::new(ManualClock::default());
        let share = Share::new(Arc::<ManualClock>::clone(&clock), percent);
        (clock, share)
    }

    #[test]
    fn a_rest_is_in_proportion_to_the_work() {
        for (percent, work, rest) in [
            (100, 5_000, 0),
            (50, 300, 300),
            (25, 300, 900),
            (10, 1_000, 9_000),
            (1, 250, 24_750),
            (99, 990, 10),
        ] {
            assert_eq!(share(percent).1.rest_after(ms(work)), ms(rest), "{percent}");
        }
    }

    #[test]
    fn little_pieces_are_rested_from_together() {
        let (_, share) = share(20);
        assert_eq!(share.rest_after(ms(100)), ms(0));
        assert_eq!(share.rest_after(ms(149)), ms(0));
        assert_eq!(share.rest_after(ms(1)), ms(1_000), "four times the 250");
        assert_eq!(share.rest_after(ms(249)), ms(0), "it begins anew");
    }

    #[tokio::test]
    async fn only_the_work_counts_and_whoever_is_slow_is_left_alone_longer() {
        let (clock, share) = share(50);
        for work in [300, 3_000] {
            // Time that passes before is nobody's work.
            clock.advance(ms(10_000));
            let mut working = Box::pin(share.during(clock.sleep(ms(work))));
            assert!(futures::poll!(working.as_mut()).is_pending());
            clock.advance(ms(work));
            assert!(futures::poll!(working.as_mut()).is_pending(), "it rests");
            assert_eq!(clock.next_wake(), Some(ms(work)));
            clock.advance(ms(work));
            working.await;
        }
    }
}
