//! A server, and databases in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::run::{Run, shell};
use super::session::{Session, SqlError};

pub(super) const ADMIN_PASSWORD: &str = "a-dmin";
/// The applications' and Banyan's user on servers that are started here.
pub(super) const APP: &str = "app";
pub(super) const APP_PASSWORD: &str = "s3cret-app";
/// The same on a server that is given.
const GIVEN_APP: &str = "banyan_test_app";

/// The kinds of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    /// MariaDB, or MySQL where one is given.
    Mysql,
}

impl Kind {
    /// Names a server of the user's own, as an administrator.
    fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "BANYAN_TEST_POSTGRES_URL",
            Self::Mysql => "BANYAN_TEST_MYSQL_URL",
        }
    }

    fn given(self) -> Option<String> {
        std::env::var(self.variable())
            .ok()
            .filter(|url| !url.is_empty())
    }
}

/// How a server is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// With a log of changes, and everything as it should be.
    Usual,
    /// Applications get in with TLS only.
    TlsOnly,
    /// Without a log of changes: `wal_level = replica`, no binary log.
    NoLog,
}

/// How a server is reached.
#[derive(Clone, Debug)]
struct Access {
    kind: Kind,
    /// `user:password` of an administrator.
    admin: String,
    /// The application's user, and its password.
    app: &'static str,
    /// `host:port`
    address: String,
    /// From `?` on.
    parameters: String,
    /// The database that an administrator begins with.
    first: String,
    /// Whether databases are to be dropped again.
    lasting: bool,
}

impl Access {
    fn of(kind: Kind, url: &str, app: &'static str, lasting: bool) -> Self {
        let (place, parameters) = url.split_at(url.find('?').unwrap_or(url.len()));
        let rest = place.split_once("://").map(|(_, rest)| rest);
        let (login, place) = rest.and_then(|rest| rest.rsplit_once('@')).unwrap();
        let (address, first) = place.split_once('/').unwrap();
        Self {
            kind,
            admin: login.to_owned(),
            app,
            address: address.to_owned(),
            parameters: parameters.to_owned(),
            first: first.to_owned(),
            lasting,
        }
    }

    fn url(&self, login: &str, address: &str, database: &str) -> String {
        let scheme = match self.kind {
            Kind::Postgres => "postgres",
            Kind::Mysql => "mysql",
        };
        format!("{scheme}://{login}@{address}/{database}{}", self.parameters)
    }

    fn admin(&self) -> Result<Session, SqlError> {
        Session::open(&self.url(&self.admin, &self.address, &self.first))
    }

    /// Makes the application's user, who may do what Banyan is said to need, and no more.
    fn make_app(&self) {
        let app = self.app;
        let mut admin = self.admin().unwrap();
        match self.kind {
            Kind::Postgres => {
                let role = format!("LOGIN REPLICATION PASSWORD '{APP_PASSWORD}'");
                // Another test may make it at the same time.
                let begun = Instant::now();
                while admin.execute(&format!("ALTER ROLE {app} {role}")).is_err() {
                    let made = admin.execute(&format!("CREATE ROLE {app} {role}"));
                    assert!(begun.elapsed().as_secs() < 10, "{made:?}");
                }
            }
            Kind::Mysql => {
                for sql in [
                    format!("CREATE USER IF NOT EXISTS '{app}'@'%' IDENTIFIED BY '{APP_PASSWORD}'"),
                    // RELOAD: for the first copy from MySQL, which has no snapshot with its position.
                    format!(
                        "GRANT REPLICATION SLAVE, REPLICATION CLIENT, RELOAD ON *.* TO '{app}'@'%'"
                    ),
                ] {
                    admin.execute(&sql).unwrap();
                }
            }
        }
    }

