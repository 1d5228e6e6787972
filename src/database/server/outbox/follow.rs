//! Reading an outbox: again and again, every few milliseconds while something comes, less often
//! when nothing does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::data::{Change, Key};
use crate::database::server::driver::LogEvent;
use crate::error::{ErrorKind, Result};

use super::group::groups;
use super::horizon::Horizon;
use super::{Entry, OutboxSource, What};

/// Entries of a reading, when there are so many.
const WINDOW: usize = 8_192;
/// Entries of a reading at most, for the sake of one transaction.
const WINDOW_MAX: usize = 1 << 20;
/// Where transactions cannot be told from each other, a longer reading tells no more.
const WINDOW_MAX_OF_SESSIONS: usize = 16_384;
/// Transactions that overlap without end are taken apart after this time: what they change must
/// arrive.
const WHOLE_MAX: Duration = Duration::from_millis(250);
/// Between two readings while something comes.
const PAUSE_MIN: Duration = Duration::from_millis(3);
/// Between two readings when nothing does.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// Between two looks at the captured tables.
const LOOK: Duration = Duration::from_secs(1);

/// Nobody takes what is read any more.
struct Over;

/// See the module's text.
pub(super) struct Follower<S> {
    source: S,
    /// The key of each table among its captured columns.
    keys: Vec<Vec<usize>>,
    /// Everything up to here is delivered.
    after: u64,
    horizon: Horizon,
    window: usize,
    /// Since when complete entries wait for the rest of their transactions.
    blocked: Option<Instant>,
    /// For sessions: the reading in which an entry was seen first. What was not committed then is
    /// another transaction.
    first_seen: HashMap<u64, u64>,
    reading: u64,
    looked: Option<Instant>,
    /// What was last said of each table.
    said: HashMap<usize, String>,
    events: mpsc::Sender<Result<LogEvent>>,
    confirmed: watch::Receiver<u64>,
}

impl<S: OutboxSource> Follower<S> {
    pub(super) fn new(
        source: S,
        keys: Vec<Vec<usize>>,
        after: u64,
        events: mpsc::Sender<Result<LogEvent>>,
        confirmed: watch::Receiver<u64>,
    ) -> Self {
        Self {
            source,
            keys,
            after,
            horizon: Horizon::new(after),
            window: WINDOW,
            blocked: None,
            first_seen: HashMap::new(),
            reading: 0,
            looked: None,
            said: HashMap::new(),
            events,
            confirmed,
        }
    }

