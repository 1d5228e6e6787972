//! Dates and times as text: the form in which SQLite holds them, and text columns of servers.
//!
//! ISO, with six digits of a second's fraction when there is one, `Z` behind a time in UTC,
//! `infinity` and `-infinity`; years before 1 count as 0, -1, … (astronomically). Reading takes
//! exactly what writing writes, so that a text that is read always comes back.

/// Microseconds in a day.
pub const DAY: i64 = 86_400_000_000;

const INFINITE: [&str; 2] = ["infinity", "-infinity"];

/// `YYYY-MM-DD` of days since 1970.
pub fn date_text(days: i32) -> String {
    match days {
        i32::MAX => INFINITE[0].to_owned(),
        i32::MIN => INFINITE[1].to_owned(),
        days => civil_date(i64::from(days)),
    }
}

/// `HH:MM:SS` of microseconds since midnight.
pub fn time_text(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    let (s, us) = (us / 1_000_000, us % 1_000_000);
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    if us == 0 {
        format!("{sign}{h:02}:{m:02}:{s:02}")
    } else {
        format!("{sign}{h:02}:{m:02}:{s:02}.{us:06}")
    }
}

/// `YYYY-MM-DD HH:MM:SS` of microseconds since 1970, and the zone behind it.
pub fn timestamp_text(us: i64, zone: &str) -> String {
    match us {
        i64::MAX => INFINITE[0].to_owned(),
        i64::MIN => INFINITE[1].to_owned(),
        us => {
            let days = us.div_euclid(DAY);
            format!(
                "{} {}{zone}",
                civil_date(days),
                time_text(us.rem_euclid(DAY))
            )
        }
    }
}

/// Days since 1970 as a date of the proleptic Gregorian calendar (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
pub fn civil_date(days: i64) -> String {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Likewise, `days_from_civil`.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = if month > 2 { month - 3 } else { month + 9 };
    let doy = (153 * mp + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

fn days(text: &str) -> Option<i64> {
    let (rest, day) = text.rsplit_once('-')?;
    let (year, month) = rest.rsplit_once('-')?;
    // No engine has years of more digits.
    if year.len() > 8 {
        return None;
    }
    let days = days_of(
        year.parse().ok()?,
        i64::from(month.parse::<u8>().ok()?),
        i64::from(day.parse::<u8>().ok()?),
    );
    (civil_date(days) == text).then_some(days)
}

/// What [`date_text`] wrote.
pub fn date(text: &str) -> Option<i32> {
    match INFINITE.iter().position(|i| *i == text) {
        Some(0) => Some(i32::MAX),
        Some(_) => Some(i32::MIN),
        None => days(text)?.try_into().ok(),
    }
}

/// What [`time_text`] wrote.
pub fn time(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |d| (true, d));
    let (clock, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if fraction.len() > 6 {
        return None;
    }
    let mut parts = clock.splitn(3, ':').map(|part| {
        (part.len() <= 6 && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<i64>().ok())
            .flatten()
    });
    let (h, m, s) = (parts.next()??, parts.next()??, parts.next()??);
    let us = ((h * 60 + m) * 60 + s) * 1_000_000 + fraction.parse::<i64>().ok()?;
    let us = if negative { -us } else { us };
    (time_text(us) == text).then_some(us)
}

/// What [`timestamp_text`] wrote with this zone.
pub fn timestamp(text: &str, zone: &str) -> Option<i64> {
    match INFINITE.iter().position(|i| *i == text) {
        Some(0) => return Some(i64::MAX),
        Some(_) => return Some(i64::MIN),
        None => {}
    }
    let (date, clock) = text.strip_suffix(zone)?.split_once(' ')?;
    let clock = time(clock).filter(|us| (0..DAY).contains(us))?;
    let us = i128::from(days(date)?) * i128::from(DAY) + i128::from(clock);
    us.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_date_and_time_comes_back(days: i32, us: i64) {
            prop_assert_eq!(date(&date_text(days)), Some(days));
            prop_assert_eq!(timestamp(&timestamp_text(us, ""), ""), Some(us));
            prop_assert_eq!(timestamp(&timestamp_text(us, "Z"), "Z"), Some(us));
            let us = us % (839 * 3_600_000_000);
            prop_assert_eq!(time(&time_text(us)), Some(us));
        }

        #[test]
        fn what_is_read_is_written_alike(text in "-?[0-9]{1,5}-[0-9]{1,2}-[0-9]{1,2}( [0-9]{1,2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?)?Z?") {
            if let Some(days) = date(&text) {
                prop_assert_eq!(date_text(days), text.clone());
            }
            if let Some(us) = timestamp(&text, "Z") {
                prop_assert_eq!(timestamp_text(us, "Z"), text);
            }
        }
    }

    #[test]
    fn edges() {
        assert_eq!(date_text(i32::MAX), "infinity");
        assert_eq!(date_text(-719_529), "-001-12-31");
        assert_eq!(date("-001-12-31"), Some(-719_529));
        assert_eq!(date("2024-02-30"), None);
        assert_eq!(date("2024-2-03"), None);
        assert_eq!(date("+2024-02-03"), None);
        assert_eq!(time("24:00:00"), Some(DAY));
        assert_eq!(time("-838:59:59"), Some(-3_020_399_000_000));
        assert_eq!(time("00:00:00.5"), None);
        assert_eq!(time("-00:00:00"), None);
        assert_eq!(timestamp("1970-01-01 24:00:00", ""), None);
        assert_eq!(timestamp("1970-01-01 00:00:00Z", ""), None);
        assert_eq!(timestamp("1970-01-01 00:00:00.000001Z", "Z"), Some(1));
    }
}
