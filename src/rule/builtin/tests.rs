//! What the strategies answer, and that every one is deterministic, symmetric and idempotent.

use proptest::prelude::{
    BoxedStrategy, Just, Strategy as Generator, any, prop_assert, prop_assert_eq, prop_oneof,
};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::json;

use super::*;
use crate::data::{LogicalType, Row, Value};
use crate::rule::{Conflict, ConflictKind, Direction, RuleColumn, RuleTable, Side, Verdict};

const CASES: u32 = 10_000;

fn table() -> RuleTable {
    let column = |name: &str, logical| RuleColumn {
        name: name.to_owned(),
        declared_type: String::new(),
        logical,
        nullable: true,
    };
    RuleTable {
        name: "items".to_owned(),
        columns: vec![
            column("id", LogicalType::Int),
            column("stock", LogicalType::Int),
            column("price", LogicalType::Decimal),
            column("weight", LogicalType::Float),
            column("name", LogicalType::Text),
            column("seen", LogicalType::TimestampUtc),
        ],
        key: vec![0],
    }
}

fn row(stock: i64, price: &str, weight: f64, name: &str, seen: i64) -> Row {
    vec![
        Value::Int(1),
        Value::Int(stock),
        Value::Decimal(price.parse().unwrap()),
        Value::Float(weight),
        Value::from(name),
        Value::TimestampUtc(seen),
    ]
}

fn side(row: Option<Row>, committed_us: Option<i64>) -> Side {
    Side { row, committed_us }
}

fn conflict(base: Option<Row>, source: Option<Row>, target: Option<Row>) -> Conflict {
    Conflict {
        kind: ConflictKind::UpdateOriginDiffers,
        direction: Direction::Forward,
        base,
        base_known: true,
        source: side(source, Some(10)),
        target: side(target, Some(20)),
    }
}

fn ask_with(name: &str, settings: &serde_json::Value, conflict: &Conflict) -> Verdict {
    strategy(name, settings)
        .unwrap()
        .resolve(&table(), std::slice::from_ref(conflict))
        .unwrap()
        .remove(0)
}

fn ask(name: &str, conflict: &Conflict) -> Verdict {
    ask_with(name, &serde_json::Value::Null, conflict)
}

// ------------------------------------------------------------------------------------------------

fn cell(column: usize) -> BoxedStrategy<Value> {
    let decimal = |t: &str| Value::Decimal(t.parse().unwrap());
    let some: Vec<Value> = match column {
        1 => vec![
            Value::Int(0),
            Value::Int(1),
            Value::Int(-3),
            Value::Int(i64::MAX),
            Value::Int(i64::MIN),
            Value::UInt(u64::MAX),
            Value::from("many"),
        ],
        2 => vec![
            decimal("1.5"),
            decimal("1.50"),
            decimal("-0.05"),
            decimal("NaN"),
            Value::Int(2),
        ],
        3 => vec![
            Value::Float(0.1),
            Value::Float(0.2),
            Value::Float(-0.0),
            Value::Float(0.0),
            Value::Float(1e308),
            Value::Float(f64::NAN),
            Value::Int(1),
            Value::Float(1.0),
        ],
        4 => vec![Value::from(""), Value::from("a"), Value::from("b")],
        _ => vec![
            Value::TimestampUtc(0),
            Value::TimestampUtc(7),
            Value::Int(7),
        ],
    };
    prop_oneof![1 => Just(Value::Null), 6 => proptest::sample::select(some)].boxed()
}

fn any_row() -> BoxedStrategy<Option<Row>> {
    let cells = (cell(1), cell(2), cell(3), cell(4), cell(5));
    prop_oneof![
        1 => Just(None),
        5 => cells.prop_map(|(a, b, c, d, e)| Some(vec![Value::Int(1), a, b, c, d, e])),
    ]
    .boxed()
}

fn any_time() -> BoxedStrategy<Option<i64>> {
    prop_oneof![1 => Just(None), 3 => (0_i64..3).prop_map(Some)].boxed()
}

/// Triples in which equal rows, unchanged sides and equal or missing times are common.
fn any_conflict() -> impl Generator<Value = Conflict> {
    (
        any_row(),
        any_row(),
        any_row(),
        0_u8..10,
        any_time(),
        any_time(),
        any::<bool>(),
        proptest::bool::weighted(0.8),
        proptest::sample::select(ConflictKind::ALL),
    )
        .prop_map(
            |(base, source, target, like, at_source, at_target, forward, base_known, kind)| {
                let (source, target) = match like {
                    0 => (base.clone(), target),
                    1 => (source, base.clone()),
                    2 => (source.clone(), source),
                    _ => (source, target),
                };
                Conflict {
                    kind,
                    direction: if forward {
                        Direction::Forward
                    } else {
                        Direction::Backward
                    },
                    base,
                    base_known,
                    source: side(source, at_source),
                    target: side(target, at_target),
                }
            },
        )
}

