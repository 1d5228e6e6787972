//! MariaDB's `inet4` and `inet6` as the server spells them.

use std::fmt::Write;

/// `1.2.3.4`
pub(super) fn v4(bytes: [u8; 4]) -> String {
    let [a, b, c, d] = bytes;
    format!("{a}.{b}.{c}.{d}")
}

/// The longest run of zero groups, even a single one, becomes `::`; mapped and compatible IPv4
/// addresses end as such.
pub(super) fn v6(bytes: [u8; 16]) -> String {
    let group = |i: usize| u16::from_be_bytes([bytes[2 * i], bytes[2 * i + 1]]);
    let (mut start, mut length) = (8, 0);
    let mut i = 0;
    while i < 8 {
        let zeros = (i..8).take_while(|&j| group(j) == 0).count();
        if zeros > length {
            (start, length) = (i, zeros);
        }
        i += zeros.max(1);
    }
    let mapped = start == 0 && (length == 6 || length == 5 && group(5) == 0xffff);
    let mut text = String::new();
    let mut i = 0;
    while i < 8 {
        if i == start {
            text.push_str("::");
            i += length;
            continue;
        }
        if !text.is_empty() && !text.ends_with(':') {
            text.push(':');
        }
        if i == 6 && mapped {
            text.push_str(&v4([bytes[12], bytes[13], bytes[14], bytes[15]]));
            break;
        }
        // Writing into a string does not fail.
        if write!(text, "{:x}", group(i)).is_err() {
            break;
        }
        i += 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelt_as_the_server_does() {
        for (groups, text) in [
            ([0; 8], "::"),
            ([0, 0, 0, 0, 0, 0, 0, 1], "::1"),
            ([0, 0, 0, 0, 0, 0xffff, 0x102, 0x304], "::ffff:1.2.3.4"),
            ([0, 0, 0, 0, 0, 0, 1, 0xabcd], "::0.1.171.205"),
            ([0, 0, 0, 0, 0, 0, 0, 0xabcd], "::abcd"),
            ([1, 0, 0, 2, 0, 0, 0, 3], "1:0:0:2::3"),
            ([1, 0, 2, 3, 4, 5, 6, 7], "1::2:3:4:5:6:7"),
            ([0xfe80, 0, 0, 0, 0, 0, 0, 0], "fe80::"),
            ([0, 0, 1, 2, 3, 4, 5, 6], "::1:2:3:4:5:6"),
            ([1, 2, 3, 4, 5, 6, 0, 0], "1:2:3:4:5:6::"),
            ([1, 2, 3, 4, 5, 6, 7, 8], "1:2:3:4:5:6:7:8"),
        ] {
            let groups: [u16; 8] = groups;
            let mut bytes = [0; 16];
            for (i, group) in groups.iter().enumerate() {
                bytes[2 * i..2 * i + 2].copy_from_slice(&group.to_be_bytes());
            }
            assert_eq!(v6(bytes), text);
        }
        assert_eq!(v4([1, 2, 3, 0]), "1.2.3.0");
    }
}
