//! One transaction of the normal path, or of the copy.

use crate::data::{Key, Row};
use crate::database::sqlite::capture::{self, finish};
use crate::database::sqlite::error::sqlite;
use crate::database::sqlite::feed;
use crate::database::{
    Applied, ApplyBatch, Base, Cause, CopiedRows, OpenConflict, OpenState, Outcome, RowChange,
    Settled, UnitKey,
};
use crate::error::{Error, ErrorKind, Result};

use super::{Shared, fenced, now_us};

impl Shared {
    pub(super) fn apply(&self, conn: &rusqlite::Connection, batch: &ApplyBatch) -> Result<Applied> {
        conn.execute_batch("BEGIN IMMEDIATE")
            .map_err(sqlite("begin to apply"))?;
        let result = self.apply_inside(conn, batch);
        finish(conn, result)
    }

    fn apply_inside(&self, conn: &rusqlite::Connection, batch: &ApplyBatch) -> Result<Applied> {
        let journal = self.journal(conn);
        self.check_epoch(conn, batch.epoch)?;
        let log = batch
            .log
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a batch without a log"))?;
        if (batch.to != batch.from || batch.chunk.is_none())
            && !journal.advance(log, batch.from, batch.to, batch.anchor)?
        {
            return Err(fenced());
        }
        capture::sweep(conn, &self.names)?;
        let end = capture::end(conn, &self.names)?;
        let role = self.options.role;
        let mut writer = self.writer(conn);
        // Parents that a copied row lacks are in the feed, or in a chunk still to come.
        writer.check_foreign_keys &= batch.chunk.is_none();
        let pending = if batch.chunk.is_some() {
            Some(self.pending(conn, batch.own_feed_read)?)
        } else {
            None
        };
        let outcomes = writer.write(&batch.changes)?;
        let mut settled = Vec::new();
        let mut opened = Vec::new();
        let mut copied = 0;
        let mut hit = Vec::new();
        if let Some(rows) = &batch.copied {
            hit = self.copy(conn, rows)?;
            copied = rows.rows.len() as u64 - hit.len() as u64;
            settled.extend(self.touched_copies(rows, pending.as_ref())?);
        }
        let copied_settled = settled.clone();
        let changes = batch.changes.iter().zip(&outcomes);
        for (change, outcome) in changes.chain(hit.iter().map(|(c, o)| (c, o))) {
            let (kind, state, reason) = match outcome {
                Outcome::Written | Outcome::Equal => {
                    // Of copied rows only those need a mark that the application touched as well.
                    let needs = pending
                        .as_ref()
                        .is_none_or(|p| p.contains_key(&(change.table, change.key.clone())));
                    if needs {
                        settled.push(change.unit.clone());
                    }
                    continue;
                }
                Outcome::Suspect { kind } => match &change.cause.refused {
                    Some(refusal) => (refusal.kind, refusal.state, refusal.reason.clone()),
                    None => (*kind, OpenState::Open, String::new()),
                },
                Outcome::Blocked { kind, reason } => (*kind, OpenState::Waiting, reason.clone()),
            };
            let mut conflict = OpenConflict::of_change(change, role, kind, state, reason, now_us());
            journal.open(&mut conflict)?;
            opened.push(conflict);
        }
        copied += hit
            .iter()
            .filter(|(_, o)| matches!(o, Outcome::Written | Outcome::Equal))
            .count() as u64;
        if !settled.is_empty() {
            journal.settle(&Settled {
                role,
                seq: end,
                units: settled,
            })?;
        }
        for (unit, us) in &batch.touched {
            journal.touch(unit, role.other(), *us)?;
        }
        journal.begin(&batch.began, &batch.ended)?;
        if batch.is_over {
            journal.forget_began()?;
        }
        if let Some(mark) = &batch.chunk {
            journal.mark_chunk(mark)?;
        }
        Ok(Applied {
            copied,
            copied_settled,
            outcomes,
            chunk_end: 0,
            end,
            opened,
        })
    }

    fn copy(
        &self,
        conn: &rusqlite::Connection,
        rows: &CopiedRows,
    ) -> Result<Vec<(RowChange, Outcome)>> {
        let key = &self.options.tables[rows.table].key;
        let batch = rows.rows.cells()?;
        self.writer(conn).copy(rows.table, &batch, |row| {
            let unit = UnitKey {
                unit: rows.table,
                key: Key::of(&row, key),
            };
            RowChange {
                table: rows.table,
                key: unit.key.clone(),
                unit,
                expect: None,
                cause: Cause {
                    base: Base::Expected,
                    source_key: Key::of(&row, &rows.source_key),
                    committed_us: None,
                    refused: None,
                },
                after: Some(row),
            }
        })
    }

    /// Copied rows whose keys have changes of this store's own that nobody has read yet.
    fn touched_copies(&self, rows: &CopiedRows, pending: Option<&Pending>) -> Result<Vec<UnitKey>> {
        let Some(pending) = pending.filter(|p| !p.is_empty()) else {
            return Ok(Vec::new());
        };
        let batch = rows.rows.cells()?;
        let views = crate::data::batch::views(&batch)?;
        let key = &self.options.tables[rows.table].key;
        Ok((0..batch.num_rows())
            .map(|row| Key(key.iter().map(|&k| views[k].get(row).to_value()).collect()))
            .filter(|key| pending.contains_key(&(rows.table, key.clone())))
            .map(|key| UnitKey {
                unit: rows.table,
                key,
            })
            .collect())
    }

    /// What this store's own changes after `read` begin with.
    fn pending(&self, conn: &rusqlite::Connection, read: u64) -> Result<Pending> {
        let feed = self
            .feed
            .lock()
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let (commit, _) = feed::read(conn, &self.names, &feed, read, usize::MAX)?;
        let mut out = Pending::new();
        for change in commit.changes {
            let key = |row: &Row| (change.table, Key::of(row, &feed[change.table].key));
            if let Some(place) = change.before.as_ref().or(change.after.as_ref()).map(key) {
                out.entry(place).or_insert(change.before);
            }
        }
        Ok(out)
    }
}

/// By table and key: the row before the first of some changes.
type Pending = std::collections::HashMap<(usize, Key), Option<Row>>;
