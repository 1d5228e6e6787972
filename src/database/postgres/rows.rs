//! Rows of a binary `COPY … TO STDOUT`, as Arrow batches or as they are.

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

/// What collects rows.
pub(super) trait RowSink {
    /// How many rows it holds.
    fn rows(&self) -> usize;

    /// About how many bytes.
    fn bytes(&self) -> usize;

    /// One more, whole, of columns of these kinds.
    fn put(&mut self, kinds: &[Kind], row: &[u8]) -> Result<()>;
}

impl RowSink for BatchBuilder {
    fn rows(&self) -> usize {
        Self::rows(self)
    }

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn put(&mut self, kinds: &[Kind], row: &[u8]) -> Result<()> {
        put_row(kinds, row, self)
    }
}

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

    /// Reads rows until the sink holds so many rows, or so many bytes, or until the end.
    pub(super) async fn fill(
        &mut self,
        sink: &mut impl RowSink,
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
            // Looked at before the sink is full, so that the last batch is known to be the last.
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
            if sink.rows() >= rows_max || sink.bytes() >= bytes_max {
                break;
            }
            if !self.read_row(sink)? {
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
            return Err(damaged().at(&self.what));
        }
        if self.bytes.len() < 19 + extension {
            return Ok(false);
        }
        self.bytes.advance(19 + extension);
        self.begun = true;
        Ok(true)
    }

    /// Reads one row if it is there as a whole.
    fn read_row(&mut self, sink: &mut impl RowSink) -> Result<bool> {
        let put = |len: Option<usize>| {
            let put = |len: usize| sink.put(&self.kinds, &self.bytes[..len]).map(|()| len);
            len.map(put).transpose()
        };
        let len = row_len(&self.kinds, &self.bytes).and_then(put);
        let len = len.map_err(|e| e.at(&self.what))?;
        self.bytes.advance(len.unwrap_or(0));
        Ok(len.is_some())
    }
}

/// The length of the first row, if all of it is there.
pub(super) fn row_len(kinds: &[Kind], bytes: &[u8]) -> Result<Option<usize>> {
    let Some(count) = bytes.get(..2) else {
        return Ok(None);
    };
    let count = i16::from_be_bytes([count[0], count[1]]);
    if usize::try_from(count).ok() != Some(kinds.len()) {
        return Err(damaged());
    }
    let mut at = 2;
    for _ in 0..count {
        let Some(len) = bytes.get(at..at + 4) else {
            return Ok(None);
        };
        let len = i32::from_be_bytes([len[0], len[1], len[2], len[3]]);
        at += 4 + usize::try_from(len).unwrap_or(0);
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// Takes a whole row apart.
pub(super) fn put_row(kinds: &[Kind], row: &[u8], builder: &mut BatchBuilder) -> Result<()> {
    let mut rest = row.get(2..).ok_or_else(damaged)?;
    for (i, kind) in kinds.iter().enumerate() {
        with_cell(*kind, next_cell(&mut rest)?, |v| builder.push(i, v))?;
    }
    builder.end_row();
    Ok(())
}

/// Fails where a whole row holds what cannot be carried, as [`put_row`] would.
pub(super) fn look_at_row(kinds: &[Kind], row: &[u8]) -> Result<()> {
    let mut rest = row.get(2..).ok_or_else(damaged)?;
    for kind in kinds {
        let cell = next_cell(&mut rest)?;
        if kind.has_more_than_is_carried() {
            with_cell(*kind, cell, |_| ())?;
        }
    }
    Ok(())
}

fn next_cell<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>> {
    let (head, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let Ok(len) = usize::try_from(i32::from_be_bytes(*head)) else {
        *rest = after;
        return Ok(None);
    };
    let (cell, after) = after.split_at_checked(len).ok_or_else(damaged)?;
    *rest = after;
    Ok(Some(cell))
}

fn damaged() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the server's rows have another form than they should",
    )
}
