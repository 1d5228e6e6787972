//! The conflict path: what one key's rows shall be, decided once, for both sides.

mod additions;
mod ask;
mod write;

use std::collections::HashMap;

use crate::data::{Change, Key, Row, canonical};
use crate::database::{OpenConflict, OpenState, Patience, Resolution, Role, SyncStore, UnitKey};
use crate::error::Result;
use crate::rule::ConflictKind;

use super::engine::Engine;

/// How many batches are read ahead for commit times before catching up comes first.
const AHEAD_PAGES_MAX: u32 = 16;
/// So often a delete waits for the children to go before the parent is put back.
const CHILD_TRIES_MAX: u32 = 20;

type Id = (Role, i64);

/// One conflict under work.
#[derive(Debug)]
struct Work {
    id: Id,
    conflict: OpenConflict,
    /// The rows as read, each in its own table's form.
    seen: [Option<Row>; 2],
    /// The source's row in the target table's form.
    mapped: Option<Row>,
    /// Why the source's row is not to be overwritten.
    foreign: Option<String>,
    decision: Option<Decision>,
}

#[derive(Debug)]
enum Decision {
    /// Both sides end so.
    Result {
        /// In the target table's form.
        row: Option<Row>,
        rule: String,
        outcome: &'static str,
        /// A row that is to live beside it under a new key.
        beside: Option<Row>,
    },
    /// Nobody decides now.
    Wait { state: OpenState, reason: String },
}

impl<S: SyncStore> Engine<S> {
    /// Works on open conflicts, up to [`super::EngineOptions::conflict_rows`]. Answers whether
    /// anything was decided, parked or written.
    pub async fn decide(&mut self) -> Result<bool> {
        self.decide_those(|c| c.state == OpenState::Open).await
    }

    /// Tries again what waits for a constraint to let it through.
    pub async fn retry_waiting(&mut self) -> Result<bool> {
        self.decide_those(|c| c.state == OpenState::Waiting).await
    }

    /// Carries out what people answered to conflicts that are parked or wait.
    pub async fn carry_out_requests(&mut self) -> Result<bool> {
        if self.open.values().all(|c| c.state == OpenState::Open) {
            return Ok(false);
        }
        for role in Role::BOTH {
            for conflict in self.store(role).answered_conflicts().await? {
                if let (Some(known), Some(request)) =
                    (self.open.get_mut(&(role, conflict.id)), conflict.request)
                {
                    known.request = Some(request);
                }
            }
        }
        self.decide_those(|c| c.request.is_some()).await
    }

    async fn decide_those(&mut self, which: impl Fn(&OpenConflict) -> bool) -> Result<bool> {
        let mut ids: Vec<Id> = self
            .open
            .iter()
            .filter(|(_, c)| which(c) && !self.paused.contains_key(&c.unit.unit))
            .map(|(id, _)| *id)
            .collect();
        // Those behind the last one tried come first: what cannot be decided now must not keep
        // the rest from being tried.
        let behind = ids.partition_point(|id| self.last_tried.is_some_and(|last| *id <= last));
        ids.rotate_left(behind);
        ids.truncate(self.options.conflict_rows);
        let Some(&last) = ids.last() else {
            return Ok(false);
        };
        self.last_tried = Some(last);
        let mut work = self.look(&ids).await?;
        // After the rows: a row that changes in between is not decided on, while a time that is
        // older than its row would let the wrong side win.
        if !self.read_ahead(&ids).await? {
            return Ok(false);
        }
        for w in &mut work {
            if let Some(open) = self.open.get(&w.id) {
                w.conflict.committed_us = open.committed_us;
            }
        }
        self.settle_plain(&mut work);
        self.ask(&mut work)?;
        self.wait_for_main_rows(&mut work);
        self.write_down(work).await
    }

