//! SQLite's errors in our words.

use crate::error::{Error, ErrorKind};

use rusqlite::ErrorCode;

/// What a result code means for us.
pub(super) fn kind(code: ErrorCode) -> ErrorKind {
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ErrorKind::Busy,
        ErrorCode::DiskFull => ErrorKind::Full,
        ErrorCode::NotADatabase | ErrorCode::CannotOpen | ErrorCode::DatabaseCorrupt => {
            ErrorKind::Unavailable
        }
        ErrorCode::SchemaChanged => ErrorKind::Schema,
        _ => ErrorKind::Store,
    }
}

/// An SQLite error, with what was being done.
pub(super) fn sqlite(what: impl std::fmt::Display) -> impl FnOnce(rusqlite::Error) -> Error {
    move |e| {
        let kind = e.sqlite_error_code().map_or(ErrorKind::Store, kind);
        let hint = match kind {
            ErrorKind::Busy => Some(
                "another process holds the database's write lock; let it commit, then try again",
            ),
            ErrorKind::Full => Some("free some disk space, then start again: nothing is lost"),
            ErrorKind::Unavailable => {
                Some("check that the path names an SQLite database that you may read and write")
            }
            _ => None,
        };
        let error = Error::new(kind, what.to_string()).caused_by(e);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// The extended result code, if it is SQLite's.
pub(super) fn extended(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(e, _) => Some(e.extended_code),
        _ => None,
    }
}
