//! Tables that differ: columns, filters, keys, rules.

use crate::support::program::{CONFIG, Shop, rows};

use super::{IDLE, ask};

/// The configuration with other tables than `items`.
pub(super) fn configure(shop: &Shop, tables: &str) {
    let (head, _) = CONFIG.split_once("[[").unwrap();
    shop.configure(&format!("{head}{tables}"));
}

fn verified(shop: &Shop) {
    for level in ["count", "hash", "full"] {
        let report = shop.json(&["verify", "shop", "--level", level]);
        assert_eq!(report["consistent"], true, "{report}");
    }
}

#[test]
fn a_filter_decides_which_rows_take_part_and_they_may_come_and_go() {
    let table =
        "CREATE TABLE bills (id INTEGER PRIMARY KEY, tenant INTEGER, note TEXT COLLATE NOCASE)";
    let shop = Shop::of(table, table);
    configure(
        &shop,
        "[[migrations.shop.tables]]\nsource = \"bills\"\nwhere = \"tenant = 7 AND note <> 'SECRET'\"\n",
    );
    shop.write(
        "source.db",
        "INSERT INTO bills VALUES (1, 7, 'a'), (2, 8, 'b'), (3, 7, 'secret'), (4, NULL, 'd')",
    );
    let target = |shop: &Shop| rows(&shop.path("target.db"), "SELECT * FROM bills ORDER BY id");
    let report = shop.json(IDLE);
    assert_eq!(report["tables"][0]["copied"], 1, "{report}");
    assert_eq!(target(&shop), ["1, 7, 'a'"]);
    verified(&shop);
    shop.write(
        "source.db",
        "UPDATE bills SET tenant = 7 WHERE id = 2; UPDATE bills SET tenant = 8 WHERE id = 1;
         INSERT INTO bills VALUES (5, 7, 'e'), (6, 9, 'f'); DELETE FROM bills WHERE id = 4",
    );
    shop.json(IDLE);
    assert_eq!(target(&shop), ["2, 7, 'b'", "5, 7, 'e'"]);
    verified(&shop);
    shop.write("target.db", "UPDATE bills SET note = 'back' WHERE id = 2");
    shop.json(IDLE);
    assert_eq!(
        rows(
            &shop.path("source.db"),
            "SELECT note FROM bills WHERE id = 2"
        ),
        ["'back'"]
    );
    verified(&shop);
}

#[test]
fn a_filter_that_is_no_sql_is_refused() {
    let shop = Shop::new();
    let before = shop.everything();
    shop.configure(&format!("{CONFIG}where = \"tenant = 7\"\n"));
    for shown in [shop.run(&["check"]), shop.run(IDLE)] {
        assert_eq!(shown.code, 2, "{shown:?}");
        let told = format!("{}{}", shown.out, shown.errors);
        assert!(
            told.contains("where = \"tenant = 7\" of table items"),
            "{told}"
        );
        assert!(told.contains("no such column: tenant"), "{told}");
    }
    assert_eq!(shop.everything(), before);
}

#[test]
fn columns_are_renamed_left_out_and_left_alone() {
    let shop = Shop::of(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, mail TEXT, internal TEXT)",
        "CREATE TABLE clients (client_id INTEGER PRIMARY KEY, full_name TEXT, email TEXT, \
         score INTEGER NOT NULL DEFAULT 5)",
    );
    configure(
        &shop,
        "[[migrations.shop.tables]]\nsource = \"customers\"\ntarget = \"clients\"\n\
         columns = { client_id = \"id\", full_name = \"name\", email = \"mail\" }\n",
    );
    shop.write(
        "source.db",
        "INSERT INTO customers VALUES (1, 'Ann', 'a@x', 'vip')",
    );
    shop.json(IDLE);
    shop.write(
        "target.db",
        "UPDATE clients SET score = 9, full_name = 'Anna' WHERE client_id = 1",
    );
    shop.write(
        "source.db",
        "UPDATE customers SET internal = 'no' WHERE id = 1",
    );
    let report = shop.json(IDLE);
    assert_eq!(report["tables"][0]["parked"], 0, "{report}");
    assert_eq!(
        rows(&shop.path("source.db"), "SELECT * FROM customers"),
        ["1, 'Anna', 'a@x', 'no'"]
    );
    assert_eq!(
        rows(&shop.path("target.db"), "SELECT * FROM clients"),
        ["1, 'Anna', 'a@x', 9"]
    );
    verified(&shop);
}

