//! Rows into columns, on the way to the guest.

use crate::data::{Value, canonical};

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

    fn get(&self, row: usize) -> &str {
        &self.data[range(&self.ends, row)]
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

    fn get(&self, row: usize) -> &[u8] {
        &self.data[range(&self.ends, row)]
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

fn range(ends: &[u32], row: usize) -> std::ops::Range<usize> {
    let start = if row == 0 { 0 } else { ends[row - 1] };
    start as usize..ends[row] as usize
}

impl ColumnBuffer {
    fn new() -> Self {
        Self {
            nulls: Vec::new(),
            cells: Buffer::Nothing,
        }
    }

    /// Appends the cell of row `row` of `rows`. The kind of the column is that of its first
    /// value; a value of another kind makes it a column of mixed kinds.
    #[inline]
    fn push(&mut self, row: usize, rows: usize, value: &Value) {
        match (&mut self.cells, value) {
            (Buffer::Int64(out), Value::Int(v)) => out.push(*v),
            (Buffer::Text(out), Value::Text(v)) => out.push(v),
            (Buffer::Float64(out), Value::Float(v)) => out.push(*v),
            (_, Value::Null) => self.push_null(row, rows),
            _ => self.push_rare(row, rows, value),
        }
    }

    fn push_rare(&mut self, row: usize, rows: usize, value: &Value) {
        match (&mut self.cells, value) {
            (Buffer::Boolean(out), Value::Bool(v)) => out.push(u8::from(*v)),
            (Buffer::Uint64(out), Value::UInt(v)) => out.push(*v),
            (Buffer::Decimal(out), Value::Decimal(v)) => out.push(v.as_str()),
            (Buffer::Bytes(out), Value::Bytes(v)) => out.push(v),
            (Buffer::Date(out), Value::Date(v)) => out.push(*v),
            (Buffer::Time(out), Value::Time(v))
            | (Buffer::Timestamp(out), Value::Timestamp(v))
            | (Buffer::TimestampUtc(out), Value::TimestampUtc(v)) => out.push(*v),
            (Buffer::Uuid(out), Value::Uuid(v)) => out.extend_from_slice(v),
            (Buffer::Json(out), Value::Json(v)) => out.push(v),
            (Buffer::Other(out), value) => {
                out.push(&canonical::encode_exact(std::slice::from_ref(value)));
            }
            (Buffer::Nothing, value) => {
                self.start(row, rows, value);
                self.push(row, rows, value);
            }
            (_, value) => {
                self.mix(row, rows);
                self.push_rare(row, rows, value);
            }
        }
    }

    #[cold]
    fn push_null(&mut self, row: usize, rows: usize) {
        match &mut self.cells {
            // Without any value, flags say nothing new.
            Buffer::Nothing => return,
            Buffer::Boolean(out) => out.push(0),
            Buffer::Int64(out)
            | Buffer::Time(out)
            | Buffer::Timestamp(out)
            | Buffer::TimestampUtc(out) => out.push(0),
            Buffer::Uint64(out) => out.push(0),
            Buffer::Float64(out) => out.push(0.0),
            Buffer::Date(out) => out.push(0),
            Buffer::Uuid(out) => out.extend_from_slice(&[0; 16]),
            Buffer::Decimal(out) | Buffer::Text(out) | Buffer::Json(out) => out.push(""),
            Buffer::Bytes(out) | Buffer::Other(out) => out.push(&[]),
        }
        if self.nulls.is_empty() {
            self.nulls.resize(rows, 0);
        }
        self.nulls[row] = 1;
    }

    /// Chooses the kind; the rows so far are NULL.
    #[cold]
    fn start(&mut self, row: usize, rows: usize, first: &Value) {
        self.cells = match first {
            Value::Bool(_) => Buffer::Boolean(Vec::with_capacity(rows)),
            Value::Int(_) => Buffer::Int64(Vec::with_capacity(rows)),
            Value::UInt(_) => Buffer::Uint64(Vec::with_capacity(rows)),
            Value::Float(_) => Buffer::Float64(Vec::with_capacity(rows)),
            Value::Decimal(v) => Buffer::Decimal(Strings::new(rows, v.as_str())),
            Value::Text(v) => Buffer::Text(Strings::new(rows, v)),
            Value::Json(v) => Buffer::Json(Strings::new(rows, v)),
            Value::Bytes(v) => Buffer::Bytes(Blobs::new(rows, v)),
            Value::Date(_) => Buffer::Date(Vec::with_capacity(rows)),
            Value::Time(_) => Buffer::Time(Vec::with_capacity(rows)),
            Value::Timestamp(_) => Buffer::Timestamp(Vec::with_capacity(rows)),
            Value::TimestampUtc(_) => Buffer::TimestampUtc(Vec::with_capacity(rows)),
            Value::Uuid(_) => Buffer::Uuid(Vec::with_capacity(rows * 16)),
            Value::Null | Value::Array(_) | Value::Other(_) => Buffer::Other(Blobs::new(rows, &[])),
        };
        for earlier in 0..row {
            self.push_null(earlier, rows);
        }
    }

    /// Writes the rows so far in their canonical form, as the rest will be.
    #[cold]
    fn mix(&mut self, row: usize, rows: usize) {
        let mut out = Blobs::new(rows, &[0; 16]);
        for earlier in 0..row {
            if self.nulls.get(earlier) == Some(&1) {
                out.push(&[]);
            } else {
                out.push(&canonical::encode_exact(&[self.value(earlier)]));
            }
        }
        self.cells = Buffer::Other(out);
    }

    /// A cell that is not NULL, in a column of one kind.
    fn value(&self, row: usize) -> Value {
        match &self.cells {
            Buffer::Nothing | Buffer::Other(_) => Value::Null,
            Buffer::Boolean(v) => Value::Bool(v[row] == 1),
            Buffer::Int64(v) => Value::Int(v[row]),
            Buffer::Uint64(v) => Value::UInt(v[row]),
            Buffer::Float64(v) => Value::Float(v[row]),
            Buffer::Decimal(v) => v.get(row).parse().map_or(Value::Null, Value::Decimal),
            Buffer::Text(v) => Value::Text(v.get(row).to_owned()),
            Buffer::Json(v) => Value::Json(v.get(row).to_owned()),
            Buffer::Bytes(v) => Value::Bytes(v.get(row).to_vec()),
            Buffer::Date(v) => Value::Date(v[row]),
            Buffer::Time(v) => Value::Time(v[row]),
            Buffer::Timestamp(v) => Value::Timestamp(v[row]),
            Buffer::TimestampUtc(v) => Value::TimestampUtc(v[row]),
            Buffer::Uuid(v) => Value::Uuid(v.as_chunks::<16>().0[row]),
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
        let mut columns: Vec<ColumnBuffer> = (0..width).map(|_| ColumnBuffer::new()).collect();
        // Row by row: each row is fetched from memory once.
        for i in 0..count {
            let cells = row(i).unwrap_or_default();
            for (column, value) in columns.iter_mut().zip(cells) {
                column.push(i, count, value);
            }
            for column in columns.iter_mut().skip(cells.len()) {
                column.push_null(i, count);
            }
        }
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
