//! The target's changes on their way to the source.

use std::collections::HashMap;

use crate::data::{Change, Key, Row, Value};
use crate::database::{Base, Cause, OpenState, Refusal, Role, RowChange, SyncStore, UnitKey};
use crate::error::Result;
use crate::rule::ConflictKind;
use crate::rule::mapping::PartialRow;

use super::compose::UnitChange;
use super::engine::Engine;
use super::map::{Mapped, failed, halt};

impl<S: SyncStore> Engine<S> {
    pub(super) fn map_backward(&self, changes: Vec<Change>) -> Result<Vec<UnitChange>> {
        let mut out = Vec::with_capacity(changes.len());
        for change in changes {
            let unit = change.table;
            let mapping = self.plan.mapping(unit);
            let target = self.plan.units[unit].target;
            let Some(row) = change.before.as_ref().or(change.after.as_ref()) else {
                continue;
            };
            let key = mapping.targets[target].key(row);
            let mut refused = None;
            let (source_key, partial) = if mapping.is_transformed() {
                let mut back = |row: &Option<Row>| -> Result<Option<PartialRow>> {
                    let Some(row) = row else { return Ok(None) };
                    match mapping.backward(target, vec![row.clone()]) {
                        Ok(mut rows) => Ok(rows.pop().flatten()),
                        Err(error) => {
                            self.halt_if_asked(unit, &error)?;
                            refused = Some(failed(error.to_string()));
                            Ok(None)
                        }
                    }
                };
                let (b, a) = (back(&change.before)?, back(&change.after)?);
                let source_key = a
                    .as_ref()
                    .or(b.as_ref())
                    .and_then(|p| partial_key(p, &mapping.source.table.key));
                if source_key.is_none() && refused.is_none() && (b.is_some() || a.is_some()) {
                    refused = Some(failed(
                        "the transform gave no value for the source's key on the way back"
                            .to_owned(),
                    ));
                }
                if source_key.is_none() && refused.is_none() {
                    // The rule drops this row on the way back.
                    continue;
                }
                (source_key.unwrap_or_else(|| key.clone()), Some((b, a)))
            } else {
                let back = mapping
                    .backward(0, vec![row.clone()])
                    .map_err(|e| halt(&e))?;
                let source_key = back
                    .first()
                    .and_then(Option::as_ref)
                    .and_then(|p| partial_key(p, &mapping.source.table.key));
                (source_key.unwrap_or_else(|| key.clone()), None)
            };
            if let Some(reason) = mapping.targets[target].keyless(row) {
                if change.after.is_none()
                    && !self.open_by_key.contains_key(&UnitKey {
                        unit,
                        key: key.clone(),
                    })
                {
                    // It is nowhere on the other side: its end is nothing there.
                    continue;
                }
                refused = Some(failed(reason));
            }
            out.push(UnitChange {
                unit: UnitKey { unit, key },
                source_key,
                before: change.before,
                after: change.after,
                partial,
                seq: change.seq,
                committed_us: change.committed_us,
                refused,
            });
        }
        Ok(out)
    }

    pub(super) async fn backward_writes(&self, changes: Vec<UnitChange>) -> Result<Vec<RowChange>> {
        let mut rows = self.current_sources(&changes).await?;
        let mut out = Vec::with_capacity(changes.len());
        for change in changes {
            let unit = change.unit.unit;
            let mapping = self.plan.mapping(unit);
            let table = self.plan.units[unit].mapping;
            if !mapping.is_transformed() {
                let back = |row: &Option<Row>| -> Result<Option<Row>> {
                    let Some(row) = row else { return Ok(None) };
                    let mut rows = mapping
                        .backward(0, vec![row.clone()])
                        .map_err(|e| halt(&e))?;
                    Ok(rows.pop().flatten().map(|p| p.cells))
                };
                let expect = back(&change.before)?;
                let after = back(&change.after)?;
                let refused = match change.refused {
                    None => self
                        .unreturnable(unit, change.after.as_ref(), after.as_ref())?
                        .map(failed),
                    refused => refused,
                };
                let base = if expect == change.before {
                    Base::Expected
                } else {
                    Base::Row(change.before)
                };
                out.push(RowChange {
                    table,
                    unit: change.unit,
                    key: change.source_key.clone(),
                    expect,
                    after,
                    cause: Cause {
                        base,
                        source_key: change.source_key,
                        committed_us: change.committed_us,
                        refused,
                    },
                });
                continue;
            }
            let current = rows
                .remove(&(table, change.source_key.clone()))
                .unwrap_or(Current {
                    row: None,
                    mapped: Ok(Vec::new()),
                });
            out.push(self.reshaped_write(table, change, current)?);
        }
        Ok(out)
    }

