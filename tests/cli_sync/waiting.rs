//! Conflicts that are left: what is said, and what can be done.

use crate::support::program::{CONFIG, Shop, rows};

use super::{IDLE, ask, equal, items, synced};

/// Both sides changed row 1, and nobody decided.
fn parked() -> Shop {
    let shop = Shop::new();
    shop.json(IDLE);
    shop.write("source.db", "UPDATE items SET name = 's' WHERE id = 1");
    shop.write("target.db", "UPDATE items SET name = 't' WHERE id = 1");
    shop
}

#[test]
fn a_sync_that_leaves_conflicts_says_so_with_its_exit_code() {
    let shop = parked();
    let shown = shop.run(IDLE);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert_eq!(
        shown.errors,
        "hint: 1 conflict waits: banyan conflict list shop --which open\n"
    );
    let steps = shop.json(&["migration", "status", "shop"])["next_steps"].to_string();
    assert!(!steps.contains("complete"), "{steps}");
    assert!(
        steps.contains("banyan conflict list shop --which open"),
        "{steps}"
    );
    let complete = shop.run(&["migration", "complete", "shop"]);
    insta::assert_snapshot!(complete.failure(), @r"
exit code: 1
error: migration shop: 1 conflict still waits

hint: banyan conflict list shop --which open shows them
hint: decide each with banyan conflict resolve ID --take source|target|delete, or change what it waits for; then complete
");
}

/// A repair would decide the conflict behind everybody's back.
#[test]
fn reconcile_leaves_open_conflicts_alone() {
    let shop = parked();
    synced(&shop);
    let before = shop.everything();
    for prefer in ["source", "target", "newest"] {
        let arguments = [
            "reconcile",
            "shop",
            "--recheck-tries",
            "0",
            "--prefer",
            prefer,
        ];
        let shown = shop.run(&arguments);
        assert_eq!(shown.code, 1, "{shown:?}");
        assert!(
            shown
                .out
                .contains("1 row differs, 0 repaired, 1 left to open conflicts"),
            "{shown:?}"
        );
        assert!(
            shown
                .out
                .contains("not repaired: items (id = 1): its conflict"),
            "{shown:?}"
        );
        assert!(
            shown.errors.contains("banyan conflict resolve ID"),
            "{shown:?}"
        );
        let report = ask(&shop, &arguments).json();
        assert_eq!(report["tables"][0]["in_conflict"], 1, "{report}");
        assert_eq!(shop.everything(), before);
    }
    let open = ask(&shop, &["conflict", "list", "--which", "open"]).json();
    let id = open[0]["id"].as_str().unwrap();
    shop.json(&["conflict", "resolve", id, "--take", "target"]);
    assert!(equal(&shop).contains(&"1, 't', 1.5".to_owned()));
}

#[test]
fn what_is_decided_already_is_said() {
    let shop = parked();
    synced(&shop);
    let open = ask(&shop, &["conflict", "list", "--which", "open"]).json();
    let id = open[0]["id"].as_str().unwrap();
    // As the help says.
    shop.json(&["conflict", "resolve", id, "--take", "none"]);
    assert_eq!(equal(&shop).len(), 2);
    let shown = shop.run(&["conflict", "resolve", id, "--take", "source"]);
    insta::assert_snapshot!(shown.failure(), @r"
exit code: 1
error: conflict t1 is decided already: delete by person

hint: banyan conflict show t1 shows both rows and the result
hint: to change a row now, write it as any application does: the change is carried over
");
    let shown = shop.run(&["conflict", "resolve", "t99", "--take", "source"]);
    assert_eq!(shown.code, 2, "{shown:?}");
}

const FAMILY: &str = "CREATE TABLE parents (id INTEGER PRIMARY KEY); \
                      CREATE TABLE children (id INTEGER PRIMARY KEY, \
                      parent INTEGER NOT NULL REFERENCES parents)";

/// A child without a parent waits for ever, unless somebody decides.
fn orphan() -> (Shop, String) {
    let shop = Shop::of(FAMILY, FAMILY);
    let tables = CONFIG.split("[[migrations").next().unwrap().to_owned();
    shop.configure(&tables);
    shop.json(IDLE);
    shop.write(
        "source.db",
        "PRAGMA foreign_keys = OFF; INSERT INTO children VALUES (1, 7)",
    );
    let report = synced(&shop);
    assert_eq!(report["tables"][0]["parked"], 1, "{report}");
    let open = ask(&shop, &["conflict", "list", "--which", "open"]).json();
    assert_eq!(open[0]["outcome"], "waiting", "{open}");
    let id = open[0]["id"].as_str().unwrap().to_owned();
    (shop, id)
}

#[test]
fn what_waits_can_be_decided_by_a_person() {
    let children =
        |shop: &Shop, database: &str| rows(&shop.path(database), "SELECT * FROM children");
    let (shop, id) = orphan();
    // Nothing is there in the target: so it goes in the source, too.
    let decided = shop.json(&["conflict", "resolve", &id, "--take", "target"]);
    assert_eq!(decided["rule"], "person", "{decided}");
    assert!(children(&shop, "source.db").is_empty());
    assert!(children(&shop, "target.db").is_empty());
    shop.json(IDLE);
    shop.json(&["migration", "complete", "shop"]);

    // What a constraint does not let in goes on waiting.
    let (shop, id) = orphan();
    let shown = ask(&shop, &["conflict", "resolve", &id, "--take", "source"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert_eq!(shown.json()["outcome"], "waiting", "{shown:?}");
    shop.write("target.db", "INSERT INTO parents VALUES (7)");
    shop.json(IDLE);
    assert_eq!(children(&shop, "target.db"), ["1, 7"]);
}

#[test]
fn a_dry_run_says_what_would_be_written_where() {
    let shop = Shop::new();
    shop.json(IDLE);
    shop.json(&["migration", "complete", "shop"]);
    shop.write(
        "source.db",
        "UPDATE items SET name = 'x' WHERE id = 1; INSERT INTO items VALUES (9, 'n', 1)",
    );
    shop.write(
        "target.db",
        "INSERT INTO items VALUES (10, 'm', 1), (11, 'm', 1)",
    );
    let shown = shop.run(&[
        "reconcile",
        "shop",
        "--recheck-tries",
        "0",
        "--dry-run",
        "--table",
        "ITEMS",
    ]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(
        shown.out.contains("service.items: would be 1 row inserted, 1 updated, 2 deleted\n4 rows differ, 4 would be repaired"),
        "{shown:?}"
    );
    assert!(shown.errors.contains("deleted there"), "{shown:?}");
    let report = shop.json(&["reconcile", "shop", "--recheck-tries", "0"]);
    assert_eq!(report["writes"][0]["deletes"], 2, "{report}");
    assert_eq!(items(&shop, "source.db"), items(&shop, "target.db"));
}
