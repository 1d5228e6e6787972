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

impl SyncReport {
    /// Adds what an earlier part of the same run did. What waits is as it is now.
    pub fn add(&mut self, earlier: &Self) {
        for before in &earlier.tables {
            if let Some(now) = self.tables.iter_mut().find(|t| t.table == before.table) {
                now.copied += before.copied;
                now.applied_to_target += before.applied_to_target;
                now.applied_to_source += before.applied_to_source;
                now.conflicts += before.conflicts;
            }
        }
        self.echoes_dropped += earlier.echoes_dropped;
        self.created.extend(earlier.created.iter().cloned());
    }
}

/// A table that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreatedTable {
    /// Its name.
    pub table: String,
    /// What the source's table has and this one has not, in words.
    pub left_out: Vec<String>,
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
    /// Tables of the target that were made first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<CreatedTable>,
}
