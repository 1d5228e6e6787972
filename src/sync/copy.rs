//! Copying, chunk by chunk, beside the normal path.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use crate::data::batch::{to_rows, views};
use crate::data::canonical::ValueRef;
use crate::data::order::compare_keys;
use crate::data::{Key, Row, Value};
use crate::database::{
    ApplyBatch, Chunk, ChunkMark, CopiedRows, OpenState, Refusal, Role, SyncStore, UnitKey,
};
use crate::error::Result;
use crate::rule::ConflictKind;

use super::compose::{UnitChange, forward_write};
use super::engine::Engine;

/// How long chunks are copied before changes are followed again.
pub(super) const BURST: Duration = Duration::from_millis(200);

/// How far each table of the source is copied.
#[derive(Clone, Debug, Default)]
pub(super) struct CopyProgress {
    /// By source table: chunks in key order.
    marks: BTreeMap<usize, Vec<ChunkMark>>,
    tables: usize,
    /// Of the source, in all chunks.
    rows: u64,
}

impl CopyProgress {
    pub(super) fn new(tables: usize, marks: Vec<ChunkMark>) -> Self {
        let mut out = Self {
            marks: BTreeMap::new(),
            tables,
            rows: 0,
        };
        for mark in marks {
            out.add(mark);
        }
        out
    }

    /// Whether a change of the target was made before the chunk that holds its key was written there,
    /// by a target that cannot tell whether the chunk held that row.
    pub(super) fn is_early(&self, table: usize, key: &Key, seq: u64) -> bool {
        let marks = self.marks.get(&table).map_or(&[][..], Vec::as_slice);
        let last = marks.iter().map(|m| m.target_seq).max().unwrap_or(0);
        seq <= last
            && self
                .mark_of(table, key)
                .is_some_and(|m| seq <= m.target_seq)
    }

    fn add(&mut self, mark: ChunkMark) {
        self.rows += mark.rows;
        self.marks.entry(mark.table).or_default().push(mark);
    }

    /// The first table that is not copied whole, and where to go on.
    fn next(&self, wanted: impl Fn(usize) -> bool) -> Option<(usize, Option<Key>)> {
        (0..self.tables).filter(|&t| wanted(t)).find_map(|t| {
            match self.marks.get(&t).and_then(|m| m.last()) {
                None => Some((t, None)),
                Some(mark) => mark.upper.clone().map(|key| (t, Some(key))),
            }
        })
    }

    /// Whether anything of a table is copied.
    pub(super) fn is_begun(&self, table: usize) -> bool {
        self.marks.contains_key(&table)
    }

    pub(super) fn is_done(&self) -> bool {
        self.next(|_| true).is_none()
    }

    /// Whether the copy holds this change of the source already, or is going to.
    pub(super) fn covers(&self, table: usize, key: &Key, seq: u64) -> bool {
        self.mark_of(table, key).is_none_or(|mark| seq <= mark.seq)
    }

    /// The first chunk that reaches at least to the key.
    fn mark_of(&self, table: usize, key: &Key) -> Option<&ChunkMark> {
        let marks = self.marks.get(&table)?;
        let i = marks.partition_point(|m| match &m.upper {
            Some(upper) => compare_keys(&upper.0, &key.0) == std::cmp::Ordering::Less,
            None => false,
        });
        marks.get(i)
    }

    /// Forgets the borders between chunks of tables that are copied whole, once both feeds (source,
    /// target) are read beyond all of them.
    pub(super) fn compact(&mut self, read: [u64; 2]) {
        let behind = |m: &ChunkMark| m.seq <= read[0] && m.target_seq <= read[1];
        for marks in self.marks.values_mut() {
            let whole = marks.last().is_some_and(|m| m.upper.is_none());
            if whole && marks.len() > 1 && marks.iter().all(behind) {
                marks.drain(..marks.len() - 1);
            }
        }
    }
}

