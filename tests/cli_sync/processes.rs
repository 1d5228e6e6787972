//! Several processes at once.

use std::process::{Child, Command};

use crate::support::program::{CONFIG, ITEMS, Shop, Shown, rows, wait_until};

use super::{IDLE, ask, equal, items};

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
    assert_eq!(equal(&shop)[0], "1, 't', 1.5");
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
        rows(&shop.path("target.db"), "SELECT * FROM notes").len() == 1
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
    assert_eq!(equal(&shop), ["1, 'one', 1.0, 'red'"]);
}

/// A script that is broken while it is in use: said once, with its place, and shown in the status.
#[test]
fn a_broken_script_is_said_once_and_the_one_before_stays() {
    let shop = Shop::new();
    let rules = "[rules.mine]\nscript = \"mine.rhai\"\n";
    shop.configure(&format!(
        "{rules}{}",
        CONFIG.replace("\"park\"", "\"mine\"")
    ));
    let good = "fn resolve(c) { target }";
    // As a whole: a file that is half written would be refused, too.
    let script = |text: &str| {
        std::fs::write(shop.path("new.rhai"), text).unwrap();
        std::fs::rename(shop.path("new.rhai"), shop.path("mine.rhai")).unwrap();
    };
    script(good);
    let sync = following(&shop);
    script("fn resolve(c) { c.\n");
    let refused =
        |shop: &Shop| shop.json(&["migration", "status", "shop"])["refused_rules"].clone();
    wait_until("the script is refused", || !refused(&shop).is_null());
    assert_eq!(refused(&shop)[0]["rule"], "mine");
    let status = shop.run(&["migration", "status", "shop"]).out;
    assert!(status.contains("mine.rhai:1:19"), "{status}");
    shop.write("source.db", "UPDATE items SET name = 's' WHERE id = 1");
    shop.write("target.db", "UPDATE items SET name = 't' WHERE id = 1");
    wait_until("the script before decides", || {
        items(&shop, "source.db")[0].contains("'t'")
    });
    script(good);
    wait_until("the script is right again", || refused(&shop).is_null());
    terminate(&sync);
    let shown = finish(&shop, sync);
    let said = shown.errors.matches("changed script refused").count();
    assert_eq!(said, 1, "{shown:?}");
    assert!(shown.errors.contains("fn resolve(c) { c."), "{shown:?}");
}
