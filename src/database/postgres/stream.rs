//! The server's log of changes as a stream of whole transactions.
//!
//! A thread of its own connects, asks for the log (`START_REPLICATION`, `pgoutput` version 1) and
//! reads it into a bounded [`Queue`]; so no call of the replication driver ever blocks the engine's
//! runtime, and the server hears from us whether or not the engine asks for more: at once when it
//! asks, and several times within its `wal_sender_timeout` anyhow.
//!
//! Positions are ends of commit records (or of any record, for [`LogEvent::Progress`]). What is
//! reported to the server as flushed is only what [`ChangeStream::confirm`] was given: the server
//! keeps the rest.
//!
//! Whose a transaction is: see [`super::assemble`].

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::config::ServerUrl;
use crate::data::Change;
use crate::database::SyncTable;
use crate::database::server::driver::{ChangeStream, LogEvent};
use crate::error::{Error, ErrorKind, Result};

use super::assemble::Item;
use super::capture_names::CaptureNames;
use super::queue::{Queue, Taken};
use super::reader;

/// What a stream needs to know.
#[derive(Clone, Debug)]
pub(super) struct StreamRequest {
    /// The server.
    pub(super) url: ServerUrl,
    /// What Banyan's things are called there.
    pub(super) names: CaptureNames,
    /// The captured tables.
    pub(super) tables: Vec<SyncTable>,
    /// Only transactions that end behind this position.
    pub(super) after: u64,
    /// So much memory may wait in the queue.
    pub(super) queue_bytes: usize,
    /// Transactions of more than that go to a file until they are complete.
    pub(super) spill_bytes: usize,
}

impl StreamRequest {
    /// With the usual bounds: 64 MB in the queue, transactions above 128 MB in a file.
    pub(super) fn new(
        url: ServerUrl,
        names: CaptureNames,
        tables: Vec<SyncTable>,
        after: u64,
    ) -> Self {
        Self {
            url,
            names,
            tables,
            after,
            queue_bytes: 64 << 20,
            spill_bytes: 128 << 20,
        }
    }
}

/// See the module's text. Dropping it ends the reader, which lets the slot go a moment later.
#[derive(Debug)]
pub(in crate::database) struct PgStream {
    queue: Arc<Queue>,
    taken: VecDeque<(Item, usize)>,
    /// A large transaction that is being read from its file.
    loading: Option<(u64, tokio::task::JoinHandle<Result<Vec<Change>>>)>,
}

impl PgStream {
    /// Starts the reader. Fails with `LogGap` when the log does not hold everything after the
    /// position, with `Busy` when somebody else reads it.
    pub(super) async fn open(request: StreamRequest) -> Result<Self> {
        let queue = Arc::new(Queue::new(request.queue_bytes));
        let (ready, started) = oneshot::channel();
        let theirs = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("banyan-pg-log".to_owned())
            .spawn(move || reader::run(request, &theirs, ready))
            .map_err(|cause| {
                Error::new(
                    ErrorKind::Unavailable,
                    "a thread that reads the log cannot be started",
                )
                .caused_by(cause)
            })?;
        // From here on the reader ends when this is dropped.
        let stream = Self {
            queue,
            taken: VecDeque::new(),
            loading: None,
        };
        match started.await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::new(
                ErrorKind::Internal,
                "the log's reader has ended before it began",
            )),
        }
    }

    /// Waits for the file that is being read, if there is one.
    async fn loaded(&mut self) -> Option<Result<LogEvent>> {
        let (end, task) = self.loading.as_mut()?;
        let end = *end;
        let read = task.await;
        self.loading = None;
        Some(match read {
            Ok(changes) => changes.map(|changes| LogEvent::Commit { end, changes }),
            Err(cause) => Err(Error::new(
                ErrorKind::Internal,
                "reading a large transaction from its file failed",
            )
            .caused_by(cause)),
        })
    }
}

impl Drop for PgStream {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl ChangeStream for PgStream {
    async fn next(&mut self) -> Result<LogEvent> {
        loop {
            if let Some(event) = self.loaded().await {
                return event;
            }
            match self.taken.pop_front() {
                Some((Item::Event(event), _)) => return Ok(event),
                Some((
                    Item::Spilled {
                        end,
                        committed_us,
                        spill,
                    },
                    _,
                )) => {
                    let read = move || spill.read(end, Some(committed_us));
                    self.loading = Some((end, tokio::task::spawn_blocking(read)));
                    continue;
                }
                None => {}
            }
            match self.queue.take() {
                Taken::Items(items) => self.taken = items,
                Taken::Failed(error) => return Err(error),
                Taken::Over => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "the log is not being read any more",
                    ));
                }
                Taken::Nothing => self.queue.filled().await,
            }
        }
    }

    async fn confirm(&mut self, position: u64) -> Result<()> {
        self.queue.confirm(position);
        Ok(())
    }
}
