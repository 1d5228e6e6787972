//! A sample of a table: fewer rows, nothing that is not so, and no word about the rest.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::support::sides::{Engine, Side, Sides};

use super::readers::settled;

const ROWS: i64 = 30_000;

/// A table of so many rows with one number as its key, from `first`; `other` is what some of them hold.
fn numbers(side: &Side, rows: std::ops::Range<i64>, other: impl Fn(i64) -> i64) {
    let int = if side.engine == Engine::Sqlite {
        "INTEGER"
    } else {
        "BIGINT"
    };
    side.sql(&format!(
        "CREATE TABLE numbers (id {int} NOT NULL PRIMARY KEY, n {int})"
    ));
    insert(side, "numbers", rows, |id| format!("({id}, {})", other(id)));
}

fn insert(side: &Side, table: &str, rows: std::ops::Range<i64>, row: impl Fn(i64) -> String) {
    let mut session = side.session();
    let all: Vec<i64> = rows.collect();
    for some in all.chunks(2_000) {
        let rows: Vec<String> = some.iter().map(|&i| row(i)).collect();
        let sql = format!("INSERT INTO {table} VALUES {}", rows.join(", "));
        session.execute(&sql).unwrap();
    }
}

fn verify(sides: &Sides, code: i32, more: &[&str]) -> Json {
    let base = ["verify", "shop", "--format", "json", "--recheck-ms", "0"];
    let all: Vec<&str> = base.iter().chain(more).copied().collect();
    let shown = sides.shop.run(&all);
    assert_eq!(shown.code, code, "{more:?}: {shown:?}");
    shown.json()
}

/// The sample of this seed; whatever it says is checked against `damaged`.
fn sample(sides: &Sides, percent: &str, seed: u64, damaged: &BTreeSet<i64>, more: &[&str]) -> Json {
    let seed = seed.to_string();
    let base = [
        "verify",
        "shop",
        "--format",
        "json",
        "--recheck-tries",
        "0",
        "--sample",
        percent,
        "--sample-seed",
        &seed,
    ];
    let all: Vec<&str> = base.iter().chain(more).copied().collect();
    let shown = sides.shop.run(&all);
    let report = shown.json();
    let found = keys(&report);
    assert_eq!(shown.code, i32::from(!found.is_empty()), "{shown:?}");
    assert!(found.is_subset(damaged), "{report}");
    assert_eq!(report["differences_total"], found.len(), "{report}");
    assert!(
        report["consistency_percent"].as_f64().unwrap() < 60.0,
        "{report}"
    );
    let table = &report["tables"][0];
    assert_eq!(table["digest"], Json::Null, "{report}");
    assert_eq!(report["sample"]["seed"].to_string(), seed);
    let (compared, whole) = (rows(table, "rows_compared"), rows(table, "rows_source"));
    let percent = table["sampled_percent"].as_f64().unwrap();
    let exact = 100.0 * compared as f64 / whole as f64;
    assert!((percent - exact).abs() < 0.1, "{report}");
    report
}

fn rows(table: &Json, name: &str) -> i64 {
    table[name].as_i64().unwrap()
}

fn keys(report: &Json) -> BTreeSet<i64> {
    let differences = report["differences"].as_array().unwrap().iter();
    differences
        .map(|d| d["key"]["id"].as_i64().unwrap())
        .collect()
}

#[test]
fn a_sample_of_everything_finds_what_the_whole_comparison_does() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..ROWS, |_| 0);
    numbers(&sides.target, 7..ROWS, |id| i64::from(id % 1_000 == 999));
    sides.configure("");
    for level in ["full", "hash"] {
        let whole = settled(verify(&sides, 1, &["--level", level]));
        let mut all = settled(verify(&sides, 1, &["--level", level, "--sample", "100"]));
        let said = all.as_object_mut().unwrap().remove("sample").unwrap();
        assert_eq!(said["rows_percent"], 100.0);
        assert_eq!(all, whole, "{level}");
        assert_eq!(whole["differences_total"], 37);
    }
}

