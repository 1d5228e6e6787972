//! Exact decimals of any precision and scale.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// An exact decimal as plain digits: `-0.0500`. Never an exponent, no leading zeros but one, no
/// plus sign, no minus on zero. The scale as written is kept; equality is by number: `1.0 == 1.00`.
/// `NaN`, `Infinity` and `-Infinity` (PostgreSQL `numeric`) are carried as such.
#[derive(Clone, Debug)]
pub struct Decimal(String);

impl Decimal {
    /// The text as described above.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of digits that are in the form described above already; what reads servers writes them so.
    #[must_use]
    pub(crate) fn of_plain(digits: String) -> Self {
        debug_assert_eq!(
            digits.parse::<Self>().map(|d| d.0).ok().as_deref(),
            Some(digits.as_str())
        );
        Self(digits)
    }

    /// The same number without trailing zeros of the fraction.
    #[must_use]
    pub fn trimmed(&self) -> Self {
        Self(self.normalized().into())
    }

    /// The text without trailing zeros of the fraction: equal numbers give equal texts.
    #[must_use]
    pub fn normalized(&self) -> &str {
        if !self.0.contains('.') {
            return &self.0;
        }
        self.0.trim_end_matches('0').trim_end_matches('.')
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.normalized() == other.normalized()
    }
}
impl Eq for Decimal {}
impl std::hash::Hash for Decimal {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.normalized().hash(state);
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Decimal {
    type Err = Error;

    /// Reads `[+-]digits[.digits]`, or the three special values; fails with
    /// [`ErrorKind::Value`] on anything else.
    fn from_str(text: &str) -> Result<Self, Error> {
        if matches!(text, "NaN" | "Infinity" | "-Infinity") {
            return Ok(Self(text.to_owned()));
        }
        let bad = || {
            Error::new(
                ErrorKind::Value,
                format!("{text:?} is not a decimal number"),
            )
        };
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty()
            || !whole
                .bytes()
                .chain(fraction.bytes())
                .all(|b| b.is_ascii_digit())
        {
            return Err(bad());
        }
        let whole = whole.trim_start_matches('0');
        let zero = whole.is_empty() && fraction.bytes().all(|b| b == b'0');
        let mut out = String::with_capacity(text.len() + 1);
        if negative && !zero {
            out.push('-');
        }
        out.push_str(if whole.is_empty() { "0" } else { whole });
        if !fraction.is_empty() {
            out.push('.');
            out.push_str(fraction);
        }
        Ok(Self(out))
    }
}
