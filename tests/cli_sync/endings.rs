//! The end of a migration after something was interrupted.

use banyan::database::sqlite::SqliteStore;

use crate::support::program::Shop;

use super::{IDLE, equal, schema};

/// Changes what is remembered of the migration.
fn remember(shop: &Shop, change: &str) {
    shop.write(
        ".banyan/state.db",
        &format!("UPDATE migration SET record = {change} WHERE name = 'shop'"),
    );
}

/// A process that is killed leaves in the state what it wrote last: the stores know better.
#[test]
fn complete_goes_by_what_the_stores_say() {
    for phase in ["copying", "catching-up"] {
        let shop = Shop::new();
        let before = [schema(&shop, "source.db"), schema(&shop, "target.db")];
        shop.json(IDLE);
        remember(&shop, &format!("json_set(record, '$.phase', '{phase}')"));
        shop.write("source.db", "UPDATE items SET name = 'last' WHERE id = 1");
        let record = shop.json(&["migration", "complete", "shop"]);
        assert_eq!(record["phase"], "completed", "{record}");
        assert!(equal(&shop).contains(&"1, 'last', 1.5".to_owned()));
        assert_eq!(
            [schema(&shop, "source.db"), schema(&shop, "target.db")],
            before
        );
    }
}

/// What is not copied is not completed by the way.
#[test]
fn complete_is_refused_while_copying() {
    let shop = Shop::new();
    shop.json(IDLE);
    remember(&shop, "json_set(record, '$.phase', 'copying')");
    shop.write("target.db", "DELETE FROM \"_banyan_shop.chunk\"");
    let shown = shop.run(&["migration", "complete", "shop"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(
        shown.errors.contains("cannot complete while copying"),
        "{shown:?}"
    );
}

/// Once part of the capture is gone, syncing would take the changes since then for none.
#[tokio::test]
async fn an_interrupted_end_is_finished_and_never_synced_over() {
    for gone in [&["source.db"][..], &["source.db", "target.db"]] {
        let shop = Shop::new();
        let before = [schema(&shop, "source.db"), schema(&shop, "target.db")];
        shop.json(IDLE);
        remember(&shop, "json_set(record, '$.ending', 'complete')");
        for name in gone {
            let store = SqliteStore::new("store", shop.path(name));
            store.uninstall("shop").await.unwrap();
        }
        shop.write(
            "target.db",
            "UPDATE items SET name = 'the service' WHERE id = 1",
        );
        let status = shop.json(&["migration", "status", "shop"]);
        assert_eq!(status["next_steps"][0], "banyan migration complete shop");
        let shown = shop.run(IDLE);
        assert_eq!(
            shown.failure().trim_end(),
            "exit code: 1\nerror: migration shop: complete was interrupted, so it cannot be synced any more\n\nhint: banyan migration complete shop finishes it"
        );
        let record = shop.json(&["migration", "complete", "shop"]);
        assert_eq!(record["phase"], "completed", "{record}");
        assert!(record.get("ending").is_none(), "{record}");
        let target = super::items(&shop, "target.db");
        assert!(
            target.contains(&"1, 'the service', 1.5".to_owned()),
            "{target:?}"
        );
        assert_eq!(
            [schema(&shop, "source.db"), schema(&shop, "target.db")],
            before
        );
    }
}

/// Begun, but nothing is gone yet: what was written meanwhile is carried over first.
#[test]
fn an_end_that_removed_nothing_syncs_first() {
    let shop = Shop::new();
    shop.json(IDLE);
    remember(&shop, "json_set(record, '$.ending', 'complete')");
    shop.write(
        "target.db",
        "UPDATE items SET name = 'the service' WHERE id = 1",
    );
    let record = shop.json(&["migration", "complete", "shop"]);
    assert_eq!(record["phase"], "completed", "{record}");
    assert!(equal(&shop).contains(&"1, 'the service', 1.5".to_owned()));
}
