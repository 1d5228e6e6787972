//! One transaction of the normal path, or of the copy.

use crate::data::Key;
use crate::data::batch::to_rows;
use crate::database::server::driver::{Driver, Tx};
use crate::database::{
    Applied, ApplyBatch, Base, Cause, CopiedRows, OpenConflict, OpenState, Outcome, RowChange,
    Settled, Turn, UnitKey,
};
use crate::error::{Error, ErrorKind, Result};

use super::{LOCKED_AHEAD, PATIENCE_MS, Shared, TRIES, fenced, pause};

/// What became of a batch's rows.
struct Written {
    outcomes: Vec<Outcome>,
    /// Copied rows that were written one by one, and what became of them.
    hit: Vec<RowChange>,
    hit_outcomes: Vec<Outcome>,
    copied: u64,
}

impl<D: Driver> Shared<D> {
    /// Writes the rows, and when its turn has come everything else, and commits.
    pub(super) async fn apply(&self, batch: &ApplyBatch, mut turn: Turn) -> Result<Applied> {
        let mut tries = 0;
        loop {
            match self.attempt(batch, &mut turn).await {
                Ok(Some(applied)) => {
                    turn.pass();
                    return Ok(applied);
                }
                // The rows were locked for too long.
                Ok(None) => turn.come().await?,
                Err(e) if e.kind() == ErrorKind::Busy && tries < TRIES => {
                    tracing::debug!(%e, "rows are locked; trying again");
                    pause(tries).await;
                    tries += 1;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// `None`: its turn has not come; nothing is done.
    async fn attempt(&self, batch: &ApplyBatch, turn: &mut Turn) -> Result<Option<Applied>> {
        let mut tx = self.driver.begin(PATIENCE_MS).await?;
        if batch.copied.is_some() {
            match tokio::time::timeout(LOCKED_AHEAD, turn.come_to_load()).await {
                Ok(come) => come?,
                Err(_) => return Ok(None),
            }
        }
        let written = self.write(&mut tx, batch).await?;
        turn.loaded();
        match tokio::time::timeout(LOCKED_AHEAD, turn.come()).await {
            Ok(come) => come?,
            Err(_) => return Ok(None),
        }
        let applied = self.note(&mut tx, batch, written).await?;
        tx.commit().await?;
        Ok(Some(applied))
    }

    async fn write(&self, tx: &mut D::Tx, batch: &ApplyBatch) -> Result<Written> {
        let mut copied = 0;
        let mut hit = Vec::new();
        if let Some(rows) = &batch.copied {
            hit = self.load(tx, rows).await?;
            if hit.is_empty() {
                copied = rows.rows.len() as u64;
            }
        }
        let mut writer = self.writer(tx, false);
        // Parents that a copied row lacks are in the feed, or in a chunk still to come.
        writer.check_foreign_keys &= batch.chunk.is_none();
        let outcomes = if batch.changes.is_empty() {
            Vec::new()
        } else {
            writer.write(&batch.changes).await?
        };
        let hit_outcomes = if hit.is_empty() {
            Vec::new()
        } else {
            writer.write(&hit).await?
        };
        Ok(Written {
            outcomes,
            hit,
            hit_outcomes,
            copied,
        })
    }

    /// What stands beside the rows: whose engine this is, how far it has come, what is settled and
    /// what is not.
    async fn note(&self, tx: &mut D::Tx, batch: &ApplyBatch, written: Written) -> Result<Applied> {
        let Written {
            outcomes,
            hit,
            hit_outcomes,
            mut copied,
        } = written;
        let journal = &self.journal;
        let role = self.options.role;
        self.check_epoch(tx, batch.epoch).await?;
        let log = batch
            .log
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a batch without a log"))?;
        if (batch.to != batch.from || batch.chunk.is_none())
            && !journal.advance(tx, log, batch.from, batch.to).await?
        {
            return Err(fenced());
        }
        // Only now: what is written or found equal is locked.
        let end = if batch.changes.is_empty() && batch.copied.is_none() {
            batch.own_feed_read
        } else {
            tx.end().await?
        };
        let mut settled = Vec::new();
        let mut opened = Vec::new();
        let changes = batch.changes.iter().zip(&outcomes);
        for (change, outcome) in changes.chain(hit.iter().zip(&hit_outcomes)) {
            let (kind, state, reason) = match outcome {
                Outcome::Written | Outcome::Equal => {
                    // Of copied rows the chunk's mark says all that is known.
                    if batch.chunk.is_none() {
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
            journal.open(tx, &mut conflict).await?;
            opened.push(conflict);
        }
        copied += hit_outcomes
            .iter()
            .filter(|o| matches!(o, Outcome::Written | Outcome::Equal))
            .count() as u64;
        // Nobody reads this side's changes in a one-way migration.
        if !settled.is_empty() && self.options.followed {
            let settled = Settled {
                role,
                seq: end,
                units: settled,
            };
            journal.settle(tx, &settled).await?;
        }
        for (unit, us) in &batch.touched {
            journal.touch(tx, unit, role.other(), *us).await?;
        }
        journal.begin(tx, &batch.began, &batch.ended).await?;
        if batch.is_over {
            journal.forget_began(tx).await?;
        }
        if let Some(mark) = &batch.chunk {
            journal.mark_chunk(tx, mark, end).await?;
        }
        Ok(Applied {
            copied,
            copied_settled: Vec::new(),
            outcomes,
            chunk_end: end,
            end,
            opened,
        })
    }

    /// Loads rows at once; if a constraint is in the way, answers them as single writes.
    async fn load(&self, tx: &mut D::Tx, rows: &CopiedRows) -> Result<Vec<RowChange>> {
        tx.batch("SAVEPOINT banyan_load").await?;
        let loaded = tx.load(&self.tables[rows.table], &rows.rows).await?;
        if loaded.is_ok() {
            tx.batch("RELEASE SAVEPOINT banyan_load").await?;
            return Ok(Vec::new());
        }
        tx.batch("ROLLBACK TO SAVEPOINT banyan_load").await?;
        let key = &self.options.tables[rows.table].key;
        let changes = to_rows(&rows.rows.cells()?)?.into_iter().map(|row| {
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
        });
        Ok(changes.collect())
    }
}

pub(super) fn now_us() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}
