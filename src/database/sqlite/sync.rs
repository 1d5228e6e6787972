//! A SQLite database as the sync engine sees it.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::data::{Key, LogId, Row, TableSchema};
use crate::database::{
    Applied, ApplyBatch, Base, Cause, Chunk, CopiedRows, DecisionRecord, FeedPage, OpenConflict, OpenState, Outcome,
    ReadStore, Recovered, Resolution, Role, RowChange, Settled, StoreLock, SyncStore, UnitKey,
};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::ConflictKind;

use super::capture::{self, CaptureTable, finish};
use super::copy::read_chunk;
use super::error::sqlite;
use super::feed::{self, FeedTable};
use super::foreign_key::ForeignKeys;
use super::journal::{self, Journal};
use super::names::Names;
use super::schema;
use super::session::{Access, Session};
use super::store::SqliteStore;
use super::value::{bind, to_value};
use super::writer::{TableSql, Writer};

/// A table that takes part in a migration.
#[derive(Clone, Debug)]
pub struct SyncTable {
    /// As introspected when the migration was opened.
    pub schema: TableSchema,
    /// The captured columns: indexes into the schema's.
    pub columns: Vec<usize>,
    /// The key: indexes into `columns`.
    pub key: Vec<usize>,
    /// Only these rows are copied (SQL).
    pub filter: Option<String>,
}

