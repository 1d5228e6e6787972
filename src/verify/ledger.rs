//! What an interrupted verification had compared: one line a part, in a file beside the state.
//!
//! The first line says what is compared. A later verification of the same takes the parts over, as old as
//! they are, and goes on behind them. A line that a crash left half-written is taken off.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data::{Key, canonical};
use crate::error::{Error, ErrorKind, Result};

use super::look::Part;
use super::suspect::{Suspect, SuspectWriter};

/// The ledger of one verification.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    of: String,
    writing: Mutex<Writing>,
    /// Those that were there when it was opened.
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Writing {
    file: File,
    /// Whether what the file holds is of this verification. An earlier one's is kept until there is
    /// something to write.
    begun: bool,
    /// The last line's sum.
    last: String,
    /// Tables of which no further part is written down.
    ended: HashSet<usize>,
}

/// A part with more rows that differ is not written down, nor is what comes behind it: it is compared again.
const SUSPECTS_MAX: u64 = 10_000;

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
    tolerated: u64,
    read_us: i64,
    held_us: u64,
    /// blake3 of the fields before, so that nothing that was damaged is believed.
    check: String,
}

impl Line {
    /// Of a part of this table, behind a line of this sum.
    fn of(table: usize, part: &mut Part, before: &str) -> Result<Self> {
        let mut bytes = Vec::new();
        let mut suspects = Vec::new();
        part.suspects.rewind()?;
        while let Some(suspect) = part.suspects.next()? {
            suspect.encode(&mut bytes);
            suspects.push(hex(&bytes));
        }
        let mut line = Self {
            table,
            up_to: part
                .up_to
                .as_ref()
                .map(|k| hex(&canonical::encode_exact(&k.0))),
            rows: part.rows,
            digests: hex(part.digests.as_flattened()),
            suspects,
            tolerated: part.tolerated,
            read_us: part.read_us,
            held_us: u64::try_from(part.held.as_micros()).unwrap_or(u64::MAX),
            check: String::new(),
        };
        line.check = line.sum(before);
        Ok(line)
    }

    /// Over the line before as well: none can be taken out or doubled.
    fn sum(&self, before: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        let fields = format!(
            "{before} {} {:?} {:?} {} {:?} {} {} {}",
            self.table,
            self.up_to,
            self.rows,
            self.digests,
            self.suspects,
            self.tolerated,
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
        let mut lines: Vec<Line> = Vec::new();
        let mut last = of.to_owned();
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
                    Ok(line) if line.sum(&last) == line.check => {
                        last.clone_from(&line.check);
                        lines.push(line);
                    }
                    _ => break,
                }
            }
            good += line.len() as u64;
        }
        if good > 0 {
            file.set_len(good).map_err(failed)?;
            file.seek(SeekFrom::Start(good)).map_err(failed)?;
        }
        Ok(Some(Self {
            path: path.to_owned(),
            of: of.to_owned(),
            writing: Mutex::new(Writing {
                file,
                begun: good > 0,
                last,
                ended: HashSet::new(),
            }),
            lines,
        }))
    }

    /// The verification is over.
    ///
    /// # Errors
    /// Those of removing the file.
    pub fn finish(self) -> Result<()> {
        let writing = self
            .writing
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        // What an interrupted verification left stays for it, until another one is interrupted.
        let is_empty = writing.file.metadata().is_ok_and(|m| m.len() == 0);
        if !writing.begun && !is_empty {
            return Ok(());
        }
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
    pub(super) fn parts(&self) -> Result<Vec<Part>> {
        let lines = self.ledger.lines.iter();
        let mut parts = Vec::new();
        for line in lines.filter(|line| line.table == self.table) {
            match part(line)? {
                Some(part) => parts.push(part),
                None => break,
            }
        }
        Ok(parts)
    }

    /// Writes a part down. Where that cannot be done, no further part of the table is: they are compared
    /// again when the verification is resumed.
    pub(super) fn add(&self, part: &mut Part) {
        let writing = self.ledger.writing.lock();
        let mut writing = writing.unwrap_or_else(PoisonError::into_inner);
        if writing.ended.contains(&self.table) {
            return;
        }
        if part.suspects.len() > SUSPECTS_MAX {
            writing.ended.insert(self.table);
            return;
        }
        if let Err(e) = self.write(&mut writing, part) {
            writing.ended.insert(self.table);
            tracing::warn!("an interruption of this verification could not be resumed: {e}");
        }
    }

    fn write(&self, writing: &mut Writing, part: &mut Part) -> Result<()> {
        let line = Line::of(self.table, part, &writing.last)?;
        let mut text = serde_json::to_string(&line).map_err(unwritable)?;
        text.push('\n');
        let failed = |e: std::io::Error| {
            let path = self.ledger.path.display();
            Error::new(
                ErrorKind::Io,
                format!("the ledger {path} cannot be written"),
            )
            .caused_by(e)
        };
        if !writing.begun {
            let of = self.ledger.of.clone();
            let header = serde_json::to_string(&Header { of }).map_err(unwritable)?;
            text.insert_str(0, &format!("{header}\n"));
            writing.file.set_len(0).map_err(failed)?;
            writing.file.seek(SeekFrom::Start(0)).map_err(failed)?;
            writing.begun = true;
        }
        writing.file.write_all(text.as_bytes()).map_err(failed)?;
        writing.last = line.check;
        Ok(())
    }
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "a part has no JSON form").caused_by(e)
}

/// A part as a line by itself.
pub(super) fn part_to_line(part: &mut Part) -> Result<String> {
    serde_json::to_string(&Line::of(0, part, "")?).map_err(unwritable)
}

/// The part of such a line; `None`: it is damaged.
pub(super) fn part_of_line(text: &str) -> Result<Option<Part>> {
    match serde_json::from_str::<Line>(text) {
        Ok(line) if line.sum("") == line.check => part(&line),
        _ => Ok(None),
    }
}

/// The part of a line; `None` for one that no verification wrote.
fn part(line: &Line) -> Result<Option<Part>> {
    let up_to = match &line.up_to {
        None => None,
        Some(text) => match unhex(text).and_then(|bytes| canonical::decode(&bytes).ok()) {
            Some(key) => Some(Key(key)),
            None => return Ok(None),
        },
    };
    let Some(digests) = unhex(&line.digests) else {
        return Ok(None);
    };
    let (digests, rest) = digests.as_chunks::<32>();
    let mut suspects = SuspectWriter::new();
    for text in &line.suspects {
        match unhex(text).and_then(|bytes| Suspect::decode(&bytes).ok()) {
            Some(suspect) => suspects.push(&suspect)?,
            None => return Ok(None),
        }
    }
    Ok(rest.is_empty().then_some(Part {
        up_to,
        rows: line.rows,
        suspects: suspects.finish()?,
        tolerated: line.tolerated,
        digests: digests.to_vec(),
        read_us: line.read_us,
        held: Duration::from_micros(line.held_us),
    }))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
