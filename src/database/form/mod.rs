//! What a column of a server makes of a value that is written to it, whatever engine it comes from.
//!
//! A [`ColumnForm`] is read from the column's declared type. [`ColumnForm::take`] answers the value
//! that the column gives back after the given one is written to it, or refuses: what the column
//! would round, cut off, normalise into something else or not take at all never gets there. Values
//! of one engine become those of another's type where that is exact: `1` and `true`, `1` and `1.0`,
//! a text and the date or UUID that it is, bytes and the UUID that they are. Whether a value comes
//! back as what it was is asked upstream (see `carry` in [`crate::rule::mapping`]), by taking it
//! here and then there; so two values of one side never stand for one of the other.
//!
//! The texts `1.5` and `1.50` are two for a column of texts and one number for a column of decimals
//! without a scale, which keeps them apart but calls them equal: there, changing one into the other
//! is no change. A column with a scale takes only the text with just as many digits.
//!
//! A timestamp without zone and one in UTC are never turned into each other: they mean different
//! things.

pub(in crate::database) use crate::data::clock;
pub(in crate::database) mod declared;

mod array;
mod charset;
mod json;
mod literal;
mod mysql;
pub(in crate::database) mod number;
mod postgres;
pub(in crate::database) mod text;
mod time;

use crate::data::{Column, TableSchema, Value};
use crate::database::Engine;
use crate::rule::mapping::StoredForm;

use json::JsonForm;
use literal::Literal;
use number::{DecimalForm, FloatForm};
use text::TextForm;
use time::Calendar;

/// The kinds of a [`Value::Other`] that is a date or timestamp of MySQL which is on no calendar
/// (`0000-00-00`), as text.
pub(in crate::database) const ODD_DATES: [&str; 2] = ["date", "datetime"];

/// What a column of PostgreSQL or MySQL holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnForm {
    engine: Engine,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Bool,
    Int {
        least: i128,
        most: i128,
    },
    /// MySQL: 0 and 1901 to 2155.
    Year,
    /// MySQL: bits as a number.
    Bit(u32),
    Decimal(DecimalForm),
    Float(FloatForm),
    Text(TextForm),
    /// MySQL's `enum`.
    Labels(Vec<String>),
    /// MySQL's `set`.
    Set(Vec<String>),
    Bytes {
        most: usize,
        fixed: bool,
    },
    Uuid,
    Json(JsonForm),
    Date(Calendar),
    Time(Calendar),
    /// With as many digits of a second's fraction.
    Timestamp(Calendar),
    /// Likewise.
    TimestampUtc(Calendar),
    /// PostgreSQL: a type that is carried as the server's text.
    Literal(Literal),
    /// MariaDB's addresses.
    Inet4,
    Inet6,
    /// A type that cannot be carried.
    Unknown,
}

impl ColumnForm {
    /// Of a column of PostgreSQL, its type as `format_type` spells it.
    #[must_use]
    pub fn postgres(column: &Column) -> Self {
        Self::postgres_type(&column.declared_type)
    }

    /// Of a column of MySQL or MariaDB, its type as `COLUMN_TYPE` spells it.
    #[must_use]
    pub fn mysql(column: &Column) -> Self {
        Self::of_type(
            Engine::Mysql,
            &column.declared_type,
            column.collation.as_deref(),
        )
    }

    fn postgres_type(declared: &str) -> Self {
        Self::of_type(Engine::Postgres, declared, None)
    }

    /// Of a type of a server as its introspection spells it.
    pub(in crate::database) fn of_type(
        engine: Engine,
        declared: &str,
        collation: Option<&str>,
    ) -> Self {
        let form = match engine {
            Engine::Postgres => postgres::form(declared),
            Engine::Mysql => mysql::form(declared, collation),
            // SQLite has a stored form of its own.
            Engine::Sqlite => Form::Unknown,
        };
        Self { engine, form }
    }

