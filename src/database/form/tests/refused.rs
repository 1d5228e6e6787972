//! What a column refuses, and what it makes of values of other types.

use super::edges::{dec, int, json, other, text};
use super::side;
use crate::data::Value;
use crate::database::Engine::{self, Mysql, Postgres};

fn takes(engine: Engine, declared: &str, value: Value) -> Option<Value> {
    side(engine, declared).take(value)
}

#[test]
fn what_would_be_rounded_cut_off_or_normalised_is_refused() {
    for (engine, declared, value) in [
        (Postgres, "smallint", int(32_768)),
        (Postgres, "integer", Value::Float(0.5)),
        (Postgres, "integer", Value::UInt(u64::MAX)),
        (Postgres, "boolean", int(2)),
        (Postgres, "numeric(10,2)", dec("1.005")),
        (Postgres, "numeric(10,2)", dec("Infinity")),
        (Postgres, "real", Value::Float(0.1)),
        (Postgres, "real", Value::Float(1e300)),
        (Postgres, "double precision", int(i64::MAX)),
        (Postgres, "character varying(3)", text("abcd")),
        (Postgres, "character varying(3)", text("abc ")),
        (Postgres, "text", text("a\0")),
        (Postgres, "text", Value::Bytes(vec![1])),
        (Postgres, "name", text("x".repeat(64))),
        (
            Postgres,
            "timestamp(3) without time zone",
            Value::Timestamp(1),
        ),
        (
            Postgres,
            "timestamp without time zone",
            Value::TimestampUtc(0),
        ),
        (Postgres, "timestamp with time zone", Value::Timestamp(0)),
        (
            Postgres,
            "timestamp with time zone",
            text("2024-01-01 00:00:00"),
        ),
        (Postgres, "time without time zone", Value::Time(-1)),
        (Postgres, "date", Value::Timestamp(1)),
        (Postgres, "date", Value::Date(-2_440_589)),
        (Postgres, "date", other("date", "0000-00-00")),
        (Postgres, "uuid", Value::Bytes(vec![0; 15])),
        (
            Postgres,
            "uuid",
            text("123E4567-E89B-12D3-A456-426614174000"),
        ),
        (Postgres, "jsonb", json("\"\\u0000\"")),
        (Postgres, "json", text("{")),
        (Postgres, "interval", text("1 hour")),
        (Postgres, "bit(3)", int(8)),
        (Postgres, "integer[]", text("{1, 2}")),
        (Mysql, "tinyint(1)", int(128)),
        (Mysql, "bigint unsigned", int(-1)),
        (Mysql, "decimal(5,2) unsigned", dec("-1")),
        (Mysql, "decimal(5,2)", dec("NaN")),
        (Mysql, "double", Value::Float(f64::NAN)),
        (Mysql, "double", Value::Float(f64::INFINITY)),
        (Mysql, "float(7,3)", Value::Float(f64::from(1.2345_f32))),
        (Mysql, "double(10,2)", Value::Float(1.005)),
        (Mysql, "double(4,2)", Value::Float(100.0)),
        (Mysql, "varchar(3)", text("ab  ")),
        (Mysql, "tinytext", text("ä".repeat(128))),
        (Mysql, "enum('a','b')", text("A")),
        (Mysql, "enum('a','b')", int(1)),
        (Mysql, "set('a','b')", text("a,c")),
        (Mysql, "binary(2)", Value::Bytes(vec![0; 3])),
        (Mysql, "bit(3)", int(8)),
        (Mysql, "year(4)", int(1900)),
        (Mysql, "date", Value::Date(i32::MAX)),
        (Mysql, "datetime", Value::Timestamp(1)),
        (Mysql, "datetime(6)", Value::TimestampUtc(1_000_000)),
        (Mysql, "timestamp(6)", Value::Timestamp(1_000_000)),
        (Mysql, "timestamp", Value::TimestampUtc(0)),
        (Mysql, "time", Value::Time(1)),
        (Mysql, "json", json("1.50")),
        (Mysql, "vector(3)", text("x")),
    ] {
        assert_eq!(
            takes(engine, declared, value.clone()),
            None,
            "{declared} {value}"
        );
        let form = super::ColumnForm::of_type(engine, declared, None);
        assert_eq!(form.hold(value.clone()), value, "{declared}");
    }
}

