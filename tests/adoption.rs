//! Rows that are in the target before a two-way migration begins go to the source; what happens
//! to them while it begins is not forgotten.

use banyan::sync::{Engine, EngineOptions};

use crate::support::program::{CONFIG, Shop, rows};
use crate::support::{Pair, app, dump, spec, until_idle};

const ALL: &str = "SELECT * FROM t ORDER BY id";
const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)";

fn equal(pair: &Pair, sql: &str) -> Vec<String> {
    let source = dump(&pair.source(), sql);
    assert_eq!(source, dump(&pair.target(), sql));
    source
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_end_with_the_rows_of_both() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, v);
                  CREATE TABLE c (id INTEGER PRIMARY KEY, t INT NOT NULL REFERENCES t, v)";
    let pair = Pair::new(schema, schema);
    app(&pair.source())
        .execute_batch("INSERT INTO t VALUES (1, 'a'), (2, 'both'), (3, 'ours')")
        .unwrap();
    app(&pair.target())
        .execute_batch(
            "INSERT INTO t VALUES (2, 'both'), (3, 'theirs'), (4, NULL), (5, x'00');
             INSERT INTO c VALUES (1, 2, 'child of both'), (2, 5, 'child of theirs')",
        )
        .unwrap();
    let report = pair.sync(&spec(&["t", "c"], "source-wins")).await;
    assert_eq!(equal(&pair, ALL).len(), 5);
    assert_eq!(equal(&pair, "SELECT * FROM c ORDER BY id").len(), 2);
    let (t, c) = (&report.tables[0], &report.tables[1]);
    // Row 3 differs, and nothing says what it was before.
    assert_eq!((t.conflicts, t.parked, t.applied_to_source), (1, 0, 2));
    assert_eq!((c.conflicts, c.parked, c.applied_to_source), (0, 0, 2));
    assert!(dump(&pair.source(), "PRAGMA foreign_key_check").is_empty());
    // Once, and not again.
    let again = pair.sync(&spec(&["t", "c"], "source-wins")).await;
    assert!(again.tables.iter().all(|t| t.applied_to_source == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_applications_do_between_capture_and_copy_counts() {
    let pair = Pair::new(SCHEMA, SCHEMA);
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    a.execute_batch("INSERT INTO t VALUES (1, 'both'), (2, 'ours'), (3, 'both')")
        .unwrap();
    b.execute_batch(
        "INSERT INTO t VALUES (1, 'both'), (2, 'theirs'), (3, 'both'),
                              (10, 'old'), (11, 'old'), (12, 'old'), (13, 'old')",
    )
    .unwrap();
    let spec = spec(&["t"], "source-wins");
    // Capture is there from here on; nothing is read yet.
    let mut engine = pair.engine(&spec).await;
    a.execute_batch("DELETE FROM t WHERE id IN (1, 2); UPDATE t SET v = 'new' WHERE id = 3")
        .unwrap();
    b.execute_batch(
        "UPDATE t SET v = 'newer' WHERE id = 10; DELETE FROM t WHERE id = 11;
         UPDATE t SET v = 'x' WHERE id = 12; DELETE FROM t WHERE id = 12;
         INSERT INTO t VALUES (20, 'new'); UPDATE t SET v = 'newest' WHERE id = 20",
    )
    .unwrap();
    let report = until_idle(&mut engine).await;
    let text = |s: &str| format!("{:?}", rusqlite::types::ValueRef::Text(s.as_bytes()));
    let expected: Vec<String> = [(3, "new"), (10, "newer"), (13, "old"), (20, "newest")]
        .map(|(id, v)| format!("Integer({id}) | {}", text(v)))
        .to_vec();
    assert_eq!(equal(&pair, ALL), expected);
    assert_eq!(report.tables[0].parked, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_deleted_at_the_source_and_different_at_the_target_is_for_the_rule() {
    let pair = Pair::new(SCHEMA, SCHEMA);
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    a.execute_batch("INSERT INTO t VALUES (1, 'ours')").unwrap();
    b.execute_batch("INSERT INTO t VALUES (1, 'theirs')")
        .unwrap();
    let spec = spec(&["t"], "park");
    let mut engine = pair.engine(&spec).await;
    a.execute_batch("DELETE FROM t").unwrap();
    let report = until_idle(&mut engine).await;
    assert_eq!(report.tables[0].parked, 1);
    assert_eq!(dump(&pair.source(), ALL).len(), 0);
    assert_eq!(dump(&pair.target(), ALL).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_both_that_the_source_deletes_before_it_is_copied_goes() {
    for two_way in [true, false] {
        let pair = Pair::new(SCHEMA, SCHEMA);
        let (a, b) = (app(&pair.source()), app(&pair.target()));
        for conn in [&a, &b] {
            conn.execute_batch("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
                .unwrap();
        }
        let mut spec = spec(&["t"], "park");
        spec.two_way = two_way;
        let opened = pair.open(&spec).await;
        opened.source.install().await.unwrap();
        opened.target.install().await.unwrap();
        let options = EngineOptions {
            chunk_rows: 1,
            ..EngineOptions::default()
        };
        let mut engine = Engine::start(opened.source, opened.target, opened.plan, options)
            .await
            .unwrap();
        // The target is read through; nothing is copied yet.
        engine.copy_chunk().await.unwrap();
        a.execute_batch("DELETE FROM t WHERE id = 2").unwrap();
        engine.copy_chunk().await.unwrap();
        drop(engine);
        let report = pair.sync(&spec).await;
        assert_eq!(equal(&pair, ALL).len(), 2, "two-way: {two_way}");
        assert_eq!(report.tables[0].parked, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_replaced_again_and_again_gets_through() {
    let pair = Pair::new(SCHEMA, SCHEMA);
    let fill = |first: i64| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 2 FROM n WHERE i < 200)
             INSERT INTO t SELECT i, 'row ' || i FROM n"
        )
    };
    app(&pair.source()).execute_batch(&fill(0)).unwrap();
    app(&pair.target()).execute_batch(&fill(1)).unwrap();
    let spec = spec(&["t"], "source-wins");
    let options = EngineOptions {
        chunk_rows: 7,
        ..EngineOptions::default()
    };
    pair.engine(&spec).await;
    let mut copied = false;
    while !copied {
        let opened = pair.open(&spec).await;
        let mut engine = Engine::start(opened.source, opened.target, opened.plan, options)
            .await
            .unwrap();
        // The first step adopts; the second, and each after it, may copy.
        for _ in 0..2 {
            engine.copy_chunk().await.unwrap();
        }
        copied = engine.is_copied();
    }
    pair.sync(&spec).await;
    assert_eq!(equal(&pair, ALL).len(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_leaves_the_targets_rows_alone() {
    let pair = Pair::new(SCHEMA, SCHEMA);
    app(&pair.source())
        .execute_batch("INSERT INTO t VALUES (1, 'a')")
        .unwrap();
    app(&pair.target())
        .execute_batch("INSERT INTO t VALUES (2, 'b')")
        .unwrap();
    let mut spec = spec(&["t"], "source-wins");
    spec.two_way = false;
    pair.sync(&spec).await;
    assert_eq!(dump(&pair.source(), ALL).len(), 1);
    assert_eq!(dump(&pair.target(), ALL).len(), 2);
}

/// Items whose address is a table of its own in the target.
fn split() -> Shop {
    let shop = Shop::of(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, street TEXT, note TEXT)",
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE addresses (id INTEGER PRIMARY KEY, street TEXT)",
    );
    std::fs::write(
        shop.path("split.rhai"),
        "fn transform(row, direction) {
             if direction == \"forward\" {
                 let address = ();
                 if row.street != () { address = #{ id: row.id, street: row.street }; }
                 return #{ items: #{ id: row.id, name: row.name.to_upper() }, addresses: address };
             }
             if row.table() == \"items\" { return #{ id: row.id, name: row.name.to_lower() }; }
             #{ id: row.id, street: row.street }
         }",
    )
    .unwrap();
    shop.configure(&format!(
        "{CONFIG}split = [\"addresses\"]\ntransform = \"parts\"\n\n[rules.parts]\nscript = \"split.rhai\"\n"
    ));
    shop
}

#[test]
fn through_a_transform_and_in_parts() {
    let shop = split();
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (1, 'one', 'here', 'n'), (2, 'two', NULL, 'n')",
    );
    shop.write(
        "target.db",
        "INSERT INTO items VALUES (2, 'TWO'), (3, 'THREE');
         INSERT INTO addresses VALUES (2, 'there'), (3, 'anywhere')",
    );
    shop.json(&["sync", "shop", "--until-idle"]);
    assert_eq!(
        rows(&shop.path("source.db"), "SELECT * FROM items ORDER BY id"),
        [
            "1, 'one', 'here', 'n'",
            "2, 'two', 'there', 'n'",
            "3, 'three', 'anywhere', NULL"
        ]
    );
    assert_eq!(
        rows(
            &shop.path("target.db"),
            "SELECT * FROM addresses ORDER BY id"
        ),
        ["1, 'here'", "2, 'there'", "3, 'anywhere'"]
    );
    shop.json(&["verify", "shop", "--level", "full"]);
}

/// What is changed, by whom, between the reading of the target and the copy of the table is an
/// ordinary change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_to_rows_of_both_while_they_are_copied_are_no_conflicts() {
    let schema = format!("CREATE TABLE big (id INTEGER PRIMARY KEY, v); {SCHEMA}");
    for again in [false, true] {
        let pair = Pair::new(&schema, &schema);
        let (a, b) = (app(&pair.source()), app(&pair.target()));
        a.execute_batch("INSERT INTO big SELECT value, 'x' FROM json_each('[1,2,3,4,5,6,7,8]')")
            .unwrap();
        for conn in [&a, &b] {
            conn.execute_batch(
                "INSERT INTO t VALUES (1, 's'), (2, 's'), (3, 's'), (6, 's'), (7, 10), (8, 's')",
            )
            .unwrap();
        }
        b.execute_batch("INSERT INTO t VALUES (4, 'o'), (5, 'o')")
            .unwrap();
        let spec = spec(&["big", "t"], "source-wins");
        if again {
            pair.sync(&spec).await;
            let opened = pair.open(&spec).await;
            let tables = vec!["big".to_owned(), "t".to_owned()];
            opened.target.forget_copies(tables).await.unwrap();
        }
        let mut engine = pair.engine(&spec).await;
        let write = |n: usize| match n {
            0 => {
                a.execute_batch("DELETE FROM t WHERE id = 1; UPDATE t SET v = 'a' WHERE id = 6")
                    .unwrap();
                b.execute_batch(
                    "UPDATE t SET v = 'b' WHERE id = 2; DELETE FROM t WHERE id = 3;
                     UPDATE t SET v = 'b' WHERE id = 4; DELETE FROM t WHERE id = 5;
                     UPDATE t SET v = v + 5 WHERE id = 7",
                )
                .unwrap();
            }
            _ => a.execute_batch("DELETE FROM t WHERE id = 8").unwrap(),
        };
        if again {
            write(0);
        }
        // The target is read through; then the source's feed is read, before anything is copied.
        engine.copy_chunk().await.unwrap();
        assert!(!engine.is_copied());
        if !again {
            write(0);
        }
        write(1);
        engine.step(banyan::rule::Direction::Forward).await.unwrap();
        let report = until_idle(&mut engine).await;
        let found = equal(&pair, "SELECT id, CAST(v AS TEXT) FROM t ORDER BY id");
        let text = |s: &str| format!("{:?}", rusqlite::types::ValueRef::Text(s.as_bytes()));
        let expected = [(2, "b"), (4, "b"), (6, "a"), (7, "15")];
        let expected = expected.map(|(id, v)| format!("Integer({id}) | {}", text(v)));
        assert_eq!(found, expected, "again: {again}");
        assert_eq!(
            (report.tables[1].conflicts, report.tables[1].parked),
            (0, 0)
        );
    }
}

/// A part alone says nothing of the rest of its row.
#[test]
fn a_part_without_its_main_row_invents_none() {
    let shop = split();
    let items = |name: &str| rows(&shop.path(name), "SELECT * FROM items ORDER BY id");
    let addresses = || {
        rows(
            &shop.path("target.db"),
            "SELECT * FROM addresses ORDER BY id",
        )
    };
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (1, 'one', NULL, 'n')",
    );
    shop.json(&["sync", "shop", "--until-idle"]);
    // One main row goes while its part comes; one part was never more than that.
    shop.write("source.db", "DELETE FROM items");
    shop.write(
        "target.db",
        "INSERT INTO addresses VALUES (1, 'late'), (7, 'alone')",
    );
    let shown = shop.run(&["sync", "shop", "--until-idle"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(items("source.db").is_empty(), "{:?}", items("source.db"));
    let open = shop.run(&["conflict", "list", "--which", "open"]);
    assert!(
        open.out.contains("part of a row of table items"),
        "{open:?}"
    );
    // The main rows come: the parts follow.
    shop.write(
        "target.db",
        "INSERT INTO items VALUES (1, 'ONE'), (7, 'SEVEN')",
    );
    let shown = shop.run(&["sync", "shop", "--until-idle"]);
    assert_eq!(
        shown.code,
        0,
        "{shown:?} {:?}",
        shop.run(&["conflict", "list", "--which", "open"])
    );
    assert_eq!(
        items("source.db"),
        ["1, 'one', 'late', NULL", "7, 'seven', 'alone', NULL"]
    );
    assert_eq!(addresses(), ["1, 'late'", "7, 'alone'"]);
    shop.json(&["verify", "shop", "--level", "full"]);
}
