//! The laws: what every rule must keep to, tried on generated and on recorded batches.
//!
//! | law | says | a breach |
//! |---|---|---|
//! | `determinism` | asked twice, the same bytes (a WASM call is a fresh instance each time) | fails |
//! | `split` | a batch answered whole equals its two parts answered one by one | fails |
//! | `order` | permuted rows give permuted answers | fails |
//! | `idempotence` | the winner against itself stays the winner | fails |
//! | `valid-answers` | lengths, types, NULLs, key unchanged; no crash, no exhausted budget | fails |
//! | `mirror` | swapped sides give the mirrored choice and an equal row | is reported |
//! | `three-writers` | `merge(merge(a, b), c)` equals `merge(a, merge(b, c))` | is reported |
//! | `round-trip` | `backward(forward(row))` gives back the columns it sets | is reported |
//!
//! The reported ones are properties to know, not demands: a source-wins rule is legitimate. A row
//! that the rule rejects in so many words, or parks, is an answer and breaks nothing.
//!
//! A breach is shown with the **smallest batch** that still shows it: rows are taken away and
//! cells made plain as long as the breach stays. Batches come from a seed, so that the same seed
//! tries the same batches everywhere.

mod generate;
mod resolve;
mod route;
mod shrink;
mod transform;
mod validate;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

pub use resolve::check_resolve;
pub use route::check_route;
pub use transform::check_transform;
pub use validate::check_validate;

/// How many batches are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LawOptions {
    /// Where the batches come from.
    pub seed: u64,
    /// How many are generated, beside the recorded ones.
    pub batches: usize,
    /// Rows of each.
    pub rows: usize,
}

impl Default for LawOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            batches: 40,
            rows: 25,
        }
    }
}

/// What came out of one law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It held in every batch.
    Passed,
    /// It did not hold.
    Failed {
        /// What happened.
        message: String,
        /// Rows of the smallest batch that shows it.
        rows: usize,
        /// That batch, readable.
        example: String,
    },
    /// A property that may or may not hold.
    Reported {
        /// Whether it held in every batch.
        holds: bool,
        /// What that means, or what happened.
        message: String,
        /// The smallest batch that shows it does not hold, readable.
        example: Option<String>,
    },
    /// It could not be tried, and why.
    NotApplicable {
        /// Why.
        reason: String,
    },
}

/// One law and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LawResult {
    /// Its name, as in the table above.
    pub name: &'static str,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What the laws say about a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LawReport {
    /// The rule's name.
    pub rule: String,
    /// `resolve`, `transform`, `validate` or `route`.
    pub role: &'static str,
    /// The table that the rows were generated for; empty for routing.
    pub table: String,
    /// Batches that were tried, recorded ones included.
    pub batches: usize,
    /// The laws, in the order of the table above.
    pub laws: Vec<LawResult>,
}

impl LawReport {
    /// Whether no law failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self
            .laws
            .iter()
            .any(|l| matches!(l.outcome, Outcome::Failed { .. }))
    }
}

impl fmt::Display for LawReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "laws of {}, {}", self.rule, self.role)?;
        if !self.table.is_empty() {
            write!(f, " on table {}", self.table)?;
        }
        writeln!(f, " ({} batches)", self.batches)?;
        for law in &self.laws {
            let (word, text, example) = match &law.outcome {
                Outcome::Passed => ("passed", "", None),
                Outcome::Failed {
                    message, example, ..
                } => ("FAILED", message.as_str(), Some(example)),
                Outcome::Reported {
                    holds,
                    message,
                    example,
                } => (
                    if *holds { "holds" } else { "differs" },
                    message.as_str(),
                    example.as_ref(),
                ),
                Outcome::NotApplicable { reason } => ("not tried", reason.as_str(), None),
            };
            write!(f, "  {word:<9}  {}", law.name)?;
            if !text.is_empty() {
                write!(f, ": {}", indent(text, "    ").trim_start())?;
            }
            writeln!(f)?;
            if let Some(example) = example {
                writeln!(f, "    the smallest batch that shows it:")?;
                writeln!(f, "{}", indent(example, "      "))?;
            }
        }
        let differs =
            |law: &LawResult| matches!(law.outcome, Outcome::Reported { holds: false, .. });
        if self.laws.iter().any(differs) {
            writeln!(
                f,
                "  what differs is no failure, but good to know of a rule"
            )?;
        }
        Ok(())
    }
}

fn indent(text: &str, by: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("{by}{line}")
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A breach, before it is made small.
type Breach = Option<String>;

/// Tries a law on every batch; a breach is made small and shown.
fn law<T: Clone>(
    name: &'static str,
    batches: &[Vec<T>],
    simpler: impl Fn(&T) -> Vec<T>,
    show: impl Fn(&[T]) -> String,
    breach: impl Fn(&[T]) -> Breach,
) -> LawResult {
    let outcome = match first(batches, simpler, breach) {
        None => Outcome::Passed,
        Some((batch, message)) => Outcome::Failed {
            message,
            rows: batch.len(),
            example: show(&batch),
        },
    };
    LawResult { name, outcome }
}

/// Like [`law`], for a property that is only reported.
fn property<T: Clone>(
    name: &'static str,
    batches: &[Vec<T>],
    holds: &str,
    simpler: impl Fn(&T) -> Vec<T>,
    show: impl Fn(&[T]) -> String,
    breach: impl Fn(&[T]) -> Breach,
) -> LawResult {
    let outcome = match first(batches, simpler, breach) {
        None => Outcome::Reported {
            holds: true,
            message: holds.to_owned(),
            example: None,
        },
        Some((batch, message)) => Outcome::Reported {
            holds: false,
            message,
            example: Some(show(&batch)),
        },
    };
    LawResult { name, outcome }
}

fn first<T: Clone>(
    batches: &[Vec<T>],
    simpler: impl Fn(&T) -> Vec<T>,
    breach: impl Fn(&[T]) -> Breach,
) -> Option<(Vec<T>, String)> {
    let batch = batches.iter().find(|batch| breach(batch).is_some())?;
    let batch = shrink::shrink(batch.clone(), simpler, |b| breach(b).is_some());
    let message = breach(&batch)?;
    Some((batch, message))
}
