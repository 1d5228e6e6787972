//! The write lock of a store: an open write transaction.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use crate::data::{Key, Row};
use crate::database::sqlite::capture;
use crate::database::sqlite::error::sqlite;
use crate::database::sqlite::names::quote;
use crate::database::sqlite::session::Session;
use crate::database::{DecisionRecord, OpenConflict, Outcome, RowChange, Settled, StoreLock};
use crate::error::{Error, ErrorKind, Result};

use super::{Shared, panicked};

/// The writing connection while a transaction is open on it. Whoever drops it, also a call that
/// nobody waits for any more, undoes what is not committed.
pub(super) struct Transaction(pub(super) OwnedMutexGuard<Session>);

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.0.conn().is_autocommit() {
            // Nothing to tell anybody: closing the connection would roll back as well.
            drop(self.0.conn().execute_batch("ROLLBACK"));
        }
    }
}

/// Runs something on the session's behalf on a thread that may block.
pub(super) async fn hop<R: Send + 'static>(
    session: Transaction,
    run: impl FnOnce(&Session) -> Result<R> + Send + 'static,
) -> Result<(Transaction, Result<R>)> {
    tokio::task::spawn_blocking(move || {
        let result = run(&session.0);
        (session, result)
    })
    .await
    .map_err(panicked)
}

/// An open write transaction.
pub struct SqliteLock {
    /// `None` only while a call is under way, and after the end.
    pub(super) session: Option<Transaction>,
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for SqliteLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLock").finish_non_exhaustive()
    }
}

impl SqliteLock {
    async fn run<R: Send + 'static>(
        &mut self,
        run: impl FnOnce(&Shared, &rusqlite::Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let session = self
            .session
            .take()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a lock used after its end"))?;
        let shared = Arc::clone(&self.shared);
        let (session, result) = hop(session, move |s| run(&shared, s.conn())).await?;
        self.session = Some(session);
        result
    }
}

impl StoreLock for SqliteLock {
    async fn check_epoch(&mut self, epoch: i64) -> Result<()> {
        self.run(move |shared, conn| shared.check_epoch(conn, epoch))
            .await
    }

    async fn end(&mut self) -> Result<u64> {
        self.run(|shared, conn| capture::end(conn, &shared.names))
            .await
    }

    async fn read_rows(&mut self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        self.run(move |shared, conn| shared.rows(conn, table, &keys))
            .await
    }

    async fn write(&mut self, changes: Vec<RowChange>) -> Result<Vec<Outcome>> {
        self.run(move |shared, conn| shared.writer(conn).write(&changes))
            .await
    }

    async fn new_key(&mut self, table: usize) -> Result<Option<Key>> {
        self.run(move |shared, conn| {
            let table = &shared.options.tables[table];
            let [key] = table.key[..] else {
                return Ok(None);
            };
            let column = &table.schema.columns[table.columns[key]];
            if !column.declared_type.to_ascii_uppercase().contains("INT") {
                return Ok(None);
            }
            let max: Option<i64> = conn
                .query_row(
                    &format!(
                        "SELECT max({}) FROM {}",
                        quote(&column.name),
                        quote(&table.schema.name)
                    ),
                    [],
                    |row| row.get(0),
                )
                .map_err(sqlite("find a free key"))?;
            Ok(max.unwrap_or(0).checked_add(1).map(|k| Key(vec![k.into()])))
        })
        .await
    }

    async fn note(
        &mut self,
        records: Vec<DecisionRecord>,
        settled: Vec<Settled>,
        close: Vec<i64>,
        states: Vec<OpenConflict>,
        open: Vec<OpenConflict>,
    ) -> Result<Vec<i64>> {
        self.run(move |shared, conn| {
            let journal = shared.journal(conn);
            for record in &records {
                journal.record(record)?;
            }
            for settled in &settled {
                journal.settle(settled)?;
            }
            journal.close(&close)?;
            for state in &states {
                journal.update_open(state)?;
            }
            open.into_iter()
                .map(|mut conflict| {
                    journal.open(&mut conflict)?;
                    Ok(conflict.id)
                })
                .collect()
        })
        .await
    }

    async fn commit(mut self) -> Result<()> {
        let session = self
            .session
            .take()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a lock used after its end"))?;
        let (session, result) = hop(session, |s| {
            s.conn()
                .execute_batch("COMMIT")
                .map_err(sqlite("commit a decision"))
        })
        .await?;
        if result.is_err() {
            self.session = Some(session);
        }
        result
    }
}
