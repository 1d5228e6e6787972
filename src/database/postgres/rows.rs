//! Rows of a binary `COPY … TO STDOUT` as Arrow batches.

use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use tokio_postgres::CopyOutStream;

use crate::data::batch::BatchBuilder;
use crate::error::{Error, ErrorKind, Result};

use super::decode::with_cell;
use super::error::pg;
use super::kind::Kind;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// A `COPY` under way. Memory: what the server sent in one piece, and what is left of a row.
pub(super) struct CopyRows {
    stream: Pin<Box<CopyOutStream>>,
    kinds: Vec<Kind>,
    what: String,
    /// What was received and not yet read.
    bytes: Bytes,
    begun: bool,
    ended: bool,
}

impl CopyRows {
    /// `kinds`: of the columns; `what`: what is done, for errors.
    pub(super) fn new(stream: CopyOutStream, kinds: Vec<Kind>, what: String) -> Self {
        Self {
            stream: Box::pin(stream),
            kinds,
            what,
            bytes: Bytes::new(),
            begun: false,
            ended: false,
        }
    }

    /// Whether the last row was read. Only then the connection is free again at once.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Reads rows until the builder holds so many rows, or so many bytes, or until the end.
    pub(super) async fn fill(
        &mut self,
        builder: &mut BatchBuilder,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<()> {
        while !self.ended {
            if !self.begun {
                if !self.read_head()? {
                    self.receive().await?;
                }
                continue;
            }
            // Looked at before the builder is full, so that the last batch is known to be the last.
            match self.bytes.get(..2) {
                None => {
                    self.receive().await?;
                    continue;
                }
                Some([0xff, 0xff]) => {
                    self.finish().await?;
                    continue;
                }
                Some(_) => {}
            }
            if builder.rows() >= rows_max || builder.bytes() >= bytes_max {
                break;
            }
            if !self.read_row(builder)? {
                self.receive().await?;
            }
        }
        Ok(())
    }

    /// Waits for more.
    async fn receive(&mut self) -> Result<()> {
        let Some(piece) = self.stream.next().await else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "cannot {}: the server ended in the middle of a row",
                    self.what
                ),
            ));
        };
        let piece = piece.map_err(pg(&self.what))?;
        if self.bytes.is_empty() {
            self.bytes = piece;
        } else {
            let mut joined = BytesMut::with_capacity(self.bytes.len() + piece.len());
            joined.extend_from_slice(&self.bytes);
            joined.extend_from_slice(&piece);
            self.bytes = joined.freeze();
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.bytes = Bytes::new();
        while let Some(piece) = self.stream.next().await {
            piece.map_err(pg(&self.what))?;
        }
        self.ended = true;
        Ok(())
    }

    /// Reads what comes before the rows if it is there as a whole.
    fn read_head(&mut self) -> Result<bool> {
        let Some(head) = self.bytes.get(..19) else {
            return Ok(false);
        };
        let extension = u32::from_be_bytes([head[15], head[16], head[17], head[18]]) as usize;
        if &head[..11] != SIGNATURE {
            return Err(self.damaged());
        }
        if self.bytes.len() < 19 + extension {
            return Ok(false);
        }
        self.bytes.advance(19 + extension);
        self.begun = true;
        Ok(true)
    }

    /// Reads one row if it is there as a whole.
    fn read_row(&mut self, builder: &mut BatchBuilder) -> Result<bool> {
        let Some(row_len) = self.row_len()? else {
            return Ok(false);
        };
        let mut rest = &self.bytes[2..row_len];
        for (i, kind) in self.kinds.iter().enumerate() {
            let Some((head, after)) = rest.split_first_chunk::<4>() else {
                return Err(self.damaged());
            };
            let len = usize::try_from(i32::from_be_bytes(*head)).ok();
            let (cell, after) = match len {
                None => (None, after),
                Some(len) => {
                    let (cell, after) =
                        after.split_at_checked(len).ok_or_else(|| self.damaged())?;
                    (Some(cell), after)
                }
            };
            with_cell(*kind, cell, |v| builder.push(i, v)).map_err(|e| e.at(&self.what))?;
            rest = after;
        }
        builder.end_row();
        self.bytes.advance(row_len);
        Ok(true)
    }

    /// The bytes of the next row, if all of them are there.
    fn row_len(&self) -> Result<Option<usize>> {
        let Some(count) = self.bytes.get(..2) else {
            return Ok(None);
        };
        let count = i16::from_be_bytes([count[0], count[1]]);
        if usize::try_from(count).ok() != Some(self.kinds.len()) {
            return Err(self.damaged());
        }
        let mut at = 2;
        for _ in 0..count {
            let Some(len) = self.bytes.get(at..at + 4) else {
                return Ok(None);
            };
            let len = i32::from_be_bytes([len[0], len[1], len[2], len[3]]);
            at += 4 + usize::try_from(len).unwrap_or(0);
        }
        Ok((at <= self.bytes.len()).then_some(at))
    }

    fn damaged(&self) -> Error {
        Error::new(
            ErrorKind::Internal,
            format!("cannot {}: the server's rows have another form", self.what),
        )
    }
}