    /// The same for an enum of PostgreSQL whose labels are known: no other text is taken.
    #[must_use]
    pub fn with_labels(mut self, labels: Vec<String>) -> Self {
        self.form = Form::Literal(Literal::Labels(labels));
        self
    }

    /// The type's name where its texts cannot be checked here: the server takes texts that it gives
    /// back in another form, so the other side must write them as the server does.
    #[must_use]
    pub fn unchecked(&self) -> Option<&str> {
        let mut form = &self.form;
        loop {
            match form {
                Form::Literal(Literal::Unchecked(name)) => return Some(name),
                Form::Literal(Literal::Array(element)) => form = &element.form,
                _ => return None,
            }
        }
    }

    /// Whether nothing can be written to the column, because its type is not known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.form == Form::Unknown
    }

    /// Whether both columns hold the same of every value, so that nothing is converted between them.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self == other && !self.is_unknown()
    }

    /// Whether decimals keep the zeros behind the point that they are written with.
    fn keeps_scale(&self) -> bool {
        matches!(&self.form, Form::Decimal(form) if form.size.is_none())
    }

    /// What the column gives back after the value is written to it; the value itself where it cannot
    /// hold it. See [`Self::take`].
    #[must_use]
    pub fn hold(&self, value: Value) -> Value {
        self.take(value).unwrap_or_else(|value| value)
    }

    /// What the column gives back after the value is written to it; `Err` with the value where the
    /// column can hold nothing that stands for it. Whether NULL is allowed is not asked here.
    pub fn take(&self, value: Value) -> Result<Value, Value> {
        if value.is_null() {
            return Ok(value);
        }
        match self.form.held(&value) {
            Some(held) => Ok(held),
            None => Err(value),
        }
    }
}

impl Form {
    fn held(&self, value: &Value) -> Option<Value> {
        match self {
            Self::Bool => match value {
                Value::Text(v) if v == "true" => Some(Value::Bool(true)),
                Value::Text(v) if v == "false" => Some(Value::Bool(false)),
                value => match number::whole(value)? {
                    0 => Some(Value::Bool(false)),
                    1 => Some(Value::Bool(true)),
                    _ => None,
                },
            },
            Self::Int { least, most } => {
                number::integer(number::whole(value).filter(|n| (least..=most).contains(&n))?)
            }
            Self::Year => number::integer(
                number::whole(value).filter(|n| *n == 0 || (1901..=2155).contains(n))?,
            ),
            Self::Bit(bits) => bit(value, *bits),
            Self::Decimal(form) => Some(Value::Decimal(form.held(&number::decimal(value)?)?)),
            Self::Float(form) => Some(Value::Float(form.held(number::float(value)?)?)),
            Self::Text(form) => Some(Value::Text(form.held(&text::of(value)?)?)),
            Self::Labels(labels) => {
                let text = text::of(value)?;
                labels.contains(&text).then_some(Value::Text(text))
            }
            Self::Set(labels) => Some(Value::Text(text::set(&text::of(value)?, labels)?)),
            Self::Bytes { most, fixed } => Some(Value::Bytes(text::bytes(value, *most, *fixed)?)),
            Self::Uuid => Some(Value::Uuid(text::uuid(value)?)),
            Self::Json(form) => {
                let text = match value {
                    Value::Json(_)
                    | Value::Text(_)
                    | Value::Bool(_)
                    | Value::Int(_)
                    | Value::UInt(_)
                    | Value::Float(_) => text::of(value)?,
                    _ => return None,
                };
                Some(Value::Json(form.held(&text)?))
            }
            Self::Date(calendar) => calendar.date(value),
            Self::Time(calendar) => calendar.time(value),
            Self::Timestamp(calendar) => calendar.timestamp(value),
            Self::TimestampUtc(calendar) => calendar.timestamp_utc(value),
            Self::Literal(literal) => {
                let text = literal_text(literal, value)?;
                literal.takes(&text).then_some(Value::Text(text))
            }
            Self::Inet4 => text_if(value, literal::inet4),
            Self::Inet6 => text_if(value, literal::inet6),
            Self::Unknown => None,
        }
    }
}

