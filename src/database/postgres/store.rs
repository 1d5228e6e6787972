//! One database of a server: reading it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::{Mutex, MutexGuard};

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
    aside: Mutex<Option<Kept>>,
}

/// A connection that rested for longer is not used again: what became of it meanwhile is not known.
const REST_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Kept {
    conn: PgConn,
    since: Instant,
}

/// The connection for questions about the catalogue, which all who use the store share. Dropped before
/// [`Self::done`], in the middle of a question, it is closed.
#[derive(Debug)]
pub(super) struct Aside<'a> {
    conn: PgConn,
    kept: MutexGuard<'a, Option<Kept>>,
}

impl Aside<'_> {
    /// To ask with; it begins and ends outside of any transaction.
    pub(super) fn conn(&self) -> &PgConn {
        &self.conn
    }

    /// Ends with this answer. After an error the next one to ask gets another connection.
    pub(super) fn done<R>(self, answer: Result<R>) -> Result<R> {
        let Self { conn, mut kept } = self;
        let since = Instant::now();
        *kept = answer.is_ok().then_some(Kept { conn, since });
        answer
    }
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
                aside: Mutex::new(None),
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

    /// The connection for questions about the catalogue. One who holds it must not ask for it again.
    pub(super) async fn aside(&self) -> Result<Aside<'_>> {
        let mut kept = self.inner.aside.lock().await;
        let rested = kept.take();
        let rested = rested.filter(|k| k.conn.is_open() && k.since.elapsed() < REST_MAX);
        let conn = match rested {
            Some(kept) => kept.conn,
            None => self.inner.endpoint.connect().await?,
        };
        Ok(Aside { conn, kept })
    }

    async fn ask_schema(&self, table: &str) -> Result<TableSchema> {
        let aside = self.aside().await?;
        let schema = schema::table(aside.conn(), table).await;
        aside.done(schema)
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
        Box::pin(async move { self.ask_schema(table).await.map_err(|e| self.place(e)) })
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
