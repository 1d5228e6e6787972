//! What happens to capture while a migration runs: nothing is lost without a word.

use crate::cli_sync::{IDLE, equal, items, synced};
use crate::support::program::{CONFIG, ITEMS, Shop, rows};
use crate::support::{Pair, app, dump, spec, until_idle};

const KEYED: &str = "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)";

/// Three rows on both sides.
fn shop(schema: &str, on_conflict: &str) -> Shop {
    let shop = Shop::of(schema, schema);
    shop.configure(&CONFIG.replace("park", on_conflict));
    shop.write(
        "source.db",
        "INSERT INTO items (id, v) VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    );
    shop.json(IDLE);
    shop
}

fn nothing_is_paused(shop: &Shop) {
    let status = shop.json(&["migration", "status", "shop"]);
    assert_eq!(status["paused_tables"], serde_json::json!([]), "{status}");
}

#[test]
fn changes_that_wait_are_carried_over_after_a_column_was_added() {
    let shop = shop(KEYED, "park");
    shop.write(
        "source.db",
        "UPDATE items SET v = 'new' WHERE id = 1; INSERT INTO items VALUES (4, 'ins');
         DELETE FROM items WHERE id = 2",
    );
    shop.write("target.db", "INSERT INTO items VALUES (9, 'back')");
    for database in ["source.db", "target.db"] {
        shop.write(
            database,
            "ALTER TABLE items ADD COLUMN w INT DEFAULT '07'; ALTER TABLE items ADD COLUMN x",
        );
    }
    shop.write(
        "source.db",
        "UPDATE items SET w = 9 WHERE id = 3; UPDATE items SET x = 'x' WHERE id = 4;
         INSERT INTO items VALUES (5, 'gone', 1, 1); DELETE FROM items WHERE id = 5;
         INSERT INTO items VALUES (6, 'moved', 2, 2); UPDATE items SET id = 7 WHERE id = 6",
    );
    let report = shop.json(IDLE);
    assert_eq!(report["tables"][0]["conflicts"], 0, "{report}");
    assert_eq!(report["tables"][0]["parked"], 0, "{report}");
    assert_eq!(
        equal(&shop),
        [
            "1, 'new', 7, NULL",
            "3, 'c', 9, NULL",
            "4, 'ins', 7, 'x'",
            "7, 'moved', 2, 2",
            "9, 'back', 7, NULL"
        ]
    );
    // And so it is followed.
    shop.write("target.db", "UPDATE items SET w = 10, x = 'y' WHERE id = 7");
    shop.json(IDLE);
    assert_eq!(equal(&shop)[3], "7, 'moved', 10, 'y'");
}

#[test]
fn changes_that_wait_are_carried_over_after_a_column_was_renamed() {
    let shop = shop(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, u, v TEXT)",
        "park",
    );
    shop.write(
        "source.db",
        "UPDATE items SET v = 'new', u = 'u' WHERE id = 1; DELETE FROM items WHERE id = 2",
    );
    for database in ["source.db", "target.db"] {
        shop.write(
            database,
            "ALTER TABLE items RENAME COLUMN v TO \"a \"\" b\"; ALTER TABLE items ADD COLUMN v",
        );
    }
    let report = shop.json(IDLE);
    assert_eq!(report["tables"][0]["parked"], 0, "{report}");
    assert_eq!(equal(&shop), ["1, 'u', 'new', NULL", "3, NULL, 'c', NULL"]);
}

#[test]
fn a_mapping_that_shrinks_and_grows() {
    let shop = shop(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT, w)",
        "source-wins",
    );
    let wide = CONFIG.replace("park", "source-wins");
    let narrow = format!("{wide}columns = {{ id = \"id\", v = \"v\" }}\n");
    shop.write(
        "source.db",
        "UPDATE items SET v = 'new', w = 'w' WHERE id = 1; INSERT INTO items VALUES (4, 'ins', 88);
         DELETE FROM items WHERE id = 2; UPDATE items SET w = 7 WHERE id = 3",
    );
    shop.configure(&narrow);
    shop.json(IDLE);
    assert_eq!(
        items(&shop, "target.db"),
        ["1, 'new', NULL", "3, 'c', NULL", "4, 'ins', NULL"]
    );
    // With changes waiting it is not known what the column was.
    shop.write("source.db", "UPDATE items SET v = 'later' WHERE id = 3");
    shop.configure(&wide);
    let before = shop.everything();
    let shown = shop.run(IDLE);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(
        shown.errors.contains("column w of table items"),
        "{shown:?}"
    );
    assert!(shown.errors.contains("1 changes still wait"), "{shown:?}");
    assert_eq!(shop.everything(), before);
    shop.configure(&narrow);
    shop.json(IDLE);
    shop.configure(&wide);
    shop.json(IDLE);
    assert_eq!(
        equal(&shop),
        ["1, 'new', 'w'", "3, 'later', 7", "4, 'ins', 88"]
    );
}

