//! A column in SQL: how it is read, compared, ordered and written so that nothing is bent.

use crate::data::canonical::ValueRef;
use crate::data::{Column, Value};

use super::encode::{ArrayParam, Misfit};
use super::kind::Kind;
use super::names::quote;
use super::plain;

/// What a column's declaration would silently round or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    None,
    /// Characters of text.
    Chars(usize),
    /// Digits behind the point; negative: zeros before it.
    Scale(i32),
    /// Digits of a second.
    Fraction(u32),
}

/// One column, prepared for SQL.
#[derive(Clone, Debug)]
pub(super) struct PgColumn {
    /// Its name.
    pub(super) name: String,
    /// The same, quoted.
    pub(super) quoted: String,
    /// How its values are carried.
    pub(super) kind: Kind,
    /// Whether its values are sent as text and cast.
    as_text: bool,
    /// The type without its modifiers, for casts that neither cut nor round.
    bare: String,
    limit: Limit,
    padded: bool,
    collated: bool,
    name_type: bool,
    /// Whether NULL is allowed.
    pub(super) nullable: bool,
    /// Whether it is an identity column that only the server may give values.
    pub(super) identity_always: bool,
}

/// How introspection spells the default of an identity column that only the server gives values.
pub(super) const IDENTITY_ALWAYS: &str = "GENERATED ALWAYS AS IDENTITY";

impl PgColumn {
    /// From what introspection found out.
    pub(super) fn new(column: &Column) -> Self {
        let declared = column.declared_type.as_str();
        let kind = Kind::of_declared(declared);
        let (bare, modifiers) = strip_modifiers(declared);
        let padded = kind == Kind::Text && bare == "bpchar";
        Self {
            name: column.name.clone(),
            quoted: quote(&column.name),
            kind,
            as_text: matches!(kind, Kind::Other | Kind::Json | Kind::Jsonb) || bare == "citext",
            limit: limit(kind, &modifiers),
            padded,
            collated: column.collation.is_some(),
            name_type: bare == "name",
            bare,
            nullable: column.nullable,
            identity_always: column
                .default
                .as_deref()
                .is_some_and(|d| d.starts_with(IDENTITY_ALWAYS)),
        }
    }

    /// The column of a table's alias.
    pub(super) fn of(&self, alias: &str) -> String {
        format!("{alias}.{}", self.quoted)
    }

    /// Whether its values have no binary form of their own.
    pub(super) fn is_other(&self) -> bool {
        self.kind == Kind::Other
    }

    /// Whether its values are sent in the binary form of their type, which is the same everywhere.
    pub(super) fn is_sent_as_is(&self) -> bool {
        !self.is_other() && (!self.as_text || matches!(self.kind, Kind::Json | Kind::Jsonb))
    }

    /// Whether it holds integers.
    pub(super) fn is_int(&self) -> bool {
        matches!(self.kind, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid)
    }

    /// A cell as the server gives it back: `character(n)` with its blanks.
    pub(super) fn same(&self, sent: &Value, given: &Value) -> bool {
        match (sent, given) {
            (Value::Text(a), Value::Text(b)) if self.padded => {
                a.trim_end_matches(' ') == b.trim_end_matches(' ')
            }
            (a, b) => a == b,
        }
    }

    /// The server's text output of an expression of this type: not what a cast to text gives,
    /// which some types (`inet`) define otherwise.
    fn output(&self, expression: &str) -> String {
        if self.bare == "citext" || self.kind != Kind::Other {
            format!("{expression}::text")
        } else {
            format!(
                "CASE WHEN {expression} IS DISTINCT FROM NULL THEN format('%s', {expression}) END"
            )
        }
    }

    /// An expression whose binary form is one of this column's kind.
    pub(super) fn select(&self, alias: &str) -> String {
        let column = self.of(alias);
        if self.as_text && !matches!(self.kind, Kind::Json | Kind::Jsonb) {
            self.output(&column)
        } else {
            column
        }
    }

    /// An expression that is ordered as [`crate::data::order`] has it; the plain column where an
    /// index on it is in that order.
    pub(super) fn order(&self, alias: &str) -> String {
        let column = self.of(alias);
        match self.kind {
            // Without its blanks it would be ordered otherwise.
            Kind::Text if self.padded => format!("bpcharsend({column})"),
            Kind::Text | Kind::Other | Kind::Json | Kind::Jsonb if self.as_text => {
                format!("({}) COLLATE \"C\"", self.output(&column))
            }
            Kind::Text if self.collated => format!("{column} COLLATE \"C\""),
            _ => column,
        }
    }

    /// A literal to compare [`Self::order`] with.
    pub(super) fn order_literal(&self, value: ValueRef<'_>) -> Result<String, Misfit> {
        if self.padded {
            let Some(text) = as_str(value) else {
                return plain::literal(self.kind, "bytea", value);
            };
            let bytes = Value::Bytes(text.as_bytes().to_vec());
            return plain::literal(Kind::Bytea, "bytea", (&bytes).into());
        }
        let sql_type = if self.as_text { "text" } else { self.scalar() };
        plain::literal(self.kind, sql_type, value)
    }

