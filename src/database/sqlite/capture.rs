//! Change capture: triggers that write into one typed outbox.
//!
//! The outbox has columns without a type, so every value is kept bit for bit whatever its storage
//! class; old values first, new values after them. Triggers see writes of every process, inside the
//! application's own transaction, and use nothing that an old SQLite (3.8) does not know.
//!
//! `INSERT OR REPLACE` deletes rows without firing delete triggers (unless the writer set
//! `recursive_triggers`). So a BEFORE trigger notes the rows that the new one would displace as
//! *candidates*; the AFTER trigger, which fires only when the row really went in, confirms those
//! that are gone. `INSERT OR IGNORE` and upserts leave unconfirmed candidates, which nobody reads
//! and the next insert sweeps away. The log ends at its last row that is no candidate, and that row
//! is never pruned: a swept candidate's number is given out again.
//!
//! Where the application has triggers of its own, or gets some later, a statement may run inside
//! another one on the same table, between its BEFORE and its AFTER. So triggers sweep only
//! candidates that are looked at anew; the rest goes with our next write, when no statement is under
//! way.
//!
//! SQLite fires the newest trigger first. Ours should be the newest: then a row's insert is noted
//! before what the application's triggers make of the row. Where one of theirs is newer, changes of
//! one statement stand in the log in another order than they were made in; see [`feed`].
//!
//! [`feed`]: super::feed

mod base;
mod install;
mod layout;
mod registry;
mod uninstall;

use rusqlite::{Connection, OptionalExtension};

use crate::data::{LogId, TableSchema};
use crate::error::Result;

use super::error::sqlite;
use super::journal;
use super::names::{Names, quote};

pub(super) use base::shape;
pub(super) use install::{Installation, gap_of_triggers, gap_of_unique, install};
pub use install::{shared_table, too_wide};
pub(super) use registry::{Captured, foreign_is_newer, missing_triggers};
pub(super) use uninstall::uninstall;

/// SQLite's limit of columns in one table is 2000, as it is built everywhere. The outbox needs four
/// of its own, and two for each captured column.
pub const COLUMNS_MAX: usize = 998;

/// What to capture of one table.
#[derive(Clone, Debug)]
pub(super) struct CaptureTable {
    pub(super) schema: TableSchema,
    /// Indexes into the schema's columns.
    pub(super) columns: Vec<usize>,
    /// Indexes into the schema's columns.
    pub(super) key: Vec<usize>,
}

impl CaptureTable {
    fn names(&self) -> Vec<String> {
        let names = self.columns.iter();
        names
            .map(|&i| self.schema.columns[i].name.clone())
            .collect()
    }

    fn key_names(&self) -> Vec<String> {
        let names = self.key.iter();
        names
            .map(|&i| self.schema.columns[i].name.clone())
            .collect()
    }

    /// The columns with values of their own that are not captured.
    fn rest(&self) -> Vec<String> {
        let rest = self.schema.data_columns().into_iter();
        rest.filter(|i| !self.columns.contains(i))
            .map(|i| self.schema.columns[i].name.clone())
            .collect()
    }
}

pub(super) const OP_SENTINEL: i64 = 0;
pub(super) const OP_INSERT: i64 = 1;
pub(super) const OP_UPDATE: i64 = 2;
pub(super) const OP_DELETE: i64 = 3;
pub(super) const OP_CANDIDATE: i64 = 8;

/// Milliseconds since 1970 by the writer's clock, in SQL that SQLite 3.8 understands.
const NOW_MS: &str = "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)";

