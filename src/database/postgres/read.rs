//! Snapshots.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};

use crate::data::batch::BatchBuilder;
use crate::data::{Position, TableSchema};
use crate::database::{ReadRequest, Snapshot};
use crate::error::{ErrorKind, Result};

use super::connect::{Endpoint, PgConn};
use super::error::pg;
use super::names::text;
use super::rows::CopyRows;
use super::schema;
use super::select::{self, Selection};

/// Rows of a batch unless asked otherwise.
const BATCH_ROWS: usize = 8192;
/// A batch ends early when it holds so many bytes.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A repeatable-read transaction of one connection.
#[derive(Debug)]
pub(super) struct PgSnapshot {
    conn: PgConn,
    endpoint: Arc<Endpoint>,
    pid: i32,
    /// Which transactions it sees, where that says what it sees: on a standby, and of other servers'
    /// tables, it does not.
    seen: Option<String>,
    state: State,
    schemas: HashMap<String, Arc<TableSchema>>,
}

/// What the last read left behind. Each runs behind a savepoint, so that one that fails or is given
/// up leaves the snapshot standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing.
    Free,
    /// Its savepoint.
    Done,
    /// A failure.
    Failed,
    /// Rows that nobody wants any more are still on their way.
    Abandoned,
}

impl PgSnapshot {
    /// A snapshot of now, or the one that another session has exported under this name.
    pub(super) async fn begin(endpoint: &Arc<Endpoint>, exported: Option<&str>) -> Result<Self> {
        let what = || pg("begin a snapshot");
        let conn = endpoint.connect().await?;
        begin(&conn, exported).await?;
        let row = conn
            .client()
            .query_one(
                "SELECT pg_backend_pid(), CASE WHEN NOT pg_is_in_recovery() AND NOT EXISTS \
                 (SELECT FROM pg_class WHERE relkind = 'f') THEN pg_current_snapshot()::text END",
                &[],
            )
            .await
            .map_err(what())?;
        let pid = row.try_get(0).map_err(what())?;
        let seen = row.try_get(1).map_err(what())?;
        Ok(Self {
            conn,
            endpoint: Arc::clone(endpoint),
            pid,
            seen,
            state: State::Free,
            schemas: HashMap::new(),
        })
    }

    /// Clears away what the last read left behind.
    async fn tidy(&mut self) -> Result<()> {
        let sql = match self.state {
            State::Free => return Ok(()),
            State::Done => "RELEASE SAVEPOINT banyan_read",
            State::Failed => "ROLLBACK TO SAVEPOINT banyan_read; RELEASE SAVEPOINT banyan_read",
            State::Abandoned => {
                // When this returns, the statement is told, or was at its end already: a request
                // that came late would hit the next one.
                let other = self.endpoint.connect().await?;
                other
                    .client()
                    .query("SELECT pg_cancel_backend($1)", &[&self.pid])
                    .await
                    .map_err(pg("end a read that nobody wants any more"))?;
                "ROLLBACK TO SAVEPOINT banyan_read; RELEASE SAVEPOINT banyan_read"
            }
        };
        self.conn
            .client()
            .batch_execute(sql)
            .await
            .map_err(pg("go on in a snapshot"))?;
        self.state = State::Free;
        Ok(())
    }

