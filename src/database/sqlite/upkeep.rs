//! What is asked about a migration in a database from outside the engine.

use rusqlite::OptionalExtension;

use crate::database::Lag;
use crate::error::Result;

use super::capture;
use super::error::sqlite;
use super::names::Names;
use super::session::Access;
use super::store::SqliteStore;

impl SqliteStore {
    /// Runs a statement that creates or alters a table.
    ///
    /// # Errors
    /// Those of writing; then nothing is done.
    pub async fn run_ddl(&self, sql: &str) -> Result<()> {
        let sql = sql.to_owned();
        self.with(Access::Apply, move |session| {
            let conn = session.conn();
            conn.execute_batch(&sql)
                .map_err(sqlite(format!("run {sql}")))
        })
        .await
    }

    /// Removes everything that Banyan added for a migration, whatever became of the tables since.
    ///
    /// # Errors
    /// Those of writing; then nothing is removed.
    pub async fn uninstall(&self, migration: &str) -> Result<()> {
        let names = Names::new(migration);
        self.with(Access::Apply, move |session| {
            capture::uninstall(session.conn(), &names)
        })
        .await
    }

    /// Whether changes of a migration's tables were missed; see [`super::SqliteSync::gaps`].
    ///
    /// # Errors
    /// Those of reading.
    pub async fn has_gap(&self, migration: &str) -> Result<bool> {
        let names = Names::new(migration);
        self.with(Access::Read, move |session| {
            let conn = session.conn();
            if capture::log(conn, &names)?.is_none() {
                return Ok(false);
            }
            let captured = capture::Captured::all(conn, &names)?;
            Ok(captured.iter().any(|table| table.gap.is_some()))
        })
        .await
    }

    /// What a reader that has read a migration's feed up to `read` has before it.
    ///
    /// # Errors
    /// Those of reading, when capture is not installed included.
    pub async fn lag(&self, migration: &str, read: u64) -> Result<Lag> {
        let outbox = Names::new(migration).sql("outbox");
        self.with(Access::Read, move |session| {
            let what = || sqlite("read the end of the outbox");
            let conn = session.conn();
            let end: Option<i64> = conn
                .query_row(&format!("SELECT max(seq) FROM {outbox}"), [], |row| {
                    row.get(0)
                })
                .map_err(what())?;
            let read = i64::try_from(read).unwrap_or(i64::MAX);
            let oldest_ms = conn
                .query_row(
                    &format!("SELECT at FROM {outbox} WHERE seq > ?1 ORDER BY seq LIMIT 1"),
                    [read],
                    |row| row.get(0),
                )
                .optional()
                .map_err(what())?
                .flatten();
            Ok(Lag {
                rows: end.unwrap_or(0).saturating_sub(read).max(0).unsigned_abs(),
                oldest_ms,
            })
        })
        .await
    }
}
