//! Errors of the state in our words: what could not be done, where, and what to do about the cause.

use std::path::Path;

use crate::error::{Error, ErrorKind};

/// An error of the state at `path`: `what` says what could not be done ("read a migration").
pub(super) fn failed(path: &Path, what: &str) -> impl FnOnce(sqlx::Error) -> Error {
    let message = format!("state: cannot {what} ({})", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.display().to_string(),
        _ => ".".to_owned(),
    };
    move |e| {
        let sqlx::Error::Database(cause) = e else {
            return Error::new(ErrorKind::Store, message)
                .caused_by(e)
                .hint("check that the file named by [state] url is Banyan's, and can be written");
        };
        // The low byte is the plain code, the rest says more.
        let code = cause.code().and_then(|code| code.parse::<i32>().ok());
        let (kind, hint) = match code.map(|code| code & 0xff) {
            Some(5 | 6) => (
                ErrorKind::Busy,
                "another process holds it locked (a copy or backup of the file, an open sqlite3 \
                 shell); let it finish, then try again"
                    .to_owned(),
            ),
            Some(13) => (ErrorKind::Full, format!("free some space in {folder}")),
            Some(10) => (
                ErrorKind::Io,
                format!("the file system refused: check space, quotas and limits of {folder}"),
            ),
            Some(8 | 14) => (
                ErrorKind::Io,
                format!(
                    "give this user the right to write the file and {folder}, or name another \
                     place: [state] url"
                ),
            ),
            Some(11) => (
                ErrorKind::Store,
                "the file is damaged; no row depends on it: move it away, and banyan sync goes on \
                 from what the stores hold"
                    .to_owned(),
            ),
            _ => (
                ErrorKind::Store,
                "check that the file named by [state] url is Banyan's, and can be written"
                    .to_owned(),
            ),
        };
        // Its own words, without "error returned from database".
        Error::new(kind, message)
            .caused_by(cause.to_string())
            .hint(hint)
    }
}
