//! From changes of one feed to guarded writes on the other side.

use std::collections::HashMap;

use crate::data::{Change, FastMap, Key, Row, Value};
use crate::database::{
    Base, Began, Cause, OpenState, Refusal, Role, RowChange, SyncStore, UnitKey,
};
use crate::error::Result;
use crate::rule::mapping::{PartialRow, Unmapped};
use crate::rule::{ConflictKind, Severity};

use super::began::Covered;
use super::engine::Engine;
use super::map::{Mapped, failed};
use super::merge::Run;

pub(super) use super::map::halt;

/// What a batch is made of.
#[derive(Debug, Default)]
pub(super) struct Composed {
    pub(super) changes: Vec<RowChange>,
    pub(super) touched: Vec<(UnitKey, Option<i64>)>,
    /// Keys whose changes end where they began, with the last one's time.
    pub(super) unchanged: Vec<(UnitKey, Option<i64>)>,
    /// Of what the copy covers.
    pub(super) began: Vec<Began>,
    /// What is not covered any more.
    pub(super) ended: Vec<(usize, UnitKey)>,
}

/// A change of a unit's row, in the target table's form.
#[derive(Debug)]
pub(super) struct UnitChange {
    pub(super) unit: UnitKey,
    pub(super) source_key: Key,
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
    /// Backward through a rule: what the rows determine of the source's.
    pub(super) partial: Option<(Option<PartialRow>, Option<PartialRow>)>,
    pub(super) seq: u64,
    pub(super) committed_us: Option<i64>,
    pub(super) refused: Option<Refusal>,
}

impl<S: SyncStore> Engine<S> {
    /// Maps, drops what is settled or absorbed, coalesces by key, validates.
    pub(super) async fn compose(&mut self, from: Role, changes: Vec<Change>) -> Result<Composed> {
        if from == Role::Target && !self.plan.two_way {
            return Ok(Composed::default());
        }
        let mapped = match from {
            Role::Source => self.map_forward(changes)?,
            Role::Target => self.map_backward(changes)?,
        };
        let mut out = Composed::default();
        let mut merged: Vec<Run> = Vec::with_capacity(mapped.len());
        let mut index: FastMap<UnitKey, usize> = FastMap::default();
        index.reserve(mapped.len());
        let mut covered = Covered::default();
        for mut change in mapped {
            if from == Role::Source
                && self.copy.covers(
                    self.plan.units[change.unit.unit].mapping,
                    &change.source_key,
                    change.seq,
                )
            {
                let table = self.plan.units[change.unit.unit].mapping;
                if self.copied_before.contains(&table) && !self.is_settled(from, &change) {
                    if self.is_taken_in(from, &change.unit, change.committed_us) {
                        out.touched.push((change.unit, change.committed_us));
                        continue;
                    }
                    let key = &change.source_key;
                    let former = self.copy.former_chunk(table, key, change.seq);
                    // Where that was none over rows, the target has not even got a row that is gone.
                    if former.is_none_or(|mark| mark.over_rows) {
                        let former = former.is_some();
                        covered.add(change, former);
                    }
                }
                continue;
            }
            if self.is_settled(from, &change) {
                continue;
            }
            if from == Role::Target && change.refused.is_none() {
                let table = self.plan.units[change.unit.unit].mapping;
                if self.copy.is_early(table, &change.source_key, change.seq) {
                    change.refused = Some(Refusal {
                        kind: ConflictKind::UpdateOriginDiffers,
                        state: OpenState::Open,
                        reason: String::new(),
                    });
                }
            }
            if self.is_taken_in(from, &change.unit, change.committed_us) {
                out.touched.push((change.unit, change.committed_us));
                continue;
            }
            match index.get(&change.unit) {
                Some(&i) => merged[i].add(change),
                None => {
                    index.insert(change.unit.clone(), merged.len());
                    merged.push(Run::new(change));
                }
            }
        }
        let mut merged: Vec<UnitChange> = merged.into_iter().map(Run::whole).collect();
        let gone = self.take_covered(covered, &index, &mut out).await?;
        if from == Role::Source && !self.began.is_empty() {
            for change in &mut merged {
                self.begin_with_kept(change, &mut out);
            }
        }
        merged.extend(gone);
        // What ends where it began is nothing. Of a paused table it is not known: it may have
        // changed in columns that nobody looks at yet.
        merged.retain(|c| {
            let counts = c.before != c.after
                || c.refused.is_some()
                || self.paused.contains_key(&c.unit.unit);
            if !counts {
                out.unchanged.push((c.unit.clone(), c.committed_us));
            }
            counts
        });
        for change in &mut merged {
            if let Some(reason) = self.paused.get(&change.unit.unit) {
                change.refused = Some(Refusal {
                    kind: ConflictKind::ValueNotRepresentable,
                    state: OpenState::Waiting,
                    reason: format!("the table is paused: {reason}"),
                });
            }
        }
        self.validate(&mut merged)?;
        out.changes = match from {
            Role::Source => merged.into_iter().map(forward_write).collect(),
            Role::Target => self.backward_writes(merged).await?,
        };
        Ok(out)
    }

    /// Whether both sides have been made alike since.
    fn is_settled(&self, from: Role, change: &UnitChange) -> bool {
        let settled = self.settled[from.index()].get(&change.unit);
        settled.is_some_and(|&seq| change.seq <= seq)
    }

