//! Values that the other side's columns would change.

use crate::support::program::{Shop, rows};

use super::mapping::configure;
use super::outside::open_conflicts;
use super::synced;

fn shop() -> Shop {
    let shop = Shop::of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, zip TEXT, n INTEGER)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, zip INTEGER, n INTEGER)",
    );
    configure(&shop, "[[migrations.shop.tables]]\nsource = \"t\"\n");
    shop
}

fn zips(shop: &Shop, database: &str) -> Vec<String> {
    rows(&shop.path(database), "SELECT id, zip, n FROM t ORDER BY id")
}

#[test]
fn what_would_not_come_back_is_parked_and_the_source_keeps_its_spelling() {
    let shop = shop();
    shop.write(
        "source.db",
        "INSERT INTO t VALUES (1, '00712', 1), (2, '9223372036854775808', 1), (3, '1e3', 1),
         (4, '8001', 1), (5, 'none', 1), (6, NULL, 1)",
    );
    synced(&shop);
    assert_eq!(
        zips(&shop, "target.db"),
        ["4, 8001, 1", "5, 'none', 1", "6, NULL, 1"]
    );
    let open = open_conflicts(&shop);
    assert_eq!(open.len(), 3, "{open:?}");
    for conflict in &open {
        assert_eq!(conflict["outcome"], "parked");
        assert_eq!(conflict["kind"], "value_not_representable");
    }
    let reason = open[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("column zip of table t would hold 712 for the \"00712\""),
        "{reason}"
    );

    // The same for changes that are followed.
    shop.write("source.db", "UPDATE t SET zip = '04001' WHERE id = 4");
    shop.write("target.db", "UPDATE t SET n = n + 1");
    synced(&shop);
    synced(&shop);
    let source = zips(&shop, "source.db");
    assert_eq!(source[0], "1, '00712', 1");
    assert_eq!(source[3], "4, '04001', 1");
    assert_eq!(source[4..], ["5, 'none', 2", "6, NULL, 2"]);
    assert_eq!(open_conflicts(&shop).len(), 4);

    // On the way back as well.
    shop.write(
        "target.db",
        "UPDATE t SET zip = 7.0 WHERE id = 5; UPDATE t SET zip = x'00' WHERE id = 6",
    );
    synced(&shop);
    assert_eq!(zips(&shop, "source.db")[4..], ["5, '7', 2", "6, [0], 2"]);

    // Mended in the source and asked again, it goes through.
    shop.write("source.db", "UPDATE t SET zip = '712' WHERE id = 1");
    let id = open[0]["id"].as_str().unwrap();
    shop.run(&["conflict", "resolve", id, "--take", "retry"]);
    assert_eq!(zips(&shop, "target.db")[0], "1, 712, 1");
    assert_eq!(open_conflicts(&shop).len(), 3);
}

#[test]
fn a_comparison_does_not_call_equal_what_would_not_come_back() {
    let shop = shop();
    shop.write(
        "source.db",
        "INSERT INTO t VALUES (1, '00712', 1), (2, '8', 1)",
    );
    shop.write("target.db", "INSERT INTO t VALUES (1, 712, 1), (2, 8, 1)");
    synced(&shop);
    for level in ["hash", "full"] {
        let shown = shop.run(&[
            "verify",
            "shop",
            "--level",
            level,
            "--recheck-tries",
            "0",
            "--format",
            "json",
        ]);
        let report = shown.json();
        assert_eq!(report["consistent"], false, "{report}");
    }
    assert_eq!(open_conflicts(&shop).len(), 1);
}

#[test]
fn a_target_value_that_the_source_would_change_is_parked() {
    let shop = Shop::of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, zip INTEGER, n INTEGER)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, zip TEXT, n INTEGER)",
    );
    configure(&shop, "[[migrations.shop.tables]]\nsource = \"t\"\n");
    shop.write("source.db", "INSERT INTO t VALUES (1, 712, 1), (2, 8, 1)");
    synced(&shop);
    assert!(open_conflicts(&shop).is_empty());
    shop.write(
        "target.db",
        "UPDATE t SET zip = '00712' WHERE id = 1; UPDATE t SET zip = '9' WHERE id = 2",
    );
    synced(&shop);
    assert_eq!(zips(&shop, "source.db"), ["1, 712, 1", "2, 9, 1"]);
    let open = open_conflicts(&shop);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["kind"], "value_not_representable");
}

#[test]
fn keys_that_the_target_would_confuse_stay_apart() {
    let shop = Shop::of(
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
    );
    configure(&shop, "[[migrations.shop.tables]]\nsource = \"t\"\n");
    shop.write(
        "source.db",
        "INSERT INTO t VALUES ('712', 'a'), ('00712', 'b')",
    );
    synced(&shop);
    let open = open_conflicts(&shop);
    assert_eq!(open.len(), 1, "{open:?}");
    shop.write("target.db", "UPDATE t SET v = 'aa' WHERE id = 712");
    shop.write("source.db", "UPDATE t SET v = 'bb' WHERE id = '00712'");
    synced(&shop);
    let source = rows(&shop.path("source.db"), "SELECT * FROM t ORDER BY id");
    assert_eq!(source, ["'00712', 'bb'", "'712', 'aa'"]);
    let target = rows(&shop.path("target.db"), "SELECT * FROM t ORDER BY id");
    assert_eq!(target, ["712, 'aa'"]);
}

#[test]
fn a_check_tells_where_values_can_be_lost() {
    let shop = shop();
    let shown = shop.run(&["check"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let told = format!("{}{}", shown.out, shown.errors);
    assert!(told.contains("column zip"), "{told}");
}