    /// The type of a parameter that holds one value.
    fn scalar(&self) -> &str {
        match self.kind {
            Kind::Text if self.padded => "bpchar",
            Kind::Text | Kind::Json | Kind::Jsonb | Kind::Other => "text",
            _ => &self.bare,
        }
    }

    /// The type of an array parameter.
    pub(super) fn array(&self) -> String {
        format!("{}[]", self.scalar())
    }

    /// An array parameter of this column's values.
    pub(super) fn array_param(&self, rows: usize) -> ArrayParam {
        let element = match self.kind {
            Kind::Bool => 16,
            Kind::Bytea => 17,
            Kind::Int8 => 20,
            Kind::Int2 => 21,
            Kind::Int4 => 23,
            Kind::Oid => 26,
            Kind::Float4 => 700,
            Kind::Float8 => 701,
            Kind::Text if self.padded => 1042,
            Kind::Text | Kind::Json | Kind::Jsonb | Kind::Other => 25,
            Kind::Date => 1082,
            Kind::Time => 1083,
            Kind::Timestamp => 1114,
            Kind::TimestampTz => 1184,
            Kind::Numeric => 1700,
            Kind::Uuid => 2950,
        };
        ArrayParam::new(self.kind, element, rows)
    }

    /// A parameter's element as a value that can be assigned to the column.
    pub(super) fn write(&self, element: &str) -> String {
        if self.as_text {
            format!("{element}::{}", self.bare)
        } else {
            element.to_owned()
        }
    }

    /// Whether the key column is a parameter's element, as an index can answer it.
    pub(super) fn key_equals(&self, alias: &str, element: &str) -> String {
        format!("{} = {}", self.of(alias), self.write(element))
    }

    /// Whether the column is bit for bit a parameter's element.
    pub(super) fn is_exactly(&self, alias: &str, element: &str) -> String {
        let column = self.of(alias);
        let (left, right) = match self.kind {
            Kind::Float4 => (
                format!("float4send({column})"),
                format!("float4send({element})"),
            ),
            Kind::Float8 => (
                format!("float8send({column})"),
                format!("float8send({element})"),
            ),
            Kind::Text | Kind::Json | Kind::Jsonb | Kind::Other => {
                let text = if self.as_text || self.name_type {
                    self.output(&column)
                } else {
                    column
                };
                (format!("({text}) COLLATE \"C\""), element.to_owned())
            }
            _ => (column, element.to_owned()),
        };
        format!("{left} IS NOT DISTINCT FROM {right}")
    }

    /// Says why the column would not hold the value as it is.
    pub(super) fn check(&self, value: ValueRef<'_>) -> Result<(), Misfit> {
        let fits = match (self.limit, value) {
            (Limit::None, _) => true,
            (Limit::Chars(max), value) => {
                as_str(value).is_none_or(|v| v.len() <= max || v.chars().count() <= max)
            }
            (Limit::Scale(scale), ValueRef::Value(Value::Decimal(v))) => {
                fits_scale(v.normalized(), scale)
            }
            (
                Limit::Fraction(digits),
                ValueRef::Value(Value::Time(v) | Value::Timestamp(v) | Value::TimestampUtc(v)),
            ) => *v == i64::MAX || *v == i64::MIN || v % 10_i64.pow(6 - digits.min(6)) == 0,
            _ => true,
        };
        if fits {
            Ok(())
        } else {
            Err(format!(
                "{} does not fit into {} as it is",
                Shown(value),
                self.declared()
            ))
        }
    }

    fn declared(&self) -> String {
        match self.limit {
            Limit::Chars(n) => format!("{} of {n} characters", self.bare),
            Limit::Scale(n) => format!("numeric with {n} digits behind the point"),
            Limit::Fraction(n) => format!("{} with {n} digits of a second", self.bare),
            Limit::None => self.bare.clone(),
        }
    }

    /// A misfit, with the column's name.
    pub(super) fn misfit(&self, misfit: &str) -> String {
        format!("column {}: {misfit}", self.name)
    }
}

fn as_str(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(text) => Some(text),
        ValueRef::Value(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// A value for people, cut.
struct Shown<'a>(ValueRef<'a>);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_value().to_string();
        match text.char_indices().nth(60) {
            Some((at, _)) => write!(f, "{}…", &text[..at]),
            None => f.write_str(&text),
        }
    }
}

fn fits_scale(digits: &str, scale: i32) -> bool {
    if matches!(digits, "NaN" | "Infinity" | "-Infinity" | "0") {
        return true;
    }
    match usize::try_from(scale) {
        Ok(scale) => digits.split_once('.').is_none_or(|(_, f)| f.len() <= scale),
        Err(_) => {
            let zeros = digits.len() - digits.trim_end_matches('0').len();
            !digits.contains('.') && zeros >= scale.unsigned_abs() as usize
        }
    }
}

