//! MariaDB and MySQL as the shared code for servers wants them.

use std::sync::Arc;

use crate::config::ServerUrl;
use crate::data::Key;
use crate::database::server::driver::{Driver, OwnTypes, Watched};
use crate::database::{Findings, SyncOptions, SyncTable};
use crate::error::Result;

use super::binlog::{Log, MysqlStream};
use super::connect::{Access, Server};
use super::copy::MysqlCopy;
use super::names::Names;
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
}

impl MysqlDriver {
    /// For a migration in this store.
    ///
    /// # Errors
    /// `Config` when the URL has parameters that are unknown or wrong.
    pub(in crate::database) fn new(name: &str, url: &ServerUrl, migration: &str) -> Result<Self> {
        let names = Names::new(migration);
        Ok(Self {
            inner: Arc::new(Inner {
                // A store of its own: it has one connection that writes, and this is one writer.
                store: MysqlStore::new(name, url)?,
                log: Log::new(Server::new(url)?, names.clone()),
                names,
            }),
        })
    }
}

impl Driver for MysqlDriver {
    type Tx = MysqlTx;
    type Stream = MysqlStream;
    type Copy = MysqlCopy;
    type Table = MysqlTable;

    fn name(&self) -> &str {
        self.inner.store.store_name()
    }

    fn own(&self, what: &str) -> String {
        self.inner.names.sql(what)
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
        MysqlTx::begin(&self.inner.store, &self.inner.names, patience_ms).await
    }

    /// The one connection serves both: what only reads writes no mark.
    async fn begin_read(&self) -> Result<MysqlTx> {
        self.begin(0).await
    }

    /// A server that comes back after a crash begins a new file, so that no position is used twice.
    fn harden(&self, _: u64) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    async fn look_over(&self, options: &SyncOptions) -> Result<Findings> {
        let inner = &self.inner;
        let mut found = if options.followed {
            inner.log.look_over(&options.tables).await?
        } else {
            Findings::default()
        };
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

    async fn install_capture(&self, _: &SyncOptions) -> Result<u64> {
        self.inner.log.install().await
    }

    async fn renew_capture(&self, _: &SyncOptions) -> Result<u64> {
        self.inner.log.forget().await?;
        self.inner.log.install().await
    }

    /// Without a reader of the log nobody looks for marks.
    fn install_mark(&self, _: &SyncOptions) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    async fn check_log(&self, position: u64) -> Result<()> {
        self.inner.log.check(position).await
    }

    /// Schema changes are in the log, and how long that is kept is the server's business.
    fn watch(&self, _: &SyncOptions) -> impl Future<Output = Result<Watched>> + Send {
        std::future::ready(Ok(Watched::default()))
    }

    async fn uninstall(&self) -> Result<()> {
        self.inner.log.uninstall().await
    }

    async fn end(&self) -> Result<u64> {
        let mut conn = self.inner.store.connect(Access::Read).await?;
        self.inner.log.end(&mut conn).await
    }

    async fn stream(&self, options: &SyncOptions, after: u64) -> Result<MysqlStream> {
        MysqlStream::open(&self.inner.log, &options.tables, after).await
    }

    async fn copy_reader(&self, table: &SyncTable, after: Option<&Key>) -> Result<MysqlCopy> {
        MysqlCopy::open(&self.inner.store, table, after).await
    }

    fn end_copy(&self) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}
