//! Which Arrow type a column has in a query.

use std::collections::{BTreeSet, HashMap};

use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, TimeUnit,
};
use futures::StreamExt;

use crate::data::batch::{self, ColumnView};
use crate::data::canonical::ValueRef;
use crate::data::{Column, LogicalType, TableSchema, Value};
use crate::database::{ReadRequest, ReadStore};
use crate::error::Result;

use super::mentioned::Mentioned;

/// A column's type, and how sure it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnType {
    /// The Arrow type.
    pub(super) arrow: DataType,
    /// Values of other kinds are shown as text.
    pub(super) as_text: bool,
    /// The store guarantees that nothing else is there.
    pub(super) guaranteed: bool,
}

/// The types of all columns, in order.
pub(super) async fn decide(
    store: &dyn ReadStore,
    schema: &TableSchema,
    mentioned: &Mentioned,
    mixed_as_text: bool,
) -> Result<Vec<ColumnType>> {
    let declared: Vec<Option<DataType>> = schema
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let guaranteed = is_guaranteed(schema, i);
            declared_type(column, guaranteed)
                .filter(|t| !mixed_as_text || guaranteed && !is_partial(t))
        })
        .collect();
    let open: Vec<usize> = (0..declared.len())
        .filter(|&i| declared[i].is_none() && !(mixed_as_text && is_guaranteed(schema, i)))
        .filter(|&i| mentioned.may_read(&schema.columns[i].name))
        .collect();
    let mut seen: HashMap<usize, Seen> = open
        .iter()
        .copied()
        .zip(look(store, schema, &open).await?)
        .collect();
    Ok(declared
        .into_iter()
        .enumerate()
        .map(|(i, declared)| {
            let guaranteed = is_guaranteed(schema, i);
            let (arrow, as_text) = match declared {
                Some(arrow) => (arrow, false),
                // What is on no calendar, no number, or beyond a day is shown as the text that it is.
                None if mixed_as_text && guaranteed => (DataType::Utf8, true),
                None => {
                    let seen = seen.remove(&i).unwrap_or_default();
                    seen.decide(schema.columns[i].logical, mixed_as_text)
                }
            };
            ColumnType {
                arrow,
                as_text,
                guaranteed,
            }
        })
        .collect())
}

/// The type of a declaration that means one thing; of a server's columns all do, but decimals that
/// were declared without a scale.
fn declared_type(column: &Column, guaranteed: bool) -> Option<DataType> {
    Some(match column.logical {
        LogicalType::Int => DataType::Int64,
        LogicalType::Float => DataType::Float64,
        LogicalType::Text | LogicalType::Json => DataType::Utf8,
        LogicalType::Bytes => DataType::Binary,
        _ if !guaranteed => return None,
        LogicalType::Bool => DataType::Boolean,
        LogicalType::UInt => DataType::UInt64,
        LogicalType::Date => DataType::Date32,
        LogicalType::Time => DataType::Time64(TimeUnit::Microsecond),
        LogicalType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        LogicalType::TimestampUtc => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        LogicalType::Uuid => DataType::Utf8,
        LogicalType::Decimal => {
            let (precision, scale) = declared_digits(&column.declared_type)?;
            decimal_type(precision.checked_sub(scale)?, scale)?
        }
        _ => return None,
    })
}

/// Whether the store holds values of the column that the type has not.
fn is_partial(arrow: &DataType) -> bool {
    matches!(
        arrow,
        DataType::Decimal128(..)
            | DataType::Decimal256(..)
            | DataType::Date32
            | DataType::Time64(_)
            | DataType::Timestamp(..)
    )
}

