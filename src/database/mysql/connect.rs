//! Connecting: what a URL says, TLS, and the settings that every session of ours has.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Opts, OptsBuilder, SslOpts};

use crate::config::ServerUrl;
use crate::database::server::driver::IDLE_MAX_S;
use crate::error::{Error, ErrorKind, Result};

use super::error::{mysql, tls as tls_error};

/// The port when none is written.
const PORT: u16 = 3306;
/// How long connecting may take unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The parameters that a URL may have.
const PARAMETERS: &str = "ssl-mode, ssl-ca, connect_timeout";
/// The values of `ssl-mode`.
const SSL_MODES: &str = "disabled, preferred, required, verify-ca, verify-identity";
/// Prepared statements kept on a connection.
const STATEMENTS: usize = 128;

/// Settings of every session: values mean the same on each server, whatever its defaults. Zero and
/// impossible dates can be written back where they stand, and 0 in an AUTO_INCREMENT column is 0.
const SETTINGS: &str = "SET SESSION time_zone = '+00:00', \
    sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,ALLOW_INVALID_DATES', \
    max_sort_length = 65535, sort_buffer_size = 4194304, net_write_timeout = 28800, \
    net_read_timeout = 28800, wait_timeout = 28800, autocommit = 1";
/// MariaDB's own: long `IN` lists stay ranges of the index.
const SETTINGS_MARIADB: &str = "SET SESSION in_predicate_conversion_threshold = 0";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading; REPEATABLE READ.
    Read,
    /// Writing; REPEATABLE READ. Foreign keys are not checked by the server: its actions (CASCADE,
    /// SET NULL) would change rows that the other side does not change. We look ourselves.
    Write,
}

/// The maker of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// MariaDB.
    MariaDb,
    /// MySQL, and what is built from it.
    Mysql,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Who made it.
    pub(super) maker: Maker,
    /// Major and minor.
    pub(super) number: (u16, u16),
    /// As it says it.
    pub(super) text: String,
}

impl Version {
    fn parse(text: &str) -> Self {
        // Behind a prefix for old replicas: 5.5.5-10.11.6-MariaDB.
        let bare = text.strip_prefix("5.5.5-").unwrap_or(text);
        let mut numbers = bare
            .split(|c: char| !c.is_ascii_digit())
            .map(|n| n.parse().unwrap_or(0));
        Self {
            maker: if text.contains("MariaDB") {
                Maker::MariaDb
            } else {
                Maker::Mysql
            },
            number: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
            text: text.to_owned(),
        }
    }

    /// Whether Banyan works with it.
    pub(super) fn supported(&self) -> bool {
        match self.maker {
            Maker::MariaDb => self.number >= (10, 11),
            Maker::Mysql => self.number >= (8, 0),
        }
    }
}

/// A server and how to get to it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    place: String,
    database: String,
    opts: Opts,
    /// Without TLS, for when the server offers none and that is allowed.
    plain: Option<Opts>,
    /// Any name in the server's certificate will do (`verify-ca`).
    any_name: bool,
    timeout: Duration,
    version: OnceLock<Version>,
}

/// The driver's options hold the password.
impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("place", &self.place)
            .finish()
    }
}

impl Server {
    /// Reads the parameters of a URL. Nothing is opened yet.
    pub(super) fn new(url: &ServerUrl) -> Result<Self> {
        let place = format!("{}:{}/{}", url.host, url.port.unwrap_or(PORT), url.database);
        let bad = |what: String| Error::new(ErrorKind::Config, format!("mysql://{place}: {what}"));
        let mut mode = None;
        let mut ca = None;
        let mut timeout = CONNECT_TIMEOUT;
        for (name, value) in &url.parameters {
            match name.as_str() {
                "ssl-mode" => mode = Some(value.to_ascii_lowercase()),
                "ssl-ca" => ca = Some(PathBuf::from(value)),
                "connect_timeout" => {
                    timeout = value
                        .parse()
                        .ok()
                        .filter(|&seconds| seconds > 0)
                        .map(Duration::from_secs)
                        .ok_or_else(|| {
                            bad(format!(
                                "connect_timeout={value} is no whole number of seconds above 0"
                            ))
                        })?;
                }
                other => {
                    return Err(bad(format!("there is no parameter {other}"))
                        .hint(format!("the parameters are {PARAMETERS}")));
                }
            }
        }
        let mode = mode.as_deref().unwrap_or(if ca.is_some() {
            "verify-ca"
        } else {
            "preferred"
        });
        let tls = tls(mode, ca).map_err(|wrong| {
            let error = bad(wrong);
            error.hint(format!("ssl-mode is one of {SSL_MODES}"))
        })?;
        if tls.is_some() {
            choose_cryptography();
        }
        let opts = OptsBuilder::default()
            .ip_or_hostname(url.host.as_str())
            .tcp_port(url.port.unwrap_or(PORT))
            .user(url.user.as_deref())
            .pass(url.password.as_ref().map(|p| p.expose().to_owned()))
            .db_name(Some(url.database.as_str()))
            .prefer_socket(false)
            .client_found_rows(true)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .stmt_cache_size(STATEMENTS);
        let plain = (mode == "preferred").then(|| Opts::from(opts.clone()));
        Ok(Self {
            inner: Arc::new(Inner {
                place,
                database: url.database.clone(),
                opts: opts.ssl_opts(tls).into(),
                plain,
                any_name: mode == "verify-ca",
                timeout,
                version: OnceLock::new(),
            }),
        })
    }

