//! The types of MySQL and MariaDB.

use super::Form;
use super::charset::Charset;
use super::declared::Declared;
use super::json::JsonForm;
use super::number::{DecimalForm, FloatForm};
use super::text::{Spaces, TextForm};
use super::time::{Calendar, Of};

/// What a column of this type and collation holds; no collation stands for `utf8mb4_bin`.
pub(super) fn form(declared: &str, collation: Option<&str>) -> Form {
    let d = Declared::mysql(declared);
    let (name, unsigned) = d
        .name
        .strip_suffix(" unsigned")
        .map_or((d.name.as_str(), false), |name| (name, true));
    let length = d.number(0).and_then(|n| usize::try_from(n).ok());
    let text = |chars, bytes, spaces| {
        Form::Text(TextForm {
            chars,
            bytes,
            spaces,
            charset: Charset::of_collation(collation),
        })
    };
    let int = |bits: u32| {
        let all = 1_i128 << bits;
        let (least, most) = if unsigned {
            (0, all - 1)
        } else {
            (-all / 2, all / 2 - 1)
        };
        Form::Int { least, most }
    };
    let float = |single| {
        Form::Float(FloatForm {
            single,
            special: false,
            unsigned,
            size: d.number(0).zip(d.number(1)),
        })
    };
    let calendar = Calendar {
        of: Of::Mysql,
        fraction: length.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
    };
    let bytes = |most| Form::Bytes { most, fixed: false };
    match name {
        "tinyint" => int(8),
        "smallint" => int(16),
        "mediumint" => int(24),
        "int" => int(32),
        "bigint" => int(64),
        "decimal" => Form::Decimal(DecimalForm {
            size: Some((d.number(0).unwrap_or(10), d.number(1).unwrap_or(0))),
            unsigned,
            special: false,
        }),
        // `float(p)` without a scale only chooses the width, and is shown without it.
        "float" => float(true),
        "double" => float(false),
        "bit" => Form::Bit(length.and_then(|n| u32::try_from(n).ok()).unwrap_or(1)),
        "year" => Form::Year,
        "char" => text(Some(length.unwrap_or(1)), None, Spaces::Strip),
        "varchar" => text(Some(length.unwrap_or(0)), None, Spaces::Keep),
        "tinytext" => text(None, Some(0xff), Spaces::Keep),
        "text" => text(None, Some(0xffff), Spaces::Keep),
        "mediumtext" => text(None, Some(0xff_ffff), Spaces::Keep),
        "longtext" => text(None, Some(0xffff_ffff), Spaces::Keep),
        "enum" => Form::Labels(d.labels),
        "set" => Form::Set(d.labels),
        "binary" => Form::Bytes {
            most: length.unwrap_or(1),
            fixed: true,
        },
        "varbinary" => bytes(length.unwrap_or(0)),
        "tinyblob" => bytes(0xff),
        "blob" => bytes(0xffff),
        "mediumblob" => bytes(0xff_ffff),
        "longblob" => bytes(0xffff_ffff),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => bytes(0xffff_ffff),
        "date" => Form::Date(calendar),
        "time" => Form::Time(calendar),
        "datetime" => Form::Timestamp(calendar),
        "timestamp" => Form::TimestampUtc(calendar),
        "json" => Form::Json(JsonForm::Mysql),
        "uuid" => Form::Uuid,
        "inet4" => Form::Inet4,
        "inet6" => Form::Inet6,
        _ => Form::Unknown,
    }
}
