//! MySQL's binary JSON as the text that the server gives for it.

use std::fmt::Write;

use super::cell::digits;
use super::wire::{Input, little};

/// The server refuses to nest deeper than 100.
const DEPTH_MAX: u32 = 110;

/// The text of a stored value.
pub(super) fn text(bytes: &[u8]) -> Result<String, String> {
    let mut out = String::with_capacity(bytes.len() + 16);
    match bytes.split_first() {
        // What a NULL in a column without NULL became.
        None => out.push_str("null"),
        Some((kind, body)) => value(&mut out, *kind, body, 0)
            .ok_or_else(|| "binary JSON that cannot be read".to_owned())?,
    }
    Ok(out)
}

fn value(out: &mut String, kind: u8, body: &[u8], depth: u32) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut input = Input(body);
    match kind {
        0 | 1 => container(out, body, kind == 1, true, depth),
        2 | 3 => container(out, body, kind == 3, false, depth),
        4 => {
            out.push_str(match input.uint(1)? {
                0 => "null",
                1 => "true",
                2 => "false",
                _ => return None,
            });
            Some(())
        }
        5 => signed(out, input.uint(2)?, 2),
        6 => unsigned(out, input.uint(2)?),
        7 => signed(out, input.uint(4)?, 4),
        8 => unsigned(out, input.uint(4)?),
        9 => signed(out, input.uint(8)?, 8),
        10 => unsigned(out, input.uint(8)?),
        11 => {
            out.push_str(&double(f64::from_bits(input.uint(8)?)));
            Some(())
        }
        12 => {
            let length = length(&mut input)?;
            quoted(out, input.take(length)?)
        }
        15 => {
            let field = u8::try_from(input.uint(1)?).ok()?;
            let length = length(&mut input)?;
            opaque(out, field, input.take(length)?)
        }
        _ => None,
    }
}

fn signed(out: &mut String, number: u64, bytes: u32) -> Option<()> {
    let spare = 64 - 8 * bytes;
    write!(out, "{}", (number << spare).cast_signed() >> spare).ok()
}

fn unsigned(out: &mut String, number: u64) -> Option<()> {
    write!(out, "{number}").ok()
}

/// Seven bits a byte, the lowest first.
fn length(input: &mut Input<'_>) -> Option<usize> {
    let mut length = 0;
    for shift in (0..35).step_by(7) {
        let byte = input.uint(1)?;
        length |= (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(length).ok();
        }
    }
    None
}

fn container(out: &mut String, body: &[u8], large: bool, object: bool, depth: u32) -> Option<()> {
    let width = if large { 4 } else { 2 };
    let number = |at: usize, bytes: usize| -> Option<usize> {
        usize::try_from(little(body.get(at..at.checked_add(bytes)?)?)).ok()
    };
    let count = number(0, width)?;
    let size = number(width, width)?;
    let body = body.get(..size)?;
    let keys = 2 * width;
    let values = if object {
        keys.checked_add(count.checked_mul(width + 2)?)?
    } else {
        keys
    };
    out.push(if object { '{' } else { '[' });
    for i in 0..count {
        if i > 0 {
            out.push_str(", ");
        }
        if object {
            let entry = keys + i * (width + 2);
            let (start, length) = (number(entry, width)?, number(entry + width, 2)?);
            quoted(out, body.get(start..start.checked_add(length)?)?)?;
            out.push_str(": ");
        }
        let entry = values.checked_add(i.checked_mul(width + 1)?)?;
        let kind = *body.get(entry)?;
        let inside = matches!(kind, 4..=6) || large && matches!(kind, 7 | 8);
        let start = if inside {
            entry + 1
        } else {
            number(entry + 1, width)?
        };
        value(out, kind, body.get(start..)?, depth + 1)?;
    }
    out.push(if object { '}' } else { ']' });
    Some(())
}

fn quoted(out: &mut String, bytes: &[u8]) -> Option<()> {
    out.push('"');
    for c in std::str::from_utf8(bytes).ok()?.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..'\u{20}' => write!(out, "\\u{:04x}", u32::from(c)).ok()?,
            c => out.push(c),
        }
    }
    out.push('"');
    Some(())
}

