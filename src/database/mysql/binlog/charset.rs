//! Texts of the log in UTF-8: the log holds them in the column's own character set.

use crate::data::{OtherValue, Value};

/// A character set that can be read from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// `utf8mb4`, `utf8mb3`, `ascii`.
    Utf8,
    /// MySQL's `latin1`, which is Windows-1252.
    Latin1,
    /// `utf16`, `ucs2`.
    Utf16,
    /// `utf16le`.
    Utf16Le,
    /// `utf32`.
    Utf32,
}

impl Charset {
    /// By its name. `None`: it cannot be read.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Self::Utf8,
            "latin1" => Self::Latin1,
            "utf16" | "ucs2" => Self::Utf16,
            "utf16le" => Self::Utf16Le,
            "utf32" => Self::Utf32,
            _ => return None,
        })
    }

    /// The text. `None`: the bytes are no text of this character set.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<String> {
        let pairs = |join: fn([u8; 2]) -> u16| {
            let (pairs, rest) = bytes.as_chunks::<2>();
            if !rest.is_empty() {
                return None;
            }
            char::decode_utf16(pairs.iter().map(|pair| join(*pair)))
                .collect::<Result<String, _>>()
                .ok()
        };
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Latin1 => Some(bytes.iter().map(|byte| latin1(*byte)).collect()),
            Self::Utf16 => pairs(u16::from_be_bytes),
            Self::Utf16Le => pairs(u16::from_le_bytes),
            Self::Utf32 => {
                let (quads, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return None;
                }
                quads
                    .iter()
                    .map(|quad| char::from_u32(u32::from_be_bytes(*quad)))
                    .collect()
            }
        }
    }

    /// The value: text, or the bytes as they are when they are none in UTF-8.
    pub(super) fn value(self, bytes: &[u8]) -> Result<Value, String> {
        match self.decode(bytes) {
            Some(text) => Ok(Value::Text(text)),
            None if self == Self::Utf8 => Ok(Value::Other(Box::new(OtherValue {
                kind: "text".to_owned(),
                bytes: bytes.to_vec(),
            }))),
            None => Err("bytes that are no text of the column's character set".to_owned()),
        }
    }
}

/// Bytes 0x80 to 0x9f of Windows-1252; those that it does not define stand for themselves.
const HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn latin1(byte: u8) -> char {
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_utf8() {
        let decode = |name, bytes: &[u8]| Charset::of(name).unwrap().decode(bytes);
        assert_eq!(decode("latin1", b"\x80\xe4\x81").unwrap(), "€ä\u{81}");
        assert_eq!(decode("ucs2", &[0x20, 0xac]).unwrap(), "€");
        assert_eq!(decode("utf16", &[0xd8, 0x3d, 0xde, 0x00]).unwrap(), "😀");
        assert_eq!(decode("utf16le", &[0xac, 0x20]).unwrap(), "€");
        assert_eq!(decode("utf32", &[0, 1, 0xf6, 0]).unwrap(), "😀");
        assert_eq!(decode("utf16", &[0xd8, 0x3d]), None);
        assert_eq!(decode("utf32", &[0, 1, 0xf6]), None);
        assert!(Charset::of("cp1251").is_none());
    }

    #[test]
    fn bytes_that_are_no_utf8_are_kept() {
        let Value::Other(other) = Charset::Utf8.value(&[0xff]).unwrap() else {
            panic!("not kept");
        };
        assert_eq!(
            (other.kind.as_str(), &other.bytes[..]),
            ("text", &[0xff][..])
        );
        assert!(Charset::Utf16.value(&[0xd8, 0]).is_err());
    }
}
