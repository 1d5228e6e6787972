//! The normal path: one direction's changes, batch by batch, to the other side.
//!
//! While batches are written, the next one is read and composed, and a store that has several
//! writers ([`SyncStore::writers`]) gets as many batches as touch nothing in common: they are worked
//! on side by side, and committed in the order of the feed. What was composed ahead is looked at
//! again when a batch before it has opened conflicts. Nothing is under way between two steps.
//!
//! Only what composing depends on and no batch under way can change is composed ahead: changes whose
//! mapping needs rows of the side that is written wait until it is.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::database::{Applied, ApplyBatch, Footprint, Outcome, Role, SyncStore, Turn, UnitKey};
use crate::error::Result;
use crate::rule::Direction;

use super::engine::Engine;

/// So long at most nothing new of one direction is begun before the other one has its turn.
const TURN: Duration = Duration::from_millis(200);

/// A batch on its way into a store.
pub(super) type Applying = Pin<Box<dyn Future<Output = Result<Applied>> + Send>>;

/// The future, begun, wherever it is waited for.
pub(super) async fn at_once(
    applied: impl Future<Output = Result<Applied>> + Send + 'static,
) -> Applying {
    let mut applied: Applying = Box::pin(applied);
    match futures::poll!(&mut applied) {
        Poll::Ready(done) => Box::pin(std::future::ready(done)),
        Poll::Pending => applied,
    }
}

/// A piece of the feed, ready to be written.
struct Piece {
    batch: ApplyBatch,
    /// Whether the feed had any change of ours.
    is_any: bool,
    /// Whether more was waiting behind it.
    more: bool,
    /// Keys whose changes end where they began, with the last one's time.
    unchanged: Vec<(UnitKey, Option<i64>)>,
    /// What it touches, where that is asked.
    footprint: Footprint,
}

/// A piece that is being written.
struct UnderWay {
    to: u64,
    anchor: Option<i64>,
    units: Vec<UnitKey>,
    footprint: Footprint,
    /// `None`: there was nothing to write. The checkpoint follows with the next batch, or with
    /// `flush`.
    applied: Option<Applying>,
}

impl UnderWay {
    async fn finish(&mut self) -> Result<Option<Applied>> {
        match self.applied.take() {
            Some(applied) => applied.await.map(Some),
            None => Ok(None),
        }
    }
}

impl<S: SyncStore> Engine<S> {
    /// Some batches of one direction: reads the feed, applies it to the other side. Answers whether
    /// there was anything. The source's changes wait until the target is
    /// read through (see `adopt`), the target's until everything is copied.
    pub async fn step(&mut self, direction: Direction) -> Result<bool> {
        let from = match direction {
            Direction::Forward => Role::Source,
            Direction::Backward => Role::Target,
        };
        let early = match from {
            Role::Source => {
                // What the one snapshot of a copy does not hold is in the feed behind it.
                self.to_adopt().is_some()
                    || self.store(Role::Source).copies_one_instant() && !self.is_copied()
            }
            Role::Target => !self.plan.two_way || !self.is_copied(),
        };
        if early {
            return Ok(false);
        }
        let begun = Instant::now();
        let ahead = self.may_read_ahead(from);
        let writers = if ahead {
            self.store(from.other()).writers().max(1)
        } else {
            1
        };
        let mut line: VecDeque<UnderWay> = VecDeque::new();
        let mut last = Turn::first();
        let mut next: Option<Piece> = None;
        let mut read = self.read[from.index()];
        let mut checkpoint = self.checkpoint[from.index()];
        let mut pieces = 0;
        let mut failed = None;
        let mut is_over = false;
        let mut more = false;
        let mut progress = false;
        loop {
            let is_free = line.len() < writers;
            if let Some(piece) = next.take_if(|p| {
                is_free && line.iter().all(|u| u.footprint.is_apart_from(&p.footprint))
            }) {
                let mut under_way = UnderWay {
                    to: piece.batch.to,
                    anchor: piece.batch.anchor,
                    units: piece.batch.changes.iter().map(|c| c.unit.clone()).collect(),
                    footprint: piece.footprint,
                    applied: None,
                };
                progress |= piece.is_any;
                let mut batch = piece.batch;
                if !batch.changes.is_empty()
                    || !batch.touched.is_empty()
                    || !batch.began.is_empty()
                    || !batch.ended.is_empty()
                {
                    progress = true;
                    batch.from = checkpoint;
                    checkpoint = batch.to;
                    let store = self.stores[from.other().index()].clone();
                    let turn = last.following();
                    let applied = at_once(async move { store.apply(batch, turn).await }).await;
                    under_way.applied = Some(applied);
                }
                line.push_back(under_way);
                continue;
            }
            is_over |= pieces >= self.options.batches.max(1)
                || pieces > 0 && (begun.elapsed() >= TURN || !ahead);
            // What comes in small pieces is let come together while the last one is written.
            let wanted = next.is_none() && !is_over && (more || line.is_empty());
            let mut found = None;
            if wanted && is_free {
                found = Some(self.piece(from, read, writers > 1).await);
            } else {
                let Some(mut front) = line.pop_front() else {
                    return failed.map_or(Ok(progress), Err);
                };
                let applied = if wanted {
                    let (applied, piece) =
                        futures::join!(front.finish(), self.piece(from, read, writers > 1));
                    found = Some(piece);
                    applied?
                } else {
                    front.finish().await?
                };
                if let Some(applied) = applied {
                    let conflicts = !applied.opened.is_empty();
                    self.take_in(from, false, front.units, applied);
                    self.checkpoint[from.index()] = front.to;
                    if let (true, Some(piece)) = (conflicts, &mut next) {
                        self.look_again(from, piece);
                    }
                    if let (true, Some(Ok(Some(piece)))) = (conflicts, &mut found) {
                        self.look_again(from, piece);
                    }
                }
                self.have_read(from, front.to, front.anchor);
            }
            if let Some(found) = found {
                pieces += 1;
                // What was read before it is written first, whatever is wrong behind it.
                let found = found.unwrap_or_else(|e| {
                    failed = Some(e);
                    None
                });
                is_over |= found.is_none();
                more = found.as_ref().is_some_and(|p| p.more);
                read = found.as_ref().map_or(read, |p| p.batch.to);
                next = found;
            }
        }
    }

