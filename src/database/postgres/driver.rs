//! PostgreSQL as the shared code for servers wants it.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::config::Capture;
use crate::data::Key;
use crate::database::captures::Captures;
use crate::database::server::driver::{ChangeStream, Driver, LogEvent, OwnTypes, Watched};
use crate::database::server::outbox::OutboxStream;
use crate::database::{Findings, ReadStore, Role, SyncOptions, SyncTable};
use crate::error::Result;

use super::capture;
use super::capture_names::CaptureNames;
use super::connect::PgConn;
use super::copy::PgCopy;
use super::error::pg;
use super::outbox::{self, OutboxSnapshot, PgOutbox};
use super::pool::{Outbox, PgConnections};
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
    /// Whether changes are captured by triggers, and not by the server's log.
    triggers: bool,
    captures: Captures,
    connections: PgConnections,
    /// For what is asked outside of transactions.
    side: Mutex<Option<PgConn>>,
    /// What the copy reads, while it lasts.
    snapshot: Mutex<Option<Held>>,
}

/// A snapshot that the copy's readers share.
#[derive(Debug)]
enum Held {
    Log(Box<ExportedSnapshot>),
    Outbox(Box<OutboxSnapshot>),
}

impl Held {
    fn name(&self) -> &str {
        match self {
            Self::Log(snapshot) => &snapshot.name,
            Self::Outbox(snapshot) => &snapshot.name,
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Log(snapshot) => snapshot.position,
            Self::Outbox(snapshot) => snapshot.position,
        }
    }
}

/// The server's log, or the outbox.
#[derive(Debug)]
pub(in crate::database) enum PgFeed {
    /// The log.
    Log(PgStream),
    /// The outbox.
    Outbox(OutboxStream),
}

impl ChangeStream for PgFeed {
    async fn next(&mut self) -> Result<LogEvent> {
        match self {
            Self::Log(stream) => stream.next().await,
            Self::Outbox(stream) => stream.next().await,
        }
    }

    async fn confirm(&mut self, position: u64) -> Result<()> {
        match self {
            Self::Log(stream) => stream.confirm(position).await,
            Self::Outbox(stream) => stream.confirm(position).await,
        }
    }
}

impl PgDriver {
    /// For a migration in this store. `role`: which side it is, if tables are read or written.
    /// `captures`: how changes are captured, see [`Self::choose`].
    pub(in crate::database) fn new(
        store: PgStore,
        migration: &str,
        role: Option<Role>,
        captures: Captures,
    ) -> Self {
        let names = CaptureNames::new(migration, &store.url().database);
        let triggers = captures.triggers;
        let outbox = triggers.then(|| Outbox {
            mark: outbox::mark_sql(&names),
            end: outbox::end_sql(&names).into(),
        });
        Self {
            inner: Arc::new(Inner {
                connections: PgConnections::new(store.clone(), names.mark().to_owned(), outbox),
                side: Mutex::new(None),
                snapshot: Mutex::new(None),
                store,
                names,
                role,
                triggers,
                captures,
            }),
        }
    }

    /// How the changes of a migration's tables are, or are to be, captured in this store, and why.
    ///
    /// # Errors
    /// Those of reading; `Config` when they are captured otherwise than they shall be.
    pub(in crate::database) async fn choose(
        store: &PgStore,
        options: &SyncOptions,
        capture: Capture,
    ) -> Result<Captures> {
        let names = CaptureNames::new(&options.migration, &store.url().database);
        let chosen = async {
            let aside = store.aside().await?;
            let captures = chosen(aside.conn(), &names, options, capture).await;
            aside.done(captures)
        };
        chosen.await.map_err(|e| store.place(e))
    }

    async fn aside<R>(&self, ask: impl AsyncFnOnce(&Client) -> Result<R>) -> Result<R> {
        let mut side = self.inner.side.lock().await;
        side.take_if(|conn| !conn.is_open());
        let conn = match side.take() {
            Some(conn) => conn,
            None => self.inner.store.endpoint().connect().await?,
        };
        let answer = ask(conn.client()).await;
        // One that failed may have left a transaction behind.
        *side = answer.is_ok().then_some(conn);
        answer
    }
}

async fn chosen(
    conn: &PgConn,
    names: &CaptureNames,
    options: &SyncOptions,
    capture: Capture,
) -> Result<Captures> {
    let client = conn.client();
    let installed = outbox::installed(client, names).await?;
    let (tables, followed) = (&options.tables, options.followed);
    let mut captures = Captures::of(capture, installed)?;
    if captures.is_open() {
        let problems = preflight::problems(client, names, tables, followed).await?;
        captures = Captures::by_log_unless(problems);
    }
    Ok(captures)
}

