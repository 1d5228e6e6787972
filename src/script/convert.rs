//! Cells to what scripts compute with, and back.
//!
//! ```text
//! NULL ()        int, uint  i64 (a uint beyond i64: decimal)     text   string
//! bool bool      float      f64                                  array  array
//! ```
//! Everything else keeps its type: see [`super::types`].

use rhai::{Array, Blob, Dynamic, ImmutableString};

use crate::data::{LogicalType, Value};
use crate::rule::RuleColumn;

use super::engine::DEPTH_MAX;
use super::types::{
    Bytes, Date, DecimalNumber, Json, Opaque, TimeOfDay, Timestamp, TimestampUtc, Uuid,
};

/// A cell as a script sees it.
pub(super) fn to_script(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(v) => Dynamic::from_bool(*v),
        Value::Int(v) => Dynamic::from_int(*v),
        Value::UInt(v) => match i64::try_from(*v) {
            Ok(v) => Dynamic::from_int(v),
            Err(_) => DecimalNumber::of(value).map_or(Dynamic::UNIT, Dynamic::from),
        },
        Value::Float(v) => Dynamic::from_float(*v),
        Value::Text(v) => Dynamic::from(ImmutableString::from(v.as_str())),
        Value::Decimal(v) => Dynamic::from(DecimalNumber(v.clone())),
        Value::Bytes(v) => Dynamic::from(Bytes(v.as_slice().into())),
        Value::Date(v) => Dynamic::from(Date(*v)),
        Value::Time(v) => Dynamic::from(TimeOfDay(*v)),
        Value::Timestamp(v) => Dynamic::from(Timestamp(*v)),
        Value::TimestampUtc(v) => Dynamic::from(TimestampUtc(*v)),
        Value::Uuid(v) => Dynamic::from(Uuid(*v)),
        Value::Json(v) => Dynamic::from(Json(v.as_str().into())),
        Value::Array(items) => Dynamic::from_array(items.iter().map(to_script).collect()),
        other => Dynamic::from(Opaque(other.clone())),
    }
}

/// What a script made, as a cell. Fails on what no cell holds, with words for the author.
pub(super) fn from_script(value: Dynamic) -> Result<Value, String> {
    cell(value, 0)
}

fn too_deep(depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("arrays are nested more than {DEPTH_MAX} deep"));
    }
    Ok(())
}

fn cell(value: Dynamic, depth: usize) -> Result<Value, String> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(v) = value.as_int() {
        return Ok(Value::Int(v));
    }
    if let Ok(v) = value.as_immutable_string_ref() {
        return Ok(Value::Text(v.as_str().to_owned()));
    }
    if let Ok(v) = value.as_float() {
        return Ok(Value::Float(v));
    }
    if let Ok(v) = value.as_bool() {
        return Ok(Value::Bool(v));
    }
    if let Ok(v) = value.as_char() {
        return Ok(Value::Text(v.to_string()));
    }
    let value = match value.try_cast_result::<Blob>() {
        Ok(v) => return Ok(Value::Bytes(v)),
        Err(value) => value,
    };
    let value = match value.try_cast_result::<Array>() {
        Ok(items) => {
            too_deep(depth)?;
            return items
                .into_iter()
                .map(|item| cell(item, depth + 1))
                .collect::<Result<_, _>>()
                .map(Value::Array);
        }
        Err(value) => value,
    };
    let type_name = value.type_name();
    macro_rules! typed {
        ($($from:ident => |$v:ident| $to:expr),* $(,)?) => {
            $(if let Some($v) = value.read_lock::<$from>() {
                return Ok($to);
            })*
        };
    }
    typed! {
        DecimalNumber => |v| Value::Decimal(v.0.clone()),
        TimestampUtc => |v| Value::TimestampUtc(v.0),
        Timestamp => |v| Value::Timestamp(v.0),
        Date => |v| Value::Date(v.0),
        TimeOfDay => |v| Value::Time(v.0),
        Json => |v| Value::Json(v.0.to_string()),
        Uuid => |v| Value::Uuid(v.0),
        Bytes => |v| Value::Bytes(v.0.to_vec()),
        Opaque => |v| v.0.clone(),
    }
    Err(match type_name {
        "map" => "a map is no value of a column; json(map) makes one for a JSON column".to_owned(),
        other => format!("a value of type {other} fits no column"),
    })
}

