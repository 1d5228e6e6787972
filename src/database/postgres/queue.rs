//! What the log's reader has ready for the engine: in order, and bounded by the memory it takes.
//!
//! The reader is a thread of its own, the engine takes from the queue; each side wakes the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::database::server::driver::LogEvent;
use crate::error::Error;

use super::assemble::Item;

/// The queue and what both sides must know of each other.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Something came in, or the reader ended.
    filled: Notify,
    /// Something was taken out, or the engine is gone.
    emptied: Notify,
    /// How far everything is durable on the other side.
    confirmed: AtomicU64,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<(Item, usize)>,
    /// Of `items`.
    waiting_bytes: usize,
    /// Of what was taken and is still in work.
    taken_bytes: usize,
    ended: Option<Result<(), Error>>,
    over: bool,
    abandoned: bool,
}

/// What [`Queue::take`] found.
#[derive(Debug)]
pub(super) enum Taken {
    /// These, in order.
    Items(VecDeque<(Item, usize)>),
    /// The reader failed, and everything before was taken.
    Failed(Error),
    /// The reader has ended, and that was said before.
    Over,
    /// Nothing is there yet.
    Nothing,
}

impl Queue {
    /// An empty one that is full at about so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            confirmed: AtomicU64::new(0),
            bytes_max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader: appends what came out.
    pub(super) fn put(&self, items: &mut VecDeque<(Item, usize)>) {
        if items.is_empty() {
            return;
        }
        let mut state = self.state();
        for (item, bytes) in items.drain(..) {
            if let Item::Event(LogEvent::Progress { end, own }) = &item
                && let Some((
                    Item::Event(LogEvent::Progress {
                        end: last,
                        own: before,
                    }),
                    _,
                )) = state.items.back_mut()
            {
                *last = *end;
                *before += *own;
                continue;
            }
            state.waiting_bytes += bytes;
            state.items.push_back((item, bytes));
        }
        drop(state);
        self.filled.notify_one();
    }

    /// The reader: whether it should wait before it reads on.
    pub(super) fn is_full(&self) -> bool {
        let state = self.state();
        state.waiting_bytes + state.taken_bytes >= self.bytes_max
    }

    /// The reader: waits until something was taken or the engine is gone.
    pub(super) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    /// The reader: whether nobody will take anything any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.state().abandoned
    }

    /// The reader: has ended.
    pub(super) fn end(&self, result: Result<(), Error>) {
        self.state().ended = Some(result);
        self.filled.notify_one();
    }

    /// The engine: everything that is there. What was taken before is done with.
    pub(super) fn take(&self) -> Taken {
        let mut state = self.state();
        let was_full = state.waiting_bytes + state.taken_bytes >= self.bytes_max;
        state.taken_bytes = std::mem::take(&mut state.waiting_bytes);
        let items = std::mem::take(&mut state.items);
        let taken = if !items.is_empty() {
            Taken::Items(items)
        } else if state.over {
            Taken::Over
        } else {
            match state.ended.take() {
                Some(Err(error)) => {
                    state.over = true;
                    Taken::Failed(error)
                }
                Some(Ok(())) => {
                    state.over = true;
                    Taken::Over
                }
                None => Taken::Nothing,
            }
        };
        drop(state);
        if was_full {
            self.emptied.notify_one();
        }
        taken
    }

    /// The engine: waits until something came in or the reader ended.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// The engine: goes away.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        state.items.clear();
        drop(state);
        self.emptied.notify_one();
    }

    /// The engine: everything up to here is durable. It never moves back.
    pub(super) fn confirm(&self, position: u64) {
        self.confirmed.fetch_max(position, Ordering::Relaxed);
    }

    /// The reader: how far everything is durable.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn progress(end: u64, own: u64) -> (Item, usize) {
        (Item::Event(LogEvent::Progress { end, own }), 10)
    }

    fn schema() -> (Item, usize) {
        let event = LogEvent::Schema {
            table: 0,
            what: String::new(),
        };
        (Item::Event(event), 10)
    }

    #[test]
    fn what_was_taken_counts_until_the_next_time() {
        let queue = Queue::new(30);
        queue.put(&mut [schema(), progress(1, 2), progress(3, 4)].into());
        assert!(!queue.is_full(), "progress is merged");
        queue.put(&mut [schema()].into());
        assert!(queue.is_full());
        let Taken::Items(items) = queue.take() else {
            panic!("nothing taken");
        };
        assert_eq!(items.len(), 3);
        let Item::Event(LogEvent::Progress { end: 3, own: 6 }) = items[1].0 else {
            panic!("{items:?}");
        };
        assert!(queue.is_full(), "still in work");
        assert!(matches!(queue.take(), Taken::Nothing));
        assert!(!queue.is_full());
    }

    #[test]
    fn an_error_comes_last_and_once() {
        let queue = Queue::new(30);
        queue.put(&mut [schema()].into());
        queue.end(Err(Error::new(ErrorKind::Unavailable, "gone")));
        assert!(matches!(queue.take(), Taken::Items(_)));
        assert!(matches!(queue.take(), Taken::Failed(_)));
        assert!(matches!(queue.take(), Taken::Over));
    }

    #[test]
    fn what_is_confirmed_never_moves_back() {
        let queue = Queue::new(1);
        queue.confirm(5);
        queue.confirm(3);
        assert_eq!(queue.confirmed(), 5);
    }
}
