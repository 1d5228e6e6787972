//! MariaDB and MySQL as the shared code for servers wants them.

use std::sync::Arc;

use crate::config::{Capture, ServerUrl};
use crate::data::Key;
use crate::database::captures::Captures;
use crate::database::server::driver::{ChangeStream, Driver, LogEvent, OwnTypes, Watched};
use crate::database::server::outbox::OutboxStream;
use crate::database::{Findings, SyncOptions, SyncTable};
use crate::error::Result;

use super::binlog::{Log, MysqlStream};
use super::connect::{Access, Server};
use super::copy::MysqlCopy;
use super::names::Names;
use super::outbox::{self, MysqlOutbox, Outbox};
use super::store::MysqlStore;
use super::table::MysqlTable;
use super::tx::MysqlTx;

/// One database and one migration. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::database) struct MysqlDriver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: MysqlStore,
    names: Names,
    log: Log,
    /// Where changes are captured by triggers.
    outbox: Option<Outbox>,
    captures: Captures,
}

/// The server's log, or the outbox.
#[derive(Debug)]
pub(in crate::database) enum MysqlFeed {
    /// The log.
    Log(MysqlStream),
    /// The outbox.
    Outbox(OutboxStream),
}

impl ChangeStream for MysqlFeed {
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

impl MysqlDriver {
    /// For a migration in this store. `captures`: how changes are captured, see [`Self::choose`].
    ///
    /// # Errors
    /// `Config` when the URL has parameters that are unknown or wrong.
    pub(in crate::database) fn new(
        name: &str,
        url: &ServerUrl,
        migration: &str,
        captures: Captures,
    ) -> Result<Self> {
        let names = Names::new(migration);
        let server = Server::new(url)?;
        Ok(Self {
            inner: Arc::new(Inner {
                captures: captures.clone(),
                outbox: captures.triggers.then(|| Outbox::new(&server, &names)),
                // A store of its own: it has one connection that writes, and this is one writer.
                store: MysqlStore::new(name, url)?,
                log: Log::new(server, names.clone()),
                names,
            }),
        })
    }

    /// How the changes of a migration's tables are, or are to be, captured in this store, and why.
    ///
    /// # Errors
    /// Those of reading; `Config` when they are captured otherwise than they shall be.
    pub(in crate::database) async fn choose(
        store: &MysqlStore,
        options: &SyncOptions,
        capture: Capture,
    ) -> Result<Captures> {
        let names = Names::new(&options.migration);
        let mut conn = store.connect(Access::Read).await?;
        let chosen = async {
            let outbox = Outbox::new(store.server(), &names);
            let installed = outbox::installed(&mut conn, &outbox).await?;
            let mut captures = Captures::of(capture, installed)?;
            if captures.is_open() {
                let log = Log::new(store.server().clone(), names.clone());
                let found = log.look_over(&options.tables).await?;
                captures = Captures::by_log_unless(found.problems);
            }
            Ok(captures)
        };
        chosen.await.map_err(|e| store.named(e))
    }

    async fn connect(&self) -> Result<mysql_async::Conn> {
        self.inner.store.connect(Access::Read).await
    }
}

impl Driver for MysqlDriver {
    type Tx = MysqlTx;
    type Stream = MysqlFeed;
    type Copy = MysqlCopy;
    type Table = MysqlTable;

    fn name(&self) -> &str {
        self.inner.store.store_name()
    }

    fn own(&self, what: &str) -> String {
        self.inner.names.sql(what)
    }

    fn has_log(&self) -> bool {
        self.inner.outbox.is_none()
    }

    fn types(&self) -> OwnTypes {
        OwnTypes {
            int: "BIGINT",
            name: "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            text: "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            bytes: "LONGBLOB",
            short_bytes: "VARBINARY(700)",
            share: "LOCK IN SHARE MODE",
        }
    }

    fn table(&self, table: &SyncTable) -> Result<MysqlTable> {
        MysqlTable::new(table)
    }

    async fn begin(&self, patience_ms: u64) -> Result<MysqlTx> {
        let inner = &self.inner;
        let outbox = inner.outbox.as_ref();
        MysqlTx::begin(&inner.store, &inner.names, patience_ms, outbox).await
    }

