//! Keys that SQL calls equal though they differ, and rows without a key.

use crate::support::program::{Shop, rows};

use super::mapping::configure;
use super::outside::open_conflicts;
use super::synced;

fn shop(table: &str) -> Shop {
    let shop = Shop::of(table, table);
    configure(&shop, "[[migrations.shop.tables]]\nsource = \"t\"\n");
    shop
}

fn all(shop: &Shop, database: &str) -> Vec<String> {
    rows(&shop.path(database), "SELECT * FROM t ORDER BY 1, 2")
}

/// Syncs, and answers what waits.
fn settled(shop: &Shop) -> Vec<serde_json::Value> {
    synced(shop);
    synced(shop);
    open_conflicts(shop)
}

#[test]
fn keys_that_differ_in_case_are_different_keys() {
    for table in [
        "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v)",
        "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v) WITHOUT ROWID",
    ] {
        let shop = shop(table);
        shop.write("source.db", "INSERT INTO t VALUES ('base', '1')");
        assert!(settled(&shop).is_empty());

        shop.write("source.db", "UPDATE t SET k = 'Base'");
        assert!(settled(&shop).is_empty());
        assert_eq!(all(&shop, "target.db"), ["'Base', '1'"]);
        shop.write("target.db", "UPDATE t SET k = 'base'");
        assert!(settled(&shop).is_empty());
        assert_eq!(all(&shop, "source.db"), ["'base', '1'"]);

        // A new spelling on one side, a new value on the other: nothing crosses over.
        shop.write("source.db", "UPDATE t SET k = 'BASE'");
        shop.write("target.db", "UPDATE t SET v = 'svc'");
        let waits = settled(&shop);
        assert!(!waits.is_empty());
        assert_eq!(all(&shop, "source.db"), ["'BASE', '1'"]);
        assert_eq!(all(&shop, "target.db"), ["'base', 'svc'"]);
        let blocked = waits
            .iter()
            .find(|c| c["key"]["k"] == "BASE")
            .unwrap_or_else(|| panic!("{waits:?}"));
        let reason = blocked["reason"].as_str().unwrap();
        assert!(
            reason.contains("held by the row with key (\"base\")"),
            "{reason}"
        );
    }
}

#[test]
fn inserts_of_two_spellings_wait_for_each_other() {
    for collation in ["NOCASE", "RTRIM"] {
        let shop = shop(&format!(
            "CREATE TABLE t (k TEXT COLLATE {collation} PRIMARY KEY NOT NULL, v)"
        ));
        synced(&shop);
        let [one, other] = if collation == "NOCASE" {
            ["Abc", "aBC"]
        } else {
            ["abc", "abc "]
        };
        shop.write("source.db", &format!("INSERT INTO t VALUES ('{one}', 'm')"));
        shop.write(
            "target.db",
            &format!("INSERT INTO t VALUES ('{other}', 's')"),
        );
        let waits = settled(&shop);
        assert_eq!(waits.len(), 2, "{waits:?}");
        for conflict in &waits {
            assert_eq!(conflict["outcome"], "waiting");
            let reason = conflict["reason"].as_str().unwrap();
            assert!(
                reason.contains("a unique value is held by the row"),
                "{reason}"
            );
        }
        // One gives way, and the other gets across.
        shop.write("target.db", "DELETE FROM t");
        assert!(settled(&shop).is_empty());
        assert_eq!(all(&shop, "target.db"), all(&shop, "source.db"));
        assert_eq!(all(&shop, "target.db").len(), 1);
    }
}

#[test]
fn numbers_that_sql_calls_equal_are_different_keys() {
    let shop = shop("CREATE TABLE t (k PRIMARY KEY NOT NULL, v)");
    shop.write("source.db", "INSERT INTO t VALUES (1, 'a'), ('1', 'b')");
    assert!(settled(&shop).is_empty());
    shop.write("source.db", "UPDATE t SET k = 1.0 WHERE k = 1");
    assert!(settled(&shop).is_empty());
    assert_eq!(all(&shop, "target.db"), ["1.0, 'a'", "'1', 'b'"]);
    shop.write("target.db", "UPDATE t SET v = 'back'");
    assert!(settled(&shop).is_empty());
    assert_eq!(all(&shop, "source.db"), ["1.0, 'back'", "'1', 'back'"]);
}

