//! What a starting or running engine reads of a store.

use std::sync::atomic::Ordering;

use crate::data::{Key, LogId, Row, TableSchema};
use crate::database::sqlite::capture::{self, Captured, finish};
use crate::database::sqlite::displaced::displaced;
use crate::database::sqlite::error::sqlite;
use crate::database::sqlite::feed::{self, FeedTable};
use crate::database::sqlite::journal;
use crate::database::sqlite::schema;
use crate::database::sqlite::value::{bind, to_value};
use crate::database::{FeedPage, Recovered};
use crate::error::{Error, ErrorKind, Result};

use super::Shared;

impl Shared {
    pub(super) fn rows(
        &self,
        conn: &rusqlite::Connection,
        table: usize,
        keys: &[Key],
    ) -> Result<Vec<Option<Row>>> {
        let what = || sqlite("read rows by key");
        let width = self.options.tables[table].columns.len();
        let mut stmt = conn
            .prepare_cached(&self.sql[table].select)
            .map_err(what())?;
        keys.iter()
            .map(|key| {
                let mut rows = stmt
                    .query(rusqlite::params_from_iter(bind(&key.0)))
                    .map_err(what())?;
                rows.next()
                    .map_err(what())?
                    .map(|row| {
                        (0..width)
                            .map(|i| row.get_ref(i).map(to_value).map_err(what()))
                            .collect()
                    })
                    .transpose()
            })
            .collect()
    }

