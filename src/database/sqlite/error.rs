//! SQLite's errors in our words.

use crate::error::{Error, ErrorKind};

use rusqlite::ErrorCode;

/// What a result code means for us.
pub(super) fn kind(code: ErrorCode) -> ErrorKind {
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ErrorKind::Busy,
        ErrorCode::DiskFull => ErrorKind::Full,
        ErrorCode::CannotOpen => ErrorKind::Unavailable,
        // Neither mends itself: no database, a damaged one, a read-only one.
        ErrorCode::SchemaChanged => ErrorKind::Schema,
        _ => ErrorKind::Store,
    }
}

/// An SQLite error: `what` says what could not be done ("read the outbox").
pub(super) fn sqlite(what: impl std::fmt::Display) -> impl FnOnce(rusqlite::Error) -> Error {
    move |e| {
        let code = e.sqlite_error_code();
        let kind = code.map_or(ErrorKind::Store, kind);
        let hint = match kind {
            ErrorKind::Busy => {
                Some("another process holds the database locked; let it finish, then try again")
            }
            ErrorKind::Full => Some("free some disk space, then start again: nothing is lost"),
            ErrorKind::Unavailable => {
                Some("check that the path names an SQLite database that you may read and write")
            }
            _ if code == Some(ErrorCode::NotADatabase) => {
                Some("the file is something else; correct the path")
            }
            _ if code == Some(ErrorCode::DatabaseCorrupt) => Some(
                "the file is damaged: sqlite3 FILE \"PRAGMA integrity_check\" says where; restore \
                 it, or rescue what can be read with sqlite3 FILE .recover",
            ),
            _ if code == Some(ErrorCode::SystemIoFailure) => Some(
                "the file system refused: check its free space, quotas and limits, then start \
                 again: nothing is lost",
            ),
            _ if code == Some(ErrorCode::ReadOnly) => {
                Some("give this user the right to write the file and its folder")
            }
            _ => None,
        };
        let error = Error::new(kind, format!("cannot {what}")).caused_by(text(&e));
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// In SQLite's words, with its extended code.
fn text(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(e, message) => {
            let plain = rusqlite::ffi::code_to_str(e.extended_code);
            let message = message.as_deref().unwrap_or(plain);
            format!("{message} (SQLite code {})", e.extended_code)
        }
        other => other.to_string(),
    }
}

/// The extended result code, if it is SQLite's.
pub(super) fn extended(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(e, _) => Some(e.extended_code),
        _ => None,
    }
}
