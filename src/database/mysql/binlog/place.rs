//! Where in the log one is while it is read.

use crate::error::Result;

use crate::database::mysql::position;

/// A file of the log and the offset in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    base: String,
    file: String,
    /// The file's number, at the position's place.
    begin: u64,
    offset: u64,
}

impl Place {
    /// Of an offset in a file.
    pub(super) fn new(file: &str, offset: u64) -> Result<Self> {
        Ok(Self {
            base: position::base(file).to_owned(),
            begin: position::position(file, 0)?,
            file: file.to_owned(),
            offset,
        })
    }

    /// As one number.
    pub(super) fn position(&self) -> u64 {
        self.begin | self.offset
    }

    /// The file's beginning as one number; says which file it is.
    pub(super) fn number(&self) -> u64 {
        self.begin
    }

    /// An event ends at this offset, of which the log keeps 32 bits. It grows.
    pub(super) fn advance(&mut self, low: u32) {
        let high = self.offset >> 32 << 32;
        let mut offset = high | u64::from(low);
        if offset < self.offset && self.offset - offset > 1 << 31 {
            offset += 1 << 32;
        }
        self.offset = self.offset.max(offset);
    }

    /// Whether this is the file's name, which a checksum may follow.
    pub(super) fn is_in(&self, file: &[u8]) -> bool {
        is(&self.file, file)
    }

    /// Goes to the beginning of another file.
    pub(super) fn enter(&mut self, file: &[u8], checked: bool) -> Result<()> {
        // Before a file is described, whether a checksum follows its name is not known: the next
        // file is recognised by the name that it must have.
        let (next, _) = position::file_and_offset(&self.base, self.begin + position_step());
        let name = if checked && is(&next, file) {
            next
        } else {
            String::from_utf8_lossy(file).into_owned()
        };
        *self = Self::new(&name, 4)?;
        Ok(())
    }
}

/// From one file to the next.
fn position_step() -> u64 {
    1 << 36
}

fn is(name: &str, bytes: &[u8]) -> bool {
    bytes
        .strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest.len() == 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_grow_beyond_32_bits() {
        let mut place = Place::new("bin.000003", 4).unwrap();
        place.advance(u32::MAX - 10);
        place.advance(20);
        assert_eq!(place.position(), (3 << 36) + (1 << 32) + 20);
        place.advance(10);
        assert_eq!(place.position(), (3 << 36) + (1 << 32) + 20);
    }

    #[test]
    fn files_follow_one_another() {
        let mut place = Place::new("my.bin.000009", 400).unwrap();
        assert!(place.is_in(b"my.bin.000009"));
        assert!(place.is_in(b"my.bin.000009\x01\x02\x03\x04"));
        assert!(!place.is_in(b"my.bin.000010"));
        place.enter(b"my.bin.000010\x30\x31\x32\x33", true).unwrap();
        assert_eq!(place, Place::new("my.bin.000010", 4).unwrap());
        place.enter(b"my.bin.000012", false).unwrap();
        assert_eq!(place.position(), 12 << 36 | 4);
    }
}
