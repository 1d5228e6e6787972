//! The laws of transforms.

use std::collections::BTreeMap;

use crate::data::{Row, canonical};
use crate::rule::{
    Direction, FailureKind, Routed, RuleError, Transform, TransformTables, answer, cases,
};

use super::generate::{self, Seeded};
use super::{Breach, LawOptions, LawReport, law, property};

/// Tries the laws on `rule` with generated rows of all of its tables, forward and backward, and
/// with `recorded` batches of source rows.
#[must_use]
pub fn check_transform(
    rule: &dyn Transform,
    tables: &TransformTables,
    recorded: &[Vec<Row>],
    options: &LawOptions,
) -> LawReport {
    let mut seeded = Seeded::new(options.seed);
    let mut forward: Vec<Vec<Sent>> = recorded
        .iter()
        .map(|rows| {
            rows.iter()
                .map(|row| Sent {
                    table: 0,
                    row: row.clone(),
                })
                .collect()
        })
        .collect();
    let mut generate = |table: usize| -> Vec<Vec<Sent>> {
        let Some(schema) = tables.get(table) else {
            return Vec::new();
        };
        (0..options.batches)
            .map(|_| {
                (0..options.rows.max(1))
                    .map(|n| Sent {
                        table,
                        row: generate::row(&mut seeded, schema, n),
                    })
                    .collect()
            })
            .collect()
    };
    forward.extend(generate(0));
    let mut all = forward.clone();
    for table in 1..=tables.targets.len() {
        all.extend(generate(table));
    }
    let laws = Laws { rule, tables };
    let simpler = |sent: &Sent| -> Vec<Sent> {
        tables.get(sent.table).map_or_else(Vec::new, |schema| {
            generate::simpler_row(schema, &sent.row)
                .into_iter()
                .map(|row| Sent {
                    table: sent.table,
                    row,
                })
                .collect()
        })
    };
    let show = |batch: &[Sent]| laws.show(batch);
    let seed = options.seed;
    LawReport {
        rule: rule.describe().name,
        role: "transform",
        table: tables.source.name.clone(),
        batches: all.len(),
        laws: vec![
            law("determinism", &all, simpler, show, |b| laws.determinism(b)),
            law("split", &all, simpler, show, |b| laws.split(b)),
            law("order", &all, simpler, show, |b| laws.order(b, seed)),
            law("valid-answers", &all, simpler, show, |b| laws.valid(b)),
            property(
                "round-trip",
                &forward,
                "what goes forward comes back as it was, in every column that the way back sets",
                simpler,
                show,
                |b| laws.round_trip(b),
            ),
        ],
    }
}

/// A row and the number of its table; all of a batch have the same.
#[derive(Clone, Debug)]
struct Sent {
    table: usize,
    row: Row,
}

/// What became of each input row: by origin and table, the columns and their cells as bytes.
type Became = BTreeMap<(usize, usize), BTreeMap<usize, Vec<u8>>>;

fn became(answer: &[Routed]) -> Became {
    let mut out = Became::new();
    for group in answer {
        for (row, &origin) in group.rows.iter().zip(&group.origins) {
            let cells = group
                .columns
                .iter()
                .zip(row)
                .map(|(&c, v)| (c, canonical::encode_exact(std::slice::from_ref(v))))
                .collect();
            out.insert((origin, group.table), cells);
        }
    }
    out
}

struct Laws<'a> {
    rule: &'a dyn Transform,
    tables: &'a TransformTables,
}