fn mirror(conflict: &Conflict) -> Conflict {
    Conflict {
        direction: conflict.direction.reverse(),
        source: conflict.target.clone(),
        target: conflict.source.clone(),
        ..conflict.clone()
    }
}

fn mirrored(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Source => Verdict::Target,
        Verdict::Target => Verdict::Source,
        other => other,
    }
}

/// The row that lives; the reason of a park is for people and may name the sides in their order.
fn outcome(conflict: &Conflict, verdict: &Verdict) -> Result<Option<Row>, &'static str> {
    match verdict {
        Verdict::Source => Ok(conflict.source.row.clone()),
        Verdict::Target => Ok(conflict.target.row.clone()),
        Verdict::Merged(row) | Verdict::KeepBoth { row, .. } => Ok(Some(row.clone())),
        Verdict::Delete => Ok(None),
        Verdict::Park(_) => Err("parked"),
    }
}

/// Every strategy with every setting that changes its decisions, and its mirror image.
fn variants() -> Vec<(
    &'static str,
    serde_json::Value,
    &'static str,
    serde_json::Value,
)> {
    let mut out = Vec::new();
    for &name in NAMES {
        let image = match name {
            "source-wins" => "target-wins",
            "target-wins" => "source-wins",
            other => other,
        };
        let known = super::strategy::Strategy::from_name(name)
            .unwrap()
            .settings();
        if !known.contains(&"prefer") {
            out.push((name, json!({}), image, json!({})));
            continue;
        }
        let otherwise: &[(&str, &str)] = if known.contains(&"otherwise") {
            &[
                ("last-write-wins", "last-write-wins"),
                ("first-write-wins", "first-write-wins"),
                ("source-wins", "target-wins"),
                ("skip", "skip"),
                ("park", "park"),
            ]
        } else {
            &[("", "")]
        };
        for (here, there) in otherwise {
            let with = |prefer: &str, otherwise: &str| {
                if otherwise.is_empty() {
                    json!({ "prefer": prefer })
                } else {
                    json!({ "prefer": prefer, "otherwise": otherwise })
                }
            };
            out.push((name, with("source", here), image, with("target", there)));
        }
    }
    out
}

fn holds(
    law: &str,
    check: impl Fn(&dyn Resolve, &dyn Resolve, &Conflict) -> Result<(), TestCaseError>,
) {
    let variants = variants();
    for (name, settings, image, image_settings) in &variants {
        let here = strategy(name, settings).unwrap();
        let there = strategy(image, image_settings).unwrap();
        let mut runner = TestRunner::new(Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&any_conflict(), |conflict| {
                check(here.as_ref(), there.as_ref(), &conflict)
            })
            .unwrap_or_else(|e| panic!("{name} {settings}: {law}: {e}"));
    }
}

fn one(rule: &dyn Resolve, conflict: &Conflict) -> Verdict {
    rule.resolve(&table(), std::slice::from_ref(conflict))
        .unwrap()
        .remove(0)
}

#[test]
fn every_strategy_answers_the_same_twice() {
    holds("determinism", |rule, _, conflict| {
        prop_assert_eq!(one(rule, conflict), one(rule, conflict));
        Ok(())
    });
}

#[test]
fn swapped_sides_give_the_mirrored_answer_and_the_same_row() {
    holds("symmetry", |rule, image, conflict| {
        let swapped = mirror(conflict);
        let (here, there) = (one(rule, conflict), one(image, &swapped));
        prop_assert_eq!(outcome(conflict, &here), outcome(&swapped, &there));
        let equal = conflict.source.row == conflict.target.row;
        match (here, there) {
            (Verdict::Park(_), Verdict::Park(_)) => {}
            (Verdict::Source, Verdict::Source) if equal => {}
            (here, there) => prop_assert_eq!(here, mirrored(there)),
        }
        Ok(())
    });
}

