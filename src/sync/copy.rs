//! Copying, chunk by chunk, beside the normal path.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::arrow::array::Array;

use crate::data::batch::to_rows;
use crate::data::order::compare_keys;
use crate::data::{Key, Row, Value};
use crate::database::{
    Applied, ApplyBatch, Base, Chunk, ChunkMark, ChunkRows, CopiedRows, OpenState, Refusal, Role,
    SyncStore, Turn, UnitKey,
};
use crate::error::{Error, Result};
use crate::rule::ConflictKind;

use super::ahead::Ahead;
use super::compose::{UnitChange, forward_write};
use super::engine::Engine;
use super::follow::{Applying, at_once};

/// How long chunks are copied before changes are followed again.
pub(super) const BURST: Duration = Duration::from_millis(200);

/// Chunks that are on their way into a store, at most: one that is being loaded, one that commits, one
/// that is ready.
const COPIES_MAX: usize = 3;

/// A table of the source, and the key behind which a chunk begins.
pub(super) type Place = (usize, Option<Key>);

/// What is on its way between the stores.
pub(super) struct Line {
    /// In order.
    writing: VecDeque<Copying>,
    last: Turn,
    /// Read, and not being written.
    read: Option<(Place, Chunk)>,
    /// What to read next of a table that is under way.
    next: Option<Place>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            writing: VecDeque::new(),
            last: Turn::first(),
            read: None,
            next: None,
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("writing", &self.writing.len())
            .finish_non_exhaustive()
    }
}

/// A chunk that is being written.
struct Copying {
    mark: ChunkMark,
    units: Vec<UnitKey>,
    /// The unit, if it is written as it was read.
    whole: Option<usize>,
    applied: Applying,
}

impl Copying {
    async fn begin<S: SyncStore>(store: S, batch: ApplyBatch, mark: ChunkMark, turn: Turn) -> Self {
        Self {
            mark,
            units: batch.changes.iter().map(|c| c.unit.clone()).collect(),
            whole: batch.copied.as_ref().map(|c| c.table),
            applied: at_once(async move { store.apply(batch, turn).await }).await,
        }
    }
}

/// How far each table of the source is copied.
#[derive(Clone, Debug, Default)]
pub(super) struct CopyProgress {
    /// By source table: chunks in key order.
    marks: BTreeMap<usize, Vec<ChunkMark>>,
    /// By source table: of each former copy likewise.
    former: BTreeMap<usize, Vec<Vec<ChunkMark>>>,
    tables: usize,
    /// Of the source, in all chunks.
    rows: u64,
}

impl CopyProgress {
    pub(super) fn new(tables: usize, marks: Vec<ChunkMark>, former: Vec<Vec<ChunkMark>>) -> Self {
        let mut out = Self {
            marks: BTreeMap::new(),
            former: BTreeMap::new(),
            tables,
            rows: 0,
        };
        for mark in marks {
            out.add(mark);
        }
        for copy in former {
            if let Some(mark) = copy.first() {
                out.former.entry(mark.table).or_default().push(copy);
            }
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
        reaching(self.marks.get(&table)?, key)
    }

    /// Whether the chunk that holds the key is written.
    pub(super) fn has_passed(&self, table: usize, key: &Key) -> bool {
        self.mark_of(table, key).is_some()
    }

    /// The chunk of a former copy that held what this change of the source made, unless it was a delete.
    pub(super) fn former_chunk(&self, table: usize, key: &Key, seq: u64) -> Option<&ChunkMark> {
        let mut copies = self.former.get(&table).into_iter().flatten();
        copies.find_map(|marks| reaching(marks, key).filter(|mark| seq <= mark.seq))
    }

    /// Whether a former copy came by the key.
    pub(super) fn was_passed(&self, table: usize, key: &Key) -> bool {
        let mut copies = self.former.get(&table).into_iter().flatten();
        copies.any(|marks| reaching(marks, key).is_some())
    }

    /// Whether anything is known of former copies.
    pub(super) fn has_former(&self) -> bool {
        !self.former.is_empty()
    }

    pub(super) fn forget_former(&mut self) {
        self.former.clear();
    }

    /// Whether all is copied, and this much of the source's feed beyond what any chunk covers.
    pub(super) fn is_behind(&self, read: u64) -> bool {
        self.is_done() && self.marks.values().flatten().all(|mark| mark.seq <= read)
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

/// The first of the chunks, in key order, that reaches at least to the key.
fn reaching<'a>(marks: &'a [ChunkMark], key: &Key) -> Option<&'a ChunkMark> {
    let i = marks.partition_point(|m| match &m.upper {
        Some(upper) => compare_keys(&upper.0, &key.0) == std::cmp::Ordering::Less,
        None => false,
    });
    marks.get(i)
}

impl<S: SyncStore> Engine<S> {
    /// Whether everything is copied.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.copy.is_done()
    }

