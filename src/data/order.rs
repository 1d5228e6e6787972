//! The one order of cells and keys, the same for every store, and the one notion of equal cells.
//!
//! NULL comes first, then numbers (integers, floats and decimals by their exact value), then dates
//! and times, then text by its bytes (text that is not UTF-8 and JSON among it), then bytes, then
//! the rest. For what SQLite holds this is its own order under the BINARY collation, and it is what
//! a [`ReadRequest`](crate::database::ReadRequest) is answered in. Two cells may have the same place
//! and yet differ (`1` and `1.0`, `0.0` and `-0.0`): [`compare`] says which rows belong side by
//! side, [`same_cell`] whether they are equal.

use std::cmp::Ordering;

use super::canonical::{self, ValueRef};
use super::{Decimal, Value};

/// Whether two cells have the same content: the same canonical bytes.
#[must_use]
pub fn same_cell(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Null, ValueRef::Null) => true,
        (ValueRef::Int(a), ValueRef::Int(b)) => a == b,
        (ValueRef::Float(a), ValueRef::Float(b)) => a.to_bits() == b.to_bits(),
        (ValueRef::Text(a), ValueRef::Text(b)) => a == b,
        (ValueRef::Bytes(a), ValueRef::Bytes(b)) => a == b,
        (ValueRef::Value(_), _) | (_, ValueRef::Value(_)) => {
            let (mut left, mut right) = (Vec::new(), Vec::new());
            canonical::encode_value(&mut left, a);
            canonical::encode_value(&mut right, b);
            left == right
        }
        _ => false,
    }
}

/// A cell as its place in the order sees it.
enum Place<'a> {
    Null,
    Int(i128),
    Float(f64),
    Decimal(&'a Decimal),
    Time(u8, i64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    Array(&'a [Value]),
    Other(&'a str, &'a [u8]),
}

impl<'a> Place<'a> {
    fn of(value: ValueRef<'a>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Int(v) => Self::Int(i128::from(v)),
            ValueRef::Float(v) => Self::Float(v),
            ValueRef::Text(v) => Self::Text(v.as_bytes()),
            ValueRef::Bytes(v) => Self::Bytes(v),
            ValueRef::Value(v) => match v {
                Value::Null => Self::Null,
                Value::Bool(v) => Self::Int(i128::from(*v)),
                Value::Int(v) => Self::Int(i128::from(*v)),
                Value::UInt(v) => Self::Int(i128::from(*v)),
                Value::Decimal(v) => Self::Decimal(v),
                Value::Float(v) => Self::Float(*v),
                Value::Date(v) => Self::Time(0, i64::from(*v)),
                Value::Time(v) => Self::Time(1, *v),
                Value::Timestamp(v) => Self::Time(2, *v),
                Value::TimestampUtc(v) => Self::Time(3, *v),
                Value::Text(v) | Value::Json(v) => Self::Text(v.as_bytes()),
                Value::Bytes(v) => Self::Bytes(v),
                Value::Uuid(v) => Self::Bytes(v),
                Value::Array(v) => Self::Array(v),
                Value::Other(v) if v.kind == "text" => Self::Text(&v.bytes),
                Value::Other(v) => Self::Other(&v.kind, &v.bytes),
            },
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Int(_) | Self::Float(_) | Self::Decimal(_) => 1,
            Self::Time(..) => 2,
            Self::Text(_) => 3,
            Self::Bytes(_) => 4,
            Self::Array(_) => 5,
            Self::Other(..) => 6,
        }
    }
}

/// Which of two cells comes first.
#[must_use]
pub fn compare(a: ValueRef<'_>, b: ValueRef<'_>) -> Ordering {
    match (a, b) {
        (ValueRef::Int(a), ValueRef::Int(b)) => a.cmp(&b),
        (ValueRef::Text(a), ValueRef::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        _ => compare_places(&Place::of(a), &Place::of(b)),
    }
}

fn compare_places(a: &Place<'_>, b: &Place<'_>) -> Ordering {
    use Place::{Array, Bytes, Decimal, Float, Int, Other, Text, Time};
    match (a, b) {
        (Int(a), Int(b)) => a.cmp(b),
        (Float(a), Float(b)) => compare_floats(*a, *b),
        (Int(a), Float(b)) => compare_int_float(*a, *b),
        (Float(a), Int(b)) => compare_int_float(*b, *a).reverse(),
        (Decimal(a), Decimal(b)) => compare_digits(a.as_str(), b.as_str()),
        (Decimal(a), Int(b)) => compare_digits(a.as_str(), &b.to_string()),
        (Int(a), Decimal(b)) => compare_digits(&a.to_string(), b.as_str()),
        (Decimal(a), Float(b)) => compare_digits(a.as_str(), &exact_digits(*b)),
        (Float(a), Decimal(b)) => compare_digits(&exact_digits(*a), b.as_str()),
        (Time(ka, a), Time(kb, b)) => ka.cmp(kb).then(a.cmp(b)),
        (Text(a), Text(b)) | (Bytes(a), Bytes(b)) => a.cmp(b),
        (Array(a), Array(b)) => compare_keys(a, b),
        (Other(ka, a), Other(kb, b)) => ka.cmp(kb).then(a.cmp(b)),
        _ => a.rank().cmp(&b.rank()),
    }
}

/// NaN after every number, as PostgreSQL has it; `-0.0` and `0.0` in one place.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Exact: no integer is rounded to a float.
fn compare_int_float(a: i128, b: f64) -> Ordering {
    // All integers here have at most 65 bits, so a float beyond 2^65 is beyond all of them.
    const BEYOND: f64 = 36_893_488_147_419_103_232.0;
    if b.is_nan() || b >= BEYOND {
        return Ordering::Less;
    }
    if b <= -BEYOND {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number below 2^65 fits"
    )]
    let whole_int = whole as i128;
    a.cmp(&whole_int)
        .then_with(|| compare_floats(0.0, b - whole))
}

/// Every digit of the float: doubles are finite binary fractions.
fn exact_digits(v: f64) -> String {
    if v.is_nan() {
        "NaN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{v:.1074}")
    }
}

