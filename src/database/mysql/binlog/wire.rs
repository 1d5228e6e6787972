//! How the log lays out a column's value: where its bytes are, whatever they mean.

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    /// A little-endian number of `n` bytes, at most 8.
    pub(super) fn uint(&mut self, n: usize) -> Option<u64> {
        self.take(n).map(little)
    }

    /// A number as the protocol packs it.
    pub(super) fn packed(&mut self) -> Option<u64> {
        match self.uint(1)? {
            small @ 0..=250 => Some(small),
            0xfc => self.uint(2),
            0xfd => self.uint(3),
            0xfe => self.uint(8),
            _ => None,
        }
    }

    /// Bytes behind their packed length.
    pub(super) fn counted(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.packed()?).ok()?;
        self.take(n)
    }
}

/// Little-endian bytes as a number; at most 8.
pub(super) fn little(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Big-endian bytes as a number; at most 8.
pub(super) fn big(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A column's type in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// An integer of so many bytes.
    Int(u8),
    /// 4 bytes.
    Float,
    /// 8 bytes.
    Double,
    /// Packed digits.
    Decimal { precision: u8, scale: u8 },
    /// `char`, `binary` and MariaDB's fixed types of at most so many bytes, behind their length.
    Fixed { max: u16 },
    /// `varchar`, `varbinary` of at most so many bytes, behind their length.
    Varying { max: u16 },
    /// Texts and blobs, behind a length of so many bytes.
    Blob(u8),
    /// MySQL's binary JSON, likewise.
    Json(u8),
    /// Likewise.
    Geometry(u8),
    /// The label's number, in so many bytes.
    Enum(u8),
    /// A bit for each label, in so many bytes.
    Set(u8),
    /// So many bits.
    Bit(u16),
    /// 3 bytes.
    Date,
    /// 1 byte.
    Year,
    /// With so many digits of a second's fraction.
    Time(u8),
    /// Likewise.
    Datetime(u8),
    /// Likewise.
    Timestamp(u8),
    /// As before MySQL 5.6: a decimal number.
    OldTime,
    /// Likewise.
    OldDatetime,
    /// As before MySQL 5.6: seconds.
    OldTimestamp,
    /// MariaDB's compressed columns: the bytes behind their length, in so many bytes.
    Compressed(u8),
    /// MySQL's vectors, behind a length of so many bytes.
    Vector(u8),
}

impl Wire {
    /// Of a type byte, taking what belongs to it from the table map's metadata. `None` when the
    /// type is not known: nothing behind it can be read.
    pub(super) fn read(kind: u8, metadata: &mut Input<'_>) -> Option<Self> {
        let mut small = || metadata.uint(1).and_then(|n| u8::try_from(n).ok());
        Some(match kind {
            1 => Self::Int(1),
            2 => Self::Int(2),
            9 => Self::Int(3),
            3 => Self::Int(4),
            8 => Self::Int(8),
            4 => {
                small()?;
                Self::Float
            }
            5 => {
                small()?;
                Self::Double
            }
            7 => Self::OldTimestamp,
            10 | 14 => Self::Date,
            11 => Self::OldTime,
            12 => Self::OldDatetime,
            13 => Self::Year,
            15 | 253 => Self::Varying {
                max: u16::try_from(metadata.uint(2)?).ok()?,
            },
            16 => {
                let (rest, bytes) = (small()?, small()?);
                Self::Bit(u16::from(bytes) * 8 + u16::from(rest))
            }
            17 => Self::Timestamp(small()?),
            18 => Self::Datetime(small()?),
            19 => Self::Time(small()?),
            140 => Self::Compressed(small()?),
            141 => {
                let max = metadata.uint(2)?;
                Self::Compressed(if max < 256 { 1 } else { 2 })
            }
            242 => Self::Vector(small()?),
            245 => Self::Json(small()?),
            246 => Self::Decimal {
                precision: small()?,
                scale: small()?,
            },
            247 => {
                small()?;
                Self::Enum(small()?)
            }
            248 => {
                small()?;
                Self::Set(small()?)
            }
            249..=252 => Self::Blob(small()?),
            254 => {
                let (first, second) = (small()?, small()?);
                // The two high bits of a length above 255 hide, turned over, in the type.
                let max = u16::from(second) | (u16::from(first & 0x30) ^ 0x30) << 4;
                match first | 0x30 {
                    247 => Self::Enum(second),
                    248 => Self::Set(second),
                    _ => Self::Fixed { max },
                }
            }
            255 => Self::Geometry(small()?),
            _ => return None,
        })
    }

    /// The bytes of a value, which is not NULL, without their length.
    pub(super) fn take<'a>(self, input: &mut Input<'a>) -> Option<&'a [u8]> {
        let length = match self {
            Self::Int(n) | Self::Enum(n) | Self::Set(n) => usize::from(n),
            Self::Float | Self::OldTimestamp => 4,
            Self::Double | Self::OldDatetime => 8,
            Self::Decimal { precision, scale } => decimal_bytes(precision, scale)?,
            Self::Fixed { max } | Self::Varying { max } => {
                let length = input.uint(if max < 256 { 1 } else { 2 })?;
                usize::try_from(length).ok()?
            }
            Self::Blob(n)
            | Self::Json(n)
            | Self::Geometry(n)
            | Self::Compressed(n)
            | Self::Vector(n) => {
                if n > 4 {
                    return None;
                }
                usize::try_from(input.uint(usize::from(n))?).ok()?
            }
            Self::Bit(bits) => usize::from(bits).div_ceil(8),
            Self::Date | Self::OldTime => 3,
            Self::Year => 1,
            Self::Time(fraction) => 3 + fraction_bytes(fraction),
            Self::Datetime(fraction) => 5 + fraction_bytes(fraction),
            Self::Timestamp(fraction) => 4 + fraction_bytes(fraction),
        };
        input.take(length)
    }
}

