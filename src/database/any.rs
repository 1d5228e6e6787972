//! A store of any engine: the one place where what the engines have in common is handed to the one
//! that is meant.

mod sync;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::config::{Capture, StoreUrl};
use crate::data::TableSchema;
use crate::error::Result;
use crate::rule::mapping::{RowFilter, StoredForm};

use super::sqlite::{SqliteFilter, SqliteStore, SqliteStoredForm};
use super::{Inspection, Lag, Orphans, ReadStore, Snapshot, SyncOptions};

pub use sync::{AnyLock, AnySync};

/// A store of the configuration. Cheap to clone; nothing is opened before it is used.
#[derive(Clone, Debug)]
pub struct AnyStore(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Sqlite(SqliteStore),
}

macro_rules! on {
    ($self:expr, $store:ident => $does:expr) => {
        match &$self.0 {
            Inner::Sqlite($store) => $does,
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
    #[must_use]
    pub fn new(name: &str, url: &StoreUrl, _capture: Capture) -> Self {
        match url {
            StoreUrl::Sqlite { path } => Self(Inner::Sqlite(SqliteStore::new(name, path))),
            StoreUrl::Postgres(_) | StoreUrl::Mysql(_) => unimplemented!(),
        }
    }

    /// Where it is, for people: the file, or the server and the database.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.0 {
            Inner::Sqlite(store) => format!("file {}", store.path().display()),
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
        }
    }

    /// Whether nothing is left of it (SQLite: the file).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match &self.0 {
            Inner::Sqlite(store) => !store.path().exists(),
        }
    }

    /// The store as a part of a migration. Nothing is written.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn sync(&self, options: SyncOptions) -> Result<AnySync> {
        AnySync::open(self, options).await
    }

    /// What columns of a table make of values; `None`: they hold everything as it is.
    #[must_use]
    pub fn form(&self, schema: &TableSchema, columns: &[usize]) -> Option<Arc<dyn StoredForm>> {
        match &self.0 {
            Inner::Sqlite(_) => {
                let form = SqliteStoredForm::new(schema, columns);
                if form.is_identity() {
                    None
                } else {
                    Some(Arc::new(form))
                }
            }
        }
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
        match (&self.0, &other.0) {
            (Inner::Sqlite(_), Inner::Sqlite(_)) => {
                let affinities = |schema: &TableSchema, columns: &[usize]| -> Vec<_> {
                    let affinity = |i: &usize| {
                        let declared = &schema.columns[*i].declared_type;
                        super::sqlite::Affinity::of_column(schema.strict, declared)
                    };
                    columns.iter().map(affinity).collect()
                };
                affinities(schema, columns) == affinities(other_schema, other_columns)
            }
        }
    }

    /// `where` of the configuration, for rows that are looked at here.
    ///
    /// # Errors
    /// `Config` when the expression is wrong.
    pub fn filter(
        &self,
        schema: &TableSchema,
        columns: &[usize],
        sql: &str,
    ) -> Result<Arc<dyn RowFilter>> {
        Ok(Arc::new(SqliteFilter::new(schema, columns, sql)?))
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

    /// How many rows a table has, counted up to a thousand, and whether there may be more.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn count_some(&self, table: &str) -> Result<(u64, bool)> {
        on!(self, store => store.count_some(table).await)
    }

    /// Rows of a table that violate its foreign keys. Looks for a few seconds at most.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn orphans(&self, table: &str) -> Result<Orphans> {
        on!(self, store => store.orphans(table).await)
    }

    /// Foreign keys that refer to `parents` from columns without an index: table and columns.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn unindexed_children(&self, parents: &[&str]) -> Result<Vec<(String, Vec<String>)>> {
        on!(self, store => store.unindexed_children(parents).await)
    }

    /// Removes everything that Banyan added for a migration, whatever became of the tables since.
    ///
    /// # Errors
    /// Those of writing; repeating it finishes it.
    pub async fn uninstall(&self, migration: &str) -> Result<()> {
        on!(self, store => store.uninstall(migration).await)
    }

    /// Whether changes of a migration's tables were missed.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn has_gap(&self, migration: &str) -> Result<bool> {
        on!(self, store => store.has_gap(migration).await)
    }

    /// What a reader that has read a migration's feed up to `read` has before it.
    ///
    /// # Errors
    /// Those of reading, when capture is not installed included, and when it cannot be told.
    pub async fn lag(&self, migration: &str, read: u64) -> Result<Lag> {
        on!(self, store => store.lag(migration, read).await)
    }
}

impl ReadStore for AnyStore {
    fn name(&self) -> &str {
        on!(self, store => store.name())
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
}
