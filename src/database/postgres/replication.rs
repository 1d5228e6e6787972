//! Connections in replication mode, which the ordinary driver does not know.
//!
//! All functions here block: they are for threads of their own (see [`super::stream`]) or for
//! `spawn_blocking`.

use std::fmt::Write;

use pg_walstream::PgReplicationConnection;

use crate::config::ServerUrl;
use crate::error::{Error, ErrorKind, Result};

use super::failure;

/// Parameters of a URL that mean the same to this connection as to the ordinary one; the others are
/// none of its business.
const PARAMETERS: [&str; 9] = [
    "sslmode",
    "sslrootcert",
    "sslnegotiation",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
];

/// Values leave the server as text in one form, and nothing ends a session that waits for us.
const SETTINGS: [&str; 13] = [
    "client_encoding = 'UTF8'",
    "DateStyle = 'ISO, MDY'",
    "IntervalStyle = 'postgres'",
    "TimeZone = 'UTC'",
    "extra_float_digits = 3",
    "bytea_output = 'hex'",
    "lc_monetary = 'C'",
    "xmloption = 'content'",
    "standard_conforming_strings = on",
    "search_path = pg_catalog",
    "statement_timeout = 0",
    "idle_in_transaction_session_timeout = 0",
    "idle_session_timeout = 0",
];

/// What only newer versions have.
const SETTINGS_IF_KNOWN: &str =
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'";

/// A connection to one database.
pub(super) struct Replication {
    /// The connection, ready for a command.
    pub(super) connection: PgReplicationConnection,
}

/// Rows of a small answer, as text.
pub(super) type TextRows = Vec<Vec<Option<String>>>;

impl std::fmt::Debug for Replication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replication")
    }
}

impl Replication {
    /// Connects in replication mode and makes the session's settings.
    pub(super) fn connect(url: &ServerUrl) -> Result<Self> {
        Self::open(url, true)
    }

    /// Connects as an ordinary session, for questions while the replication connection streams.
    pub(super) fn connect_plain(url: &ServerUrl) -> Result<Self> {
        Self::open(url, false)
    }

    fn open(url: &ServerUrl, replication: bool) -> Result<Self> {
        let info = connection_info(url, replication)?;
        let connection = match PgReplicationConnection::connect(&info) {
            Ok(connection) => connection,
            Err(cause) => {
                let error = failure::replication(&format!("cannot connect to {url}"), cause);
                // "must be superuser or replication role to start walsender"; since 17
                // "permission denied to start WAL sender".
                let message = error.message().to_ascii_lowercase().replace(' ', "");
                return Err(if replication && message.contains("startwalsender") {
                    error.hint(replication_role_hint(url)?)
                } else {
                    error
                });
            }
        };
        let mut opened = Self { connection };
        for setting in SETTINGS {
            opened.run(&format!("SET {setting}"))?;
        }
        opened.run(SETTINGS_IF_KNOWN)?;
        Ok(opened)
    }

    /// Runs a command or a statement and answers its rows.
    pub(super) fn run(&mut self, sql: &str) -> Result<TextRows> {
        let answer = self.connection.exec(sql).map_err(|cause| {
            let what: String = sql.chars().take(60).collect();
            failure::replication(&format!("{what:?} failed"), cause)
        })?;
        let cell = |row, column| {
            answer
                .get_bytes(row, column)
                .map(|bytes| {
                    std::str::from_utf8(bytes)
                        .map(str::to_owned)
                        .map_err(|cause| {
                            Error::new(ErrorKind::Store, "the server's answer is not UTF-8")
                                .caused_by(cause)
                        })
                })
                .transpose()
        };
        (0..answer.ntuples())
            .map(|row| {
                (0..answer.nfields())
                    .map(|column| cell(row, column))
                    .collect()
            })
            .collect()
    }
}

/// What to do when the role may not replicate.
fn replication_role_hint(url: &ServerUrl) -> Result<String> {
    Ok(format!(
        "a superuser must run: ALTER ROLE {} REPLICATION; or use capture = \"trigger\"",
        super::capture_names::quoted(&user(url)?)
    ))
}

