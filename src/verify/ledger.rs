//! What an interrupted verification had compared: one line a part, in a file beside the state.
//!
//! The first line says what is compared. A later verification of the same takes the parts over, as old as
//! they are, and goes on behind them. A line that a crash left half-written is taken off.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data::{Key, canonical};
use crate::error::{Error, ErrorKind, Result};

use super::look::Part;
use super::suspect::Suspect;

/// The ledger of one verification.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: Mutex<File>,
    /// Those that were there when it was opened.
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// What is compared.
    of: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    /// Number of the table.
    table: usize,
    /// The last key in exact canonical bytes, in hex; `None`: the table's end.
    up_to: Option<String>,
    rows: [u64; 2],
    digests: String,
    suspects: Vec<String>,
    read_us: i64,
    held_us: u64,
    /// blake3 of the fields before, so that nothing that was damaged is believed.
    check: String,
}

impl Line {
    fn sum(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let fields = format!(
            "{} {:?} {:?} {} {:?} {} {}",
            self.table,
            self.up_to,
            self.rows,
            self.digests,
            self.suspects,
            self.read_us,
            self.held_us
        );
        hasher
            .update(fields.as_bytes())
            .finalize()
            .to_hex()
            .to_string()
    }
}

impl Ledger {
    /// Opens the ledger in this file. With `resume` what is there of the same comparison is taken over;
    /// otherwise it begins anew. `Ok(None)`: another process is using it.
    ///
    /// # Errors
    /// `Refused` when what is to be resumed was a comparison of something else; those of the file.
    pub fn open(path: &Path, of: &str, resume: bool) -> Result<Option<Self>> {
        let failed = |e: std::io::Error| {
            let message = format!("the ledger {} cannot be used", path.display());
            Error::new(ErrorKind::Io, message).caused_by(e)
        };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(e)) => return Err(failed(e)),
        }
        let mut text = Vec::new();
        if resume {
            file.read_to_end(&mut text).map_err(failed)?;
        }
        let mut good = 0;
        let mut lines = Vec::new();
        for (n, line) in text.split_inclusive(|b| *b == b'\n').enumerate() {
            let Some(json) = line.strip_suffix(b"\n") else {
                break;
            };
            if n == 0 {
                match serde_json::from_slice::<Header>(json) {
                    Ok(header) if header.of == of => {}
                    Ok(_) => {
                        return Err(Error::new(
                            ErrorKind::Refused,
                            "the verification that was interrupted compared something else",
                        )
                        .hint("ask for the same level, tables and rows, or leave --resume out"));
                    }
                    Err(_) => break,
                }
            } else {
                match serde_json::from_slice::<Line>(json) {
                    Ok(line) if line.sum() == line.check => lines.push(line),
                    _ => break,
                }
            }
            good += line.len() as u64;
        }
        file.set_len(good).map_err(failed)?;
        file.seek(SeekFrom::Start(good)).map_err(failed)?;
        if good == 0 {
            let header = Header { of: of.to_owned() };
            let header = serde_json::to_string(&header).map_err(unwritable)?;
            file.write_all(format!("{header}\n").as_bytes())
                .map_err(failed)?;
        }
        Ok(Some(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            lines,
        }))
    }

    /// The verification is over.
    ///
    /// # Errors
    /// Those of removing the file.
    pub fn finish(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|e| {
            let message = format!("the ledger {} cannot be removed", self.path.display());
            Error::new(ErrorKind::Io, message).caused_by(e)
        })
    }

    pub(super) fn table(&self, table: usize) -> TableLedger<'_> {
        TableLedger {
            ledger: self,
            table,
        }
    }
}

/// The ledger as one table sees it.
#[derive(Clone, Copy)]
pub(super) struct TableLedger<'l> {
    ledger: &'l Ledger,
    table: usize,
}

impl TableLedger<'_> {
    /// The parts that were compared, in order.
    pub(super) fn parts(&self) -> Vec<Part> {
        let lines = self.ledger.lines.iter();
        lines
            .filter(|line| line.table == self.table)
            .map_while(part)
            .collect()
    }

    /// Writes a part down.
    pub(super) fn add(&self, part: &Part) -> Result<()> {
        let mut bytes = Vec::new();
        let mut suspects = Vec::with_capacity(part.suspects.len());
        for suspect in &part.suspects {
            suspect.encode(&mut bytes);
            suspects.push(hex(&bytes));
        }
        let mut line = Line {
            table: self.table,
            up_to: part
                .up_to
                .as_ref()
                .map(|k| hex(&canonical::encode_exact(&k.0))),
            rows: part.rows,
            digests: hex(part.digests.as_flattened()),
            suspects,
            read_us: part.read_us,
            held_us: u64::try_from(part.held.as_micros()).unwrap_or(u64::MAX),
            check: String::new(),
        };
        line.check = line.sum();
        let text = serde_json::to_string(&line).map_err(unwritable)?;
        let mut file = self
            .ledger
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{text}\n").as_bytes()).map_err(|e| {
            let path = self.ledger.path.display();
            Error::new(
                ErrorKind::Io,
                format!("the ledger {path} cannot be written"),
            )
            .caused_by(e)
        })
    }
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "a part has no JSON form").caused_by(e)
}

/// The part of a line; `None` for one that no verification wrote.
fn part(line: &Line) -> Option<Part> {
    let up_to = match &line.up_to {
        None => None,
        Some(text) => Some(Key(canonical::decode(&unhex(text)?).ok()?)),
    };
    let (digests, rest) = {
        let bytes = unhex(&line.digests)?;
        let (whole, rest) = bytes.as_chunks::<32>();
        (whole.to_vec(), rest.len())
    };
    let suspects = line.suspects.iter();
    let suspects: Option<Vec<Suspect>> = suspects
        .map(|text| Suspect::decode(&unhex(text)?).ok())
        .collect();
    Some(Part {
        up_to,
        rows: line.rows,
        suspects: suspects?,
        digests,
        read_us: line.read_us,
        held: Duration::from_micros(line.held_us),
    })
    .filter(|_| rest == 0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
