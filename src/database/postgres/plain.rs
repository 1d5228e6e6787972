//! One of Banyan's values as text that PostgreSQL reads back as the same value: literals in
//! statements that take no parameters, and fields of a text `COPY`.

use std::fmt::Write;

use crate::data::Value;
use crate::data::canonical::ValueRef;

use super::encode::{self, Misfit, is_null};
use super::kind::Kind;
use super::names;

/// Appends the text of a value that is not NULL.
pub(super) fn write(out: &mut String, kind: Kind, value: ValueRef<'_>) -> Result<(), Misfit> {
    let misfit = || format!("a value of another type is none of {kind:?}");
    let owned;
    let value = match value {
        ValueRef::Value(v) => v,
        other => {
            owned = other.to_value();
            &owned
        }
    };
    match (kind, value) {
        (Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid | Kind::Float4 | Kind::Float8, _)
        | (Kind::Numeric, Value::Decimal(_)) => write_number(out, kind, value)?,
        (Kind::Bool, Value::Bool(v)) => out.push(if *v { 't' } else { 'f' }),
        (Kind::Text | Kind::Other, Value::Text(v)) | (Kind::Json | Kind::Jsonb, Value::Json(v)) => {
            encode::no_nul(v)?;
            out.push_str(v);
        }
        (Kind::Bytea, Value::Bytes(v)) => {
            out.push_str("\\x");
            hex(out, v);
        }
        (Kind::Uuid, Value::Uuid(v)) => hex(out, v),
        (Kind::Date, Value::Date(v)) => match *v {
            i32::MAX => out.push_str("infinity"),
            i32::MIN => out.push_str("-infinity"),
            v => {
                encode::date(v)?;
                let bc = write_date(out, i64::from(v));
                out.push_str(if bc { " BC" } else { "" });
            }
        },
        (Kind::Time, Value::Time(v)) => write_time(out, encode::time(*v)?),
        (Kind::Timestamp, Value::Timestamp(v)) => write_timestamp(out, *v, "")?,
        (Kind::TimestampTz, Value::TimestampUtc(v)) => write_timestamp(out, *v, "+00")?,
        _ => return Err(misfit()),
    }
    Ok(())
}

/// By way of the binary form, which says what fits.
fn write_number(out: &mut String, kind: Kind, value: &Value) -> Result<(), Misfit> {
    let mut bytes = Vec::new();
    encode::put(&mut bytes, kind, encode::Place::Field, value.into())?;
    match value {
        Value::Float(v) if v.is_nan() => out.push_str("NaN"),
        Value::Float(v) if v.is_infinite() => {
            out.push_str(if *v > 0.0 { "Infinity" } else { "-Infinity" });
        }
        // The shortest digits that are read as the same number.
        Value::Float(v) if kind == Kind::Float4 => {
            append(out, format_args!("{:e}", encode::float4(*v)?));
        }
        Value::Float(v) => append(out, format_args!("{v:e}")),
        other => append(out, format_args!("{other}")),
    }
    Ok(())
}

fn append(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    out.write_fmt(arguments).unwrap_or_default();
}

fn hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(half)]));
        }
    }
}

/// Answers whether it is a year before Christ, which is said at the very end.
fn write_date(out: &mut String, days: i64) -> bool {
    let (year, month, day) = civil(days);
    let bc = year <= 0;
    let year = if bc { 1 - year } else { year };
    append(out, format_args!("{year:04}-{month:02}-{day:02}"));
    bc
}

fn write_time(out: &mut String, us: i64) {
    let (s, us) = (us / 1_000_000, us % 1_000_000);
    append(
        out,
        format_args!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    );
    if us > 0 {
        append(out, format_args!(".{us:06}"));
    }
}

fn write_timestamp(out: &mut String, us: i64, zone: &str) -> Result<(), Misfit> {
    const DAY: i64 = 86_400_000_000;
    match us {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        us => {
            encode::timestamp(us)?;
            let bc = write_date(out, us.div_euclid(DAY));
            out.push(' ');
            write_time(out, us.rem_euclid(DAY));
            out.push_str(zone);
            out.push_str(if bc { " BC" } else { "" });
        }
    }
    Ok(())
}

/// Year (0 is 1 BC), month and day of a day since 1970, proleptic Gregorian.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted in eras of 400 years that begin with March.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day = z.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (
        year + era * 400 + i64::from(month <= 2),
        month,
        of_year - (153 * shifted + 2) / 5 + 1,
    )
}

