//! Logs that do not hold everything any more: that is always noticed, and repaired table by table.

use crate::support::program::wait_until;
use crate::support::servers::{Kind, Server};
use crate::support::sides::{Engine, Side, Sides};

use super::{Place, assert_refused, assert_same, insert, own, sides};

/// Sync, then changes that nobody reads, then the log is broken.
fn with_a_gap(server: &Server, lose: impl FnOnce(&Side)) -> Sides {
    let sides = sides(server, Place::Source);
    sides.sync();
    assert_same(&sides);
    insert(&sides.source, 101..151);
    sides
        .source
        .sql("UPDATE items SET name = 'in the gap' WHERE id <= 10");
    sides
        .target
        .sql("UPDATE items SET name = 'on the other side' WHERE id = 90");
    lose(&sides.source);
    insert(&sides.source, 151..161);
    sides
        .source
        .sql("UPDATE items SET name = 'behind the gap' WHERE id = 50");
    sides
}

/// It is refused, and the way out is named; never passed over.
fn assert_noticed(sides: &Sides) {
    let shown = sides.shop.run(&["sync", "shop", "--until-idle"]);
    if shown.code != 0 {
        assert_refused(&shown, &["banyan migration resume shop"]);
        sides.shop.json(&["migration", "resume", "shop"]);
        sides.sync();
    }
    assert_same(sides);
    assert_eq!(super::count(&sides.target, "id > 100"), 60);
    assert_eq!(super::count(&sides.target, "name = 'in the gap'"), 10);
    assert_eq!(super::count(&sides.target, "name = 'behind the gap'"), 1);
    assert_eq!(super::count(&sides.source, "name = 'on the other side'"), 1);
    sides.assert_verified();
    sides.assert_still();
}

const OWN_SLOTS: &str = "FROM pg_replication_slots WHERE database = current_database()";

#[test]
fn a_slot_that_was_dropped() {
    let sides = with_a_gap(Server::shared(Kind::Postgres), |side| {
        let mut admin = side.database().admin();
        let slots = admin.rows(&format!(
            "SELECT pg_drop_replication_slot(slot_name) {OWN_SLOTS}"
        ));
        assert!(!slots.unwrap().is_empty());
    });
    assert_noticed(&sides);
}

/// A slot of the same name says that nothing is missing; it begins behind the gap.
#[test]
fn a_slot_that_was_made_again() {
    let sides = with_a_gap(Server::shared(Kind::Postgres), |side| {
        let mut admin = side.database().admin();
        let slots = admin
            .rows(&format!("SELECT slot_name, plugin {OWN_SLOTS}"))
            .unwrap();
        assert!(!slots.is_empty());
        for slot in slots {
            let [Some(name), Some(plugin)] = &slot[..] else {
                panic!("{slot:?}");
            };
            for sql in [
                format!("SELECT pg_drop_replication_slot('{name}')"),
                format!("SELECT pg_create_logical_replication_slot('{name}', '{plugin}')"),
            ] {
                admin.execute(&sql).unwrap();
            }
        }
    });
    assert_noticed(&sides);
}

/// The server gave the slot up because it held too much.
#[test]
fn a_slot_that_was_invalidated() {
    let Some(server) = own(Kind::Postgres) else {
        return;
    };
    let sides = with_a_gap(&server, |side| {
        let mut admin = side.database().admin();
        for sql in [
            "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'",
            "SELECT pg_reload_conf()",
        ] {
            admin.execute(sql).unwrap();
        }
        wait_until("the slot is lost", || {
            // A file of the log is full, and a checkpoint looks at what may go.
            for sql in [
                "SELECT pg_switch_wal()",
                "CREATE TABLE more AS SELECT 1",
                "DROP TABLE more",
                "CHECKPOINT",
            ] {
                admin.execute(sql).unwrap();
            }
            admin.number(&format!(
                "SELECT count(*) {OWN_SLOTS} AND wal_status = 'lost'"
            )) > 0
        });
    });
    assert_noticed(&sides);
}

#[test]
fn a_publication_that_was_dropped() {
    let sides = with_a_gap(Server::shared(Kind::Postgres), |side| {
        let mut admin = side.database().admin();
        let names = admin.rows("SELECT pubname FROM pg_publication").unwrap();
        for name in names {
            let name = name[0].clone().unwrap();
            admin
                .execute(&format!("DROP PUBLICATION \"{name}\""))
                .unwrap();
        }
    });
    assert_noticed(&sides);
}

/// A table whose old rows are not written to the log any more.
#[test]
fn a_replica_identity_that_was_changed() {
    let sides = with_a_gap(Server::shared(Kind::Postgres), |side| {
        side.sql("ALTER TABLE items REPLICA IDENTITY DEFAULT");
    });
    assert_noticed(&sides);
}

#[test]
fn a_binary_log_that_was_purged() {
    let Some(server) = own(Kind::Mysql) else {
        return;
    };
    let sides = with_a_gap(&server, |side| {
        let mut admin = side.database().admin();
        admin.execute("FLUSH BINARY LOGS").unwrap();
        // A log that is in use for a moment yet is not purged.
        wait_until("one log is left", || {
            let logs = admin.rows("SHOW BINARY LOGS").unwrap();
            let last = logs.last().unwrap()[0].clone().unwrap();
            admin
                .execute(&format!("PURGE BINARY LOGS TO '{last}'"))
                .unwrap();
            logs.len() == 1
        });
    });
    assert_noticed(&sides);
}

/// The numbers begin anew, and mean something else.
#[test]
fn a_binary_log_that_was_reset() {
    let Some(server) = own(Kind::Mysql) else {
        return;
    };
    let sides = with_a_gap(&server, |side| {
        side.database().admin().execute("RESET MASTER").unwrap();
    });
    // As long as what was read, so that the old position exists again.
    for _ in 0..40 {
        sides
            .source
            .sql("UPDATE items SET stars = stars + 1 WHERE id > 150");
    }
    assert_noticed(&sides);
}

/// Applications that write without the log, or without whole rows in it.
#[test]
fn changes_that_were_not_logged_as_rows() {
    let Some(server) = own(Kind::Mysql) else {
        return;
    };
    for (setting, otherwise) in [
        ("binlog_format", "STATEMENT"),
        ("binlog_row_image", "MINIMAL"),
    ] {
        let sides = sides(&server, Place::Source);
        sides.sync();
        assert_eq!(sides.source.engine, Engine::Mysql);
        let mut admin = sides.source.database().admin();
        admin
            .execute(&format!("SET SESSION {setting} = '{otherwise}'"))
            .unwrap();
        admin
            .execute("UPDATE items SET name = 'in another form' WHERE id <= 10")
            .unwrap();
        insert(&sides.source, 101..111);
        let shown = sides.shop.run(&["sync", "shop", "--until-idle"]);
        if shown.code != 0 {
            assert_refused(&shown, &[setting, "banyan migration resume shop"]);
            sides.shop.json(&["migration", "resume", "shop"]);
            sides.sync();
        }
        assert_same(&sides);
        assert_eq!(super::count(&sides.target, "name = 'in another form'"), 10);
    }
}
