//! What a verification found.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::check::CheckReport;
use super::constraints::SchemaDifference;
use super::json;
use super::order::differing_columns;
use super::request::Level;
use super::sample::Sample;
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
    /// differ and rows in flight are not, nor are those that a sample left out. When only counted, of the
    /// rows that have a counterpart by number.
    pub consistency_percent: f64,
    /// Of a sample: which one, and what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sampled>,
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
        let sum = |rows: fn(&TableReport) -> u64| -> u64 { self.tables.iter().map(rows).sum() };
        let (all, equal) = (sum(TableReport::rows), sum(TableReport::equal));
        self.consistency_percent = percent(equal, all);
        if let Some(sample) = &mut self.sample {
            let looked_at = sum(TableReport::rows_looked_at);
            sample.rows_percent = share(looked_at, all);
            sample.consistency_percent = percent(equal, looked_at);
        }
    }

    /// How much of what was compared is proven equal, in percent: of the sample, if it is one.
    #[must_use]
    pub fn proven_percent(&self) -> f64 {
        match &self.sample {
            Some(sample) => sample.consistency_percent,
            None => self.consistency_percent,
        }
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

/// A sample, and what it says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sampled {
    /// What was asked for. With the same seed the same rows of the same data are compared.
    #[serde(flatten)]
    pub asked: Sample,
    /// How much of all rows was compared, in percent.
    pub rows_percent: f64,
    /// How much of the rows that were compared is proven equal, in percent.
    pub consistency_percent: f64,
}

impl Sampled {
    /// Of no rows so far.
    pub(super) fn new(asked: Sample) -> Self {
        Self {
            asked,
            rows_percent: 100.0,
            consistency_percent: 100.0,
        }
    }
}

/// In hundredths, rounded down: all but one of a million rows are not 100 %.
fn percent(part: u64, of: u64) -> f64 {
    floored(part, of, 100)
}

/// Finer: a little of very many rows is not 0 %.
pub(super) fn share(part: u64, of: u64) -> f64 {
    floored(part, of, 10_000)
}

fn floored(part: u64, of: u64, steps: u32) -> f64 {
    let all = steps * 100;
    let reached = (u128::from(part) * u128::from(all)).checked_div(u128::from(of));
    let reached = reached.and_then(|n| u32::try_from(n).ok()).unwrap_or(all);
    f64::from(reached.min(all)) / f64::from(steps)
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
    /// Of a table of which a sample was compared, how much of its rows that is, in percent. Differences
    /// and rows in flight are those of the sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled_percent: Option<f64>,
    /// Whether the numbers of rows differ where no change can be on its way, so that rows differ,
    /// whether they were compared or not.
    #[serde(skip_serializing_if = "is_no")]
    pub numbers_differ: bool,
    /// Rows of source and target that were looked at.
    #[serde(skip)]
    pub(super) looked_at: [u64; 2],
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
        self.larger([self.rows_source, self.rows_target])
            .max(self.rows_looked_at())
    }

    /// Those of them that were looked at.
    fn rows_looked_at(&self) -> u64 {
        self.larger(self.looked_at)
    }

    fn larger(&self, [source, target]: [u64; 2]) -> u64 {
        let missing = self.missing_on_target.unwrap_or(0);
        let extra = self.extra_on_target.unwrap_or(0);
        (source + extra).max(target + missing)
    }

    /// Rows that are proven equal.
    fn equal(&self) -> u64 {
        match self.missing_on_target {
            None => self.rows_source.min(self.rows_target),
            Some(_) => self
                .rows_looked_at()
                .saturating_sub(self.differences() + self.in_flight),
        }
    }

    /// Whether no difference was found.
    #[must_use]
    pub fn consistent(&self) -> bool {
        self.differences() == 0 && !self.numbers_differ
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

fn is_no(yes: &bool) -> bool {
    !yes
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
