//! Rows into columns, on the way to the guest.

use crate::data::{Value, canonical};

use super::wire::{Binary, Cells, Column, Rows, Utf8};

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

#[derive(Debug, Default)]
struct Strings {
    ends: Vec<u32>,
    data: String,
}

#[derive(Debug, Default)]
struct Blobs {
    ends: Vec<u32>,
    data: Vec<u8>,
}

/// The end of a row's data. A batch that large is refused before it is lent out: see
/// [`ColumnBuffer::bytes`].
fn end(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Strings {
    fn with(rows: usize, bytes: usize) -> Self {
        Self {
            ends: Vec::with_capacity(rows),
            data: String::with_capacity(bytes),
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
    fn with_rows(rows: usize) -> Self {
        Self {
            ends: Vec::with_capacity(rows),
            data: Vec::with_capacity(rows * 12),
        }
    }

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

/// The bytes of all texts of a column: reserving them once is cheaper than growing.
fn bytes<'v>(rows: usize, cell: &impl Fn(usize) -> Option<&'v Value>) -> usize {
    (0..rows)
        .filter_map(cell)
        .map(|value| match value {
            Value::Text(v) | Value::Json(v) => v.len(),
            Value::Decimal(v) => v.as_str().len(),
            _ => 0,
        })
        .sum()
}

/// Marks a row as NULL; the flags are only made when there is one.
#[cold]
fn mark(nulls: &mut Vec<u8>, rows: usize, row: usize) {
    if nulls.is_empty() {
        nulls.resize(rows, 0);
    }
    nulls[row] = 1;
}

/// Fills a column of one kind. Gives up at the first value of another kind.
macro_rules! fill {
    ($rows:expr, $cell:expr, $buffer:ident, $value:ident => $case:pat, $new:expr, $column:ident, $push:expr, $empty:expr) => {{
        let mut $column = $new;
        let mut nulls = Vec::new();
        for row in 0..$rows {
            match $cell(row) {
                Some($case) => $push,
                None | Some(Value::Null) => {
                    mark(&mut nulls, $rows, row);
                    $empty;
                }
                Some(_) => return Self::mixed($rows, &$cell),
            }
        }
        Self {
            nulls,
            cells: Buffer::$buffer($column),
        }
    }};
}

impl ColumnBuffer {
    /// A column from its cells; `None` is NULL, too.
    pub(crate) fn new<'v>(rows: usize, cell: impl Fn(usize) -> Option<&'v Value>) -> Self {
        let first = (0..rows).find_map(|row| cell(row).filter(|v| !v.is_null()));
        macro_rules! plain {
            ($buffer:ident, $case:pat, $v:expr, $empty:expr) => {
                fill!(rows, cell, $buffer, v => $case, Vec::with_capacity(rows), out,
                      out.push($v), out.push($empty))
            };
        }
        macro_rules! strings {
            ($buffer:ident, $case:pat, $v:expr) => {
                fill!(rows, cell, $buffer, v => $case, Strings::with(rows, bytes(rows, &cell)), out,
                      out.push($v), out.push(""))
            };
        }
        match first {
            None => Self {
                nulls: Vec::new(),
                cells: Buffer::Nothing,
            },
            Some(Value::Int(_)) => plain!(Int64, Value::Int(v), *v, 0),
            Some(Value::Text(_)) => strings!(Text, Value::Text(v), v),
            Some(Value::Float(_)) => plain!(Float64, Value::Float(v), *v, 0.0),
            Some(Value::Bool(_)) => plain!(Boolean, Value::Bool(v), u8::from(*v), 0),
            Some(Value::UInt(_)) => plain!(Uint64, Value::UInt(v), *v, 0),
            Some(Value::Decimal(_)) => strings!(Decimal, Value::Decimal(v), v.as_str()),
            Some(Value::Bytes(_)) => {
                fill!(rows, cell, Bytes, v => Value::Bytes(v), Blobs::with_rows(rows), out,
                      out.push(v), out.push(&[]))
            }
            Some(Value::Date(_)) => plain!(Date, Value::Date(v), *v, 0),
            Some(Value::Time(_)) => plain!(Time, Value::Time(v), *v, 0),
            Some(Value::Timestamp(_)) => plain!(Timestamp, Value::Timestamp(v), *v, 0),
            Some(Value::TimestampUtc(_)) => plain!(TimestampUtc, Value::TimestampUtc(v), *v, 0),
            Some(Value::Uuid(_)) => {
                fill!(rows, cell, Uuid, v => Value::Uuid(v), Vec::with_capacity(rows * 16), out,
                      out.extend_from_slice(v), out.extend_from_slice(&[0; 16]))
            }
            Some(Value::Json(_)) => strings!(Json, Value::Json(v), v),
            Some(Value::Null | Value::Array(_) | Value::Other(_)) => Self::mixed(rows, &cell),
        }
    }

    /// Each cell in its canonical form: kinds are mixed, or have no case of their own.
    fn mixed<'v>(rows: usize, cell: &impl Fn(usize) -> Option<&'v Value>) -> Self {
        let mut out = Blobs::with_rows(rows);
        let mut nulls = Vec::new();
        for row in 0..rows {
            match cell(row) {
                None | Some(Value::Null) => {
                    mark(&mut nulls, rows, row);
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
    pub(crate) fn wire(&self) -> Column<'_> {
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
    pub(crate) fn bytes(&self) -> usize {
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
        Self {
            count,
            columns: (0..width)
                .map(|c| ColumnBuffer::new(count, |i| row(i).and_then(|cells| cells.get(c))))
                .collect(),
        }
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
