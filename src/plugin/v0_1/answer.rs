//! Columns into rows, on the way back; everything that a guest could get wrong is checked here.

use std::fmt;

use crate::data::{Decimal, LogicalType, Row, Value, canonical};
use crate::rule::RuleColumn;

use super::wire::{BinaryOut, CellsOut, ColumnOut, RowsOut, Utf8Out};

/// Arrays inside arrays. Bytes of a guest must not exhaust the host's stack.
const NESTING_MAX: usize = 32;

/// An answer of the wrong shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The row of the batch, where one is to blame.
    pub(crate) row: Option<usize>,
    /// What is wrong.
    pub(crate) message: String,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            row: None,
            message: message.into(),
        }
    }

    pub(crate) fn row(row: usize, message: impl Into<String>) -> Self {
        Self {
            row: Some(row),
            message: message.into(),
        }
    }
}

/// What rows a guest may answer.
pub(crate) struct Expected<'a> {
    /// The columns, in the order of the answer.
    pub(crate) columns: &'a [&'a RuleColumn],
    /// For each answered row, the row of the batch that it belongs to; as many as rows must be.
    pub(crate) origins: &'a [usize],
    /// Whether this value came in for that row of the batch (answered row, column, value). A store
    /// may hold what its types forbid; handing that on unchanged is not the rule's fault.
    pub(crate) came_in: &'a dyn Fn(usize, usize, &Value) -> bool,
}

impl fmt::Debug for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").finish_non_exhaustive()
    }
}

/// The rows of an answer, checked.
pub(crate) fn rows(answer: RowsOut, expected: &Expected<'_>) -> Result<Vec<Row>, Wrong> {
    let count = expected.origins.len();
    if answer.count as usize != count {
        return Err(Wrong::new(format!(
            "answered {} rows where {count} were announced",
            answer.count
        )));
    }
    if count == 0 && answer.columns.is_empty() {
        return Ok(Vec::new());
    }
    if answer.columns.len() != expected.columns.len() {
        return Err(Wrong::new(format!(
            "answered rows of {} columns instead of {}",
            answer.columns.len(),
            expected.columns.len()
        )));
    }
    let width = answer.columns.len();
    let mut rows: Vec<Row> = (0..count).map(|_| Vec::with_capacity(width)).collect();
    for (index, (column, definition)) in
        answer.columns.into_iter().zip(expected.columns).enumerate()
    {
        let check = |row: usize, value: &Value| -> Result<(), Wrong> {
            if value.is_null() && definition.nullable
                || !value.is_null() && fits(definition.logical, value)
                || (expected.came_in)(row, index, value)
            {
                return Ok(());
            }
            Err(Wrong::row(
                expected.origins[row],
                if value.is_null() {
                    "answered NULL, which the column does not allow".to_owned()
                } else {
                    format!(
                        "answered {} ({}), which is not of the column's type {}",
                        shown(value),
                        value.type_name(),
                        type_of(definition)
                    )
                },
            ))
        };
        column_into(column, &mut rows, &check).map_err(|wrong| Wrong {
            row: wrong.row,
            message: format!("column {}: {}", definition.name, wrong.message),
        })?;
    }
    Ok(rows)
}

type Check<'a> = dyn Fn(usize, &Value) -> Result<(), Wrong> + 'a;

fn column_into(column: ColumnOut, rows: &mut [Row], check: &Check<'_>) -> Result<(), Wrong> {
    let count = rows.len();
    let ColumnOut { nulls, cells } = column;
    if !nulls.is_empty() {
        length("nulls", nulls.len(), count)?;
        flags("nulls", &nulls)?;
    }
    let is_null = |row: usize| nulls.get(row).is_some_and(|&n| n == 1);
    let mut put = |row: usize, value: Value| -> Result<(), Wrong> {
        let value = if is_null(row) { Value::Null } else { value };
        check(row, &value)?;
        rows[row].push(value);
        Ok(())
    };
    macro_rules! plain {
        ($values:expr, $case:expr) => {{
            length("cells", $values.len(), count)?;
            for (row, value) in $values.into_iter().enumerate() {
                put(row, $case(value))?;
            }
        }};
    }
    match cells {
        CellsOut::Nothing => {
            for row in 0..count {
                put(row, Value::Null)?;
            }
        }
        CellsOut::Boolean(v) => {
            flags("booleans", &v)?;
            plain!(v, |b: u8| Value::Bool(b == 1));
        }
        CellsOut::Int64(v) => plain!(v, Value::Int),
        CellsOut::Uint64(v) => plain!(v, Value::UInt),
        CellsOut::Float64(v) => plain!(v, Value::Float),
        CellsOut::Date(v) => plain!(v, Value::Date),
        CellsOut::Time(v) => plain!(v, Value::Time),
        CellsOut::Timestamp(v) => plain!(v, Value::Timestamp),
        CellsOut::TimestampUtc(v) => plain!(v, Value::TimestampUtc),
        CellsOut::Uuid(v) => {
            length("bytes of UUIDs", v.len(), count * 16)?;
            for (row, bytes) in v.as_chunks::<16>().0.iter().enumerate() {
                put(row, Value::Uuid(*bytes))?;
            }
        }
        CellsOut::Text(v) => texts(&v, count, |row, text| {
            put(row, Value::Text(text.to_owned()))
        })?,
        CellsOut::Json(v) => texts(&v, count, |row, text| {
            put(row, Value::Json(text.to_owned()))
        })?,
        CellsOut::Decimal(v) => texts(&v, count, |row, text| {
            if is_null(row) {
                return put(row, Value::Null);
            }
            let number = text.parse::<Decimal>().map_err(|e| Wrong {
                row: None,
                message: e.message().to_owned(),
            })?;
            put(row, Value::Decimal(number))
        })?,
        CellsOut::Bytes(v) => blobs(&v, count, |row, b| put(row, Value::Bytes(b.to_vec())))?,
        CellsOut::Other(v) => blobs(&v, count, |row, b| {
            if is_null(row) {
                return put(row, Value::Null);
            }
            put(row, one_value(b).ok_or_else(|| damaged(row))?)
        })?,
    }
    Ok(())
}

