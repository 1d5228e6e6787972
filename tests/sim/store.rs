//! A store in memory with the contract of [`SyncStore`], under the hand of a scheduler.
//!
//! Every operation first stops at a *gate*: the scheduler then lets it through, makes it fail
//! before it has an effect, or lets it happen and loses the reply. Between two gates nothing else
//! runs, so a schedule is the list of what was done at each gate.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use banyan::data::batch::{from_rows, to_rows};
use banyan::data::{Change, Commit, Key, LogId, Position, Row, Value};
use banyan::database::{
    Applied, ApplyBatch, Base, Began, Cause, Chunk, ChunkMark, ChunkRows, DecisionRecord, FeedPage,
    OpenConflict, OpenState, Outcome, Patience, Recovered, Role, RowChange, Settled, StoreLock,
    SyncStore, Turn, UnitKey,
};
use banyan::error::{Error, ErrorKind, Result};
use banyan::rule::ConflictKind;

use super::ghost::{Ancestry, Ghost};

/// What the scheduler says to an operation at its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It happens.
    Go,
    /// It does not happen, and an error is answered.
    Fail,
    /// It happens, and an error is answered.
    LoseReply,
    /// For the engine's own choice of steps: which.
    Step(u8),
}

/// A row or its absence, with what the oracle knows of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) row: Option<Row>,
    pub(crate) anc: Ancestry,
    pub(crate) version: u32,
}

/// Table and key.
pub(crate) type Place = (usize, i64);

/// One change by an application.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) txn: u32,
    pub(crate) place: Place,
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
    pub(crate) us: Option<i64>,
    pub(crate) anc: Ancestry,
    pub(crate) bit: Ancestry,
}

/// One store's content.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) cells: BTreeMap<Place, Cell>,
    pub(crate) log: Vec<Entry>,
    pub(crate) end: u64,
    pub(crate) pruned: u64,
    epoch: i64,
    pub(crate) checkpoint: Option<u64>,
    pub(crate) settled: Vec<Settled>,
    pub(crate) open: BTreeMap<i64, OpenConflict>,
    last_open: i64,
    pub(crate) records: Vec<DecisionRecord>,
    pub(crate) chunks: Vec<ChunkMark>,
    touched: Vec<(UnitKey, Role, Option<i64>)>,
    began: Vec<Began>,
    /// Tables that are copied over rows.
    pub(crate) copied_over: BTreeSet<usize>,
    former: Vec<Vec<ChunkMark>>,
    pub(crate) locked_by: Option<usize>,
    /// Writes by the engine, ever.
    pub(crate) written: u64,
}

/// Both stores and the oracle.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sides: [Side; 2],
    pub(crate) ghost: Ghost,
    /// What the operations at each engine's gate are; by engine. (While copying, two at a time.)
    pub(crate) at_gate: BTreeMap<usize, Vec<&'static str>>,
    /// On which side the engine's last gate is; `None`: its own choice of steps.
    pub(crate) gate_side: BTreeMap<usize, Option<usize>>,
    /// What the scheduler said about one of them.
    pub(crate) fate: BTreeMap<usize, (&'static str, Fate)>,
    /// Whether the target held rows before capture began.
    pub(crate) prefilled: bool,
    /// Whether column 1 is unique in every table.
    pub(crate) unique: bool,
    /// What happened, for a person who reads a failure.
    pub(crate) story: Vec<String>,
    /// Whether each engine's last step did something.
    pub(crate) progress: BTreeMap<usize, bool>,
    pub(crate) tell: bool,
}

