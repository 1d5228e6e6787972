//! The laws of resolvers.

use crate::data::{Row, canonical};
use crate::rule::{
    Conflict, FailureKind, Resolve, RuleError, RuleTable, Side, Verdict, answer, cases,
};

use super::generate::{self, Seeded};
use super::{Breach, LawOptions, LawReport, LawResult, Outcome, law, property};

/// Tries the laws on `rule` with generated conflicts of `table` and with `recorded` batches, whose
/// rows must have the table's columns.
#[must_use]
pub fn check_resolve(
    rule: &dyn Resolve,
    table: &RuleTable,
    recorded: &[Vec<Conflict>],
    options: &LawOptions,
) -> LawReport {
    let mut seeded = Seeded::new(options.seed);
    let mut batches = recorded.to_vec();
    batches.extend((0..options.batches).map(|_| {
        (0..options.rows.max(1))
            .map(|n| generate::conflict(&mut seeded, table, n))
            .collect()
    }));
    let laws = Laws { rule, table };
    let simpler = |c: &Conflict| generate::simpler_conflict(table, c);
    let show = |batch: &[Conflict]| laws.show(batch);
    let order_seed = options.seed;
    let mut results = vec![
        law("determinism", &batches, simpler, show, |b| {
            laws.determinism(b)
        }),
        law("split", &batches, simpler, show, |b| laws.split(b)),
        law("order", &batches, simpler, show, |b| {
            laws.order(b, order_seed)
        }),
        law("idempotence", &batches, simpler, show, |b| {
            laws.idempotence(b)
        }),
        law("valid-answers", &batches, simpler, show, |b| laws.valid(b)),
        property(
            "mirror",
            &batches,
            "swapping the two sides changes nothing but the names",
            simpler,
            show,
            |b| laws.mirror(b),
        ),
    ];
    results.push(laws.three_writers(options, simpler));
    LawReport {
        rule: rule.describe().name,
        role: "resolve",
        table: table.name.clone(),
        batches: batches.len(),
        laws: results,
    }
}

struct Laws<'a> {
    rule: &'a dyn Resolve,
    table: &'a RuleTable,
}

/// The verdict as bytes: what it decides, its row bit for bit, and the reason it gives.
fn bytes(verdict: &Verdict) -> Vec<u8> {
    let (tag, rows, text): (u8, &[&Row], &str) = match verdict {
        Verdict::Source => (0, &[], ""),
        Verdict::Target => (1, &[], ""),
        Verdict::Merged(row) => (2, &[row], ""),
        Verdict::Delete => (3, &[], ""),
        Verdict::KeepBoth { row, other } => (4, &[row, other], ""),
        Verdict::Park(why) => (5, &[], why),
    };
    let mut out = vec![tag];
    for row in rows {
        out.extend(canonical::encode_exact(row));
    }
    out.extend_from_slice(text.as_bytes());
    out
}

fn equal(a: &[Verdict], b: &[Verdict]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| bytes(a) == bytes(b))
}

/// A verdict in a few words.
fn words(table: &RuleTable, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Source => "source".to_owned(),
        Verdict::Target => "target".to_owned(),
        Verdict::Delete => "delete".to_owned(),
        Verdict::Park(why) => format!("park ({why})"),
        Verdict::Merged(row) => format!("merged {}", cases::show_row(table, row)),
        Verdict::KeepBoth { row, .. } => {
            format!("keep both, first {}", cases::show_row(table, row))
        }
    }
}

/// The row that lives; `None` when nothing was decided.
fn winner(conflict: &Conflict, verdict: &Verdict) -> Option<Option<Row>> {
    match verdict {
        Verdict::Source => Some(conflict.source.row.clone()),
        Verdict::Target => Some(conflict.target.row.clone()),
        Verdict::Merged(row) | Verdict::KeepBoth { row, .. } => Some(Some(row.clone())),
        Verdict::Delete => Some(None),
        Verdict::Park(_) => None,
    }
}

fn same_failure(a: &RuleError, b: &RuleError) -> bool {
    (a.kind, &a.message, &a.rows) == (b.kind, &b.message, &b.rows)
}

