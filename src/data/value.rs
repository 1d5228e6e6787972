//! One cell, one row, one key.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::{Decimal, clock};

/// One cell. Equality is identity of content: floats are equal when their bits are (a NaN equals
/// itself, `-0.0` differs from `0.0`), an integer never equals a float, NULL equals NULL.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer of up to 64 bits.
    Int(i64),
    /// An unsigned integer of up to 64 bits.
    UInt(u64),
    /// An exact decimal of any precision and scale.
    Decimal(Decimal),
    /// An IEEE 754 double.
    Float(f64),
    /// Valid UTF-8, NUL characters included.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// Days since 1970-01-01, proleptic Gregorian.
    Date(i32),
    /// Microseconds since midnight; MariaDB's may be negative or beyond 24 h.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00:00 without a zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01T00:00:00 UTC.
    TimestampUtc(i64),
    /// 16 bytes in network order.
    Uuid([u8; 16]),
    /// JSON text as the engine gave it.
    Json(String),
    /// An array of values.
    Array(Vec<Self>),
    /// Something an engine holds that has no case of its own, bit for bit; also text that is not
    /// valid UTF-8 (`kind` = `"text"`), which SQLite stores without complaint.
    Other(Box<OtherValue>),
}

/// See [`Value::Other`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherValue {
    /// The engine's name for the type.
    pub kind: String,
    /// The engine's bytes.
    pub bytes: Vec<u8>,
}

impl Value {
    /// Whether this is SQL NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The tag of the canonical encoding; also the order of cases in error messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
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
            Self::Array(_) => "array",
            Self::Other(_) => "other",
        }
    }

    /// Bytes on the heap, roughly; batches are bounded by it.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(s) | Self::Json(s) => s.len(),
            Self::Bytes(b) => b.len(),
            Self::Decimal(d) => d.as_str().len(),
            Self::Other(o) => o.kind.len() + o.bytes.len(),
            Self::Array(a) => a.iter().map(|v| 24 + v.heap_bytes()).sum(),
            _ => 0,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b))
            | (Self::Time(a), Self::Time(b))
            | (Self::Timestamp(a), Self::Timestamp(b))
            | (Self::TimestampUtc(a), Self::TimestampUtc(b)) => a == b,
            (Self::UInt(a), Self::UInt(b)) => a == b,
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) | (Self::Json(a), Self::Json(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Other(a), Self::Other(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Bool(v) => v.hash(state),
            Self::Int(v) | Self::Time(v) | Self::Timestamp(v) | Self::TimestampUtc(v) => {
                v.hash(state);
            }
            Self::UInt(v) => v.hash(state),
            Self::Decimal(v) => v.hash(state),
            Self::Float(v) => v.to_bits().hash(state),
            Self::Text(v) | Self::Json(v) => v.hash(state),
            Self::Bytes(v) => v.hash(state),
            Self::Date(v) => v.hash(state),
            Self::Uuid(v) => v.hash(state),
            Self::Array(v) => v.hash(state),
            Self::Other(v) => v.hash(state),
        }
    }
}

/// For people: messages, tables on a terminal. Not an encoding; use [`super::canonical`] for that.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::UInt(v) => write!(f, "{v}"),
            Self::Decimal(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Text(v) => write!(f, "{v:?}"),
            Self::Json(v) => f.write_str(v),
            Self::Bytes(v) => {
                f.write_str("x'")?;
                for byte in v {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("'")
            }
            Self::Date(v) => f.write_str(&clock::date_text(*v)),
            Self::Time(v) => f.write_str(&clock::time_text(*v)),
            Self::Timestamp(v) => f.write_str(&clock::timestamp_text(*v, "")),
            Self::TimestampUtc(v) => f.write_str(&clock::timestamp_text(*v, "Z")),
            Self::Uuid(v) => {
                for (i, byte) in v.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
            Self::Array(v) => {
                f.write_str("[")?;
                for (i, item) in v.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
            Self::Other(v) => {
                write!(f, "{} ", v.kind)?;
                Self::Bytes(v.bytes.clone()).fmt(f)
            }
        }
    }
}

macro_rules! from {
    ($($from:ty => $case:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(v: $from) -> Self {
                Self::$case(v.into())
            }
        }
    )*};
}
from!(bool => Bool, i64 => Int, i32 => Int, u64 => UInt, f64 => Float, String => Text, &str => Text,
      Vec<u8> => Bytes, Decimal => Decimal);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Self::Null, Into::into)
    }
}

/// The cells of one row, in the order of the columns of its schema or mapping.
pub type Row = Vec<Value>;

/// The cells of a key, in key order. Ordered by its canonical bytes nowhere: compare keys for
/// equality only; order belongs to the store (see `verify`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub Vec<Value>);

impl Key {
    /// The key cells of a row.
    #[must_use]
    pub fn of(row: &[Value], key_columns: &[usize]) -> Self {
        Self(key_columns.iter().map(|&i| row[i].clone()).collect())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, value) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{value}")?;
        }
        Ok(())
    }
}
