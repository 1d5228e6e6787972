//! Cells: what a column's wire values are, and how a cell is written so that the column holds
//! exactly it.
//!
//! The servers bend without a word what does not fit quite: they round decimals and fractions of
//! seconds, strip trailing spaces, take a label in another case. What would come back as another
//! value is refused here, before it is written. Every cell of a column has one wire type, whatever
//! its value: integers, doubles, or text. (A bulk statement sends the types once.)

use mysql_async::Value as Wire;

use crate::data::canonical::ValueRef;
use crate::data::{Column, Decimal, OtherValue, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::ConflictKind;

use super::calendar;
use super::kind::Kind;

/// Reads and writes the cells of one column.
#[derive(Clone, Debug)]
pub(super) struct Codec {
    name: String,
    kind: Kind,
    declared: String,
    nullable: bool,
    /// Length of a text in characters, of bytes in bytes.
    length: Option<usize>,
    /// `float(7,3)`: digits behind the point.
    digits: Option<i32>,
}

/// Why a column cannot hold a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Misfit {
    /// The kind of conflict.
    pub(super) kind: ConflictKind,
    /// Which column, and why.
    pub(super) reason: String,
}

impl Codec {
    /// For a column. Fails with `Schema` for a type that cannot be carried.
    pub(super) fn of(column: &Column) -> Result<Self> {
        let kind = Kind::of(column);
        if kind == Kind::Other {
            return Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "column {} has the type {}, which cannot be carried",
                    column.name, column.declared_type
                ),
            )
            .hint("leave the column out of the mapping"));
        }
        let mut numbers = column
            .declared_type
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(inside, _)| inside.split(',').map(|n| n.trim().parse::<usize>().ok()))
            .into_iter()
            .flatten();
        let first = numbers.next().flatten();
        let second = numbers.next().flatten();
        let head = column
            .declared_type
            .split(|c: char| !c.is_ascii_alphabetic())
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let length = match (head.as_str(), &kind) {
            ("char" | "varchar" | "binary" | "varbinary", _) => first.or(Some(1)),
            ("tinytext" | "tinyblob", _) => Some(255),
            ("text" | "blob", _) => Some(65_535),
            ("mediumtext" | "mediumblob", _) => Some(16_777_215),
            _ => None,
        };
        Ok(Self {
            name: column.name.clone(),
            digits: match kind {
                Kind::Float | Kind::Double => second.and_then(|d| i32::try_from(d).ok()),
                _ => None,
            },
            kind,
            declared: column.declared_type.clone(),
            nullable: column.nullable,
            length,
        })
    }

    /// The column's kind.
    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// A cell as the binary protocol delivers it.
    pub(super) fn decode(&self, wire: Wire) -> Result<Value> {
        let odd = |wire: &Wire| {
            Error::new(
                ErrorKind::Value,
                format!(
                    "column {} of type {} was delivered as {}",
                    self.name,
                    self.declared,
                    wire_name(wire)
                ),
            )
        };
        Ok(match (&self.kind, wire) {
            (_, Wire::NULL) => Value::Null,
            (Kind::Int { .. } | Kind::Year, Wire::Int(v)) => Value::Int(v),
            (Kind::Int { .. } | Kind::Year, Wire::UInt(v)) => unsigned(v),
            (Kind::Bit { .. }, Wire::Bytes(v)) if v.len() <= 8 => {
                unsigned(v.iter().fold(0, |all, &byte| all << 8 | u64::from(byte)))
            }
            (Kind::Decimal { .. }, Wire::Bytes(v)) => {
                let text =
                    String::from_utf8(v).map_err(|e| odd(&Wire::NULL).caused_by(e.utf8_error()))?;
                Value::Decimal(text.parse::<Decimal>()?)
            }
            (Kind::Float, Wire::Float(v)) => Value::Float(f64::from(v)),
            (Kind::Double, Wire::Double(v)) => Value::Float(v),
            (
                Kind::Char { .. }
                | Kind::Text { .. }
                | Kind::Enum { .. }
                | Kind::Set { .. }
                | Kind::Inet4
                | Kind::Inet6,
                Wire::Bytes(v),
            ) => text(v),
            (Kind::Json, Wire::Bytes(v)) => match text(v) {
                Value::Text(v) => Value::Json(v),
                other => other,
            },
            (Kind::Binary { .. } | Kind::Bytes | Kind::Geometry, Wire::Bytes(v)) => Value::Bytes(v),
            (Kind::Uuid, Wire::Bytes(v)) => Value::Uuid(uuid(&v).ok_or_else(|| odd(&Wire::NULL))?),
            (Kind::Date, Wire::Date(y, m, d, ..)) => calendar::days(y, m, d).map_or_else(
                || other("date", calendar::odd_date_text((y, m, d))),
                Value::Date,
            ),
            (
                Kind::Datetime { fraction } | Kind::Timestamp { fraction },
                Wire::Date(y, m, d, h, i, s, us),
            ) => match calendar::timestamp((y, m, d), (h, i, s, us)) {
                Some(v) if matches!(self.kind, Kind::Datetime { .. }) => Value::Timestamp(v),
                Some(v) => Value::TimestampUtc(v),
                None => other(
                    "datetime",
                    calendar::odd_timestamp_text((y, m, d), (h, i, s, us), *fraction),
                ),
            },
            (Kind::Time { .. }, Wire::Time(negative, days, h, m, s, us)) => {
                let v = calendar::time_us(days, (h, m, s, us));
                Value::Time(if negative { -v } else { v })
            }
            (_, wire) => return Err(odd(&wire)),
        })
    }

    /// A cell as a parameter, if the column can hold exactly it.
    pub(super) fn encode(&self, cell: ValueRef<'_>) -> Result<Wire, Misfit> {
        if matches!(cell, ValueRef::Null | ValueRef::Value(Value::Null)) {
            // NULL would become the current time or the next number in some columns.
            return if self.nullable {
                Ok(Wire::NULL)
            } else {
                Err(Misfit {
                    kind: ConflictKind::NotNullViolation,
                    reason: format!("column {} cannot be NULL", self.name),
                })
            };
        }
        self.encode_value(cell).ok_or_else(|| Misfit {
            kind: ConflictKind::ValueNotRepresentable,
            reason: format!(
                "column {} of type {} cannot hold the {} {}",
                self.name,
                self.declared,
                cell.to_value().type_name(),
                shown(&cell.to_value())
            ),
        })
    }

    fn encode_value(&self, cell: ValueRef<'_>) -> Option<Wire> {
        match (&self.kind, cell) {
            (
                Kind::Int {
                    unsigned: false, ..
                },
                ValueRef::Int(v),
            ) => Some(Wire::Int(v)),
            (Kind::Int { unsigned: true, .. } | Kind::Bit { .. }, ValueRef::Int(v)) => {
                u64::try_from(v).ok().map(Wire::UInt)
            }
            (
                Kind::Int { unsigned: true, .. } | Kind::Bit { .. },
                ValueRef::Value(Value::UInt(v)),
            ) => Some(Wire::UInt(*v)),
            // Numbers of one or two digits would become years of this century or the last.
            (Kind::Year, ValueRef::Int(v)) => {
                (v == 0 || (1901..=2155).contains(&v)).then_some(Wire::Int(v))
            }
            (Kind::Decimal { precision, scale }, ValueRef::Value(Value::Decimal(v))) => {
                fits(v, *precision, *scale).then(|| Wire::Bytes(v.as_str().as_bytes().to_vec()))
            }
            (Kind::Float | Kind::Double, ValueRef::Float(v)) => self.float(v),
            (Kind::Char { charset }, ValueRef::Text(v)) => {
                let whole = !v.ends_with(' ') && self.length_fits(v, charset);
                whole.then(|| bytes(v))
            }
            (Kind::Text { charset }, ValueRef::Text(v)) => {
                self.length_fits(v, charset).then(|| bytes(v))
            }
            (Kind::Enum { labels }, ValueRef::Text(v)) => {
                labels.iter().any(|l| l == v).then(|| bytes(v))
            }
            (Kind::Set { labels }, ValueRef::Text(v)) => is_set(v, labels).then(|| bytes(v)),
            (Kind::Inet4 | Kind::Inet6, ValueRef::Text(v)) => Some(bytes(v)),
            (Kind::Json, ValueRef::Value(Value::Json(v))) => Some(bytes(v)),
            (Kind::Binary { length }, ValueRef::Bytes(v)) => {
                (v.len() == *length).then(|| Wire::Bytes(v.to_vec()))
            }
            (Kind::Bytes | Kind::Geometry, ValueRef::Bytes(v)) => self
                .length
                .is_none_or(|most| v.len() <= most)
                .then(|| Wire::Bytes(v.to_vec())),
            (Kind::Uuid, ValueRef::Value(v @ Value::Uuid(_))) => Some(bytes(&v.to_string())),
            (Kind::Date, ValueRef::Value(Value::Date(v))) => {
                calendar::date_text(i64::from(*v)).map(|v| bytes(&v))
            }
            (Kind::Datetime { fraction }, ValueRef::Value(Value::Timestamp(v)))
            | (Kind::Timestamp { fraction }, ValueRef::Value(Value::TimestampUtc(v))) => {
                if !calendar::fits_fraction(*v, *fraction) {
                    return None;
                }
                calendar::timestamp_text(*v).map(|v| bytes(&v))
            }
            (Kind::Time { fraction }, ValueRef::Value(Value::Time(v))) => {
                calendar::fits_fraction(*v, *fraction).then(|| bytes(&calendar::time_text(*v)))
            }
            (Kind::Date, ValueRef::Value(Value::Other(v))) if v.kind == "date" => {
                Some(Wire::Bytes(v.bytes.clone()))
            }
            (Kind::Datetime { .. } | Kind::Timestamp { .. }, ValueRef::Value(Value::Other(v)))
                if v.kind == "datetime" =>
            {
                Some(Wire::Bytes(v.bytes.clone()))
            }
            _ => None,
        }
    }

    /// Floats of `float` have 32 bits, those of `double(10,2)` two digits behind the point.
    fn float(&self, v: f64) -> Option<Wire> {
        #[expect(clippy::cast_possible_truncation, reason = "compared with what it was")]
        let narrow = f64::from(v as f32);
        let exact = self.kind == Kind::Double || narrow.to_bits() == v.to_bits();
        let rounded = self.digits.is_none_or(|digits| {
            let power = 10_f64.powi(digits);
            let held = (v * power).round() / power;
            #[expect(clippy::cast_possible_truncation, reason = "the column is that narrow")]
            let held = if self.kind == Kind::Float {
                f64::from(held as f32)
            } else {
                held
            };
            held.to_bits() == v.to_bits()
        });
        // MariaDB keeps no sign of zero.
        let negative_zero = v == 0.0 && v.is_sign_negative();
        (v.is_finite() && exact && rounded && !negative_zero).then_some(Wire::Double(v))
    }

    /// The server cuts spaces off the end of what is too long, and says nothing.
    fn length_fits(&self, text: &str, charset: &str) -> bool {
        let Some(most) = self.length else { return true };
        if text.len() <= most {
            return true;
        }
        let by_characters = matches!(
            self.declared.as_bytes().first(),
            Some(b'c' | b'v' | b'C' | b'V')
        );
        let wide = matches!(charset, "utf8mb4" | "utf8mb3" | "utf8");
        if by_characters || !wide {
            text.chars().count() <= most
        } else {
            false
        }
    }
}

