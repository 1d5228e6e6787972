//! Connections: how one is opened from a store's URL, and the settings that every one has.
//!
//! All values are read under fixed settings, so that the same value always has the same text, and
//! with `row_security = off`: a policy that would hide rows from us is an error, not a gap.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Statement};

use crate::config::ServerUrl;
use crate::error::{Error, ErrorKind, Result};

use super::error::pg;
use super::tls::{TlsMode, connector};

/// The oldest version that is supported.
pub(super) const VERSION_MIN: u32 = 14;
/// Unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that does not answer for so long is lost.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Statements that a connection keeps prepared.
const STATEMENTS_MAX: usize = 400;

/// The same text for the same value, no limits of time but our own, no rows hidden. What newer
/// versions alone have is set if it is there.
const SETTINGS: &str = "\
SET DateStyle = 'ISO, MDY'; SET IntervalStyle = postgres; SET extra_float_digits = 1; \
SET bytea_output = hex; SET TimeZone = 'UTC'; SET lc_monetary = 'C'; SET xmloption = content; \
SET xmlbinary = base64; SET array_nulls = on; SET standard_conforming_strings = on; \
SET row_security = off; SET jit = off; SET statement_timeout = 0; SET lock_timeout = 0; \
SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0; \
SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

const PARAMETERS: &str = "sslmode, sslrootcert, application_name, connect_timeout, options";

/// A store's URL, read: what the driver needs to connect.
#[derive(Clone)]
pub(super) struct Endpoint {
    config: Config,
    tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
    place: String,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Reads the URL's parameters. No round trip.
    pub(super) fn new(url: &ServerUrl) -> Result<Self> {
        let mut config = Config::new();
        let port = url.port.unwrap_or(5432);
        config
            .host(&url.host)
            .port(port)
            .dbname(&url.database)
            .application_name("banyan")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            .tcp_user_timeout(SILENCE_MAX);
        if let Some(user) = &url.user {
            config.user(user);
        }
        if let Some(password) = &url.password {
            config.password(password.expose());
        }
        let mut mode = TlsMode::default();
        let mut roots = None;
        for (name, value) in &url.parameters {
            match name.as_str() {
                "sslmode" => {
                    let found = TlsMode::ALL.iter().find(|(spelling, _)| spelling == value);
                    mode = found.map(|(_, mode)| *mode).ok_or_else(|| {
                        Error::new(
                            ErrorKind::Config,
                            format!("sslmode={value} in the URL of {}", url.host),
                        )
                        .hint("write disable, prefer, require, verify-ca or verify-full")
                    })?;
                }
                "sslrootcert" => roots = Some(value.as_str()),
                "application_name" => {
                    config.application_name(value);
                }
                "connect_timeout" => {
                    let seconds = value.parse().map_err(|e| {
                        Error::new(
                            ErrorKind::Config,
                            format!("connect_timeout={value} in the URL of {}", url.host),
                        )
                        .caused_by(e)
                        .hint("write a number of seconds")
                    })?;
                    config.connect_timeout(Duration::from_secs(seconds));
                }
                "options" => {
                    config.options(value);
                }
                other => {
                    return Err(Error::new(
                        ErrorKind::Config,
                        format!("unknown parameter {other} in the URL of {}", url.host),
                    )
                    .hint(format!("the parameters are {PARAMETERS}")));
                }
            }
        }
        // A folder is the place of a socket, where nobody listens on the way.
        if url.host.starts_with('/') {
            mode = TlsMode::Disable;
        }
        config.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let tls = match mode {
            TlsMode::Disable => None,
            mode => Some(connector(mode, roots)?),
        };
        Ok(Self {
            config,
            tls,
            place: format!("{}:{port}/{}", url.host, url.database),
        })
    }

