//! Rows and conflicts as case files write them, so that what is shown can be pasted into one.

use std::fmt::Write as _;

use crate::data::{LogicalType, Row, Value};
use crate::rule::{Conflict, RuleTable, Side, Verdict, notation};

/// A cell as it is written in a column of this type.
#[must_use]
pub fn show_value(logical: LogicalType, value: &Value) -> String {
    use LogicalType as L;
    let text = quote;
    let tagged = |kind: &str, plain: bool, s: &str| {
        if plain {
            text(s)
        } else {
            format!("{{ {kind} = {} }}", text(s))
        }
    };
    match value {
        Value::Null => "{ null = true }".to_owned(),
        Value::Bool(v) if matches!(logical, L::Any | L::Bool) => v.to_string(),
        Value::Bool(v) => format!("{{ bool = {v} }}"),
        Value::Int(v) if matches!(logical, L::Any | L::Int) => v.to_string(),
        Value::Int(v) => format!("{{ int = {v} }}"),
        Value::UInt(v) => match i64::try_from(*v) {
            Ok(v) if logical == L::UInt => v.to_string(),
            Ok(v) => format!("{{ uint = {v} }}"),
            Err(_) => format!("{{ uint = \"{v}\" }}"),
        },
        Value::Decimal(v) => tagged("decimal", logical == L::Decimal, v.as_str()),
        Value::Float(v) if matches!(logical, L::Any | L::Float) => {
            if v.is_nan() {
                "nan".to_owned()
            } else {
                format!("{v:?}")
            }
        }
        Value::Float(v) => format!("{{ float = {v:?} }}"),
        Value::Text(v) => tagged("text", matches!(logical, L::Any | L::Text), v),
        Value::Bytes(v) => tagged("bytes", logical == L::Bytes, &notation::format_hex(v)),
        Value::Date(v) => tagged("date", logical == L::Date, &notation::format_date(*v)),
        Value::Time(v) => tagged("time", logical == L::Time, &notation::format_time(*v)),
        Value::Timestamp(v) => tagged(
            "timestamp",
            logical == L::Timestamp,
            &notation::format_timestamp(*v),
        ),
        Value::TimestampUtc(v) => tagged(
            "timestamp-utc",
            logical == L::TimestampUtc,
            &format!("{}Z", notation::format_timestamp(*v)),
        ),
        Value::Uuid(_) => tagged("uuid", logical == L::Uuid, &value.to_string()),
        Value::Json(v) => tagged("json", logical == L::Json, v),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|i| show_value(L::Any, i)).collect();
            format!("{{ array = [{}] }}", items.join(", "))
        }
        Value::Other(v) => format!(
            "{{ other = {}, bytes = \"{}\" }}",
            text(&v.kind),
            notation::format_hex(&v.bytes)
        ),
    }
}

/// A text as a basic string of TOML, on one line whatever it holds.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Writing to a string cannot fail.
            c if c.is_control() => {
                let _never = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        quote(name)
    }
}

/// Some cells of a table: `{ id = 1, name = "Ada" }`. With `nulls`, NULLs are written as well.
pub(super) fn show_cells<'a>(
    table: &RuleTable,
    cells: impl IntoIterator<Item = (usize, &'a Value)>,
    nulls: bool,
) -> String {
    let cells: Vec<String> = cells
        .into_iter()
        .filter(|(_, value)| nulls || !value.is_null())
        .map(|(i, value)| match table.columns.get(i) {
            Some(column) => {
                format!(
                    "{} = {}",
                    key(&column.name),
                    show_value(column.logical, value)
                )
            }
            None => format!("column {i} = {value}"),
        })
        .collect();
    if cells.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", cells.join(", "))
    }
}

/// A row: `{ id = 1, name = "Ada" }`. NULLs are left out.
#[must_use]
pub fn show_row(table: &RuleTable, row: &[Value]) -> String {
    show_cells(table, row.iter().enumerate(), false)
}

/// A row or `no row`.
#[must_use]
pub fn show_state(table: &RuleTable, row: Option<&Row>) -> String {
    row.map_or_else(|| "no row".to_owned(), |row| show_row(table, row))
}

/// A side: its row and when it was committed.
#[must_use]
pub fn show_side(table: &RuleTable, side: &Side) -> String {
    format!(
        "{}, committed {}",
        show_state(table, side.row.as_ref()),
        side.committed_us.map_or_else(
            || "at an unknown time".to_owned(),
            |us| format!("{}Z", notation::format_timestamp(us))
        )
    )
}

/// A conflict and its verdict as a `[[case]]`.
#[must_use]
pub fn show_conflict(table: &RuleTable, conflict: &Conflict, verdict: Option<&Verdict>) -> String {
    let mut out = String::from("[[case]]\n");
    let mut line = |name: &str, text: &str| {
        // Writing to a string cannot fail.
        let _never = writeln!(out, "{name} = {text}");
    };
    line("kind", &format!("\"{}\"", conflict.kind));
    line("direction", &format!("\"{}\"", conflict.direction.as_str()));
    if !conflict.base_known {
        line("base", "\"unknown\"");
    } else if let Some(row) = &conflict.base {
        line("base", &show_row(table, row));
    }
    for (name, side) in [("source", &conflict.source), ("target", &conflict.target)] {
        if let Some(row) = &side.row {
            line(name, &show_row(table, row));
        }
        if let Some(us) = side.committed_us {
            let at = notation::format_timestamp(us);
            line(&format!("{name}_committed"), &format!("{at}Z"));
        }
    }
    if let Some(verdict) = verdict {
        line("expect", &show_verdict(table, verdict));
    }
    out
}

/// A verdict as `expect` writes it.
pub(super) fn show_verdict(table: &RuleTable, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Source => "\"source\"".to_owned(),
        Verdict::Target => "\"target\"".to_owned(),
        Verdict::Delete => "\"delete\"".to_owned(),
        Verdict::Merged(row) => format!("{{ merged = {} }}", show_row(table, row)),
        Verdict::KeepBoth { .. } => "\"keep-both\"".to_owned(),
        Verdict::Park(why) => {
            format!("{{ park = {} }}", quote(why))
        }
    }
}
