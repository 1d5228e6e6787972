//! The canonical byte encoding of values, keys and rows.
//!
//! Used wherever bytes stand for content: checksums, set hashes, key identity across processes,
//! rows and keys in Banyan's own tables. Two rows have the same bytes exactly when they have the
//! same values in the same columns: every value carries its type tag and its length, so no
//! delimiter can be faked, NULL is not empty, and a value cannot slide into the next column.
//!
//! ```text
//! value   = tag:u8 length:u32le payload[length]
//! row,key = value value …               (the columns are agreed on outside)
//!
//! tag  type           payload
//! 0x00 null           (empty)
//! 0x01 bool           1 byte, 0 or 1
//! 0x02 int            shortest two's complement, big endian, at least 1 byte
//! 0x03 uint           as int when it fits i64 (then tag 0x02), else 8 bytes big endian
//! 0x04 decimal        ASCII digits without trailing zeros of the fraction ("1.5", "-0.05", "7")
//! 0x05 float          8 bytes big endian, IEEE 754 bits as they are
//! 0x06 text           UTF-8
//! 0x07 bytes          the bytes
//! 0x08 date           days, as int
//! 0x09 time           microseconds, as int
//! 0x0a timestamp      microseconds, as int
//! 0x0b timestamp-utc  microseconds, as int
//! 0x0c uuid           16 bytes
//! 0x0d json           the text
//! 0x0e array          values one after the other
//! 0x0f other          u32le length of the type's name, the name, the engine's bytes
//! ```
//!
//! Test vectors (hex):
//!
//! ```text
//! NULL          00 00000000
//! ''            06 00000000
//! 'NULL'        06 04000000 4e554c4c
//! 0             02 01000000 00
//! 128           02 02000000 0080
//! -1            02 01000000 ff
//! 0.3           05 08000000 3fd3333333333333
//! 0.1+0.2       05 08000000 3fd3333333333334
//! -0.0          05 08000000 8000000000000000
//! 1.50 decimal  04 03000000 312e35
//! true          01 01000000 01
//! x'00ff'       07 02000000 00ff
//! ```
//!
//! [`encode_exact`] writes the same form but keeps what equality ignores (the scale of a decimal,
//! the signedness of an integer), for rows that must be written back as they were.

use crate::error::{Error, ErrorKind, Result};

use super::{Decimal, OtherValue, Value};

/// A borrowed cell; what readers hand out without copying.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// See [`Value::Int`].
    Int(i64),
    /// See [`Value::Float`].
    Float(f64),
    /// See [`Value::Text`].
    Text(&'a str),
    /// See [`Value::Bytes`].
    Bytes(&'a [u8]),
    /// Any other case.
    Value(&'a Value),
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(v: &'a Value) -> Self {
        match v {
            Value::Null => Self::Null,
            Value::Int(v) => Self::Int(*v),
            Value::Float(v) => Self::Float(*v),
            Value::Text(v) => Self::Text(v),
            Value::Bytes(v) => Self::Bytes(v),
            other => Self::Value(other),
        }
    }
}

impl ValueRef<'_> {
    /// An owned copy.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Int(v) => Value::Int(v),
            Self::Float(v) => Value::Float(v),
            Self::Text(v) => Value::Text(v.to_owned()),
            Self::Bytes(v) => Value::Bytes(v.to_vec()),
            Self::Value(v) => v.clone(),
        }
    }
}

const NULL: u8 = 0x00;
const BOOL: u8 = 0x01;
const INT: u8 = 0x02;
const UINT: u8 = 0x03;
const DECIMAL: u8 = 0x04;
const FLOAT: u8 = 0x05;
const TEXT: u8 = 0x06;
const BYTES: u8 = 0x07;
const DATE: u8 = 0x08;
const TIME: u8 = 0x09;
const TIMESTAMP: u8 = 0x0a;
const TIMESTAMP_UTC: u8 = 0x0b;
const UUID: u8 = 0x0c;
const JSON: u8 = 0x0d;
const ARRAY: u8 = 0x0e;
const OTHER: u8 = 0x0f;