    /// `host:port/database`
    pub(super) fn place(&self) -> &str {
        &self.inner.place
    }

    /// The database that tables without one are in.
    pub(super) fn database(&self) -> &str {
        &self.inner.database
    }

    /// What the server says of itself; known once a connection was made.
    pub(super) fn version(&self) -> Option<&Version> {
        self.inner.version.get()
    }

    /// Whether it is MariaDB.
    pub(super) fn is_mariadb(&self) -> bool {
        self.version().is_some_and(|v| v.maker == Maker::MariaDb)
    }

    /// A connection with our settings.
    pub(super) async fn connect(&self, access: Access) -> Result<Conn> {
        let what = || mysql(format!("set up a session at {}", self.place()));
        let mut conn = self.connect_bare().await?;
        conn.query_drop("SET NAMES utf8mb4 COLLATE utf8mb4_bin")
            .await
            .map_err(what())?;
        conn.query_drop(SETTINGS).await.map_err(what())?;
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            .await
            .map_err(what())?;
        let version = self.read_version(&mut conn).await?;
        if version.maker == Maker::MariaDb {
            conn.query_drop(SETTINGS_MARIADB).await.map_err(what())?;
            // Where it exists: rows that are locked are read anew, so that nothing is lost by it.
            let known: Option<mysql_async::Row> = conn
                .query_first("SHOW VARIABLES LIKE 'innodb\\_snapshot\\_isolation'")
                .await
                .map_err(what())?;
            if known.is_some() {
                conn.query_drop("SET SESSION innodb_snapshot_isolation = OFF")
                    .await
                    .map_err(what())?;
            }
        }
        if access == Access::Write {
            // MySQL knows no limit but that for all idle sessions; one that is closed while nobody
            // uses it is opened anew.
            let idle = match version.maker {
                Maker::MariaDb => "idle_transaction_timeout",
                Maker::Mysql => "wait_timeout",
            };
            conn.query_drop(format!(
                "SET SESSION foreign_key_checks = 0, {idle} = {IDLE_MAX_S}"
            ))
            .await
            .map_err(what())?;
        }
        Ok(conn)
    }

    /// A connection as the server gives it.
    pub(super) async fn connect_bare(&self) -> Result<Conn> {
        match self.open(&self.inner.opts).await {
            Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
                if self.inner.plain.is_some() =>
            {
                let plain = self.inner.plain.as_ref().unwrap_or(&self.inner.opts);
                self.open(plain).await
            }
            // The authority is the right one; the driver cannot leave the name out of account, but
            // it can be told another one.
            Err(e) if self.inner.any_name => match presented_name(&e) {
                Some(name) => {
                    let opts = &self.inner.opts;
                    let tls = opts
                        .ssl_opts()
                        .cloned()
                        .map(|tls| tls.with_danger_tls_hostname_override(Some(name)));
                    self.open(&OptsBuilder::from_opts(opts.clone()).ssl_opts(tls).into())
                        .await
                }
                None => Err(e),
            },
            other => other,
        }
        .map_err(mysql(format!("connect to {}", self.place())))
    }

