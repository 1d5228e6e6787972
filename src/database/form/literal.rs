//! PostgreSQL's types that have no case of their own: carried as the text that the server gives.
//!
//! The server takes many texts and gives back one. Only texts that are in the form in which it
//! gives them are taken here; for types whose form is not known, any text is
//! ([`Literal::Unchecked`]).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{ColumnForm, array};

/// Such a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// `bit(n)`, `bit varying(n)`.
    Bits {
        /// Digits at most.
        most: usize,
        /// Whether exactly so many.
        fixed: bool,
    },
    /// `interval(p)`.
    Interval {
        /// Digits of a second's fraction.
        fraction: usize,
    },
    /// `time(p) with time zone`.
    TimeTz {
        /// Digits of a second's fraction.
        fraction: usize,
    },
    /// `inet`.
    Inet,
    /// `cidr`.
    Cidr,
    /// `macaddr`, `macaddr8`: so many bytes.
    Mac(usize),
    /// `money` with `lc_monetary` C.
    Money,
    /// `int4range`, `int8range`: of numbers up to this.
    IntRange(i64),
    /// An array.
    Array(Box<ColumnForm>),
    /// An enum whose labels are known.
    Labels(Vec<String>),
    /// A type of this name, whose form is not known here.
    Unchecked(String),
}

impl Literal {
    /// Whether the server gives such a text back as it is.
    pub(super) fn takes(&self, text: &str) -> bool {
        if text.contains('\0') {
            return false;
        }
        match self {
            Self::Bits { most, fixed } => {
                text.bytes().all(|b| matches!(b, b'0' | b'1'))
                    && text.len() <= *most
                    && (!fixed || text.len() == *most)
            }
            Self::Interval { fraction } => interval(text, *fraction).unwrap_or(false),
            Self::TimeTz { fraction } => time_tz(text, *fraction).unwrap_or(false),
            Self::Inet => inet(text),
            Self::Cidr => cidr(text).unwrap_or(false),
            Self::Mac(bytes) => {
                text.len() == bytes * 3 - 1
                    && text.split(':').count() == *bytes
                    && text.split(':').all(|part| {
                        part.len() == 2
                            && part
                                .bytes()
                                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                    })
            }
            Self::Money => money(text).unwrap_or(false),
            Self::IntRange(most) => text == "empty" || int_range(text, *most).unwrap_or(false),
            Self::Array(element) => array::is_canonical(text, element),
            Self::Labels(labels) => labels.iter().any(|l| l == text),
            Self::Unchecked(_) => true,
        }
    }
}

/// Digits as C's `%d` prints them.
fn plain_int(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|n| n.to_string() == text)
}

/// `SS` or `SS.f…` without zeros at the end, in microseconds.
fn seconds(text: &str, places: usize) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => {
            if fraction.is_empty() || fraction.ends_with('0') || fraction.len() > places.min(6) {
                return None;
            }
            (whole, fraction)
        }
        None => (text, ""),
    };
    if whole.len() != 2
        || !whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let us = format!("{fraction:0<6}").parse::<i64>().ok()?;
    let s = whole.parse::<i64>().ok().filter(|s| *s < 60)?;
    Some(s * 1_000_000 + us)
}

fn two_digits(text: &str, below: i64) -> Option<i64> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse::<i64>().ok())
        .flatten()
        .filter(|n| *n < below)
}

/// `1 year 2 mons -3 days +04:05:06.7`, as IntervalStyle `postgres` has it.
fn interval(text: &str, places: usize) -> Option<bool> {
    let mut words = text.split(' ').peekable();
    let mut parts = [0_i64; 3];
    let mut clock = None;
    let mut from = 0;
    while let Some(word) = words.next() {
        let Some(unit) = words.next() else {
            clock = Some(word);
            break;
        };
        let n = plain_int(word.strip_prefix('+').unwrap_or(word))?;
        let at = ["year", "mon", "day"]
            .iter()
            .position(|name| unit.strip_suffix('s').unwrap_or(unit) == *name)?;
        if at < from || n == 0 || i32::try_from(n).is_err() {
            return Some(false);
        }
        (parts[at], from) = (n, at + 1);
    }
    let [years, months, days] = parts;
    if i32::try_from(years * 12 + months).is_err()
        || months.abs() > 11
        || years.signum() * months.signum() < 0
    {
        return Some(false);
    }
    let mut us = 0_i64;
    let mut negative = false;
    if let Some(clock) = clock {
        let digits = clock.trim_start_matches(['-', '+']);
        negative = clock.starts_with('-');
        let mut units = digits.splitn(3, ':');
        let hours = units.next()?;
        if hours.len() < 2 || hours.len() > 2 && hours.starts_with('0') || hours.len() > 10 {
            return Some(false);
        }
        if !hours.bytes().all(|b| b.is_ascii_digit()) {
            return Some(false);
        }
        let minutes = two_digits(units.next()?, 60)?;
        let seconds = seconds(units.next()?, places)?;
        let all = (hours.parse::<i128>().ok()? * 60 + i128::from(minutes)) * 60_000_000;
        us = i64::try_from(all + i128::from(seconds)).ok()?;
        if us == 0 && from > 0 {
            return Some(false);
        }
    }
    // What the server writes for these numbers.
    let mut out = String::new();
    let mut before = false;
    for (n, unit) in [(years, "year"), (months, "mon"), (days, "day")] {
        if n != 0 {
            let space = if out.is_empty() { "" } else { " " };
            let plus = if before && n > 0 { "+" } else { "" };
            let plural = if n == 1 { "" } else { "s" };
            out.push_str(&format!("{space}{plus}{n} {unit}{plural}"));
            before = n < 0;
        }
    }
    if out.is_empty() || us != 0 {
        let space = if out.is_empty() { "" } else { " " };
        let sign = match (negative, before) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let clock = clock?.trim_start_matches(['-', '+']);
        out.push_str(&format!("{space}{sign}{clock}"));
        if us == 0 && negative {
            return Some(false);
        }
    }
    Some(out == text)
}

