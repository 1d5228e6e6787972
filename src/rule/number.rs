//! Exact numbers: comparing, adding, subtracting and multiplying what columns hold.
//!
//! Integers and decimals are computed exactly; a float meets a float only. Nothing here rounds
//! silently: what cannot be answered exactly is answered with `None`.

use std::cmp::Ordering;

use crate::data::{Decimal, Value};

/// Digits of a decimal that arithmetic takes part in; longer ones are not computed.
const DIGITS_MAX: usize = 10_000;

/// A decimal taken apart: `digits` times ten to the `-scale`, most significant digit first,
/// without leading zeros (zero has none).
#[derive(Clone, Debug)]
struct Parts {
    negative: bool,
    digits: Vec<u8>,
    scale: usize,
}

impl Parts {
    fn of(decimal: &Decimal) -> Option<Self> {
        let text = decimal.as_str();
        let (negative, text) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        if text.len() > DIGITS_MAX || !text.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: Vec<u8> = whole
            .bytes()
            .chain(fraction.bytes())
            .map(|b| b - b'0')
            .skip_while(|&d| d == 0)
            .collect();
        Some(Self {
            negative: negative && !digits.is_empty(),
            digits,
            scale: fraction.len(),
        })
    }

    /// The same number with more digits behind the point.
    fn widen(mut self, scale: usize) -> Self {
        if !self.digits.is_empty() {
            self.digits
                .resize(self.digits.len() + scale - self.scale, 0);
        }
        self.scale = scale;
        self
    }

    fn into_decimal(self) -> Option<Decimal> {
        let mut digits = vec![0; (self.scale + 1).saturating_sub(self.digits.len())];
        digits.extend(self.digits);
        let mut text = String::with_capacity(digits.len() + 2);
        if self.negative {
            text.push('-');
        }
        let point = digits.len() - self.scale;
        for (i, digit) in digits.iter().enumerate() {
            if i == point {
                text.push('.');
            }
            text.push(char::from(b'0' + digit));
        }
        text.parse().ok()
    }
}

fn trim(digits: &mut Vec<u8>) {
    let zeros = digits.iter().take_while(|&&d| d == 0).count();
    digits.drain(..zeros);
}

fn cmp_digits(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn add_digits(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len().max(b.len()) + 1);
    let (mut x, mut y) = (a.iter().rev(), b.iter().rev());
    let mut carry = 0;
    loop {
        let (p, q) = (x.next(), y.next());
        if p.is_none() && q.is_none() {
            break;
        }
        let sum = p.copied().unwrap_or(0) + q.copied().unwrap_or(0) + carry;
        out.push(sum % 10);
        carry = sum / 10;
    }
    out.push(carry);
    out.reverse();
    trim(&mut out);
    out
}

/// `a - b` where `a >= b`.
fn sub_digits(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len());
    let mut y = b.iter().rev();
    let mut borrow = 0;
    for &p in a.iter().rev() {
        let q = y.next().copied().unwrap_or(0) + borrow;
        borrow = u8::from(p < q);
        out.push(p + 10 * borrow - q);
    }
    out.reverse();
    trim(&mut out);
    out
}

/// The sum, exactly; the scale is the larger of the two. `None` for NaN, infinities and numbers
/// of more than 10,000 digits.
#[must_use]
pub fn decimal_add(a: &Decimal, b: &Decimal) -> Option<Decimal> {
    let (a, b) = (Parts::of(a)?, Parts::of(b)?);
    let scale = a.scale.max(b.scale);
    let (a, b) = (a.widen(scale), b.widen(scale));
    let (negative, digits) = if a.negative == b.negative {
        (a.negative, add_digits(&a.digits, &b.digits))
    } else {
        match cmp_digits(&a.digits, &b.digits) {
            Ordering::Less => (b.negative, sub_digits(&b.digits, &a.digits)),
            _ => (a.negative, sub_digits(&a.digits, &b.digits)),
        }
    };
    Parts {
        negative,
        digits,
        scale,
    }
    .into_decimal()
}

/// The negated number.
#[must_use]
pub fn decimal_neg(a: &Decimal) -> Option<Decimal> {
    let mut parts = Parts::of(a)?;
    parts.negative = !parts.negative && !parts.digits.is_empty();
    parts.into_decimal()
}

