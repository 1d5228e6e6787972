//! What both sides started from, where a conflict does not know it.
//!
//! A row that is copied over another one has no base: what it was when both sides were last alike, nobody
//! has written down. But the feeds may tell what each side's row was before its first change that is not
//! carried over: changes that were taken into the open conflict ([`Taken`]), then those that are still to
//! be read ([`Began`]); where there is none, it is the row as it is. If both are the same row, that is the
//! base. So a row that one side alone has changed meanwhile is no conflict, and keeps what was changed.
//!
//! Triggers that do not know a new column yet write nothing of it down. Rows that differ there alone were
//! alike before the column was added, and NULL in it.

use std::collections::HashMap;

use crate::data::{Row, Value};
use crate::database::{Role, SyncStore, UnitKey};
use crate::error::Result;
use crate::sync::engine::Engine;

use super::{Id, Work};

/// The row before a change.
#[derive(Clone, Debug)]
pub(in crate::sync) enum Image {
    /// In the form of the source's table, or of the target's.
    Of(Role, Option<Row>),
    /// It is not known any more.
    Unknown,
}

/// The rows before the first changes, of open conflicts, by side.
pub(super) type Began = HashMap<(Id, Role), Image>;
/// Of those that were read already.
pub(in crate::sync) type Taken = HashMap<(Id, Role), Image>;

impl<S: SyncStore> Engine<S> {
    /// A change of a side is taken into an open conflict.
    pub(in crate::sync) fn note_taken(&mut self, from: Role, unit: &UnitKey, before: Image) {
        if let Some(id) = self.open_by_key.get(unit)
            && self.open.get(id).is_some_and(|c| !c.base_known)
        {
            self.taken.entry((*id, from)).or_insert(before);
        }
    }

    /// Finds the bases of conflicts that have none.
    pub(super) fn find_bases(&self, work: &mut [Work], began: &Began) -> Result<()> {
        for w in work {
            if w.conflict.base_known || w.conflict.interrupted {
                continue;
            }
            let first = |side: Role| {
                let key = (w.id, side);
                self.taken.get(&key).or_else(|| began.get(&key))
            };
            let source = match first(Role::Source) {
                Some(image) => self.in_target(w.conflict.unit.unit, image)?,
                None => Some(w.mapped.clone()),
            };
            let target = match first(Role::Target) {
                Some(image) => self.in_target(w.conflict.unit.unit, image)?,
                None => Some(w.seen[1].clone()),
            };
            let unit = w.conflict.unit.unit;
            let mut base = match (source, target) {
                (Some(source), Some(target)) => {
                    let (source, target) =
                        (self.before_it(unit, source), self.before_it(unit, target));
                    (source == target).then_some(target)
                }
                _ => None,
            };
            if base.is_none()
                && let (Some(source), Some(target)) = (&w.mapped, &w.seen[1])
            {
                base = self
                    .before_additions(w.conflict.unit.unit, source, target)
                    .map(Some);
            }
            if let Some(base) = base {
                w.conflict.base_known = true;
                w.conflict.base = base;
            }
        }
        Ok(())
    }

    /// A row as it was before columns were added a moment ago.
    fn before_it(&self, unit: usize, mut row: Option<Row>) -> Option<Row> {
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

    /// Where columns were added a moment ago, one side alone has filled them, and one side alone has changed
    /// anything else: both of that.
    pub(super) fn with_additions(&self, w: &Work) -> Option<Row> {
        let unit = w.conflict.unit.unit;
        let added = &self.plan.units[unit].added;
        let (Some(source), Some(target), Some(base)) = (&w.mapped, &w.seen[1], &w.conflict.base)
        else {
            return None;
        };
        if !added.contains(&true) || !w.conflict.base_known || w.conflict.interrupted {
            return None;
        }
        let before = |row: &Row| self.before_it(unit, Some(row.clone()));
        // With something there before, it is a column like any other.
        let base = before(base).filter(|before| before == base);
        let base = Some(base?);
        let mut result = if before(source) == base {
            target.clone()
        } else if before(target) == base {
            source.clone()
        } else {
            return None;
        };
        for (i, _) in added.iter().enumerate().filter(|(_, added)| **added) {
            result[i] = match (&source[i], &target[i]) {
                (Value::Null, cell) | (cell, Value::Null) => cell.clone(),
                (source, target) if source == target => source.clone(),
                _ => return None,
            };
        }
        Some(result)
    }

    /// Of two rows that differ in nothing but columns that were added a moment ago: what they were before.
    fn before_additions(&self, unit: usize, source: &Row, target: &Row) -> Option<Row> {
        let added = &self.plan.units[unit].added;
        let cells = source.iter().zip(target).zip(added);
        let base = cells.map(|((source, target), added)| match added {
            true => Some(Value::Null),
            false => (source == target).then(|| target.clone()),
        });
        let alike = added.len() == target.len() && added.contains(&true);
        base.collect::<Option<Row>>().filter(|_| alike)
    }

    /// The row in the form of the target's table; `None`: that cannot be told.
    fn in_target(&self, unit: usize, image: &Image) -> Result<Option<Option<Row>>> {
        let unit = &self.plan.units[unit];
        Ok(match image {
            Image::Unknown => None,
            Image::Of(_, None) => Some(None),
            Image::Of(Role::Target, Some(row)) => Some(Some(row.clone())),
            Image::Of(Role::Source, Some(row)) => {
                let mapped = self.forward_each(unit.mapping, vec![row.clone()])?.pop();
                let targets = mapped.and_then(std::result::Result::ok);
                targets.and_then(|mut t| t.get_mut(unit.target).map(Option::take))
            }
        })
    }
}
