//! The configuration is edited between two runs.

use crate::support::program::{CONFIG, Shop, rows};

use super::mapping::configure;
use super::{IDLE, Shown};

const T: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, tenant INTEGER, v TEXT); \
                 CREATE TABLE other (id INTEGER PRIMARY KEY, v TEXT)";

fn table(name: &str, more: &str) -> String {
    format!(
        "[[migrations.shop.tables]]\nsource = \"{name}\"\non_conflict = \"source-wins\"\n{more}"
    )
}

fn all(shop: &Shop, database: &str) -> Vec<String> {
    rows(&shop.path(database), "SELECT * FROM t ORDER BY id")
}

fn sync(shop: &Shop) -> Shown {
    let shown = shop.run(IDLE);
    assert_eq!(shown.code, 0, "{shown:?}");
    shown
}

#[test]
fn a_table_that_was_left_out_for_a_while_is_copied_once_more() {
    let shop = Shop::of(T, T);
    let both = format!("{}{}", table("t", ""), table("other", ""));
    configure(&shop, &both);
    shop.write("source.db", "INSERT INTO t VALUES (1, 7, 'a'), (2, 7, 'b')");
    sync(&shop);
    configure(&shop, &table("other", ""));
    shop.write(
        "source.db",
        "INSERT INTO t VALUES (3, 7, 'c'); UPDATE t SET v = 'aa' WHERE id = 1",
    );
    sync(&shop);
    assert_eq!(all(&shop, "target.db"), ["1, 7, 'a'", "2, 7, 'b'"]);
    configure(&shop, &both);
    sync(&shop);
    assert_eq!(
        all(&shop, "target.db"),
        ["1, 7, 'aa'", "2, 7, 'b'", "3, 7, 'c'"]
    );
    assert_eq!(all(&shop, "source.db"), all(&shop, "target.db"));
    // And nothing more is copied by the next run.
    let report = shop.json(IDLE);
    assert_eq!(report["tables"][0]["copied"], 0, "{report}");
}

#[test]
fn a_wider_filter_brings_the_rows_that_it_lets_in() {
    let shop = Shop::of(T, T);
    configure(&shop, &table("t", "where = \"tenant = 7\"\n"));
    shop.write("source.db", "INSERT INTO t VALUES (1, 7, 'a'), (2, 8, 'b')");
    sync(&shop);
    configure(&shop, &table("t", ""));
    let shown = sync(&shop);
    assert!(
        shown.errors.contains("table t is copied once more") && shown.errors.contains("(where)"),
        "{shown:?}"
    );
    assert_eq!(all(&shop, "target.db"), ["1, 7, 'a'", "2, 8, 'b'"]);
    assert!(!sync(&shop).errors.contains("once more"));
}

#[test]
fn a_column_that_is_mapped_later_brings_its_values() {
    let shop = Shop::of(T, T);
    configure(
        &shop,
        &table("t", "columns = { id = \"id\", tenant = \"tenant\" }\n"),
    );
    shop.write("source.db", "INSERT INTO t VALUES (1, 7, 'a'), (2, 8, 'b')");
    sync(&shop);
    assert_eq!(all(&shop, "target.db"), ["1, 7, NULL", "2, 8, NULL"]);
    configure(&shop, &table("t", ""));
    assert!(sync(&shop).errors.contains("once more"));
    assert_eq!(all(&shop, "target.db"), ["1, 7, 'a'", "2, 8, 'b'"]);
}

#[test]
fn a_migration_that_becomes_two_way_looks_at_every_row_again() {
    let shop = Shop::of(T, T);
    let config = |mode: &str| {
        let (head, _) = CONFIG.split_once("[[").unwrap();
        shop.configure(&format!(
            "{}{}",
            head.replace("two-way", mode),
            table("t", "").replace("source-wins", "target-wins")
        ));
    };
    config("one-way");
    shop.write("source.db", "INSERT INTO t VALUES (1, 7, 'a'), (2, 8, 'b')");
    sync(&shop);
    shop.write("target.db", "UPDATE t SET v = 'service' WHERE id = 1");
    sync(&shop);
    assert_eq!(all(&shop, "source.db")[0], "1, 7, 'a'");
    config("two-way");
    assert!(sync(&shop).errors.contains("once more"));
    assert_eq!(all(&shop, "source.db")[0], "1, 7, 'service'");
    assert_eq!(all(&shop, "target.db")[0], "1, 7, 'service'");
    // Back to one way nothing is missing.
    config("one-way");
    assert!(!sync(&shop).errors.contains("once more"));
}
