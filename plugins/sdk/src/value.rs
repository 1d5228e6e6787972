//! One cell.

use std::borrow::Cow;
use std::fmt;

/// One cell of a row. Cloning one that was read copies no text.
///
/// Equality is identity of content: floats are equal when their bits are, an integer never equals
/// a float, NULL equals NULL.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// An exact decimal as plain digits, e.g. `-0.0500`.
    Decimal(Cow<'a, str>),
    /// A double.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00:00 without a zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01T00:00:00 UTC.
    TimestampUtc(i64),
    /// 16 bytes in network order.
    Uuid([u8; 16]),
    /// JSON text.
    Json(Cow<'a, str>),
    /// Something this version of the SDK does not know, in the form that `wit/0.1.0/types.wit`
    /// gives for `cells.other`. Hand it back as it is.
    Other(Cow<'a, [u8]>),
}

impl<'a> Value<'a> {
    /// Whether this is SQL NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text; `None` for NULL and anything that is not text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(v) => Some(v),
            _ => None,
        }
    }

    /// The integer, signed or unsigned, if it fits; `None` for anything else.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(v) => Some(*v),
            Self::UInt(v) => i64::try_from(*v).ok(),
            _ => None,
        }
    }

    /// The number as a double: floats, integers and decimals; `None` for anything else.
    #[must_use]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(v) => Some(*v),
            Self::Int(v) => Some(*v as f64),
            Self::UInt(v) => Some(*v as f64),
            Self::Decimal(v) => v.parse().ok(),
            _ => None,
        }
    }

    /// The truth value; stores without booleans hold 0 and 1.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(v) => Some(*v),
            Self::Int(0) => Some(false),
            Self::Int(1) => Some(true),
            _ => None,
        }
    }

    /// The bytes; `None` for anything that is not bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(v) => Some(v),
            _ => None,
        }
    }

    /// The kind, for messages: `int`, `text`, …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::UInt(_) => "uint",
            Self::Decimal(_) => "decimal",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::Timestamp(_) => "timestamp",
            Self::TimestampUtc(_) => "timestamp-utc",
            Self::Uuid(_) => "uuid",
            Self::Json(_) => "json",
            Self::Other(_) => "other",
        }
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(v) => Value::Bool(v),
            Self::Int(v) => Value::Int(v),
            Self::UInt(v) => Value::UInt(v),
            Self::Decimal(v) => Value::Decimal(Cow::Owned(v.into_owned())),
            Self::Float(v) => Value::Float(v),
            Self::Text(v) => Value::Text(Cow::Owned(v.into_owned())),
            Self::Bytes(v) => Value::Bytes(Cow::Owned(v.into_owned())),
            Self::Date(v) => Value::Date(v),
            Self::Time(v) => Value::Time(v),
            Self::Timestamp(v) => Value::Timestamp(v),
            Self::TimestampUtc(v) => Value::TimestampUtc(v),
            Self::Uuid(v) => Value::Uuid(v),
            Self::Json(v) => Value::Json(Cow::Owned(v.into_owned())),
            Self::Other(v) => Value::Other(Cow::Owned(v.into_owned())),
        }
    }

    /// Reads the form of `cells.other`.
    pub(crate) fn decode(bytes: &'a [u8]) -> Self {
        Self::decode_known(bytes).unwrap_or(Self::Other(Cow::Borrowed(bytes)))
    }

    fn decode_known(bytes: &'a [u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        let (len, payload) = rest.split_first_chunk::<4>()?;
        if payload.len() != u32::from_le_bytes(*len) as usize {
            return None;
        }
        let text = || std::str::from_utf8(payload).ok().map(Cow::Borrowed);
        Some(match tag {
            0x00 => Self::Null,
            0x01 => Self::Bool(payload.first() == Some(&1)),
            0x02 => Self::Int(int(payload)?),
            0x03 => Self::UInt(u64::from_be_bytes(payload.try_into().ok()?)),
            0x04 => Self::Decimal(text()?),
            0x05 => Self::Float(f64::from_be_bytes(payload.try_into().ok()?)),
            0x06 => Self::Text(text()?),
            0x07 => Self::Bytes(Cow::Borrowed(payload)),
            0x08 => Self::Date(int(payload)?.try_into().ok()?),
            0x09 => Self::Time(int(payload)?),
            0x0a => Self::Timestamp(int(payload)?),
            0x0b => Self::TimestampUtc(int(payload)?),
            0x0c => Self::Uuid(payload.try_into().ok()?),
            0x0d => Self::Json(text()?),
            _ => return None,
        })
    }

    /// Appends the form of `cells.other`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        fn put(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
            out.push(tag);
            out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            out.extend_from_slice(payload);
        }
        fn put_int(out: &mut Vec<u8>, tag: u8, v: i64) {
            let bytes = v.to_be_bytes();
            let skip = (0..7)
                .take_while(|&i| match bytes[i] {
                    0 => bytes[i + 1] & 0x80 == 0,
                    0xff => bytes[i + 1] & 0x80 != 0,
                    _ => false,
                })
                .count();
            put(out, tag, &bytes[skip..]);
        }
        match self {
            Self::Null => put(out, 0x00, &[]),
            Self::Bool(v) => put(out, 0x01, &[u8::from(*v)]),
            Self::Int(v) => put_int(out, 0x02, *v),
            Self::UInt(v) => put(out, 0x03, &v.to_be_bytes()),
            Self::Decimal(v) => put(out, 0x04, v.as_bytes()),
            Self::Float(v) => put(out, 0x05, &v.to_be_bytes()),
            Self::Text(v) => put(out, 0x06, v.as_bytes()),
            Self::Bytes(v) => put(out, 0x07, v),
            Self::Date(v) => put_int(out, 0x08, i64::from(*v)),
            Self::Time(v) => put_int(out, 0x09, *v),
            Self::Timestamp(v) => put_int(out, 0x0a, *v),
            Self::TimestampUtc(v) => put_int(out, 0x0b, *v),
            Self::Uuid(v) => put(out, 0x0c, v),
            Self::Json(v) => put(out, 0x0d, v.as_bytes()),
            Self::Other(v) => out.extend_from_slice(v),
        }
    }
}

