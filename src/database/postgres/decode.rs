//! PostgreSQL's binary form of a cell, read as one of Banyan's values.
//!
//! Dates and times count from 2000 there and from 1970 here; infinities keep their extreme numbers.

use tokio_postgres::types::{FromSql, Type};

use crate::data::canonical::ValueRef;
use crate::data::{Decimal, Value};
use crate::error::{Error, ErrorKind, Result};

use super::kind::Kind;
use super::numeric;

/// Days from 1970 to 2000.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(super) const EPOCH_US: i64 = 946_684_800_000_000;

/// The bytes of a cell, as they are; of any type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a>(pub(super) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(
        _: &Type,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn damaged(kind: Kind, raw: &[u8]) -> Error {
    Error::new(
        ErrorKind::Value,
        format!("the server sent {} bytes that are no {kind:?}", raw.len()),
    )
}

fn fixed<const N: usize>(kind: Kind, raw: &[u8]) -> Result<[u8; N]> {
    raw.try_into().map_err(|_| damaged(kind, raw))
}

fn utf8(kind: Kind, raw: &[u8]) -> Result<&str> {
    std::str::from_utf8(raw).map_err(|e| damaged(kind, raw).caused_by(e))
}

/// Hands the cell over without copying it where that can be.
#[inline]
pub(super) fn with_cell<R>(
    kind: Kind,
    raw: Option<&[u8]>,
    take: impl FnOnce(ValueRef<'_>) -> R,
) -> Result<R> {
    let Some(raw) = raw else {
        return Ok(take(ValueRef::Null));
    };
    Ok(match kind {
        Kind::Int2 => take(ValueRef::Int(i16::from_be_bytes(fixed(kind, raw)?).into())),
        Kind::Int4 => take(ValueRef::Int(i32::from_be_bytes(fixed(kind, raw)?).into())),
        Kind::Int8 => take(ValueRef::Int(i64::from_be_bytes(fixed(kind, raw)?))),
        Kind::Oid => take(ValueRef::Int(u32::from_be_bytes(fixed(kind, raw)?).into())),
        Kind::Float4 => take(ValueRef::Float(
            f32::from_be_bytes(fixed(kind, raw)?).into(),
        )),
        Kind::Float8 => take(ValueRef::Float(f64::from_be_bytes(fixed(kind, raw)?))),
        Kind::Text | Kind::Other => take(ValueRef::Text(utf8(kind, raw)?)),
        Kind::Bytea => take(ValueRef::Bytes(raw)),
        _ => take(ValueRef::Value(&value(kind, Some(raw))?)),
    })
}

/// The cell.
pub(super) fn value(kind: Kind, raw: Option<&[u8]>) -> Result<Value> {
    let Some(raw) = raw else {
        return Ok(Value::Null);
    };
    Ok(match kind {
        Kind::Bool => match raw {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return Err(damaged(kind, raw)),
        },
        Kind::Numeric => {
            let text = numeric::decode(raw).ok_or_else(|| damaged(kind, raw))?;
            Value::Decimal(Decimal::of_plain(text))
        }
        Kind::Date => Value::Date(days(i32::from_be_bytes(fixed(kind, raw)?))?),
        Kind::Time => Value::Time(i64::from_be_bytes(fixed(kind, raw)?)),
        Kind::Timestamp => Value::Timestamp(micros(i64::from_be_bytes(fixed(kind, raw)?))?),
        Kind::TimestampTz => Value::TimestampUtc(micros(i64::from_be_bytes(fixed(kind, raw)?))?),
        Kind::Uuid => Value::Uuid(fixed(kind, raw)?),
        Kind::Json => Value::Json(utf8(kind, raw)?.to_owned()),
        Kind::Jsonb => match raw.split_first() {
            Some((1, text)) => Value::Json(utf8(kind, text)?.to_owned()),
            _ => return Err(damaged(kind, raw)),
        },
        _ => {
            let mut cell = Value::Null;
            with_cell(kind, Some(raw), |v| cell = v.to_value())?;
            cell
        }
    })
}

/// Days since 1970.
fn days(since_2000: i32) -> Result<i32> {
    if since_2000 == i32::MAX || since_2000 == i32::MIN {
        return Ok(since_2000);
    }
    since_2000
        .checked_add(EPOCH_DAYS)
        .filter(|d| *d != i32::MAX)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Value,
                format!("a date {since_2000} days after 2000 is beyond what can be carried"),
            )
        })
}

/// Microseconds since 1970. The last 30 years of PostgreSQL's range, from 294247 on, have none.
fn micros(since_2000: i64) -> Result<i64> {
    if since_2000 == i64::MAX || since_2000 == i64::MIN {
        return Ok(since_2000);
    }
    since_2000
        .checked_add(EPOCH_US)
        .filter(|us| *us != i64::MAX)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Value,
                format!(
                    "a timestamp {since_2000} microseconds after 2000 is beyond what can be \
                     carried"
                ),
            )
            .hint("timestamps up to the year 294246 can be carried; correct the row")
        })
}