#[test]
fn a_trigger_of_the_application_that_is_newer_than_ours() {
    let shop = shop(KEYED, "park");
    shop.write(
        "target.db",
        "CREATE TRIGGER g AFTER INSERT ON items BEGIN
            UPDATE items SET v = v || '!' WHERE id = NEW.id; END;
         CREATE TRIGGER h AFTER UPDATE ON items WHEN NEW.v NOT LIKE '%?' BEGIN
            UPDATE items SET v = v || '?' WHERE id = NEW.id; END;
         INSERT INTO items VALUES (5, 'e'); UPDATE items SET v = 'u' WHERE id = 1;
         INSERT INTO items VALUES (6, 'f'); DELETE FROM items WHERE id = 6",
    );
    let report = shop.json(IDLE);
    assert_eq!(report["tables"][0]["parked"], 0, "{report}");
    assert_eq!(equal(&shop), ["1, 'u?'", "2, 'b'", "3, 'c'", "5, 'e!?'"]);
    // From now on ours fire first.
    shop.write(
        "target.db",
        "INSERT INTO items VALUES (7, 'g'); UPDATE items SET v = 'w' WHERE id = 2",
    );
    assert_eq!(
        rows(
            &shop.path("target.db"),
            "SELECT op FROM \"_banyan_shop.outbox\" ORDER BY seq DESC LIMIT 5"
        ),
        ["2", "2", "2", "2", "1"]
    );
    shop.json(IDLE);
    assert_eq!(equal(&shop)[4], "7, 'g!?'");
    assert_eq!(equal(&shop)[1], "2, 'w?'");
}

#[test]
fn a_trigger_that_comes_while_sync_runs() {
    use crate::support::program::wait_until;
    let shop = shop(KEYED, "park");
    let mut sync = shop.start(&["sync", "shop"]);
    wait_until("it follows", || {
        shop.write("source.db", "UPDATE items SET v = v || '.' WHERE id = 3");
        items(&shop, "target.db")[2] != "3, 'c'"
    });
    shop.write(
        "target.db",
        "CREATE TRIGGER g AFTER INSERT ON items BEGIN
            UPDATE items SET v = v || '!' WHERE id = NEW.id; END;
         INSERT INTO items VALUES (5, 'e')",
    );
    wait_until("the row arrives", || {
        items(&shop, "source.db").contains(&"5, 'e!'".to_owned())
    });
    shop.write("target.db", "UPDATE items SET v = 'second' WHERE id = 5");
    wait_until("its change arrives", || {
        items(&shop, "source.db").contains(&"5, 'second'".to_owned())
    });
    sync.kill().unwrap();
    sync.wait().unwrap();
    shop.json(IDLE);
    assert_eq!(equal(&shop)[3], "5, 'second'");
}

#[test]
fn a_column_that_is_added_while_sync_runs() {
    use crate::support::program::wait_until;
    let shop = shop(KEYED, "park");
    let mut sync = shop.start(&["sync", "shop"]);
    wait_until("it follows", || {
        shop.write("source.db", "UPDATE items SET v = v || '.' WHERE id = 3");
        items(&shop, "target.db")[2] != "3, 'c'"
    });
    wait_until("it has caught up", || {
        items(&shop, "target.db") == items(&shop, "source.db")
    });
    let add = "ALTER TABLE items ADD COLUMN w INT DEFAULT 7;";
    shop.write(
        "source.db",
        &format!(
            "{add} UPDATE items SET w = 9 WHERE id = 1; UPDATE items SET v = 'bb' WHERE id = 2"
        ),
    );
    wait_until("the table waits", || {
        let status = shop.json(&["migration", "status", "shop"]);
        status["paused_tables"][0]["table"] == "items" && status["parked"] == 2
    });
    shop.write(
        "target.db",
        &format!("{add} UPDATE items SET w = 5 WHERE id = 3"),
    );
    sync.kill().unwrap();
    sync.wait().unwrap();
    shop.json(&["migration", "resume", "shop"]);
    let report = shop.json(IDLE);
    assert_eq!(report["tables"][0]["parked"], 0, "{report}");
    let found = equal(&shop);
    assert_eq!(found[..2], ["1, 'a', 9", "2, 'bb', 7"]);
    assert!(found[2].ends_with(".', 5"), "{found:?}");
}

