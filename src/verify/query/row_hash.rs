//! `row_hash(a, b, …)`: blake3 of the canonical bytes of its arguments, as 64 hex digits.
//!
//! Equal arguments of equal types give equal digests in every store, and nothing else does: NULL is
//! not empty, `1` is not `1.0`, and no delimiter can be faked.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::data::canonical::{self, ValueRef};
use crate::data::{Decimal, Value};

/// The function.
pub(super) fn function() -> ScalarUDF {
    ScalarUDF::from(RowHash {
        signature: Signature::variadic_any(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RowHash {
    signature: Signature,
}

impl ScalarUDFImpl for RowHash {
    fn name(&self) -> &'static str {
        "row_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns: Vec<ArrayRef> = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<Result<_>>()?;
        let mut hashes = StringBuilder::with_capacity(rows, rows * 64);
        each_row(&columns, rows, |bytes| {
            hashes.append_value(blake3::hash(bytes).to_hex().as_str());
        })?;
        Ok(ColumnarValue::Array(Arc::new(hashes.finish())))
    }
}

/// The canonical bytes of each row of these columns, in order.
pub(super) fn each_row(
    columns: &[ArrayRef],
    rows: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<()> {
    let columns: Vec<ArrayRef> = columns.iter().map(plain).collect::<Result<_>>()?;
    let mut bytes = Vec::new();
    for row in 0..rows {
        bytes.clear();
        for column in &columns {
            encode(&mut bytes, column, row)?;
        }
        take(&bytes);
    }
    Ok(())
}

/// One type for each kind of value: every width of integer is `Int64`, every form of text `Utf8`.
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    let to = match array.data_type() {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, values) => {
            return plain(&cast(array, values)?);
        }
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        _ => return Ok(Arc::clone(array)),
    };
    Ok(cast(array, &to)?)
}

fn encode(out: &mut Vec<u8>, array: &ArrayRef, row: usize) -> Result<()> {
    if array.is_null(row) || array.data_type().is_null() {
        canonical::encode_value(out, ValueRef::Null);
        return Ok(());
    }
    let value = match array.data_type() {
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => Value::UInt(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Utf8 => {
            let text = array.as_string::<i32>().value(row);
            canonical::encode_value(out, ValueRef::Text(text));
            return Ok(());
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(row);
            canonical::encode_value(out, ValueRef::Bytes(bytes));
            return Ok(());
        }
        DataType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            Value::Time(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
            if zone.is_some() {
                Value::TimestampUtc(us)
            } else {
                Value::Timestamp(us)
            }
        }
        DataType::Decimal128(..) => {
            decimal(&array.as_primitive::<Decimal128Type>().value_as_string(row))?
        }
        DataType::Decimal256(..) => {
            decimal(&array.as_primitive::<Decimal256Type>().value_as_string(row))?
        }
        other => {
            return Err(DataFusionError::Execution(format!(
                "row_hash and set_hash do not take {other}; cast it to text first"
            )));
        }
    };
    canonical::encode_value(out, &value);
    Ok(())
}

fn decimal(text: &str) -> Result<Value> {
    let decimal = text.parse::<Decimal>();
    Ok(Value::Decimal(
        decimal.map_err(|e| DataFusionError::External(Box::new(e)))?,
    ))
}
