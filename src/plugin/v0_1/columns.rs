//! Rows into columns, on the way to the guest.

use crate::data::{Decimal, Value, canonical};

use super::wire::{Binary, Cells, Column, Rows, Utf8};

/// Bytes reserved ahead for a column of texts; more are taken as they come.
const RESERVE_MAX: usize = 1 << 20;

/// One column of a batch, owned; [`ColumnBuffer::wire`] lends it to a call.
#[derive(Debug)]
pub(crate) struct ColumnBuffer {
    nulls: Vec<u8>,
    cells: Buffer,
}

/// As [`Cells`], owned.
#[derive(Debug)]
enum Buffer {
    Nothing,
    Boolean(Vec<u8>),
    Int64(Vec<i64>),
    Uint64(Vec<u64>),
    Float64(Vec<f64>),
    Decimal(Strings),
    Text(Strings),
    Bytes(Blobs),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp(Vec<i64>),
    TimestampUtc(Vec<i64>),
    Uuid(Vec<u8>),
    Json(Strings),
    Other(Blobs),
}

#[derive(Debug)]
struct Strings {
    ends: Vec<u32>,
    data: String,
}

#[derive(Debug)]
struct Blobs {
    ends: Vec<u32>,
    data: Vec<u8>,
}

/// The end of a row's data. A batch that large is refused before it is lent out: see
/// [`RowsBuffer::bytes`].
fn end(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Strings {
    fn new(rows: usize, first: &str) -> Self {
        Self {
            ends: Vec::with_capacity(rows),
            data: String::with_capacity(rows.saturating_mul(first.len() + 4).min(RESERVE_MAX)),
        }
    }

    #[inline]
    fn push(&mut self, text: &str) {
        self.data.push_str(text);
        self.ends.push(end(self.data.len()));
    }

    fn wire(&self) -> Utf8<'_> {
        Utf8 {
            ends: &self.ends,
            data: &self.data,
        }
    }

    fn bytes(&self) -> usize {
        self.data.len() + self.ends.len() * 4
    }
}

impl Blobs {
    fn new(rows: usize, first: &[u8]) -> Self {
        Self {
            ends: Vec::with_capacity(rows),
            data: Vec::with_capacity(rows.saturating_mul(first.len() + 4).min(RESERVE_MAX)),
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        self.ends.push(end(self.data.len()));
    }

    fn wire(&self) -> Binary<'_> {
        Binary {
            ends: &self.ends,
            data: &self.data,
        }
    }

    fn bytes(&self) -> usize {
        self.data.len() + self.ends.len() * 4
    }
}

/// The flags of rows that are NULL; made when there is one.
fn mark(nulls: &mut Vec<u8>, rows: usize, row: usize) {
    if nulls.is_empty() {
        nulls.resize(rows, 0);
    }
    nulls[row] = 1;
}

impl ColumnBuffer {
    /// Column `index` of the rows: of the kind of its first value, or of mixed kinds. A row that
    /// is not there has no cells.
    fn new(rows: &[&[Value]], index: usize) -> Self {
        let cells = rows
            .iter()
            .map(|row| row.get(index).unwrap_or(&Value::Null));
        let mut nulls = Vec::new();
        // One loop for each kind: a cell costs a comparison of its tag and a store.
        macro_rules! cells {
            ($case:ident, $kind:ident, $out:expr, $push:expr, $empty:expr) => {{
                let mut out = $out;
                for (row, cell) in cells.enumerate() {
                    match cell {
                        Value::$kind(v) => $push(&mut out, v),
                        Value::Null => {
                            mark(&mut nulls, rows.len(), row);
                            $empty(&mut out);
                        }
                        _ => return Self::mixed(rows, index),
                    }
                }
                Buffer::$case(out)
            }};
        }
        macro_rules! plain {
            ($case:ident, $kind:ident, $empty:expr) => {
                cells!(
                    $case,
                    $kind,
                    Vec::with_capacity(rows.len()),
                    |out: &mut Vec<_>, v: &_| out.push(*v),
                    |out: &mut Vec<_>| out.push($empty)
                )
            };
        }
        macro_rules! long {
            ($case:ident, $kind:ident, $first:expr, $part:ident, $empty:expr) => {
                cells!(
                    $case,
                    $kind,
                    $part::new(rows.len(), $first),
                    |out: &mut $part, v| out.push(v),
                    |out: &mut $part| out.push($empty)
                )
            };
        }
        let cells = match cells.clone().find(|cell| !cell.is_null()) {
            // Without any value, flags say nothing new.
            None | Some(Value::Null) => Buffer::Nothing,
            Some(Value::Bool(_)) => cells!(
                Boolean,
                Bool,
                Vec::with_capacity(rows.len()),
                |out: &mut Vec<u8>, v: &bool| out.push(u8::from(*v)),
                |out: &mut Vec<u8>| out.push(0)
            ),
            Some(Value::Int(_)) => plain!(Int64, Int, 0),
            Some(Value::UInt(_)) => plain!(Uint64, UInt, 0),
            Some(Value::Float(_)) => plain!(Float64, Float, 0.0),
            Some(Value::Date(_)) => plain!(Date, Date, 0),
            Some(Value::Time(_)) => plain!(Time, Time, 0),
            Some(Value::Timestamp(_)) => plain!(Timestamp, Timestamp, 0),
            Some(Value::TimestampUtc(_)) => plain!(TimestampUtc, TimestampUtc, 0),
            Some(Value::Text(first)) => long!(Text, Text, first, Strings, ""),
            Some(Value::Json(first)) => long!(Json, Json, first, Strings, ""),
            Some(Value::Bytes(first)) => long!(Bytes, Bytes, first, Blobs, &[]),
            Some(Value::Decimal(first)) => cells!(
                Decimal,
                Decimal,
                Strings::new(rows.len(), first.as_str()),
                |out: &mut Strings, v: &Decimal| out.push(v.as_str()),
                |out: &mut Strings| out.push("")
            ),
            Some(Value::Uuid(_)) => cells!(
                Uuid,
                Uuid,
                Vec::with_capacity(rows.len() * 16),
                |out: &mut Vec<u8>, v: &[u8; 16]| out.extend_from_slice(v),
                |out: &mut Vec<u8>| out.extend_from_slice(&[0; 16])
            ),
            Some(Value::Array(_) | Value::Other(_)) => return Self::mixed(rows, index),
        };
        Self { nulls, cells }
    }

