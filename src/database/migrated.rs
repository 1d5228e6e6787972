//! What a store is told about the migration that it takes part in.

use std::collections::BTreeMap;

use crate::data::TableSchema;

use super::Role;

/// A table's mapping: what it consists of, by name, as text that only has to be compared.
pub type MappedAs = BTreeMap<String, String>;

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
