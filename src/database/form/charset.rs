//! Which characters a text of a server can consist of.

/// A server's character set, as far as it limits what can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// PostgreSQL: everything but U+0000.
    Postgres,
    /// Everything.
    Utf8mb4,
    /// What takes three bytes in UTF-8 at most.
    Utf8mb3,
    /// The same in two bytes each.
    Ucs2,
    /// Everything, two or four bytes each.
    Utf16,
    /// Everything, four bytes each.
    Utf32,
    /// Windows-1252, with what that leaves open.
    Latin1,
    /// One that is not known here: only ASCII is sure to come back.
    Ascii,
}

impl Charset {
    /// Of a column of MySQL by its collation; none stands for `utf8mb4_bin`.
    pub(super) fn of_collation(collation: Option<&str>) -> Self {
        let Some(collation) = collation else {
            return Self::Utf8mb4;
        };
        match collation.split('_').next().unwrap_or(collation) {
            "utf8mb4" => Self::Utf8mb4,
            "utf8" | "utf8mb3" => Self::Utf8mb3,
            "ucs2" => Self::Ucs2,
            "utf16" | "utf16le" => Self::Utf16,
            "utf32" => Self::Utf32,
            "latin1" => Self::Latin1,
            _ => Self::Ascii,
        }
    }

    /// Whether the character can be held.
    pub(super) fn has(self, c: char) -> bool {
        match self {
            Self::Postgres => c != '\0',
            Self::Utf8mb4 | Self::Utf16 | Self::Utf32 => true,
            Self::Utf8mb3 | Self::Ucs2 => c <= '\u{ffff}',
            Self::Latin1 => match c {
                '\0'..='\u{7f}' | '\u{a0}'..='\u{ff}' => true,
                '\u{81}' | '\u{8d}' | '\u{8f}' | '\u{90}' | '\u{9d}' => true,
                c => "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ".contains(c),
            },
            Self::Ascii => c.is_ascii(),
        }
    }

    /// Bytes that the text takes.
    pub(super) fn bytes(self, text: &str) -> usize {
        match self {
            Self::Postgres | Self::Utf8mb4 | Self::Utf8mb3 => text.len(),
            Self::Ucs2 | Self::Utf16 => text.chars().map(|c| c.len_utf16() * 2).sum(),
            Self::Utf32 => text.chars().count() * 4,
            Self::Latin1 | Self::Ascii => text.chars().count(),
        }
    }
}
