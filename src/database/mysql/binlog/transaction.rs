//! The rows of a transaction that is not committed yet, as the log holds them.
//!
//! They are decoded when the transaction turns out to be committed, and not Banyan's own. A large
//! one goes to a temporary file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use crate::data::Change;
use crate::error::{Error, ErrorKind, Result};

use super::layout::Layout;
use super::rows::{Rows, Unreadable};

/// Bytes of a transaction that are kept in memory.
const MEMORY_BYTES_MAX: usize = 128 << 20;

/// A captured table, as its rows are to be read from here on.
#[derive(Debug)]
pub(super) struct Reading {
    /// Its index.
    pub(super) table: usize,
    /// The key: indexes into the captured columns.
    pub(super) key: Vec<usize>,
    /// How.
    pub(super) layout: Layout,
}

/// A rows event.
#[derive(Debug)]
struct Piece {
    event: u8,
    reading: Arc<Reading>,
    length: usize,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pieces: Vec<Piece>,
    /// The pieces' bytes that are not in the file, one after the other.
    memory: Vec<u8>,
    file: Option<File>,
    file_bytes: u64,
    /// Names, and how many pieces there were.
    savepoints: Vec<(String, usize)>,
    /// Whether Banyan made it; its rows are only counted.
    own: bool,
    own_rows: u64,
    /// Its commit time, where the log has it.
    pub(super) committed_us: Option<i64>,
}

impl Transaction {
    /// Marks it as Banyan's own.
    pub(super) fn set_own(&mut self) -> Result<(), Unreadable> {
        if self.own {
            return Ok(());
        }
        self.own = true;
        let pieces = std::mem::take(&mut self.pieces);
        let mut at = 0;
        for piece in &pieces {
            // What went to the file before is not worth reading again.
            let Some(body) = self.memory.get(at..at + piece.length) else {
                break;
            };
            at += piece.length;
            self.own_rows += count(piece.event, body, &piece.reading.layout)?;
        }
        self.memory = Vec::new();
        self.file = None;
        Ok(())
    }

    /// How many rows a transaction of Banyan's own has; `None`: it is somebody else's.
    pub(super) fn own_rows(&self) -> Option<u64> {
        self.own.then_some(self.own_rows)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && !self.own
    }

    /// Adds a rows event.
    pub(super) fn push(&mut self, event: u8, body: &[u8], reading: &Arc<Reading>) -> Result<()> {
        if self.own {
            self.own_rows += count(event, body, &reading.layout).map_err(|_| damaged())?;
            return Ok(());
        }
        if self.memory.len() + body.len() > MEMORY_BYTES_MAX && !self.memory.is_empty() {
            self.spill()?;
        }
        self.memory.extend_from_slice(body);
        self.pieces.push(Piece {
            event,
            reading: Arc::clone(reading),
            length: body.len(),
        });
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(tempfile::tempfile().map_err(|e| spilling(&e))?),
        };
        file.write_all(&self.memory).map_err(|e| spilling(&e))?;
        self.file_bytes += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }

    /// Sets a savepoint.
    pub(super) fn savepoint(&mut self, name: String) {
        self.savepoints.retain(|(other, _)| *other != name);
        self.savepoints.push((name, self.pieces.len()));
    }

    /// Goes back to a savepoint. An unknown one was set before anything that concerns us.
    pub(super) fn rollback_to(&mut self, name: &str) -> Result<()> {
        let at = self.savepoints.iter().position(|(other, _)| other == name);
        let pieces = at.map_or(0, |at| self.savepoints[at].1);
        self.savepoints.truncate(at.map_or(0, |at| at + 1));
        let gone: usize = self.pieces.drain(pieces..).map(|p| p.length).sum();
        match self.memory.len().checked_sub(gone) {
            Some(left) => self.memory.truncate(left),
            None => {
                let left = self.file_bytes + self.memory.len() as u64 - gone as u64;
                self.memory.clear();
                if let Some(file) = &mut self.file {
                    file.set_len(left).map_err(|e| spilling(&e))?;
                    file.seek(SeekFrom::End(0)).map_err(|e| spilling(&e))?;
                }
                self.file_bytes = left;
            }
        }
        Ok(())
    }

    /// The changes, each with this number. `Err` names the table by its index where it can.
    pub(super) fn decode(mut self, seq: u64) -> Result<Decoder> {
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(0)).map_err(|e| spilling(&e))?;
        }
        Ok(Decoder {
            pieces: std::mem::take(&mut self.pieces).into_iter(),
            memory: std::mem::take(&mut self.memory),
            memory_at: 0,
            file: self.file.take().map(std::io::BufReader::new),
            file_left: self.file_bytes,
            buffer: Vec::new(),
            seq,
            committed_us: self.committed_us,
        })
    }
}

