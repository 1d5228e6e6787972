use super::*;
use crate::data::{Generated, LogicalType, OtherValue};

fn schema(columns: &[(&str, &str, bool, Option<&str>)]) -> TableSchema {
    TableSchema {
        name: "t".to_owned(),
        columns: columns
            .iter()
            .map(|(name, declared, nullable, collation)| Column {
                name: (*name).to_owned(),
                declared_type: (*declared).to_owned(),
                logical: LogicalType::Any,
                nullable: *nullable,
                default: None,
                generated: Generated::No,
                collation: collation.map(str::to_owned),
            })
            .collect(),
        key: vec![0],
        unique: Vec::new(),
        foreign_keys: Vec::new(),
        without_rowid: false,
        strict: true,
        encoding: None,
        triggers: Vec::new(),
    }
}

fn request(order_by: &[&str]) -> ReadRequest {
    ReadRequest {
        table: "t".to_owned(),
        columns: vec!["a".to_owned()],
        order_by: order_by.iter().map(|c| (*c).to_owned()).collect(),
        ..ReadRequest::default()
    }
}

#[test]
fn integer_keys_use_their_index() {
    let schema = schema(&[("a", "int(11)", false, None), ("b", "int(11)", false, None)]);
    let mut wanted = request(&["a", "b"]);
    wanted.after = Some(Key(vec![Value::Int(1), Value::Int(2)]));
    wanted.limit = Some(10);
    let select = select(&schema, &wanted).unwrap();
    assert_eq!(
        select.sql,
        "SELECT `a` FROM `t` WHERE `a` >= ? AND ((`a` > ?) OR (`a` = ? AND `b` > ?)) \
         ORDER BY `a`, `b` LIMIT 10"
    );
    assert_eq!(select.parameters.len(), 4);
}

#[test]
fn texts_are_ordered_by_their_bytes() {
    for (collation, sql) in [
        (Some("utf8mb4_general_ci"), "CAST(`a` AS BINARY)"),
        (Some("utf8mb4_bin"), "CAST(`a` AS BINARY)"),
        (
            Some("latin1_bin"),
            "CAST(CONVERT(`a` USING utf8mb4) AS BINARY)",
        ),
        (None, "`a`"),
    ] {
        let schema = schema(&[("a", "varchar(9)", false, collation)]);
        let select = select(&schema, &request(&["a"])).unwrap();
        assert!(
            select.sql.ends_with(&format!("ORDER BY {sql}")),
            "{}",
            select.sql
        );
    }
}

#[test]
fn null_comes_first() {
    let schema = schema(&[("a", "int(11)", true, None)]);
    let sql = |after: Option<Value>, up_to: Option<Value>| {
        let mut wanted = request(&["a"]);
        wanted.after = after.map(|v| Key(vec![v]));
        wanted.up_to = up_to.map(|v| Key(vec![v]));
        select(&schema, &wanted).unwrap().sql
    };
    assert!(sql(Some(Value::Null), None).contains("WHERE `a` IS NOT NULL"));
    assert!(sql(None, Some(Value::Null)).contains("WHERE `a` IS NULL"));
    assert!(sql(None, Some(Value::Int(1))).contains("WHERE (`a` <= ? OR `a` IS NULL)"));
    // Numbers come before texts.
    assert!(sql(Some(Value::Text("x".into())), None).contains("WHERE FALSE"));
    assert!(sql(None, Some(Value::Text("x".into()))).contains("WHERE TRUE"));
}

#[test]
fn what_is_no_date_comes_last() {
    let schema = schema(&[("a", "date", false, None)]);
    let mut wanted = request(&["a"]);
    wanted.after = Some(Key(vec![Value::Other(Box::new(OtherValue {
        kind: "date".to_owned(),
        bytes: b"0000-00-00".to_vec(),
    }))]));
    let select = select(&schema, &wanted).unwrap();
    assert_eq!(
        select.parameters,
        [
            Wire::Int(1),
            Wire::Int(1),
            Wire::Int(1),
            Wire::Bytes(b"0000-00-00".to_vec())
        ]
    );
}

#[test]
fn bounds_that_have_no_place_are_refused() {
    let schema = schema(&[("a", "double", false, None)]);
    let mut wanted = request(&["a"]);
    wanted.after = Some(Key(vec![Value::Int(i64::MAX)]));
    assert_eq!(
        select(&schema, &wanted).unwrap_err().kind(),
        ErrorKind::Value
    );
    wanted.after = Some(Key(vec![Value::Int(3)]));
    assert_eq!(
        select(&schema, &wanted).unwrap().parameters,
        [Wire::Double(3.0)]
    );
}
