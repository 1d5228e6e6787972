//! Starting: everything that matters is read back from the stores.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use crate::data::FastMap;
use crate::database::{Base, Outcome};
use crate::database::{
    Cause, DecisionRecord, OpenConflict, OpenState, Role, RowChange, Settled, StoreLock, SyncStore,
};
use crate::error::{Error, ErrorKind, Result};

use super::adopt::Adoption;
use super::ahead::Ahead;
use super::copy::CopyProgress;
use super::engine::{Engine, EngineOptions};
use super::plan::Plan;
use super::report::TableCounts;

impl<S: SyncStore> Engine<S> {
    /// Takes both stores over (an older engine is fenced from here on), reads what is durable, and
    /// finishes decisions that were interrupted between their two commits.
    ///
    /// Fails with `LogGap` when a checkpoint points into another log, or behind what is left of it.
    pub async fn start(source: S, target: S, plan: Plan, options: EngineOptions) -> Result<Self> {
        let epoch = new_epoch()?;
        // Both stores are taken over before anything is read: from then on nothing changes but by
        // applications.
        source.take_over(epoch).await?;
        target.take_over(epoch).await?;
        let stores = [source, target];
        let mut recovered = Vec::with_capacity(2);
        for store in &stores {
            recovered.push(store.recover(epoch).await?);
        }
        let mut logs = Vec::with_capacity(2);
        for r in &recovered {
            logs.push(r.log.ok_or_else(|| {
                Error::new(ErrorKind::Internal, "capture is installed without a log")
            })?);
        }
        let logs = [logs[0], logs[1]];
        let mut read = [0_u64; 2];
        let mut anchors = [None; 2];
        for role in Role::BOTH {
            let (feed, keeper) = (&recovered[role.index()], &recovered[role.other().index()]);
            match keeper.checkpoint {
                None => read[role.index()] = 0,
                Some(at) => {
                    if at.log != logs[role.index()] {
                        return Err(gap(&plan.migration, role, "the change log was recreated"));
                    }
                    if at.seq > feed.end || at.seq < feed.begin {
                        return Err(gap(
                            &plan.migration,
                            role,
                            &format!(
                                "changes up to {} are taken over, but the log holds {} to {}",
                                at.seq,
                                feed.begin + 1,
                                feed.end
                            ),
                        ));
                    }
                    let store: &S = &stores[role.index()];
                    let anchor = store.anchor(at.seq).await?;
                    if keeper.anchor.is_some() && anchor != keeper.anchor {
                        return Err(gap(
                            &plan.migration,
                            role,
                            &format!(
                                "changes up to {} are taken over, but the log holds another change \
                                 there",
                                at.seq
                            ),
                        ));
                    }
                    anchors[role.index()] = anchor;
                    read[role.index()] = at.seq;
                }
            }
        }
        let mut settled = [FastMap::default(), FastMap::default()];
        for mark in recovered.iter().flat_map(|r| &r.settled) {
            let i = mark.role.index();
            if mark.seq > read[i] {
                for unit in &mark.units {
                    let seq = settled[i].entry(unit.clone()).or_insert(0);
                    *seq = mark.seq.max(*seq);
                }
            }
        }
        let closed: HashSet<(Role, i64)> = recovered
            .iter()
            .flat_map(|r| r.closed.iter().copied())
            .collect();
        let half = unpaired(&recovered[0].two_sided, &recovered[1].two_sided);
        let counts = plan
            .units
            .iter()
            .map(|u| TableCounts {
                table: u.name.clone(),
                ..TableCounts::default()
            })
            .collect();
        let chunks = std::mem::take(&mut recovered[1].chunks);
        let copied_before = std::mem::take(&mut recovered[1].copied_before);
        let began = std::mem::take(&mut recovered[1].began);
        let former = std::mem::take(&mut recovered[1].former);
        let mut engine = Self {
            stores,
            copied_before: copied_before.into_iter().collect(),
            copy: CopyProgress::new(plan.mappings.len(), chunks, former),
            copying: Mutex::default(),
            adoption: Adoption::default(),
            began: FastMap::default(),
            began_ended: Vec::new(),
            ahead: <[Ahead; 2]>::default(),
            plan,
            options,
            epoch,
            logs,
            read,
            checkpoint: read,
            anchors,
            settled,
            open: BTreeMap::new(),
            open_by_key: FastMap::default(),
            tries: HashMap::new(),
            half,
            paused: BTreeMap::new(),
            counts,
            own_writes: 0,
            touched: None,
            last_tried: None,
        };
        let marks = recovered.iter().flat_map(|r| &r.settled);
        engine.recover_began(began, marks);
        let mut stale = [Vec::new(), Vec::new()];
        for mut conflict in recovered.iter_mut().flat_map(|r| r.open.drain(..)) {
            let id = (conflict.home, conflict.id);
            if closed.contains(&id) {
                stale[conflict.home.index()].push(conflict.id);
                continue;
            }
            if conflict.state == OpenState::Waiting {
                // Whatever it waits for may be there now; a paused table may be resumed.
                conflict.state = OpenState::Open;
            }
            engine.add_open(conflict);
        }
        for (unit, role, us) in recovered.iter_mut().flat_map(|r| r.touched.drain(..)) {
            if let Some(id) = engine.open_by_key.get(&unit)
                && let Some(open) = engine.open.get_mut(id)
            {
                open.committed_us[role.index()] = us;
            }
        }
        engine.sweep(stale).await?;
        while let Some(record) = engine.half.pop() {
            engine.finish(record).await?;
        }
        Ok(engine)
    }

