//! Columns that were added a moment ago, in conflicts.

use crate::data::{Row, Value};
use crate::database::SyncStore;
use crate::sync::engine::Engine;

use super::Work;

impl<S: SyncStore> Engine<S> {
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
        let before = |row: &Row| self.before_additions(unit, Some(row.clone()));
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
}
