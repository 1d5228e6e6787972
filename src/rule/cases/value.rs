//! Cells in TOML.

use toml::Value as Toml;

use crate::data::{LogicalType, OtherValue, Row, Value};
use crate::rule::{RuleColumn, RuleTable, nearest, notation};

/// The names of the types, as `columns` spells them.
pub(super) const TYPES: [(&str, LogicalType); 14] = [
    ("any", LogicalType::Any),
    ("bool", LogicalType::Bool),
    ("int", LogicalType::Int),
    ("uint", LogicalType::UInt),
    ("decimal", LogicalType::Decimal),
    ("float", LogicalType::Float),
    ("text", LogicalType::Text),
    ("bytes", LogicalType::Bytes),
    ("date", LogicalType::Date),
    ("time", LogicalType::Time),
    ("timestamp", LogicalType::Timestamp),
    ("timestamp-utc", LogicalType::TimestampUtc),
    ("uuid", LogicalType::Uuid),
    ("json", LogicalType::Json),
];

/// The column of this name with the type written as `decimal` or `decimal?`.
pub(super) fn column(name: &str, written: &str) -> Result<RuleColumn, String> {
    let (kind, nullable) = written
        .strip_suffix('?')
        .map_or((written, false), |kind| (kind, true));
    let Some((_, logical)) = TYPES.iter().find(|(name, _)| *name == kind) else {
        let names = TYPES.map(|(name, _)| name);
        return Err(format!(
            "{name}: {kind:?} is no type{}; the types are {}",
            nearest(kind, names).map_or_else(String::new, |n| format!(" (did you mean {n:?}?)")),
            names.join(", ")
        ));
    };
    Ok(RuleColumn {
        name: name.to_owned(),
        declared_type: kind.to_owned(),
        logical: *logical,
        nullable,
    })
}

/// A whole row; columns that are left out are NULL.
pub(super) fn row(table: &RuleTable, written: &Toml) -> Result<Row, String> {
    let mut row = vec![Value::Null; table.columns.len()];
    for (i, value) in cells(table, written)? {
        row[i] = value;
    }
    Ok(row)
}

/// The cells that are written, with their columns.
pub(super) fn cells(table: &RuleTable, written: &Toml) -> Result<Vec<(usize, Value)>, String> {
    let Toml::Table(cells) = written else {
        return Err(format!(
            "a row is written {{ column = value, … }}, found {written}"
        ));
    };
    cells
        .iter()
        .map(|(name, value)| {
            let Some(i) = table.column(name) else {
                let near = nearest(name, table.columns.iter().map(|c| c.name.as_str()))
                    .map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
                return Err(format!("table {} has no column {name:?}{near}", table.name));
            };
            cell(table.columns[i].logical, value)
                .map(|v| (i, v))
                .map_err(|e| format!("{name}: {e}"))
        })
        .collect()
}

/// A cell of a column of this type.
fn cell(logical: LogicalType, written: &Toml) -> Result<Value, String> {
    use LogicalType as L;
    let type_name = || {
        TYPES
            .iter()
            .find(|(_, l)| *l == logical)
            .map_or("?", |(n, _)| n)
    };
    let other = |kind: &str| {
        Err(format!(
            "the column is {}; write {{ {kind} = {written} }} to give it a value of that type",
            type_name()
        ))
    };
    match written {
        Toml::Table(tagged) => explicit(tagged),
        Toml::Boolean(v) => match logical {
            L::Any | L::Bool => Ok(Value::Bool(*v)),
            _ => other("bool"),
        },
        Toml::Integer(v) => match logical {
            L::UInt => Ok(u64::try_from(*v).map_or(Value::Int(*v), Value::UInt)),
            L::Decimal => named("decimal", &v.to_string()),
            L::Float if v.unsigned_abs() <= 1 << 53 => Ok(Value::Float(*v as f64)),
            L::Any | L::Int => Ok(Value::Int(*v)),
            _ => other("int"),
        },
        Toml::Float(v) => match logical {
            L::Any | L::Float => Ok(Value::Float(*v)),
            _ => other("float"),
        },
        Toml::String(text) => match logical {
            L::Any | L::Text => Ok(Value::Text(text.clone())),
            L::Bool | L::Int | L::UInt | L::Float => other("text"),
            _ => named(type_name(), text),
        },
        Toml::Datetime(at) => {
            let text = at.to_string();
            let kind = match (at.date, at.time, at.offset) {
                (Some(_), Some(_), Some(_)) => "timestamp-utc",
                (Some(_), Some(_), None) => "timestamp",
                (Some(_), None, _) => "date",
                _ => "time",
            };
            if logical == L::Any || kind == type_name() {
                named(kind, &text)
            } else {
                Err(format!(
                    "the column is {}; write {{ {kind} = \"{text}\" }} to give it a {kind}",
                    type_name()
                ))
            }
        }
        Toml::Array(_) => Err("an array is written { array = [ … ] }".to_owned()),
    }
}

