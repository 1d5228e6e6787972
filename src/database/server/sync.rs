//! A server's database as the sync engine sees it: [`SyncStore`] for any [`Driver`].
//!
//! Positions are read after the rows are locked: a transaction that changed a locked row and has
//! committed is before the position, one that changes it later is behind it. The absence of a row is
//! not locked by everybody's row locks, so outside of the conflict path a delete that finds nothing
//! is no agreement yet: the conflict path looks again, under a lock of the table where need be.

mod apply;
mod footprint;
mod lock;
mod manage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::data::{Key, LogId, Row};
use crate::database::{
    Applied, ApplyBatch, Chunk, FeedPage, Footprint, OpenConflict, Patience, Recovered, Role,
    RowChange, SyncOptions, SyncStore, Turn,
};
use crate::error::{Error, ErrorKind, Result, Retry};

use super::driver::{CopyReader, Driver, Tx};
use super::journal::Journal;
use super::log::Reader;
use super::writer::Writer;

pub(in crate::database) use lock::ServerLock;

/// How often that is looked at which the log does not tell.
const WATCH: Duration = Duration::from_secs(10);

/// What the reason begins with when all of a log is lost, and not changes of one table.
const LOST: &str = "changes are missing from the log: ";

/// How long the normal path waits for a row's lock. An application that waits for one of ours in
/// turn must not be the one that is ended for it: servers look for deadlocks after a second.
const PATIENCE_MS: u64 = 300;
/// The conflict path holds locks of both stores while it waits.
const PATIENCE_OF_LOCKS_MS: u64 = 100;
/// For what is done once.
const PATIENCE_OF_STARTS_MS: u64 = 10_000;
/// A transaction that was in somebody's way is tried again so often before the engine hears of it.
const TRIES: u32 = 12;
/// How long a log's end is waited for while a snapshot is held.
const SNAPSHOT_WAITS: Duration = Duration::from_mins(5);
/// How long a batch whose turn has not come keeps its rows locked: less than the one before it may
/// have to wait for one of them, should the two have something in common after all.
const LOCKED_AHEAD: Duration = Duration::from_millis(200);

/// See the module's text. Cheap to clone.
pub(in crate::database) struct ServerSync<D: Driver> {
    shared: Arc<Shared<D>>,
}

impl<D: Driver> Clone for ServerSync<D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

struct Shared<D: Driver> {
    driver: D,
    options: SyncOptions,
    journal: Journal,
    tables: Vec<D::Table>,
    reader: Reader<D>,
    copy: Mutex<Option<Copying<D>>>,
    /// Whether a snapshot is held for it.
    holds_snapshot: AtomicBool,
    watched_at: std::sync::Mutex<Option<Instant>>,
    /// Tables of which changes were missed, and why.
    gaps: std::sync::Mutex<Vec<(usize, String)>>,
}

/// A table that is being read for the copy.
struct Copying<D: Driver> {
    table: usize,
    reader: D::Copy,
    /// The key that the reader stands behind.
    after: Option<Key>,
}

impl<D: Driver> ServerSync<D> {
    /// Prepares statements; nothing is written, and nothing is connected.
    pub(in crate::database) fn new(driver: D, options: SyncOptions) -> Result<Self> {
        let tables = options.tables.iter();
        let tables = tables.map(|t| driver.table(t)).collect::<Result<_>>()?;
        Ok(Self {
            shared: Arc::new(Shared {
                journal: Journal::new(&driver, &options),
                reader: Reader::new(driver.clone(), options.clone()),
                copy: Mutex::new(None),
                holds_snapshot: AtomicBool::new(false),
                gaps: std::sync::Mutex::default(),
                watched_at: std::sync::Mutex::default(),
                tables,
                options,
                driver,
            }),
        })
    }

    fn at_store<R>(&self, result: Result<R>) -> Result<R> {
        result.map_err(|e| {
            let place = format!("store {}", self.shared.driver.name());
            if e.message().starts_with(&place) {
                e
            } else {
                e.at(place)
            }
        })
    }
}

