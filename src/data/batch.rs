//! Rows as Arrow record batches, and back, without losing anything.
//!
//! A column whose values are all of one kind becomes the plain Arrow type of that kind. A column
//! that mixes kinds (SQLite allows it) becomes `Binary` of canonical exact bytes, marked in the
//! field's metadata, so that every value survives. The type is chosen for each batch by what is in
//! it; [`ColumnView`] reads either.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, Float64Array, Float64Builder, Int64Array,
    Int64Builder, NullArray, StringArray, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::error::{Error, ErrorKind, Result};

use super::Value;
use super::canonical::{self, ValueRef};

/// The metadata key that marks a column of canonical bytes.
pub const ENCODING_KEY: &str = "banyan.encoding";
/// Its value.
pub const ENCODING_CANONICAL: &str = "canonical";

/// Builds one record batch, value by value, column by column within a row.
#[derive(Debug)]
pub struct BatchBuilder {
    names: Vec<String>,
    columns: Vec<ColumnBuilder>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
enum ColumnBuilder {
    Nulls(usize),
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    /// The cells, and room for the next one.
    Mixed(BinaryBuilder, Vec<u8>),
}

impl BatchBuilder {
    /// An empty batch with these columns.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        let columns = names.iter().map(|_| ColumnBuilder::Nulls(0)).collect();
        Self {
            names,
            columns,
            rows: 0,
            bytes: 0,
        }
    }

    /// Appends a cell to a column. Every column must get one cell before [`Self::end_row`].
    pub fn push(&mut self, column: usize, value: ValueRef<'_>) {
        self.bytes += match value {
            ValueRef::Text(v) => v.len() + 4,
            ValueRef::Bytes(v) => v.len() + 4,
            ValueRef::Value(v) => v.heap_bytes() + 9,
            _ => 8,
        };
        self.columns[column].push(value);
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of data so far, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batch; the builder is empty afterwards and can be used again.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let mut fields = Vec::with_capacity(self.names.len());
        let mut arrays = Vec::with_capacity(self.names.len());
        for (name, column) in self.names.iter().zip(&mut self.columns) {
            let builder = std::mem::replace(column, ColumnBuilder::Nulls(0));
            let (array, mixed) = builder.finish();
            let mut field = Field::new(name, array.data_type().clone(), true);
            if mixed {
                field.set_metadata(HashMap::from([(
                    ENCODING_KEY.to_owned(),
                    ENCODING_CANONICAL.to_owned(),
                )]));
            }
            fields.push(field);
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|e| Error::new(ErrorKind::Internal, "columns of unequal length").caused_by(e))
    }
}

impl ColumnBuilder {
    fn push(&mut self, value: ValueRef<'_>) {
        match (&mut *self, value) {
            (Self::Nulls(n), ValueRef::Null) => *n += 1,
            (Self::Int(b), ValueRef::Int(v)) => b.append_value(v),
            (Self::Int(b), ValueRef::Null) => b.append_null(),
            (Self::Float(b), ValueRef::Float(v)) => b.append_value(v),
            (Self::Float(b), ValueRef::Null) => b.append_null(),
            (Self::Text(b), ValueRef::Text(v)) => b.append_value(v),
            (Self::Text(b), ValueRef::Null) => b.append_null(),
            (Self::Bytes(b), ValueRef::Bytes(v)) => b.append_value(v),
            (Self::Bytes(b) | Self::Mixed(b, _), ValueRef::Null) => b.append_null(),
            (Self::Mixed(b, room), value) => append_mixed(b, room, value),
            (Self::Nulls(n), value) => {
                let n = *n;
                *self = Self::start(n, value);
                self.push(value);
            }
            (_, value) => {
                self.make_mixed();
                self.push(value);
            }
        }
    }

    fn start(nulls: usize, value: ValueRef<'_>) -> Self {
        macro_rules! with {
            ($case:ident, $builder:expr) => {{
                let mut b = $builder;
                for _ in 0..nulls {
                    b.append_null();
                }
                Self::$case(b)
            }};
        }
        match value {
            ValueRef::Int(_) => with!(Int, Int64Builder::new()),
            ValueRef::Float(_) => with!(Float, Float64Builder::new()),
            ValueRef::Text(_) => with!(Text, StringBuilder::new()),
            ValueRef::Bytes(_) => with!(Bytes, BinaryBuilder::new()),
            ValueRef::Null | ValueRef::Value(_) => {
                let mut b = BinaryBuilder::new();
                for _ in 0..nulls {
                    b.append_null();
                }
                Self::Mixed(b, Vec::new())
            }
        }
    }

