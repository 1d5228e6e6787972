//! What both sides had in common, of rows that are copied over others.
//!
//! Nobody has written it down. But the feeds tell what each side's row was before its first change that
//! is not carried over: changes that the copy covers ([`Begun`], which is as durable as the checkpoint
//! that moved past them), then those that are still to be read; where there is none, it is the row as it
//! is. If both are the same row, that is the base: a row that one side alone has changed meanwhile is no
//! conflict, and keeps what was changed. If they are not, nobody knows it.
//!
//! All of that is looked at before the chunk is written: a conflict that it opens is as good after a
//! crash as before one.
//!
//! Triggers that do not know a new column yet write nothing of it down. Rows that differ there alone were
//! alike before the column was added, and NULL in it.

use std::collections::{BTreeMap, HashMap};

use crate::data::{Change, Key, Row, Value};
use crate::database::{Base, Image, Patience, Role, SyncStore};
use crate::error::Result;

use super::compose::UnitChange;
use super::engine::Engine;

/// A row of the source, before the changes that the copy covers.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) image: Image,
    /// When the last of them was committed, as far as known.
    pub(super) committed_us: Option<i64>,
}

/// What a row's first change that is still to be read began with; no entry: there is no such change.
type FirstImages = HashMap<usize, Option<Row>>;

impl<S: SyncStore> Engine<S> {
    /// What is to be written of a chunk that is copied over rows, each with its base. What the target alone
    /// has changed is not: its change, still to be read, begins with the very row.
    pub(super) async fn over_rows(
        &self,
        table: usize,
        changes: Vec<UnitChange>,
    ) -> Result<Vec<(UnitChange, Base)>> {
        let found = self.target_rows(&changes).await?;
        let differing: Vec<usize> = std::iter::zip(&changes, &found)
            .enumerate()
            .filter(|(_, (c, found))| found.is_some() && **found != c.after)
            .map(|(i, _)| i)
            .collect();
        let mut first = <[FirstImages; 2]>::default();
        if !differing.is_empty() {
            // After the rows: what changes in between is in there.
            for role in Role::BOTH {
                if role == Role::Source || self.plan.two_way {
                    first[role.index()] =
                        self.first_images(role, table, &changes, &differing).await?;
                }
            }
        }
        let mut out = Vec::with_capacity(changes.len());
        for (i, (mut change, found)) in std::iter::zip(changes, found).enumerate() {
            let begun = self.began.get(&change.unit);
            change.committed_us = begun.and_then(|b| b.committed_us);
            let (Some(found), Some(after), None) = (found, &change.after, &change.refused) else {
                out.push((change, Base::Unknown));
                continue;
            };
            if found == *after {
                // Should it change before it is written over.
                let base = Base::Row(Some(found));
                out.push((change, base));
                continue;
            }
            let unit = change.unit.unit;
            let source = match (begun, first[0].get(&i)) {
                (Some(begun), _) => begun.image.clone(),
                (None, Some(Some(row))) => self.in_target_form(unit, row.clone())?,
                (None, Some(None)) => Image::Row(None),
                (None, None) => Image::Row(Some(after.clone())),
            };
            let target = match first[1].get(&i) {
                Some(row) => row.clone(),
                None => Some(found.clone()),
            };
            if matches!(&source, Image::Row(Some(row)) if *row == found) {
                change.before = Some(found);
                out.push((change, Base::Expected));
                continue;
            }
            if target.as_ref() == Some(after) {
                continue;
            }
            let before = |row: Option<Row>| self.before_additions(unit, row);
            let base = match source {
                Image::Row(source) => {
                    let (source, target) = (before(source), before(target));
                    (source == target).then_some(target)
                }
                Image::Unknown => None,
            };
            let base = base.or_else(|| self.but_for_additions(unit, after, &found).map(Some));
            out.push((change, base.map_or(Base::Unknown, Base::Row)));
        }
        Ok(out)
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

    /// Of some of the changes, as their side's feed has it.
    async fn first_images(
        &self,
        role: Role,
        table: usize,
        changes: &[UnitChange],
        which: &[usize],
    ) -> Result<FirstImages> {
        let mut wanted: HashMap<(usize, &Key), Vec<usize>> = HashMap::new();
        for &i in which {
            let UnitChange {
                unit, source_key, ..
            } = &changes[i];
            let place = match role {
                Role::Source => (table, source_key),
                Role::Target => (unit.unit, &unit.key),
            };
            wanted.entry(place).or_default().push(i);
        }
        let mut out = FirstImages::new();
        let settled = &self.settled[role.index()];
        self.for_each_unread(role, |change| {
            self.for_each_key(role, change, |key, before, _| {
                // Both sides have been made alike since, by a chunk that held the row.
                if self.is_former(role, change, key) {
                    return;
                }
                for &i in wanted.get(&(change.table, key)).into_iter().flatten() {
                    let settled = settled.get(&changes[i].unit);
                    if settled.is_none_or(|&seq| change.seq > seq) {
                        out.entry(i).or_insert_with(|| before.cloned());
                    }
                }
            });
        })
        .await?;
        Ok(out)
    }

    /// Whether a former copy covered the change of the row with this key.
    pub(super) fn is_former(&self, role: Role, change: &Change, key: &Key) -> bool {
        role == Role::Source
            && self
                .copy
                .former_chunk(change.table, key, change.seq)
                .is_some()
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
        mut look: impl FnMut(&Change) + Send,
    ) -> Result<()> {
        let mut after = self.read[role.index()];
        self.store(role).catch_up(after, Patience::Endless).await?;
        loop {
            let page = self
                .store(role)
                .read_feed(after, self.options.batch_rows)
                .await?;
            after = page.commit.end;
            page.commit.changes.iter().for_each(&mut look);
            if !page.more {
                return Ok(());
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

/// What is to be kept of a change that the copy covers; `known`: what is kept of its row so far.
pub(super) fn begun_with(change: &UnitChange, known: Option<&Begun>) -> Begun {
    Begun {
        image: match (known, &change.refused) {
            (Some(known), _) => known.image.clone(),
            (None, None) => Image::Row(change.before.clone()),
            (None, Some(_)) => Image::Unknown,
        },
        committed_us: change.committed_us,
    }
}
