//! What a verification found.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::check::CheckReport;
use super::constraints::SchemaDifference;
use super::json;
use super::order::differing_columns;
use super::request::Level;
use super::suspect::{DifferenceKind, Suspect};

mod html;
mod text;

pub use html::Verified;

/// The result of a verification. Serializes to the JSON that `banyan verify --format json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether no difference was found and every check passed.
    pub consistent: bool,
    /// The level of the comparison.
    pub level: Level,
    /// One entry a table of the target, in the order of the configuration.
    pub tables: Vec<TableReport>,
    /// The first differences, in key order within a table; all of them unless
    /// [`Self::differences_total`] is larger.
    pub differences: Vec<Difference>,
    /// How many differences there are.
    pub differences_total: u64,
    /// Rows that were changing whenever they were looked at, so that nothing is said about them.
    pub in_flight: u64,
    /// How much of the rows is proven equal, in percent of the larger sides, rounded down: rows that
    /// differ and rows in flight are not. When only counted, of the rows that have a counterpart by number.
    pub consistency_percent: f64,
    /// The user's own checks, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckReport>,
    /// Constraints that only one side has, and sequences that lag behind their rows. They say nothing about
    /// the rows, and make nothing inconsistent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schema: Vec<SchemaDifference>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Adds a table's result.
    pub(super) fn add_table(&mut self, table: TableReport) {
        self.consistent &= table.consistent();
        self.differences_total += table.differences();
        self.in_flight += table.in_flight;
        self.tables.push(table);
        let all: u64 = self.tables.iter().map(TableReport::rows).sum();
        let equal: u64 = self.tables.iter().map(TableReport::equal).sum();
        // In hundredths, rounded down: all but one of a million rows are not 100 %.
        let hundredths = (u128::from(equal) * 10_000).checked_div(u128::from(all));
        let hundredths = u32::try_from(hundredths.unwrap_or(10_000)).unwrap_or(0);
        self.consistency_percent = f64::from(hundredths) / 100.0;
    }

    /// Whether a verdict could be given on every table: not where a sync was too late for it.
    #[must_use]
    pub fn decided(&self) -> bool {
        self.tables.iter().all(|t| t.late.is_none())
    }

    /// Adds a check's result.
    pub fn add_check(&mut self, check: CheckReport) {
        self.consistent &= check.passed;
        self.seconds += check.seconds;
        self.checks.push(check);
    }
}

/// One table.
#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// Its name in the target.
    pub table: String,
    /// Where its rows come from.
    pub source_table: String,
    /// Rows of the source that belong to this table, after filter and transform.
    pub rows_source: u64,
    /// Rows of the target.
    pub rows_target: u64,
    /// Rows that only the source has; unknown when only counted.
    pub missing_on_target: Option<u64>,
    /// Rows that only the target has; unknown when only counted.
    pub extra_on_target: Option<u64>,
    /// Rows with other content; unknown when only counted.
    pub differs: Option<u64>,
    /// Rows about which nothing can be said: they were changing whenever they were looked at, or their
    /// changes are on their way. They are in none of the other counts.
    pub in_flight: u64,
    /// Rows whose numbers differ by no more than the configuration tolerates. They are not among those that
    /// differ.
    pub tolerated: u64,
    /// Of the rows that differ, those whose changes wait for a sync: none is running.
    pub waiting: u64,
    /// Why changes that are on their way did not arrive in time, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
    /// Rows that were compared to the end: those of the larger side but for what is in flight. 0 when
    /// only counted.
    pub rows_compared: u64,
    /// Of them, those that an interrupted verification had compared.
    pub rows_resumed: u64,
    /// When the source was read, its first part: microseconds since 1970 by the clock of the machine that
    /// compared.
    pub compared_at_us: i64,
    /// For how long a snapshot of the source was held, at most, in milliseconds.
    pub source_held_ms: u64,
    /// How it was compared: `count`, `segment-digests`, `merge`, `sort-merge`, `multiset`.
    pub strategy: &'static str,
    /// blake3 of the target's rows in canonical form, in hex: what was proven equal, if nothing
    /// differs.
    pub digest: Option<String>,
    /// How many segments the digest is made of.
    pub segments: Option<u64>,
    /// How long it took.
    pub seconds: f64,
}

impl TableReport {
    /// Rows of the larger side, those of the other that have no counterpart included.
    fn rows(&self) -> u64 {
        let missing = self.missing_on_target.unwrap_or(0);
        let extra = self.extra_on_target.unwrap_or(0);
        (self.rows_source + extra).max(self.rows_target + missing)
    }

    /// Rows that are proven equal.
    fn equal(&self) -> u64 {
        match self.missing_on_target {
            None => self.rows_source.min(self.rows_target),
            Some(_) => (self.rows()).saturating_sub(self.differences() + self.in_flight),
        }
    }

    /// Whether no difference was found.
    #[must_use]
    pub fn consistent(&self) -> bool {
        self.differences() == 0
            && (self.missing_on_target.is_some() || self.rows_source == self.rows_target)
    }

    /// How many rows differ, as far as known.
    #[must_use]
    pub fn differences(&self) -> u64 {
        [self.missing_on_target, self.extra_on_target, self.differs]
            .iter()
            .flatten()
            .sum()
    }
}

/// One row that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The table, by its name in the target.
    pub table: String,
    /// The key by column; all cells when the table has no key.
    pub key: Map<String, Json>,
    /// How it differs.
    pub kind: DifferenceKind,
    /// The columns that differ; empty when a side has no row.
    pub columns: Vec<String>,
    /// The source's cells in these columns, as they should be in the target.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub source: Map<String, Json>,
    /// The target's cells in these columns.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub target: Map<String, Json>,
}

impl Difference {
    pub(super) fn of(table: &str, names: &[String], key: &[usize], suspect: &Suspect) -> Self {
        let mut difference = Self {
            table: table.to_owned(),
            key: json::cells(names, &suspect.row().to_vec(), key),
            kind: suspect.kind(),
            columns: Vec::new(),
            source: Map::new(),
            target: Map::new(),
        };
        if let (Some(source), Some(target)) = (&suspect.source, &suspect.target) {
            let columns = differing_columns(source, target);
            difference.source = json::cells(names, source, &columns);
            difference.target = json::cells(names, target, &columns);
            difference.columns = columns.iter().map(|&i| names[i].clone()).collect();
        }
        difference
    }
}
