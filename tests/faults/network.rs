//! A network between the program and a server that fails in every way.

use std::time::Duration;

use crate::support::net::{Mode, Proxy};
use crate::support::servers::{Kind, Server};
use crate::support::sides::Sides;

use super::{BOTH, Following, Place, TABLES, assert_same, each_server, insert, server_side, sides};

each_server!(
    connections_that_are_cut_in_the_middle,
    a_network_that_swallows_everything,
    a_transaction_that_the_network_swallows,
    connections_that_are_refused_for_a_while,
    half_closed_connections,
    a_slow_network,
);

/// The program reaches the server by a proxy; the applications do not.
fn behind_a_proxy(kind: Kind, place: Place) -> (Sides, Proxy) {
    let sides = sides(Server::shared(kind), place);
    let database = server_side(&sides, place).database();
    let proxy = Proxy::new(database.address());
    let by_proxy = database.url_by(proxy.port());
    match place {
        Place::Source => sides.configure_urls(&by_proxy, &sides.target.url(), TABLES),
        Place::Target => sides.configure_urls(&sides.source.url(), &by_proxy, TABLES),
    }
    (sides, proxy)
}

/// Both sides are written, 20 rows and two counts a round; answers how many rows there are then.
fn write(sides: &Sides, rounds: std::ops::Range<i64>) -> i64 {
    let rows = 101 + rounds.end * 20 - 1;
    for round in rounds {
        let first = 101 + round * 20;
        insert(&sides.source, first..first + 10);
        insert(&sides.target, first + 10..first + 20);
        sides
            .source
            .sql("UPDATE counters SET n = n + 1000000 WHERE id = 1");
        sides
            .target
            .sql("UPDATE counters SET n = n + 1 WHERE id = 1");
    }
    rows
}

fn assert_all_counted(sides: &Sides, rounds: i64) {
    sides.sync();
    assert_same(sides);
    let sum = sides
        .source
        .session()
        .number("SELECT n FROM counters WHERE id = 1");
    assert_eq!(sum, rounds * 1_000_001);
    sides.assert_verified();
    sides.assert_still();
}

fn connections_that_are_cut_in_the_middle(kind: Kind) {
    for place in BOTH {
        let (sides, proxy) = behind_a_proxy(kind, place);
        let mut following = Following::start(&sides);
        following.until_all_is_there(100);
        let (mut rows, mut cut) = (0, 0);
        for round in 0..30 {
            rows = write(&sides, round..round + 1);
            std::thread::sleep(Duration::from_millis(u64::try_from(round).unwrap() * 3));
            cut += proxy.cut();
        }
        assert!(cut > 0, "there was nothing to cut");
        following.until_all_is_there(rows);
        following.end();
        assert_all_counted(&sides, 30);
    }
}

/// Nobody tells the program that nothing gets through; it must find out.
fn a_network_that_swallows_everything(kind: Kind) {
    for place in BOTH {
        let (sides, proxy) = behind_a_proxy(kind, place);
        let mut following = Following::start(&sides);
        following.until_all_is_there(100);
        write(&sides, 0..5);
        proxy.set(Mode::Swallow);
        let rows = write(&sides, 5..10);
        std::thread::sleep(Duration::from_secs(2));
        proxy.set(Mode::Forward);
        following.until_all_is_there(rows);
        following.end();
        assert_all_counted(&sides, 10);
    }
}

/// What it has locked is free again before an application gives up.
fn a_transaction_that_the_network_swallows(kind: Kind) {
    for place in BOTH {
        let (sides, proxy) = behind_a_proxy(kind, place);
        let mut following = Following::start(&sides);
        following.until_all_is_there(100);
        let (server, other, here, there) = match place {
            Place::Source => (&sides.source, &sides.target, 1_000_000, 1),
            Place::Target => (&sides.target, &sides.source, 1, 1_000_000),
        };
        let count = |by| format!("UPDATE counters SET n = n + {by} WHERE id = 1");
        let mut holder = server.session();
        holder.execute(server.engine.begin()).unwrap();
        holder
            .execute("SELECT n FROM counters WHERE id = 1 FOR UPDATE")
            .unwrap();
        other.sql(&count(there));
        // The program's transaction waits for the row, and gets it when nobody hears of it.
        std::thread::sleep(Duration::from_millis(1_500));
        proxy.set(Mode::Swallow);
        holder.execute("COMMIT").unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let mut application = server.session();
        application
            .execute(match kind {
                Kind::Postgres => "SET lock_timeout = '45s'",
                Kind::Mysql => "SET innodb_lock_wait_timeout = 45",
            })
            .unwrap();
        application.execute(&count(here)).unwrap();
        proxy.set(Mode::Forward);
        insert(other, 101..102);
        following.until_all_is_there(101);
        following.end();
        assert_all_counted(&sides, 1);
    }
}

fn connections_that_are_refused_for_a_while(kind: Kind) {
    for place in BOTH {
        let (sides, proxy) = behind_a_proxy(kind, place);
        let mut following = Following::start(&sides);
        following.until_all_is_there(100);
        proxy.set(Mode::Refuse);
        proxy.cut();
        let rows = write(&sides, 0..5);
        std::thread::sleep(Duration::from_secs(1));
        proxy.set(Mode::Forward);
        following.until_all_is_there(rows);
        following.end();
        assert_all_counted(&sides, 5);
    }
}

fn half_closed_connections(kind: Kind) {
    for place in BOTH {
        let (sides, proxy) = behind_a_proxy(kind, place);
        let mut following = Following::start(&sides);
        following.until_all_is_there(100);
        let mut rows = 0;
        for round in 0..5 {
            rows = write(&sides, round..round + 1);
            proxy.half_close();
        }
        following.until_all_is_there(rows);
        following.end();
        assert_all_counted(&sides, 5);
    }
}

/// Slow is not broken.
fn a_slow_network(kind: Kind) {
    for place in BOTH {
        let (sides, proxy) = behind_a_proxy(kind, place);
        proxy.delay_ms(20);
        let mut following = Following::start(&sides);
        following.until_all_is_there(100);
        let rows = write(&sides, 0..3);
        following.until_all_is_there(rows);
        following.end();
        proxy.delay_ms(0);
        assert_all_counted(&sides, 3);
    }
}
