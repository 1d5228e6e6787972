//! What a verification is asked to do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::database::ReadStore;
use crate::error::{Error, ErrorKind};
use crate::rule::mapping::TableMapping;

use super::flow::Flow;
use super::lanes::Lanes;
use super::ledger::Ledger;
use super::sample::Sample;

/// Rows of a part when nobody says otherwise.
pub const PART_ROWS: u64 = 2_000_000;
/// How long a verification waits for changes on their way when nobody says otherwise.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How closely two stores are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The number of rows of each table.
    Count,
    /// Digests of segments of rows, and rows where digests differ. Misses a difference with a
    /// chance of the order of 2^-128.
    Hash,
    /// Every cell.
    #[default]
    Full,
}

impl Level {
    /// `count`, `hash` or `full`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Hash => "hash",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "count" => Ok(Self::Count),
            "hash" => Ok(Self::Hash),
            "full" => Ok(Self::Full),
            other => Err(Error::new(
                ErrorKind::Usage,
                format!("{other:?} is no level of verification"),
            )
            .hint("the levels are count, hash and full")),
        }
    }
}

/// Who puts the rows of tables with a key into the order that they are compared in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The stores, and this process where a transform changes the order.
    #[default]
    Auto,
    /// The stores. What comes in another order than that of its key is an error.
    Merge,
    /// This process, on disk beyond some memory: each table is read in whatever order costs its store least,
    /// all of it from one snapshot, and not in parts. Rows that differ are looked at again by their key.
    SortMerge,
}

impl FromStr for Strategy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "merge" => Ok(Self::Merge),
            "sort-merge" => Ok(Self::SortMerge),
            other => Err(Error::new(
                ErrorKind::Usage,
                format!("{other:?} is none of auto, merge and sort-merge"),
            )),
        }
    }
}

/// How rows that were found different are looked at again. While a migration syncs, a row may be
/// on its way: it is reported only if it still differs after a wait *and* neither side changed
/// meanwhile. Where [`VerifyRequest::flow`] is known, the wait is as long as the sync's lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recheck {
    /// The wait before each look, in milliseconds.
    pub wait_ms: u64,
    /// How often at most; 0: what differs at first sight is reported. Rows that changed at every
    /// look are counted as in flight.
    pub tries: u32,
}

impl Default for Recheck {
    fn default() -> Self {
        Self {
            wait_ms: 1500,
            tries: 3,
        }
    }
}

/// How far a verification is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The table, by its name in the target.
    pub table: String,
    /// Number of the table, from 0, of `tables`.
    pub index: usize,
    /// How many tables there are.
    pub tables: usize,
    /// Rows read so far, of the side that is ahead.
    pub rows: u64,
    /// How many there will be, if asked for ([`VerifyRequest::totals`]).
    pub rows_total: Option<u64>,
    /// What is being done.
    pub stage: Stage,
}

/// What is being done with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Both sides are read and compared.
    Compare,
    /// Rows that differ are looked at again.
    Recheck,
    /// The table is done.
    Done,
}

/// What to verify.
pub struct VerifyRequest<'a> {
    /// The store that rows come from.
    pub source: &'a dyn ReadStore,
    /// The store that rows go to.
    pub target: &'a dyn ReadStore,
    /// The tables, and what their rows are on the other side.
    pub mappings: &'a [TableMapping],
    /// How closely.
    pub level: Level,
    /// Who orders rows, at [`Level::Hash`] and [`Level::Full`].
    pub strategy: Strategy,
    /// Only tables of these names, of the target or the source; `None`: all.
    pub tables: Option<Vec<String>>,
    /// How many differences are listed at most; all are counted.
    pub differences_max: usize,
    /// How rows that differ are looked at again.
    pub recheck: Recheck,
    /// Whether to count the rows first, for [`Progress::rows_total`].
    pub totals: bool,
    /// Only rows for which this SQL is true, in both stores: over columns that both tables have, in words
    /// that both databases know.
    pub filter: Option<String>,
    /// Rows that are read of each side in a second, at most; `None`: as fast as it goes. The snapshots
    /// are held so much longer.
    pub rows_per_s_max: Option<u64>,
    /// How much of the time a reader of either side reads, in percent, at most; the rest of the time it
    /// waits. The snapshots are held so much longer.
    pub busy_percent_max: Option<u8>,
    /// By how much numbers may differ: by table of the target and column.
    pub tolerances: BTreeMap<String, BTreeMap<String, f64>>,
    /// Rows of each side that are compared from one snapshot, about.
    pub part_rows: u64,
    /// Where parts that are compared are written down, and those taken from that were.
    pub ledger: Option<&'a Ledger>,
    /// Of large tables only so much is compared, at [`Level::Hash`] and [`Level::Full`]; `None`: all.
    pub sample: Option<Sample>,
    /// What is known of changes on their way; `None`: nobody carries any.
    pub flow: Option<&'a dyn Flow>,
    /// Who reads the parts of large tables.
    pub lanes: Lanes<'a>,
    /// How long to wait at most, before each look, for what is on its way.
    pub patience: Duration,
    /// Told about every batch; must return at once.
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
}

impl fmt::Debug for VerifyRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyRequest")
            .field("source", &self.source.name())
            .field("target", &self.target.name())
            .field("mappings", &self.mappings)
            .field("level", &self.level)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl<'a> VerifyRequest<'a> {
    /// A full comparison of everything, with the defaults.
    #[must_use]
    pub fn new(
        source: &'a dyn ReadStore,
        target: &'a dyn ReadStore,
        mappings: &'a [TableMapping],
    ) -> Self {
        Self {
            source,
            target,
            mappings,
            level: Level::Full,
            strategy: Strategy::Auto,
            tables: None,
            differences_max: 10_000,
            recheck: Recheck::default(),
            totals: false,
            filter: None,
            rows_per_s_max: None,
            busy_percent_max: None,
            tolerances: BTreeMap::new(),
            part_rows: PART_ROWS,
            ledger: None,
            sample: None,
            flow: None,
            lanes: Lanes::One,
            patience: PATIENCE,
            progress: &|_| (),
        }
    }
}
