//! The servers themselves: they are set up as they should be, and they go away.

use std::process::Command;

use crate::support::program::wait_until;

use super::run::{Run, shell, started};
use super::{Kind, Server, Variant};

const KINDS: [Kind; 2] = [Kind::Postgres, Kind::Mysql];

#[test]
fn databases_are_apart_and_hold_what_is_written() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let (a, b) = (server.database(), server.database());
        let [mut a, mut b] = [&a, &b].map(|d| super::Session::open(&d.url()).unwrap());
        for session in [&mut a, &mut b] {
            let create = "CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(20)); \
                          CREATE TABLE u (id BIGINT PRIMARY KEY)";
            session.execute(create).unwrap();
        }
        assert_eq!(
            a.execute("INSERT INTO t VALUES (1, 'é😀'), (2, NULL)")
                .unwrap(),
            2
        );
        let text = |s: &str| Some(s.to_owned());
        let rows = a.rows("SELECT id, v FROM t ORDER BY id").unwrap();
        assert_eq!(rows, [[text("1"), text("é😀")], [text("2"), None]]);
        assert_eq!(b.number("SELECT count(*) FROM t"), 0);
        assert!(a.execute("INSERT INTO t VALUES (1, '')").is_err());
        a.transact("BEGIN", |a| {
            a.execute("DELETE FROM t WHERE id = 1").map(drop)
        });
        assert_eq!(a.number("SELECT count(*) FROM t"), 1);
    }
}

#[test]
fn servers_have_a_log_unless_they_should_not() {
    for kind in KINDS {
        let setting = match kind {
            Kind::Postgres => "SELECT current_setting('wal_level') = 'logical'",
            Kind::Mysql => "SELECT @@log_bin AND @@binlog_format = 'ROW'",
        };
        let has_log = |server: &Server| {
            let answer = server.database().admin().rows(setting).unwrap();
            matches!(answer[0][0].as_deref(), Some("t" | "1"))
        };
        assert!(has_log(Server::shared(kind)));
        if let Some(server) = Server::own(kind, Variant::NoLog) {
            assert!(!has_log(&server));
        }
    }
}

#[test]
fn a_server_of_its_own_keeps_its_rows_over_restarts() {
    for kind in KINDS {
        let Some(mut server) = Server::own(kind, Variant::Usual) else {
            continue;
        };
        let database = server.database();
        let open = || super::Session::open(&database.url());
        open()
            .unwrap()
            .execute("CREATE TABLE t (id BIGINT PRIMARY KEY)")
            .unwrap();
        for i in 0..2 {
            open()
                .unwrap()
                .execute(&format!("INSERT INTO t VALUES ({i})"))
                .unwrap();
            if i == 0 {
                server.stop();
            } else {
                server.kill();
            }
            assert!(open().is_err());
            server.start();
        }
        assert_eq!(open().unwrap().number("SELECT count(*) FROM t"), 2);
    }
}

/// An application that comes without TLS is turned away.
#[test]
fn a_server_that_wants_tls_refuses_others() {
    for kind in KINDS {
        let Some(server) = Server::own(kind, Variant::TlsOnly) else {
            continue;
        };
        let database = server.database();
        assert!(super::Session::open(&database.url()).is_err());
        let tls = match kind {
            Kind::Postgres => "SELECT current_setting('ssl') = 'on'",
            Kind::Mysql => "SELECT @@have_ssl = 'YES'",
        };
        let answer = database.admin().rows(tls).unwrap();
        assert!(
            matches!(answer[0][0].as_deref(), Some("t" | "1")),
            "{answer:?}"
        );
    }
}

/// Whoever owns a run is killed: what it started ends, and its folder goes.
#[test]
fn a_run_that_is_killed_leaves_nothing() {
    let sleep = || Command::new("sleep").arg("1000").spawn().unwrap();
    let mut owner = sleep();
    let folder = Run::own().folder().join("another-run");
    let mut sweeper = shell("sweep", &folder)
        .args([owner.id().to_string(), started(owner.id())])
        .spawn()
        .unwrap();
    wait_until("the folder is there", || folder.exists());
    let launched = folder.join("server");
    std::fs::create_dir(&launched).unwrap();
    let mut server = shell("launch", &launched)
        .args(["QUIT", "sleep", "1000"])
        .spawn()
        .unwrap();
    wait_until("the server runs", || launched.join("pid").exists());
    // A process that only has the number of one which was launched is left alone.
    let mut stranger = sleep();
    std::fs::create_dir(folder.join("stale")).unwrap();
    std::fs::write(
        folder.join("stale/pid"),
        format!("{} 1 KILL\n", stranger.id()),
    )
    .unwrap();

    assert!(server.try_wait().unwrap().is_none());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(!server.wait().unwrap().success());
    assert!(sweeper.wait().unwrap().success());
    assert!(!folder.exists());
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