/// The difference, exactly. See [`decimal_add`].
#[must_use]
pub fn decimal_sub(a: &Decimal, b: &Decimal) -> Option<Decimal> {
    decimal_add(a, &decimal_neg(b)?)
}

/// The product, exactly; the scales add up. `None` as for [`decimal_add`].
#[must_use]
pub fn decimal_mul(a: &Decimal, b: &Decimal) -> Option<Decimal> {
    let (a, b) = (Parts::of(a)?, Parts::of(b)?);
    if a.digits.len() + b.digits.len() > DIGITS_MAX / 10 {
        return None;
    }
    let mut cells = vec![0_u32; a.digits.len() + b.digits.len()];
    for (i, &x) in a.digits.iter().rev().enumerate() {
        for (j, &y) in b.digits.iter().rev().enumerate() {
            cells[i + j] += u32::from(x) * u32::from(y);
        }
    }
    let mut carry = 0;
    let mut digits: Vec<u8> = cells
        .into_iter()
        .map(|cell| {
            let sum = cell + carry;
            carry = sum / 10;
            u8::try_from(sum % 10).unwrap_or(0)
        })
        .collect();
    digits.reverse();
    trim(&mut digits);
    Parts {
        negative: a.negative != b.negative && !digits.is_empty(),
        digits,
        scale: a.scale + b.scale,
    }
    .into_decimal()
}

/// The number with `scale` digits behind the point, rounded half away from zero.
#[must_use]
pub fn decimal_round(a: &Decimal, scale: usize) -> Option<Decimal> {
    let parts = Parts::of(a)?;
    if scale > DIGITS_MAX {
        return None;
    }
    if parts.scale <= scale {
        return parts.widen(scale).into_decimal();
    }
    let drop = parts.scale - scale;
    let mut digits = parts.digits;
    let keep = digits.len().saturating_sub(drop);
    let up = digits.len() >= drop && digits.get(keep).is_some_and(|&d| d >= 5);
    digits.truncate(keep);
    if up {
        digits = add_digits(&digits, &[1]);
    }
    Parts {
        negative: parts.negative && !digits.is_empty(),
        digits,
        scale,
    }
    .into_decimal()
}

/// Which decimal is larger. `None` when one is NaN.
#[must_use]
pub fn decimal_cmp(a: &Decimal, b: &Decimal) -> Option<Ordering> {
    let rank = |d: &Decimal| match d.as_str() {
        "NaN" => None,
        "Infinity" => Some(1),
        "-Infinity" => Some(-1),
        _ => Some(0),
    };
    let (x, y) = (rank(a)?, rank(b)?);
    if x != 0 || y != 0 {
        return Some(x.cmp(&y));
    }
    let (a, b) = (Parts::of(a)?, Parts::of(b)?);
    let scale = a.scale.max(b.scale);
    let (a, b) = (a.widen(scale), b.widen(scale));
    Some(match (a.negative, b.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => cmp_digits(&a.digits, &b.digits),
        (true, true) => cmp_digits(&b.digits, &a.digits),
    })
}

/// An integer or decimal cell as an exact decimal; a finite float as the decimal that it is.
#[must_use]
pub fn exact(value: &Value) -> Option<Decimal> {
    match value {
        Value::Int(v) => v.to_string().parse().ok(),
        Value::UInt(v) => v.to_string().parse().ok(),
        Value::Decimal(v) => Some(v.clone()),
        // A double is an integer times a power of two not below 2^-1074: so many digits are exact.
        Value::Float(v) if v.is_finite() => format!("{v:.1074}").parse().ok(),
        _ => None,
    }
}

