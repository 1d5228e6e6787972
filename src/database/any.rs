//! A store of any engine: the one place where what the engines have in common is handed to the one
//! that is meant.

mod filter;
mod sync;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::config::{Capture, ServerUrl, StoreUrl};
use crate::data::{Column, LogicalType, TableSchema};
use crate::error::{ErrorKind, Result};
use crate::rule::mapping::{RowFilter, StoredForm};

use super::form::{ServerStoredForm, same_form};
use super::mysql::{MysqlDriver, MysqlStore};
use super::postgres::{PgDriver, PgStore, sent};
use super::server::ServerSync;
use super::sqlite::{Affinity, SqliteFilter, SqliteStore, SqliteStoredForm};
use super::{
    Captures, Dialect, Engine, Inspection, Lag, Orphans, ReadStore, Snapshot, SyncOptions,
};

pub use sync::{AnyLock, AnySync};

/// A store of the configuration. Cheap to clone; nothing is opened before it is used.
#[derive(Clone, Debug)]
pub struct AnyStore(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Sqlite(SqliteStore),
    Postgres(PgStore, Capture),
    Mysql(MysqlStore, ServerUrl, Capture),
}

macro_rules! on {
    ($self:expr, $store:ident => $does:expr) => {
        match &$self.0 {
            Inner::Sqlite($store) => $does,
            Inner::Postgres($store, _) => $does,
            Inner::Mysql($store, ..) => $does,
        }
    };
}

impl From<SqliteStore> for AnyStore {
    fn from(store: SqliteStore) -> Self {
        Self(Inner::Sqlite(store))
    }
}

impl AnyStore {
    /// The store `name` of the configuration.
    ///
    /// # Errors
    /// `Config` when the URL has parameters that mean nothing.
    pub fn new(name: &str, url: &StoreUrl, capture: Capture) -> Result<Self> {
        let store = match url {
            StoreUrl::Sqlite { path } => Inner::Sqlite(SqliteStore::new(name, path)),
            StoreUrl::Postgres(url) => Inner::Postgres(PgStore::new(name, url.clone())?, capture),
            StoreUrl::Mysql(url) => Inner::Mysql(MysqlStore::new(name, url)?, url.clone(), capture),
        };
        Ok(Self(store))
    }

