//! What rows were before changes that a copy covers.
//!
//! Changes of the source that a chunk holds, or is going to hold, are not carried over one by one. Where a
//! table is copied over rows, what a row was before the first of them is needed all the same: it tells
//! whether the target's row has changed, too (see `base`), and it is what the target has of a row that is
//! gone from the source, which no chunk can hold (see `gone`).
//!
//! For rows whose chunk is not written yet it is as durable as the checkpoint that moved past the changes.
//! It ends with the chunk, with the first change that is carried over again, or when all is copied and the
//! feed is read beyond that; what a decision has settled since says nothing any more.

use crate::data::FastMap;
use crate::database::{Began, Image, Role, Settled, SyncStore, UnitKey};
use crate::error::Result;

use super::compose::{Composed, UnitChange};
use super::engine::Engine;
use super::merge::Run;

/// A row of the source, before the changes that the copy covers.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) image: Image,
    /// Of the last of them.
    seq: u64,
    /// When that was committed, as far as known.
    pub(super) committed_us: Option<i64>,
    /// Whether it is written down.
    kept: bool,
}

/// Changes that the copy covers, in order of the feed.
#[derive(Debug, Default)]
pub(super) struct Covered {
    runs: FastMap<UnitKey, Run>,
    /// Those that a former copy covered.
    former: FastMap<UnitKey, Run>,
}

impl Covered {
    pub(super) fn add(&mut self, change: UnitChange, former: bool) {
        let runs = if former {
            &mut self.former
        } else {
            &mut self.runs
        };
        match runs.get_mut(&change.unit) {
            Some(run) => run.add(change),
            None => {
                runs.insert(change.unit.clone(), Run::new(change));
            }
        }
    }
}

impl<S: SyncStore> Engine<S> {
    /// What is known of a row, unless it is settled.
    pub(super) fn begun(&self, unit: &UnitKey) -> Option<&Begun> {
        let begun = self.began.get(unit)?;
        let settled = self.settled[Role::Source.index()].get(unit);
        settled.is_none_or(|&seq| seq < begun.seq).then_some(begun)
    }

    /// Takes up what an engine before this one has written down. `settled`: all marks that there are.
    pub(super) fn recover_began<'a>(
        &mut self,
        began: Vec<Began>,
        settled: impl Iterator<Item = &'a Settled>,
    ) {
        for began in began {
            let begun = Begun {
                image: began.image,
                seq: began.seq,
                committed_us: began.committed_us,
                kept: true,
            };
            self.began.insert(began.unit, begun);
        }
        for mark in settled.filter(|mark| mark.role == Role::Source) {
            for unit in &mark.units {
                if self.began.get(unit).is_some_and(|b| b.seq <= mark.seq) {
                    let ended = self.end_begun(unit);
                    self.began_ended.extend(ended);
                }
            }
        }
    }

    /// Forgets what is known of a row; it is to be removed from what is written down, if the answer is
    /// anything.
    pub(super) fn end_begun(&mut self, unit: &UnitKey) -> Option<(usize, UnitKey)> {
        let begun = self.began.remove(unit)?;
        let table = self.plan.units[unit.unit].mapping;
        begun.kept.then(|| (table, unit.clone()))
    }

    /// Forgets what is settled; answers what is to be removed from what is written down.
    pub(super) fn end_settled(&mut self) -> Vec<(usize, UnitKey)> {
        let units = self.began.keys();
        let settled: Vec<UnitKey> = units
            .filter(|unit| self.begun(unit).is_none())
            .cloned()
            .collect();
        let mut ended = std::mem::take(&mut self.began_ended);
        ended.extend(settled.iter().filter_map(|unit| self.end_begun(unit)));
        ended
    }

    /// Whether what is kept for the sake of the copy is of no more use: all is copied, the feed is read
    /// beyond that, and no row is there again whose change is still to be read.
    pub(super) fn is_over(&self) -> bool {
        let is_kept = !self.began.is_empty() || self.copy.has_former();
        let waits =
            |(unit, begun): (&UnitKey, &Begun)| begun.kept && !self.open_by_key.contains_key(unit);
        is_kept && self.is_behind_copy() && !self.began.iter().any(waits)
    }

    /// Notes what rows were before covered changes; answers those of rows that are gone. `carried`: rows of
    /// which there are other changes as well, which say what becomes of them.
    pub(super) async fn take_covered(
        &mut self,
        covered: Covered,
        carried: &FastMap<UnitKey, usize>,
        out: &mut Composed,
    ) -> Result<Vec<UnitChange>> {
        let mut gone = Vec::new();
        // Where the chunk of a former copy held the row, both sides were alike then.
        let Covered { former, runs } = covered;
        let former = former.into_values().map(Run::whole);
        let former = former.filter(|whole| whole.after.is_none());
        let former = former.map(|whole| (runs.contains_key(&whole.unit), whole));
        let mut all: Vec<(bool, UnitChange)> = former.collect();
        all.extend(runs.into_values().map(|run| (false, run.whole())));
        for (goes_on, mut whole) in all {
            let table = self.plan.units[whole.unit.unit].mapping;
            let known = self.begun(&whole.unit);
            if whole.after.is_none() && whole.refused.is_some() {
                // Nothing says what it was.
                continue;
            }
            let begun = Begun {
                image: match (known, &whole.before, &whole.refused) {
                    (Some(known), ..) => known.image.clone(),
                    (None, None, Some(_)) => Image::Unknown,
                    (None, before, _) => Image::Row(before.clone()),
                },
                seq: whole.seq,
                committed_us: whole.committed_us,
                // Where the chunk has come by, a row that is there is in it.
                kept: known.is_some_and(|b| b.kept) && whole.after.is_none()
                    || !self.copy.has_passed(table, &whole.source_key),
            };
            if let Image::Row(row) = &begun.image {
                whole.before.clone_from(row);
            }
            if begun.kept {
                out.begin(began(table, &whole.unit, &begun));
            } else {
                self.end_into(&whole.unit, out);
            }
            self.began.insert(whole.unit.clone(), begun);
            if !goes_on && !carried.contains_key(&whole.unit) {
                gone.push(whole);
            }
        }
        let (gone, there_again) = self.gone(gone).await?;
        for unit in there_again {
            // The change that has put it there may be read much later.
            let table = self.plan.units[unit.unit].mapping;
            if let Some(begun) = self.began.get_mut(&unit).filter(|b| !b.kept) {
                begun.kept = true;
                out.begin(began(table, &unit, begun));
            }
        }
        for change in &gone {
            self.end_into(&change.unit, out);
        }
        Ok(gone)
    }

    /// A change of the source that is carried over begins with what the target has: of a row that was not
    /// there when the copy came by, that is from before what the copy covers.
    pub(super) fn begin_with_kept(&mut self, change: &mut UnitChange, out: &mut Composed) {
        if change.before.is_none()
            && let Some(begun) = self.begun(&change.unit)
            && let Image::Row(row) = &begun.image
        {
            change.before.clone_from(row);
        }
        self.end_into(&change.unit, out);
    }

    fn end_into(&mut self, unit: &UnitKey, out: &mut Composed) {
        if let Some(ended) = self.end_begun(unit) {
            out.began.remove(unit);
            out.ended.push(ended);
        }
    }
}

fn began(table: usize, unit: &UnitKey, begun: &Begun) -> Began {
    Began {
        table,
        unit: unit.clone(),
        image: begun.image.clone(),
        seq: begun.seq,
        committed_us: begun.committed_us,
    }
}
