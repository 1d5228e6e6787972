//! The engine's state.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::data::{FastMap, Key, LogId, Row};
use crate::database::{
    ApplyBatch, DecisionRecord, OpenConflict, OpenState, Patience, Role, SyncStore, Turn, UnitKey,
};
use crate::error::Result;

use super::adopt::Adoption;
use super::ahead::Ahead;
use super::began::Begun;
use super::copy::{CopyProgress, Line};
use super::plan::Plan;
use super::report::{SyncReport, TableCounts};
use super::touched::{Telling, Touched};

/// Bounds of the engine's work.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Changes read, and applied in one transaction, at most.
    pub batch_rows: usize,
    /// Batches of one direction before the other one has its turn, at most.
    pub batches: usize,
    /// Rows of a copied chunk.
    pub chunk_rows: usize,
    /// Conflicts decided in one transaction, at most.
    pub conflict_rows: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            batch_rows: 5_000,
            batches: 64,
            chunk_rows: 20_000,
            conflict_rows: 1_000,
        }
    }
}

/// The engine of one migration. After an error of a step it must be dropped and made anew by
/// [`Engine::start`]: what counts is in the stores.
#[derive(Debug)]
pub struct Engine<S> {
    pub(super) stores: [S; 2],
    pub(super) plan: Plan,
    pub(super) options: EngineOptions,
    pub(super) epoch: i64,
    pub(super) logs: [LogId; 2],
    /// How far each store's feed is read; by role.
    pub(super) read: [u64; 2],
    /// Where the checkpoint for each store's feed stands; by role of the feed.
    pub(super) checkpoint: [u64; 2],
    /// What stands where each store's feed is read; by role.
    pub(super) anchors: [Option<i64>; 2],
    pub(super) settled: [FastMap<UnitKey, u64>; 2],
    pub(super) open: BTreeMap<(Role, i64), OpenConflict>,
    pub(super) open_by_key: FastMap<UnitKey, (Role, i64)>,
    /// How often a waiting conflict was tried.
    pub(super) tries: HashMap<(Role, i64), u32>,
    pub(super) half: Vec<DecisionRecord>,
    pub(super) copy: CopyProgress,
    /// Chunks on their way, where all chunks are of one instant. (The lock is never taken: futures
    /// are not to be shared.)
    pub(super) copying: Mutex<Line>,
    pub(super) adoption: Adoption,
    /// Tables of the source of which the target held rows before their copy began.
    pub(super) copied_before: HashSet<usize>,
    /// For tables that are copied over rows: what the copy covers. See `base`.
    pub(super) began: FastMap<UnitKey, Begun>,
    /// What of it is still to be removed from what is written down.
    pub(super) began_ended: Vec<(usize, UnitKey)>,
    /// While tables are copied over rows: the changes of each side that are still to be read.
    pub(super) ahead: [Ahead; 2],
    /// Why a unit is paused.
    pub(super) paused: BTreeMap<usize, String>,
    pub(super) counts: Vec<TableCounts>,
    pub(super) own_writes: u64,
    /// Who wants to know which rows change.
    pub(super) touched: Option<Telling>,
    /// The conflict that was worked on last, so that each has its turn.
    pub(super) last_tried: Option<(Role, i64)>,
}

