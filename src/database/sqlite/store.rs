//! One database file: reading it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::data::TableSchema;
use crate::database::{ReadStore, Snapshot};
use crate::error::{Error, ErrorKind, Result};

use super::read::SqliteSnapshot;
use super::schema;
use super::session::{Access, Session};

/// An SQLite database as the configuration names it. Cheap to clone; opens connections as needed.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    path: PathBuf,
}

impl SqliteStore {
    /// The store `name` of the configuration, in this file. Nothing is opened yet.
    #[must_use]
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            inner: Arc::new(Inner {
                name: name.into(),
                path: path.into(),
            }),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// A connection of one's own.
    pub async fn session(&self, access: Access) -> Result<Session> {
        Session::open(&self.inner.path, access)
            .await
            .map_err(|e| e.at(format!("store {}", self.inner.name)))
    }

    /// Runs something on a connection of its own, on a thread that may block.
    pub async fn with<R: Send + 'static>(
        &self,
        access: Access,
        run: impl FnOnce(&Session) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let session = self.session(access).await?;
        let name = self.inner.name.clone();
        tokio::task::spawn_blocking(move || run(&session))
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, "a store's thread panicked").caused_by(e))?
            .map_err(|e| e.at(format!("store {name}")))
    }
}

impl ReadStore for SqliteStore {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn tables(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.with(Access::Read, |s| schema::tables(s.conn())))
    }

    fn views(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.with(Access::Read, |s| schema::views(s.conn())))
    }

    fn schema<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<TableSchema>> {
        let table = table.to_owned();
        Box::pin(self.with(Access::Read, move |s| schema::table(s.conn(), &table)))
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        Box::pin(async {
            let session = self.session(Access::Read).await?;
            let snapshot: Box<dyn Snapshot> = Box::new(SqliteSnapshot::begin(session)?);
            Ok(snapshot)
        })
    }
}
