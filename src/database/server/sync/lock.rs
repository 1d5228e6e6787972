//! A transaction of the conflict path.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::data::{Key, Row};
use crate::database::server::driver::{Driver, Tx};
use crate::database::{DecisionRecord, OpenConflict, Outcome, RowChange, Settled, StoreLock};
use crate::error::{Error, ErrorKind, Result};

use super::Shared;

/// How long one statement may take while rows are locked on both sides: the other store's
/// applications wait meanwhile, so a server that does not answer is asked again later.
const ANSWER_MAX: Duration = Duration::from_secs(2);

pub(super) async fn soon<R>(answer: impl Future<Output = Result<R>>) -> Result<R> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(
            ErrorKind::Busy,
            "the server does not answer while rows of both sides are locked",
        )),
    }
}

/// While it is held, nobody writes the rows that were read through it, and nobody inserts those that
/// were found absent.
pub(in crate::database) struct ServerLock<D: Driver> {
    tx: Option<D::Tx>,
    shared: Arc<Shared<D>>,
    /// Tables that are locked as a whole.
    tables: BTreeSet<usize>,
}

impl<D: Driver> ServerLock<D> {
    pub(super) fn new(tx: D::Tx, shared: Arc<Shared<D>>) -> Self {
        Self {
            tx: Some(tx),
            shared,
            tables: BTreeSet::new(),
        }
    }

    fn at<R>(&self, result: Result<R>) -> Result<R> {
        result.map_err(|e| e.at(format!("store {}", self.shared.driver.name())))
    }

    async fn lock_rows(&mut self, table: usize, keys: &[Key]) -> Result<Vec<Option<Row>>> {
        let tx = self.tx.as_mut().ok_or_else(ended)?;
        let prepared = &self.shared.tables[table];
        let mut rows = tx.lock_rows(prepared, keys).await?;
        if rows.iter().all(Option::is_some) || !self.tables.insert(table) {
            return Ok(rows);
        }
        tx.lock_tables(&[prepared]).await?;
        let absent: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].is_none()).collect();
        let again: Vec<Key> = absent.iter().map(|&i| keys[i].clone()).collect();
        let found = tx.lock_rows(prepared, &again).await?;
        for (i, row) in absent.into_iter().zip(found) {
            rows[i] = row;
        }
        Ok(rows)
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Internal, "a lock used after its end")
}

impl<D: Driver> StoreLock for ServerLock<D> {
    async fn check_epoch(&mut self, epoch: i64) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let tx = self.tx.as_mut().ok_or_else(ended)?;
        let result = soon(shared.check_epoch(tx, epoch)).await;
        self.at(result)
    }

    async fn end(&mut self) -> Result<u64> {
        let done = async {
            let end = self.tx.as_mut().ok_or_else(ended)?.end().await?;
            self.shared.driver.harden(end).await?;
            Ok(end)
        };
        let result = soon(done).await;
        self.at(result)
    }

    async fn read_rows(&mut self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        let result = soon(self.lock_rows(table, &keys)).await;
        self.at(result)
    }

    async fn write(&mut self, changes: Vec<RowChange>) -> Result<Vec<Outcome>> {
        let shared = Arc::clone(&self.shared);
        let tx = self.tx.as_mut().ok_or_else(ended)?;
        let result = soon(shared.writer(tx, true).write(&changes)).await;
        self.at(result)
    }

    async fn new_key(&mut self, table: usize) -> Result<Option<Key>> {
        let shared = Arc::clone(&self.shared);
        let tx = self.tx.as_mut().ok_or_else(ended)?;
        let result = soon(tx.next_key(&shared.tables[table])).await;
        self.at(result)
    }

    async fn note(
        &mut self,
        records: Vec<DecisionRecord>,
        settled: Vec<Settled>,
        close: Vec<i64>,
        states: Vec<OpenConflict>,
        open: Vec<OpenConflict>,
    ) -> Result<Vec<i64>> {
        let shared = Arc::clone(&self.shared);
        let journal = &shared.journal;
        let tx = self.tx.as_mut().ok_or_else(ended)?;
        let done = async {
            for record in &records {
                journal.record(tx, record).await?;
            }
            for settled in &settled {
                journal.settle(tx, settled).await?;
            }
            journal.close(tx, &close).await?;
            for state in &states {
                journal.update_open(tx, state).await?;
            }
            let mut ids = Vec::with_capacity(open.len());
            for mut conflict in open {
                journal.open(tx, &mut conflict).await?;
                ids.push(conflict.id);
            }
            Ok(ids)
        };
        let result = soon(done).await;
        self.at(result)
    }

    async fn commit(mut self) -> Result<()> {
        let tx = self.tx.take().ok_or_else(ended)?;
        // Whether it was done is not known then, which is for a new start to find out.
        let lost = |_| {
            Error::new(
                ErrorKind::Unavailable,
                "the server does not answer a commit",
            )
        };
        let result = match tokio::time::timeout(ANSWER_MAX, tx.commit()).await {
            Ok(result) => result,
            Err(e) => Err(lost(e)),
        };
        self.at(result)
    }
}
