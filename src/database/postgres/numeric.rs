//! `numeric` in PostgreSQL's binary form: digits to the base 10000, a weight, a sign, a scale.

/// 10000 to the power of `weight` is what the first digit counts.
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;
/// The largest scale that the form can say.
const SCALE_MAX: usize = 0x3fff;
/// Digits before the point that PostgreSQL takes.
const WHOLE_MAX: usize = 131_072;

/// The plain digits, with the scale kept. `None`: these bytes are no `numeric`.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let word = |i: usize| -> Option<u16> {
        let pair = bytes.get(2 * i..2 * i + 2)?;
        Some(u16::from_be_bytes([pair[0], pair[1]]))
    };
    let digits = usize::from(word(0)?);
    let weight = i32::from(word(1)?.cast_signed());
    let scale = usize::from(word(3)?);
    let sign = word(2)?;
    match sign {
        POSITIVE | NEGATIVE => {}
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        _ => return None,
    }
    if bytes.len() != 8 + 2 * digits {
        return None;
    }
    // The digit that counts 10000 to the power of `power`.
    let digit = |power: i32| -> Option<u16> {
        match usize::try_from(weight - power) {
            Ok(i) if i < digits => word(4 + i).filter(|d| *d < 10_000),
            _ => Some(0),
        }
    };
    let whole = usize::try_from(weight + 1).unwrap_or(0);
    let mut out = String::with_capacity(4 * whole + scale + 3);
    if sign == NEGATIVE {
        out.push('-');
    }
    let push = |out: &mut String, d: u16, from: usize| {
        let four = [d / 1000, d / 100 % 10, d / 10 % 10, d % 10];
        for d in &four[from..] {
            out.push(char::from(b'0' + u8::try_from(*d).unwrap_or(0)));
        }
    };
    let mut begun = false;
    for power in (0..=weight).rev() {
        let d = digit(power)?;
        if begun {
            push(&mut out, d, 0);
        } else if d > 0 {
            begun = true;
            push(
                &mut out,
                d,
                usize::from(d < 1000) + usize::from(d < 100) + usize::from(d < 10),
            );
        }
    }
    if !begun {
        out.push('0');
    }
    if scale > 0 {
        out.push('.');
        let end = out.len() + scale;
        let mut power = -1;
        while out.len() < end {
            push(&mut out, digit(power)?, 0);
            power -= 1;
        }
        out.truncate(end);
    }
    Some(out)
}

/// Appends the binary form of plain digits (see [`crate::data::Decimal`]). The error says why it
/// has none.
pub(super) fn encode(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let special = match text {
        "NaN" => Some(NAN),
        "Infinity" => Some(INFINITY),
        "-Infinity" => Some(NEGATIVE_INFINITY),
        _ => None,
    };
    let mut head = |digits: usize, weight: i16, sign: u16, scale: usize| {
        for word in [
            u16::try_from(digits).unwrap_or(u16::MAX),
            weight.cast_unsigned(),
            sign,
            u16::try_from(scale).unwrap_or(u16::MAX),
        ] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    };
    if let Some(sign) = special {
        head(0, 0, sign, 0);
        return Ok(());
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (POSITIVE, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').as_bytes();
    let fraction = fraction.as_bytes();
    if fraction.len() > SCALE_MAX || whole.len() > WHOLE_MAX {
        return Err("it has more digits than numeric can hold".to_owned());
    }
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(format!("{text} is no number"));
    }
    let lead = whole.len().div_ceil(4);
    let groups = lead + fraction.len().div_ceil(4);
    let group = |i: usize| -> u16 {
        let at = |place: usize| -> u16 {
            // Places are counted from four times the number of groups before the point.
            let digit = if i < lead {
                (4 * i + place)
                    .checked_sub(4 * lead - whole.len())
                    .and_then(|p| whole.get(p))
            } else {
                fraction.get(4 * (i - lead) + place)
            };
            digit.map_or(0, |d| u16::from(d - b'0'))
        };
        at(0) * 1000 + at(1) * 100 + at(2) * 10 + at(3)
    };
    let first = (0..groups).find(|&i| group(i) != 0);
    let Some(first) = first else {
        head(0, 0, POSITIVE, fraction.len());
        return Ok(());
    };
    let last = (first..groups).rfind(|&i| group(i) != 0).unwrap_or(first);
    let weight = i16::try_from(lead)
        .and_then(|lead| i16::try_from(first).map(|first| lead - 1 - first))
        .map_err(|_| "it has more digits than numeric can hold".to_owned())?;
    head(last - first + 1, weight, sign, fraction.len());
    for i in first..=last {
        out.extend_from_slice(&group(i).to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out).unwrap();
        out
    }

    #[test]
    fn known_forms() {
        for (text, words) in [
            ("0", &[0, 0, 0, 0][..]),
            ("0.00", &[0, 0, 0, 2]),
            ("1", &[1, 0, 0, 0, 1]),
            ("10000", &[1, 1, 0, 0, 1]),
            ("-12345.678", &[3, 1, 0x4000, 3, 1, 2345, 6780]),
            ("0.0001", &[1, -1_i32, 0, 4, 1]),
            ("0.00001", &[1, -2, 0, 5, 1000]),
            ("NaN", &[0, 0, 0xC000, 0]),
            ("Infinity", &[0, 0, 0xD000, 0]),
            ("-Infinity", &[0, 0, 0xF000, 0]),
        ] {
            let bytes: Vec<u8> = words
                .iter()
                .flat_map(|w| w.to_be_bytes()[2..].to_vec())
                .collect();
            assert_eq!(encoded(text), bytes, "{text}");
            assert_eq!(decode(&bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bytes in [
            &[][..],
            &[0; 7],
            &[0, 1, 0, 0, 0, 0, 0, 0],
            &[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10],
        ] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
        assert!(encode(&format!("0.{}", "1".repeat(16_384)), &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(whole in "0|[1-9][0-9]{0,40}", fraction in "[0-9]{0,40}", negative: bool) {
            let mut text = whole;
            if !fraction.is_empty() {
                text = format!("{text}.{fraction}");
            }
            if negative && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
                text = format!("-{text}");
            }
            prop_assert_eq!(decode(&encoded(&text)), Some(text));
        }
    }
}
