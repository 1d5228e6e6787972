//! What both sides had in common, of rows that are copied over others.
//!
//! Nobody has written it down. But the feeds tell what each side's row was before its first change that
//! is not carried over: changes that the copy covers (see `began`), then those that are still to be read; where there is none, it is the row as it
//! is. If both are the same row, that is the base: a row that one side alone has changed meanwhile is no
//! conflict, and keeps what was changed. If they are not, nobody knows it.
//!
//! All of that is looked at before the chunk is written: a conflict that it opens is as good after a
//! crash as before one.
//!
//! Triggers that do not know a new column yet write nothing of it down. Rows that differ there alone were
//! alike before the column was added, and NULL in it.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::data::{Change, Key, Row, Value};
use crate::database::{
    Base, ChunkMark, Image, OpenState, Patience, Refusal, Role, SyncStore, UnitKey,
};
use crate::error::{ErrorKind, Result};
use crate::rule::ConflictKind;

use super::compose::UnitChange;
use super::engine::Engine;

/// What rows were before their first changes since both sides were made alike; no entry: there is no such
/// change.
type Images<K = usize> = HashMap<K, Option<Row>>;

/// Finds them in the changes of a feed, in order.
#[derive(Debug)]
pub(super) struct FirstImages<K> {
    images: Images<K>,
    /// Before what a former copy covered, and whether its chunk held the row: then both sides were alike.
    former: HashMap<K, (Option<Row>, bool)>,
}