#[test]
fn a_table_without_a_key_of_its_own_can_be_given_one() {
    let shop = Shop::of(
        "CREATE TABLE tags (name TEXT NOT NULL, colour TEXT)",
        "CREATE TABLE tags (name TEXT NOT NULL, colour TEXT)",
    );
    configure(
        &shop,
        "[[migrations.shop.tables]]\nsource = \"tags\"\nkey = [\"name\"]\n",
    );
    shop.write(
        "source.db",
        "INSERT INTO tags VALUES ('a', 'red'), ('b', NULL)",
    );
    shop.json(IDLE);
    shop.write(
        "source.db",
        "UPDATE tags SET colour = 'blue' WHERE name = 'a'",
    );
    shop.write("target.db", "DELETE FROM tags WHERE name = 'b'");
    shop.json(IDLE);
    for database in ["source.db", "target.db"] {
        assert_eq!(
            rows(&shop.path(database), "SELECT * FROM tags"),
            ["'a', 'blue'"]
        );
    }
    verified(&shop);
}

#[test]
fn mappings_that_cannot_work_are_told_apart() {
    for (source, target, table, wanted) in [
        (
            "id INTEGER PRIMARY KEY, a",
            "id INTEGER PRIMARY KEY, a, b NOT NULL",
            "",
            "is NOT NULL, has no default and gets no value",
        ),
        (
            "id TEXT PRIMARY KEY, a",
            "id TEXT PRIMARY KEY, a",
            "columns = { a = \"a\" }",
            "key column id is not mapped",
        ),
        (
            "id INTEGER PRIMARY KEY, a",
            "id INTEGER, a TEXT PRIMARY KEY",
            "",
            "is not the key of the target's table t",
        ),
        (
            "id INTEGER PRIMARY KEY, a",
            "id INTEGER PRIMARY KEY, a",
            "key = [\"nope\"]",
            "has no column nope",
        ),
        (
            "id INTEGER PRIMARY KEY, a",
            "id INTEGER PRIMARY KEY, b AS (id + 1)",
            "columns = { id = \"id\", zzz = \"a\" }",
            "has no column zzz",
        ),
    ] {
        let shop = Shop::of(
            &format!("CREATE TABLE t ({source})"),
            &format!("CREATE TABLE t ({target})"),
        );
        configure(
            &shop,
            &format!("[[migrations.shop.tables]]\nsource = \"t\"\n{table}\n"),
        );
        let before = shop.everything();
        for shown in [shop.run(&["check"]), shop.run(IDLE)] {
            assert_eq!(shown.code, 2, "{wanted}: {shown:?}");
            let told = format!("{}{}", shown.out, shown.errors);
            assert!(told.contains(wanted), "{wanted}: {told}");
        }
        assert_eq!(shop.everything(), before);
    }
}

/// A rule of each kind, for one table, with every limit set.
#[test]
fn components_scripts_and_strategies_decide_together() {
    let table = "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, loyalty_tier TEXT, \
                 last_login TEXT, note TEXT); CREATE TABLE stock (id INTEGER PRIMARY KEY, n INTEGER); \
                 CREATE TABLE logs (id INTEGER PRIMARY KEY, text TEXT)";
    let shop = Shop::of(table, table);
    std::fs::write(
        shop.path("logs.rhai"),
        "fn resolve(conflict) { if conflict.source.text > conflict.target.text { source } else { target } }\n\
         fn validate(row) { if row.text == \"bad\" { error(\"bad text\") } }\n",
    )
    .unwrap();
    let plugin = format!("{}/plugins/vip_merge.wasm", env!("CARGO_MANIFEST_DIR"));
    configure(
        &shop,
        &format!(
            "[[migrations.shop.tables]]\nsource = \"customers\"\non_conflict = \"vip\"\n\
             [[migrations.shop.tables]]\nsource = \"stock\"\non_conflict = \"count\"\n\
             [[migrations.shop.tables]]\nsource = \"logs\"\non_conflict = \"logs\"\n\
             [rules.vip]\nplugin = \"{plugin}\"\non_failure = \"source-wins\"\n\
             settings = {{ on_clash = \"source\" }}\n\
             limits = {{ memory_mb = 64, call_ms = 60000, fuel_base = 100000000, fuel_per_row = 1000000 }}\n\
             [rules.count]\nstrategy = \"add-deltas\"\nsettings = {{ columns = [\"n\"] }}\n\
             [rules.logs]\nscript = \"logs.rhai\"\non_failure = \"halt\"\n\
             limits = {{ call_ms = 60000 }}\n"
        ),
    );
    shop.write(
        "source.db",
        "INSERT INTO customers VALUES (1, 'a', 'gold', '2024-01-01', 'x'); \
         INSERT INTO stock VALUES (1, 10); INSERT INTO logs VALUES (1, 'm')",
    );
    let checked = shop.json(&["check"]);
    assert_eq!(checked["ok"], true, "{checked}");
    shop.json(IDLE);
    shop.write(
        "source.db",
        "UPDATE customers SET note = 's'; UPDATE stock SET n = n + 3; UPDATE logs SET text = 'p'",
    );
    shop.write(
        "target.db",
        "UPDATE customers SET last_login = '2025-01-01', note = 't'; UPDATE stock SET n = n - 1; \
         UPDATE logs SET text = 'z'",
    );
    let report = shop.json(IDLE);
    for table in report["tables"].as_array().unwrap() {
        assert_eq!(table["conflicts"], 1, "{report}");
        assert_eq!(table["parked"], 0, "{report}");
    }
    for database in ["source.db", "target.db"] {
        let path = shop.path(database);
        assert_eq!(
            rows(&path, "SELECT * FROM customers"),
            ["1, 'a', 'gold', '2025-01-01', 's'"]
        );
        assert_eq!(rows(&path, "SELECT * FROM stock"), ["1, 12"]);
        assert_eq!(rows(&path, "SELECT * FROM logs"), ["1, 'z'"]);
    }
    let who: Vec<_> = ask(&shop, &["conflict", "list"])
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{} {}", c["table"], c["rule"]))
        .collect();
    assert!(who.iter().any(|w| w.contains("vip")), "{who:?}");
    verified(&shop);
}

