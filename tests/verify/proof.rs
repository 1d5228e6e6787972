//! The running proof against a world in which everything comes late: rows flip between two values, a
//! change is in the log before anybody sees it, it is noted before it arrives, and looks fall anywhere
//! in between.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use banyan::data::{Key, Row, Value};
use banyan::database::UnitKey;
use banyan::error::Result;
use banyan::verify::{Across, BothRows, Flow, Ground, Moving, Proof, ProofTable, Round};
use futures::future::BoxFuture;

use super::support::side;
use crate::sim::{Chooser, Seed};

const ROWS: usize = 6;
const BACKLOG_MAX: usize = 20;
const PATIENCE: Duration = Duration::from_secs(1);

type Cells = Option<[i64; 2]>;

/// A change, on its way from the log to the target.
#[derive(Clone, Copy)]
struct Change {
    row: usize,
    is: Cells,
}

struct World {
    seed: Seed,
    /// How often each thing happens in this world, and to how many rows.
    often: [usize; 4],
    busy: usize,
    source: [Cells; ROWS],
    /// What is in the log and nobody sees yet.
    hidden: VecDeque<Change>,
    /// What is in the log and nobody has read.
    log: VecDeque<Change>,
    /// What was read, noted, and is being applied.
    read: VecDeque<Change>,
    target: [Cells; ROWS],
    notes: BTreeSet<usize>,
    noted_ever: BTreeSet<usize>,
    committed: usize,
    applied: usize,
    writes: bool,
    deletes: bool,
    /// The next change is not written, though it counts as applied.
    swallows: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut seed = Seed::new(seed);
        Self {
            often: std::array::from_fn(|_| 1 + seed.choose(5)),
            busy: 1 + seed.choose(ROWS),
            seed,
            source: [Some([0, 0]); ROWS],
            hidden: VecDeque::new(),
            log: VecDeque::new(),
            read: VecDeque::new(),
            target: [Some([0, 0]); ROWS],
            notes: BTreeSet::new(),
            noted_ever: BTreeSet::new(),
            committed: 0,
            applied: 0,
            writes: true,
            deletes: true,
            swallows: false,
        }
    }

    /// Changes that somebody does not see yet.
    fn on_the_way(&self) -> usize {
        self.hidden.len().max(self.committed - self.applied)
    }

    /// Something happens, or nothing.
    fn step(&mut self) {
        let mut at = self.seed.choose(self.often.iter().sum());
        let what = self.often.iter().position(|&often| {
            let is_it = at < often;
            at = at.saturating_sub(often);
            is_it
        });
        match what.unwrap() {
            0 if self.writes && self.on_the_way() < BACKLOG_MAX => {
                let row = self.seed.choose(self.busy);
                let hidden = self.hidden.iter().rev().find(|c| c.row == row);
                let is = match hidden.map_or(self.source[row], |change| change.is) {
                    None => Some([0, 0]),
                    Some(_) if self.deletes && self.seed.choose(5) == 0 => None,
                    Some([a, b]) => Some([a, 1 - b]),
                };
                let change = Change { row, is };
                self.log.push_back(change);
                self.hidden.push_back(change);
                self.committed += 1;
            }
            1 => {
                if let Some(change) = self.hidden.pop_front() {
                    self.source[change.row] = change.is;
                }
            }
            2 => {
                if let Some(change) = self.log.pop_front() {
                    self.notes.insert(change.row);
                    self.noted_ever.insert(change.row);
                    self.read.push_back(change);
                }
            }
            _ => {
                if let Some(Change { row, is }) = self.read.pop_front() {
                    // Only what changed: `a` is nobody's but the vandal's.
                    if !std::mem::take(&mut self.swallows) {
                        self.target[row] = match (self.target[row], is) {
                            (Some([a, _]), Some([_, b])) => Some([a, b]),
                            (_, is) => is,
                        };
                    }
                    self.applied += 1;
                }
            }
        }
    }

    fn some_steps(&mut self) {
        for _ in 0..self.seed.choose(12) {
            self.step();
        }
    }
}

struct Model(Mutex<World>);

impl Model {
    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }
}