fn a_difference_is_found_in_about_its_share(
    engine: Engine,
    seeds: u64,
    expected: std::ops::RangeInclusive<usize>,
) {
    let sides = Sides::new(engine, engine);
    numbers(&sides.source, 0..ROWS, |_| 0);
    numbers(&sides.target, 0..ROWS, |id| i64::from(id == 12_345));
    sides.configure("");
    for level in ["full", "hash"] {
        let mut found = 0;
        for seed in 0..seeds {
            let report = sample(
                &sides,
                "10",
                seed,
                &BTreeSet::from([12_345]),
                &["--level", level],
            );
            let table = &report["tables"][0];
            assert_eq!(rows(table, "rows_source"), ROWS);
            assert_eq!(rows(table, "rows_target"), ROWS);
            let compared = rows(table, "rows_compared");
            assert!((2_800..=3_200).contains(&compared), "{report}");
            found += keys(&report).len();
        }
        assert!(expected.contains(&found), "{found} of {seeds}");
    }
}

#[test]
fn a_difference_is_found_in_about_its_share_of_the_samples() {
    a_difference_is_found_in_about_its_share(Engine::Sqlite, 80, 3..=16);
}

#[test]
fn servers_are_sampled_too() {
    a_difference_is_found_in_about_its_share(Engine::Postgres, 25, 1..=8);
}

#[test]
fn the_same_seed_compares_the_same() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..ROWS, |_| 0);
    numbers(&sides.target, 0..ROWS, |id| i64::from(id % 100 == 0));
    sides.configure("");
    let damaged = (0..ROWS).filter(|id| id % 100 == 0).collect();
    let once = |seed, more: &[&str]| settled(sample(&sides, "20", seed, &damaged, more));
    let first = once(5, &[]);
    assert_eq!(first["differences_total"], 60, "{first}");
    assert_eq!(once(5, &[]), first);
    assert_eq!(once(5, &["--readers", "3"]), first);
    let hash = once(5, &["--level", "hash"]);
    assert_eq!(hash["differences"], first["differences"]);
    assert_ne!(once(6, &[])["differences"], first["differences"]);
    // One that was drawn at random can be drawn again.
    let random = settled(verify(&sides, 1, &["--sample", "20"]));
    let seed = random["sample"]["seed"].as_u64().unwrap();
    assert_eq!(once(seed, &[]), random);
    let other = verify(&sides, 1, &["--sample", "20"]);
    assert_ne!(other["sample"]["seed"], seed);
}

/// The rows that one side has beyond the other's first and last one are in ranges like all others.
#[test]
fn rows_beyond_both_ends_are_found() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 5..ROWS, |_| 0);
    numbers(&sides.target, 8..ROWS + 9, |_| 0);
    sides.configure("");
    let low: BTreeSet<i64> = (5..8).collect();
    let high: BTreeSet<i64> = (ROWS..ROWS + 9).collect();
    let ends = &low | &high;
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        // Nobody captures changes: numbers that differ are a difference, in the sample or not.
        let seed = seed.to_string();
        let report = verify(&sides, 1, &["--sample", "10", "--sample-seed", &seed]);
        assert_eq!(report["tables"][0]["numbers_differ"], true);
        let found = keys(&report);
        assert!(found.is_subset(&ends), "{report}");
        seen.extend(found);
    }
    assert_eq!(seen, ends);
}

#[test]
fn keys_with_gaps_and_of_several_columns() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    for (side, other) in [(&sides.source, 0), (&sides.target, 1)] {
        side.sql(
            "CREATE TABLE gaps (id INTEGER PRIMARY KEY, n INTEGER);
             CREATE TABLE names (id TEXT NOT NULL PRIMARY KEY, n INTEGER);
             CREATE TABLE pairs (a INTEGER NOT NULL, id TEXT NOT NULL, n INTEGER, PRIMARY KEY (a, id))",
        );
        // Few are far apart, most side by side.
        insert(side, "gaps", 0..20_000, |i| {
            let id = if i < 50 { i } else { i + 4_000_000_000_000 };
            format!("({id}, {})", if i % 10 == 3 { other } else { 0 })
        });
        insert(side, "names", 0..20_000, |i| {
            let n = if i % 10 == 3 { other } else { 0 };
            format!("('name {:x}', {n})", i * 2_654_435_761 % 4_294_967_296)
        });
        insert(side, "pairs", 0..20_000, |i| {
            let n = if i % 10 == 3 { other } else { 0 };
            format!("({}, 'b{}', {n})", i / 7, i % 7)
        });
    }
    sides.configure("");
    for seed in ["1", "2", "3"] {
        let report = verify(&sides, 1, &["--sample", "10", "--sample-seed", seed]);
        for table in report["tables"].as_array().unwrap() {
            let compared = rows(table, "rows_compared");
            assert!((1_900..=2_100).contains(&compared), "{report}");
            // A tenth of whatever is compared differs.
            let differs = rows(table, "differs");
            assert!((differs - compared / 10).abs() < 100, "{report}");
            assert_eq!(rows(table, "rows_target"), 20_000);
        }
    }
}

