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

    /// Whether a column of this affinity can hold values that one of the other affinity changes
    /// so that they do not come back.
    #[must_use]
    pub fn may_lose_in(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::Blob) | (Self::Integer | Self::Numeric | Self::Real, Self::Text) => false,
            (Self::Text, to) => to != Self::Text,
            (Self::Blob, _) => true,
            // Integers beyond 2^53.
            (Self::Integer | Self::Numeric, to) => to == Self::Real,
            (Self::Real, _) => false,
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
            // One row in a transaction that never ends: nothing is committed, nothing journalled.
            conn.execute_batch(
                "PRAGMA journal_mode = OFF; CREATE TABLE v (b BLOB, t TEXT, n NUMERIC, r REAL); \
                 INSERT INTO v DEFAULT VALUES; BEGIN",
            )
            .ok()?;
            *oracle = Some(conn);
        }
        let conn = oracle.as_ref()?;
        let column = affinity.column();
        conn.prepare_cached(&format!("UPDATE v SET {column} = ?1"))
            .ok()?
            .execute([Bind(value.into())])
            .ok()?;
        conn.prepare_cached(&format!("SELECT {column} FROM v"))
            .ok()?
            .query_row([], |row| Ok(to_value(row.get_ref(0)?)))
            .ok()
    }
}

/// Numbers and number-like text that are simple enough to convert here, which is a hundred times
/// as fast as asking: up to 15 digits, of which any 15 are exact in a double, and so is the power
/// of ten that divides them; the quotient is then the nearest double, here as there.
fn plain_number(affinity: Affinity, value: &Value) -> Option<Value> {
    const DIGITS_MOST: usize = 15;
    let (whole, scale) = match value {
        Value::Int(v) if affinity == Affinity::Text => return Some(Value::Text(v.to_string())),
        Value::Int(v) if v.unsigned_abs() < 1 << 53 => (*v, 0),
        Value::Text(text) => {
            let (negative, digits) = match text.strip_prefix('-') {
                Some(digits) => (true, digits),
                None => (false, text.as_str()),
            };
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
            let all = || whole.bytes().chain(fraction.bytes());
            if whole.is_empty()
                || fraction.is_empty()
                || whole.len() + fraction.len() > DIGITS_MOST
                || !all().all(|b| b.is_ascii_digit())
            {
                return None;
            }
            let number = all().fold(0_i64, |n, b| n * 10 + i64::from(b - b'0'));
            // What becomes of a negative zero is SQLite's business.
            if negative && number == 0 {
                return None;
            }
            (if negative { -number } else { number }, fraction.len())
        }
        _ => return None,
    };
    let power = 10_i64.pow(u32::try_from(scale).ok()?);
    match affinity {
        Affinity::Integer | Affinity::Numeric if whole % power == 0 => {
            Some(Value::Int(whole / power))
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 nothing is lost")]
        Affinity::Integer | Affinity::Numeric | Affinity::Real => {
            Some(Value::Float(whole as f64 / power as f64))
        }
        Affinity::Text | Affinity::Blob => None,
    }
}

impl StoredForm for SqliteStoredForm {
    fn as_stored(&self, column: usize, value: Value) -> Value {
        let affinity = self
            .affinities
            .get(column)
            .copied()
            .unwrap_or(Affinity::Blob);
        let value = match value {
            // A column of texts holds them as applications write them there.
            uuid @ Value::Uuid(_) if affinity == Affinity::Text => Value::Text(uuid.to_string()),
            // `5.00` may be more digits than SQLite reads exactly, 5 is an integer.
            Value::Decimal(v) if !matches!(affinity, Affinity::Text | Affinity::Blob) => {
                Value::Text(v.normalized().to_owned())
            }
            value => native(value),
        };
        match (affinity, &value) {
            (_, Value::Null | Value::Bytes(_) | Value::Other(_))
            | (Affinity::Blob, _)
            | (Affinity::Text, Value::Text(_))
            | (Affinity::Integer | Affinity::Numeric, Value::Int(_)) => value,
            // Whole reals lie in REAL columns as integers, which have no negative zero.
            (Affinity::Real, Value::Float(v)) if *v == 0.0 => Value::Float(0.0),
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
            _ => plain_number(affinity, &value)
                .or_else(|| self.ask(affinity, &value))
                .unwrap_or(value),
        }
    }

    fn is_identity(&self) -> bool {
        self.affinities.iter().all(|a| *a == Affinity::Blob)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Affinity, SqliteStoredForm, plain_number};
    use crate::data::Value;

    fn number_like() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::Int),
            (-5_i64..5).prop_map(Value::Int),
            "-?[0-9]{1,17}".prop_map(Value::Text),
            "-?[0-9]{0,12}\\.[0-9]{0,12}".prop_map(Value::Text),
            "-?0{0,3}[0-9]{1,3}(\\.[05]0{0,3})?".prop_map(Value::Text),
            "[-+ ]?[0-9]{1,3}(e[0-9])? ?".prop_map(Value::Text),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_converted_here_is_what_sqlite_makes_of_it(value in number_like()) {
            let form = SqliteStoredForm {
                affinities: Vec::new(),
                oracle: std::sync::Mutex::new(None),
            };
            for affinity in [Affinity::Integer, Affinity::Numeric, Affinity::Real, Affinity::Text] {
                if let Some(here) = plain_number(affinity, &value) {
                    prop_assert_eq!(Some(here), form.ask(affinity, &value), "{:?} {}", affinity, value);
                }
            }
        }
    }
}
