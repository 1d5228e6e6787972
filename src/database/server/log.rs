//! Between a server's log and the engine: a task reads ahead into a bounded buffer, so that the
//! server decodes and sends while the engine writes.
//!
//! The engine reads by position and may read the same again, and ahead; what it says that it has
//! consumed is forgotten. The task starts with the first read, and the buffer holds about
//! [`AHEAD_BYTES`] unless somebody must see everything up to the log's end at once
//! ([`Reader::catch_up`]).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::data::{Change, Commit};
use crate::database::{FeedPage, Patience, SyncOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::TaskSet;

use super::driver::{ChangeStream, Driver, LogEvent};

/// So much is read ahead of the engine.
const AHEAD_BYTES: usize = 64 << 20;
/// More than this is not held here, whoever must see it.
const HELD_BYTES_MAX: usize = 2 << 30;

/// How long is waited until the stream knows what is confirmed.
const TELL_MAX: Duration = Duration::from_millis(200);

/// See the module's text.
pub(super) struct Reader<D> {
    driver: D,
    options: SyncOptions,
    buffer: Arc<Buffer>,
    confirm: watch::Sender<u64>,
    tasks: Mutex<TaskSet>,
}

#[derive(Default)]
struct Buffer {
    state: Mutex<State>,
    /// Something came, or the task ended.
    came: Notify,
    /// Something was taken.
    taken: Notify,
    /// The stream was told what is confirmed.
    told: Notify,
}

#[derive(Default)]
struct State {
    is_running: bool,
    /// What the stream knows to be confirmed.
    told: u64,
    /// How far the log is read.
    position: u64,
    transactions: VecDeque<Transaction>,
    bytes: usize,
    bytes_max: usize,
    /// Why the task ended.
    error: Option<Error>,
    /// Whether anything came since somebody waited for it.
    is_new: bool,
}

struct Transaction {
    end: u64,
    changes: Vec<Change>,
    bytes: usize,
    /// Tables that are not what they were, from here on.
    schema: Vec<(usize, String)>,
}

impl State {
    fn has_any_after(&self, after: u64) -> bool {
        let last = self.transactions.back();
        last.is_some_and(|t| t.end > after)
    }
}

impl Buffer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Driver> Reader<D> {
    pub(super) fn new(driver: D, options: SyncOptions) -> Self {
        Self {
            driver,
            options,
            buffer: Arc::default(),
            confirm: watch::channel(0).0,
            tasks: Mutex::default(),
        }
    }

    /// Everything up to here is durable on the other side. Waits a moment until the stream knows: it
    /// may be the last thing that it hears.
    pub(super) async fn confirm(&self, position: u64) {
        let grew = self.confirm.send_if_modified(|known| {
            let grows = position > *known;
            *known = position.max(*known);
            grows
        });
        let told = async {
            loop {
                let told = self.buffer.told.notified();
                {
                    let state = self.buffer.state();
                    if state.told >= position || !state.is_running || state.error.is_some() {
                        break;
                    }
                }
                told.await;
            }
        };
        if grew {
            // The server hears of it the next time otherwise.
            tokio::time::timeout(TELL_MAX, told).await.ok();
        }
    }

    async fn start(&self, after: u64) -> Result<()> {
        if self.buffer.state().is_running {
            return Ok(());
        }
        let stream = self.driver.stream(&self.options, after).await?;
        {
            let mut state = self.buffer.state();
            if state.is_running {
                return Ok(());
            }
            *state = State {
                is_running: true,
                position: after,
                bytes_max: AHEAD_BYTES,
                ..State::default()
            };
        }
        let buffer = Arc::clone(&self.buffer);
        let confirmed = self.confirm.subscribe();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn("the log's reader", async move {
            let error = follow(stream, &buffer, confirmed).await;
            let mut state = buffer.state();
            state.error = Some(error);
            drop(state);
            buffer.came.notify_waiters();
            Ok(())
        });
        Ok(())
    }

    /// What lies behind `after`, as far as it has come: whole transactions of about `rows_max` rows.
    pub(super) async fn read(&self, after: u64, rows_max: usize) -> Result<FeedPage> {
        self.start(after).await?;
        let mut state = self.buffer.state();
        let mut page = FeedPage::default();
        let mut changes: Vec<Change> = Vec::new();
        let mut end = after;
        let behind = state.transactions.partition_point(|t| t.end <= after);
        for transaction in state.transactions.range(behind..) {
            if !changes.is_empty() && changes.len() + transaction.changes.len() > rows_max {
                page.more = true;
                break;
            }
            changes.extend_from_slice(&transaction.changes);
            page.schema_changed.extend_from_slice(&transaction.schema);
            end = transaction.end;
        }
        if !page.more {
            end = state.position.max(end);
        }
        if changes.is_empty()
            && page.schema_changed.is_empty()
            && let Some(error) = state.error.take()
        {
            state.is_running = false;
            return Err(error);
        }
        drop(state);
        page.commit = Commit { changes, end };
        Ok(page)
    }

    /// Nobody reads from before this position any more.
    pub(super) fn forget(&self, position: u64) {
        let mut state = self.buffer.state();
        let mut freed = 0;
        while (state.transactions.front()).is_some_and(|t| t.end <= position) {
            freed += state.transactions.pop_front().map_or(0, |t| t.bytes);
        }
        state.bytes -= freed;
        drop(state);
        if freed > 0 {
            self.buffer.taken.notify_one();
        }
    }

    /// Waits until everything that committed before this call can be read; `false` where the patience
    /// ended before.
    pub(super) async fn catch_up(&self, after: u64, patience: Patience) -> Result<bool> {
        self.start(after).await?;
        let end = self.driver.end().await?;
        loop {
            let came = self.buffer.came.notified();
            {
                let mut state = self.buffer.state();
                if patience == Patience::UntilAny && state.has_any_after(after) {
                    return Ok(false);
                }
                if state.position >= end {
                    state.bytes_max = AHEAD_BYTES;
                    return Ok(true);
                }
                if let Some(error) = state.error.take() {
                    state.is_running = false;
                    return Err(error);
                }
                if state.bytes >= state.bytes_max {
                    if patience != Patience::Endless {
                        return Ok(false);
                    }
                    if state.bytes >= HELD_BYTES_MAX {
                        return Err(Error::new(
                            ErrorKind::Refused,
                            "too many changes were made while tables were copied over rows of the \
                             target to tell ordinary changes from conflicts",
                        )
                        .hint("empty the target's tables first, or copy at a quieter time"));
                    }
                    state.bytes_max = HELD_BYTES_MAX;
                    drop(state);
                    self.buffer.taken.notify_one();
                }
            }
            came.await;
        }
    }

    /// Returns at once when something came since the last call, else after `wait_ms`.
    pub(super) async fn wait(&self, wait_ms: u64) -> bool {
        let came = self.buffer.came.notified();
        if std::mem::take(&mut self.buffer.state().is_new) {
            return true;
        }
        let wait = Duration::from_millis(wait_ms);
        let woken = tokio::time::timeout(wait, came).await.is_ok();
        self.buffer.state().is_new = false;
        woken
    }
}

/// Reads until something goes wrong; answers what.
async fn follow(
    mut stream: impl ChangeStream,
    buffer: &Buffer,
    mut confirmed: watch::Receiver<u64>,
) -> Error {
    loop {
        // Room first: what is not taken stays with the server.
        loop {
            let taken = buffer.taken.notified();
            {
                let state = buffer.state();
                if state.bytes < state.bytes_max {
                    break;
                }
            }
            tokio::select! {
                () = taken => {}
                changed = confirmed.changed() => {
                    let position = *confirmed.borrow_and_update();
                    if changed.is_err() {
                        return Error::new(ErrorKind::Shutdown, "nobody reads the log any more");
                    }
                    if let Err(e) = tell(&mut stream, buffer, position).await {
                        return e;
                    }
                }
            }
        }
        let event = tokio::select! {
            event = stream.next() => event,
            changed = confirmed.changed() => {
                let position = *confirmed.borrow_and_update();
                if changed.is_err() {
                    return Error::new(ErrorKind::Shutdown, "nobody reads the log any more");
                }
                match tell(&mut stream, buffer, position).await {
                    Ok(()) => continue,
                    Err(e) => return e,
                }
            }
        };
        match event {
            Ok(event) => add(buffer, event),
            Err(e) => return e,
        }
    }
}

async fn tell(stream: &mut impl ChangeStream, buffer: &Buffer, position: u64) -> Result<()> {
    stream.confirm(position).await?;
    buffer.state().told = position;
    buffer.told.notify_waiters();
    Ok(())
}

fn add(buffer: &Buffer, event: LogEvent) {
    let mut state = buffer.state();
    match event {
        LogEvent::Commit { end, changes } => {
            let bytes = changes.iter().map(change_bytes).sum::<usize>() + 64;
            state.position = end;
            state.bytes += bytes;
            state.is_new = true;
            state.transactions.push_back(Transaction {
                end,
                changes,
                bytes,
                schema: Vec::new(),
            });
        }
        LogEvent::Progress { end, .. } => state.position = end.max(state.position),
        LogEvent::Schema { table, what } => {
            let end = state.position;
            state.is_new = true;
            state.transactions.push_back(Transaction {
                end: end + 1,
                changes: Vec::new(),
                bytes: 0,
                schema: vec![(table, what)],
            });
        }
    }
    drop(state);
    buffer.came.notify_waiters();
}

fn change_bytes(change: &Change) -> usize {
    let row = |row: &Option<crate::data::Row>| {
        row.as_ref().map_or(0, |row| {
            row.iter().map(|v| 32 + v.heap_bytes()).sum::<usize>()
        })
    };
    48 + row(&change.before) + row(&change.after)
}