/// Second looks go over rows that lie near each other in one read, and not over those between two ranges.
#[test]
fn second_looks_stay_within_the_sample() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..ROWS, |_| 0);
    numbers(&sides.target, 0..ROWS, |id| i64::from(id % 7 == 0));
    sides.configure("");
    for seed in ["1", "2", "3"] {
        let arguments = ["--sample", "30", "--sample-seed", seed, "--part-rows", "50"];
        let looked_once = [&arguments[..], &["--recheck-tries", "0"]].concat();
        let once = verify(&sides, 1, &looked_once);
        let again = verify(&sides, 1, &arguments);
        assert!(once["differences_total"].as_u64().unwrap() > 500, "{once}");
        assert_eq!(again["differences"], once["differences"]);
        assert_eq!(again["in_flight"], 0);
        assert_eq!(
            again["tables"][0]["rows_compared"],
            once["tables"][0]["rows_compared"]
        );
    }
}

#[test]
fn small_tables_are_compared_wholly() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..500, |_| 0);
    numbers(&sides.target, 0..500, |id| i64::from(id == 321));
    // Where a key may be NULL nothing is read by ranges of it.
    for (side, last) in [(&sides.source, "x"), (&sides.target, "y")] {
        side.sql("CREATE TABLE unranged (id TEXT PRIMARY KEY, n INTEGER)");
        insert(side, "unranged", 0..12_000, |i| match i {
            11_999 => format!("('{last}', 0)"),
            _ => format!("('k{i}', 0)"),
        });
    }
    sides.configure("");
    let whole = settled(verify(&sides, 1, &[]));
    let mut sampled = settled(verify(&sides, 1, &["--sample", "0.5"]));
    let said = sampled.as_object_mut().unwrap().remove("sample").unwrap();
    assert_eq!(said["rows_percent"], 100.0);
    assert_eq!(sampled, whole);
    assert_eq!(whole["differences_total"], 3);
}

#[test]
fn numbers_that_differ_are_said_whatever_the_sample_holds() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..ROWS, |_| 0);
    numbers(&sides.target, 0..ROWS, |_| 0);
    sides
        .target
        .sql("DELETE FROM numbers WHERE id BETWEEN 20000 AND 20004");
    sides.configure("");
    let mut missed = 0;
    for seed in 0..10 {
        let seed = seed.to_string();
        let arguments = ["--sample", "5", "--sample-seed", &seed];
        let report = verify(&sides, 1, &arguments);
        assert_eq!(report["consistent"], false);
        let table = &report["tables"][0];
        assert_eq!(
            (rows(table, "rows_source"), rows(table, "rows_target")),
            (ROWS, ROWS - 5)
        );
        missed += u32::from(report["differences_total"] == 0);
    }
    assert!(missed > 5, "{missed}");
}

/// Where changes are captured, numbers that differ may be those of rows on their way.
#[test]
fn numbers_say_nothing_where_changes_are_captured() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..ROWS, |_| 0);
    numbers(&sides.target, 0..0, |_| 0);
    sides.configure("on_conflict = \"source-wins\"\n");
    sides.sync();
    sides.source.sql("INSERT INTO numbers VALUES (50000, 1)");
    let mut quiet = 0;
    for seed in 0..8 {
        let seed = seed.to_string();
        let base = ["verify", "shop", "--sample", "10", "--sample-seed", &seed];
        let shown = sides.shop.run(&[&base[..], &["--format", "json"]].concat());
        let report = shown.json();
        let table = &report["tables"][0];
        assert_eq!(table.get("numbers_differ"), None, "{report}");
        assert_eq!(rows(table, "rows_source"), ROWS + 1);
        assert_eq!(rows(table, "rows_target"), ROWS);
        // Of those that are compared a row that waits for a sync is one, and is said to be.
        assert_eq!(table["waiting"], report["differences_total"]);
        if report["differences_total"] == 0 {
            let shown = sides.shop.run(&base);
            assert_eq!(shown.code, 0, "{shown:?}");
            let said = "30,001 rows in the source, 30,000 in the target: rows may be on their way";
            assert!(shown.out.contains(said), "{shown:?}");
            quiet += 1;
        }
    }
    assert!(quiet > 4, "{quiet}");
    sides.sync();
    let report = verify(&sides, 0, &["--sample", "10"]);
    assert_eq!(report["consistent"], true, "{report}");
}

