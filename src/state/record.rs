//! Where a migration stands, as it is remembered and as `migration status` shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::Constraint;
use crate::lifecycle::Phase;

/// A table that is paused, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedTable {
    /// The target table's name.
    pub table: String,
    /// What changed.
    pub reason: String,
}

/// A rule whose changed file is refused: the one before stays in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRule {
    /// Its name in the configuration.
    pub rule: String,
    /// Why.
    pub reason: String,
}

/// How far a host has proven both sides equal while they change. Times are microseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProofRecord {
    /// Whose changes are noted: `both` sides', or only the `source`'s in a one-way migration.
    #[serde(default)]
    pub sides: String,
    /// When the comparison of everything began on which the proof rests; `None`: there is none.
    pub base_us: Option<i64>,
    /// Every row was compared, and was equal, after its last change before this moment, but for those in
    /// flight and those that differ.
    pub proven_us: Option<i64>,
    /// How often a row was found equal after it had changed.
    pub rows_compared: u64,
    /// Rows that changed and are not settled yet.
    pub rows_in_flight: u64,
    /// Rows that differ after they changed.
    pub rows_different: u64,
    /// How often it could not be told what the source has for a row of the target: left to the next
    /// comparison of everything.
    pub rows_untold: u64,
    /// The first rows that differ.
    pub differences: Vec<ProofDifference>,
    /// Why the proof does not go on, if it does not.
    pub reason: Option<String>,
}

/// A row that differs after it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofDifference {
    /// The target's table.
    pub table: String,
    /// The row's key in it.
    pub key: String,
    /// How it differs: `missing_on_target`, `extra_on_target` or `differs`.
    pub kind: String,
}

/// What is known of a column of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownColumn {
    /// It is carried over.
    Mapped,
    /// It is not.
    LeftOut,
    /// It is carried over; it was added while the migration ran, and not all rows have been looked at
    /// since.
    Added,
}

/// See the module's text. Unknown numbers are `None`, never zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MigrationRecord {
    /// Its name.
    pub migration: String,
    /// The phase's name.
    #[serde(with = "phase")]
    pub phase: Phase,
    /// Of the copy; 100 when it is done.
    pub progress_percent: Option<f64>,
    /// Rows copied so far.
    pub rows_copied: u64,
    /// Rows of the source's tables when the copy began; of large tables of servers about so many,
    /// until the copy is done.
    pub rows_total: Option<u64>,
    /// Changes that were waiting in both feeds when this was written.
    pub lag_rows: Option<u64>,
    /// Age of the oldest of them.
    pub lag_ms: Option<u64>,
    /// Rows copied, or changes applied, each second, over the last moments.
    pub rate_rows_per_s: Option<f64>,
    /// Seconds until the copy is done.
    pub eta_s: Option<f64>,
    /// Whether the whole migration is paused.
    pub paused: bool,
    /// Why it is paused or failed.
    pub reason: Option<String>,
    /// The last errors, newest last.
    pub errors: Vec<String>,
    /// Tables that are paused.
    #[serde(default)]
    pub paused_tables: Vec<PausedTable>,
    /// Rules whose changed files are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_rules: Vec<RefusedRule>,
    /// `complete` or `abort`, while what Banyan added is being removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<String>,
    /// Indexes and foreign keys that tables made by Banyan get when they are copied, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<Constraint>,
    /// The columns of the target's tables when the migration was last opened.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub known_columns: BTreeMap<String, BTreeMap<String, KnownColumn>>,
    /// Conflicts that wait.
    #[serde(default)]
    pub parked: u64,
    /// How far both sides are proven equal, where a host does that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofRecord>,
    /// When this was written, microseconds since 1970 UTC.
    #[serde(default)]
    pub updated_us: i64,
}

impl MigrationRecord {
    /// A migration of which nothing is known.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            migration: name.to_owned(),
            phase: Phase::Planned,
            progress_percent: None,
            rows_copied: 0,
            rows_total: None,
            lag_rows: None,
            lag_ms: None,
            rate_rows_per_s: None,
            eta_s: None,
            paused: false,
            reason: None,
            errors: Vec::new(),
            paused_tables: Vec::new(),
            refused_rules: Vec::new(),
            ending: None,
            unfinished: Vec::new(),
            known_columns: BTreeMap::new(),
            parked: 0,
            proof: None,
            updated_us: 0,
        }
    }

    /// Adds an error; the last ten are kept.
    pub fn add_error(&mut self, error: String) {
        self.errors.push(error);
        let extra = self.errors.len().saturating_sub(10);
        self.errors.drain(..extra);
    }
}

/// A phase by its name.
mod phase {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::lifecycle::Phase;

    pub(super) fn serialize<S: Serializer>(phase: &Phase, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(phase.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Phase, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