impl Laws<'_> {
    fn ask(&self, batch: &[Sent]) -> Result<Vec<Routed>, RuleError> {
        let table = batch.first().map_or(0, |sent| sent.table);
        let rows: Vec<Row> = batch.iter().map(|sent| sent.row.clone()).collect();
        self.rule
            .transform(self.tables, direction(table), table, &rows)
    }

    fn show(&self, batch: &[Sent]) -> String {
        batch
            .iter()
            .map(|sent| match self.tables.get(sent.table) {
                None => String::new(),
                Some(table) => format!(
                    "{} {}: {}",
                    direction(sent.table).as_str(),
                    table.name,
                    cases::show_row(table, &sent.row)
                ),
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn differ(&self, first: &Became, then: &Became, how: &str) -> Breach {
        let key = first
            .keys()
            .chain(then.keys())
            .find(|key| first.get(key) != then.get(key))?;
        let name = self.tables.get(key.1).map_or("?", |t| &t.name);
        Some(match (first.get(key), then.get(key)) {
            (Some(_), None) => format!("row {} of {name} is missing {how}", key.0 + 1),
            (None, _) => format!("row {} of {name} appears only {how}", key.0 + 1),
            (Some(a), Some(b)) => {
                let column = a
                    .keys()
                    .chain(b.keys())
                    .find(|c| a.get(c) != b.get(c))
                    .and_then(|&c| self.tables.get(key.1)?.columns.get(c))
                    .map_or("?", |c| &c.name);
                format!("row {} of {name} has another {column} {how}", key.0 + 1)
            }
        })
    }

    fn determinism(&self, batch: &[Sent]) -> Breach {
        match (self.ask(batch), self.ask(batch)) {
            (Ok(a), Ok(b)) => self
                .differ(&became(&a), &became(&b), "when asked again")
                .or_else(|| {
                    (a != b)
                        .then(|| "the rows came grouped differently when asked again".to_owned())
                }),
            (Err(a), Err(b)) if (a.kind, &a.message) == (b.kind, &b.message) => None,
            (Err(a), Err(b)) => Some(format!("failed with {a} and, asked again, with {b}")),
            (Ok(_), Err(e)) | (Err(e), Ok(_)) => Some(format!("failed only once of twice: {e}")),
        }
    }

    fn split(&self, batch: &[Sent]) -> Breach {
        if batch.len() < 2 {
            return None;
        }
        let whole = self.ask(batch);
        let mut cuts = vec![1, batch.len() / 2, batch.len() - 1];
        cuts.dedup();
        cuts.into_iter().find_map(|at| {
            let how = format!("when cut after row {at}");
            match (&whole, self.ask(&batch[..at]), self.ask(&batch[at..])) {
                (Ok(whole), Ok(a), Ok(b)) => {
                    let mut parts = became(&a);
                    parts.extend(
                        became(&b)
                            .into_iter()
                            .map(|((origin, table), cells)| ((origin + at, table), cells)),
                    );
                    self.differ(&became(whole), &parts, &how)
                }
                (Ok(_), Err(e), _) | (Ok(_), _, Err(e)) => Some(format!("failed only {how}: {e}")),
                (Err(e), Ok(_), Ok(_)) => Some(format!("failed whole, answered {how}: {e}")),
                (Err(_), _, _) => None,
            }
        })
    }

    fn order(&self, batch: &[Sent], seed: u64) -> Breach {
        if batch.len() < 2 {
            return None;
        }
        let whole = became(&self.ask(batch).ok()?);
        let reversed: Vec<usize> = (0..batch.len()).rev().collect();
        let shuffled = Seeded::new(seed ^ 0x0bad_cafe).permutation(batch.len());
        [reversed, shuffled].into_iter().find_map(|order| {
            let permuted: Vec<Sent> = order.iter().map(|&i| batch[i].clone()).collect();
            match self.ask(&permuted) {
                Err(e) => Some(format!("failed when the rows came in another order: {e}")),
                Ok(answer) => {
                    let back: Became = became(&answer)
                        .into_iter()
                        .filter_map(|((o, t), cells)| Some(((*order.get(o)?, t), cells)))
                        .collect();
                    self.differ(&whole, &back, "in another order")
                }
            }
        })
    }

    fn valid(&self, batch: &[Sent]) -> Breach {
        let table = batch.first().map_or(0, |sent| sent.table);
        match self.ask(batch) {
            Err(e) if e.kind == FailureKind::Rejected => None,
            Err(e) => Some(e.to_string()),
            Ok(answer) => {
                let rows: Vec<Row> = batch.iter().map(|sent| sent.row.clone()).collect();
                answer::routed(self.tables, direction(table), &rows, &answer)
                    .err()
                    .map(|w| match w.row {
                        Some(row) => format!("row {}: {}", row + 1, w.message),
                        None => w.message,
                    })
            }
        }
    }

    fn round_trip(&self, batch: &[Sent]) -> Breach {
        let answer = self.ask(batch).ok()?;
        answer.iter().find_map(|group| {
            let table = self.tables.get(group.table)?;
            // Only whole rows can be sent back: columns that were not set are not known here.
            if group.columns.len() != table.columns.len() {
                return None;
            }
            let mut place = vec![0; group.columns.len()];
            for (n, &c) in group.columns.iter().enumerate() {
                *place.get_mut(c)? = n;
            }
            let rows: Vec<Row> = group
                .rows
                .iter()
                .map(|row| place.iter().map(|&n| row[n].clone()).collect())
                .collect();
            let back = self
                .rule
                .transform(self.tables, Direction::Backward, group.table, &rows)
                .ok()?;
            back.iter().find_map(|came| {
                came.rows.iter().zip(&came.origins).find_map(|(row, &n)| {
                    let origin = *group.origins.get(n)?;
                    let sent = &batch.get(origin)?.row;
                    came.columns.iter().zip(row).find_map(|(&c, value)| {
                        let was = sent.get(c)?;
                        (was != value).then(|| {
                            format!(
                                "column {} of row {} was {was} and came back from table {} as {value}",
                                self.tables.source.columns.get(c).map_or("?", |c| &c.name),
                                origin + 1,
                                table.name
                            )
                        })
                    })
                })
            })
        })
    }
}

fn direction(table: usize) -> Direction {
    if table == 0 {
        Direction::Forward
    } else {
        Direction::Backward
    }
}
