//! Defaults that are plain literals, from one engine to another.

use crate::data::{Column, Decimal, Value};
use crate::database::Engine;
use crate::database::form::{ColumnForm, number, text};

/// What a column's default is in the new table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// None, or NULL.
    None,
    /// This, as SQL.
    Literal(String),
    /// It is no literal, or none that the new column can hold.
    LeftOut,
}

/// The default of a column of one engine for a column of another.
pub(super) fn of(from: Engine, column: &Column, to: Engine, sql_type: &str) -> Default {
    let Some(default) = &column.default else {
        return Default::None;
    };
    let Some(value) = literal(from, default) else {
        return Default::LeftOut;
    };
    if value.is_null() {
        return Default::None;
    }
    convert(from, column, to, sql_type, value).map_or(Default::LeftOut, Default::Literal)
}

fn convert(
    from: Engine,
    column: &Column,
    to: Engine,
    sql_type: &str,
    value: Value,
) -> Option<String> {
    let value = match from {
        Engine::Sqlite => value,
        server => {
            let collation = column.collation.as_deref();
            let form = ColumnForm::of_type(server, &column.declared_type, collation);
            form.take(value).ok()?
        }
    };
    let value = match to {
        Engine::Sqlite => value,
        server => ColumnForm::of_type(server, sql_type, None)
            .take(value)
            .ok()?,
    };
    let quoted = |value: &Value| {
        let text = text::of(value).filter(|t| !t.contains('\0'))?;
        let literal = to.literal(&text);
        // Texts of any length have only expressions as defaults in MySQL.
        let any_length = to == Engine::Mysql
            && ["text", "blob", "json"]
                .iter()
                .any(|t| sql_type.ends_with(t));
        Some(if any_length {
            format!("({literal})")
        } else {
            literal
        })
    };
    match &value {
        Value::Int(v) => Some(v.to_string()),
        Value::UInt(v) => Some(v.to_string()),
        Value::Bool(v) if to == Engine::Sqlite => Some(u8::from(*v).to_string()),
        Value::Bool(v) => Some(v.to_string().to_uppercase()),
        Value::Decimal(v)
            if to != Engine::Sqlite && v.as_str().ends_with(|c: char| c.is_ascii_digit()) =>
        {
            Some(v.to_string())
        }
        Value::Float(v) if v.is_finite() => Some(number::float_text(*v)),
        Value::Text(_) | Value::Json(_) | Value::Uuid(_) | Value::Decimal(_) | Value::Time(_) => {
            quoted(&value)
        }
        // Years before 1 and after 9999 are written in other ways; what a time in UTC means to
        // MySQL depends on the session.
        Value::Date(_) | Value::Timestamp(_) | Value::TimestampUtc(_) => {
            let text = text::of(&value)?;
            let plain = text.find('-') == Some(4) || text.ends_with("infinity");
            let utc = matches!(value, Value::TimestampUtc(_)) && to == Engine::Mysql;
            (plain && !utc && !text.starts_with("0000")).then(|| quoted(&value))?
        }
        _ => None,
    }
}

