//! The laws hold for the built-in strategies, and rules made to break them are caught.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::data::{LogicalType, Row, Value};
use crate::rule::{
    Conflict, Direction, FailureKind, Note, Resolve, Routed, RuleColumn, RuleError, RuleInfo,
    RuleTable, Severity, Transform, TransformTables, Validate, Verdict, builtin,
};

fn column(name: &str, logical: LogicalType, nullable: bool) -> RuleColumn {
    RuleColumn {
        name: name.to_owned(),
        declared_type: String::new(),
        logical,
        nullable,
    }
}

fn table() -> RuleTable {
    RuleTable {
        name: "items".to_owned(),
        columns: vec![
            column("id", LogicalType::Int, false),
            column("stock", LogicalType::Int, true),
            column("name", LogicalType::Text, true),
            column("price", LogicalType::Decimal, false),
            column("seen", LogicalType::TimestampUtc, true),
        ],
        key: vec![0],
    }
}

fn options() -> LawOptions {
    LawOptions {
        seed: 7,
        batches: 30,
        rows: 12,
    }
}

fn info(name: &str) -> RuleInfo {
    RuleInfo {
        name: name.to_owned(),
        version: "1".to_owned(),
        summary: String::new(),
        digest: None,
    }
}

/// A resolver made of a closure over the whole batch.
struct Made<F>(F);

impl<F> Resolve for Made<F>
where
    F: Fn(&[Conflict]) -> Vec<Verdict> + Send + Sync,
{
    fn describe(&self) -> RuleInfo {
        info("made")
    }

    fn resolve(&self, _: &RuleTable, conflicts: &[Conflict]) -> Result<Vec<Verdict>, RuleError> {
        Ok((self.0)(conflicts))
    }
}

fn outcome<'a>(report: &'a LawReport, law: &str) -> &'a Outcome {
    &report.laws.iter().find(|l| l.name == law).unwrap().outcome
}

/// The law fails, and in a batch of so many rows.
fn fails_with(report: &LawReport, law: &str, expected_rows: usize) -> String {
    match outcome(report, law) {
        Outcome::Failed { rows, message, .. } => {
            assert_eq!(*rows, expected_rows, "{report}");
            message.clone()
        }
        other => panic!("{law}: {other:?}"),
    }
}

#[test]
fn every_builtin_strategy_keeps_the_laws() {
    for name in builtin::NAMES {
        let rule = builtin::strategy(name, &serde_json::Value::Null).unwrap();
        let report = check_resolve(rule.as_ref(), &table(), &[], &options());
        assert!(report.passed(), "{report}");
    }
}

#[test]
fn the_reported_properties_tell_strategies_apart() {
    let holds = |name: &str, law: &str| {
        let rule = builtin::strategy(name, &serde_json::Value::Null).unwrap();
        let report = check_resolve(rule.as_ref(), &table(), &[], &options());
        outcome(&report, law).holds().unwrap()
    };
    assert!(!holds("source-wins", "mirror"));
    assert!(
        !holds("last-write-wins", "mirror"),
        "ties go to the preferred side"
    );
    assert!(holds("skip", "mirror"));
    assert!(holds("source-wins", "three-writers"));
    assert!(!holds("keep-both", "three-writers") || holds("park", "three-writers"));
}

#[test]
fn a_rule_that_counts_its_calls_is_not_deterministic() {
    let calls = AtomicU64::new(0);
    let rule = Made(|batch: &[Conflict]| {
        let odd = calls.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        vec![
            if odd {
                Verdict::Source
            } else {
                Verdict::Target
            };
            batch.len()
        ]
    });
    let report = check_resolve(&rule, &table(), &[], &options());
    let message = fails_with(&report, "determinism", 1);
    assert!(message.starts_with("conflict 1 was answered"), "{message}");
}

#[test]
fn a_rule_that_looks_at_its_neighbours_is_shown_with_two_rows() {
    // The first conflict of a batch decides for all.
    let rule = Made(|batch: &[Conflict]| {
        let deleted = batch[0].source.row.is_none();
        vec![
            if deleted {
                Verdict::Delete
            } else {
                Verdict::Target
            };
            batch.len()
        ]
    });
    let report = check_resolve(&rule, &table(), &[], &options());
    fails_with(&report, "split", 2);
    fails_with(&report, "order", 2);
    assert!(!report.passed());
}