/// The shortest digits that give the number back; an exponent from 16 digits before the point and
/// 15 zeros behind it on.
fn double(number: f64) -> String {
    let shortest = format!("{number:e}");
    let Some((mantissa, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    if !(-14..=15).contains(&point) {
        return format!("{mantissa}e{}", point - 1);
    }
    let plain = format!("{number}");
    if plain.contains('.') {
        plain
    } else {
        plain + ".0"
    }
}

/// Values of SQL types in JSON.
fn opaque(out: &mut String, field: u8, data: &[u8]) -> Option<()> {
    match field {
        246 => {
            let [precision, scale, rest @ ..] = data else {
                return None;
            };
            let number: crate::data::Decimal = digits(rest, *precision, *scale)?.parse().ok()?;
            out.push_str(number.as_str());
            Some(())
        }
        7 | 10 | 11 | 12 => {
            let packed = Input(data).uint(8)?.cast_signed();
            let size = packed.abs();
            let (whole, micros) = (size >> 24, size & 0xff_ffff);
            let (ymd, hms) = (whole >> 17, whole & 0x1_ffff);
            let (year, month, day) = ((ymd >> 5) / 13, (ymd >> 5) % 13, ymd & 31);
            let (minute, second) = (hms >> 6 & 63, hms & 63);
            match field {
                10 => write!(out, "\"{year:04}-{month:02}-{day:02}\"").ok(),
                11 => {
                    let sign = if packed < 0 { "-" } else { "" };
                    let hour = whole >> 12 & 0x3ff;
                    write!(
                        out,
                        "\"{sign}{hour:02}:{minute:02}:{second:02}.{micros:06}\""
                    )
                    .ok()
                }
                _ => write!(
                    out,
                    "\"{year:04}-{month:02}-{day:02} {:02}:{minute:02}:{second:02}.{micros:06}\"",
                    hms >> 12
                )
                .ok(),
            }
        }
        // The server breaks longer ones into lines.
        _ if data.len() <= 57 => {
            write!(out, "\"base64:type{field}:").ok()?;
            base64(out, data);
            out.push('"');
            Some(())
        }
        _ => None,
    }
}

fn base64(out: &mut String, data: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in data.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| {
            bits << 8 | usize::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            out.push(if i <= chunk.len() {
                char::from(DIGITS[bits >> (18 - 6 * i) & 63])
            } else {
                '='
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_scalars() {
        // {"a": 1, "b": [true, null, "x"]}
        let array: &[u8] = &[3, 0, 15, 0, 4, 1, 0, 4, 0, 0, 12, 13, 0, 1, b'x'];
        let mut object = vec![0, 2, 0, 0, 0, 18, 0, 1, 0, 19, 0, 1, 0, 5, 1, 0, 2, 20, 0];
        object.extend_from_slice(b"ab");
        object.extend_from_slice(array);
        let size = u16::try_from(object.len() - 1).unwrap();
        object[3..5].copy_from_slice(&size.to_le_bytes());
        assert_eq!(
            text(&object).unwrap(),
            r#"{"a": 1, "b": [true, null, "x"]}"#
        );
        assert_eq!(text(&[5, 0xff, 0xff]).unwrap(), "-1");
        assert_eq!(
            text(&[12, 6, b'"', b'\\', b'\n', 1, 0xc3, 0xa4]).unwrap(),
            "\"\\\"\\\\\\n\\u0001ä\""
        );
        assert!(text(&object[..object.len() - 3]).is_err());
    }

    #[test]
    fn numbers_as_the_server_spells_them() {
        for (number, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e15, "1e15"),
            (1e14, "100000000000000.0"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (1.234_567_890_123_456_8e17, "1.2345678901234568e17"),
        ] {
            assert_eq!(double(number), expected);
        }
    }

    #[test]
    fn opaque_values() {
        let mut out = String::new();
        opaque(&mut out, 246, &[4, 2, 0x8c, 0x22]).unwrap();
        out.push(' ');
        opaque(&mut out, 15, b"ab").unwrap();
        assert_eq!(out, "12.34 \"base64:type15:YWI=\"");
    }
}
