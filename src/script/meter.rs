//! Time and memory of a running call.

use std::cell::Cell;
use std::time::Instant;

use rhai::{Dynamic, Engine};

use super::diagnose::Ended;
use super::spec::Limits;

/// Operations between two looks at the clock.
const LOOK_EVERY: u64 = 256;

thread_local! {
    /// When the running call must have ended.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A running call; ends when dropped.
#[derive(Debug)]
pub(super) struct Running(Option<Instant>);

impl Running {
    /// Starts the clock of a call.
    pub(super) fn until(deadline: Instant) -> Self {
        Self(DEADLINE.replace(Some(deadline)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        DEADLINE.set(self.0);
    }
}

/// Whether the running call must end.
pub(super) fn is_over() -> bool {
    DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline)
}

/// Lets the engine look at the clock while a script runs.
pub(super) fn watch(engine: &mut Engine, _limits: &Limits) {
    engine.on_progress(|operations| {
        (operations % LOOK_EVERY == 0 && is_over()).then(|| Dynamic::from(Ended::Deadline))
    });
}
