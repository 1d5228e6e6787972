//! The laws of validators.

use crate::data::Row;
use crate::rule::{FailureKind, Note, RuleError, RuleTable, Validate, answer, cases};

use super::generate::{self, Seeded};
use super::{Breach, LawOptions, LawReport, law};

/// Tries the laws on `rule` with generated rows of `table` and with `recorded` batches.
#[must_use]
pub fn check_validate(
    rule: &dyn Validate,
    table: &RuleTable,
    recorded: &[Vec<Row>],
    options: &LawOptions,
) -> LawReport {
    let mut seeded = Seeded::new(options.seed);
    let mut batches = recorded.to_vec();
    batches.extend((0..options.batches).map(|_| {
        (0..options.rows.max(1))
            .map(|n| generate::row(&mut seeded, table, n))
            .collect()
    }));
    let ask = |rows: &[Row]| rule.validate(table, rows).map(sorted);
    let simpler = |row: &Row| generate::simpler_row(table, row);
    let show = |batch: &[Row]| {
        batch
            .iter()
            .map(|row| cases::show_row(table, row))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let seed = options.seed;
    LawReport {
        rule: rule.describe().name,
        role: "validate",
        table: table.name.clone(),
        batches: batches.len(),
        laws: vec![
            law("determinism", &batches, simpler, show, |b| {
                match (ask(b), ask(b)) {
                    (Ok(a), Ok(b)) => differ(&a, &b, "asked again"),
                    (Err(a), Err(b)) if (a.kind, &a.message) == (b.kind, &b.message) => None,
                    (Err(e), _) | (_, Err(e)) => Some(format!("answered two ways: {e}")),
                }
            }),
            law("split", &batches, simpler, show, |b| split(b, &ask)),
            law("order", &batches, simpler, show, |b| order(b, seed, &ask)),
            law("valid-answers", &batches, simpler, show, |b| match ask(b) {
                Ok(notes) => answer::notes(b.len(), &notes).err().map(|w| w.message),
                Err(e) if e.kind == FailureKind::Rejected => None,
                Err(e) => Some(e.to_string()),
            }),
        ],
    }
}

/// Asks the rule.
type Ask<'a> = &'a dyn Fn(&[Row]) -> Result<Vec<Note>, RuleError>;

/// Notes by row; those of one row in the order given.
fn sorted(mut notes: Vec<Note>) -> Vec<Note> {
    notes.sort_by_key(|n| n.row);
    notes
}

fn differ(first: &[Note], then: &[Note], how: &str) -> Breach {
    if first == then {
        return None;
    }
    let words = |notes: &[Note]| {
        notes
            .iter()
            .map(|n| format!("row {}: {}", n.row + 1, n.message))
            .collect::<Vec<_>>()
            .join("; ")
    };
    Some(format!(
        "noted [{}] and, {how}, [{}]",
        words(first),
        words(then)
    ))
}

fn split(rows: &[Row], ask: Ask<'_>) -> Breach {
    if rows.len() < 2 {
        return None;
    }
    let at = rows.len() / 2;
    let whole = ask(rows).ok()?;
    match (ask(&rows[..at]), ask(&rows[at..])) {
        (Ok(mut parts), Ok(rest)) => {
            parts.extend(rest.into_iter().map(|n| Note {
                row: n.row + at,
                ..n
            }));
            differ(&whole, &parts, &format!("cut after row {at}"))
        }
        (Err(e), _) | (_, Err(e)) => Some(format!("failed only when cut after row {at}: {e}")),
    }
}

fn order(rows: &[Row], seed: u64, ask: Ask<'_>) -> Breach {
    if rows.len() < 2 {
        return None;
    }
    let whole = ask(rows).ok()?;
    let reversed: Vec<usize> = (0..rows.len()).rev().collect();
    let shuffled = Seeded::new(seed ^ 0x0bad_cafe).permutation(rows.len());
    [reversed, shuffled].into_iter().find_map(|order| {
        let permuted: Vec<Row> = order.iter().map(|&i| rows[i].clone()).collect();
        match ask(&permuted) {
            Err(e) => Some(format!("failed when the rows came in another order: {e}")),
            Ok(notes) => {
                let back = notes
                    .into_iter()
                    .filter_map(|n| {
                        Some(Note {
                            row: *order.get(n.row)?,
                            ..n
                        })
                    })
                    .collect();
                differ(&whole, &sorted(back), "in another order")
            }
        }
    })
}
