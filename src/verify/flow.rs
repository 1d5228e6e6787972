//! What is on its way between the two sides.
//!
//! While a migration syncs, a row that differs may just not have arrived. No wait is long enough to tell:
//! a sync can lag by any time. So whoever knows the sync says when everything that was committed before
//! a moment has got across, both ways ([`Flow::across`]); a row that differed before that moment and
//! differs in the same way after it was not on its way.
//!
//! What it rests on: changes become visible in a store before, or a moment after, they can be read from
//! its log; the time between two looks ([`super::Recheck::wait_ms`], a second in the running proof) is
//! longer than that moment. Commits that wait for a standby's acknowledgement are in the log meanwhile and
//! not visible: where that takes longer, what they changed may be taken for a difference.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::data::Key;
use crate::error::Result;

/// Tells when changes have got across.
pub trait Flow: Send + Sync {
    /// Whether somebody carries changes over.
    fn is_carried(&self) -> Result<bool>;

    /// Waits until everything that either side committed before this call is on the other side, for
    /// so long at most.
    fn across(&self, patience: Duration) -> BoxFuture<'_, Result<Across>>;
}

/// How it went.
#[derive(Clone, Debug)]
pub enum Across {
    /// Everything has arrived, and changes are being carried over: rows may be on their way again
    /// already. A conflict about these rows is about to be decided.
    Carried(Moving),
    /// Nobody carries changes over at the moment; those of these rows wait. Two sides that differ for
    /// that stay different until somebody does.
    Still(Moving),
    /// It has not, within the patience; why, as far as known.
    Late(String),
}

/// Rows of the target of which changes are known to be on their way, or to wait.
#[derive(Clone, Debug, Default)]
pub struct Moving {
    rows: HashSet<(String, Key)>,
    tables: HashSet<String>,
}

impl Moving {
    /// A row of a table of the target.
    pub fn add(&mut self, table: &str, key: Key) {
        self.rows.insert((table.to_owned(), key));
    }

    /// Any row of a table of the target.
    pub fn add_table(&mut self, table: &str) {
        self.tables.insert(table.to_owned());
    }

    /// Whether no row is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.tables.is_empty()
    }

    /// How many rows are named.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn has(&self, table: &str, key: Key) -> bool {
        self.tables.contains(table)
            || !self.rows.is_empty() && self.rows.contains(&(table.to_owned(), key))
    }
}
