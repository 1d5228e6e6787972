//! A column's value in the log, as the very value that reading it by SQL gives.

use crate::data::{OtherValue, Value};

use super::charset::Charset;
use super::moment;
use super::wire::{DIGIT_BYTES, Wire, big, little};
use super::{inet, jsonb};
use crate::database::mysql::kind::{self, Kind};

/// How a captured column's values are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Int { bytes: u8, unsigned: bool },
    Float,
    Double,
    Decimal { precision: u8, scale: u8 },
    Text(Charset),
    Enum(Vec<String>),
    Set(Vec<String>),
    Binary(usize),
    Bytes,
    Bit,
    Date,
    Year { short: bool },
    Time(u8),
    Datetime(u8),
    Timestamp(u8),
    OldTime,
    OldDatetime,
    OldTimestamp,
    Json,
    Uuid,
    Inet4,
    Inet6,
}

/// Why a column cannot be captured at all, whatever the log holds; `None`: it can.
pub(super) fn refusal(kind: &Kind, declared: &str) -> Option<String> {
    if kind::is_compressed(declared) {
        return Some("it is a compressed column, which the binary log holds compressed".to_owned());
    }
    match kind {
        Kind::Char { charset } | Kind::Text { charset } if Charset::of(charset).is_none() => Some(
            format!("its character set is {charset}, which cannot be read from the binary log"),
        ),
        Kind::Other => Some(format!("its type {declared} is not known")),
        _ => None,
    }
}

impl Cell {
    /// Of a column of this kind that the log lays out so. Fails with what is different when the
    /// log's column is another one.
    pub(super) fn new(kind: &Kind, declared: &str, wire: Wire) -> Result<Self, String> {
        if let Some(refusal) = refusal(kind, declared) {
            return Err(refusal);
        }
        let text = |charset: &str| {
            Charset::of(charset)
                .map(Self::Text)
                .ok_or_else(|| format!("the character set {charset}"))
        };
        let labels = |bytes: u8, labels: &[String], most: usize| labels.len() <= most && bytes <= 8;
        Ok(match (kind, wire) {
            (&Kind::Int { bytes, unsigned }, Wire::Int(n)) if n == bytes => {
                Self::Int { bytes, unsigned }
            }
            (
                &Kind::Decimal { precision, scale },
                Wire::Decimal {
                    precision: p,
                    scale: s,
                },
            ) if (p, s) == (precision, scale) => Self::Decimal { precision, scale },
            (Kind::Float, Wire::Float) => Self::Float,
            (Kind::Double, Wire::Double) => Self::Double,
            (Kind::Char { charset }, Wire::Fixed { .. })
            | (Kind::Text { charset }, Wire::Varying { .. } | Wire::Blob(_)) => text(charset)?,
            (Kind::Enum { labels: all }, Wire::Enum(n)) if labels(n, all, 65_535) => {
                Self::Enum(all.clone())
            }
            (Kind::Set { labels: all }, Wire::Set(n)) if labels(n, all, 64) => {
                Self::Set(all.clone())
            }
            (&Kind::Binary { length }, Wire::Fixed { max }) if length == usize::from(max) => {
                Self::Binary(length)
            }
            (Kind::Bytes, Wire::Varying { .. } | Wire::Blob(_))
            | (Kind::Geometry, Wire::Geometry(_) | Wire::Blob(_)) => Self::Bytes,
            (&Kind::Bit { bits }, Wire::Bit(n)) if u16::from(bits) == n => Self::Bit,
            (Kind::Date, Wire::Date) => Self::Date,
            (&Kind::Datetime { fraction }, Wire::Datetime(n)) if n == fraction => Self::Datetime(n),
            (&Kind::Timestamp { fraction }, Wire::Timestamp(n)) if n == fraction => {
                Self::Timestamp(n)
            }
            (&Kind::Time { fraction }, Wire::Time(n)) if n == fraction => Self::Time(n),
            (Kind::Datetime { fraction: 0 }, Wire::OldDatetime) => Self::OldDatetime,
            (Kind::Timestamp { fraction: 0 }, Wire::OldTimestamp) => Self::OldTimestamp,
            (Kind::Time { fraction: 0 }, Wire::OldTime) => Self::OldTime,
            (Kind::Year, Wire::Year) => Self::Year {
                short: declared.starts_with("year(2)"),
            },
            (Kind::Json, Wire::Json(_)) => Self::Json,
            (Kind::Uuid, Wire::Fixed { max: 16 }) => Self::Uuid,
            (Kind::Inet4, Wire::Fixed { max: 4 }) => Self::Inet4,
            (Kind::Inet6, Wire::Fixed { max: 16 }) => Self::Inet6,
            _ => return Err(format!("{declared}, but the log holds {wire:?}")),
        })
    }

