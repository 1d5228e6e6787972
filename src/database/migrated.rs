//! What a store is told about the migration that it takes part in.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::data::{Row, TableSchema, Value, canonical};

use super::Role;

/// A table's mapping: what it consists of, by name, as text that only has to be compared.
pub type MappedAs = BTreeMap<String, String>;

/// The parts of a mapping that differ from what it was. With `widened`, columns that only came behind
/// those that were there are no difference.
pub(super) fn mapped_otherwise(was: &MappedAs, now: &MappedAs, widened: bool) -> Vec<String> {
    let grown = |part: &str, now: &str| {
        let was = was.get(part).and_then(|was| serde_json::from_str(was).ok());
        let now = serde_json::from_str(now).ok();
        widened && was.zip(now).is_some_and(|(was, now)| is_grown(&was, &now))
    };
    // What is no part of the mapping any more brings nothing that is missing.
    now.iter()
        .filter(|(part, text)| was.get(*part) != Some(text) && !grown(part, text))
        .map(|(part, _)| part.clone())
        .collect()
}

fn is_grown(was: &Json, now: &Json) -> bool {
    match (was, now) {
        (Json::Array(was), Json::Array(now)) => now.starts_with(was),
        (Json::Object(was), Json::Object(now)) => {
            was.len() == now.len()
                && was
                    .iter()
                    .all(|(name, was)| now.get(name).is_some_and(|now| is_grown(was, now)))
        }
        _ => false,
    }
}

impl SyncTable {
    /// The names of the columns that are not captured.
    pub(super) fn others(&self) -> Vec<&str> {
        let all = self.schema.columns.iter().enumerate();
        let others = all.filter(|(i, _)| !self.columns.contains(i));
        others.map(|(_, c)| c.name.as_str()).collect()
    }
}

/// The columns that rows of a unit have, so that rows which were written down can be read when there are
/// other ones.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Their names, and those of the table's other columns, as they are written down.
    pub(super) encoded: Vec<u8>,
    names: Row,
    /// Whether all rows had NULL there when it was added.
    began_null: Vec<bool>,
}

impl Shape {
    /// Of a table's captured columns.
    pub(super) fn of(table: &SyncTable) -> Self {
        let columns = || table.columns.iter().map(|&i| &table.schema.columns[i]);
        let names: Row = columns().map(|c| Value::Text(c.name.clone())).collect();
        let rest = table.others().into_iter();
        let rest = rest.map(|name| Value::Text(name.to_owned())).collect();
        Self {
            encoded: canonical::encode_exact(&[Value::Array(names.clone()), Value::Array(rest)]),
            names,
            began_null: columns().map(crate::data::Column::began_null).collect(),
        }
    }

    /// A row that was written down with other names, as it would be now: columns that came behind those that
    /// there were are NULL. `None` where that is not all that is different.
    pub(super) fn fit(&self, mut row: Row, names: &[u8]) -> Option<Row> {
        if names == self.encoded {
            return Some(row);
        }
        let were = canonical::decode(names).ok()?;
        let [Value::Array(were), Value::Array(others)] = &were[..] else {
            return None;
        };
        // What was there beside them had a value that nobody wrote down.
        let grown = self.names.starts_with(were)
            && row.len() == were.len()
            && self.names[were.len()..].iter().all(|n| !others.contains(n))
            && self.began_null[were.len()..].iter().all(|null| *null);
        grown.then(|| {
            row.resize(self.names.len(), Value::Null);
            row
        })
    }
}

/// A table that takes part in a migration.
#[derive(Clone, Debug)]
pub struct SyncTable {
    /// As introspected when the migration was opened.
    pub schema: TableSchema,
    /// The captured columns: indexes into the schema's.
    pub columns: Vec<usize>,
    /// The key: indexes into `columns`.
    pub key: Vec<usize>,
    /// Only these rows are copied (SQL).
    pub filter: Option<String>,
    /// Whether they are copied as the server sends them: the other side's columns have the same types.
    pub as_sent: bool,
}

/// What a store of a migration is asked to do.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// The migration's name.
    pub migration: String,
    /// Which side.
    pub role: Role,
    /// The tables of this side.
    pub tables: Vec<SyncTable>,
    /// The names of the units: the target's tables, in order.
    pub units: Vec<String>,
    /// The names of the source's tables, in order.
    pub sources: Vec<String>,
    /// For each table of this side, the name of the source's table that it is synced with.
    pub origins: Vec<String>,
    /// Whether Banyan writes into this side.
    pub written: bool,
    /// Whether the application's changes of this side are carried to the other.
    pub followed: bool,
    /// The tables of the units, as the target has them.
    pub targets: Vec<SyncTable>,
    /// Whether rows without parents, and parents with children, are kept from going through.
    pub check_foreign_keys: bool,
    /// So much of its log may a server keep for us, in MiB, before it is said aloud.
    pub log_kept_mb_max: u64,
}

/// How far behind a reader of a feed is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Changes that are not read yet, roughly.
    pub rows: u64,
    /// When the oldest of them was made, milliseconds since 1970 by the writer's clock.
    pub oldest_ms: Option<i64>,
}

/// A database that can be read and written, and what one should know about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What works, but not well: what it is, and what to do.
    pub notes: Vec<(String, String)>,
}

/// What stands in the way of a migration in a store, and what one should know; each with what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What keeps it from running.
    pub problems: Vec<(String, String)>,
    /// What works, but not well, or not all of it.
    pub notes: Vec<(String, String)>,
}

impl Findings {
    /// Adds a problem, and what to do.
    pub(super) fn problem(&mut self, what: impl Into<String>, cure: impl Into<String>) {
        self.problems.push((what.into(), cure.into()));
    }

    /// Adds a note, and what to do.
    pub(super) fn note(&mut self, what: impl Into<String>, cure: impl Into<String>) {
        self.notes.push((what.into(), cure.into()));
    }
}

/// Rows whose parents are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// So many (rows and keys of one row counted each), referring to these tables.
    Found(u64, Vec<String>),
    /// There were too many rows to look through.
    Unknown,
}
