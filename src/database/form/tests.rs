//! Every type of the published table with its edges, there and back.

mod edges;
mod refused;

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use crate::data::canonical::encode_exact;
use crate::data::{Column, Generated, LogicalType, TableSchema, Value};
use crate::database::Engine::{self, Sqlite};
use crate::database::create::mappings::MAPPINGS;
use crate::database::create::types;
use crate::database::sqlite::SqliteStoredForm;
use crate::rule::mapping::StoredForm;

use super::{ColumnForm, ServerStoredForm};

/// A column of one engine, alone.
pub(super) struct Side {
    column: Column,
    form: Box<dyn StoredForm>,
}

pub(super) fn side(engine: Engine, declared: &str) -> Side {
    let column = Column {
        name: "c".to_owned(),
        declared_type: declared.to_owned(),
        logical: logical(engine, declared),
        nullable: true,
        default: None,
        generated: Generated::No,
        collation: None,
    };
    let schema = TableSchema {
        name: "t".to_owned(),
        columns: vec![column.clone()],
        key: Vec::new(),
        unique: Vec::new(),
        foreign_keys: Vec::new(),
        without_rowid: false,
        strict: false,
        encoding: None,
        triggers: Vec::new(),
    };
    let form: Box<dyn StoredForm> = match engine {
        Sqlite => Box::new(SqliteStoredForm::new(&schema, &[0])),
        server => Box::new(ServerStoredForm::of(server, &schema, &[0])),
    };
    Side { column, form }
}

/// As SQLite's introspection finds it.
fn logical(engine: Engine, declared: &str) -> LogicalType {
    match (engine, declared) {
        (Sqlite, "BOOLEAN") => LogicalType::Bool,
        (Sqlite, "DATE") => LogicalType::Date,
        (Sqlite, "TIME") => LogicalType::Time,
        (Sqlite, "DATETIME") => LogicalType::Timestamp,
        (Sqlite, "UUID") => LogicalType::Uuid,
        (Sqlite, "JSON") => LogicalType::Json,
        (Sqlite, "NUMERIC") => LogicalType::Decimal,
        (Sqlite, "INTEGER") => LogicalType::Int,
        (Sqlite, "BLOB") => LogicalType::Bytes,
        (Sqlite, "REAL") => LogicalType::Float,
        (Sqlite, "TEXT") => LogicalType::Text,
        _ => LogicalType::Any,
    }
}

impl Side {
    /// Whether it is a value that the column gives back.
    pub(super) fn holds(&self, value: &Value) -> bool {
        // To the last digit of a decimal: 1.5 is none of a column that gives back 1.50.
        self.take(value.clone())
            .is_some_and(|held| encode_exact(&[held]) == encode_exact(std::slice::from_ref(value)))
    }

    pub(super) fn take(&self, value: Value) -> Option<Value> {
        self.form.try_stored(0, value).ok()
    }

    /// What `to` holds for a value of this side, as `carry` of the mapping decides it.
    pub(super) fn carry(&self, to: &Self, value: &Value) -> Option<Value> {
        let held = to.take(value.clone())?;
        let same = held == *value || self.form.as_stored(0, held.clone()) == *value;
        same.then_some(held)
    }

    /// The column that the published table has for this one.
    pub(super) fn created(&self, from: Engine, to: Engine) -> Self {
        let (_, sql_type) = types::target(from, to, false, &self.column).unwrap();
        side(to, &sql_type)
    }
}

/// Whatever is tried with any pair: nothing but what comes back gets across, and no two values get
/// across as one.
fn check_pair(from: &Side, to: &Side, values: &[Value]) {
    // To the last digit: a column of decimals without a scale holds 1.0 beside 1.
    let mut carried: HashMap<Vec<u8>, &Value> = HashMap::new();
    for value in values.iter().filter(|v| from.holds(v)) {
        let Some(held) = from.carry(to, value) else {
            continue;
        };
        let what = format!(
            "{} → {}: {value} became {held}",
            from.column.declared_type, to.column.declared_type
        );
        assert!(to.holds(&held), "{what}, which is not held");
        assert_eq!(to.carry(from, &held).as_ref(), Some(value), "{what}");
        if let Some(other) = carried.insert(encode_exact(&[held]), value) {
            assert_eq!(other, value, "{what}, and so did {other}");
        }
    }
}

