//! Dates and times of the log. What no calendar knows (`0000-00-00`, `2020-02-00`) is carried as
//! the server's text.

use crate::data::Value;

use super::cell::other;
use super::wire::{big, fraction_bytes};
use crate::database::mysql::calendar;

type Ymd = (u16, u8, u8);
type Hms = (u8, u8, u8, u32);

/// A part of a packed number, of which only the lowest bits count.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the bits above are masked out"
)]
fn bits(number: u64, shift: u32, mask: u8) -> u8 {
    (number >> shift) as u8 & mask
}

fn small<T: TryFrom<u64>>(number: u64) -> Option<T> {
    T::try_from(number).ok()
}

/// A date packed into 3 bytes. `None`: it is no date.
pub(super) fn date(packed: u64) -> Option<Value> {
    let ymd = (
        small(packed >> 9)?,
        bits(packed, 5, 15),
        bits(packed, 0, 31),
    );
    Some(
        calendar::days(ymd.0, ymd.1, ymd.2)
            .map_or_else(|| other("date", calendar::odd_date_text(ymd)), Value::Date),
    )
}

/// Microseconds of a fraction of so many digits.
fn micros(fraction: u64, digits: u8) -> Option<u32> {
    small(
        fraction
            * match digits {
                1 | 2 => 10_000,
                3 | 4 => 100,
                _ => 1,
            },
    )
}

fn moment(ymd: Ymd, hms: Hms, fraction: u8) -> Value {
    calendar::timestamp(ymd, hms).map_or_else(
        || other("datetime", calendar::odd_timestamp_text(ymd, hms, fraction)),
        Value::Timestamp,
    )
}

/// `datetime`. `None`: it is none.
pub(super) fn datetime(raw: &[u8], fraction: u8) -> Option<Value> {
    let (whole, rest) = raw.split_at_checked(5)?;
    if rest.len() != fraction_bytes(fraction) {
        return None;
    }
    let whole = big(whole).checked_sub(0x80_0000_0000)?;
    let months = whole >> 22;
    let ymd = (
        small(months / 13)?,
        small(months % 13)?,
        bits(whole, 17, 31),
    );
    let (hour, minute, second) = (bits(whole, 12, 31), bits(whole, 6, 63), bits(whole, 0, 63));
    let micros = micros(big(rest), fraction)?;
    Some(moment(ymd, (hour, minute, second, micros), fraction))
}

/// `timestamp`. `None`: it is none.
pub(super) fn timestamp(raw: &[u8], fraction: u8) -> Option<Value> {
    let (seconds, rest) = raw.split_at_checked(4)?;
    if rest.len() != fraction_bytes(fraction) {
        return None;
    }
    let micros = micros(big(rest), fraction)?;
    Some(of_seconds(big(seconds), micros, fraction))
}

/// Seconds since 1970; 0 stands for no moment at all.
pub(super) fn of_seconds(seconds: u64, micros: u32, fraction: u8) -> Value {
    if seconds == 0 && micros == 0 {
        return moment((0, 0, 0), (0, 0, 0, 0), fraction);
    }
    Value::TimestampUtc(seconds.cast_signed() * 1_000_000 + i64::from(micros))
}

/// `time`, negative ones and those beyond a day included. `None`: it is none.
pub(super) fn time(raw: &[u8], fraction: u8) -> Option<Value> {
    if raw.len() != 3 + fraction_bytes(fraction) {
        return None;
    }
    // One number of hours, minutes, seconds and fraction, made positive by an offset.
    let behind = 8 * fraction_bytes(fraction);
    let number = big(raw).cast_signed() - (1 << (behind + 23));
    let size = number.unsigned_abs();
    let (hms, part) = (size >> behind, size & ((1 << behind) - 1));
    let micros = micros(part, fraction)?;
    let hours = small(hms >> 12)?;
    let rest = calendar::time_us(0, (0, bits(hms, 6, 63), bits(hms, 0, 63), micros));
    Some(signed(number < 0, hours, rest))
}

fn signed(negative: bool, hours: u32, rest_us: i64) -> Value {
    let size = i64::from(hours) * 3_600_000_000 + rest_us;
    Value::Time(if negative { -size } else { size })
}

/// A `time` from before MySQL 5.6: `hhmmss` as a number.
pub(super) fn old_time(number: u64) -> Option<Value> {
    let number = (number << 40).cast_signed() >> 40;
    let size = number.unsigned_abs();
    let (minute, second) = (small(size / 100 % 100)?, small(size % 100)?);
    let rest = calendar::time_us(0, (0, minute, second, 0));
    Some(signed(number < 0, small(size / 10_000)?, rest))
}

/// A `datetime` from before MySQL 5.6: `yyyymmddhhmmss` as a number.
pub(super) fn old_datetime(number: u64) -> Option<Value> {
    let two = |divisor: u64| small(number / divisor % 100);
    let ymd = (
        small(number / 10_000_000_000)?,
        two(100_000_000)?,
        two(1_000_000)?,
    );
    Some(moment(ymd, (two(10_000)?, two(100)?, two(1)?, 0), 0))
}
