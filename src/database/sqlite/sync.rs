//! A SQLite database as the sync engine sees it.

mod apply;
mod lock;
mod recover;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::data::{Key, LogId, Position, Row};
use crate::database::{
    Applied, ApplyBatch, Chunk, ChunkMark, DecisionRecord, FeedPage, MappedAs, OpenConflict,
    Outcome, Patience, ReadStore, Recovered, Resolution, Role, RowChange, SyncOptions, SyncStore,
    SyncTable, Turn,
};
use crate::error::{Error, ErrorKind, Result};

use super::capture::{self, CaptureTable, Captured, Installation, finish};
use super::copy::read_chunk;
use super::error::sqlite;
use super::feed::FeedTable;
use super::foreign_key::ForeignKeys;
use super::journal::Journal;
use super::names::Names;
use super::schema;
use super::session::{Access, Session};
use super::store::SqliteStore;
use super::writer::{TableSql, Writer};

pub use lock::SqliteLock;
use lock::{Transaction, hop};

/// See the module's text. Cheap to clone.
#[derive(Clone)]
pub struct SqliteSync {
    shared: Arc<Shared>,
}

struct Shared {
    store: SqliteStore,
    options: SyncOptions,
    names: Names,
    sql: Vec<TableSql>,
    /// For each unit, which columns its rows have.
    shapes: Vec<Vec<u8>>,
    feed: std::sync::Mutex<Vec<FeedTable>>,
    log: std::sync::Mutex<Option<LogId>>,
    schema_version: std::sync::Mutex<i64>,
    /// Whether the application has a trigger that fires before ours.
    outrun: AtomicBool,
    /// Where the feed was read last, and what stood there.
    last_read: std::sync::Mutex<Option<(u64, Option<i64>)>>,
    writer: Arc<Mutex<Session>>,
    reader: Arc<Mutex<Session>>,
    watcher: Arc<Mutex<Watcher>>,
}

struct Watcher {
    session: Session,
    data_version: i64,
}

impl std::fmt::Debug for SqliteSync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteSync")
            .field("store", &self.shared.store)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

fn capture_table(table: &SyncTable) -> CaptureTable {
    CaptureTable {
        schema: table.schema.clone(),
        columns: table.columns.clone(),
        key: table.key.iter().map(|&k| table.columns[k]).collect(),
    }
}

fn panicked(e: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "a store's thread panicked").caused_by(e)
}

impl SqliteSync {
    /// Opens the connections. Nothing is written to the database.
    pub async fn open(store: SqliteStore, options: SyncOptions) -> Result<Self> {
        let writer = store.session(Access::Apply).await?;
        let reader = store.session(Access::Read).await?;
        let watch = store.session(Access::Read).await?;
        let all = schema::tables(reader.conn())?
            .iter()
            .map(|t| schema::table(reader.conn(), t))
            .collect::<Result<Vec<_>>>()?;
        let sql = options
            .tables
            .iter()
            .map(|t| TableSql::new(t, ForeignKeys::of(t, &all)))
            .collect();
        let targets = options.targets.iter();
        let shapes = targets.map(|t| capture::shape(&capture_table(t))).collect();
        let shared = Shared {
            shapes,
            names: Names::new(&options.migration),
            sql,
            feed: std::sync::Mutex::new(Vec::new()),
            log: std::sync::Mutex::new(None),
            schema_version: std::sync::Mutex::new(0),
            outrun: AtomicBool::new(false),
            last_read: std::sync::Mutex::new(None),
            writer: Arc::new(Mutex::new(writer)),
            reader: Arc::new(Mutex::new(reader)),
            watcher: Arc::new(Mutex::new(Watcher {
                session: watch,
                data_version: 0,
            })),
            store,
            options,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The tables that take part.
    #[must_use]
    pub fn tables(&self) -> &[SyncTable] {
        &self.shared.options.tables
    }

    /// Installs capture; see [`SyncStore`]. Idempotent.
    pub async fn install(&self) -> Result<Position> {
        self.install_after(None).await
    }

    /// The same, when the other side has read this one's log up to `consumed`: a mapping can be
    /// widened only when nothing waits.
    pub async fn install_after(&self, consumed: Option<Position>) -> Result<Position> {
        let shared = Arc::clone(&self.shared);
        // Triggers are created on a connection on which they would fire: SQLite checks them then.
        let session = self.shared.store.session(Access::Application).await?;
        self.blocking(move || {
            let tables: Vec<_> = shared.options.tables.iter().map(capture_table).collect();
            let targets: Vec<_> = shared.options.targets.iter().map(capture_table).collect();
            let log = capture::log(session.conn(), &shared.names)?;
            let installation = Installation {
                names: &shared.names,
                tables: &tables,
                origins: &shared.options.origins,
                targets: &targets,
                written: shared.options.written,
                consumed: consumed
                    .filter(|at| Some(at.log) == log)
                    .map_or(0, |at| at.seq),
            };
            capture::install(session.conn(), &installation)
        })
        .await
    }

    /// How far the other side's log is applied here; `None` when nothing is, or capture is not
    /// installed.
    pub async fn checkpoint(&self) -> Result<Option<Position>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| {
            if capture::log(conn, &shared.names)?.is_none() {
                return Ok(None);
            }
            shared.journal(conn).checkpoint()
        })
        .await
    }

