//! Digests of rows: blake3 over canonical bytes, in segments cut by the keys themselves.
//!
//! A segment ends behind a row whose key hashes to a fixed pattern, so both sides cut in the same
//! places without talking to each other, and a missing row shifts nothing behind the next cut. The
//! digest of a table is that of its column names and its segments' digests: it does not depend on
//! the engine, on batches, or on what was compared with what.

use datafusion::arrow::record_batch::RecordBatch;

use crate::data::batch::ColumnView;
use crate::data::canonical::{self, ValueRef};
use crate::data::{Key, Value};

use super::order;

/// One key in so many ends a segment: about 64 KiB of rows of 128 bytes.
const KEYS_PER_SEGMENT: u64 = 512;
/// Canonical bytes are handed to blake3 in pieces of this size, where it is fastest.
const PIECE_BYTES: usize = 128 * 1024;

/// Some rows that follow each other.
#[derive(Debug)]
pub(super) struct Segment {
    /// blake3 of the rows' canonical bytes.
    pub(super) digest: [u8; 32],
    /// How many rows.
    pub(super) rows: u64,
    /// The key of the last one.
    pub(super) last: Key,
}

/// Cuts rows into segments and digests them.
#[derive(Debug)]
pub(super) struct Segmenter {
    key: Vec<usize>,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    rows: u64,
    last: Vec<Value>,
    cut_pending: bool,
    table: TableDigest,
}

/// The digest of a whole table.
#[derive(Debug)]
pub(super) struct TableDigest {
    hasher: blake3::Hasher,
    /// Segments so far.
    pub(super) segments: u64,
}

impl TableDigest {
    pub(super) fn new(columns: &[String]) -> Self {
        let mut names = Vec::new();
        for name in columns {
            canonical::encode_value(&mut names, ValueRef::Text(name));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&names);
        Self {
            hasher,
            segments: 0,
        }
    }

    pub(super) fn add(&mut self, segment: &[u8; 32]) {
        self.hasher.update(segment);
        self.segments += 1;
    }

    pub(super) fn hex(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl Segmenter {
    pub(super) fn new(key: &[usize], columns: &[String]) -> Self {
        Self {
            key: key.to_vec(),
            buffer: Vec::with_capacity(PIECE_BYTES + 4096),
            hasher: blake3::Hasher::new(),
            rows: 0,
            last: Vec::new(),
            cut_pending: false,
            table: TableDigest::new(columns),
        }
    }

    /// Takes the next rows in key order and hands out the segments that ended.
    pub(super) fn push(
        &mut self,
        batch: &RecordBatch,
        views: &[ColumnView<'_>],
        ended: &mut Vec<Segment>,
    ) {
        let rows = batch.num_rows();
        for row in 0..rows {
            if self.cut_pending {
                // Rows with one key stay together: their order says nothing.
                let same_key = if row == 0 {
                    order::compare_to_key(views, 0, &self.key, &self.last).is_eq()
                } else {
                    order::compare_row_keys(views, row - 1, views, row, &self.key).is_eq()
                };
                if !same_key {
                    if row > 0 {
                        self.last = key_of(views, row - 1, &self.key);
                    }
                    ended.push(self.cut());
                }
            }
            for view in views {
                view.encode(row, &mut self.buffer);
            }
            if self.buffer.len() >= PIECE_BYTES {
                self.hasher.update(&self.buffer);
                self.buffer.clear();
            }
            self.rows += 1;
            self.cut_pending = is_cut(views, row, &self.key);
        }
        if rows > 0 {
            self.last = key_of(views, rows - 1, &self.key);
        }
    }

    /// Ends the last segment.
    pub(super) fn finish(&mut self) -> Option<Segment> {
        (self.rows > 0).then(|| self.cut())
    }

    /// The digest of all segments that ended.
    pub(super) fn table(&self) -> &TableDigest {
        &self.table
    }

    fn cut(&mut self) -> Segment {
        self.hasher.update(&self.buffer);
        self.buffer.clear();
        let digest = *self.hasher.finalize().as_bytes();
        self.hasher.reset();
        self.table.add(&digest);
        self.cut_pending = false;
        Segment {
            digest,
            rows: std::mem::take(&mut self.rows),
            last: Key(self.last.clone()),
        }
    }
}

/// The key of a row.
pub(super) fn key_of(views: &[ColumnView<'_>], row: usize, key: &[usize]) -> Vec<Value> {
    key.iter().map(|&c| views[c].get(row).to_value()).collect()
}

/// Whether a segment ends behind this row.
pub(super) fn is_cut(views: &[ColumnView<'_>], row: usize, key: &[usize]) -> bool {
    key_hash(views, row, key).is_multiple_of(KEYS_PER_SEGMENT)
}

/// Decides only where segments end; a bad distribution costs time, never a difference.
fn key_hash(views: &[ColumnView<'_>], row: usize, key: &[usize]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 32;
    };
    for &column in key {
        match views[column].get(row) {
            ValueRef::Null => mix(0),
            ValueRef::Int(v) => mix(v.cast_unsigned()),
            ValueRef::Float(v) => mix(v.to_bits()),
            ValueRef::Text(v) => v.as_bytes().chunks(8).for_each(|c| mix(word(c))),
            ValueRef::Bytes(v) => v.chunks(8).for_each(|c| mix(word(c))),
            ValueRef::Value(v) => canonical::encode(std::slice::from_ref(v))
                .chunks(8)
                .for_each(|c| mix(word(c))),
        }
    }
    hash
}

fn word(chunk: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..chunk.len()].copy_from_slice(chunk);
    u64::from_le_bytes(bytes)
}