    fn make_database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let name = format!(
            "t{}_{}_{:x}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed),
            now.subsec_micros()
        );
        let mut admin = self.admin().unwrap();
        match self.kind {
            Kind::Postgres => {
                let create = format!(
                    "CREATE DATABASE {name} OWNER {} TEMPLATE template0 ENCODING 'UTF8'",
                    self.app
                );
                // Text sorts as people sort it, not by its bytes, where the server can do that.
                let sorted = format!("{create} LOCALE_PROVIDER icu ICU_LOCALE 'en-US'");
                if admin.execute(&sorted).is_err() {
                    admin.execute(&create).unwrap();
                }
            }
            Kind::Mysql => {
                for sql in [
                    format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
                    format!("GRANT ALL PRIVILEGES ON {name}.* TO '{}'@'%'", self.app),
                ] {
                    admin.execute(&sql).unwrap();
                }
            }
        }
        Database {
            access: self.clone(),
            name,
        }
    }
}

/// A database of its own, owned by the application's user. Dropped with its slots.
#[derive(Debug)]
pub(crate) struct Database {
    access: Access,
    name: String,
}

impl Database {
    pub(crate) fn kind(&self) -> Kind {
        self.access.kind
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As the application, and as Banyan.
    pub(crate) fn url(&self) -> String {
        self.url_as(self.access.app, APP_PASSWORD)
    }

    pub(crate) fn url_as(&self, user: &str, password: &str) -> String {
        let login = format!("{user}:{password}");
        self.access.url(&login, &self.access.address, &self.name)
    }

    /// Through something else that listens on loopback.
    pub(crate) fn url_by(&self, port: u16) -> String {
        let login = format!("{}:{APP_PASSWORD}", self.access.app);
        self.access
            .url(&login, &format!("127.0.0.1:{port}"), &self.name)
    }

    /// The server's `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.access.address
    }

    /// The application's user.
    pub(crate) fn app(&self) -> &'static str {
        self.access.app
    }

    /// As the administrator, in this database.
    pub(crate) fn admin(&self) -> Session {
        let access = &self.access;
        Session::open(&access.url(&access.admin, &access.address, &self.name)).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.access.lasting {
            return;
        }
        let name = &self.name;
        let statements = match self.access.kind {
            Kind::Postgres => vec![
                format!(
                    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
                     WHERE database = '{name}' AND active_pid IS NOT NULL"
                ),
                format!(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                     WHERE database = '{name}'"
                ),
                format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            ],
            Kind::Mysql => vec![format!("DROP DATABASE IF EXISTS {name}")],
        };
        // A slot is in use for a moment after its reader is gone.
        for _ in 0..20 {
            let Ok(mut admin) = self.access.admin() else {
                return;
            };
            if statements.iter().all(|sql| admin.execute(sql).is_ok()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("database {name} is left behind");
    }
}

/// A server that was started for the tests, or is given.
#[derive(Debug)]
pub(crate) struct Server {
    access: Access,
    process: Option<Process>,
}

impl Server {
    /// The one that all tests share.
    pub(crate) fn shared(kind: Kind) -> &'static Self {
        static SHARED: [OnceLock<Server>; 2] = [OnceLock::new(), OnceLock::new()];
        SHARED[kind as usize].get_or_init(|| {
            if let Some(url) = kind.given() {
                let access = Access::of(kind, &url, GIVEN_APP, true);
                access.make_app();
                return Self {
                    access,
                    process: None,
                };
            }
            let port = Run::shared().once(&format!("{kind:?}"), |folder| {
                let (process, access) = Process::begin(kind, Variant::Usual, folder);
                access.make_app();
                let port = process.port.to_string();
                // It outlives this process, if the run does.
                Box::leak(Box::new(process.child));
                port
            });
            Self {
                access: started(kind, port.parse().unwrap(), true),
                process: None,
            }
        })
    }

    /// One that the test may stop, break and change. `None`, and a line that says so, when a server
    /// is given.
    pub(crate) fn own(kind: Kind, variant: Variant) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if kind.given().is_some() {
            println!(
                "skipped: this needs a server of its own, and {} is set",
                kind.variable()
            );
            return None;
        }
        let name = format!("{kind:?}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let (process, access) = Process::begin(kind, variant, &Run::own().folder().join(name));
        access.make_app();
        Some(Self {
            access,
            process: Some(process),
        })
    }

    /// Whose it is.
    pub(crate) fn kind(&self) -> Kind {
        self.access.kind
    }

    /// A fresh database.
    pub(crate) fn database(&self) -> Database {
        self.access.make_database()
    }

    fn process(&mut self) -> &mut Process {
        self.process
            .as_mut()
            .expect("not a server of the test's own")
    }

    /// Shuts it down in order, without waiting for its clients.
    pub(crate) fn stop(&mut self) {
        let signal = match self.access.kind {
            Kind::Postgres => "INT",
            Kind::Mysql => "TERM",
        };
        self.process().end(signal);
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let signal = self.access.kind.end_signal();
        self.process().end(signal);
    }

    /// Starts it again, on the same port.
    pub(crate) fn start(&mut self) {
        let access = self.access.clone();
        let process = self.process();
        process.child = launch(access.kind, &process.folder, process.port, process.variant);
        if let Err(log) = process.wait_until_ready(&access) {
            panic!("the server did not start again: {log}");
        }
    }
}

