//! A store of any engine as a part of a migration.

use std::collections::BTreeMap;

use crate::data::{Key, Position, Row};
use crate::database::captures::Captures;
use crate::database::mysql::MysqlDriver;
use crate::database::postgres::PgDriver;
use crate::database::server::{ServerLock, ServerSync};
use crate::database::sqlite::{SqliteLock, SqliteSync};
use crate::database::{
    Applied, ApplyBatch, Chunk, ChunkMark, DecisionRecord, FeedPage, Findings, Footprint, Lag,
    MappedAs, OpenConflict, Outcome, Patience, ReadStore, Recovered, Resolution, Role, RowChange,
    Settled, StoreLock, SyncOptions, SyncStore, SyncTable, Turn,
};
use crate::error::{Error, ErrorKind, Result};

use super::{AnyStore, Inner as Store, Mysql, Postgres};

/// See [`SyncStore`]. Cheap to clone.
#[derive(Clone)]
pub struct AnySync(Inner);

#[derive(Clone)]
enum Inner {
    Sqlite(SqliteSync),
    Postgres(Postgres),
    Mysql(Mysql),
}

/// See [`StoreLock`].
pub struct AnyLock(Lock);

enum Lock {
    Sqlite(SqliteLock),
    Postgres(ServerLock<PgDriver>),
    Mysql(ServerLock<MysqlDriver>),
}

impl std::fmt::Debug for AnySync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tables: Vec<&str> = self
            .tables()
            .iter()
            .map(|t| t.schema.name.as_str())
            .collect();
        f.debug_tuple("AnySync").field(&tables).finish()
    }
}

impl std::fmt::Debug for AnyLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnyLock").finish_non_exhaustive()
    }
}

macro_rules! on {
    ($self:expr, $sync:ident => $does:expr) => {
        match &$self.0 {
            Inner::Sqlite($sync) => $does,
            Inner::Postgres($sync) => $does,
            Inner::Mysql($sync) => $does,
        }
    };
}

macro_rules! under {
    ($lock:expr, $inner:ident => $does:expr) => {
        match $lock {
            Lock::Sqlite($inner) => $does,
            Lock::Postgres($inner) => $does,
            Lock::Mysql($inner) => $does,
        }
    };
}

impl AnySync {
    pub(super) async fn open(store: &AnyStore, options: SyncOptions) -> Result<Self> {
        if let Store::Sqlite(store) = &store.0 {
            let sync = SqliteSync::open(store.clone(), options).await?;
            return Ok(Self(Inner::Sqlite(sync)));
        }
        let captures = store.captures(&options).await?;
        if let Some((reason, _)) = captures.reasons.first() {
            tracing::info!(
                store = store.name(),
                reason,
                "changes are captured by triggers: the server's log cannot be read"
            );
        }
        Self::server(store, options, true, captures)
    }

    /// A server's part in a migration without its tables: for what concerns Banyan's own things.
    pub(super) async fn bare(store: &AnyStore, migration: &str) -> Result<Self> {
        let options = SyncOptions {
            migration: migration.to_owned(),
            role: Role::Source,
            tables: Vec::new(),
            units: Vec::new(),
            sources: Vec::new(),
            origins: Vec::new(),
            written: false,
            followed: false,
            targets: Vec::new(),
            check_foreign_keys: false,
            log_kept_mb_max: u64::MAX,
        };
        // What was installed is to be looked at or taken away, whatever the configuration says now.
        let captures = store.captures_installed(&options).await?;
        Self::server(store, options, false, captures)
    }

