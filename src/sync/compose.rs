//! From changes of one feed to guarded writes on the other side.
use crate::data::{Change, FastMap, Key, Row, Value};
use crate::database::{
    Base, Began, Cause, OpenState, Refusal, Role, RowChange, SyncStore, UnitKey,
};
use crate::error::Result;
use crate::rule::mapping::{PartialRow, Unmapped};
use crate::rule::{ConflictKind, Severity};

use super::began::Covered;
use super::engine::Engine;
use super::map::failed;
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
    pub(super) began: FastMap<UnitKey, Began>,
    /// What is not covered any more.
    pub(super) ended: Vec<(usize, UnitKey)>,
}

impl Composed {
    /// What was said of the row before does not count any more.
    pub(super) fn begin(&mut self, began: Began) {
        self.began.insert(began.unit.clone(), began);
    }
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
        if let Some(touched) = &self.touched {
            touched.note_all(mapped.iter().map(|c| (&c.unit, &c.source_key)));
        }
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
}

fn invalid(reason: String) -> Refusal {
    Refusal {
        kind: ConflictKind::ValidationFailed,
        state: OpenState::Parked,
        reason,
    }
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
