//! Rows that were found different, until it is settled whether they are.
//!
//! They are kept in a file, so that a comparison of two unrelated tables needs no more memory than
//! one of equal ones.

use std::cmp::Ordering;

use crate::data::order::compare_keys;
use crate::data::{Key, Row, canonical};
use crate::error::{Error, ErrorKind, Result};

use super::order;
use super::record::{RecordWriter, Records};

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The source has it, the target does not.
    MissingOnTarget,
    /// The target has it, the source does not.
    ExtraOnTarget,
    /// Both have it, with other content.
    Differs,
}

impl DifferenceKind {
    /// The name in output: `missing_on_target`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingOnTarget => "missing_on_target",
            Self::ExtraOnTarget => "extra_on_target",
            Self::Differs => "differs",
        }
    }
}

/// A row that differs. At least one side has it. Rows have the target's mapped columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Suspect {
    /// What the source's row is in the target.
    pub(super) source: Option<Row>,
    /// The target's row.
    pub(super) target: Option<Row>,
    /// The key that comes next before it on either side; `None` at the front. Reading the keys
    /// after it up to this row's own finds the row again, whatever the type of the key.
    pub(super) before: Option<Key>,
    /// How many rows come before it, on the side that has more.
    pub(super) ordinal: u64,
}

impl Suspect {
    pub(super) fn kind(&self) -> DifferenceKind {
        match (&self.source, &self.target) {
            (Some(_), None) => DifferenceKind::MissingOnTarget,
            (None, _) => DifferenceKind::ExtraOnTarget,
            (Some(_), Some(_)) => DifferenceKind::Differs,
        }
    }

    /// The row itself, the source's if both sides have one.
    pub(super) fn row(&self) -> &[crate::data::Value] {
        self.source
            .as_deref()
            .or(self.target.as_deref())
            .unwrap_or(&[])
    }

    /// Whether the same rows differ in the same way.
    pub(super) fn same(&self, other: &Self) -> bool {
        fn same_row(a: Option<&Row>, b: Option<&Row>) -> bool {
            match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => order::differing_columns(a, b).is_empty(),
                _ => false,
            }
        }
        same_row(self.source.as_ref(), other.source.as_ref())
            && same_row(self.target.as_ref(), other.target.as_ref())
    }

    /// The order in which suspects are found: by key, then by content.
    pub(super) fn compare(&self, other: &Self, key: &[usize]) -> Ordering {
        let (a, b) = (self.row(), other.row());
        compare_keys(&Key::of(a, key).0, &Key::of(b, key).0)
            .then_with(|| canonical::encode(a).cmp(&canonical::encode(b)))
            .then_with(|| self.kind().cmp(&other.kind()))
    }

    /// Its bytes, in a form that [`Self::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        for part in [
            self.source.as_deref(),
            self.target.as_deref(),
            self.before.as_ref().map(|k| k.0.as_slice()),
        ] {
            match part {
                None => out.extend_from_slice(&u32::MAX.to_le_bytes()),
                Some(cells) => {
                    let bytes = canonical::encode_exact(cells);
                    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
                    out.extend_from_slice(&length.to_le_bytes());
                    out.extend_from_slice(&bytes);
                }
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::new(ErrorKind::Internal, "a record of differences is damaged");
        let (ordinal, mut rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let mut part = || -> Result<Option<Row>> {
            let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
            let length = u32::from_le_bytes(*length);
            if length == u32::MAX {
                rest = tail;
                return Ok(None);
            }
            let (cells, tail) = tail.split_at_checked(length as usize).ok_or_else(damaged)?;
            rest = tail;
            canonical::decode(cells).map(Some)
        };
        Ok(Self {
            source: part()?,
            target: part()?,
            before: part()?.map(Key),
            ordinal: u64::from_le_bytes(*ordinal),
        })
    }
}

/// Takes suspects as they are found.
#[derive(Debug)]
pub(super) struct SuspectWriter {
    writer: RecordWriter,
    buffer: Vec<u8>,
}

impl SuspectWriter {
    pub(super) fn new() -> Self {
        Self {
            writer: RecordWriter::new(),
            buffer: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, suspect: &Suspect) -> Result<()> {
        suspect.encode(&mut self.buffer);
        self.writer.push(&self.buffer)
    }

    pub(super) fn finish(self) -> Result<Suspects> {
        Ok(Suspects {
            records: self.writer.finish()?,
        })
    }
}

/// Suspects in the order in which they were found.
#[derive(Debug)]
pub(super) struct Suspects {
    records: Records,
}

impl Suspects {
    pub(super) fn len(&self) -> u64 {
        self.records.len()
    }

    pub(super) fn rewind(&mut self) -> Result<()> {
        self.records.rewind()
    }

    pub(super) fn next(&mut self) -> Result<Option<Suspect>> {
        if self.records.advance()? {
            Suspect::decode(self.records.current()).map(Some)
        } else {
            Ok(None)
        }
    }
}
