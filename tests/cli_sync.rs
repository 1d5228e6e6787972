//! A migration's life on the command line.

use std::process::{Child, Command};

use serde_json::Value as Json;

use crate::support::dump;
use crate::support::program::{CONFIG, ITEMS, Shop, Shown, content, wait_until};

/// JSON for a snapshot, without what differs from run to run.
macro_rules! assert_json {
    ($json:expr, @$snapshot:literal) => {
        insta::with_settings!({filters => vec![
            (r#""(seconds|rate_rows_per_s)": [0-9.e-]+"#, r#""$1": "N""#),
            (r#""(at_us|updated_us)": \d+"#, r#""$1": "N""#),
            (r#""at": "[^"]+""#, r#""at": "TIME""#),
            (r#""seen": "[0-9a-f]{12}""#, r#""seen": "SEEN""#),
        ]}, {
            insta::assert_snapshot!(serde_json::to_string_pretty(&$json).unwrap(), @$snapshot);
        });
    };
}

const IDLE: &[&str] = &["sync", "shop", "--until-idle"];

fn items(shop: &Shop, database: &str) -> Vec<String> {
    dump(&shop.path(database), "SELECT * FROM items ORDER BY id")
}

/// Both sides hold the same rows.
fn equal(shop: &Shop) -> Vec<String> {
    let source = items(shop, "source.db");
    assert_eq!(items(shop, "target.db"), source);
    source
}

fn schema(shop: &Shop, database: &str) -> Vec<String> {
    dump(
        &shop.path(database),
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2",
    )
}

fn ask(shop: &Shop, arguments: &[&str]) -> Shown {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--format", "json"]);
    shop.run(&arguments)
}

fn finish(shop: &Shop, child: Child) -> Shown {
    Shown::new(&child.wait_with_output().unwrap(), shop.folder())
}

/// A sync that follows, once it does.
fn following(shop: &Shop) -> Child {
    let child = shop.start(&["sync", "shop"]);
    wait_until("the sync follows", || {
        shop.path(".banyan/state.db").exists() && shop.phase() == "following"
    });
    child
}

#[test]
fn what_init_writes_can_be_used_as_it_is() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("banyan.toml")).unwrap();
    for (from, to) in [("source.db", "monolith.db"), ("target.db", "orders.db")] {
        std::fs::rename(shop.path(from), shop.path(to)).unwrap();
    }
    assert_eq!(shop.run(&["init"]).code, 0);
    let checked = shop.json(&["check"]);
    assert_eq!(checked["ok"], true, "{checked}");
    let report = shop.json(&["sync", "orders", "--until-idle"]);
    assert_eq!(report["tables"][0]["copied"], 3, "{report}");
    let verified = shop.json(&["verify", "orders", "--level", "full"]);
    assert_eq!(verified["consistent"], true, "{verified}");
}

#[test]
fn a_whole_life() {
    let shop = Shop::new();
    let before = [schema(&shop, "source.db"), schema(&shop, "target.db")];
    assert_eq!(shop.phase(), "planned");
    assert_json!(shop.json(&["migration", "status", "shop"]), @"");
    assert_json!(shop.json(&["check"]), @"");

    assert_json!(shop.json(IDLE), @"");
    assert_eq!(equal(&shop).len(), 3);

    shop.write(
        "source.db",
        "UPDATE items SET name = 'uno' WHERE id = 1; DELETE FROM items WHERE id = 3",
    );
    shop.write("target.db", "INSERT INTO items VALUES (9, 'nine', 9)");
    shop.write("source.db", "UPDATE items SET price = 2.5 WHERE id = 2");
    shop.write("target.db", "UPDATE items SET price = 2.75 WHERE id = 2");
    assert_json!(shop.json(IDLE), @"");
    assert_json!(shop.json(&["migration", "status", "shop"]), @"");

    let listed = ask(&shop, &["conflict", "list"]);
    assert_eq!(listed.code, 1);
    assert_json!(listed.json(), @"");
    let id = listed.json()[0]["id"].as_str().unwrap().to_owned();
    let shown = shop.run(&["conflict", "show", &id]);
    assert_eq!(shown.code, 0);
    insta::with_settings!({filters => vec![
        (r"at       \S+", "at       TIME"), (r"seen     \S+", "seen     SEEN"),
    ]}, {
        insta::assert_snapshot!(shown.out, @"");
    });
    let seen = listed.json()[0]["seen"].as_str().unwrap().to_owned();

    // Ending it now would leave the conflict undecided.
    insta::assert_snapshot!(shop.run(&["migration", "complete", "shop"]).failure(), @"");
    assert_eq!(shop.phase(), "following");

    // A row that changed since somebody looked is not overwritten.
    shop.write("target.db", "UPDATE items SET name = 'deux' WHERE id = 2");
    let resolve = [
        "conflict", "resolve", &id, "--take", "source", "--seen", &seen,
    ];
    let untouched = shop.everything();
    insta::assert_snapshot!(shop.run(&resolve).failure(), @"");
    assert_eq!(shop.everything(), untouched);
    let seen = ask(&shop, &["conflict", "show", &id]).json()["seen"].clone();
    let resolve = [
        "conflict",
        "resolve",
        &id,
        "--take",
        "target",
        "--seen",
        seen.as_str().unwrap(),
    ];
    assert_json!(shop.json(&resolve), @"");
    assert_eq!(equal(&shop)[1], "Integer(2) | Text(\"deux\") | Real(2.75)");
    assert_eq!(
        shop.json(&["conflict", "list", "--which", "open"]),
        Json::Array(vec![])
    );

    assert_json!(shop.json(&["migration", "complete", "shop"]), @"");
    let after = [schema(&shop, "source.db"), schema(&shop, "target.db")];
    assert_eq!(after, before);

    // Later commands still know what was decided, and add nothing.
    let ended = shop.everything();
    let kept = shop.json(&["conflict", "list"]);
    assert_eq!(kept[0]["outcome"], "target", "{kept}");
    assert_eq!(kept.as_array().unwrap().len(), 1);
    assert_eq!(shop.json(&["conflict", "show", &id]), kept[0]);
    shop.json(&["check"]);
    shop.json(&["verify", "shop", "--level", "full"]);
    shop.json(&["reconcile", "shop", "--dry-run"]);
    shop.json(&["query", "SELECT count(*) AS n FROM monolith.items"]);
    shop.json(&["migration", "list"]);
    shop.json(&["migration", "status", "shop"]);
    assert_eq!(shop.run(&["sync", "shop"]).code, 1);
    assert_eq!(shop.everything(), ended);
    assert!(!shop.path("source.db-wal").exists());
    assert!(!shop.path("target.db-wal").exists());
}

#[test]
fn text_for_people() {
    let shop = Shop::new();
    let filtered = |shown: Shown| {
        let text = shown.all();
        let mut out = String::new();
        for line in text.lines() {
            let line = match line.split_once("took ") {
                Some(_) => "took N s".to_owned(),
                None => match line.split_once("Z  ") {
                    Some((_, rest)) => format!("TIME  {rest}"),
                    None => line.to_owned(),
                },
            };
            if !line.starts_with("rate ") {
                out.push_str(&line);
                out.push('\n');
            }
        }
        out
    };
    insta::assert_snapshot!(filtered(shop.run(&["conflict", "list"])), @"");
    insta::assert_snapshot!(filtered(shop.run(IDLE)), @"");
    shop.write("source.db", "UPDATE items SET name = 'a' WHERE id = 1");
    shop.write("target.db", "DELETE FROM items WHERE id = 1");
    insta::assert_snapshot!(filtered(shop.run(IDLE)), @"");
    insta::assert_snapshot!(filtered(shop.run(&["conflict", "list"])), @"");
    insta::assert_snapshot!(filtered(shop.run(&["conflict", "list", "--table", "other"])), @"");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "status", "shop"])), @"");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "list"])), @"");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "pause", "shop"])), @"");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "resume", "shop"])), @"");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "abort", "shop"])), @"");
}

