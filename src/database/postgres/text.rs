//! The server's text output as values.
//!
//! The text is what the type's output function gives under the session settings that
//! [`super::replication`] makes: ISO dates, UTC, bytes as hex, floats with all their digits. Every
//! text is read to exactly one value or refused.

use crate::data::{Decimal, Value};
use crate::error::{Error, ErrorKind, Result};

use super::kind::Kind;

const DAY_US: i64 = 86_400_000_000;

/// Reads one value. Fails with `Value` when the text is none of this kind.
pub(super) fn value(kind: Kind, text: &[u8]) -> Result<Value> {
    let value = match kind {
        Kind::Bool => match text {
            b"t" => Some(Value::Bool(true)),
            b"f" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Int2 => int(text, i64::from(i16::MIN), i64::from(i16::MAX)).map(Value::Int),
        Kind::Int4 => int(text, i64::from(i32::MIN), i64::from(i32::MAX)).map(Value::Int),
        Kind::Int8 => int(text, i64::MIN, i64::MAX).map(Value::Int),
        Kind::Oid => int(text, 0, i64::from(u32::MAX)).map(Value::Int),
        Kind::Numeric => utf8(text)?.parse::<Decimal>().ok().map(Value::Decimal),
        Kind::Float4 => utf8(text)?
            .parse::<f32>()
            .ok()
            .map(|v| Value::Float(f64::from(v))),
        Kind::Float8 => utf8(text)?.parse::<f64>().ok().map(Value::Float),
        Kind::Text | Kind::Other => Some(Value::Text(utf8(text)?.to_owned())),
        Kind::Json | Kind::Jsonb => Some(Value::Json(utf8(text)?.to_owned())),
        Kind::Bytea => bytes(text).map(Value::Bytes),
        Kind::Uuid => uuid(text).map(Value::Uuid),
        Kind::Date => date(text).map(Value::Date),
        Kind::Time => time(text)
            .filter(|(us, rest)| rest.is_empty() && *us <= DAY_US)
            .map(|(us, _)| Value::Time(us)),
        Kind::Timestamp => timestamp(text, false).map(Value::Timestamp),
        Kind::TimestampTz => timestamp(text, true).map(Value::TimestampUtc),
    };
    value.ok_or_else(|| wrong(kind, text))
}

fn wrong(kind: Kind, text: &[u8]) -> Error {
    let shown: String = String::from_utf8_lossy(text).chars().take(80).collect();
    Error::new(
        ErrorKind::Value,
        format!("{shown:?} cannot be carried as a value of the kind {kind:?}"),
    )
}

fn utf8(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|cause| {
        Error::new(
            ErrorKind::Value,
            "the server gave a text that is not UTF-8; the database's encoding is SQL_ASCII",
        )
        .hint("convert the database to UTF8, or take the column out of the mapping")
        .caused_by(cause)
    })
}

/// A whole number between `min` and `max`: digits with at most a minus before them.
fn int(text: &[u8], min: i64, max: i64) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Counted downwards: there is one more negative number than there are positive ones.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if !negative {
        value = value.checked_neg()?;
    }
    (min..=max).contains(&value).then_some(value)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"\\x")?;
    if digits.len() % 2 != 0 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        out.push(hex(pair[0])? << 4 | hex(pair[1])?);
    }
    Some(out)
}

fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let mut out = [0; 16];
    let mut at = 0;
    for (i, byte) in out.iter_mut().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            if text[at] != b'-' {
                return None;
            }
            at += 1;
        }
        *byte = hex(text[at])? << 4 | hex(text[at + 1])?;
        at += 2;
    }
    Some(out)
}

/// Two digits at the beginning.
fn two(text: &[u8]) -> Option<(i64, &[u8])> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', rest @ ..] => {
            Some((i64::from(a - b'0') * 10 + i64::from(b - b'0'), rest))
        }
        _ => None,
    }
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar, in which 1 BC is the year 0.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `YYYY-MM-DD` at the beginning, with four or more digits of year.
fn day(text: &[u8], before_christ: bool) -> Option<(i64, &[u8])> {
    let end = text.iter().position(|&b| b == b'-')?;
    if end < 4 {
        return None;
    }
    let year = int(&text[..end], 1, 9_999_999)?;
    let (month, rest) = two(&text[end + 1..])?;
    let (day, rest) = two(rest.strip_prefix(b"-")?)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if before_christ { 1 - year } else { year };
    Some((days(year, month, day), rest))
}

fn date(text: &[u8]) -> Option<i32> {
    match text {
        b"infinity" => return Some(i32::MAX),
        b"-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let (text, before_christ) = before_christ(text);
    let (days, rest) = day(text, before_christ)?;
    if !rest.is_empty() {
        return None;
    }
    i32::try_from(days)
        .ok()
        .filter(|days| !matches!(*days, i32::MIN | i32::MAX))
}

fn before_christ(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC")
        .map_or((text, false), |text| (text, true))
}

/// `HH:MM:SS[.ffffff]` at the beginning, in microseconds.
fn time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = two(text)?;
    let (minute, rest) = two(rest.strip_prefix(b":")?)?;
    let (second, mut rest) = two(rest.strip_prefix(b":")?)?;
    if hour > 24 || minute > 59 || second > 59 {
        return None;
    }
    let mut us = ((hour * 60 + minute) * 60 + second) * 1_000_000;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=6).contains(&digits) {
            return None;
        }
        let mut unit = 100_000;
        for byte in &fraction[..digits] {
            us += i64::from(byte - b'0') * unit;
            unit /= 10;
        }
        rest = &fraction[digits..];
    }
    Some((us, rest))
}

/// `±HH[:MM[:SS]]`, in microseconds east of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    let (&sign, rest) = text.split_first()?;
    let (hours, mut rest) = two(rest)?;
    let mut seconds = hours * 3600;
    for unit in [60, 1] {
        if rest.is_empty() {
            break;
        }
        let (part, behind) = two(rest.strip_prefix(b":")?)?;
        seconds += part * unit;
        rest = behind;
    }
    match sign {
        b'+' if rest.is_empty() => Some(seconds * 1_000_000),
        b'-' if rest.is_empty() => Some(-seconds * 1_000_000),
        _ => None,
    }
}

/// `None` also for the last thirty years that the server can hold: in microseconds since 1970 they
/// are beyond 64 bits.
fn timestamp(text: &[u8], zoned: bool) -> Option<i64> {
    match text {
        b"infinity" => return Some(i64::MAX),
        b"-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (text, before_christ) = before_christ(text);
    let (days, rest) = day(text, before_christ)?;
    let (us, rest) = time(rest.strip_prefix(b" ")?)?;
    let east = if zoned {
        zone(rest)?
    } else if rest.is_empty() {
        0
    } else {
        return None;
    };
    days.checked_mul(DAY_US)?
        .checked_add(us - east)
        .filter(|us| !matches!(*us, i64::MIN | i64::MAX))
}

#[cfg(test)]
mod tests;
