//! Rows outside `where`: the source's are never touched, the target's never get across.

use serde_json::Value as Json;

use crate::support::program::{Shop, rows};

use super::mapping::configure;
use super::{ask, synced};

const BILLS: &str = "CREATE TABLE bills (id INTEGER PRIMARY KEY, tenant INTEGER, note TEXT)";

fn shop(on_conflict: &str) -> Shop {
    let shop = Shop::of(BILLS, BILLS);
    configure(
        &shop,
        &format!(
            "[[migrations.shop.tables]]\nsource = \"bills\"\nwhere = \"tenant = 7\"\n\
             on_conflict = \"{on_conflict}\"\n"
        ),
    );
    shop.write(
        "source.db",
        "INSERT INTO bills VALUES (1, 7, 'mine'), (4, 8, 'data of 8')",
    );
    synced(&shop);
    shop
}

fn all(shop: &Shop, database: &str) -> Vec<String> {
    rows(&shop.path(database), "SELECT * FROM bills ORDER BY id")
}

pub(super) fn open_conflicts(shop: &Shop) -> Vec<Json> {
    ask(shop, &["conflict", "list", "shop"])
        .json()
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["outcome"] == "parked" || c["outcome"] == "waiting")
        .cloned()
        .collect()
}

#[test]
fn a_row_of_the_source_outside_the_filter_is_never_overwritten() {
    for strategy in ["park", "source-wins", "target-wins", "last-write-wins"] {
        let shop = shop(strategy);
        shop.write(
            "target.db",
            "INSERT INTO bills VALUES (4, 7, 'of the service')",
        );
        for _ in 0..2 {
            synced(&shop);
            assert_eq!(
                all(&shop, "source.db"),
                ["1, 7, 'mine'", "4, 8, 'data of 8'"],
                "{strategy}"
            );
            assert_eq!(
                all(&shop, "target.db"),
                ["1, 7, 'mine'", "4, 7, 'of the service'"],
                "{strategy}"
            );
        }
        let open = open_conflicts(&shop);
        assert_eq!(open.len(), 1, "{open:?}");
        assert_eq!(open[0]["outcome"], "parked", "{strategy}");
        assert_eq!(open[0]["kind"], "insert_exists", "{strategy}");
        assert_eq!(open[0]["source_row"]["note"], "data of 8");
        let reason = open[0]["reason"].as_str().unwrap();
        assert!(
            reason.contains("the source's row with this key lies outside `where` (tenant = 7)"),
            "{reason}"
        );
        let id = open[0]["id"].as_str().unwrap();
        // Not even a person's answer touches what does not take part.
        ask(&shop, &["conflict", "resolve", id, "--take", "target"]);
        assert_eq!(all(&shop, "source.db")[1], "4, 8, 'data of 8'");
        assert_eq!(all(&shop, "target.db")[1], "4, 7, 'of the service'");
        let open = open_conflicts(&shop);
        assert!(
            open[0]["reason"]
                .as_str()
                .unwrap()
                .contains("not overwritten"),
            "{open:?}"
        );
        ask(&shop, &["conflict", "resolve", id, "--take", "source"]);
        assert_eq!(all(&shop, "source.db")[1], "4, 8, 'data of 8'");
        assert_eq!(all(&shop, "target.db"), ["1, 7, 'mine'"]);
        assert!(open_conflicts(&shop).is_empty());
        assert_eq!(shop.json(&["verify", "shop"])["consistent"], true);
    }
}

#[test]
fn a_row_that_left_the_filter_is_not_brought_back_by_a_strategy() {
    let shop = shop("target-wins");
    shop.write("source.db", "UPDATE bills SET tenant = 8 WHERE id = 1");
    shop.write("target.db", "UPDATE bills SET note = 'later' WHERE id = 1");
    synced(&shop);
    synced(&shop);
    assert_eq!(all(&shop, "source.db")[0], "1, 8, 'mine'");
    assert_eq!(all(&shop, "target.db"), ["1, 7, 'later'"]);
    assert_eq!(open_conflicts(&shop)[0]["outcome"], "parked");
}