    /// The kind of database.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match &self.0 {
            Inner::Sqlite(_) => Engine::Sqlite,
            Inner::Postgres(..) => Engine::Postgres,
            Inner::Mysql(..) => Engine::Mysql,
        }
    }

    /// Where it is, for people: the file, or the server and the database.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.0 {
            Inner::Sqlite(store) => format!("file {}", store.path().display()),
            Inner::Postgres(store, _) => server_place(store.url(), 5432),
            Inner::Mysql(_, url, _) => server_place(url, 3306),
        }
    }

    /// What two names of the same database have in common.
    #[must_use]
    pub fn identity(&self) -> String {
        match &self.0 {
            Inner::Sqlite(store) => {
                let path = store.path();
                let path: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
                format!("sqlite:{}", path.display())
            }
            Inner::Postgres(store, _) => format!("postgres:{}", server_place(store.url(), 5432)),
            Inner::Mysql(_, url, _) => format!("mysql:{}", server_place(url, 3306)),
        }
    }

    /// Whether nothing is left of it (SQLite: the file).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match &self.0 {
            Inner::Sqlite(store) => !store.path().exists(),
            Inner::Postgres(..) | Inner::Mysql(..) => false,
        }
    }

    /// The store as a part of a migration. Nothing is written.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn sync(&self, options: SyncOptions) -> Result<AnySync> {
        AnySync::open(self, options).await
    }

    /// How changes of a migration's tables are, or are to be, captured here, and why.
    async fn captures(&self, options: &SyncOptions) -> Result<Captures> {
        match &self.0 {
            Inner::Sqlite(_) => Ok(Captures::default()),
            Inner::Postgres(store, capture) => PgDriver::choose(store, options, *capture).await,
            Inner::Mysql(store, _, capture) => MysqlDriver::choose(store, options, *capture).await,
        }
    }

    /// How they are captured; when they are not yet, it is left open.
    async fn captures_installed(&self, options: &SyncOptions) -> Result<Captures> {
        Ok(match &self.0 {
            Inner::Sqlite(_) => Captures::default(),
            Inner::Postgres(store, _) => {
                match PgDriver::choose(store, options, Capture::Log).await {
                    Err(e) if e.kind() == ErrorKind::Config => {
                        PgDriver::choose(store, options, Capture::Trigger).await?
                    }
                    chosen => chosen?,
                }
            }
            Inner::Mysql(store, ..) => {
                match MysqlDriver::choose(store, options, Capture::Log).await {
                    Err(e) if e.kind() == ErrorKind::Config => {
                        MysqlDriver::choose(store, options, Capture::Trigger).await?
                    }
                    chosen => chosen?,
                }
            }
        })
    }

    /// What columns of a table make of values of another engine's; `None`: they hold everything as
    /// it is.
    #[must_use]
    pub fn form(
        &self,
        schema: &TableSchema,
        columns: &[usize],
        other: Engine,
    ) -> Option<Arc<dyn StoredForm>> {
        if self.engine() == Engine::Sqlite {
            let form = SqliteStoredForm::new(schema, columns);
            return if form.is_identity() && other == Engine::Sqlite {
                None
            } else {
                Some(Arc::new(form))
            };
        }
        let form = ServerStoredForm::of(self.engine(), schema, columns);
        Some(Arc::new(form.facing(other)))
    }

    /// Whether rows of a table here (its captured columns and its key, by index) can be written to columns
    /// of another store as the server sends them.
    #[must_use]
    pub fn sends_alike(
        &self,
        (schema, columns, key): (&TableSchema, &[usize], &[usize]),
        other: &Self,
        (other_schema, other_columns): (&TableSchema, &[usize]),
    ) -> bool {
        let column = |i: &usize| &schema.columns[*i];
        let other_column = |i: &usize| &other_schema.columns[*i];
        self.engine() == Engine::Postgres
            && other.engine() == Engine::Postgres
            && columns.len() == other_columns.len()
            && sent::has_whole_key(schema, key)
            && sent::alike(std::iter::zip(
                columns.iter().map(column),
                other_columns.iter().map(other_column),
            ))
    }

    /// Whether columns of two stores make the same of every value that either can hold.
    #[must_use]
    pub fn holds_alike(
        &self,
        schema: &TableSchema,
        columns: &[usize],
        other: &Self,
        other_schema: &TableSchema,
        other_columns: &[usize],
    ) -> bool {
        let alike: Box<Alike> = match (self.engine(), other.engine()) {
            (Engine::Sqlite, Engine::Sqlite) => {
                let (strict, other_strict) = (schema.strict, other_schema.strict);
                Box::new(move |a: &Column, b: &Column| {
                    Affinity::of_column(strict, &a.declared_type)
                        == Affinity::of_column(other_strict, &b.declared_type)
                })
            }
            (a, b) if a == b => Box::new(move |x: &Column, y: &Column| same_form(a, x, y)),
            _ => return false,
        };
        columns.len() == other_columns.len()
            && columns
                .iter()
                .zip(other_columns)
                .all(|(&a, &b)| alike(&schema.columns[a], &other_schema.columns[b]))
    }

    /// `where` of the configuration, for rows that are looked at here.
    ///
    /// # Errors
    /// `Config` when the expression is wrong, or may mean something else here than in the store.
    pub fn filter(
        &self,
        schema: &TableSchema,
        columns: &[usize],
        sql: &str,
    ) -> Result<Arc<dyn RowFilter>> {
        if self.engine() == Engine::Sqlite {
            return Ok(Arc::new(SqliteFilter::new(schema, columns, sql)?));
        }
        filter::check(self.engine(), schema, sql)?;
        let mut schema = schema.clone();
        for column in &mut schema.columns {
            column.collation = None;
            column.declared_type = match column.logical {
                LogicalType::Int | LogicalType::UInt | LogicalType::Bool => "INTEGER".to_owned(),
                LogicalType::Text => "TEXT".to_owned(),
                _ => String::new(),
            };
        }
        Ok(Arc::new(SqliteFilter::new(&schema, columns, sql)?))
    }

    /// Whether the database can be read, and written as installing capture does; what one should
    /// know about it. Nothing that is done here leaves a trace.
    ///
    /// # Errors
    /// `Store` when it may not be read or written, `Busy` when it is locked, `Unavailable` when it
    /// cannot be reached.
    pub async fn inspect(&self) -> Result<Inspection> {
        on!(self, store => store.inspect().await)
    }

    /// Runs a statement that creates or alters a table.
    ///
    /// # Errors
    /// Those of writing; then nothing is done.
    pub async fn run_ddl(&self, sql: &str) -> Result<()> {
        on!(self, store => store.run_ddl(sql).await)
    }

    /// How many rows a table has, counted up to a thousand, and whether there may be more.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn count_some(&self, table: &str) -> Result<(u64, bool)> {
        on!(self, store => store.count_some(table).await)
    }

    /// About how many rows a table has, where the server knows that without counting them all; few
    /// are counted.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn about_rows(&self, table: &str) -> Result<Option<u64>> {
        let (rows, more) = self.count_some(table).await?;
        if !more {
            return Ok(Some(rows));
        }
        match &self.0 {
            Inner::Sqlite(_) => Ok(None),
            Inner::Postgres(store, _) => store.estimated_rows(table).await,
            Inner::Mysql(store, ..) => store.estimated_rows(table).await,
        }
    }

    /// Rows of a table that violate its foreign keys. Looks for a few seconds at most.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn orphans(&self, table: &str) -> Result<Orphans> {
        match &self.0 {
            Inner::Sqlite(store) => store.orphans(table).await,
            Inner::Postgres(store, _) => store.orphans(table).await,
            // InnoDB lets nobody take the keys' side off but by switching their checks off.
            Inner::Mysql(..) => Ok(Orphans::Unknown),
        }
    }

    /// The sequences that give a table's columns their values: the column, the next value, and the highest
    /// that is there. MariaDB and SQLite raise theirs with every row that is written; none of them is given.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn sequences(&self, table: &str) -> Result<Vec<(String, i64, i64)>> {
        match &self.0 {
            Inner::Postgres(store, _) => store.sequences(table).await,
            Inner::Sqlite(_) | Inner::Mysql(..) => Ok(Vec::new()),
        }
    }

    /// Foreign keys that refer to `parents` from columns without an index: table and columns.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn unindexed_children(&self, parents: &[&str]) -> Result<Vec<(String, Vec<String>)>> {
        match &self.0 {
            Inner::Sqlite(store) => store.unindexed_children(parents).await,
            Inner::Postgres(store, _) => store.unindexed_children(parents).await,
            // InnoDB makes an index for each foreign key.
            Inner::Mysql(..) => Ok(Vec::new()),
        }
    }

    /// Removes everything that Banyan added for a migration, whatever became of the tables since.
    ///
    /// # Errors
    /// Those of writing; repeating it finishes it.
    pub async fn uninstall(&self, migration: &str) -> Result<()> {
        match &self.0 {
            Inner::Sqlite(store) => store.uninstall(migration).await,
            _ => AnySync::bare(self, migration).await?.uninstall().await,
        }
    }

    /// Whether changes of a migration's tables were missed.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn has_gap(&self, migration: &str) -> Result<bool> {
        match &self.0 {
            Inner::Sqlite(store) => store.has_gap(migration).await,
            _ => {
                let sync = AnySync::bare(self, migration).await?;
                Ok(sync.is_installed().await? && !sync.gaps().await?.is_empty())
            }
        }
    }
}

