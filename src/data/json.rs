//! Values as JSON, for output. Not an encoding: use [`super::canonical`] to come back.

use serde_json::{Map, Value as Json};

use super::Value;

/// Numbers, text, booleans and NULL as themselves; a float that JSON cannot hold, and everything
/// else, as text (bytes as `x'…'`).
#[must_use]
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(v) => (*v).into(),
        Value::Int(v) => (*v).into(),
        Value::UInt(v) => (*v).into(),
        Value::Float(v) => serde_json::Number::from_f64(*v)
            .map_or_else(|| Json::String(format!("{v:?}")), Json::Number),
        Value::Text(v) => v.clone().into(),
        Value::Array(items) => items.iter().map(to_json).collect(),
        other => other.to_string().into(),
    }
}

/// An object of these cells under these names.
pub fn object<'a>(names: impl IntoIterator<Item = &'a str>, cells: &[Value]) -> Json {
    let map: Map<String, Json> = names
        .into_iter()
        .zip(cells)
        .map(|(name, cell)| (name.to_owned(), to_json(cell)))
        .collect();
    Json::Object(map)
}