fn damaged(row: usize) -> Wrong {
    Wrong::new(format!(
        "the bytes of answered row {row} are not one value in the form of `cells.other`"
    ))
}

fn length(what: &str, found: usize, expected: usize) -> Result<(), Wrong> {
    if found == expected {
        return Ok(());
    }
    Err(Wrong::new(format!(
        "answered {found} {what} instead of {expected}"
    )))
}

fn flags(what: &str, flags: &[u8]) -> Result<(), Wrong> {
    match flags.iter().position(|&f| f > 1) {
        None => Ok(()),
        Some(at) => Err(Wrong::new(format!(
            "{what}[{at}] is {}; only 0 and 1 are allowed",
            flags[at]
        ))),
    }
}

/// Checks `ends` against the length of the data and hands out the ranges.
fn ranges(
    ends: &[u32],
    len: usize,
    count: usize,
    mut each: impl FnMut(usize, usize, usize) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    length("ends", ends.len(), count)?;
    let mut start = 0;
    for (row, &end) in ends.iter().enumerate() {
        let end = end as usize;
        if end < start {
            return Err(Wrong::new(format!(
                "ends[{row}] is {end}, less than the end before, {start}"
            )));
        }
        if end > len {
            return Err(Wrong::new(format!(
                "ends[{row}] is {end}, beyond the {len} bytes of data"
            )));
        }
        each(row, start, end)?;
        start = end;
    }
    if start != len {
        return Err(Wrong::new(format!(
            "the last of the ends is {start}, but there are {len} bytes of data"
        )));
    }
    Ok(())
}

fn texts(
    answer: &Utf8Out,
    count: usize,
    mut each: impl FnMut(usize, &str) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    ranges(&answer.ends, answer.data.len(), count, |row, start, end| {
        let text = answer
            .data
            .get(start..end)
            .ok_or_else(|| Wrong::new(format!("ends[{row}] is {end}, inside a character")))?;
        each(row, text)
    })
}

fn blobs(
    answer: &BinaryOut,
    count: usize,
    mut each: impl FnMut(usize, &[u8]) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    ranges(&answer.ends, answer.data.len(), count, |row, start, end| {
        each(row, &answer.data[start..end])
    })
}

/// Exactly one value in canonical form.
fn one_value(bytes: &[u8]) -> Option<Value> {
    if !shallow(bytes, NESTING_MAX) {
        return None;
    }
    let mut values = canonical::decode(bytes).ok()?;
    match (values.len(), values.pop()) {
        (1, Some(value)) => Some(value),
        _ => None,
    }
}

/// Whether arrays are nested at most so deep. Other damage is found by the decoder.
fn shallow(mut bytes: &[u8], depth: usize) -> bool {
    const ARRAY: u8 = 0x0e;
    while let Some((&tag, rest)) = bytes.split_first() {
        let Some((len, rest)) = rest.split_first_chunk::<4>() else {
            return true;
        };
        let Some((payload, rest)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize) else {
            return true;
        };
        if tag == ARRAY && (depth == 0 || !shallow(payload, depth - 1)) {
            return false;
        }
        bytes = rest;
    }
    true
}

/// Whether a value is of a kind that a column of this type is meant to hold. Generous where
/// stores differ in how they hold a type: SQLite has times as text or numbers, MariaDB booleans
/// as integers.
fn fits(logical: LogicalType, value: &Value) -> bool {
    use LogicalType as L;
    match value {
        Value::Null => true,
        Value::Bool(_) => matches!(logical, L::Any | L::Bool | L::Int | L::UInt),
        Value::Int(_) => !matches!(logical, L::Text | L::Bytes | L::Uuid | L::Json),
        Value::UInt(_) => matches!(logical, L::Any | L::Int | L::UInt | L::Decimal | L::Float),
        Value::Decimal(_) => matches!(logical, L::Any | L::Decimal | L::Float),
        Value::Float(_) => matches!(
            logical,
            L::Any | L::Float | L::Decimal | L::Date | L::Time | L::Timestamp | L::TimestampUtc
        ),
        Value::Text(_) => !matches!(
            logical,
            L::Bool | L::Int | L::UInt | L::Float | L::Decimal | L::Bytes
        ),
        Value::Bytes(_) => matches!(logical, L::Any | L::Bytes | L::Uuid),
        Value::Date(_) => matches!(logical, L::Any | L::Date),
        Value::Time(_) => matches!(logical, L::Any | L::Time),
        Value::Timestamp(_) => matches!(logical, L::Any | L::Timestamp),
        Value::TimestampUtc(_) => matches!(logical, L::Any | L::TimestampUtc),
        Value::Uuid(_) => matches!(logical, L::Any | L::Uuid),
        Value::Json(_) => matches!(logical, L::Any | L::Json | L::Text),
        Value::Array(_) | Value::Other(_) => logical == L::Any,
    }
}

fn type_of(column: &RuleColumn) -> String {
    if column.declared_type.is_empty() {
        format!("{:?}", column.logical)
    } else {
        column.declared_type.clone()
    }
}

/// A value for a message, cut to a readable length.
pub(crate) fn shown(value: &Value) -> String {
    const CHARACTERS_MAX: usize = 60;
    if value.heap_bytes() > 1024 {
        return format!("a value of {} bytes", value.heap_bytes());
    }
    let text = value.to_string();
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => text,
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