/// What a store of a migration is asked to do.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// The migration's name.
    pub migration: String,
    /// Which side.
    pub role: Role,
    /// The tables of this side.
    pub tables: Vec<SyncTable>,
    /// The names of the units: the target's tables, in order.
    pub units: Vec<String>,
    /// The names of the source's tables, in order.
    pub sources: Vec<String>,
    /// Whether rows without parents, and parents with children, are kept from going through.
    pub check_foreign_keys: bool,
}

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
    feed: std::sync::Mutex<Vec<FeedTable>>,
    log: std::sync::Mutex<Option<LogId>>,
    schema_version: std::sync::Mutex<i64>,
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
        let shared = Shared {
            names: Names::new(&options.migration),
            sql,
            feed: std::sync::Mutex::new(Vec::new()),
            log: std::sync::Mutex::new(None),
            schema_version: std::sync::Mutex::new(0),
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
    pub async fn install(&self) -> Result<crate::data::Position> {
        let shared = Arc::clone(&self.shared);
        // Triggers are created on a connection on which they would fire: SQLite checks them then.
        let session = self.shared.store.session(Access::Application).await?;
        self.blocking(move || {
            let tables: Vec<CaptureTable> = shared
                .options
                .tables
                .iter()
                .map(|t| CaptureTable {
                    schema: t.schema.clone(),
                    columns: t.columns.clone(),
                    key: t.key.iter().map(|&k| t.columns[k]).collect(),
                })
                .collect();
            capture::install(session.conn(), &shared.names, &tables)
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

    fn rows(
        &self,
        conn: &rusqlite::Connection,
        table: usize,
        keys: &[Key],
    ) -> Result<Vec<Option<Row>>> {
        let what = || sqlite("read rows by key");
        let width = self.options.tables[table].columns.len();
        let mut stmt = conn
            .prepare_cached(&self.sql[table].select)
            .map_err(what())?;
        keys.iter()
            .map(|key| {
                let mut rows = stmt
                    .query(rusqlite::params_from_iter(bind(&key.0)))
                    .map_err(what())?;
                rows.next()
                    .map_err(what())?
                    .map(|row| {
                        (0..width)
                            .map(|i| row.get_ref(i).map(to_value).map_err(what()))
                            .collect()
                    })
                    .transpose()
            })
            .collect()
    }

    fn installed(&self, conn: &rusqlite::Connection) -> Result<LogId> {
        journal::log(conn, &self.names)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "change capture is not installed")
                .hint("start the migration: banyan sync MIGRATION")
        })
    }

    fn take_over(&self, conn: &rusqlite::Connection, epoch: i64) -> Result<()> {
        conn.execute_batch("BEGIN IMMEDIATE")
            .map_err(sqlite("take the store over"))?;
        let result = self
            .installed(conn)
            .and_then(|_| self.journal(conn).set_epoch(epoch));
        finish(conn, result)
    }

    fn recover(&self, conn: &rusqlite::Connection, epoch: i64) -> Result<Recovered> {
        conn.execute_batch("BEGIN IMMEDIATE")
            .map_err(sqlite("read what is durable"))?;
        let journal = self.journal(conn);
        let result = (|| {
            let log = self.installed(conn)?;
            self.check_epoch(conn, epoch)?;
            let names: Vec<&str> = self
                .options
                .tables
                .iter()
                .map(|t| t.schema.name.as_str())
                .collect();
            let ids = feed::table_ids(conn, &self.names, &names)?;
            let feed_tables = ids
                .into_iter()
                .zip(&self.options.tables)
                .map(|(id, t)| FeedTable {
                    id,
                    width: t.columns.len(),
                    key: t.key.clone(),
                })
                .collect();
            if let Ok(mut feed) = self.feed.lock() {
                *feed = feed_tables;
            }
            if let Ok(mut known) = self.log.lock() {
                *known = Some(log);
            }
            let begin: i64 = conn
                .query_row(
                    &format!("SELECT min(seq) - 1 FROM {}", self.names.sql("outbox")),
                    [],
                    |row| row.get(0),
                )
                .map_err(sqlite("read the outbox"))?;
            Ok(Recovered {
                end: capture::end(conn, &self.names)?,
                log: Some(log),
                begin: begin.max(0).unsigned_abs(),
                checkpoint: journal.checkpoint()?,
                settled: journal.settled()?,
                open: journal.open_conflicts()?,
                two_sided: journal.records(true)?,
                closed: journal.closed()?,
                chunks: journal.chunks()?,
                touched: journal.touched()?,
            })
        })();
        finish(conn, result)
    }

    fn feed(&self, conn: &rusqlite::Connection, after: u64, rows_max: usize) -> Result<FeedPage> {
        let what = || sqlite("read the feed");
        conn.execute_batch("BEGIN").map_err(what())?;
        let result = (|| {
            let version: i64 = conn
                .prepare_cached("PRAGMA schema_version")
                .and_then(|mut s| s.query_row([], |row| row.get(0)))
                .map_err(what())?;
            let mut schema_changed = Vec::new();
            let known = self.schema_version.lock().map_or(version, |v| *v);
            if known != version {
                schema_changed = self.compare_schemas(conn)?;
                if let Ok(mut known) = self.schema_version.lock()
                    && schema_changed.is_empty()
                {
                    *known = version;
                }
            }
            let feed = self
                .feed
                .lock()
                .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
            let (commit, more) = feed::read(conn, &self.names, &feed, after, rows_max)?;
            Ok(FeedPage {
                commit,
                more,
                schema_changed,
            })
        })();
        conn.execute_batch("COMMIT").map_err(what())?;
        result
    }

    /// Captured tables whose captured columns, key or triggers are not what they were.
    fn compare_schemas(&self, conn: &rusqlite::Connection) -> Result<Vec<(usize, String)>> {
        let mut changed = Vec::new();
        for (i, table) in self.options.tables.iter().enumerate() {
            let name = &table.schema.name;
            let now = match schema::table(conn, name) {
                Ok(now) => now,
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    changed.push((i, format!("table {name} was dropped or renamed")));
                    continue;
                }
                Err(e) => return Err(e),
            };
            if let Some(what) = difference(&table.schema, &now, &table.columns) {
                changed.push((i, what));
                continue;
            }
            let triggers: i64 = conn
                .prepare_cached(
                    "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' \
                     AND tbl_name = ?1 AND substr(name, 1, length(?2)) = ?2",
                )
                .and_then(|mut s| {
                    s.query_row([name.as_str(), &self.names.prefix()], |row| row.get(0))
                })
                .map_err(sqlite("look for the capture triggers"))?;
            if triggers < 5 {
                changed.push((
                    i,
                    format!("the capture triggers of table {name} were removed"),
                ));
            }
        }
        Ok(changed)
    }

    fn apply(&self, conn: &rusqlite::Connection, batch: &ApplyBatch) -> Result<Applied> {
        conn.execute_batch("BEGIN IMMEDIATE")
            .map_err(sqlite("begin to apply"))?;
        let result = self.apply_inside(conn, batch);
        finish(conn, result)
    }

    fn apply_inside(&self, conn: &rusqlite::Connection, batch: &ApplyBatch) -> Result<Applied> {
        let journal = self.journal(conn);
        self.check_epoch(conn, batch.epoch)?;
        let log = batch
            .log
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a batch without a log"))?;
        if (batch.to != batch.from || batch.chunk.is_none())
            && !journal.advance(log, batch.from, batch.to)?
        {
            return Err(fenced());
        }
        capture::sweep(conn, &self.names)?;
        let end = capture::end(conn, &self.names)?;
        let role = self.options.role;
        let outcomes = self.writer(conn).write(&batch.changes)?;
        let mut settled = Vec::new();
        let mut opened = Vec::new();
        let pending = if batch.chunk.is_some() {
            Some(self.pending(conn, batch.own_feed_read)?)
        } else {
            None
        };
        let mut copied = 0;
        let mut left = Vec::new();
        if let Some(rows) = &batch.copied {
            left = self.copy(conn, rows)?;
            copied = rows.batch.num_rows() as u64 - left.len() as u64;
            settled.extend(self.touched_copies(rows, pending.as_ref())?);
        }
        let copied_settled = settled.clone();
        let changes = batch.changes.iter().zip(&outcomes);
        for (change, outcome) in changes.chain(left.iter().map(|(c, o)| (c, o))) {
            let (kind, state, reason) = match outcome {
                Outcome::Written | Outcome::Equal => {
                    // Of copied rows only those need a mark that the application touched as well.
                    let needs = pending
                        .as_ref()
                        .is_none_or(|p| p.contains(&(change.table, change.key.clone())));
                    if needs {
                        settled.push(change.unit.clone());
                    }
                    continue;
                }
                Outcome::Suspect { kind } => match &change.cause.refused {
                    Some(refusal) => (refusal.kind, refusal.state, refusal.reason.clone()),
                    None => (*kind, OpenState::Open, String::new()),
                },
                Outcome::Blocked { kind, reason } => (*kind, OpenState::Waiting, reason.clone()),
            };
            let mut conflict = conflict_of(change, role, kind, state, reason);
            journal.open(&mut conflict)?;
            opened.push(conflict);
        }
        copied += left
            .iter()
            .filter(|(_, o)| matches!(o, Outcome::Written | Outcome::Equal))
            .count() as u64;
        if !settled.is_empty() {
            journal.settle(&Settled {
                role,
                seq: end,
                units: settled,
            })?;
        }
        for (unit, us) in &batch.touched {
            journal.touch(unit, role.other(), *us)?;
        }
        if let Some(mark) = &batch.chunk {
            journal.mark_chunk(mark)?;
        }
        Ok(Applied {
            copied,
            copied_settled,
            outcomes,
            end,
            opened,
        })
    }

    fn copy(
        &self,
        conn: &rusqlite::Connection,
        rows: &CopiedRows,
    ) -> Result<Vec<(RowChange, Outcome)>> {
        let key = &self.options.tables[rows.table].key;
        self.writer(conn).copy(rows.table, &rows.batch, |row| {
            let unit = UnitKey {
                unit: rows.table,
                key: Key::of(&row, key),
            };
            RowChange {
                table: rows.table,
                key: unit.key.clone(),
                unit,
                expect: None,
                cause: Cause {
                    base: Base::Expected,
                    source_key: Key::of(&row, &rows.source_key),
                    committed_us: None,
                    refused: None,
                },
                after: Some(row),
            }
        })
    }

    /// Copied rows whose keys have changes of this store's own that nobody has read yet.
    fn touched_copies(
        &self,
        rows: &CopiedRows,
        pending: Option<&std::collections::HashSet<(usize, Key)>>,
    ) -> Result<Vec<UnitKey>> {
        let Some(pending) = pending.filter(|p| !p.is_empty()) else {
            return Ok(Vec::new());
        };
        let views = crate::data::batch::views(&rows.batch)?;
        let key = &self.options.tables[rows.table].key;
        Ok((0..rows.batch.num_rows())
            .map(|row| Key(key.iter().map(|&k| views[k].get(row).to_value()).collect()))
            .filter(|key| pending.contains(&(rows.table, key.clone())))
            .map(|key| UnitKey {
                unit: rows.table,
                key,
            })
            .collect())
    }

    /// Keys of this store's own changes after `read`.
    fn pending(
        &self,
        conn: &rusqlite::Connection,
        read: u64,
    ) -> Result<std::collections::HashSet<(usize, Key)>> {
        let feed = self
            .feed
            .lock()
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let (commit, _) = feed::read(conn, &self.names, &feed, read, usize::MAX)?;
        Ok(commit
            .changes
            .iter()
            .flat_map(|c| {
                c.before
                    .iter()
                    .chain(&c.after)
                    .map(|row| (c.table, Key::of(row, &feed[c.table].key)))
            })
            .collect())
    }
}

