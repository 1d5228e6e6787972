//! Time of one conflict in a batch of 1,000 resolved by a script, in nanoseconds.
//!
//! `cargo bench --bench resolve_rhai`: the median of 15 batches, for several scripts, beside the
//! built-in strategy that decides the same.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints and may stop"
)]

use std::hint::black_box;
use std::time::Instant;

use banyan::data::{LogicalType, Value};
use banyan::rule::{
    Conflict, ConflictKind, Direction, Resolve, RuleColumn, RuleTable, Side, builtin,
};
use banyan::script::{Limits, Script, ScriptSpec};

const ROWS: i64 = 1_000;
const RUNS: usize = 15;

/// What each script does, and its text.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "last write wins by commit time",
        "fn resolve(conflict) {
             if conflict.source_committed > conflict.target_committed { source } else { target }
         }",
    ),
    (
        "last write wins by conflict.later",
        "fn resolve(conflict) { conflict.later ?? source }",
    ),
    (
        "last write wins by a column",
        "fn resolve(conflict) {
             if conflict.source.updated_at >= conflict.target.updated_at { source } else { target }
         }",
    ),
    (
        "counter, whole row merged",
        "fn resolve(conflict) {
             let stock = conflict.source.stock + conflict.target.stock - conflict.base.stock;
             conflict.source.merge(#{ stock: stock })
         }",
    ),
];

fn main() {
    let table = table();
    let conflicts: Vec<Conflict> = (0..ROWS).map(conflict).collect();
    let folder = tempfile::tempdir().unwrap();
    for (what, text) in SCRIPTS {
        let path = folder.path().join("rule.rhai");
        std::fs::write(&path, text).unwrap();
        let script = Script::load(ScriptSpec {
            name: "bench".to_owned(),
            path,
            blake3: None,
            settings: serde_json::Value::Null,
            limits: Limits::default(),
        })
        .unwrap();
        report(what, script.as_ref(), &table, &conflicts);
    }
    for name in ["last-write-wins", "add-deltas"] {
        let rule = builtin::strategy(name, &serde_json::Value::Null).unwrap();
        report(
            &format!("built-in {name}"),
            rule.as_ref(),
            &table,
            &conflicts,
        );
    }
}

fn report(what: &str, rule: &dyn Resolve, table: &RuleTable, conflicts: &[Conflict]) {
    let mut times: Vec<u128> = (0..=RUNS)
        .map(|_| {
            let started = Instant::now();
            black_box(rule.resolve(table, black_box(conflicts)).unwrap());
            started.elapsed().as_nanos()
        })
        .skip(1)
        .collect();
    times.sort_unstable();
    let per_row = times[times.len() / 2] / conflicts.len() as u128;
    println!("{per_row:>6} ns/row  {what}");
}

fn table() -> RuleTable {
    let column = |name: &str, logical| RuleColumn {
        name: name.to_owned(),
        declared_type: String::new(),
        logical,
        nullable: true,
    };
    RuleTable {
        name: "products".to_owned(),
        columns: vec![
            column("id", LogicalType::Int),
            column("sku", LogicalType::Text),
            column("stock", LogicalType::Int),
            column("updated_at", LogicalType::Int),
        ],
        key: vec![0],
    }
}

fn conflict(n: i64) -> Conflict {
    let row = |stock: i64, at: i64| {
        Some(vec![
            Value::Int(n),
            Value::Text(format!("sku-{n:08}")),
            Value::Int(stock),
            Value::Int(at),
        ])
    };
    let (s, t) = (n * 7919 % 1_000, n * 104_729 % 1_000);
    Conflict {
        kind: ConflictKind::UpdateOriginDiffers,
        direction: Direction::Forward,
        base: row(100, 0),
        base_known: true,
        source: Side {
            row: row(100 - s, s),
            committed_us: Some(s),
        },
        target: Side {
            row: row(100 - t, t),
            committed_us: Some(t),
        },
    }
}