/// The role: without one in the URL the name of the system's user, as the ordinary driver has it.
fn user(url: &ServerUrl) -> Result<String> {
    match &url.user {
        Some(user) => Ok(user.clone()),
        None => whoami::username().map_err(|cause| {
            Error::new(ErrorKind::Config, format!("{url} names no user")).caused_by(cause)
        }),
    }
}

/// The URL as pg_walstream reads it: everything behind `?`, where every value is decoded.
fn connection_info(url: &ServerUrl, replication: bool) -> Result<String> {
    if url.host.starts_with('/') {
        return Err(Error::new(
            ErrorKind::Store,
            format!("{url} is a Unix socket; the log is read over TCP only"),
        )
        .hint("name a host, for example 127.0.0.1, or use capture = \"trigger\""));
    }
    let mut info = String::from("postgresql:///?");
    let mut put = |name: &str, value: &str| {
        if !info.ends_with('?') {
            info.push('&');
        }
        info.push_str(name);
        info.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() {
                info.push(char::from(byte));
            } else {
                write!(info, "%{byte:02X}").map_err(|_| out_of_memory())?;
            }
        }
        Ok(())
    };
    put("host", &url.host)?;
    put("port", &url.port.unwrap_or(5432).to_string())?;
    put("user", &user(url)?)?;
    if let Some(password) = &url.password {
        put("password", password.expose())?;
    }
    put("dbname", &url.database)?;
    if replication {
        put("replication", "database")?;
    }
    let given = |wanted: &str| url.parameters.iter().rfind(|(name, _)| name == wanted);
    for name in PARAMETERS {
        if let Some((_, value)) = given(name) {
            put(name, value)?;
        }
    }
    if given("connect_timeout").is_none() {
        put("connect_timeout", "10")?;
    }
    if given("keepalives_idle").is_none() {
        put("keepalives_idle", "30")?;
    }
    if given("tcp_user_timeout").is_none() {
        put("tcp_user_timeout", "60000")?;
    }
    Ok(info)
}

fn out_of_memory() -> Error {
    Error::new(ErrorKind::Internal, "a connection string cannot be written")
}

/// A position as the server writes it: `16/B374D848`.
pub(super) fn parse_lsn(text: &str) -> Result<u64> {
    let parsed = text.split_once('/').and_then(|(high, low)| {
        let high = u32::from_str_radix(high, 16).ok()?;
        let low = u32::from_str_radix(low, 16).ok()?;
        Some(u64::from(high) << 32 | u64::from(low))
    });
    parsed.ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            format!("{text:?} is no position in a log"),
        )
    })
}

/// A position for people and for SQL.
pub(super) fn format_lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn every_character_of_a_password_arrives() {
        let url = ServerUrl {
            host: "::1".into(),
            port: None,
            user: Some("ä b".into()),
            password: Some(Secret::new("p@s:s/w?r&d=%'\\")),
            database: "shop".into(),
            parameters: vec![
                ("sslmode".into(), "require".into()),
                ("application_name".into(), "x".into()),
            ],
        };
        assert_eq!(
            connection_info(&url, true).unwrap(),
            "postgresql:///?host=%3A%3A1&port=5432&user=%C3%A4%20b\
             &password=p%40s%3As%2Fw%3Fr%26d%3D%25%27%5C&dbname=shop&replication=database\
             &sslmode=require&connect_timeout=10&keepalives_idle=30&tcp_user_timeout=60000"
        );
    }

    #[test]
    fn positions_are_read_and_written() {
        for (text, position) in [
            ("0/0", 0),
            ("16/B374D848", 0x16_B374_D848),
            ("FFFFFFFF/FFFFFFFF", u64::MAX),
        ] {
            assert_eq!(parse_lsn(text).unwrap(), position);
            assert_eq!(format_lsn(position), text);
        }
        for text in ["", "0", "x/1", "1/1/1", "100000000/0"] {
            assert!(parse_lsn(text).is_err(), "{text}");
        }
    }
}
