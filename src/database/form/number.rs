//! Numbers: which a column can hold, and what the numbers of other types are there.

use crate::data::{Decimal, Value};

/// What a column of exact decimals holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DecimalForm {
    /// All digits and those behind the point (PostgreSQL: may be negative); `None`: as many as
    /// PostgreSQL can hold.
    pub(super) size: Option<(i64, i64)>,
    /// Whether it has no sign.
    pub(super) unsigned: bool,
    /// Whether it may be NaN, which no column of MySQL can; without a size infinite as well.
    pub(super) special: bool,
}

/// What a column of floats holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FloatForm {
    /// Whether it has 32 bits.
    pub(super) single: bool,
    /// Whether it may be NaN, infinite or negative zero (MariaDB makes zero of that).
    pub(super) special: bool,
    /// Whether it has no sign.
    pub(super) unsigned: bool,
    /// MySQL: all digits and those behind the point, to which it rounds.
    pub(super) size: Option<(i64, i64)>,
}

/// PostgreSQL's most digits before and behind the point.
const DIGITS_MOST: (usize, usize) = (131_072, 16_383);

/// One number, one case.
pub(super) fn integer(v: i128) -> Option<Value> {
    i64::try_from(v)
        .map(Value::Int)
        .or_else(|_| u64::try_from(v).map(Value::UInt))
        .ok()
}

/// The whole number that a value is.
pub(super) fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Int(v) => Some(i128::from(*v)),
        Value::UInt(v) => Some(i128::from(*v)),
        Value::Bool(v) => Some(i128::from(*v)),
        Value::Decimal(v) => v.normalized().parse().ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number below 2^64 fits"
        )]
        Value::Float(v) if v.fract() == 0.0 && v.abs() < 2_f64.powi(64) && !negative_zero(*v) => {
            Some(*v as i128)
        }
        Value::Text(v) => v.parse::<i128>().ok().filter(|n| n.to_string() == *v),
        _ => None,
    }
}

fn negative_zero(v: f64) -> bool {
    v == 0.0 && v.is_sign_negative()
}

/// The decimal that a value is; of a float the shortest that is read as that float.
pub(super) fn decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Decimal(v) => Some(v.clone()),
        Value::Int(v) => v.to_string().parse().ok(),
        Value::UInt(v) => v.to_string().parse().ok(),
        Value::Bool(v) => u8::from(*v).to_string().parse().ok(),
        Value::Float(v) if negative_zero(*v) => None,
        Value::Float(v) => float_digits(*v).parse().ok(),
        Value::Text(v) => v.parse::<Decimal>().ok().filter(|d| d.as_str() == v),
        _ => None,
    }
}

fn float_digits(v: f64) -> String {
    if v.is_nan() {
        "NaN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        v.to_string()
    }
}

/// The float that a value is exactly, or that it is the shortest text of.
pub(super) fn float(value: &Value) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "compared afterwards")]
    let exact = |v: i128| {
        let float = v as f64;
        (whole(&Value::Float(float)) == Some(v)).then_some(float)
    };
    match value {
        Value::Float(v) => Some(*v),
        Value::Int(v) => exact(i128::from(*v)),
        Value::UInt(v) => exact(i128::from(*v)),
        Value::Bool(v) => Some(f64::from(u8::from(*v))),
        Value::Decimal(v) => {
            let float = special_float(v.as_str()).or_else(|| v.as_str().parse().ok())?;
            (decimal(&Value::Float(float)).as_ref() == Some(v)).then_some(float)
        }
        Value::Text(v) => special_float(v).or_else(|| {
            let digits = v.strip_prefix('-').unwrap_or(v);
            let plain = digits.starts_with(|c: char| c.is_ascii_digit())
                && v.bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
            plain
                .then(|| v.parse().ok())
                .flatten()
                .filter(|v: &f64| v.is_finite())
        }),
        _ => None,
    }
}

fn special_float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// A float as text: `1.0`, `1e300`, `NaN`, `-Infinity`.
pub(in crate::database) fn float_text(v: f64) -> String {
    if v.is_finite() {
        format!("{v:?}")
    } else {
        float_digits(v)
    }
}

