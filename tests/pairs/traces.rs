//! A migration that is completed or aborted leaves nothing behind in either database but rows.

use crate::support::program::wait_until;
use crate::support::sides::{Engine, Side, Sides};

use super::schema::{assert_equal, seed, shop};

pub(super) fn check(sides: Sides) {
    let sides = shop(sides);
    let seeds = seed(sides.source.engine);
    sides
        .source
        .transaction(&seeds.iter().map(String::as_str).collect::<Vec<_>>());
    if sides.source.engine == Engine::Postgres {
        // What the application had chosen is put back.
        sides.source.sql(
            "ALTER TABLE tags REPLICA IDENTITY FULL;
             ALTER TABLE parents REPLICA IDENTITY USING INDEX parents_name_key;
             ALTER TABLE wide REPLICA IDENTITY NOTHING",
        );
    }
    let before = sides.both().map(Side::catalog);
    let unchanged = |what: &str| {
        for (side, before) in sides.both().into_iter().zip(&before) {
            wait_until("nobody is connected", || side.connections() == 0);
            let after = side.catalog();
            let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
            let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
            assert!(
                gone.is_empty() && new.is_empty(),
                "{what}: gone {gone:#?}, new {new:#?}"
            );
        }
    };
    // What only looks changes nothing.
    sides.shop.json(&["check"]);
    sides.shop.json(&["migration", "status", "shop"]);
    let shown = sides
        .shop
        .run(&["verify", "shop", "--level", "full", "--recheck-tries", "0"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    unchanged("after looking");

    sides.sync();
    let during = sides.source.catalog();
    assert!(
        during.iter().any(|line| line.contains("_banyan")),
        "{during:#?}"
    );
    sides.target.sql("UPDATE items SET stars = 9 WHERE id = 9");
    sides.sync();
    assert_equal(&sides);
    sides.shop.json(&["migration", "abort", "shop"]);
    unchanged("after abort");

    // Once more, killed while it works, and to the good end.
    let mut child = sides.shop.start(&["sync", "shop", "--quiet"]);
    sides
        .target
        .sql("INSERT INTO items VALUES (901, 'while it starts', 1)");
    wait_until("it works", || {
        !sides
            .source
            .rows("SELECT id FROM items WHERE id = 901")
            .is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    sides.sync();
    sides.assert_verified();
    sides.shop.json(&["migration", "complete", "shop"]);
    unchanged("after completion");
    assert_equal(&sides);
}
