//! Verification of tables that are written all the time, through everything that makes a sync late: no
//! row on its way is a difference, and what is really different is found.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::sim::{Chooser, Seed};
use crate::support::servers::Session;
use crate::support::sides::{Engine, Side, Sides};

/// Rows that applications write. Those behind them nobody does.
const WRITTEN: usize = 60;
const ROWS: usize = 3000;
const LASTS: Duration = Duration::from_secs(30);
/// How long a sync runs at least before it is killed.
const RUNS: Duration = Duration::from_secs(2);

/// Ends the writers when the test does, whatever became of it.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Ends the program when the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Running {
    fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL,
                                    flag INTEGER NOT NULL, note TEXT)"
        }
        Engine::Postgres | Engine::Mysql => {
            "CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL,
                                    flag INT NOT NULL, note VARCHAR(40))"
        }
    }
}

fn accounts(sides: &Sides, mode: &str) {
    for side in sides.both() {
        side.sql(schema(side.engine));
    }
    let rows: Vec<String> = (0..ROWS).map(|i| format!("({i}, 0, 0, 'n{i}')")).collect();
    let insert = format!("INSERT INTO accounts VALUES {}", rows.join(", "));
    sides.source.sql(&insert);
    let url = |side: &Side| side.url();
    sides.shop.configure(&format!(
        "[stores.monolith]\nurl = \"{}\"\n[stores.service]\nurl = \"{}\"\n\
         [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\nmode = \"{mode}\"\n\
         on_conflict = \"last-write-wins\"\n[[migrations.shop.tables]]\nsource = \"accounts\"\n",
        url(&sides.source),
        url(&sides.target)
    ));
    sides.sync();
}