impl<K> Default for FirstImages<K> {
    fn default() -> Self {
        Self {
            images: HashMap::new(),
            former: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> FirstImages<K> {
    /// A change, by what tells its row apart, and the chunk of a former copy that covered it.
    pub(super) fn add(
        &mut self,
        key: K,
        former: Option<&ChunkMark>,
        before: Option<&Row>,
        after: Option<&Row>,
    ) {
        match former {
            Some(chunk) => {
                // Into a table without rows it brought none that was gone.
                let before = before.filter(|_| chunk.over_rows);
                let known = self.former.entry(key);
                known.or_insert_with(|| (before.cloned(), false)).1 = after.is_some();
            }
            None => {
                self.images.entry(key).or_insert_with(|| before.cloned());
            }
        }
    }

    pub(super) fn images(mut self) -> Images<K> {
        for (key, (before, held)) in self.former {
            if !held {
                self.images.insert(key, before);
            }
        }
        self.images
    }
}

/// The changes of the target that are still to be read: none of them is until everything is copied, and so
/// they are looked at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    upto: u64,
    /// By table and key, with the row before.
    changes: HashMap<(usize, Key), Vec<(u64, Option<Row>)>>,
    /// There are too many of them.
    is_cut_off: bool,
}

impl<S: SyncStore> Engine<S> {
    /// What is to be written of a chunk that is copied over rows, each with its base. What the target alone
    /// has changed is not: its change, still to be read, begins with the very row.
    pub(super) async fn over_rows(
        &mut self,
        table: usize,
        changes: Vec<UnitChange>,
        ended: &mut Vec<(usize, UnitKey)>,
    ) -> Result<Vec<(UnitChange, Base)>> {
        let found = self.target_rows(&changes).await?;
        let is_plain = |c: &UnitChange| c.refused.is_none() && c.after.is_some();
        let differing: Vec<usize> = std::iter::zip(&changes, &found)
            .enumerate()
            .filter(|(_, (c, found))| is_plain(c) && **found != c.after)
            .map(|(i, _)| i)
            .collect();
        // After the rows: what changes in between is in there.
        if self.plan.two_way && !differing.is_empty() {
            self.look_ahead().await?;
        }
        let at_target = self.first_at_target(&changes, &differing);
        let there = differing.into_iter().filter(|&i| found[i].is_some());
        let at_source = self
            .first_at_source(table, &changes, there.collect())
            .await?;
        let mut out = Vec::with_capacity(changes.len());
        for (i, (mut change, found)) in std::iter::zip(changes, found).enumerate() {
            let unit = change.unit.unit;
            let begun = self.begun(&change.unit);
            change.committed_us = begun.and_then(|b| b.committed_us);
            let source = match (begun, at_source.get(&i), &change.after) {
                (Some(begun), ..) => begun.image.clone(),
                (None, Some(Some(row)), _) => self.in_target_form(unit, row.clone())?,
                (None, Some(None), _) => Image::Row(None),
                (None, None, after) => Image::Row(after.clone()),
            };
            ended.extend(self.end_begun(&change.unit));
            let target = at_target.get(&i);
            let base = if !is_plain(&change) {
                Some(Base::Unknown)
            } else if found.is_none() {
                self.over_nothing(&mut change, source, target)
            } else {
                self.over_row(&mut change, found, source, target)
            };
            out.extend(base.map(|base| (change, base)));
        }
        Ok(out)
    }

    /// The base of a row that the target does not have; `None`: it is not to be written.
    fn over_nothing(
        &self,
        change: &mut UnitChange,
        source: Image,
        target: Option<&Option<Row>>,
    ) -> Option<Base> {
        match target {
            // The target has deleted it.
            Some(Some(row)) => {
                if change.after.as_ref() == Some(row) {
                    return None;
                }
                change.before = Some(row.clone());
                Some(match source {
                    Image::Row(Some(source)) if source == *row => Base::Row(Some(source)),
                    _ => Base::Unknown,
                })
            }
            None if self.ahead.is_cut_off => Some(Base::Unknown),
            _ => Some(Base::Row(None)),
        }
    }

    /// The base of a row that the target has; `None`: it is not to be written.
    fn over_row(
        &self,
        change: &mut UnitChange,
        found: Option<Row>,
        source: Image,
        target: Option<&Option<Row>>,
    ) -> Option<Base> {
        let target = match target {
            Some(row) => Some(row.clone()),
            None => (!self.ahead.is_cut_off).then(|| found.clone()),
        };
        // Equal, or changed by the source alone; should the row change before it is written over, there is
        // a conflict with this base.
        let alone = target == Some(found.clone()) && source == Image::Row(found.clone());
        if found == change.after || alone {
            change.before = found;
            return Some(Base::Expected);
        }
        if target.as_ref().is_some_and(|row| *row == change.after) {
            return None;
        }
        let unit = change.unit.unit;
        let before = |row: Option<Row>| self.before_additions(unit, row);
        let known = match (source, target) {
            (Image::Row(source), Some(target)) if source == target => Some(target),
            (Image::Row(source), Some(target)) => {
                let (source, target) = (before(source), before(target));
                (source == target).then_some(target)
            }
            _ => None,
        };
        let known = known.or_else(|| {
            self.but_for_additions(unit, change.after.as_ref()?, found.as_ref()?)
                .map(Some)
        });
        // Whatever becomes of the row until then.
        change.refused = Some(Refusal {
            kind: ConflictKind::UpdateOriginDiffers,
            state: OpenState::Open,
            reason: String::new(),
        });
        Some(known.map_or(Base::Unknown, Base::Row))
    }

    /// Looks at those of the target's changes that were not looked at before.
    async fn look_ahead(&mut self) -> Result<()> {
        if self.ahead.is_cut_off {
            return Ok(());
        }
        let read = self.read[Role::Target.index()];
        let from = self.ahead.upto.max(read);
        let mut ahead = std::mem::take(&mut self.ahead);
        let upto = self
            .for_each_behind(Role::Target, from, |change| {
                self.for_each_key(Role::Target, change, |key, before, _| {
                    let of_key = ahead.changes.entry((change.table, key.clone()));
                    of_key.or_default().push((change.seq, before.cloned()));
                });
            })
            .await;
        match upto {
            Ok(upto) => ahead.upto = upto,
            // Rows that differ are conflicts, then.
            Err(e) if e.kind() == ErrorKind::Refused => {
                ahead.is_cut_off = true;
                ahead.changes.clear();
            }
            Err(e) => return Err(e),
        }
        self.ahead = ahead;
        Ok(())
    }

    /// Of some of the changes, as the target's feed has it.
    fn first_at_target(&self, changes: &[UnitChange], which: &[usize]) -> Images {
        let read = self.read[Role::Target.index()];
        let mut out = Images::new();
        for &i in which {
            let unit = &changes[i].unit;
            // Up to there both sides have been made alike since.
            let settled = self.settled[Role::Target.index()].get(unit);
            let from = settled.map_or(read, |&seq| seq.max(read));
            let of_key = self.ahead.changes.get(&(unit.unit, unit.key.clone()));
            let first = of_key.and_then(|all| all.iter().find(|(seq, _)| *seq > from));
            out.extend(first.map(|(_, before)| (i, before.clone())));
        }
        out
    }

    /// The rows of the target as they are.
    async fn target_rows(&self, changes: &[UnitChange]) -> Result<Vec<Option<Row>>> {
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, change) in changes.iter().enumerate() {
            if change.refused.is_none() && change.after.is_some() {
                wanted.entry(change.unit.unit).or_default().push(i);
            }
        }
        let mut out = vec![None; changes.len()];
        for (unit, which) in wanted {
            let keys = which.iter().map(|&i| changes[i].unit.key.clone()).collect();
            let rows = self.store(Role::Target).read_rows(unit, keys).await?;
            for (i, row) in which.into_iter().zip(rows) {
                out[i] = row;
            }
        }
        Ok(out)
    }

    /// Of some of the changes, as the source's feed has it.
    async fn first_at_source(
        &self,
        table: usize,
        changes: &[UnitChange],
        which: Vec<usize>,
    ) -> Result<Images> {
        let mut wanted: HashMap<&Key, Vec<usize>> = HashMap::new();
        for i in which {
            if self.begun(&changes[i].unit).is_none() {
                wanted.entry(&changes[i].source_key).or_default().push(i);
            }
        }
        if wanted.is_empty() {
            return Ok(Images::new());
        }
        let mut out = FirstImages::default();
        let settled = &self.settled[Role::Source.index()];
        self.for_each_unread(Role::Source, |change| {
            if change.table != table {
                return;
            }
            self.for_each_key(Role::Source, change, |key, before, after| {
                let former = self.former_chunk(Role::Source, change, key);
                for &i in wanted.get(key).into_iter().flatten() {
                    let settled = settled.get(&changes[i].unit);
                    if settled.is_none_or(|&seq| change.seq > seq) {
                        out.add(i, former, before, after);
                    }
                }
            });
        })
        .await?;
        Ok(out.images())
    }

    /// The keys of a change, one or two, with what the row under the key was and is.
    pub(super) fn for_each_key(
        &self,
        role: Role,
        change: &Change,
        mut look: impl FnMut(&Key, Option<&Row>, Option<&Row>),
    ) {
        let key = |row: &Option<Row>| Some(self.key_of(role, change.table, row.as_ref()?));
        let (was, is) = (key(&change.before), key(&change.after));
        if let Some(key) = &was {
            let after = change.after.as_ref().filter(|_| is == was);
            look(key, change.before.as_ref(), after);
        }
        if let Some(key) = is.filter(|key| Some(key) != was.as_ref()) {
            look(&key, None, change.after.as_ref());
        }
    }

    /// Looks at all that a side's feed holds behind what is read.
    pub(super) async fn for_each_unread(
        &self,
        role: Role,
        look: impl FnMut(&Change) + Send,
    ) -> Result<()> {
        let read = self.read[role.index()];
        self.for_each_behind(role, read, look).await.map(drop)
    }

    /// Likewise behind a place; answers up to where.
    async fn for_each_behind(
        &self,
        role: Role,
        mut after: u64,
        mut look: impl FnMut(&Change) + Send,
    ) -> Result<u64> {
        self.store(role).catch_up(after, Patience::Endless).await?;
        loop {
            let page = self
                .store(role)
                .read_feed(after, self.options.batch_rows)
                .await?;
            after = page.commit.end;
            page.commit.changes.iter().for_each(&mut look);
            if !page.more {
                return Ok(after);
            }
        }
    }

    /// The key of a row of a side's table.
    pub(super) fn key_of(&self, role: Role, table: usize, row: &Row) -> Key {
        match role {
            Role::Source => self.plan.mappings[table].source.key(row),
            Role::Target => {
                let unit = &self.plan.units[table];
                self.plan.mappings[unit.mapping].targets[unit.target].key(row)
            }
        }
    }

    /// A row of the source in the form of the unit's table.
    pub(super) fn in_target_form(&self, unit: usize, row: Row) -> Result<Image> {
        let unit = &self.plan.units[unit];
        let mapped = self.forward_each(unit.mapping, vec![row])?.pop();
        Ok(match mapped {
            Some(Ok(mut targets)) => {
                Image::Row(targets.get_mut(unit.target).and_then(Option::take))
            }
            _ => Image::Unknown,
        })
    }

    /// A row as it was before columns were added a moment ago.
    pub(super) fn before_additions(&self, unit: usize, mut row: Option<Row>) -> Option<Row> {
        let added = &self.plan.units[unit].added;
        for (cell, _) in row
            .iter_mut()
            .flatten()
            .zip(added)
            .filter(|(_, added)| **added)
        {
            *cell = Value::Null;
        }
        row
    }

    /// Of two rows that differ in nothing but columns that were added a moment ago: what they were before.
    fn but_for_additions(&self, unit: usize, source: &Row, target: &Row) -> Option<Row> {
        let added = &self.plan.units[unit].added;
        let cells = source.iter().zip(target).zip(added);
        let base = cells.map(|((source, target), added)| match added {
            true => Some(Value::Null),
            false => (source == target).then(|| target.clone()),
        });
        let alike = added.len() == target.len() && added.contains(&true);
        base.collect::<Option<Row>>().filter(|_| alike)
    }
}