/// Compares plain decimal digits (see [`Decimal`]) by value.
fn compare_digits(a: &str, b: &str) -> Ordering {
    fn special(v: &str) -> i8 {
        match v {
            "-Infinity" => -1,
            "Infinity" => 1,
            "NaN" => 2,
            _ => 0,
        }
    }
    let (sa, sb) = (special(a), special(b));
    if sa != 0 || sb != 0 {
        return sa.cmp(&sb);
    }
    fn parts(v: &str) -> (bool, &str, &str) {
        let (negative, digits) = v.strip_prefix('-').map_or((false, v), |d| (true, d));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        (
            negative && !(whole.is_empty() && fraction.is_empty()),
            whole,
            fraction,
        )
    }
    let ((na, wa, fa), (nb, wb, fb)) = (parts(a), parts(b));
    match (na, nb) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (negative, _) => {
            let order = wa
                .len()
                .cmp(&wb.len())
                .then_with(|| wa.cmp(wb))
                .then_with(|| fa.cmp(fb));
            if negative { order.reverse() } else { order }
        }
    }
}

/// Lexicographic order of keys (or of rows).
#[must_use]
pub fn compare_keys(a: &[Value], b: &[Value]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = compare(a.into(), b.into());
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// A number that never contradicts the order: `compare(a, b) == Less` implies
/// `prefix(a) <= prefix(b)`. Sorting looks at it first.
#[must_use]
pub fn prefix(value: ValueRef<'_>) -> u64 {
    const SHIFT: u32 = 56;
    let place = Place::of(value);
    let rank = u64::from(place.rank()) << SHIFT;
    let number = |v: f64| {
        let v = if v == 0.0 { 0.0 } else { v };
        let bits = v.to_bits();
        let ordered = if v.is_nan() {
            u64::MAX
        } else if bits >> 63 == 1 {
            !bits
        } else {
            bits | 1 << 63
        };
        ordered >> 8
    };
    let bytes = |v: &[u8]| {
        let mut first = [0; 8];
        let n = v.len().min(7);
        first[1..=n].copy_from_slice(&v[..n]);
        u64::from_be_bytes(first)
    };
    rank | match place {
        Place::Null | Place::Array(_) | Place::Other(..) => 0,
        #[expect(clippy::cast_precision_loss, reason = "rounding is monotone")]
        Place::Int(v) => number(v as f64),
        Place::Float(v) => number(v),
        Place::Decimal(v) => number(v.as_str().parse().unwrap_or(f64::NAN)),
        Place::Time(kind, v) => {
            // The first bits of kind and offset value.
            (u64::from(kind) << 54) | ((v.cast_unsigned() ^ (1 << 63)) >> 10)
        }
        Place::Text(v) | Place::Bytes(v) => bytes(v),
    }
}

#[cfg(test)]
mod tests;