/// Writes the first rows all the time: some come back to what they were, some are deleted and put in
/// again. A few are written on both sides.
fn write(mut session: Session, engine: Engine, side: usize, stop: &AtomicBool, done: &AtomicU64) {
    let mut seed = Seed::new(91 + side as u64);
    while !stop.load(Ordering::Relaxed) {
        let on_both = seed.choose(20) == 0;
        let id = seed.choose(WRITTEN / 2) * 2 + if on_both { 0 } else { side };
        let sql = match seed.choose(6) {
            0 => format!("DELETE FROM accounts WHERE id = {id}"),
            1 | 2 => {
                let row = format!("INTO accounts VALUES ({id}, 1, 0, 'again')");
                match engine {
                    Engine::Sqlite => format!("INSERT OR REPLACE {row}"),
                    Engine::Mysql => format!("REPLACE {row}"),
                    Engine::Postgres => format!(
                        "INSERT {row} ON CONFLICT (id) DO UPDATE SET balance = 1, flag = 0, note = 'again'"
                    ),
                }
            }
            3 => format!("UPDATE accounts SET balance = balance + 1 WHERE id = {id}"),
            _ => format!("UPDATE accounts SET flag = 1 - flag WHERE id = {id}"),
        };
        session.transact(engine.begin(), |session| session.execute(&sql).map(drop));
        done.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn start_writers(sides: &Sides, which: &[usize], stop: &Stop) -> Arc<AtomicU64> {
    let done = Arc::new(AtomicU64::new(0));
    for &i in which {
        let side = sides.both()[i];
        let (session, engine) = (side.session(), side.engine);
        let (stop, done) = (Arc::clone(&stop.0), Arc::clone(&done));
        std::thread::spawn(move || write(session, engine, i, &stop, &done));
    }
    done
}

fn verify(sides: &Sides, level: &str) -> (i32, Json) {
    let shown = sides.shop.run(&[
        "verify",
        "shop",
        "--level",
        level,
        "--recheck-ms",
        "150",
        "--patience-s",
        "60",
        "--format",
        "json",
    ]);
    (shown.code, shown.json())
}

/// Both sides are written, the sync stands still, is killed and started anew.
fn no_false_alarm(sides: Sides) {
    accounts(&sides, "two-way");
    let stop = Stop(Arc::new(AtomicBool::new(false)));
    let done = start_writers(&sides, &[0, 1], &stop);
    let begun = Instant::now();
    let mut seed = Seed::new(5);
    let mut sync = Running(sides.shop.start(&["sync", "shop", "--quiet"]));
    let mut started = Instant::now();
    let (mut verified, mut in_flight, mut late) = (0, 0, 0);
    // Each level at least once, however slow the machine.
    while begun.elapsed() < LASTS || verified < late + 3 {
        let level = ["full", "hash", "count"][verified % 3];
        let (code, report) = std::thread::scope(|scope| {
            let verifying = scope.spawn(|| verify(&sides, level));
            while !verifying.is_finished() {
                std::thread::sleep(Duration::from_millis(seed.choose(500) as u64));
                match seed.choose(5) {
                    // It lags.
                    0 => {
                        sync.signal("-STOP");
                        std::thread::sleep(Duration::from_millis(seed.choose(4000) as u64));
                        sync.signal("-CONT");
                    }
                    // It must have had the time to get on, on a busy machine, too.
                    1 if started.elapsed() > RUNS => {
                        drop(sync.0.kill());
                        drop(sync.0.wait());
                        sync = Running(sides.shop.start(&["sync", "shop", "--quiet"]));
                        started = Instant::now();
                    }
                    _ => {}
                }
                if let Some(status) = sync.0.try_wait().unwrap() {
                    panic!("the sync ended: {status}");
                }
            }
            verifying.join().unwrap()
        });
        // On a machine that is too busy for the sync there may be no verdict; it is never a wrong one.
        let is_late = report["tables"][0]["late"].is_string();
        assert_eq!(report["consistent"], true, "{report}");
        assert_eq!(code, i32::from(is_late), "{report}");
        verified += 1;
        in_flight += report["in_flight"].as_u64().unwrap();
        late += usize::from(is_late);
    }
    drop(stop);
    println!(
        "{verified} verifications, {} writes, {in_flight} rows in flight, {late} times late",
        done.load(Ordering::Relaxed)
    );
    drop(sync);
    sides.sync();
    let (code, report) = verify(&sides, "full");
    assert_eq!(
        (code, &report["in_flight"]),
        (0, &Json::from(0)),
        "{report}"
    );
}

/// The source is written and followed; somebody damages the target behind everybody's back.
fn what_is_damaged_is_found(sides: Sides) {
    accounts(&sides, "one-way");
    let stop = Stop(Arc::new(AtomicBool::new(false)));
    let _done = start_writers(&sides, &[0], &stop);
    let _sync = Running(sides.shop.start(&["sync", "shop", "--quiet"]));
    let mut seed = Seed::new(6);
    let mut damaged = std::collections::BTreeSet::new();
    while damaged.len() < 100 {
        damaged.insert(WRITTEN + seed.choose(ROWS - WRITTEN));
    }
    for (i, id) in damaged.iter().enumerate() {
        sides.target.sql(&match i % 4 {
            0 => format!("DELETE FROM accounts WHERE id = {id}"),
            1 => format!("UPDATE accounts SET note = NULL WHERE id = {id}"),
            2 => format!("UPDATE accounts SET balance = balance + 1 WHERE id = {id}"),
            _ => format!("UPDATE accounts SET note = 'n{id} ' WHERE id = {id}"),
        });
    }
    for level in ["full", "hash"] {
        let (code, report) = verify(&sides, level);
        assert_eq!(code, 1);
        let found: std::collections::BTreeSet<usize> = report["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| usize::try_from(d["key"]["id"].as_u64().unwrap()).unwrap())
            .collect();
        assert_eq!(found, damaged, "{level}");
        assert_eq!(report["differences_total"], 100);
    }
}

/// While no sync runs changes wait; one that begins during the comparison carries them over.
fn a_sync_that_comes_back(sides: Sides) {
    accounts(&sides, "two-way");
    let wait = |report: &Json| report["tables"][0]["waiting"].as_u64().unwrap();
    sides
        .source
        .sql("UPDATE accounts SET note = 'new' WHERE id < 20");
    sides
        .target
        .sql("UPDATE accounts SET note = 'new' WHERE id > 2990");
    // Nobody carries them over: the sides differ, and it is said why.
    let (code, report) = verify(&sides, "full");
    assert_eq!((code, wait(&report)), (1, 29), "{report}");
    // Numbers say nothing about that, so they are looked into.
    sides
        .source
        .sql("INSERT INTO accounts VALUES (9000, 1, 0, 'one more')");
    let (code, report) = verify(&sides, "count");
    assert_eq!((code, wait(&report)), (1, 30), "{report}");
    for level in ["full", "hash", "count"] {
        sides
            .source
            .sql("UPDATE accounts SET flag = flag + 1, note = 'again' WHERE id < 1000");
        sides.source.sql(
            "DELETE FROM accounts WHERE id = (SELECT m FROM (SELECT min(id) AS m FROM accounts) q)",
        );
        let (code, report) = std::thread::scope(|scope| {
            let verifying = scope.spawn(|| verify(&sides, level));
            std::thread::sleep(Duration::from_millis(400));
            sides.sync();
            verifying.join().unwrap()
        });
        assert_eq!(code, 0, "{level}: {report}");
    }
}

macro_rules! pairs {
    ($($name:ident: $source:ident, $target:ident;)*) => {$(
        mod $name {
            use crate::support::sides::{Engine, Sides};

            #[test]
            fn no_false_alarm() {
                super::no_false_alarm(Sides::new(Engine::$source, Engine::$target));
            }

            #[test]
            fn a_sync_that_comes_back() {
                super::a_sync_that_comes_back(Sides::new(Engine::$source, Engine::$target));
            }

            #[test]
            fn what_is_damaged_is_found() {
                super::what_is_damaged_is_found(Sides::new(Engine::$source, Engine::$target));
            }
        }
    )*};
}

pairs! {
    postgres_to_postgres: Postgres, Postgres;
    mysql_to_postgres: Mysql, Postgres;
    sqlite_to_mysql: Sqlite, Mysql;
    sqlite_to_sqlite: Sqlite, Sqlite;
}