#[test]
fn the_winner_against_itself_stays_the_winner() {
    holds("idempotence", |rule, _, conflict| {
        let verdict = one(rule, conflict);
        if let Ok(winner) = outcome(conflict, &verdict) {
            let again = Conflict {
                source: side(winner.clone(), conflict.source.committed_us),
                target: side(winner.clone(), conflict.target.committed_us),
                ..conflict.clone()
            };
            prop_assert_eq!(outcome(&again, &one(rule, &again)), Ok(winner));
        }
        Ok(())
    });
}

#[test]
fn merged_rows_keep_the_key_and_take_cells_from_nowhere_else() {
    holds("key and cells", |rule, _, conflict| {
        let adds = rule.describe().name == "add-deltas";
        if let Verdict::Merged(row) = one(rule, conflict) {
            let (source, target) = (
                conflict.source.row.as_ref().unwrap(),
                conflict.target.row.as_ref().unwrap(),
            );
            prop_assert_eq!(&row[0], &source[0]);
            prop_assert_eq!(row.len(), source.len());
            for (i, cell) in row.iter().enumerate() {
                prop_assert!(
                    adds || *cell == source[i] || *cell == target[i],
                    "column {}",
                    i
                );
            }
        }
        Ok(())
    });
}

// ------------------------------------------------------------------------------------------------

#[test]
fn an_unknown_time_is_never_the_oldest() {
    let (s, t) = (row(1, "1", 0.0, "s", 0), row(2, "1", 0.0, "t", 0));
    for (at_source, at_target) in [
        (None, Some(5)),
        (Some(5), None),
        (None, None),
        (Some(5), Some(5)),
    ] {
        let mut c = conflict(None, Some(s.clone()), Some(t.clone()));
        c.source.committed_us = at_source;
        c.target.committed_us = at_target;
        for name in ["last-write-wins", "first-write-wins"] {
            assert_eq!(ask(name, &c), Verdict::Source);
            assert_eq!(
                ask_with(name, &json!({"prefer": "target"}), &c),
                Verdict::Target
            );
        }
    }
}

#[test]
fn a_delete_has_a_time_like_any_other_write() {
    let base = row(1, "1", 0.0, "b", 0);
    let c = conflict(Some(base), None, Some(row(2, "1", 0.0, "t", 0)));
    assert_eq!(ask("last-write-wins", &c), Verdict::Target);
    assert_eq!(ask("first-write-wins", &c), Verdict::Source);
    assert_eq!(ask("merge-columns", &c), Verdict::Target);
    assert_eq!(
        ask_with("merge-columns", &json!({"otherwise": "source-wins"}), &c),
        Verdict::Source
    );
    assert_eq!(
        ask_with("merge-columns", &json!({"otherwise": "park"}), &c),
        Verdict::Park("the row was deleted on one side and changed on the other".into())
    );
    assert_eq!(ask("keep-both", &c), Verdict::Target);
    assert_eq!(ask("keep-both", &mirror(&c)), Verdict::Source);
}

#[test]
fn a_side_that_did_not_move_loses() {
    let base = row(1, "1", 0.0, "b", 0);
    let mut c = conflict(Some(base.clone()), None, Some(base));
    c.target.committed_us = Some(99);
    for name in ["merge-columns", "add-deltas", "max", "min", "keep-both"] {
        assert_eq!(ask(name, &c), Verdict::Source, "{name}: the delete wins");
    }
    c.base_known = false;
    assert_eq!(
        ask("merge-columns", &c),
        Verdict::Target,
        "nothing says that it did not move"
    );
}

#[test]
fn columns_merge_three_ways() {
    let base = row(1, "1", 0.0, "b", 0);
    let mut c = conflict(
        Some(base),
        Some(row(5, "1", 0.0, "s", 0)),
        Some(row(1, "2", 0.0, "t", 0)),
    );
    assert_eq!(
        ask("merge-columns", &c),
        Verdict::Merged(row(5, "2", 0.0, "t", 0)),
        "name was changed on both sides: the target is later"
    );
    assert_eq!(
        ask_with("merge-columns", &json!({"otherwise": "park"}), &c),
        Verdict::Park(
            "column name was changed on both sides: \"s\" at the source, \"t\" at the target"
                .into()
        )
    );
    c.base_known = false;
    assert_eq!(ask("merge-columns", &c), Verdict::Target);
}