    /// Whether what composes this side's changes is the same before and after the batches under way.
    fn may_read_ahead(&self, from: Role) -> bool {
        self.is_copied()
            && match from {
                Role::Source => true,
                // The way back of a transform begins with the source's rows as they are.
                Role::Target => self.plan.mappings.iter().all(|m| !m.is_transformed()),
            }
    }

    /// Reads and composes what lies behind `read`; `None`: nothing.
    async fn piece(&mut self, from: Role, read: u64, several: bool) -> Result<Option<Piece>> {
        let page = self
            .store(from)
            .read_feed(read, self.options.batch_rows)
            .await?;
        for (table, what) in &page.schema_changed {
            self.pause(from, *table, what);
        }
        let to = page.commit.end;
        if to == read {
            return Ok(None);
        }
        // That a log grows with what is none of ours is no progress: our own writes make it grow.
        let is_any = !page.commit.changes.is_empty();
        let composed = self.compose(from, page.commit.changes).await?;
        let footprint = if several {
            self.store(from.other()).footprint(&composed.changes)
        } else {
            Footprint::default()
        };
        Ok(Some(Piece {
            batch: ApplyBatch {
                epoch: self.epoch,
                log: Some(self.logs[from.index()]),
                to,
                anchor: page.anchor,
                changes: composed.changes,
                touched: composed.touched,
                began: composed.began.into_values().collect(),
                ended: composed.ended,
                ..ApplyBatch::default()
            },
            is_any,
            more: page.more,
            unchanged: composed.unchanged,
            footprint,
        }))
    }

    /// A batch before this one has opened conflicts: changes of their keys are part of them.
    fn look_again(&mut self, from: Role, piece: &mut Piece) {
        let batch = &mut piece.batch;
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut batch.changes)
            .into_iter()
            .partition(|c| self.is_taken_in(from, &c.unit, c.cause.committed_us));
        batch.changes = left;
        let touched = taken.into_iter().map(|c| (c.unit, c.cause.committed_us));
        batch.touched.extend(touched);
        for (unit, committed_us) in std::mem::take(&mut piece.unchanged) {
            if self.is_taken_in(from, &unit, committed_us) {
                piece.batch.touched.push((unit, committed_us));
            } else {
                piece.unchanged.push((unit, committed_us));
            }
        }
    }

    fn have_read(&mut self, from: Role, to: u64, anchor: Option<i64>) {
        self.read[from.index()] = to;
        self.anchors[from.index()] = anchor;
        self.store(from).consumed(to);
    }

    /// Applies a batch to the side opposite of `from` and takes its outcomes into account.
    pub(super) async fn apply(&mut self, from: Role, batch: ApplyBatch) -> Result<()> {
        let units = batch.changes.iter().map(|c| c.unit.clone()).collect();
        let store = self.store(from.other());
        let applied = store.apply(batch, Turn::first()).await?;
        self.take_in(from, false, units, applied);
        Ok(())
    }

    /// Takes the outcomes of a chunk into account; `whole`: the unit whose rows went in as a whole.
    pub(super) fn take_in_copied(
        &mut self,
        whole: Option<usize>,
        units: Vec<UnitKey>,
        mut applied: Applied,
    ) {
        if let Some(unit) = whole {
            self.counts[unit].copied += applied.copied;
            self.own_writes += applied.copied;
            for unit in std::mem::take(&mut applied.copied_settled) {
                self.settled[Role::Target.index()].insert(unit, applied.end);
            }
        }
        self.take_in(Role::Source, true, units, applied);
    }

    fn take_in(&mut self, from: Role, copying: bool, units: Vec<UnitKey>, applied: Applied) {
        let to = from.other();
        for (unit, outcome) in units.into_iter().zip(&applied.outcomes) {
            match outcome {
                Outcome::Written => {
                    self.own_writes += 1;
                    let counts = &mut self.counts[unit.unit];
                    match (copying, to) {
                        (true, _) => counts.copied += 1,
                        (false, Role::Target) => counts.applied_to_target += 1,
                        (false, Role::Source) => counts.applied_to_source += 1,
                    }
                }
                Outcome::Equal => {
                    if copying {
                        self.counts[unit.unit].copied += 1;
                    }
                }
                Outcome::Suspect { .. } | Outcome::Blocked { .. } => continue,
            }
            // While copying, only marks for what the application touched meanwhile would matter;
            // the store wrote those down, and here a mark for every copied row would hold the
            // whole table in memory.
            // In a one-way migration nobody reads the target's changes.
            let is_read = to == Role::Source || self.plan.two_way;
            if is_read && (!copying || applied.end > self.read[to.index()]) {
                self.settled[to.index()].insert(unit, applied.end);
            }
        }
        for conflict in applied.opened {
            self.add_open(conflict);
        }
    }
}