impl Driver for PgDriver {
    type Tx = PgTx;
    type Stream = PgFeed;
    type Copy = PgCopy;
    type Table = PgTable;

    fn name(&self) -> &str {
        self.inner.store.name()
    }

    fn own(&self, what: &str) -> String {
        self.inner.names.table(what)
    }

    fn has_log(&self) -> bool {
        !self.inner.triggers
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

    fn writers(&self) -> usize {
        self.inner.connections.writers()
    }

    async fn begin_read(&self) -> Result<PgTx> {
        self.inner.connections.begin_read().await
    }

    async fn harden(&self, position: u64) -> Result<()> {
        let inner = &self.inner;
        if inner.triggers {
            return self
                .aside(async |client| outbox::harden(client, &inner.names).await)
                .await;
        }
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
        let triggers = inner.triggers;
        found.notes.extend(inner.captures.notes());
        let problems = self
            .aside(async |client| {
                if triggers {
                    return outbox::problems(
                        client,
                        &inner.names,
                        &options.tables,
                        options.followed,
                    )
                    .await;
                }
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
        let triggers = self.inner.triggers;
        self.aside(async |client| {
            if triggers {
                return outbox::install(client, names, &options.tables).await;
            }
            capture::install(client, names, &options.tables).await
        })
        .await
    }

    async fn renew_capture(&self, options: &SyncOptions) -> Result<u64> {
        let inner = &self.inner;
        let names = &inner.names;
        if inner.triggers {
            let tables = &options.tables;
            self.aside(async |client| outbox::install(client, names, tables).await)
                .await?;
            return outbox::renew(inner.store.connect().await?, names).await;
        }
        self.aside(async |client| {
            slot::forget(client, names).await?;
            publication::remove(client, names).await?;
            capture::install(client, names, &options.tables).await
        })
        .await
    }

    /// Every transaction says itself whose it is. An outbox has positions.
    async fn install_mark(&self, _: &SyncOptions) -> Result<()> {
        if !self.inner.triggers {
            return Ok(());
        }
        let names = &self.inner.names;
        self.aside(async |client| outbox::install_tables(client, names).await.map(drop))
            .await
    }

    async fn check_log(&self, position: u64) -> Result<()> {
        let names = &self.inner.names;
        let triggers = self.inner.triggers;
        self.aside(async |client| {
            if triggers {
                return outbox::check(client, names, position).await;
            }
            slot::check_log(client, names, position).await
        })
        .await
    }

    async fn watch(&self, options: &SyncOptions) -> Result<Watched> {
        if self.inner.triggers {
            // The outbox is part of the database, and what becomes of its triggers is looked at by
            // its reader.
            return Ok(Watched::default());
        }
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
        let inner = &self.inner;
        self.aside(async |client| {
            if inner.triggers {
                return outbox::end(client, &inner.names).await;
            }
            let end = slot::current_end(client).await?;
            if flushed(client).await? >= end {
                Ok(end)
            } else {
                slot::flush_log(client).await
            }
        })
        .await
    }

    async fn stream(&self, options: &SyncOptions, after: u64) -> Result<PgFeed> {
        let inner = &self.inner;
        let (url, names) = (inner.store.url().clone(), inner.names.clone());
        let tables = options.tables.clone();
        if inner.triggers {
            self.check_log(after).await?;
            let conn = inner.store.connect().await?;
            let outbox = PgOutbox::open(conn, names, tables).await?;
            let stream = OutboxStream::start(outbox, &options.tables, after);
            return Ok(PgFeed::Outbox(stream));
        }
        let request = StreamRequest::new(url, names, tables, after);
        PgStream::open(request).await.map(PgFeed::Log)
    }

    async fn copy_reader(&self, table: &SyncTable, after: Option<&Key>) -> Result<PgCopy> {
        let store = &self.inner.store;
        if self.inner.role == Some(Role::Target) {
            // Nobody compares these rows with positions of the log.
            return PgCopy::open(store, table, after, None, 0).await;
        }
        let mut held = self.inner.snapshot.lock().await;
        if let Some(snapshot) = &*held {
            let (name, position) = (Some(snapshot.name()), snapshot.position());
            match PgCopy::open(store, table, after, name, position).await {
                Ok(copy) => return Ok(copy),
                // It is gone with the session that made it, as when the server was restarted.
                Err(e) => tracing::debug!(%e, "another snapshot is made for the copy"),
            }
        }
        *held = None;
        let names = &self.inner.names;
        let made = if self.inner.triggers {
            Held::Outbox(Box::new(OutboxSnapshot::make(store, names).await?))
        } else {
            Held::Log(Box::new(slot::export_snapshot(store.url(), names).await?))
        };
        let snapshot = held.insert(made);
        let (name, position) = (Some(snapshot.name()), snapshot.position());
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