/// After `change` the table waits, `notes` goes on, and nothing is written over; once resumed, the
/// rows are compared.
fn leaves_a_gap(change: &str, why: &str, after: &[&str]) {
    let schema = format!("{KEYED}; CREATE TABLE notes (id INTEGER PRIMARY KEY)");
    let shop = Shop::of(&schema, &schema);
    let config = CONFIG.replace("park", "source-wins");
    shop.configure(&format!(
        "{config}[[migrations.shop.tables]]\nsource = \"notes\"\n"
    ));
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    );
    shop.json(IDLE);
    shop.write("source.db", change);
    shop.write("source.db", "INSERT INTO notes VALUES (1)");
    for _ in 0..2 {
        let shown = shop.run(IDLE);
        assert!(shown.errors.contains(why), "{shown:?}");
        assert!(shown.errors.contains("migration resume shop"), "{shown:?}");
        assert_eq!(items(&shop, "target.db"), ["1, 'a'", "2, 'b'", "3, 'c'"]);
        let notes = rows(&shop.path("target.db"), "SELECT * FROM notes");
        assert_eq!(notes, ["1"]);
        let status = shop.json(&["migration", "status", "shop"]);
        let reason = status["paused_tables"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{status}");
        assert_eq!(status["paused_tables"][0]["table"], "items");
    }
    shop.json(&["migration", "resume", "shop"]);
    synced(&shop);
    nothing_is_paused(&shop);
    let found = items(&shop, "target.db");
    for row in after {
        assert!(found.contains(&(*row).to_owned()), "{found:?}");
    }
    let source = items(&shop, "source.db");
    assert!(source.iter().all(|row| found.contains(row)), "{source:?}");
    shop.write("source.db", "UPDATE items SET v = 'again' WHERE id = 3");
    synced(&shop);
    assert_eq!(
        rows(&shop.path("target.db"), "SELECT v FROM items WHERE id = 3"),
        ["'again'"]
    );
}

#[test]
fn a_table_that_was_rebuilt() {
    leaves_a_gap(
        "BEGIN; CREATE TABLE n (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO n SELECT * FROM items;
         DROP TABLE items; ALTER TABLE n RENAME TO items; COMMIT;
         UPDATE items SET v = 'unseen' WHERE id = 1; INSERT INTO items VALUES (4, 'unseen')",
        "capture triggers were removed",
        &["1, 'unseen'", "4, 'unseen'"],
    );
}

#[test]
fn a_table_that_was_rebuilt_the_other_way() {
    leaves_a_gap(
        "BEGIN; ALTER TABLE items RENAME TO o; CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT);
         INSERT INTO items SELECT * FROM o; DROP TABLE o; COMMIT;
         UPDATE items SET v = 'unseen' WHERE id = 1",
        "capture triggers were removed",
        &["1, 'unseen'"],
    );
}

#[test]
fn one_trigger_that_was_dropped() {
    leaves_a_gap(
        "DROP TRIGGER \"_banyan_shop.items.update\"; UPDATE items SET v = 'unseen' WHERE id = 1",
        "capture triggers were removed",
        &["1, 'unseen'"],
    );
}

/// The row that was displaced unseen is in the target alone now, and waits for its value.
#[test]
fn a_unique_index_that_the_triggers_do_not_know() {
    leaves_a_gap(
        "CREATE UNIQUE INDEX ux ON items (v); INSERT OR REPLACE INTO items VALUES (3, 'a')",
        "a unique index on",
        &["3, 'a'"],
    );
}

#[test]
fn a_unique_index_that_goes_away_is_no_gap() {
    let shop = shop(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT); CREATE UNIQUE INDEX ux ON items (v)",
        "park",
    );
    shop.write(
        "source.db",
        "INSERT OR REPLACE INTO items VALUES (4, 'a'); DROP INDEX ux;
         INSERT OR REPLACE INTO items VALUES (5, 'b')",
    );
    shop.write("target.db", "DROP INDEX ux");
    shop.json(IDLE);
    nothing_is_paused(&shop);
    assert_eq!(equal(&shop), ["2, 'b'", "3, 'c'", "4, 'a'", "5, 'b'"]);
}

