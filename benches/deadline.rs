//! How far hostile rules run past their time limit: scripts and a component that spin, allocate,
//! recurse, flood the log or chew on long values, with everything but the clock allowed to them.
//!
//! `cargo bench --bench deadline`: the longest of 5 batches of each, beside `limits.call_ms`. A
//! rule that is stopped by another limit, or that finishes, shows how long that took.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench reports on stdout and stops at the first failure"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use banyan::data::{LogicalType, Row};
use banyan::plugin::{HostOptions, Limits as PluginLimits, PluginHost, PluginSpec};
use banyan::rule::{Conflict, ConflictKind, Direction, Resolve, RuleColumn, RuleTable, Side};
use banyan::script::{Limits as ScriptLimits, Script, ScriptSpec};

const ROWS: i64 = 100;
const RUNS: usize = 5;
const CALL_MS: u64 = 50;

/// Bodies of `fn resolve(conflict)`.
const SCRIPTS: &[(&str, &str)] = &[
    ("empty loop", "loop {}"),
    ("counting", "let n = 0; loop { n += 1; }"),
    ("calls", "loop { f(1); }"),
    ("exceptions", "loop { try { throw 1; } catch { } }"),
    (
        "long text, replace",
        "let s = \"x\"; s.pad(900000, 'x'); loop { let t = s; t.replace(\"x\", \"y\"); }",
    ),
    (
        "long text, index_of",
        "let s = \"x\"; s.pad(900000, 'x'); loop { s.index_of(\"y\"); }",
    ),
    (
        "long text, split",
        "let s = \"x\"; s.pad(900000, 'x'); loop { s.split(\"xy\"); }",
    ),
    (
        "long text, to_upper",
        "let s = \"x\"; s.pad(900000, 'x'); loop { s.to_upper(); }",
    ),
    (
        "long text, concatenated",
        "let s = \"x\"; s.pad(900000, 'x'); loop { let t = s + \"y\"; }",
    ),
    (
        "long text, compared",
        "let s = \"x\"; s.pad(900000, 'x'); let t = s + \"\"; loop { s == t; }",
    ),
    (
        "array, sort",
        "let a = []; a.pad(9000, 1); loop { let b = a; b.sort(); }",
    ),
    (
        "array, sort by a function",
        "let a = []; a.pad(9000, 1); loop { let b = a; b.sort(less); }",
    ),
    (
        "array, reverse",
        "let a = []; a.pad(9000, 1); loop { a.reverse(); }",
    ),
    (
        "array, map",
        "let a = []; a.pad(9000, 1); loop { a.map(more); }",
    ),
    (
        "array, contains",
        "let a = []; a.pad(9000, 1); loop { a.contains(2); }",
    ),
    (
        "array, compared",
        "let a = []; a.pad(9000, 1); let b = a; loop { a == b; }",
    ),
    (
        "array, dedup",
        "let a = []; a.pad(9000, 1); loop { let b = a; b.dedup(); }",
    ),
    (
        "map, keys",
        "let m = #{}; for i in 0..5000 { m[`k${i}`] = i; } loop { m.keys(); }",
    ),
    (
        "map, to_json",
        "let m = #{}; for i in 0..5000 { m[`k${i}`] = i; } loop { m.to_json(); }",
    ),
    ("json", "let a = []; a.pad(9000, 1); loop { json(a); }"),
    (
        "decimals",
        "let d = decimal(\"1.0000000001\"); loop { decimal(\"1.0000000001\") == d; }",
    ),
    (
        "rows merged",
        "loop { conflict.source.merge(#{ email: \"x\" }); }",
    ),
    ("rows to maps", "loop { conflict.source.to_map(); }"),
    ("log", "loop { log_info(\"x\"); }"),
    (
        "long log",
        "let s = \"x\"; s.pad(900000, 'x'); loop { log_info(s); }",
    ),
    ("recursion", "f(0)"),
    ("text doubled", "let s = \"x\"; loop { s += s; }"),
    (
        "arrays in arrays",
        "let a = [0, 0]; loop { a[0] = a; a[1] = a; }",
    ),
];

