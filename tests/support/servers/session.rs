//! SQL as an application runs it: a connection to a server or a SQLite file, everything as text.

use std::fmt;
use std::path::Path;

use mysql_async::prelude::Queryable as _;
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A statement failed.
#[derive(Debug)]
pub(crate) struct SqlError {
    text: String,
    /// Whether the application should run its transaction again: a deadlock, a lock that did not
    /// come in time.
    pub(crate) again: bool,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

type Result<T> = std::result::Result<T, SqlError>;

/// Cells of rows; NULL is `None`.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// A connection.
#[derive(Debug)]
pub(crate) struct Session(Inner);

#[derive(Debug)]
enum Inner {
    Postgres(Runtime, tokio_postgres::Client),
    Mysql(Runtime, Option<mysql_async::Conn>),
    Sqlite(rusqlite::Connection),
}

impl Session {
    /// Connects to `postgres://…` or `mysql://…`, without TLS.
    pub(crate) fn open(url: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let inner = if url.starts_with("mysql:") {
            let opts = mysql_async::Opts::from_url(url).unwrap();
            let conn = runtime
                .block_on(mysql_async::Conn::new(opts))
                .map_err(mysql)?;
            Inner::Mysql(runtime, Some(conn))
        } else {
            let connected = runtime.block_on(tokio_postgres::connect(url, NoTls));
            let (client, connection) = connected.map_err(postgres)?;
            // An error of the connection shows in the next statement.
            runtime.spawn(async move { connection.await.err() });
            Inner::Postgres(runtime, client)
        };
        Ok(Self(inner))
    }

    /// Opens a SQLite file.
    pub(crate) fn open_file(path: &Path) -> Self {
        Self(Inner::Sqlite(crate::support::app(path)))
    }

    /// Runs one statement or several; answers how many rows the last one changed.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<u64> {
        match &mut self.0 {
            Inner::Postgres(runtime, client) => {
                let messages = runtime
                    .block_on(client.simple_query(sql))
                    .map_err(postgres)?;
                let counts = messages.iter().rev().filter_map(|message| match message {
                    SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
                    _ => None,
                });
                Ok(counts.into_iter().next().unwrap_or(0))
            }
            Inner::Mysql(runtime, conn) => {
                let conn = conn.as_mut().unwrap();
                runtime.block_on(conn.query_drop(sql)).map_err(mysql)?;
                Ok(conn.affected_rows())
            }
            Inner::Sqlite(conn) => {
                conn.execute_batch(sql).map_err(sqlite)?;
                Ok(conn.changes())
            }
        }
    }

    /// The rows of one query.
    pub(crate) fn rows(&mut self, sql: &str) -> Result<Rows> {
        match &mut self.0 {
            Inner::Postgres(runtime, client) => {
                let messages = runtime
                    .block_on(client.simple_query(sql))
                    .map_err(postgres)?;
                let rows = messages.iter().filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(
                        (0..row.len())
                            .map(|i| row.get(i).map(str::to_owned))
                            .collect(),
                    ),
                    _ => None,
                });
                Ok(rows.collect())
            }
            Inner::Mysql(runtime, conn) => {
                let query = conn.as_mut().unwrap().query::<mysql_async::Row, _>(sql);
                let rows = runtime.block_on(query).map_err(mysql)?;
                Ok(rows.into_iter().map(mysql_row).collect())
            }
            Inner::Sqlite(conn) => {
                let mut statement = conn.prepare(sql).map_err(sqlite)?;
                let width = statement.column_count();
                let rows = statement.query_map([], |row| {
                    (0..width)
                        .map(|i| Ok(sqlite_cell(row.get_ref(i)?)))
                        .collect()
                });
                rows.map_err(sqlite)?
                    .collect::<rusqlite::Result<_>>()
                    .map_err(sqlite)
            }
        }
    }

    /// The only cell of a query's only row, as a number.
    pub(crate) fn number(&mut self, sql: &str) -> i64 {
        let rows = self.rows(sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
        let cell = rows.first().and_then(|row| row.first()).cloned().flatten();
        cell.and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("{rows:?}: {sql}"))
    }

    /// Runs a transaction as an application does: from its beginning again when the database wants
    /// that.
    pub(crate) fn transact(&mut self, begin: &str, mut work: impl FnMut(&mut Self) -> Result<()>) {
        loop {
            let done = self
                .execute(begin)
                .and_then(|_| work(self))
                .and_then(|()| self.execute("COMMIT"));
            let Err(error) = done else { return };
            assert!(error.again, "{error}");
            // What is undone already cannot be undone again, which SQLite calls an error.
            if let Err(e) = self.execute("ROLLBACK") {
                assert!(e.text.contains("no transaction is active"), "{e}");
            }
        }
    }
}

/// In order: the server would count an abandoned connection as aborted.
impl Drop for Session {
    fn drop(&mut self) {
        if let Inner::Mysql(runtime, conn) = &mut self.0
            && let Some(conn) = conn.take()
        {
            runtime.block_on(async { conn.disconnect().await.ok() });
        }
    }
}

fn postgres(error: tokio_postgres::Error) -> SqlError {
    const AGAIN: [SqlState; 3] = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    let again = error.code().is_some_and(|code| AGAIN.contains(code));
    let detail = error.as_db_error().map(ToString::to_string);
    SqlError {
        text: format!("{error} {}", detail.unwrap_or_default()),
        again,
    }
}

fn mysql(error: mysql_async::Error) -> SqlError {
    // Lock wait timeout, deadlock.
    let again = matches!(&error, mysql_async::Error::Server(e) if [1205, 1213].contains(&e.code));
    SqlError {
        text: error.to_string(),
        again,
    }
}

fn sqlite(error: rusqlite::Error) -> SqlError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};

    let code = error.sqlite_error_code();
    SqlError {
        text: error.to_string(),
        again: matches!(code, Some(DatabaseBusy | DatabaseLocked)),
    }
}

fn mysql_row(row: mysql_async::Row) -> Vec<Option<String>> {
    let cells = row.unwrap().into_iter();
    cells
        .map(|cell| match cell {
            mysql_async::Value::NULL => None,
            mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => Some(other.as_sql(true)),
        })
        .collect()
}

fn sqlite_cell(cell: rusqlite::types::ValueRef<'_>) -> Option<String> {
    use rusqlite::types::ValueRef;

    match cell {
        ValueRef::Null => None,
        ValueRef::Integer(v) => Some(v.to_string()),
        ValueRef::Real(v) => Some(format!("{v:?}")),
        ValueRef::Text(v) => Some(String::from_utf8_lossy(v).into_owned()),
        ValueRef::Blob(v) => Some(format!("{v:?}")),
    }
}
