//! How dates, times, UUIDs and bytes are written as text in case files and scripts.
//!
//! ```text
//! date           2026-11-21            (years before 0 and after 9999 with a sign: -0044-03-15)
//! time           13:05:09.000001       (negative and beyond 24 hours allowed: -838:59:59)
//! timestamp      2026-11-21T13:05:09.000001     without a zone
//! timestamp-utc  2026-11-21T13:05:09.000001Z    or with an offset: …+01:00
//! uuid           6ba7b810-9dad-11d1-80b4-00c04fd430c8
//! bytes          00ff
//! ```
//! The fraction of a second has one to six digits and is written only where it is not zero. A
//! blank may stand for the `T`. Every function that reads answers `None` for anything else.

const DAY_US: i64 = 86_400_000_000;

/// Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian).
#[must_use]
pub fn civil(days: i32) -> (i64, u32, u32) {
    // Howard Hinnant's algorithm: eras of 400 years that begin on 1 March.
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let small = |v: i64| u32::try_from(v).unwrap_or(0);
    (year, small(month), small(day))
}

/// Days since 1970-01-01; `None` when there is no such day or it is out of range.
#[must_use]
pub fn days(year: i64, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || day == 0 || !(-6_000_000..=6_000_000).contains(&year) {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > last {
        return None;
    }
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let shifted = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// A date as text.
#[must_use]
pub fn format_date(date: i32) -> String {
    let (year, month, day) = civil(date);
    if (0..=9999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+05}-{month:02}-{day:02}")
    }
}

/// A date from text.
#[must_use]
pub fn parse_date(text: &str) -> Option<i32> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut parts = rest.split('-');
    let year = digits(parts.next()?, 4, 7)?;
    let month = digits(parts.next()?, 2, 2)?;
    let day = digits(parts.next()?, 2, 2)?;
    if parts.next().is_some() {
        return None;
    }
    days(
        if negative { -year } else { year },
        u32::try_from(month).ok()?,
        u32::try_from(day).ok()?,
    )
}

/// A time of day, in microseconds, as text.
#[must_use]
pub fn format_time(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let all = us.unsigned_abs();
    let (seconds, fraction) = (all / 1_000_000, all % 1_000_000);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut out = format!("{sign}{h:02}:{m:02}:{s:02}");
    if fraction != 0 {
        out.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    out
}

/// A time of day from text, in microseconds.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let (negative, rest) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (clock, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
    let mut parts = clock.split(':');
    let hours = digits(parts.next()?, 2, 9)?;
    let minutes = digits(parts.next()?, 2, 2)?;
    let seconds = parts.next().map_or(Some(0), |s| digits(s, 2, 2))?;
    if parts.next().is_some() || minutes > 59 || seconds > 59 {
        return None;
    }
    let fraction = digits(fraction, 1, 6)? * 10_i64.pow(6 - u32::try_from(fraction.len()).ok()?);
    let us = hours
        .checked_mul(3600)?
        .checked_add(minutes * 60 + seconds)?
        .checked_mul(1_000_000)?
        .checked_add(fraction)?;
    Some(if negative { -us } else { us })
}

/// A timestamp, in microseconds since 1970, as text without a zone.
#[must_use]
pub fn format_timestamp(us: i64) -> String {
    let day = us.div_euclid(DAY_US);
    // The whole range of i64 microseconds is 107 million days either way.
    let date = i32::try_from(day).unwrap_or(i32::MAX);
    format!(
        "{}T{}",
        format_date(date),
        format_time(us.rem_euclid(DAY_US))
    )
}

/// A timestamp from text: microseconds, and the offset from UTC in microseconds where one is
/// written (`Z` is 0). The microseconds are the wall clock's, without the offset.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<(i64, Option<i64>)> {
    let at = text.find(['T', 't', ' '])?;
    let day = parse_date(&text[..at])?;
    let clock = &text[at + 1..];
    let (clock, offset) = if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        (clock, Some(0))
    } else if let Some(sign) = clock.rfind(['+', '-']) {
        let offset = parse_time(&clock[sign + 1..])?;
        let offset = if clock[sign..].starts_with('-') {
            -offset
        } else {
            offset
        };
        (&clock[..sign], Some(offset))
    } else {
        (clock, None)
    };
    let time = parse_time(clock).filter(|t| (0..DAY_US).contains(t))?;
    let us = i64::from(day).checked_mul(DAY_US)?.checked_add(time)?;
    Some((us, offset))
}

/// A timestamp in UTC from text with a zone.
#[must_use]
pub fn parse_timestamp_utc(text: &str) -> Option<i64> {
    let (us, offset) = parse_timestamp(text)?;
    us.checked_sub(offset?)
}

/// A UUID from its 36 characters.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    if groups != [8, 4, 4, 4, 12] {
        return None;
    }
    parse_hex(&text.replace('-', ""))?.try_into().ok()
}

/// Bytes as two lower-case hexadecimal digits each.
#[must_use]
pub fn format_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _never = write!(out, "{byte:02x}");
    }
    out
}

/// Bytes from hexadecimal digits.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

fn digits(text: &str, least: usize, most: usize) -> Option<i64> {
    let fits = (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
            (-719_468, "0000-03-01"),
            (-719_529, "-0001-12-31"),
            (2_932_897, "+10000-01-01"),
        ] {
            assert_eq!(format_date(days), text);
            assert_eq!(parse_date(text), Some(days), "{text}");
        }
        for wrong in [
            "2026-02-29",
            "2026-13-01",
            "2026-1-01",
            "",
            "2026-11-21x",
            "1900-02-29",
        ] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn offsets_and_fractions() {
        assert_eq!(
            parse_timestamp_utc("1970-01-01T01:00:00.5+01:00"),
            Some(500_000)
        );
        assert_eq!(parse_timestamp_utc("1970-01-01 00:00:00"), None, "no zone");
        assert_eq!(parse_timestamp("1970-01-01 00:00"), Some((0, None)));
        assert_eq!(parse_time("-838:59:59.000001"), Some(-3_020_399_000_001));
        assert_eq!(parse_timestamp("1970-01-01T24:00:00"), None);
    }

    proptest! {
        #[test]
        fn every_value_reads_back(date: i32, us: i64, bytes: Vec<u8>, uuid: [u8; 16]) {
            if (-6_000_000..=6_000_000).contains(&civil(date).0) {
                prop_assert_eq!(parse_date(&format_date(date)), Some(date));
            }
            prop_assert_eq!(parse_timestamp(&format_timestamp(us)), Some((us, None)));
            let time = us % (400 * DAY_US);
            prop_assert_eq!(parse_time(&format_time(time)), Some(time));
            prop_assert_eq!(parse_hex(&format_hex(&bytes)), Some(bytes));
            prop_assert_eq!(parse_uuid(&crate::data::Value::Uuid(uuid).to_string()), Some(uuid));
        }

        #[test]
        fn nothing_read_panics(text: String) {
            let _dates = (parse_date(&text), parse_time(&text), parse_timestamp(&text));
            let _others = (parse_uuid(&text), parse_hex(&text), parse_timestamp_utc(&text));
        }
    }
}