/// Precision and scale of `numeric(12,2)`.
fn declared_digits(declared: &str) -> Option<(usize, usize)> {
    let (_, rest) = declared.split_once('(')?;
    let (digits, _) = rest.split_once(')')?;
    let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
    Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

/// The narrowest decimal type with so many digits before and behind the point.
fn decimal_type(whole: usize, scale: usize) -> Option<DataType> {
    let precision = u8::try_from((whole + scale).max(1)).ok()?;
    let scale = i8::try_from(scale).ok()?;
    match precision {
        0..=DECIMAL128_MAX_PRECISION => Some(DataType::Decimal128(precision, scale)),
        39..=DECIMAL256_MAX_PRECISION => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

/// Whether the store itself refuses values of other kinds.
fn is_guaranteed(schema: &TableSchema, column: usize) -> bool {
    schema.strict && schema.columns[column].logical != LogicalType::Any
        || is_row_id(schema) && schema.key == [column]
}

/// Whether the key is SQLite's row number.
pub(super) fn is_row_id(schema: &TableSchema) -> bool {
    !schema.without_rowid
        && matches!(&*schema.key, [key] if schema.columns[*key].declared_type.eq_ignore_ascii_case("INTEGER"))
}

/// Kinds of values that a column holds.
#[derive(Debug, Default)]
struct Seen {
    kinds: BTreeSet<&'static str>,
    /// An integer other than 0 and 1.
    beyond_bool: bool,
    /// The most digits of a decimal before and behind the point.
    digits: (usize, usize),
}

impl Seen {
    fn add(&mut self, view: &ColumnView<'_>, rows: usize) {
        match view {
            ColumnView::Nulls => {}
            ColumnView::Float(_) => {
                self.kinds.insert("float");
            }
            ColumnView::Text(_) => {
                self.kinds.insert("text");
            }
            ColumnView::Bytes(_) => {
                self.kinds.insert("bytes");
            }
            ColumnView::Int(_) | ColumnView::MixedRef(_) | ColumnView::Mixed(_) => {
                for row in 0..rows {
                    let kind = match view.get(row) {
                        ValueRef::Null => continue,
                        ValueRef::Int(v) => {
                            self.beyond_bool |= !(0..=1).contains(&v);
                            "int"
                        }
                        ValueRef::Float(_) => "float",
                        ValueRef::Text(_) => "text",
                        ValueRef::Bytes(_) => "bytes",
                        ValueRef::Value(v) => {
                            if let Value::Decimal(decimal) = v {
                                let (whole, scale) = digits(decimal.as_str());
                                self.digits.0 = self.digits.0.max(whole);
                                self.digits.1 = self.digits.1.max(scale);
                            }
                            v.type_name()
                        }
                    };
                    self.kinds.insert(kind);
                }
            }
        }
    }

    /// The type, and whether everything is shown as text.
    fn decide(&self, logical: LogicalType, mixed_as_text: bool) -> (DataType, bool) {
        let kinds: Vec<&str> = self.kinds.iter().copied().collect();
        let arrow = match (&*kinds, logical) {
            (["int"], LogicalType::Bool) if !self.beyond_bool => DataType::Boolean,
            ([], LogicalType::Bool) | (["bool"], _) => DataType::Boolean,
            ([], LogicalType::Int | LogicalType::UInt) | (["int"], _) => DataType::Int64,
            (["uint"] | ["int", "uint"], _) => DataType::UInt64,
            ([], LogicalType::Float | LogicalType::Decimal) | (["float"] | ["float", "int"], _) => {
                DataType::Float64
            }
            ([], LogicalType::Bytes) | (["bytes"], _) => DataType::Binary,
            (["decimal"], _) => {
                decimal_type(self.digits.0, self.digits.1).unwrap_or(DataType::Utf8)
            }
            (["date"], _) => DataType::Date32,
            (["time"], _) => DataType::Time64(TimeUnit::Microsecond),
            (["timestamp"], _) => DataType::Timestamp(TimeUnit::Microsecond, None),
            (["timestamp-utc"], _) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            ([] | ["text" | "json" | "uuid"], _) => DataType::Utf8,
            _ => return (DataType::Utf8, mixed_as_text),
        };
        (arrow, false)
    }
}

/// Digits before and behind the point.
fn digits(decimal: &str) -> (usize, usize) {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    (whole.trim_start_matches('-').len(), fraction.len())
}

/// Reads these columns once and notes what they hold.
async fn look(store: &dyn ReadStore, schema: &TableSchema, columns: &[usize]) -> Result<Vec<Seen>> {
    let mut seen: Vec<Seen> = columns.iter().map(|_| Seen::default()).collect();
    if columns.is_empty() {
        return Ok(seen);
    }
    let mut snapshot = store.snapshot().await?;
    let mut batches = snapshot.read(ReadRequest {
        table: schema.name.clone(),
        columns: columns
            .iter()
            .map(|&i| schema.columns[i].name.clone())
            .collect(),
        ..ReadRequest::default()
    });
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        for (seen, view) in seen.iter_mut().zip(batch::views(&batch)?) {
            seen.add(&view, batch.num_rows());
        }
    }
    Ok(seen)
}