impl Laws<'_> {
    fn ask(&self, batch: &[Conflict]) -> Result<Vec<Verdict>, RuleError> {
        self.rule.resolve(self.table, batch)
    }

    fn show(&self, batch: &[Conflict]) -> String {
        let answers = self.ask(batch).unwrap_or_default();
        batch
            .iter()
            .enumerate()
            .map(|(i, c)| cases::show_conflict(self.table, c, answers.get(i)))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn differ(&self, first: &[Verdict], then: &[Verdict], how: &str) -> Breach {
        if equal(first, then) {
            return None;
        }
        let at = first
            .iter()
            .zip(then)
            .position(|(a, b)| bytes(a) != bytes(b));
        Some(match at {
            Some(i) => format!(
                "conflict {} was answered {} and, {how}, {}",
                i + 1,
                words(self.table, &first[i]),
                words(self.table, &then[i])
            ),
            None => format!("{} verdicts and, {how}, {}", first.len(), then.len()),
        })
    }

    fn determinism(&self, batch: &[Conflict]) -> Breach {
        match (self.ask(batch), self.ask(batch)) {
            (Ok(a), Ok(b)) => self.differ(&a, &b, "asked again"),
            (Err(a), Err(b)) if same_failure(&a, &b) => None,
            (Err(a), Err(b)) => Some(format!("failed with {a} and, asked again, with {b}")),
            (Ok(_), Err(e)) | (Err(e), Ok(_)) => Some(format!("failed only once of twice: {e}")),
        }
    }

    fn split(&self, batch: &[Conflict]) -> Breach {
        if batch.len() < 2 {
            return None;
        }
        let whole = self.ask(batch);
        // The middle, and both ends: what depends on the first or last row shows there.
        let mut cuts = vec![1, batch.len() / 2, batch.len() - 1];
        cuts.dedup();
        cuts.into_iter().find_map(|at| {
            let (a, b) = (self.ask(&batch[..at]), self.ask(&batch[at..]));
            match (&whole, a, b) {
                (Ok(whole), Ok(mut a), Ok(b)) => {
                    a.extend(b);
                    self.differ(whole, &a, &format!("cut after conflict {at}"))
                }
                (Ok(_), Err(e), _) | (Ok(_), _, Err(e)) => Some(format!(
                    "answered whole, failed when cut after conflict {at}: {e}"
                )),
                (Err(e), Ok(_), Ok(_)) => Some(format!(
                    "failed whole, answered when cut after conflict {at}: {e}"
                )),
                (Err(_), _, _) => None,
            }
        })
    }

    fn order(&self, batch: &[Conflict], seed: u64) -> Breach {
        if batch.len() < 2 {
            return None;
        }
        let whole = self.ask(batch).ok()?;
        let reversed: Vec<usize> = (0..batch.len()).rev().collect();
        let shuffled = Seeded::new(seed ^ 0x0bad_cafe).permutation(batch.len());
        [reversed, shuffled].into_iter().find_map(|order| {
            let permuted: Vec<Conflict> = order.iter().map(|&i| batch[i].clone()).collect();
            match self.ask(&permuted) {
                Err(e) => Some(format!(
                    "failed when the conflicts came in another order: {e}"
                )),
                Ok(answers) => {
                    let mut back = vec![Verdict::Delete; batch.len()];
                    if answers.len() != batch.len() {
                        return self.differ(&whole, &answers, "in another order");
                    }
                    for (answer, &i) in answers.into_iter().zip(&order) {
                        back[i] = answer;
                    }
                    self.differ(&whole, &back, "in another order")
                }
            }
        })
    }

    fn idempotence(&self, batch: &[Conflict]) -> Breach {
        let answers = self.ask(batch).ok()?;
        batch
            .iter()
            .zip(&answers)
            .enumerate()
            .find_map(|(i, (conflict, verdict))| {
                // Two absent rows are never asked about, nor is a row of another shape.
                let row = winner(conflict, verdict)??;
                if row.len() != self.table.columns.len() {
                    return None;
                }
                let again = Conflict {
                    source: Side {
                        row: Some(row.clone()),
                        ..conflict.source.clone()
                    },
                    target: Side {
                        row: Some(row.clone()),
                        ..conflict.target.clone()
                    },
                    ..conflict.clone()
                };
                let answer = self.ask(std::slice::from_ref(&again)).ok()?;
                let second = winner(&again, answer.first()?)?;
                (second.as_ref() != Some(&row)).then(|| {
                    format!(
                        "conflict {} was won by {}; that row against itself gave {}",
                        i + 1,
                        cases::show_row(self.table, &row),
                        second.map_or_else(
                            || "delete".to_owned(),
                            |r| cases::show_row(self.table, &r)
                        ),
                    )
                })
            })
    }

    fn valid(&self, batch: &[Conflict]) -> Breach {
        match self.ask(batch) {
            Ok(answers) => answer::verdicts(self.table, batch, &answers)
                .err()
                .map(|w| match w.row {
                    Some(row) => format!("conflict {}: {}", row + 1, w.message),
                    None => w.message,
                }),
            Err(e) if e.kind == FailureKind::Rejected => None,
            Err(e) => Some(e.to_string()),
        }
    }

    fn mirror(&self, batch: &[Conflict]) -> Breach {
        let swapped: Vec<Conflict> = batch
            .iter()
            .map(|c| Conflict {
                direction: c.direction.reverse(),
                source: c.target.clone(),
                target: c.source.clone(),
                ..c.clone()
            })
            .collect();
        let (here, there) = (self.ask(batch).ok()?, self.ask(&swapped).ok()?);
        (0..batch.len()).find_map(|i| {
            let (a, b) = (here.get(i)?, there.get(i)?);
            (winner(&batch[i], a) != winner(&swapped[i], b)).then(|| {
                format!(
                    "conflict {} was answered {} and, with its sides swapped, {}",
                    i + 1,
                    words(self.table, a),
                    words(self.table, b)
                )
            })
        })
    }

    /// Merges the third writer's row into the outcome of the first two, and the other way round.
    /// A writer is a side: its row and its time.
    fn three_writers(
        &self,
        options: &LawOptions,
        simpler: impl Fn(&Conflict) -> Vec<Conflict>,
    ) -> LawResult {
        let mut seeded = Seeded::new(options.seed ^ 0x7777);
        // A triple is a pair of conflicts over one base: (a, b) and (·, c).
        let mut batches: Vec<Vec<(Conflict, Conflict)>> = Vec::new();
        for n in 0..options.batches.saturating_mul(4).min(400) {
            let first = generate::conflict(&mut seeded, self.table, n);
            let mut third = generate::conflict(&mut seeded, self.table, n);
            third.base.clone_from(&first.base);
            third.base_known = first.base_known;
            batches.push(vec![(first, third)]);
        }
        property(
            "three-writers",
            &batches,
            "the order in which three writers meet does not matter",
            |(first, third)| {
                let mut out: Vec<(Conflict, Conflict)> = simpler(first)
                    .into_iter()
                    .map(|f| (f, third.clone()))
                    .collect();
                out.extend(simpler(third).into_iter().map(|t| (first.clone(), t)));
                out
            },
            |batch| {
                batch
                    .iter()
                    .map(|(first, third)| {
                        let side = |name: &str, s: &Side| {
                            format!("{name} = {}", cases::show_side(self.table, s))
                        };
                        [
                            format!(
                                "base = {}",
                                cases::show_state(self.table, first.base.as_ref())
                            ),
                            side("a", &first.source),
                            side("b", &first.target),
                            side("c", &third.target),
                        ]
                        .join("\n")
                    })
                    .collect::<Vec<_>>()
                    .join("\n")
            },
            |batch| {
                batch.iter().find_map(|(first, third)| {
                    let (a, b, c) = (&first.source, &first.target, &third.target);
                    let left = self.merge(first, &self.merge(first, a, b)?, c)?;
                    let right = self.merge(first, a, &self.merge(first, b, c)?)?;
                    (left.row != right.row).then(|| {
                        format!(
                            "merge(merge(a, b), c) is {}, merge(a, merge(b, c)) is {}",
                            cases::show_state(self.table, left.row.as_ref()),
                            cases::show_state(self.table, right.row.as_ref())
                        )
                    })
                })
            },
        )
    }

    fn merge(&self, frame: &Conflict, a: &Side, b: &Side) -> Option<Side> {
        if a.row == b.row {
            return Some(Side {
                row: a.row.clone(),
                committed_us: later(a, b),
            });
        }
        let conflict = Conflict {
            source: a.clone(),
            target: b.clone(),
            ..frame.clone()
        };
        let answer = self.ask(std::slice::from_ref(&conflict)).ok()?;
        let verdict = answer.first()?;
        let committed_us = match verdict {
            Verdict::Source => a.committed_us,
            Verdict::Target => b.committed_us,
            _ => later(a, b),
        };
        Some(Side {
            row: winner(&conflict, verdict)?,
            committed_us,
        })
    }
}

fn later(a: &Side, b: &Side) -> Option<i64> {
    Some(a.committed_us?.max(b.committed_us?))
}

impl Outcome {
    /// Whether a reported property holds; `None` for anything else.
    #[must_use]
    pub fn holds(&self) -> Option<bool> {
        match self {
            Self::Reported { holds, .. } => Some(*holds),
            _ => None,
        }
    }
}
