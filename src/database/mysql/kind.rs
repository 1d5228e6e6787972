//! Which of Banyan's values a MySQL or MariaDB type is; see [`Kind`].

use crate::data::{Column, LogicalType};
use crate::database::form::declared::labels;

/// How the values of a type are carried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// `tinyint` to `bigint`
    Int {
        /// 1, 2, 3, 4 or 8.
        bytes: u8,
        /// Whether it has no sign.
        unsigned: bool,
    },
    /// `decimal`
    Decimal {
        /// All digits.
        precision: u8,
        /// Those behind the point.
        scale: u8,
    },
    /// `float`
    Float,
    /// `double`
    Double,
    /// `char`: the server strips trailing spaces.
    Char {
        /// The character set that the server stores it in: `utf8mb4`, `latin1`, …
        charset: String,
    },
    /// `varchar`, `tinytext` to `longtext`
    Text {
        /// Likewise.
        charset: String,
    },
    /// `enum`
    Enum {
        /// In order; number 1 is the first.
        labels: Vec<String>,
    },
    /// `set`
    Set {
        /// In order; bit 0 is the first.
        labels: Vec<String>,
    },
    /// `binary(n)`: padded with zero bytes to its length.
    Binary {
        /// In bytes.
        length: usize,
    },
    /// `varbinary`, `tinyblob` to `longblob`
    Bytes,
    /// `bit(n)`
    Bit {
        /// 1 to 64.
        bits: u8,
    },
    /// `date`
    Date,
    /// `datetime`
    Datetime {
        /// Digits of a second's fraction.
        fraction: u8,
    },
    /// `timestamp`
    Timestamp {
        /// Likewise.
        fraction: u8,
    },
    /// `time`
    Time {
        /// Likewise.
        fraction: u8,
    },
    /// `year`
    Year,
    /// MySQL's `json`; MariaDB's is `longtext`.
    Json,
    /// MariaDB's `uuid`
    Uuid,
    /// MariaDB's `inet4`
    Inet4,
    /// MariaDB's `inet6`
    Inet6,
    /// `geometry`, `point`, …: bytes as the server stores them.
    Geometry,
    /// A type that is not known; it cannot be carried.
    Other,
}

impl Kind {
    /// Of a column as introspection describes it.
    pub(super) fn of(column: &Column) -> Self {
        // No collation stands for utf8mb4_bin, and for types without one.
        let charset = column.collation.as_deref().map_or("utf8mb4", charset_of);
        Self::of_declared(&column.declared_type, charset)
    }

    /// Of a type as `COLUMN_TYPE` of `information_schema.COLUMNS` spells it, and the character set
    /// of its texts.
    pub(super) fn of_declared(declared: &str, charset: &str) -> Self {
        let head_end = declared
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(declared.len());
        let (head, rest) = declared.split_at(head_end);
        let head = head.to_ascii_lowercase();
        if head == "enum" || head == "set" {
            return match labels(rest) {
                Some(labels) if head == "enum" => Self::Enum { labels },
                Some(labels) => Self::Set { labels },
                None => Self::Other,
            };
        }
        let (arguments, rest) = match rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            Some((arguments, rest)) => (arguments, rest),
            None => ("", rest),
        };
        let unsigned = rest
            .split_ascii_whitespace()
            .any(|w| w.eq_ignore_ascii_case("unsigned") || w.eq_ignore_ascii_case("zerofill"));
        let numbers: Vec<Option<usize>> = arguments
            .split(',')
            .map(|a| a.trim().parse().ok())
            .collect();
        let number =
            |i: usize, default: usize| numbers.get(i).copied().flatten().unwrap_or(default);
        let small = |i: usize, default: u8| {
            u8::try_from(number(i, usize::from(default))).unwrap_or(default)
        };
        let charset = || charset.to_owned();
        let int = |bytes| Self::Int { bytes, unsigned };
        let fraction = small(0, 0);
        match head.as_str() {
            "tinyint" | "bool" | "boolean" => int(1),
            "smallint" => int(2),
            "mediumint" => int(3),
            "int" | "integer" => int(4),
            "bigint" => int(8),
            "decimal" | "numeric" | "dec" | "fixed" => Self::Decimal {
                precision: small(0, 10),
                scale: small(1, 0),
            },
            "float" => Self::Float,
            "double" | "real" => Self::Double,
            "char" => Self::Char { charset: charset() },
            "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
                Self::Text { charset: charset() }
            }
            "binary" => Self::Binary {
                length: number(0, 1),
            },
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Self::Bytes,
            "bit" => Self::Bit { bits: small(0, 1) },
            "date" => Self::Date,
            "datetime" => Self::Datetime { fraction },
            "timestamp" => Self::Timestamp { fraction },
            "time" => Self::Time { fraction },
            "year" => Self::Year,
            "json" => Self::Json,
            "uuid" => Self::Uuid,
            "inet4" => Self::Inet4,
            "inet6" => Self::Inet6,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" => Self::Geometry,
            _ => Self::Other,
        }
    }

    /// What kind of values that is.
    pub(super) fn logical(&self) -> LogicalType {
        match self {
            Self::Int {
                bytes: 8,
                unsigned: true,
            }
            | Self::Bit { bits: 64 } => LogicalType::UInt,
            Self::Int { .. } | Self::Bit { .. } | Self::Year => LogicalType::Int,
            Self::Decimal { .. } => LogicalType::Decimal,
            Self::Float | Self::Double => LogicalType::Float,
            Self::Char { .. }
            | Self::Text { .. }
            | Self::Enum { .. }
            | Self::Set { .. }
            | Self::Inet4
            | Self::Inet6 => LogicalType::Text,
            Self::Binary { .. } | Self::Bytes | Self::Geometry => LogicalType::Bytes,
            Self::Date => LogicalType::Date,
            Self::Datetime { .. } => LogicalType::Timestamp,
            Self::Timestamp { .. } => LogicalType::TimestampUtc,
            Self::Time { .. } => LogicalType::Time,
            Self::Json => LogicalType::Json,
            Self::Uuid => LogicalType::Uuid,
            Self::Other => LogicalType::Any,
        }
    }
}