/// Which cell is larger: numbers by value, exactly and whatever their type; text by its bytes;
/// dates, times and timestamps, truth values (false first), bytes and UUIDs each among
/// themselves. `None` when they have no common order: NULL, NaN, JSON, arrays, different kinds.
#[must_use]
pub fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    use Value as V;
    match (a, b) {
        (V::Int(x), V::Int(y))
        | (V::Time(x), V::Time(y))
        | (V::Timestamp(x), V::Timestamp(y))
        | (V::TimestampUtc(x), V::TimestampUtc(y)) => Some(x.cmp(y)),
        (V::UInt(x), V::UInt(y)) => Some(x.cmp(y)),
        (V::Int(x), V::UInt(y)) => Some(i128::from(*x).cmp(&i128::from(*y))),
        (V::UInt(x), V::Int(y)) => Some(i128::from(*x).cmp(&i128::from(*y))),
        (V::Float(x), V::Float(y)) => x.partial_cmp(y),
        (V::Decimal(x), V::Decimal(y)) => decimal_cmp(x, y),
        (V::Text(x), V::Text(y)) => Some(x.cmp(y)),
        (V::Bytes(x), V::Bytes(y)) => Some(x.cmp(y)),
        (V::Date(x), V::Date(y)) => Some(x.cmp(y)),
        (V::Bool(x), V::Bool(y)) => Some(x.cmp(y)),
        (V::Uuid(x), V::Uuid(y)) => Some(x.cmp(y)),
        (V::Float(x), _) if x.is_infinite() && is_number(b) => Some(if *x > 0.0 {
            Ordering::Greater
        } else {
            Ordering::Less
        }),
        (_, V::Float(y)) if y.is_infinite() && is_number(a) => Some(if *y > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        }),
        _ if is_number(a) && is_number(b) => decimal_cmp(&exact(a)?, &exact(b)?),
        _ => None,
    }
}

/// Whether the cell is a number.
#[must_use]
pub fn is_number(value: &Value) -> bool {
    matches!(
        value,
        Value::Int(_) | Value::UInt(_) | Value::Decimal(_) | Value::Float(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn decimals_are_added_and_subtracted_exactly() {
        for (a, b, sum, difference) in [
            ("0.1", "0.2", "0.3", "-0.1"),
            ("1.50", "-1.5", "0.00", "3.00"),
            ("-7", "10", "3", "-17"),
            ("0", "0", "0", "0"),
            (
                "99999999999999999999.99",
                "0.01",
                "100000000000000000000.00",
                "99999999999999999999.98",
            ),
            ("-0.05", "-0.05", "-0.10", "0.00"),
        ] {
            assert_eq!(
                decimal_add(&d(a), &d(b)).unwrap().as_str(),
                sum,
                "{a} + {b}"
            );
            assert_eq!(
                decimal_sub(&d(a), &d(b)).unwrap().as_str(),
                difference,
                "{a} - {b}"
            );
        }
        assert!(decimal_add(&d("NaN"), &d("1")).is_none());
    }

    #[test]
    fn decimals_are_multiplied_and_rounded() {
        assert_eq!(
            decimal_mul(&d("1.25"), &d("-0.4")).unwrap().as_str(),
            "-0.500"
        );
        assert_eq!(decimal_mul(&d("0"), &d("-9.9")).unwrap().as_str(), "0.0");
        for (number, scale, rounded) in [
            ("1.005", 2, "1.01"),
            ("-1.005", 2, "-1.01"),
            ("0.049", 1, "0.0"),
            ("0.05", 1, "0.1"),
            ("9.99", 0, "10"),
            ("0.6", 0, "1"),
            ("0.04", 0, "0"),
            ("2", 2, "2.00"),
        ] {
            assert_eq!(
                decimal_round(&d(number), scale).unwrap().as_str(),
                rounded,
                "{number}"
            );
        }
    }

    #[test]
    fn numbers_compare_across_types_without_rounding() {
        let big = 9_007_199_254_740_993_i64; // 2^53 + 1: no double holds it
        assert_eq!(
            compare(&Value::Int(big), &Value::Float(9_007_199_254_740_992.0)),
            Some(Ordering::Greater)
        );
        assert_eq!(
            compare(&Value::Decimal(d("0.1")), &Value::Float(0.1)),
            Some(Ordering::Less),
            "the double 0.1 is a little more than a tenth"
        );
        assert_eq!(
            compare(&Value::Int(-1), &Value::UInt(u64::MAX)),
            Some(Ordering::Less)
        );
        assert_eq!(
            compare(&Value::Float(f64::INFINITY), &Value::Int(1)),
            Some(Ordering::Greater)
        );
        assert_eq!(compare(&Value::Float(f64::NAN), &Value::Int(1)), None);
        assert_eq!(compare(&Value::Null, &Value::Int(1)), None);
        assert_eq!(compare(&Value::Text("1".into()), &Value::Int(1)), None);
    }
}