    fn server(
        store: &AnyStore,
        options: SyncOptions,
        has_tables: bool,
        captures: Captures,
    ) -> Result<Self> {
        let migration = &options.migration;
        Ok(Self(match &store.0 {
            Store::Sqlite(_) => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "a SQLite store was asked for as a server",
                ));
            }
            Store::Postgres(store, _) => {
                let role = has_tables.then_some(options.role);
                let driver = PgDriver::new(store.clone(), migration, role, captures);
                Inner::Postgres(ServerSync::new(driver, options)?)
            }
            Store::Mysql(store, url, _) => {
                let driver = MysqlDriver::new(store.name(), url, migration, captures)?;
                Inner::Mysql(ServerSync::new(driver, options)?)
            }
        }))
    }

    /// See [`LagReader::lag`](super::LagReader::lag).
    pub(super) async fn lag(&self, read: u64) -> Result<Lag> {
        match &self.0 {
            Inner::Sqlite(_) => Err(Error::new(ErrorKind::Internal, "asked of the wrong store")),
            Inner::Postgres(sync) => sync.lag(read).await,
            Inner::Mysql(sync) => sync.lag(read).await,
        }
    }

    /// What would keep the migration from running in this store, and what one should know of its
    /// tables. Changes nothing.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn look_over(&self) -> Result<Findings> {
        match &self.0 {
            Inner::Sqlite(_) => Ok(Findings::default()),
            Inner::Postgres(sync) => sync.look_over().await,
            Inner::Mysql(sync) => sync.look_over().await,
        }
    }

    /// The tables that take part.
    #[must_use]
    pub fn tables(&self) -> &[SyncTable] {
        on!(self, sync => sync.tables())
    }

    /// Installs capture; see [`SyncStore`]. Idempotent.
    ///
    /// # Errors
    /// Those of writing; repeating it finishes it.
    pub async fn install(&self) -> Result<Position> {
        self.install_after(None).await
    }

    /// The same, when the other side has read this one's log up to `consumed`: with triggers a
    /// mapping can be widened only when nothing waits.
    ///
    /// # Errors
    /// Those of writing; repeating it finishes it.
    pub async fn install_after(&self, consumed: Option<Position>) -> Result<Position> {
        match &self.0 {
            Inner::Sqlite(sync) => sync.install_after(consumed).await,
            Inner::Postgres(sync) => sync.install().await,
            Inner::Mysql(sync) => sync.install().await,
        }
    }

    /// How far the other side's log is applied here; `None` when nothing is, or capture is not
    /// installed.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn checkpoint(&self) -> Result<Option<Position>> {
        on!(self, sync => sync.checkpoint().await)
    }

    /// Where this store's log stands: what committed before this call is at or before it.
    ///
    /// # Errors
    /// Those of reading, when capture is not installed included.
    pub async fn log_end(&self) -> Result<u64> {
        on!(self, sync => sync.log_end().await)
    }

    /// Tables of which changes may have been missed, and why. They wait until [`Self::resume`].
    ///
    /// # Errors
    /// Those of reading.
    pub async fn gaps(&self) -> Result<Vec<(String, String)>> {
        on!(self, sync => sync.gaps().await)
    }

    /// Whether this store's log has lost something, so that it is to be begun anew with
    /// [`Self::renew`]. (An outbox in SQLite is part of the database.)
    ///
    /// # Errors
    /// Those of reading.
    pub async fn is_lost(&self) -> Result<bool> {
        match &self.0 {
            Inner::Sqlite(_) => Ok(false),
            Inner::Postgres(sync) => sync.is_lost().await,
            Inner::Mysql(sync) => sync.is_lost().await,
        }
    }

    /// Begins a new log. `other`, which keeps how far the old one was applied, forgets that first:
    /// interrupted in between, it is repeated.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn renew(&self, other: &Self) -> Result<()> {
        match &other.0 {
            Inner::Sqlite(sync) => sync.forget_other().await?,
            Inner::Postgres(sync) => sync.forget_other().await?,
            Inner::Mysql(sync) => sync.forget_other().await?,
        }
        match &self.0 {
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(sync) => sync.renew().await,
            Inner::Mysql(sync) => sync.renew().await,
        }
    }

    /// Lets the tables go on of which changes were missed; all their rows are to be looked at again.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn resume(&self) -> Result<()> {
        on!(self, sync => sync.resume().await)
    }

    /// Whether its changes are read from a server's log, which holds whole rows, and not written down by
    /// triggers, which know only the columns that there were.
    #[must_use]
    pub fn has_log(&self) -> bool {
        match &self.0 {
            Inner::Sqlite(_) => false,
            Inner::Postgres(sync) => sync.has_log(),
            Inner::Mysql(sync) => sync.has_log(),
        }
    }

    /// Whether [`Self::widened`] would let one of these tables go on.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn wait_for_columns(&self, tables: &[String]) -> Result<bool> {
        match &self.0 {
            Inner::Sqlite(_) => Ok(false),
            Inner::Postgres(sync) => sync.wait_for_columns(tables).await,
            Inner::Mysql(sync) => sync.wait_for_columns(tables).await,
        }
    }

    /// Lets those of these tables go on that waited for nothing but new columns, which both sides have by
    /// now.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn widened(&self, tables: Vec<String>) -> Result<()> {
        match &self.0 {
            // Its triggers are made anew, and what lies before that has the layout that it had.
            Inner::Sqlite(_) => Ok(()),
            Inner::Postgres(sync) => sync.widened(tables).await,
            Inner::Mysql(sync) => sync.widened(tables).await,
        }
    }

    /// The source's tables all of whose rows are to be looked at again.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn recopies(&self) -> Result<Vec<String>> {
        on!(self, sync => sync.recopies().await)
    }

    /// Lets the next start copy these tables of the source once more, row by row beside what is
    /// there: rows that are equal stay, rows that differ become conflicts. For the target's store,
    /// which keeps the copy's progress, while no engine runs.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn forget_copies(&self, sources: Vec<String>) -> Result<()> {
        on!(self, sync => sync.forget_copies(sources).await)
    }

    /// All rows are being looked at again: [`Self::forget_copies`] was done.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn recopies_begun(&self) -> Result<()> {
        on!(self, sync => sync.recopies_begun().await)
    }

    /// Whether capture is installed.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn is_installed(&self) -> Result<bool> {
        on!(self, sync => sync.is_installed().await)
    }

    /// Removes everything that Banyan added for this migration.
    ///
    /// # Errors
    /// Those of writing; repeating it finishes it.
    pub async fn uninstall(&self) -> Result<()> {
        on!(self, sync => sync.uninstall().await)
    }

    /// How far the tables are copied to here.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn chunks(&self) -> Result<Vec<ChunkMark>> {
        on!(self, sync => sync.chunks().await)
    }

    /// All decision records kept here, oldest first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn records(&self) -> Result<Vec<DecisionRecord>> {
        on!(self, sync => sync.records().await)
    }

    /// Writes a person's answer to an open conflict down; `false` when there is none of that id.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn request(
        &self,
        id: i64,
        resolution: Resolution,
        seen: [[u8; 32]; 2],
    ) -> Result<bool> {
        on!(self, sync => sync.request(id, resolution, seen).await)
    }

    /// Writes down how the source's tables are mapped now, by name. Those that were mapped otherwise
    /// when they were copied are copied once more (see [`Self::forget_copies`], also for when to
    /// call this); answers them, each with what is different. With `widened`, columns that were added
    /// are no difference: all that is in them comes with changes.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn remap(
        &self,
        now: BTreeMap<String, MappedAs>,
        widened: bool,
    ) -> Result<Vec<(String, Vec<String>)>> {
        on!(self, sync => sync.remap(now, widened).await)
    }

    /// Guarded writes outside of any feed, for repairs: marked as ours, like all writes here.
    ///
    /// # Errors
    /// Those of writing; then nothing is written.
    pub async fn repair(&self, changes: Vec<RowChange>) -> Result<Vec<Outcome>> {
        on!(self, sync => sync.repair(changes).await)
    }
}