/// Bytes before the payload: the tag, and the payload's length.
const HEAD: usize = 5;

fn put(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.push(tag);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(payload);
}

fn put_int(out: &mut Vec<u8>, tag: u8, v: i64) {
    let bytes = v.to_be_bytes();
    let mut skip = 0;
    while skip < 7 {
        let sign = bytes[skip + 1] & 0x80 != 0;
        if bytes[skip] == 0 && !sign || bytes[skip] == 0xff && sign {
            skip += 1;
        } else {
            break;
        }
    }
    put(out, tag, &bytes[skip..]);
}

/// Appends one value in canonical form.
pub fn encode_value<'a>(out: &mut Vec<u8>, value: impl Into<ValueRef<'a>>) {
    encode_with(out, value.into(), false);
}

/// Appends one value as [`encode_exact`] writes it.
pub fn encode_value_exact<'a>(out: &mut Vec<u8>, value: impl Into<ValueRef<'a>>) {
    encode_with(out, value.into(), true);
}

fn encode_with(out: &mut Vec<u8>, value: ValueRef<'_>, exact: bool) {
    match value {
        ValueRef::Null => put(out, NULL, &[]),
        ValueRef::Int(v) => put_int(out, INT, v),
        ValueRef::Float(v) => put(out, FLOAT, &v.to_bits().to_be_bytes()),
        ValueRef::Text(v) => put(out, TEXT, v.as_bytes()),
        ValueRef::Bytes(v) => put(out, BYTES, v),
        ValueRef::Value(v) => match v {
            Value::Null => put(out, NULL, &[]),
            Value::Bool(v) => put(out, BOOL, &[u8::from(*v)]),
            Value::Int(v) => put_int(out, INT, *v),
            Value::UInt(v) => match i64::try_from(*v) {
                Ok(v) if !exact => put_int(out, INT, v),
                _ => put(out, UINT, &v.to_be_bytes()),
            },
            Value::Decimal(v) => put(
                out,
                DECIMAL,
                if exact { v.as_str() } else { v.normalized() }.as_bytes(),
            ),
            Value::Float(v) => put(out, FLOAT, &v.to_bits().to_be_bytes()),
            Value::Text(v) => put(out, TEXT, v.as_bytes()),
            Value::Bytes(v) => put(out, BYTES, v),
            Value::Date(v) => put_int(out, DATE, i64::from(*v)),
            Value::Time(v) => put_int(out, TIME, *v),
            Value::Timestamp(v) => put_int(out, TIMESTAMP, *v),
            Value::TimestampUtc(v) => put_int(out, TIMESTAMP_UTC, *v),
            Value::Uuid(v) => put(out, UUID, v),
            Value::Json(v) => put(out, JSON, v.as_bytes()),
            Value::Array(items) => {
                let mut inner = Vec::new();
                for item in items {
                    encode_with(&mut inner, item.into(), exact);
                }
                put(out, ARRAY, &inner);
            }
            Value::Other(v) => {
                let mut inner = Vec::with_capacity(4 + v.kind.len() + v.bytes.len());
                inner.extend_from_slice(
                    &u32::try_from(v.kind.len())
                        .unwrap_or(u32::MAX)
                        .to_le_bytes(),
                );
                inner.extend_from_slice(v.kind.as_bytes());
                inner.extend_from_slice(&v.bytes);
                put(out, OTHER, &inner);
            }
        },
    }
}

/// Appends one value in canonical form, given as [`encode_value_exact`] wrote it, without decoding it
/// where the two forms are one.
pub fn encode_from_exact(out: &mut Vec<u8>, exact: &[u8]) {
    match exact.first() {
        // Digits without a point have one form.
        Some(&DECIMAL) if !exact.get(HEAD..).is_some_and(|d| d.contains(&b'.')) => {
            out.extend_from_slice(exact);
        }
        Some(&DECIMAL) => {
            let digits = exact.get(HEAD..).unwrap_or_default();
            let zeros = digits.iter().rev().take_while(|d| **d == b'0').count();
            let mut kept = digits.len() - zeros;
            kept -= usize::from(digits.get(kept.wrapping_sub(1)) == Some(&b'.'));
            put(out, DECIMAL, &digits[..kept]);
        }
        Some(&(UINT | ARRAY)) => match decode_one(exact) {
            Some((value, _)) => encode_value(out, &value),
            None => out.extend_from_slice(exact),
        },
        _ => out.extend_from_slice(exact),
    }
}

