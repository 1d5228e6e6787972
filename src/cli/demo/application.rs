//! A database as an application opens it: its own connection, which knows nothing of Banyan.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::error::{Error, ErrorKind, Result};

/// Writers wait this long for each other, as applications do.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a database with this schema.
pub(super) fn create(path: &Path, schema: &str) -> Result<Connection> {
    let connection = Connection::open(path).map_err(store(format!("create {}", path.display())))?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL")
        .and_then(|()| connection.execute_batch(schema))
        .map_err(store(format!("create the tables of {}", path.display())))?;
    Ok(connection)
}

/// Opens a database for an application that writes.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let failed = || store(format!("open {}", path.display()));
    let connection = Connection::open(path).map_err(failed())?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed())?;
    connection
        .execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL")
        .map_err(failed())?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Makes a database's error one of ours, saying what was tried.
pub(super) fn store(what: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> Error {
    let what = what.into();
    move |cause| Error::new(ErrorKind::Store, format!("the demo could not {what}")).caused_by(cause)
}