    async fn open(&self, opts: &Opts) -> Result<Conn, mysql_async::Error> {
        match tokio::time::timeout(self.inner.timeout, Conn::new(opts.clone())).await {
            Ok(done) => done,
            Err(_) => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {} s", self.inner.timeout.as_secs()),
            )
            .into()),
        }
    }

    async fn read_version(&self, conn: &mut Conn) -> Result<&Version> {
        if let Some(version) = self.version() {
            return Ok(version);
        }
        let text: Option<String> = conn
            .query_first("SELECT VERSION()")
            .await
            .map_err(mysql(format!("read the version of {}", self.place())))?;
        let version = Version::parse(&text.unwrap_or_default());
        Ok(self.inner.version.get_or_init(|| version))
    }

    /// Ends a connection in the middle of a statement, in the background: what it still has to
    /// send is not waited for.
    pub(super) fn abandon(&self, conn_id: u32) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let server = self.clone();
        runtime.spawn(async move {
            // When that fails, the server notices by itself that nobody reads any more.
            let killed = match server.connect_bare().await {
                Ok(mut conn) => conn
                    .query_drop(format!("KILL CONNECTION {conn_id}"))
                    .await
                    .map_err(mysql("end a connection")),
                Err(e) => Err(e),
            };
            if let Err(error) = killed {
                tracing::debug!(%error, "a connection was left to end by itself");
            }
        });
    }
}

/// A name in a certificate that was refused only for its names.
fn presented_name(error: &mysql_async::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext {
        presented,
        ..
    }) = tls_error(error)?
    else {
        return None;
    };
    // `DnsName("*.example.com")`
    let (_, name) = presented.first()?.split_once('(')?;
    let name = name.trim_end_matches(')').trim_matches('"');
    Some(name.replace('*', "any"))
}

/// TLS needs one choice of cryptography for the whole process: crates that we use bring two.
fn choose_cryptography() {
    let chosen = rustls::crypto::CryptoProvider::get_default().is_some();
    if !chosen
        && rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
    {
        tracing::debug!("the cryptography of TLS was chosen elsewhere meanwhile");
    }
}

/// The TLS options of an `ssl-mode`.
fn tls(mode: &str, ca: Option<PathBuf>) -> Result<Option<SslOpts>, String> {
    let verify = match mode {
        "disabled" | "preferred" | "required" if ca.is_some() => {
            return Err(format!("ssl-ca is of no use with ssl-mode={mode}"));
        }
        "disabled" => return Ok(None),
        "preferred" | "required" => false,
        "verify-ca" | "verify-identity" => true,
        other => return Err(format!("there is no ssl-mode {other}")),
    };
    let mut opts = SslOpts::default()
        .with_danger_accept_invalid_certs(!verify)
        .with_danger_skip_domain_validation(mode != "verify-identity");
    if let Some(ca) = ca {
        opts = opts
            .with_root_certs(vec![ca.into()])
            .with_disable_built_in_roots(true);
    }
    Ok(Some(opts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn url(parameters: &[(&str, &str)]) -> ServerUrl {
        ServerUrl {
            host: "db".to_owned(),
            port: None,
            user: Some("app".to_owned()),
            password: Some(Secret::new("hunter2".to_owned())),
            database: "shop".to_owned(),
            parameters: parameters
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn parameters_are_checked() {
        let server = Server::new(&url(&[("connect_timeout", "3")])).unwrap();
        assert_eq!(server.place(), "db:3306/shop");
        assert!(!format!("{server:?}").contains("hunter2"));
        for (name, value, wrong) in [
            ("sslmode", "x", "there is no parameter sslmode"),
            ("ssl-mode", "maybe", "there is no ssl-mode maybe"),
            ("connect_timeout", "0", "connect_timeout=0"),
            ("connect_timeout", "x", "connect_timeout=x"),
        ] {
            let error = Server::new(&url(&[(name, value)])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(wrong), "{error}");
        }
        assert!(Server::new(&url(&[("ssl-mode", "disabled"), ("ssl-ca", "x")])).is_err());
        assert!(Server::new(&url(&[("ssl-ca", "ca.pem")])).is_ok());
    }

    #[test]
    fn versions() {
        let maria = Version::parse("10.11.6-MariaDB-0+deb12u1-log");
        assert_eq!((maria.maker, maria.number), (Maker::MariaDb, (10, 11)));
        assert!(maria.supported());
        assert_eq!(Version::parse("5.5.5-10.6.1-MariaDB").number, (10, 6));
        assert!(!Version::parse("5.5.5-10.6.1-MariaDB").supported());
        let mysql = Version::parse("8.4.2");
        assert_eq!((mysql.maker, mysql.number), (Maker::Mysql, (8, 4)));
        assert!(mysql.supported());
        assert!(!Version::parse("5.7.44-log").supported());
    }
}