/// The canonical bytes of a row or key.
#[must_use]
pub fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * 12);
    for value in values {
        encode_with(&mut out, value.into(), false);
    }
    out
}

/// Like [`encode`], but decodes to exactly the values given.
#[must_use]
pub fn encode_exact(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * 12);
    for value in values {
        encode_with(&mut out, value.into(), true);
    }
    out
}

/// blake3 of the canonical bytes.
#[must_use]
pub fn hash(values: &[Value]) -> [u8; 32] {
    *blake3::hash(&encode(values)).as_bytes()
}

/// Reads values back. Fails with [`ErrorKind::Value`] on bytes that no encoder wrote.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<Value>> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        let (value, rest) = decode_one(bytes).ok_or_else(|| {
            Error::new(
                ErrorKind::Value,
                format!("canonical bytes are damaged at value {}", values.len()),
            )
        })?;
        values.push(value);
        bytes = rest;
    }
    Ok(values)
}

/// Reads one value without copying it. `None` for a type that [`ValueRef`] has no case of its own
/// for, and for bytes that no encoder wrote.
#[must_use]
pub fn decode_ref(bytes: &[u8]) -> Option<ValueRef<'_>> {
    let (&tag, rest) = bytes.split_first()?;
    let (len, payload) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*len) as usize != payload.len() {
        return None;
    }
    Some(match tag {
        NULL if payload.is_empty() => ValueRef::Null,
        INT => ValueRef::Int(int(payload)?),
        FLOAT => ValueRef::Float(f64::from_bits(u64::from_be_bytes(payload.try_into().ok()?))),
        TEXT => ValueRef::Text(std::str::from_utf8(payload).ok()?),
        BYTES => ValueRef::Bytes(payload),
        _ => return None,
    })
}

fn int(payload: &[u8]) -> Option<i64> {
    let first = *payload.first()?;
    if payload.len() > 8 {
        return None;
    }
    let fill = if first & 0x80 != 0 { 0xff } else { 0 };
    let mut bytes = [fill; 8];
    bytes[8 - payload.len()..].copy_from_slice(payload);
    Some(i64::from_be_bytes(bytes))
}

fn decode_one(bytes: &[u8]) -> Option<(Value, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    let (payload, rest) = rest.split_at_checked(len)?;
    let text = || std::str::from_utf8(payload).ok().map(str::to_owned);
    let value = match tag {
        NULL if len == 0 => Value::Null,
        BOOL => Value::Bool(*payload.first()? == 1),
        INT => Value::Int(int(payload)?),
        UINT => Value::UInt(u64::from_be_bytes(payload.try_into().ok()?)),
        DECIMAL => Value::Decimal(text()?.parse::<Decimal>().ok()?),
        FLOAT => Value::Float(f64::from_bits(u64::from_be_bytes(payload.try_into().ok()?))),
        TEXT => Value::Text(text()?),
        BYTES => Value::Bytes(payload.to_vec()),
        DATE => Value::Date(int(payload)?.try_into().ok()?),
        TIME => Value::Time(int(payload)?),
        TIMESTAMP => Value::Timestamp(int(payload)?),
        TIMESTAMP_UTC => Value::TimestampUtc(int(payload)?),
        UUID => Value::Uuid(payload.try_into().ok()?),
        JSON => Value::Json(text()?),
        ARRAY => Value::Array(decode(payload).ok()?),
        OTHER => {
            let (len, inner) = payload.split_first_chunk::<4>()?;
            let (kind, inner) = inner.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            Value::Other(Box::new(OtherValue {
                kind: std::str::from_utf8(kind).ok()?.to_owned(),
                bytes: inner.to_vec(),
            }))
        }
        _ => return None,
    };
    Some((value, rest))
}

#[cfg(test)]
mod tests;
