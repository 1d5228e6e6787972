//! Who orders the rows makes no difference to what is found.

use serde_json::Value as Json;

use super::readers::{fill, settled};
use crate::support::sides::{Engine, Sides};

/// The report but for the strategy, and the tables' strategies.
fn apart(report: Json) -> (Json, Vec<String>) {
    let mut report = settled(report);
    let tables = report["tables"].as_array_mut().unwrap();
    let strategies = tables.iter_mut().map(|table| {
        let strategy = table["strategy"].take();
        strategy.as_str().unwrap().to_owned()
    });
    let strategies = strategies.collect();
    (report, strategies)
}

#[test]
fn rows_sorted_here_are_those_of_ordered_stores() {
    for (source, target) in [
        (Engine::Sqlite, Engine::Sqlite),
        (Engine::Postgres, Engine::Mysql),
        (Engine::Mysql, Engine::Postgres),
    ] {
        let sides = Sides::new(source, target);
        fill(&sides.source, 12_000, 0);
        fill(&sides.target, 12_000, 1);
        sides.configure("");
        for (level, ordered) in [("full", "merge"), ("hash", "segment-digests")] {
            let verify = |strategy: &str| {
                let shown = sides.shop.run(&[
                    "verify",
                    "shop",
                    "--level",
                    level,
                    "--strategy",
                    strategy,
                    "--format",
                    "json",
                ]);
                assert_eq!(shown.code, 1, "{shown:?}");
                apart(shown.json())
            };
            let what = format!("{source:?} to {target:?}, {level}");
            let (auto, strategies) = verify("auto");
            assert_eq!(strategies, [ordered; 3], "{what}");
            assert_eq!(auto["differences_total"], 3 * (13 + 3), "{auto}");
            assert_eq!(verify("merge"), (auto.clone(), strategies), "{what}");
            let (sorted, strategies) = verify("sort-merge");
            assert_eq!(sorted, auto, "{what}");
            let all = ["sort-merge"; 3];
            assert_eq!(strategies, all, "{what}");
        }
    }
}

#[test]
fn keys_in_another_form_need_sorting() {
    let sides = Sides::new(Engine::Sqlite, Engine::Postgres);
    sides
        .source
        .sql("CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY, v INTEGER)");
    sides
        .target
        .sql("CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v INTEGER)");
    for side in sides.both() {
        side.sql("INSERT INTO t VALUES ('9', 1), ('10', 2), ('100', 3)");
    }
    sides.configure("");
    let verify = |strategy: &str| {
        let arguments = ["verify", "shop", "--format", "json", "--strategy", strategy];
        sides.shop.run(&arguments)
    };
    for strategy in ["auto", "sort-merge"] {
        let shown = verify(strategy);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert_eq!(apart(shown.json()).1, ["sort-merge"], "{strategy}");
    }
    let shown = verify("merge");
    assert_eq!(shown.code, 2, "{shown:?}");
    assert!(shown.errors.contains("table t"), "{shown:?}");
    assert!(shown.errors.contains("auto or sort-merge"), "{shown:?}");
    for parted in [&["--sample", "50"][..], &["--readers", "2"], &["--resume"]] {
        let arguments = ["verify", "shop", "--strategy", "sort-merge"];
        let all: Vec<&str> = arguments.iter().chain(parted).copied().collect();
        let shown = sides.shop.run(&all);
        assert_eq!(shown.code, 2, "{shown:?}");
        assert!(shown.errors.contains(parted[0]), "{shown:?}");
    }
    let shown = verify("fast");
    assert_eq!(shown.code, 2, "{shown:?}");
    assert!(
        shown.errors.contains("auto, merge and sort-merge"),
        "{shown:?}"
    );
}
