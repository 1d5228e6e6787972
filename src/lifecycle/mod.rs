//! Pure state machines: the phase of a migration and the state of a table. No I/O.
//!
//! A transition is a total function: every state answers every event, either with the next state
//! or with a [`Refusal`] that says why not. Nothing here is remembered; `state` stores what these
//! functions answer, and whoever restarts goes on from that.
//!
//! - [`Phase`], [`PhaseEvent`]: one migration. Later phases (shifting, cutover-ready, cutover,
//!   reverse-ready) come with the traffic router.
//! - [`TableState`], [`TableEvent`]: one table of it.
//! - [`Progress`]: what the tables' states mean for the phase.

mod phase;
mod table;

pub use phase::{Phase, PhaseEvent, Progress};
pub use table::{Halt, Stage, TableEvent, TableState};

use std::fmt;

use crate::error::{Error, ErrorKind};

/// An event that does not fit the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The state.
    pub state: &'static str,
    /// The event.
    pub event: &'static str,
    /// Why it does not fit, and what would.
    pub reason: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} while {}: {}",
            self.event, self.state, self.reason
        )
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// As an error of kind `Refused`.
    #[must_use]
    pub fn into_error(self) -> Error {
        Error::new(ErrorKind::Refused, self.to_string())
    }
}
