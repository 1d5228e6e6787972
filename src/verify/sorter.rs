//! Sorts any number of rows in a fixed amount of memory.
//!
//! Rows are gathered until the budget is full, sorted, and written as a run; the runs are merged
//! when read. Needed where a store cannot deliver the order that a comparison needs: tables without
//! a key, and transforms that change the key's order.

use std::cmp::Ordering;

use crate::data::order::{compare_keys, prefix};
use crate::data::{Row, Value, canonical};
use crate::error::Result;

use super::record::{RecordWriter, Records};

/// Memory for the rows that wait to be sorted.
const BUDGET_BYTES: usize = 16 * 1024 * 1024;
/// Runs of a level that are merged at a time; each holds a read buffer.
const FAN_IN: usize = 64;

/// Gathers rows.
#[derive(Debug)]
pub(super) struct Sorter {
    budget: usize,
    rows: Buffer,
    /// Runs by how often their rows were merged: each level's are about [`FAN_IN`] times as long as those of
    /// the one before, so that every row is written once a level.
    levels: Vec<Vec<Records>>,
}

/// Records are `key length: u32le, key: canonical bytes, row: exact canonical bytes`.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    index: Vec<Entry>,
    sorted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    prefix: u64,
    start: usize,
    end: usize,
}

/// Hands the rows out in order.
#[derive(Debug)]
pub(super) struct Sorted {
    memory: Buffer,
    at: usize,
    runs: Vec<Run>,
    /// A heap of run numbers, the smallest record first; `runs.len()` stands for the memory.
    heap: Vec<usize>,
    started: bool,
}

#[derive(Debug)]
struct Run {
    records: Records,
    prefix: u64,
}

impl Sorter {
    pub(super) fn new() -> Self {
        Self::with_budget(BUDGET_BYTES)
    }

    /// A sorter that keeps about `budget` bytes in memory.
    pub(super) fn with_budget(budget: usize) -> Self {
        Self {
            budget,
            rows: Buffer::default(),
            levels: Vec::new(),
        }
    }

    /// Adds a row whose place is given by `key` (see [`crate::data::order`]), equal keys by the row's bytes.
    /// With an empty key the order is that of the bytes alone.
    pub(super) fn push(&mut self, key: &[Value], row: &[Value]) -> Result<()> {
        let start = self.rows.bytes.len();
        self.rows.bytes.extend_from_slice(&[0; 4]);
        for cell in key {
            canonical::encode_value(&mut self.rows.bytes, cell);
        }
        let key_bytes = u32::try_from(self.rows.bytes.len() - start - 4).unwrap_or(u32::MAX);
        self.rows.bytes[start..start + 4].copy_from_slice(&key_bytes.to_le_bytes());
        self.rows
            .bytes
            .extend_from_slice(&canonical::encode_exact(row));
        self.added(start, key.first().map_or(0, |cell| prefix(cell.into())))
    }

    /// Adds a row as its canonical bytes, whose order is then the order.
    pub(super) fn push_encoded(&mut self, row: &[u8]) -> Result<()> {
        let start = self.rows.bytes.len();
        self.rows.bytes.extend_from_slice(&[0; 4]);
        self.rows.bytes.extend_from_slice(row);
        self.added(start, 0)
    }

