//! Exact decimals.

use std::cmp::Ordering;
use std::fmt;

use rhai::Engine;

use crate::data::{Decimal, Value};
use crate::rule::number;

use super::{Answer, raise, shown};

/// A decimal in a script: `decimal("19.90") * 3`.
#[derive(Clone, Debug)]
pub(in crate::script) struct DecimalNumber(pub(in crate::script) Decimal);

impl DecimalNumber {
    /// The exact number of a cell; `None` for what is no number.
    pub(in crate::script) fn of(value: &Value) -> Option<Self> {
        number::exact(value).map(Self)
    }

    fn int(value: i64) -> Answer<Self> {
        Self::of(&Value::Int(value)).map_or_else(|| raise("is no number"), Ok)
    }
}

impl fmt::Display for DecimalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn computed(what: &str, result: Option<Decimal>) -> Answer<DecimalNumber> {
    match result {
        Some(decimal) => Ok(DecimalNumber(decimal)),
        None => raise(format!(
            "{what} cannot be computed: not a finite number, or too many digits"
        )),
    }
}

fn ordering(a: &DecimalNumber, b: &Value) -> Option<Ordering> {
    number::compare(&Value::Decimal(a.0.clone()), b)
}

type D = DecimalNumber;

pub(super) fn register(engine: &mut Engine) {
    shown::<D>(engine, "decimal");
    engine
        .register_fn("decimal", |text: &str| match text.parse() {
            Ok(decimal) => Ok(DecimalNumber(decimal)),
            Err(_) => raise(format!("{text:?} is no decimal number")),
        })
        .register_fn("decimal", |v: i64| D::int(v))
        .register_fn("decimal", |v: D| v)
        .register_fn("round", |v: &mut D, scale: i64| {
            match usize::try_from(scale) {
                Ok(scale) if scale <= 1_000 => {
                    computed("the rounded number", number::decimal_round(&v.0, scale))
                }
                _ => raise("a decimal has 0 to 1000 digits behind the point"),
            }
        })
        .register_fn("abs", |v: &mut D| match v.0.as_str().strip_prefix('-') {
            Some(_) => computed("the absolute value", number::decimal_neg(&v.0)),
            None => Ok(v.clone()),
        })
        .register_fn("to_float", |v: &mut D| match v.0.as_str().parse::<f64>() {
            Ok(float) => Ok(float),
            Err(_) => raise(format!("{v} is no float")),
        })
        .register_fn("to_int", |v: &mut D| {
            match v.0.normalized().parse::<i64>() {
                Ok(int) => Ok(int),
                Err(_) => raise(format!("{v} is no integer of 64 bits; round it first")),
            }
        })
        .register_fn("-", |v: &mut D| {
            computed("the negative", number::decimal_neg(&v.0))
        });
    macro_rules! arithmetic {
        ($($op:literal $name:literal $f:path),*) => {$(
            engine
                .register_fn($op, |a: &mut D, b: D| computed($name, $f(&a.0, &b.0)))
                .register_fn($op, |a: &mut D, b: i64| computed($name, $f(&a.0, &D::int(b)?.0)))
                .register_fn($op, |a: i64, b: D| computed($name, $f(&D::int(a)?.0, &b.0)));
        )*};
    }
    arithmetic!("+" "the sum" number::decimal_add,
        "-" "the difference" number::decimal_sub,
        "*" "the product" number::decimal_mul);
    macro_rules! comparison {
        ($($op:literal $is:expr),*) => {$(
            engine
                .register_fn($op, |a: &mut D, b: D| $is(ordering(a, &Value::Decimal(b.0))))
                .register_fn($op, |a: &mut D, b: i64| $is(ordering(a, &Value::Int(b))))
                .register_fn($op, |a: &mut D, b: f64| $is(ordering(a, &Value::Float(b))))
                .register_fn($op, |a: i64, b: D| $is(ordering(&b, &Value::Int(a)).map(Ordering::reverse)))
                .register_fn($op, |a: f64, b: D| $is(ordering(&b, &Value::Float(a)).map(Ordering::reverse)));
        )*};
    }
    comparison!("==" |o: Option<Ordering>| o == Some(Ordering::Equal),
        "!=" |o: Option<Ordering>| o != Some(Ordering::Equal),
        "<" |o: Option<Ordering>| o == Some(Ordering::Less),
        "<=" |o: Option<Ordering>| o.is_some_and(Ordering::is_le),
        ">" |o: Option<Ordering>| o == Some(Ordering::Greater),
        ">=" |o: Option<Ordering>| o.is_some_and(Ordering::is_ge));
}