    /// A part of a row that is split over several target tables makes no row of the source: all its
    /// other columns would be invented. It waits for the first target's.
    fn wait_for_main_rows(&self, work: &mut [Work]) {
        for w in work {
            let unit = &self.plan.units[w.conflict.unit.unit];
            let makes_a_row = w.seen[0].is_none()
                && unit.target > 0
                && matches!(&w.decision, Some(Decision::Result { row: Some(_), .. }));
            if makes_a_row {
                let main = &self.plan.mappings[unit.mapping].targets[0].table.name;
                w.decision = Some(Decision::Wait {
                    state: OpenState::Waiting,
                    reason: format!("it is a part of a row of table {main} that is not there"),
                });
            }
        }
    }

    /// Reads both feeds on, only for the last commit times of these keys. `false` when a feed is so far
    /// behind that its end was not seen: then catching up comes first.
    async fn read_ahead(&mut self, ids: &[Id]) -> Result<bool> {
        for role in Role::BOTH {
            if role == Role::Target && !self.plan.two_way {
                continue;
            }
            let mut after = self.read[role.index()];
            let mut pages = 0;
            if !self
                .store(role)
                .catch_up(after, Patience::UntilFull)
                .await?
            {
                return Ok(false);
            }
            loop {
                let page = self
                    .store(role)
                    .read_feed(after, self.options.batch_rows)
                    .await?;
                after = page.commit.end;
                pages += 1;
                self.note_times(role, ids, page.commit.changes);
                if !page.more {
                    break;
                }
                if pages == AHEAD_PAGES_MAX {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Keeps the commit times of changes of these keys.
    fn note_times(&mut self, role: Role, ids: &[Id], changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        // Rows that are split over several tables have one key in the source.
        let mut keys: HashMap<(usize, Key), Vec<Id>> = HashMap::new();
        for id in ids {
            if let Some(c) = self.open.get(id) {
                let (table, key) = self.place(role, &c.unit, &c.source_key);
                keys.entry((table, key)).or_default().push(*id);
            }
        }
        for change in changes {
            for row in change.before.iter().chain(&change.after) {
                let key = self.key_of(role, change.table, row);
                for id in keys.get(&(change.table, key)).into_iter().flatten() {
                    if let Some(open) = self.open.get_mut(id) {
                        open.committed_us[role.index()] = change.committed_us;
                    }
                }
            }
        }
    }

    /// Table and key of a unit's row on a side.
    fn place(&self, role: Role, unit: &UnitKey, source_key: &Key) -> (usize, Key) {
        match role {
            Role::Source => (self.plan.units[unit.unit].mapping, source_key.clone()),
            Role::Target => (unit.unit, unit.key.clone()),
        }
    }

    async fn look(&self, ids: &[Id]) -> Result<Vec<Work>> {
        let conflicts: Vec<&OpenConflict> = ids.iter().filter_map(|id| self.open.get(id)).collect();
        let mut rows: [HashMap<(usize, Key), Option<Row>>; 2] = Default::default();
        for role in Role::BOTH {
            let mut wanted: HashMap<usize, Vec<Key>> = HashMap::new();
            for c in &conflicts {
                let (table, key) = self.place(role, &c.unit, &c.source_key);
                wanted.entry(table).or_default().push(key);
            }
            for (table, keys) in wanted {
                let found = self.store(role).read_rows(table, keys.clone()).await?;
                for (key, row) in keys.into_iter().zip(found) {
                    rows[role.index()].insert((table, key), row);
                }
            }
        }
        let mut work = Vec::with_capacity(conflicts.len());
        for conflict in conflicts {
            let row = |role: Role| {
                let place = self.place(role, &conflict.unit, &conflict.source_key);
                rows[role.index()].get(&place).cloned().flatten()
            };
            let seen = [row(Role::Source), row(Role::Target)];
            let unit = &self.plan.units[conflict.unit.unit];
            let mut decision = None;
            let mut mapped = None;
            let mut foreign = None;
            if let Some(row) = &seen[0] {
                let mut found = self.forward_each(unit.mapping, vec![row.clone()])?;
                match found.pop() {
                    Some(Ok(mut targets)) => {
                        mapped = targets.get_mut(unit.target).and_then(Option::take);
                        foreign = self.foreign(conflict.unit.unit, Some(row), mapped.as_ref())?;
                    }
                    Some(Err(unmapped)) => {
                        decision = Some(Decision::Wait {
                            state: OpenState::Parked,
                            reason: unmapped.reason,
                        });
                    }
                    None => {}
                }
            }
            let side = &self.plan.mapping(conflict.unit.unit).targets[unit.target];
            if let Some(reason) = seen[1].as_ref().and_then(|row| side.keyless(row)) {
                decision = Some(Decision::Wait {
                    state: OpenState::Parked,
                    reason,
                });
            }
            work.push(Work {
                id: (conflict.home, conflict.id),
                conflict: conflict.clone(),
                seen,
                mapped,
                foreign,
                decision,
            });
        }
        Ok(work)
    }

    /// What needs no rule: equal rows, a side that did not move, a person's answer.
    fn settle_plain(&self, work: &mut [Work]) {
        for w in work.iter_mut().filter(|w| w.decision.is_none()) {
            let target = &w.seen[1];
            let result = |row: &Option<Row>, outcome| Decision::Result {
                row: row.clone(),
                rule: String::new(),
                outcome,
                beside: None,
            };
            let tries = self.tries.get(&w.id).copied().unwrap_or(0);
            w.decision = if &w.mapped == target {
                Some(result(target, "agreed"))
            } else if let Some((resolution, seen)) = &w.conflict.request {
                Some(answer(w, resolution, seen))
            } else if let Some(reason) = &w.foreign {
                Some(
                    if w.conflict.base_known
                        && !w.conflict.interrupted
                        && target.is_some()
                        && *target == w.conflict.base
                        && tries < CHILD_TRIES_MAX
                    {
                        // It took part, and was taken out while the target's row stood still.
                        result(&w.mapped, "source")
                    } else {
                        // No strategy may touch what does not take part.
                        Decision::Wait {
                            state: OpenState::Parked,
                            reason: reason.clone(),
                        }
                    },
                )
            } else if w.conflict.kind == ConflictKind::FkChildExists && tries >= CHILD_TRIES_MAX {
                // A parent that others refer to cannot go: it comes back on the other side.
                let row = if w.mapped.is_some() {
                    &w.mapped
                } else {
                    target
                };
                Some(Decision::Result {
                    row: row.clone(),
                    rule: "foreign-key".to_owned(),
                    outcome: if w.mapped.is_some() {
                        "source"
                    } else {
                        "target"
                    },
                    beside: None,
                })
            } else if w.conflict.interrupted {
                None
            } else if let Some(row) = self.with_additions(w) {
                Some(result(&Some(row), "merged"))
            } else if w.conflict.base_known && w.mapped == w.conflict.base {
                Some(result(target, "target"))
            } else if w.conflict.base_known && *target == w.conflict.base {
                Some(result(&w.mapped, "source"))
            } else {
                None
            };
        }
    }
}

/// What a person's answer means, if the rows are still those that the person saw.
fn answer(w: &Work, resolution: &Resolution, seen: &[[u8; 32]; 2]) -> Decision {
    let now = [row_hash(w.seen[0].as_ref()), row_hash(w.seen[1].as_ref())];
    if now != *seen && *resolution != Resolution::Retry {
        return Decision::Wait {
            state: match w.conflict.state {
                OpenState::Waiting => OpenState::Waiting,
                OpenState::Open | OpenState::Parked => OpenState::Parked,
            },
            reason: "refused: a row changed since you looked; look again with banyan conflict show"
                .to_owned(),
        };
    }
    let result = |row, outcome| Decision::Result {
        row,
        rule: "person".to_owned(),
        outcome,
        beside: None,
    };
    match resolution {
        Resolution::Source => result(w.mapped.clone(), "source"),
        Resolution::Target => result(w.seen[1].clone(), "target"),
        Resolution::Delete => result(None, "delete"),
        Resolution::Retry => Decision::Wait {
            state: OpenState::Open,
            reason: String::new(),
        },
    }
}

/// What identifies a row that a person saw; the absence of a row has a hash of its own.
#[must_use]
pub(super) fn row_hash(row: Option<&Row>) -> [u8; 32] {
    match row {
        Some(row) => canonical::hash(row),
        None => *blake3::hash(b"no row").as_bytes(),
    }
}
