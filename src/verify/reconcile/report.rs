//! What was repaired, and what was not.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::data::{Row, canonical};
use crate::verify::json;
use crate::verify::order::differing_columns;
use crate::verify::repair::Repair;
use crate::verify::report::TableReport;
use crate::verify::suspect::Suspect;
use crate::verify::table::Pair;

use super::plan::Side;
use super::{Prefer, UNREPAIRED_LISTED, repair_table};

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The row is put in.
    Insert,
    /// Some of its columns are set.
    Update,
    /// The row is taken out.
    Delete,
}

/// One repair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Action {
    /// The store that is written.
    pub store: String,
    /// The table there.
    pub table: String,
    /// What is done.
    pub operation: Operation,
    /// The row's key by column; all cells when the table has no key.
    pub key: Map<String, Json>,
    /// The cells that go: of an update those that change.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub before: Map<String, Json>,
    /// The cells that come.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub after: Map<String, Json>,
}

impl Action {
    pub(super) fn of(pair: &Pair<'_>, side: Side, repair: &Repair) -> Self {
        let table = repair_table(pair, side);
        let store = match side {
            Side::Source => pair.source.store.name(),
            Side::Target => pair.target.store.name(),
        };
        let all: Vec<usize> = (0..table.columns.len()).collect();
        let (operation, changed) = match (&repair.expected, &repair.row) {
            (Some(a), Some(b)) => (Operation::Update, differing_columns(a, b)),
            (None, _) => (Operation::Insert, all.clone()),
            (Some(_), None) => (Operation::Delete, all.clone()),
        };
        let cells = |row: &Option<Row>, columns: &[usize]| {
            row.as_ref()
                .map_or_else(Map::new, |row| json::cells(table.columns, row, columns))
        };
        let identity = if table.key.is_empty() {
            &all
        } else {
            table.key
        };
        let one = if repair.row.is_some() {
            &repair.row
        } else {
            &repair.expected
        };
        Self {
            store: store.to_owned(),
            table: table.table.to_owned(),
            operation,
            key: cells(one, identity),
            before: cells(&repair.expected, &changed),
            after: cells(&repair.row, &changed),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |cells: &Map<String, Json>| -> String {
            let cells: Vec<_> = cells.iter().map(|(k, v)| format!("{k} = {v}")).collect();
            cells.join(", ")
        };
        let place = format!("{}.{} ({})", self.store, self.table, list(&self.key));
        match self.operation {
            Operation::Insert => write!(f, "insert {place}: {}", list(&self.after)),
            Operation::Delete => write!(f, "delete {place}: was {}", list(&self.before)),
            Operation::Update => {
                write!(f, "update {place}: {}", list(&self.after))?;
                write!(f, "; was {}", list(&self.before))
            }
        }
    }
}

/// A row that was not repaired.
#[derive(Clone, Debug, Serialize)]
pub struct Unrepaired {
    /// The table, by its name in the target.
    pub table: String,
    /// The row's key by column.
    pub key: Map<String, Json>,
    /// Why.
    pub reason: String,
}

/// One table.
#[derive(Clone, Debug, Serialize)]
pub struct ReconcileTable {
    /// Its name in the target.
    pub table: String,
    /// Rows that differed.
    pub found: u64,
    /// Rows that were repaired, or, in a dry run, would be.
    pub repaired: u64,
    /// Rows that moved before they could be repaired.
    pub moved: u64,
    /// Rows that were changing whenever they were looked at.
    pub in_flight: u64,
    /// Rows that could not be repaired.
    pub unrepaired: u64,
}

impl ReconcileTable {
    pub(super) fn new(name: &str, table: &TableReport) -> Self {
        Self {
            table: name.to_owned(),
            found: table.differences(),
            repaired: 0,
            moved: 0,
            in_flight: table.in_flight,
            unrepaired: 0,
        }
    }
}

/// The result of a reconciliation.
#[derive(Clone, Debug, Serialize)]
pub struct ReconcileReport {
    /// Whether everything that differed was repaired, or, in a dry run, would be.
    pub clean: bool,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Which side was taken as right.
    pub prefer: Prefer,
    /// One entry a table of the target.
    pub tables: Vec<ReconcileTable>,
    /// The first rows that were not repaired, with the reason.
    pub unrepaired: Vec<Unrepaired>,
    /// How long it took.
    pub seconds: f64,
    /// Why rows were blocked when they were last tried, by table and row.
    #[serde(skip)]
    blocked: BTreeMap<(String, Vec<u8>), String>,
}

impl ReconcileReport {
    pub(super) fn new(prefer: Prefer, dry_run: bool) -> Self {
        Self {
            clean: true,
            dry_run,
            prefer,
            tables: Vec::new(),
            unrepaired: Vec::new(),
            seconds: 0.0,
            blocked: BTreeMap::new(),
        }
    }

    pub(super) fn note_blocked(&mut self, pair: &Pair<'_>, suspect: &Suspect, why: String) {
        let row = (pair.name().to_owned(), canonical::encode(suspect.row()));
        if self.blocked.len() < UNREPAIRED_LISTED || self.blocked.contains_key(&row) {
            self.blocked.insert(row, why);
        }
    }

    pub(super) fn blocked_reason(&self, pair: &Pair<'_>, suspect: &Suspect) -> String {
        let row = (pair.name().to_owned(), canonical::encode(suspect.row()));
        self.blocked
            .get(&row)
            .cloned()
            .unwrap_or_else(|| "a constraint of the store says no".to_owned())
    }

    pub(super) fn unrepaired(
        &mut self,
        index: usize,
        pair: &Pair<'_>,
        suspect: &Suspect,
        reason: String,
    ) {
        self.tables[index].unrepaired += 1;
        if self.unrepaired.len() < UNREPAIRED_LISTED {
            self.unrepaired.push(Unrepaired {
                table: pair.name().to_owned(),
                key: json::cells(
                    &pair.target.names,
                    &suspect.row().to_vec(),
                    &pair.target.key,
                ),
                reason,
            });
        }
    }

    pub(super) fn finish(&mut self, seconds: f64) {
        self.seconds = seconds;
        self.clean = self
            .tables
            .iter()
            .all(|t| t.moved + t.in_flight + t.unrepaired == 0);
    }
}

impl fmt::Display for ReconcileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&ReconcileTable) -> u64| -> u64 { self.tables.iter().map(of).sum() };
        for row in self.unrepaired.iter().take(20) {
            let key: Vec<_> = row.key.iter().map(|(k, v)| format!("{k} = {v}")).collect();
            writeln!(
                f,
                "not repaired: {} ({}): {}",
                row.table,
                key.join(", "),
                row.reason
            )?;
        }
        let (found, repaired) = (sum(|t| t.found), sum(|t| t.repaired));
        let (moved, in_flight) = (sum(|t| t.moved), sum(|t| t.in_flight));
        let unrepaired = sum(|t| t.unrepaired);
        if found + in_flight == 0 {
            return writeln!(f, "nothing to repair: both sides are equal");
        }
        let would = if self.dry_run {
            "would be repaired"
        } else {
            "repaired"
        };
        write!(f, "{found} rows differ, {repaired} {would}")?;
        if unrepaired > 0 {
            write!(f, ", {unrepaired} cannot be repaired")?;
        }
        if moved + in_flight > 0 {
            write!(f, ", {} moved meanwhile: run again", moved + in_flight)?;
        }
        writeln!(f, " ({:.2} s)", self.seconds)
    }
}
