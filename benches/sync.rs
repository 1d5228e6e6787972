//! Copy beside SQLite's own `ATTACH` + `INSERT … SELECT`, and sustained two-way capture and apply.
//!
//! `benches/run sync`; rows by BANYAN_BENCH_ROWS (default 1,000,000).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and fails loudly"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use banyan::app::{MigrationSpec, TableSpec, build};
use banyan::database::sqlite::SqliteStore;
use banyan::rule::{OnFailure, builtin};
use banyan::sync::{Engine, EngineOptions, RunOptions, run};

const SCHEMA: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, name TEXT, \
    amount REAL, note TEXT, created TEXT, updated TEXT, flag INTEGER, code TEXT, payload BLOB)";

fn database(path: &Path, rows: u64) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        .unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    conn.execute_batch(&format!(
        "INSERT INTO orders WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
         WHERE i < {rows}) SELECT i, i % 50000, 'customer ' || (i % 977), i * 0.25, \
         CASE i % 7 WHEN 0 THEN NULL ELSE 'note ' || i END, '2026-01-01 00:00:00', \
         '2026-01-02 10:00:00.123', i % 2, hex(i * 7919), CAST(i AS BLOB) FROM n WHERE {rows} > 0"
    ))
    .unwrap();
}

fn spec() -> MigrationSpec {
    MigrationSpec {
        name: "bench".to_owned(),
        two_way: true,
        check_foreign_keys: true,
        log_kept_mb_max: 10_240,
        tables: vec![TableSpec {
            source: "orders".to_owned(),
            target: "orders".to_owned(),
            split: Vec::new(),
            columns: BTreeMap::new(),
            ignore_columns: Vec::new(),
            key: Vec::new(),
            transform: None,
            validate: None,
            resolver: builtin::strategy("last-write-wins", &serde_json::Value::Null).unwrap(),
            on_failure: OnFailure::Park,
            filter: None,
        }],
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn peer_copy(source: &Path, target: &Path) -> f64 {
    drop(std::fs::remove_file(target));
    let conn = rusqlite::Connection::open(target).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        .unwrap();
    conn.execute_batch(SCHEMA).unwrap();
    let begun = Instant::now();
    conn.execute_batch(&format!(
        "ATTACH '{}' AS s; INSERT INTO main.orders SELECT * FROM s.orders; DETACH s",
        source.display()
    ))
    .unwrap();
    begun.elapsed().as_secs_f64()
}

fn remove(path: &Path) {
    for end in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{end}", path.display())));
    }
}

async fn engine(source: &Path, target: &Path) -> Engine<banyan::database::AnySync> {
    let opened = build(
        &SqliteStore::new("source", source).into(),
        &SqliteStore::new("target", target).into(),
        &spec(),
    )
    .await
    .unwrap();
    opened.source.install().await.unwrap();
    opened.target.install().await.unwrap();
    Engine::start(
        opened.source,
        opened.target,
        opened.plan,
        EngineOptions::default(),
    )
    .await
    .unwrap()
}

#[tokio::main]
async fn main() {
    let rows: u64 = std::env::var("BANYAN_BENCH_ROWS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(1_000_000);
    let rounds = 3;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.db");
    database(&source, rows);

    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let target = dir.path().join("peer.db");
        remove(&target);
        peer.push(peer_copy(&source, &target));
        let target = dir.path().join("target.db");
        remove(&target);
        database(&target, 0);
        let mut engine = engine(&source, &target).await;
        let begun = Instant::now();
        while engine.copy_chunk().await.unwrap() {}
        ours.push(begun.elapsed().as_secs_f64());
        let report = engine.report();
        assert_eq!(report.tables[0].copied, rows);
        drop(engine);
        let conn = rusqlite::Connection::open(&target).unwrap();
        let n: i64 = conn
            .query_row("SELECT count(*) FROM orders", [], |r| r.get(0))
            .unwrap();
        assert_eq!(n.cast_unsigned(), rows);
    }
    let (o, p) = (median(ours), median(peer));
    println!(
        "copy {rows} rows x 10: banyan {o:.2} s, INSERT … SELECT {p:.2} s, ratio {:.2}",
        o / p
    );
    throughput(dir.path(), &source).await;
}

/// Both sides are written all the while, each in transactions of 50 rows; how many changes a second
/// get across, from the first write until both sides have nothing left.
async fn throughput(dir: &Path, source: &Path) {
    let target = dir.join("target.db");
    let mut engine = engine(source, &target).await;
    let (keep, stop) = tokio::sync::watch::channel(false);
    let options = RunOptions {
        until_idle: true,
        copy_only: false,
        no_longer_than: None,
        copy_rows_per_s_max: None,
        stop: stop.clone(),
    };
    run(&mut engine, &options, |_| ()).await.unwrap();
    let seconds = 10;
    let writers: Vec<_> = [(source.to_owned(), 0), (target.clone(), 1)]
        .into_iter()
        .map(|(path, side)| std::thread::spawn(move || write(&path, side, seconds)))
        .collect();
    let begun = Instant::now();
    let following = RunOptions {
        until_idle: false,
        copy_only: false,
        no_longer_than: None,
        copy_rows_per_s_max: None,
        stop,
    };
    let stopper = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
        keep.send_replace(true);
    });
    run(&mut engine, &following, |_| ()).await.unwrap();
    stopper.await.unwrap();
    let written: u64 = writers.into_iter().map(|w| w.join().unwrap()).sum();
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let options = RunOptions {
        until_idle: true,
        copy_only: false,
        no_longer_than: None,
        copy_rows_per_s_max: None,
        stop,
    };
    let report = run(&mut engine, &options, |_| ()).await.unwrap();
    let took = begun.elapsed().as_secs_f64();
    let t = &report.tables[0];
    println!(
        "two-way: {written} changes captured and applied in {took:.1} s = {:.0} a second \
         ({} rows to target, {} to source, {} conflicts)",
        written as f64 / took,
        t.applied_to_target,
        t.applied_to_source,
        t.conflicts
    );
}

/// Updates rows of its own half of the table, as fast as it can.
fn write(path: &Path, side: u64, seconds: u64) -> u64 {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.busy_timeout(std::time::Duration::from_secs(20))
        .unwrap();
    conn.execute_batch("PRAGMA synchronous = NORMAL").unwrap();
    let begun = Instant::now();
    let mut written = 0;
    let mut id = side;
    while begun.elapsed().as_secs() < seconds {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..50 {
            id += 2;
            written += conn
                .prepare_cached("UPDATE orders SET amount = amount + 1, note = ?2 WHERE id = ?1")
                .unwrap()
                .execute(((id % 100_000).cast_signed(), format!("touched {written}")))
                .unwrap() as u64;
        }
        conn.execute_batch("COMMIT").unwrap();
    }
    written
}