/// The cell in the form that its column holds: a script's integer becomes the unsigned integer,
/// decimal or float that the column is, if it is exactly that; `like` are cells of the same column.
pub(super) fn fit<'a>(
    column: &RuleColumn,
    value: Value,
    like: impl Iterator<Item = &'a Value>,
) -> Value {
    let kind = value.type_name();
    let (mut has_unsigned, mut has_flags) = (false, false);
    for other in like {
        if other.type_name() == kind {
            return value;
        }
        has_unsigned |= matches!(other, Value::UInt(_));
        has_flags |= matches!(other, Value::Int(0 | 1));
    }
    let fitted = match (&value, column.logical) {
        (Value::Int(v), logical) if has_unsigned || logical == LogicalType::UInt => {
            u64::try_from(*v).ok().map(Value::UInt)
        }
        (Value::Int(v), LogicalType::Decimal) => v.to_string().parse().ok().map(Value::Decimal),
        (Value::Int(v), LogicalType::Float) if v.unsigned_abs() <= 1 << 53 => {
            Some(Value::Float(*v as f64))
        }
        // An unsigned integer beyond the signed ones is a decimal in a script.
        (Value::Decimal(d), LogicalType::UInt | LogicalType::Int | LogicalType::Any) => d
            .as_str()
            .parse::<u64>()
            .ok()
            .filter(|v| i64::try_from(*v).is_err())
            .map(Value::UInt),
        (Value::Bool(v), _) if has_flags => Some(Value::Int(i64::from(*v))),
        _ => None,
    };
    fitted.unwrap_or(value)
}

/// Settings and parsed JSON as a script sees them.
pub(super) fn json_to_script(json: &serde_json::Value) -> Dynamic {
    use serde_json::Value as J;
    match json {
        J::Null => Dynamic::UNIT,
        J::Bool(v) => Dynamic::from_bool(*v),
        J::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(v), _) => Dynamic::from_int(v),
            (None, Some(v)) if !n.is_u64() => Dynamic::from_float(v),
            _ => n
                .to_string()
                .parse()
                .map_or(Dynamic::UNIT, |d| Dynamic::from(DecimalNumber(d))),
        },
        J::String(s) => Dynamic::from(ImmutableString::from(s.as_str())),
        J::Array(items) => Dynamic::from_array(items.iter().map(json_to_script).collect()),
        J::Object(map) => Dynamic::from_map(
            map.iter()
                .map(|(k, v)| (k.as_str().into(), json_to_script(v)))
                .collect(),
        ),
    }
}

/// A script's value as JSON.
pub(super) fn script_to_json(value: &Dynamic) -> Result<serde_json::Value, String> {
    json(value, 0)
}

fn json(value: &Dynamic, depth: usize) -> Result<serde_json::Value, String> {
    use serde_json::Value as J;
    too_deep(depth)?;
    if value.is_unit() {
        return Ok(J::Null);
    }
    if let Ok(v) = value.as_bool() {
        return Ok(J::Bool(v));
    }
    if let Ok(v) = value.as_int() {
        return Ok(J::from(v));
    }
    if let Ok(v) = value.as_float() {
        return serde_json::Number::from_f64(v)
            .map(J::Number)
            .ok_or_else(|| format!("JSON has no number {v}"));
    }
    if let Ok(v) = value.as_immutable_string_ref() {
        return Ok(J::String(v.as_str().to_owned()));
    }
    if let Ok(v) = value.as_array_ref() {
        return v
            .iter()
            .map(|v| json(v, depth + 1))
            .collect::<Result<_, _>>()
            .map(J::Array);
    }
    if let Ok(v) = value.as_map_ref() {
        return v
            .iter()
            .map(|(k, v)| Ok((k.to_string(), json(v, depth + 1)?)))
            .collect::<Result<_, String>>()
            .map(J::Object);
    }
    if let Some(v) = value.read_lock::<Json>() {
        return serde_json::from_str(&v.0).map_err(|e| format!("is no JSON: {e}"));
    }
    match from_script(value.clone())? {
        Value::Decimal(d) => serde_json::from_str(d.as_str()).or(Ok(J::String(d.to_string()))),
        _ => Ok(J::String(value.to_string())),
    }
}
