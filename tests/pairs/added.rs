//! Columns that a side gets while the migration runs, with `added_columns = "carry"`.

use std::process::{Child, Command};

use crate::support::program::{Shown, wait_until};
use crate::support::sides::{Engine, Side, Sides};

use super::schema::{CONFIG, assert_equal, seed, shop};

fn carrying(sides: Sides) -> Sides {
    let sides = shop(sides);
    sides.configure(&format!("added_columns = \"carry\"\n{CONFIG}"));
    let seeds = seed(sides.source.engine);
    sides
        .source
        .transaction(&seeds.iter().map(String::as_str).collect::<Vec<_>>());
    sides.sync();
    sides
}

/// `ALTER TABLE … ADD COLUMN`, of a text.
fn add(side: &Side, table: &str, column: &str) {
    let text = match side.engine {
        Engine::Mysql => "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        Engine::Sqlite | Engine::Postgres => "TEXT",
    };
    side.sql(&format!("ALTER TABLE {table} ADD COLUMN {column} {text}"));
}

/// The values of a column that is perhaps not there yet.
fn held(side: &Side, table: &str, key: &str, column: &str) -> Vec<String> {
    let sql = format!("SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL");
    let found = side.session().rows(&sql).unwrap_or_default();
    let mut found: Vec<String> = found
        .into_iter()
        .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" "))
        .collect();
    found.sort();
    found
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn stop(sides: &Sides, child: Child) {
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let shown = Shown::new(&child.wait_with_output().unwrap(), sides.shop.folder());
    assert_eq!(shown.code, 0, "{shown:?}");
}

