//! Dates, times and timestamps.

use std::fmt;

use rhai::Engine;

use crate::rule::notation;

use super::{Answer, raise, shown};

const DAY_US: i64 = 86_400_000_000;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident($inner:ty) $shown:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(in crate::script) struct $name(pub(in crate::script) $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&$shown(self.0))
            }
        }
    )*};
}

points! {
    /// Days since 1970-01-01.
    Date(i32) notation::format_date;
    /// Microseconds since midnight.
    TimeOfDay(i64) notation::format_time;
    /// Microseconds since 1970, without a zone.
    Timestamp(i64) notation::format_timestamp;
    /// Microseconds since 1970 in UTC.
    TimestampUtc(i64) |us| format!("{}Z", notation::format_timestamp(us));
}

fn plus(a: i64, b: i64) -> Answer<i64> {
    a.checked_add(b)
        .map_or_else(|| raise("the time is out of range"), Ok)
}

fn minus(a: i64, b: i64) -> Answer<i64> {
    a.checked_sub(b)
        .map_or_else(|| raise("the difference is out of range"), Ok)
}

fn days_later(date: Date, days: i64) -> Answer<Date> {
    let sum = i64::from(date.0).checked_add(days);
    match sum.and_then(|d| i32::try_from(d).ok()) {
        Some(days) => Ok(Date(days)),
        None => raise("the date is out of range"),
    }
}

/// The order of two points of the same type; with `()` it is an error.
fn compared<T: Copy + Send + Sync + 'static + PartialOrd>(engine: &mut Engine, name: &'static str) {
    fn unknown(name: &str) -> Answer<bool> {
        raise(format!(
            "compares a {name} with (): it is unknown or NULL, not older; ask for `== ()` first, or \
             use conflict.later"
        ))
    }
    macro_rules! order {
        ($($op:literal $is:expr),*) => {$(
            engine
                .register_fn($op, |a: T, b: T| $is(&a, &b))
                .register_fn($op, move |_: T, (): ()| unknown(name))
                .register_fn($op, move |(): (), _: T| unknown(name));
        )*};
    }
    order!("<" PartialOrd::lt, "<=" PartialOrd::le, ">" PartialOrd::gt, ">=" PartialOrd::ge);
    engine
        .register_fn("==", |a: T, b: T| a == b)
        .register_fn("!=", |a: T, b: T| a != b);
}

fn time_parts<T: Copy + Send + Sync + 'static>(engine: &mut Engine, us: fn(T) -> i64) {
    let part = move |unit: i64, of: i64| move |v: &mut T| us(*v).rem_euclid(DAY_US) / unit % of;
    engine
        .register_get("hour", part(3_600_000_000, 24))
        .register_get("minute", part(60_000_000, 60))
        .register_get("second", part(1_000_000, 60))
        .register_get("microsecond", part(1, 1_000_000));
}

fn date_parts<T: Copy + Send + Sync + 'static>(engine: &mut Engine, day: fn(T) -> i32) {
    engine
        .register_get("year", move |v: &mut T| notation::civil(day(*v)).0)
        .register_get("month", move |v: &mut T| {
            i64::from(notation::civil(day(*v)).1)
        })
        .register_get("day", move |v: &mut T| {
            i64::from(notation::civil(day(*v)).2)
        })
        // Monday is 1, Sunday 7; 1970-01-01 was a Thursday.
        .register_get("weekday", move |v: &mut T| {
            (i64::from(day(*v)) + 3).rem_euclid(7) + 1
        });
}

fn day_of(us: i64) -> i32 {
    i32::try_from(us.div_euclid(DAY_US)).unwrap_or(i32::MAX)
}

fn text<T>(kind: &str, text: &str, read: Option<T>) -> Answer<T> {
    read.map_or_else(|| raise(format!("{text:?} is no {kind}")), Ok)
}

pub(super) fn register(engine: &mut Engine) {
    shown::<Date>(engine, "date");
    shown::<TimeOfDay>(engine, "time");
    shown::<Timestamp>(engine, "timestamp");
    shown::<TimestampUtc>(engine, "timestamp_utc");
    compared::<Date>(engine, "date");
    compared::<TimeOfDay>(engine, "time");
    compared::<Timestamp>(engine, "timestamp");
    compared::<TimestampUtc>(engine, "timestamp");
    time_parts::<TimeOfDay>(engine, |v| v.0);
    time_parts::<Timestamp>(engine, |v| v.0);
    time_parts::<TimestampUtc>(engine, |v| v.0);
    date_parts::<Date>(engine, |v| v.0);
    date_parts::<Timestamp>(engine, |v| day_of(v.0));
    date_parts::<TimestampUtc>(engine, |v| day_of(v.0));
    engine
        .register_fn("date", |t: &str| {
            text("date", t, notation::parse_date(t).map(Date))
        })
        .register_fn("date", |v: Timestamp| Date(day_of(v.0)))
        .register_fn("date", |v: TimestampUtc| Date(day_of(v.0)))
        .register_fn("time", |t: &str| {
            text("time", t, notation::parse_time(t).map(TimeOfDay))
        })
        .register_fn("timestamp", |t: &str| {
            let read = notation::parse_timestamp(t).filter(|(_, zone)| zone.is_none());
            text(
                "timestamp without a zone",
                t,
                read.map(|(us, _)| Timestamp(us)),
            )
        })
        .register_fn("timestamp_utc", |t: &str| {
            text(
                "timestamp with a zone",
                t,
                notation::parse_timestamp_utc(t).map(TimestampUtc),
            )
        })
        .register_fn("timestamp_utc", |us: i64| TimestampUtc(us))
        .register_fn("plus_days", |v: &mut Date, days: i64| days_later(*v, days))
        .register_fn("plus_us", |v: &mut TimeOfDay, us: i64| {
            plus(v.0, us).map(TimeOfDay)
        })
        .register_fn("plus_us", |v: &mut Timestamp, us: i64| {
            plus(v.0, us).map(Timestamp)
        })
        .register_fn("plus_us", |v: &mut TimestampUtc, us: i64| {
            plus(v.0, us).map(TimestampUtc)
        })
        .register_fn("-", |a: Date, b: Date| i64::from(a.0) - i64::from(b.0))
        .register_fn("-", |a: TimeOfDay, b: TimeOfDay| minus(a.0, b.0))
        .register_fn("-", |a: Timestamp, b: Timestamp| minus(a.0, b.0))
        .register_fn("-", |a: TimestampUtc, b: TimestampUtc| minus(a.0, b.0))
        .register_fn("to_us", |v: &mut TimeOfDay| v.0)
        .register_fn("to_us", |v: &mut Timestamp| v.0)
        .register_fn("to_us", |v: &mut TimestampUtc| v.0);
}