#[test]
fn rows_of_the_target_outside_the_filter_are_parked() {
    let shop = shop("last-write-wins");
    shop.write(
        "target.db",
        "INSERT INTO bills VALUES (20, 8, 'out'), (21, NULL, 'out'), (22, 7, 'in');
         UPDATE bills SET tenant = 9, note = 'moved' WHERE id = 1",
    );
    for _ in 0..2 {
        synced(&shop);
        assert_eq!(
            all(&shop, "source.db"),
            ["1, 7, 'mine'", "4, 8, 'data of 8'", "22, 7, 'in'"]
        );
    }
    let open = open_conflicts(&shop);
    assert_eq!(open.len(), 3, "{open:?}");
    for conflict in &open {
        assert_eq!(conflict["outcome"], "parked");
        assert_eq!(conflict["kind"], "value_not_representable");
        let reason = conflict["reason"].as_str().unwrap();
        assert!(reason.contains("outside `where` (tenant = 7)"), "{reason}");
    }
    // Asked again, or answered so that they would get across, they still do not.
    for conflict in &open {
        let id = conflict["id"].as_str().unwrap();
        ask(&shop, &["conflict", "resolve", id, "--take", "retry"]);
        ask(&shop, &["conflict", "resolve", id, "--take", "target"]);
    }
    assert_eq!(open_conflicts(&shop).len(), 3);
    assert_eq!(all(&shop, "source.db").len(), 3);
    for conflict in &open {
        let id = conflict["id"].as_str().unwrap();
        ask(&shop, &["conflict", "resolve", id, "--take", "source"]);
    }
    assert_eq!(all(&shop, "target.db"), ["1, 7, 'mine'", "22, 7, 'in'"]);
    assert_eq!(shop.json(&["verify", "shop"])["consistent"], true);
}

#[test]
fn the_same_holds_through_a_transform() {
    let shop = Shop::of(
        BILLS,
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, tenant INTEGER, text TEXT)",
    );
    std::fs::write(
        shop.path("shape.rhai"),
        "fn transform(row, direction) {
            if direction == \"backward\" { return #{ id: row.id, tenant: row.tenant, note: row.text }; }
            if row.note == \"drop\" { return (); }
            #{ id: row.id, tenant: row.tenant, text: row.note }
        }",
    )
    .unwrap();
    configure(
        &shop,
        "[[migrations.shop.tables]]\nsource = \"bills\"\nwhere = \"tenant = 7\"\n\
         transform = \"shape\"\non_conflict = \"target-wins\"\n\
         [rules.shape]\nscript = \"shape.rhai\"\n",
    );
    shop.write(
        "source.db",
        "INSERT INTO bills VALUES (1, 7, 'mine'), (4, 8, 'data of 8'), (5, 7, 'drop')",
    );
    synced(&shop);
    assert_eq!(all(&shop, "target.db"), ["1, 7, 'mine'"]);
    shop.write(
        "target.db",
        "INSERT INTO bills VALUES (4, 7, 'x'), (5, 7, 'x'), (6, 9, 'out'), (7, 7, 'in');
         UPDATE bills SET tenant = 9 WHERE id = 1",
    );
    for _ in 0..2 {
        synced(&shop);
        assert_eq!(
            all(&shop, "source.db"),
            [
                "1, 7, 'mine'",
                "4, 8, 'data of 8'",
                "5, 7, 'drop'",
                "7, 7, 'in'"
            ]
        );
    }
    let open = open_conflicts(&shop);
    let told = |part: &str| {
        let told = open
            .iter()
            .filter(|c| c["outcome"] == "parked" && c["reason"].as_str().unwrap().contains(part));
        told.count()
    };
    assert_eq!(open.len(), 4, "{open:?}");
    assert_eq!(
        told("row with this key lies outside `where`"),
        1,
        "{open:?}"
    );
    assert_eq!(
        told("row with this key is dropped by transform"),
        1,
        "{open:?}"
    );
    assert_eq!(told("the row would lie outside `where`"), 2, "{open:?}");
    for conflict in &open {
        let id = conflict["id"].as_str().unwrap();
        ask(&shop, &["conflict", "resolve", id, "--take", "retry"]);
    }
    assert_eq!(open_conflicts(&shop).len(), 4);
    assert_eq!(all(&shop, "source.db").len(), 4);
}