    /// The one connection serves both: what only reads writes no mark.
    async fn begin_read(&self) -> Result<MysqlTx> {
        self.begin(0).await
    }

    /// A server that comes back after a crash begins a new file of its log, so that no position is
    /// used twice. Numbers of an outbox may be.
    async fn harden(&self, _: u64) -> Result<()> {
        let Some(outbox) = &self.inner.outbox else {
            return Ok(());
        };
        outbox::harden(&mut self.connect().await?, outbox).await
    }

    async fn look_over(&self, options: &SyncOptions) -> Result<Findings> {
        let inner = &self.inner;
        let mut found = if let Some(outbox) = &inner.outbox {
            let mut conn = self.connect().await?;
            let tables = options.followed.then_some(options.tables.as_slice());
            outbox::look_over(&mut conn, outbox, tables.unwrap_or_default()).await?
        } else if options.followed {
            inner.log.look_over(&options.tables).await?
        } else {
            Findings::default()
        };
        found.notes.extend(inner.captures.notes());
        if options.written {
            let names = options.tables.iter().map(|t| t.schema.name.as_str());
            let names: Vec<&str> = names.collect();
            found.notes.extend(inner.store.notes_on(&names).await?);
        }
        Ok(found)
    }

    fn prepare(&self) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    async fn install_capture(&self, options: &SyncOptions) -> Result<u64> {
        if let Some(outbox) = &self.inner.outbox {
            let mut conn = self.connect().await?;
            return outbox::install(&mut conn, outbox, &options.tables).await;
        }
        self.inner.log.install().await
    }

    async fn renew_capture(&self, options: &SyncOptions) -> Result<u64> {
        if let Some(outbox) = &self.inner.outbox {
            let mut conn = self.connect().await?;
            outbox::install(&mut conn, outbox, &options.tables).await?;
            return outbox::renew(conn, outbox).await;
        }
        self.inner.log.forget().await?;
        self.inner.log.install().await
    }

    /// Without a reader of the log nobody looks for marks. Positions are needed.
    async fn install_mark(&self, _: &SyncOptions) -> Result<()> {
        let Some(outbox) = &self.inner.outbox else {
            return Ok(());
        };
        let mut conn = self.connect().await?;
        outbox::install_tables(&mut conn, outbox).await.map(drop)
    }

    async fn check_log(&self, position: u64) -> Result<()> {
        if let Some(outbox) = &self.inner.outbox {
            return outbox::check(&mut self.connect().await?, outbox, position).await;
        }
        self.inner.log.check(position).await
    }

    /// Schema changes are in the log, and how long that is kept is the server's business.
    fn watch(&self, _: &SyncOptions) -> impl Future<Output = Result<Watched>> + Send {
        std::future::ready(Ok(Watched::default()))
    }

    async fn uninstall(&self) -> Result<()> {
        // Whatever was chosen: triggers that are left over would make every write fail.
        let outbox = Outbox::new(self.inner.store.server(), &self.inner.names);
        outbox::uninstall(&mut self.connect().await?, &outbox).await?;
        self.inner.log.uninstall().await
    }

    async fn end(&self) -> Result<u64> {
        let mut conn = self.connect().await?;
        match &self.inner.outbox {
            Some(outbox) => outbox::end(&mut conn, outbox).await,
            None => self.inner.log.end(&mut conn).await,
        }
    }

    async fn stream(&self, options: &SyncOptions, after: u64) -> Result<MysqlFeed> {
        let tables = &options.tables;
        if let Some(outbox) = &self.inner.outbox {
            self.check_log(after).await?;
            let conn = self.connect().await?;
            let source = MysqlOutbox::new(conn, outbox.clone(), tables.clone());
            let stream = OutboxStream::start(source, tables, after);
            return Ok(MysqlFeed::Outbox(stream));
        }
        let stream = MysqlStream::open(&self.inner.log, tables, after).await;
        stream.map(MysqlFeed::Log)
    }

    async fn copy_reader(&self, table: &SyncTable, after: Option<&Key>) -> Result<MysqlCopy> {
        let outbox = self.inner.outbox.as_ref();
        MysqlCopy::open(&self.inner.store, table, after, outbox).await
    }

    fn end_copy(&self) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}