#[test]
fn a_table_that_takes_no_part_for_a_while() {
    let schema = format!("{KEYED}; CREATE TABLE notes (id INTEGER PRIMARY KEY)");
    let shop = Shop::of(&schema, &schema);
    let both = format!("{CONFIG}[[migrations.shop.tables]]\nsource = \"notes\"\n");
    shop.configure(&both);
    shop.json(IDLE);
    shop.configure(CONFIG);
    shop.write("source.db", "INSERT INTO notes VALUES (1)");
    shop.json(IDLE);
    shop.write("source.db", "INSERT INTO notes VALUES (2)");
    shop.configure(&both);
    shop.json(IDLE);
    let notes = rows(&shop.path("target.db"), "SELECT * FROM notes");
    assert_eq!(notes, ["1", "2"]);
}

/// Replaces a database by a copy of an earlier state and writes on there.
fn restored(database: &str, further: &str) {
    let shop = shop(KEYED, "park");
    shop.write(database, "UPDATE items SET v = 'base' WHERE id = 1");
    shop.json(IDLE);
    let backup = shop.path("backup.db");
    shop.write(
        database,
        &format!("VACUUM INTO '{}'", backup.to_str().unwrap()),
    );
    shop.write(database, "UPDATE items SET v = 'new'");
    shop.json(IDLE);
    std::fs::copy(&backup, shop.path(database)).unwrap();
    for end in ["-wal", "-shm"] {
        drop(std::fs::remove_file(shop.path(&format!("{database}{end}"))));
    }
    shop.write(database, further);
    let before = (items(&shop, "source.db"), items(&shop, "target.db"));
    let shown = shop.run(IDLE);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.errors.contains("restored from a copy"), "{shown:?}");
    assert_eq!(
        (items(&shop, "source.db"), items(&shop, "target.db")),
        before
    );
}

#[test]
fn a_source_restored_from_a_backup() {
    restored(
        "source.db",
        "UPDATE items SET v = 'newer'; INSERT INTO items VALUES (4, 'x')",
    );
}

#[test]
fn a_target_restored_from_a_backup() {
    restored("target.db", "UPDATE items SET v = 'newer'");
}

fn two_migrations(first: &str, second: &str) -> Shop {
    let shop = Shop::of(ITEMS, ITEMS);
    shop.write("third.db", ITEMS);
    shop.configure(&format!(
        "[stores.a]\nurl = \"sqlite:source.db\"\n[stores.b]\nurl = \"sqlite:target.db\"\n\
         [stores.c]\nurl = \"sqlite:third.db\"\n\
         [migrations.first]\n{first}\non_conflict = \"park\"\n\
         [migrations.second]\n{second}\non_conflict = \"park\"\n"
    ));
    shop
}

#[test]
fn two_migrations_that_would_not_see_each_other() {
    for (first, second) in [
        (
            "source = \"a\"\ntarget = \"b\"",
            "source = \"b\"\ntarget = \"c\"",
        ),
        (
            "source = \"a\"\ntarget = \"b\"\nmode = \"two-way\"",
            "source = \"a\"\ntarget = \"c\"",
        ),
        (
            "source = \"a\"\ntarget = \"c\"",
            "source = \"b\"\ntarget = \"c\"",
        ),
    ] {
        let shop = two_migrations(first, second);
        let shown = shop.run(&["check"]);
        assert_ne!(shown.code, 0, "{shown:?}");
        let both = "migrations second and first both work on table items";
        assert!(format!("{shown:?}").contains(both), "{shown:?}");
        shop.json(&["sync", "first", "--until-idle"]);
        let shown = shop.run(&["sync", "second", "--until-idle"]);
        assert_eq!(shown.code, 1, "{shown:?}");
        assert!(shown.errors.contains(both), "{shown:?}");
        // Once the first is over, the second may begin.
        shop.json(&["migration", "complete", "first"]);
        assert_eq!(shop.run(&["check"]).code, 0);
        shop.json(&["sync", "second", "--until-idle"]);
    }
}