    /// Removes open conflicts that a record closed whose second transaction was lost.
    async fn sweep(&self, stale: [Vec<i64>; 2]) -> Result<()> {
        for (role, ids) in Role::BOTH.into_iter().zip(stale) {
            if ids.is_empty() {
                continue;
            }
            let mut lock = self.store(role).lock().await?;
            lock.check_epoch(self.epoch).await?;
            lock.note(Vec::new(), Vec::new(), ids, Vec::new(), Vec::new())
                .await?;
            lock.commit().await?;
        }
        Ok(())
    }

    /// Writes the second half of a decision, if its row is still the one that was decided on;
    /// otherwise the key becomes an open conflict again.
    async fn finish(&mut self, record: DecisionRecord) -> Result<()> {
        let y = record.first.other();
        let i = y.index();
        let unit = record.unit.unit;
        let (table, key) = match y {
            Role::Source => (self.plan.units[unit].mapping, record.source_key.clone()),
            Role::Target => (unit, record.unit.key.clone()),
        };
        let mut lock = self.store(y).lock().await?;
        lock.check_epoch(self.epoch).await?;
        let now = lock
            .read_rows(table, vec![key.clone()])
            .await?
            .pop()
            .flatten();
        let end = lock.end().await?;
        let mut pair = record.clone();
        pair.positions[i] = end;
        let settled = vec![Settled {
            role: y,
            seq: end,
            units: vec![record.unit.clone()],
        }];
        let mut written = now == record.result[i];
        if !written && now == record.seen[i] {
            let change = RowChange {
                table,
                unit: record.unit.clone(),
                key,
                expect: record.seen[i].clone(),
                after: record.result[i].clone(),
                cause: Cause {
                    base: Base::Row(None),
                    source_key: record.source_key.clone(),
                    committed_us: None,
                    refused: None,
                },
            };
            let outcomes = lock.write(vec![change]).await?;
            written = matches!(outcomes[..], [Outcome::Written | Outcome::Equal]);
        }
        let mut opened = None;
        if written {
            lock.note(vec![pair], settled, Vec::new(), Vec::new(), Vec::new())
                .await?;
        } else {
            pair.outcome = "superseded".to_owned();
            let base = match (y, &record.seen[i]) {
                (Role::Source, Some(row)) => self
                    .forward_each(self.plan.units[unit].mapping, vec![row.clone()])?
                    .pop()
                    .and_then(std::result::Result::ok)
                    .map(|mut rows| {
                        rows.get_mut(self.plan.units[unit].target)
                            .and_then(Option::take)
                    }),
                (_, row) => Some(row.clone()),
            };
            let mut conflict = OpenConflict {
                home: y,
                id: 0,
                unit: record.unit.clone(),
                source_key: record.source_key.clone(),
                direction: y.outgoing(),
                kind: record.kind,
                base_known: base.is_some(),
                base: base.flatten(),
                interrupted: true,
                committed_us: [None; 2],
                state: OpenState::Open,
                reason: "the decision was interrupted, and the row changed meanwhile".to_owned(),
                rule: record.rule.clone(),
                request: None,
                at_us: record.at_us,
            };
            let ids = lock
                .note(
                    vec![pair],
                    Vec::new(),
                    Vec::new(),
                    Vec::new(),
                    vec![conflict.clone()],
                )
                .await?;
            conflict.id = ids.first().copied().unwrap_or(0);
            opened = Some(conflict);
        }
        lock.commit().await?;
        if let Some(conflict) = opened {
            self.add_open(conflict);
        } else {
            self.settled[i].insert(record.unit, end);
        }
        Ok(())
    }
}

/// Two-sided records that only one store has.
fn unpaired(source: &[DecisionRecord], target: &[DecisionRecord]) -> Vec<DecisionRecord> {
    let ids = |records: &[DecisionRecord]| -> HashSet<[u8; 16]> {
        records.iter().map(|r| r.id).collect()
    };
    let (in_source, in_target) = (ids(source), ids(target));
    source
        .iter()
        .filter(|r| !in_target.contains(&r.id))
        .chain(target.iter().filter(|r| !in_source.contains(&r.id)))
        .cloned()
        .collect()
}

fn new_epoch() -> Result<i64> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Internal, "no randomness").caused_by(e))?;
    Ok(i64::from_le_bytes(bytes))
}

fn gap(migration: &str, role: Role, what: &str) -> Error {
    let side = match role {
        Role::Source => "source",
        Role::Target => "target",
    };
    Error::new(
        ErrorKind::LogGap,
        format!("migration {migration}: the {side}'s changes cannot be followed: {what}"),
    )
    .hint(format!(
        "the {side}'s database was replaced or restored from a copy; banyan migration abort \
         {migration}, then start it again: it copies anew and loses nothing that is in either"
    ))
}