/// The triggers of one table: name and definition.
pub(super) fn triggers(
    names: &Names,
    id: i64,
    table: &CaptureTable,
    displaced: &[String],
) -> Vec<(String, String)> {
    let outbox = names.sql("outbox");
    let name = &table.schema.name;
    let width = table.columns.len();
    let column = |i: usize| table.schema.columns[table.columns[i]].name.as_str();
    let slots = |from: usize| -> String {
        (from..from + width)
            .map(|i| format!("c{i}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let cells = |row: &str| -> String {
        (0..width)
            .map(|i| format!("{row}.{}", quote(column(i))))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (old_slots, new_slots) = (slots(0), slots(width));
    let key_is = |left: &str, right: &str| -> String {
        table
            .key
            .iter()
            .map(|&k| {
                let c = quote(&table.schema.columns[k].name);
                format!("{left}.{c} IS {right}.{c}")
            })
            .collect::<Vec<_>>()
            .join(" AND ")
    };
    // The candidate's key lies in the outbox's slots.
    let slot_of = |k: usize| table.columns.iter().position(|&c| c == k).unwrap_or(0);
    let candidate_key_is = |row: &str| -> String {
        table
            .key
            .iter()
            .map(|&k| {
                let c = quote(&table.schema.columns[k].name);
                format!("{outbox}.c{} IS {row}.{c}", slot_of(k))
            })
            .collect::<Vec<_>>()
            .join(" AND ")
    };
    let candidates = format!("DELETE FROM {outbox} WHERE op = {OP_CANDIDATE} AND tbl = {id}");
    let sweep = |condition: &str, own: &str| {
        format!(
            "{candidates} AND ({own} EXISTS (SELECT 1 FROM {} AS t WHERE {} AND ({condition})));",
            quote(name),
            candidate_key_is("t")
        )
    };
    let note = |condition: &str| {
        format!(
            "INSERT INTO {outbox} (tbl, op, at, {old_slots}) SELECT {id}, {OP_CANDIDATE}, \
             {NOW_MS}, {} FROM {} AS t WHERE {condition};",
            cells("t"),
            quote(name)
        )
    };
    // Rows that hold a value of a unique key that NEW will hold.
    let displaced = displaced.join(" OR ");
    let confirm = format!(
        "UPDATE {outbox} SET op = {OP_DELETE} WHERE op = {OP_CANDIDATE} AND tbl = {id} AND \
         (({}) OR NOT EXISTS (SELECT 1 FROM {} AS t WHERE {}));",
        candidate_key_is("NEW"),
        quote(name),
        candidate_key_is("t")
    );
    let insert = format!(
        "INSERT INTO {outbox} (tbl, op, at, {new_slots}) VALUES ({id}, {OP_INSERT}, {NOW_MS}, {});",
        cells("NEW")
    );
    let update = format!(
        "INSERT INTO {outbox} (tbl, op, at, {old_slots}, {new_slots}) \
         VALUES ({id}, {OP_UPDATE}, {NOW_MS}, {}, {});",
        cells("OLD"),
        cells("NEW")
    );
    let forget = format!(
        "DELETE FROM {outbox} WHERE op = {OP_CANDIDATE} AND tbl = {id} AND {};",
        candidate_key_is("OLD")
    );
    let delete = format!(
        "INSERT INTO {outbox} (tbl, op, at, {old_slots}) VALUES ({id}, {OP_DELETE}, {NOW_MS}, {});",
        cells("OLD")
    );
    let mut out = Vec::new();
    let mut add = |when: &str, event: &str, body: String| {
        let trigger = names.trigger(name, when);
        let sql = format!(
            "CREATE TRIGGER {trigger} {event} ON {} FOR EACH ROW BEGIN {body} END",
            quote(name)
        );
        out.push((trigger, sql));
    };
    add(
        "insert_before",
        "BEFORE INSERT",
        format!("{} {}", sweep(&displaced, ""), note(&displaced)),
    );
    add("insert", "AFTER INSERT", format!("{confirm} {insert}"));
    // An update can displace rows only through a unique key beside its own.
    let others = format!("({displaced}) AND NOT ({})", key_is("t", "OLD"));
    let own = format!("({}) OR", candidate_key_is("OLD"));
    add(
        "update_before",
        "BEFORE UPDATE",
        format!("{} {}", sweep(&others, &own), note(&others)),
    );
    add("update", "AFTER UPDATE", format!("{confirm} {update}"));
    add("delete", "AFTER DELETE", format!("{forget} {delete}"));
    out
}

/// Commits on success, rolls back on failure.
pub(super) fn finish<T>(conn: &Connection, result: Result<T>) -> Result<T> {
    match result {
        Ok(value) => {
            if let Err(e) = conn.execute_batch("COMMIT") {
                drop(conn.execute_batch("ROLLBACK"));
                return Err(sqlite("commit")(e));
            }
            Ok(value)
        }
        Err(error) => {
            drop(conn.execute_batch("ROLLBACK"));
            Err(error)
        }
    }
}

/// Where the log ends: the number of its last row that is no candidate.
pub(super) fn end(conn: &Connection, names: &Names) -> Result<u64> {
    conn.prepare_cached(&format!(
        "SELECT seq FROM {} WHERE op <> {OP_CANDIDATE} ORDER BY seq DESC LIMIT 1",
        names.sql("outbox")
    ))
    .and_then(|mut s| s.query_row([], |row| row.get::<_, i64>(0)))
    .map(i64::unsigned_abs)
    .map_err(sqlite("read the end of the outbox"))
}

/// When the change was made at which a reader stands that has read up to `seq`; `None` when it stands
/// at the beginning. In a log that went another way since, it is another one.
pub(super) fn anchor(conn: &Connection, names: &Names, seq: u64) -> Result<Option<i64>> {
    conn.prepare_cached(&format!(
        "SELECT at FROM {} WHERE op <> {OP_CANDIDATE} AND seq <= ?1 ORDER BY seq DESC LIMIT 1",
        names.sql("outbox")
    ))
    .and_then(|mut s| {
        s.query_row([seq.cast_signed()], |row| row.get(0))
            .optional()
    })
    .map(Option::flatten)
    .map_err(sqlite("read the outbox"))
}

/// Sweeps candidates away that no statement will ask about any more. For a connection that holds
/// the write lock.
pub(super) fn sweep(conn: &Connection, names: &Names) -> Result<()> {
    conn.prepare_cached(&format!(
        "DELETE FROM {} WHERE op = {OP_CANDIDATE}",
        names.sql("outbox")
    ))
    .and_then(|mut s| s.execute([]))
    .map(drop)
    .map_err(sqlite("tidy the outbox"))
}

/// The log's identity; `None` when capture is not installed.
pub(super) fn log(conn: &Connection, names: &Names) -> Result<Option<LogId>> {
    journal::log(conn, names)
}