fn int(payload: &[u8]) -> Option<i64> {
    let first = *payload.first()?;
    let mut bytes = [if first & 0x80 == 0 { 0 } else { 0xff }; 8];
    let start = 8usize.checked_sub(payload.len())?;
    bytes[start..].copy_from_slice(payload);
    Some(i64::from_be_bytes(bytes))
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b))
            | (Self::Time(a), Self::Time(b))
            | (Self::Timestamp(a), Self::Timestamp(b))
            | (Self::TimestampUtc(a), Self::TimestampUtc(b)) => a == b,
            (Self::UInt(a), Self::UInt(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Decimal(a), Self::Decimal(b))
            | (Self::Text(a), Self::Text(b))
            | (Self::Json(a), Self::Json(b)) => same(a.as_bytes(), b.as_bytes()),
            (Self::Bytes(a), Self::Bytes(b)) | (Self::Other(a), Self::Other(b)) => same(a, b),
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value<'_> {}

/// Eight bytes at a time: `memcmp` goes byte by byte in WebAssembly.
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a8, a1), (b8, b1)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    a.len() == b.len()
        && a8
            .iter()
            .zip(b8)
            .all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && a1.iter().zip(b1).all(|(a, b)| a == b)
}

/// So that `row["tier"] == "gold"` reads as it should.
impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_text() == Some(other)
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_text() == Some(*other)
    }
}

impl PartialEq<i64> for Value<'_> {
    fn eq(&self, other: &i64) -> bool {
        self.as_int() == Some(*other)
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) | Self::Time(v) | Self::Timestamp(v) | Self::TimestampUtc(v) => {
                write!(f, "{v}")
            }
            Self::UInt(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Text(v) => write!(f, "{v:?}"),
            Self::Decimal(v) | Self::Json(v) => f.write_str(v),
            Self::Date(v) => write!(f, "{v}"),
            Self::Bytes(_) | Self::Other(_) | Self::Uuid(_) => write!(f, "{self:?}"),
        }
    }
}

macro_rules! from {
    ($($from:ty => $case:ident),* $(,)?) => {$(
        impl<'a> From<$from> for Value<'a> {
            fn from(v: $from) -> Self {
                Self::$case(v.into())
            }
        }
    )*};
}
from!(bool => Bool, i64 => Int, i32 => Int, u64 => UInt, f64 => Float, String => Text,
      &'a str => Text, Cow<'a, str> => Text, &'a [u8] => Bytes, Vec<u8> => Bytes);

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(v: Option<T>) -> Self {
        v.map_or(Self::Null, Into::into)
    }
}

impl<'a> From<&Value<'a>> for Value<'a> {
    fn from(v: &Value<'a>) -> Self {
        v.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn the_form_of_other_cells_keeps_every_value() {
        let values: Vec<Value<'_>> = vec![
            true.into(),
            0i64.into(),
            128i64.into(),
            (-1i64).into(),
            i64::MIN.into(),
            i64::MAX.into(),
            u64::MAX.into(),
            (-0.0f64).into(),
            f64::NAN.into(),
            "NULL".into(),
            "".into(),
            Value::Bytes(vec![0, 255].into()),
            Value::Decimal("-0.0500".into()),
            Value::Date(-1),
            Value::Time(1),
            Value::Timestamp(i64::MIN),
            Value::TimestampUtc(7),
            Value::Uuid([7; 16]),
            Value::Json("{}".into()),
            Value::Other(vec![0x0e, 0, 0, 0, 0].into()),
        ];
        for value in values {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            assert_eq!(Value::decode(&bytes), value);
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_interface() {
        let hex = |value: Value<'_>| {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        assert_eq!(hex(128i64.into()), "02020000000080");
        assert_eq!(hex((-1i64).into()), "0201000000ff");
        assert_eq!(hex(0.3f64.into()), "05080000003fd3333333333333");
        assert_eq!(hex("NULL".into()), "06040000004e554c4c");
    }
}