#[test]
fn an_order_sensitive_merge_is_reported_with_its_three_writers() {
    // Takes the name from the source and everything else from the target: who comes first matters.
    let rule = Made(|batch: &[Conflict]| {
        batch
            .iter()
            .map(|c| match (&c.source.row, &c.target.row) {
                (Some(s), Some(t)) => {
                    let mut row = t.clone();
                    row[1] = s[2].clone();
                    row[2] = t[1].clone();
                    Verdict::Merged(row)
                }
                _ => Verdict::Source,
            })
            .collect()
    });
    let report = check_resolve(&rule, &table(), &[], &options());
    let Outcome::Reported {
        holds: false,
        message,
        example: Some(example),
    } = outcome(&report, "three-writers")
    else {
        panic!("{report}");
    };
    assert!(message.starts_with("merge(merge(a, b), c) is"), "{message}");
    assert!(example.contains("c = "), "{example}");
    fails_with(&report, "valid-answers", 1);
}

#[test]
fn wrong_answers_are_named() {
    type Answer = fn(&[Conflict]) -> Vec<Verdict>;
    let cases: [(Answer, &str); 4] = [
        (
            |_| Vec::new(),
            "1 conflicts were asked, 0 verdicts came back",
        ),
        (
            |b| vec![Verdict::Merged(vec![Value::Int(1)]); b.len()],
            "conflict 1: the merged row has 1 cells, table items has 5 columns",
        ),
        (
            |b| {
                let key = Value::Int(-7);
                b.iter()
                    .map(|c| {
                        let mut row = c
                            .source
                            .row
                            .clone()
                            .or_else(|| c.target.row.clone())
                            .unwrap();
                        row[0] = key.clone();
                        Verdict::Merged(row)
                    })
                    .collect()
            },
            "conflict 1: key column id became -7; a rule must leave the key as it is",
        ),
        (
            |b| {
                b.iter()
                    .map(|c| {
                        let mut row = c
                            .source
                            .row
                            .clone()
                            .or_else(|| c.target.row.clone())
                            .unwrap();
                        row[3] = Value::Null;
                        Verdict::Merged(row)
                    })
                    .collect()
            },
            "conflict 1: column price must not be NULL",
        ),
    ];
    for (rule, expected) in cases {
        let report = check_resolve(&Made(rule), &table(), &[], &options());
        assert_eq!(fails_with(&report, "valid-answers", 1), expected);
    }
}

#[test]
fn a_recorded_batch_is_tried_as_well() {
    let generated = check_resolve(
        &Made(|b: &[Conflict]| vec![Verdict::Source; b.len()]),
        &table(),
        &[],
        &options(),
    );
    assert!(generated.passed());
    let mut seeded = generate::Seeded::new(1);
    let mut recorded = generate::conflict(&mut seeded, &table(), 0);
    recorded.source.row = Some(vec![
        Value::Int(0),
        Value::Int(424_242),
        Value::Null,
        Value::Decimal("1".parse().unwrap()),
        Value::Null,
    ]);
    let rule = Made(|b: &[Conflict]| {
        b.iter()
            .map(|c| match &c.source.row {
                Some(row) if row[1] == Value::Int(424_242) => Verdict::Merged(Vec::new()),
                _ => Verdict::Source,
            })
            .collect()
    });
    let report = check_resolve(&rule, &table(), &[vec![recorded]], &options());
    fails_with(&report, "valid-answers", 1);
}

