//! Tables that a rule reshapes or splits, and values that a store holds in another form.

use std::sync::Arc;

use banyan::data::{Row, Value};
use banyan::rule::mapping::{RowFilter, StoredForm};
use banyan::rule::{Direction, Routed, RuleError, RuleInfo, Transform, TransformTables};
use banyan::verify::{Level, VerifyRequest, verify};

use super::memory::MemoryStore;
use super::support::{ONCE, counts, int, mapping, run, side, text, transformed};

/// Splits (id, name, city) into people (id, name) and places (-id, city); drops ids over 1000.
struct Split {
    negate: bool,
}

impl Transform for Split {
    fn describe(&self) -> RuleInfo {
        RuleInfo {
            name: "split".into(),
            version: "1".into(),
            summary: String::new(),
            digest: None,
        }
    }

    fn transform(
        &self,
        _: &TransformTables,
        direction: Direction,
        _: usize,
        rows: &[Row],
    ) -> Result<Vec<Routed>, RuleError> {
        assert_eq!(direction, Direction::Forward);
        let mut people = Routed {
            table: 1,
            columns: vec![0, 1],
            origins: vec![],
            rows: vec![],
        };
        let mut places = Routed {
            table: 2,
            columns: vec![1, 0],
            origins: vec![],
            rows: vec![],
        };
        for (i, row) in rows.iter().enumerate() {
            let Value::Int(id) = row[0] else { panic!() };
            if id <= 1000 {
                people.origins.push(i);
                people.rows.push(vec![int(id), row[1].clone()]);
                places.origins.push(i);
                places.rows.push(vec![
                    row[2].clone(),
                    int(if self.negate { -id } else { id }),
                ]);
            }
        }
        Ok(vec![people, places])
    }
}

fn stores(negate: bool) -> (MemoryStore, MemoryStore) {
    let name = |i: i64| text(&format!("name {i}"));
    let city = |i: i64| text(&format!("city {}", i % 7));
    let sign = if negate { -1 } else { 1 };
    let source = MemoryStore::new("monolith", 50).with(
        "customers",
        &["id", "name", "city"],
        &[0],
        (0..1010).map(|i| vec![int(i), name(i), city(i)]).collect(),
    );
    let target = MemoryStore::new("service", 30)
        .with(
            "people",
            &["id", "name"],
            &[0],
            (0..=1000).map(|i| vec![int(i), name(i)]).collect(),
        )
        .with(
            "places",
            &["id", "city"],
            &[0],
            (0..=1000).map(|i| vec![int(i * sign), city(i)]).collect(),
        );
    (source, target)
}

#[test]
fn each_table_of_a_split_is_compared() {
    for negate in [false, true] {
        let (source, target) = stores(negate);
        let mappings = [transformed(
            side("customers", &["id", "name", "city"], &[0]),
            vec![
                side("people", &["id", "name"], &[0]),
                side("places", &["id", "city"], &[0]),
            ],
            Split { negate },
        )];
        for level in [Level::Count, Level::Hash, Level::Full] {
            let report = run(&source, &target, &mappings, level, ONCE);
            assert!(report.consistent, "{report}");
            assert_eq!(report.tables.len(), 2);
            assert_eq!(report.tables[1].rows_source, 1001);
        }
        target.edit(|tables| {
            tables.get_mut("people").unwrap().rows[3][1] = text("wrong");
            tables.get_mut("places").unwrap().rows.remove(10);
            tables
                .get_mut("places")
                .unwrap()
                .rows
                .push(vec![int(5000), text("nowhere")]);
        });
        for level in [Level::Hash, Level::Full] {
            let report = run(&source, &target, &mappings, level, ONCE);
            assert_eq!(counts(&report), (0, 0, 1));
            assert_eq!(report.tables[1].missing_on_target, Some(1));
            assert_eq!(report.tables[1].extra_on_target, Some(1));
            assert_eq!(report.differences.len(), 3);
            // Keys that come out in another order are sorted; others are not.
            let strategy = if negate { "sort-merge" } else { "merge" };
            assert_eq!(report.tables[1].strategy, strategy);
        }
    }
}

/// The target's first column holds integers: digits become numbers.
struct Digits;

impl StoredForm for Digits {
    fn as_stored(&self, column: usize, value: Value) -> Value {
        match value {
            Value::Text(v) if column == 0 => v.parse().map_or(Value::Text(v), Value::Int),
            other => other,
        }
    }

    fn is_identity(&self) -> bool {
        false
    }
}

/// A column of text where [`Digits`] has one of numbers.
struct Texts;

impl StoredForm for Texts {
    fn as_stored(&self, column: usize, value: Value) -> Value {
        match value {
            Value::Int(v) if column == 0 => Value::Text(v.to_string()),
            other => other,
        }
    }

    fn is_identity(&self) -> bool {
        false
    }
}

#[test]
fn values_are_compared_in_the_form_the_target_holds() {
    // As text '10' comes before '9'; as numbers it does not.
    let source = MemoryStore::new("a", 3).with(
        "t",
        &["id", "v"],
        &[0],
        (0..30)
            .map(|i| vec![text(&i.to_string()), int(i)])
            .collect(),
    );
    let target = MemoryStore::new("b", 4).with(
        "t",
        &["id", "v"],
        &[0],
        (0..30).map(|i| vec![int(i), int(i)]).collect(),
    );
    let mut stored = mapping("t", &["id", "v"], &[0]);
    stored.source.stored = Some(Arc::new(Texts));
    stored.targets[0].stored = Some(Arc::new(Digits));
    assert!(run(&source, &target, &[stored.clone()], Level::Full, ONCE).consistent);
    target.edit(|t| t.get_mut("t").unwrap().rows[9][1] = int(10));
    let report = run(&source, &target, &[stored], Level::Hash, ONCE);
    assert_eq!(counts(&report), (0, 0, 1));
    assert_eq!(report.differences[0].key["id"], 9);
}

struct Even;

impl RowFilter for Even {
    fn matches(&self, row: &[Value]) -> Result<bool, String> {
        match row[0] {
            Value::Int(v) => Ok(v % 2 == 0),
            _ => Err("the id is no integer".into()),
        }
    }
}

#[test]
fn a_filter_that_the_store_cannot_evaluate_is_applied_here() {
    let rows: Vec<Row> = (0..20).map(|i| vec![int(i)]).collect();
    let source = MemoryStore::new("a", 3).with("t", &["id"], &[0], rows);
    let target = MemoryStore::new("b", 3).with(
        "t",
        &["id"],
        &[0],
        (0..10).map(|i| vec![int(2 * i)]).collect(),
    );
    let mut even = mapping("t", &["id"], &[0]);
    even.filter = Some(Arc::new(Even));
    for level in [Level::Count, Level::Hash, Level::Full] {
        assert!(run(&source, &target, &[even.clone()], level, ONCE).consistent);
    }
    source.edit(|t| t.get_mut("t").unwrap().rows.push(vec![text("x")]));
    let mappings = [even];
    let error = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(verify(VerifyRequest::new(&source, &target, &mappings)))
        .unwrap_err();
    assert_eq!(error.kind(), banyan::error::ErrorKind::Rule);
    assert!(
        error.to_string().contains("the id is no integer"),
        "{error}"
    );
}
