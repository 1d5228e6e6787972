//! At most so many units a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Clock, Shutdown};

/// A token bucket. Whoever takes more than there is goes into debt and waits for it to be paid
/// off, so that a batch larger than the bucket passes too, and callers are served in the order in
/// which they asked.
#[derive(Debug)]
pub struct Throttle {
    clock: Arc<dyn Clock>,
    /// When the bucket would have been empty, if all that was taken had been taken steadily.
    state: Mutex<Duration>,
    unit: Duration,
    burst: Duration,
}

impl Throttle {
    /// At most `units_per_s` a second, and up to `burst` at once after a rest.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, units_per_s: u64, burst: u64) -> Self {
        let unit = Duration::from_secs(1).div_f64(units_per_s.max(1) as f64);
        Self {
            state: Mutex::new(Duration::ZERO),
            burst: unit.mul_f64(burst as f64),
            unit,
            clock,
        }
    }

    /// Takes so many units, and says how long to wait before using them.
    pub fn reserve(&self, units: u64) -> Duration {
        let now = self.clock.elapsed() + self.burst;
        let mut paid_until = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A bucket that has been full for long holds a burst and no more.
        *paid_until =
            (*paid_until).max(now.saturating_sub(self.burst)) + self.unit.mul_f64(units as f64);
        paid_until.saturating_sub(now)
    }

    /// Takes so many units and waits for them. A shutdown ends the waiting.
    pub async fn take(&self, units: u64, shutdown: &Shutdown) {
        let wait = self.reserve(units);
        if wait.is_zero() {
            return;
        }
        tokio::select! {
            () = self.clock.sleep(wait) => {}
            () = shutdown.requested() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{ManualClock, shutdown};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_is_free_and_the_rest_is_paid_for() {
        let clock = Arc::new(ManualClock::default());
        let throttle = Throttle::new(Arc::<ManualClock>::clone(&clock), 1_000, 10);
        assert_eq!(throttle.reserve(10), ms(0));
        assert_eq!(throttle.reserve(5), ms(5));
        assert_eq!(throttle.reserve(5), ms(10), "after those before");
        clock.advance(ms(10));
        assert_eq!(throttle.reserve(1), ms(1));
    }

    #[test]
    fn a_long_rest_saves_no_more_than_a_burst() {
        let clock = Arc::new(ManualClock::default());
        let throttle = Throttle::new(Arc::<ManualClock>::clone(&clock), 1_000, 10);
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(throttle.reserve(30), ms(20));
    }

    #[tokio::test]
    async fn taking_waits_on_the_clock_or_for_the_shutdown() {
        let clock = Arc::new(ManualClock::default());
        let throttle = Throttle::new(Arc::<ManualClock>::clone(&clock), 1_000, 1);
        let (trigger, off) = shutdown();
        throttle.take(1, &off).await;
        let mut waiting = Box::pin(throttle.take(4, &off));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert_eq!(clock.next_wake(), Some(ms(4)));
        clock.advance(ms(4));
        waiting.await;
        let mut waiting = Box::pin(throttle.take(4, &off));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        trigger.request();
        waiting.await;
    }
}