/// `{ decimal = "1.50" }` and its like.
fn explicit(tagged: &toml::Table) -> Result<Value, String> {
    let only = || {
        Err(format!(
            "a value is written {{ type = … }} with one of null, {}, array, other; found {{ {} }}",
            TYPES.map(|(name, _)| name)[1..].join(", "),
            tagged
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        ))
    };
    if let (2, Some(Toml::String(kind)), Some(Toml::String(hex))) =
        (tagged.len(), tagged.get("other"), tagged.get("bytes"))
    {
        let bytes = notation::parse_hex(hex).ok_or_else(|| format!("{hex:?} is no hexadecimal"))?;
        return Ok(Value::Other(Box::new(OtherValue {
            kind: kind.clone(),
            bytes,
        })));
    }
    let mut entries = tagged.iter();
    let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
        return only();
    };
    match (kind.as_str(), value) {
        ("null", Toml::Boolean(true)) => Ok(Value::Null),
        ("bool", Toml::Boolean(v)) => Ok(Value::Bool(*v)),
        ("int", Toml::Integer(v)) => Ok(Value::Int(*v)),
        ("uint", Toml::Integer(v)) => u64::try_from(*v)
            .map(Value::UInt)
            .map_err(|_| format!("{v} is negative")),
        ("float", Toml::Float(v)) => Ok(Value::Float(*v)),
        ("array", Toml::Array(items)) => items
            .iter()
            .map(|item| cell(LogicalType::Any, item))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        (kind, Toml::String(text)) => named(kind, text).or_else(|e| {
            if TYPES.iter().any(|(name, _)| *name == kind) {
                Err(e)
            } else {
                only()
            }
        }),
        (kind, Toml::Datetime(at)) => named(kind, &at.to_string()),
        _ => only(),
    }
}

/// A value of the type of that name from text.
fn named(kind: &str, text: &str) -> Result<Value, String> {
    let value = match kind {
        "int" => text.parse().ok().map(Value::Int),
        "uint" => text.parse().ok().map(Value::UInt),
        "decimal" => text.parse().ok().map(Value::Decimal),
        "float" => text.parse().ok().map(Value::Float),
        "text" => Some(Value::from(text)),
        "bytes" => notation::parse_hex(text).map(Value::Bytes),
        "date" => notation::parse_date(text).map(Value::Date),
        "time" => notation::parse_time(text).map(Value::Time),
        "timestamp" => match notation::parse_timestamp(text) {
            Some((us, None)) => Some(Value::Timestamp(us)),
            _ => None,
        },
        "timestamp-utc" => notation::parse_timestamp_utc(text).map(Value::TimestampUtc),
        "uuid" => notation::parse_uuid(text).map(Value::Uuid),
        "json" => serde_json::from_str::<serde::de::IgnoredAny>(text)
            .is_ok()
            .then(|| Value::Json(text.to_owned())),
        _ => None,
    };
    value.ok_or_else(|| format!("{text:?} is no {kind}"))
}

/// A commit time: a TOML date-time with a zone, the same as text, or microseconds since 1970.
pub(super) fn committed(written: &Toml) -> Result<i64, String> {
    match written {
        Toml::Integer(us) => Some(*us),
        Toml::Datetime(at) => notation::parse_timestamp_utc(&at.to_string()),
        Toml::String(text) => notation::parse_timestamp_utc(text),
        _ => None,
    }
    .ok_or_else(|| {
        format!("{written} is no commit time; write one with a zone: 2026-11-21T13:05:09Z")
    })
}
