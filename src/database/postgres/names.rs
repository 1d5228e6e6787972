//! Names: quoting, tables as users write them, and the names of everything Banyan adds.

use crate::error::{Error, ErrorKind, Result};

/// What all of Banyan's own schemas begin with.
pub(super) const PREFIX: &str = "_banyan_";

/// An SQL identifier in double quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A comma-separated list of quoted identifiers.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// An SQL text in single quotes, whatever `standard_conforming_strings` says.
pub(super) fn text(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A table's name: `customers`, found through `search_path`, or `sales.customers`. A part that
/// holds a dot or a quote is written in double quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    /// The schema, if one is named.
    pub(super) schema: Option<String>,
    /// The table.
    pub(super) table: String,
}

impl TableName {
    /// Reads a name as users write it.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let bad = || {
            Error::new(ErrorKind::NotFound, format!("{name} is no table's name"))
                .hint("write customers, or sales.customers")
        };
        let (first, rest) = part(name).ok_or_else(bad)?;
        let Some(rest) = rest.strip_prefix('.') else {
            return if rest.is_empty() {
                Ok(Self {
                    schema: None,
                    table: first,
                })
            } else {
                Err(bad())
            };
        };
        match part(rest) {
            Some((table, "")) => Ok(Self {
                schema: Some(first),
                table,
            }),
            _ => Err(bad()),
        }
    }

    /// As [`Self::parse`] reads it.
    pub(super) fn of(schema: Option<&str>, table: &str) -> String {
        let written = |part: &str| {
            if part.is_empty() || part.contains(['.', '"']) {
                quote(part)
            } else {
                part.to_owned()
            }
        };
        match schema {
            Some(schema) => format!("{}.{}", written(schema), written(table)),
            None => written(table),
        }
    }

    /// Quoted for SQL.
    pub(super) fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.table)),
            None => quote(&self.table),
        }
    }
}

/// A table's name as users write it, quoted for SQL.
pub(in crate::database) fn quote_table(name: &str) -> String {
    TableName::parse(name).map_or_else(|_| quote(name), |name| name.sql())
}

/// One part of a name, and what follows it.
fn part(name: &str) -> Option<(String, &str)> {
    let Some(quoted) = name.strip_prefix('"') else {
        let end = name.find('.').unwrap_or(name.len());
        return (end > 0).then(|| (name[..end].to_owned(), &name[end..]));
    };
    let mut out = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        out.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                out.push('"');
                rest = more;
            }
            None => return (!out.is_empty()).then_some((out, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (schema, table, written, sql) in [
            (None, "customers", "customers", r#""customers""#),
            (
                Some("sales"),
                "Or ders",
                "sales.Or ders",
                r#""sales"."Or ders""#,
            ),
            (None, "a.b", r#""a.b""#, r#""a.b""#),
            (Some("x\"y"), "a", r#""x""y".a"#, r#""x""y"."a""#),
        ] {
            assert_eq!(TableName::of(schema, table), written);
            let parsed = TableName::parse(written).unwrap();
            assert_eq!(parsed.schema.as_deref(), schema);
            assert_eq!(parsed.table, table);
            assert_eq!(parsed.sql(), sql);
        }
        for wrong in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "\"\""] {
            assert!(TableName::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn texts_are_quoted_whatever_is_in_them() {
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text("a\\'b"), "E'a\\\\''b'");
    }
}