    /// Whether no change that is still to be read is covered by the copy.
    pub(super) fn is_behind_copy(&self) -> bool {
        self.copy.is_behind(self.read[Role::Source.index()])
    }

    /// Rows of the source in all chunks that are copied, by this engine and by those before it.
    #[must_use]
    pub fn rows_copied(&self) -> u64 {
        self.copy.rows
    }

    /// Copies chunks for a fraction of a second: the next one is read while those before it are
    /// written. Answers whether there was any. Before the first chunk, rows that only the target holds
    /// go the other way: see `adopt`.
    ///
    /// Where each chunk is as new as can be, nothing is under way beyond the end of a burst: a change
    /// of a key whose chunk is read but not written could be told neither from one that the chunk
    /// holds nor from one that it lacks. Where all chunks are of one instant nothing is followed
    /// meanwhile, and they stay on their way.
    pub async fn copy_chunk(&mut self) -> Result<bool> {
        if self.to_adopt().is_some() {
            self.adopt().await?;
            return Ok(true);
        }
        let mut line = std::mem::take(
            self.copying
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let begun = Instant::now();
        let one_instant = self.stores[0].copies_one_instant();
        let source = self.stores[0].clone();
        let rows_max = self.options.chunk_rows;
        let read = async |(table, after): Place| -> Result<(Place, Chunk)> {
            let chunk = source.read_chunk(table, after.clone(), rows_max).await?;
            Ok(((table, after), chunk))
        };
        let is_paused = |table: usize| {
            let mut units = self.plan.units_of(table);
            units.any(|u| self.paused.contains_key(&u))
        };
        line.read.take_if(|(place, _)| is_paused(place.0));
        line.next.take_if(|place| is_paused(place.0));
        let mut progress = !line.writing.is_empty();
        let mut failed = None;
        loop {
            let is_over = progress && begun.elapsed() >= BURST;
            // Conflicts are worked on while nothing is under way.
            let conflicts = || self.open.values().any(|c| c.state != OpenState::Parked);
            if is_over && one_instant && !conflicts() {
                break;
            }
            let writers = self.stores[1].writers().clamp(1, COPIES_MAX);
            if let Some((place, read)) = line.read.take_if(|(place, chunk)| {
                let alone = line.writing.is_empty();
                let side_by_side =
                    line.writing.len() < writers && self.is_plain(place.0, &chunk.rows);
                !(one_instant && is_over) && (alone || side_by_side)
            }) {
                progress = true;
                let (batch, mark) = self.chunk_batch(place.0, read).await?;
                line.next = mark.upper.clone().map(|key| (mark.table, Some(key)));
                let store = self.stores[1].clone();
                let turn = line.last.following();
                line.writing
                    .push_back(Copying::begin(store, batch, mark, turn).await);
                continue;
            }
            if line.read.is_none() && line.next.is_none() && !is_over {
                line.next = self.next_place(&line.writing);
            }
            let wanted = line.next.take_if(|_| line.read.is_none() && !is_over);
            if line.writing.len() < writers
                && let Some(place) = &wanted
            {
                progress = true;
                match read(place.clone()).await {
                    Ok(chunk) => line.read = Some(chunk),
                    Err(e) => return Err(self.give_up(line, e).await),
                }
                continue;
            }
            let Some(front) = line.writing.pop_front() else {
                break;
            };
            let applied = match wanted {
                Some(place) => {
                    let (applied, chunk) = futures::join!(front.applied, read(place));
                    match chunk {
                        Ok(chunk) => line.read = Some(chunk),
                        Err(e) => failed = Some(e),
                    }
                    applied?
                }
                None => front.applied.await?,
            };
            self.is_written(front.mark, front.whole, front.units, applied);
            if let Some(e) = failed.take() {
                return Err(self.give_up(line, e).await);
            }
            self.copy.compact(self.read);
        }
        self.copying = Mutex::new(line);
        if self.is_copied() {
            self.ahead = <[Ahead; 2]>::default();
        }
        Ok(progress)
    }

    /// Waits for the chunks that are on their way.
    pub(super) async fn finish_copying(&mut self) -> Result<()> {
        let line = std::mem::take(
            self.copying
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.drain(line).await
    }

    async fn drain(&mut self, line: Line) -> Result<()> {
        for copying in line.writing {
            let applied = copying.applied.await?;
            self.is_written(copying.mark, copying.whole, copying.units, applied);
        }
        Ok(())
    }

    /// After an error of reading: what was read before it is written.
    async fn give_up(&mut self, line: Line, error: Error) -> Error {
        match self.drain(line).await {
            Ok(()) => error,
            Err(earlier) => earlier,
        }
    }

    fn is_written(
        &mut self,
        mut mark: ChunkMark,
        whole: Option<usize>,
        units: Vec<UnitKey>,
        applied: Applied,
    ) {
        mark.target_seq = applied.chunk_end;
        self.take_in_copied(whole, units, applied);
        self.copy.add(mark);
    }

    /// Where to go on reading, behind the chunks that are on their way.
    fn next_place(&self, writing: &VecDeque<Copying>) -> Option<Place> {
        self.copy.next(|table| {
            writing.iter().all(|c| c.mark.table != table)
                && !self
                    .plan
                    .units_of(table)
                    .any(|u| self.paused.contains_key(&u))
        })
    }

    /// Whether a chunk is written as it was read.
    fn is_plain(&self, table: usize, rows: &ChunkRows) -> bool {
        let mapping = &self.plan.mappings[table];
        let mut units = self.plan.units_of(table);
        !mapping.is_transformed()
            && mapping.targets[0].stored.is_none()
            && !self.copied_before.contains(&table)
            && self.open_by_key.is_empty()
            && units
                .all(|u| self.plan.units[u].validator.is_none() && !self.paused.contains_key(&u))
            && match rows {
                ChunkRows::Sent(_) => true,
                ChunkRows::Cells(batch) => {
                    let mut key = mapping.source.table.key.iter();
                    key.all(|&k| batch.column(k).logical_null_count() == 0)
                }
            }
    }

    /// What a chunk writes: as it was read where the mapping is by columns, row by row otherwise.
    async fn chunk_batch(&mut self, table: usize, chunk: Chunk) -> Result<(ApplyBatch, ChunkMark)> {
        let mapping = &self.plan.mappings[table];
        let last_key = chunk.rows.last_key(&mapping.source.table.key)?;
        let mark = ChunkMark {
            table,
            upper: if chunk.last { None } else { last_key },
            seq: chunk.seq,
            rows: chunk.rows.len() as u64,
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
        if self.is_plain(table, &chunk.rows) {
            batch.copied = Some(CopiedRows {
                table: self.plan.units_of(table).next().unwrap_or(0),
                source_key: mapping.source.table.key.clone(),
                rows: chunk.rows,
            });
        } else {
            let rows = to_rows(&chunk.rows.cells()?)?;
            let mut changes = self.copied_rows(table, rows)?;
            self.validate(&mut changes)?;
            let decided = &self.settled[Role::Source.index()];
            changes.retain(|c| {
                // A row that is older than a decision: what came since is in the feed.
                let is_older = decided.get(&c.unit).is_some_and(|&seq| seq > mark.seq);
                !is_older && !self.open_by_key.contains_key(&c.unit)
            });
            let changes = if mark.over_rows {
                self.over_rows(table, changes, &mut batch.ended).await?
            } else {
                let expected = |change| (change, Base::Expected);
                changes.into_iter().map(expected).collect()
            };
            let writes = changes.into_iter().map(|(change, base)| {
                let mut write = forward_write(change);
                write.cause.base = base;
                write
            });
            batch.changes = writes.collect();
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