    fn make_mixed(&mut self) {
        let (array, _) = std::mem::replace(self, Self::Nulls(0)).finish();
        let view = ColumnView::plain(&array);
        let (mut b, mut room) = (BinaryBuilder::new(), Vec::new());
        for i in 0..array.len() {
            match view.get(i) {
                ValueRef::Null => b.append_null(),
                value => append_mixed(&mut b, &mut room, value),
            }
        }
        *self = Self::Mixed(b, room);
    }

    fn finish(self) -> (ArrayRef, bool) {
        match self {
            Self::Nulls(n) => (Arc::new(NullArray::new(n)), false),
            Self::Int(mut b) => (Arc::new(b.finish()), false),
            Self::Float(mut b) => (Arc::new(b.finish()), false),
            Self::Text(mut b) => (Arc::new(b.finish()), false),
            Self::Bytes(mut b) => (Arc::new(b.finish()), false),
            Self::Mixed(mut b, _) => (Arc::new(b.finish()), true),
        }
    }
}

fn append_mixed(b: &mut BinaryBuilder, room: &mut Vec<u8>, value: ValueRef<'_>) {
    room.clear();
    canonical::encode_value_exact(room, value);
    b.append_value(room);
}

/// Reads the cells of one column of a batch made by [`BatchBuilder`].
#[derive(Debug)]
pub enum ColumnView<'a> {
    /// Only NULLs.
    Nulls,
    /// Integers.
    Int(&'a Int64Array),
    /// Doubles.
    Float(&'a Float64Array),
    /// Text.
    Text(&'a StringArray),
    /// Bytes.
    Bytes(&'a BinaryArray),
    /// Mixed kinds that can be read in place: each cell is NULL or its exact canonical bytes.
    MixedRef(&'a BinaryArray),
    /// Mixed kinds that cannot: decoded when a cell is asked for.
    Mixed(MixedCells<'a>),
}

/// Cells as their exact canonical bytes, and the values of those that somebody has asked for.
#[derive(Debug)]
pub struct MixedCells<'a> {
    bytes: &'a BinaryArray,
    values: OnceLock<Vec<OnceLock<Value>>>,
}

impl<'a> MixedCells<'a> {
    /// NULL, or the exact canonical bytes of a cell.
    #[must_use]
    pub fn bytes(&self) -> &'a BinaryArray {
        self.bytes
    }

    fn value(&self, row: usize) -> &Value {
        let values = self
            .values
            .get_or_init(|| vec![OnceLock::new(); self.bytes.len()]);
        values[row].get_or_init(|| {
            if self.bytes.is_null(row) {
                return Value::Null;
            }
            let bytes = self.bytes.value(row);
            match canonical::decode(bytes) {
                Ok(mut values) if values.len() == 1 => values.pop().unwrap_or(Value::Null),
                // Bytes that no encoder wrote are no value of any store's: they equal nothing.
                _ => Value::Other(Box::new(super::OtherValue {
                    kind: "damaged".to_owned(),
                    bytes: bytes.to_vec(),
                })),
            }
        })
    }
}

impl<'a> ColumnView<'a> {
    /// A view of column `index`. Fails with [`ErrorKind::Internal`] on an Arrow type that
    /// [`BatchBuilder`] does not make.
    pub fn new(batch: &'a RecordBatch, index: usize) -> Result<Self> {
        let schema = batch.schema_ref();
        let field = schema.field(index);
        let array = batch.column(index);
        if field.metadata().get(ENCODING_KEY).map(String::as_str) == Some(ENCODING_CANONICAL) {
            let bytes = array
                .as_any()
                .downcast_ref::<BinaryArray>()
                .ok_or_else(|| Error::new(ErrorKind::Internal, "mixed column is not binary"))?;
            let in_place =
                |cell: Option<&[u8]>| cell.is_none_or(|cell| canonical::decode_ref(cell).is_some());
            if bytes.iter().all(in_place) {
                return Ok(Self::MixedRef(bytes));
            }
            return Ok(Self::Mixed(MixedCells {
                bytes,
                values: OnceLock::new(),
            }));
        }
        match array.data_type() {
            DataType::Null
            | DataType::Int64
            | DataType::Float64
            | DataType::Utf8
            | DataType::Binary => Ok(Self::plain(array)),
            other => Err(Error::new(
                ErrorKind::Internal,
                format!("column {} has Arrow type {other}", field.name()),
            )),
        }
    }

    fn plain(array: &'a ArrayRef) -> Self {
        let any = array.as_any();
        if let Some(a) = any.downcast_ref::<Int64Array>() {
            Self::Int(a)
        } else if let Some(a) = any.downcast_ref::<StringArray>() {
            Self::Text(a)
        } else if let Some(a) = any.downcast_ref::<Float64Array>() {
            Self::Float(a)
        } else if let Some(a) = any.downcast_ref::<BinaryArray>() {
            Self::Bytes(a)
        } else {
            Self::Nulls
        }
    }

    /// The cell in a row; panics when the row is out of range.
    #[must_use]
    #[inline]
    pub fn get(&self, row: usize) -> ValueRef<'_> {
        match self {
            Self::Nulls => ValueRef::Null,
            Self::Int(a) => {
                if a.is_null(row) {
                    ValueRef::Null
                } else {
                    ValueRef::Int(a.value(row))
                }
            }
            Self::Float(a) => {
                if a.is_null(row) {
                    ValueRef::Null
                } else {
                    ValueRef::Float(a.value(row))
                }
            }
            Self::Text(a) => {
                if a.is_null(row) {
                    ValueRef::Null
                } else {
                    ValueRef::Text(a.value(row))
                }
            }
            Self::Bytes(a) => {
                if a.is_null(row) {
                    ValueRef::Null
                } else {
                    ValueRef::Bytes(a.value(row))
                }
            }
            Self::MixedRef(a) => {
                if a.is_null(row) {
                    ValueRef::Null
                } else {
                    canonical::decode_ref(a.value(row)).unwrap_or(ValueRef::Null)
                }
            }
            Self::Mixed(cells) => cells.value(row).into(),
        }
    }
}

impl ColumnView<'_> {
    /// Appends the cell in its canonical form.
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::MixedRef(bytes) | Self::Mixed(MixedCells { bytes, .. })
                if bytes.is_valid(row) =>
            {
                canonical::encode_from_exact(out, bytes.value(row));
            }
            _ => canonical::encode_value(out, self.get(row)),
        }
    }
}

