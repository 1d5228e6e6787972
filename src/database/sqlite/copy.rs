//! Reading a table in chunks, each with the log's position at the same instant.
//!
//! Table and outbox lie in one database, so one read transaction sees both: the chunk is exactly
//! the table as of that position, and no watermark has to be written.

use datafusion::arrow::record_batch::RecordBatch;
use rusqlite::Connection;

use crate::data::Key;
use crate::database::{Chunk, ChunkRows, ReadRequest};
use crate::error::Result;

use super::capture;
use super::error::sqlite;
use super::names::Names;
use super::read::read_batches;
use crate::database::SyncTable;

pub(super) fn read_chunk(
    conn: &Connection,
    names: &Names,
    table: &SyncTable,
    after: Option<Key>,
    rows_max: usize,
) -> Result<Chunk> {
    let what = || sqlite(format!("copy table {}", table.schema.name));
    let column = |i: usize| table.schema.columns[table.columns[i]].name.clone();
    let request = ReadRequest {
        table: table.schema.name.clone(),
        columns: (0..table.columns.len()).map(column).collect(),
        order_by: table.key.iter().map(|&k| column(k)).collect(),
        after,
        up_to: None,
        filter: table.filter.clone(),
        limit: Some(rows_max),
        batch_rows: rows_max,
    };
    conn.execute_batch("BEGIN").map_err(what())?;
    let result = (|| {
        let seq = capture::end(conn, names)?;
        let mut batches = Vec::new();
        read_batches(conn, &request, &mut |batch| {
            batches.push(batch);
            true
        })?;
        Ok((seq, batches))
    })();
    conn.execute_batch("COMMIT").map_err(what())?;
    let (seq, mut batches) = result?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    // Wide rows may end a batch early; then the rest of the chunk is read with the next one.
    let cut = batches.len() > 1;
    let batch = if batches.is_empty() {
        crate::data::batch::BatchBuilder::new(request.columns).finish()?
    } else {
        batches.swap_remove(0)
    };
    Ok(Chunk {
        rows: ChunkRows::Cells(batch),
        seq,
        last: rows < rows_max && !cut,
    })
}
