//! Texts, bytes, UUIDs and labels, and the texts of values of other types.

use crate::data::Value;

use super::charset::Charset;
use super::{ODD_DATES, clock, number};

/// What a column of texts holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextForm {
    /// Characters at most.
    pub(super) chars: Option<usize>,
    /// Bytes at most.
    pub(super) bytes: Option<usize>,
    /// What becomes of spaces at the end.
    pub(super) spaces: Spaces,
    /// Of which characters.
    pub(super) charset: Charset,
}

/// What becomes of spaces at the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spaces {
    /// They stay.
    Keep,
    /// They are filled up to the length (PostgreSQL's `character`).
    Fill,
    /// They are taken away (MySQL's `char`).
    Strip,
}

impl TextForm {
    /// The text as the column gives it back; `None`: it cannot hold it.
    pub(super) fn held(&self, text: &str) -> Option<String> {
        let body = match self.spaces {
            Spaces::Keep => text,
            Spaces::Fill | Spaces::Strip => text.trim_end_matches(' '),
        };
        if !body.chars().all(|c| self.charset.has(c)) {
            return None;
        }
        let most = self.chars.unwrap_or(usize::MAX);
        if body.len() > most && body.chars().count() > most {
            return None;
        }
        if self.charset.bytes(body) > self.bytes.unwrap_or(usize::MAX) {
            return None;
        }
        let mut held = body.to_owned();
        if self.spaces == Spaces::Fill {
            let chars = body.chars().count();
            held.extend(std::iter::repeat_n(' ', most.saturating_sub(chars)));
        }
        Some(held)
    }
}

/// A value as text, in the form in which SQLite's columns of texts hold it. `None` for bytes and
/// what has no text.
pub(in crate::database) fn of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Text(v) | Value::Json(v) => v.clone(),
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::UInt(v) => v.to_string(),
        Value::Decimal(v) => v.to_string(),
        Value::Float(v) => number::float_text(*v),
        Value::Date(v) => clock::date_text(*v),
        Value::Time(v) => clock::time_text(*v),
        Value::Timestamp(v) => clock::timestamp_text(*v, ""),
        Value::TimestampUtc(v) => clock::timestamp_text(*v, "Z"),
        Value::Uuid(_) => value.to_string(),
        Value::Other(v) if ODD_DATES.contains(&v.kind.as_str()) => {
            String::from_utf8(v.bytes.clone()).ok()?
        }
        _ => return None,
    })
}

/// The UUID that a value is: 16 bytes, or the usual text in lower case.
pub(super) fn uuid(value: &Value) -> Option<[u8; 16]> {
    match value {
        Value::Uuid(v) => Some(*v),
        Value::Bytes(v) => v.as_slice().try_into().ok(),
        Value::Text(text) if text.len() == 36 && text.is_ascii() => {
            let digits: String = text.split('-').collect();
            let number = u128::from_str_radix(&digits, 16).ok()?;
            let uuid = number.to_be_bytes();
            (Value::Uuid(uuid).to_string() == *text).then_some(uuid)
        }
        _ => None,
    }
}

/// Bytes, padded with zeros to `fixed`; of at most so many.
pub(super) fn bytes(value: &Value, most: usize, fixed: bool) -> Option<Vec<u8>> {
    let mut bytes = match value {
        Value::Bytes(v) => v.clone(),
        Value::Uuid(v) => v.to_vec(),
        _ => return None,
    };
    if bytes.len() > most {
        return None;
    }
    if fixed {
        bytes.resize(most, 0);
    }
    Some(bytes)
}

/// Labels of a `set`, in the order and with the number that the column gives them back in.
pub(super) fn set(text: &str, labels: &[String]) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    let given: Vec<&str> = text.split(',').collect();
    if !given.iter().all(|g| labels.iter().any(|l| l == g)) {
        return None;
    }
    let held: Vec<&str> = labels
        .iter()
        .map(String::as_str)
        .filter(|l| given.contains(l))
        .collect();
    Some(held.join(","))
}
