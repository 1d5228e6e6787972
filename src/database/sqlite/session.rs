//! One connection.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use crate::error::{Error, ErrorKind, Result};

use super::busy;
use super::error::sqlite;

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Read,
    /// Write what Banyan writes: no triggers fire (neither the application's nor our capture) and
    /// no foreign-key action runs, as in every log-based replication. Constraints hold.
    Apply,
    /// Write as an application does: triggers fire. For installing capture, and for the demo.
    Application,
}

/// An open connection: sqlx's, used through its handle.
///
/// Invariant: after opening, nothing asks the sqlx connection for anything but closing, so that its
/// worker thread never touches the handle while `conn` uses it.
pub struct Session {
    /// Declared first: dropped first, so that its statements are gone before sqlx closes.
    conn: rusqlite::Connection,
    _owner: Owner,
    path: PathBuf,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("path", &self.path).finish()
    }
}

impl Session {
    /// Opens the database. It must exist: nothing is created. Fails with `Unavailable` when there
    /// is no file, with `Store` when it is no SQLite database, with `Busy` when it is locked for
    /// longer than 10 s.
    pub async fn open(path: &Path, access: Access) -> Result<Self> {
        if !path.is_file() {
            let shown = path.display();
            let (kind, message) = if path.is_dir() {
                let what = format!("{shown} is a folder, not a database file");
                (ErrorKind::Store, what)
            } else {
                let what = format!("there is no database file {shown}");
                (ErrorKind::Unavailable, what)
            };
            return Err(Error::new(kind, message).hint(
                "correct the store's url in the configuration, or create the database first",
            ));
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .foreign_keys(false)
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging();
        let mut owner = SqliteConnection::connect_with(&options)
            .await
            .map_err(|e| open_error(path, e))?;
        let handle = owner
            .lock_handle()
            .await
            .map_err(|e| open_error(path, e))?
            .as_raw_handle();
        // SAFETY: the handle is valid until `owner` is dropped, which happens after `conn` is; and
        // by the invariant above nobody else uses it in between.
        #[expect(unsafe_code, reason = "the one place where sqlx's handle is borrowed")]
        let conn = unsafe { rusqlite::Connection::from_handle(handle.as_ptr()) }
            .map_err(sqlite(format!("open {}", path.display())))?;
        let session = Self {
            conn,
            _owner: Owner(Some(owner)),
            path: path.to_owned(),
        };
        session.configure(access)?;
        Ok(session)
    }

    fn configure(&self, access: Access) -> Result<()> {
        let place = || format!("open {}", self.path.display());
        self.conn.set_prepared_statement_cache_capacity(512);
        self.conn
            .busy_handler(Some(busy::patient))
            .map_err(sqlite(place()))?;
        // The first read: finds out whether the file is a database at all.
        self.conn
            .query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0))
            .map_err(sqlite(place()))?;
        if access == Access::Read {
            // Not opened read-only: such a connection, when it is the last one to close, leaves
            // the write-ahead log behind, with what others have committed there.
            self.conn
                .execute_batch("PRAGMA query_only = ON")
                .map_err(sqlite(place()))?;
        }
        if access == Access::Apply {
            self.conn
                .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
                .map_err(sqlite(place()))?;
            self.conn
                .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000")
                .map_err(sqlite(place()))?;
        }
        // Bounded caches: 16 MiB each, and temporary b-trees on disk.
        self.conn
            .execute_batch("PRAGMA cache_size = -16384")
            .map_err(sqlite(place()))?;
        Ok(())
    }

    /// Waits at most about half a second for a lock from now on, or at most ten seconds.
    pub(super) fn set_patience(&self, patient: bool) -> Result<()> {
        let handler = if patient { busy::patient } else { busy::short };
        self.conn
            .busy_handler(Some(handler))
            .map_err(sqlite("set the busy handler"))
    }

    /// The connection itself.
    pub(super) fn conn(&self) -> &rusqlite::Connection {
        &self.conn
    }

    /// Runs statements as an application would. For tests and the demo's writers.
    pub fn execute(&self, sql: &str) -> Result<()> {
        self.conn
            .execute_batch(sql)
            .map_err(sqlite(format!("run {sql:?} in {}", self.path.display())))
    }
}

/// sqlx's connection, closed before the drop returns: the last connection to close folds the
/// write-ahead log into the database file, and must have done so when the program ends.
struct Owner(Option<SqliteConnection>);

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Whatever closing did not do, the next one to open the database does.
            drop(wait(connection.close()));
        }
    }
}

/// Waits for what another thread is doing; needs no runtime.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// sqlx's errors as those of every other call.
fn open_error(path: &Path, error: sqlx::Error) -> Error {
    let what = format!("open {}", path.display());
    let failure = match &error {
        sqlx::Error::Database(e) => e.code().and_then(|code| code.parse().ok()).map(|code| {
            let code = rusqlite::ffi::Error::new(code);
            rusqlite::Error::SqliteFailure(code, Some(e.message().to_owned()))
        }),
        _ => None,
    };
    match failure {
        Some(failure) => sqlite(what)(failure),
        None => Error::new(ErrorKind::Unavailable, format!("cannot {what}"))
            .caused_by(error)
            .hint("check that the file is an SQLite database that you may read and write"),
    }
}