impl<S: SyncStore> Engine<S> {
    /// Whether everything is copied.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.copy.is_done()
    }

    /// Rows of the source in all chunks that are copied, by this engine and by those before it.
    #[must_use]
    pub fn rows_copied(&self) -> u64 {
        self.copy.rows
    }

    /// Copies chunks for about a fifth of a second: the next one is read while the last one is written.
    /// Answers whether there was any. Before the first chunk, rows that only the target holds go the
    /// other way: see `adopt`.
    ///
    /// Nothing is read ahead beyond the end of a burst: a change of a key whose chunk is read but
    /// not written could be told neither from one that the chunk holds nor from one that it lacks.
    pub async fn copy_chunk(&mut self) -> Result<bool> {
        if self.to_adopt().is_some() {
            self.adopt().await?;
            return Ok(true);
        }
        let paused = |t| self.plan.units_of(t).any(|u| self.paused.contains_key(&u));
        let Some((table, after)) = self.copy.next(|t| !paused(t)) else {
            return Ok(false);
        };
        let begun = Instant::now();
        let rows_max = self.options.chunk_rows;
        let mut ahead = Some((
            table,
            self.stores[0].read_chunk(table, after, rows_max).await?,
        ));
        while let Some((table, chunk)) = ahead.take() {
            let (batch, mut mark) = self.chunk_batch(table, chunk).await?;
            let more = mark.upper.clone().filter(|_| begun.elapsed() < BURST);
            let source = self.stores[0].clone();
            let (applied, read) = futures::join!(self.apply(Role::Source, batch), async {
                match more {
                    Some(after) => source
                        .read_chunk(table, Some(after), rows_max)
                        .await
                        .map(Some),
                    None => Ok(None),
                }
            });
            mark.target_seq = applied?;
            self.copy.add(mark);
            self.copy.compact(self.read);
            ahead = read?.map(|chunk| (table, chunk));
        }
        if self.is_copied() {
            self.began.clear();
        }
        Ok(true)
    }

    /// What a chunk writes: as it was read where the mapping is by columns, row by row otherwise.
    async fn chunk_batch(&self, table: usize, chunk: Chunk) -> Result<(ApplyBatch, ChunkMark)> {
        let mapping = &self.plan.mappings[table];
        let views = views(&chunk.batch)?;
        let count = chunk.batch.num_rows();
        let last_key = count.checked_sub(1).map(|row| {
            let cells = mapping.source.table.key.iter();
            Key(cells.map(|&k| views[k].get(row).to_value()).collect())
        });
        let key = &mapping.source.table.key;
        let keyless = key
            .iter()
            .any(|&k| (0..count).any(|row| matches!(views[k].get(row), ValueRef::Null)));
        let mark = ChunkMark {
            table,
            upper: if chunk.last { None } else { last_key },
            seq: chunk.seq,
            rows: count as u64,
            target_seq: 0,
            over_rows: self.copied_before.contains(&table),
        };
        let role = Role::Source.index();
        let mut batch = ApplyBatch {
            epoch: self.epoch,
            from: self.checkpoint[role],
            log: Some(self.logs[role]),
            to: self.checkpoint[role],
            chunk: Some(mark.clone()),
            own_feed_read: self.read[Role::Target.index()],
            ..ApplyBatch::default()
        };
        let units: Vec<usize> = self.plan.units_of(table).collect();
        let plain = !mapping.is_transformed()
            && mapping.targets[0].stored.is_none()
            && !keyless
            && !mark.over_rows
            && self.open_by_key.is_empty()
            && units
                .iter()
                .all(|u| self.plan.units[*u].validator.is_none() && !self.paused.contains_key(u));
        drop(views);
        if plain {
            batch.copied = Some(CopiedRows {
                table: units.first().copied().unwrap_or(0),
                source_key: mapping.source.table.key.clone(),
                batch: chunk.batch,
            });
        } else {
            let rows = to_rows(&chunk.batch)?;
            let mut changes = self.copied_rows(table, rows)?;
            if mark.over_rows {
                self.moved_on(table, &mut changes).await?;
            }
            self.validate(&mut changes)?;
            batch.changes = changes
                .into_iter()
                .filter(|c| !self.open_by_key.contains_key(&c.unit))
                .map(forward_write)
                .collect();
        }
        Ok((batch, mark))
    }

    fn copied_rows(&self, table: usize, rows: Vec<Row>) -> Result<Vec<UnitChange>> {
        let mapping = &self.plan.mappings[table];
        let keys: Vec<Key> = rows.iter().map(|row| mapping.source.key(row)).collect();
        let mapped = self.forward_each(table, rows)?;
        let mut out = Vec::with_capacity(mapped.len());
        let mut keyless = HashSet::new();
        for (source_key, row) in keys.into_iter().zip(mapped) {
            for unit in self.plan.units_of(table) {
                let target = self.plan.units[unit].target;
                let (after, refused) = match &row {
                    Ok(targets) => (targets.get(target).cloned().flatten(), None),
                    Err(unmapped) => (
                        None,
                        Some(Refusal {
                            kind: ConflictKind::ValueNotRepresentable,
                            state: OpenState::Parked,
                            reason: unmapped.reason.clone(),
                        }),
                    ),
                };
                let key = match (&after, &row) {
                    (Some(row), _) => mapping.targets[target].key(row),
                    (None, Err(unmapped)) => unmapped.key.clone().unwrap_or(source_key.clone()),
                    (None, Ok(_)) => continue,
                };
                if source_key.0.contains(&Value::Null) && !keyless.insert(unit) {
                    // All rows without a key wait as one.
                    continue;
                }
                out.push(UnitChange {
                    unit: UnitKey { unit, key },
                    source_key: source_key.clone(),
                    before: None,
                    after,
                    partial: None,
                    seq: 0,
                    committed_us: None,
                    refused,
                });
            }
        }
        Ok(out)
    }
}