/// What people read never says of the whole what is known of a part.
#[test]
fn a_sample_is_called_one() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..ROWS, |_| 0);
    numbers(&sides.target, 0..ROWS, |_| 0);
    sides.configure("");
    let run = |more: &[&str]| {
        let base = ["verify", "shop", "--sample", "10", "--sample-seed", "4"];
        let all: Vec<&str> = base.iter().chain(more).copied().collect();
        let shown = sides.shop.run(&all);
        assert_eq!(shown.code, 0, "{shown:?}");
        shown.out
    };
    let text = run(&["--report", "page.html"]);
    for part in [
        "ok in 10 %",
        "no difference in a sample: 1 table, 3,000 of 30,000 rows",
        "of the sample 100 % are proven equal; nothing is said about the other rows",
        "--sample 10 --sample-seed 4",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("consistent"), "{text}");
    let page = std::fs::read_to_string(sides.shop.path("page.html")).unwrap();
    for part in [
        "no difference in a sample of the rows",
        "10 % of the rows were compared, and 100 % of these are proven equal",
        "--sample 10 --sample-seed 4",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains(">consistent<"), "{page}");
    let report: Json = serde_json::from_str(&run(&["--format", "json"])).unwrap();
    assert_eq!(report["consistency_percent"], 10.0);
    assert_eq!(
        report["sample"],
        serde_json::json!({"percent": 10.0, "seed": 4, "rows_percent": 10.0,
                           "consistency_percent": 100.0})
    );
    let lines = run(&["--continuous", "--sweeps", "1"]);
    assert!(
        lines.starts_with(
            "no difference in the sample: 100 % of it (10 % of the rows, seed 4) proven equal, 0"
        ),
        "{lines}"
    );
}

#[test]
fn each_sweep_draws_others() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..ROWS, |_| 0);
    numbers(&sides.target, 0..ROWS, |id| i64::from(id % 50 == 0));
    sides.configure("");
    let arguments = [
        "verify",
        "shop",
        "--format",
        "json",
        "--recheck-tries",
        "0",
        "--continuous",
        "--sweeps",
        "3",
        "--interval-s",
        "0",
        "--sample",
        "10",
        "--sample-seed",
        "8",
    ];
    let shown = sides.shop.run(&arguments);
    assert_eq!(shown.code, 1, "{shown:?}");
    let sweeps: Vec<Json> = shown
        .out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let seeds: Vec<&Json> = sweeps.iter().map(|s| &s["sample"]["seed"]).collect();
    assert_eq!(seeds, [8, 9, 10]);
    let found: BTreeSet<_> = sweeps.iter().map(keys).collect();
    assert_eq!(found.len(), 3);
}

#[test]
fn what_is_no_sample_is_refused() {
    let sides = Sides::new(Engine::Sqlite, Engine::Sqlite);
    numbers(&sides.source, 0..3, |_| 0);
    numbers(&sides.target, 0..3, |_| 0);
    sides.configure("");
    for (arguments, said) in [
        (
            &["--sample", "0"][..],
            "a sample of 0 % of the rows is none",
        ),
        (
            &["--sample", "100.5"],
            "a sample of 100.5 % of the rows is none",
        ),
        (&["--sample", "nan"], "of the rows is none"),
        (&["--sample", "much"], "invalid value"),
        (
            &["--sample", "5", "--level", "count"],
            "rows are counted wholly",
        ),
        (&["--sample", "5", "--resume"], "cannot be used with"),
        (&["--sample-seed", "5"], "--sample"),
    ] {
        let shown = sides.shop.run(&[&["verify", "shop"], arguments].concat());
        assert_eq!(shown.code, 2, "{arguments:?}: {shown:?}");
        assert!(
            shown.errors.contains(said),
            "{arguments:?}: {}",
            shown.errors
        );
    }
}
