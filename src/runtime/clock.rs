//! Time as a dependency.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

/// Tells the time and waits. Whatever waits or measures takes one, so that tests need not sleep.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since the clock was made. Never goes backward.
    fn elapsed(&self) -> Duration;

    /// Microseconds since 1970 in UTC. May jump.
    fn utc_us(&self) -> i64;

    /// Ends when so much time has passed.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The computer's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn utc_us(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug, Default)]
pub struct ManualClock {
    state: Mutex<Manual>,
}

#[derive(Debug, Default)]
struct Manual {
    now: Duration,
    utc_start_us: i64,
    next_sleeper: u64,
    /// Who waits until when; the number keeps equal times apart.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
}

impl ManualClock {
    /// A clock at zero, whose UTC time begins at `utc_start_us`.
    #[must_use]
    pub fn starting_at(utc_start_us: i64) -> Self {
        Self {
            state: Mutex::new(Manual {
                utc_start_us,
                ..Manual::default()
            }),
        }
    }

    /// Moves the clock and wakes those whose time has come, earliest first.
    pub fn advance(&self, time: Duration) {
        let mut state = self.lock();
        state.now += time;
        let now = state.now;
        let later = state.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        for waker in due.into_values() {
            // Whoever waited may have gone away.
            waker.send(()).ok();
        }
    }

    /// How many are waiting.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        let mut state = self.lock();
        state.sleepers.retain(|_, waker| !waker.is_closed());
        state.sleepers.len()
    }

    /// When the next one wakes, as time from now.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let mut state = self.lock();
        state.sleepers.retain(|_, waker| !waker.is_closed());
        let now = state.now;
        state
            .sleepers
            .first_key_value()
            .map(|((at, _), _)| at.saturating_sub(now))
    }

    fn lock(&self) -> MutexGuard<'_, Manual> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn elapsed(&self) -> Duration {
        self.lock().now
    }

    fn utc_us(&self) -> i64 {
        let state = self.lock();
        let passed = i64::try_from(state.now.as_micros()).unwrap_or(i64::MAX);
        state.utc_start_us.saturating_add(passed)
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if time.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let (waker, woken) = oneshot::channel();
        let mut state = self.lock();
        let at = state.now + time;
        let number = state.next_sleeper;
        state.next_sleeper += 1;
        state.sleepers.insert((at, number), waker);
        drop(state);
        Box::pin(async move {
            // The sender is dropped with the clock, which this future borrows.
            drop(woken.await);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_their_time_has_come_and_not_before() {
        let clock = ManualClock::starting_at(1_000);
        let mut early = clock.sleep(Duration::from_micros(5));
        let mut late = clock.sleep(Duration::from_micros(9));
        assert_eq!(clock.next_wake(), Some(Duration::from_micros(5)));
        clock.advance(Duration::from_micros(5));
        assert_eq!(clock.sleepers(), 1);
        early.as_mut().await;
        assert!(
            futures::poll!(late.as_mut()).is_pending(),
            "nine have not passed"
        );
        clock.advance(Duration::from_micros(4));
        late.await;
        assert_eq!(clock.utc_us(), 1_009);
        assert_eq!(clock.elapsed(), Duration::from_micros(9));
        clock.sleep(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn a_sleeper_that_went_away_is_not_counted() {
        let clock = ManualClock::default();
        drop(clock.sleep(Duration::from_secs(1)));
        assert_eq!(clock.sleepers(), 0);
        assert_eq!(clock.next_wake(), None);
        clock.advance(Duration::from_secs(2));
    }

    #[tokio::test]
    async fn the_system_clock_goes_forward() {
        let clock = SystemClock::default();
        let before = clock.elapsed();
        clock.sleep(Duration::from_millis(1)).await;
        assert!(clock.elapsed() > before);
        assert!(clock.utc_us() > 1_700_000_000_000_000);
    }
}
