//! `banyan sync` is killed at random moments, again and again, while applications write on both
//! sides.

use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sim::{Chooser, Seed};
use crate::support::program::{Shop, wait_until};
use crate::support::{app, dump};

const KILLS: usize = 200;
const IDLE: &[&str] = &["sync", "shop", "--until-idle"];

const SCHEMA: &str = "
    CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE, v BLOB);
    CREATE TABLE children (id INTEGER PRIMARY KEY, parent INT NOT NULL REFERENCES parents, v);
    CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, m INTEGER NOT NULL);
    CREATE TABLE rows (id INTEGER PRIMARY KEY, a, b)";

/// Small batches, so that there are many places between them.
const CONFIG: &str = r#"
[stores.monolith]
url = "sqlite:source.db"

[stores.service]
url = "sqlite:target.db"

[migrations.shop]
source = "monolith"
target = "service"
mode = "two-way"
on_conflict = "last-write-wins"
batch_rows = 50
chunk_rows = 20

[[migrations.shop.tables]]
source = "parents"

[[migrations.shop.tables]]
source = "children"

[[migrations.shop.tables]]
source = "rows"

[[migrations.shop.tables]]
source = "counters"
on_conflict = "add-deltas"
"#;

/// Kills it. One that had ended by itself is a finding.
fn kill(shop: &Shop, mut child: Child) {
    if let Some(status) = child.try_wait().unwrap() {
        let output = child.wait_with_output().unwrap();
        panic!(
            "{status}: {} in {}",
            String::from_utf8_lossy(&output.stderr),
            shop.folder().display()
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
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
    let mut unit = 0;
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
                // No two sums of increments are alike, because rows that are equal agree: whole
                // thousand millions here, less than that in all there.
                1 | 2 => {
                    let i = seed.choose(8);
                    unit += if side == 0 { 1_000_000_000 } else { 1 };
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
fn checkpoints(shop: &Shop) -> [Vec<String>; 2] {
    ["source.db", "target.db"].map(|name| {
        dump(
            &shop.path(name),
            "SELECT seq FROM \"_banyan_shop.checkpoint\"",
        )
    })
}

#[test]
fn nothing_is_lost_doubled_or_echoed_over_two_hundred_kills() {
    let shop = Shop::of(SCHEMA, SCHEMA);
    shop.configure(CONFIG);
    let (source, target) = (shop.path("source.db"), shop.path("target.db"));
    shop.write(
        "source.db",
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299)
         INSERT INTO rows SELECT i, i, 'copied' FROM n;
         INSERT INTO counters SELECT id, 0, 0 FROM rows WHERE id < 8",
    );
    // The counters are on both sides before both sides count.
    shop.json(IDLE);
    let stop = Arc::new(AtomicBool::new(false));
    let writers = [(source.clone(), 0), (target.clone(), 1)].map(|(path, side)| {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || write_all_the_time(path, side, &stop))
    });
    let mut seed = Seed::new(4711);
    let mut moved = 0;
    let mut at = checkpoints(&shop);
    for kills in 0..KILLS {
        let child = shop.start(&["sync", "shop", "--quiet"]);
        // Some are killed while they start, some while they work.
        if kills % 3 > 0 {
            wait_until("it works", || checkpoints(&shop) != at);
        }
        std::thread::sleep(Duration::from_millis(seed.choose(80) as u64));
        kill(&shop, child);
        let now = checkpoints(&shop);
        moved += usize::from(now != at);
        at = now;
    }
    stop.store(true, Ordering::Relaxed);
    let committed = writers.map(|w| w.join().unwrap());
    let report = shop.json(IDLE);
    // A child that is always killed before it does anything would show nothing.
    assert!(
        moved > KILLS / 4,
        "only {moved} children of {KILLS} got anywhere"
    );
    println!(
        "{KILLS} kills, {moved} in the middle of work, {} and {} transactions, {report}",
        committed[0].transactions, committed[1].transactions
    );
    assert_eq!(
        shop.json(&["conflict", "list", "--which", "open"]),
        serde_json::json!([])
    );

    // Equal, byte for byte.
    for table in ["parents", "children", "counters", "rows"] {
        let sql = format!("SELECT * FROM {table} ORDER BY id");
        let (ours, theirs) = (dump(&source, &sql), dump(&target, &sql));
        assert!(!ours.is_empty());
        for (a, b) in ours.iter().zip(&theirs) {
            assert_eq!(a, b, "{table}");
        }
        assert_eq!(ours.len(), theirs.len(), "{table}");
    }
    // Nothing lost, nothing doubled.
    let conn = app(&target);
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
    assert!(dump(&target, "PRAGMA foreign_key_check").is_empty());
    assert!(dump(&source, "PRAGMA foreign_key_check").is_empty());
    // Nothing echoed: with both sides still, another start finds nothing to do.
    let again = shop.json(IDLE);
    for table in again["tables"].as_array().unwrap() {
        for counter in ["applied_to_source", "applied_to_target", "conflicts"] {
            assert_eq!(table[counter], 0, "{counter}: {again}");
        }
    }
}