impl<D: Driver> Shared<D> {
    fn writer<'a>(&'a self, tx: &'a mut D::Tx, absence_is_locked: bool) -> Writer<'a, D::Tx> {
        Writer {
            tx,
            tables: &self.tables,
            check_foreign_keys: self.options.check_foreign_keys
                && self
                    .options
                    .tables
                    .iter()
                    .any(|t| !t.schema.foreign_keys.is_empty()),
            absence_is_locked,
        }
    }

    async fn check_epoch(&self, tx: &mut D::Tx, epoch: i64) -> Result<()> {
        let share = self.driver.types().share;
        if self.journal.hold_epoch(tx, share).await? == epoch {
            Ok(())
        } else {
            Err(fenced())
        }
    }

    async fn recover(&self, epoch: i64) -> Result<Recovered> {
        let end = self.driver.end().await?;
        let mut tx = self.driver.begin(PATIENCE_OF_STARTS_MS).await?;
        let journal = &self.journal;
        let log = journal.log(&mut tx).await?;
        if log.epoch != epoch {
            return Err(fenced());
        }
        let recovered = Recovered {
            end: end.max(log.begin),
            log: Some(log.id),
            begin: 0,
            checkpoint: journal.checkpoint(&mut tx).await?,
            anchor: None,
            settled: journal.settled(&mut tx).await?,
            open: journal.open_conflicts(&mut tx, false).await?,
            two_sided: journal.records(&mut tx, true).await?,
            closed: journal.closed(&mut tx).await?,
            chunks: journal.chunks(&mut tx, false).await?.concat(),
            former: journal.chunks(&mut tx, true).await?,
            copied_before: journal.copied_before(&mut tx).await?,
            touched: journal.touched(&mut tx).await?,
            began: journal.began(&mut tx).await?,
        };
        let captured = journal.captured(&mut tx).await?;
        tx.commit().await?;
        let name = |i: usize| &self.options.tables[i].schema.name;
        let gaps = (0..self.options.tables.len()).filter_map(|i| {
            let known = captured.iter().find(|c| c.name == *name(i))?;
            Some((i, known.gap.clone()?))
        });
        if let Ok(mut known) = self.gaps.lock() {
            *known = gaps.collect();
        }
        Ok(recovered)
    }

    /// Where to read from: the log has nothing of ours before it begins.
    async fn from(&self, after: u64) -> Result<u64> {
        if after > 0 {
            return Ok(after);
        }
        let mut tx = self.driver.begin_read().await?;
        let begin = self.journal.log(&mut tx).await?.begin;
        tx.commit().await?;
        Ok(begin)
    }

    async fn read_feed(&self, after: u64, rows_max: usize) -> Result<FeedPage> {
        let mut page = self.reader.read(self.from(after).await?, rows_max).await?;
        for (table, what) in &page.schema_changed {
            self.note_gap(*table, what).await?;
        }
        // They stay paused until somebody resumes them.
        if let Ok(gaps) = self.gaps.lock() {
            page.schema_changed.extend(gaps.iter().cloned());
        }
        Ok(page)
    }

    /// A log that has lost something stays lost until somebody says `resume`.
    pub(super) async fn keep_loss<R>(&self, result: Result<R>) -> Result<R> {
        let Err(error) = &result else {
            return result;
        };
        if self.options.followed && matches!(error.kind(), ErrorKind::LogGap | ErrorKind::Schema) {
            let why = format!("{LOST}{}", error.message());
            let noted = async {
                let mut tx = self.driver.begin(PATIENCE_OF_STARTS_MS).await?;
                for table in &self.options.tables {
                    let name = &table.schema.name;
                    self.journal.set_gap(&mut tx, name, &why).await?;
                }
                tx.commit().await
            };
            if let Err(e) = noted.await {
                tracing::warn!(%e, "that the log is lost cannot be written down");
            }
        }
        result
    }

    /// A change of the schema that may have hidden changes of rows must outlive this process.
    async fn note_gap(&self, table: usize, what: &str) -> Result<()> {
        let Some(table) = self.options.tables.get(table) else {
            return Ok(());
        };
        let mut tx = self.driver.begin(PATIENCE_OF_STARTS_MS).await?;
        let name = &table.schema.name;
        self.journal.set_gap(&mut tx, name, what).await?;
        tx.commit().await
    }