fn row(id: i64, cells: Cells) -> Option<Row> {
    cells.map(|[a, b]| vec![Value::Int(id), Value::Int(a), Value::Int(b)])
}

impl Flow for Model {
    fn is_carried(&self) -> Result<bool> {
        Ok(true)
    }

    fn across(&self, _: Duration) -> BoxFuture<'_, Result<Across>> {
        self.with(|world| {
            let end = world.committed;
            while world.applied < end || world.hidden.len() > world.committed - end {
                world.step();
            }
        });
        Box::pin(async { Ok(Across::Carried(Moving::default())) })
    }
}

impl Ground for Model {
    fn open(&self) -> BoxFuture<'_, Result<Vec<(UnitKey, Key)>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn noted(&self) -> Option<Vec<(UnitKey, Key)>> {
        let rows = self.with(|world| {
            world.some_steps();
            std::mem::take(&mut world.notes)
        });
        let key = |row| Key(vec![Value::Int(i64::try_from(row).unwrap())]);
        let noted = rows.into_iter().map(|row| {
            let unit = UnitKey {
                unit: 0,
                key: key(row),
            };
            (unit, key(row))
        });
        Some(noted.collect())
    }

    fn rows<'a>(
        &'a self,
        _: usize,
        keys: &'a [(Key, Key)],
    ) -> BoxFuture<'a, Result<Vec<Option<BothRows>>>> {
        let ids = keys.iter().map(|(key, _)| match key.0[..] {
            [Value::Int(id)] => id,
            _ => panic!("{key}"),
        });
        let rows = ids.map(|id| {
            self.with(|world| {
                let at = usize::try_from(id).unwrap();
                world.some_steps();
                let source = row(id, world.source[at]);
                world.some_steps();
                let target = row(id, world.target[at]);
                Some(BothRows { source, target })
            })
        });
        let rows = rows.collect();
        Box::pin(async { Ok(rows) })
    }

    fn flow(&self) -> &dyn Flow {
        self
    }

    fn rest(&self, _: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn proof() -> Proof {
    let table = side("t", &["id", "a", "b"], &[0]);
    Proof::new(vec![ProofTable::new(&table, None)])
}

fn round(proof: &mut Proof, world: &Model) -> Round {
    futures::executor::block_on(proof.round(world, PATIENCE)).unwrap()
}

/// Nobody writes any more, and all that differs is seen often enough.
fn come_to_rest(proof: &mut Proof, world: &Model) {
    world.with(|world| world.writes = false);
    for _ in 0..3 {
        round(proof, world);
    }
}

#[test]
fn nothing_on_its_way_is_a_difference() {
    let (mut compared, mut in_flight) = (0, 0);
    for seed in 0..6_000 {
        let world = Model(Mutex::new(World::new(seed)));
        let mut proof = proof();
        for _ in 0..20 {
            assert_eq!(round(&mut proof, &world), Round::Through);
            assert_eq!(proof.different(), 0, "seed {seed}: {:?}", proof.list(9));
            in_flight += proof.in_flight();
        }
        // At rest everything is proven.
        come_to_rest(&mut proof, &world);
        assert_eq!((proof.in_flight(), proof.different()), (0, 0), "{seed}");
        compared += proof.compared();
    }
    assert!(
        compared > 10_000 && in_flight > 1_000,
        "{compared} {in_flight}"
    );
}

#[test]
fn a_damaged_row_is_found_once_it_changes_and_rests() {
    let mut times = 0;
    for seed in 0..500 {
        let world = Model(Mutex::new(World::new(seed)));
        let mut proof = proof();
        round(&mut proof, &world);
        let damaged = world.with(|world| {
            let row = world.seed.choose(world.busy);
            if let Some(cells) = &mut world.target[row] {
                cells[0] = 7;
            }
            world.noted_ever.clear();
            // A row that is put in again is as good as new.
            world.deletes = false;
            row
        });
        for _ in 0..10 {
            round(&mut proof, &world);
        }
        come_to_rest(&mut proof, &world);
        let (differs, touched) = world.with(|world| {
            let differs = world.source[damaged] != world.target[damaged];
            (differs, world.noted_ever.contains(&damaged))
        });
        let found: Vec<String> = proof.list(9).into_iter().map(|d| d.key).collect();
        if differs && touched {
            times += 1;
            assert_eq!(found.len(), 1, "seed {seed}");
            assert!(
                found[0].contains(&damaged.to_string()),
                "seed {seed}: {found:?}"
            );
        } else if !differs {
            assert!(found.is_empty(), "seed {seed}: {found:?}");
        }
    }
    assert!(times > 100, "{times}");
}

/// Whenever the row was looked at: one that is equal while its changes wait is not proven.
#[test]
fn a_change_that_is_not_written_is_found() {
    let mut times = 0;
    for seed in 0..4_000 {
        let world = Model(Mutex::new(World::new(seed)));
        let mut proof = proof();
        for _ in 0..5 {
            round(&mut proof, &world);
        }
        world.with(|world| {
            world.swallows = true;
            while world.swallows {
                world.step();
            }
        });
        come_to_rest(&mut proof, &world);
        let differing = world.with(|world| {
            let rows = world.source.iter().zip(&world.target);
            rows.filter(|(source, target)| source != target).count() as u64
        });
        times += differing;
        assert_eq!(proof.different(), differing, "seed {seed}");
    }
    assert!(times > 1_000, "{times}");
}

#[test]
fn what_was_not_noted_is_said_to_be_lost() {
    struct Forgetful(Model);
    impl Ground for Forgetful {
        fn open(&self) -> BoxFuture<'_, Result<Vec<(UnitKey, Key)>>> {
            self.0.open()
        }
        fn noted(&self) -> Option<Vec<(UnitKey, Key)>> {
            None
        }
        fn rows<'a>(
            &'a self,
            unit: usize,
            keys: &'a [(Key, Key)],
        ) -> BoxFuture<'a, Result<Vec<Option<BothRows>>>> {
            self.0.rows(unit, keys)
        }
        fn flow(&self) -> &dyn Flow {
            &self.0
        }
        fn rest(&self, read: Duration) -> BoxFuture<'_, ()> {
            self.0.rest(read)
        }
    }
    let world = Forgetful(Model(Mutex::new(World::new(1))));
    let mut proof = proof();
    let round = futures::executor::block_on(proof.round(&world, PATIENCE)).unwrap();
    assert_eq!(round, Round::Lost);
}

