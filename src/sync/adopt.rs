//! Rows that only the target holds when a two-way migration begins: they go to the source.
//!
//! Before anything is copied or followed all target tables are read through, and rows that the source
//! lacks are written there. Nothing durable marks how far that is: it is repeated for the tables of
//! which nothing is copied when the engine starts again, and then finds those rows in the source.
//!
//! "The source lacks it" may also mean that an application deleted the row a moment ago, and "the
//! target holds it" may be a row of yesterday that an application changed since. Both feeds tell,
//! because capture began before anything is read:
//!
//! - The target's feed begins with the row's insert: the feed will carry it over, in its turn.
//! - Either feed has another change of the key: the row is an open conflict, whose base is the row
//!   that the source had when capture began, and the conflict path decides under both locks.
//! - Neither has: an ordinary guarded insert.
//!
//! Whether the target held any row before is kept with the copy's progress: a row that the source
//! deletes before its chunk is read would otherwise stay in the target (see `gone`). That is all
//! that is looked at in a one-way migration.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::data::batch::to_rows;
use crate::data::{Change, Key, Row};
use crate::database::{ApplyBatch, Base, Image, OpenState, Refusal, Role, SyncStore, UnitKey};
use crate::error::Result;
use crate::rule::ConflictKind;

use super::compose::UnitChange;
use super::copy::BURST;
use super::engine::Engine;

/// How far the target tables are read through.
#[derive(Clone, Debug, Default)]
pub(super) struct Adoption {
    /// Units that are done.
    done: BTreeSet<usize>,
    /// The unit that is under work, and the key to go on behind.
    at: Option<(usize, Key)>,
}

impl<S: SyncStore> Engine<S> {
    /// The next unit whose target table is to be read through: of tables of which nothing is copied
    /// yet, and that are not paused. Until there is none, nothing is copied and the source's feed is
    /// not read on: it is what tells a deleted row from one that never was.
    pub(super) fn to_adopt(&self) -> Option<usize> {
        (0..self.plan.units.len()).find(|&unit| {
            let table = self.plan.units[unit].mapping;
            !self.adoption.done.contains(&unit)
                && !self.paused.contains_key(&unit)
                && !self.copy.is_begun(table)
        })
    }

    /// Works for about as long as a burst of the copy.
    pub(super) async fn adopt(&mut self) -> Result<()> {
        let begun = Instant::now();
        while let Some(unit) = self.to_adopt() {
            let after = self.adoption.at.take().filter(|(u, _)| *u == unit);
            let chunk = self
                .store(Role::Target)
                .read_chunk(unit, after.map(|(_, key)| key), self.options.chunk_rows)
                .await?;
            let rows = to_rows(&chunk.rows.cells()?)?;
            let side = &self.plan.mapping(unit).targets[self.plan.units[unit].target];
            let last = rows.last().map(|row| side.key(row));
            if self.plan.two_way {
                self.adopt_rows(unit, rows).await?;
            } else if !rows.is_empty() {
                self.copied_before.insert(self.plan.units[unit].mapping);
            }
            match last.filter(|_| !chunk.last && self.plan.two_way) {
                Some(key) => self.adoption.at = Some((unit, key)),
                None => {
                    self.look_for_deleted(unit).await?;
                    self.adoption.done.insert(unit);
                }
            }
            if begun.elapsed() >= BURST {
                break;
            }
        }
        Ok(())
    }

    /// Rows that were there when capture began, and are not any more, are rows that were held as well.
    async fn look_for_deleted(&mut self, unit: usize) -> Result<()> {
        let table = self.plan.units[unit].mapping;
        if self.plan.two_way && !self.copied_before.contains(&table) {
            let began = self.all_first_images(Role::Target, unit).await?;
            if began.values().any(Option::is_some) {
                self.copied_before.insert(table);
            }
        }
        Ok(())
    }

    async fn adopt_rows(&mut self, unit: usize, rows: Vec<Row>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let table = self.plan.units[unit].mapping;
        let target = &self.plan.mapping(unit).targets[self.plan.units[unit].target];
        let keys: Vec<Key> = rows.iter().map(|row| target.key(row)).collect();
        let changes = rows
            .into_iter()
            .map(|row| Change {
                table: unit,
                before: None,
                after: Some(row),
                seq: 0,
                committed_us: None,
            })
            .collect();
        let mut found = self.map_backward(changes)?;
        found.retain(|c| !self.open_by_key.contains_key(&c.unit));
        let mut lacking = self.lacking(unit, found).await?;
        if lacking.is_empty() && self.copied_before.contains(&table) {
            return Ok(());
        }
        // Read after the rows: what made a row be missing is in there.
        let at_source = self.all_first_images(Role::Source, table).await?;
        let at_target = self.all_first_images(Role::Target, unit).await?;
        let inserted = |key: &Key| at_target.get(key) == Some(&None);
        if !keys.iter().all(inserted) {
            self.copied_before.insert(table);
        }
        let mut bases: HashMap<UnitKey, Base> = HashMap::new();
        lacking.retain(|c| !inserted(&c.unit.key));
        for change in &mut lacking {
            // Its first change may have been read already.
            let begun = self.begun(&change.unit).map(|b| b.image.clone());
            let was = at_source.get(&change.source_key);
            let touched = at_target.contains_key(&change.unit.key);
            let had = begun.is_some() || was.is_some();
            if !had && !touched {
                continue;
            }
            let base = match (begun, was) {
                (Some(image), _) => image,
                (None, Some(Some(row))) => self.in_target_form(unit, row.clone())?,
                (None, _) => Image::Row(None),
            };
            let base = match base {
                Image::Row(row) => Base::Row(row),
                Image::Unknown => Base::Unknown,
            };
            bases.insert(change.unit.clone(), base);
            change.refused.get_or_insert(Refusal {
                kind: if had {
                    ConflictKind::UpdateDeleted
                } else {
                    ConflictKind::UpdateMissing
                },
                state: OpenState::Open,
                reason: String::new(),
            });
        }
        self.validate(&mut lacking)?;
        let mut changes = self.backward_writes(lacking).await?;
        for change in &mut changes {
            if let Some(base) = bases.remove(&change.unit) {
                change.cause.base = base;
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let at = self.checkpoint[Role::Target.index()];
        let batch = ApplyBatch {
            epoch: self.epoch,
            from: at,
            log: Some(self.logs[Role::Target.index()]),
            to: at,
            changes,
            ..ApplyBatch::default()
        };
        self.apply(Role::Target, batch).await
    }

    /// Those that the source has nothing for.
    async fn lacking(&self, unit: usize, found: Vec<UnitChange>) -> Result<Vec<UnitChange>> {
        let table = self.plan.units[unit].mapping;
        if self.plan.mapping(unit).is_transformed() {
            let target = self.plan.units[unit].target;
            let current = self.current_sources(&found).await?;
            return Ok(found
                .into_iter()
                .filter(|c| {
                    current
                        .get(&(table, c.source_key.clone()))
                        .is_none_or(|now| match &now.mapped {
                            Ok(targets) => targets.get(target).is_none_or(Option::is_none),
                            // The copy says what is wrong with the source's row.
                            Err(_) => false,
                        })
                })
                .collect());
        }
        let keys = found.iter().map(|c| c.source_key.clone()).collect();
        let rows = self.store(Role::Source).read_rows(table, keys).await?;
        Ok(found
            .into_iter()
            .zip(rows)
            .filter(|(_, row)| row.is_none())
            .map(|(change, _)| change)
            .collect())
    }
}
