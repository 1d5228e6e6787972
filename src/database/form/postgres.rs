//! PostgreSQL's types.

use super::charset::Charset;
use super::declared::Declared;
use super::json::JsonForm;
use super::literal::Literal;
use super::number::{DecimalForm, FloatForm};
use super::text::{Spaces, TextForm};
use super::time::{Calendar, Of};
use super::{ColumnForm, Form};

/// The longest name.
const NAME_BYTES: usize = 63;
/// The largest value.
const BYTES_MOST: usize = 1 << 30;

/// What a column of this type holds.
pub(super) fn form(declared: &str) -> Form {
    let d = Declared::postgres(declared);
    if d.array {
        let element = declared.strip_suffix("[]").unwrap_or(declared);
        return Form::Literal(Literal::Array(Box::new(ColumnForm::postgres_type(element))));
    }
    let length = d.number(0).and_then(|n| usize::try_from(n).ok());
    let text = |chars, bytes, spaces| {
        Form::Text(TextForm {
            chars,
            bytes,
            spaces,
            charset: Charset::Postgres,
        })
    };
    let int = |least: i128, most: i128| Form::Int { least, most };
    let float = |single| {
        Form::Float(FloatForm {
            single,
            special: true,
            unsigned: false,
            size: None,
        })
    };
    let calendar = Calendar {
        of: Of::Postgres,
        fraction: length.and_then(|n| u32::try_from(n).ok()).unwrap_or(6),
    };
    let fraction = length.unwrap_or(6);
    let most = Some(BYTES_MOST);
    match d.name.as_str() {
        "boolean" => Form::Bool,
        "smallint" => int(i16::MIN.into(), i16::MAX.into()),
        "integer" => int(i32::MIN.into(), i32::MAX.into()),
        "bigint" => int(i64::MIN.into(), i64::MAX.into()),
        "oid" => int(0, u32::MAX.into()),
        "numeric" => Form::Decimal(DecimalForm {
            size: d.number(0).map(|p| (p, d.number(1).unwrap_or(0))),
            unsigned: false,
            special: true,
        }),
        "real" => float(true),
        "double precision" => float(false),
        "text" | "citext" | "bpchar" => text(None, most, Spaces::Keep),
        "character varying" => text(length, most, Spaces::Keep),
        "character" => text(Some(length.unwrap_or(1)), most, Spaces::Fill),
        "name" => text(None, Some(NAME_BYTES), Spaces::Keep),
        "bytea" => Form::Bytes {
            most: BYTES_MOST,
            fixed: false,
        },
        "date" => Form::Date(calendar),
        "time without time zone" => Form::Time(calendar),
        "timestamp without time zone" => Form::Timestamp(calendar),
        "timestamp with time zone" => Form::TimestampUtc(calendar),
        "uuid" => Form::Uuid,
        "json" => Form::Json(JsonForm::AsWritten),
        "jsonb" => Form::Json(JsonForm::Binary),
        name => Form::Literal(match name {
            "bit" => Literal::Bits {
                most: length.unwrap_or(1),
                fixed: true,
            },
            "bit varying" => Literal::Bits {
                most: length.unwrap_or(usize::MAX),
                fixed: false,
            },
            "interval" => Literal::Interval { fraction },
            "time with time zone" => Literal::TimeTz { fraction },
            "inet" => Literal::Inet,
            "cidr" => Literal::Cidr,
            "macaddr" => Literal::Mac(6),
            "macaddr8" => Literal::Mac(8),
            "money" => Literal::Money,
            "int4range" => Literal::IntRange(i32::MAX.into()),
            "int8range" => Literal::IntRange(i64::MAX),
            _ => Literal::Unchecked(declared.to_owned()),
        }),
    }
}
