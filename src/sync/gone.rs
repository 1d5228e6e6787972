//! Rows that are gone from the source while a table is copied once more.
//!
//! Changes of keys that are not copied yet are dropped: the chunk will hold the row. It cannot hold a
//! row that is gone, and when a table is copied once more, the target has that row from before.

use std::collections::BTreeMap;

use crate::data::Row;
use crate::database::{Role, SyncStore, UnitKey};
use crate::error::Result;

use super::compose::UnitChange;
use super::engine::Engine;

impl<S: SyncStore> Engine<S> {
    /// Of changes that the copy covers: the deletes of rows that the source does not have now.
    /// Likewise which rows are there again.
    pub(super) async fn gone(
        &self,
        covered: Vec<UnitChange>,
    ) -> Result<(Vec<UnitChange>, Vec<UnitKey>)> {
        let mut by_table: BTreeMap<usize, Vec<UnitChange>> = BTreeMap::new();
        for change in covered {
            if change.after.is_none() && change.refused.is_none() {
                let table = self.plan.units[change.unit.unit].mapping;
                by_table.entry(table).or_default().push(change);
            }
        }
        let mut out = Vec::new();
        let mut there_again = Vec::new();
        for (table, changes) in by_table {
            // One that is there again comes with a later change, or with its chunk.
            let keys = changes.iter().map(|c| c.source_key.clone()).collect();
            let rows = self.store(Role::Source).read_rows(table, keys).await?;
            let there: Vec<Row> = rows.iter().flatten().cloned().collect();
            let mut there = self.forward_each(table, there)?.into_iter();
            for (change, row) in changes.into_iter().zip(rows) {
                let UnitKey { unit, key } = &change.unit;
                let target = self.plan.units[*unit].target;
                let side = &self.plan.mapping(*unit).targets[target];
                let is_there = match row.and_then(|_| there.next()) {
                    None => false,
                    Some(Ok(targets)) => {
                        let row = targets.get(target).and_then(Option::as_ref);
                        row.is_some_and(|row| side.key(row) == *key)
                    }
                    // The copy says what is wrong with it.
                    Some(Err(_)) => true,
                };
                if is_there {
                    there_again.push(change.unit);
                } else {
                    out.push(change);
                }
            }
        }
        Ok((out, there_again))
    }
}