/// A rule that cannot work with the table it is given is found out before anything begins.
#[test]
fn settings_that_do_not_fit_the_table_are_refused_by_check() {
    let shop = Shop::new();
    let plugin = format!("{}/plugins/vip_merge.wasm", env!("CARGO_MANIFEST_DIR"));
    shop.configure(&format!(
        "{CONFIG}on_conflict = \"vip\"\n[rules.vip]\nplugin = \"{plugin}\"\n\
         settings = {{ tier_column = \"rank\", floor = \"gold\" }}\n"
    ));
    let shown = shop.run(&["check"]);
    assert_eq!(shown.code, 2, "{shown:?}");
    assert!(
        shown
            .out
            .contains("migrations.shop.tables[0].on_conflict: rule vip"),
        "{shown:?}"
    );
    assert!(shown.out.contains("rank"), "{shown:?}");
}

/// Of a table whose transform cannot be used, the names are looked up all the same.
#[test]
fn a_broken_transform_does_not_hide_other_mistakes() {
    let shop = Shop::new();
    std::fs::write(
        shop.path("shape.rhai"),
        "fn transform(row, direction) { row ",
    )
    .unwrap();
    shop.configure(&format!(
        "{}\ntarget = \"itmes\"\nsplit = [\"detials\"]\ntransform = \"shape\"\nvalidate = \"shape\"\n\
         [rules.shape]\nscript = \"shape.rhai\"\n",
        CONFIG.trim_end()
    ));
    let shown = shop.run(&["check"]);
    assert_eq!(shown.code, 2, "{shown:?}");
    for part in [
        "rules.shape: ",
        "there is no table itmes",
        "did you mean items?",
        "there is no table detials",
        "3 problems found",
    ] {
        assert!(
            format!("{}{}", shown.out, shown.errors).contains(part),
            "{part}: {shown:?}"
        );
    }
}

#[test]
fn a_rule_that_fails_and_shall_halt_ends_the_sync() {
    let shop = Shop::new();
    std::fs::write(
        shop.path("judge.rhai"),
        "fn resolve(conflict) { throw \"I do not know\" }\n",
    )
    .unwrap();
    shop.configure(&format!(
        "{CONFIG}on_conflict = \"judge\"\n[rules.judge]\nscript = \"judge.rhai\"\non_failure = \"halt\"\n"
    ));
    shop.json(IDLE);
    shop.write("source.db", "UPDATE items SET name = 's' WHERE id = 1");
    shop.write("target.db", "UPDATE items SET name = 't' WHERE id = 1");
    let shown = shop.run(IDLE);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.errors.contains("I do not know"), "{shown:?}");
    let status = shop.json(&["migration", "status", "shop"]);
    assert_eq!(status["phase"], "failed", "{status}");
    assert!(
        status["reason"].to_string().contains("I do not know"),
        "{status}"
    );
    // With another answer it goes on where it stood.
    std::fs::write(shop.path("judge.rhai"), "fn resolve(conflict) { source }\n").unwrap();
    let report = shop.json(IDLE);
    assert_eq!(report["tables"][0]["conflicts"], 1, "{report}");
    verified(&shop);
}
