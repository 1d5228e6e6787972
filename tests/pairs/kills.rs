//! `banyan sync` is killed at random moments, again and again, while applications write on both
//! sides: nothing is lost, doubled or echoed, and both sides are equal in the end.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sim::{Chooser, Seed};
use crate::support::program::wait_until;
use crate::support::servers::Session;
use crate::support::sides::{Engine, Side, Sides};

use super::schema::{assert_equal, shop};

const KILLS: usize = 50;
const COUNTERS: usize = 8;

/// What one side's applications committed.
#[derive(Debug, Default)]
struct Committed {
    /// Rows that are inserted once and never touched again: id and value.
    rows: Vec<(i64, i64)>,
    /// Parents with two children each, likewise.
    parents: Vec<i64>,
    /// What was added to each counter.
    added: [i64; COUNTERS],
    transactions: u64,
}

/// Ends the writers when the test does, whatever became of it.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes on one side until told to stop. Ids of even and odd numbers keep inserts apart.
fn write_all_the_time(
    mut session: Session,
    engine: Engine,
    side: i64,
    stop: &AtomicBool,
) -> Committed {
    let mut seed = Seed::new(side.unsigned_abs() + 177);
    let mut done = Committed::default();
    let mut next = 1000 + side;
    let mut unit = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut statements = Vec::new();
        let mut rows = Vec::new();
        let mut parents = Vec::new();
        let mut added = [0; COUNTERS];
        for _ in 0..=seed.choose(4) {
            match seed.choose(6) {
                0 => {
                    let value = seed.choose(1_000_000) as i64;
                    statements.push(format!(
                        "INSERT INTO items VALUES ({next}, 'once', {value})"
                    ));
                    rows.push((next, value));
                    next += 2;
                }
                // No two sums of increments are alike, because rows that are equal agree: whole
                // thousand millions here, less than that in all there.
                1 | 2 => {
                    let i = seed.choose(COUNTERS);
                    unit += if side == 0 { 1_000_000_000 } else { 1 };
                    statements.push(format!(
                        "UPDATE counters SET n = n + {unit}, m = m - {unit} WHERE id = {i}"
                    ));
                    added[i] += unit;
                }
                3 => {
                    let (id, value) = (seed.choose(20), seed.choose(3));
                    statements.push(replace(engine, id, value));
                }
                4 => {
                    statements.push(count_up(engine, seed.choose(20)));
                    statements.push(format!("DELETE FROM items WHERE id = {}", seed.choose(20)));
                }
                _ => {
                    let other = next + 100_000_000;
                    statements.extend([
                        format!("INSERT INTO parents VALUES ({next}, 'p{next}', 1)"),
                        format!(
                            "INSERT INTO children VALUES ({next}, {next}, 1), ({other}, {next}, 2)"
                        ),
                    ]);
                    parents.push(next);
                    next += 2;
                }
            }
        }
        session.transact(engine.begin(), |session| {
            for sql in &statements {
                session.execute(sql)?;
            }
            Ok(())
        });
        done.transactions += 1;
        done.rows.append(&mut rows);
        done.parents.append(&mut parents);
        for (sum, n) in done.added.iter_mut().zip(added) {
            *sum += n;
        }
        // About as fast as the other side can follow, and the locks are free now and then.
        std::thread::sleep(Duration::from_millis(8));
    }
    done
}

/// Writes the row, whatever is there.
fn replace(engine: Engine, id: usize, value: usize) -> String {
    let row = format!("INTO items VALUES ({id}, 'replaced', {value})");
    match engine {
        Engine::Sqlite => format!("INSERT OR REPLACE {row}"),
        Engine::Mysql => format!("REPLACE {row}"),
        Engine::Postgres => format!(
            "INSERT {row} ON CONFLICT (id) DO UPDATE SET name = excluded.name, stars = excluded.stars"
        ),
    }
}

/// Inserts the row, or changes the one that is there.
fn count_up(engine: Engine, id: usize) -> String {
    let change = match engine {
        Engine::Sqlite | Engine::Postgres => "ON CONFLICT (id) DO UPDATE SET",
        Engine::Mysql => "ON DUPLICATE KEY UPDATE",
    };
    format!("INSERT INTO items VALUES ({id}, 'counted', 0) {change} stars = items.stars + 1")
}

/// Looks from outside at how much of each side's writes has arrived at the other.
struct Watch([Session; 2]);

