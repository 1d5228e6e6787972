//! The two databases of a migration, each of any engine, and the program between them.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::program::Shop;
use super::servers::{Database, Kind, Server, Session, Variant};

/// The kinds of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    Mysql,
}

impl Engine {
    fn server(self) -> Option<Kind> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(Kind::Postgres),
            Self::Mysql => Some(Kind::Mysql),
        }
    }

    /// Begins a transaction that writes.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres | Self::Mysql => "BEGIN",
        }
    }

    /// Whether the database writes down when a transaction was committed, so that the later of two
    /// writes is known.
    pub(crate) fn knows_commit_times(self) -> bool {
        self != Self::Mysql
    }

    /// A string.
    pub(crate) fn text(self, text: &str) -> String {
        let text = text.replace('\'', "''");
        match self {
            Self::Mysql => format!("'{}'", text.replace('\\', "\\\\")),
            Self::Sqlite | Self::Postgres => format!("'{text}'"),
        }
    }

    /// Bytes, given in hexadecimal.
    pub(crate) fn bytes(self, hex: &str) -> String {
        match self {
            Self::Postgres => format!("'\\x{hex}'"),
            Self::Sqlite | Self::Mysql => format!("x'{hex}'"),
        }
    }
}

/// One database.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) engine: Engine,
    place: Place,
    /// Whether its server is the test's own.
    alone: bool,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Database(Database),
}

impl Side {
    /// A SQLite file, which begins to exist.
    pub(crate) fn file(path: PathBuf) -> Self {
        let side = Self {
            engine: Engine::Sqlite,
            place: Place::File(path),
            alone: true,
        };
        side.sql("PRAGMA journal_mode = WAL");
        side
    }

    /// A fresh database of a server.
    pub(crate) fn on(server: &Server) -> Self {
        let database = server.database();
        let engine = match database.kind() {
            Kind::Postgres => Engine::Postgres,
            Kind::Mysql => Engine::Mysql,
        };
        Self {
            engine,
            place: Place::Database(database),
            alone: false,
        }
    }

    /// Its database on a server.
    pub(crate) fn database(&self) -> &Database {
        match &self.place {
            Place::Database(database) => database,
            Place::File(path) => panic!("{} is a file", path.display()),
        }
    }

    /// Its URL in the configuration.
    pub(crate) fn url(&self) -> String {
        match &self.place {
            Place::File(path) => format!("sqlite:{}", path.display()),
            Place::Database(database) => database.url(),
        }
    }

    /// A connection of an application.
    pub(crate) fn session(&self) -> Session {
        match &self.place {
            Place::File(path) => Session::open_file(path),
            Place::Database(database) => Session::open(&database.url()).unwrap(),
        }
    }

    /// A connection of somebody who sees everything.
    fn admin(&self) -> Session {
        match &self.place {
            Place::File(path) => Session::open_file(path),
            Place::Database(database) => database.admin(),
        }
    }

    /// Runs statements as an application does.
    pub(crate) fn sql(&self, sql: &str) {
        let done = self.session().execute(sql);
        done.unwrap_or_else(|e| panic!("{:?}: {e}: {sql}", self.engine));
    }

    /// A transaction.
    pub(crate) fn transaction(&self, statements: &[&str]) {
        self.session().transact(self.engine.begin(), |session| {
            for sql in statements {
                session.execute(sql)?;
            }
            Ok(())
        });
    }

    /// A transaction in which foreign keys need to hold only at its end. (MySQL has no such thing:
    /// there they are not looked at.)
    pub(crate) fn deferred(&self, statements: &[&str]) {
        if self.engine != Engine::Mysql {
            return self.transaction(statements);
        }
        let mut session = self.session();
        session.execute("SET foreign_key_checks = 0").unwrap();
        session.transact(self.engine.begin(), |session| {
            for sql in statements {
                session.execute(sql)?;
            }
            Ok(())
        });
    }

