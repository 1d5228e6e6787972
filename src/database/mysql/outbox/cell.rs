//! Cells in the outbox: how a trigger writes them down so that nothing is lost, and how they are read.
//!
//! All cells of a row lie in one string of bytes: `-` for NULL, else the length in bytes, a colon, and
//! the bytes. Texts are UTF-8 whatever the column's character set; `float` becomes `double`, which
//! is written with all its digits.

use mysql_async::Value as Wire;

use crate::data::Column;
use crate::database::mysql::kind::Kind;
use crate::database::mysql::names::quote;

/// A column's cell as an expression.
pub(super) fn write(record: &str, column: &Column) -> String {
    let cell = format!("{record}.{}", quote(&column.name));
    let text = match Kind::of(column) {
        Kind::Float | Kind::Double => format!("CAST({cell} * 1e0 AS CHAR)"),
        Kind::Bit { .. } => format!("CAST({cell} + 0 AS CHAR)"),
        Kind::Char { .. }
        | Kind::Text { .. }
        | Kind::Enum { .. }
        | Kind::Set { .. }
        | Kind::Json => format!("CONVERT({cell} USING utf8mb4)"),
        Kind::Binary { .. } | Kind::Bytes => cell.clone(),
        Kind::Geometry => format!("UNHEX(HEX({cell}))"),
        _ => format!("CAST({cell} AS CHAR)"),
    };
    format!(
        "IF({cell} IS NULL, '-', CONCAT(LENGTH(CAST({text} AS BINARY)), ':', \
         CAST({text} AS BINARY)))"
    )
}

/// Splits what a trigger wrote into cells; `None` when it is damaged.
pub(super) fn split(mut bytes: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let mut cells = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        if *first == b'-' {
            cells.push(None);
            bytes = rest;
            continue;
        }
        let colon = bytes.iter().position(|b| *b == b':')?;
        let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
        let rest = &bytes[colon + 1..];
        cells.push(Some(rest.get(..length)?));
        bytes = &rest[length..];
    }
    Some(cells)
}

/// A cell as the server would have delivered it; `None` when it is none of this kind.
pub(super) fn wire(kind: &Kind, cell: &[u8]) -> Option<Wire> {
    let text = || std::str::from_utf8(cell).ok();
    Some(match kind {
        Kind::Int { .. } | Kind::Year => match text()?.parse::<i64>() {
            Ok(v) => Wire::Int(v),
            Err(_) => Wire::UInt(text()?.parse().ok()?),
        },
        Kind::Bit { .. } => Wire::Bytes(text()?.parse::<u64>().ok()?.to_be_bytes().to_vec()),
        Kind::Float => {
            let wide: f64 = text()?.parse().ok()?;
            #[expect(clippy::cast_possible_truncation, reason = "compared with what it was")]
            let narrow = wide as f32;
            if f64::from(narrow).to_bits() != wide.to_bits() {
                return None;
            }
            Wire::Float(narrow)
        }
        Kind::Double => Wire::Double(text()?.parse().ok()?),
        Kind::Date => {
            let (y, m, d) = date(text()?)?;
            Wire::Date(y, m, d, 0, 0, 0, 0)
        }
        Kind::Datetime { .. } | Kind::Timestamp { .. } => {
            let (day, rest) = text()?.split_once(' ')?;
            let (y, m, d) = date(day)?;
            let (h, i, s, us) = time(rest)?;
            Wire::Date(y, m, d, u8::try_from(h).ok()?, i, s, us)
        }
        Kind::Time { .. } => {
            let text = text()?;
            let (negative, text) = match text.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, text),
            };
            let (h, i, s, us) = time(text)?;
            let hour = u8::try_from(h % 24).ok()?;
            Wire::Time(negative, h / 24, hour, i, s, us)
        }
        Kind::Other => return None,
        _ => Wire::Bytes(cell.to_vec()),
    })
}

/// `YYYY-MM-DD`, whatever the numbers.
fn date(text: &str) -> Option<(u16, u8, u8)> {
    let mut parts = text.split('-');
    let date = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    );
    parts.next().is_none().then_some(date)
}

/// `HH:MM:SS[.ffffff]`
fn time(text: &str) -> Option<(u32, u8, u8, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 6 {
        return None;
    }
    let us = format!("{fraction:0<6}").parse().ok()?;
    let mut parts = whole.split(':');
    let time = (
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        us,
    );
    parts.next().is_none().then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_split_by_their_lengths() {
        let all = split(b"-3:a:-0:-2:\xff-").unwrap();
        assert_eq!(
            all,
            [
                None,
                Some(b"a:-".as_slice()),
                Some(b"".as_slice()),
                None,
                Some(b"\xff-".as_slice())
            ]
        );
        assert_eq!(split(b"4:abc"), None);
        assert_eq!(split(b"x"), None);
        assert_eq!(split(b"").unwrap().len(), 0);
    }

    #[test]
    fn texts_become_what_the_server_delivers() {
        let time_of = |text: &str| wire(&Kind::Time { fraction: 6 }, text.as_bytes());
        assert_eq!(
            time_of("-838:59:59.000001"),
            Some(Wire::Time(true, 34, 22, 59, 59, 1))
        );
        let datetime = Kind::Datetime { fraction: 3 };
        assert_eq!(
            wire(&datetime, b"0000-00-00 00:00:00.120"),
            Some(Wire::Date(0, 0, 0, 0, 0, 0, 120_000))
        );
        let int = Kind::Int {
            bytes: 8,
            unsigned: true,
        };
        assert_eq!(
            wire(&int, b"18446744073709551615"),
            Some(Wire::UInt(u64::MAX))
        );
        assert_eq!(wire(&int, b"00042"), Some(Wire::Int(42)));
        assert_eq!(wire(&Kind::Float, b"0.1"), None);
        assert_eq!(
            wire(&Kind::Float, b"0.10000000149011612"),
            Some(Wire::Float(0.1))
        );
        assert_eq!(wire(&Kind::Date, b"2020-02"), None);
    }
}