fn count(event: u8, body: &[u8], layout: &Layout) -> Result<u64, Unreadable> {
    Rows::read(event, body)
        .ok_or(Unreadable::Damaged)?
        .count(layout)
}

/// Decodes a transaction, an event at a time.
#[derive(Debug)]
pub(super) struct Decoder {
    pieces: std::vec::IntoIter<Piece>,
    memory: Vec<u8>,
    memory_at: usize,
    file: Option<std::io::BufReader<File>>,
    file_left: u64,
    buffer: Vec<u8>,
    seq: u64,
    committed_us: Option<i64>,
}

/// Rows of a table that cannot be read.
#[derive(Debug)]
pub(super) enum Failed {
    /// The table's index, and why.
    Rows(usize, Unreadable),
    /// The temporary file.
    File(Error),
}

impl Decoder {
    /// Decodes the next event's rows. `false`: there is none.
    pub(super) fn next(&mut self, out: &mut Vec<Change>) -> Result<bool, Failed> {
        let Some(piece) = self.pieces.next() else {
            return Ok(false);
        };
        let bytes = if self.file_left > 0 {
            self.file_left -= piece.length as u64;
            self.buffer.resize(piece.length, 0);
            if let Some(file) = &mut self.file {
                file.read_exact(&mut self.buffer)
                    .map_err(|e| Failed::File(spilling(&e)))?;
            }
            &self.buffer[..]
        } else {
            let at = self.memory_at;
            self.memory_at += piece.length;
            &self.memory[at..self.memory_at]
        };
        let table = piece.reading.table;
        let failed = |why| Failed::Rows(table, why);
        Rows::read(piece.event, bytes)
            .ok_or(Unreadable::Damaged)
            .map_err(failed)?
            .changes(
                &piece.reading.layout,
                table,
                &piece.reading.key,
                self.seq,
                self.committed_us,
                out,
            )
            .map_err(failed)?;
        Ok(true)
    }
}

fn spilling(e: &std::io::Error) -> Error {
    let kind = match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Io,
    };
    Error::new(
        kind,
        "cannot keep a large transaction of the binary log in a temporary file",
    )
    .hint("free space in the folder for temporary files, or set TMPDIR to another one")
    .caused_by(e.to_string())
}

/// Bytes that do not fit.
pub(super) fn damaged() -> Error {
    Error::new(
        ErrorKind::Store,
        "an event of the binary log cannot be read: it does not fit its description",
    )
    .hint("check the server's version and its log; abort the migration and start it again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Value;
    use crate::database::mysql::binlog::cell::Cell;
    use crate::database::mysql::binlog::wire::Wire;

    fn reading() -> Arc<Reading> {
        let cell = Cell::Int {
            bytes: 1,
            unsigned: true,
        };
        Arc::new(Reading {
            table: 0,
            key: vec![0],
            layout: Layout {
                columns: vec![(Wire::Int(1), Some((0, cell)))],
                width: 1,
                missing: Vec::new(),
            },
        })
    }

    fn insert(n: u8) -> Vec<u8> {
        vec![9, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, n]
    }

    fn numbers(transaction: Transaction) -> Vec<Value> {
        let mut decoder = transaction.decode(5).unwrap();
        let mut out = Vec::new();
        while decoder.next(&mut out).unwrap() {}
        out.into_iter()
            .map(|c| c.after.unwrap()[0].clone())
            .collect()
    }

    #[test]
    fn savepoints_cut_what_is_undone() {
        for spilled in 0..4 {
            let mut t = Transaction::default();
            let mut step = 0;
            let mut push = |t: &mut Transaction, n| {
                t.push(23, &insert(n), &reading()).unwrap();
                step += 1;
                if step == spilled {
                    t.spill().unwrap();
                }
            };
            push(&mut t, 1);
            t.savepoint("a".to_owned());
            push(&mut t, 2);
            t.savepoint("b".to_owned());
            push(&mut t, 3);
            t.rollback_to("b").unwrap();
            push(&mut t, 4);
            t.rollback_to("a").unwrap();
            push(&mut t, 5);
            assert_eq!(numbers(t), [Value::Int(1), Value::Int(5)], "{spilled}");
        }
    }

    #[test]
    fn own_rows_are_counted() {
        let mut t = Transaction::default();
        t.push(23, &insert(1), &reading()).unwrap();
        t.set_own().unwrap();
        t.push(23, &insert(2), &reading()).unwrap();
        assert_eq!(t.own_rows(), Some(2));
        assert!(!t.is_empty());
    }
}
