//! Snapshots.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Conn, Params, ResultSetStream, Row as WireRow};

use crate::data::batch::BatchBuilder;
use crate::data::{Position, TableSchema};
use crate::database::{ReadRequest, Snapshot};
use crate::error::{Error, ErrorKind, Result};

use super::error::mysql;
use super::names::quote_table;
use super::schema;
use super::select::{column, select};
use super::store::MysqlStore;
use super::value::Codec;

/// Rows of a batch unless asked otherwise: 10 columns of 16 bytes are then about 1.3 MB.
const BATCH_ROWS: usize = 8192;
/// A batch ends early when it holds so many bytes.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A read-only transaction of one connection.
#[derive(Debug)]
pub(super) struct MysqlSnapshot {
    store: MysqlStore,
    conn: Conn,
    tables: HashMap<String, Arc<TableSchema>>,
    /// A read was begun and not brought to its end.
    reading: bool,
}

impl MysqlSnapshot {
    /// The database as it is now.
    pub(super) async fn begin(store: MysqlStore, mut conn: Conn) -> Result<Self> {
        conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            .await
            .map_err(mysql("begin a snapshot"))?;
        Ok(Self {
            store,
            conn,
            tables: HashMap::new(),
            reading: false,
        })
    }

    async fn schema(&mut self, table: &str) -> Result<Arc<TableSchema>> {
        if let Some(known) = self.tables.get(table) {
            return Ok(Arc::clone(known));
        }
        let schema = Arc::new(schema::table(&mut self.conn, table).await?);
        self.tables.insert(table.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }

    /// Begins a read.
    async fn start(&mut self, request: ReadRequest) -> Result<Reading<'_>> {
        let schema = self.schema(&request.table).await?;
        let select = select(&schema, &request)?;
        let rows = Rows::new(&schema, &request.columns)?;
        let what = format!("read table {}", request.table);
        self.reading = true;
        let wire = self
            .conn
            .exec_stream(select.sql, Params::Positional(select.parameters))
            .await
            .map_err(mysql(&what))?;
        Ok(Reading {
            wire: Some(wire),
            rows,
            rows_max: match request.batch_rows {
                0 => BATCH_ROWS,
                rows => rows,
            },
            reading: &mut self.reading,
            what,
        })
    }
}

impl Drop for MysqlSnapshot {
    fn drop(&mut self) {
        if self.reading {
            self.store.server().abandon(self.conn.id());
        }
    }
}

impl Snapshot for MysqlSnapshot {
    fn position(&self) -> Option<Position> {
        None
    }

    fn count<'a>(
        &'a mut self,
        table: &'a str,
        filter: Option<&'a str>,
    ) -> BoxFuture<'a, Result<u64>> {
        let mut sql = format!("SELECT COUNT(*) FROM {}", quote_table(table));
        if let Some(filter) = filter {
            sql.push_str(&format!(" WHERE ({filter})"));
        }
        Box::pin(async move {
            let count: Option<u64> = self
                .conn
                .exec_first(sql, ())
                .await
                .map_err(mysql(format!("count the rows of table {table}")))
                .map_err(|e| self.store.named(e))?;
            count.ok_or_else(|| Error::new(ErrorKind::Internal, "a count without a row"))
        })
    }

    fn read(&mut self, request: ReadRequest) -> BoxStream<'_, Result<RecordBatch>> {
        let store = self.store.clone();
        futures::stream::once(self.start(request))
            .map_ok(|reading| futures::stream::try_unfold(reading, Reading::next))
            .try_flatten()
            .map_err(move |e| store.named(e))
            .boxed()
    }
}

/// A read in progress.
struct Reading<'a> {
    wire: Option<ResultSetStream<'a, 'a, 'static, WireRow, BinaryProtocol>>,
    rows: Rows,
    rows_max: usize,
    reading: &'a mut bool,
    what: String,
}

impl Reading<'_> {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        let Some(wire) = &mut self.wire else {
            return Ok(None);
        };
        while let Some(row) = wire.next().await {
            self.rows.push(row.map_err(mysql(&self.what))?)?;
            if self.rows.full(self.rows_max) {
                return Ok(Some((self.rows.finish()?, self)));
            }
        }
        self.wire = None;
        *self.reading = false;
        Ok(if self.rows.is_empty() {
            None
        } else {
            Some((self.rows.finish()?, self))
        })
    }
}

/// Makes batches of rows off the wire.
#[derive(Debug)]
pub(super) struct Rows {
    codecs: Vec<Codec>,
    builder: BatchBuilder,
}

impl Rows {
    /// For these columns of a table.
    pub(super) fn new(schema: &TableSchema, columns: &[String]) -> Result<Self> {
        let codecs = columns
            .iter()
            .map(|name| Codec::of(column(schema, name)?))
            .collect::<Result<_>>()
            .map_err(|e| e.at(format!("table {}", schema.name)))?;
        Ok(Self {
            codecs,
            builder: BatchBuilder::new(columns.to_vec()),
        })
    }

    /// Appends a row.
    pub(super) fn push(&mut self, row: WireRow) -> Result<()> {
        let cells = row.unwrap();
        for (i, (codec, cell)) in self.codecs.iter().zip(cells).enumerate() {
            self.builder.push(i, (&codec.decode(cell)?).into());
        }
        self.builder.end_row();
        Ok(())
    }

    /// Whether there are enough rows for a batch.
    pub(super) fn full(&self, rows_max: usize) -> bool {
        self.builder.rows() >= rows_max || self.builder.bytes() >= BATCH_BYTES_MAX
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.builder.rows() == 0
    }

    /// The rows so far.
    pub(super) fn finish(&mut self) -> Result<RecordBatch> {
        self.builder.finish()
    }
}