#[test]
fn the_report_reads_well() {
    let rule = Made(|batch: &[Conflict]| {
        let first_is_deleted = batch[0].source.row.is_none();
        vec![
            if first_is_deleted {
                Verdict::Delete
            } else {
                Verdict::Target
            };
            batch.len()
        ]
    });
    let small = RuleTable {
        name: "t".to_owned(),
        columns: vec![
            column("id", LogicalType::Int, false),
            column("v", LogicalType::Int, true),
        ],
        key: vec![0],
    };
    let report = check_resolve(
        &rule,
        &small,
        &[],
        &LawOptions {
            seed: 3,
            batches: 20,
            rows: 6,
        },
    );
    insta::assert_snapshot!(report.to_string(), @r#"
laws of made, resolve on table t (20 batches)
  passed     determinism
  FAILED     split: conflict 2 was answered delete and, cut after conflict 1, target
    the smallest batch that shows it:
      [[case]]
      kind = "delete_origin_differs"
      direction = "forward"
      base = { id = 1 }
      target = { id = 1 }
      expect = "delete"

      [[case]]
      kind = "update_origin_differs"
      direction = "forward"
      base = { id = 2 }
      source = { id = 2 }
      target = { id = 2 }
      expect = "delete"
  FAILED     order: conflict 1 was answered target and, in another order, delete
    the smallest batch that shows it:
      [[case]]
      kind = "update_origin_differs"
      direction = "forward"
      base = { id = 3 }
      source = { id = 3 }
      target = { id = 3 }
      expect = "target"

      [[case]]
      kind = "delete_origin_differs"
      direction = "forward"
      base = "unknown"
      target = { id = 5 }
      expect = "target"
  passed     idempotence
  passed     valid-answers
  differs    mirror: conflict 1 was answered target and, with its sides swapped, target
    the smallest batch that shows it:
      [[case]]
      kind = "update_origin_differs"
      direction = "forward"
      base = "unknown"
      source = { id = 5 }
      target = { id = 5, v = 100 }
      expect = "target"
  holds      three-writers: the order in which three writers meet does not matter
  what differs is no failure, but good to know of a rule
"#);
}

struct Reshape {
    lossy: bool,
    peeks: bool,
}

impl Transform for Reshape {
    fn describe(&self) -> RuleInfo {
        info("reshape")
    }

    fn transform(
        &self,
        _: &TransformTables,
        direction: Direction,
        _: usize,
        rows: &[Row],
    ) -> Result<Vec<Routed>, RuleError> {
        let columns = vec![0, 1];
        let to = usize::from(direction == Direction::Forward);
        let rows: Vec<Row> = rows
            .iter()
            .enumerate()
            .map(|(i, row)| {
                let mut row = row.clone();
                if self.lossy && direction == Direction::Forward {
                    row[1] = Value::from("x");
                }
                if self.peeks && i > 0 {
                    row[1] = Value::from("later");
                }
                row
            })
            .collect();
        Ok(vec![Routed {
            table: to,
            columns,
            origins: (0..rows.len()).collect(),
            rows,
        }])
    }
}

#[test]
fn transforms_are_tried_both_ways() {
    let one = |name: &str| RuleTable {
        name: name.to_owned(),
        columns: vec![
            column("id", LogicalType::Int, false),
            column("t", LogicalType::Text, true),
        ],
        key: vec![0],
    };
    let tables = TransformTables {
        source: one("here"),
        targets: vec![one("there")],
    };
    let check = |rule: &Reshape| check_transform(rule, &tables, &[], &options());
    let good = check(&Reshape {
        lossy: false,
        peeks: false,
    });
    assert!(good.passed(), "{good}");
    assert_eq!(outcome(&good, "round-trip").holds(), Some(true));
    let lossy = check(&Reshape {
        lossy: true,
        peeks: false,
    });
    assert!(lossy.passed(), "a lossy transform is legitimate: {lossy}");
    assert_eq!(outcome(&lossy, "round-trip").holds(), Some(false));
    let peeks = check(&Reshape {
        lossy: false,
        peeks: true,
    });
    assert_eq!(
        fails_with(&peeks, "split", 2),
        "row 2 of there has another t when cut after row 1"
    );
}

struct Duplicates;

impl Validate for Duplicates {
    fn describe(&self) -> RuleInfo {
        info("duplicates")
    }

    fn validate(&self, _: &RuleTable, rows: &[Row]) -> Result<Vec<Note>, RuleError> {
        Ok((1..rows.len())
            .filter(|&i| rows[..i].iter().any(|r| r[2] == rows[i][2]))
            .map(|row| Note {
                row,
                severity: Severity::Error,
                message: "again".to_owned(),
            })
            .collect())
    }
}

#[test]
fn a_validator_that_compares_rows_of_a_batch_is_caught() {
    let report = check_validate(&Duplicates, &table(), &[], &options());
    fails_with(&report, "split", 2);
}

struct Crashes;

impl Resolve for Crashes {
    fn describe(&self) -> RuleInfo {
        info("crashes")
    }

    fn resolve(
        &self,
        table: &RuleTable,
        conflicts: &[Conflict],
    ) -> Result<Vec<Verdict>, RuleError> {
        let bad = conflicts.iter().position(|c| c.target.row.is_none());
        match bad {
            None => Ok(vec![Verdict::Target; conflicts.len()]),
            Some(row) => Err(RuleError {
                kind: FailureKind::Trapped,
                rule: "crashes".to_owned(),
                version: "1".to_owned(),
                digest: None,
                function: "resolve",
                table: table.name.clone(),
                rows: row..row + 1,
                message: "no target".to_owned(),
            }),
        }
    }
}

#[test]
fn a_crash_is_a_wrong_answer_and_breaks_no_other_law() {
    let report = check_resolve(&Crashes, &table(), &[], &options());
    let failed: Vec<&str> = report
        .laws
        .iter()
        .filter(|l| matches!(l.outcome, Outcome::Failed { .. }))
        .map(|l| l.name)
        .collect();
    assert_eq!(failed, ["valid-answers"]);
    assert!(fails_with(&report, "valid-answers", 1).ends_with("trapped: no target"));
}
