//! A target without tables gets them from the program, with everything that keeps wrong rows out.

use crate::support::sides::{Engine, Sides};

use super::schema::{CONFIG, RULE, TABLES, schema, seed};

/// Only the source has its tables.
fn seed_source(sides: &Sides) {
    sides.source.sql(&schema(sides.source.engine));
    let seeds = seed(sides.source.engine);
    sides
        .source
        .transaction(&seeds.iter().map(String::as_str).collect::<Vec<_>>());
    std::fs::write(sides.shop.path("longer.rhai"), RULE).unwrap();
    sides.configure(CONFIG);
}

fn assert_kept_out(sides: &Sides, wrong: &[&str]) {
    let mut session = sides.target.session();
    if sides.target.engine == Engine::Sqlite {
        session.execute("PRAGMA foreign_keys = ON").unwrap();
    }
    for sql in wrong {
        assert!(session.execute(sql).is_err(), "{sql}");
    }
}

pub(super) fn check(sides: Sides) {
    seed_source(&sides);

    // Nothing is made unless it is asked for, and the error says how to ask.
    let refused = sides.shop.run(&["sync", "shop", "--until-idle"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.errors.contains("--create-tables"), "{refused:?}");

    let report = sides.shop.json(&["copy", "shop", "--create-tables"]);
    let created: Vec<&str> = report["created"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["table"].as_str().unwrap())
        .collect();
    assert_eq!(created, TABLES, "{report}");
    let copied: u64 = report["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["copied"].as_u64().unwrap())
        .sum();
    assert_eq!(copied, 200 + 20 + 60 + 12 + 30 + 8 + 7, "{report}");

    let report = sides
        .shop
        .json(&["sync", "shop", "--until-idle", "--create-tables"]);
    assert!(report.get("created").is_none(), "{report}");
    sides.assert_verified();

    // The unique key, the foreign key, and NOT NULL hold.
    assert_kept_out(
        &sides,
        &[
            "INSERT INTO parents VALUES (500, 'parent 1', 0)",
            "INSERT INTO children VALUES (500, 777, 0)",
            "INSERT INTO items VALUES (500, NULL, 0)",
            "INSERT INTO basket_lines VALUES (0, 0, 'again', 1)",
        ],
    );

    // And changes go both ways.
    sides.target.sql("UPDATE items SET stars = 6 WHERE id = 6");
    sides
        .target
        .sql("INSERT INTO parents VALUES (60, 'new here', 0)");
    sides.target.sql("INSERT INTO children VALUES (60, 60, 0)");
    sides
        .source
        .sql("UPDATE tags SET weight = 99 WHERE code = 'tag/3'");
    sides.source.sql("DELETE FROM children WHERE id = 1");
    sides.sync();
    sides.assert_verified();
    assert_eq!(
        sides.source.rows("SELECT name FROM parents WHERE id = 60"),
        ["\"new here\""]
    );
    sides.assert_still();
}

/// The copies of two tables may be of different instants; what is between them comes with the changes,
/// before the foreign key is made. And whoever is killed before that has lost nothing.
pub(super) fn check_while_written(sides: Sides) {
    seed_source(&sides);
    let mut child = sides
        .shop
        .start(&["sync", "shop", "--create-tables", "--quiet"]);
    for id in 1000..1080 {
        sides
            .source
            .sql(&format!("INSERT INTO parents VALUES ({id}, 'p {id}', 0)"));
        sides
            .source
            .sql(&format!("INSERT INTO children VALUES ({id}, {id}, 0)"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    sides
        .shop
        .json(&["sync", "shop", "--create-tables", "--until-idle"]);
    sides.assert_verified();
    assert_kept_out(
        &sides,
        &[
            "INSERT INTO parents VALUES (5000, 'p 1000', 0)",
            "INSERT INTO children VALUES (5000, 7777, 0)",
        ],
    );
}
