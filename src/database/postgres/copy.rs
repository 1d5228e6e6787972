//! The rows of a table in key order, from one long `COPY`, handed out piece by piece.

use datafusion::arrow::record_batch::RecordBatch;

use crate::data::Key;
use crate::data::batch::BatchBuilder;
use crate::database::SyncTable;
use crate::database::server::driver::CopyReader;
use crate::error::Result;

use super::column::PgColumn;
use super::connect::PgConn;
use super::error::pg;
use super::read;
use super::rows::CopyRows;
use super::select::{self, Selection};
use super::store::PgStore;

/// A piece ends early when it holds so many bytes.
const BYTES_MAX: usize = 16 << 20;

/// See the module's text. Dropped, its connection is closed and the statement ends.
pub(in crate::database) struct PgCopy {
    rows: CopyRows,
    builder: BatchBuilder,
    seq: u64,
    /// What it runs on.
    _conn: PgConn,
}

impl std::fmt::Debug for PgCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgCopy")
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl PgCopy {
    /// The mapped columns of the rows behind `after`, from the snapshot that another session has
    /// exported under this name, or from one of its own; `seq`: where the log stood at that instant.
    pub(super) async fn open(
        store: &PgStore,
        table: &SyncTable,
        after: Option<&Key>,
        exported: Option<&str>,
        seq: u64,
    ) -> Result<Self> {
        let opened = Self::open_inner(store, table, after, exported, seq).await;
        opened.map_err(|e| store.place(e))
    }

    async fn open_inner(
        store: &PgStore,
        table: &SyncTable,
        after: Option<&Key>,
        exported: Option<&str>,
        seq: u64,
    ) -> Result<Self> {
        let conn = store.endpoint().connect().await?;
        read::begin(&conn, exported).await?;
        let columns: Vec<PgColumn> = table
            .columns
            .iter()
            .map(|&i| PgColumn::new(&table.schema.columns[i]))
            .collect();
        let key: Vec<PgColumn> = table.key.iter().map(|&k| columns[k].clone()).collect();
        let selection = Selection {
            order_by: &key,
            after,
            filter: table.filter.as_deref(),
            ..Selection::default()
        };
        let sql = select::copy(&table.schema.name, &columns, selection)?;
        let what = format!("copy table {}", table.schema.name);
        let stream = conn
            .client()
            .copy_out(sql.as_str())
            .await
            .map_err(pg(&what))?;
        let kinds = columns.iter().map(|c| c.kind).collect();
        let names = columns.into_iter().map(|c| c.name).collect();
        Ok(Self {
            rows: CopyRows::new(stream, kinds, what),
            builder: BatchBuilder::new(names),
            seq,
            _conn: conn,
        })
    }
}

impl CopyReader for PgCopy {
    fn seq(&self) -> u64 {
        self.seq
    }

    async fn next(&mut self, rows_max: usize) -> Result<(RecordBatch, bool)> {
        self.rows
            .fill(&mut self.builder, rows_max.max(1), BYTES_MAX)
            .await?;
        Ok((self.builder.finish()?, self.rows.ended()))
    }
}
