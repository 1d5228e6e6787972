//! What a column makes of a value that is written to it.
//!
//! SQLite converts by the column's affinity: `'12'` in an INTEGER column becomes the integer 12,
//! `1` in a REAL column 1.0. To compare rows of two databases we must know what is *held*. The
//! simple cases are decided here; number-like text is left to SQLite itself, through a table in
//! memory with one column of each affinity.

use std::sync::Mutex;

use crate::data::{TableSchema, Value};
use crate::rule::mapping::StoredForm;

use super::value::{Bind, native, to_value};

/// A column's affinity; see "Datatypes In SQLite", section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// As it is.
    Blob,
    /// Numbers become text.
    Text,
    /// Number-like text becomes a number; whole reals become integers.
    Numeric,
    /// The same.
    Integer,
    /// Integers become reals.
    Real,
}

impl Affinity {
    /// Of a declared type.
    #[must_use]
    pub fn of(declared: &str) -> Self {
        let upper = declared.to_ascii_uppercase();
        let has = |s: &str| upper.contains(s);
        if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || upper.is_empty() {
            Self::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// Of a column of a table: in STRICT tables `ANY` keeps values as they are.
    #[must_use]
    pub fn of_column(strict: bool, declared: &str) -> Self {
        if strict && declared.eq_ignore_ascii_case("ANY") {
            Self::Blob
        } else {
            Self::of(declared)
        }
    }

    fn column(self) -> &'static str {
        match self {
            Self::Blob => "b",
            Self::Text => "t",
            Self::Numeric | Self::Integer => "n",
            Self::Real => "r",
        }
    }
}

/// The stored form of the mapped columns of one table.
#[derive(Debug)]
pub struct SqliteStoredForm {
    affinities: Vec<Affinity>,
    oracle: Mutex<Option<rusqlite::Connection>>,
}

impl SqliteStoredForm {
    /// For these columns of the table, in this order.
    #[must_use]
    pub fn new(schema: &TableSchema, columns: &[usize]) -> Self {
        Self {
            affinities: columns
                .iter()
                .map(|&i| Affinity::of_column(schema.strict, &schema.columns[i].declared_type))
                .collect(),
            oracle: Mutex::new(None),
        }
    }

    /// The affinities, in order.
    #[must_use]
    pub fn affinities(&self) -> &[Affinity] {
        &self.affinities
    }

    fn ask(&self, affinity: Affinity, value: &Value) -> Option<Value> {
        let mut oracle = self.oracle.lock().ok()?;
        if oracle.is_none() {
            let conn = rusqlite::Connection::open_in_memory().ok()?;
            conn.execute_batch("CREATE TABLE v (b BLOB, t TEXT, n NUMERIC, r REAL)")
                .ok()?;
            *oracle = Some(conn);
        }
        let conn = oracle.as_ref()?;
        let column = affinity.column();
        conn.prepare_cached("DELETE FROM v")
            .ok()?
            .execute([])
            .ok()?;
        conn.prepare_cached(&format!("INSERT INTO v ({column}) VALUES (?1)"))
            .ok()?
            .execute([Bind(value.into())])
            .ok()?;
        conn.prepare_cached(&format!("SELECT {column} FROM v"))
            .ok()?
            .query_row([], |row| Ok(to_value(row.get_ref(0)?)))
            .ok()
    }
}

impl StoredForm for SqliteStoredForm {
    fn as_stored(&self, column: usize, value: Value) -> Value {
        let value = native(value);
        let affinity = self
            .affinities
            .get(column)
            .copied()
            .unwrap_or(Affinity::Blob);
        match (affinity, &value) {
            (_, Value::Null | Value::Bytes(_) | Value::Other(_))
            | (Affinity::Blob, _)
            | (Affinity::Text, Value::Text(_))
            | (Affinity::Integer | Affinity::Numeric, Value::Int(_)) => value,
            // A fraction stays; text that cannot begin a number stays.
            (Affinity::Integer | Affinity::Numeric | Affinity::Real, Value::Float(v))
                if affinity == Affinity::Real || v.fract() != 0.0 =>
            {
                value
            }
            (Affinity::Integer | Affinity::Numeric | Affinity::Real, Value::Text(text))
                if !text.bytes().any(|b| b.is_ascii_digit()) =>
            {
                value
            }
            _ => self.ask(affinity, &value).unwrap_or(value),
        }
    }

    fn is_identity(&self) -> bool {
        self.affinities.iter().all(|a| *a == Affinity::Blob)
    }
}
