//! Which type a column gets in the table that Banyan creates for it.

use crate::data::{Column, LogicalType};
use crate::database::Engine;
use crate::database::form::declared::Declared;
use crate::database::sqlite::Affinity;

use super::mappings::MAPPINGS;

/// Which declarations of a type a row is about, by the numbers in parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::database) enum When {
    /// All that the rows above leave.
    Any,
    /// With this number.
    Is(i64),
    /// With a number up to this.
    Most(i64),
    /// With at most so many digits, and so many behind the point.
    Digits(i64, i64),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::database) struct Mapping {
    /// Whose type.
    pub(in crate::database) from: Engine,
    /// The type without numbers; `*` for all others. SQLite: what the declared type stands for.
    pub(in crate::database) name: &'static str,
    /// Which of them.
    pub(in crate::database) when: When,
    /// The type in each of the other two engines, in the order of [`Engine::ALL`]; `{0}` and `{1}`
    /// are the numbers, `{seconds}` the digits of a second's fraction.
    pub(in crate::database) to: [&'static str; 2],
    /// What does not get across, and what to know.
    pub(in crate::database) note: &'static str,
}

impl Mapping {
    /// The type in an engine.
    pub(super) fn target(&self, engine: Engine) -> &'static str {
        let mut others = Engine::ALL.into_iter().filter(|e| *e != self.from);
        let second = others.next() != Some(engine);
        self.to[usize::from(second)]
    }

    /// Whether the row is about a declaration with these numbers.
    pub(super) fn fits(&self, numbers: &[i64]) -> bool {
        let number = |i: usize| numbers.get(i).copied();
        match self.when {
            When::Any => true,
            When::Is(n) => number(0) == Some(n),
            When::Most(n) => number(0).is_some_and(|v| (1..=n).contains(&v)),
            When::Digits(precision, scale) => number(0).is_some_and(|p| {
                let s = number(1).unwrap_or(0);
                (1..=precision).contains(&p) && (0..=scale.min(p)).contains(&s)
            }),
        }
    }
}

/// Types that cannot be part of a key, and those that stand for them there.
pub(super) const KEY_TYPES: [(Engine, &str, &str); 4] = [
    (Engine::Mysql, "longtext", "varchar(255)"),
    (Engine::Mysql, "longblob", "varbinary(255)"),
    (Engine::Mysql, "json", "varchar(255)"),
    (Engine::Postgres, "json", "text"),
];

/// The row for a column, and its type in the other engine.
pub(in crate::database) fn target(
    from: Engine,
    to: Engine,
    strict: bool,
    column: &Column,
) -> Option<(&'static Mapping, String)> {
    let declared = column.declared_type.as_str();
    let (name, numbers, seconds) = match from {
        Engine::Sqlite => (sqlite_name(strict, column).to_owned(), Vec::new(), 0),
        Engine::Postgres => {
            let d = Declared::postgres(declared);
            let seconds = d.number(0).unwrap_or(6);
            let name = if d.array { "*[]".to_owned() } else { d.name };
            (name, d.numbers, seconds)
        }
        Engine::Mysql => {
            let d = Declared::mysql(declared);
            let seconds = d.number(0).unwrap_or(0);
            let kind = GEOMETRIES.contains(&d.name.as_str());
            let name = if kind { "geometry".to_owned() } else { d.name };
            (name, d.numbers, seconds)
        }
    };
    let mapping = MAPPINGS
        .iter()
        .filter(|m| m.from == from)
        .find(|m| (m.name == name || m.name == "*") && m.fits(&numbers))?;
    let number = |i: usize| numbers.get(i).copied().unwrap_or(0).to_string();
    let sql_type = mapping
        .target(to)
        .replace("{0}", &number(0))
        .replace("{1}", &number(1))
        .replace("{seconds}", &seconds.min(6).to_string());
    Some((mapping, sql_type))
}

/// What a declared type of SQLite stands for in the published table.
fn sqlite_name(strict: bool, column: &Column) -> &'static str {
    let affinity = Affinity::of_column(strict, &column.declared_type);
    match (column.logical, affinity) {
        (LogicalType::Bool, _) => "BOOLEAN",
        (LogicalType::Date, _) => "DATE",
        (LogicalType::Time, _) => "TIME",
        (LogicalType::Timestamp | LogicalType::TimestampUtc, _) => "DATETIME",
        (LogicalType::Uuid, _) => "UUID",
        (LogicalType::Json, _) => "JSON",
        (LogicalType::Any, Affinity::Blob) => "no type",
        (_, Affinity::Integer) => "INTEGER",
        (_, Affinity::Real) => "REAL",
        (_, Affinity::Text) => "TEXT",
        (_, Affinity::Numeric) => "NUMERIC",
        (_, Affinity::Blob) => "BLOB",
    }
}

/// The geometries of MySQL.
const GEOMETRIES: [&str; 9] = [
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
];
