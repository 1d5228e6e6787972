//! The process is killed at random moments, again and again, while applications write on both sides.
//!
//! The child is this test binary itself: it runs the test [`child`] with the folder of the
//! databases in its environment.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use banyan::app::MigrationSpec;
use banyan::sync::{Engine, EngineOptions, RunOptions, run};

use crate::sim::{Chooser, Seed};
use crate::support::{Pair, app, dump, spec, table, until_idle};

const FOLDER: &str = "BANYAN_TEST_CRASH_FOLDER";
const STARTED: &str = "the engine has started";
const KILLS: usize = 200;

const SCHEMA: &str = "
    CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE, v BLOB);
    CREATE TABLE children (id INTEGER PRIMARY KEY, parent INT NOT NULL REFERENCES parents, v);
    CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, m INTEGER NOT NULL);
    CREATE TABLE rows (id INTEGER PRIMARY KEY, a, b)";

fn migration() -> MigrationSpec {
    let mut spec = spec(&["parents", "children", "rows"], "last-write-wins");
    spec.tables.push(table("counters", "add-deltas"));
    spec
}

/// Not a test of its own: what is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let (source, target) = (
        Path::new(&folder).join("source.db"),
        Path::new(&folder).join("target.db"),
    );
    let stores = [("monolith", source), ("service", target)]
        .map(|(name, path)| banyan::database::sqlite::SqliteStore::new(name, path));
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let options = RunOptions {
        until_idle: false,
        copy_only: false,
        copy_rows_per_s_max: None,
        stop,
    };
    loop {
        let opened = banyan::app::build(&stores[0], &stores[1], &migration())
            .await
            .unwrap();
        opened.source.install().await.unwrap();
        opened.target.install().await.unwrap();
        let limits = EngineOptions {
            batch_rows: 50,
            chunk_rows: 20,
            conflict_rows: 10,
        };
        let engine = Engine::start(opened.source, opened.target, opened.plan, limits).await;
        let error = match engine {
            Ok(mut engine) => {
                println!("{STARTED}");
                run(&mut engine, &options, |_| ()).await.err()
            }
            Err(error) => Some(error),
        };
        // The applications lock the stores all the time; anything else is a finding.
        let busy = error
            .as_ref()
            .is_some_and(|e| e.kind() == banyan::error::ErrorKind::Busy);
        if !busy {
            let log = Path::new(&folder).join("failure.txt");
            std::fs::write(log, format!("{error:?}")).unwrap();
            return;
        }
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What one side's applications committed.
#[derive(Debug, Default)]
struct Committed {
    /// Rows that are inserted once and never touched again: id and value.
    rows: Vec<(i64, i64)>,
    /// What was added to each counter.
    added: [i64; 8],
    transactions: u64,
}

/// Writes on one side until told to stop. Ids of even and odd numbers keep inserts apart.
fn write_all_the_time(path: PathBuf, side: i64, stop: &AtomicBool) -> Committed {
    let conn = app(&path);
    conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let mut seed = Seed::new(side.unsigned_abs() + 77);
    let mut done = Committed::default();
    let mut next = 1000 + side;
    let mut unit = 1 + side;
    while !stop.load(Ordering::Relaxed) {
        let mut rows = Vec::new();
        let mut added = [0; 8];
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..=seed.choose(4) {
            match seed.choose(6) {
                0 => {
                    let value = seed.choose(1_000_000) as i64;
                    conn.execute("INSERT INTO rows VALUES (?1, ?2, 'once')", [next, value])
                        .unwrap();
                    rows.push((next, value));
                    next += 2;
                }
                // No two sums of increments are alike: even here, odd there, each another.
                1 | 2 => {
                    let i = seed.choose(8);
                    unit += 2;
                    let sql = "UPDATE counters SET n = n + ?2, m = m - ?2 WHERE id = ?1";
                    assert_eq!(conn.execute(sql, [i as i64, unit]).unwrap(), 1);
                    added[i] += unit;
                }
                3 => {
                    let id = seed.choose(20) as i64;
                    let sql = "INSERT OR REPLACE INTO rows VALUES (?1, ?2, 'replaced')";
                    conn.execute(sql, [id, seed.choose(3) as i64]).unwrap();
                }
                4 => {
                    let sql = "INSERT INTO rows VALUES (?1, ?2, 0) ON CONFLICT (id) DO UPDATE \
                               SET b = coalesce(CAST(b AS INT), 0) + 1";
                    conn.execute(sql, [seed.choose(20) as i64, 0]).unwrap();
                    conn.execute("DELETE FROM rows WHERE id = ?1", [seed.choose(20) as i64])
                        .unwrap();
                }
                _ => {
                    let sql = "INSERT INTO parents VALUES (?1, 'p' || ?1, zeroblob(?1 % 50))";
                    conn.execute(sql, [next]).unwrap();
                    let sql =
                        "INSERT INTO children VALUES (?1, ?1, 'c'), (?1 + 100000000, ?1, 'd')";
                    conn.execute(sql, [next]).unwrap();
                    next += 2;
                }
            }
        }
        conn.execute_batch("COMMIT").unwrap();
        done.transactions += 1;
        done.rows.append(&mut rows);
        for (sum, n) in done.added.iter_mut().zip(added) {
            *sum += n;
        }
        // About as fast as the other side can follow, and the lock is free now and then.
        std::thread::sleep(Duration::from_millis(2));
    }
    done
}

/// How far each side's changes are taken over.
fn checkpoints(pair: &Pair) -> [Vec<String>; 2] {
    let sql = "SELECT seq FROM \"_banyan_test.checkpoint\"";
    [dump(&pair.source(), sql), dump(&pair.target(), sql)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_echoed_over_two_hundred_kills() {
    let pair = Pair::new(SCHEMA, SCHEMA);
    app(&pair.source())
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299)
             INSERT INTO rows SELECT i, i, 'copied' FROM n;
             INSERT INTO counters SELECT id, 0, 0 FROM rows WHERE id < 8",
        )
        .unwrap();
    // The counters are on both sides before both sides count.
    pair.sync(&migration()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers = [(pair.source(), 0), (pair.target(), 1)].map(|(path, side)| {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || write_all_the_time(path, side, &stop))
    });
    let folder = pair.dir.path().to_owned();
    let mut seed = Seed::new(4711);
    let mut kills = 0;
    let mut moved = 0;
    let mut at = checkpoints(&pair);
    while kills < KILLS {
        let mut child = spawn(&folder);
        // Some are killed while they start, some while they work.
        if kills % 3 > 0 {
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            lines
                .map_while(Result::ok)
                .find(|line| line.contains(STARTED));
        }
        tokio::time::sleep(Duration::from_millis(5 + seed.choose(76) as u64)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let now = checkpoints(&pair);
        moved += usize::from(now != at);
        at = now;
        let failure = std::fs::read_to_string(folder.join("failure.txt"));
        assert!(failure.is_err(), "the child ended by itself: {failure:?}");
    }
    stop.store(true, Ordering::Relaxed);
    let committed = writers.map(|w| w.join().unwrap());
    let mut engine = pair.engine(&migration()).await;
    let report = until_idle(&mut engine).await;
    // A child that is always killed before it does anything would show nothing.
    assert!(
        moved > KILLS / 4,
        "only {moved} children of {kills} got anywhere"
    );
    println!(
        "{kills} kills, {moved} in the middle of work, {} and {} transactions, {report:?}",
        committed[0].transactions, committed[1].transactions
    );
    for t in &report.tables {
        assert_eq!(t.parked, 0, "{}", t.table);
    }

    // Equal, byte for byte.
    for table in ["parents", "children", "counters", "rows"] {
        let sql = format!("SELECT * FROM {table} ORDER BY id");
        let (source, target) = (dump(&pair.source(), &sql), dump(&pair.target(), &sql));
        assert!(!source.is_empty());
        for (a, b) in source.iter().zip(&target) {
            assert_eq!(a, b, "{table}");
        }
        assert_eq!(source.len(), target.len(), "{table}");
    }
    // Nothing lost, nothing doubled.
    let conn = app(&pair.target());
    for (id, value) in committed.iter().flat_map(|c| &c.rows) {
        let sql = "SELECT a FROM rows WHERE id = ?1 AND b = 'once'";
        let there: Option<i64> = conn.query_row(sql, [id], |r| r.get(0)).ok();
        assert_eq!(there, Some(*value), "row {id}");
    }
    for i in 0..8 {
        let sum = committed[0].added[i] + committed[1].added[i];
        let sql = "SELECT n, m FROM counters WHERE id = ?1";
        let there: (i64, i64) = conn
            .query_row(sql, [i as i64], |r| Ok((r.get(0)?, r.get(1)?)))
            .unwrap();
        assert_eq!(there, (sum, -sum), "counter {i}");
    }
    // Foreign keys hold.
    assert!(dump(&pair.target(), "PRAGMA foreign_key_check").is_empty());
    assert!(dump(&pair.source(), "PRAGMA foreign_key_check").is_empty());
    // Nothing echoed: with both sides still, another start finds nothing to do.
    let again = pair.sync(&migration()).await;
    for t in &again.tables {
        assert_eq!(
            (t.applied_to_source, t.applied_to_target, t.conflicts),
            (0, 0, 0),
            "{}",
            t.table
        );
    }
}
