//! Between the task that reads the log and whoever wants to know: bounded by bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::data::{Change, Value};
use crate::database::server::driver::LogEvent;
use crate::error::{Error, ErrorKind, Result};

/// Bytes that wait at most; a single transaction may have more.
const WAITING_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Default)]
struct State {
    events: VecDeque<(LogEvent, usize)>,
    bytes: usize,
    /// The reader's last word.
    failed: Option<Error>,
    /// The reader is gone.
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
    taken: Notify,
}

/// Where the reader puts events. Dropped, it ends the queue.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

/// Where they are taken from.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Shared>);

/// An empty queue.
pub(super) fn queue() -> (Sender, Receiver) {
    let shared = Arc::<Shared>::default();
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl Shared {
    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sender {
    /// Puts an event at the end and waits while there is too much before it.
    pub(super) async fn send(&self, event: LogEvent) {
        let size = size(&event);
        loop {
            let taken = self.0.taken.notified();
            if self
                .0
                .with(|s| s.events.is_empty() || s.bytes + size <= WAITING_BYTES_MAX)
            {
                break;
            }
            taken.await;
        }
        self.0.with(|s| {
            s.bytes += size;
            s.events.push_back((event, size));
        });
        self.0.arrived.notify_one();
    }

    /// Nothing concerned us up to `end`, but `own` rows of our own. Does not wait.
    pub(super) fn progress(&self, end: u64, own: u64) {
        self.0.with(|s| match s.events.back_mut() {
            Some((LogEvent::Progress { end: e, own: o }, _)) => {
                *e = end;
                *o += own;
            }
            _ => s.events.push_back((LogEvent::Progress { end, own }, 0)),
        });
        self.0.arrived.notify_one();
    }

    /// The reader cannot go on.
    pub(super) fn fail(&self, error: Error) {
        self.0.with(|s| s.failed = Some(error));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.with(|s| s.ended = true);
        self.0.arrived.notify_one();
    }
}

impl Receiver {
    /// The next event. Cancelling it loses nothing.
    pub(super) async fn next(&self) -> Result<LogEvent> {
        loop {
            let arrived = self.0.arrived.notified();
            let found = self.0.with(|s| {
                if let Some((event, size)) = s.events.pop_front() {
                    s.bytes -= size;
                    return Some(Ok(event));
                }
                s.ended.then(|| Err(s.failed.take().unwrap_or_else(gone)))
            });
            if let Some(found) = found {
                self.0.taken.notify_one();
                return found;
            }
            arrived.await;
        }
    }
}

fn gone() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the reader of the binary log has ended; it must be opened again",
    )
}

fn size(event: &LogEvent) -> usize {
    match event {
        LogEvent::Commit { changes, .. } => changes.iter().map(change_size).sum(),
        _ => 0,
    }
}

fn change_size(change: &Change) -> usize {
    let image = |row: &Option<Vec<Value>>| {
        row.iter()
            .flatten()
            .map(|v| size_of::<Value>() + v.heap_bytes())
            .sum::<usize>()
    };
    size_of::<Change>() + image(&change.before) + image(&change.after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(end: u64, bytes: usize) -> LogEvent {
        LogEvent::Commit {
            end,
            changes: vec![Change {
                table: 0,
                before: None,
                after: Some(vec![Value::Bytes(vec![0; bytes])]),
                seq: end,
                committed_us: None,
            }],
        }
    }

    #[tokio::test]
    async fn progress_gathers_and_the_last_word_comes_last() {
        let (sender, receiver) = queue();
        sender.progress(1, 2);
        sender.progress(3, 4);
        sender.send(commit(5, 1)).await;
        sender.fail(Error::new(ErrorKind::LogGap, "x"));
        drop(sender);
        assert_eq!(
            receiver.next().await.unwrap(),
            LogEvent::Progress { end: 3, own: 6 }
        );
        assert_eq!(receiver.next().await.unwrap(), commit(5, 1));
        assert_eq!(receiver.next().await.unwrap_err().kind(), ErrorKind::LogGap);
        assert_eq!(
            receiver.next().await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
    }

    #[tokio::test]
    async fn too_much_waits_until_something_is_taken() {
        let (sender, receiver) = queue();
        sender.send(commit(1, WAITING_BYTES_MAX * 2)).await;
        let second = tokio::spawn(async move {
            sender.send(commit(2, 1)).await;
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        assert_eq!(
            receiver.next().await.unwrap(),
            commit(1, WAITING_BYTES_MAX * 2)
        );
        assert_eq!(receiver.next().await.unwrap(), commit(2, 1));
        second.await.unwrap();
    }
}