/// Looks again and again how far a migration's feed of a store is ahead of its reader, on a connection
/// of its own: nobody waits for it.
#[derive(Debug)]
pub struct LagReader {
    store: AnyStore,
    migration: String,
    server: OnceCell<AnySync>,
}

impl LagReader {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(store: AnyStore, migration: &str) -> Self {
        Self {
            store,
            migration: migration.to_owned(),
            server: OnceCell::new(),
        }
    }

    /// What a reader that has read the feed up to `read` has before it.
    ///
    /// # Errors
    /// Those of reading, when capture is not installed included, and when it cannot be told.
    pub async fn lag(&self, read: u64) -> Result<Lag> {
        if let Inner::Sqlite(store) = &self.store.0 {
            return store.lag(&self.migration, read).await;
        }
        let open = || AnySync::bare(&self.store, &self.migration);
        self.server.get_or_try_init(open).await?.lag(read).await
    }
}

type Alike = dyn Fn(&Column, &Column) -> bool;

fn server_place(url: &ServerUrl, port: u16) -> String {
    format!(
        "database {} at {}:{}",
        url.database,
        url.host,
        url.port.unwrap_or(port)
    )
}

type Postgres = ServerSync<PgDriver>;
type Mysql = ServerSync<MysqlDriver>;

impl ReadStore for AnyStore {
    fn name(&self) -> &str {
        on!(self, store => store.name())
    }

    fn place(&self) -> String {
        self.identity()
    }

    fn dialect(&self) -> Dialect {
        on!(self, store => store.dialect())
    }

    fn tables(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        on!(self, store => store.tables())
    }

    fn views(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        on!(self, store => store.views())
    }

    fn schema<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<TableSchema>> {
        on!(self, store => store.schema(table))
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        on!(self, store => store.snapshot())
    }

    fn snapshot_at<'a>(&'a self, shared: &'a str) -> BoxFuture<'a, Result<Box<dyn Snapshot>>> {
        on!(self, store => store.snapshot_at(shared))
    }
}