/// `HH:MM:SS.f+HH:MM:SS`.
fn time_tz(text: &str, places: usize) -> Option<bool> {
    let at = text.rfind(['+', '-'])?;
    let (clock, zone) = text.split_at(at);
    let mut units = clock.splitn(3, ':');
    let hours = two_digits(units.next()?, 25)?;
    let minutes = two_digits(units.next()?, 60)?;
    let us = (hours * 60 + minutes) * 60_000_000 + seconds(units.next()?, places)?;
    let units: Vec<&str> = zone[1..].split(':').collect();
    let mut offset = 0;
    for (i, unit) in units.iter().enumerate() {
        offset = offset * 60 + two_digits(unit, if i == 0 { 16 } else { 60 })?;
    }
    let shortest = match units.len() {
        1 => zone != "-00",
        2 => units[1] != "00",
        3 => units[2] != "00",
        _ => false,
    };
    let signed = offset != 0 || zone.starts_with('+');
    Some(us <= super::clock::DAY && shortest && signed)
}

/// An address in the form in which the servers write it.
fn address(text: &str) -> Option<(u128, u8)> {
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return (v4.to_string() == text).then(|| (u128::from(v4.to_bits()), 32));
    }
    let v6 = text.parse::<Ipv6Addr>().ok()?;
    (v6_text(v6) == text).then(|| (v6.to_bits(), 128))
}

/// The usual text, but those with 32 bits or less have an IPv4 address in it.
fn v6_text(v6: Ipv6Addr) -> String {
    let bits = v6.to_bits();
    match u32::try_from(bits) {
        Ok(low) if low > 0xffff => format!("::{}", Ipv4Addr::from_bits(low)),
        _ => v6.to_string(),
    }
}

fn inet(text: &str) -> bool {
    match text.split_once('/') {
        None => address(text).is_some(),
        Some((ip, bits)) => address(ip).is_some_and(|(_, most)| {
            plain_int(bits).is_some_and(|bits| (0..i64::from(most)).contains(&bits))
        }),
    }
}

fn cidr(text: &str) -> Option<bool> {
    let (ip, bits) = text.split_once('/')?;
    let (number, most) = address(ip)?;
    let bits = u8::try_from(plain_int(bits)?).ok().filter(|b| *b <= most)?;
    let host = most - bits;
    let mask = if host == 0 {
        0
    } else {
        u128::MAX >> (128 - u32::from(host))
    };
    Some(number & mask == 0)
}

/// Whether it is an IPv4 address as MariaDB's `inet4` gives it.
pub(super) fn inet4(text: &str) -> bool {
    address(text).is_some_and(|(_, most)| most == 32)
}

/// Whether it is an IPv6 address as MariaDB's `inet6` gives it: a single zero is left out as well.
pub(super) fn inet6(text: &str) -> bool {
    let Ok(v6) = text.parse::<Ipv6Addr>() else {
        return false;
    };
    let mut usual = v6_text(v6);
    if !usual.contains("::")
        && let Some(at) = v6.segments().iter().position(|s| *s == 0)
    {
        let segments: Vec<String> = v6.segments().iter().map(|s| format!("{s:x}")).collect();
        usual = format!(
            "{}::{}",
            segments[..at].join(":"),
            segments[at + 1..].join(":")
        );
    }
    usual == text
}

/// `-$1,234.56`.
fn money(text: &str) -> Option<bool> {
    let digits = text.strip_prefix('-').unwrap_or(text).strip_prefix('$')?;
    let (whole, cents) = digits.split_once('.')?;
    let groups: Vec<&str> = whole.split(',').collect();
    let all: String = groups.concat();
    let n = format!("{all}{cents}").parse::<i64>().ok()?;
    let grouped = groups.iter().enumerate().all(|(i, g)| {
        g.bytes().all(|b| b.is_ascii_digit())
            && (if i == 0 {
                (1..=3).contains(&g.len())
            } else {
                g.len() == 3
            })
    });
    let cents = cents.len() == 2 && cents.bytes().all(|b| b.is_ascii_digit());
    let leading = all == "0" || !all.starts_with('0');
    Some(grouped && cents && leading && (n != 0 || !text.starts_with('-')))
}