    /// Where this store's log stands: what committed before this call is at or before it.
    pub async fn log_end(&self) -> Result<u64> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| capture::end(conn, &shared.names))
            .await
    }

    /// Tables of which changes may have been missed, and why. They wait until [`Self::resume`].
    pub async fn gaps(&self) -> Result<Vec<(String, String)>> {
        let captured = self.captured().await?.into_iter();
        Ok(captured
            .filter_map(|t| t.gap.map(|why| (t.name, why)))
            .collect())
    }

    /// The other side's log is another one from now on: how far the old one is applied here is
    /// forgotten.
    pub async fn forget_other(&self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| shared.journal(conn).forget_other())
            .await
    }

    /// Lets the tables go on of which changes were missed; all their rows are to be looked at again.
    pub async fn resume(&self) -> Result<()> {
        self.update_captured("gap = NULL, recopy = 1 WHERE gap IS NOT NULL")
            .await
    }

    /// The source's tables all of whose rows are to be looked at again.
    pub async fn recopies(&self) -> Result<Vec<String>> {
        let captured = self.captured().await?;
        let tables = self.shared.options.tables.iter();
        Ok(tables
            .zip(&self.shared.options.origins)
            .filter(|(table, _)| {
                captured
                    .iter()
                    .any(|c| c.name == table.schema.name && c.recopy && c.gap.is_none())
            })
            .map(|(_, origin)| origin.clone())
            .collect())
    }

    /// Lets the next start copy these tables of the source once more, row by row beside what is
    /// there: rows that are equal stay, rows that differ become conflicts. For the target's store,
    /// which keeps the copy's progress, while no engine runs.
    pub async fn forget_copies(&self, sources: Vec<String>) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| {
            let journal = shared.journal(conn);
            for table in &sources {
                journal.forget_copy(table)?;
            }
            Ok(())
        })
        .await
    }

    /// All rows are being looked at again: [`Self::forget_copies`] was done.
    pub async fn recopies_begun(&self) -> Result<()> {
        self.update_captured("recopy = 0 WHERE gap IS NULL").await
    }

    async fn captured(&self) -> Result<Vec<Captured>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| Captured::all(conn, &shared.names))
            .await
    }

    async fn update_captured(&self, set: &'static str) -> Result<()> {
        let tables = self.shared.names.sql("tables");
        self.write(move |conn| {
            conn.execute_batch(&format!("UPDATE {tables} SET {set}"))
                .map_err(sqlite("write down what was captured"))
        })
        .await
    }

    /// Whether capture is installed.
    pub async fn is_installed(&self) -> Result<bool> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| Ok(capture::log(conn, &shared.names)?.is_some()))
            .await
    }

    /// Removes everything that Banyan added for this migration.
    pub async fn uninstall(&self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| capture::uninstall(conn, &shared.names))
            .await
    }

    /// How far the tables are copied to here.
    pub async fn chunks(&self) -> Result<Vec<ChunkMark>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| Ok(shared.journal(conn).chunks("marks")?.concat()))
            .await
    }

    /// All decision records kept here, oldest first.
    pub async fn records(&self) -> Result<Vec<DecisionRecord>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| shared.journal(conn).records(false))
            .await
    }

    /// Writes a person's answer to an open conflict down; `false` when there is none of that id.
    pub async fn request(
        &self,
        id: i64,
        resolution: Resolution,
        seen: [[u8; 32]; 2],
    ) -> Result<bool> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| shared.journal(conn).request(id, &resolution, seen))
            .await
    }

    /// Writes down how the source's tables are mapped now, by name. Those that were mapped otherwise
    /// when they were copied are copied once more (see [`Self::forget_copies`], also for when to
    /// call this); answers them, each with what is different.
    pub async fn remap(
        &self,
        now: BTreeMap<String, MappedAs>,
        widened: bool,
    ) -> Result<Vec<(String, Vec<String>)>> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| {
            conn.execute_batch("BEGIN IMMEDIATE")
                .map_err(sqlite("begin to write how tables are mapped"))?;
            let result = shared.journal(conn).remap(&now, widened);
            finish(conn, result)
        })
        .await
    }

    /// Guarded writes outside of any feed, for repairs: marked as ours, like all writes here.
    pub async fn repair(&self, changes: Vec<RowChange>) -> Result<Vec<Outcome>> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| {
            conn.execute_batch("BEGIN IMMEDIATE")
                .map_err(sqlite("begin a repair"))?;
            let result = shared.writer(conn).write(&changes);
            finish(conn, result)
        })
        .await
    }

    async fn blocking<R: Send + 'static>(
        &self,
        run: impl FnOnce() -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let name = self.shared.store.name().to_owned();
        tokio::task::spawn_blocking(run)
            .await
            .map_err(panicked)?
            .map_err(|e| e.at(format!("store {name}")))
    }

    async fn read<R: Send + 'static>(
        &self,
        run: impl FnOnce(&rusqlite::Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let session = Arc::clone(&self.shared.reader).lock_owned().await;
        self.blocking(move || run(session.conn())).await
    }

    async fn write<R: Send + 'static>(
        &self,
        run: impl FnOnce(&rusqlite::Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let session = Arc::clone(&self.shared.writer).lock_owned().await;
        self.blocking(move || run(session.conn())).await
    }
}