#[test]
fn two_migrations_that_only_read_one_table() {
    let mode = "mode = \"one-way\"";
    let shop = two_migrations(
        &format!("source = \"a\"\ntarget = \"b\"\n{mode}"),
        &format!("source = \"a\"\ntarget = \"c\"\n{mode}"),
    );
    assert_eq!(shop.run(&["check"]).code, 0);
    for turn in 1..3 {
        shop.write(
            "source.db",
            &format!("INSERT INTO items VALUES ({turn}, 'x', 1)"),
        );
        for name in ["first", "second"] {
            shop.json(&["sync", name, "--until-idle"]);
        }
    }
    for database in ["target.db", "third.db"] {
        assert_eq!(items(&shop, database).len(), 2);
    }
}

#[test]
fn an_end_removes_nothing_of_the_application() {
    let shop = shop(KEYED, "park");
    shop.write(
        "source.db",
        "CREATE TABLE \"_banyan_shop.mine\" (a);
         CREATE INDEX \"_banyan_shop.index\" ON \"_banyan_shop.mine\" (a);
         CREATE TRIGGER \"_banyan_shop.items.log\" AFTER INSERT ON items BEGIN
            INSERT INTO \"_banyan_shop.mine\" VALUES (1); END",
    );
    shop.json(&["migration", "abort", "shop"]);
    let left = rows(
        &shop.path("source.db"),
        "SELECT name FROM sqlite_schema WHERE name LIKE '\\_banyan%' ESCAPE '\\' ORDER BY 1",
    );
    assert_eq!(
        left,
        [
            "'_banyan_shop.index'",
            "'_banyan_shop.items.log'",
            "'_banyan_shop.mine'"
        ]
    );
}

#[test]
fn a_table_as_wide_as_can_be() {
    let wide = |columns: usize| {
        let columns: Vec<String> = (1..columns).map(|i| format!("a{i}")).collect();
        let schema = format!(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, {})",
            columns.join(", ")
        );
        let shop = Shop::of(&schema, &schema);
        shop.write(
            "source.db",
            "INSERT INTO items (id, a1, a997) VALUES (1, 'x', 'y')",
        );
        shop
    };
    let shop = wide(998);
    assert_eq!(shop.run(&["check"]).code, 0);
    shop.json(IDLE);
    shop.write("source.db", "UPDATE items SET a997 = 'z'");
    shop.write("target.db", "INSERT INTO items (id, a3) VALUES (2, 'back')");
    shop.json(IDLE);
    assert_eq!(equal(&shop).len(), 2);
    let shop = wide(999);
    for verb in [&["check"][..], IDLE] {
        let shown = shop.run(verb);
        assert_eq!(shown.code, 2, "{shown:?}");
        let shown = format!("{shown:?}");
        assert!(shown.contains("999 columns to sync; up to 998"), "{shown}");
        assert!(shown.contains("ignore_columns"), "{shown}");
    }
}

/// A chunk says nothing of a row that is gone, and the target may hold it from before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_deleted_while_a_table_is_copied_once_more() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
    let pair = Pair::new(schema, schema);
    let spec = spec(&["t"], "park");
    let a = app(&pair.source());
    a.execute_batch("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4)")
        .unwrap();
    pair.sync(&spec).await;
    let opened = pair.open(&spec).await;
    opened
        .target
        .forget_copies(vec!["t".to_owned()])
        .await
        .unwrap();
    drop(opened);
    let mut engine = pair.engine(&spec).await;
    // Before the source's feed is read, before its chunk is read, and after it.
    a.execute_batch("UPDATE t SET a = 22 WHERE id = 2; DELETE FROM t WHERE id = 2")
        .unwrap();
    engine.step(banyan::rule::Direction::Forward).await.unwrap();
    a.execute_batch(
        "DELETE FROM t WHERE id = 3; DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4, 4)",
    )
    .unwrap();
    while engine.copy_chunk().await.unwrap() {}
    a.execute_batch("INSERT INTO t VALUES (3, 'again')")
        .unwrap();
    let report = until_idle(&mut engine).await;
    assert_eq!(report.tables[0].conflicts, 0);
    let sql = "SELECT * FROM t ORDER BY id";
    let source = dump(&pair.source(), sql);
    // Row 3 is another one now: what the target holds is what was deleted.
    assert_eq!(report.tables[0].parked, 0);
    assert_eq!(dump(&pair.target(), sql), source);
    a.execute_batch("DELETE FROM t WHERE id = 1").unwrap();
    until_idle(&mut engine).await;
    assert_eq!(dump(&pair.target(), sql).len(), 2);
}
