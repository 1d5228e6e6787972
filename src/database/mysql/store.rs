//! One database of a server: reading it.

use std::sync::Arc;

use futures::future::BoxFuture;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::Mutex;

use crate::config::ServerUrl;
use crate::data::TableSchema;
use crate::database::{Dialect, ReadStore, Snapshot};
use crate::error::{Error, ErrorKind, Result};

use super::connect::{Access, Server};
use super::error::mysql;
use super::read::MysqlSnapshot;
use super::schema;
use super::tx::Writer;

/// A MariaDB or MySQL database as the configuration names it. Cheap to clone; opens connections as
/// needed.
#[derive(Clone, Debug)]
pub struct MysqlStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    server: Server,
    /// The connection of the last transaction, for the next one.
    writer: Arc<Mutex<Option<Writer>>>,
}

impl MysqlStore {
    /// The store `name` of the configuration, at this URL. Nothing is opened yet.
    ///
    /// # Errors
    /// `Config` when the URL has parameters that are unknown or wrong.
    pub fn new(name: impl Into<String>, url: &ServerUrl) -> Result<Self> {
        let name = name.into();
        let server = Server::new(url).map_err(|e| e.at(format!("store {name}")))?;
        Ok(Self {
            inner: Arc::new(Inner {
                name,
                server,
                writer: Arc::default(),
            }),
        })
    }

    /// The server.
    pub(super) fn server(&self) -> &Server {
        &self.inner.server
    }

    /// The place of the connection that writes.
    pub(super) fn writer(&self) -> Arc<Mutex<Option<Writer>>> {
        Arc::clone(&self.inner.writer)
    }

    /// The name in the configuration.
    #[must_use]
    pub fn store_name(&self) -> &str {
        &self.inner.name
    }

    /// Puts the store's name in front of an error.
    pub(super) fn named(&self, error: Error) -> Error {
        error.at(format!("store {}", self.inner.name))
    }

    /// Runs a statement that creates or alters a table.
    ///
    /// # Errors
    /// Those of writing; then nothing is done.
    pub async fn run_ddl(&self, sql: &str) -> Result<()> {
        let mut conn = self.connect(Access::Write).await?;
        let done = async {
            // Otherwise older servers give the first timestamp a default, and a new value at every
            // update. Where it cannot be set it is so already.
            let explicit = "SET SESSION explicit_defaults_for_timestamp = ON";
            if let Err(e) = conn.query_drop(explicit).await
                && !matches!(e, mysql_async::Error::Server(_))
            {
                return Err(mysql("connect")(e));
            }
            // Whoever waits for a table's lock keeps everybody else waiting behind it.
            conn.query_drop("SET SESSION lock_wait_timeout = 3")
                .await
                .map_err(mysql("connect"))?;
            conn.query_drop(sql)
                .await
                .map_err(mysql(format!("run {sql}")))
        };
        done.await.map_err(|e| self.named(e))
    }

    /// A connection of one's own. Fails with `Store` when the server is too old.
    pub(super) async fn connect(&self, access: Access) -> Result<Conn> {
        let conn = self.server().connect(access).await;
        let conn = conn.map_err(|e| self.named(e))?;
        match self.server().version() {
            Some(version) if !version.supported() => Err(self.named(
                Error::new(
                    ErrorKind::Store,
                    format!("the server's version is {}", version.text),
                )
                .hint("Banyan works with MariaDB from 10.11 and MySQL from 8.0"),
            )),
            _ => Ok(conn),
        }
    }
}

impl ReadStore for MysqlStore {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn dialect(&self) -> Dialect {
        Dialect::Mysql
    }

    fn tables(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let mut conn = self.connect(Access::Read).await?;
            let tables = schema::tables(&mut conn).await;
            tables.map_err(|e| self.named(e))
        })
    }

    fn views(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let mut conn = self.connect(Access::Read).await?;
            schema::views(&mut conn).await.map_err(|e| self.named(e))
        })
    }

    fn schema<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<TableSchema>> {
        Box::pin(async move {
            let mut conn = self.connect(Access::Read).await?;
            let schema = schema::table(&mut conn, table).await;
            schema.map_err(|e| self.named(e))
        })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        Box::pin(async {
            let conn = self.connect(Access::Read).await?;
            let snapshot = MysqlSnapshot::begin(self.clone(), conn).await;
            let snapshot: Box<dyn Snapshot> = Box::new(snapshot.map_err(|e| self.named(e))?);
            Ok(snapshot)
        })
    }
}
