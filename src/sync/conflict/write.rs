//! Writing decisions down: under the locks of both sides, one transaction a side.

use std::collections::{BTreeMap, HashMap};

use crate::data::{Row, canonical};
use crate::database::{
    Base, Cause, DecisionRecord, OpenConflict, OpenState, Outcome, Role, RowChange, Settled,
    StoreLock, SyncStore, UnitKey,
};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::ConflictKind;
use crate::sync::compose::halt;
use crate::sync::engine::Engine;

use super::{Decision, Id, Work};

impl<S: SyncStore> Engine<S> {
    /// The source's row, if the unit's row is to be `row`.
    fn source_result(&self, w: &Work, row: Option<&Row>) -> Result<Option<Row>> {
        if w.mapped.as_ref() == row {
            return Ok(w.seen[0].clone());
        }
        let unit = &self.plan.units[w.conflict.unit.unit];
        let mapping = &self.plan.mappings[unit.mapping];
        let back = |row: &Row| {
            mapping
                .backward(unit.target, vec![row.clone()])
                .map(|mut rows| rows.pop().flatten())
                .map_err(|e| halt(&e))
        };
        let now = row.map(back).transpose()?.flatten();
        let before = w.mapped.as_ref().map(back).transpose()?.flatten();
        let u = w.conflict.unit.unit;
        let source = self.overlay(u, w.seen[0].as_ref(), before.as_ref(), now.as_ref());
        let refused = match &w.foreign {
            Some(reason) if row.is_some() => Some(format!("{reason}; it is not overwritten")),
            _ => self.unreturnable(u, row, source.as_ref())?,
        };
        match refused {
            Some(reason) => Err(Error::new(ErrorKind::Refused, reason)),
            None => Ok(source),
        }
    }

    /// Writes results under the locks of both sides, where the rows are still those decided on.
    pub(super) async fn write_down(&mut self, mut work: Vec<Work>) -> Result<bool> {
        let mut results: Vec<[Option<Row>; 2]> = Vec::with_capacity(work.len());
        let mut waits: HashMap<usize, (OpenState, String, Option<ConflictKind>)> = HashMap::new();
        for (i, w) in work.iter().enumerate() {
            match &w.decision {
                Some(Decision::Result { row, .. }) => match self.source_result(w, row.as_ref()) {
                    Ok(source) => results.push([source, row.clone()]),
                    Err(e) => {
                        waits.insert(i, (OpenState::Parked, e.to_string(), None));
                        results.push(w.seen.clone());
                    }
                },
                Some(Decision::Wait { state, reason }) => {
                    waits.insert(i, (*state, reason.clone(), None));
                    results.push(w.seen.clone());
                }
                None => results.push(w.seen.clone()),
            }
        }
        let first = one_order(&mut work, &mut results, &mut waits);
        loop {
            let mut locks = [
                self.store(Role::Source).lock().await?,
                self.store(Role::Target).lock().await?,
            ];
            for lock in &mut locks {
                lock.check_epoch(self.epoch).await?;
            }
            let fresh = self.still_there(&mut locks, &work).await?;
            let (writes, homeless) = self
                .writes(&mut locks, &work, &results, &fresh, &waits)
                .await?;
            let blocked = self.try_writes(&mut locks, &writes).await?;
            if !blocked.is_empty() || !homeless.is_empty() {
                // Undo everything, and go on without what a constraint keeps out.
                drop(locks);
                for (i, kind, reason) in blocked {
                    waits.insert(i, (OpenState::Waiting, reason, Some(kind)));
                }
                for i in homeless {
                    let reason = "both rows are to be kept, but no new key can be made for one of \
                                  them: its key is not a single integer, or it is a part of \
                                  another row";
                    waits.insert(i, (OpenState::Parked, reason.to_owned(), None));
                }
                continue;
            }
            // Only now: what was read and written is locked.
            let mut positions = [0; 2];
            for (lock, position) in locks.iter_mut().zip(&mut positions) {
                *position = lock.end().await?;
            }
            let decided = Decided {
                work,
                results,
                fresh,
                waits,
                writes,
                positions,
                first,
            };
            return self.commit(locks, decided).await;
        }
    }

    async fn still_there(&self, locks: &mut [S::Lock; 2], work: &[Work]) -> Result<Vec<bool>> {
        let mut fresh = vec![true; work.len()];
        for role in Role::BOTH {
            // In one order, so that two do not wait for each other.
            let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (i, w) in work.iter().enumerate() {
                let (table, _) = self.place(role, &w.conflict.unit, &w.conflict.source_key);
                wanted.entry(table).or_default().push(i);
            }
            for (table, which) in wanted {
                let keys = which
                    .iter()
                    .map(|&i| {
                        self.place(role, &work[i].conflict.unit, &work[i].conflict.source_key)
                            .1
                    })
                    .collect();
                let rows = locks[role.index()].read_rows(table, keys).await?;
                for (i, row) in which.into_iter().zip(rows) {
                    fresh[i] &= row == work[i].seen[role.index()];
                }
            }
        }
        Ok(fresh)
    }

