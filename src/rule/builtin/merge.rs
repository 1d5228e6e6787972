//! Merging two rows column by column.

use std::cmp::Ordering;

use crate::data::{Row, Value};
use crate::rule::{RuleTable, number};

use super::side::Winner;

/// What happens in a column that the strategy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    ThreeWay,
    AddDeltas,
    Larger,
    Smaller,
}

/// Two rows with the same key, and what they had in common, if that is known.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    pub(super) table: &'a RuleTable,
    /// The columns that `rule` is for; `None`: all that fit. The key is never merged.
    pub(super) columns: Option<&'a [usize]>,
    pub(super) rule: Rule,
    pub(super) base: Option<&'a [Value]>,
    pub(super) source: &'a [Value],
    pub(super) target: &'a [Value],
}

/// A cell decided, or left to the strategy behind.
enum Cell {
    Is(Value),
    Open,
}

impl Merge<'_> {
    /// The merged row, or why a person must decide. `otherwise` says which side's cell stands
    /// where both changed it, `None` for a person.
    pub(super) fn row(&self, otherwise: impl Fn() -> Option<Winner>) -> Result<Row, String> {
        self.source
            .iter()
            .zip(self.target)
            .enumerate()
            .map(|(i, (source, target))| {
                if source == target {
                    return Ok(source.clone());
                }
                match self.cell(i, source, target)? {
                    Cell::Is(value) => Ok(value),
                    Cell::Open => match otherwise() {
                        Some(Winner::Source) => Ok(source.clone()),
                        Some(Winner::Target) => Ok(target.clone()),
                        None => Err(format!(
                            "column {} was changed on both sides: {source} at the source, {target} \
                             at the target",
                            self.name(i)
                        )),
                    },
                }
            })
            .collect()
    }

    fn name(&self, column: usize) -> &str {
        self.table.columns.get(column).map_or("?", |c| &c.name)
    }

    fn cell(&self, column: usize, source: &Value, target: &Value) -> Result<Cell, String> {
        let base = self.base.and_then(|row| row.get(column));
        let ordered = matches!(self.rule, Rule::Larger | Rule::Smaller);
        let chosen = self.columns.is_none_or(|c| c.contains(&column));
        if chosen && ordered {
            let larger = match number::compare(source, target) {
                Some(Ordering::Equal) => return Ok(Cell::Open),
                Some(order) => Some(order == Ordering::Greater),
                None => None,
            };
            if let Some(source_is_larger) = larger {
                let source_wins = source_is_larger == (self.rule == Rule::Larger);
                return Ok(Cell::Is(if source_wins { source } else { target }.clone()));
            }
        }
        let Some(base) = base else {
            return Ok(Cell::Open);
        };
        if base == source {
            return Ok(Cell::Is(target.clone()));
        }
        if base == target {
            return Ok(Cell::Is(source.clone()));
        }
        if chosen
            && self.rule == Rule::AddDeltas
            && let Some(sum) = add_deltas(base, source, target)
        {
            return sum.map(Cell::Is).map_err(|what| {
                format!(
                    "column {}: {base} changed to {source} at the source and to {target} at the \
                     target; their sum {what}",
                    self.name(column)
                )
            });
        }
        Ok(Cell::Open)
    }
}

/// `base + (source - base) + (target - base)`. `None`: these are not all numbers that add up
/// exactly; `Err`: they are, but nothing of their type can hold the sum.
fn add_deltas(base: &Value, source: &Value, target: &Value) -> Option<Result<Value, &'static str>> {
    use Value as V;
    let cells = [base, source, target];
    if let [Some(base), Some(source), Some(target)] = cells.map(integer) {
        let sum = source + target - base;
        let unsigned = cells.iter().all(|v| matches!(v, V::UInt(_)));
        return Some(if unsigned {
            u64::try_from(sum)
                .map(V::UInt)
                .map_err(|_| "leaves the range of the column")
        } else {
            i64::try_from(sum)
                .map(V::Int)
                .map_err(|_| "leaves the range of 64-bit integers")
        });
    }
    if let [V::Float(base), V::Float(source), V::Float(target)] = cells {
        // The two deltas first: addition commutes, so that swapped sides give the same bits.
        let sum = base + ((source - base) + (target - base));
        return Some(if sum.is_finite() {
            Ok(V::Float(sum))
        } else {
            Err("is not a finite number")
        });
    }
    if cells.iter().any(|v| matches!(v, V::Float(_))) {
        return None;
    }
    let [base, source, target] = cells.map(number::exact);
    let sum = number::decimal_add(&source?, &target?)?;
    Some(Ok(V::Decimal(number::decimal_sub(&sum, &base?)?)))
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(v) => Some(i128::from(*v)),
        Value::UInt(v) => Some(i128::from(*v)),
        _ => None,
    }
}