impl State {
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.tell {
            self.story.push(what());
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

impl World {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until the scheduler lets the engine through.
    pub(crate) async fn gate(
        &self,
        engine: usize,
        side: Option<usize>,
        what: &'static str,
    ) -> Fate {
        poll_fn(|_| {
            let mut state = self.state();
            let fate = state.fate.get(&engine).copied();
            state.gate_side.insert(engine, side);
            let waiting = state.at_gate.entry(engine).or_default();
            match fate {
                Some((which, fate)) if which == what => {
                    waiting.retain(|w| *w != what);
                    state.fate.remove(&engine);
                    Poll::Ready(fate)
                }
                _ => {
                    if !waiting.contains(&what) {
                        waiting.push(what);
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn lost(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{what}: injected fault"))
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "another transaction holds the lock")
}

fn fenced() -> Error {
    Error::new(ErrorKind::Fenced, "another engine took over")
}

/// One engine's handle of one side.
#[derive(Clone)]
pub(crate) struct MemoryStore {
    pub(crate) role: Role,
    pub(crate) world: World,
    pub(crate) engine: usize,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.role)
    }
}

pub(crate) fn place(table: usize, key: &Key) -> Place {
    match key.0[..] {
        [Value::Int(n)] => (table, n),
        _ => panic!("keys are single integers here: {key}"),
    }
}

impl MemoryStore {
    /// Runs an operation: gate, effect, and maybe a lost reply.
    async fn run<R>(
        &self,
        what: &'static str,
        writes: bool,
        effect: impl FnOnce(&mut State) -> Result<R>,
    ) -> Result<R> {
        let fate = self
            .world
            .gate(self.engine, Some(self.role.index()), what)
            .await;
        if fate == Fate::Fail {
            return Err(lost(what));
        }
        let mut state = self.world.state();
        if writes
            && state.sides[self.role.index()]
                .locked_by
                .is_some_and(|e| e != self.engine)
        {
            return Err(busy());
        }
        let result = effect(&mut state);
        drop(state);
        if fate == Fate::LoseReply {
            return Err(lost(what));
        }
        result
    }
}

impl SyncStore for MemoryStore {
    type Lock = MemoryLock;

    fn role(&self) -> Role {
        self.role
    }

    async fn take_over(&self, epoch: i64) -> Result<()> {
        let role = self.role;
        self.run("take_over", true, move |state| {
            state.sides[role.index()].epoch = epoch;
            Ok(())
        })
        .await
    }

    async fn recover(&self, epoch: i64) -> Result<Recovered> {
        let role = self.role;
        self.run("recover", true, move |state| {
            let side = &mut state.sides[role.index()];
            if side.epoch != epoch {
                return Err(fenced());
            }
            let records: Vec<DecisionRecord> =
                side.records.iter().filter(|r| r.two).cloned().collect();
            Ok(Recovered {
                end: side.end,
                log: Some(log(role)),
                begin: side.pruned,
                checkpoint: side.checkpoint.map(|seq| Position {
                    log: log(role.other()),
                    seq,
                }),
                anchor: None,
                settled: side.settled.clone(),
                open: side.open.values().cloned().collect(),
                two_sided: records,
                closed: side.records.iter().flat_map(|r| r.closes.clone()).collect(),
                chunks: side.chunks.clone(),
                copied_before: side.copied_over.iter().copied().collect(),
                touched: side.touched.clone(),
                began: side.began.clone(),
                former: side.former.clone(),
            })
        })
        .await
    }

    async fn anchor(&self, _seq: u64) -> Result<Option<i64>> {
        Ok(None)
    }

    async fn read_feed(&self, after: u64, rows_max: usize) -> Result<FeedPage> {
        let role = self.role;
        self.run("read_feed", false, move |state| {
            let side = &state.sides[role.index()];
            let mut commit = Commit {
                end: after,
                changes: Vec::new(),
            };
            let mut txn = None;
            let mut more = false;
            for e in side.log.iter().filter(|e| e.seq > after.max(side.pruned)) {
                if commit.changes.len() >= rows_max && txn != Some(e.txn) {
                    more = true;
                    break;
                }
                txn = Some(e.txn);
                commit.end = e.seq;
                commit.changes.push(Change {
                    table: e.place.0,
                    before: e.before.clone(),
                    after: e.after.clone(),
                    seq: e.seq,
                    committed_us: e.us,
                });
            }
            Ok(FeedPage {
                commit,
                more,
                anchor: None,
                schema_changed: Vec::new(),
            })
        })
        .await
    }

    async fn catch_up(&self, _after: u64, _patience: Patience) -> Result<bool> {
        Ok(true)
    }

    async fn wait(&self, _wait_ms: u64) -> Result<bool> {
        Ok(true)
    }

    async fn read_rows(&self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        let role = self.role;
        self.run("read_rows", false, move |state| {
            Ok(keys
                .iter()
                .map(|k| state.sides[role.index()].row(place(table, k)))
                .collect())
        })
        .await
    }

    async fn read_chunk(&self, table: usize, after: Option<Key>, rows_max: usize) -> Result<Chunk> {
        let (role, engine) = (self.role, self.engine);
        self.run("read_chunk", false, move |state| {
            let from = after.map_or(i64::MIN, |k| place(table, &k).1 + 1);
            let side = &state.sides[role.index()];
            let range = side.cells.range((table, from)..=(table, i64::MAX));
            let mut rows = Vec::new();
            let mut seen = Vec::new();
            let mut last = true;
            for (place, cell) in range {
                if rows.len() == rows_max {
                    last = false;
                    break;
                }
                seen.push((*place, cell.anc, cell.row.clone()));
                rows.extend(cell.row.clone());
            }
            let seq = side.end;
            // Of the target's rows only those that the source lacks are looked for.
            if role == Role::Source {
                let chunks = state.ghost.chunks.entry(engine).or_default();
                chunks.push_back(seen);
            }
            let names: Vec<String> = ["id", "a", "b"].map(str::to_owned).to_vec();
            Ok(Chunk {
                rows: ChunkRows::Cells(from_rows(&names, &rows)?),
                seq,
                last,
            })
        })
        .await
    }

    async fn apply(&self, batch: ApplyBatch, mut turn: Turn) -> Result<Applied> {
        turn.come().await?;
        let (role, engine) = (self.role, self.engine);
        let applied = self
            .run("apply", true, move |state| {
                apply(state, role, engine, &batch)
            })
            .await?;
        turn.pass();
        Ok(applied)
    }

    async fn lock(&self) -> Result<MemoryLock> {
        let (role, engine) = (self.role, self.engine);
        let store = self.clone();
        self.run("lock", true, move |state| {
            let side = &mut state.sides[role.index()];
            if side.locked_by.is_some() {
                return Err(busy());
            }
            side.locked_by = Some(engine);
            let cells = side.cells.clone();
            state.ghost.locked[role.index()] = cells;
            Ok(MemoryLock {
                store,
                held: true,
                pending: BTreeMap::new(),
                notes: Notes::default(),
            })
        })
        .await
    }

    async fn prune(&self, feed: u64, settled: [u64; 2]) -> Result<()> {
        let role = self.role;
        self.run("prune", true, move |state| {
            let side = &mut state.sides[role.index()];
            side.pruned = side.pruned.max(feed.min(side.end));
            side.settled.retain(|s| s.seq > settled[s.role.index()]);
            Ok(())
        })
        .await
    }

    async fn open_conflicts(&self) -> Result<Vec<OpenConflict>> {
        let role = self.role;
        self.run("open_conflicts", false, move |state| {
            Ok(state.sides[role.index()].open.values().cloned().collect())
        })
        .await
    }

    async fn answered_conflicts(&self) -> Result<Vec<OpenConflict>> {
        let mut all = self.open_conflicts().await?;
        all.retain(|c| c.request.is_some());
        Ok(all)
    }
}

fn log(role: Role) -> LogId {
    LogId([role.index() as u8 + 1; 16])
}

impl Side {
    pub(crate) fn row(&self, place: Place) -> Option<Row> {
        self.cells.get(&place).and_then(|c| c.row.clone())
    }

    /// Lets a table be copied once more.
    pub(crate) fn forget_copy(&mut self, table: usize) {
        let (former, left) = std::mem::take(&mut self.chunks)
            .into_iter()
            .partition(|mark| mark.table == table);
        self.chunks = left;
        if !Vec::is_empty(&former) {
            self.former.push(former);
            self.copied_over.insert(table);
        }
    }

    fn open(&mut self, conflict: &mut OpenConflict) {
        self.last_open += 1;
        let known = self
            .open
            .values()
            .find(|c| c.unit == conflict.unit)
            .map(|c| c.id);
        if let Some(id) = known {
            self.open.remove(&id);
        }
        conflict.id = self.last_open;
        self.open.insert(conflict.id, conflict.clone());
    }

    fn close(&mut self, id: i64) {
        if let Some(conflict) = self.open.remove(&id) {
            self.touched.retain(|(unit, ..)| *unit != conflict.unit);
        }
    }

    fn touch(&mut self, unit: &UnitKey, role: Role, us: Option<i64>) {
        match self
            .touched
            .iter_mut()
            .find(|(u, r, _)| u == unit && *r == role)
        {
            Some(entry) => entry.2 = us,
            None => self.touched.push((unit.clone(), role, us)),
        }
    }
}

/// Guarded writes over `rows`, which shows what is there and takes what shall be.
fn write(
    unique: bool,
    rows: &mut BTreeMap<Place, Option<Row>>,
    changes: &[RowChange],
) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Equal; changes.len()];
    let mut waiting: Vec<usize> = Vec::new();
    let deletes = (0..changes.len()).filter(|&i| changes[i].after.is_none());
    let others = (0..changes.len()).filter(|&i| changes[i].after.is_some());
    let taken = |rows: &BTreeMap<Place, Option<Row>>, at: Place, row: &Row| {
        unique.then(|| {
            rows.iter()
                .find(|(p, r)| {
                    p.0 == at.0 && p.1 != at.1 && r.as_ref().is_some_and(|r| r[1] == row[1])
                })
                .map(|(p, _)| *p)
        })?
    };
    for i in deletes.chain(others) {
        let change = &changes[i];
        let at = place(change.table, &change.key);
        let now = rows.get(&at).cloned().flatten();
        if let Some(refusal) = &change.cause.refused {
            outcomes[i] = Outcome::Suspect { kind: refusal.kind };
        } else if now == change.after {
            outcomes[i] = Outcome::Equal;
        } else if now != change.expect {
            outcomes[i] = Outcome::Suspect {
                kind: match (&change.expect, &change.after, &now) {
                    (None, ..) => ConflictKind::InsertExists,
                    (_, None, _) => ConflictKind::DeleteOriginDiffers,
                    (_, _, None) => ConflictKind::UpdateDeleted,
                    _ => ConflictKind::UpdateOriginDiffers,
                },
            };
        } else if let Some(row) = &change.after
            && taken(rows, at, row).is_some()
        {
            waiting.push(i);
        } else {
            rows.insert(at, change.after.clone());
            outcomes[i] = Outcome::Written;
        }
    }
    // What waits for each other goes in together; what still collides is blocked.
    loop {
        let mut trial = rows.clone();
        for &i in &waiting {
            trial.insert(
                place(changes[i].table, &changes[i].key),
                changes[i].after.clone(),
            );
        }
        let guilty: Vec<usize> = waiting
            .iter()
            .copied()
            .filter(|&i| {
                let at = place(changes[i].table, &changes[i].key);
                changes[i]
                    .after
                    .as_ref()
                    .is_some_and(|row| taken(&trial, at, row).is_some())
            })
            .collect();
        if guilty.is_empty() {
            *rows = trial;
            for i in waiting {
                outcomes[i] = Outcome::Written;
            }
            return outcomes;
        }
        for &i in &guilty {
            outcomes[i] = Outcome::Blocked {
                kind: ConflictKind::InsertExists,
                reason: "a unique value is taken".to_owned(),
            };
        }
        waiting.retain(|i| !guilty.contains(i));
    }
}

/// Copied rows are guarded inserts like others; only their outcomes are reported apart.
fn apply(state: &mut State, role: Role, engine: usize, batch: &ApplyBatch) -> Result<Applied> {
    let Some(copied) = &batch.copied else {
        return apply_rows(state, role, engine, batch);
    };
    let mut boxed = batch.clone();
    boxed.copied = None;
    for row in to_rows(&copied.rows.cells()?)? {
        let key = Key::of(&row, &copied.source_key);
        boxed.changes.push(RowChange {
            table: copied.table,
            unit: UnitKey {
                unit: copied.table,
                key: key.clone(),
            },
            key: key.clone(),
            expect: None,
            after: Some(row),
            cause: Cause {
                base: Base::Expected,
                source_key: key,
                committed_us: None,
                refused: None,
            },
        });
    }
    let units: Vec<UnitKey> = boxed.changes[batch.changes.len()..]
        .iter()
        .map(|c| c.unit.clone())
        .collect();
    let mut applied = apply_rows(state, role, engine, &boxed)?;
    let outcomes = applied.outcomes.split_off(batch.changes.len());
    for (unit, outcome) in units.into_iter().zip(outcomes) {
        if matches!(outcome, Outcome::Written | Outcome::Equal) {
            applied.copied += 1;
            applied.copied_settled.push(unit);
        }
    }
    Ok(applied)
}

fn apply_rows(state: &mut State, role: Role, engine: usize, batch: &ApplyBatch) -> Result<Applied> {
    let unique = state.unique;
    let side = &mut state.sides[role.index()];
    if side.epoch != batch.epoch {
        return Err(fenced());
    }
    let moves = batch.to != batch.from || batch.chunk.is_none();
    if moves && side.checkpoint.unwrap_or(0) != batch.from {
        return Err(fenced());
    }
    let end = side.end;
    let mut rows: BTreeMap<Place, Option<Row>> = side
        .cells
        .iter()
        .map(|(p, c)| (*p, c.row.clone()))
        .collect();
    let outcomes = write(unique, &mut rows, &batch.changes);
    Ghost::applied(state, role, engine, batch, &outcomes);
    let side = &mut state.sides[role.index()];
    let mut settled = Vec::new();
    let mut opened = Vec::new();
    for (change, outcome) in batch.changes.iter().zip(&outcomes) {
        let at = place(change.table, &change.key);
        let (kind, conflict_state, reason) = match outcome {
            Outcome::Written | Outcome::Equal => {
                if *outcome == Outcome::Written {
                    let cell = side.cells.entry(at).or_default();
                    cell.row.clone_from(&change.after);
                    cell.version += 1;
                    side.written += 1;
                }
                let needs = batch.chunk.is_none()
                    || side
                        .log
                        .iter()
                        .any(|e| e.seq > batch.own_feed_read && e.place == at);
                if needs {
                    settled.push(change.unit.clone());
                }
                continue;
            }
            Outcome::Suspect { kind } => match &change.cause.refused {
                Some(r) => (r.kind, r.state, r.reason.clone()),
                None => (*kind, OpenState::Open, String::new()),
            },
            Outcome::Blocked { kind, reason } => (*kind, OpenState::Waiting, reason.clone()),
        };
        let mut committed_us = [None; 2];
        committed_us[role.other().index()] = change.cause.committed_us;
        let mut conflict = OpenConflict {
            home: role,
            id: 0,
            unit: change.unit.clone(),
            source_key: change.cause.source_key.clone(),
            direction: role.other().outgoing(),
            kind,
            base: match &change.cause.base {
                Base::Expected => change.expect.clone(),
                Base::Row(row) => row.clone(),
                Base::Unknown => None,
            },
            base_known: change.cause.base != Base::Unknown,
            interrupted: false,
            committed_us,
            state: conflict_state,
            reason,
            rule: String::new(),
            request: None,
            at_us: 0,
        };
        side.open(&mut conflict);
        opened.push(conflict);
    }
    if !settled.is_empty() {
        side.settled.push(Settled {
            role,
            seq: end,
            units: settled,
        });
    }
    for (unit, us) in &batch.touched {
        side.touch(unit, role.other(), *us);
    }
    for began in &batch.began {
        side.began.retain(|b| b.unit != began.unit);
        side.began.push(began.clone());
    }
    side.began
        .retain(|b| !batch.ended.contains(&(b.table, b.unit.clone())));
    if batch.is_over {
        side.began.clear();
        side.former.clear();
    }
    if let Some(mark) = batch.chunk.as_ref().filter(|mark| mark.over_rows) {
        side.copied_over.insert(mark.table);
    }
    side.chunks.extend(batch.chunk.clone());
    if moves {
        side.checkpoint = Some(batch.to);
    }
    Ok(Applied {
        outcomes,
        end,
        opened,
        ..Applied::default()
    })
}

/// What a lock's transaction is going to note.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) records: Vec<DecisionRecord>,
    pub(crate) settled: Vec<Settled>,
    pub(crate) close: Vec<i64>,
    states: Vec<OpenConflict>,
    open: Vec<OpenConflict>,
}

/// A write transaction; undone when dropped.
pub(crate) struct MemoryLock {
    store: MemoryStore,
    held: bool,
    pending: BTreeMap<Place, Option<Row>>,
    notes: Notes,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        if self.held {
            self.store.world.state().sides[self.store.role.index()].locked_by = None;
        }
    }
}

impl StoreLock for MemoryLock {
    async fn check_epoch(&mut self, epoch: i64) -> Result<()> {
        let role = self.store.role;
        self.store
            .run("check_epoch", true, move |state| {
                if state.sides[role.index()].epoch == epoch {
                    Ok(())
                } else {
                    Err(fenced())
                }
            })
            .await
    }

    async fn end(&mut self) -> Result<u64> {
        let role = self.store.role;
        self.store
            .run("end", true, move |state| Ok(state.sides[role.index()].end))
            .await
    }

    async fn read_rows(&mut self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        let role = self.store.role;
        let pending = &self.pending;
        self.store
            .run("lock.read_rows", true, move |state| {
                Ok(keys
                    .iter()
                    .map(|k| {
                        let at = place(table, k);
                        match pending.get(&at) {
                            Some(row) => row.clone(),
                            None => state.sides[role.index()].row(at),
                        }
                    })
                    .collect())
            })
            .await
    }

    async fn write(&mut self, changes: Vec<RowChange>) -> Result<Vec<Outcome>> {
        let role = self.store.role;
        let pending = &mut self.pending;
        self.store
            .run("lock.write", true, move |state| {
                let mut rows: BTreeMap<Place, Option<Row>> = state.sides[role.index()]
                    .cells
                    .iter()
                    .map(|(p, c)| (*p, c.row.clone()))
                    .collect();
                rows.extend(pending.clone());
                let outcomes = write(state.unique, &mut rows, &changes);
                for (change, outcome) in changes.iter().zip(&outcomes) {
                    if *outcome == Outcome::Written {
                        pending.insert(place(change.table, &change.key), change.after.clone());
                    }
                }
                Ok(outcomes)
            })
            .await
    }

    async fn new_key(&mut self, table: usize) -> Result<Option<Key>> {
        let role = self.store.role;
        self.store
            .run("new_key", true, move |state| {
                let max = state.sides[role.index()]
                    .cells
                    .iter()
                    .filter(|(p, c)| p.0 == table && c.row.is_some())
                    .map(|(p, _)| p.1)
                    .max();
                Ok(Some(Key(vec![Value::Int(max.unwrap_or(0) + 1)])))
            })
            .await
    }

    async fn note(
        &mut self,
        records: Vec<DecisionRecord>,
        settled: Vec<Settled>,
        close: Vec<i64>,
        states: Vec<OpenConflict>,
        open: Vec<OpenConflict>,
    ) -> Result<Vec<i64>> {
        let role = self.store.role;
        let notes = &mut self.notes;
        self.store
            .run("note", true, move |state| {
                let last = state.sides[role.index()].last_open;
                let ids = (0..open.len() as i64).map(|i| last + 1 + i).collect();
                notes.records.extend(records);
                notes.settled.extend(settled);
                notes.close.extend(close);
                notes.states.extend(states);
                notes.open.extend(open);
                Ok(ids)
            })
            .await
    }

    async fn commit(mut self) -> Result<()> {
        let role = self.store.role;
        let store = self.store.clone();
        let pending = std::mem::take(&mut self.pending);
        let notes = std::mem::take(&mut self.notes);
        store
            .run("commit", true, move |state| {
                Ghost::decided(state, role, &pending, &notes);
                let side = &mut state.sides[role.index()];
                for (at, row) in pending {
                    let cell = side.cells.entry(at).or_default();
                    if cell.row != row {
                        cell.version += 1;
                    }
                    cell.row = row;
                    side.written += 1;
                }
                side.records.extend(notes.records);
                side.settled.extend(notes.settled);
                for id in notes.close {
                    side.close(id);
                }
                for conflict in notes.states {
                    if let Some(known) = side.open.get_mut(&conflict.id) {
                        *known = conflict;
                    }
                }
                for mut conflict in notes.open {
                    side.open(&mut conflict);
                }
                Ok(())
            })
            .await
    }
}
