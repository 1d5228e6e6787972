//! SQLite's values and ours.
//!
//! SQLite holds five kinds: NULL, INTEGER, REAL, TEXT, BLOB. Those come back bit for bit. Text that
//! is no UTF-8 comes as [`Value::Other`] of kind `text`. Values that SQLite has no kind for (a rule
//! may make them) are stored in their usual form there: booleans as 0 and 1, decimals, dates and
//! times as text, UUIDs as 16 bytes (in TEXT columns as text, see [`super::affinity`]).

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef as Sql};

use crate::data::canonical::ValueRef;
use crate::data::{OtherValue, Value};
use crate::database::form::{ODD_DATES, clock};

pub(super) use crate::database::form::clock::civil_date;

/// The kind of an [`OtherValue`] that is text without being UTF-8.
pub(super) const RAW_TEXT: &str = "text";

/// An owned copy of what SQLite holds.
pub(super) fn to_value(sql: Sql<'_>) -> Value {
    match sql {
        Sql::Null => Value::Null,
        Sql::Integer(v) => Value::Int(v),
        Sql::Real(v) => Value::Float(v),
        Sql::Text(v) => match std::str::from_utf8(v) {
            Ok(v) => Value::Text(v.to_owned()),
            Err(_) => raw_text(v),
        },
        Sql::Blob(v) => Value::Bytes(v.to_vec()),
    }
}

fn raw_text(bytes: &[u8]) -> Value {
    Value::Other(Box::new(OtherValue {
        kind: RAW_TEXT.to_owned(),
        bytes: bytes.to_vec(),
    }))
}

/// Hands a borrowed cell to `then` without copying it.
pub(super) fn with_ref<R>(sql: Sql<'_>, then: impl FnOnce(ValueRef<'_>) -> R) -> R {
    match sql {
        Sql::Null => then(ValueRef::Null),
        Sql::Integer(v) => then(ValueRef::Int(v)),
        Sql::Real(v) => then(ValueRef::Float(v)),
        Sql::Text(v) => match std::str::from_utf8(v) {
            Ok(v) => then(ValueRef::Text(v)),
            Err(_) => then(ValueRef::Value(&raw_text(v))),
        },
        Sql::Blob(v) => then(ValueRef::Bytes(v)),
    }
}

/// Whether SQLite holds exactly this value.
pub(super) fn same(sql: Sql<'_>, value: &Value) -> bool {
    match (sql, value) {
        (Sql::Null, Value::Null) => true,
        (Sql::Integer(a), Value::Int(b)) => a == *b,
        (Sql::Real(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Sql::Text(a), Value::Text(b)) => a == b.as_bytes(),
        (Sql::Text(a), Value::Other(b)) => b.kind == RAW_TEXT && a == b.bytes.as_slice(),
        (Sql::Blob(a), Value::Bytes(b)) => a == b.as_slice(),
        _ => false,
    }
}

/// The kind of value that SQLite has for this one; see the module's text.
pub(super) fn native(value: Value) -> Value {
    match value {
        Value::Float(v) if v.is_nan() => Value::Null,
        v @ (Value::Null | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_)) => v,
        Value::Bool(v) => Value::Int(i64::from(v)),
        Value::UInt(v) => i64::try_from(v).map_or_else(|_| Value::Text(v.to_string()), Value::Int),
        Value::Decimal(v) => Value::Text(v.to_string()),
        Value::Date(days) => Value::Text(clock::date_text(days)),
        Value::Time(us) => Value::Text(clock::time_text(us)),
        Value::Timestamp(us) => Value::Text(clock::timestamp_text(us, "")),
        Value::TimestampUtc(us) => Value::Text(clock::timestamp_text(us, "Z")),
        Value::Uuid(v) => Value::Bytes(v.to_vec()),
        Value::Json(v) => Value::Text(v),
        Value::Other(v) if v.kind == RAW_TEXT => Value::Other(v),
        // MySQL's dates that are none are texts.
        Value::Other(v) if ODD_DATES.contains(&v.kind.as_str()) => {
            match String::from_utf8(v.bytes) {
                Ok(text) => Value::Text(text),
                Err(e) => Value::Bytes(e.into_bytes()),
            }
        }
        Value::Other(v) => Value::Bytes(v.bytes),
        v @ Value::Array(_) => Value::Bytes(crate::data::canonical::encode_exact(&[v])),
    }
}

/// Binds a value to a parameter.
pub(super) struct Bind<'a>(pub(super) ValueRef<'a>);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            ValueRef::Null => ToSqlOutput::Borrowed(Sql::Null),
            ValueRef::Int(v) => ToSqlOutput::Borrowed(Sql::Integer(v)),
            ValueRef::Float(v) => ToSqlOutput::Borrowed(Sql::Real(v)),
            ValueRef::Text(v) => ToSqlOutput::Borrowed(Sql::Text(v.as_bytes())),
            ValueRef::Bytes(v) => ToSqlOutput::Borrowed(Sql::Blob(v)),
            ValueRef::Value(Value::Other(v)) if v.kind == RAW_TEXT => {
                ToSqlOutput::Borrowed(Sql::Text(&v.bytes))
            }
            ValueRef::Value(v) => match native(v.clone()) {
                Value::Null => ToSqlOutput::Owned(rusqlite::types::Value::Null),
                Value::Int(v) => ToSqlOutput::Owned(v.into()),
                Value::Float(v) => ToSqlOutput::Owned(v.into()),
                Value::Text(v) => ToSqlOutput::Owned(v.into()),
                Value::Bytes(v) => ToSqlOutput::Owned(v.into()),
                other => {
                    return Err(rusqlite::Error::ToSqlConversionFailure(
                        format!("SQLite cannot hold a value of type {}", other.type_name()).into(),
                    ));
                }
            },
        })
    }
}

/// Parameters for a whole row.
pub(super) fn bind(values: &[Value]) -> impl Iterator<Item = Bind<'_>> {
    values.iter().map(|v| Bind(v.into()))
}
