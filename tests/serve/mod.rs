//! The host, from outside: it syncs what is begun, and proves both sides equal while they change.

mod honest;

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value as Json;

use crate::sim::{Chooser, Seed};
use crate::support::program::{Shop, wait_until};
use crate::support::sides::{Engine, Side, Sides};

const ROWS: usize = 500;

/// A host that runs, and what it said; killed at the end of the test.
struct Host {
    child: Child,
    said: Arc<Mutex<Vec<Json>>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Host {
    fn start(shop: &Shop, arguments: &[&str]) -> Self {
        let mut all = vec!["serve"];
        all.extend(arguments);
        all.extend(["--format", "json", "--quiet"]);
        let mut child = shop.start(&all);
        let said = Arc::new(Mutex::new(Vec::new()));
        let (out, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let event: Json = serde_json::from_str(&line).unwrap();
                heard.lock().unwrap().push(event);
            }
        });
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                eprintln!("host: {line}");
            }
        });
        Self { child, said }
    }

    fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }

    fn events(&self, migration: &str, event: &str) -> Vec<Json> {
        let said = self.said.lock().unwrap();
        let of = |e: &&Json| e["migration"] == migration && e["event"] == event;
        said.iter().filter(of).cloned().collect()
    }
}

fn send(process: u32, signal: &str) {
    let id = process.to_string();
    let sent = std::process::Command::new("kill")
        .args([signal, &id])
        .status();
    assert!(sent.unwrap().success());
}

fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_micros()).unwrap()
}

fn proof(shop: &Shop) -> Json {
    shop.json(&["migration", "status", "shop"])["proof"].clone()
}

/// Waits until everything that was committed before now is proven.
fn wait_until_proven(shop: &Shop) -> Json {
    let now = now_us();
    let mut last = Json::Null;
    wait_until("a proof", || {
        last = proof(shop);
        last["proven_us"].as_i64().is_some_and(|at| at > now)
    });
    last
}

fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, flag INTEGER)"
        }
        Engine::Postgres | Engine::Mysql => {
            "CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(40), price INT, flag INT)"
        }
    }
}

/// A migration `shop` of `items`, begun.
fn begun(sides: &Sides, mode: &str, on_conflict: &str) {
    for side in sides.both() {
        side.sql(schema(side.engine));
    }
    let rows: Vec<String> = (0..ROWS)
        .map(|i| format!("({i}, 'n{i}', {i}, 0)"))
        .collect();
    let insert = format!("INSERT INTO items VALUES {}", rows.join(", "));
    sides.source.sql(&insert);
    sides.shop.configure(&format!(
        "[stores.monolith]\nurl = \"{}\"\n[stores.service]\nurl = \"{}\"\n\
         [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\nmode = \"{mode}\"\n\
         on_conflict = \"{on_conflict}\"\n[[migrations.shop.tables]]\nsource = \"items\"\n\
         [migrations.shop.verification]\nbusy_percent_max = 100\n\
         alert_command = \"cat >> alerts; echo >> alerts\"\n",
        sides.source.url(),
        sides.target.url()
    ));
    sides.sync();
}

/// What changes is carried over and compared; a killed host proves nothing until everything was
/// compared once more.
fn what_changes_is_proven(sides: Sides) {
    begun(&sides, "two-way", "last-write-wins");
    let mut host = Host::start(&sides.shop, &[]);
    let base = wait_until_proven(&sides.shop);
    let base_us = base["base_us"].as_i64().unwrap();
    assert_eq!(base["rows_different"], 0);
    sides
        .source
        .sql("UPDATE items SET price = price + 1 WHERE id < 40");
    sides
        .target
        .sql("UPDATE items SET name = 'theirs' WHERE id >= 460");
    sides.source.sql("DELETE FROM items WHERE id = 100");
    sides
        .target
        .sql("INSERT INTO items VALUES (9000, 'new', 1, 1)");
    let proven = wait_until_proven(&sides.shop);
    assert!(proven["rows_compared"].as_u64().unwrap() >= 82, "{proven}");
    assert_eq!(proven["rows_different"], 0, "{proven}");
    assert_eq!(
        proven["base_us"].as_i64(),
        Some(base_us),
        "one comparison of everything is enough"
    );
    assert_eq!(host.events("shop", "swept").len(), 1);
    host.kill();
    let _host = Host::start(&sides.shop, &[]);
    let anew = wait_until_proven(&sides.shop);
    assert!(anew["base_us"].as_i64().unwrap() > base_us);
}

