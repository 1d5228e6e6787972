//! Dates and times: which a column can hold.

use crate::data::{OtherValue, Value};

use super::clock;
use clock::DAY;

/// The days of an engine, and how exact its clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    /// Whose.
    pub(super) of: Of,
    /// Digits of a second's fraction.
    pub(super) fraction: u32,
}

/// Whose dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// From 4713 BC to the year 5874897 (timestamps: as far as 64 bits go), and infinity; times from
    /// 00:00 to 24:00.
    Postgres,
    /// From 0001 to 9999, and dates that are on no calendar, as texts; timestamps in UTC from 1970 to 2038; times
    /// up to 838:59:59, either sign.
    Mysql,
}

/// Days since 1970: 24 November 4714 BC, and the last day of 5874897.
const POSTGRES_DAYS: (i32, i32) = (-2_440_588, 2_145_042_905);
/// 1 January 1 and 31 December 9999.
const MYSQL_DAYS: (i32, i32) = (-719_162, 2_932_896);
/// From one second after 1970 to where 32 bits end.
const MYSQL_UTC: (i64, i64) = (1_000_000, 2_147_483_647_999_999);
const MYSQL_TIME_MOST: i64 = 3_020_399_000_000;

impl Calendar {
    /// Whether the fraction is exact.
    fn is_exact(self, us: i64) -> bool {
        us.rem_euclid(10_i64.pow(6 - self.fraction.min(6))) == 0
    }

    /// Of a `date`.
    pub(super) fn date(self, value: &Value) -> Option<Value> {
        let days = match value {
            Value::Date(days) => Some(*days),
            Value::Timestamp(i64::MAX) => Some(i32::MAX),
            Value::Timestamp(i64::MIN) => Some(i32::MIN),
            Value::Timestamp(us) if us % DAY == 0 => i32::try_from(us / DAY).ok(),
            Value::Text(text) => clock::date(text),
            _ => None,
        };
        match (self.of, days) {
            (Of::Postgres, Some(days)) => (matches!(days, i32::MIN | i32::MAX)
                || (POSTGRES_DAYS.0..=POSTGRES_DAYS.1).contains(&days))
            .then_some(Value::Date(days)),
            (Of::Mysql, Some(days)) if (MYSQL_DAYS.0..=MYSQL_DAYS.1).contains(&days) => {
                Some(Value::Date(days))
            }
            (Of::Mysql, _) => odd(value, "date", |date, rest| {
                rest.is_empty() && odd_date(date)
            }),
            (Of::Postgres, None) => None,
        }
    }

    /// Of a `time`.
    pub(super) fn time(self, value: &Value) -> Option<Value> {
        let us = match value {
            Value::Time(us) => *us,
            Value::Text(text) => clock::time(text)?,
            _ => return None,
        };
        let within = match self.of {
            Of::Postgres => (0..=DAY).contains(&us),
            Of::Mysql => (-MYSQL_TIME_MOST..=MYSQL_TIME_MOST).contains(&us),
        };
        (within && self.is_exact(us)).then_some(Value::Time(us))
    }

    /// Of a `timestamp` without zone, or a `datetime`.
    pub(super) fn timestamp(self, value: &Value) -> Option<Value> {
        let us = match value {
            Value::Timestamp(us) => Some(*us),
            Value::Date(i32::MAX) => Some(i64::MAX),
            Value::Date(i32::MIN) => Some(i64::MIN),
            Value::Date(days) => i64::from(*days).checked_mul(DAY),
            Value::Text(text) => clock::timestamp(text, ""),
            _ => None,
        };
        match (self.of, us) {
            (Of::Postgres, us) => self.postgres(us?).map(Value::Timestamp),
            (Of::Mysql, Some(us)) => {
                let (first, last) = MYSQL_DAYS;
                let within = (i64::from(first) * DAY..(i64::from(last) + 1) * DAY).contains(&us);
                (within && self.is_exact(us)).then_some(Value::Timestamp(us))
            }
            (Of::Mysql, None) => odd(value, "datetime", |date, rest| {
                odd_date(date) && self.is_clock(rest)
            }),
        }
    }

    /// Of a `timestamp with time zone`, or MySQL's `timestamp`.
    pub(super) fn timestamp_utc(self, value: &Value) -> Option<Value> {
        let us = match value {
            Value::TimestampUtc(us) => Some(*us),
            Value::Text(text) => clock::timestamp(text, "Z"),
            _ => None,
        };
        match (self.of, us) {
            (Of::Postgres, us) => self.postgres(us?).map(Value::TimestampUtc),
            (Of::Mysql, Some(us)) => {
                let within = (MYSQL_UTC.0..=MYSQL_UTC.1).contains(&us);
                (within && self.is_exact(us)).then_some(Value::TimestampUtc(us))
            }
            (Of::Mysql, None) => odd(value, "datetime", |date, rest| {
                let zero = rest.bytes().all(|b| matches!(b, b' ' | b':' | b'.' | b'0'));
                date == "0000-00-00" && zero && self.is_clock(rest)
            }),
        }
    }

    /// ` HH:MM:SS`, with just the column's digits of a fraction.
    fn is_clock(self, text: &str) -> bool {
        let Some((clock, fraction)) = text.split_at_checked(9) else {
            return false;
        };
        let digits = usize::try_from(self.fraction).unwrap_or(0);
        let whole = clock
            .strip_prefix(' ')
            .and_then(clock::time)
            .is_some_and(|us| (0..DAY).contains(&us));
        whole
            && fraction.len() == if digits > 0 { digits + 1 } else { 0 }
            && fraction.chars().enumerate().all(
                |(i, c)| {
                    if i == 0 { c == '.' } else { c.is_ascii_digit() }
                },
            )
    }

    fn postgres(self, us: i64) -> Option<i64> {
        if matches!(us, i64::MIN | i64::MAX) {
            return Some(us);
        }
        (us >= i64::from(POSTGRES_DAYS.0) * DAY && self.is_exact(us)).then_some(us)
    }
}

/// A date or timestamp of MySQL that is on no calendar, which has only a text; `is_odd` is asked
/// about the date and what stands behind it.
fn odd(value: &Value, kind: &str, is_odd: impl Fn(&str, &str) -> bool) -> Option<Value> {
    let bytes = match value {
        Value::Other(other) if other.kind == kind => other.bytes.as_slice(),
        Value::Text(text) => text.as_bytes(),
        _ => return None,
    };
    let (date, rest) = std::str::from_utf8(bytes).ok()?.split_at_checked(10)?;
    is_odd(date, rest).then(|| {
        Value::Other(Box::new(OtherValue {
            kind: kind.to_owned(),
            bytes: bytes.to_vec(),
        }))
    })
}

/// `YYYY-MM-DD` with a month up to 12 and a day up to 31, but no date.
fn odd_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-').map(|part| {
        let digits = part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| (part.len(), part.parse::<u32>().ok()))
    });
    let mut part = |digits: usize, most: u32| matches!(parts.next(), Some(Some((len, Some(n)))) if len == digits && n <= most);
    part(4, 9999) && part(2, 12) && part(2, 31) && clock::date(text).is_none()
}