/// What the hostile component does: see `tests/guests/hostile`.
const GUESTS: &[&str] = &[
    "spin",
    "open-spin",
    "recursion",
    "allocate",
    "open-allocate",
    "log-million",
    "log-huge",
    "fatal-huge",
    "park-huge",
    "trap",
    "panic",
    "none",
];

fn table() -> RuleTable {
    let column = |name: &str, declared: &str, logical| RuleColumn {
        name: name.to_owned(),
        declared_type: declared.to_owned(),
        logical,
        nullable: true,
    };
    RuleTable {
        name: "people".to_owned(),
        columns: vec![
            column("id", "INTEGER", LogicalType::Int),
            column("email", "TEXT", LogicalType::Text),
            column("points", "INTEGER", LogicalType::Int),
        ],
        key: vec![0],
    }
}

fn conflict(id: i64) -> Conflict {
    let row = |email: &str, points: i64| -> Option<Row> {
        Some(vec![id.into(), email.into(), points.into()])
    };
    Conflict {
        kind: ConflictKind::UpdateOriginDiffers,
        direction: Direction::Forward,
        base: row("base", 0),
        base_known: true,
        source: Side {
            row: row("source", 1),
            committed_us: Some(2),
        },
        target: Side {
            row: row("target", 2),
            committed_us: Some(1),
        },
    }
}

/// Prints the longest batch and answers how far past the limit it was, in percent.
fn report(what: &str, rule: &dyn Resolve, table: &RuleTable, conflicts: &[Conflict]) -> f64 {
    let mut longest = Duration::ZERO;
    let mut outcome = String::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let answer = rule.resolve(table, conflicts);
        let took = started.elapsed();
        if took >= longest {
            longest = took;
            outcome = match answer {
                Ok(_) => "finished".to_owned(),
                Err(error) => format!("{:?}", error.kind),
            };
        }
    }
    let ms = longest.as_secs_f64() * 1e3;
    let past = (ms / CALL_MS as f64 - 1.0) * 100.0;
    let past_text = if past > 0.0 {
        format!("{past:+6.1} %")
    } else {
        "       ".to_owned()
    };
    println!("{ms:8.1} ms {past_text}  {what}: {outcome}");
    past
}

fn main() {
    let table = table();
    let conflicts: Vec<Conflict> = (0..ROWS).map(conflict).collect();
    println!("limits.call_ms = {CALL_MS}; the longest of {RUNS} batches of {ROWS} rows");
    let mut worst = f64::MIN;
    let folder = tempfile::tempdir().unwrap();
    println!("scripts");
    for (what, body) in SCRIPTS {
        let path = folder.path().join("rule.rhai");
        std::fs::write(
            &path,
            format!("fn f(n) {{ if n > 0 && n < 2 {{ return n; }} f(n - 1) }} fn less(x, y) {{ x - y }} fn more(x) {{ x + 1 }} fn resolve(conflict) {{ {body} }}"),
        )
        .unwrap();
        let script = Script::load(ScriptSpec {
            name: "hostile".to_owned(),
            path,
            blake3: None,
            settings: serde_json::Value::Null,
            limits: ScriptLimits {
                call_ms: CALL_MS,
                operations_per_row: u64::MAX,
                ..ScriptLimits::default()
            },
        })
        .unwrap();
        worst = worst.max(report(what, script.as_ref(), &table, &conflicts));
    }
    println!("component");
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/hostile.wasm");
    for what in GUESTS {
        let plugin = host
            .load(PluginSpec {
                settings: serde_json::json!({ "what": what }),
                limits: PluginLimits {
                    call_ms: CALL_MS,
                    fuel_base: u64::MAX,
                    ..PluginLimits::default()
                },
                ..PluginSpec::new("hostile", component.clone())
            })
            .unwrap();
        worst = worst.max(report(what, plugin.as_ref(), &table, &conflicts));
    }
    println!("at most {worst:.1} % past the limit");
}