    /// The value of these bytes.
    pub(super) fn value(&self, raw: &[u8]) -> Result<Value, String> {
        let short = || format!("a value of {} bytes", raw.len());
        Ok(match self {
            Self::Int { bytes, unsigned } => {
                let number = little(raw);
                if *unsigned {
                    i64::try_from(number).map_or(Value::UInt(number), Value::Int)
                } else {
                    let spare = 64 - 8 * u32::from(*bytes);
                    Value::Int((number << spare).cast_signed() >> spare)
                }
            }
            Self::Float => {
                let bytes = raw.try_into().map_err(|_| short())?;
                Value::Float(f64::from(f32::from_le_bytes(bytes)))
            }
            Self::Double => Value::Float(f64::from_le_bytes(raw.try_into().map_err(|_| short())?)),
            Self::Decimal { precision, scale } => Value::Decimal(
                digits(raw, *precision, *scale)
                    .ok_or_else(short)?
                    .parse()
                    .map_err(|_| "a decimal that is no number".to_owned())?,
            ),
            Self::Text(charset) => charset.value(raw)?,
            Self::Enum(labels) => {
                let number = usize::try_from(little(raw)).map_err(|_| short())?;
                Value::Text(match number.checked_sub(1) {
                    // What an invalid value became.
                    None => String::new(),
                    Some(i) => labels
                        .get(i)
                        .ok_or_else(|| format!("label number {number} of {}", labels.len()))?
                        .clone(),
                })
            }
            Self::Set(labels) => {
                let bits = little(raw);
                if labels.len() < 64 && bits >> labels.len() != 0 {
                    return Err(format!("the bits {bits:#x} for {} labels", labels.len()));
                }
                let mut text = String::new();
                for label in (0..labels.len()).filter(|i| bits >> i & 1 == 1) {
                    if !text.is_empty() {
                        text.push(',');
                    }
                    text.push_str(&labels[label]);
                }
                Value::Text(text)
            }
            Self::Binary(length) => Value::Bytes(padded(raw, *length).ok_or_else(short)?),
            Self::Bytes => Value::Bytes(raw.to_vec()),
            Self::Bit => {
                let number = big(raw);
                i64::try_from(number).map_or(Value::UInt(number), Value::Int)
            }
            Self::Date => moment::date(little(raw)).ok_or_else(short)?,
            Self::Year { short } => Value::Int(match little(raw) {
                0 => 0,
                years if *short => years.cast_signed() % 100,
                years => 1900 + years.cast_signed(),
            }),
            Self::Time(fraction) => moment::time(raw, *fraction).ok_or_else(short)?,
            Self::Datetime(fraction) => moment::datetime(raw, *fraction).ok_or_else(short)?,
            Self::Timestamp(fraction) => moment::timestamp(raw, *fraction).ok_or_else(short)?,
            Self::OldTime => moment::old_time(little(raw)).ok_or_else(short)?,
            Self::OldDatetime => moment::old_datetime(little(raw)).ok_or_else(short)?,
            Self::OldTimestamp => moment::of_seconds(little(raw), 0, 0),
            Self::Json => Value::Json(jsonb::text(raw)?),
            Self::Uuid => {
                let bytes = padded(raw, 16).and_then(|b| b.try_into().ok());
                Value::Uuid(bytes.ok_or_else(short)?)
            }
            Self::Inet4 => {
                let bytes: Option<[u8; 4]> = padded(raw, 4).and_then(|b| b.try_into().ok());
                Value::Text(inet::v4(bytes.ok_or_else(short)?))
            }
            Self::Inet6 => {
                let bytes: Option<[u8; 16]> = padded(raw, 16).and_then(|b| b.try_into().ok());
                Value::Text(inet::v6(bytes.ok_or_else(short)?))
            }
        })
    }
}

/// A value that is carried as the server's text because it is none of its kind.
pub(super) fn other(kind: &str, text: String) -> Value {
    Value::Other(Box::new(OtherValue {
        kind: kind.to_owned(),
        bytes: text.into_bytes(),
    }))
}

/// The log strips zero bytes from the end of fixed-length values.
fn padded(raw: &[u8], length: usize) -> Option<Vec<u8>> {
    let missing = length.checked_sub(raw.len())?;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(raw);
    bytes.resize(raw.len() + missing, 0);
    Some(bytes)
}

/// A packed decimal's digits.
pub(super) fn digits(raw: &[u8], precision: u8, scale: u8) -> Option<String> {
    let first = *raw.first()?;
    let negative = first & 0x80 == 0;
    let flip = if negative { 0xff } else { 0 };
    let mut bytes = raw
        .iter()
        .enumerate()
        .map(|(i, byte)| byte ^ flip ^ if i == 0 { 0x80 } else { 0 });
    let mut text = String::with_capacity(usize::from(precision) + 3);
    if negative {
        text.push('-');
    }
    let mut group = |text: &mut String, width: usize| -> Option<()> {
        let mut number: u32 = 0;
        for _ in 0..DIGIT_BYTES[width] {
            number = number << 8 | u32::from(bytes.next()?);
        }
        if width > 0 {
            use std::fmt::Write;
            write!(text, "{number:0width$}").ok()?;
        }
        Some(())
    };
    let whole = usize::from(precision.checked_sub(scale)?);
    let scale = usize::from(scale);
    if whole == 0 {
        text.push('0');
    }
    group(&mut text, whole % 9)?;
    for _ in 0..whole / 9 {
        group(&mut text, 9)?;
    }
    if scale > 0 {
        text.push('.');
    }
    for _ in 0..scale / 9 {
        group(&mut text, 9)?;
    }
    group(&mut text, scale % 9)?;
    Some(text)
}

#[cfg(test)]
mod tests;