#[test]
fn counters_add_up_exactly_or_park() {
    let base = row(10, "1.10", 1.0, "b", 0);
    let c = conflict(
        Some(base.clone()),
        Some(row(7, "1.20", 1.5, "s", 0)),
        Some(row(15, "1.35", 1.25, "b", 0)),
    );
    assert_eq!(
        ask("add-deltas", &c),
        Verdict::Merged(row(12, "1.45", 1.75, "s", 0))
    );
    assert_eq!(
        ask_with("add-deltas", &json!({"columns": ["stock"]}), &c),
        Verdict::Merged(row(12, "1.35", 1.25, "s", 0)),
        "the others go to the later side"
    );
    let over = conflict(
        Some(base),
        Some(row(i64::MAX, "1.10", 1.0, "b", 0)),
        Some(row(11, "1.10", 1.0, "b", 0)),
    );
    let Verdict::Park(why) = ask("add-deltas", &over) else {
        panic!("must park")
    };
    assert_eq!(
        why,
        "column stock: 10 changed to 9223372036854775807 at the source and to 11 at the target; \
         their sum leaves the range of 64-bit integers"
    );
    let unknown = Conflict {
        base_known: false,
        ..over
    };
    assert_eq!(ask("add-deltas", &unknown), Verdict::Target);
}

#[test]
fn max_and_min_choose_by_column() {
    let c = conflict(
        None,
        Some(row(7, "1.20", -1.5, "a", 9)),
        Some(row(5, "1.35", 1.25, "b", 3)),
    );
    assert_eq!(
        ask("max", &c),
        Verdict::Merged(row(7, "1.35", 1.25, "b", 9))
    );
    assert_eq!(
        ask("min", &c),
        Verdict::Merged(row(5, "1.20", -1.5, "a", 3))
    );
    assert_eq!(
        ask_with("max", &json!({"columns": ["seen"]}), &c),
        Verdict::Merged(row(5, "1.35", 1.25, "b", 9))
    );
}

#[test]
fn both_rows_stay_and_the_later_keeps_the_key() {
    let (s, t) = (row(1, "1", 0.0, "s", 0), row(2, "1", 0.0, "t", 0));
    let c = conflict(None, Some(s.clone()), Some(t.clone()));
    assert_eq!(ask("keep-both", &c), Verdict::KeepBoth { row: t, other: s });
}

#[test]
fn skip_leaves_the_receiving_side_alone() {
    let c = conflict(None, Some(row(1, "1", 0.0, "s", 0)), None);
    assert_eq!(ask("skip", &c), Verdict::Target);
    let back = Conflict {
        direction: Direction::Backward,
        ..c
    };
    assert_eq!(ask("skip", &back), Verdict::Source);
}

#[test]
fn equal_rows_are_never_parked() {
    let r = Some(row(1, "1", 0.0, "s", 0));
    assert_eq!(ask("park", &conflict(None, r.clone(), r)), Verdict::Source);
}

#[test]
fn wrong_names_and_settings_say_what_is_allowed() {
    let error = |name: &str, settings| format!("{:?}", strategy(name, &settings).err().unwrap());
    insta::assert_snapshot!(error("last_write_win", json!(null)), @r#"
    Config: "last_write_win" is no built-in strategy
    hint: did you mean "last-write-wins"?
    hint: the built-in strategies are last-write-wins, first-write-wins, source-wins, target-wins, merge-columns, add-deltas, max, min, keep-both, skip, park
    "#);
    insta::assert_snapshot!(error("add-deltas", json!({"colums": ["a"]})), @r#"
    Config: settings of strategy add-deltas: unknown setting "colums"
    hint: did you mean "columns"?
    hint: its settings are columns, otherwise, prefer
    "#);
    insta::assert_snapshot!(error("park", json!({"prefer": "source"})), @r#"
    Config: settings of strategy park: unknown setting "prefer"
    hint: this strategy has no settings
    "#);
    insta::assert_snapshot!(error("max", json!({"otherwise": "merge-columns"})), @r#"Config: settings of strategy max: otherwise must be one of last-write-wins, first-write-wins, source-wins, target-wins, skip, park, found "merge-columns""#);
}

#[test]
fn a_column_that_the_table_lacks_is_a_failure_of_the_configuration() {
    let c = conflict(None, None, Some(row(1, "1", 0.0, "s", 0)));
    for (column, message) in [
        (
            "stok",
            "columns names \"stok\", which table items does not have",
        ),
        (
            "id",
            "columns names \"id\", which belongs to the key of table items",
        ),
    ] {
        let rule = strategy("max", &json!({"columns": [column]})).unwrap();
        let error = rule
            .resolve(&table(), std::slice::from_ref(&c))
            .unwrap_err();
        assert_eq!(error.message, message);
        assert_eq!(error.kind, crate::rule::FailureKind::Fatal);
    }
}
