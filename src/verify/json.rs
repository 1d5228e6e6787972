//! Cells as JSON, for reports.

use serde_json::{Map, Value as Json, json};

use crate::data::{Row, Value};

/// Texts and bytes longer than this are cut in reports.
const SHOWN_BYTES: usize = 1024;

/// A cell as JSON. What JSON has is itself; the rest is an object that names its type:
/// `{"bytes": "00ff"}`. A float that JSON cannot hold is `{"float": "NaN"}`.
pub(super) fn cell(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(v) => json!(v),
        Value::Int(v) => json!(v),
        Value::UInt(v) => json!(v),
        Value::Float(v) if v.is_finite() => json!(v),
        Value::Float(v) => json!({ "float": v.to_string() }),
        Value::Text(v) => json!(cut(v)),
        Value::Decimal(v) => json!({ "decimal": v.as_str() }),
        Value::Bytes(v) => json!({ "bytes": hex(v) }),
        Value::Json(v) => json!({ "json": cut(v) }),
        Value::Other(v) => json!({ &v.kind: hex(&v.bytes) }),
        Value::Array(v) => Json::Array(v.iter().map(cell).collect()),
        Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_)
        | Value::TimestampUtc(_)
        | Value::Uuid(_) => json!({ value.type_name(): value.to_string() }),
    }
}

/// Some cells of a row by the names of their columns.
pub(super) fn cells(names: &[String], row: &Row, columns: &[usize]) -> Map<String, Json> {
    columns
        .iter()
        .map(|&i| (names[i].clone(), cell(&row[i])))
        .collect()
}

fn cut(text: &str) -> String {
    if text.len() <= SHOWN_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(SHOWN_BYTES);
    format!("{}… ({} bytes)", &text[..end], text.len())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in &bytes[..bytes.len().min(SHOWN_BYTES)] {
        // Writing to a string does not fail.
        let _ok = write!(out, "{byte:02x}");
    }
    if bytes.len() > SHOWN_BYTES {
        let _ok = write!(out, "… ({} bytes)", bytes.len());
    }
    out
}