#[test]
fn every_answer_to_a_conflict_is_carried_out() {
    let shop = Shop::new();
    shop.json(IDLE);
    for (take, outcome, row) in [
        ("source", "source", Some("Integer(1) | Text(\"s\") | Null")),
        ("target", "target", Some("Integer(1) | Text(\"t\") | Null")),
        ("delete", "delete", None),
    ] {
        for (database, name) in [("source.db", "x"), ("target.db", "x")] {
            shop.write(
                database,
                &format!("INSERT OR REPLACE INTO items VALUES (1, '{name}', NULL)"),
            );
        }
        shop.json(IDLE);
        shop.write("source.db", "UPDATE items SET name = 's' WHERE id = 1");
        shop.write("target.db", "UPDATE items SET name = 't' WHERE id = 1");
        shop.json(IDLE);
        let open = ask(&shop, &["conflict", "list", "--which", "open"]).json();
        let id = open[0]["id"].as_str().unwrap();
        // Asking the rule again changes nothing: it is `park`.
        assert_eq!(
            ask(&shop, &["conflict", "resolve", id, "--take", "retry"]).code,
            1
        );
        let decided = shop.json(&["conflict", "resolve", id, "--take", take]);
        assert_eq!(decided["outcome"], outcome, "{decided}");
        assert_eq!(decided["rule"], "person", "{decided}");
        let rows = equal(&shop);
        let found = rows.iter().find(|r| r.starts_with("Integer(1)"));
        assert_eq!(found.map(String::as_str), row);
    }
    assert_eq!(
        shop.json(&["conflict", "list", "--which", "decided"])
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        shop.json(&["conflict", "list", "--limit", "1"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn an_answer_is_carried_out_by_the_process_that_syncs() {
    let shop = Shop::new();
    shop.json(IDLE);
    shop.write("source.db", "UPDATE items SET name = 's' WHERE id = 1");
    shop.write("target.db", "UPDATE items SET name = 't' WHERE id = 1");
    let sync = following(&shop);
    wait_until("the conflict is found", || {
        ask(&shop, &["conflict", "list"]).code == 1
    });
    let id = ask(&shop, &["conflict", "list"]).json()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let decided = shop.json(&["conflict", "resolve", &id, "--take", "target"]);
    assert_eq!(decided["outcome"], "target", "{decided}");
    assert_eq!(equal(&shop)[0], "Integer(1) | Text(\"t\") | Real(1.5)");
    terminate(&sync);
    assert_eq!(finish(&shop, sync).code, 0);
}

fn terminate(child: &Child) {
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_sync_that_is_terminated_ends_cleanly_and_goes_on_later() {
    let shop = Shop::new();
    let sync = following(&shop);
    shop.write("source.db", "UPDATE items SET name = 'uno' WHERE id = 1");
    wait_until("the change arrives", || {
        items(&shop, "target.db")[0].contains("uno")
    });
    terminate(&sync);
    let shown = finish(&shop, sync);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.starts_with("table "), "{shown:?}");
    shop.write("target.db", "UPDATE items SET name = 'one' WHERE id = 1");
    shop.write("source.db", "DELETE FROM items WHERE id = 2");
    assert_eq!(shop.json(IDLE)["tables"][0]["conflicts"], 0);
    assert_eq!(equal(&shop).len(), 2);
}

#[test]
fn only_one_process_syncs_a_migration() {
    let shop = Shop::new();
    let sync = following(&shop);
    for verb in [
        &["sync", "shop"][..],
        &["copy", "shop"],
        &["migration", "abort", "shop"],
    ] {
        let shown = shop.run(verb);
        assert_eq!(shown.code, 1, "{shown:?}");
        assert!(
            shown
                .errors
                .contains("another banyan process works on migration shop"),
            "{shown:?}"
        );
    }
    shop.write("source.db", "INSERT INTO items VALUES (4, 'four', 4)");
    wait_until("the change arrives", || {
        items(&shop, "target.db").len() == 4
    });
    terminate(&sync);
    assert_eq!(finish(&shop, sync).code, 0);
}

#[test]
fn a_pause_holds_the_sync_of_another_process() {
    let shop = Shop::new();
    let sync = following(&shop);
    shop.json(&["migration", "pause", "shop", "--reason", "stock-taking"]);
    let shown = finish(&shop, sync);
    assert_eq!(shown.code, 0, "{shown:?}");
    shop.write("source.db", "INSERT INTO items VALUES (4, 'four', 4)");
    assert_eq!(shop.run(IDLE).code, 1);
    let status = shop.json(&["migration", "status", "shop"]);
    assert_eq!(status["paused"], true);
    assert_eq!(status["reason"], "stock-taking");
    assert_eq!(
        status["next_steps"],
        serde_json::json!(["banyan migration resume shop"])
    );
    assert_eq!(items(&shop, "target.db").len(), 3);
    let resumed = shop.json(&["migration", "resume", "shop"]);
    assert_eq!(resumed["paused"], false);
    shop.json(IDLE);
    assert_eq!(equal(&shop).len(), 4);
}

#[test]
fn a_copy_is_the_first_part_of_a_sync() {
    let shop = Shop::new();
    let report = shop.json(&["copy", "shop"]);
    assert_eq!(report["tables"][0]["copied"], 3, "{report}");
    assert_eq!(equal(&shop).len(), 3);
    shop.write("source.db", "UPDATE items SET name = 'uno' WHERE id = 1");
    let report = shop.json(&["copy", "shop"]);
    assert_eq!(report["tables"][0]["copied"], 0, "{report}");
    let report = shop.json(&["migration", "start", "shop"]);
    assert_eq!(report["phase"], "following", "{report}");
    assert_eq!(equal(&shop)[0], "Integer(1) | Text(\"uno\") | Real(1.5)");
}

#[test]
fn an_aborted_migration_leaves_the_rows_and_can_begin_again() {
    let shop = Shop::new();
    let before = [schema(&shop, "source.db"), schema(&shop, "target.db")];
    shop.json(IDLE);
    assert_ne!(
        [schema(&shop, "source.db"), schema(&shop, "target.db")],
        before
    );
    let aborted = shop.json(&["migration", "abort", "shop"]);
    assert_eq!(aborted["phase"], "aborted");
    assert_eq!(
        [schema(&shop, "source.db"), schema(&shop, "target.db")],
        before
    );
    assert_eq!(equal(&shop).len(), 3);
    shop.write("source.db", "INSERT INTO items VALUES (4, 'four', 4)");
    shop.json(IDLE);
    assert_eq!(equal(&shop).len(), 4);
    assert_eq!(shop.phase(), "following");
}

/// Whatever became of tables, rules and databases: giving up removes what Banyan added.
#[test]
fn a_migration_can_be_aborted_when_it_cannot_run_any_more() {
    let shop = Shop::new();
    let before = schema(&shop, "source.db");
    shop.json(IDLE);
    shop.write("target.db", "DROP TABLE items");
    assert_ne!(shop.run(IDLE).code, 0);
    assert_eq!(shop.phase(), "failed");
    let shown = shop.run(&["migration", "abort", "shop"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!(schema(&shop, "source.db"), before);
    assert_eq!(schema(&shop, "target.db"), Vec::<String>::new());

    let shop = Shop::new();
    shop.json(IDLE);
    std::fs::remove_file(shop.path("target.db")).unwrap();
    let shown = shop.run(&["migration", "abort", "shop"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.errors.contains("store service is gone"), "{shown:?}");
    assert_eq!(schema(&shop, "source.db"), before);
    assert_eq!(shop.phase(), "aborted");
}

#[test]
fn a_table_whose_schema_changes_is_paused_and_goes_on_when_it_fits_again() {
    let shop = Shop::of(
        &format!("{ITEMS}; CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)"),
        &format!("{ITEMS}; CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)"),
    );
    shop.configure(&format!(
        "{CONFIG}[[migrations.shop.tables]]\nsource = \"notes\"\n"
    ));
    let sync = following(&shop);
    shop.write("source.db", "ALTER TABLE items ADD COLUMN colour TEXT");
    shop.write("source.db", "INSERT INTO items VALUES (1, 'one', 1, 'red')");
    shop.write("source.db", "INSERT INTO notes VALUES (1, 'goes on')");
    wait_until("the other table goes on", || {
        dump(&shop.path("target.db"), "SELECT * FROM notes").len() == 1
    });
    wait_until("the pause is told", || {
        let status = shop.json(&["migration", "status", "shop"]);
        status["paused_tables"][0]["table"] == "items"
    });
    let status = shop.json(&["migration", "status", "shop"]);
    let reason = status["paused_tables"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("colour"), "{status}");
    let shown = shop.run(&["migration", "complete", "shop"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    terminate(&sync);
    assert_eq!(finish(&shop, sync).code, 0);
    assert_eq!(items(&shop, "target.db").len(), 0);
    // As long as only one side has the column, the mapping does not fit.
    let shown = shop.run(IDLE);
    assert_ne!(shown.code, 0);
    assert!(shown.errors.contains("colour"), "{shown:?}");
    shop.write("target.db", "ALTER TABLE items ADD COLUMN colour TEXT");
    shop.json(&["migration", "resume", "shop"]);
    shop.json(IDLE);
    assert_eq!(
        equal(&shop),
        ["Integer(1) | Text(\"one\") | Real(1.0) | Text(\"red\")"]
    );
}

#[test]
fn a_one_way_migration_carries_nothing_back() {
    let shop = Shop::new();
    shop.configure(&CONFIG.replace("two-way", "one-way"));
    shop.json(IDLE);
    let before = items(&shop, "source.db");
    shop.write("target.db", "INSERT INTO items VALUES (7, 'seven', 7)");
    shop.json(IDLE);
    assert_eq!(items(&shop, "source.db"), before);
    shop.json(&["migration", "complete", "shop"]);
    assert_eq!(items(&shop, "target.db").len(), 4);
}

#[test]
fn check_notes_what_one_should_know_and_leaves_no_trace() {
    let tables = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT); \
        CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id)); \
        CREATE TRIGGER audit AFTER INSERT ON orders BEGIN SELECT 1; END;";
    let shop = Shop::of(tables, tables);
    shop.configure(&format!(
        "{}\nsource = \"orders\"\n[[migrations.shop.tables]]\nsource = \"customers\"\n",
        CONFIG.replace("\nsource = \"items\"\n", "")
    ));
    shop.write(
        "source.db",
        "PRAGMA journal_mode = DELETE; PRAGMA foreign_keys = OFF; INSERT INTO orders VALUES (1, 7)",
    );
    shop.write(
        "target.db",
        "INSERT INTO customers VALUES (1, 'a'), (2, 'b')",
    );
    let before: Vec<_> = ["source.db", "target.db"]
        .iter()
        .map(|name| {
            (
                content(&shop.path(name)),
                std::fs::read(shop.path(name)).unwrap(),
            )
        })
        .collect();
    let shown = shop.run(&["check"]);
    insta::assert_snapshot!(shown.all(), @"");
    let after: Vec<_> = ["source.db", "target.db"]
        .iter()
        .map(|name| {
            (
                content(&shop.path(name)),
                std::fs::read(shop.path(name)).unwrap(),
            )
        })
        .collect();
    assert!(before == after, "the databases are not the same bytes");
    assert!(!shop.path(".banyan").exists());
    // Without the check of foreign keys there is less to say.
    shop.configure(
        &std::fs::read_to_string(shop.path("banyan.toml"))
            .unwrap()
            .replace(
                "on_conflict = \"park\"",
                "on_conflict = \"park\"\nforeign_keys = \"ignore\"",
            ),
    );
    let notes = shop.json(&["check"]);
    assert!(!notes.to_string().contains("parents"), "{notes}");
}