/// The value of a literal; `None` for any other expression.
fn literal(from: Engine, sql: &str) -> Option<Value> {
    let mut sql = sql.trim();
    while let Some(inner) = sql.strip_prefix('(').and_then(|s| s.strip_suffix(')')) {
        sql = inner.trim();
    }
    if from == Engine::Postgres {
        sql = without_cast(sql);
        while let Some(inner) = sql.strip_prefix('(').and_then(|s| s.strip_suffix(')')) {
            sql = inner.trim();
        }
    }
    match sql.to_ascii_lowercase().as_str() {
        "null" => return Some(Value::Null),
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some(text) = quoted(from, sql) {
        return Some(Value::Text(text));
    }
    let bits = sql
        .strip_prefix("b'")
        .and_then(|s| s.strip_suffix('\''))
        .filter(|_| from == Engine::Mysql);
    if let Some(bits) = bits {
        return u64::from_str_radix(bits, 2)
            .ok()
            .map(|v| i64::try_from(v).map_or(Value::UInt(v), Value::Int));
    }
    if let Ok(v) = sql.parse::<i64>() {
        return Some(Value::Int(v));
    }
    sql.parse::<Decimal>()
        .ok()
        .filter(|_| sql.ends_with(|c: char| c.is_ascii_digit()))
        .map(Value::Decimal)
}

/// Without `::type` behind it.
fn without_cast(sql: &str) -> &str {
    match sql.rfind("::") {
        Some(at) if !sql[at..].contains('\'') => without_cast(sql[..at].trim()),
        _ => sql,
    }
}

/// The text in `'…'`, if the whole is one.
fn quoted(from: Engine, sql: &str) -> Option<String> {
    let (escapes, sql) = match sql.strip_prefix("E'") {
        Some(_) if from == Engine::Postgres => (true, &sql[1..]),
        _ => (from == Engine::Mysql, sql),
    };
    let mut chars = sql.strip_prefix('\'')?.chars();
    let mut out = String::new();
    loop {
        match chars.next()? {
            '\'' => match chars.next() {
                None => return Some(out),
                Some('\'') => out.push('\''),
                Some(_) => return None,
            },
            '\\' if escapes => match chars.next()? {
                c @ ('\\' | '\'' | '"') => out.push(c),
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                _ => return None,
            },
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Default, literal, of};
    use crate::data::{Column, Generated, LogicalType, Value};
    use crate::database::Engine::{self, Mysql, Postgres, Sqlite};

    #[test]
    fn literals_and_what_is_none() {
        for (engine, sql, value) in [
            (
                Postgres,
                "'it''s'::character varying",
                Some(Value::from("it's")),
            ),
            (Postgres, "E'a\\\\b'::text", Some(Value::from("a\\b"))),
            (Postgres, "'a\\b'::text", Some(Value::from("a\\b"))),
            (Postgres, "'x::y'::text", Some(Value::from("x::y"))),
            (Postgres, "(-5)", Some(Value::Int(-5))),
            (Postgres, "'-5'::integer", Some(Value::from("-5"))),
            (Postgres, "(0)::numeric", Some(Value::Int(0))),
            (
                Postgres,
                "1.50",
                Some(Value::Decimal("1.50".parse().unwrap())),
            ),
            (Postgres, "true", Some(Value::Bool(true))),
            (Postgres, "NULL::character varying", Some(Value::Null)),
            (Postgres, "nextval('t_id_seq'::regclass)", None),
            (Postgres, "now()", None),
            (Postgres, "('a'::text || 'b'::text)", None),
            (Mysql, "'a\\\\b'", Some(Value::from("a\\b"))),
            (Mysql, "b'101'", Some(Value::Int(5))),
            (Mysql, "current_timestamp()", None),
            (Mysql, "abc", None),
            (Sqlite, "'a'", Some(Value::from("a"))),
            (Sqlite, "CURRENT_TIMESTAMP", None),
            (Sqlite, "1.", None),
            (Sqlite, "-9223372036854775808", Some(Value::Int(i64::MIN))),
        ] {
            assert_eq!(literal(engine, sql), value, "{sql}");
        }
    }

    #[test]
    fn defaults_become_those_of_the_other_engine() {
        let default = |from: Engine, declared: &str, default: &str, to, sql_type: &str| {
            let column = Column {
                name: "c".to_owned(),
                declared_type: declared.to_owned(),
                logical: LogicalType::Any,
                nullable: true,
                default: Some(default.to_owned()),
                generated: Generated::No,
                collation: None,
            };
            match of(from, &column, to, sql_type) {
                Default::None => "none".to_owned(),
                Default::Literal(sql) => sql,
                Default::LeftOut => "left out".to_owned(),
            }
        };
        assert_eq!(
            default(Mysql, "tinyint(1)", "1", Postgres, "boolean"),
            "TRUE"
        );
        assert_eq!(
            default(Mysql, "tinyint(1)", "7", Postgres, "boolean"),
            "left out"
        );
        assert_eq!(
            default(Postgres, "boolean", "true", Mysql, "tinyint(1)"),
            "1"
        );
        assert_eq!(
            default(Postgres, "boolean", "false", Sqlite, "BOOLEAN"),
            "0"
        );
        assert_eq!(
            default(Postgres, "text", "'a\\b'::text", Mysql, "longtext"),
            "('a\\\\b')"
        );
        assert_eq!(
            default(Postgres, "date", "'2024-01-01'::date", Mysql, "date"),
            "'2024-01-01'"
        );
        assert_eq!(
            default(
                Mysql,
                "datetime",
                "'0000-00-00 00:00:00'",
                Postgres,
                "timestamp(0) without time zone"
            ),
            "left out"
        );
        assert_eq!(
            default(Postgres, "numeric(10,2)", "1.5", Sqlite, "TEXT"),
            "'1.50'"
        );
        assert_eq!(
            default(Postgres, "text", "NULL::text", Mysql, "longtext"),
            "none"
        );
        assert_eq!(default(Sqlite, "INTEGER", "5", Postgres, "bigint"), "5");
    }
}
