//! Reading the outbox.
//!
//! SQLite's triggers cannot know which transaction they run in, so the borders between source
//! transactions are those of our reads: one read sees whole transactions only, and what it sees
//! together is applied together. A backlog larger than `rows_max` (the engine was away) is split at
//! that size; only then can a source transaction be seen in parts, until the rest has followed.
//!
//! Where a trigger of the application is newer than ours, it fires first, and what it makes of a row
//! stands in the log before the change that it was fired by. The engine puts the changes of one key
//! together whatever their order, but it must see them together: such a part of the log is not split.

use rusqlite::Connection;

use crate::data::{Change, Commit, Row};
use crate::error::{Error, ErrorKind, Result};

use super::capture::{self, OP_DELETE, OP_INSERT, OP_UPDATE};
use super::error::sqlite;
use super::names::Names;
use super::value::to_value;

/// A captured table, for the feed.
pub(super) struct FeedTable {
    pub(super) id: i64,
    pub(super) width: usize,
    /// Indexes into the captured columns.
    pub(super) key: Vec<usize>,
}

/// The ids that the triggers of these tables write, in the order of the names.
pub(super) fn table_ids(conn: &Connection, names: &Names, tables: &[&str]) -> Result<Vec<i64>> {
    let what = || sqlite("read the captured tables");
    let mut stmt = conn
        .prepare(&format!(
            "SELECT id FROM {} WHERE name = ?1",
            names.sql("tables")
        ))
        .map_err(what())?;
    tables
        .iter()
        .map(|name| {
            stmt.query_row([name], |row| row.get(0)).map_err(|e| {
                Error::new(
                    ErrorKind::Schema,
                    format!("table {name} is not captured yet"),
                )
                .caused_by(e)
            })
        })
        .collect()
}

/// Up to where the log must be read in one piece.
pub(super) fn whole(conn: &Connection, names: &Names) -> Result<u64> {
    conn.prepare_cached(&format!("SELECT whole FROM {}", names.sql("log")))
        .and_then(|mut s| s.query_row([], |row| row.get::<_, i64>(0)))
        .map(i64::unsigned_abs)
        .map_err(sqlite("read the outbox"))
}

/// Changes after `after`; see the module's text.
pub(super) fn read(
    conn: &Connection,
    names: &Names,
    tables: &[FeedTable],
    after: u64,
    rows_max: usize,
) -> Result<(Commit, bool)> {
    let what = || sqlite("read the outbox");
    let end = capture::end(conn, names)?;
    if end <= after {
        if end < after {
            return Err(gap(after, end));
        }
        return Ok((
            Commit {
                changes: Vec::new(),
                end,
            },
            false,
        ));
    }
    let mut stmt = conn
        .prepare_cached(&format!(
            "SELECT * FROM {} WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            names.sql("outbox")
        ))
        .map_err(what())?;
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let mut rows = stmt.query([after.cast_signed(), limit]).map_err(what())?;
    let mut commit = Commit::default();
    let mut seen = 0;
    let mut last = after;
    while let Some(row) = rows.next().map_err(what())? {
        seen += 1;
        let seq = row.get::<_, i64>(0).map_err(what())?.unsigned_abs();
        last = seq;
        let id: i64 = row.get(1).map_err(what())?;
        let op: i64 = row.get(2).map_err(what())?;
        let Some((index, table)) = tables.iter().enumerate().find(|(_, t)| t.id == id) else {
            continue;
        };
        let committed_us = row
            .get::<_, Option<i64>>(3)
            .map_err(what())?
            .and_then(|ms| ms.checked_mul(1000));
        let image = |from: usize| -> Result<Row> {
            (0..table.width)
                .map(|i| row.get_ref(4 + from + i).map(to_value).map_err(what()))
                .collect()
        };
        let mut push = |before: Option<Row>, after: Option<Row>| {
            commit.changes.push(Change {
                table: index,
                before,
                after,
                seq,
                committed_us,
            });
        };
        match op {
            OP_INSERT => push(None, Some(image(table.width)?)),
            OP_DELETE => push(Some(image(0)?), None),
            OP_UPDATE => {
                let (before, after) = (image(0)?, image(table.width)?);
                if table.key.iter().all(|&k| before[k] == after[k]) {
                    push(Some(before), Some(after));
                } else {
                    push(Some(before), None);
                    push(None, Some(after));
                }
            }
            _ => {}
        }
    }
    let more = seen >= rows_max && last < end;
    commit.end = if more { last } else { end };
    Ok((commit, more))
}

/// The log is shorter than what was read of it.
pub(super) fn gap(after: u64, end: u64) -> Error {
    Error::new(
        ErrorKind::LogGap,
        format!(
            "the change log ends at {end}, but changes up to {after} were already taken over: the \
             database was replaced or restored from an older copy"
        ),
    )
    .hint("abort the migration, then start it again: it copies anew and compares every row")
}
