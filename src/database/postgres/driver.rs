//! PostgreSQL as the shared code for servers wants it.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::data::Key;
use crate::database::server::driver::{Driver, OwnTypes, Watched};
use crate::database::{Findings, ReadStore, Role, SyncOptions, SyncTable};
use crate::error::Result;

use super::capture;
use super::capture_names::CaptureNames;
use super::connect::PgConn;
use super::copy::PgCopy;
use super::error::pg;
use super::pool::PgConnections;
use super::replication::parse_lsn;
use super::slot::{self, ExportedSnapshot};
use super::store::PgStore;
use super::stream::{PgStream, StreamRequest};
use super::table::PgTable;
use super::tx::PgTx;
use super::{preflight, publication};

/// One database and one migration. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::database) struct PgDriver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: PgStore,
    names: CaptureNames,
    role: Option<Role>,
    connections: PgConnections,
    /// For what is asked outside of transactions.
    side: Mutex<Option<PgConn>>,
    /// What the copy reads, while it lasts.
    snapshot: Mutex<Option<ExportedSnapshot>>,
}

impl PgDriver {
    /// For a migration in this store. `role`: which side it is, if tables are read or written.
    pub(in crate::database) fn new(store: PgStore, migration: &str, role: Option<Role>) -> Self {
        let names = CaptureNames::new(migration, &store.url().database);
        Self {
            inner: Arc::new(Inner {
                connections: PgConnections::new(store.clone(), names.mark().to_owned()),
                side: Mutex::new(None),
                snapshot: Mutex::new(None),
                store,
                names,
                role,
            }),
        }
    }

    async fn aside<R>(&self, ask: impl AsyncFnOnce(&Client) -> Result<R>) -> Result<R> {
        let mut side = self.inner.side.lock().await;
        side.take_if(|conn| !conn.is_open());
        let conn = match side.take() {
            Some(conn) => conn,
            None => self.inner.store.endpoint().connect().await?,
        };
        let result = ask(conn.client()).await;
        *side = Some(conn);
        result
    }
}

impl Driver for PgDriver {
    type Tx = PgTx;
    type Stream = PgStream;
    type Copy = PgCopy;
    type Table = PgTable;

    fn name(&self) -> &str {
        self.inner.store.name()
    }

    fn own(&self, what: &str) -> String {
        self.inner.names.table(what)
    }

    fn types(&self) -> OwnTypes {
        OwnTypes {
            int: "bigint",
            name: "text COLLATE \"C\"",
            text: "text",
            bytes: "bytea",
            short_bytes: "bytea",
            share: "FOR SHARE",
        }
    }

    fn table(&self, table: &SyncTable) -> Result<PgTable> {
        PgTable::new(table)
    }

    async fn begin(&self, patience_ms: u64) -> Result<PgTx> {
        self.inner.connections.begin(patience_ms).await
    }

    async fn begin_read(&self) -> Result<PgTx> {
        self.inner.connections.begin_read().await
    }

    async fn harden(&self, position: u64) -> Result<()> {
        self.aside(async |client| {
            if flushed(client).await? < position {
                slot::flush_log(client).await?;
            }
            Ok(())
        })
        .await
    }

    async fn look_over(&self, options: &SyncOptions) -> Result<Findings> {
        let inner = &self.inner;
        let mut found = Findings::default();
        let problems = self
            .aside(async |client| {
                preflight::problems(client, &inner.names, &options.tables, options.followed).await
            })
            .await?;
        found.problems.extend(problems);
        let names = options.tables.iter().map(|t| t.schema.name.as_str());
        let names: Vec<&str> = names.collect();
        let missing = inner
            .store
            .missing_privileges(&names, options.written)
            .await?;
        for (table, privileges) in missing {
            let privileges = privileges.join(", ");
            found.problem(
                format!("Banyan's user may not {privileges} on table {table}"),
                format!("GRANT {privileges} ON {table} TO Banyan's user"),
            );
        }
        Ok(found)
    }

    async fn prepare(&self) -> Result<()> {
        let names = &self.inner.names;
        self.aside(async |client| capture::prepare(client, names).await)
            .await
    }

    async fn install_capture(&self, options: &SyncOptions) -> Result<u64> {
        let names = &self.inner.names;
        self.aside(async |client| capture::install(client, names, &options.tables).await)
            .await
    }

    async fn renew_capture(&self, options: &SyncOptions) -> Result<u64> {
        let names = &self.inner.names;
        self.aside(async |client| {
            slot::forget(client, names).await?;
            publication::remove(client, names).await?;
            capture::install(client, names, &options.tables).await
        })
        .await
    }

    /// Every transaction says itself whose it is.
    fn install_mark(&self, _: &SyncOptions) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    async fn check_log(&self, position: u64) -> Result<()> {
        let names = &self.inner.names;
        self.aside(async |client| slot::check_log(client, names, position).await)
            .await
    }

    async fn watch(&self, options: &SyncOptions) -> Result<Watched> {
        let names = &self.inner.names;
        self.aside(async |client| {
            Ok(Watched {
                missed: publication::verify(client, names, &options.tables).await?,
                kept_bytes: slot::retained_bytes(client, names).await?,
            })
        })
        .await
    }

    async fn uninstall(&self) -> Result<()> {
        self.end_copy().await?;
        self.inner.connections.close().await;
        let names = &self.inner.names;
        self.aside(async |client| capture::uninstall(client, names).await)
            .await
    }

    async fn end(&self) -> Result<u64> {
        self.aside(async |client| {
            let end = slot::current_end(client).await?;
            if flushed(client).await? >= end {
                Ok(end)
            } else {
                slot::flush_log(client).await
            }
        })
        .await
    }

    async fn stream(&self, options: &SyncOptions, after: u64) -> Result<PgStream> {
        let inner = &self.inner;
        let (url, names) = (inner.store.url().clone(), inner.names.clone());
        PgStream::open(StreamRequest::new(
            url,
            names,
            options.tables.clone(),
            after,
        ))
        .await
    }

    async fn copy_reader(&self, table: &SyncTable, after: Option<&Key>) -> Result<PgCopy> {
        let store = &self.inner.store;
        if self.inner.role == Some(Role::Target) {
            // Nobody compares these rows with positions of the log.
            return PgCopy::open(store, table, after, None, 0).await;
        }
        let mut held = self.inner.snapshot.lock().await;
        if let Some(snapshot) = &*held {
            let (name, position) = (Some(snapshot.name.as_str()), snapshot.position);
            match PgCopy::open(store, table, after, name, position).await {
                Ok(copy) => return Ok(copy),
                // It is gone with the session that made it, as when the server was restarted.
                Err(e) => tracing::debug!(%e, "another snapshot is made for the copy"),
            }
        }
        *held = None;
        let made = slot::export_snapshot(store.url(), &self.inner.names).await?;
        let snapshot = held.insert(made);
        let (name, position) = (Some(snapshot.name.as_str()), snapshot.position);
        PgCopy::open(store, table, after, name, position).await
    }

    async fn end_copy(&self) -> Result<()> {
        *self.inner.snapshot.lock().await = None;
        Ok(())
    }
}

/// Up to where the log is on disk.
async fn flushed(client: &Client) -> Result<u64> {
    let row = client
        .query_one("SELECT pg_current_wal_flush_lsn()::text", &[])
        .await
        .map_err(pg("read how far the log is written"))?;
    let text: String = row
        .try_get(0)
        .map_err(pg("read how far the log is written"))?;
    parse_lsn(&text)
}
