//! What is written down about each captured table: what its triggers capture, and whether they
//! have missed anything.

use rusqlite::{Connection, OptionalExtension, params};

use crate::data::{Value, canonical};
use crate::database::sqlite::error::sqlite;
use crate::database::sqlite::names::{Names, PREFIX};
use crate::error::{Error, ErrorKind, Result};

/// The five triggers of a captured table, by the last part of their names.
pub(super) const EVENTS: [&str; 5] = [
    "insert_before",
    "insert",
    "update_before",
    "update",
    "delete",
];

/// A captured table as it was when its triggers were last created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::database::sqlite) struct Captured {
    /// What its rows in the outbox are marked with.
    pub(in crate::database::sqlite) id: i64,
    /// Its name.
    pub(in crate::database::sqlite) name: String,
    /// The captured columns, in the order of the slots.
    pub(in crate::database::sqlite) columns: Vec<String>,
    /// The columns that it had beside them.
    pub(in crate::database::sqlite) rest: Vec<String>,
    /// The key.
    pub(in crate::database::sqlite) key: Vec<String>,
    /// Its unique indexes; see [`super::displaced`].
    pub(in crate::database::sqlite) uniques: Vec<String>,
    /// Why changes of it were missed. It stays paused until somebody resumes it.
    pub(in crate::database::sqlite) gap: Option<String>,
    /// Whether all its rows are to be looked at again.
    pub(in crate::database::sqlite) recopy: bool,
}

fn pack(names: &[String]) -> Vec<u8> {
    let values: Vec<Value> = names.iter().map(|n| Value::Text(n.clone())).collect();
    canonical::encode_exact(&values)
}

fn unpack(bytes: &[u8]) -> Result<Vec<String>> {
    let values = canonical::decode(bytes)?.into_iter();
    values
        .map(|value| match value {
            Value::Text(name) => Ok(name),
            _ => Err(Error::new(
                ErrorKind::LogGap,
                "what is written down about a captured table is damaged",
            )),
        })
        .collect()
}

const COLUMNS: &str = "id, name, columns, rest, keys, uniques, gap, recopy";

impl Captured {
    /// All of a migration.
    pub(in crate::database::sqlite) fn all(conn: &Connection, names: &Names) -> Result<Vec<Self>> {
        let what = || sqlite("read the captured tables");
        let rows = conn
            .prepare(&format!(
                "SELECT {COLUMNS} FROM {} ORDER BY id",
                names.sql("tables")
            ))
            .map_err(what())?
            .query_map([], |row| {
                Ok((
                    (row.get(0)?, row.get(1)?, row.get(6)?, row.get(7)?),
                    [
                        row.get::<_, Vec<u8>>(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                    ],
                ))
            })
            .map_err(what())?
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(what())?;
        rows.into_iter()
            .map(|((id, name, gap, recopy), [columns, rest, key, uniques])| {
                Ok(Self {
                    id,
                    name,
                    columns: unpack(&columns)?,
                    rest: unpack(&rest)?,
                    key: unpack(&key)?,
                    uniques: unpack(&uniques)?,
                    gap,
                    recopy,
                })
            })
            .collect()
    }

    /// Writes it down; a new one gets its number.
    pub(super) fn save(&mut self, conn: &Connection, names: &Names) -> Result<()> {
        let what = || sqlite("register a captured table");
        let tables = names.sql("tables");
        conn.execute(
            &format!(
                "INSERT OR REPLACE INTO {tables} ({COLUMNS}) VALUES (nullif(?1, 0), \
                 ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            ),
            params![
                self.id,
                self.name,
                pack(&self.columns),
                pack(&self.rest),
                pack(&self.key),
                pack(&self.uniques),
                self.gap,
                self.recopy,
            ],
        )
        .map_err(what())?;
        self.id = conn
            .query_row(
                &format!("SELECT id FROM {tables} WHERE name = ?1"),
                [&self.name],
                |row| row.get(0),
            )
            .map_err(what())?;
        Ok(())
    }
}

/// The triggers of a captured table that are there, by event, with their definitions.
pub(super) fn triggers_of(
    conn: &Connection,
    names: &Names,
    table: &str,
) -> Result<Vec<(&'static str, String)>> {
    let what = || sqlite("look for the capture triggers");
    let mut out = Vec::new();
    for event in EVENTS {
        let sql: Option<String> = conn
            .prepare_cached(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1 \
                 AND tbl_name = ?2 COLLATE NOCASE",
            )
            .map_err(what())?
            .query_row(
                [names.trigger_object(table, event), table.to_owned()],
                |r| r.get(0),
            )
            .optional()
            .map_err(what())?;
        out.extend(sql.map(|sql| (event, sql)));
    }
    Ok(out)
}

/// The capture triggers of a table that are not there any more.
pub(in crate::database::sqlite) fn missing_triggers(
    conn: &Connection,
    names: &Names,
    table: &str,
) -> Result<Vec<&'static str>> {
    let there = triggers_of(conn, names, table)?;
    let is_there = |event: &&str| there.iter().any(|(e, _)| e == event);
    Ok(EVENTS.into_iter().filter(|e| !is_there(e)).collect())
}

/// Whether the application has a trigger on the table that is newer than one of ours, so that it
/// fires first.
pub(in crate::database::sqlite) fn foreign_is_newer(
    conn: &Connection,
    names: &Names,
    table: &str,
) -> Result<bool> {
    let what = || sqlite("look for the application's triggers");
    let rows = conn
        .prepare_cached(
            "SELECT rowid, name FROM sqlite_schema WHERE type = 'trigger' \
             AND tbl_name = ?1 COLLATE NOCASE",
        )
        .map_err(what())?
        .query_map([table], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
        .map_err(what())?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(what())?;
    let own: Vec<String> = EVENTS
        .iter()
        .map(|event| names.trigger_object(table, event))
        .collect();
    let oldest_own = rows
        .iter()
        .filter(|(_, name)| own.contains(name))
        .map(|(rowid, _)| *rowid)
        .min();
    let newest_foreign = rows
        .iter()
        .filter(|(_, name)| !name.starts_with(PREFIX))
        .map(|(rowid, _)| *rowid)
        .max();
    Ok(oldest_own.is_some_and(|own| newest_foreign.is_some_and(|foreign| foreign > own)))
}
