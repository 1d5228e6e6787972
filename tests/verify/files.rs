//! `diff` of sorted files reads them side by side, and finds what the join finds.

use serde_json::Value as Json;

use crate::support::program::{CONFIG, Shop};

const NUMBERS: &str =
    "WITH RECURSIVE i(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < 49999)";

/// Two tables of the same columns; a few rows of the second are others, and some are on one side only.
fn shop() -> Shop {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT NOT NULL, n INTEGER, x REAL, s TEXT, b BLOB)";
    let shop = Shop::of(schema, schema);
    for (file, other) in [("source.db", 0), ("target.db", 1)] {
        shop.write(
            file,
            &format!(
                "{NUMBERS} INSERT INTO t SELECT i, printf('k%07d', i * 7 % 50000),
                   CASE WHEN i % 9973 = 3 THEN {other} WHEN i % 5 = 0 THEN NULL ELSE i END,
                   CASE WHEN i % 7001 = 5 THEN -1.5 * {other} ELSE i / 3.0 END,
                   CASE WHEN i % 8111 = 7 AND {other} THEN NULL ELSE 'text ' || i % 100 END,
                   CASE WHEN i % 3 = 0 THEN NULL ELSE x'00ff' END
                 FROM i WHERE i % 6007 <> 11 + {other}
                   AND NOT (i BETWEEN 20000 + 5000 * {other} AND 20009 + 5000 * {other})"
            ),
        );
    }
    shop.configure(&CONFIG.replace("items", "t"));
    shop
}

fn export(shop: &Shop, sql: &str, file: &str) {
    let shown = shop.run(&["query", sql, "--output", file]);
    assert_eq!(shown.code, 0, "{shown:?}");
}

#[test]
fn sorted_files_are_compared_side_by_side() {
    let shop = shop();
    for form in ["parquet", "arrow"] {
        for key in ["id", "k", "k, id"] {
            let name = |side: &str, sorted: &str| format!("{side}-{sorted}.{form}");
            for (side, store) in [("a", "monolith"), ("b", "service")] {
                for (order, sorted) in [(key, "sorted"), ("n DESC, id DESC", "mixed")] {
                    let sql = format!("SELECT * FROM {store}.t ORDER BY {order}");
                    export(&shop, &sql, &name(side, sorted));
                }
            }
            let diff = |sorted: &str| {
                let (a, b) = (name("a", sorted), name("b", sorted));
                format!("diff('''{a}''', '''{b}''', '{key}')")
            };
            let rows = |sorted: &str| -> Json {
                let sql = format!("SELECT * FROM {} ORDER BY {key}", diff(sorted));
                shop.json(&["query", &sql])
            };
            let found = rows("sorted");
            assert_eq!(found, rows("mixed"), "{form}, {key}");
            assert!(found.as_array().unwrap().len() > 40, "{found}");
            let plan = |sorted: &str| {
                let sql = format!("EXPLAIN SELECT kind FROM {}", diff(sorted));
                let shown = shop.run(&["query", &sql]);
                assert_eq!(shown.code, 0, "{shown:?}");
                shown.out
            };
            assert!(
                plan("sorted").contains("LockstepDiff"),
                "{}",
                plan("sorted")
            );
            assert!(!plan("mixed").contains("LockstepDiff"), "{}", plan("mixed"));
            let sql = format!("SELECT count(*) AS n FROM {}", diff("sorted"));
            let count = shop.json(&["query", &sql]);
            assert_eq!(count[0]["n"], found.as_array().unwrap().len(), "{count}");
        }
    }
    // A key that is there twice is left to the join.
    let twice =
        "SELECT * FROM monolith.t WHERE id < 100 UNION ALL SELECT * FROM monolith.t WHERE id = 99";
    export(
        &shop,
        &format!("SELECT * FROM ({twice}) ORDER BY id"),
        "twice.parquet",
    );
    export(&shop, "SELECT * FROM monolith.t ORDER BY id", "a.parquet");
    let sql = "SELECT kind FROM diff('''twice.parquet''', '''a.parquet''', 'id') WHERE id < 100";
    assert_eq!(shop.json(&["query", sql]), serde_json::json!([]));
}