fn conflict_of(
    change: &RowChange,
    role: Role,
    kind: ConflictKind,
    state: OpenState,
    reason: String,
) -> OpenConflict {
    let base = match &change.cause.base {
        Base::Expected => change.expect.clone(),
        Base::Row(row) => row.clone(),
    };
    let mut committed_us = [None; 2];
    committed_us[role.other().index()] = change.cause.committed_us;
    OpenConflict {
        home: role,
        id: 0,
        unit: change.unit.clone(),
        source_key: change.cause.source_key.clone(),
        direction: role.other().outgoing(),
        kind,
        base,
        base_known: true,
        interrupted: false,
        committed_us,
        state,
        reason,
        rule: String::new(),
        request: None,
        at_us: now_us(),
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

/// What is different in the columns that matter, in words.
fn difference(was: &TableSchema, now: &TableSchema, columns: &[usize]) -> Option<String> {
    for &i in columns {
        let old = &was.columns[i];
        let Some(n) = now.columns.iter().find(|c| c.name == old.name) else {
            return Some(format!(
                "column {} of table {} is gone (dropped or renamed)",
                old.name, was.name
            ));
        };
        if n.declared_type != old.declared_type {
            return Some(format!(
                "column {} of table {} was {} and is now {}",
                old.name, was.name, old.declared_type, n.declared_type
            ));
        }
    }
    if now.key_names() != was.key_names() {
        return Some(format!("the key of table {} changed", was.name));
    }
    now.columns
        .iter()
        .find(|c| was.column(&c.name).is_none())
        .map(|c| format!("column {} was added to table {}", c.name, was.name))
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

    async fn read_feed(&self, after: u64, rows_max: usize) -> Result<FeedPage> {
        let shared = Arc::clone(&self.shared);
        self.read(move |conn| shared.feed(conn, after, rows_max))
            .await
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

    async fn apply(&self, batch: ApplyBatch) -> Result<Applied> {
        let shared = Arc::clone(&self.shared);
        self.write(move |conn| shared.apply(conn, &batch)).await
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
}

/// The writing connection while a transaction is open on it. Whoever drops it, also a call that
/// nobody waits for any more, undoes what is not committed.
struct Transaction(OwnedMutexGuard<Session>);

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.0.conn().is_autocommit() {
            // Nothing to tell anybody: closing the connection would roll back as well.
            drop(self.0.conn().execute_batch("ROLLBACK"));
        }
    }
}

/// Runs something on the session's behalf on a thread that may block.
async fn hop<R: Send + 'static>(
    session: Transaction,
    run: impl FnOnce(&Session) -> Result<R> + Send + 'static,
) -> Result<(Transaction, Result<R>)> {
    tokio::task::spawn_blocking(move || {
        let result = run(&session.0);
        (session, result)
    })
    .await
    .map_err(panicked)
}

/// An open write transaction.
pub struct SqliteLock {
    /// `None` only while a call is under way, and after the end.
    session: Option<Transaction>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for SqliteLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLock").finish_non_exhaustive()
    }
}

