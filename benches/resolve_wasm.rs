//! What it costs to have conflicts resolved by a WebAssembly component: nanoseconds a row in
//! batches of 1,000, median of 15 runs, a fresh instance and the transposition of rows to columns
//! included.
//!
//! `cargo bench --bench resolve_wasm [-- PART_OF_A_LINE]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench reports on stdout and stops at the first failure"
)]

use std::path::Path;
use std::time::Instant;

use banyan::data::{LogicalType, Row};
use banyan::plugin::{HostOptions, Limits, Plugin, PluginHost, PluginSpec};
use banyan::rule::{
    Conflict, ConflictKind, Direction, Resolve, RuleColumn, RuleTable, Side, Verdict,
};

const ROWS: i64 = 1_000;
const RUNS: usize = 15;
/// Batches in a run, so that a run is long against the clock's resolution.
const BATCHES: u32 = 200;

fn table() -> RuleTable {
    let column = |name: &str, declared: &str, logical| RuleColumn {
        name: name.to_owned(),
        declared_type: declared.to_owned(),
        logical,
        nullable: true,
    };
    RuleTable {
        name: "customers".to_owned(),
        columns: vec![
            column("id", "INTEGER", LogicalType::Int),
            column("email", "TEXT", LogicalType::Text),
            column("balance", "REAL", LogicalType::Float),
            column("loyalty_tier", "TEXT", LogicalType::Text),
        ],
        key: vec![0],
    }
}

fn conflicts(with_base: bool) -> Vec<Conflict> {
    let row = |id: i64, email: &str, balance: f64, tier: &str| -> Row {
        vec![
            id.into(),
            format!("{email}{id}@example.org").into(),
            balance.into(),
            tier.into(),
        ]
    };
    (0..ROWS)
        .map(|id| Conflict {
            kind: ConflictKind::UpdateOriginDiffers,
            direction: Direction::Forward,
            base: with_base.then(|| row(id, "base", 1.0, "silver")),
            base_known: with_base,
            source: Side {
                row: Some(row(id, "source", 1.0, "gold")),
                committed_us: Some(2 * id),
            },
            target: Side {
                row: Some(row(id, "base", 2.5, "silver")),
                committed_us: Some(id + 500),
            },
        })
        .collect()
}

fn load(host: &PluginHost, file: &str) -> std::sync::Arc<Plugin> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    host.load(PluginSpec {
        limits: Limits {
            call_ms: 10_000,
            ..Limits::default()
        },
        ..PluginSpec::new("bench", path)
    })
    .unwrap()
}

/// Nanoseconds that this thread was on a processor, where the system says so: on a busy machine
/// the wall clock counts the neighbours, too.
fn on_cpu_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok()
}

/// Medians over the runs in nanoseconds a row: by the wall clock, and on the processor.
fn measure(plugin: &Plugin, conflicts: &[Conflict]) -> (f64, f64) {
    let table = table();
    let mut wall = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..RUNS {
        let (started, began) = (Instant::now(), on_cpu_ns());
        for _ in 0..BATCHES {
            let verdicts = plugin.resolve(&table, conflicts).unwrap();
            assert_eq!(verdicts.len(), conflicts.len());
        }
        let elapsed = started.elapsed().as_nanos() as u64;
        wall.push(elapsed);
        cpu.push(match (began, on_cpu_ns()) {
            (Some(began), Some(ended)) => ended - began,
            _ => elapsed,
        });
    }
    let median = |mut runs: Vec<u64>| {
        runs.sort_unstable();
        runs[RUNS / 2] as f64 / f64::from(BATCHES) / conflicts.len() as f64
    };
    (median(wall), median(cpu))
}

fn main() {
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let newest = load(&host, "tests/guests/newest-0.1.0.wasm");
    let merging = load(&host, "plugins/vip_merge.wasm");
    let plain = conflicts(false);
    let based = conflicts(true);
    let merged = merging.resolve(&table(), &based).unwrap();
    assert!(merged.iter().all(|v| matches!(v, Verdict::Merged(_))));
    println!(
        "ns/row: wall clock, on the processor; batches of {ROWS}, 4 columns, fresh instance and transposition included"
    );
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with("--"));
    let report = |what: &str, plugin: &Plugin, conflicts: &[Conflict], per: f64| {
        if only.as_deref().is_none_or(|part| what.contains(part)) {
            let (wall, cpu) = measure(plugin, conflicts);
            println!("{:8.1} {:8.1}  {what}", wall / per, cpu / per);
        }
    };
    report("newest wins, 2 sides", &newest, &plain, 1.0);
    report("newest wins, 2 sides and base", &newest, &based, 1.0);
    report("vip_merge, every row merged", &merging, &based, 1.0);
    report("µs for a batch of one row", &newest, &plain[..1], 1_000.0);
    println!("instances from a pool: {}", host.pooled());
}
