//! Putting capture in place, and finding out at each start whether it has missed anything.
//!
//! What is there already stays. A table whose triggers are gone, or which got a unique index that
//! they do not know, has a *gap*: changes were made that nobody noted. It is written down, and the
//! table waits until somebody resumes it, which means that all its rows are looked at again.

use rusqlite::Connection;

use crate::data::Position;
use crate::database::sqlite::displaced::displaced;
use crate::database::sqlite::error::sqlite;
use crate::database::sqlite::journal;
use crate::database::sqlite::names::{Names, PREFIX, quote};
use crate::database::sqlite::schema;
use crate::error::{Error, ErrorKind, Result};

use super::base::rebase;
use super::registry::{Captured, foreign_is_newer, missing_triggers, triggers_of};
use super::uninstall::drop_triggers;
use super::{COLUMNS_MAX, CaptureTable, end, finish, layout, sweep, triggers};

/// What to install.
#[derive(Clone, Debug)]
pub(in crate::database::sqlite) struct Installation<'a> {
    pub(in crate::database::sqlite) names: &'a Names,
    pub(in crate::database::sqlite) tables: &'a [CaptureTable],
    /// For each table the source's table that it is synced with; at the source, itself.
    pub(in crate::database::sqlite) origins: &'a [String],
    /// The target's tables, on either side.
    pub(in crate::database::sqlite) targets: &'a [CaptureTable],
    /// Whether Banyan writes into this database, as it does but into the source of a one-way
    /// migration.
    pub(in crate::database::sqlite) written: bool,
    /// How far the other side has read this log.
    pub(in crate::database::sqlite) consumed: u64,
}

/// Puts the outbox, the journal and the triggers in place, in one transaction. Answers where the
/// log stands.
pub(in crate::database::sqlite) fn install(
    conn: &Connection,
    installation: &Installation<'_>,
) -> Result<Position> {
    let tables = installation.tables;
    for table in tables {
        if table.key.is_empty() {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("table {} has no key", table.schema.name),
            )
            .hint("add a primary key, or a unique index over columns that are NOT NULL"));
        }
        if table.columns.len() > COLUMNS_MAX {
            return Err(too_wide(&table.schema.name, table.columns.len()));
        }
    }
    conn.execute_batch("BEGIN IMMEDIATE")
        .map_err(sqlite("install change capture"))?;
    let result = installation.run(conn);
    finish(conn, result)
}

/// More columns than the outbox can take.
pub fn too_wide(table: &str, columns: usize) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "table {table} has {columns} columns to sync; up to {COLUMNS_MAX} are possible, because \
             a captured change holds each column twice and SQLite has at most 2000 columns in a \
             table"
        ),
    )
    .hint("name the columns that matter with columns = { … }, or leave some out with ignore_columns")
}

