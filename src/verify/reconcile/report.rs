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
    /// Rows whose conflict is open: they are left to whoever decides it.
    pub in_conflict: u64,
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
            in_conflict: 0,
            moved: 0,
            in_flight: table.in_flight,
            unrepaired: 0,
        }
    }
}

/// What is done to one table of a store.
#[derive(Clone, Debug, Serialize)]
pub struct ReconcileWrites {
    /// The store.
    pub store: String,
    /// The table there.
    pub table: String,
    /// Rows put in.
    pub inserts: u64,
    /// Rows of which columns are set.
    pub updates: u64,
    /// Rows taken out.
    pub deletes: u64,
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
    /// What was written, or, in a dry run, would be.
    pub writes: Vec<ReconcileWrites>,
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
            writes: Vec::new(),
            unrepaired: Vec::new(),
            seconds: 0.0,
            blocked: BTreeMap::new(),
        }
    }

    pub(super) fn repaired(&mut self, index: usize, action: &Action) {
        self.tables[index].repaired += 1;
        let is_there = |w: &ReconcileWrites| w.store == action.store && w.table == action.table;
        let at = match self.writes.iter().position(is_there) {
            Some(at) => at,
            None => {
                self.writes.push(ReconcileWrites {
                    store: action.store.clone(),
                    table: action.table.clone(),
                    inserts: 0,
                    updates: 0,
                    deletes: 0,
                });
                self.writes.len() - 1
            }
        };
        let writes = &mut self.writes[at];
        match action.operation {
            Operation::Insert => writes.inserts += 1,
            Operation::Update => writes.updates += 1,
            Operation::Delete => writes.deletes += 1,
        }
    }

    pub(super) fn in_conflict(
        &mut self,
        index: usize,
        pair: &Pair<'_>,
        suspect: &Suspect,
        id: &str,
    ) {
        self.tables[index].in_conflict += 1;
        self.list(
            pair,
            suspect,
            format!("its conflict {id} is open: banyan conflict resolve {id} --take …"),
        );
    }

    fn list(&mut self, pair: &Pair<'_>, suspect: &Suspect, reason: String) {
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
        self.list(pair, suspect, reason);
    }

    pub(super) fn finish(&mut self, seconds: f64) {
        self.seconds = seconds;
        self.clean = self
            .tables
            .iter()
            .all(|t| t.moved + t.in_flight + t.unrepaired + t.in_conflict == 0);
    }
}

impl ReconcileWrites {
    /// `service.items: 1 row inserted, 2 updated, 1 deleted`
    fn sentence(&self, dry_run: bool) -> String {
        let done = [
            (self.inserts, "inserted"),
            (self.updates, "updated"),
            (self.deletes, "deleted"),
        ];
        let parts: Vec<String> = done
            .iter()
            .filter(|(count, _)| *count > 0)
            .enumerate()
            .map(|(i, (count, what))| {
                let rows = match (i, count) {
                    (0, 1) => " row",
                    (0, _) => " rows",
                    _ => "",
                };
                format!("{count}{rows} {what}")
            })
            .collect();
        let would = if dry_run { " would be" } else { "" };
        format!("{}.{}:{would} {}", self.store, self.table, parts.join(", "))
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
        let (unrepaired, in_conflict) = (sum(|t| t.unrepaired), sum(|t| t.in_conflict));
        if found + in_flight == 0 {
            return writeln!(f, "nothing to repair: both sides are equal");
        }
        for writes in &self.writes {
            writeln!(f, "{}", writes.sentence(self.dry_run))?;
        }
        let differ = match found {
            1 => "1 row differs".to_owned(),
            _ => format!("{found} rows differ"),
        };
        let would = if self.dry_run {
            "would be repaired"
        } else {
            "repaired"
        };
        write!(f, "{differ}, {repaired} {would}")?;
        if in_conflict > 0 {
            write!(f, ", {in_conflict} left to open conflicts")?;
        }
        if unrepaired > 0 {
            write!(f, ", {unrepaired} cannot be repaired")?;
        }
        if moved + in_flight > 0 {
            write!(f, ", {} moved meanwhile: run again", moved + in_flight)?;
        }
        writeln!(f, " ({:.2} s)", self.seconds)
    }
}
