//! What servers and networks do wrong: the program recovers by itself, or ends with a message that
//! says what to do, and nothing is lost.
//!
//! - `restarts`: servers that are restarted, crash, or are away when the program starts.
//! - `network`: connections that are cut, stall, swallow what is sent, or are refused.
//! - `log`: logs that do not hold what they should any more.
//! - `access`: passwords, privileges, TLS, servers without a log.
//! - `locks`: applications that hold locks.

mod access;
mod locks;
mod log;
mod network;
mod restarts;

use std::process::{Child, Command};

use crate::support::program::{Shop, Shown, wait_until};
use crate::support::servers::{Kind, Server, Variant};
use crate::support::sides::{Side, Sides};

/// Makes a test for each kind of server of a function that takes the kind.
macro_rules! each_server {
    ($($name:ident),+ $(,)?) => {
        mod postgres {
            $(#[test]
            fn $name() {
                super::$name($crate::support::servers::Kind::Postgres);
            })+
        }

        mod mysql {
            $(#[test]
            fn $name() {
                super::$name($crate::support::servers::Kind::Mysql);
            })+
        }
    };
}
use each_server;

/// Which side of the migration the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Source,
    Target,
}

const BOTH: [Place; 2] = [Place::Source, Place::Target];

const TABLES: &str = "on_conflict = \"source-wins\"\n\
    batch_rows = 50\nchunk_rows = 50\n\n\
    [[migrations.shop.tables]]\nsource = \"items\"\n\n\
    [[migrations.shop.tables]]\nsource = \"counters\"\non_conflict = \"add-deltas\"\n";

const SCHEMA: &str = "CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(100), stars BIGINT);
    CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)";

/// A server's database on one side and a SQLite file on the other: `items`, and one counter.
fn sides(server: &Server, place: Place) -> Sides {
    let shop = Shop::empty();
    let file = Side::file(shop.path("other.db"));
    let database = Side::on(server);
    let sides = match place {
        Place::Source => Sides::of(shop, database, file),
        Place::Target => Sides::of(shop, file, database),
    };
    for side in sides.both() {
        side.sql(SCHEMA);
    }
    sides.source.sql("INSERT INTO counters VALUES (1, 0)");
    insert(&sides.source, 1..101);
    sides.configure(TABLES);
    sides
}

/// The server's side.
fn server_side(sides: &Sides, place: Place) -> &Side {
    sides.both()[place as usize]
}

fn insert(side: &Side, ids: std::ops::Range<i64>) {
    let rows: Vec<String> = ids.map(|i| format!("({i}, 'item {i}', 0)")).collect();
    side.sql(&format!("INSERT INTO items VALUES {}", rows.join(", ")));
}

/// A server of the test's own; `None` where one is given.
fn own(kind: Kind) -> Option<Server> {
    Server::own(kind, Variant::Usual)
}

fn assert_same(sides: &Sides) {
    for table in ["items", "counters"] {
        let [source, target] = sides
            .both()
            .map(|side| side.rows(&format!("SELECT * FROM {table}")));
        assert_eq!(source, target, "{table}");
    }
}

fn count(side: &Side, what: &str) -> i64 {
    side.session()
        .number(&format!("SELECT count(*) FROM items WHERE {what}"))
}

/// A sync that follows, until it is told to end.
struct Following<'a> {
    sides: &'a Sides,
    child: Option<Child>,
}

impl<'a> Following<'a> {
    fn start(sides: &'a Sides) -> Self {
        Self {
            sides,
            child: Some(sides.shop.start(&["sync", "shop"])),
        }
    }

    /// Waits until something is so; that the program ends instead is a finding.
    fn until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        wait_until(what, || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() {
                panic!("it ended before {what}: {:?}", self.shown());
            }
            is_so()
        });
    }

    /// Everything that was written on either side is on the other.
    fn until_all_is_there(&mut self, rows: i64) {
        let [a, b] = self.sides.both();
        self.until("all rows arrive", || {
            [a, b].iter().all(|side| {
                let counters = side.session().number("SELECT count(*) FROM counters");
                count(side, "id > 0") == rows && counters == 1
            })
        });
    }

    fn shown(&mut self) -> Shown {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        Shown::new(&output, self.sides.shop.folder())
    }

    /// Ends it in order.
    fn end(mut self) -> Shown {
        let pid = self.child.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
        let shown = self.shown();
        assert_eq!(shown.code, 0, "{shown:?}");
        shown
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A refusal: not 0, and it says what to do. Passwords are never shown.
fn assert_refused(shown: &Shown, cures: &[&str]) {
    assert!([1, 3].contains(&shown.code), "{shown:?}");
    let said = format!("{}{}", shown.out, shown.errors);
    let found = cures
        .iter()
        .any(|cure| said.to_lowercase().contains(&cure.to_lowercase()));
    assert!(found, "none of {cures:?} in {shown:?}");
    assert!(!said.contains("s3cret"), "{shown:?}");
    assert!(!said.contains("panicked"), "{shown:?}");
}
