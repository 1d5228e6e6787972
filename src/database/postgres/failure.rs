//! What went wrong at the server, as the log's errors.

use pg_walstream::ReplicationError;

use crate::error::{Error, ErrorKind};

/// Which kind of error an SQLSTATE is.
pub(super) fn kind_of_state(state: &str) -> ErrorKind {
    match state {
        // Lock timeouts, deadlocks, serialization failures, cancelled statements, objects in use.
        "55P03" | "40P01" | "40001" | "57014" | "55006" => ErrorKind::Busy,
        "53100" => ErrorKind::Full,
        // Shutting down, starting up, out of memory or connections.
        "57P01" | "57P02" | "57P03" | "57P05" | "53200" | "53300" | "25P03" => {
            ErrorKind::Unavailable
        }
        state if state.starts_with("08") => ErrorKind::Unavailable,
        _ => ErrorKind::Store,
    }
}

/// An error of the ordinary connection. `what` says what was being done.
pub(super) fn sql(what: &str, cause: tokio_postgres::Error) -> Error {
    let kind = match cause.code() {
        Some(code) => kind_of_state(code.code()),
        None if cause.is_closed() || is_io(&cause) => ErrorKind::Unavailable,
        None => ErrorKind::Internal,
    };
    let message = cause
        .as_db_error()
        .map_or_else(|| what.to_owned(), |db| format!("{what}: {}", db.message()));
    Error::new(kind, message).caused_by(cause)
}

fn is_io(cause: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(cause);
    source
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some()
}

/// An error of the replication connection.
pub(super) fn replication(what: &str, cause: ReplicationError) -> Error {
    let text = cause.to_string();
    let state = state(&text);
    let kind = match (&cause, state) {
        // The slot or the publication is not there, or the slot was invalidated.
        (_, Some("42704")) => ErrorKind::LogGap,
        (_, Some("55000")) if !text.contains("wal_level") && !text.contains("database") => {
            ErrorKind::LogGap
        }
        (_, Some(state)) => kind_of_state(state),
        (ReplicationError::Authentication(_) | ReplicationError::Config(_), None) => {
            ErrorKind::Store
        }
        (_, None) if text.contains("exceeds maximum allowed") => ErrorKind::Value,
        (ReplicationError::Protocol(_), None) => ErrorKind::Internal,
        _ => ErrorKind::Unavailable,
    };
    let error = Error::new(kind, format!("{what}: {text}")).caused_by(cause);
    match kind {
        ErrorKind::LogGap => error.hint(TABLES_ANEW),
        ErrorKind::Value => error.hint(
            "one change of one row is larger than 128 MiB in the log; leave the column out of the \
             mapping or use capture = \"trigger\"",
        ),
        _ => error,
    }
}

/// What to do when the log has a gap.
pub(super) const TABLES_ANEW: &str = "changes are missing from the log: abort the migration and start it anew, so that its tables \
     are copied again";

/// The SQLSTATE that pg_walstream puts before the server's message.
fn state(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    let (state, _) = rest.split_once(']')?;
    (state.len() == 5 && state.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(cause: ReplicationError) -> ErrorKind {
        replication("x", cause).kind()
    }

    #[test]
    fn kinds_follow_from_states() {
        for (text, wanted) in [
            ("[55006] replication slot is active", ErrorKind::Busy),
            ("[42704] slot does not exist", ErrorKind::LogGap),
            ("[55000] can no longer get changes", ErrorKind::LogGap),
            ("[55000] requires wal_level >= logical", ErrorKind::Store),
            ("[42501] permission denied", ErrorKind::Store),
            ("[57P01] terminating connection", ErrorKind::Unavailable),
            ("[53100] No space left on device", ErrorKind::Full),
            (
                "message length 9 exceeds maximum allowed 1 bytes",
                ErrorKind::Value,
            ),
        ] {
            assert_eq!(kind(ReplicationError::protocol(text)), wanted, "{text}");
        }
        assert_eq!(
            kind(ReplicationError::transient_connection("closed")),
            ErrorKind::Unavailable
        );
        assert_eq!(
            kind(ReplicationError::authentication("no")),
            ErrorKind::Store
        );
    }
}