pub(super) fn check(sides: Sides) {
    let sides = carrying(sides);
    let (a, b) = (&sides.source, &sides.target);

    let child = sides.shop.start(&["sync", "shop"]);
    a.sql("UPDATE items SET stars = 70 WHERE id = 9");
    wait_until("it follows", || {
        !b.rows("SELECT id FROM items WHERE stars = 70").is_empty()
    });
    add(a, "items", "colour");
    a.sql("UPDATE items SET stars = 71, colour = 'red' WHERE id = 1");
    a.sql("UPDATE items SET stars = 72 WHERE id = 2");
    a.sql("INSERT INTO items (id, name, stars, colour) VALUES (600, 'new', 1, 'blue')");
    a.sql("DELETE FROM items WHERE id = 3");
    wait_until("the service has the column", || {
        held(b, "items", "id", "colour") == ["1 red", "600 blue"]
    });
    // And the way back.
    b.sql("UPDATE items SET colour = 'green' WHERE id = 2");
    wait_until("the new column comes back", || {
        held(a, "items", "id", "colour") == ["1 red", "2 green", "600 blue"]
    });
    add(b, "tags", "place");
    b.sql("UPDATE tags SET weight = 70, place = 'here' WHERE code = 'tag/3'");
    wait_until("the monolith has the column", || {
        held(a, "tags", "code", "place") == ["tag/3 here"]
    });
    stop(&sides, child);
    let report = sides.sync();
    for table in report["tables"].as_array().unwrap() {
        assert_eq!(table["conflicts"], 0, "{report}");
    }
    assert_equal(&sides);
    sides.assert_still();

    // While nobody looks, with changes that wait on both sides from before and after it.
    a.sql("UPDATE parents SET v = 5 WHERE id = 1");
    b.sql("UPDATE parents SET v = 6 WHERE id = 2");
    add(a, "parents", "note");
    a.sql("UPDATE parents SET v = 7, note = 'x' WHERE id = 3");
    a.sql("UPDATE parents SET v = 8 WHERE id = 1");
    b.sql("UPDATE parents SET v = 9 WHERE id = 4");
    let report = sides.sync();
    for table in report["tables"].as_array().unwrap() {
        assert_eq!(table["conflicts"], 0, "{report}");
    }
    assert_eq!(held(b, "parents", "id", "note"), ["3 x"]);
    let values = "SELECT id, v FROM parents WHERE v <> 0";
    assert_eq!(
        b.rows(values),
        [r#""1", "8""#, r#""2", "6""#, r#""3", "7""#, r#""4", "9""#]
    );
    assert_equal(&sides);
    sides.assert_verified();
    sides.assert_still();
}

/// Values that no log tells of are looked for, and what was missed for another reason stays missed.
#[test]
fn what_no_log_tells_of_is_not_forgotten() {
    let sides = carrying(Sides::new(Engine::Postgres, Engine::Postgres));
    let (a, b) = (&sides.source, &sides.target);
    // Filled as it is added: the rows that are there hold something that nobody wrote.
    a.sql("ALTER TABLE tags ADD COLUMN filled TEXT DEFAULT 'x'");
    a.sql("ALTER TABLE tags ALTER COLUMN filled DROP DEFAULT");
    a.sql("UPDATE tags SET filled = 'y' WHERE code = 'tag/3'");
    b.sql("UPDATE tags SET weight = 90 WHERE code = 'tag/4'");
    sides.sync();
    let kinds = "SELECT filled, count(*) FROM tags GROUP BY filled";
    assert_eq!(b.rows(kinds), [r#""x", "19""#, r#""y", "1""#]);
    let weight = "SELECT weight FROM tags WHERE code = 'tag/4'";
    assert_eq!(a.rows(weight), [r#""90""#]);
    assert_equal(&sides);

    // Rows that a TRUNCATE took are still unknown when a column comes.
    a.sql("TRUNCATE counters");
    let idle = ["sync", "shop", "--until-idle"];
    let shown = sides.shop.run(&idle);
    assert!(shown.errors.contains("truncated"), "{shown:?}");
    add(a, "counters", "later");
    a.sql("INSERT INTO counters (id, n, m) VALUES (1, 5, 5)");
    for _ in 0..2 {
        let shown = sides.shop.run(&idle);
        assert_eq!(shown.code, 1, "{shown:?}");
        let status = sides.shop.json(&["migration", "status", "shop"]);
        assert_eq!(status["paused_tables"][0]["table"], "counters", "{status}");
        let reason = status["paused_tables"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("truncated"), "{status}");
    }

    // A column that the service has dropped is not given back to it.
    b.sql("ALTER TABLE wide DROP COLUMN note");
    let shown = sides.shop.run(&idle);
    assert_eq!(shown.code, 2, "{shown:?}");
    assert!(
        shown.errors.contains("column note has no counterpart"),
        "{shown:?}"
    );
}

/// The other side need not be given the column: somebody has done so.
#[test]
fn a_column_that_both_sides_get_is_carried_at_once() {
    for (source, target) in [
        (Engine::Postgres, Engine::Mysql),
        (Engine::Mysql, Engine::Postgres),
    ] {
        let sides = carrying(Sides::new(source, target));
        let (a, b) = (&sides.source, &sides.target);
        let child = sides.shop.start(&["sync", "shop"]);
        a.sql("UPDATE items SET stars = 70 WHERE id = 9");
        wait_until("it follows", || {
            !b.rows("SELECT id FROM items WHERE stars = 70").is_empty()
        });
        // PostgreSQL's log tells of it with the next change only: in this order nobody is given the column
        // meanwhile.
        let (first, second) = match source {
            Engine::Postgres => (a, b),
            _ => (b, a),
        };
        add(first, "items", "colour");
        add(second, "items", "colour");
        a.sql("UPDATE items SET stars = 71, colour = 'red' WHERE id = 1");
        wait_until("the new column is carried", || {
            held(b, "items", "id", "colour") == ["1 red"]
        });
        b.sql("UPDATE items SET colour = 'green' WHERE id = 2");
        wait_until("and comes back", || {
            held(a, "items", "id", "colour") == ["1 red", "2 green"]
        });
        stop(&sides, child);
        let report = sides.sync();
        for table in report["tables"].as_array().unwrap() {
            assert_eq!(table["conflicts"], 0, "{report}");
        }
        assert_equal(&sides);
        sides.assert_verified();
        sides.assert_still();
    }
}

/// A backlog from before several columns came, and one more comes between the look at the table and the
/// reading.
#[test]
fn a_backlog_is_read_over_columns_that_go_on_coming() {
    let sides = carrying(Sides::new(Engine::Mysql, Engine::Postgres));
    let (a, b) = (&sides.source, &sides.target);
    a.sql("UPDATE items SET stars = 70 WHERE id = 1");
    add(a, "items", "colour");
    a.sql("UPDATE items SET stars = 71, colour = 'red' WHERE id = 2");
    add(a, "items", "shade");
    a.sql("UPDATE items SET stars = 72, shade = 'dark' WHERE id = 3");
    let mut holder = a.session();
    holder.execute(a.engine.begin()).unwrap();
    let hold = "SELECT epoch FROM `_banyan_shop$log` FOR UPDATE";
    assert!(!holder.rows(hold).unwrap().is_empty());
    let child = sides.shop.start(&["sync", "shop"]);
    let mut admin = a.database().admin();
    let waits = "SELECT id FROM information_schema.PROCESSLIST \
                 WHERE db = DATABASE() AND info LIKE 'UPDATE%$log%'";
    wait_until("it waits", || !admin.rows(waits).unwrap().is_empty());
    add(a, "items", "size");
    a.sql("UPDATE items SET stars = 73, size = 'big' WHERE id = 4");
    holder.execute("ROLLBACK").unwrap();
    wait_until("all of it is carried", || {
        held(b, "items", "id", "size") == ["4 big"]
    });
    stop(&sides, child);
    let report = sides.sync();
    assert_eq!(report["tables"][0]["conflicts"], 0, "{report}");
    assert_eq!(held(b, "items", "id", "colour"), ["2 red"]);
    assert_eq!(held(b, "items", "id", "shade"), ["3 dark"]);
    let stars = "SELECT id, stars FROM items WHERE stars >= 70 ORDER BY id";
    assert_eq!(b.rows(stars).len(), 4);
    assert_equal(&sides);
    sides.assert_verified();
    sides.assert_still();
}

/// That a column was added is written down, but the process is killed before it has taken that in; when it
/// is read, both sides have the column long since.
fn check_read_late(sides: Sides) {
    let sides = carrying(sides);
    let (a, b) = (&sides.source, &sides.target);
    let [tables, outbox] = ["tables", "outbox"].map(|own| match a.engine {
        Engine::Postgres => format!("\"_banyan_shop\".\"{own}\""),
        _ => format!("`_banyan_shop${own}`"),
    });
    for (column, until_idle) in [("colour", true), ("shade", false)] {
        let child = sides.shop.start(&["sync", "shop", "--quiet"]);
        a.sql("UPDATE items SET stars = stars + 70 WHERE id = 9");
        wait_until("it follows", || {
            let of = "SELECT stars FROM items WHERE id = 9";
            a.rows(of) == b.rows(of)
        });
        let mut holder = a.session();
        holder.execute(a.engine.begin()).unwrap();
        let hold = format!("SELECT name FROM {tables} FOR UPDATE");
        assert!(!holder.rows(&hold).unwrap().is_empty());
        add(a, "items", column);
        a.sql(&format!("UPDATE items SET {column} = 'red' WHERE id = 1"));
        let said = format!("SELECT note FROM {outbox} WHERE note LIKE '%{column} was added%'");
        wait_until("it is written down", || !a.rows(&said).is_empty());
        kill(child);
        holder.execute("ROLLBACK").unwrap();
        add(b, "items", column);
        b.sql(&format!("UPDATE items SET {column} = 'green' WHERE id = 2"));
        a.sql(&format!("UPDATE items SET {column} = 'blue' WHERE id = 3"));

        let all = ["1 red", "2 green", "3 blue"];
        if !until_idle {
            let child = sides.shop.start(&["sync", "shop", "--quiet"]);
            for side in sides.both() {
                wait_until("it goes on", || held(side, "items", "id", column) == all);
            }
            stop(&sides, child);
        }
        let report = sides.sync();
        assert_eq!(report["paused"], serde_json::json!([]), "{report}");
        for side in sides.both() {
            assert_eq!(held(side, "items", "id", column), all);
        }
        assert_equal(&sides);
        sides.assert_verified();
        sides.assert_still();
    }
}

#[test]
fn an_addition_that_is_read_late_holds_nothing_up() {
    let pairs = [
        (Engine::Postgres, Engine::Mysql),
        (Engine::Mysql, Engine::Postgres),
    ];
    let sides = pairs.map(|(source, target)| Sides::by_triggers(source, target));
    sides.into_iter().flatten().for_each(check_read_late);
}
