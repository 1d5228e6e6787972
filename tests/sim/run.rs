//! One schedule: applications, engines, faults, a person, and at the end the oracle.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use banyan::data::{LogicalType, Row, Value, canonical};
use banyan::database::{OpenState, Resolution, Role};
use banyan::error::{ErrorKind, Result};
use banyan::rule::mapping::{How, MappedTable, TableMapping};
use banyan::rule::{Direction, OnFailure, Resolve, RuleColumn, RuleTable};
use banyan::sync::{Engine, EngineOptions, Plan, Unit};

use super::ghost::{Ancestry, Ghost};
use super::store::{Entry, Fate, MemoryStore, Place, World, place};

/// Where a schedule's decisions come from.
pub(crate) trait Chooser {
    /// A number below `n`.
    fn choose(&mut self, n: usize) -> usize;

    /// Whether something with a chance of one in `n` happens.
    fn one_in(&mut self, n: usize) -> bool {
        self.choose(n) == 0
    }
}

/// From a seed (xorshift64*).
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds shall not begin alike (splitmix64).
        let z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((z ^ (z >> 27)) | 1)
    }
}

impl Chooser for Seed {
    fn choose(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let x = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        x as usize % n
    }
}

/// What applications write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Inserts, updates, deletes; values from a tiny set, so that x → y → x happens.
    Tiny,
    /// Inserts and updates; no value is ever used twice.
    Fresh,
    /// Only `a = a + n`, no two `n` alike, on rows that are there from the start.
    Deltas,
}

/// The bounds of a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) strategy: &'static str,
    pub(crate) writes: Writes,
    pub(crate) tables: usize,
    pub(crate) keys: i64,
    /// Rows in the source before capture began.
    pub(crate) initial: i64,
    /// Application transactions.
    pub(crate) transactions: usize,
    pub(crate) rows_in_transaction_max: usize,
    /// Crashes, failed operations and lost replies.
    pub(crate) faults: usize,
    /// Whether the target has those rows, too.
    pub(crate) prefilled: bool,
    /// Tables that are copied once more, after crashes.
    pub(crate) recopies: usize,
    /// Of the crashes, so many engines live on.
    pub(crate) zombies: usize,
    /// Whether commit times may be unknown or equal.
    pub(crate) vague_times: bool,
    pub(crate) options: EngineOptions,
}

/// What a schedule did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) operations: u64,
    pub(crate) decisions: u64,
    pub(crate) suspects: u64,
    pub(crate) crashes: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, o: Self) {
        self.operations += o.operations;
        self.decisions += o.decisions;
        self.suspects += o.suspects;
        self.crashes += o.crashes;
    }
}

type Driver = Pin<Box<dyn Future<Output = Result<()>>>>;

pub(crate) const COPY: u8 = 0;
pub(crate) const FORWARD: u8 = 1;
pub(crate) const BACKWARD: u8 = 2;
pub(crate) const DECIDE: u8 = 3;
pub(crate) const RETRY: u8 = 4;
pub(crate) const REQUESTS: u8 = 5;
pub(crate) const FLUSH: u8 = 6;

async fn drive(world: World, engine: usize, plan: Plan, options: EngineOptions) -> Result<()> {
    let store = |role| MemoryStore {
        role,
        world: world.clone(),
        engine,
    };
    let (source, target) = (store(Role::Source), store(Role::Target));
    let mut e = Engine::start(source, target, plan, options).await?;
    loop {
        let Fate::Step(step) = world.gate(engine, None, "step").await else {
            return Ok(());
        };
        let progress = match step {
            COPY => e.copy_chunk().await,
            FORWARD => e.step(Direction::Forward).await,
            BACKWARD => e.step(Direction::Backward).await,
            DECIDE => patiently(e.decide().await),
            RETRY => patiently(e.retry_waiting().await),
            REQUESTS => patiently(e.carry_out_requests().await),
            _ => e.flush().await.map(|()| false),
        }?;
        world.state().progress.insert(engine, progress);
    }
}

fn patiently(result: Result<bool>) -> Result<bool> {
    match result {
        Err(e) if e.kind() == ErrorKind::Busy => Ok(false),
        other => other,
    }
}