    /// The writes of each side, with each the index of its work; and the works that have no key for
    /// a row that is to live beside another.
    async fn writes(
        &self,
        locks: &mut [S::Lock; 2],
        work: &[Work],
        results: &[[Option<Row>; 2]],
        fresh: &[bool],
        waits: &HashMap<usize, (OpenState, String, Option<ConflictKind>)>,
    ) -> Result<([Vec<(usize, RowChange)>; 2], Vec<usize>)> {
        let mut out: [Vec<(usize, RowChange)>; 2] = Default::default();
        let mut homeless = Vec::new();
        let mut given: HashMap<usize, i64> = HashMap::new();
        for (i, w) in work.iter().enumerate() {
            if !fresh[i] || waits.contains_key(&i) {
                continue;
            }
            let cause = || Cause {
                base: Base::Expected,
                source_key: w.conflict.source_key.clone(),
                committed_us: None,
                refused: None,
            };
            for role in Role::BOTH {
                let r = role.index();
                if results[i][r] != w.seen[r] {
                    if let Some(touched) = &self.touched {
                        let conflict = &w.conflict;
                        touched.hold(conflict.unit.clone(), conflict.source_key.clone());
                    }
                    let (table, key) = self.place(role, &w.conflict.unit, &w.conflict.source_key);
                    if role == Role::Source {
                        self.tell_parts(table, &key, w.seen[r].as_ref())?;
                        self.tell_parts(table, &key, results[i][r].as_ref())?;
                    }
                    out[r].push((
                        i,
                        RowChange {
                            table,
                            unit: w.conflict.unit.clone(),
                            key,
                            expect: w.seen[r].clone(),
                            after: results[i][r].clone(),
                            cause: cause(),
                        },
                    ));
                }
            }
            let Some(Decision::Result {
                beside: Some(row), ..
            }) = &w.decision
            else {
                continue;
            };
            match self.beside(locks, w, row, &mut given).await? {
                Some(changes) => {
                    for (out, change) in out.iter_mut().zip(changes) {
                        out.push((i, change));
                    }
                }
                None => homeless.push(i),
            }
        }
        Ok((out, homeless))
    }

    /// Puts a row beside another under a new key, on both sides; `None` when there is no such key.
    async fn beside(
        &self,
        locks: &mut [S::Lock; 2],
        w: &Work,
        row: &Row,
        given: &mut HashMap<usize, i64>,
    ) -> Result<Option<[RowChange; 2]>> {
        let u = w.conflict.unit.unit;
        let unit = &self.plan.units[u];
        if unit.target > 0 {
            // A part of a row of the source cannot be there twice.
            return Ok(None);
        }
        let mapping = &self.plan.mappings[unit.mapping];
        let side = &mapping.targets[unit.target];
        let mut highest = None;
        for role in Role::BOTH {
            let (table, _) = self.place(role, &w.conflict.unit, &w.conflict.source_key);
            let key = locks[role.index()].new_key(table).await?;
            if let Some([crate::data::Value::Int(n)]) = key.as_ref().map(|k| &k.0[..]) {
                highest = highest.max(Some(*n));
            } else {
                return Ok(None);
            }
        }
        let (Some(free), [key_cell]) = (highest, &side.table.key[..]) else {
            return Ok(None);
        };
        let next = given.get(&u).map_or(free, |&n| free.max(n + 1));
        given.insert(u, next);
        let mut row = row.clone();
        row[*key_cell] = next.into();
        let key = side.key(&row);
        let partial = mapping
            .backward(unit.target, vec![row.clone()])
            .map_err(|e| halt(&e))?
            .pop()
            .flatten();
        let Some(source) = self.overlay(u, None, None, partial.as_ref()) else {
            return Ok(None);
        };
        if self.unreturnable(u, Some(&row), Some(&source))?.is_some() {
            return Ok(None);
        }
        let source_key = mapping.source.key(&source);
        if let Some(touched) = &self.touched {
            let unit = UnitKey {
                unit: u,
                key: key.clone(),
            };
            touched.hold(unit, source_key.clone());
        }
        let change = |role: Role, row: Row| {
            let unit = UnitKey {
                unit: u,
                key: key.clone(),
            };
            let (table, key) = self.place(role, &unit, &source_key);
            RowChange {
                table,
                unit,
                key,
                expect: None,
                after: Some(row),
                cause: Cause {
                    base: Base::Expected,
                    source_key: source_key.clone(),
                    committed_us: None,
                    refused: None,
                },
            }
        };
        Ok(Some([
            change(Role::Source, source),
            change(Role::Target, row),
        ]))
    }

