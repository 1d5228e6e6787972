//! From what a store delivers to the fixed types of a query. What does not fit is found, not bent.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Decimal256Builder,
    Float64Builder, Int64Builder, StringBuilder, Time64MicrosecondBuilder,
    TimestampMicrosecondBuilder, UInt64Builder, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, TimeUnit, i256};

use crate::data::Value;
use crate::data::batch::ColumnView;
use crate::data::canonical::ValueRef;

use super::types::ColumnType;

const DAY_US: i64 = 86_400_000_000;
/// What can be calculated with and shown: about 262,000 years each way. No infinity.
const DAYS: std::ops::RangeInclusive<i32> = -95_000_000..=95_000_000;
const MICROS: std::ops::RangeInclusive<i64> =
    -8_200_000_000_000_000_000..=8_200_000_000_000_000_000;

/// A value that does not fit its column's type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Its row in the batch.
    pub(super) row: usize,
    /// The value, for people.
    pub(super) value: String,
}

/// The column as an array of the type.
pub(super) fn convert(
    array: &ArrayRef,
    view: &ColumnView<'_>,
    rows: usize,
    column: &ColumnType,
) -> Result<ArrayRef, Misfit> {
    match (view, &column.arrow) {
        (ColumnView::Nulls, arrow) => return Ok(new_null_array(arrow, rows)),
        (ColumnView::Int(_), DataType::Int64)
        | (ColumnView::Float(_), DataType::Float64)
        | (ColumnView::Text(_), DataType::Utf8)
        | (ColumnView::Bytes(_), DataType::Binary) => return Ok(Arc::clone(array)),
        _ => {}
    }
    macro_rules! build {
        ($builder:expr, $fit:expr) => {{
            let mut builder = $builder;
            for row in 0..rows {
                match view.get(row) {
                    ValueRef::Null => builder.append_null(),
                    value => match $fit(value) {
                        Some(fitting) => builder.append_value(fitting),
                        None => {
                            return Err(Misfit {
                                row,
                                value: value.to_value().to_string(),
                            });
                        }
                    },
                }
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    match &column.arrow {
        DataType::Int64 => build!(Int64Builder::new(), int),
        DataType::UInt64 => build!(UInt64Builder::new(), uint),
        DataType::Float64 => build!(Float64Builder::new(), float),
        DataType::Boolean => build!(BooleanBuilder::new(), boolean),
        DataType::Binary => build!(BinaryBuilder::new(), bytes),
        DataType::Date32 => build!(Date32Builder::new(), |v| match v {
            ValueRef::Value(Value::Date(v)) if DAYS.contains(v) => Some(*v),
            _ => None,
        }),
        DataType::Time64(TimeUnit::Microsecond) => {
            build!(Time64MicrosecondBuilder::new(), |v| match v {
                ValueRef::Value(Value::Time(v)) if (0..DAY_US).contains(v) => Some(*v),
                _ => None,
            })
        }
        DataType::Decimal128(precision, scale) => {
            let builder = Decimal128Builder::new().with_data_type(column.arrow.clone());
            build!(builder, |v| digits(v, *precision, *scale)?
                .parse::<i128>()
                .ok())
        }
        DataType::Decimal256(precision, scale) => {
            let builder = Decimal256Builder::new().with_data_type(column.arrow.clone());
            build!(builder, |v| i256::from_string(&digits(
                v, *precision, *scale
            )?))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let utc = zone.is_some();
            build!(
                TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone()),
                |v| match v {
                    ValueRef::Value(Value::Timestamp(v)) if !utc && MICROS.contains(v) => Some(*v),
                    ValueRef::Value(Value::TimestampUtc(v)) if utc && MICROS.contains(v) =>
                        Some(*v),
                    _ => None,
                }
            )
        }
        _ if column.as_text => build!(StringBuilder::new(), |v: ValueRef<'_>| Some(any_text(v))),
        _ => build!(StringBuilder::new(), text),
    }
}

fn int(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Int(v) => Some(v),
        _ => None,
    }
}

fn uint(value: ValueRef<'_>) -> Option<u64> {
    match value {
        ValueRef::Int(v) => u64::try_from(v).ok(),
        ValueRef::Value(Value::UInt(v)) => Some(*v),
        _ => None,
    }
}

/// An integer only if the float is the same number.
fn float(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Float(v) => Some(v),
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "the way back shows whether it is exact"
        )]
        ValueRef::Int(v) => {
            let float = v as f64;
            (float as i128 == i128::from(v)).then_some(float)
        }
        _ => None,
    }
}

fn boolean(value: ValueRef<'_>) -> Option<bool> {
    match value {
        ValueRef::Int(v @ (0 | 1)) => Some(v == 1),
        ValueRef::Value(Value::Bool(v)) => Some(*v),
        _ => None,
    }
}

fn bytes(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Bytes(v) => Some(v),
        _ => None,
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(v) => Some(v.to_owned()),
        ValueRef::Value(Value::Json(v)) => Some(v.clone()),
        ValueRef::Value(v @ (Value::Uuid(_) | Value::Decimal(_))) => Some(v.to_string()),
        _ => None,
    }
}

/// The digits of a decimal, its point moved to its end by `scale`; `None` where there are more of them
/// than the type holds.
fn digits(value: ValueRef<'_>, precision: u8, scale: i8) -> Option<String> {
    let ValueRef::Value(Value::Decimal(decimal)) = value else {
        return None;
    };
    let text = decimal.normalized();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let room = usize::try_from(scale).ok()?.checked_sub(fraction.len())?;
    let digits = format!("{whole}{fraction}{}", "0".repeat(room));
    let number = digits.trim_start_matches('-');
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    let significant = number.trim_start_matches('0').len();
    (is_number && significant <= usize::from(precision)).then_some(digits)
}

/// Text of any value: text as it is, numbers in digits, bytes as `x'00ff'`.
fn any_text(value: ValueRef<'_>) -> String {
    text(value).unwrap_or_else(|| value.to_value().to_string())
}
