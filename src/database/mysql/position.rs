//! A place in the binary log as one growing number: the number of the file in the upper 27 bits,
//! the offset in it in the lower 36.

use crate::error::{Error, ErrorKind, Result};

/// Bits of the offset: 64 GiB, of which a file uses 1 GiB and what its last transaction needs.
const OFFSET_BITS: u32 = 36;
/// Bits of the file's number.
const FILE_BITS: u32 = 27;

/// The position of an offset in a file of the log: `mysql-bin.000042` has the number 42.
pub(super) fn position(file: &str, offset: u64) -> Result<u64> {
    let number = file
        .rsplit_once('.')
        .map(|(_, number)| number)
        .filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|n| n.parse::<u64>().ok())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Store,
                format!("the binary log's file {file} has no number at the end of its name"),
            )
            .hint("check the server's log_bin setting")
        })?;
    if number >> FILE_BITS != 0 || offset >> OFFSET_BITS != 0 {
        return Err(Error::new(
            ErrorKind::Store,
            format!(
                "position {offset} of the binary log's file {file} is beyond what is supported"
            ),
        ));
    }
    Ok(number << OFFSET_BITS | offset)
}

/// The file and offset of a position, in a log whose files are called `<base>.<number>`.
pub(super) fn file_and_offset(base: &str, position: u64) -> (String, u64) {
    let number = position >> OFFSET_BITS;
    let offset = position & ((1 << OFFSET_BITS) - 1);
    (format!("{base}.{number:06}"), offset)
}

/// What the names of the log's files begin with: `mysql-bin` for `mysql-bin.000042`.
pub(super) fn base(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(base, _)| base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_grow_and_come_back() {
        let at = |file: &str, offset| position(file, offset).unwrap();
        let (a, b) = (at("my-bin.000001", 500), at("my-bin.000002", 4));
        assert!(a < b);
        assert!(at("x.999999", 1) < at("x.1000000", 0));
        assert_eq!(
            file_and_offset(base("my.log-bin.000042"), at("my.log-bin.000042", 1 << 35)),
            ("my.log-bin.000042".to_owned(), 1 << 35)
        );
        assert_eq!(
            file_and_offset("x", at("x.1234567", 9)),
            ("x.1234567".to_owned(), 9)
        );
        assert!(i64::try_from(at("x.134217727", (1 << 36) - 1)).is_ok());
    }

    #[test]
    fn what_is_no_position() {
        for (file, offset) in [
            ("x", 1),
            ("x.", 1),
            ("x.+1", 1),
            ("x.12a", 1),
            ("x.134217728", 1),
            ("x.000001", 1 << 36),
        ] {
            assert!(position(file, offset).is_err(), "{file}");
        }
    }
}
