//! Rows on disk: length-prefixed canonical bytes, in files that vanish when they are dropped.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;

use crate::error::{Error, ErrorKind, Result};

/// Below this a file is held in memory.
const MEMORY_BYTES: usize = 256 * 1024;

fn io_error(e: std::io::Error) -> Error {
    let kind = if e.kind() == std::io::ErrorKind::StorageFull {
        ErrorKind::Full
    } else {
        ErrorKind::Io
    };
    Error::new(kind, "cannot use a temporary file for comparing rows")
        .hint(format!(
            "make room in {} or set TMPDIR to a folder with more",
            std::env::temp_dir().display()
        ))
        .caused_by(e)
}

/// Appends records.
#[derive(Debug)]
pub(super) struct RecordWriter {
    file: BufWriter<SpooledTempFile>,
    records: u64,
}

impl RecordWriter {
    pub(super) fn new() -> Self {
        Self {
            file: BufWriter::with_capacity(16 * 1024, SpooledTempFile::new(MEMORY_BYTES)),
            records: 0,
        }
    }

    pub(super) fn push(&mut self, record: &[u8]) -> Result<()> {
        let length = u32::try_from(record.len())
            .map_err(|e| Error::new(ErrorKind::Value, "a row of more than 4 GiB").caused_by(e))?;
        self.file
            .write_all(&length.to_le_bytes())
            .map_err(io_error)?;
        self.file.write_all(record).map_err(io_error)?;
        self.records += 1;
        Ok(())
    }

    /// The records, from the first; they can be read several times.
    pub(super) fn finish(self) -> Result<Records> {
        let file = self
            .file
            .into_inner()
            .map_err(|e| io_error(e.into_error()))?;
        let mut records = Records {
            file: BufReader::with_capacity(64 * 1024, file),
            records: self.records,
            record: Vec::new(),
        };
        records.rewind()?;
        Ok(records)
    }
}

/// Reads records in the order in which they were written.
#[derive(Debug)]
pub(super) struct Records {
    file: BufReader<SpooledTempFile>,
    records: u64,
    record: Vec<u8>,
}

impl Records {
    /// How many there are in all.
    pub(super) fn len(&self) -> u64 {
        self.records
    }

    /// Back to the first.
    pub(super) fn rewind(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(io_error)?;
        Ok(())
    }

    /// Moves on; `false` at the end.
    pub(super) fn advance(&mut self) -> Result<bool> {
        let mut length = [0; 4];
        if self.file.read(&mut length[..1]).map_err(io_error)? == 0 {
            return Ok(false);
        }
        self.file.read_exact(&mut length[1..]).map_err(io_error)?;
        self.record.resize(u32::from_le_bytes(length) as usize, 0);
        self.file.read_exact(&mut self.record).map_err(io_error)?;
        Ok(true)
    }

    /// The record that [`Self::advance`] moved to.
    pub(super) fn current(&self) -> &[u8] {
        &self.record
    }
}