    /// A write through a rule: the source's row as it is now is expected, and only the cells that
    /// the change determines differ.
    fn reshaped_write(
        &self,
        table: usize,
        change: UnitChange,
        current: Current,
    ) -> Result<RowChange> {
        let unit = change.unit.unit;
        let target = self.plan.units[unit].target;
        self.tell_parts(table, &change.source_key, current.row.as_ref())?;
        let (mapped, mut refused) = match current.mapped {
            Ok(mut mapped) if target < mapped.len() => (mapped.swap_remove(target), None),
            Ok(_) => (None, None),
            Err(unmapped) => (None, Some(failed(unmapped.reason))),
        };
        refused = change.refused.or(refused);
        if refused.is_none() && change.before.is_none() && change.after.is_some() {
            refused = self
                .foreign(unit, current.row.as_ref(), mapped.as_ref())?
                .map(|reason| Refusal {
                    kind: ConflictKind::InsertExists,
                    state: OpenState::Parked,
                    reason,
                });
        }
        if refused.is_none() && change.after.is_some() && current.row.is_none() && target > 0 {
            // Its main row may be on its way: the conflict path waits for it.
            refused = Some(Refusal {
                kind: ConflictKind::FkParentMissing,
                state: OpenState::Open,
                reason: String::new(),
            });
        }
        let mut after = current.row.clone();
        if mapped == change.before && refused.is_none() {
            let (before, now) = change.partial.unwrap_or_default();
            after = self.overlay(
                unit,
                current.row.as_ref(),
                before.as_ref(),
                change.after.is_some().then_some(now).flatten().as_ref(),
            );
            refused = self
                .unreturnable(unit, change.after.as_ref(), after.as_ref())?
                .map(failed);
        } else if mapped != change.after && refused.is_none() {
            let kind = match (&change.before, &change.after, &mapped) {
                (None, ..) => ConflictKind::InsertExists,
                (_, None, _) => ConflictKind::DeleteOriginDiffers,
                (_, _, None) => ConflictKind::UpdateDeleted,
                _ => ConflictKind::UpdateOriginDiffers,
            };
            refused = Some(Refusal {
                kind,
                state: OpenState::Open,
                reason: String::new(),
            });
        }
        self.tell_parts(table, &change.source_key, after.as_ref())?;
        Ok(RowChange {
            table,
            unit: change.unit,
            key: change.source_key.clone(),
            expect: current.row,
            after,
            cause: Cause {
                base: Base::Row(change.before),
                source_key: change.source_key,
                committed_us: change.committed_us,
                refused,
            },
        })
    }

    /// The source row after a unit's row went from `before` to `now`: only cells that this changes
    /// are touched, so what a transform cannot carry back stays.
    pub(super) fn overlay(
        &self,
        unit: usize,
        row: Option<&Row>,
        before: Option<&PartialRow>,
        now: Option<&PartialRow>,
    ) -> Option<Row> {
        let mapping = self.plan.mapping(unit);
        let source = &mapping.source.table;
        let Some(now) = now else {
            // Deleted. The first target's row stands for the source's; another one's only for its
            // own cells.
            if self.plan.units[unit].target == 0 {
                return None;
            }
            let mut row = row?.clone();
            for &c in before.map(|b| b.columns.as_slice()).unwrap_or_default() {
                if !source.key.contains(&c) && source.columns[c].nullable {
                    row[c] = Value::Null;
                }
            }
            return Some(row);
        };
        let mut out = row
            .cloned()
            .unwrap_or_else(|| vec![Value::Null; source.columns.len()]);
        for (&c, value) in now.columns.iter().zip(&now.cells) {
            let was = before.and_then(|b| {
                let i = b.columns.iter().position(|&x| x == c)?;
                b.cells.get(i)
            });
            if row.is_none() || was != Some(value) {
                out[c] = value.clone();
            }
        }
        Some(out)
    }

    pub(super) async fn current_sources(
        &self,
        changes: &[UnitChange],
    ) -> Result<HashMap<(usize, Key), Current>> {
        let mut wanted: HashMap<usize, Vec<Key>> = HashMap::new();
        for change in changes {
            if self.plan.mapping(change.unit.unit).is_transformed() {
                wanted
                    .entry(self.plan.units[change.unit.unit].mapping)
                    .or_default()
                    .push(change.source_key.clone());
            }
        }
        let mut out = HashMap::new();
        for (table, keys) in wanted {
            let rows = self
                .store(Role::Source)
                .read_rows(table, keys.clone())
                .await?;
            let present: Vec<Row> = rows.iter().flatten().cloned().collect();
            let mut mapped = self.forward_each(table, present)?.into_iter();
            for (key, row) in keys.into_iter().zip(rows) {
                let mapped = match &row {
                    Some(_) => mapped.next().unwrap_or(Ok(Vec::new())),
                    None => Ok(Vec::new()),
                };
                out.insert((table, key), Current { row, mapped });
            }
        }
        Ok(out)
    }
}

/// A source row as it is now, and what it is in each target table.
#[derive(Clone)]
pub(super) struct Current {
    row: Option<Row>,
    pub(super) mapped: Mapped,
}

pub(super) fn partial_key(partial: &PartialRow, key: &[usize]) -> Option<Key> {
    key.iter()
        .map(|k| {
            let i = partial.columns.iter().position(|c| c == k)?;
            partial.cells.get(i).cloned()
        })
        .collect::<Option<Vec<_>>>()
        .map(Key)
}
