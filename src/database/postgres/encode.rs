//! One of Banyan's values in PostgreSQL's binary form: fields of `COPY`, elements of arrays,
//! parameters.
//!
//! A value has a binary form only for the kind of column that it was read from. The error says why
//! it has none; nothing is rounded, cut or padded.

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::data::Value;
use crate::data::canonical::ValueRef;

use super::decode::{EPOCH_DAYS, EPOCH_US};
use super::kind::Kind;
use super::numeric;

/// Why a value cannot be held, in words.
pub(super) type Misfit = String;

/// Where the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Into a field of a binary `COPY`, as the column's own type.
    Field,
    /// Into an element of an array, with JSON and all types without a kind as text.
    Element,
}

/// The last microsecond of a day.
const DAY_US: i64 = 86_400_000_000;

fn other_kind(kind: Kind, value: &str) -> Misfit {
    format!("a value of type {value} is none of {kind:?}")
}

/// The case's name.
fn name(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "null",
        ValueRef::Int(_) => "int",
        ValueRef::Float(_) => "float",
        ValueRef::Text(_) => "text",
        ValueRef::Bytes(_) => "bytes",
        ValueRef::Value(v) => v.type_name(),
    }
}

/// Appends length and bytes; -1 and nothing for NULL. After an error nothing is appended.
pub(super) fn put(
    out: &mut Vec<u8>,
    kind: Kind,
    place: Place,
    value: ValueRef<'_>,
) -> Result<(), Misfit> {
    let start = out.len();
    out.extend_from_slice(&[0xff; 4]);
    if is_null(value) {
        return Ok(());
    }
    let put = put_bytes(out, kind, place, value).and_then(|()| {
        i32::try_from(out.len() - start - 4).map_err(|_| "it is larger than 2 GB".to_owned())
    });
    match put {
        Ok(len) => {
            out[start..start + 4].copy_from_slice(&len.to_be_bytes());
            Ok(())
        }
        Err(misfit) => {
            out.truncate(start);
            Err(misfit)
        }
    }
}

pub(super) fn is_null(value: ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Null | ValueRef::Value(Value::Null))
}

/// The integer, if it is one.
fn int(value: ValueRef<'_>) -> Option<i128> {
    match value {
        ValueRef::Int(v) => Some(i128::from(v)),
        ValueRef::Value(Value::Int(v)) => Some(i128::from(*v)),
        ValueRef::Value(Value::UInt(v)) => Some(i128::from(*v)),
        _ => None,
    }
}

fn put_bytes(
    out: &mut Vec<u8>,
    kind: Kind,
    place: Place,
    value: ValueRef<'_>,
) -> Result<(), Misfit> {
    let misfit = || other_kind(kind, name(value));
    let range = |v: i128| format!("{v} is out of the range of {kind:?}");
    match (kind, value) {
        (Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid, value) => {
            let v = int(value).ok_or_else(misfit)?;
            let fits = |_| range(v);
            match kind {
                Kind::Int2 => out.extend_from_slice(&i16::try_from(v).map_err(fits)?.to_be_bytes()),
                Kind::Int4 => out.extend_from_slice(&i32::try_from(v).map_err(fits)?.to_be_bytes()),
                Kind::Oid => out.extend_from_slice(&u32::try_from(v).map_err(fits)?.to_be_bytes()),
                _ => out.extend_from_slice(&i64::try_from(v).map_err(fits)?.to_be_bytes()),
            }
        }
        (Kind::Float8, ValueRef::Float(v)) => out.extend_from_slice(&v.to_be_bytes()),
        (Kind::Float4, ValueRef::Float(v)) => {
            out.extend_from_slice(&float4(v)?.to_be_bytes());
        }
        (Kind::Text | Kind::Other, ValueRef::Text(v)) => put_text(out, v)?,
        (Kind::Bytea, ValueRef::Bytes(v)) => out.extend_from_slice(v),
        (kind, ValueRef::Value(v)) => match (kind, v) {
            // Cells that came as a whole value.
            (_, Value::Int(v)) => return put_bytes(out, kind, place, ValueRef::Int(*v)),
            (_, Value::Float(v)) => return put_bytes(out, kind, place, ValueRef::Float(*v)),
            (_, Value::Text(v)) => return put_bytes(out, kind, place, ValueRef::Text(v)),
            (_, Value::Bytes(v)) => return put_bytes(out, kind, place, ValueRef::Bytes(v)),
            (Kind::Bool, Value::Bool(v)) => out.push(u8::from(*v)),
            (Kind::Numeric, Value::Decimal(v)) => numeric::encode(v.as_str(), out)?,
            (Kind::Date, Value::Date(v)) => out.extend_from_slice(&date(*v)?.to_be_bytes()),
            (Kind::Time, Value::Time(v)) => {
                out.extend_from_slice(&time(*v)?.to_be_bytes());
            }
            (Kind::Timestamp, Value::Timestamp(v))
            | (Kind::TimestampTz, Value::TimestampUtc(v)) => {
                out.extend_from_slice(&timestamp(*v)?.to_be_bytes());
            }
            (Kind::Uuid, Value::Uuid(v)) => out.extend_from_slice(v),
            (Kind::Json | Kind::Jsonb, Value::Json(v)) => {
                if kind == Kind::Jsonb && place == Place::Field {
                    out.push(1);
                }
                put_text(out, v)?;
            }
            _ => return Err(misfit()),
        },
        _ => return Err(misfit()),
    }
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Result<(), Misfit> {
    no_nul(text)?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// PostgreSQL's texts hold every character but this.
pub(super) fn no_nul(text: &str) -> Result<(), Misfit> {
    if text.contains('\0') {
        return Err("the text holds a NUL character, which PostgreSQL cannot hold".to_owned());
    }
    Ok(())
}

/// The same number as `real`.
pub(super) fn float4(v: f64) -> Result<f32, Misfit> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what it loses is looked at"
    )]
    let narrow = v as f32;
    if f64::from(narrow).to_bits() == v.to_bits() || narrow.is_nan() && v.is_nan() {
        Ok(narrow)
    } else {
        Err(format!("{v:?} has more digits than real can hold"))
    }
}