/// `[1,3)`; a side that is open has no number and a round bracket.
fn int_range(text: &str, most: i64) -> Option<bool> {
    let number = |text| plain_int(text).filter(|n| (-most - 1..=most).contains(n));
    let (low, high) = text.strip_suffix(')')?.split_once(',')?;
    let low = match (low.strip_prefix('['), low) {
        (Some(low), _) => Some(number(low)?),
        (None, "(") => None,
        (None, _) => return Some(false),
    };
    let high = if high.is_empty() {
        None
    } else {
        Some(number(high)?)
    };
    Some(match (low, high) {
        (Some(low), Some(high)) => low < high,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::Literal;

    fn check(literal: &Literal, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(literal.takes(text), "{literal:?} {text:?}");
        }
        for text in bad {
            assert!(!literal.takes(text), "{literal:?} {text:?}");
        }
    }

    #[test]
    fn texts_as_the_server_gives_them() {
        check(
            &Literal::Interval { fraction: 6 },
            &[
                "00:00:00",
                "1 day",
                "2 days",
                "-1 days",
                "1 year 2 mons 3 days 04:05:06.7",
                "-1 years",
                "1 mon -2 days +03:00:00",
                "-1 days +02:03:00",
                "-00:00:01",
                "100:00:00",
                "-1 years -2 mons +3 days -04:05:06.789",
                "1 day -00:00:01",
            ],
            &[
                "",
                "1 hour",
                "1 days",
                "2 day",
                "0 days",
                "13 mons",
                "1 day 00:00:00",
                "1 year -1 mons",
                "-00:00:00",
                "1:00:00",
                "001:00:00",
                "00:00:01.50",
                "00:60:00",
                "1 day 1 year",
                "-1 days 02:03:00",
                "1 day +01:00:00",
                "+1 day",
            ],
        );
        check(
            &Literal::Interval { fraction: 1 },
            &["00:00:00.5"],
            &["00:00:00.55"],
        );
        check(
            &Literal::TimeTz { fraction: 6 },
            &["12:00:00+00", "24:00:00-05:30", "00:00:00.5+01:02:03"],
            &[
                "12:00:00",
                "12:00:00-00",
                "12:00:00+00:00",
                "24:00:01+00",
                "12:00:00.50+00",
            ],
        );
        check(
            &Literal::Inet,
            &[
                "10.0.0.1",
                "10.0.0.1/8",
                "::1",
                "::",
                "fe80::1/64",
                "::ffff:1.2.3.4",
                "::1.2.3.4",
                "::ffff",
                "1:0:2:3:4:5:6:7",
            ],
            &[
                "10.0.0.1/32",
                "10.0.0",
                "::1/128",
                "FE80::1",
                "0:0:0:0:0:0:0:1",
                "::1:2",
                "10.0.0.1/08",
            ],
        );
        check(
            &Literal::Cidr,
            &[
                "10.0.0.0/8",
                "10.0.0.1/32",
                "::/0",
                "fe80::/10",
                "0.0.0.0/0",
            ],
            &["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33"],
        );
        for (text, taken) in [
            ("1::2:3:4:5:6:7", true),
            ("1:0:2:3:4:5:6:7", false),
            ("::1:2:3:4:5:6:7", true),
            ("1:2:3:4:5:6:7::", true),
            ("1:0:2::3:4:5", true),
            ("1::2:0:3:4:5:6", true),
            ("::ffff:1.2.3.4", true),
            ("10.0.0.1", false),
        ] {
            assert_eq!(super::inet6(text), taken, "{text}");
        }
        check(
            &Literal::Mac(6),
            &["08:00:2b:01:02:03"],
            &["08002b010203", "08:00:2B:01:02:03"],
        );
        check(
            &Literal::Money,
            &["$0.00", "-$1,234.56", "$92,233,720,368,547,758.07"],
            &["1.00", "$1.5", "$1234.56", "-$0.00", "$01.00", "$1,23.00"],
        );
        check(
            &Literal::IntRange(7),
            &["empty", "[1,3)", "(,3)", "[1,)", "(,)"],
            &[
                "[1,3]", "(1,3)", "[3,1)", "[,3)", "[1, 3)", ")", ",)", "ä,)", "[1,8)", "[-9,1)",
            ],
        );
        check(
            &Literal::Bits {
                most: 3,
                fixed: true,
            },
            &["101"],
            &["1", "1010", "102", ""],
        );
        check(
            &Literal::Bits {
                most: 3,
                fixed: false,
            },
            &["", "101"],
            &["1010"],
        );
    }
}
