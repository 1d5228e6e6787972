//! A transaction that is too large for memory while it is being received, in a file that is gone
//! when it is closed.
//!
//! Rows are written in the canonical encoding that keeps everything.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use crate::data::{Change, Row, canonical};
use crate::error::{Error, ErrorKind, Result};

const BEFORE: u8 = 1;
const AFTER: u8 = 2;

/// Changes in a file.
#[derive(Debug)]
pub(super) struct Spill {
    file: BufWriter<File>,
    count: u64,
}

impl Spill {
    /// An empty file.
    pub(super) fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(|cause| failed(&cause))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 18, file),
            count: 0,
        })
    }

    /// Appends a change; `seq` and the time of the commit are not kept.
    pub(super) fn push(&mut self, change: &Change) -> Result<()> {
        self.write(change).map_err(|cause| failed(&cause))?;
        self.count += 1;
        Ok(())
    }

    fn write(&mut self, change: &Change) -> io::Result<()> {
        let mut flags = 0;
        if change.before.is_some() {
            flags |= BEFORE;
        }
        if change.after.is_some() {
            flags |= AFTER;
        }
        self.file.write_all(&[flags])?;
        self.file.write_all(&(change.table as u64).to_le_bytes())?;
        for row in [&change.before, &change.after].into_iter().flatten() {
            let bytes = canonical::encode_exact(row);
            self.file.write_all(&(bytes.len() as u64).to_le_bytes())?;
            self.file.write_all(&bytes)?;
        }
        Ok(())
    }

    /// All changes, in order. Reads a whole file: not for the runtime's own threads.
    pub(super) fn read(self, seq: u64, committed_us: Option<i64>) -> Result<Vec<Change>> {
        let count = self.count;
        let mut file = self
            .file
            .into_inner()
            .map_err(|cause| failed(cause.error()))?;
        file.rewind().map_err(|cause| failed(&cause))?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        (0..count)
            .map(|_| {
                let mut head = [0; 9];
                file.read_exact(&mut head).map_err(|cause| failed(&cause))?;
                let [flags, table @ ..] = head;
                let mut row = |flag: u8| -> Result<Option<Row>> {
                    (flags & flag != 0).then(|| read_row(&mut file)).transpose()
                };
                Ok(Change {
                    table: usize::try_from(u64::from_le_bytes(table)).map_err(|_| damaged())?,
                    before: row(BEFORE)?,
                    after: row(AFTER)?,
                    seq,
                    committed_us,
                })
            })
            .collect()
    }
}

fn read_row(file: &mut impl Read) -> Result<Row> {
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|cause| failed(&cause))?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| damaged())?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)
        .map_err(|cause| failed(&cause))?;
    canonical::decode(&bytes)
}

fn failed(cause: &io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Io,
    };
    Error::new(
        kind,
        format!(
            "a large transaction of the log cannot be kept in a temporary file in {}: {cause}",
            std::env::temp_dir().display()
        ),
    )
    .hint("make room there, or set TMPDIR to a folder on another disk")
}

fn damaged() -> Error {
    Error::new(
        ErrorKind::Internal,
        "a temporary file with a large transaction is damaged",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{OtherValue, Value};

    #[test]
    fn what_is_read_is_what_was_written() {
        let row: Row = vec![
            Value::Null,
            Value::Int(i64::MIN),
            Value::UInt(7),
            Value::Decimal("1.500".parse().unwrap()),
            Value::Float(f64::NAN),
            Value::Text("ä\0".into()),
            Value::Bytes(vec![0, 255]),
            Value::Date(i32::MAX),
            Value::TimestampUtc(i64::MIN),
            Value::Uuid([7; 16]),
            Value::Json("{ }".into()),
            Value::Other(Box::new(OtherValue {
                kind: "text".into(),
                bytes: vec![255],
            })),
        ];
        let change = |before: Option<&Row>, after: Option<&Row>| Change {
            table: 3,
            before: before.cloned(),
            after: after.cloned(),
            seq: 9,
            committed_us: Some(-1),
        };
        let changes = vec![
            change(None, Some(&row)),
            change(Some(&row), Some(&vec![])),
            change(Some(&row), None),
        ];
        let mut spill = Spill::new().unwrap();
        for change in &changes {
            spill.push(change).unwrap();
        }
        let read = spill.read(9, Some(-1)).unwrap();
        assert_eq!(read, changes);
        // The scale of a decimal is kept, though it is equal without.
        let Value::Decimal(decimal) = &read[0].after.as_ref().unwrap()[3] else {
            panic!("no decimal");
        };
        assert_eq!(decimal.as_str(), "1.500");
    }
}