impl Shared {
    fn journal<'a>(&'a self, conn: &'a rusqlite::Connection) -> Journal<'a> {
        Journal {
            conn,
            names: &self.names,
            units: &self.options.units,
            sources: &self.options.sources,
            shapes: &self.shapes,
            role: self.options.role,
        }
    }

    fn writer<'a>(&'a self, conn: &'a rusqlite::Connection) -> Writer<'a> {
        Writer {
            conn,
            tables: &self.sql,
            check_foreign_keys: self.options.check_foreign_keys,
        }
    }

    fn check_epoch(&self, conn: &rusqlite::Connection, epoch: i64) -> Result<()> {
        if self.journal(conn).epoch()? == epoch {
            Ok(())
        } else {
            Err(fenced())
        }
    }
}

fn fenced() -> Error {
    Error::new(
        ErrorKind::Fenced,
        "another banyan process has taken this migration over",
    )
    .hint("let that one go on; start this one again when it has stopped")
}

fn now_us() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

impl SyncStore for SqliteSync {
    type Lock = SqliteLock;

    fn role(&self) -> Role {
        self.shared.options.role
    }

    async fn take_over(&self, epoch: i64) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| shared.take_over(conn, epoch)).await
    }

    async fn recover(&self, epoch: i64) -> Result<Recovered> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| shared.recover(conn, epoch)).await
    }

    async fn anchor(&self, seq: u64) -> Result<Option<i64>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| capture::anchor(conn, &shared.names, seq))
            .await
    }

    async fn read_feed(&self, after: u64, rows_max: usize) -> Result<FeedPage> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| shared.feed(conn, after, rows_max))
            .await
    }

    /// A read of the outbox sees every commit.
    fn catch_up(&self, _: u64, _: Patience) -> impl Future<Output = Result<bool>> + Send {
        std::future::ready(Ok(true))
    }

    async fn wait(&self, wait_ms: u64) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(wait_ms);
        let mut watcher = Arc::clone(&self.shared.watcher).lock_owned().await;
        loop {
            // Reads one counter in shared memory: no query, no disk.
            let version: i64 = watcher
                .session
                .conn()
                .prepare_cached("PRAGMA data_version")
                .and_then(|mut s| s.query_row([], |row| row.get(0)))
                .map_err(sqlite("watch for commits"))?;
            if version != watcher.data_version {
                watcher.data_version = version;
                return Ok(true);
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    async fn read_rows(&self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| shared.rows(conn, table, &keys)).await
    }

    async fn read_chunk(&self, table: usize, after: Option<Key>, rows_max: usize) -> Result<Chunk> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| {
            read_chunk(
                conn,
                &shared.names,
                &shared.options.tables[table],
                after,
                rows_max,
            )
        })
        .await
    }

    async fn apply(&self, batch: ApplyBatch, mut turn: Turn) -> Result<Applied> {
        let store = self.clone();
        // A task of its own: nobody need poll it while the writer is wanted by others.
        let mut task = JoinSet::new();
        task.spawn(async move {
            turn.come().await?;
            let shared = Arc::clone(&store.shared);
            let applied = store.write(move |conn| shared.apply(conn, &batch)).await?;
            turn.pass();
            Ok(applied)
        });
        match task.join_next().await {
            Some(Ok(applied)) => applied,
            ended => Err(Error::new(
                ErrorKind::Internal,
                format!("writing a batch did not end as it should: {ended:?}"),
            )),
        }
    }

    async fn lock(&self) -> Result<SqliteLock> {
        let session = Transaction(Arc::clone(&self.shared.writer).lock_owned().await);
        let shared = Arc::clone(&self.shared);
        let names = shared.names.clone();
        let (session, result) = hop(session, move |s| {
            s.set_patience(false)?;
            let result = s
                .conn()
                .execute_batch("BEGIN IMMEDIATE")
                .map_err(sqlite("lock the rows of a conflict"))
                .and_then(|()| capture::sweep(s.conn(), &names));
            s.set_patience(true)?;
            result
        })
        .await?;
        result.map_err(|e| e.at(format!("store {}", shared.store.name())))?;
        Ok(SqliteLock {
            session: Some(session),
            shared,
        })
    }

    async fn prune(&self, feed: u64, settled: [u64; 2]) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| {
            conn.execute_batch("BEGIN IMMEDIATE")
                .map_err(sqlite("begin to prune"))?;
            let result = shared.journal(conn).prune(feed, settled);
            finish(conn, result)
        })
        .await
    }

    async fn open_conflicts(&self) -> Result<Vec<OpenConflict>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| shared.journal(conn).open_conflicts())
            .await
    }

    async fn answered_conflicts(&self) -> Result<Vec<OpenConflict>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| shared.journal(conn).answered_conflicts())
            .await
    }
}
