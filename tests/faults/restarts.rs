//! Servers that go away and come back.

use crate::support::servers::Kind;

use super::{
    BOTH, Following, assert_refused, assert_same, each_server, insert, own, server_side, sides,
};

each_server!(
    a_restart_is_waited_for,
    a_crash_loses_nothing,
    a_server_that_is_away_is_named,
    a_restart_during_the_copy_is_waited_for,
);

/// The program goes on when the server does.
fn a_restart_is_waited_for(kind: Kind) {
    let Some(mut server) = own(kind) else { return };
    for place in BOTH {
        let sides = sides(&server, place);
        let mut following = Following::start(&sides);
        following.until_all_is_there(100);
        insert(&sides.source, 101..201);
        server.stop();
        if server_side(&sides, place).engine != sides.source.engine {
            insert(&sides.source, 201..301);
        } else {
            insert(&sides.target, 201..301);
        }
        server.start();
        insert(&sides.source, 301..311);
        insert(&sides.target, 311..321);
        following.until_all_is_there(320);
        following.end();
        assert_same(&sides);
        sides.assert_still();
    }
}

fn a_crash_loses_nothing(kind: Kind) {
    let Some(mut server) = own(kind) else { return };
    for place in BOTH {
        let sides = sides(&server, place);
        let mut following = Following::start(&sides);
        following.until_all_is_there(100);
        let mut next = 101;
        for _ in 0..3 {
            for side in sides.both() {
                for _ in 0..20 {
                    insert(side, next..next + 10);
                    side.sql("UPDATE counters SET n = n + 1000 WHERE id = 1");
                    next += 10;
                }
            }
            server.kill();
            server.start();
        }
        // It is back, too, and not between two tries.
        for side in sides.both() {
            insert(side, next..next + 10);
            next += 10;
        }
        following.until_all_is_there(next - 1);
        following.end();
        sides.sync();
        assert_same(&sides);
        sides.assert_verified();
        sides.assert_still();
    }
}

/// Nothing was there from the start: no waiting for ever, and the store is named.
fn a_server_that_is_away_is_named(kind: Kind) {
    let Some(mut server) = own(kind) else { return };
    let sides = sides(&server, super::Place::Target);
    server.stop();
    let shown = sides.shop.run(&["check"]);
    assert_refused(&shown, &["service"]);
    let shown = sides.shop.run(&["migration", "start", "shop"]);
    assert_refused(&shown, &["service"]);
    server.start();
    sides.sync();
    assert_same(&sides);
}

fn a_restart_during_the_copy_is_waited_for(kind: Kind) {
    let Some(mut server) = own(kind) else { return };
    for place in BOTH {
        let sides = sides(&server, place);
        for i in 0..20 {
            insert(&sides.source, 1000 + i * 1000..2000 + i * 1000);
        }
        let mut following = Following::start(&sides);
        following.until("the copy has begun", || {
            super::count(&sides.target, "id > 0") > 0
        });
        server.stop();
        server.start();
        following.until_all_is_there(20_100);
        following.end();
        assert_same(&sides);
        sides.assert_verified();
    }
}