impl SyncStore for AnySync {
    type Lock = AnyLock;

    fn role(&self) -> Role {
        on!(self, sync => sync.role())
    }

    async fn take_over(&self, epoch: i64) -> Result<()> {
        on!(self, sync => sync.take_over(epoch).await)
    }

    async fn recover(&self, epoch: i64) -> Result<Recovered> {
        on!(self, sync => sync.recover(epoch).await)
    }

    async fn anchor(&self, seq: u64) -> Result<Option<i64>> {
        on!(self, sync => sync.anchor(seq).await)
    }

    async fn read_feed(&self, after: u64, rows_max: usize) -> Result<FeedPage> {
        on!(self, sync => sync.read_feed(after, rows_max).await)
    }

    fn consumed(&self, position: u64) {
        on!(self, sync => sync.consumed(position));
    }

    async fn catch_up(&self, after: u64, patience: Patience) -> Result<bool> {
        on!(self, sync => sync.catch_up(after, patience).await)
    }

    async fn wait(&self, wait_ms: u64) -> Result<bool> {
        on!(self, sync => sync.wait(wait_ms).await)
    }

    async fn read_rows(&self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        on!(self, sync => sync.read_rows(table, keys).await)
    }

    async fn read_chunk(&self, table: usize, after: Option<Key>, rows_max: usize) -> Result<Chunk> {
        on!(self, sync => sync.read_chunk(table, after, rows_max).await)
    }

