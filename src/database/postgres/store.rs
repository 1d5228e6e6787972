//! One database of a server: reading it.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::config::ServerUrl;
use crate::data::TableSchema;
use crate::database::{ReadStore, Snapshot};
use crate::error::{Error, Result};

use super::connect::{Endpoint, PgConn};
use super::error::pg;
use super::read::PgSnapshot;
use super::schema;

/// A PostgreSQL database as the configuration names it. Cheap to clone; opens connections as
/// needed.
#[derive(Clone, Debug)]
pub struct PgStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    url: ServerUrl,
    endpoint: Arc<Endpoint>,
}

impl PgStore {
    /// The store `name` of the configuration, at this URL. Nothing is opened yet.
    ///
    /// # Errors
    /// `Config` when the URL has parameters that mean nothing, `Store` when a certificate's file
    /// cannot be read.
    pub fn new(name: impl Into<String>, url: ServerUrl) -> Result<Self> {
        let name = name.into();
        let endpoint = Endpoint::new(&url).map_err(|e| e.at(format!("store {name}")))?;
        Ok(Self {
            inner: Arc::new(Inner {
                name,
                url,
                endpoint: Arc::new(endpoint),
            }),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &ServerUrl {
        &self.inner.url
    }

    /// How it is connected to.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.inner.endpoint
    }

    /// A connection of one's own.
    pub(super) async fn connect(&self) -> Result<PgConn> {
        let connected = self.inner.endpoint.connect().await;
        connected.map_err(|e| self.place(e))
    }

    /// Runs a statement that creates or alters a table.
    ///
    /// # Errors
    /// Those of writing; then nothing is done.
    pub async fn run_ddl(&self, sql: &str) -> Result<()> {
        let conn = self.connect().await?;
        // Whoever waits for a table's lock keeps everybody else waiting behind it.
        let sql_alone = format!("SET lock_timeout = '3s'; {sql}");
        let done = conn.client().batch_execute(&sql_alone).await;
        done.map_err(|e| self.place(pg(format!("run {sql}"))(e)))
    }

    /// The error, with the store's name.
    pub(super) fn place(&self, error: Error) -> Error {
        error.at(format!("store {}", self.inner.name))
    }
}

impl ReadStore for PgStore {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn tables(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let conn = self.connect().await?;
            schema::tables(&conn).await.map_err(|e| self.place(e))
        })
    }

    fn views(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let conn = self.connect().await?;
            schema::views(&conn).await.map_err(|e| self.place(e))
        })
    }

    fn schema<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<TableSchema>> {
        Box::pin(async move {
            let conn = self.connect().await?;
            schema::table(&conn, table).await.map_err(|e| self.place(e))
        })
    }

    fn snapshot_at<'a>(&'a self, shared: &'a str) -> BoxFuture<'a, Result<Box<dyn Snapshot>>> {
        Box::pin(async move {
            let snapshot = PgSnapshot::begin(&self.inner.endpoint, Some(shared)).await;
            let snapshot = snapshot.map_err(|e| self.place(e))?;
            Ok(Box::new(snapshot) as Box<dyn Snapshot>)
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        Box::pin(async {
            let snapshot = PgSnapshot::begin(&self.inner.endpoint, None).await;
            let snapshot: Box<dyn Snapshot> = Box::new(snapshot.map_err(|e| self.place(e))?);
            Ok(snapshot)
        })
    }
}
