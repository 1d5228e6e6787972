//! Dates and times as the servers spell them.

/// Microseconds of a second.
const SECOND_US: i64 = 1_000_000;
/// Microseconds of a day.
const DAY_US: i64 = 86_400 * SECOND_US;

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. `None` for what is no date:
/// month or day 0, 31 February.
pub(super) fn days(year: u16, month: u8, day: u8) -> Option<i32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if day == 0 || day > last {
        return None;
    }
    // Years begin in March, so that the day of a leap year is the last one.
    let (year, month, day) = (i32::from(year), i32::from(month), i32::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Year, month and day of days since 1970-01-01.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Microseconds since 1970-01-01T00:00:00. `None` when the date is none.
pub(super) fn timestamp(date: (u16, u8, u8), time: (u8, u8, u8, u32)) -> Option<i64> {
    let days = i64::from(days(date.0, date.1, date.2)?);
    Some(days * DAY_US + time_us(0, time))
}

/// Microseconds of days, hours, minutes, seconds, microseconds.
pub(super) fn time_us(days: u32, (hours, minutes, seconds, us): (u8, u8, u8, u32)) -> i64 {
    let minutes = (i64::from(days) * 24 + i64::from(hours)) * 60 + i64::from(minutes);
    (minutes * 60 + i64::from(seconds)) * SECOND_US + i64::from(us)
}

/// `2020-02-29`. `None` outside the years 0 to 9999.
pub(super) fn date_text(days: i64) -> Option<String> {
    let (year, month, day) = civil(days);
    (0..=9999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// `2020-02-29 10:00:00.000001`. `None` outside the years 0 to 9999.
pub(super) fn timestamp_text(us: i64) -> Option<String> {
    let mut text = date_text(us.div_euclid(DAY_US))?;
    text.push(' ');
    push_time(&mut text, us.rem_euclid(DAY_US));
    Some(text)
}

/// `-838:59:59.000001`
pub(super) fn time_text(us: i64) -> String {
    let mut text = String::new();
    if us < 0 {
        text.push('-');
    }
    push_time(&mut text, us.saturating_abs());
    text
}

fn push_time(text: &mut String, us: i64) {
    let seconds = us / SECOND_US;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    text.push_str(&format!("{hours:02}:{minutes:02}:{:02}", seconds % 60));
    if us % SECOND_US != 0 {
        text.push_str(&format!(".{:06}", us % SECOND_US));
    }
}

/// The text of a date that is none, as the server gives it.
pub(super) fn odd_date_text((year, month, day): (u16, u8, u8)) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

/// The text of a timestamp whose date is none, with so many digits of a fraction.
pub(super) fn odd_timestamp_text(
    date: (u16, u8, u8),
    (hours, minutes, seconds, us): (u8, u8, u8, u32),
    fraction: u8,
) -> String {
    let date = odd_date_text(date);
    let mut text = format!("{date} {hours:02}:{minutes:02}:{seconds:02}");
    if fraction > 0 {
        let digits = format!("{us:06}");
        text.push('.');
        text.push_str(&digits[..usize::from(fraction.min(6))]);
    }
    text
}

/// Whether a time has no more digits of a fraction than a column keeps.
pub(super) fn fits_fraction(us: i64, fraction: u8) -> bool {
    us % 10_i64.pow(6_u32.saturating_sub(u32::from(fraction))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2000, 2, 29), Some(11_016));
        assert_eq!(days(9999, 12, 31), Some(2_932_896));
        assert_eq!(days(0, 1, 1), Some(-719_528));
        for day in (-719_528..=2_932_896).step_by(13) {
            let (y, m, d) = civil(day);
            let back = days(
                u16::try_from(y).unwrap(),
                u8::try_from(m).unwrap(),
                u8::try_from(d).unwrap(),
            );
            assert_eq!(back.map(i64::from), Some(day));
        }
        for (y, m, d) in [(0, 0, 0), (2020, 0, 10), (2020, 2, 30), (1900, 2, 29)] {
            assert_eq!(days(y, m, d), None);
        }
    }

    #[test]
    fn texts() {
        assert_eq!(date_text(-719_528).as_deref(), Some("0000-01-01"));
        assert_eq!(date_text(2_932_897), None);
        assert_eq!(
            timestamp_text(-1).as_deref(),
            Some("1969-12-31 23:59:59.999999")
        );
        assert_eq!(timestamp_text(0).as_deref(), Some("1970-01-01 00:00:00"));
        let most = time_us(34, (22, 59, 59, 0));
        assert_eq!(time_text(-most), "-838:59:59");
        assert_eq!(time_text(1), "00:00:00.000001");
        assert_eq!(
            odd_timestamp_text((0, 0, 0), (1, 2, 3, 456_789), 3),
            "0000-00-00 01:02:03.456"
        );
        assert!(fits_fraction(1_000, 3));
        assert!(!fits_fraction(1_001, 3));
        assert!(fits_fraction(1_001, 6));
    }
}
