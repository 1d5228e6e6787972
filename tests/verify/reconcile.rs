//! Repairs: by side, guarded, repeatable.

use std::collections::BTreeMap;

use banyan::data::{Row, Value};
use banyan::rule::mapping::TableMapping;
use banyan::rule::{Direction, Routed, RuleError, RuleInfo, Transform, TransformTables};
use banyan::verify::{
    Action, Level, Operation, Prefer, ReconcileReport, ReconcileRequest, VerifyRequest, reconcile,
};
use proptest::prelude::*;

use crate::support::program::{CONFIG, Shop, rows as rows_of};

use super::memory::{MemoryStore, Tables};
use super::support::{ONCE, int, mapping, run, side, text, transformed};

fn repair(
    source: &MemoryStore,
    target: &MemoryStore,
    mappings: &[TableMapping],
    prefer: Prefer,
    dry_run: bool,
) -> (ReconcileReport, Vec<Action>) {
    let mut actions = Vec::new();
    let mut verify = VerifyRequest::new(source, target, mappings);
    verify.recheck = ONCE;
    let request = ReconcileRequest {
        verify,
        prefer,
        resolvers: BTreeMap::new(),
        dry_run,
        repair_source: source,
        repair_target: target,
        observe: &mut |action| actions.push(action.clone()),
        ledger: &|_| Ok(()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let report = runtime.block_on(reconcile(request)).unwrap();
    (report, actions)
}

fn rows(values: &[(i64, &str)]) -> Vec<Row> {
    values
        .iter()
        .map(|(id, v)| vec![int(*id), text(v)])
        .collect()
}

fn table(tables: &mut Tables) -> &mut Vec<Row> {
    &mut tables.get_mut("t").unwrap().rows
}

fn stores(key: &[usize]) -> (MemoryStore, MemoryStore, [TableMapping; 1]) {
    let columns = ["id", "v"];
    (
        MemoryStore::new("monolith", 3).with(
            "t",
            &columns,
            key,
            rows(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")]),
        ),
        MemoryStore::new("service", 2).with(
            "t",
            &columns,
            key,
            rows(&[(2, "b"), (3, "x"), (4, "d"), (5, "e")]),
        ),
        [mapping("t", &columns, key)],
    )
}

#[test]
fn the_preferred_side_wins_and_a_second_run_is_clean() {
    for key in [&[0][..], &[]] {
        for prefer in [Prefer::Source, Prefer::Target] {
            let (source, target, mappings) = stores(key);
            let right = if prefer == Prefer::Source {
                &source
            } else {
                &target
            };
            let expected = right.rows_of("t");
            let (dry, planned) = repair(&source, &target, &mappings, prefer, true);
            assert!(dry.clean && dry.dry_run);
            assert_ne!(
                source.rows_of("t"),
                target.rows_of("t"),
                "a dry run writes nothing"
            );
            let (report, done) = repair(&source, &target, &mappings, prefer, false);
            assert!(report.clean, "{report}");
            assert_eq!(planned, done, "what is said is what is done");
            assert_eq!(source.rows_of("t"), expected);
            assert_eq!(target.rows_of("t"), expected);
            let (again, nothing) = repair(&source, &target, &mappings, prefer, false);
            assert!(again.clean && nothing.is_empty());
            assert!(again.to_string().contains("nothing to repair"));
        }
    }
}

#[test]
fn actions_say_what_changes() {
    let (source, target, mappings) = stores(&[0]);
    let (_, actions) = repair(&source, &target, &mappings, Prefer::Source, true);
    let lines: Vec<String> = actions.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    insert service.t (id = 1): id = 1, v = "a"
    update service.t (id = 3): v = "c"; was v = "x"
    delete service.t (id = 5): was id = 5, v = "e"
    "#);
    assert_eq!(actions[1].operation, Operation::Update);
    let json = serde_json::to_string(&actions[1]).unwrap();
    assert_eq!(
        json,
        r#"{"store":"service","table":"t","operation":"update","key":{"id":3},"before":{"v":"x"},"after":{"v":"c"}}"#
    );
}

#[test]
fn the_newest_wins_where_both_times_are_known() {
    let (source, target, mappings) = stores(&[0]);
    source.written_at(1, 10);
    target.written_at(1, 20);
    source.written_at(3, 30);
    target.written_at(3, 20);
    source.written_at(5, 7);
    let (report, actions) = repair(&source, &target, &mappings, Prefer::Newest, false);
    let done: Vec<String> = actions.iter().map(ToString::to_string).collect();
    // Row 1 was deleted on the target after it was written on the source.
    assert_eq!(
        done,
        [
            r#"update service.t (id = 3): v = "c"; was v = "x""#,
            r#"delete monolith.t (id = 1): was id = 1, v = "a""#
        ]
    );
    assert!(!report.clean);
    assert_eq!(report.unrepaired.len(), 1);
    assert_eq!(report.unrepaired[0].key["id"], 5);
    assert!(report.unrepaired[0].reason.contains("unknown"));
}

#[test]
fn rows_that_moved_since_are_left_alone() {
    for prefer in [Prefer::Source, Prefer::Target] {
        for on_source in [false, true] {
            let (source, target, mappings) = stores(&[0]);
            let moving = if on_source { &source } else { &target };
            // The observer of the comparison stands for an application that writes just then.
            let mut verify = VerifyRequest::new(&source, &target, &mappings);
            verify.recheck = ONCE;
            let wrote = std::sync::atomic::AtomicBool::new(false);
            let write = |progress: banyan::verify::Progress| {
                if progress.rows > 3 && !wrote.swap(true, std::sync::atomic::Ordering::Relaxed) {
                    moving.edit(|t| {
                        let row = table(t).iter_mut().find(|r| r[0] == int(3)).unwrap();
                        row[1] = text("written meanwhile");
                    });
                }
            };
            verify.progress = &write;
            let request = ReconcileRequest {
                verify,
                prefer,
                resolvers: BTreeMap::new(),
                dry_run: false,
                repair_source: &source,
                repair_target: &target,
                observe: &mut |_| (),
                ledger: &|_| Ok(()),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let report = runtime.block_on(reconcile(request)).unwrap();
            assert_eq!(
                (report.tables[0].repaired, report.tables[0].moved),
                (2, 1),
                "{report}"
            );
            assert!(!report.clean);
            let row = moving
                .rows_of("t")
                .into_iter()
                .find(|r| r[0] == int(3))
                .unwrap();
            assert_eq!(row[1], text("written meanwhile"));
        }
    }
}

#[test]
fn children_wait_for_their_parents() {
    let mappings = [
        mapping("child", &["id", "parent"], &[0]),
        mapping("parent", &["id"], &[0]),
    ];
    let store = |name, full: bool| {
        let rows = |n: i64| {
            if full {
                (0..n).map(|i| vec![int(i), int(i % 5)]).collect()
            } else {
                vec![]
            }
        };
        let parents = if full {
            (0..5).map(|i| vec![int(i)]).collect()
        } else {
            vec![]
        };
        MemoryStore::new(name, 4)
            .with("child", &["id", "parent"], &[0], rows(700))
            .with("parent", &["id"], &[0], parents)
    };
    let (source, target) = (store("a", true), store("b", false));
    target.refer("child", 1, "parent");
    let (report, _) = repair(&source, &target, &mappings, Prefer::Source, false);
    assert!(report.clean, "{report}");
    assert_eq!(source.rows_of("child"), target.rows_of("child"));
    // A child whose parent is nowhere stays, with the reason.
    source.edit(|t| {
        t.get_mut("child")
            .unwrap()
            .rows
            .push(vec![int(9000), int(77)]);
    });
    let (report, _) = repair(&source, &target, &mappings, Prefer::Source, false);
    assert!(!report.clean);
    assert_eq!(report.unrepaired[0].key["id"], 9000);
    assert!(report.unrepaired[0].reason.contains("77 has no parent"));
}

/// (id, first, last) to (id, "first last") and back; the source's `extra` column is not mapped back.
struct Names;

impl Transform for Names {
    fn describe(&self) -> RuleInfo {
        RuleInfo {
            name: "names".into(),
            version: "1".into(),
            summary: String::new(),
            digest: None,
        }
    }

    fn transform(
        &self,
        _: &TransformTables,
        direction: Direction,
        _: usize,
        rows: &[Row],
    ) -> Result<Vec<Routed>, RuleError> {
        let shown = |v: &Value| match v {
            Value::Text(v) => v.clone(),
            other => panic!("{other}"),
        };
        let (table, columns) = match direction {
            Direction::Forward => (1, vec![0, 1]),
            Direction::Backward => (0, vec![0, 1, 2]),
        };
        let rows: Vec<Row> = rows
            .iter()
            .map(|row| match direction {
                Direction::Forward => {
                    vec![
                        row[0].clone(),
                        text(&format!("{} {}", shown(&row[1]), shown(&row[2]))),
                    ]
                }
                Direction::Backward => {
                    let name = shown(&row[1]);
                    let (first, last) = name.split_once(' ').unwrap();
                    vec![row[0].clone(), text(first), text(last)]
                }
            })
            .collect();
        Ok(vec![Routed {
            table,
            columns,
            origins: (0..rows.len()).collect(),
            rows,
        }])
    }
}

#[test]
fn a_transform_is_repaired_both_ways() {
    let source = || {
        let row = |id, a: &str, b: &str, extra: &str| vec![int(id), text(a), text(b), text(extra)];
        MemoryStore::new("a", 2).with(
            "people",
            &["id", "first", "last", "extra"],
            &[0],
            vec![
                row(1, "Ada", "L", "keep"),
                row(2, "Bob", "M", "keep"),
                row(3, "Cy", "N", "keep"),
            ],
        )
    };
    let target = || {
        MemoryStore::new("b", 2).with(
            "names",
            &["id", "name"],
            &[0],
            rows(&[(1, "Ada L"), (2, "Bob X"), (4, "Di O")]),
        )
    };
    let mappings = [transformed(
        side("people", &["id", "first", "last"], &[0]),
        vec![side("names", &["id", "name"], &[0])],
        Names,
    )];
    let (s, t) = (source(), target());
    let (report, _) = repair(&s, &t, &mappings, Prefer::Source, false);
    assert!(report.clean, "{report}");
    assert_eq!(
        t.rows_of("names"),
        rows(&[(1, "Ada L"), (2, "Bob M"), (3, "Cy N")])
    );
    let (s, t) = (source(), target());
    let (report, _) = repair(&s, &t, &mappings, Prefer::Target, false);
    assert!(report.clean, "{report}");
    assert!(run(&s, &t, &mappings, Level::Full, ONCE).consistent);
    // A column that is not mapped stays as it is.
    assert_eq!(
        s.rows_of("people")[1],
        vec![int(2), text("Bob"), text("X"), text("keep")]
    );
    assert_eq!(s.rows_of("people").len(), 3);
}

fn any_rows() -> impl Strategy<Value = Vec<(i64, i64)>> {
    proptest::collection::btree_map(0_i64..30, 0_i64..3, 0..20)
        .prop_map(|m| m.into_iter().collect())
}

proptest! {
    #[test]
    fn any_two_tables_become_equal(a in any_rows(), b in any_rows(), source_wins in any::<bool>()) {
        let make = |name, rows: &[(i64, i64)]| {
            let rows = rows.iter().map(|(k, v)| vec![int(*k), int(*v)]).collect();
            MemoryStore::new(name, 4).with("t", &["k", "v"], &[0], rows)
        };
        let (source, target) = (make("a", &a), make("b", &b));
        let mappings = [mapping("t", &["k", "v"], &[0])];
        let (prefer, right) = if source_wins {
            (Prefer::Source, source.rows_of("t"))
        } else {
            (Prefer::Target, target.rows_of("t"))
        };
        let (report, _) = repair(&source, &target, &mappings, prefer, false);
        prop_assert!(report.clean);
        prop_assert_eq!(&source.rows_of("t"), &right);
        prop_assert_eq!(&target.rows_of("t"), &right);
    }
}

#[test]
fn the_rule_of_a_table_decides() {
    let schema = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stars INTEGER)";
    let shop = Shop::of(schema, schema);
    std::fs::write(
        shop.path("merge.rhai"),
        "fn resolve(conflict) {
           if conflict.source == () { return \"target\"; }
           if conflict.target == () { return \"delete\"; }
           if conflict.target.name == \"nobody knows\" { return park(\"ask somebody\"); }
           if conflict.source.stars > conflict.target.stars {
             return conflict.target.merge(#{ stars: conflict.source.stars });
           }
           \"target\"
         }",
    )
    .unwrap();
    shop.configure(&format!(
        "[rules.merge]\nscript = \"merge.rhai\"\n\n{}",
        CONFIG.replace("\"park\"", "\"merge\"")
    ));
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (1, 'a', 9), (2, 'b', 1), (3, 'c', 1), (4, 'd', 4), (5, 'e', 5)",
    );
    shop.write("target.db", "INSERT INTO items VALUES (1, 'A', 3), (2, 'B', 2), (4, 'nobody knows', 1), (5, 'e', 5), (6, 'new', 6)");
    let dry = shop.run(&["reconcile", "shop", "--prefer", "rule", "--dry-run"]);
    assert_eq!(dry.code, 1, "{dry:?}");
    assert_eq!(
        rows_of(&shop.path("source.db"), "SELECT count(*) FROM items"),
        ["5"]
    );
    let done = shop.run(&["reconcile", "shop", "--prefer", "rule", "--format", "json"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("ask somebody"), "{done:?}");
    let expected = [
        "1, 'A', 9",
        "2, 'B', 2",
        "4, 'd', 4",
        "5, 'e', 5",
        "6, 'new', 6",
    ];
    assert_eq!(
        rows_of(&shop.path("source.db"), "SELECT * FROM items ORDER BY id"),
        expected
    );
    let expected = [
        "1, 'A', 9",
        "2, 'B', 2",
        "4, 'nobody knows', 1",
        "5, 'e', 5",
        "6, 'new', 6",
    ];
    assert_eq!(
        rows_of(&shop.path("target.db"), "SELECT * FROM items ORDER BY id"),
        expected
    );
    // A second run finds nothing but what waits for somebody.
    let again = shop.run(&["reconcile", "shop", "--prefer", "rule", "--format", "json"]);
    assert_eq!(again.json()["tables"][0]["repaired"], 0, "{again:?}");
    // And every write stands in the log.
    let audit = shop.run(&["audit", "verify"]);
    assert_eq!(audit.code, 0, "{audit:?}");
}