/// A literal of this type, NULL included: `'12'::int8`.
pub(super) fn literal(kind: Kind, sql_type: &str, value: ValueRef<'_>) -> Result<String, Misfit> {
    if is_null(value) {
        return Ok(format!("NULL::{sql_type}"));
    }
    let mut out = String::new();
    write(&mut out, kind, value)?;
    Ok(format!("{}::{sql_type}", names::text(&out)))
}

/// Appends a field of a text `COPY`; `scratch` is used on the way.
pub(super) fn put_field(
    out: &mut Vec<u8>,
    scratch: &mut String,
    kind: Kind,
    value: ValueRef<'_>,
) -> Result<(), Misfit> {
    if is_null(value) {
        out.extend_from_slice(b"\\N");
        return Ok(());
    }
    scratch.clear();
    if let ValueRef::Text(v) = value
        && matches!(kind, Kind::Text | Kind::Other)
    {
        encode::no_nul(v)?;
        escape(out, v);
        return Ok(());
    }
    write(scratch, kind, value)?;
    escape(out, scratch);
    Ok(())
}

fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|b| matches!(b, b'\\' | b'\n' | b'\r' | b'\t'))
    {
        out.extend_from_slice(&rest[..at]);
        let letter = match rest[at] {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            other => other,
        };
        out.extend_from_slice(&[b'\\', letter]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(kind: Kind, value: &Value) -> String {
        let mut out = String::new();
        write(&mut out, kind, value.into()).unwrap();
        out
    }

    #[test]
    fn dates_and_times() {
        for (kind, value, text) in [
            (Kind::Date, Value::Date(0), "1970-01-01"),
            (Kind::Date, Value::Date(-719_162), "0001-01-01"),
            (Kind::Date, Value::Date(-719_163), "0001-12-31 BC"),
            (Kind::Date, Value::Date(-719_528), "0001-01-01 BC"),
            (Kind::Date, Value::Date(2_932_897), "10000-01-01"),
            (Kind::Date, Value::Date(i32::MAX), "infinity"),
            (Kind::Time, Value::Time(86_400_000_000), "24:00:00"),
            (Kind::Time, Value::Time(1), "00:00:00.000001"),
            (
                Kind::Timestamp,
                Value::Timestamp(-1),
                "1969-12-31 23:59:59.999999",
            ),
            (Kind::Timestamp, Value::Timestamp(i64::MIN), "-infinity"),
            (
                Kind::TimestampTz,
                Value::TimestampUtc(-62_135_596_800_000_001),
                "0001-12-31 23:59:59.999999+00 BC",
            ),
            (Kind::Bytea, Value::Bytes(vec![0, 255]), "\\x00ff"),
            (Kind::Float4, Value::Float(f64::from(0.1_f32)), "1e-1"),
            (Kind::Float8, Value::Float(-0.0), "-0e0"),
            (Kind::Int8, Value::UInt(7), "7"),
        ] {
            assert_eq!(plain(kind, &value), text);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (kind, value) in [
            (Kind::Int2, Value::Int(40_000)),
            (Kind::Float4, Value::Float(0.1)),
            (Kind::Int4, Value::Float(1.0)),
            (Kind::Text, Value::Text("a\0".into())),
            (Kind::Time, Value::Time(-1)),
            (Kind::Numeric, Value::Int(1)),
            (Kind::Int8, Value::UInt(u64::MAX)),
        ] {
            assert!(
                write(&mut String::new(), kind, (&value).into()).is_err(),
                "{value}"
            );
        }
    }

    #[test]
    fn fields_are_escaped() {
        let (mut out, mut scratch) = (Vec::new(), String::new());
        put_field(
            &mut out,
            &mut scratch,
            Kind::Other,
            ValueRef::Text("a\\b\tc\n"),
        )
        .unwrap();
        put_field(&mut out, &mut scratch, Kind::Text, ValueRef::Null).unwrap();
        assert_eq!(out, b"a\\\\b\\tc\\n\\N");
    }

    proptest! {
        /// Days, counted one by one from the calendar's rules.
        #[test]
        fn civil_days_follow_each_other(days in -800_000_000_i64..2_000_000_000) {
            let (y, m, d) = civil(days);
            let next = civil(days + 1);
            let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            let last = match m { 2 if leap => 29, 2 => 28, 4 | 6 | 9 | 11 => 30, _ => 31 };
            let expected = if d < last { (y, m, d + 1) } else if m < 12 { (y, m + 1, 1) } else { (y + 1, 1, 1) };
            prop_assert_eq!(next, expected);
        }
    }
}