#[test]
fn what_is_tolerated_is_no_difference() {
    struct Off(f64);
    impl Flow for Off {
        fn is_carried(&self) -> Result<bool> {
            Ok(true)
        }
        fn across(&self, _: Duration) -> BoxFuture<'_, Result<Across>> {
            Box::pin(async { Ok(Across::Carried(Moving::default())) })
        }
    }
    impl Ground for Off {
        fn open(&self) -> BoxFuture<'_, Result<Vec<(UnitKey, Key)>>> {
            Box::pin(async { Ok(Vec::new()) })
        }
        fn noted(&self) -> Option<Vec<(UnitKey, Key)>> {
            let key = Key(vec![Value::Int(1)]);
            let unit = UnitKey {
                unit: 0,
                key: key.clone(),
            };
            Some(vec![(unit, key)])
        }
        fn rows<'a>(
            &'a self,
            _: usize,
            _: &'a [(Key, Key)],
        ) -> BoxFuture<'a, Result<Vec<Option<BothRows>>>> {
            let row = |x| Some(vec![Value::Int(1), Value::Float(x)]);
            let rows = BothRows {
                source: row(1.0),
                target: row(1.0 + self.0),
            };
            Box::pin(async { Ok(vec![Some(rows)]) })
        }
        fn flow(&self) -> &dyn Flow {
            self
        }
        fn rest(&self, _: Duration) -> BoxFuture<'_, ()> {
            Box::pin(async {})
        }
    }
    let table = side("t", &["id", "x"], &[0]);
    let tolerances = BTreeMap::from([("x".to_owned(), 0.1)]);
    for (off, compared) in [(0.05, 1), (0.2, 0)] {
        let mut proof = Proof::new(vec![ProofTable::new(&table, Some(&tolerances))]);
        futures::executor::block_on(proof.round(&Off(off), PATIENCE)).unwrap();
        assert_eq!(proof.compared(), compared, "{off}");
    }
}
