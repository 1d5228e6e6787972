//! What a change feed delivers.

use super::Row;

/// What was done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The row is new.
    Insert,
    /// The row was changed, its key kept. (A changed key arrives as delete and insert.)
    Update,
    /// The row is gone.
    Delete,
}

/// One change of one row, made by an application.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Index of the captured table, as given to the store when capture was set up.
    pub table: usize,
    /// The row before, all captured columns; `None` for an insert.
    pub before: Option<Row>,
    /// The row after, all captured columns; `None` for a delete.
    pub after: Option<Row>,
    /// Its number in the log.
    pub seq: u64,
    /// When it was committed, in microseconds since 1970 UTC by the store's clock; `None` when the
    /// store does not know.
    pub committed_us: Option<i64>,
}

impl Change {
    /// What was done.
    #[must_use]
    pub fn op(&self) -> Op {
        match (&self.before, &self.after) {
            (None, _) => Op::Insert,
            (Some(_), None) => Op::Delete,
            (Some(_), Some(_)) => Op::Update,
        }
    }
}

/// One or more whole source transactions, in commit order: the unit that is never split.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Commit {
    /// In the order in which they were made.
    pub changes: Vec<Change>,
    /// The log's position after it.
    pub end: u64,
}