    fn added(&mut self, start: usize, prefix: u64) -> Result<()> {
        self.rows.index.push(Entry {
            prefix,
            start,
            end: self.rows.bytes.len(),
        });
        if self.rows.bytes.len() + self.rows.index.len() * size_of::<Entry>() >= self.budget {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        self.rows.sort();
        let mut run = RecordWriter::new();
        for entry in &self.rows.index {
            run.push(&self.rows.bytes[entry.start..entry.end])?;
        }
        self.rows.bytes.clear();
        self.rows.index.clear();
        self.keep(run.finish()?)
    }

    /// Keeps a run; a level that is full becomes one run of the next, so that their number stays bounded.
    fn keep(&mut self, mut run: Records) -> Result<()> {
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(run);
            if self.levels[level].len() < FAN_IN {
                break;
            }
            let full = std::mem::take(&mut self.levels[level]);
            let mut sorted = Sorted::new(Buffer::default(), full);
            let mut merged = RecordWriter::new();
            while let Some(record) = sorted.next_record()? {
                merged.push(record)?;
            }
            run = merged.finish()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Sorted {
        self.rows.sort();
        Sorted::new(self.rows, self.levels.into_iter().flatten().collect())
    }
}

impl Buffer {
    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.index.sort_unstable_by(|a, b| {
            a.prefix
                .cmp(&b.prefix)
                .then_with(|| compare_records(&bytes[a.start..a.end], &bytes[b.start..b.end]))
        });
        self.sorted = true;
    }
}

fn split(record: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = record.split_first_chunk::<4>() else {
        return (&[], record);
    };
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        .unwrap_or((&[], rest))
}

fn compare_records(a: &[u8], b: &[u8]) -> Ordering {
    let ((key_a, row_a), (key_b, row_b)) = (split(a), split(b));
    if key_a == key_b {
        return row_a.cmp(row_b);
    }
    compare_encoded(key_a, key_b).then_with(|| row_a.cmp(row_b))
}

/// Compares canonical keys cell by cell; text and bytes, whose ties are frequent, in place.
fn compare_encoded(mut a: &[u8], mut b: &[u8]) -> Ordering {
    const TEXT: u8 = 0x06;
    const BYTES: u8 = 0x07;
    loop {
        let (Some((cell_a, rest_a)), Some((cell_b, rest_b))) = (first_cell(a), first_cell(b))
        else {
            return a.len().cmp(&b.len());
        };
        let order = if cell_a == cell_b {
            Ordering::Equal
        } else if cell_a[0] == cell_b[0] && matches!(cell_a[0], TEXT | BYTES) {
            cell_a[HEADER..].cmp(&cell_b[HEADER..])
        } else {
            match (canonical::decode(cell_a), canonical::decode(cell_b)) {
                (Ok(a), Ok(b)) => compare_keys(&a, &b),
                // Cannot be: this module wrote them. The bytes still give some fixed order.
                _ => cell_a.cmp(cell_b),
            }
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// Tag and length of a canonical value.
const HEADER: usize = 5;

fn first_cell(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = bytes.get(1..HEADER)?.first_chunk::<4>()?;
    bytes.split_at_checked(HEADER + u32::from_le_bytes(*length) as usize)
}

fn prefix_of(record: &[u8]) -> u64 {
    let (key, _) = split(record);
    if key.is_empty() {
        return 0;
    }
    first_cell(key)
        .and_then(|(cell, _)| canonical::decode(cell).ok())
        .and_then(|cells| cells.first().map(|cell| prefix(cell.into())))
        .unwrap_or(0)
}

impl Sorted {
    fn new(memory: Buffer, runs: Vec<Records>) -> Self {
        Self {
            memory,
            at: 0,
            runs: runs
                .into_iter()
                .map(|records| Run { records, prefix: 0 })
                .collect(),
            heap: Vec::new(),
            started: false,
        }
    }

    /// The next row, or `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>> {
        match self.next_record()? {
            None => Ok(None),
            Some(record) => canonical::decode(split(record).1).map(Some),
        }
    }

    /// The next row's bytes, for comparing without decoding.
    pub(super) fn next_bytes(&mut self) -> Result<Option<&[u8]>> {
        Ok(self.next_record()?.map(|record| split(record).1))
    }

    fn next_record(&mut self) -> Result<Option<&[u8]>> {
        if self.started {
            // The source that was handed out last is the heap's top: move it on.
            if let Some(&top) = self.heap.first() {
                if !self.advance(top)? {
                    self.heap.swap_remove(0);
                }
                self.sift_down();
            }
        } else {
            self.started = true;
            for source in 0..self.runs.len() {
                if self.advance(source)? {
                    self.heap.push(source);
                }
            }
            if !self.memory.index.is_empty() {
                self.heap.push(self.runs.len());
            }
            let mut heap = std::mem::take(&mut self.heap);
            heap.sort_by(|&a, &b| self.compare(a, b));
            self.heap = heap;
        }
        Ok(self.heap.first().map(|&top| self.record(top).1))
    }

    fn advance(&mut self, source: usize) -> Result<bool> {
        if let Some(run) = self.runs.get_mut(source) {
            let more = run.records.advance()?;
            if more {
                run.prefix = prefix_of(run.records.current());
            }
            return Ok(more);
        }
        self.at += 1;
        Ok(self.at < self.memory.index.len())
    }

    fn record(&self, source: usize) -> (u64, &[u8]) {
        if let Some(run) = self.runs.get(source) {
            return (run.prefix, run.records.current());
        }
        let entry = self.memory.index[self.at];
        (entry.prefix, &self.memory.bytes[entry.start..entry.end])
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let ((prefix_a, a), (prefix_b, b)) = (self.record(a), self.record(b));
        prefix_a.cmp(&prefix_b).then_with(|| compare_records(a, b))
    }

    fn sift_down(&mut self) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut least = at;
            for child in [left, right] {
                if child < self.heap.len()
                    && self.compare(self.heap[child], self.heap[least]) == Ordering::Less
                {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sorter;
    use crate::data::order::compare_keys;
    use crate::data::{Row, Value, canonical};

    fn sorted(rows: &[Row], key: usize, budget: usize) -> Vec<Row> {
        let mut sorter = Sorter::with_budget(budget);
        for row in rows {
            sorter.push(&row[..key], row).unwrap();
        }
        let mut sorted = sorter.finish();
        let mut out = Vec::new();
        while let Some(row) = sorted.next_row().unwrap() {
            out.push(row);
        }
        out
    }

    fn cell() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            (-2_i64..2).prop_map(Value::Int),
            (-2_i64..2).prop_map(|v| Value::Float(v as f64 / 2.0)),
            "[ab]{0,9}".prop_map(Value::Text),
            Just(Value::Bytes(vec![1])),
        ]
    }

    proptest! {
        #[test]
        fn rows_come_in_order_whatever_the_memory(
            rows in proptest::collection::vec(proptest::collection::vec(cell(), 3), 0..200),
            key in 0_usize..3,
            // From a run a row (which merges runs on the way) to no run at all.
            budget in prop_oneof![Just(1_usize), Just(300), Just(1 << 20)],
        ) {
            let mut expected = rows.clone();
            expected.sort_by(|a, b| {
                compare_keys(&a[..key], &b[..key])
                    .then_with(|| canonical::encode_exact(a).cmp(&canonical::encode_exact(b)))
            });
            prop_assert_eq!(sorted(&rows, key, budget), expected);
        }
    }
}
