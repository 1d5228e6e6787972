//! Capture by triggers: a table of Banyan's own, the outbox, as a change feed.
//!
//! A trigger writes each change of a captured row into the outbox, in the application's own
//! transaction, with a number taken while the row is locked. So among the changes of one row the
//! numbers are in the order of the changes. Positions are these numbers, and every position that is
//! handed out is the number of an entry that was committed.
//!
//! Numbers are given before transactions commit, so an entry may appear behind one that was already
//! read. Up to which number nothing more can appear, [`horizon`] says. [`group`] keeps the changes of
//! one transaction together. [`follow`] reads, and [`OutboxStream`] is what comes out.
//!
//! Before entries are delivered, the position behind them is written down beside them
//! ([`OutboxSource::note`]) and is on disk. Whoever has read further than what stands there has read
//! what the server has lost since: that is a gap of the log. Entries are deleted up to what is
//! confirmed, but never the one at the confirmed position itself: the newest number never sinks.

mod follow;
mod group;
mod horizon;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::data::Row;
use crate::database::SyncTable;
use crate::error::{Error, ErrorKind, Result};

use super::driver::{ChangeStream, LogEvent};

/// Events that wait for the engine.
const QUEUE_EVENTS: usize = 64;

/// An entry of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::database) struct Entry {
    /// Its number.
    pub(in crate::database) seq: u64,
    /// Who wrote it: the transaction, or, where the server does not tell, the session.
    pub(in crate::database) writer: u64,
    /// When, in microseconds since 1970.
    pub(in crate::database) us: i64,
    /// What it says.
    pub(in crate::database) what: What,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::database) enum What {
    /// A row of a captured table was changed.
    Row {
        /// The table.
        table: usize,
        /// Its captured cells before.
        before: Option<Row>,
        /// And after.
        after: Option<Row>,
    },
    /// A captured table is not what it was, or its change could not be written down.
    Schema {
        /// The table.
        table: usize,
        /// In words.
        what: String,
    },
    /// Nothing that concerns us.
    Nothing,
}

/// One server's outbox, on a connection of its own.
pub(in crate::database) trait OutboxSource: Send + 'static {
    /// Whether [`Entry::writer`] is one transaction, and not a session with many.
    const KNOWS_TRANSACTIONS: bool;

    /// The entries behind `after` that are committed by now, in order, at most so many.
    fn read(
        &mut self,
        after: u64,
        entries_max: usize,
    ) -> impl Future<Output = Result<Vec<Entry>>> + Send;

    /// Names for those that are running and may have taken numbers: whoever has taken a number
    /// before this call is among them until the end of its transaction, and what it wrote can be
    /// read once it is not. Others may be among them as well. The name `""` stands for somebody
    /// who had another name before.
    fn busy(&mut self) -> impl Future<Output = Result<BTreeSet<String>>> + Send;

    /// Writes down, on disk, that everything up to here is going to be delivered.
    fn note(&mut self, position: u64) -> impl Future<Output = Result<()>> + Send;

    /// Deletes entries before this position, some at a time; `true` when there may be more.
    fn prune(&mut self, position: u64) -> impl Future<Output = Result<bool>> + Send;

    /// Looks whether the captured tables are what they were and are still captured. What is not,
    /// is written into the outbox once.
    fn look(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// See the module's text. A task reads; dropped, it stops.
#[derive(Debug)]
pub(in crate::database) struct OutboxStream {
    events: mpsc::Receiver<Result<LogEvent>>,
    confirmed: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl OutboxStream {
    /// Everything behind `after`. The source has made sure that it is all there.
    pub(in crate::database) fn start<S: OutboxSource>(
        source: S,
        tables: &[SyncTable],
        after: u64,
    ) -> Self {
        let (sender, events) = mpsc::channel(QUEUE_EVENTS);
        let (confirmed, positions) = watch::channel(0);
        let keys = tables.iter().map(|t| t.key.clone()).collect();
        let follower = follow::Follower::new(source, keys, after, sender, positions);
        Self {
            events,
            confirmed,
            task: tokio::spawn(follower.run()),
        }
    }
}

impl ChangeStream for OutboxStream {
    async fn next(&mut self) -> Result<LogEvent> {
        self.events.recv().await.unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Unavailable,
                "the outbox is not being read any more",
            ))
        })
    }

    async fn confirm(&mut self, position: u64) -> Result<()> {
        self.confirmed.send_replace(position);
        Ok(())
    }
}

impl Drop for OutboxStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until whoever is writing into the outbox now has ended.
pub(in crate::database) async fn settle<S: OutboxSource>(
    source: &mut S,
    patience: Duration,
) -> Result<()> {
    let began = Instant::now();
    let mut waited = source.busy().await?;
    while !waited.is_empty() {
        if began.elapsed() > patience {
            return Err(Error::new(
                ErrorKind::Busy,
                "transactions that write captured tables do not end",
            )
            .hint("let them finish, then try again"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let busy = source.busy().await?;
        waited.retain(|name| busy.contains(name));
        if busy.contains("") {
            waited.insert(String::new());
        }
    }
    Ok(())
}

/// The error for an outbox that has lost what was read from it, or what was not.
pub(in crate::database) fn gap(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::LogGap, what.into())
        .hint("abort the migration, then start it again: it copies anew and compares every row")
}

/// Fails with `LogGap` unless everything behind `position` is in the outbox. `noted`: what
/// [`OutboxSource::note`] wrote last; `there`: whether the entry at `position` is.
pub(in crate::database) fn check(position: u64, noted: u64, there: bool) -> Result<()> {
    if position == 0 {
        // Nothing was read: one begins where the outbox begins.
        return Ok(());
    }
    if noted < position {
        return Err(gap(format!(
            "the outbox was read up to {position}, and the server knows only of {noted}: it was \
             restored from an older copy, or has lost its last transactions in a crash"
        )));
    }
    if !there {
        return Err(gap(format!(
            "the outbox does not hold the entry {position}, up to which it was read: somebody has \
             emptied it"
        )));
    }
    Ok(())
}

pub(in crate::database) use horizon::Horizon;