    /// Opens a connection with our settings.
    pub(super) async fn connect(&self) -> Result<PgConn> {
        let mut config = self.config.clone();
        let plain = SslMode::Prefer == config.get_ssl_mode();
        let conn = match self.open(&config).await {
            // As libpq has it: a handshake that fails is no reason not to talk.
            Err(e) if plain && e.to_string().contains("TLS handshake") => {
                config.ssl_mode(SslMode::Disable);
                self.open(&config).await
            }
            opened => opened,
        };
        let conn = conn.map_err(pg(format!("connect to {}", self.place)))?;
        let version = conn.version;
        if version < VERSION_MIN {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("{} is PostgreSQL {version}", self.place),
            )
            .hint(format!("Banyan works with {VERSION_MIN} and later")));
        }
        conn.client
            .batch_execute(SETTINGS)
            .await
            .map_err(pg(format!("set up the session at {}", self.place)))?;
        Ok(conn)
    }

    async fn open(&self, config: &Config) -> Result<PgConn, tokio_postgres::Error> {
        match &self.tls {
            None => {
                let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
                let version = major(connection.parameter("server_version"));
                Ok(PgConn::new(
                    client,
                    version,
                    tokio::spawn(drive(connection)),
                ))
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                let version = major(connection.parameter("server_version"));
                Ok(PgConn::new(
                    client,
                    version,
                    tokio::spawn(drive(connection)),
                ))
            }
        }
    }
}

/// `15.18 (Debian 15.18-0)`, `17beta1`: the first number.
fn major(version: Option<&str>) -> u32 {
    let digits = |v: &str| {
        v.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    };
    version
        .map(digits)
        .and_then(|v| v.parse().ok())
        .unwrap_or(0)
}

async fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // Whoever uses the connection is told by its next call.
    if let Err(e) = connection.await {
        tracing::debug!(error = %e, "a connection to PostgreSQL ended");
    }
}

/// A connection and the task that drives it. Dropped, it is closed at once, whatever it is doing.
pub(super) struct PgConn {
    client: Client,
    version: u32,
    driver: JoinHandle<()>,
    statements: HashMap<Arc<str>, Statement>,
}

impl std::fmt::Debug for PgConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgConn").finish_non_exhaustive()
    }
}

impl Drop for PgConn {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl PgConn {
    fn new(client: Client, version: u32, driver: JoinHandle<()>) -> Self {
        Self {
            client,
            version,
            driver,
            statements: HashMap::new(),
        }
    }

    /// The driver's client.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The server's major version.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// Whether it still stands.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed() && !self.driver.is_finished()
    }

    /// A statement, prepared once for each connection.
    pub(super) async fn prepare(
        &mut self,
        sql: &Arc<str>,
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(Arc::clone(sql), statement.clone());
        Ok(statement)
    }

    /// Forgets the prepared statements: a table was altered.
    pub(super) fn forget_statements(&mut self) {
        self.statements.clear();
        self.client.clear_type_cache();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(parameters: &[(&str, &str)]) -> ServerUrl {
        ServerUrl {
            host: "db".to_owned(),
            port: None,
            user: Some("app".to_owned()),
            password: None,
            database: "shop".to_owned(),
            parameters: parameters
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn parameters_are_read_and_unknown_ones_refused() {
        let end = Endpoint::new(&url(&[("sslmode", "disable"), ("connect_timeout", "3")])).unwrap();
        assert_eq!(end.place, "db:5432/shop");
        assert!(end.tls.is_none());
        assert!(Endpoint::new(&url(&[])).unwrap().tls.is_some());
        for (wrong, says) in [
            (("sslmode", "maybe"), "sslmode=maybe"),
            (("connect_timeout", "x"), "connect_timeout=x"),
            (("ssl", "1"), "unknown parameter ssl"),
            (("sslmode", "verify-full"), "want sslrootcert"),
        ] {
            let error = Endpoint::new(&url(&[wrong])).unwrap_err();
            assert!(error.message().contains(says), "{error}");
            assert!(!error.hints().is_empty());
        }
    }

    #[test]
    fn versions() {
        assert_eq!(major(Some("15.18 (Debian 15.18-0)")), 15);
        assert_eq!(major(Some("17beta1")), 17);
        assert_eq!(major(None), 0);
    }
}