    pub(super) fn installed(&self, conn: &rusqlite::Connection) -> Result<LogId> {
        journal::log(conn, &self.names)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "change capture is not installed")
                .hint("start the migration: banyan sync MIGRATION")
        })
    }

    pub(super) fn take_over(&self, conn: &rusqlite::Connection, epoch: i64) -> Result<()> {
        conn.execute_batch("BEGIN IMMEDIATE")
            .map_err(sqlite("take the store over"))?;
        let result = self
            .installed(conn)
            .and_then(|_| self.journal(conn).set_epoch(epoch));
        finish(conn, result)
    }

    pub(super) fn recover(&self, conn: &rusqlite::Connection, epoch: i64) -> Result<Recovered> {
        conn.execute_batch("BEGIN IMMEDIATE")
            .map_err(sqlite("read what is durable"))?;
        let journal = self.journal(conn);
        let result = (|| {
            let log = self.installed(conn)?;
            self.check_epoch(conn, epoch)?;
            let feed_tables = self.feed_tables(conn)?;
            if let Ok(mut feed) = self.feed.lock() {
                *feed = feed_tables;
            }
            if let Ok(mut known) = self.log.lock() {
                *known = Some(log);
            }
            let begin: i64 = conn
                .query_row(
                    &format!("SELECT min(seq) - 1 FROM {}", self.names.sql("outbox")),
                    [],
                    |row| row.get(0),
                )
                .map_err(sqlite("read the outbox"))?;
            Ok(Recovered {
                end: capture::end(conn, &self.names)?,
                log: Some(log),
                begin: begin.max(0).unsigned_abs(),
                checkpoint: journal.checkpoint()?,
                anchor: journal.checkpoint_anchor()?,
                settled: journal.settled()?,
                open: journal.open_conflicts()?,
                two_sided: journal.records(true)?,
                closed: journal.closed()?,
                chunks: journal.chunks("marks")?.concat(),
                former: journal.chunks("former")?,
                copied_before: journal.copied_before()?,
                touched: journal.touched()?,
                began: journal.began()?,
            })
        })();
        finish(conn, result)
    }

    fn feed_tables(&self, conn: &rusqlite::Connection) -> Result<Vec<FeedTable>> {
        let tables = &self.options.tables;
        let names: Vec<&str> = tables.iter().map(|t| t.schema.name.as_str()).collect();
        let ids = feed::table_ids(conn, &self.names, &names)?;
        let known = ids.into_iter().zip(tables);
        Ok(known
            .map(|(id, t)| FeedTable {
                id,
                width: t.columns.len(),
                key: t.key.clone(),
            })
            .collect())
    }

    pub(super) fn feed(
        &self,
        conn: &rusqlite::Connection,
        after: u64,
        rows_max: usize,
    ) -> Result<FeedPage> {
        let what = || sqlite("read the feed");
        conn.execute_batch("BEGIN").map_err(what())?;
        let result = (|| {
            let version: i64 = conn
                .prepare_cached("PRAGMA schema_version")
                .and_then(|mut s| s.query_row([], |row| row.get(0)))
                .map_err(what())?;
            let mut schema_changed = Vec::new();
            let known = self.schema_version.lock().map_or(version, |v| *v);
            if known != version {
                schema_changed = self.compare_schemas(conn)?;
                self.look_for_triggers(conn)?;
                if let Ok(mut known) = self.schema_version.lock()
                    && schema_changed.is_empty()
                {
                    *known = version;
                }
            }
            let mut feed = self
                .feed
                .lock()
                .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
            if feed.is_empty() {
                // Of a reader that is no engine, and has recovered nothing.
                *feed = self.feed_tables(conn)?;
            }
            self.same_log(conn, after)?;
            let in_one_piece =
                self.outrun.load(Ordering::Relaxed) || after < feed::whole(conn, &self.names)?;
            let rows_max = if in_one_piece { usize::MAX } else { rows_max };
            let (commit, more) = feed::read(conn, &self.names, &feed, after, rows_max)?;
            let anchor = capture::anchor(conn, &self.names, commit.end)?;
            if let Ok(mut last) = self.last_read.lock() {
                *last = Some((commit.end, anchor));
            }
            Ok(FeedPage {
                commit,
                more,
                anchor,
                schema_changed,
            })
        })();
        conn.execute_batch("COMMIT").map_err(what())?;
        result
    }

    /// Whether what was read last still stands where it stood: a copy from a backup that was written
    /// to since can be as long as what it replaced.
    fn same_log(&self, conn: &rusqlite::Connection, after: u64) -> Result<()> {
        let last = self.last_read.lock().map_or(None, |last| *last);
        match last {
            Some((seq, anchor))
                if seq == after
                    && anchor.is_some()
                    && capture::anchor(conn, &self.names, seq)? != anchor =>
            {
                Err(feed::gap(after, capture::end(conn, &self.names)?))
            }
            _ => Ok(()),
        }
    }

    fn look_for_triggers(&self, conn: &rusqlite::Connection) -> Result<()> {
        let mut outrun = false;
        for table in &self.options.tables {
            outrun |= capture::foreign_is_newer(conn, &self.names, &table.schema.name)?;
        }
        self.outrun.store(outrun, Ordering::Relaxed);
        Ok(())
    }

    /// Captured tables whose captured columns, key or triggers are not what they were.
    pub(super) fn compare_schemas(
        &self,
        conn: &rusqlite::Connection,
    ) -> Result<Vec<(usize, String)>> {
        let mut changed = Vec::new();
        let captured = Captured::all(conn, &self.names)?;
        for (i, table) in self.options.tables.iter().enumerate() {
            let name = &table.schema.name;
            let known = captured.iter().find(|c| c.name == *name);
            if let Some(gap) = known.and_then(|c| c.gap.clone()) {
                changed.push((i, gap));
                continue;
            }
            let now = match schema::table(conn, name) {
                Ok(now) => now,
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    changed.push((i, format!("table {name} was dropped or renamed")));
                    continue;
                }
                Err(e) => return Err(e),
            };
            if let Some(what) = difference(&table.schema, &now, &table.columns) {
                changed.push((i, what));
                continue;
            }
            if !capture::missing_triggers(conn, &self.names, name)?.is_empty() {
                changed.push((i, capture::gap_of_triggers(name)));
                continue;
            }
            let uniques = displaced(conn, &now)?.uniques;
            if let Some(known) = known
                && let Some(unique) = uniques.iter().find(|u| !known.uniques.contains(u))
            {
                changed.push((i, capture::gap_of_unique(name, unique)));
            }
        }
        Ok(changed)
    }
}

/// What is different in the columns that matter, in words.
fn difference(was: &TableSchema, now: &TableSchema, columns: &[usize]) -> Option<String> {
    for &i in columns {
        let old = &was.columns[i];
        let Some(n) = now.columns.iter().find(|c| c.name == old.name) else {
            return Some(format!(
                "column {} of table {} is gone (dropped or renamed)",
                old.name, was.name
            ));
        };
        if n.declared_type != old.declared_type {
            return Some(format!(
                "column {} of table {} was {} and is now {}",
                old.name, was.name, old.declared_type, n.declared_type
            ));
        }
    }
    if now.key_names() != was.key_names() {
        return Some(format!("the key of table {} changed", was.name));
    }
    now.columns
        .iter()
        .find(|c| was.column(&c.name).is_none())
        .map(|c| format!("column {} was added to table {}", c.name, was.name))
}