/// Whether MariaDB stores the column compressed (its `COLUMN_TYPE` says so in a comment); its log
/// then holds the compressed bytes.
pub(super) fn is_compressed(declared: &str) -> bool {
    declared
        .rfind("/*")
        .is_some_and(|at| declared[at..].contains("COMPRESSED*/"))
}

/// The character set that a collation belongs to.
pub(super) fn charset_of(collation: &str) -> &str {
    collation.split('_').next().unwrap_or(collation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(declared: &str) -> Kind {
        Kind::of_declared(declared, "latin1")
    }

    #[test]
    fn numbers() {
        let int = |bytes, unsigned| Kind::Int { bytes, unsigned };
        assert_eq!(kind("tinyint(1)"), int(1, false));
        assert_eq!(kind("smallint(5) unsigned"), int(2, true));
        assert_eq!(kind("mediumint(8) unsigned zerofill"), int(3, true));
        assert_eq!(kind("int"), int(4, false));
        assert_eq!(kind("bigint(20) unsigned"), int(8, true));
        assert_eq!(
            kind("decimal(30,10)"),
            Kind::Decimal {
                precision: 30,
                scale: 10
            }
        );
        assert_eq!(
            kind("decimal(5,0) unsigned"),
            Kind::Decimal {
                precision: 5,
                scale: 0
            }
        );
        assert_eq!(kind("float(7,3)"), Kind::Float);
        assert_eq!(kind("double unsigned"), Kind::Double);
        assert_eq!(kind("bit(33)"), Kind::Bit { bits: 33 });
        assert_eq!(kind("year(4)"), Kind::Year);
    }

    #[test]
    fn texts_and_bytes() {
        let charset = "latin1".to_owned();
        assert_eq!(
            kind("char(3)"),
            Kind::Char {
                charset: charset.clone()
            }
        );
        assert_eq!(
            kind("varchar(20) /*M!100301 COMPRESSED*/"),
            Kind::Text {
                charset: charset.clone()
            }
        );
        assert!(is_compressed("varchar(20) /*M!100301 COMPRESSED*/"));
        assert!(!is_compressed("varchar(20)"));
        assert_eq!(kind("longtext"), Kind::Text { charset });
        assert_eq!(kind("binary(16)"), Kind::Binary { length: 16 });
        assert_eq!(kind("varbinary(16)"), Kind::Bytes);
        assert_eq!(kind("mediumblob"), Kind::Bytes);
        assert_eq!(kind("multipolygon"), Kind::Geometry);
        assert_eq!(kind("json"), Kind::Json);
        assert_eq!(kind("uuid"), Kind::Uuid);
        assert_eq!(kind("inet6"), Kind::Inet6);
        assert_eq!(kind("vector(3)"), Kind::Other);
    }

    #[test]
    fn times() {
        assert_eq!(kind("date"), Kind::Date);
        assert_eq!(kind("datetime"), Kind::Datetime { fraction: 0 });
        assert_eq!(kind("timestamp(6)"), Kind::Timestamp { fraction: 6 });
        assert_eq!(kind("time(3)"), Kind::Time { fraction: 3 });
    }

    #[test]
    fn labels_with_quotes_and_escapes() {
        let Kind::Enum { labels } = kind(r"enum('a','it''s','x,y)','back\\slash','line\nend','')")
        else {
            panic!("not an enum");
        };
        assert_eq!(
            labels,
            ["a", "it's", "x,y)", "back\\slash", "line\nend", ""]
        );
        let Kind::Set { labels } = kind("set('ä','b')") else {
            panic!("not a set");
        };
        assert_eq!(labels, ["ä", "b"]);
        assert_eq!(kind("enum('a"), Kind::Other);
    }

    #[test]
    fn character_sets_come_from_collations() {
        assert_eq!(charset_of("utf8mb4_uca1400_ai_ci"), "utf8mb4");
        assert_eq!(charset_of("latin1_swedish_ci"), "latin1");
        assert_eq!(charset_of("binary"), "binary");
    }
}
