//! What the proof must not claim, and whom it must not wake.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value as Json;

use super::{Host, begun, now_us, proof, send, wait_until_proven};
use crate::support::net::{Mode, Proxy};
use crate::support::program::{Shop, wait_until};
use crate::support::sides::{Engine, Sides};

fn swept(host: &Host, times: usize) -> Json {
    wait_until("a comparison", || {
        host.events("shop", "swept").len() >= times
    });
    host.events("shop", "swept")[times - 1]["report"].clone()
}

/// A two-way migration `shop` of `tables` between two SQLite files, begun.
fn files(schema: [&str; 2], rest: &str) -> Shop {
    let shop = Shop::of(schema[0], schema[1]);
    shop.configure(&format!(
        "[stores.monolith]\nurl = \"sqlite:source.db\"\n[stores.service]\nurl = \"sqlite:target.db\"\n\
         [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\nmode = \"two-way\"\n{rest}\n\
         [migrations.shop.verification]\nbusy_percent_max = 100\n"
    ));
    shop
}

/// Both sides write a row of which the other one knows nothing yet: nothing can be written to the target
/// before its own change is there.
fn clash(shop: &Shop, id: u8) {
    let target = crate::support::app(&shop.path("target.db"));
    let theirs = format!("BEGIN IMMEDIATE; UPDATE items SET name = 'theirs' WHERE id = {id}");
    target.execute_batch(&theirs).unwrap();
    let ours = format!("UPDATE items SET name = 'ours' WHERE id = {id}");
    shop.write("source.db", &ours);
    target.execute_batch("COMMIT").unwrap();
}

/// Two rows on both sides, whose conflicts wait for a person.
fn two_rows() -> Shop {
    let table = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL)";
    let shop = files(
        [table, table],
        "[[migrations.shop.tables]]\nsource = \"items\"",
    );
    shop.write("source.db", "INSERT INTO items VALUES (1, 'a'), (2, 'b')");
    assert_eq!(shop.run(&["sync", "shop", "--until-idle"]).code, 0);
    shop
}

/// What was missed cannot be compared: nothing is proven over a truncated table.
#[test]
fn nothing_is_proven_while_a_table_is_paused() {
    let sides = Sides::new(Engine::Postgres, Engine::Postgres);
    begun(&sides, "two-way", "last-write-wins");
    let _host = Host::start(&sides.shop, &[]);
    wait_until_proven(&sides.shop);
    sides.source.sql("TRUNCATE items");
    wait_until("the pause", || {
        proof(&sides.shop)["reason"]
            .as_str()
            .is_some_and(|why| why.contains("table items is paused"))
    });
    let now = now_us();
    std::thread::sleep(Duration::from_secs(4));
    let after = proof(&sides.shop);
    assert!(
        after["proven_us"].as_i64().is_none_or(|at| at < now),
        "{after}"
    );
}

/// A row that waited for another one before the host began is known to it.
#[test]
fn a_conflict_from_before_is_in_the_proof() {
    let table = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL";
    let [source, target] = [format!("{table})"), format!("{table} UNIQUE)")];
    let shop = files(
        [&source, &target],
        "on_conflict = \"last-write-wins\"\n[[migrations.shop.tables]]\nsource = \"items\"",
    );
    shop.write("source.db", "INSERT INTO items VALUES (1, 'a'), (2, 'b')");
    assert_eq!(shop.run(&["sync", "shop", "--until-idle"]).code, 0);
    shop.write("source.db", "UPDATE items SET name = 'a' WHERE id = 2");
    assert_eq!(shop.run(&["sync", "shop", "--until-idle"]).code, 1);
    let host = Host::start(&shop, &[]);
    let with = wait_until_proven(&shop);
    assert_eq!(with["rows_in_flight"], 1, "{with}");
    shop.write("source.db", "UPDATE items SET name = 'c' WHERE id = 2");
    wait_until("its end", || {
        let now = proof(&shop);
        now["rows_in_flight"] == 0 && now["proven_us"].is_i64()
    });
    assert_eq!(host.events("shop", "proof"), Vec::<Json>::new());
}