#[test]
fn every_type_of_the_table_gets_there_and_back() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for edges::Type {
        engine,
        declared,
        values,
        refused,
    } in edges::types()
    {
        let from = side(engine, declared);
        let others = || Engine::ALL.into_iter().filter(|e| *e != engine);
        for to_engine in others() {
            let mapping = types::target(engine, to_engine, false, &from.column)
                .unwrap()
                .0;
            seen.insert(format!("{engine} {} {:?}", mapping.name, mapping.when));
            let to = from.created(engine, to_engine);
            let all = values.iter().chain(refused.iter().map(|(v, _)| v));
            check_pair(&from, &to, &all.clone().cloned().collect::<Vec<_>>());
            for value in all {
                assert!(
                    from.holds(value),
                    "{engine} {declared} does not hold {value}"
                );
                let refuses = refused
                    .iter()
                    .any(|(v, engines)| v == value && engines.contains(&to_engine));
                if from.carry(&to, value).is_none() != refuses {
                    wrong.push(format!(
                        "{engine} {declared} → {}: {value} should {}be refused",
                        to.column.declared_type,
                        if refuses { "" } else { "not " }
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for mapping in MAPPINGS {
        let row = format!("{} {} {:?}", mapping.from, mapping.name, mapping.when);
        assert!(seen.contains(&row), "no test for {row}");
    }
}

#[test]
fn any_two_columns_agree_on_the_values_of_all() {
    let sides: Vec<Side> = edges::all_types().map(|(e, d)| side(e, d)).collect();
    let values: Vec<Value> = edges::values();
    for from in &sides {
        for to in &sides {
            check_pair(from, to, &values);
        }
    }
}

#[test]
fn what_a_column_gives_back_it_holds() {
    let values: Vec<Value> = edges::values();
    for (engine, declared) in edges::all_types() {
        let side = side(engine, declared);
        assert!(side.holds(&Value::Null), "{declared}");
        for value in &values {
            if let Some(held) = side.take(value.clone()) {
                assert!(side.holds(&held), "{declared}: {value} → {held}");
            }
        }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ a-c\u{0}ä😀]{0,6}",
        "-?[0-9]{1,4}(\\.[0-9]{1,4})?",
        "-?[0-9](\\.[0-9])?e[+-]?[0-9]{1,2}",
        "[01]{1,12}",
        "[0-9]{4}-[01][0-9]-[0-3][0-9]( [0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{6})?)?Z?",
        "\\{?\"?[ab]{0,2}\"?: ?[0-9.]{0,3}\\}?",
        "\\[?[0-9]{1,2}(,[0-9]{1,2})?[\\]\\)]?",
        "\\PC{0,8}",
        "[-+(\\[{\"]?[0-9a,.:/ä \\\\{}\"$-]{0,8}[)}\\]\"]?",
        "-?[0-9]{0,20}[-:. ][0-9]{0,20}[-:., ][0-9]{0,20}",
        "(true|false|t|f|NULL|null|infinity|NaN|x,y|y,x|x)",
    ];
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-300_i64..300).prop_map(Value::Int),
        any::<u64>().prop_map(Value::UInt),
        any::<f64>().prop_map(Value::Float),
        any::<f32>().prop_map(|v| Value::Float(f64::from(v))),
        (-300_i32..300).prop_map(|v| Value::Float(f64::from(v) / 4.0)),
        "-?[0-9]{1,25}(\\.[0-9]{1,12})?".prop_map(|v| Value::Decimal(v.parse().unwrap())),
        text.clone().prop_map(Value::Text),
        text.prop_map(Value::Json),
        proptest::collection::vec(any::<u8>(), 0..18).prop_map(Value::Bytes),
        any::<i32>().prop_map(Value::Date),
        (-1_000_000_i32..4_000_000).prop_map(Value::Date),
        (-900_i64..900).prop_map(|v| Value::Time(v * 3_600_500_000)),
        any::<i64>().prop_map(Value::Timestamp),
        (-900_000_i64..9_000_000).prop_map(|v| Value::Timestamp(v * 43_200_500_000)),
        (-9_000_i64..90_000).prop_map(|v| Value::TimestampUtc(v * 43_200_500_000)),
        any::<[u8; 16]>().prop_map(Value::Uuid),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_two_values_get_across_as_one(
        from in proptest::sample::select(edges::all_types().collect::<Vec<_>>()),
        to in proptest::sample::select(edges::all_types().collect::<Vec<_>>()),
        mut values in proptest::collection::vec(any_value(), 1..60),
    ) {
        let (from, to) = (side(from.0, from.1), side(to.0, to.1));
        // What both sides make of them as well, so that many of them are held.
        let here: Vec<Value> = values.iter().filter_map(|v| from.take(v.clone())).collect();
        let there: Vec<Value> = values.iter().filter_map(|v| to.take(v.clone())).collect();
        values.extend(there.iter().filter_map(|v| from.take(v.clone())));
        values.extend(here);
        check_pair(&from, &to, &values);
    }
}

#[test]
fn zeros_that_another_server_adds_are_taken_off() {
    let side = |declared| ServerStoredForm::new(vec![ColumnForm::postgres_type(declared)]);
    let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
    let shown = |value: Value| match value {
        Value::Decimal(v) => v.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let long = "0.400000000000000000000000000000";
    let free = side("numeric");
    assert_eq!(shown(free.as_stored(0, decimal(long))), long);
    let facing = free.facing(Engine::Mysql);
    assert_eq!(shown(facing.as_stored(0, decimal(long))), "0.4");
    assert_eq!(shown(facing.as_stored(0, decimal("100.00"))), "100");
    // A scale of the column's own stays.
    let scaled = side("numeric(10,2)").facing(Engine::Mysql);
    assert_eq!(shown(scaled.as_stored(0, decimal("1.5"))), "1.50");
}