#[test]
fn values_of_other_types_become_those_of_the_column() {
    for (engine, declared, value, held) in [
        (Postgres, "boolean", int(1), Value::Bool(true)),
        (Mysql, "tinyint(1)", Value::Bool(true), int(1)),
        (Postgres, "integer", dec("7.00"), int(7)),
        (Postgres, "integer", text("-7"), int(-7)),
        (
            Mysql,
            "bigint unsigned",
            dec("18446744073709551615"),
            Value::UInt(u64::MAX),
        ),
        (Mysql, "bigint unsigned", Value::UInt(7), int(7)),
        (Postgres, "numeric(10,2)", text("1.50"), dec("1.50")),
        (Postgres, "numeric", Value::Float(0.1), dec("0.1")),
        (Postgres, "double precision", dec("0.1"), Value::Float(0.1)),
        (Postgres, "character(4)", text("ab"), text("ab  ")),
        (Mysql, "char(4)", text("ab  "), text("ab")),
        (
            Mysql,
            "binary(4)",
            Value::Bytes(vec![1]),
            Value::Bytes(vec![1, 0, 0, 0]),
        ),
        (
            Mysql,
            "binary(16)",
            Value::Uuid([7; 16]),
            Value::Bytes(vec![7; 16]),
        ),
        (
            Postgres,
            "uuid",
            Value::Bytes(vec![7; 16]),
            Value::Uuid([7; 16]),
        ),
        (
            Mysql,
            "char(36)",
            Value::Uuid([7; 16]),
            text("07070707-0707-0707-0707-070707070707"),
        ),
        (Postgres, "date", text("2024-02-29"), Value::Date(19_782)),
        (
            Postgres,
            "timestamp without time zone",
            Value::Date(1),
            Value::Timestamp(86_400_000_000),
        ),
        (
            Postgres,
            "date",
            Value::Timestamp(86_400_000_000),
            Value::Date(1),
        ),
        (
            Postgres,
            "date",
            Value::Timestamp(i64::MAX),
            Value::Date(i32::MAX),
        ),
        (
            Postgres,
            "timestamp with time zone",
            text("1970-01-01 00:00:00.000001Z"),
            Value::TimestampUtc(1),
        ),
        (
            Mysql,
            "date",
            text("2020-00-10"),
            other("date", "2020-00-10"),
        ),
        (
            Postgres,
            "jsonb",
            json("{\"b\":1,\"a\":2}"),
            json("{\"a\": 2, \"b\": 1}"),
        ),
        (Postgres, "bit(4)", int(5), text("0101")),
        (Mysql, "bit(4)", text("0101"), int(5)),
        (Mysql, "set('a','b')", text("b,a,b"), text("a,b")),
    ] {
        assert_eq!(
            takes(engine, declared, value.clone()),
            Some(held),
            "{declared} {value}"
        );
    }
}

#[test]
fn character_sets_limit_what_a_text_holds() {
    let takes = |collation: &str, value: &str| {
        super::ColumnForm::of_type(Mysql, "varchar(5)", Some(collation))
            .take(text(value))
            .is_ok()
    };
    assert!(takes("utf8mb4_general_ci", "😀"));
    assert!(!takes("utf8mb3_general_ci", "😀"));
    assert!(takes("utf8mb3_general_ci", "€"));
    assert!(takes("latin1_swedish_ci", "ä€\u{81}"));
    assert!(!takes("latin1_swedish_ci", "ł"));
    assert!(!takes("latin2_general_ci", "ł"));
    assert!(takes("latin2_general_ci", "l"));
}

#[test]
fn only_the_same_types_are_the_same() {
    let same = |engine, a: &str, b: &str| {
        crate::database::same_form(engine, &side(engine, a).column, &side(engine, b).column)
    };
    assert!(same(Postgres, "numeric(10,2)", "numeric(10,2)"));
    assert!(!same(Postgres, "numeric(10,2)", "numeric(10,3)"));
    assert!(same(Mysql, "int(11)", "int"));
    assert!(!same(Mysql, "int", "int unsigned"));
    assert!(!same(Postgres, "mood", "feeling"));
    assert!(same(Postgres, "mood", "mood"));
    assert!(!same(Mysql, "vector(3)", "vector(3)"));
    let side = side(Mysql, "varchar(5)").column;
    let latin = crate::data::Column {
        collation: Some("latin1_swedish_ci".to_owned()),
        ..side.clone()
    };
    assert!(!crate::database::same_form(Mysql, &side, &latin));
}

#[test]
fn labels_of_an_enum_of_postgresql_can_be_given() {
    let form = super::ColumnForm::of_type(Postgres, "mood", None);
    assert_eq!(form.unchecked(), Some("mood"));
    let form = form.with_labels(vec!["sad".to_owned()]);
    assert_eq!(form.unchecked(), None);
    assert!(form.take(text("sad")).is_ok());
    assert!(form.take(text("Sad")).is_err());
    assert_eq!(
        super::ColumnForm::of_type(Postgres, "mood[]", None).unchecked(),
        Some("mood")
    );
}