/// What the new rule makes of rows is the truth from then on; and what it would have made of the others
/// is found.
#[test]
fn a_rule_that_is_edited_ends_what_was_proven() {
    let table = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL)";
    let shop = files(
        [table, table],
        "on_conflict = \"source-wins\"\n[[migrations.shop.tables]]\nsource = \"items\"\n\
         transform = \"loud\"\n\
         [rules.loud]\nscript = \"loud.rhai\"",
    );
    let rule = |sign: &str| {
        let text = format!(
            "fn transform(row, direction) {{\n    if direction == \"forward\" {{ return \
             #{{ id: row.id, name: row.name + \"{sign}\" }}; }}\n    let name = row.name;\n    \
             name.replace(\"{sign}\", \"\");\n    #{{ id: row.id, name: name }}\n}}\n"
        );
        std::fs::write(shop.path("loud.rhai"), text).unwrap();
    };
    rule("!");
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    );
    assert_eq!(shop.run(&["sync", "shop", "--until-idle"]).code, 0);
    let host = Host::start(&shop, &[]);
    wait_until_proven(&shop);
    std::thread::sleep(Duration::from_millis(20));
    rule("?");
    let report = swept(&host, 2);
    assert_eq!(report["differences_total"], 3, "{report}");
    shop.write("source.db", "UPDATE items SET name = 'z' WHERE id = 1");
    wait_until("the change", || {
        crate::support::program::rows(
            &shop.path("target.db"),
            "SELECT name FROM items WHERE id = 1",
        ) == ["'z?'"]
    });
    std::thread::sleep(Duration::from_secs(4));
    let now = proof(&shop);
    assert_eq!(now["rows_different"], 0, "{now}");
    assert_eq!(now["proven_us"], Json::Null, "{now}");
}

/// A row of the source that goes for the sake of one of its parts leaves the others behind.
#[test]
fn the_other_parts_of_a_split_row_are_compared() {
    let shop = files(
        [
            "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, street TEXT)",
            "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
             CREATE TABLE addresses (id INTEGER PRIMARY KEY, street TEXT NOT NULL)",
        ],
        "[[migrations.shop.tables]]\nsource = \"items\"\ntransform = \"parts\"\n\
         split = [\"addresses\"]\n[rules.parts]\nscript = \"parts.rhai\"",
    );
    let rule = "fn transform(row, direction) {
        if direction == \"forward\" {
            let address = ();
            if row.street != () { address = #{ id: row.id, street: row.street }; }
            return #{ items: #{ id: row.id, name: row.name }, addresses: address };
        }
        if row.table() == \"items\" { return #{ id: row.id, name: row.name }; }
        #{ id: row.id, street: row.street }
    }\n";
    std::fs::write(shop.path("parts.rhai"), rule).unwrap();
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (1, 'a', 'here'), (2, 'b', 'there')",
    );
    assert_eq!(shop.run(&["sync", "shop", "--until-idle"]).code, 0);
    let _host = Host::start(&shop, &[]);
    wait_until_proven(&shop);
    shop.write("target.db", "DELETE FROM items WHERE id = 1");
    wait_until("the part that is left", || {
        proof(&shop)["rows_different"] == 1
    });
    let now = proof(&shop);
    assert_eq!(now["differences"][0]["table"], "addresses", "{now}");
    assert_eq!(now["differences"][0]["kind"], "extra_on_target", "{now}");
}

/// While tables are copied once more rows differ until their chunk comes: that wakes nobody.
#[test]
fn a_copy_that_is_begun_once_more_is_no_alarm() {
    let table = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL)";
    let shop = files(
        [table, table],
        "on_conflict = \"last-write-wins\"\ncopy_rows_per_s_max = 10000\nchunk_rows = 500\n\
         [[migrations.shop.tables]]\nsource = \"items\"",
    );
    shop.write(
        "source.db",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
         INSERT INTO items SELECT i, 'n' || i FROM n",
    );
    assert_eq!(shop.run(&["sync", "shop", "--until-idle"]).code, 0);
    let triggers = crate::support::program::rows(
        &shop.path("source.db"),
        "SELECT name FROM sqlite_schema WHERE type = 'trigger'",
    );
    let trigger = triggers[0].trim_matches('\'').to_owned();
    shop.write("source.db", &format!("DROP TRIGGER \"{trigger}\""));
    assert_ne!(shop.run(&["sync", "shop", "--until-idle"]).code, 0);
    assert_eq!(shop.run(&["migration", "resume", "shop"]).code, 0);
    let host = Host::start(&shop, &[]);
    let copied = || shop.json(&["migration", "status", "shop"])["rows_copied"].as_u64();
    wait_until("a part of the copy", || {
        copied().is_some_and(|rows| (1_000..59_000).contains(&rows))
    });
    shop.write(
        "source.db",
        "UPDATE items SET name = 'last' WHERE id = 60000",
    );
    shop.write(
        "target.db",
        "UPDATE items SET name = 'also' WHERE id = 59999",
    );
    wait_until_proven(&shop);
    assert_eq!(host.events("shop", "proof"), Vec::<Json>::new());
    let swept = host.events("shop", "swept");
    let differences = swept
        .iter()
        .map(|e| e["report"]["differences_total"].as_u64());
    assert!(differences.clone().all(|n| n == Some(0)), "{swept:?}");
}