fn bytes(text: &str) -> Wire {
    Wire::Bytes(text.as_bytes().to_vec())
}

/// One number, one case.
fn unsigned(v: u64) -> Value {
    i64::try_from(v).map_or(Value::UInt(v), Value::Int)
}

fn text(v: Vec<u8>) -> Value {
    match String::from_utf8(v) {
        Ok(v) => Value::Text(v),
        Err(e) => Value::Other(Box::new(OtherValue {
            kind: "text".to_owned(),
            bytes: e.into_bytes(),
        })),
    }
}

fn other(kind: &str, text: String) -> Value {
    Value::Other(Box::new(OtherValue {
        kind: kind.to_owned(),
        bytes: text.into_bytes(),
    }))
}

/// A UUID in its usual spelling.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut digits = text.iter().filter(|&&b| b != b'-');
    let mut out = [0; 16];
    for byte in &mut out {
        let mut digit = || char::from(*digits.next()?).to_digit(16);
        *byte = u8::try_from(digit()? << 4 | digit()?).ok()?;
    }
    digits.next().is_none().then_some(out)
}

/// Whether a decimal is kept as it is.
fn fits(v: &Decimal, precision: u8, scale: u8) -> bool {
    let text = v.normalized().trim_start_matches('-');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.trim_start_matches('0');
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && fraction.len() <= usize::from(scale)
        && whole.len() + usize::from(scale) <= usize::from(precision)
}

/// Whether the text is labels of the set, in its order, none twice.
fn is_set(text: &str, labels: &[String]) -> bool {
    let mut rest = labels.iter();
    text.is_empty()
        || text
            .split(',')
            .all(|label| rest.any(|known| known == label))
}

/// A value for a message, not longer than a line.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn wire_name(wire: &Wire) -> &'static str {
    match wire {
        Wire::NULL => "something unreadable",
        Wire::Bytes(_) => "bytes",
        Wire::Int(_) | Wire::UInt(_) => "an integer",
        Wire::Float(_) | Wire::Double(_) => "a float",
        Wire::Date(..) => "a date",
        Wire::Time(..) => "a time",
    }
}

#[cfg(test)]
mod tests;