    /// Looks now and then at what the log does not tell.
    async fn watch(&self) -> Result<()> {
        let due = self.watched_at.lock().is_ok_and(|mut at| {
            let due = at.is_none_or(|at| at.elapsed() >= WATCH);
            if due {
                *at = Some(Instant::now());
            }
            due
        });
        if !due || !self.options.followed {
            return Ok(());
        }
        let watched = self.driver.watch(&self.options).await?;
        for (table, why) in watched.missed {
            let name = &self.options.tables[table].schema.name;
            let why = format!("table {name} {why}");
            self.note_gap(table, &why).await?;
            if let Ok(mut gaps) = self.gaps.lock()
                && gaps.iter().all(|(t, _)| *t != table)
            {
                gaps.push((table, why));
            }
        }
        let kept_mb = watched.kept_bytes.unwrap_or(0) >> 20;
        if kept_mb > self.options.log_kept_mb_max {
            tracing::warn!(
                kept_mb,
                log_kept_mb_max = self.options.log_kept_mb_max,
                "store {}: the server keeps that much of its log for this migration; let the sync \
                 catch up, or abort the migration before the server's disk is full \
                 (max_slot_wal_keep_size on the server is the last resort)",
                self.driver.name()
            );
        }
        Ok(())
    }

    fn holds_snapshot(&self) -> bool {
        self.holds_snapshot.load(Ordering::Relaxed)
    }

    async fn read_chunk(&self, table: usize, after: Option<Key>, rows_max: usize) -> Result<Chunk> {
        let mut copying = self.copy.lock().await;
        let fits = copying
            .as_ref()
            .is_some_and(|c| c.table == table && c.after == after);
        if !fits {
            self.holds_snapshot.store(true, Ordering::Relaxed);
            // The old reader goes first: it holds a connection.
            *copying = None;
            let reader = self
                .driver
                .copy_reader(&self.options.tables[table], after.as_ref())
                .await?;
            *copying = Some(Copying {
                table,
                reader,
                after,
            });
        }
        // Not back in its place before it stands where it says: whoever gives up, or fails, in the
        // middle begins anew.
        let Some(mut state) = copying.take() else {
            return Err(Error::new(ErrorKind::Internal, "a copy without a reader"));
        };
        let (rows, last) = state.reader.next(rows_max).await?;
        let seq = state.reader.seq();
        let last_key = rows.last_key(&self.options.tables[table].key)?;
        state.after = last_key.or(state.after.take());
        if last {
            drop(state);
            if table + 1 == self.options.tables.len() {
                self.driver.end_copy().await?;
                self.holds_snapshot.store(false, Ordering::Relaxed);
            }
        } else {
            *copying = Some(state);
        }
        Ok(Chunk { rows, seq, last })
    }
}

fn fenced() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "another banyan process has taken this migration over",
    )
    .hint("let that one go on; start this one again when it has stopped")
}

/// A pause that grows, with half of it by chance, so that two that are in each other's way part.
async fn pause(tries: u32) {
    let base = 2_u64 << tries.min(6);
    let mut byte = [0_u8; 1];
    let chance = match getrandom::fill(&mut byte) {
        Ok(()) => u64::from(byte[0]),
        Err(_) => 128,
    };
    tokio::time::sleep(Duration::from_millis(base / 2 + base * chance / 256)).await;
}

impl<D: Driver> SyncStore for ServerSync<D> {
    type Lock = ServerLock<D>;

    fn role(&self) -> Role {
        self.shared.options.role
    }

    async fn take_over(&self, epoch: i64) -> Result<()> {
        let shared = &self.shared;
        let done = async {
            let mut tx = shared.driver.begin(PATIENCE_OF_STARTS_MS).await?;
            shared.journal.log(&mut tx).await?;
            shared.journal.set_epoch(&mut tx, epoch).await?;
            tx.commit().await
        };
        self.at_store(done.await)
    }

    async fn recover(&self, epoch: i64) -> Result<Recovered> {
        self.at_store(self.shared.recover(epoch).await)
    }

    async fn anchor(&self, seq: u64) -> Result<Option<i64>> {
        let done = async {
            let seq = self.shared.from(seq).await?;
            self.shared.driver.check_log(seq).await
        };
        self.at_store(self.shared.keep_loss(done.await).await)?;
        Ok(None)
    }