/// A conflict that waits for a person leaves two rows that differ: said until it is resolved.
fn a_row_that_differs_after_it_changed_is_named(sides: Sides) {
    begun(&sides, "one-way", "park");
    // Nobody reads the target's changes in a one-way migration.
    sides
        .target
        .sql("UPDATE items SET name = 'damaged' WHERE id IN (7, 8)");
    let host = Host::start(&sides.shop, &[]);
    wait_until("a comparison", || !host.events("shop", "swept").is_empty());
    let swept = &host.events("shop", "swept")[0]["report"];
    assert_eq!(swept["differences_total"], 2, "{swept}");
    sides.source.sql("UPDATE items SET price = -1 WHERE id = 7");
    wait_until("the difference", || {
        proof(&sides.shop)["rows_different"] == 1
    });
    let said = proof(&sides.shop);
    assert_eq!(said["differences"][0]["table"], "items", "{said}");
    assert_eq!(said["differences"][0]["kind"], "differs", "{said}");
    assert!(
        said["differences"][0]["key"]
            .as_str()
            .unwrap()
            .contains('7'),
        "{said}"
    );
    assert_eq!(
        said["proven_us"],
        Json::Null,
        "nothing is proven over differences"
    );
    let id = sides.waiting()[0]["id"].clone();
    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    let resolved = sides
        .shop
        .run(&["conflict", "resolve", &id, "--take", "source"]);
    assert_eq!(resolved.code, 0, "{resolved:?}");
    wait_until("no difference", || {
        proof(&sides.shop)["rows_different"] == 0
    });
    let told: Vec<u64> = host
        .events("shop", "proof")
        .iter()
        .map(|e| e["proof"]["rows_different"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [1, 0]);
    // The comparison of everything, and the row that changed.
    wait_until("two alerts", || alerts(&sides.shop).len() == 2);
    let alerts = alerts(&sides.shop);
    assert_eq!(alerts[0]["report"]["differences_total"], 2);
    assert_eq!(alerts[1]["proof"]["rows_different"], 1);
    assert_eq!(alerts[1]["migration"], "shop");
}

/// What was told to somebody.
fn alerts(shop: &Shop) -> Vec<Json> {
    let text = std::fs::read_to_string(shop.path("alerts")).unwrap_or_default();
    let lines = text.lines().map(serde_json::from_str);
    lines.map_while(Result::ok).collect()
}

/// Both sides are written all the time, rows flip between two values, the host stands still now and
/// then: no row is ever said to differ.
fn no_false_alarm(sides: Sides) {
    begun(&sides, "two-way", "last-write-wins");
    let host = Host::start(&sides.shop, &[]);
    wait_until_proven(&sides.shop);
    let write = |side: &Side, own: usize| {
        let mut session = side.session();
        let mut seed = Seed::new(own as u64);
        for _ in 0..1_500 {
            let both = seed.choose(20) == 0;
            let id = seed.choose(20) * 2 + if both { 0 } else { own };
            let sql = format!("UPDATE items SET flag = 1 - flag WHERE id = {id}");
            session.transact(side.engine.begin(), |session| {
                session.execute(&sql).map(drop)
            });
            std::thread::sleep(Duration::from_millis(seed.choose(10) as u64));
        }
    };
    std::thread::scope(|scope| {
        let writers = [
            scope.spawn(|| write(&sides.source, 0)),
            scope.spawn(|| write(&sides.target, 1)),
        ];
        let mut seed = Seed::new(77);
        while writers.iter().any(|w| !w.is_finished()) {
            std::thread::sleep(Duration::from_millis(seed.choose(400) as u64));
            if seed.choose(4) == 0 {
                host.signal("-STOP");
                std::thread::sleep(Duration::from_millis(seed.choose(2_000) as u64));
                host.signal("-CONT");
            }
        }
    });
    let proven = wait_until_proven(&sides.shop);
    assert_eq!(host.events("shop", "proof"), Vec::<Json>::new());
    assert_eq!(
        (&proven["rows_different"], &proven["rows_in_flight"]),
        (&0.into(), &0.into())
    );
    assert!(proven["rows_compared"].as_u64().unwrap() > 100, "{proven}");
    drop(host);
    sides.assert_verified();
}

macro_rules! pairs {
    ($($name:ident: $source:ident, $target:ident;)*) => {$(
        mod $name {
            use crate::support::sides::{Engine, Sides};

            #[test]
            fn what_changes_is_proven() {
                super::what_changes_is_proven(Sides::new(Engine::$source, Engine::$target));
            }

            #[test]
            fn a_row_that_differs_after_it_changed_is_named() {
                super::a_row_that_differs_after_it_changed_is_named(Sides::new(
                    Engine::$source,
                    Engine::$target,
                ));
            }

            #[test]
            fn no_false_alarm() {
                super::no_false_alarm(Sides::new(Engine::$source, Engine::$target));
            }
        }
    )*};
}

pairs! {
    postgres_to_postgres: Postgres, Postgres;
    postgres_to_mysql: Postgres, Mysql;
    mysql_to_sqlite: Mysql, Sqlite;
    sqlite_to_sqlite: Sqlite, Sqlite;
}

/// What is not begun is left alone; what is paused goes on when it may; one whose store is away holds
/// up no other.
#[test]
fn each_migration_is_attended_to_on_its_own() {
    let shop = Shop::of("", "");
    shop.write(
        "source.db",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, v TEXT)",
    );
    shop.write(
        "source.db",
        "CREATE TABLE b (id INTEGER PRIMARY KEY, v TEXT)",
    );
    shop.write(
        "source.db",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, v TEXT)",
    );
    for table in ["a", "b", "c"] {
        let create = format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, v TEXT)");
        shop.write("target.db", &create);
        shop.write(
            "source.db",
            &format!("INSERT INTO {table} VALUES (1, 'one')"),
        );
    }
    let migration = |name: &str| {
        format!(
            "[migrations.{name}]\nsource = \"monolith\"\ntarget = \"service\"\n\
             [[migrations.{name}.tables]]\nsource = \"{name}\"\n"
        )
    };
    shop.configure(&format!(
        "[stores.monolith]\nurl = \"sqlite:source.db\"\n[stores.service]\nurl = \"sqlite:target.db\"\n{}{}{}",
        migration("a"),
        migration("b"),
        migration("c")
    ));
    for name in ["a", "b"] {
        assert_eq!(shop.run(&["migration", "start", name]).code, 0);
    }
    assert_eq!(shop.run(&["migration", "pause", "b"]).code, 0);
    let mut host = Host::start(&shop, &[]);
    for table in ["a", "b", "c"] {
        shop.write(
            "source.db",
            &format!("INSERT INTO {table} VALUES (2, 'two')"),
        );
    }
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        crate::support::program::rows(&shop.path("target.db"), &sql)[0].clone()
    };
    wait_until("what is begun goes on", || count("a") == "2");
    assert_eq!((count("b"), count("c")), ("1".to_owned(), "0".to_owned()));
    assert_eq!(shop.run(&["migration", "resume", "b"]).code, 0);
    wait_until("what was paused goes on", || count("b") == "2");
    assert_eq!(shop.run(&["migration", "pause", "a"]).code, 0);
    wait_until("the pause", || !host.events("a", "ended").is_empty());
    assert_eq!(host.events("a", "ended")[0]["error"], Json::Null);
    assert_eq!(
        (count("c"), host.events("c", "begun").len()),
        ("0".to_owned(), 0)
    );
    host.signal("-TERM");
    assert_eq!(host.child.wait().unwrap().code(), Some(0));
}

#[test]
fn names_that_are_none_are_refused() {
    let shop = Shop::new();
    let shown = shop.run(&["serve", "shopp"]);
    assert_eq!(shown.code, 2, "{shown:?}");
    assert!(shown.errors.contains("did you mean \"shop\""), "{shown:?}");
}

#[test]
fn a_url_that_nothing_can_be_posted_to_is_refused() {
    let shop = Shop::new();
    let config = std::fs::read_to_string(shop.path("banyan.toml")).unwrap();
    let wrong = "[migrations.shop.verification]\nalert_url = \"ftp://me:secret@example.com\"\n";
    shop.configure(&format!("{config}\n{wrong}"));
    for verb in ["serve", "check"] {
        let shown = shop.run(&[verb]);
        let text = format!("{}{}", shown.out, shown.errors);
        assert_eq!(shown.code, 2, "{shown:?}");
        assert!(
            text.contains("migrations.shop.verification.alert_url"),
            "{shown:?}"
        );
        assert!(!text.contains("secret"), "{shown:?}");
    }
}
