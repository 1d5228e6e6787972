//! Reads one side in a task of its own, a few batches ahead of whoever compares.

use std::fmt;

use datafusion::arrow::record_batch::RecordBatch;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::database::{ReadRequest, Snapshot};
use crate::error::{Error, ErrorKind, Result};

use super::pace::Pace;

/// Batches that wait between reading and comparing.
const AHEAD: usize = 2;

/// Why a side could not be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// The rows do not come in the order of the key. A transform may do that: sort, and try again.
    OutOfOrder(String),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

impl Failure {
    /// The error, where nothing can be sorted any more.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Failed(e) => e,
            Self::OutOfOrder(message) => Error::new(ErrorKind::Internal, message),
        }
    }
}

/// What is done with batches as they are read, still in the reading task.
pub(super) trait Stage: Send + 'static {
    /// What comes out.
    type Out: Send + 'static;

    /// Takes a batch; several may go in before something comes out.
    fn batch(&mut self, batch: RecordBatch) -> Result<Option<Self::Out>, Failure>;

    /// Called after the last batch until it answers `None`.
    fn rest(&mut self) -> Result<Option<Self::Out>, Failure>;
}

/// A side that is being read. Dropping it ends the read.
pub(super) struct Reader<S: Stage> {
    items: mpsc::Receiver<Result<S::Out, Failure>>,
    task: Option<JoinHandle<(Box<dyn Snapshot>, S)>>,
}

impl<S: Stage> fmt::Debug for Reader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<S: Stage> Reader<S> {
    /// Begins to read.
    pub(super) fn start(
        mut snapshot: Box<dyn Snapshot>,
        request: ReadRequest,
        mut stage: S,
        pace: Pace,
    ) -> Self {
        let (tx, items) = mpsc::channel(AHEAD);
        let task = tokio::spawn(async move {
            let mut stream = snapshot.read(request);
            let mut alive = true;
            while alive && let Some(batch) = pace.next(&mut stream).await {
                alive = match batch.map_err(Failure::from).and_then(|b| stage.batch(b)) {
                    Ok(None) => true,
                    Ok(Some(out)) => tx.send(Ok(out)).await.is_ok(),
                    Err(e) => {
                        // Nobody waiting for it is all right: the comparison has ended.
                        drop(tx.send(Err(e)).await);
                        false
                    }
                };
            }
            drop(stream);
            while alive {
                alive = match stage.rest() {
                    Ok(None) => false,
                    Ok(Some(out)) => tx.send(Ok(out)).await.is_ok(),
                    Err(e) => {
                        drop(tx.send(Err(e)).await);
                        false
                    }
                };
            }
            (snapshot, stage)
        });
        Self {
            items,
            task: Some(task),
        }
    }

    /// The next item, `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<S::Out>, Failure> {
        match self.items.recv().await {
            Some(item) => item.map(Some),
            None => Ok(None),
        }
    }

    /// Ends the read and gives back the snapshot, which can be read again, and the stage.
    pub(super) async fn finish(mut self) -> Result<(Box<dyn Snapshot>, S)> {
        self.items.close();
        let Some(task) = self.task.take() else {
            return Err(Error::new(ErrorKind::Internal, "a reader was ended twice"));
        };
        task.await
            .map_err(|e| Error::new(ErrorKind::Internal, "a reader crashed").caused_by(e))
    }
}

impl<S: Stage> Drop for Reader<S> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
