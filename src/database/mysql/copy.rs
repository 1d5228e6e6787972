//! Reading a whole table for a copy: one query in key order, in a snapshot whose place in the log is
//! known.
//!
//! MariaDB tells the place itself: after `START TRANSACTION WITH CONSISTENT SNAPSHOT` the status
//! variables `binlog_snapshot_file` and `binlog_snapshot_position` are those of the snapshot, and
//! nothing is locked. MySQL has no such thing: there a short `FLUSH TABLES WITH READ LOCK` keeps
//! commits away while the snapshot is made and the place is read. (A place that is read without it
//! may include transactions which are in the log and not yet in the tables.) It needs the RELOAD
//! privilege, and is given up after some seconds when long queries are in its way.

use futures::StreamExt;
use mysql_async::prelude::{Query, Queryable, WithParams};
use mysql_async::{BinaryProtocol, Conn, Params, ResultSetStream, Row as WireRow};

use crate::data::Key;
use crate::database::server::driver::CopyReader;
use crate::database::{ChunkRows, ReadRequest, SyncTable};
use crate::error::{ErrorKind, Result};

use super::connect::Access;
use super::error::mysql;
use super::log;
use super::outbox::{self, Outbox};
use super::position::position;
use super::read::Rows;
use super::select::select;
use super::store::MysqlStore;

/// How long the read lock is waited for: it keeps writers waiting meanwhile.
const LOCK_WAIT_S: u32 = 5;

/// The rows of a table in key order, and the snapshot that they are of.
#[derive(Debug)]
pub(in crate::database) struct MysqlCopy {
    store: MysqlStore,
    conn_id: u32,
    seq: u64,
    table: String,
    rows: Rows,
    wire: Option<ResultSetStream<'static, 'static, 'static, WireRow, BinaryProtocol>>,
    /// The first row of the next chunk.
    ahead: Option<WireRow>,
}

impl MysqlCopy {
    /// The rows behind `after`, as of now, with their place in the outbox if there is one, else in
    /// the log.
    pub(super) async fn open(
        store: &MysqlStore,
        table: &SyncTable,
        after: Option<&Key>,
        outbox: Option<&Outbox>,
    ) -> Result<Self> {
        Self::start(store, table, after, outbox)
            .await
            .map_err(|e| store.named(e.at(format!("copy table {}", table.schema.name))))
    }

    async fn start(
        store: &MysqlStore,
        table: &SyncTable,
        after: Option<&Key>,
        outbox: Option<&Outbox>,
    ) -> Result<Self> {
        let column = |i: usize| table.schema.columns[table.columns[i]].name.clone();
        let request = ReadRequest {
            table: table.schema.name.clone(),
            columns: (0..table.columns.len()).map(column).collect(),
            order_by: table.key.iter().map(|&k| column(k)).collect(),
            after: after.cloned(),
            filter: table.filter.clone(),
            ..ReadRequest::default()
        };
        let rows = Rows::new(&table.schema, &request.columns)?;
        let select = select(&table.schema, &request)?;
        let mut conn = store.connect(Access::Read).await?;
        let seq = match outbox {
            Some(outbox) => outbox::begin(store, &mut conn, outbox).await?,
            None => begin(store, &mut conn).await?,
        };
        let conn_id = conn.id();
        let wire = select
            .sql
            .with(Params::Positional(select.parameters))
            .stream::<WireRow, _>(conn)
            .await
            .map_err(mysql("read the rows"))?;
        Ok(Self {
            store: store.clone(),
            conn_id,
            seq,
            table: table.schema.name.clone(),
            rows,
            wire: Some(wire),
            ahead: None,
        })
    }

    async fn row(&mut self) -> Result<Option<WireRow>> {
        let Some(wire) = &mut self.wire else {
            return Ok(None);
        };
        let row = wire.next().await.transpose().map_err(|e| {
            self.store
                .named(mysql(format!("read table {}", self.table))(e))
        })?;
        if row.is_none() {
            self.wire = None;
        }
        Ok(row)
    }
}

impl CopyReader for MysqlCopy {
    fn seq(&self) -> u64 {
        self.seq
    }

    async fn next(&mut self, rows_max: usize) -> Result<(ChunkRows, bool)> {
        // What was read before a call was cancelled is still in the batch.
        while !self.rows.full(rows_max.max(1)) {
            let row = match self.ahead.take() {
                Some(row) => Some(row),
                None => self.row().await?,
            };
            let Some(row) = row else {
                return Ok((ChunkRows::Cells(self.rows.finish()?), true));
            };
            self.rows.push(row)?;
        }
        if self.ahead.is_none() {
            self.ahead = self.row().await?;
        }
        Ok((ChunkRows::Cells(self.rows.finish()?), self.ahead.is_none()))
    }
}

impl Drop for MysqlCopy {
    fn drop(&mut self) {
        if self.wire.is_some() {
            self.store.server().abandon(self.conn_id);
        }
    }
}

/// Begins the snapshot; answers its place in the log.
async fn begin(store: &MysqlStore, conn: &mut Conn) -> Result<u64> {
    const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    let what = || mysql("begin a snapshot");
    if store.server().is_mariadb() {
        conn.query_drop(SNAPSHOT).await.map_err(what())?;
        let status: Vec<(String, String)> = conn
            .query("SHOW STATUS LIKE 'binlog\\_snapshot\\_%'")
            .await
            .map_err(what())?;
        let value = |name: &str| {
            status
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.as_str())
                .filter(|v| !v.is_empty())
        };
        let file = value("binlog_snapshot_file");
        let offset = value("binlog_snapshot_position").and_then(|v| v.parse().ok());
        return match (file, offset) {
            (Some(file), Some(offset)) => position(file, offset),
            _ => Err(log::off()),
        };
    }
    conn.query_drop(format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_S}"))
        .await
        .map_err(what())?;
    conn.query_drop("FLUSH TABLES WITH READ LOCK")
        .await
        .map_err(|e| {
            let error = mysql("hold commits back for a moment")(e);
            if error.kind() == ErrorKind::Store {
                error.hint("GRANT RELOAD ON *.* to the user of the store's url")
            } else {
                error
            }
        })?;
    let held = async {
        conn.query_drop(SNAPSHOT).await.map_err(what())?;
        log::end(store.server(), conn).await
    }
    .await;
    // Before the error is looked at: the lock stops the application.
    let released = conn.query_drop("UNLOCK TABLES").await.map_err(what());
    let seq = held?;
    released?;
    Ok(seq)
}