    async fn read_feed(&self, after: u64, rows_max: usize) -> Result<FeedPage> {
        let page = self.shared.read_feed(after, rows_max).await;
        self.at_store(self.shared.keep_loss(page).await)
    }

    fn consumed(&self, position: u64) {
        self.shared.reader.forget(position);
    }

    async fn catch_up(&self, after: u64, patience: Patience) -> Result<bool> {
        let done = async {
            let after = self.shared.from(after).await?;
            let caught_up = self.shared.reader.catch_up(after, patience);
            if !self.shared.holds_snapshot() {
                return caught_up.await;
            }
            // What is waited for may itself wait for the snapshot.
            let caught_up = tokio::time::timeout(SNAPSHOT_WAITS, caught_up).await;
            caught_up.unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Busy,
                    "the log cannot be read to its end while tables are copied",
                ))
            })
        };
        self.at_store(self.shared.keep_loss(done.await).await)
    }

    async fn wait(&self, wait_ms: u64) -> Result<bool> {
        Ok(self.shared.reader.wait(wait_ms).await)
    }

    async fn read_rows(&self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        let shared = &self.shared;
        loop {
            let done = async {
                let mut tx = shared.driver.begin_read().await?;
                let rows = tx.rows(&shared.tables[table], &keys).await?;
                tx.commit().await?;
                Ok(rows)
            };
            let done: Result<_> = done.await;
            match done {
                // Whoever is in the way does not wait for us.
                Err(e) if e.kind() == ErrorKind::Busy && !shared.holds_snapshot() => {
                    tracing::debug!(%e, "a table is locked; trying again");
                    pause(TRIES).await;
                }
                done => return self.at_store(done),
            }
        }
    }

    async fn read_chunk(&self, table: usize, after: Option<Key>, rows_max: usize) -> Result<Chunk> {
        self.at_store(self.shared.read_chunk(table, after, rows_max).await)
    }

    fn copies_one_instant(&self) -> bool {
        true
    }

    fn writers(&self) -> usize {
        self.shared.driver.writers()
    }

    fn footprint(&self, changes: &[RowChange]) -> Footprint {
        footprint::of(&self.shared.options.tables, changes)
    }

    async fn apply(&self, batch: ApplyBatch, turn: Turn) -> Result<Applied> {
        let shared = Arc::clone(&self.shared);
        // A task of its own: others are composed and written meanwhile. Dropped, it ends.
        let mut task = JoinSet::new();
        task.spawn(async move { shared.apply(&batch, turn).await });
        let applied = match task.join_next().await {
            Some(Ok(applied)) => applied,
            ended => Err(Error::new(
                ErrorKind::Internal,
                format!("writing a batch did not end as it should: {ended:?}"),
            )),
        };
        self.at_store(applied)
    }

    async fn lock(&self) -> Result<ServerLock<D>> {
        // The other store may be locked already.
        let tx = lock::soon(self.shared.driver.begin(PATIENCE_OF_LOCKS_MS)).await;
        Ok(ServerLock::new(
            self.at_store(tx)?,
            Arc::clone(&self.shared),
        ))
    }

    async fn prune(&self, feed: u64, settled: [u64; 2]) -> Result<()> {
        let shared = &self.shared;
        if shared.options.followed {
            shared.reader.confirm(feed).await;
        }
        let done = async {
            shared.watch().await?;
            let mut tx = shared.driver.begin(PATIENCE_MS).await?;
            shared.journal.prune(&mut tx, settled).await?;
            tx.commit().await
        };
        match done.await {
            // What is not pruned now is pruned the next time.
            Err(e) if e.kind().retry() == Retry::Backoff && e.kind() == ErrorKind::Busy => Ok(()),
            result => self.at_store(result),
        }
    }

    async fn open_conflicts(&self) -> Result<Vec<OpenConflict>> {
        self.conflicts(false).await
    }

    async fn answered_conflicts(&self) -> Result<Vec<OpenConflict>> {
        self.conflicts(true).await
    }
}

/// The identity of a log, for what only wants to know whether there is one.
pub(super) type MaybeLog = Option<LogId>;