    async fn schema(&mut self, table: &str) -> Result<Arc<TableSchema>> {
        if let Some(schema) = self.schemas.get(table) {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(schema::table(&self.conn, table).await?);
        self.schemas.insert(table.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }

    async fn start(&mut self, request: &ReadRequest) -> Result<CopyRows> {
        self.tidy().await?;
        let schema = self.schema(&request.table).await?;
        let columns = select::columns(&schema, &request.columns)?;
        let order_by = select::columns(&schema, &request.order_by)?;
        let selection = Selection {
            order_by: &order_by,
            after: request.after.as_ref(),
            up_to: request.up_to.as_ref(),
            filter: request.filter.as_deref(),
            limit: request.limit,
        };
        let sql = select::copy(&schema.name, &columns, selection)?;
        let what = format!("read table {}", request.table);
        let client = self.conn.client();
        client
            .batch_execute("SAVEPOINT banyan_read")
            .await
            .map_err(pg(&what))?;
        // Until it is known what became of it.
        self.state = State::Abandoned;
        let started = client.copy_out(sql.as_str()).await;
        let stream = started.map_err(|e| {
            self.state = State::Failed;
            pg(&what)(e)
        })?;
        let kinds = columns.iter().map(|c| c.kind).collect();
        Ok(CopyRows::new(stream, kinds, what))
    }
}

/// Begins a transaction that sees one instant.
pub(super) async fn begin(conn: &PgConn, exported: Option<&str>) -> Result<()> {
    // BEGIN alone sees nothing yet; the first query does.
    let first = match exported {
        Some(name) => format!("SET TRANSACTION SNAPSHOT {}", text(name)),
        None => "SELECT 1".to_owned(),
    };
    conn.client()
        .batch_execute(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {first}"
        ))
        .await
        .map_err(pg("begin a snapshot"))
}

impl Snapshot for PgSnapshot {
    fn position(&self) -> Option<Position> {
        None
    }

    fn share(&mut self) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async move {
            // What a subtransaction sees cannot be shared.
            self.tidy().await?;
            let row = self
                .conn
                .client()
                .query_one("SELECT pg_export_snapshot()", &[])
                .await
                .map_err(pg("share a snapshot"))?;
            row.try_get(0).map_err(pg("share a snapshot"))
        })
    }

    fn moment(&self) -> Option<&str> {
        self.seen.as_deref()
    }

    fn count<'a>(
        &'a mut self,
        table: &'a str,
        filter: Option<&'a str>,
    ) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.tidy().await?;
            let schema = self.schema(table).await?;
            let sql = select::count(&schema.name, filter)?;
            let what = || pg(format!("count the rows of table {table}"));
            let client = self.conn.client();
            client
                .batch_execute("SAVEPOINT banyan_read")
                .await
                .map_err(what())?;
            self.state = State::Abandoned;
            let counted = client.query_one(&sql, &[]).await;
            self.state = if counted.is_ok() {
                State::Done
            } else {
                State::Failed
            };
            let row = counted.map_err(what())?;
            let count: i64 = row.try_get(0).map_err(what())?;
            Ok(count.unsigned_abs())
        })
    }

    fn read(&mut self, request: ReadRequest) -> BoxStream<'_, Result<RecordBatch>> {
        let batch_rows = if request.batch_rows == 0 {
            BATCH_ROWS
        } else {
            request.batch_rows
        };
        let reading = Reading {
            snapshot: self,
            builder: BatchBuilder::new(request.columns.clone()),
            request,
            rows: None,
            over: false,
            batch_rows,
        };
        futures::stream::unfold(reading, |mut reading| async move {
            if reading.over {
                return None;
            }
            let item = reading.next().await.transpose()?;
            reading.over |= item.is_err();
            Some((item, reading))
        })
        .boxed()
    }
}

/// A read under way.
struct Reading<'a> {
    snapshot: &'a mut PgSnapshot,
    request: ReadRequest,
    builder: BatchBuilder,
    rows: Option<CopyRows>,
    over: bool,
    batch_rows: usize,
}

impl Reading<'_> {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let rows = match &mut self.rows {
            Some(rows) => rows,
            none => none.insert(self.snapshot.start(&self.request).await?),
        };
        let filled = rows
            .fill(&mut self.builder, self.batch_rows, BATCH_BYTES_MAX)
            .await;
        if let Err(error) = filled {
            // The server's own errors end the statement; after ours, rows are still on their way.
            if error.kind() != ErrorKind::Value && error.kind() != ErrorKind::Internal {
                self.snapshot.state = State::Failed;
            }
            return Err(error);
        }
        if rows.ended() {
            self.snapshot.state = State::Done;
            self.over = true;
        }
        if self.builder.rows() == 0 {
            return Ok(None);
        }
        self.builder.finish().map(Some)
    }
}
