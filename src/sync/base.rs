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

use std::collections::BTreeMap;

use crate::data::{Row, Value};
use crate::database::{Base, Image, OpenState, Refusal, Role, SyncStore, UnitKey};
use crate::error::Result;
use crate::rule::ConflictKind;

use super::compose::UnitChange;
use super::engine::Engine;

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
        let differs =
            |(c, found): &(&UnitChange, &Option<Row>)| c.after.is_some() && **found != c.after;
        let differing = || std::iter::zip(&changes, &found).filter(differs);
        // After the rows: what changes in between is in there.
        if self.plan.two_way && differing().next().is_some() {
            self.look_ahead(Role::Target).await?;
        }
        let has_had = |(c, found): (&UnitChange, &Option<Row>)| {
            let UnitKey { unit, key } = &c.unit;
            let was = || self.first_image(Role::Target, (*unit, key), &c.unit);
            found.is_some() || matches!(was(), Some(Some(_)))
        };
        if differing().any(has_had) {
            self.look_ahead(Role::Source).await?;
        }
        let mut out = Vec::with_capacity(changes.len());
        for (mut change, found) in std::iter::zip(changes, found) {
            let begun = self.begun(&change.unit);
            change.committed_us = begun.and_then(|b| b.committed_us);
            let base = if change.after.is_none() {
                Some(Base::Unknown)
            } else if found == change.after {
                // Should it change before it is written over, there is a conflict with this base.
                change.before = found;
                Some(Base::Expected)
            } else {
                let source = match begun {
                    Some(begun) => begun.image.clone(),
                    None => self.at_source(table, &change)?,
                };
                let UnitKey { unit, key } = &change.unit;
                let target = self.first_image(Role::Target, (*unit, key), &change.unit);
                if found.is_none() {
                    self.over_nothing(&mut change, source, target)
                } else {
                    self.over_row(&mut change, found, source, target)
                }
            };
            ended.extend(self.end_begun(&change.unit));
            out.extend(base.map(|base| (change, base)));
        }
        Ok(out)
    }

    /// What the row was at the source, as its feed has it.
    fn at_source(&self, table: usize, change: &UnitChange) -> Result<Image> {
        let place = (table, &change.source_key);
        match self.first_image(Role::Source, place, &change.unit) {
            Some(Some(row)) => self.in_target_form(change.unit.unit, row),
            Some(None) => Ok(Image::Row(None)),
            None if self.is_cut_off(Role::Source) => Ok(Image::Unknown),
            None => Ok(Image::Row(change.after.clone())),
        }
    }

    /// The base of a row that the target does not have; `None`: it is not to be written.
    fn over_nothing(
        &self,
        change: &mut UnitChange,
        source: Image,
        target: Option<Option<Row>>,
    ) -> Option<Base> {
        let refusal = || Refusal {
            kind: ConflictKind::UpdateDeleted,
            state: OpenState::Open,
            reason: String::new(),
        };
        let table = self.plan.units[change.unit.unit].mapping;
        match target {
            // The target has deleted it.
            Some(Some(row)) => {
                if change.after.as_ref() == Some(&row) {
                    return None;
                }
                let known = source == Image::Row(Some(row.clone()));
                change.refused.get_or_insert_with(refusal);
                Some(if known {
                    Base::Row(Some(row))
                } else {
                    Base::Unknown
                })
            }
            // It may have.
            None if self.is_cut_off(Role::Target) => {
                if self.copy.was_passed(table, &change.source_key) {
                    change.refused.get_or_insert_with(refusal);
                }
                Some(Base::Unknown)
            }
            _ => Some(Base::Row(None)),
        }
    }

    /// The base of a row that the target has; `None`: it is not to be written.
    fn over_row(
        &self,
        change: &mut UnitChange,
        found: Option<Row>,
        source: Image,
        target: Option<Option<Row>>,
    ) -> Option<Base> {
        let target = match target {
            None if self.is_cut_off(Role::Target) => None,
            None => Some(found.clone()),
            target => target,
        };
        // Changed by the source alone.
        if target == Some(found.clone()) && source == Image::Row(found.clone()) {
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
        change.refused.get_or_insert_with(|| Refusal {
            kind: ConflictKind::UpdateOriginDiffers,
            state: OpenState::Open,
            reason: String::new(),
        });
        Some(known.map_or(Base::Unknown, Base::Row))
    }

    /// The rows of the target as they are.
    async fn target_rows(&self, changes: &[UnitChange]) -> Result<Vec<Option<Row>>> {
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, change) in changes.iter().enumerate() {
            if change.after.is_some() {
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