impl Watch {
    fn new(sides: &Sides) -> Self {
        Self(sides.both().map(Side::session))
    }

    fn arrived(&mut self) -> [i64; 2] {
        let mut parity = 1;
        self.0.each_mut().map(|session| {
            let sql =
                format!("SELECT count(*) FROM items WHERE name = 'once' AND id % 2 = {parity}");
            parity = 1 - parity;
            session.number(&sql)
        })
    }
}

/// One that has ended by itself is a finding.
fn assert_runs(sides: &Sides, child: &mut Child) {
    use std::io::Read as _;

    if let Some(status) = child.try_wait().unwrap() {
        let mut errors = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        panic!("{status}: {errors} in {}", sides.shop.folder().display());
    }
}

pub(super) fn check(sides: Sides) {
    let sides = shop(sides);
    for i in 0..COUNTERS {
        sides
            .source
            .sql(&format!("INSERT INTO counters VALUES ({i}, 0, 0)"));
    }
    let copied: Vec<String> = (0..300)
        .map(|i| format!("({}, 'copied', {i})", -1 - i))
        .collect();
    sides
        .source
        .sql(&format!("INSERT INTO items VALUES {}", copied.join(", ")));
    // The counters are on both sides before both sides count.
    sides.sync();

    let stop = Stop(Arc::new(AtomicBool::new(false)));
    let mut number = 0;
    let writers = sides.both().map(|side| {
        let (session, engine, stop) = (side.session(), side.engine, Arc::clone(&stop.0));
        let side = number;
        number += 1;
        std::thread::spawn(move || write_all_the_time(session, engine, side, &stop))
    });
    let mut seed = Seed::new(4712);
    let mut watch = Watch::new(&sides);
    let mut moved = 0;
    let mut at = watch.arrived();
    for kills in 0..KILLS {
        let mut child = sides.shop.start(&["sync", "shop", "--quiet"]);
        // Some are killed while they start, some while they work.
        if kills % 3 > 0 {
            wait_until("it works", || {
                assert_runs(&sides, &mut child);
                watch.arrived() != at
            });
        }
        std::thread::sleep(Duration::from_millis(seed.choose(80) as u64));
        assert_runs(&sides, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        let now = watch.arrived();
        moved += usize::from(now != at);
        at = now;
    }
    drop(stop);
    let committed = writers.map(|writer| writer.join().unwrap());
    let report = sides.sync();
    println!(
        "{KILLS} kills, {moved} in the middle of work, {} and {} transactions, {report}",
        committed[0].transactions, committed[1].transactions
    );
    // A child that is always killed before it does anything would show nothing.
    assert!(
        moved > KILLS / 4,
        "only {moved} children of {KILLS} got anywhere"
    );
    assert!(committed.iter().all(|c| !c.rows.is_empty()));
    assert_eq!(sides.waiting(), serde_json::json!([]));
    assert_equal(&sides);
    for side in sides.both() {
        assert_holds(side, &committed);
    }
    sides.assert_still();
    sides.assert_verified();
}

/// Nothing lost, nothing doubled: every acknowledged write is there, once.
fn assert_holds(side: &Side, committed: &[Committed; 2]) {
    let ours = |of: &dyn Fn(&Committed) -> Vec<String>| {
        let mut all: Vec<String> = committed.iter().flat_map(of).collect();
        all.sort();
        all
    };
    let rows = ours(&|c| {
        c.rows
            .iter()
            .map(|(id, v)| format!("\"{id}\", \"{v}\""))
            .collect()
    });
    assert_eq!(
        side.rows("SELECT id, stars FROM items WHERE name = 'once'"),
        rows
    );
    let parents = ours(&|c| c.parents.iter().map(|id| format!("\"{id}\"")).collect());
    assert_eq!(side.rows("SELECT id FROM parents"), parents);
    assert_eq!(side.rows("SELECT id FROM children WHERE v = 1"), parents);
    assert_eq!(
        side.rows("SELECT parent FROM children WHERE v = 2"),
        parents
    );
    for i in 0..COUNTERS {
        let sum = committed[0].added[i] + committed[1].added[i];
        let there = side.rows(&format!("SELECT n, m FROM counters WHERE id = {i}"));
        assert_eq!(there, [format!("\"{sum}\", \"{}\"", -sum)], "counter {i}");
    }
}