/// Type and modifiers: `numeric` and `[10, 2]`. Types that mean something else without a modifier
/// (`character`: one character) get the name that means any.
fn strip_modifiers(declared: &str) -> (String, Vec<i32>) {
    if declared.starts_with("interval") && !declared.ends_with("[]") {
        return ("interval".to_owned(), Vec::new());
    }
    let mut bare = String::with_capacity(declared.len());
    let mut modifiers = Vec::new();
    let (mut quoted, mut inside) = (false, false);
    let mut word = String::new();
    for c in declared.chars() {
        match c {
            '"' if !inside => {
                quoted = !quoted;
                bare.push(c);
            }
            '(' if !quoted => inside = true,
            ')' if inside => {
                inside = false;
                modifiers.extend(word.split(',').filter_map(|w| w.trim().parse::<i32>().ok()));
                word.clear();
            }
            c if inside => word.push(c),
            c => bare.push(c),
        }
    }
    let (element, brackets) = match bare.find("[]") {
        Some(at) => bare.split_at(at),
        None => (bare.as_str(), ""),
    };
    let element = match element {
        "character" => "bpchar",
        "bit" => "\"bit\"",
        e if e.starts_with("interval") => "interval",
        other => other,
    };
    (format!("{element}{brackets}"), modifiers)
}

fn limit(kind: Kind, modifiers: &[i32]) -> Limit {
    match (kind, modifiers) {
        (Kind::Text, [n]) => usize::try_from(*n).map_or(Limit::None, Limit::Chars),
        (Kind::Numeric, [_, scale]) => Limit::Scale(*scale),
        (Kind::Numeric, [_]) => Limit::Scale(0),
        (Kind::Time | Kind::Timestamp | Kind::TimestampTz, [n]) => {
            u32::try_from(*n).map_or(Limit::None, Limit::Fraction)
        }
        _ => Limit::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Generated, LogicalType};

    fn column(declared: &str) -> PgColumn {
        PgColumn::new(&Column {
            name: "c".to_owned(),
            declared_type: declared.to_owned(),
            logical: LogicalType::Any,
            nullable: true,
            default: None,
            generated: Generated::No,
            collation: None,
        })
    }

    #[test]
    fn casts_neither_cut_nor_round() {
        for (declared, bare) in [
            ("numeric(10,2)", "numeric"),
            ("character(5)", "bpchar"),
            ("character(5)[]", "bpchar[]"),
            ("bit(3)", "\"bit\""),
            ("bit varying(3)", "bit varying"),
            ("interval day to second(3)", "interval"),
            ("interval(3)[]", "interval[]"),
            (
                "timestamp(3) without time zone",
                "timestamp without time zone",
            ),
            ("time(3) with time zone[]", "time with time zone[]"),
            ("geometry(Point,4326)", "geometry"),
            ("\"we(ird\"", "\"we(ird\""),
            ("integer[]", "integer[]"),
        ] {
            assert_eq!(column(declared).bare, bare);
        }
    }

    #[test]
    fn what_a_column_would_bend_is_refused() {
        let decimal = |d: &str| Value::Decimal(d.parse().unwrap());
        for (declared, value, fits) in [
            ("numeric(10,2)", decimal("1.50"), true),
            ("numeric(10,2)", decimal("1.500"), true),
            ("numeric(10,2)", decimal("1.505"), false),
            ("numeric(10)", decimal("1.5"), false),
            ("numeric(5,-2)", decimal("1200"), true),
            ("numeric(5,-2)", decimal("1210"), false),
            ("numeric", decimal("1.505"), true),
            ("character varying(3)", Value::Text("äöü".into()), true),
            ("character varying(3)", Value::Text("abc ".into()), false),
            (
                "timestamp(3) without time zone",
                Value::Timestamp(1_500),
                false,
            ),
            (
                "timestamp(3) without time zone",
                Value::Timestamp(i64::MAX),
                true,
            ),
            ("time(0) without time zone", Value::Time(2_000_000), true),
        ] {
            assert_eq!(
                column(declared).check((&value).into()).is_ok(),
                fits,
                "{declared}"
            );
        }
    }

    #[test]
    fn order_is_plain_where_an_index_has_it() {
        assert_eq!(column("bigint").order("t"), "t.\"c\"");
        assert_eq!(column("text").order("t"), "t.\"c\"");
        assert_eq!(column("character(2)").order("t"), "bpcharsend(t.\"c\")");
        assert_eq!(column("jsonb").order("t"), "(t.\"c\"::text) COLLATE \"C\"");
        let key = column("bigint").order_literal(ValueRef::Int(5)).unwrap();
        assert_eq!(key, "'5'::bigint");
    }
}