pub(crate) fn plan(tables: usize, resolver: &Arc<dyn Resolve>) -> Plan {
    let column = |name: &str| RuleColumn {
        name: name.to_owned(),
        declared_type: "INTEGER".to_owned(),
        logical: LogicalType::Int,
        nullable: false,
    };
    let side = |n: usize| MappedTable {
        table: RuleTable {
            name: format!("t{n}"),
            columns: ["id", "a", "b"].map(column).to_vec(),
            key: vec![0],
        },
        stored: None,
    };
    Plan {
        migration: "sim".to_owned(),
        two_way: true,
        mappings: (0..tables)
            .map(|n| TableMapping {
                source: side(n),
                targets: vec![side(n)],
                how: How::Columns,
                filter: None,
                filter_sql: None,
            })
            .collect(),
        units: (0..tables)
            .map(|n| Unit {
                name: format!("t{n}"),
                mapping: n,
                target: 0,
                resolver: Arc::clone(resolver),
                on_failure: OnFailure::Park,
                validator: None,
                added: Vec::new(),
            })
            .collect(),
    }
}

fn hash(row: Option<&Row>) -> [u8; 32] {
    row.map_or_else(
        || *blake3::hash(b"no row").as_bytes(),
        |r| canonical::hash(r),
    )
}

/// The person's last look at a parked conflict.
struct Look {
    home: Role,
    id: i64,
    rows: [Option<Row>; 2],
}

/// A schedule under way.
pub(crate) struct Sim<'c, C> {
    pub(crate) world: World,
    pub(crate) config: Config,
    chooser: &'c mut C,
    plan: Plan,
    engine: Option<Driver>,
    pub(crate) id: usize,
    zombies: Vec<(usize, Driver, u32)>,
    /// So many more steps a dead engine begins.
    dead_steps: u32,
    bits: u32,
    clock: i64,
    fresh: i64,
    look: Option<Look>,
    deltas: BTreeMap<Place, i64>,
    last: BTreeMap<Place, Option<Row>>,
    tally: Tally,
}

impl<'c, C: Chooser> Sim<'c, C> {
    pub(crate) fn new(config: Config, resolver: &Arc<dyn Resolve>, chooser: &'c mut C) -> Self {
        let mut sim = Self {
            world: World::default(),
            plan: plan(config.tables, resolver),
            config,
            chooser,
            engine: None,
            id: 0,
            zombies: Vec::new(),
            dead_steps: 3,
            bits: 0,
            clock: 0,
            fresh: 100,
            look: None,
            deltas: BTreeMap::new(),
            last: BTreeMap::new(),
            tally: Tally::default(),
        };
        for table in 0..sim.config.tables {
            for key in 1..=sim.config.initial {
                let row = vec![key.into(), 1.into(), 1.into()];
                let mut state = sim.world.state();
                let cell = state.sides[0].cells.entry((table, key)).or_default();
                cell.row = Some(row.clone());
                cell.anc = 1 << sim.bits;
                if sim.config.prefilled {
                    let cell = cell.clone();
                    state.prefilled = true;
                    state.sides[1].cells.insert((table, key), cell);
                }
                sim.bits += 1;
                drop(state);
                sim.last.insert((table, key), Some(row));
                sim.deltas.insert((table, key), 1);
            }
        }
        sim
    }

    pub(crate) fn fail(&self, what: &str) -> ! {
        let state = self.world.state();
        for line in &state.story {
            println!("  {line}");
        }
        panic!("{what}\n{:?}\n{:?}", state.ghost.violations, self.config);
    }

    pub(crate) fn start(&mut self) {
        self.id += 1;
        let world = self.world.clone();
        let driver = drive(world, self.id, self.plan.clone(), self.config.options);
        self.engine = Some(Box::pin(driver));
        let id = self.id;
        self.world.state().tell(|| format!("engine {id} starts"));
        self.poll(None);
    }

    /// Lets the engine run to its next gate.
    pub(crate) fn poll(&mut self, fate: Option<Fate>) {
        let id = self.id;
        let Some(engine) = &mut self.engine else {
            return;
        };
        {
            let mut state = self.world.state();
            if let Some(fate) = fate {
                let gates = state.at_gate.get(&id).cloned().unwrap_or_default();
                let what = match gates[..] {
                    [one] => one,
                    _ => gates[self.chooser.choose(gates.len())],
                };
                state.tell(|| format!("engine {id}: {what} {fate:?}"));
                state.fate.insert(id, (what, fate));
            }
        }
        self.tally.operations += 1;
        let mut context = Context::from_waker(futures::task::noop_waker_ref());
        if let Poll::Ready(result) = engine.as_mut().poll(&mut context) {
            self.engine = None;
            self.ended(id, result);
        }
    }