#[test]
fn a_row_without_a_key_waits_and_keeps_nothing_else_from_being_synced() {
    let table = "CREATE TABLE t (id TEXT PRIMARY KEY, v)";
    for (here, there) in [("source.db", "target.db"), ("target.db", "source.db")] {
        let shop = shop(table);
        shop.write("source.db", "INSERT INTO t VALUES ('a', 'a')");
        assert!(settled(&shop).is_empty());
        shop.write(here, "INSERT INTO t VALUES (NULL, 'n1')");
        assert_eq!(settled(&shop).len(), 1);
        shop.write(
            here,
            "INSERT INTO t VALUES (NULL, 'n2'); UPDATE t SET v = 'x'; INSERT INTO t VALUES ('b', 'b')",
        );
        let waits = settled(&shop);
        assert_eq!(waits.len(), 1, "{waits:?}");
        assert_eq!(waits[0]["outcome"], "parked");
        assert_eq!(waits[0]["kind"], "value_not_representable");
        let reason = waits[0]["reason"].as_str().unwrap();
        assert!(
            reason.contains("without a value in key column id"),
            "{reason}"
        );
        assert_eq!(all(&shop, there), ["'a', 'x'", "'b', 'b'"]);

        // Asking again helps only once the rows have keys.
        let id = waits[0]["id"].as_str().unwrap().to_owned();
        shop.run(&["conflict", "resolve", &id, "--take", "retry"]);
        assert_eq!(settled(&shop).len(), 1);
        shop.write(here, "UPDATE t SET id = 'k' || rowid WHERE id IS NULL");
        synced(&shop);
        shop.run(&["conflict", "resolve", &id, "--take", "retry"]);
        assert!(settled(&shop).is_empty());
        assert_eq!(all(&shop, there), all(&shop, here));
        assert_eq!(all(&shop, there).len(), 4);
        shop.write(
            here,
            "INSERT INTO t VALUES (NULL, 'n'); DELETE FROM t WHERE id = 'b'",
        );
        shop.write(here, "DELETE FROM t WHERE id IS NULL");
        synced(&shop);
        assert_eq!(all(&shop, there), all(&shop, here));
    }
}

#[test]
fn a_copy_goes_past_rows_without_a_key() {
    let shop = shop("CREATE TABLE t (a TEXT, b INTEGER, v, PRIMARY KEY (a, b))");
    let copied = |tables: &[&str]| {
        let tables: Vec<String> = tables
            .iter()
            .map(|t| format!("[[migrations.shop.tables]]\nsource = \"{t}\"\n"))
            .collect();
        configure(&shop, &format!("chunk_rows = 2\n{}", tables.concat()));
    };
    let other = "CREATE TABLE other (id INTEGER PRIMARY KEY, v)";
    for database in ["source.db", "target.db"] {
        shop.write(database, other);
    }
    copied(&["other"]);
    synced(&shop);
    shop.write(
        "source.db",
        "INSERT INTO t VALUES (NULL, 1, 'n'), (NULL, NULL, 'n'), (NULL, 2, 'n'), ('a', NULL, 'n'),
         ('a', NULL, 'm'), ('a', 1, 'x'), ('a', 2, 'x'), ('b', 1, 'x'), ('c', NULL, 'n')",
    );
    copied(&["other", "t"]);
    let waits = settled(&shop);
    assert!(!waits.is_empty());
    assert_eq!(
        all(&shop, "target.db"),
        ["'a', 1, 'x'", "'a', 2, 'x'", "'b', 1, 'x'"]
    );
}

#[test]
fn a_repair_leaves_rows_without_a_key_alone() {
    let shop = shop("CREATE TABLE t (id TEXT PRIMARY KEY, v)");
    shop.write("source.db", "INSERT INTO t VALUES ('a', 'a')");
    synced(&shop);
    shop.write("source.db", "INSERT INTO t VALUES (NULL, 'm'), (NULL, 'x')");
    shop.write("target.db", "INSERT INTO t VALUES (NULL, 's'), (NULL, 't')");
    synced(&shop);
    let before = [all(&shop, "source.db"), all(&shop, "target.db")];
    for prefer in ["source", "target"] {
        let shown = shop.run(&["reconcile", "shop", "--prefer", prefer]);
        assert!(shown.code < 2, "{shown:?}");
        assert_eq!([all(&shop, "source.db"), all(&shop, "target.db")], before);
    }
}
