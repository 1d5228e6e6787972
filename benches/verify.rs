//! FULL verification of 1,000,000 rows of 10 columns, SQLite to SQLite, beside `sqldiff` (Debian's
//! sqlite3-tools), which compares the same files inside one process.
//!
//! ```text
//! cargo bench --bench verify [-- ROWS]
//! ```
//!
//! Runs alternate; medians are printed, and the peak memory of each run's process.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use banyan::database::ReadStore;
use banyan::database::sqlite::{SqliteStore, SqliteStoredForm};
use banyan::rule::RuleTable;
use banyan::rule::mapping::{How, MappedTable, TableMapping};
use banyan::verify::{Level, Recheck, VerifyRequest, verify};

const RUNS: usize = 5;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if let [child, source, target, level] = arguments.as_slice()
        && child == "--child"
    {
        return run_child(source, target, level);
    }
    let rows: i64 = arguments.first().map_or(1_000_000, |a| a.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (equal_a, equal_b) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let differs = folder.path().join("c.db");
    generate(&equal_a, rows);
    std::fs::copy(&equal_a, &equal_b).unwrap();
    std::fs::copy(&equal_a, &differs).unwrap();
    let changed = rusqlite::Connection::open(&differs)
        .unwrap()
        .execute(
            "UPDATE orders SET note = note || ' ' WHERE id % 100 = 50",
            [],
        )
        .unwrap();
    println!("{rows} rows of 10 columns, median of {RUNS} alternating runs");
    for (name, target) in [
        ("0 differences", &equal_b),
        ("1 % of the rows differ", &differs),
    ] {
        println!("\n{name}");
        compare(&equal_a, target);
    }
    println!("\n({changed} rows were changed)");
    std::process::ExitCode::SUCCESS
}

fn compare(source: &Path, target: &Path) {
    let me = std::env::current_exe().unwrap();
    let paths = [source.as_os_str(), target.as_os_str()];
    let mut seconds = vec![Vec::new(); 3];
    let mut peak_kib = [0; 3];
    for _ in 0..RUNS {
        for (i, level) in ["full", "hash", "sqldiff"].into_iter().enumerate() {
            let mut command = if level == "sqldiff" {
                let mut command = Command::new("sqldiff");
                command.args(paths);
                command
            } else {
                let mut command = Command::new(&me);
                command.arg("--child").args(paths).arg(level);
                command
            };
            let (took, kib) = measure(&mut command);
            seconds[i].push(took);
            peak_kib[i] = peak_kib[i].max(kib);
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let peer = median(&mut seconds[2]);
    for (i, name) in ["verify FULL", "verify HASH", "sqldiff"]
        .into_iter()
        .enumerate()
    {
        let took = median(&mut seconds[i]);
        println!(
            "{name:<12} {took:>7.2} s  {:>5.2} x sqldiff  (fastest {:.2}, slowest {:.2})  peak {} MiB",
            took / peer,
            seconds[i][0],
            seconds[i][RUNS - 1],
            peak_kib[i] / 1024
        );
    }
}

/// The wall-clock seconds of a process, and its greatest resident set in KiB.
fn measure(command: &mut Command) -> (f64, u64) {
    command.stdout(std::process::Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let peak = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let seen = Arc::clone(&peak);
    let watcher = std::thread::spawn(move || {
        // Ends when the process has: then the file has no peak any more.
        while let Some(kib) = std::fs::read_to_string(&status)
            .ok()
            .and_then(|s| high_water(&s))
        {
            seen.fetch_max(kib, std::sync::atomic::Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    assert!(child.wait().unwrap().code().is_some_and(|code| code < 2));
    let took = started.elapsed().as_secs_f64();
    watcher.join().unwrap();
    (took, peak.load(std::sync::atomic::Ordering::Relaxed))
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn run_child(source: &str, target: &str, level: &str) -> std::process::ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let consistent = runtime.block_on(async {
        let source = SqliteStore::new("monolith", source);
        let target = SqliteStore::new("service", target);
        let schema = source.schema("orders").await.unwrap();
        let columns = schema.data_columns();
        let side = MappedTable {
            table: RuleTable::of(&schema, &columns),
            stored: Some(Arc::new(SqliteStoredForm::new(&schema, &columns))),
        };
        let mappings = [TableMapping {
            source: side.clone(),
            targets: vec![side],
            how: How::Columns,
            filter: None,
            filter_sql: None,
        }];
        let mut request = VerifyRequest::new(&source, &target, &mappings);
        request.level = level.parse::<Level>().unwrap();
        request.recheck = Recheck {
            wait_ms: 0,
            tries: 0,
        };
        let report = verify(request).await.unwrap();
        println!("{report}");
        report.consistent
    });
    std::process::ExitCode::from(u8::from(!consistent))
}

fn generate(path: &Path, rows: i64) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
         CREATE TABLE orders (
           id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, status TEXT NOT NULL,
           amount NUMERIC, weight REAL, created_at TEXT, updated_at TEXT, paid BOOLEAN,
           note TEXT, token BLOB
         );",
    )
    .unwrap();
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO orders SELECT i, i * 7919 % 50000,
           CASE i % 4 WHEN 0 THEN 'new' WHEN 1 THEN 'paid' WHEN 2 THEN 'shipped' ELSE 'cancelled' END,
           i * 31 % 100000 / 100.0, i * 0.37,
           '2026-01-01 10:00:' || printf('%02d.%06d', i % 60, i % 1000000), '2026-02-01 10:00:00',
           i % 2, CASE WHEN i % 3 = 0 THEN NULL ELSE 'note ' || i END,
           CAST(printf('%016x', i * 7919) AS BLOB)
         FROM n",
        [rows],
    )
    .unwrap();
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
}