impl SqliteLock {
    async fn run<R: Send + 'static>(
        &mut self,
        run: impl FnOnce(&Shared, &rusqlite::Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let session = self
            .session
            .take()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a lock used after its end"))?;
        let shared = Arc::clone(&self.shared);
        let (session, result) = hop(session, move |s| run(&shared, s.conn())).await?;
        self.session = Some(session);
        result
    }
}

impl StoreLock for SqliteLock {
    async fn check_epoch(&mut self, epoch: i64) -> Result<()> {
        self.run(move |shared, conn| shared.check_epoch(conn, epoch))
            .await
    }

    async fn end(&mut self) -> Result<u64> {
        self.run(|shared, conn| capture::end(conn, &shared.names))
            .await
    }

    async fn read_rows(&mut self, table: usize, keys: Vec<Key>) -> Result<Vec<Option<Row>>> {
        self.run(move |shared, conn| shared.rows(conn, table, &keys))
            .await
    }

    async fn write(&mut self, changes: Vec<RowChange>) -> Result<Vec<Outcome>> {
        self.run(move |shared, conn| shared.writer(conn).write(&changes))
            .await
    }

    async fn new_key(&mut self, table: usize) -> Result<Option<Key>> {
        self.run(move |shared, conn| {
            let table = &shared.options.tables[table];
            let [key] = table.key[..] else {
                return Ok(None);
            };
            let column = &table.schema.columns[table.columns[key]];
            if !column.declared_type.to_ascii_uppercase().contains("INT") {
                return Ok(None);
            }
            let max: Option<i64> = conn
                .query_row(
                    &format!(
                        "SELECT max({}) FROM {}",
                        super::names::quote(&column.name),
                        super::names::quote(&table.schema.name)
                    ),
                    [],
                    |row| row.get(0),
                )
                .map_err(sqlite("find a free key"))?;
            Ok(max.unwrap_or(0).checked_add(1).map(|k| Key(vec![k.into()])))
        })
        .await
    }

    async fn note(
        &mut self,
        records: Vec<DecisionRecord>,
        settled: Vec<Settled>,
        close: Vec<i64>,
        states: Vec<OpenConflict>,
        open: Vec<OpenConflict>,
    ) -> Result<Vec<i64>> {
        self.run(move |shared, conn| {
            let journal = shared.journal(conn);
            for record in &records {
                journal.record(record)?;
            }
            for settled in &settled {
                journal.settle(settled)?;
            }
            journal.close(&close)?;
            for state in &states {
                journal.update_open(state)?;
            }
            open.into_iter()
                .map(|mut conflict| {
                    journal.open(&mut conflict)?;
                    Ok(conflict.id)
                })
                .collect()
        })
        .await
    }

    async fn commit(mut self) -> Result<()> {
        let session = self
            .session
            .take()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a lock used after its end"))?;
        let (session, result) = hop(session, |s| {
            s.conn()
                .execute_batch("COMMIT")
                .map_err(sqlite("commit a decision"))
        })
        .await?;
        if result.is_err() {
            self.session = Some(session);
        }
        result
    }
}
