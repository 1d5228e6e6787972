//! Copy, follow both ways, conflicts decided by strategies and a rule: both sides are equal in the
//! end, and nothing is echoed.

use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::program::{Shown, wait_until};
use crate::support::sides::Sides;

use super::schema::{TABLES, WIDE, Wide, assert_equal, content, seed, shop};

fn counted(report: &Json, table: &str, counter: &str) -> u64 {
    let tables = report["tables"].as_array().unwrap();
    let found = tables.iter().find(|t| t["table"] == table);
    found
        .and_then(|t| t[counter].as_u64())
        .unwrap_or_else(|| panic!("{table}: {report}"))
}

pub(super) fn check(sides: Sides) {
    let sides = shop(sides);
    let seeds = seed(sides.source.engine);
    sides
        .source
        .transaction(&seeds.iter().map(String::as_str).collect::<Vec<_>>());
    sides
        .target
        .sql("INSERT INTO items VALUES (9001, 'only the service has it', 1)");
    let checked = sides.shop.json(&["check"]);
    assert_eq!(checked["ok"], true, "{checked}");

    let report = sides.sync();
    // The service's own row goes the other way.
    assert_eq!(counted(&report, "items", "copied"), 201, "{report}");
    assert_eq!(
        counted(&report, "wide", "copied"),
        WIDE.len() as u64 + 1,
        "{report}"
    );
    assert_equal(&sides);
    assert_eq!(content(&sides.source, "items").len(), 201);
    sides.assert_verified();
    sides.assert_still();

    ordinary_writes(&sides);
    conflicts(&sides);
    while_it_runs(&sides);
    sides.assert_verified();
    sides.assert_still();
    assert_equal(&sides);
}

/// What only one side writes arrives at the other, and is no conflict.
fn ordinary_writes(sides: &Sides) {
    let (a, b) = (&sides.source, &sides.target);
    a.transaction(&[
        "UPDATE items SET stars = 50 WHERE id = 1",
        "UPDATE items SET name = 'twice', stars = NULL WHERE id = 1",
        "DELETE FROM items WHERE id BETWEEN 10 AND 19",
        "INSERT INTO items VALUES (301, 'came and went', 0)",
        "DELETE FROM items WHERE id = 301",
        "UPDATE items SET id = 302 WHERE id = 20",
    ]);
    a.sql("UPDATE tags SET code = 'tag/renamed' WHERE code = 'tag/3'");
    a.sql("UPDATE basket_lines SET quantity = quantity + 1 WHERE basket = 2");
    a.transaction(&[
        "INSERT INTO parents VALUES (100, 'parent 100', 1)",
        "INSERT INTO children VALUES (100, 100, 1), (101, 100, 1)",
    ]);
    b.transaction(&[
        "INSERT INTO parents VALUES (200, 'parent 200', 2)",
        "INSERT INTO children VALUES (200, 200, 2), (201, 1, 2)",
        "DELETE FROM children WHERE id = 5",
    ]);
    b.sql("DELETE FROM basket_lines WHERE basket = 3 AND line = 1");
    b.sql("UPDATE basket_lines SET line = 77 WHERE basket = 4 AND line = 0");
    b.sql("UPDATE items SET stars = id WHERE id BETWEEN 100 AND 180");
    b.sql("INSERT INTO tags VALUES ('TAG of the service', NULL, -1), ('', 'an empty key', 0)");
    for (side, row) in [(a, WIDE[2]), (b, WIDE[3])] {
        let from = if side.engine == a.engine { 20 } else { 30 };
        let row = Wide {
            id: row.id + from,
            ..row
        };
        side.sql(&row.insert(side.engine));
    }
    // Cells that are long and untouched stay as they are.
    a.sql("UPDATE wide SET amount = '8.80' WHERE id = 7");
    b.sql("UPDATE wide SET title = NULL, ratio = 7.5 WHERE id = 2");
    let report = sides.sync();
    for table in TABLES {
        assert_eq!(counted(&report, table, "conflicts"), 0, "{table}: {report}");
        assert_eq!(counted(&report, table, "copied"), 0, "{table}: {report}");
    }
    assert!(
        counted(&report, "items", "applied_to_source") >= 81,
        "{report}"
    );
    assert!(
        counted(&report, "items", "applied_to_target") >= 11,
        "{report}"
    );
    assert_equal(sides);
    assert_eq!(
        a.rows("SELECT name FROM items WHERE id = 302"),
        ["\"item 20\""]
    );
    assert_eq!(
        a.rows("SELECT id FROM items WHERE id IN (10, 20, 301)"),
        Vec::<String>::new()
    );
    sides.assert_still();
}

