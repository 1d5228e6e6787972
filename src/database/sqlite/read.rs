//! Snapshots.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use rusqlite::Connection;

use crate::data::batch::BatchBuilder;
use crate::data::{Key, Position, Value};
use crate::database::{ReadRequest, Snapshot};
use crate::error::{Error, ErrorKind, Result};

use super::error::sqlite;
use super::names::{list, quote};
use super::session::Session;
use super::value::{bind, with_ref};

/// Rows of a batch unless asked otherwise: 10 columns of 16 bytes are then about 1.3 MB.
const BATCH_ROWS: usize = 8192;
/// A batch ends early when it holds so many bytes.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Batches between the reading thread and the reader.
const QUEUE: usize = 2;

/// A read transaction of one connection.
#[derive(Debug)]
pub(super) struct SqliteSnapshot {
    session: Arc<Mutex<Session>>,
}

impl SqliteSnapshot {
    pub(super) fn begin(session: Session) -> Result<Self> {
        // BEGIN alone reads nothing; the first read pins the snapshot.
        session
            .conn()
            .execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1")
            .map_err(sqlite("begin a snapshot"))?;
        Ok(Self {
            session: Arc::new(Mutex::new(session)),
        })
    }
}

impl Snapshot for SqliteSnapshot {
    fn position(&self) -> Option<Position> {
        None
    }

    fn count<'a>(
        &'a mut self,
        table: &'a str,
        filter: Option<&'a str>,
    ) -> BoxFuture<'a, Result<u64>> {
        let session = Arc::clone(&self.session);
        let mut sql = format!("SELECT count(*) FROM {}", quote(table));
        if let Some(filter) = filter {
            sql.push_str(&format!(" WHERE ({filter}\n)"));
        }
        let table = table.to_owned();
        Box::pin(async move {
            let run = move || {
                let session = session.lock().unwrap_or_else(PoisonError::into_inner);
                session
                    .conn()
                    .query_row(&sql, [], |row| row.get::<_, i64>(0))
                    .map_err(sqlite(format!("count the rows of table {table}")))
            };
            let count = tokio::task::spawn_blocking(run).await.map_err(panicked)??;
            Ok(u64::try_from(count).unwrap_or(0))
        })
    }

    fn read(&mut self, request: ReadRequest) -> BoxStream<'_, Result<RecordBatch>> {
        let (tx, rx) = tokio::sync::mpsc::channel(QUEUE);
        let session = Arc::clone(&self.session);
        tokio::task::spawn_blocking(move || {
            let session = session.lock().unwrap_or_else(PoisonError::into_inner);
            let mut send = |batch| tx.blocking_send(Ok(batch)).is_ok();
            if let Err(error) = read_batches(session.conn(), &request, &mut send) {
                // A reader that is gone does not want the error either.
                drop(tx.blocking_send(Err(error)));
            }
        });
        futures::stream::unfold(rx, |mut rx| async move {
            let item = rx.recv().await?;
            Some((item, rx))
        })
        .boxed()
    }
}

fn panicked(e: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "a reader panicked").caused_by(e)
}

/// The SQL of a request; its parameters are `after`'s cells, then `up_to`'s.
pub(super) fn select(request: &ReadRequest) -> String {
    let columns = if request.columns.is_empty() {
        "NULL".to_owned()
    } else {
        list(request.columns.iter().map(String::as_str))
    };
    let mut sql = format!("SELECT {columns} FROM {}", quote(&request.table));
    // Order and bounds by bytes, whatever collation the column has. For a column that is BINARY
    // anyway this changes nothing, and its index is used.
    let order: Vec<String> = request
        .order_by
        .iter()
        .map(|c| format!("{} COLLATE BINARY", quote(c)))
        .collect();
    let mut conditions = Vec::new();
    for (key, operator) in [(&request.after, ">"), (&request.up_to, "<=")] {
        if let Some(key) = key {
            if operator == ">" && key.0.contains(&Value::Null) {
                conditions.push(after_null(&order, key));
                continue;
            }
            conditions.push(format!(
                "({}) {operator} ({})",
                order.join(", "),
                vec!["?"; key.0.len()].join(", ")
            ));
        }
    }
    if let Some(filter) = &request.filter {
        conditions.push(format!("({filter}\n)"));
    }
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    if !order.is_empty() {
        sql.push_str(" ORDER BY ");
        sql.push_str(&order.join(", "));
    }
    if let Some(limit) = request.limit {
        sql.push_str(&format!(" LIMIT {limit}"));
    }
    sql
}

/// Rows after a key with a NULL in it, which comes before every value; SQL's own comparison of rows
/// answers NULL there. The parameters are the first ones of the statement.
fn after_null(order: &[String], key: &Key) -> String {
    let cells = || order.iter().zip(&key.0).enumerate();
    let alternatives: Vec<String> = cells()
        .map(|(n, (column, cell))| {
            let mut all: Vec<String> = cells()
                .take(n)
                .map(|(i, (column, _))| format!("{column} IS ?{}", i + 1))
                .collect();
            let is_after = if *cell == Value::Null { "IS NOT" } else { ">" };
            all.push(format!("{column} {is_after} ?{}", n + 1));
            format!("({})", all.join(" AND "))
        })
        .collect();
    format!("({})", alternatives.join(" OR "))
}

/// Reads until the end, or until `send` says no.
pub(super) fn read_batches(
    conn: &Connection,
    request: &ReadRequest,
    send: &mut dyn FnMut(RecordBatch) -> bool,
) -> Result<()> {
    let what = || sqlite(format!("read table {}", request.table));
    let mut stmt = conn.prepare_cached(&select(request)).map_err(what())?;
    let bounds = [&request.after, &request.up_to];
    let parameters = bounds.iter().copied().flatten().flat_map(|k| bind(&k.0));
    let mut rows = stmt
        .query(rusqlite::params_from_iter(parameters))
        .map_err(what())?;
    let width = request.columns.len();
    let batch_rows = if request.batch_rows == 0 {
        BATCH_ROWS
    } else {
        request.batch_rows
    };
    let mut builder = BatchBuilder::new(request.columns.clone());
    while let Some(row) = rows.next().map_err(|e| what()(e))? {
        for i in 0..width {
            let cell = row.get_ref(i).map_err(|e| what()(e))?;
            with_ref(cell, |v| builder.push(i, v));
        }
        builder.end_row();
        if (builder.rows() >= batch_rows || builder.bytes() >= BATCH_BYTES_MAX)
            && !send(builder.finish()?)
        {
            return Ok(());
        }
    }
    if builder.rows() > 0 {
        send(builder.finish()?);
    }
    Ok(())
}