/// Bytes that hold so many digits of a second's fraction.
pub(super) fn fraction_bytes(digits: u8) -> usize {
    usize::from(digits).div_ceil(2)
}

/// Bytes that hold 0 to 9 digits.
pub(super) const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

fn decimal_bytes(precision: u8, scale: u8) -> Option<usize> {
    let whole = usize::from(precision.checked_sub(scale)?);
    let scale = usize::from(scale);
    Some(whole / 9 * 4 + DIGIT_BYTES[whole % 9] + scale / 9 * 4 + DIGIT_BYTES[scale % 9])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(kind: u8, metadata: &[u8]) -> Wire {
        Wire::read(kind, &mut Input(metadata)).unwrap()
    }

    #[test]
    fn lengths_hidden_in_the_type() {
        assert_eq!(wire(254, &[0xfe, 40]), Wire::Fixed { max: 40 });
        assert_eq!(wire(254, &[0xce, 0xfc]), Wire::Fixed { max: 1020 });
        assert_eq!(wire(254, &[247, 1]), Wire::Enum(1));
        assert_eq!(wire(254, &[248, 8]), Wire::Set(8));
        assert_eq!(wire(16, &[1, 4]), Wire::Bit(33));
    }

    #[test]
    fn values_end_where_the_next_begins() {
        let mut input = Input(&[2, b'a', b'b', 7]);
        assert_eq!(Wire::Varying { max: 20 }.take(&mut input), Some(&b"ab"[..]));
        assert_eq!(Wire::Int(1).take(&mut input), Some(&[7][..]));
        assert_eq!(Wire::Int(1).take(&mut input), None);
        assert_eq!(
            Wire::Varying { max: 300 }.take(&mut Input(&[1, 0, b'x'])),
            Some(&b"x"[..])
        );
        assert_eq!(decimal_bytes(65, 30), Some(4 * 3 + 4 + 4 * 3 + 2));
        assert_eq!(decimal_bytes(3, 4), None);
    }

    #[test]
    fn unknown_types_are_not_guessed() {
        assert_eq!(Wire::read(200, &mut Input(&[1, 2, 3])), None);
        assert_eq!(Wire::read(254, &mut Input(&[1])), None);
    }
}