    /// Whether a change of the key is part of an open conflict, which then knows its time.
    pub(super) fn is_taken_in(
        &mut self,
        from: Role,
        unit: &UnitKey,
        committed_us: Option<i64>,
    ) -> bool {
        let Some(id) = self.open_by_key.get(unit) else {
            return false;
        };
        if let Some(open) = self.open.get_mut(id) {
            open.committed_us[from.index()] = committed_us;
            // Another row may be representable.
            if open.state == OpenState::Parked
                && open.kind == ConflictKind::ValueNotRepresentable
                && open.request.is_none()
            {
                open.state = OpenState::Open;
            }
        }
        true
    }

    fn map_forward(&self, changes: Vec<Change>) -> Result<Vec<UnitChange>> {
        // All images of one table go through its mapping in one call.
        let mut images: Vec<Vec<Row>> = vec![Vec::new(); self.plan.mappings.len()];
        let mut keys: Vec<Vec<Key>> = vec![Vec::new(); self.plan.mappings.len()];
        let mut shape = Vec::with_capacity(changes.len());
        for change in changes {
            let m = change.table;
            let mut add = |row: Option<Row>| {
                row.map(|row| {
                    keys[m].push(self.plan.mappings[m].source.key(&row));
                    images[m].push(row);
                    images[m].len() - 1
                })
            };
            let before = add(change.before);
            let after = add(change.after);
            shape.push((m, before, after, change.seq, change.committed_us));
        }
        let mut mapped = Vec::with_capacity(images.len());
        for (m, rows) in images.into_iter().enumerate() {
            mapped.push(self.forward_each(m, rows)?);
        }
        let mut out = Vec::with_capacity(shape.len());
        for (m, before, after, seq, committed_us) in shape {
            for unit in self.plan.units_of(m) {
                let target = self.plan.units[unit].target;
                let mut refused = None;
                let mut take = |i: Option<usize>| -> Option<Row> {
                    match mapped[m].get_mut(i?)? {
                        Ok(targets) => targets.get_mut(target)?.take(),
                        Err(error) => {
                            refused = Some(error.clone());
                            None
                        }
                    }
                };
                let (b, a) = (take(before), take(after));
                let side = &self.plan.mappings[m].targets[target];
                let source_key = |i: Option<usize>| i.map(|i| keys[m][i].clone());
                let mut push = |b: Option<Row>,
                                a: Option<Row>,
                                source_key: Key,
                                unmapped: Option<Unmapped>| {
                    let known = unmapped.as_ref().and_then(|u| u.key.clone());
                    let key = b.as_ref().or(a.as_ref()).map_or_else(
                        // The transform failed: most keep the key, so its conflict waits there.
                        || known.unwrap_or_else(|| source_key.clone()),
                        |row| side.key(row),
                    );
                    // A row without a key is nowhere on the other side: its end is nothing there.
                    let ended = after.is_none() && source_key.0.contains(&Value::Null);
                    let refused = unmapped.filter(|_| !ended).map(|u| failed(u.reason));
                    out.push(UnitChange {
                        unit: UnitKey { unit, key },
                        source_key,
                        before: b,
                        after: a,
                        partial: None,
                        seq,
                        committed_us,
                        refused,
                    });
                };
                let Some(key) = source_key(after).or_else(|| source_key(before)) else {
                    continue;
                };
                if let Some(error) = refused {
                    push(b, a, key, Some(error));
                } else if let (Some(b), Some(a)) = (&b, &a)
                    && side.key(b) != side.key(a)
                {
                    push(Some(b.clone()), None, key.clone(), None);
                    push(None, Some(a.clone()), key, None);
                } else if b.is_some() || a.is_some() {
                    push(b, a, key, None);
                }
            }
        }
        Ok(out)
    }

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

    /// Asks the validators about rows that are about to be written; refused rows are parked.
    pub(super) fn validate(&self, changes: &mut [UnitChange]) -> Result<()> {
        for (u, unit) in self.plan.units.iter().enumerate() {
            let Some(validator) = &unit.validator else {
                continue;
            };
            let which: Vec<usize> = (0..changes.len())
                .filter(|&i| {
                    changes[i].unit.unit == u
                        && changes[i].after.is_some()
                        && changes[i].refused.is_none()
                })
                .collect();
            if which.is_empty() {
                continue;
            }
            let table = &self.plan.mapping(u).targets[unit.target].table;
            let rows: Vec<Row> = which
                .iter()
                .filter_map(|&i| changes[i].after.clone())
                .collect();
            match validator.validate(table, &rows) {
                Ok(notes) => {
                    for note in notes {
                        let change = &mut changes[which[note.row]];
                        match note.severity {
                            Severity::Warning => tracing::warn!(
                                table = %unit.name, key = %change.unit.key,
                                "{}", note.message
                            ),
                            Severity::Error => {
                                change.refused = Some(invalid(note.message));
                            }
                        }
                    }
                }
                Err(error) => {
                    self.halt_if_asked(u, &error)?;
                    for i in which {
                        changes[i].refused = Some(invalid(error.to_string()));
                    }
                }
            }
        }
        Ok(())
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

fn invalid(reason: String) -> Refusal {
    Refusal {
        kind: ConflictKind::ValidationFailed,
        state: OpenState::Parked,
        reason,
    }
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

pub(super) fn forward_write(change: UnitChange) -> RowChange {
    RowChange {
        table: change.unit.unit,
        key: change.unit.key.clone(),
        unit: change.unit,
        expect: change.before,
        after: change.after,
        cause: Cause {
            base: Base::Expected,
            source_key: change.source_key,
            committed_us: change.committed_us,
            refused: change.refused,
        },
    }
}