impl Installation<'_> {
    fn run(&self, conn: &Connection) -> Result<Position> {
        self.refuse_others(conn)?;
        let widest = self.tables.iter().map(|t| t.columns.len()).max();
        let slots = widest.unwrap_or(0) * 2;
        let log = match journal::log(conn, self.names)? {
            Some(log) => {
                widen(conn, self.names, slots)?;
                log
            }
            None => journal::create(conn, self.names, slots)?,
        };
        let what = || sqlite("install change capture");
        conn.execute(
            &format!("UPDATE {} SET written = ?1", self.names.sql("log")),
            [self.written],
        )
        .map_err(what())?;
        // The write lock is held, so no statement is under way that would ask for a candidate.
        sweep(conn, self.names)?;
        let known = Captured::all(conn, self.names)?;
        self.retire(conn, &known)?;
        for (table, origin) in self.tables.iter().zip(self.origins) {
            let now = schema::table(conn, &table.schema.name)?;
            if now.columns != table.schema.columns || now.key != table.schema.key {
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!(
                        "the schema of table {} is being changed at this moment",
                        table.schema.name
                    ),
                )
                .hint("start again when the change is through"));
            }
            let known = known.iter().find(|k| k.name == table.schema.name);
            self.capture(conn, table, origin, known)?;
        }
        rebase(conn, self.names, self.targets)?;
        Ok(Position {
            log,
            seq: end(conn, self.names)?,
        })
    }

    /// One table: new, as it was, changed, or with a gap.
    fn capture(
        &self,
        conn: &Connection,
        table: &CaptureTable,
        origin: &str,
        known: Option<&Captured>,
    ) -> Result<()> {
        let name = &table.schema.name;
        let displaced = displaced(conn, &table.schema)?;
        let mut now = known.cloned().unwrap_or_default();
        if let Some(known) = known {
            self.compare(conn, table, known, &displaced.uniques, &mut now)?;
        } else {
            // Another target for a table that was copied elsewhere.
            now.recopy = self.copied(conn)?.iter().any(|t| t == origin);
        }
        now.name.clone_from(name);
        now.columns = table.names();
        now.rest = table.rest();
        now.key = table.key_names();
        now.uniques = displaced.uniques;
        if known != Some(&now) {
            now.save(conn, self.names)?;
        }
        let wanted = triggers(self.names, now.id, table, &displaced.conditions);
        let there = triggers_of(conn, self.names, name)?;
        let fits = wanted.len() == there.len()
            && wanted
                .iter()
                .all(|(_, sql)| there.iter().any(|(_, found)| found == sql));
        let outrun = foreign_is_newer(conn, self.names, name)?;
        if outrun {
            // Changes of one statement may stand in the log in another order than they were made
            // in: up to here they must be read in one piece.
            conn.execute(
                &format!("UPDATE {} SET whole = ?1", self.names.sql("log")),
                [end(conn, self.names)?.cast_signed()],
            )
            .map_err(sqlite("install change capture"))?;
        }
        if fits && !outrun {
            return Ok(());
        }
        drop_triggers(conn, self.names, Some(name))?;
        for (_, sql) in wanted {
            conn.execute_batch(&sql).map_err(sqlite(format!(
                "create the capture triggers of table {name}"
            )))?;
        }
        Ok(())
    }

    /// What became of a table since its triggers were created: whether they missed anything, and
    /// what that makes of the changes that wait.
    fn compare(
        &self,
        conn: &Connection,
        table: &CaptureTable,
        known: &Captured,
        uniques: &[String],
        now: &mut Captured,
    ) -> Result<()> {
        let name = &table.schema.name;
        let there = triggers_of(conn, self.names, name)?;
        let missing = missing_triggers(conn, self.names, name)?;
        let renamed = there
            .iter()
            .find(|(event, _)| *event == "insert")
            .and_then(|(_, sql)| layout::captured_by(sql))
            .filter(|columns| columns.len() == known.columns.len());
        let unknown_unique = uniques.iter().find(|u| !known.uniques.contains(u));
        if !missing.is_empty() || renamed.is_none() {
            now.gap = Some(gap_of_triggers(name));
        } else if let Some(unique) = unknown_unique {
            now.gap = Some(gap_of_unique(name, unique));
        }
        let has_gap = now.gap.is_some();
        let old = renamed.unwrap_or_else(|| known.columns.clone());
        let key: Vec<&String> = known
            .key
            .iter()
            .map(|k| known.columns.iter().position(|c| c == k))
            .map(|at| at.map_or(name, |at| &old[at]))
            .collect();
        if key != table.key_names().iter().collect::<Vec<_>>() {
            return Err(Error::new(
                ErrorKind::Refused,
                format!(
                    "the key of table {name} was ({}) when the migration began and is now ({})",
                    known.key.join(", "),
                    table.key_names().join(", ")
                ),
            )
            .hint(format!(
                "give it its key back, or begin again: banyan migration abort {0}, then banyan \
                 sync {0}",
                self.names.migration()
            )));
        }
        let new = table.names();
        if old == new {
            return Ok(());
        }
        let gained: Vec<&String> = new.iter().filter(|c| !old.contains(c)).collect();
        let is_there = |column: &&String| table.schema.columns.iter().any(|c| c.name == **column);
        let history_known = known.rest.iter().all(|c| is_there(&c));
        let not_added = gained
            .iter()
            .find(|c| known.rest.contains(c) || !history_known);
        let waiting = layout::waiting(conn, self.names, known.id, self.consumed)?;
        if let Some(column) = not_added
            && waiting > 0
            && !has_gap
        {
            return Err(Error::new(
                ErrorKind::Refused,
                format!(
                    "column {column} of table {name} is to be synced from now on, but {waiting} \
                     changes still wait that were noted without it"
                ),
            )
            .hint(format!(
                "take the mapping back as it was, run banyan sync {} --until-idle, then change it",
                self.names.migration()
            )));
        }
        layout::convert(conn, self.names, known.id, &old, table)?;
        // What a new column holds in rows that nobody touched was never carried over.
        now.recopy |= !gained.is_empty();
        Ok(())
    }

    /// Tables that do not take part any more: their triggers go, and how far they were copied is
    /// forgotten, so that they begin anew should they come back.
    fn retire(&self, conn: &Connection, known: &[Captured]) -> Result<()> {
        let what = || sqlite("forget a table that takes no part any more");
        for old in known {
            if self.tables.iter().any(|t| t.schema.name == old.name) {
                continue;
            }
            drop_triggers(conn, self.names, Some(&old.name))?;
            conn.execute(
                &format!("DELETE FROM {} WHERE id = ?1", self.names.sql("tables")),
                [old.id],
            )
            .map_err(what())?;
            // Its number may be given out again.
            conn.execute(
                &format!(
                    "UPDATE {} SET op = {}, tbl = 0 WHERE tbl = ?1",
                    self.names.sql("outbox"),
                    super::OP_SENTINEL
                ),
                [old.id],
            )
            .map_err(what())?;
        }
        let copied = self.copied(conn)?;
        for table in copied.iter().filter(|t| !self.origins.contains(t)) {
            conn.execute(
                &format!("DELETE FROM {} WHERE tbl = ?1", self.names.sql("chunk")),
                [table],
            )
            .map_err(what())?;
        }
        Ok(())
    }

    /// The source's tables of which something is copied into this database.
    fn copied(&self, conn: &Connection) -> Result<Vec<String>> {
        conn.prepare(&format!("SELECT tbl FROM {}", self.names.sql("chunk")))
            .and_then(|mut s| {
                s.query_map([], |row| row.get::<_, String>(0))?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .map_err(sqlite("read the copy's progress"))
    }

    /// Two migrations must not share a table that one of them writes: neither sees what the other
    /// writes, because that is not the application's.
    fn refuse_others(&self, conn: &Connection) -> Result<()> {
        let what = || sqlite("look for other migrations");
        let others = conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%.tables'")
            .and_then(|mut s| {
                s.query_map([], |row| row.get::<_, String>(0))?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .map_err(what())?;
        for other in &others {
            let Some(migration) = other
                .strip_prefix(PREFIX)
                .and_then(|name| name.strip_suffix(".tables"))
                .filter(|name| *name != self.names.migration())
            else {
                continue;
            };
            let theirs = Names::new(migration);
            // A table of the application may have such a name, too.
            let Ok(written) = conn.query_row(
                &format!("SELECT written FROM {}", theirs.sql("log")),
                [],
                |row| row.get::<_, bool>(0),
            ) else {
                continue;
            };
            if !written && !self.written {
                continue;
            }
            let shared = Captured::all(conn, &theirs)?;
            let mine = |name: &str| {
                let mut tables = self.tables.iter();
                tables.any(|t| t.schema.name.eq_ignore_ascii_case(name))
            };
            if let Some(table) = shared.iter().find(|t| mine(&t.name)) {
                return Err(shared_table(self.names.migration(), migration, &table.name));
            }
        }
        Ok(())
    }
}

/// Two migrations that would not see each other's writes.
pub fn shared_table(migration: &str, other: &str, table: &str) -> Error {
    Error::new(
        ErrorKind::Refused,
        format!(
            "migrations {migration} and {other} both work on table {table} of this database, and \
             neither would see what the other writes there"
        ),
    )
    .hint(format!(
        "complete or abort {other} first, or leave the table out of one of them"
    ))
}

/// Why a table waits whose triggers are gone.
pub(in crate::database::sqlite) fn gap_of_triggers(table: &str) -> String {
    gap(
        table,
        "its capture triggers were removed, as when a table is rebuilt",
    )
}

/// Why a table waits that has a unique index which its triggers do not know.
pub(in crate::database::sqlite) fn gap_of_unique(table: &str, unique: &str) -> String {
    gap(
        table,
        &format!(
            "a unique index on ({unique}) was created, and rows that INSERT OR REPLACE displaced \
             through it were not noted"
        ),
    )
}

fn gap(table: &str, why: &str) -> String {
    format!(
        "changes of table {table} may have been missed: {why}. Resuming compares all its rows: those \
         that differ become conflicts, and rows that were deleted meanwhile may come back"
    )
}

fn widen(conn: &Connection, names: &Names, slots: usize) -> Result<()> {
    let what = || sqlite("widen the outbox");
    let have: i64 = conn
        .query_row(
            "SELECT count(*) FROM pragma_table_info(?1) WHERE name LIKE 'c%'",
            [names.object("outbox")],
            |row| row.get(0),
        )
        .map_err(what())?;
    for i in usize::try_from(have).unwrap_or(0)..slots {
        conn.execute_batch(&format!(
            "ALTER TABLE {} ADD COLUMN {}",
            names.sql("outbox"),
            quote(&format!("c{i}"))
        ))
        .map_err(what())?;
    }
    Ok(())
}