    fn ended(&mut self, id: usize, result: Result<()>) {
        if let Err(e) = result {
            self.world.state().tell(|| format!("engine {id} ends: {e}"));
            let current = id == self.id;
            let fine = match e.kind() {
                ErrorKind::Unavailable | ErrorKind::Busy => true,
                // An older engine that was still starting may take over once more.
                ErrorKind::Fenced => !current || self.config.zombies > 0,
                _ => false,
            };
            if !fine {
                self.fail(&format!("engine {id} ended: {e:?}"));
            }
        }
        if !self.world.state().ghost.violations.is_empty() {
            self.fail("violated");
        }
    }

    pub(crate) fn at(&self) -> &'static str {
        let state = self.world.state();
        let gates = state.at_gate.get(&self.id);
        gates.and_then(|g| g.first()).copied().unwrap_or("")
    }

    pub(crate) fn crash(&mut self, lives_on: bool) {
        self.tally.crashes += 1;
        let id = self.id;
        self.world
            .state()
            .tell(|| format!("engine {id} crashes; lives on: {lives_on}"));
        if let Some(driver) = self.engine.take()
            && lives_on
        {
            self.zombies.push((id, driver, self.dead_steps));
        }
    }

    fn poll_zombie(&mut self, i: usize) {
        let (id, mut driver, left) = self.zombies.swap_remove(i);
        let gates = self
            .world
            .state()
            .at_gate
            .get(&id)
            .cloned()
            .unwrap_or_default();
        let what = gates.first().copied().unwrap_or("");
        let fate = if what == "step" && left > 0 {
            Fate::Step(self.chooser.choose(7) as u8)
        } else {
            Fate::Go
        };
        {
            let mut state = self.world.state();
            state.tell(|| format!("dead engine {id}: {what} {fate:?}"));
            state.fate.insert(id, (what, fate));
        }
        let mut context = Context::from_waker(futures::task::noop_waker_ref());
        match driver.as_mut().poll(&mut context) {
            Poll::Ready(result) => self.ended(id, result),
            Poll::Pending => {
                let left = left - u32::from(what == "step");
                self.zombies.push((id, driver, left));
            }
        }
    }

    pub(crate) fn can_write(&self, side: usize) -> bool {
        self.world.state().sides[side].locked_by.is_none()
    }

    /// A transaction of an application: each change is a key and its new row.
    pub(crate) fn write(&mut self, side: usize, changes: Vec<(Place, Option<Row>)>) {
        self.clock += 1;
        let us = if self.config.vague_times && self.chooser.one_in(3) {
            None
        } else if self.config.vague_times && self.chooser.one_in(3) {
            Some(1)
        } else {
            Some(self.clock)
        };
        let mut state = self.world.state();
        let txn = u32::try_from(self.clock).unwrap_or(0);
        for (at, after) in changes {
            let bit: Ancestry = 1 << self.bits;
            self.bits += 1;
            let side_state = &mut state.sides[side];
            side_state.end += 1;
            let seq = side_state.end;
            let cell = side_state.cells.entry(at).or_default();
            let before = std::mem::replace(&mut cell.row, after.clone());
            cell.anc |= bit;
            cell.version += 1;
            let anc = cell.anc;
            side_state.log.push(Entry {
                seq,
                txn,
                place: at,
                before: before.clone(),
                after: after.clone(),
                us,
                anc,
                bit,
            });
            state.tell(|| {
                format!(
                    "app {side} @{seq}: {at:?} {} -> {}",
                    show(&before),
                    show(&after)
                )
            });
            self.last.insert(at, after);
        }
    }

    /// A random transaction on a side.
    fn random_write(&mut self, side: usize) {
        let n = 1 + self.chooser.choose(self.config.rows_in_transaction_max);
        let mut changes: Vec<(Place, Option<Row>)> = Vec::new();
        for _ in 0..n {
            let at = (
                self.chooser.choose(self.config.tables),
                1 + self.chooser.choose(self.config.keys as usize) as i64,
            );
            let now = match changes.iter().rev().find(|(p, _)| *p == at) {
                Some((_, row)) => row.clone(),
                None => self.world.state().sides[side].row(at),
            };
            let after = match self.config.writes {
                Writes::Tiny => {
                    if now.is_some() && self.chooser.one_in(4) {
                        None
                    } else {
                        let old = now
                            .clone()
                            .unwrap_or_else(|| vec![at.1.into(), 0.into(), 0.into()]);
                        let mut row = old.clone();
                        let which = if now.is_none() {
                            2
                        } else {
                            self.chooser.choose(3)
                        };
                        if which != 1 {
                            row[1] = (1 + self.chooser.choose(3) as i64).into();
                        }
                        if which != 0 {
                            row[2] = (1 + self.chooser.choose(2) as i64).into();
                        }
                        if Some(&row) == now.as_ref() {
                            continue;
                        }
                        Some(row)
                    }
                }
                Writes::Fresh => {
                    self.fresh += 1;
                    Some(vec![at.1.into(), self.fresh.into(), 0.into()])
                }
                Writes::Deltas => {
                    let Some(mut row) = now else { continue };
                    let Value::Int(a) = row[1] else { continue };
                    // Sums of different deltas are different.
                    let delta = 1_i64 << (2 + self.bits.min(55) + changes.len() as u32);
                    row[1] = (a + delta).into();
                    *self.deltas.entry(at).or_default() += delta;
                    Some(row)
                }
            };
            changes.push((at, after));
        }
        if !changes.is_empty() {
            self.write(side, changes);
        }
    }

    fn parked(&self) -> Vec<(Role, i64)> {
        let state = self.world.state();
        Role::BOTH
            .into_iter()
            .flat_map(|r| {
                state.sides[r.index()]
                    .open
                    .values()
                    .filter(|c| c.state == OpenState::Parked)
                    .map(move |c| (r, c.id))
            })
            .collect()
    }

    /// A person looks at a parked conflict, or answers what they looked at.
    pub(crate) fn person(&mut self) {
        if let Some(look) = self.look.take() {
            let resolution = match self.chooser.choose(8) {
                0..=2 => Resolution::Source,
                3..=5 => Resolution::Target,
                6 => Resolution::Delete,
                _ => Resolution::Retry,
            };
            self.answer(&look, resolution);
            return;
        }
        let parked = self.parked();
        if let Some(&(home, id)) = parked.get(self.chooser.choose(parked.len().max(1))) {
            let look = self.see(home, id);
            self.look = Some(look);
        }
    }

    fn see(&self, home: Role, id: i64) -> Look {
        let state = self.world.state();
        let unit = &state.sides[home.index()].open[&id].unit;
        let at = place(unit.unit, &unit.key);
        Look {
            home,
            id,
            rows: [0, 1].map(|s: usize| state.sides[s].row(at)),
        }
    }

    fn answer(&self, look: &Look, resolution: Resolution) {
        let mut state = self.world.state();
        state.tell(|| format!("person answers {resolution:?} on {:?}", look.rows));
        let seen = [hash(look.rows[0].as_ref()), hash(look.rows[1].as_ref())];
        state.ghost.looks.push(look.rows.clone());
        if let Some(c) = state.sides[look.home.index()].open.get_mut(&look.id) {
            c.request = Some((resolution, seen));
        }
    }

    /// Runs the whole schedule. Panics where the oracle objects.
    pub(crate) fn run(mut self) -> Tally {
        let mut transactions = self.config.transactions;
        let mut faults = self.config.faults;
        let mut zombies = self.config.zombies;
        let mut recopies = self.config.recopies;
        self.start();
        if self.config.writes == Writes::Fresh {
            // Of what was there before, no store knows when it was written.
            while self.step(COPY) {}
        }
        while transactions > 0 {
            if self.chooser.one_in(4) {
                let side = self.chooser.choose(2);
                if self.can_write(side) {
                    self.random_write(side);
                    transactions -= 1;
                }
                continue;
            }
            if !self.zombies.is_empty() && self.chooser.one_in(3) {
                let i = self.chooser.choose(self.zombies.len());
                self.poll_zombie(i);
                continue;
            }
            if self.chooser.one_in(12) {
                self.person();
                continue;
            }
            if self.engine.is_none() {
                if recopies > 0 && self.zombies.is_empty() && self.chooser.one_in(2) {
                    recopies -= 1;
                    let table = self.chooser.choose(self.config.tables);
                    let mut state = self.world.state();
                    state.tell(|| format!("table {table} is copied once more"));
                    state.sides[1].forget_copy(table);
                }
                self.start();
                continue;
            }
            let often = if self.config.recopies > 0 { 12 } else { 30 };
            if faults > 0 && self.chooser.one_in(often) {
                faults -= 1;
                match self.chooser.choose(4) {
                    0 => self.crash(false),
                    1 if zombies > 0 => {
                        zombies -= 1;
                        self.crash(true);
                    }
                    2 if self.at() != "step" => self.poll(Some(Fate::Fail)),
                    _ if self.at() != "step" => self.poll(Some(Fate::LoseReply)),
                    _ => self.crash(false),
                }
                continue;
            }
            self.advance();
        }
        self.rest();
        self.check();
        let state = self.world.state();
        Tally {
            decisions: state.ghost.by_rule + state.ghost.by_person,
            suspects: state.ghost.suspects,
            ..self.tally
        }
    }

    /// One operation of the engine, of its own choice where it has one.
    fn advance(&mut self) {
        let fate = if self.at() == "step" {
            Fate::Step(self.chooser.choose(7) as u8)
        } else {
            Fate::Go
        };
        self.poll(Some(fate));
    }

    /// Runs one step of the engine to its end.
    pub(crate) fn step(&mut self, step: u8) -> bool {
        self.ready();
        self.poll(Some(Fate::Step(step)));
        while self.engine.is_some() && self.at() != "step" {
            self.poll(Some(Fate::Go));
        }
        let state = self.world.state();
        self.engine.is_some() && state.progress.get(&self.id).copied().unwrap_or(false)
    }

    /// Goes on with the engine's step under way, up to the gate of `what`; `false` when the step
    /// ends before.
    pub(crate) fn to(&mut self, what: &str) -> bool {
        while self.engine.is_some() && self.at() != "step" {
            if self.at() == what {
                return true;
            }
            self.poll(Some(Fate::Go));
        }
        false
    }

    /// Begins a step of the engine and goes up to the gate of `what`.
    pub(crate) fn step_to(&mut self, step: u8, what: &str) -> bool {
        self.ready();
        self.poll(Some(Fate::Step(step)));
        self.to(what)
    }

    /// Starts an engine if there is none, and brings it to where it chooses a step.
    pub(crate) fn ready(&mut self) {
        loop {
            if self.engine.is_none() {
                self.start();
            }
            if self.at() == "step" {
                return;
            }
            self.poll(Some(Fate::Go));
            if self.engine.is_none() {
                // A dead engine may hold a lock.
                self.let_the_dead_go_on();
            }
        }
    }

    /// Lets dead engines do what they were about to do, and all they like afterwards.
    pub(crate) fn let_the_dead_go_on(&mut self) {
        while !self.zombies.is_empty() {
            self.poll_zombie(0);
        }
    }

    /// Every place at which applications may write and engines may die, as the chooser says.
    /// Writes on a side are tried only before operations on that side, and crashes only before
    /// those that write: the others commute.
    pub(crate) fn run_all_places(mut self, mut writes: [usize; 2]) -> Tally {
        while self.step(COPY) {}
        let mut faults = self.config.faults;
        let mut zombies = self.config.zombies;
        self.dead_steps = 0;
        // Before the first write nothing happens.
        let first = if writes.contains(&0) {
            usize::from(writes[0] == 0)
        } else {
            self.chooser.choose(2)
        };
        writes[first] -= 1;
        self.write_one(first);
        let rounds = if faults > 0 { 2 } else { 3 };
        for _ in 0..rounds {
            for step in [FORWARD, BACKWARD, DECIDE] {
                self.ready();
                self.poll(Some(Fate::Step(step)));
                while self.engine.is_some() && self.at() != "step" {
                    let side = self
                        .world
                        .state()
                        .gate_side
                        .get(&self.id)
                        .copied()
                        .flatten();
                    if let Some(side) = side
                        && writes[side] > 0
                        && self.can_write(side)
                        && self.chooser.one_in(2)
                    {
                        writes[side] -= 1;
                        self.write_one(side);
                        continue;
                    }
                    let what = self.at();
                    if matches!(what, "apply" | "commit" | "take_over") && faults > 0 {
                        match self.chooser.choose(3) {
                            1 => {
                                faults -= 1;
                                self.crash(false);
                                continue;
                            }
                            2 if zombies > 0 => {
                                faults -= 1;
                                zombies -= 1;
                                self.crash(true);
                                continue;
                            }
                            _ => {}
                        }
                    }
                    if !self.zombies.is_empty()
                        && matches!(what, "apply" | "commit" | "recover")
                        && self.chooser.one_in(2)
                    {
                        self.let_the_dead_go_on();
                        continue;
                    }
                    self.poll(Some(Fate::Go));
                }
            }
        }
        self.rest();
        self.check();
        self.tally
    }

    /// Another value for the only row, or none.
    fn write_one(&mut self, side: usize) {
        let at = (0, 1);
        let now = self.world.state().sides[side].row(at).map(|r| r[1].clone());
        let others: Vec<Option<i64>> = [None, Some(1), Some(2)]
            .into_iter()
            .filter(|v| v.map(Value::Int) != now)
            .collect();
        let value = others[self.chooser.choose(others.len())];
        let row = value.map(|v| vec![1.into(), v.into(), 1.into()]);
        self.write(side, vec![(at, row)]);
    }

    /// No more writes and no more faults, until nothing moves.
    pub(crate) fn rest(&mut self) {
        self.let_the_dead_go_on();
        self.look = None;
        for _ in 0..200 {
            let mut progress = false;
            let id = self.id;
            for step in [COPY, FORWARD, BACKWARD, DECIDE, RETRY, REQUESTS] {
                progress |= self.step(step);
            }
            let parked = self.parked();
            for (home, id) in &parked {
                let look = self.see(*home, *id);
                let resolution = if self.chooser.one_in(2) {
                    Resolution::Source
                } else {
                    Resolution::Target
                };
                self.answer(&look, resolution);
            }
            if progress || !parked.is_empty() || self.id != id || self.engine.is_none() {
                continue;
            }
            self.step(FLUSH);
            let state = self.world.state();
            if self.engine.is_some() && state.sides.iter().all(|s| s.open.is_empty()) {
                return;
            }
        }
        self.fail("stuck: never comes to rest");
    }

    pub(crate) fn check(&mut self) {
        {
            let mut state = self.world.state();
            Ghost::at_rest(&mut state);
            if let Some(what) = state.ghost.violations.first().cloned() {
                drop(state);
                self.fail(&what);
            }
        }
        self.check_values();
        // A restart finds nothing to do.
        let written = |s: &Self| s.world.state().sides.iter().map(|s| s.written).sum::<u64>();
        let before = written(self);
        self.engine = None;
        for step in [COPY, FORWARD, BACKWARD, DECIDE] {
            self.step(step);
        }
        let state = self.world.state();
        let open = state.sides.iter().map(|s| s.open.len()).sum::<usize>();
        drop(state);
        if written(self) != before || open > 0 {
            self.fail("a restart at rest wrote something");
        }
    }

    fn check_values(&self) {
        let state = self.world.state();
        let rows: BTreeMap<Place, Option<Row>> = state.sides[0]
            .cells
            .iter()
            .map(|(p, c)| (*p, c.row.clone()))
            .collect();
        drop(state);
        if self.config.writes == Writes::Deltas && self.config.strategy == "add-deltas" {
            for (at, sum) in &self.deltas {
                let a = rows.get(at).and_then(|r| r.as_ref()).map(|r| r[1].clone());
                if a != Some((*sum).into()) {
                    self.fail(&format!("counter {at:?} is {a:?}, must be {sum}"));
                }
            }
        }
        let last = self.config.strategy == "last-write-wins";
        if self.config.writes == Writes::Fresh && last && !self.config.vague_times {
            for (at, row) in &self.last {
                if rows.get(at) != Some(row) {
                    self.fail(&format!(
                        "{at:?}: the last write {} is not what is there",
                        show(row)
                    ));
                }
            }
        }
    }
}

pub(crate) fn show(row: &Option<Row>) -> String {
    match row {
        None => "-".to_owned(),
        Some(row) => format!("{}/{}", row[1], row[2]),
    }
}