/// Days since 2000.
pub(super) fn date(since_1970: i32) -> Result<i32, Misfit> {
    if since_1970 == i32::MAX || since_1970 == i32::MIN {
        return Ok(since_1970);
    }
    since_1970
        .checked_sub(EPOCH_DAYS)
        .filter(|d| *d != i32::MIN)
        .ok_or_else(|| format!("a date {since_1970} days after 1970 is out of range"))
}

/// Checked: a time of day.
pub(super) fn time(us: i64) -> Result<i64, Misfit> {
    if (0..=DAY_US).contains(&us) {
        Ok(us)
    } else {
        Err(format!("{us} microseconds are no time of day"))
    }
}

/// Microseconds since 2000.
pub(super) fn timestamp(since_1970: i64) -> Result<i64, Misfit> {
    if since_1970 == i64::MAX || since_1970 == i64::MIN {
        return Ok(since_1970);
    }
    since_1970
        .checked_sub(EPOCH_US)
        .filter(|us| *us != i64::MIN)
        .ok_or_else(|| format!("a timestamp {since_1970} microseconds after 1970 is out of range"))
}

/// A statement's parameter, encoded ahead; `None` is NULL.
#[derive(Debug)]
pub(super) struct Param(Option<Vec<u8>>);

impl Param {
    /// One value.
    pub(super) fn one(kind: Kind, value: ValueRef<'_>) -> Result<Self, Misfit> {
        if is_null(value) {
            return Ok(Self(None));
        }
        let mut out = Vec::new();
        put_bytes(&mut out, kind, Place::Field, value)?;
        Ok(Self(Some(out)))
    }
}

impl ToSql for Param {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            None => IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A one-dimensional array under way.
#[derive(Debug)]
pub(super) struct ArrayParam {
    kind: Kind,
    len: i32,
    bytes: Vec<u8>,
}

impl ArrayParam {
    /// An empty one, of elements of this type, with room for so many.
    pub(super) fn new(kind: Kind, element: u32, rows: usize) -> Self {
        let mut bytes = Vec::with_capacity(20 + rows * 12);
        // Dimensions, whether there may be NULLs, the elements' type, length, lower bound.
        for word in [1, 1, element, 0, 1] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        Self {
            kind,
            len: 0,
            bytes,
        }
    }

    /// Appends an element.
    pub(super) fn push(&mut self, value: ValueRef<'_>) -> Result<(), Misfit> {
        put(&mut self.bytes, self.kind, Place::Element, value)?;
        self.len += 1;
        Ok(())
    }

    /// Where it ends now.
    pub(super) fn mark(&self) -> (i32, usize) {
        (self.len, self.bytes.len())
    }

    /// Takes away what came after.
    pub(super) fn reset(&mut self, (len, bytes): (i32, usize)) {
        self.len = len;
        self.bytes.truncate(bytes);
    }

    /// The parameter.
    pub(super) fn finish(mut self) -> Param {
        self.bytes[12..16].copy_from_slice(&self.len.to_be_bytes());
        Param(Some(self.bytes))
    }
}
