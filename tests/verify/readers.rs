//! Several readers for one table find what one finds, and give the same digest.

use serde_json::Value as Json;

use crate::support::sides::{Engine, Side, Sides};

/// Without what is not the same twice.
pub(super) fn settled(mut report: Json) -> Json {
    report["seconds"] = Json::Null;
    for table in report["tables"].as_array_mut().unwrap() {
        for name in ["seconds", "compared_at_us", "source_held_ms"] {
            table[name] = Json::Null;
        }
    }
    report
}

pub(super) fn fill(side: &Side, rows: u32, other: u32) {
    let (int, text) = match side.engine {
        Engine::Sqlite => ("INTEGER", "TEXT"),
        Engine::Postgres => ("BIGINT", "TEXT COLLATE \"C\""),
        Engine::Mysql => ("BIGINT", "VARCHAR(40) COLLATE utf8mb4_bin"),
    };
    side.sql(&format!(
        "CREATE TABLE numbers (id {int} NOT NULL PRIMARY KEY, v {text}, n {int})"
    ));
    side.sql(&format!(
        "CREATE TABLE names (name {text} NOT NULL PRIMARY KEY, n {int})"
    ));
    side.sql(&format!(
        "CREATE TABLE pairs (a {int} NOT NULL, b {text} NOT NULL, n {int}, PRIMARY KEY (a, b))"
    ));
    // Some far apart, some below zero, most side by side; a few differ, and a few are not there.
    let id = |i: u32| match i {
        0..100 => i64::from(i) * 40_000_000_000_000 - 2_000_000_000_000_000,
        _ => i64::from(i) * 3 - 90_000,
    };
    let value = |i: u32| if i % 997 == 5 { other } else { i };
    let there = |i: &u32| other == 0 || i % 4999 != 7;
    let mut session = side.session();
    let all: Vec<u32> = (0..rows).filter(there).collect();
    for some in all.chunks(2_000) {
        for (table, row) in [
            (
                "numbers",
                &(|i| format!("({}, 'row {i}', {})", id(i), value(i))) as &dyn Fn(u32) -> String,
            ),
            ("names", &|i| {
                format!("('name {:x}', {})", i.wrapping_mul(2_654_435_761), value(i))
            }),
            ("pairs", &|i| {
                format!("({}, 'b {}', {})", i / 7, i % 7, value(i))
            }),
        ] {
            let rows: Vec<String> = some.iter().map(|&i| row(i)).collect();
            let sql = format!("INSERT INTO {table} VALUES {}", rows.join(", "));
            session.execute(&sql).unwrap();
        }
    }
}

#[test]
fn several_readers_find_the_same() {
    for (source, target) in [
        (Engine::Sqlite, Engine::Sqlite),
        (Engine::Postgres, Engine::Postgres),
        (Engine::Mysql, Engine::Postgres),
        (Engine::Sqlite, Engine::Mysql),
    ] {
        let sides = Sides::new(source, target);
        fill(&sides.source, 12_000, 0);
        fill(&sides.target, 12_000, 1);
        sides.configure("");
        for level in ["full", "hash"] {
            let verify = |more: &[&str]| {
                let arguments = ["verify", "shop", "--level", level, "--format", "json"];
                let all: Vec<&str> = arguments.iter().chain(more).copied().collect();
                let shown = sides.shop.run(&all);
                assert_eq!(shown.code, 1, "{shown:?}");
                settled(shown.json())
            };
            let one = verify(&[]);
            assert_eq!(one["differences_total"], 3 * (13 + 3), "{one}");
            for more in [
                &["--readers", "2", "--part-rows", "1000"][..],
                &["--readers", "5", "--part-rows", "7000"],
                &["--readers", "3"],
            ] {
                assert_eq!(
                    verify(more),
                    one,
                    "{source:?} to {target:?}, {level}, {more:?}"
                );
            }
        }
    }
}

#[test]
fn readers_of_a_few_rows_or_none() {
    let sides = Sides::new(Engine::Postgres, Engine::Sqlite);
    for side in sides.both() {
        side.sql("CREATE TABLE none (id INTEGER PRIMARY KEY)");
        side.sql("CREATE TABLE few (id INTEGER PRIMARY KEY, v INTEGER)");
    }
    sides
        .source
        .sql("INSERT INTO few VALUES (-2147483648, 1), (2147483647, 2)");
    sides
        .target
        .sql("INSERT INTO few VALUES (-2147483648, 1), (0, 2)");
    sides.configure("");
    let arguments = [
        "verify",
        "shop",
        "--readers",
        "4",
        "--part-rows",
        "1",
        "--format",
        "json",
    ];
    let shown = sides.shop.run(&arguments);
    let report = shown.json();
    assert_eq!(report["differences_total"], 2, "{report}");
    assert_eq!(report["tables"][0]["rows_source"], 2, "{report}");
}

/// However much of the time they read.
#[test]
fn readers_that_rest_find_the_same() {
    let sides = Sides::new(Engine::Postgres, Engine::Sqlite);
    fill(&sides.source, 6_000, 0);
    fill(&sides.target, 6_000, 1);
    sides.configure("");
    let verify = |more: &[&str]| {
        let arguments = ["verify", "shop", "--format", "json", "--part-rows", "2000"];
        let all: Vec<&str> = arguments.iter().chain(more).copied().collect();
        let shown = sides.shop.run(&all);
        assert_eq!(shown.code, 1, "{shown:?}");
        settled(shown.json())
    };
    for level in ["count", "hash", "full"] {
        let one = verify(&["--level", level]);
        for most in ["100", "40"] {
            for readers in ["1", "3"] {
                let more = [
                    "--level",
                    level,
                    "--busy-percent-max",
                    most,
                    "--readers",
                    readers,
                ];
                assert_eq!(verify(&more), one, "{more:?}");
            }
        }
    }
    let arguments = [
        "reconcile",
        "shop",
        "--busy-percent-max",
        "30",
        "--format",
        "json",
    ];
    let shown = sides.shop.run(&arguments);
    assert_eq!(shown.code, 0, "{shown:?}");
    sides.assert_verified();
    for wrong in ["0", "101", "-1", "1.5"] {
        let wrong = format!("--busy-percent-max={wrong}");
        assert_eq!(
            sides.shop.run(&["verify", "shop", &wrong]).code,
            2,
            "{wrong}"
        );
    }
}

/// The last of these keys is looked for in ever smaller steps, which below zero must get smaller, too.
#[test]
fn keys_below_zero_are_cut() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    for side in sides.both() {
        side.sql("CREATE TABLE few (id INTEGER PRIMARY KEY)");
        side.sql("INSERT INTO few VALUES (-9), (-6), (-3)");
    }
    sides.configure("");
    let arguments = ["verify", "shop", "--readers", "2", "--part-rows", "1"];
    let shown = sides.shop.run(&arguments);
    assert_eq!(shown.code, 0, "{shown:?}");
}
