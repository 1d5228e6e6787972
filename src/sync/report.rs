//! What a run did, in numbers.

use serde::Serialize;

/// Counts of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableCounts {
    /// The target table's name.
    pub table: String,
    /// Rows copied.
    pub copied: u64,
    /// Rows written to the target for the source's changes (changes of one key in one batch count
    /// once).
    pub applied_to_target: u64,
    /// Rows written to the source for the target's changes.
    pub applied_to_source: u64,
    /// Conflicts that a rule or a person decided.
    pub conflicts: u64,
    /// Conflicts that wait for a person, or for a row that is not there yet.
    pub parked: u64,
}

/// Counts of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SyncReport {
    /// By table, in the order of the configuration.
    pub tables: Vec<TableCounts>,
    /// Rows that Banyan wrote itself and that were therefore not taken for the application's.
    pub echoes_dropped: u64,
    /// How long the run took.
    pub seconds: f64,
    /// Tables that are paused, and why.
    pub paused: Vec<(String, String)>,
}