impl DecimalForm {
    /// The number with as many digits behind the point as the column gives back.
    pub(super) fn held(&self, v: &Decimal) -> Option<Decimal> {
        match v.as_str() {
            "NaN" => return self.special.then(|| v.clone()),
            "Infinity" | "-Infinity" => {
                return (self.special && self.size.is_none()).then(|| v.clone());
            }
            _ => {}
        }
        let (negative, digits) = match v.as_str().strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, v.as_str()),
        };
        if negative && self.unsigned {
            return None;
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let Some((precision, scale)) = self.size else {
            let fits = whole.len() <= DIGITS_MOST.0 && fraction.len() <= DIGITS_MOST.1;
            return fits.then(|| v.clone());
        };
        let significant = fraction.trim_end_matches('0');
        let places = usize::try_from(scale).unwrap_or(0);
        if significant.len() > places {
            return None;
        }
        // All digits, in units of the last place.
        let mut unscaled = format!("{whole}{significant}");
        if scale >= 0 {
            unscaled.extend(std::iter::repeat_n('0', places - significant.len()));
        } else {
            let zeros = usize::try_from(-scale).ok()?;
            let kept = unscaled.len().saturating_sub(zeros);
            if unscaled[kept..].bytes().any(|b| b != b'0') {
                return None;
            }
            unscaled.truncate(kept);
        }
        let used = unscaled.trim_start_matches('0').len();
        if i64::try_from(used).ok()? > precision {
            return None;
        }
        if fraction.len() == places {
            return Some(v.clone());
        }
        let sign = if negative { "-" } else { "" };
        let point = if places > 0 { "." } else { "" };
        format!("{sign}{whole}{point}{significant:0<places$}")
            .parse()
            .ok()
    }
}

impl FloatForm {
    /// The float, if the column holds exactly that.
    pub(super) fn held(&self, v: f64) -> Option<f64> {
        if v.is_nan() {
            return self.special.then_some(f64::NAN);
        }
        if v.is_infinite() {
            return self.special.then_some(v);
        }
        if v.is_sign_negative() && (self.unsigned || !self.special && v == 0.0) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "compared afterwards")]
        let stored = |v: f64| {
            if self.single { f64::from(v as f32) } else { v }
        };
        if stored(v).to_bits() != v.to_bits() {
            return None;
        }
        if let Some((digits, places)) = self.size {
            let power = |n: i64| i32::try_from(n).ok().map(|n| 10_f64.powi(n));
            let unit = power(places)?;
            let most = power(digits - places)? - 1.0 / unit;
            let rounded = (v * unit).round_ties_even() / unit;
            if v.abs() > most || stored(rounded).to_bits() != v.to_bits() {
                return None;
            }
        }
        Some(v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_within_their_size() {
        let held = |size, text: &str| {
            DecimalForm {
                size,
                unsigned: false,
                special: true,
            }
            .held(&text.parse().unwrap())
            .map(|d| d.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(held(Some((10, 2)), "1.5"), some("1.50"));
        assert_eq!(held(Some((10, 2)), "1.500"), some("1.50"));
        assert_eq!(held(Some((10, 2)), "1.005"), None);
        assert_eq!(held(Some((10, 2)), "99999999.99"), some("99999999.99"));
        assert_eq!(held(Some((10, 2)), "100000000"), None);
        assert_eq!(held(Some((2, 2)), "0.99"), some("0.99"));
        assert_eq!(held(Some((2, 2)), "1.00"), None);
        assert_eq!(held(Some((2, 5)), "0.00099"), some("0.00099"));
        assert_eq!(held(Some((2, 5)), "0.00123"), None);
        assert_eq!(held(Some((3, -2)), "-12300"), some("-12300"));
        assert_eq!(held(Some((3, -2)), "12345"), None);
        assert_eq!(held(Some((3, -2)), "0"), some("0"));
        assert_eq!(held(Some((3, 0)), "12.0"), some("12"));
        assert_eq!(held(None, "1.500"), some("1.500"));
        assert_eq!(held(None, "NaN"), some("NaN"));
        assert_eq!(held(Some((3, 0)), "NaN"), some("NaN"));
        assert_eq!(held(Some((3, 0)), "Infinity"), None);
        assert_eq!(held(None, "-Infinity"), some("-Infinity"));
    }

    #[test]
    fn numbers_of_other_types() {
        assert_eq!(whole(&Value::Float(-0.0)), None);
        assert_eq!(whole(&Value::Float(1e30)), None);
        assert_eq!(whole(&Value::from("007")), None);
        assert_eq!(whole(&Value::from("-7")), Some(-7));
        assert_eq!(whole(&Value::Decimal("7.00".parse().unwrap())), Some(7));
        assert_eq!(float(&Value::Int((1 << 53) + 1)), None);
        assert_eq!(float(&Value::Int(1 << 60)), Some(2_f64.powi(60)));
        assert_eq!(float(&Value::Decimal("0.1".parse().unwrap())), Some(0.1));
        assert_eq!(
            float(&Value::Decimal("0.10000000000000001".parse().unwrap())),
            None
        );
        assert_eq!(float(&Value::from("inf")), None);
        assert_eq!(float(&Value::from("1e999")), None);
        assert_eq!(decimal(&Value::Float(1e-7)).unwrap().as_str(), "0.0000001");
    }
}