    /// Reads until something goes wrong, or nobody listens.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.round().await {
                Ok(Ok(true)) => pause = PAUSE_MIN,
                Ok(Ok(false)) => pause = (pause * 2).min(PAUSE_MAX),
                Ok(Err(Over)) => return,
                Err(error) => {
                    if self.events.send(Err(error)).await.is_err() {
                        tracing::debug!("nobody waits for the outbox any more");
                    }
                    return;
                }
            }
            let confirmed = tokio::select! {
                () = tokio::time::sleep(pause) => continue,
                () = self.events.closed() => return,
                changed = self.confirmed.changed() => changed,
            };
            if confirmed.is_err() {
                return;
            }
            if let Err(error) = self.prune().await {
                tracing::warn!(%error, "the outbox is not emptied");
                if error.kind() == ErrorKind::Unavailable {
                    // The next reading says it again.
                    continue;
                }
            }
        }
    }

    async fn prune(&mut self) -> Result<()> {
        let position = *self.confirmed.borrow_and_update();
        while self.source.prune(position.min(self.after)).await? {}
        Ok(())
    }

    /// One reading; `true` when it brought something, or the next one may.
    async fn round(&mut self) -> Result<Result<bool, Over>> {
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.source.look().await?;
            self.looked = Some(Instant::now());
        }
        if self.horizon.asks() {
            let busy = self.source.busy().await?;
            self.horizon.busy(&busy);
        }
        let mut entries = self.read().await?;
        if self.horizon.is_new() {
            let before = self.horizon.decided();
            let busy = self.source.busy().await?;
            self.horizon.busy(&busy);
            if self.horizon.decided() > before {
                // Those that were in the way may have committed meanwhile.
                entries = self.read().await?;
            }
        }
        if entries.is_empty() {
            self.first_seen.clear();
            return Ok(Ok(false));
        }
        let full = entries.len() >= self.window;
        let decided = self.horizon.decided();
        let complete = entries.partition_point(|e| e.seq <= decided);
        let limit = if full { self.window / 2 } else { entries.len() };
        let writers = self.writers(&entries, full);
        let mut groups = groups(&writers, complete, limit);
        if groups.is_empty() && complete > 0 {
            let since = *self.blocked.get_or_insert_with(Instant::now);
            let window_max = if S::KNOWS_TRANSACTIONS {
                WINDOW_MAX
            } else {
                WINDOW_MAX_OF_SESSIONS
            };
            if full && self.window < window_max {
                self.window *= 2;
                return Ok(Ok(true));
            }
            if full || since.elapsed() > WHOLE_MAX {
                // Apart, but in order.
                groups.push(0..complete.min(limit).max(1));
            }
        }
        let Some(last) = groups.last() else {
            return Ok(Ok(complete > 0));
        };
        self.blocked = None;
        self.window = WINDOW;
        self.source.note(entries[last.end - 1].seq).await?;
        for group in groups {
            if let Err(over) = self.deliver(&entries[group]).await {
                return Ok(Err(over));
            }
        }
        let after = self.after;
        self.first_seen.retain(|&seq, _| seq > after);
        Ok(Ok(true))
    }

    async fn read(&mut self) -> Result<Vec<Entry>> {
        let entries = self.source.read(self.after, self.window).await?;
        let mut complete = self.after;
        for entry in &entries {
            if entry.seq != complete + 1 {
                break;
            }
            complete = entry.seq;
        }
        let newest = entries.last().map_or(self.after, |e| e.seq);
        self.horizon.read(complete, newest);
        Ok(entries)
    }

    /// Who wrote the entries: transactions, as well as can be told.
    fn writers(&mut self, entries: &[Entry], full: bool) -> Vec<u64> {
        if S::KNOWS_TRANSACTIONS {
            return entries.iter().map(|e| e.writer).collect();
        }
        if !full {
            self.reading += 1;
        }
        // A session's entries that appeared in different readings were committed by different
        // transactions.
        let mut names: HashMap<(u64, u64), u64> = HashMap::new();
        let reading = self.reading;
        let mut writers = Vec::with_capacity(entries.len());
        for entry in entries {
            let first = *self.first_seen.entry(entry.seq).or_insert(reading);
            let next = names.len() as u64;
            writers.push(*names.entry((entry.writer, first)).or_insert(next));
        }
        writers
    }

    /// Sends a group: one commit, or what happened to tables in between.
    async fn deliver(&mut self, group: &[Entry]) -> Result<(), Over> {
        let mut committed: HashMap<u64, i64> = HashMap::new();
        for entry in group {
            let us = committed.entry(entry.writer).or_insert(entry.us);
            *us = entry.us.max(*us);
        }
        let mut changes = Vec::with_capacity(group.len());
        for entry in group {
            match &entry.what {
                What::Nothing => {}
                What::Row {
                    table,
                    before,
                    after,
                } => {
                    let change = |before: &Option<_>, after: &Option<_>| Change {
                        table: *table,
                        before: before.clone(),
                        after: after.clone(),
                        seq: entry.seq,
                        committed_us: committed.get(&entry.writer).copied(),
                    };
                    match (before, after, self.keys.get(*table)) {
                        (Some(b), Some(a), Some(key)) if Key::of(b, key) != Key::of(a, key) => {
                            changes.push(change(before, &None));
                            changes.push(change(&None, after));
                        }
                        _ => changes.push(change(before, after)),
                    }
                }
                What::Schema { table, what } => {
                    if self.said.get(table) == Some(what) {
                        continue;
                    }
                    self.said.insert(*table, what.clone());
                    // The buffer gives it the number behind the last one.
                    self.flush(&mut changes, entry.seq - 1).await?;
                    let event = LogEvent::Schema {
                        table: *table,
                        what: what.clone(),
                    };
                    self.send(event).await?;
                    self.flush(&mut changes, entry.seq).await?;
                }
            }
        }
        let end = group.last().map_or(self.after, |e| e.seq);
        self.flush(&mut changes, end).await
    }

    async fn flush(&mut self, changes: &mut Vec<Change>, end: u64) -> Result<(), Over> {
        if end <= self.after && changes.is_empty() {
            return Ok(());
        }
        let event = if changes.is_empty() {
            LogEvent::Progress { end, own: 0 }
        } else {
            LogEvent::Commit {
                end,
                changes: std::mem::take(changes),
            }
        };
        self.after = end;
        self.send(event).await
    }

    async fn send(&mut self, event: LogEvent) -> Result<(), Over> {
        self.events.send(Ok(event)).await.map_err(|_| Over)
    }
}