/// What both sides changed is decided, the same for both.
fn conflicts(sides: &Sides) {
    let (a, b) = (&sides.source, &sides.target);
    a.sql("UPDATE items SET name = 'earlier' WHERE id = 2");
    b.sql("UPDATE items SET name = 'earlier' WHERE id = 3");
    a.sql("INSERT INTO items VALUES (400, 'earlier', 1)");
    // Commit times may be those of milliseconds.
    std::thread::sleep(Duration::from_millis(50));
    b.sql("UPDATE items SET name = 'later' WHERE id = 2");
    a.sql("UPDATE items SET name = 'later' WHERE id = 3");
    b.sql("INSERT INTO items VALUES (400, 'later', 2)");
    // The source wins, even where it deleted.
    a.sql("UPDATE basket_lines SET what = 'source' WHERE basket = 5 AND line = 0");
    b.sql("UPDATE basket_lines SET what = 'target' WHERE basket = 5 AND line IN (0, 1)");
    a.sql("DELETE FROM basket_lines WHERE basket = 5 AND line = 1");
    // Both count.
    for (side, added) in [(a, "1000000"), (b, "1"), (a, "2000000"), (b, "20")] {
        side.sql(&format!(
            "UPDATE counters SET n = n + {added}, m = m - {added} WHERE id = 4"
        ));
    }
    // The rule takes the title of one side, and the rest of the other.
    a.sql("UPDATE wide SET title = 'the longest of all titles', note = 'lost' WHERE id = 7");
    b.sql("UPDATE wide SET title = 'not long', amount = '7.77' WHERE id = 7");
    let report = sides.sync();
    assert_equal(sides);
    for (table, least) in [
        ("items", 3),
        ("basket_lines", 2),
        ("counters", 1),
        ("wide", 1),
    ] {
        assert!(
            counted(&report, table, "conflicts") >= least,
            "{table}: {report}"
        );
    }
    assert_eq!(sides.waiting(), Json::Array(Vec::new()));

    let decided = a.rows("SELECT name FROM items WHERE id IN (2, 3, 400)");
    if a.engine.knows_commit_times() && b.engine.knows_commit_times() {
        assert_eq!(decided, ["\"later\""; 3]);
    } else {
        assert_eq!(decided.len(), 3, "{decided:?}");
    }
    let lines = "SELECT line, what FROM basket_lines WHERE basket = 5 AND line < 2";
    assert_eq!(b.rows(lines), ["\"0\", \"source\""]);
    let counter = "SELECT n, m FROM counters WHERE id = 4";
    assert_eq!(b.rows(counter), ["\"3000021\", \"-3000021\""]);
    let wide = a.rows("SELECT title, amount FROM wide WHERE id = 7");
    assert_eq!(wide, ["\"the longest of all titles\", \"7.77\""]);
    let note = "SELECT count(*) FROM wide WHERE id = 7 AND note LIKE 'long long %'";
    assert_eq!(a.rows(note), ["\"1\""]);

    // Every decision is recorded, with both rows.
    let listed = sides.shop.json(&["conflict", "list", "shop"]);
    let of = |table: &str| {
        let list = listed.as_array().unwrap().iter();
        list.filter(|c| c["table"] == table).collect::<Vec<_>>()
    };
    let rule = of("wide");
    assert_eq!(rule.len(), 1, "{listed}");
    assert_eq!(rule[0]["key"]["id"], 7, "{listed}");
    assert_eq!(rule[0]["target_row"]["title"], "not long", "{listed}");
    assert_eq!(
        rule[0]["result_row"]["title"], "the longest of all titles",
        "{listed}"
    );
    assert_eq!(of("items").len(), 3, "{listed}");
    sides.assert_still();
}

/// A sync that is not told to end carries both ways until it is.
fn while_it_runs(sides: &Sides) {
    let child = sides.shop.start(&["sync", "shop"]);
    sides
        .source
        .sql("INSERT INTO items VALUES (500, 'to the service', 5)");
    sides
        .target
        .sql("INSERT INTO items VALUES (501, 'to the monolith', 5)");
    let there = |side: &crate::support::sides::Side, id: i64| {
        !side
            .rows(&format!("SELECT id FROM items WHERE id = {id}"))
            .is_empty()
    };
    wait_until("both arrive", || {
        there(&sides.target, 500) && there(&sides.source, 501)
    });
    // Again, after a moment of silence.
    sides.target.sql("DELETE FROM items WHERE id = 500");
    sides.source.sql("DELETE FROM items WHERE id = 501");
    wait_until("both go", || {
        !there(&sides.source, 500) && !there(&sides.target, 501)
    });
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let shown = Shown::new(&child.wait_with_output().unwrap(), sides.shop.folder());
    assert_eq!(shown.code, 0, "{shown:?}");
}