    fn copies_one_instant(&self) -> bool {
        on!(self, sync => sync.copies_one_instant())
    }

    fn writers(&self) -> usize {
        on!(self, sync => sync.writers())
    }

    fn footprint(&self, changes: &[RowChange]) -> Footprint {
        on!(self, sync => sync.footprint(changes))
    }

    async fn apply(&self, batch: ApplyBatch, turn: Turn) -> Result<Applied> {
        on!(self, sync => sync.apply(batch, turn).await)
    }

    async fn lock(&self) -> Result<AnyLock> {
        Ok(AnyLock(match &self.0 {
            Inner::Sqlite(sync) => Lock::Sqlite(sync.lock().await?),
            Inner::Postgres(sync) => Lock::Postgres(sync.lock().await?),
            Inner::Mysql(sync) => Lock::Mysql(sync.lock().await?),
        }))
    }

    async fn prune(&self, feed: u64, settled: [u64; 2]) -> Result<()> {
        on!(self, sync => sync.prune(feed, settled).await)
    }

    async fn open_conflicts(&self) -> Result<Vec<OpenConflict>> {
        on!(self, sync => sync.open_conflicts().await)
    }

    async fn answered_conflicts(&self) -> Result<Vec<OpenConflict>> {
        on!(self, sync => sync.answered_conflicts().await)
    }
}

impl StoreLock for AnyLock {
    async fn check_epoch(&mut self, epoch: i64) -> Result<()> {
        under!(&mut self.0, lock => lock.check_epoch(epoch).await)
    }

    async fn end(&mut self) -> Result<u64> {
        under!(&mut self.0, lock => lock.end().await)
    }

    async fn read_rows(&mut self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        under!(&mut self.0, lock => lock.read_rows(table, keys).await)
    }

    async fn write(&mut self, changes: Vec<RowChange>) -> Result<Vec<Outcome>> {
        under!(&mut self.0, lock => lock.write(changes).await)
    }

    async fn new_key(&mut self, table: usize) -> Result<Option<Key>> {
        under!(&mut self.0, lock => lock.new_key(table).await)
    }

    async fn note(
        &mut self,
        records: Vec<DecisionRecord>,
        settled: Vec<Settled>,
        close: Vec<i64>,
        states: Vec<OpenConflict>,
        open: Vec<OpenConflict>,
    ) -> Result<Vec<i64>> {
        under!(&mut self.0, lock => lock.note(records, settled, close, states, open).await)
    }

    async fn commit(self) -> Result<()> {
        under!(self.0, lock => lock.commit().await)
    }
}
