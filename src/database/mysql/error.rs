//! The servers' errors in our words.

use mysql_async::{DriverError, Error as Mysql};

use crate::database::server::driver::Violation;
use crate::error::{Error, ErrorKind};
use crate::rule::ConflictKind;

/// What an error code means for us, and what to do.
fn meaning(code: u16) -> (ErrorKind, Option<&'static str>) {
    match code {
        1205 => (
            ErrorKind::Busy,
            Some("another transaction holds the rows locked; let it finish, then try again"),
        ),
        // Deadlock; changed since the snapshot; NOWAIT; a query that was given up.
        1213 | 1020 | 3572 | 3058 | 1969 | 3024 => (ErrorKind::Busy, None),
        1040 | 1203 | 1226 => (
            ErrorKind::Busy,
            Some("the server has no connection left for this user; raise its limit"),
        ),
        // Shutting down, killed, gone away, lost, idle for too long.
        1053
        | 1077
        | 1079
        | 1152
        | 1158..=1161
        | 1184
        | 1927
        | 2002..=2006
        | 2013
        | 2055
        | 3169
        | 4031 => (
            ErrorKind::Unavailable,
            Some("check that the server runs and can be reached from here"),
        ),
        1317 => (ErrorKind::Unavailable, None),
        1021 | 1114 | 1041 | 1037 | 1038 | 3675 | 28 | 1026 => (
            ErrorKind::Full,
            Some("give the server disk space or memory, then start again: nothing is lost"),
        ),
        1290 | 1836 => (
            ErrorKind::Store,
            Some("the server is read-only; name the primary server in the store's url"),
        ),
        1045 | 1698 => (
            ErrorKind::Store,
            Some(
                "check the user and the password in the store's url; if the user must come over TLS, \
                 say ssl-mode=REQUIRED there",
            ),
        ),
        1049 => (
            ErrorKind::NotFound,
            Some("check the database's name in the store's url"),
        ),
        1044 | 1142 | 1143 | 1227 | 1370 => (
            ErrorKind::Store,
            Some("GRANT the missing privilege to the user of the store's url"),
        ),
        1153 | 2020 => (
            ErrorKind::Store,
            Some("raise max_allowed_packet on the server"),
        ),
        1146 => (ErrorKind::NotFound, None),
        1054 | 1091 | 1412 => (ErrorKind::Schema, None),
        _ => (ErrorKind::Store, None),
    }
}

/// An error of the driver or the server: `what` says what could not be done ("read table t").
pub(super) fn mysql(what: impl std::fmt::Display) -> impl FnOnce(Mysql) -> Error {
    move |e| {
        let (kind, hint) = match &e {
            Mysql::Server(server) => meaning(server.code),
            Mysql::Io(mysql_async::IoError::Io(io))
                if io.kind() == std::io::ErrorKind::NotFound =>
            {
                (ErrorKind::Store, Some("check the path in ssl-ca"))
            }
            e if matches!(tls(e), Some(rustls::Error::InvalidCertificate(_))) => (
                ErrorKind::Store,
                Some(
                    "name the authority that signed the server's certificate in ssl-ca; \
                     ssl-mode=verify-ca accepts any name in it, ssl-mode=required any certificate",
                ),
            ),
            Mysql::Io(_)
            | Mysql::Driver(
                DriverError::ConnectionClosed
                | DriverError::PoolDisconnected
                | DriverError::PacketOutOfOrder,
            ) => (
                ErrorKind::Unavailable,
                Some("check that the server runs and can be reached from here"),
            ),
            Mysql::Driver(DriverError::NoClientSslFlagFromServer) => (
                ErrorKind::Store,
                Some("the server offers no TLS: set it up there, or write ssl-mode=disabled"),
            ),
            Mysql::Driver(DriverError::PacketTooLarge) => (
                ErrorKind::Store,
                Some("raise max_allowed_packet on the server"),
            ),
            _ => (ErrorKind::Store, None),
        };
        let error = Error::new(kind, format!("cannot {what}")).caused_by(text(&e));
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// What TLS says, if the error is its own.
pub(super) fn tls(error: &Mysql) -> Option<&rustls::Error> {
    match error {
        Mysql::Io(mysql_async::IoError::Io(e)) => e.get_ref()?.downcast_ref(),
        Mysql::Io(mysql_async::IoError::Tls(e)) => {
            let mut cause = std::error::Error::source(e);
            while let Some(e) = cause {
                if let Some(found) = e.downcast_ref() {
                    return Some(found);
                }
                cause = e.source();
            }
            None
        }
        _ => None,
    }
}

/// In the server's words, with its code. Packets and values are not shown: they hold data.
fn text(error: &Mysql) -> String {
    match error {
        Mysql::Server(e) => format!("{} (code {})", e.message, e.code),
        Mysql::Io(mysql_async::IoError::Io(e)) => e.to_string(),
        Mysql::Io(mysql_async::IoError::Tls(e)) => e.to_string(),
        Mysql::Driver(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// The server's code, if the error is the server's.
pub(super) fn code(error: &Mysql) -> Option<u16> {
    match error {
        Mysql::Server(e) => Some(e.code),
        _ => None,
    }
}

/// The constraint that said no, if it is one: only the statement is undone then.
pub(super) fn violation(error: &Mysql) -> Option<Violation> {
    let Mysql::Server(e) = error else { return None };
    let kind = match e.code {
        1062 | 1586 | 1169 => ConflictKind::InsertExists,
        1048 | 1364 | 1263 => ConflictKind::NotNullViolation,
        1216 | 1452 => ConflictKind::FkParentMissing,
        1217 | 1451 | 1834 => ConflictKind::FkChildExists,
        3819 | 4025 | 1369 => ConflictKind::CheckViolation,
        // Too long, out of range, wrong or truncated value; of JSON, geometry, a partition;
        // raised by a trigger.
        1406 | 1264 | 1366 | 1292 | 1265 | 1411 | 1416 | 1367 | 1441 | 1365 | 1690 | 1526
        | 3140 | 3141 | 3037 | 3156 | 1644 => ConflictKind::ValueNotRepresentable,
        _ if e.state.starts_with("22") || e.state.starts_with("45") => {
            ConflictKind::ValueNotRepresentable
        }
        _ => return None,
    };
    Some(Violation {
        kind,
        reason: e.message.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, state: &str) -> Mysql {
        Mysql::Server(mysql_async::ServerError {
            code,
            message: "says the server".to_owned(),
            state: state.to_owned(),
        })
    }

    #[test]
    fn codes_have_kinds() {
        for (code, kind) in [
            (1205, ErrorKind::Busy),
            (1213, ErrorKind::Busy),
            (1020, ErrorKind::Busy),
            (1045, ErrorKind::Store),
            (2013, ErrorKind::Unavailable),
            (1021, ErrorKind::Full),
            (1146, ErrorKind::NotFound),
            (1064, ErrorKind::Store),
        ] {
            let error = mysql("try")(server(code, "HY000"));
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().contains(&code.to_string()));
        }
    }

    #[test]
    fn constraints_are_told_from_errors() {
        for (code, kind) in [
            (1062, ConflictKind::InsertExists),
            (1048, ConflictKind::NotNullViolation),
            (1452, ConflictKind::FkParentMissing),
            (1451, ConflictKind::FkChildExists),
            (4025, ConflictKind::CheckViolation),
            (1406, ConflictKind::ValueNotRepresentable),
        ] {
            let found = violation(&server(code, "23000")).unwrap();
            assert_eq!(found.kind, kind, "{code}");
        }
        assert_eq!(violation(&server(1213, "40001")), None);
    }
}