impl<S: SyncStore> Engine<S> {
    pub(super) fn store(&self, role: Role) -> &S {
        &self.stores[role.index()]
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How far each store's feed is read: source, target.
    #[must_use]
    pub fn positions(&self) -> [u64; 2] {
        self.read
    }

    /// From now on, and until it is dropped, notes which rows change.
    pub fn tell(&mut self, touched: &Arc<Touched>) {
        self.touched = Some(touched.begin(self.plan.clone(), self.is_copied()));
        let paused: Vec<_> = self.paused.iter().map(|(u, w)| (*u, w.clone())).collect();
        for (unit, why) in paused {
            self.tell_paused(unit, &why);
        }
    }

    fn tell_paused(&self, unit: usize, why: &str) {
        if let Some(touched) = &self.touched {
            touched.pause(&self.plan.units[unit].name, why);
        }
    }

    /// Nothing is under way: what was held to be written is.
    pub(super) fn tell_written(&self) {
        if let Some(touched) = &self.touched {
            touched.release();
        }
    }

    /// Notes that all tables are copied, if they are.
    pub(super) fn tell_copied(&self) {
        if let Some(touched) = &self.touched
            && self.is_copied()
        {
            touched.copied();
        }
    }

    /// Notes what a row of the source is in all tables that its mapping writes: a write to it for the
    /// sake of one of them may change the others.
    pub(super) fn tell_parts(
        &self,
        mapping: usize,
        source_key: &Key,
        row: Option<&Row>,
    ) -> Result<()> {
        let (Some(touched), Some(row)) = (&self.touched, row) else {
            return Ok(());
        };
        if self.plan.mappings[mapping].targets.len() < 2 {
            return Ok(());
        }
        for mapped in self.forward_each(mapping, vec![row.clone()])? {
            // What cannot be mapped is nowhere.
            let parts = mapped.unwrap_or_default();
            for unit in self.plan.units_of(mapping) {
                let target = self.plan.units[unit].target;
                if let Some(Some(part)) = parts.get(target) {
                    let key = self.plan.mappings[mapping].targets[target].key(part);
                    touched.hold(UnitKey { unit, key }, source_key.clone());
                }
            }
        }
        Ok(())
    }

    pub(super) fn add_open(&mut self, conflict: OpenConflict) {
        if let Some(touched) = &self.touched {
            touched.note_all(std::iter::once((&conflict.unit, &conflict.source_key)));
        }
        let id = (conflict.home, conflict.id);
        self.open_by_key.insert(conflict.unit.clone(), id);
        self.open.insert(id, conflict);
    }

    pub(super) fn remove_open(&mut self, id: (Role, i64)) -> Option<OpenConflict> {
        let conflict = self.open.remove(&id)?;
        self.open_by_key.remove(&conflict.unit);
        self.tries.remove(&id);
        Some(conflict)
    }

    /// Nothing more is written to or read from this table until somebody resumes it; its changes
    /// become waiting conflicts, which keep what they started from.
    pub(super) fn pause(&mut self, role: Role, table: usize, what: &str) {
        let units: Vec<usize> = match role {
            Role::Source => self.plan.units_of(table).collect(),
            Role::Target => vec![table],
        };
        for unit in units {
            if !self.paused.contains_key(&unit) {
                tracing::warn!(
                    table = %self.plan.units[unit].name,
                    reason = what,
                    "the schema changed; the table is paused, and its changes wait"
                );
                self.tell_paused(unit, what);
                self.paused.insert(unit, what.to_owned());
            }
        }
    }

    /// Writes checkpoints that lag behind what is read, and forgets what lies behind them.
    pub async fn flush(&mut self) -> Result<()> {
        for from in Role::BOTH {
            let i = from.index();
            // What the copy covers is needed until the feed is read beyond that.
            let is_over = from == Role::Source && self.is_over();
            // What is settled is not known to be much longer.
            let ended = match from {
                Role::Source => self.end_settled(),
                Role::Target => Vec::new(),
            };
            if self.read[i] > self.checkpoint[i] || is_over || !ended.is_empty() {
                let batch = ApplyBatch {
                    epoch: self.epoch,
                    from: self.checkpoint[i],
                    log: Some(self.logs[i]),
                    to: self.read[i],
                    anchor: self.anchors[i],
                    ended,
                    is_over,
                    ..ApplyBatch::default()
                };
                self.store(from.other()).apply(batch, Turn::first()).await?;
                self.checkpoint[i] = self.read[i];
                if is_over {
                    self.began.clear();
                    self.copy.forget_former();
                }
            }
        }
        let checkpoint = self.checkpoint;
        for role in Role::BOTH {
            self.store(role)
                .prune(checkpoint[role.index()], checkpoint)
                .await?;
            let behind = checkpoint[role.index()];
            self.settled[role.index()].retain(|_, seq| *seq > behind);
        }
        Ok(())
    }

    /// Whether everything that committed before this call is read. What comes meanwhile is read by
    /// the next [`Self::step`].
    pub(super) async fn is_caught_up(&self) -> Result<bool> {
        // One that is not says so at once: the other one may need long to find out.
        let [source, target] = Role::BOTH.map(|role| async move {
            match self.is_read(role).await {
                Ok(true) => Ok(()),
                other => Err(other),
            }
        });
        match futures::future::try_join(source, target).await {
            Ok(_) => Ok(true),
            Err(answer) => answer,
        }
    }

    async fn is_read(&self, role: Role) -> Result<bool> {
        if role == Role::Target && !self.plan.two_way {
            return Ok(true);
        }
        let store = self.store(role);
        let read = self.read[role.index()];
        Ok(store.catch_up(read, Patience::UntilAny).await?
            && store.read_feed(read, 1).await?.commit.changes.is_empty())
    }

    /// Conflicts that wait for a person or for another row.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    /// Conflicts that the next [`Engine::decide`] would work on by itself.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.open
            .values()
            .filter(|c| c.state == OpenState::Open)
            .count()
    }

    /// What was done so far.
    #[must_use]
    pub fn report(&self) -> SyncReport {
        let mut tables = self.counts.clone();
        for conflict in self.open.values() {
            tables[conflict.unit.unit].parked += 1;
        }
        SyncReport {
            tables,
            echoes_dropped: self.own_writes,
            seconds: 0.0,
            created: Vec::new(),
            paused: self
                .paused
                .iter()
                .map(|(&u, why)| (self.plan.units[u].name.clone(), why.clone()))
                .collect(),
        }
    }
}