    async fn try_writes(
        &self,
        locks: &mut [S::Lock; 2],
        writes: &[Vec<(usize, RowChange)>; 2],
    ) -> Result<Vec<(usize, ConflictKind, String)>> {
        let mut blocked = Vec::new();
        for (lock, writes) in locks.iter_mut().zip(writes) {
            if writes.is_empty() {
                continue;
            }
            let changes = writes.iter().map(|(_, c)| c.clone()).collect();
            let outcomes = lock.write(changes).await?;
            for ((i, _), outcome) in writes.iter().zip(outcomes) {
                match outcome {
                    Outcome::Written | Outcome::Equal => {}
                    Outcome::Blocked { kind, reason } => blocked.push((*i, kind, reason)),
                    Outcome::Suspect { kind } => {
                        blocked.push((*i, kind, "another row appeared under its key".to_owned()));
                    }
                }
            }
        }
        Ok(blocked)
    }

    async fn commit(&mut self, locks: [S::Lock; 2], decided: Decided) -> Result<bool> {
        let Decided {
            work,
            mut results,
            fresh,
            mut waits,
            writes,
            positions,
            first,
        } = decided;
        let mut notes: [Notes; 2] = Default::default();
        let mut closed: Vec<(Id, usize, bool)> = Vec::new();
        let mut settled: Vec<UnitKey> = Vec::new();
        let mut changed: Vec<OpenConflict> = Vec::new();
        let mut progress = false;
        for (i, w) in work.into_iter().enumerate() {
            if let Some((state, reason, kind)) = waits.remove(&i) {
                let mut conflict = w.conflict;
                // Another reason to wait is written down, but is no progress: rows that keep each
                // other out may take turns in giving it for ever.
                let moved = conflict.state != state || conflict.request.is_some();
                let same = !moved && conflict.reason == reason;
                progress |= moved;
                conflict.state = state;
                conflict.reason = reason;
                conflict.request = None;
                conflict.kind = kind.unwrap_or(conflict.kind);
                conflict.rule = self.plan.units[conflict.unit.unit].resolver.describe().name;
                if !same {
                    notes[conflict.home.index()].states.push(conflict.clone());
                }
                changed.push(conflict);
                continue;
            }
            let Some(Decision::Result { rule, outcome, .. }) = w.decision else {
                continue;
            };
            if !fresh[i] {
                continue;
            }
            let wrote = [0, 1].map(|r: usize| writes[r].iter().any(|(n, _)| *n == i));
            notes[w.id.0.index()].close.push(w.id.1);
            settled.push(w.conflict.unit.clone());
            let by_rule = !rule.is_empty();
            closed.push((w.id, w.conflict.unit.unit, by_rule));
            let one_side = match wrote {
                [true, true] => first,
                [true, false] => Role::Source,
                _ => Role::Target,
            };
            let record = DecisionRecord {
                id: record_id()?,
                unit: w.conflict.unit,
                source_key: w.conflict.source_key,
                kind: w.conflict.kind,
                rule,
                outcome: outcome.to_owned(),
                two: wrote[0] && wrote[1],
                first: one_side,
                positions,
                seen: w.seen,
                result: std::mem::take(&mut results[i]),
                base: w.conflict.base,
                base_known: w.conflict.base_known,
                closes: vec![w.id],
                supersedes: None,
                at_us: w.conflict.at_us,
            };
            for role in Role::BOTH {
                if wrote[role.index()] {
                    notes[role.index()].records.push(record.clone());
                }
            }
            // A row beside another is half a decision of its own after a crash.
            let beside = |r: usize| {
                writes[r]
                    .iter()
                    .find(|(n, change)| *n == i && change.unit != record.unit)
                    .map(|(_, change)| change)
            };
            if let (Some(source), Some(target)) = (beside(0), beside(1)) {
                let beside = DecisionRecord {
                    id: record_id()?,
                    unit: target.unit.clone(),
                    source_key: target.cause.source_key.clone(),
                    outcome: "beside".to_owned(),
                    seen: [None, None],
                    result: [source.after.clone(), target.after.clone()],
                    base: None,
                    base_known: true,
                    closes: Vec::new(),
                    ..record.clone()
                };
                for notes in &mut notes {
                    notes.records.push(beside.clone());
                }
            }
            if !wrote[0] && !wrote[1] && by_rule {
                notes[w.id.0.index()].records.push(record);
            }
        }
        // Rows put beside others are settled like the rest.
        let beside = writes.iter().flatten().map(|(_, c)| c.unit.clone());
        settled.extend(beside);
        settled.sort_by_key(|u| (u.unit, canonical::encode(&u.key.0)));
        settled.dedup();
        let marks: Vec<Settled> = Role::BOTH
            .iter()
            .map(|&role| Settled {
                role,
                seq: positions[role.index()],
                units: settled.clone(),
            })
            .collect();
        progress |= !closed.is_empty();
        // Both locks are held until both sides are through, and nothing is committed before
        // everything is written on both.
        let mut locks = locks.map(Some);
        let mut written = Vec::new();
        for role in [first, first.other()] {
            let note = std::mem::take(&mut notes[role.index()]);
            let nothing = writes[role.index()].is_empty()
                && note.close.is_empty()
                && note.records.is_empty()
                && note.states.is_empty();
            if nothing {
                continue;
            }
            let Some(mut lock) = locks[role.index()].take() else {
                continue;
            };
            lock.note(
                note.records,
                if settled.is_empty() {
                    Vec::new()
                } else {
                    marks.clone()
                },
                note.close,
                note.states,
                Vec::new(),
            )
            .await?;
            written.push((role, lock));
        }
        for (n, (role, lock)) in written.into_iter().enumerate() {
            // Once one side is committed, the other is no matter of patience any more: the engine
            // begins anew, and finishes what it finds.
            let half_done = |e: Error| match (n, e.kind()) {
                (1, ErrorKind::Busy) => Error::new(
                    ErrorKind::Unavailable,
                    format!("a decision was committed on one side, and not on the other, {role:?}"),
                )
                .caused_by(e),
                _ => e,
            };
            lock.commit().await.map_err(half_done)?;
        }
        drop(locks);
        for (id, unit, by_rule) in closed {
            self.remove_open(id);
            if by_rule {
                self.counts[unit].conflicts += 1;
            }
        }
        self.own_writes += writes.iter().map(|w| w.len() as u64).sum::<u64>();
        for role in Role::BOTH {
            let i = role.index();
            if positions[i] > self.read[i] {
                for unit in &settled {
                    self.settled[i].insert(unit.clone(), positions[i]);
                }
            }
        }
        for conflict in changed {
            let id = (conflict.home, conflict.id);
            *self.tries.entry(id).or_insert(0) += 1;
            self.open.insert(id, conflict);
        }
        Ok(progress)
    }
}

