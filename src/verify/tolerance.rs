//! How far apart numbers may be without being different.

use std::collections::BTreeMap;

use crate::data::{Row, Value};

use super::order::differing_columns;
use super::suspect::Suspect;

/// For some columns of a table, by how much the numbers of both sides may differ (absolutely).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tolerance(Vec<(usize, f64)>);

impl Tolerance {
    /// Of these columns, by name. Names that are none of the table's have no effect: whoever hands them
    /// over has looked.
    pub(super) fn new(columns: &[String], by_name: Option<&BTreeMap<String, f64>>) -> Self {
        let named = by_name.into_iter().flatten();
        Self(
            named
                .filter_map(|(name, most)| Some((columns.iter().position(|c| c == name)?, *most)))
                .collect(),
        )
    }

    /// Whether the two rows differ in nothing but what is tolerated.
    pub(super) fn allows(&self, suspect: &Suspect) -> bool {
        let (false, Some(source), Some(target)) =
            (self.0.is_empty(), &suspect.source, &suspect.target)
        else {
            return false;
        };
        differing_columns(source, target)
            .into_iter()
            .all(|column| self.is_near(column, source, target))
    }

    fn is_near(&self, column: usize, source: &Row, target: &Row) -> bool {
        let Some((_, most)) = self.0.iter().find(|(c, _)| *c == column) else {
            return false;
        };
        apart(&source[column], &target[column]).is_some_and(|apart| apart <= *most)
    }
}

/// How far apart two numbers are: whole numbers and decimals exactly, then as a double.
fn apart(a: &Value, b: &Value) -> Option<f64> {
    if let (Some((a, scale_a)), Some((b, scale_b))) = (scaled(a), scaled(b)) {
        let scale = scale_a.max(scale_b);
        let to = |v: i128, own: u32| v.checked_mul(10_i128.checked_pow(scale - own)?);
        if let (Some(a), Some(b)) = (to(a, scale_a), to(b, scale_b))
            && let Some(apart) = a.checked_sub(b)
        {
            // Read as it would be written: 0.1 is the double that is nearest to it.
            return format!("{}e-{scale}", apart.unsigned_abs()).parse().ok();
        }
    }
    Some((number(a)? - number(b)?).abs())
}

/// A whole number or decimal as digits without a point, and how many of them were behind it.
fn scaled(value: &Value) -> Option<(i128, u32)> {
    match value {
        Value::Int(v) => Some((i128::from(*v), 0)),
        Value::UInt(v) => Some((i128::from(*v), 0)),
        Value::Decimal(v) => {
            let text = v.normalized();
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let digits = format!("{whole}{fraction}").parse().ok()?;
            Some((digits, u32::try_from(fraction.len()).ok()?))
        }
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is tolerated is less exact"
        )]
        Value::Int(v) => Some(*v as f64),
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is tolerated is less exact"
        )]
        Value::UInt(v) => Some(*v as f64),
        Value::Float(v) => Some(*v),
        Value::Decimal(v) => v.as_str().parse().ok(),
        _ => None,
    }
}