/// A running server.
#[derive(Debug)]
struct Process {
    folder: PathBuf,
    port: u16,
    variant: Variant,
    child: Child,
}

impl Process {
    /// Sets a server up and starts it on a free port.
    fn begin(kind: Kind, variant: Variant, folder: &Path) -> (Self, Access) {
        kind.set_up(folder, variant);
        let mut tries = 0;
        loop {
            let port = free_port();
            let access = started(kind, port, folder.starts_with(Run::shared().folder()));
            let mut process = Self {
                folder: folder.to_owned(),
                port,
                variant,
                child: launch(kind, folder, port, variant),
            };
            match process.wait_until_ready(&access) {
                Ok(()) => return (process, access),
                // Somebody else may have taken the port.
                Err(log) => assert!(tries < 3, "{kind:?} did not start: {log}"),
            }
            tries += 1;
        }
    }

    /// Fails with the server's log when it ends instead.
    fn wait_until_ready(&mut self, access: &Access) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let Err(refused) = access.admin() else {
                return Ok(());
            };
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || begun.elapsed().as_secs() > 120 {
                let log = |name| std::fs::read_to_string(self.folder.join(name));
                let logs = [log("log"), log("log.err")].map(Result::unwrap_or_default);
                return Err(format!("{refused} ({ended:?})\n{}", logs.join("\n")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn end(&mut self, signal: &str) {
        if self.child.try_wait().unwrap().is_none() {
            let pid = self.child.id().to_string();
            let sent = Command::new("kill")
                .arg(format!("-{signal}"))
                .arg(pid)
                .status();
            assert!(sent.unwrap().success());
        }
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
            // What is left goes at the end of the run.
            if let Err(e) = std::fs::remove_dir_all(&self.process().folder) {
                eprintln!("a server's folder is left: {e}");
            }
        }
    }
}

/// How a server is reached that was started here.
fn started(kind: Kind, port: u16, lasting: bool) -> Access {
    let (admin, first) = match kind {
        Kind::Postgres => ("postgres", "postgres"),
        Kind::Mysql => ("admin", "mysql"),
    };
    let url = format!("x://{admin}:{ADMIN_PASSWORD}@127.0.0.1:{port}/{first}");
    Access::of(kind, &url, APP, lasting)
}

fn launch(kind: Kind, folder: &Path, port: u16, variant: Variant) -> Child {
    let command = kind.command(folder, port, variant);
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    shell("launch", folder)
        .arg(kind.end_signal())
        .arg(command.get_program())
        .args(command.get_args())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A port that nobody listens on, outside of the range that is handed out to clients, so that it is
/// still free after a restart.
fn free_port() -> u16 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first = std::process::id().wrapping_mul(7919) ^ now.subsec_micros();
    (0..10_000_u32)
        .map(|i| u16::try_from(20_000 + first.wrapping_add(i) % 12_000).unwrap())
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}