    /// The rows of a query, sorted. NULL is not `"NULL"`.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        rows(&mut self.session(), sql)
    }

    /// Everything in the database but the rows of tables, as far as Banyan could have changed it.
    pub(crate) fn catalog(&self) -> Vec<String> {
        let mut admin = self.admin();
        match self.engine {
            Engine::Sqlite => rows(
                &mut admin,
                "SELECT type, name, tbl_name, sql FROM sqlite_schema",
            ),
            Engine::Postgres => {
                let mut out = rows(&mut admin, POSTGRES_CATALOG);
                if self.alone {
                    out.extend(rows(&mut admin, POSTGRES_CLUSTER));
                }
                out
            }
            Engine::Mysql => mysql_catalog(&mut admin, self.database().name()),
        }
    }

    /// How many others are connected to it; for a file nobody knows.
    pub(crate) fn connections(&self) -> i64 {
        let sql = match self.engine {
            Engine::Sqlite => return 0,
            Engine::Postgres => {
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender')"
            }
            Engine::Mysql => {
                "SELECT count(*) FROM information_schema.processlist \
                 WHERE db = database() AND id <> connection_id()"
            }
        };
        self.admin().number(sql)
    }
}

fn rows(session: &mut Session, sql: &str) -> Vec<String> {
    let found = session.rows(sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
    let mut out: Vec<String> = found
        .into_iter()
        .map(|row| {
            let cells = row.into_iter();
            let cells = cells.map(|c| c.map_or_else(|| "NULL".to_owned(), |c| format!("{c:?}")));
            cells.collect::<Vec<_>>().join(", ")
        })
        .collect();
    out.sort();
    out
}

/// What a PostgreSQL database holds, beside rows. Slots that belong to it are part of it.
const POSTGRES_CATALOG: &str = "
WITH own AS (SELECT oid, nspname, nspacl FROM pg_namespace
             WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
SELECT 'schema', nspname::text, nspacl::text FROM own
UNION ALL SELECT 'relation', c.oid::regclass::text,
    concat_ws(' ', c.relkind, c.relreplident, c.relpersistence, c.reloptions, c.relacl)
    FROM pg_class c JOIN own ON own.oid = c.relnamespace
UNION ALL SELECT 'column', a.attrelid::regclass || '.' || a.attname,
    concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN own ON own.oid = c.relnamespace
    WHERE a.attnum > 0
UNION ALL SELECT 'index', indexrelid::regclass::text, concat_ws(' ', pg_get_indexdef(indexrelid), indisreplident)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN own ON own.oid = c.relnamespace
UNION ALL SELECT 'constraint', conname::text, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN own ON own.oid = k.connamespace
UNION ALL SELECT 'trigger', tgname::text, concat_ws(' ', pg_get_triggerdef(oid), tgenabled)
    FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'routine', proname::text, prosrc FROM pg_proc p JOIN own ON own.oid = p.pronamespace
UNION ALL SELECT 'type', typname::text, typtype::text FROM pg_type t JOIN own ON own.oid = t.typnamespace
UNION ALL SELECT 'rule', rulename::text, definition FROM pg_rules JOIN own ON own.nspname = schemaname
UNION ALL SELECT 'extension', extname::text, extversion FROM pg_extension
UNION ALL SELECT 'publication', pubname::text, p::text FROM pg_publication p
UNION ALL SELECT 'event trigger', evtname::text, evtenabled::text FROM pg_event_trigger
UNION ALL SELECT 'setting', setrole::text, setconfig::text FROM pg_db_role_setting s
    JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()
UNION ALL SELECT 'large object', oid::text, '' FROM pg_largeobject_metadata
UNION ALL SELECT 'prepared', gid, '' FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL SELECT 'lock', locktype, classid || ' ' || objid FROM pg_locks l
    JOIN pg_database d ON d.oid = l.database
    WHERE d.datname = current_database() AND locktype = 'advisory'
UNION ALL SELECT 'slot', slot_name::text, plugin::text FROM pg_replication_slots
    WHERE database = current_database()";

/// What is the whole server's, which other tests change on a shared one.
const POSTGRES_CLUSTER: &str = "
SELECT 'origin', roname FROM pg_replication_origin
UNION ALL SELECT 'any slot', slot_name::text FROM pg_replication_slots
UNION ALL SELECT 'role', rolname::text FROM pg_roles
UNION ALL SELECT 'database', datname::text FROM pg_database
UNION ALL SELECT 'setting', name || '=' || coalesce(setting, '') FROM pg_file_settings
UNION ALL SELECT 'subscription', subname::text FROM pg_subscription";

fn mysql_catalog(admin: &mut Session, database: &str) -> Vec<String> {
    let names = |admin: &mut Session, sql: &str| -> Vec<String> {
        let found = admin.rows(&sql.replace("DATABASE", &format!("'{database}'")));
        found
            .unwrap()
            .into_iter()
            .map(|row| row[0].clone().unwrap())
            .collect()
    };
    let mut out = Vec::new();
    for (what, sql) in [
        (
            "TABLE",
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE",
        ),
        (
            "TRIGGER",
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE",
        ),
        (
            "EVENT",
            "SELECT event_name FROM information_schema.events WHERE event_schema = DATABASE",
        ),
    ] {
        for name in names(admin, sql) {
            let shown = admin.rows(&format!("SHOW CREATE {what} `{database}`.`{name}`"));
            // The next number of AUTO_INCREMENT is data.
            let shown = format!("{:?}", shown.unwrap());
            let (before, after) = shown.split_once(" AUTO_INCREMENT=").unwrap_or((&shown, ""));
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            out.push(format!("{what} {name}: {before}{after}"));
        }
    }
    for sql in [
        "SELECT concat('routine ', routine_name) FROM information_schema.routines
         WHERE routine_schema = DATABASE",
        "SELECT concat('database ', schema_name) FROM information_schema.schemata
         WHERE schema_name LIKE '%banyan%'",
        "SELECT concat('grant ', grantee, privilege_type) FROM information_schema.schema_privileges
         WHERE table_schema = DATABASE",
    ] {
        out.extend(names(admin, sql));
    }
    let settings = "SHOW GLOBAL VARIABLES WHERE variable_name LIKE 'binlog%' \
                    OR variable_name IN ('server_id', 'gtid_domain_id', 'sync_binlog', 'sql_mode', \
                    'read_only', 'expire_logs_days', 'binlog_expire_logs_seconds')";
    out.extend(rows(admin, settings));
    out.sort();
    out
}

/// Two databases, a configuration that names them `monolith` and `service`, and a two-way migration
/// `shop`.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) shop: Shop,
    pub(crate) source: Side,
    pub(crate) target: Side,
    /// How changes are captured on servers, if it is said.
    capture: Option<&'static str>,
    /// Those of this test alone; they end after the databases.
    _servers: Vec<Server>,
}

impl Sides {
    /// On the servers that all tests share.
    pub(crate) fn new(source: Engine, target: Engine) -> Self {
        let shop = Shop::empty();
        let [source, target] = [(source, "source.db"), (target, "target.db")]
            .map(|(engine, name)| shared(engine, &shop.path(name)));
        Self::of(shop, source, target)
    }

    /// On servers of their own where something of the whole server is looked at, unless some are
    /// given.
    pub(crate) fn alone(source: Engine, target: Engine) -> Self {
        let shop = Shop::empty();
        let used = source == Engine::Postgres || target == Engine::Postgres;
        let server = used
            .then(|| Server::own(Kind::Postgres, Variant::Usual))
            .flatten();
        let [source, target] =
            [(source, "source.db"), (target, "target.db")].map(|(engine, name)| match &server {
                Some(server) if engine == Engine::Postgres => Side {
                    alone: true,
                    ..Side::on(server)
                },
                _ => shared(engine, &shop.path(name)),
            });
        Self {
            _servers: server.into_iter().collect(),
            ..Self::of(shop, source, target)
        }
    }

    /// On servers of their own that keep no log of changes; the application's role may not read one
    /// either. `None` when servers are given.
    pub(crate) fn by_triggers(source: Engine, target: Engine) -> Option<Self> {
        let mut servers: Vec<Server> = Vec::new();
        for kind in [source, target].into_iter().filter_map(Engine::server) {
            if servers.iter().all(|server| server.kind() != kind) {
                servers.push(Server::own(kind, Variant::NoLog)?);
            }
        }
        let shop = Shop::empty();
        let [source, target] =
            [(source, "source.db"), (target, "target.db")].map(|(engine, name)| {
                let of_kind = |server: &&Server| Some(server.kind()) == engine.server();
                let Some(server) = servers.iter().find(of_kind) else {
                    return shared(engine, &shop.path(name));
                };
                let side = Side {
                    alone: true,
                    ..Side::on(server)
                };
                let app = side.database().app();
                let sql = match engine {
                    Engine::Postgres => format!("ALTER ROLE {app} NOREPLICATION"),
                    _ => format!(
                        "REVOKE REPLICATION SLAVE, REPLICATION CLIENT ON *.* FROM '{app}'@'%'"
                    ),
                };
                side.database().admin().execute(&sql).unwrap();
                side
            });
        Some(Self {
            capture: Some("trigger"),
            _servers: servers,
            ..Self::of(shop, source, target)
        })
    }

    pub(crate) fn of(shop: Shop, source: Side, target: Side) -> Self {
        Self {
            shop,
            source,
            target,
            capture: None,
            _servers: Vec::new(),
        }
    }

    pub(crate) fn both(&self) -> [&Side; 2] {
        [&self.source, &self.target]
    }

    /// Writes `banyan.toml`: `rest` goes on where the migration's own settings stand.
    pub(crate) fn configure(&self, rest: &str) {
        self.configure_urls(&self.source.url(), &self.target.url(), rest);
    }

    /// Likewise, reaching the databases another way.
    pub(crate) fn configure_urls(&self, source: &str, target: &str, rest: &str) {
        let [monolith, service] = self.both().map(|side| match self.capture {
            Some(capture) if side.engine != Engine::Sqlite => format!("capture = \"{capture}\"\n"),
            _ => String::new(),
        });
        self.shop.configure(&format!(
            "[stores.monolith]\nurl = \"{source}\"\n{monolith}\n\
             [stores.service]\nurl = \"{target}\"\n{service}\n\
             [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\nmode = \"two-way\"\n\
             {rest}"
        ));
    }

    /// Syncs until both sides have nothing left, and demands that nothing waits.
    pub(crate) fn sync(&self) -> Json {
        self.shop.json(&["sync", "shop", "--until-idle"])
    }

    /// What waits for somebody.
    pub(crate) fn waiting(&self) -> Json {
        let shown = self.shop.run(&[
            "conflict", "list", "shop", "--which", "open", "--format", "json",
        ]);
        let list = shown.json();
        let some = list.as_array().is_some_and(|list| !list.is_empty());
        assert_eq!(shown.code, i32::from(some), "{shown:?}");
        list
    }

    /// With both sides still there is nothing to do: nothing was echoed.
    pub(crate) fn assert_still(&self) {
        let report = self.sync();
        for table in report["tables"].as_array().unwrap() {
            for counter in [
                "copied",
                "applied_to_source",
                "applied_to_target",
                "conflicts",
            ] {
                assert_eq!(table[counter], 0, "{counter}: {report}");
            }
        }
    }

    /// The program's own comparison.
    pub(crate) fn assert_verified(&self) {
        let report = self.shop.json(&["verify", "shop", "--level", "full"]);
        assert_eq!(report["consistent"], true, "{report}");
    }
}

fn shared(engine: Engine, file: &Path) -> Side {
    match engine.server() {
        None => Side::file(file.to_owned()),
        Some(kind) => Side::on(Server::shared(kind)),
    }
}