/// A table whose schema changed ends nothing, and is named.
#[test]
fn a_changed_table_does_not_end_the_proof() {
    let sides = Sides::new(Engine::Postgres, Engine::Postgres);
    begun(&sides, "two-way", "last-write-wins");
    let host = Host::start(&sides.shop, &[]);
    wait_until_proven(&sides.shop);
    sides.source.sql("ALTER TABLE items DROP COLUMN flag");
    sides.source.sql("UPDATE items SET price = 0 WHERE id < 10");
    wait_until("a reason", || proof(&sides.shop)["reason"].is_string());
    let now = now_us();
    std::thread::sleep(Duration::from_secs(3));
    let after = proof(&sides.shop);
    assert!(after["reason"].is_string(), "{after}");
    assert!(
        after["proven_us"].as_i64().is_none_or(|at| at < now),
        "{after}"
    );
    drop(host);
}

/// Nobody reads what it says: it goes on. At the end the exit code says that something differs.
#[test]
fn a_reader_that_has_gone_stops_nothing() {
    let shop = two_rows();
    let mut child = shop.start(&["serve", "--quiet"]);
    {
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "shop: syncing\n");
    }
    wait_until_proven(&shop);
    clash(&shop, 1);
    wait_until("a difference", || proof(&shop)["rows_different"] == 1);
    send(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let last = proof(&shop);
    assert!(
        last["reason"].as_str().unwrap().contains("does not sync"),
        "{last}"
    );
}

/// A row that is changed again and again while it differs is told once, another one again.
#[test]
fn each_growth_is_told_and_nothing_twice() {
    let shop = two_rows();
    let host = Host::start(&shop, &[]);
    wait_until_proven(&shop);
    clash(&shop, 1);
    wait_until("a difference", || proof(&shop)["rows_different"] == 1);
    for i in 0..4 {
        shop.write(
            "source.db",
            &format!("UPDATE items SET name = 'again{i}' WHERE id = 1"),
        );
        std::thread::sleep(Duration::from_millis(1_200));
    }
    clash(&shop, 2);
    wait_until("two", || proof(&shop)["rows_different"] == 2);
    wait_until("the news", || host.events("shop", "proof").len() >= 2);
    let told: Vec<u64> = host
        .events("shop", "proof")
        .iter()
        .map(|e| e["proof"]["rows_different"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [1, 2]);
    // The base stays: of all other rows everything is known.
    assert!(proof(&shop)["proven_us"].is_i64());
}

/// A database that is away for a moment is no reason to wake anybody; one that stays away is, once.
#[test]
fn a_store_that_is_away_is_told_once() {
    let sides = Sides::new(Engine::Postgres, Engine::Sqlite);
    begun(&sides, "two-way", "last-write-wins");
    let proxy = Proxy::new(sides.source.database().address());
    let by_proxy = sides.source.database().url_by(proxy.port());
    let path = sides.shop.path("banyan.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    assert!(config.contains(&sides.source.url()));
    let config = config.replace(&sides.source.url(), &by_proxy);
    std::fs::write(&path, config).unwrap();
    let alerts = || {
        let told = std::fs::read_to_string(sides.shop.path("alerts")).unwrap_or_default();
        told.lines().map(str::to_owned).collect::<Vec<_>>()
    };

    proxy.set(Mode::Refuse);
    let mut host = Host::start(&sides.shop, &[]);
    wait_until("an end", || !host.events("shop", "ended").is_empty());
    proxy.set(Mode::Forward);
    wait_until_proven(&sides.shop);
    assert_eq!(alerts().len(), 0, "{:?}", alerts());
    host.kill();

    proxy.set(Mode::Refuse);
    let host = Host::start(&sides.shop, &[]);
    wait_until("five ends", || host.events("shop", "ended").len() >= 5);
    let told = alerts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("\"ended\""), "{told:?}");
}