    /// A column of mixed kinds: each value in its canonical form.
    #[cold]
    fn mixed(rows: &[&[Value]], index: usize) -> Self {
        let mut nulls = Vec::new();
        let mut out = Blobs::new(rows.len(), &[0; 16]);
        for (row, cells) in rows.iter().enumerate() {
            match cells.get(index) {
                None | Some(Value::Null) => {
                    mark(&mut nulls, rows.len(), row);
                    out.push(&[]);
                }
                Some(value) => out.push(&canonical::encode_exact(std::slice::from_ref(value))),
            }
        }
        Self {
            nulls,
            cells: Buffer::Other(out),
        }
    }

    /// Lends the column to a call.
    fn wire(&self) -> Column<'_> {
        Column {
            nulls: &self.nulls,
            cells: match &self.cells {
                Buffer::Nothing => Cells::Nothing,
                Buffer::Boolean(v) => Cells::Boolean(v),
                Buffer::Int64(v) => Cells::Int64(v),
                Buffer::Uint64(v) => Cells::Uint64(v),
                Buffer::Float64(v) => Cells::Float64(v),
                Buffer::Decimal(v) => Cells::Decimal(v.wire()),
                Buffer::Text(v) => Cells::Text(v.wire()),
                Buffer::Bytes(v) => Cells::Bytes(v.wire()),
                Buffer::Date(v) => Cells::Date(v),
                Buffer::Time(v) => Cells::Time(v),
                Buffer::Timestamp(v) => Cells::Timestamp(v),
                Buffer::TimestampUtc(v) => Cells::TimestampUtc(v),
                Buffer::Uuid(v) => Cells::Uuid(v),
                Buffer::Json(v) => Cells::Json(v.wire()),
                Buffer::Other(v) => Cells::Other(v.wire()),
            },
        }
    }

    /// The bytes that it takes in the guest's memory.
    fn bytes(&self) -> usize {
        self.nulls.len()
            + match &self.cells {
                Buffer::Nothing => 0,
                Buffer::Boolean(v) | Buffer::Uuid(v) => v.len(),
                Buffer::Date(v) => v.len() * 4,
                Buffer::Int64(v)
                | Buffer::Time(v)
                | Buffer::Timestamp(v)
                | Buffer::TimestampUtc(v) => v.len() * 8,
                Buffer::Uint64(v) => v.len() * 8,
                Buffer::Float64(v) => v.len() * 8,
                Buffer::Decimal(v) | Buffer::Text(v) | Buffer::Json(v) => v.bytes(),
                Buffer::Bytes(v) | Buffer::Other(v) => v.bytes(),
            }
    }
}

/// The columns of some rows.
#[derive(Debug)]
pub(crate) struct RowsBuffer {
    count: usize,
    columns: Vec<ColumnBuffer>,
}

impl RowsBuffer {
    /// `width` columns of `count` rows; `row` gives the cells of a row, or `None` where there is
    /// no row.
    pub(crate) fn new<'v>(
        count: usize,
        width: usize,
        row: impl Fn(usize) -> Option<&'v [Value]>,
    ) -> Self {
        let rows: Vec<&[Value]> = (0..count).map(|i| row(i).unwrap_or_default()).collect();
        let columns = (0..width).map(|c| ColumnBuffer::new(&rows, c)).collect();
        Self { count, columns }
    }

    /// The bytes that they take in the guest's memory.
    pub(crate) fn bytes(&self) -> usize {
        self.columns.iter().map(ColumnBuffer::bytes).sum()
    }

    /// What a call is lent, part one: the columns.
    pub(crate) fn columns(&self) -> Vec<Column<'_>> {
        self.columns.iter().map(ColumnBuffer::wire).collect()
    }

    /// Part two: the record that points at them.
    pub(crate) fn wire<'a>(&self, columns: &'a [Column<'a>]) -> Rows<'a> {
        Rows {
            count: end(self.count),
            columns,
        }
    }
}

/// Flags of a batch, empty when all are set: see `wit/0.1.0/types.wit`.
pub(crate) fn flags(rows: usize, set: impl Fn(usize) -> bool) -> Vec<u8> {
    if (0..rows).all(&set) {
        Vec::new()
    } else {
        (0..rows).map(|row| u8::from(set(row))).collect()
    }
}