/// Everything that the two transactions of one round of decisions write.
struct Decided {
    work: Vec<Work>,
    /// The rows that each work ends with, by role.
    results: Vec<[Option<Row>; 2]>,
    /// Whether the rows are still those that were decided on.
    fresh: Vec<bool>,
    /// The works that are not decided now.
    waits: HashMap<usize, (OpenState, String, Option<ConflictKind>)>,
    /// By role, with the index of the work.
    writes: [Vec<(usize, RowChange)>; 2],
    positions: [u64; 2],
    /// Which side commits first.
    first: Role,
}

/// Which side must commit first: a conflict may be closed only after its decision is written.
/// Works that would need the other order are left for the next round.
fn one_order(
    work: &mut Vec<Work>,
    results: &mut Vec<[Option<Row>; 2]>,
    waits: &mut HashMap<usize, (OpenState, String, Option<ConflictKind>)>,
) -> Role {
    let mut first = None;
    let mut keep = Vec::with_capacity(work.len());
    for (i, (w, result)) in work.iter().zip(results.iter()).enumerate() {
        let beside = matches!(
            &w.decision,
            Some(Decision::Result {
                beside: Some(_),
                ..
            })
        );
        let (home, other) = (w.id.0, w.id.0.other());
        let writes = |role: Role| beside || result[role.index()] != w.seen[role.index()];
        let bound = !waits.contains_key(&i) && writes(other) && !writes(home);
        keep.push(!bound || *first.get_or_insert(other) == other);
    }
    if keep.contains(&false) {
        let mut kept = HashMap::new();
        let mut n = 0;
        for (i, keep) in keep.iter().enumerate() {
            if *keep {
                if let Some(wait) = waits.remove(&i) {
                    kept.insert(n, wait);
                }
                n += 1;
            }
        }
        *waits = kept;
        let mut flags = keep.iter();
        work.retain(|_| flags.next() == Some(&true));
        let mut flags = keep.iter();
        results.retain(|_| flags.next() == Some(&true));
    }
    first.unwrap_or(Role::Source)
}

#[derive(Debug, Default)]
struct Notes {
    records: Vec<DecisionRecord>,
    close: Vec<i64>,
    states: Vec<OpenConflict>,
}

fn record_id() -> Result<[u8; 16]> {
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id)
        .map_err(|e| Error::new(ErrorKind::Internal, "no randomness").caused_by(e))?;
    Ok(id)
}
