//! Pauses between tries.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result, Retry};

use super::{Clock, Shutdown};

/// How long to wait between tries, and how often to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// The first pause, before jitter.
    pub first: Duration,
    /// The longest pause, before jitter. Each pause is twice the one before, up to this.
    pub longest: Duration,
    /// Pauses before giving up.
    pub pauses_max: u32,
}

impl Default for BackoffPolicy {
    /// From 10 ms to 5 s, twenty times: a little over a minute.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(10),
            longest: Duration::from_secs(5),
            pauses_max: 20,
        }
    }
}

/// The pauses of one operation. The same seed gives the same pauses.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: BackoffPolicy,
    taken: u32,
    random: u64,
}

impl Backoff {
    /// Starts anew. Give different operations different seeds, so that they do not try in step.
    #[must_use]
    pub fn new(policy: BackoffPolicy, seed: u64) -> Self {
        Self {
            policy,
            taken: 0,
            random: seed,
        }
    }

    /// The next pause: between half and the whole of the current step. `None` when it is time to
    /// give up.
    pub fn pause(&mut self) -> Option<Duration> {
        if self.taken >= self.policy.pauses_max {
            return None;
        }
        let doubled = 1_u32.checked_shl(self.taken).unwrap_or(u32::MAX);
        let step = self
            .policy
            .first
            .saturating_mul(doubled)
            .min(self.policy.longest);
        self.taken += 1;
        let half = step / 2;
        let jitter_ns = u64::try_from((step - half).as_nanos()).unwrap_or(u64::MAX);
        Some(half + Duration::from_nanos(self.next_random() % jitter_ns.saturating_add(1)))
    }

    /// How many pauses were taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken
    }

    /// After a success: the next trouble starts with a short pause again.
    pub fn reset(&mut self) {
        self.taken = 0;
    }

    /// After a try that failed: waits when another try makes sense.
    ///
    /// ```text
    /// loop {
    ///     match store.write(&batch).await {
    ///         Ok(done) => return Ok(done),
    ///         Err(error) => backoff.after(error, clock, shutdown).await?,
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// The error itself when another try will not mend it or it is time to give up; `Shutdown`
    /// when that was requested meanwhile.
    pub async fn after(
        &mut self,
        error: Error,
        clock: &dyn Clock,
        shutdown: &Shutdown,
    ) -> Result<()> {
        if error.kind().retry() == Retry::Never {
            return Err(error);
        }
        let Some(pause) = self.pause() else {
            return Err(error.hint(format!("gave up after {} tries", self.taken + 1)));
        };
        tracing::debug!(%error, pause_ms = pause.as_millis(), "trying again after a pause");
        tokio::select! {
            biased;
            () = shutdown.requested() => Err(
                Error::new(ErrorKind::Shutdown, "shutting down while waiting to try again")
                    .caused_by(error),
            ),
            () = clock.sleep(pause) => Ok(()),
        }
    }

    /// SplitMix64: small, and good enough to spread retries.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{ManualClock, shutdown};

    const POLICY: BackoffPolicy = BackoffPolicy {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(100),
        pauses_max: 6,
    };

    fn pauses(seed: u64) -> Vec<Duration> {
        let mut backoff = Backoff::new(POLICY, seed);
        std::iter::from_fn(|| backoff.pause()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end() {
        let steps_ms = [10, 20, 40, 80, 100, 100];
        let pauses = pauses(7);
        assert_eq!(pauses.len(), steps_ms.len());
        for (pause, step) in pauses.iter().zip(steps_ms) {
            let step = Duration::from_millis(step);
            assert!(
                *pause >= step / 2 && *pause <= step,
                "{pause:?} of {step:?}"
            );
        }
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let policy = BackoffPolicy {
            first: Duration::MAX,
            longest: Duration::MAX,
            pauses_max: 100,
        };
        let mut backoff = Backoff::new(policy, 1);
        for _ in 0..100 {
            assert!(backoff.pause().is_some());
        }
        let mut none = Backoff::new(
            BackoffPolicy {
                first: Duration::ZERO,
                longest: Duration::ZERO,
                pauses_max: 1,
            },
            1,
        );
        assert_eq!(none.pause(), Some(Duration::ZERO));
        assert_eq!(none.pause(), None);
        none.reset();
        assert_eq!(none.pause(), Some(Duration::ZERO));
    }

    fn busy() -> Error {
        Error::new(ErrorKind::Busy, "locked")
    }

    #[tokio::test]
    async fn what_is_busy_is_tried_again_after_the_pause() {
        let task = tokio::spawn(async {
            let clock: &dyn Clock = &ManualClock::default();
            let (_trigger, off) = shutdown();
            let mut backoff = Backoff::new(POLICY, 1);
            futures::poll!(Box::pin(backoff.after(busy(), clock, &off))).is_pending()
        });
        assert!(task.await.unwrap(), "waits on the clock");

        let clock = ManualClock::default();
        let (_trigger, off) = shutdown();
        let mut backoff = Backoff::new(POLICY, 1);
        let mut waiting = Box::pin(backoff.after(busy(), &clock, &off));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        clock.advance(POLICY.first);
        waiting.await.unwrap();
        assert_eq!(backoff.taken(), 1);
    }

    #[tokio::test]
    async fn what_another_try_will_not_mend_is_an_error_at_once() {
        let (_trigger, off) = shutdown();
        let wrong = Error::new(ErrorKind::Schema, "no such column");
        let mut backoff = Backoff::new(POLICY, 1);
        let answer = backoff.after(wrong, &ManualClock::default(), &off).await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Schema);
        assert_eq!(backoff.taken(), 0);
    }

    #[tokio::test]
    async fn giving_up_says_how_often_it_was_tried() {
        let (_trigger, off) = shutdown();
        let policy = BackoffPolicy {
            first: Duration::ZERO,
            longest: Duration::ZERO,
            pauses_max: 2,
        };
        let clock = ManualClock::default();
        let mut backoff = Backoff::new(policy, 1);
        backoff.after(busy(), &clock, &off).await.unwrap();
        backoff.after(busy(), &clock, &off).await.unwrap();
        let error = backoff.after(busy(), &clock, &off).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert_eq!(error.hints(), ["gave up after 3 tries"]);
    }

    #[tokio::test]
    async fn shutdown_ends_the_waiting() {
        let (trigger, off) = shutdown();
        trigger.request();
        let mut backoff = Backoff::new(POLICY, 1);
        let answer = backoff.after(busy(), &ManualClock::default(), &off).await;
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shutdown);
        assert!(error.to_string().contains("locked"));
    }
}