/// Views of all columns of a batch.
pub fn views(batch: &RecordBatch) -> Result<Vec<ColumnView<'_>>> {
    (0..batch.num_columns())
        .map(|i| ColumnView::new(batch, i))
        .collect()
}

/// The rows of a batch, boxed; for rules and tests.
pub fn to_rows(batch: &RecordBatch) -> Result<Vec<super::Row>> {
    let views = views(batch)?;
    Ok((0..batch.num_rows())
        .map(|i| views.iter().map(|v| v.get(i).to_value()).collect())
        .collect())
}

/// A batch of rows; all rows must have as many cells as there are names.
pub fn from_rows(names: &[String], rows: &[super::Row]) -> Result<RecordBatch> {
    let mut builder = BatchBuilder::new(names.to_vec());
    for row in rows {
        for (i, value) in row.iter().enumerate() {
            builder.push(i, value.into());
        }
        builder.end_row();
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::{from_rows, to_rows};
    use crate::data::{OtherValue, Value};

    #[test]
    fn mixed_columns_survive_bit_for_bit() {
        let rows = vec![
            vec![Value::Null, Value::Int(1), Value::Null],
            vec![Value::Float(-0.0), Value::Int(2), Value::Null],
            vec![
                Value::Text("x".into()),
                Value::Null,
                Value::Other(Box::new(OtherValue {
                    kind: "text".into(),
                    bytes: vec![0xff],
                })),
            ],
            vec![Value::Bytes(vec![1]), Value::Int(3), Value::Null],
        ];
        let names = ["a", "b", "c"].map(String::from);
        let batch = from_rows(&names, &rows).unwrap();
        assert_eq!(to_rows(&batch).unwrap(), rows);
    }
}
