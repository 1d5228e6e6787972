//! Writing down how far a running sync is.
//!
//! Progress is for people: where rows stand is in the stores. So a state that cannot be written or
//! read for a while, full or locked, is said once and holds nothing up. What keeps a second process
//! away is the lease, not this.

use crate::error::{Error, Result};
use crate::state::{MigrationRecord, State};

/// The state, as a running sync uses it.
pub(super) struct Notebook<'a> {
    pub(super) state: &'a State,
    failing: bool,
}

impl<'a> Notebook<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self {
            state,
            failing: false,
        }
    }

    /// Writes what is known of the migration, if it can.
    pub(super) async fn save(&mut self, record: &MigrationRecord) {
        let saved = self.state.save(record).await;
        let saved = self.said(saved);
        if saved.is_some() && self.failing {
            self.failing = false;
            tracing::warn!("progress is written down again");
        }
    }

    /// Why the migration shall pause, if somebody wishes it and that can be read.
    pub(super) async fn pause_wished(&mut self, name: &str) -> Option<String> {
        let wish = self.state.pause_wished(name).await;
        self.said(wish).flatten()
    }

    fn said<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(done) => Some(done),
            Err(error) => {
                if !self.failing {
                    warn(&error);
                }
                self.failing = true;
                None
            }
        }
    }
}

fn warn(error: &Error) {
    tracing::warn!(
        hint = error.hints().join("; "),
        "progress is not written down, and the sync goes on: {error}"
    );
}
