//! PostgreSQL's errors in our words, by SQLSTATE.

use tokio_postgres::error::{DbError, SqlState};

use crate::database::server::driver::Violation;
use crate::error::{Error, ErrorKind};
use crate::rule::ConflictKind;

/// What a statement does to a table: it tells a missing parent from a child that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It writes rows.
    Write,
    /// It takes rows out.
    Delete,
}

/// What an SQLSTATE means for us, and what to do about it.
fn meaning(code: &str) -> (ErrorKind, Option<&'static str>) {
    use ErrorKind::{Busy, Full, NotFound, Refused, Schema, Store, Unavailable};
    match code {
        "55P03" => (
            Busy,
            Some("another transaction holds the rows or the table locked; it is tried again"),
        ),
        "40001" | "40P01" | "40002" | "40003" => (Busy, None),
        "55006" => (
            Busy,
            Some("another session uses it; it is free when that session has ended"),
        ),
        "57014" => (Busy, Some("somebody cancelled the statement")),
        "28P01" | "28000" => (
            Store,
            Some("correct user and password in the store's URL, and see pg_hba.conf"),
        ),
        "3D000" => (
            Store,
            Some("correct the database's name in the store's URL"),
        ),
        "42501" => (
            Store,
            Some("GRANT the user what the message names, or connect as the tables' owner"),
        ),
        "25006" => (
            Store,
            Some("the server is a standby or read-only: name the primary in the store's URL"),
        ),
        "53100" => (
            Full,
            Some("free some disk space on the server, then start again: nothing is lost"),
        ),
        "53300" => (
            Unavailable,
            Some("the server has no connection left: raise max_connections, or close some"),
        ),
        "53000" | "53200" | "53400" | "25P03" => (Unavailable, None),
        "42P01" | "3F000" => (NotFound, None),
        "42703" | "42704" | "42883" | "42804" => (Schema, None),
        "0A000" => (Store, None),
        "42P10" | "55000" => (Refused, None),
        _ if code.starts_with("08") || code.starts_with("57P") || code.starts_with("58") => {
            (Unavailable, None)
        }
        _ => (Store, None),
    }
}

/// An error of the driver: `what` says what could not be done ("read table customers").
pub(super) fn pg(what: impl std::fmt::Display) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |e| {
        let message = format!("cannot {what}");
        let Some(db) = e.as_db_error() else {
            return other(&e, message);
        };
        let (kind, hint) = if stale_plan(db) {
            (ErrorKind::Busy, None)
        } else {
            meaning(db.code().code())
        };
        let error = Error::new(kind, message).caused_by(text(db));
        match hint.or_else(|| tls_hint(db)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// An error that the server did not send: the network's, the driver's.
fn other(e: &tokio_postgres::Error, message: String) -> Error {
    let mut causes = Vec::new();
    let mut io = false;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(c) = cause {
        io |= c.downcast_ref::<std::io::Error>().is_some();
        let text = c.to_string();
        if !causes.iter().any(|seen: &String| seen.contains(&text)) {
            causes.push(text);
        }
        cause = c.source();
    }
    let text = causes.join(": ");
    let (kind, hint) = if text.contains("TLS") {
        if text.contains("does not support TLS") {
            (
                ErrorKind::Store,
                Some("the server has no TLS: sslmode=disable or prefer in the store's URL"),
            )
        } else {
            (
                ErrorKind::Store,
                Some("see sslmode and sslrootcert in the store's URL"),
            )
        }
    } else if text.contains("authentication error") || text.contains("invalid configuration") {
        (
            ErrorKind::Store,
            Some("correct user and password in the store's URL"),
        )
    } else if io || e.is_closed() || text.contains("timeout") {
        (
            ErrorKind::Unavailable,
            Some("check that the server runs, and host and port in the store's URL"),
        )
    } else {
        (ErrorKind::Store, None)
    };
    let error = Error::new(kind, message).caused_by(text);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// pg_hba.conf lets nobody in, or not like this.
fn tls_hint(db: &DbError) -> Option<&'static str> {
    (db.code() == &SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        && db.message().contains("no encryption"))
    .then_some("the server may want TLS: sslmode=require in the store's URL")
}

/// A prepared statement whose table was altered since.
pub(super) fn stale_plan(db: &DbError) -> bool {
    db.code() == &SqlState::FEATURE_NOT_SUPPORTED && db.routine() == Some("RevalidateCachedQuery")
}

/// In PostgreSQL's words, with the code.
fn text(db: &DbError) -> String {
    let mut text = db.message().to_owned();
    if let Some(detail) = db.detail() {
        text.push_str(&format!(" ({detail})"));
    }
    text.push_str(&format!(" (SQLSTATE {})", db.code().code()));
    text
}

/// What a failed statement ran into, if it is a constraint's matter; `table`: whose rows it wrote.
pub(super) fn violation(
    error: &tokio_postgres::Error,
    table: &str,
    doing: Doing,
) -> Option<Violation> {
    let db = error.as_db_error()?;
    let kind = match db.code().code() {
        "23505" => ConflictKind::InsertExists,
        "23503" => {
            let others = db.table().is_some_and(|t| t != table);
            if doing == Doing::Delete || others {
                ConflictKind::FkChildExists
            } else {
                ConflictKind::FkParentMissing
            }
        }
        "23001" => ConflictKind::FkChildExists,
        "23502" => ConflictKind::NotNullViolation,
        // An exclusion constraint, a partition that is not there, a trigger that raises.
        "23514" | "23P01" | "23000" | "P0001" | "44000" => ConflictKind::CheckViolation,
        // An index entry that is too large among them.
        "54000" => ConflictKind::ValueNotRepresentable,
        code if code.starts_with("22") => ConflictKind::ValueNotRepresentable,
        _ => return None,
    };
    Some(Violation {
        kind,
        reason: text(db),
    })
}

/// Something that cannot be, in words.
pub(super) fn internal(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_kinds_that_decide_about_another_try() {
        for (code, kind) in [
            ("55P03", ErrorKind::Busy),
            ("40P01", ErrorKind::Busy),
            ("40001", ErrorKind::Busy),
            ("28P01", ErrorKind::Store),
            ("53100", ErrorKind::Full),
            ("57P01", ErrorKind::Unavailable),
            ("25P03", ErrorKind::Unavailable),
            ("08006", ErrorKind::Unavailable),
            ("42P01", ErrorKind::NotFound),
            ("XX000", ErrorKind::Store),
        ] {
            assert_eq!(meaning(code).0, kind, "{code}");
        }
    }
}
