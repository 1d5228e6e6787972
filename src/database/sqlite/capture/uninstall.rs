//! Removing what was added, and nothing else.

use rusqlite::Connection;

use crate::database::sqlite::capture::finish;
use crate::database::sqlite::error::sqlite;
use crate::database::sqlite::names::{Names, quote};
use crate::error::Result;

use super::registry::EVENTS;

/// The tables of a migration.
const TABLES: [&str; 11] = [
    "log",
    "tables",
    "outbox",
    "checkpoint",
    "settled",
    "open",
    "touched",
    "began",
    "record",
    "chunk",
    "mapped",
];

/// Removes everything that was added for this migration, in one transaction. An object of the
/// application whose name only begins like ours stays.
pub(in crate::database::sqlite) fn uninstall(conn: &Connection, names: &Names) -> Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")
        .map_err(sqlite("remove change capture"))?;
    let result = drop_triggers(conn, names, None).and_then(|()| {
        let mut sql = format!("DROP INDEX IF EXISTS {};", names.sql("candidate"));
        for table in TABLES {
            sql.push_str(&format!("DROP TABLE IF EXISTS {};", names.sql(table)));
        }
        conn.execute_batch(&sql)
            .map_err(sqlite("remove change capture"))
    });
    finish(conn, result)
}

/// Drops the capture triggers of one table, or of all, wherever they are by now: renaming a table
/// takes its triggers along.
pub(super) fn drop_triggers(conn: &Connection, names: &Names, table: Option<&str>) -> Result<()> {
    let what = || sqlite("remove the capture triggers");
    let triggers = conn
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .map_err(what())?
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .map_err(what())?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(what())?;
    let outbox = names.sql("outbox");
    for (name, sql) in triggers {
        let Some(of) = name
            .strip_prefix(&names.prefix())
            .and_then(|rest| rest.rsplit_once('.'))
            .filter(|(_, event)| EVENTS.contains(event))
            .map(|(of, _)| of)
        else {
            continue;
        };
        if table.is_none_or(|table| table == of) && sql.contains(&outbox) {
            conn.execute_batch(&format!("DROP TRIGGER {}", quote(&name)))
                .map_err(what())?;
        }
    }
    Ok(())
}