fn text_if(value: &Value, fits: impl Fn(&str) -> bool) -> Option<Value> {
    match value {
        Value::Text(text) if fits(text) => Some(Value::Text(text.clone())),
        _ => None,
    }
}

/// A number of so many bits: a number, or the digits of as many bits.
fn bit(value: &Value, bits: u32) -> Option<Value> {
    let number = match value {
        Value::Text(text) if text.len() == usize::try_from(bits).ok()? => {
            if !text.bytes().all(|b| matches!(b, b'0' | b'1')) {
                return None;
            }
            i128::from(u64::from_str_radix(text, 2).ok()?)
        }
        value => number::whole(value)?,
    };
    (0..1_i128 << bits.min(64))
        .contains(&number)
        .then(|| number::integer(number))?
}

/// The text of a value for a type that has only texts. A number is one for bits alone.
fn literal_text(literal: &Literal, value: &Value) -> Option<String> {
    match (literal, value) {
        (_, Value::Text(text)) => Some(text.clone()),
        (Literal::Bits { most, fixed: true }, Value::Int(_) | Value::UInt(_) | Value::Bool(_)) => {
            let number = u64::try_from(number::whole(value)?).ok()?;
            Some(format!("{number:0most$b}"))
        }
        _ => None,
    }
}

/// What the mapped columns of a table of a server hold.
#[derive(Clone, Debug)]
pub struct ServerStoredForm {
    forms: Vec<ColumnForm>,
    /// Whether trailing zeros behind the point say nothing: the other side gives all decimals of a
    /// column as many digits.
    pads: bool,
}

impl ServerStoredForm {
    /// Of columns, in the order of the mapping.
    #[must_use]
    pub fn new(forms: Vec<ColumnForm>) -> Self {
        Self { forms, pads: false }
    }

    /// For values that come from a store of this kind. MySQL has no decimals without a scale: `0.4` from
    /// a `decimal(65,30)` is `0.4` in a `numeric` again, and not a number with thirty digits.
    #[must_use]
    pub fn facing(mut self, other: Engine) -> Self {
        self.pads = other == Engine::Mysql;
        self
    }

    /// Of these columns of a table of a server.
    #[must_use]
    pub fn of(engine: Engine, schema: &TableSchema, columns: &[usize]) -> Self {
        let form = |&i: &usize| {
            let column = &schema.columns[i];
            ColumnForm::of_type(engine, &column.declared_type, column.collation.as_deref())
        };
        Self::new(columns.iter().map(form).collect())
    }

    /// The columns' forms.
    #[must_use]
    pub fn forms(&self) -> &[ColumnForm] {
        &self.forms
    }
}

impl StoredForm for ServerStoredForm {
    fn as_stored(&self, column: usize, value: Value) -> Value {
        self.try_stored(column, value).unwrap_or_else(|value| value)
    }

    fn try_stored(&self, column: usize, value: Value) -> Result<Value, Value> {
        match self.forms.get(column) {
            Some(form) => match form.take(value)? {
                Value::Decimal(v) if self.pads && form.keeps_scale() => {
                    Ok(Value::Decimal(v.trimmed()))
                }
                value => Ok(value),
            },
            None => Ok(value),
        }
    }

    /// No column of a server holds every value of every engine as it is. Between columns that are
    /// the same on both sides no form is needed at all: see [`same_form`].
    fn is_identity(&self) -> bool {
        self.forms.is_empty()
    }
}

/// Whether two columns of one kind of server hold the same of every value, so that no conversion is
/// needed between them.
#[must_use]
pub fn same_form(engine: Engine, a: &Column, b: &Column) -> bool {
    let form = |c: &Column| ColumnForm::of_type(engine, &c.declared_type, c.collation.as_deref());
    form(a).is_same(&form(b))
}

#[cfg(test)]
mod tests;
