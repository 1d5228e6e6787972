//! Rows as views of the columns that crossed the boundary.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Index;

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::table::{ColumnRef, Table};
use crate::value::Value;

/// The rows of one table in one batch.
#[derive(Debug)]
pub struct Batch<'a> {
    table: &'a Table,
    rows: &'a wire::Rows,
    /// The columns that were indexed, as values: `row["email"]` must be able to lend one.
    lent: Vec<OnceCell<Vec<Value<'a>>>>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(table: &'a Table, rows: &'a wire::Rows) -> Self {
        Self {
            table,
            rows,
            lent: rows.columns.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.count as usize
    }

    fn value(&self, column: usize, row: usize) -> Value<'a> {
        let Some(column) = self.rows.columns.get(column) else {
            panic!("table {} has no column number {column}", self.table.name());
        };
        if column.nulls.get(row) == Some(&1) {
            return Value::Null;
        }
        match &column.cells {
            wire::Cells::Nothing => Value::Null,
            wire::Cells::Boolean(v) => Value::Bool(v[row] == 1),
            wire::Cells::Int64(v) => Value::Int(v[row]),
            wire::Cells::Uint64(v) => Value::UInt(v[row]),
            wire::Cells::Float64(v) => Value::Float(v[row]),
            wire::Cells::Decimal(v) => Value::Decimal(Cow::Borrowed(text(v, row))),
            wire::Cells::Text(v) => Value::Text(Cow::Borrowed(text(v, row))),
            wire::Cells::Bytes(v) => Value::Bytes(Cow::Borrowed(bytes(v, row))),
            wire::Cells::Date(v) => Value::Date(v[row]),
            wire::Cells::Time(v) => Value::Time(v[row]),
            wire::Cells::Timestamp(v) => Value::Timestamp(v[row]),
            wire::Cells::TimestampUtc(v) => Value::TimestampUtc(v[row]),
            wire::Cells::Uuid(v) => Value::Uuid(v.as_chunks::<16>().0[row]),
            wire::Cells::Json(v) => Value::Json(Cow::Borrowed(text(v, row))),
            wire::Cells::Other(v) => Value::decode(bytes(v, row)),
        }
    }

    fn lend(&self, column: usize, row: usize) -> &Value<'a> {
        let Some(lent) = self.lent.get(column) else {
            panic!("table {} has no column number {column}", self.table.name());
        };
        let values =
            lent.get_or_init(|| (0..self.len()).map(|row| self.value(column, row)).collect());
        &values[row]
    }
}

fn range(ends: &[u32], row: usize) -> std::ops::Range<usize> {
    let start = if row == 0 { 0 } else { ends[row - 1] };
    start as usize..ends[row] as usize
}

fn text(column: &wire::Utf8, row: usize) -> &str {
    &column.data[range(&column.ends, row)]
}

fn bytes(column: &wire::Binary, row: usize) -> &[u8] {
    &column.data[range(&column.ends, row)]
}

/// One row. Columns are named, or given by the index that [`Table::column`] found.
///
/// `row["email"]` lends the cell as a [`Value`]; [`Row::text`] and its like answer `None` for NULL
/// and for values of another kind.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    batch: &'a Batch<'a>,
    row: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn new(batch: &'a Batch<'a>, row: usize) -> Self {
        Self { batch, row }
    }

    /// The table it belongs to.
    #[must_use]
    pub fn table(&self) -> &'a Table {
        self.batch.table
    }

    /// The cell, by value: faster than indexing when it is read once.
    #[must_use]
    pub fn get(&self, column: impl ColumnRef) -> Value<'a> {
        self.batch
            .value(column.index_in(self.batch.table), self.row)
    }

    /// The text in a column.
    #[must_use]
    pub fn text(&self, column: impl ColumnRef) -> Option<&'a str> {
        match self.get(column) {
            Value::Text(Cow::Borrowed(text)) => Some(text),
            _ => None,
        }
    }

    /// The integer in a column.
    #[must_use]
    pub fn int(&self, column: impl ColumnRef) -> Option<i64> {
        self.get(column).as_int()
    }

    /// The number in a column, as a double.
    #[must_use]
    pub fn float(&self, column: impl ColumnRef) -> Option<f64> {
        self.get(column).as_float()
    }

    /// The truth value in a column.
    #[must_use]
    pub fn bool(&self, column: impl ColumnRef) -> Option<bool> {
        self.get(column).as_bool()
    }

    /// Whether a column is NULL.
    #[must_use]
    pub fn is_null(&self, column: impl ColumnRef) -> bool {
        self.get(column).is_null()
    }

    /// All cells, in the order of the table.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let Self { batch, row } = *self;
        (0..batch.rows.columns.len()).map(move |column| batch.value(column, row))
    }
}

impl<'a, C: ColumnRef> Index<C> for Row<'a> {
    type Output = Value<'a>;

    /// Panics, naming the columns there are, where there is none of that name.
    fn index(&self, column: C) -> &Value<'a> {
        self.batch.lend(column.index_in(self.batch.table), self.row)
    }
}
