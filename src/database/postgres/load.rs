//! The fastest way in: `COPY … FROM STDIN`, straight from an Arrow batch or from what another server
//! sent.

use bytes::Bytes;
use datafusion::arrow::record_batch::RecordBatch;
use futures::SinkExt;

use crate::data::batch::{ColumnView, views};
use crate::database::server::driver::Done;
use crate::database::{ChunkRows, SentRows};
use crate::error::Result;

use super::arrays::misfit;
use super::encode::{Misfit, Place, put};
use super::error::{Doing, internal};
use super::plain;
use super::table::PgTable;
use super::tx::{Failure, PgTx};
use super::write::{done, every};

/// Bytes that are sent in one piece.
const PIECE: usize = 64 << 10;

/// What comes before the rows in binary form: the signature, no flags, no extension.
const HEAD: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What comes behind them.
const END: &[u8; 2] = &[0xff; 2];

/// How a load ended, beside the server's errors.
enum Loaded {
    Rows(u64),
    Misfit(String),
}

impl PgTx {
    pub(super) async fn load_rows(
        &mut self,
        table: &PgTable,
        rows: &ChunkRows,
    ) -> Result<Done<()>> {
        match rows {
            ChunkRows::Sent(sent) if !table.copy_text => self.load_sent(table, sent).await,
            rows => self.load_batch(table, &rows.cells()?).await,
        }
    }

    async fn load_sent(&mut self, table: &PgTable, sent: &SentRows) -> Result<Done<()>> {
        self.facts(table).await?;
        if sent.len() == 0 {
            return Ok(Ok(()));
        }
        let bytes = sent.bytes();
        let loaded = self
            .run(async |session| -> Result<u64, Failure> {
                let statement = session.conn.prepare(&table.copy).await?;
                let client = session.conn.client();
                let mut sink = Box::pin(client.copy_in::<_, Bytes>(&statement).await?);
                let pieces = (0..bytes.len())
                    .step_by(PIECE)
                    .map(|at| bytes.slice(at..bytes.len().min(at + PIECE)));
                let pieces = std::iter::once(Bytes::from_static(HEAD))
                    .chain(pieces)
                    .chain(std::iter::once(Bytes::from_static(END)));
                for piece in pieces {
                    // What the server has against it, it says at the end.
                    if sink.as_mut().feed(piece).await.is_err() {
                        break;
                    }
                }
                Ok(sink.as_mut().finish().await?)
            })
            .await;
        match done(loaded, table, Doing::Write)? {
            Ok(loaded) => {
                every(table, loaded, sent.len())?;
                Ok(Ok(()))
            }
            Err(violation) => Ok(Err(violation)),
        }
    }

    async fn load_batch(&mut self, table: &PgTable, batch: &RecordBatch) -> Result<Done<()>> {
        self.facts(table).await?;
        let views = views(batch)?;
        if views.len() != table.columns.len() {
            return Err(internal(format!(
                "a batch of {} columns for table {}",
                views.len(),
                table.name
            )));
        }
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(Ok(()));
        }
        let loaded = self
            .run(async |session| -> Result<Loaded, Failure> {
                let statement = session.conn.prepare(&table.copy).await?;
                let sink = session
                    .conn
                    .client()
                    .copy_in::<_, Bytes>(&statement)
                    .await?;
                let mut sink = Box::pin(sink);
                let mut encoder = Encoder::new(table);
                let mut row = 0;
                while row < rows {
                    while row < rows && encoder.out.len() < PIECE {
                        if let Err(reason) = encoder.row(&views, row) {
                            // Dropped, the sink tells the server to forget it all.
                            return Ok(Loaded::Misfit(reason));
                        }
                        row += 1;
                    }
                    if row == rows {
                        encoder.end();
                    }
                    let piece =
                        std::mem::replace(&mut encoder.out, Vec::with_capacity(PIECE + 4096));
                    // What the server has against it, it says at the end.
                    if sink.as_mut().feed(Bytes::from(piece)).await.is_err() {
                        break;
                    }
                }
                Ok(Loaded::Rows(sink.as_mut().finish().await?))
            })
            .await;
        match done(loaded, table, Doing::Write)? {
            Ok(Loaded::Rows(loaded)) => {
                every(table, loaded, rows)?;
                Ok(Ok(()))
            }
            Ok(Loaded::Misfit(reason)) => Ok(Err(misfit(reason))),
            Err(violation) => Ok(Err(violation)),
        }
    }
}

/// Writes rows in the form that the table's `COPY` takes.
struct Encoder<'a> {
    table: &'a PgTable,
    out: Vec<u8>,
    scratch: String,
    columns: [u8; 2],
}

impl<'a> Encoder<'a> {
    fn new(table: &'a PgTable) -> Self {
        let mut out = Vec::with_capacity(PIECE + 4096);
        if !table.copy_text {
            out.extend_from_slice(HEAD);
        }
        let columns = i16::try_from(table.columns.len()).unwrap_or(i16::MAX);
        Self {
            table,
            out,
            scratch: String::new(),
            columns: columns.to_be_bytes(),
        }
    }

    fn row(&mut self, views: &[ColumnView<'_>], row: usize) -> Result<(), Misfit> {
        if !self.table.copy_text {
            self.out.extend_from_slice(&self.columns);
        }
        for (i, (column, view)) in self.table.columns.iter().zip(views).enumerate() {
            let cell = view.get(row);
            let put = column.check(cell).and_then(|()| {
                if self.table.copy_text {
                    if i > 0 {
                        self.out.push(b'\t');
                    }
                    plain::put_field(&mut self.out, &mut self.scratch, column.kind, cell)
                } else {
                    put(&mut self.out, column.kind, Place::Field, cell)
                }
            });
            put.map_err(|misfit| column.misfit(&misfit))?;
        }
        if self.table.copy_text {
            self.out.push(b'\n');
        }
        Ok(())
    }

    fn end(&mut self) {
        if !self.table.copy_text {
            self.out.extend_from_slice(END);
        }
    }
}
