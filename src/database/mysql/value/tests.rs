use super::*;
use crate::data::{Generated, LogicalType};

fn codec(declared: &str) -> Codec {
    Codec::of(&Column {
        name: "c".to_owned(),
        declared_type: declared.to_owned(),
        logical: LogicalType::Any,
        nullable: true,
        default: None,
        generated: Generated::No,
        collation: None,
    })
    .unwrap()
}

fn holds(declared: &str, value: &Value) -> bool {
    codec(declared).encode(value.into()).is_ok()
}

fn text(v: &str) -> Value {
    Value::Text(v.to_owned())
}

fn decimal(v: &str) -> Value {
    Value::Decimal(v.parse().unwrap())
}

#[test]
fn what_would_be_bent_is_refused() {
    for (declared, good, bad) in [
        ("int(11)", Value::Int(-1), Value::UInt(1 << 63)),
        ("bigint(20) unsigned", Value::UInt(1 << 63), Value::Int(-1)),
        ("decimal(5,2)", decimal("123.4500"), decimal("1.005")),
        ("decimal(5,2)", decimal("-999.99"), decimal("1000")),
        ("decimal(5,2)", decimal("0.1"), decimal("NaN")),
        ("float", Value::Float(0.5), Value::Float(0.1)),
        ("double", Value::Float(0.1), Value::Float(f64::NAN)),
        ("double", Value::Float(0.0), Value::Float(-0.0)),
        ("double(10,2)", Value::Float(0.1), Value::Float(0.123)),
        ("char(3)", text("äöü"), text("a ")),
        ("varchar(3)", text("a  "), text("a   ")),
        ("tinytext", text("a "), text(&" ".repeat(256))),
        ("enum('a','B')", text("B"), text("b")),
        ("set('a','b','c')", text("a,c"), text("c,a")),
        ("set('a','b')", text(""), text("a,a")),
        ("binary(2)", Value::Bytes(vec![1, 0]), Value::Bytes(vec![1])),
        (
            "varbinary(2)",
            Value::Bytes(vec![1]),
            Value::Bytes(vec![1, 2, 3]),
        ),
        ("year(4)", Value::Int(2000), Value::Int(20)),
        ("datetime(3)", Value::Timestamp(1_000), Value::Timestamp(1)),
        ("timestamp", Value::TimestampUtc(0), Value::Timestamp(0)),
        ("time(6)", Value::Time(-1), Value::Int(1)),
        ("date", Value::Date(0), Value::Date(i32::MAX)),
        ("int(11)", Value::Int(1), Value::Bool(true)),
        ("text", text("1"), Value::Int(1)),
    ] {
        assert!(holds(declared, &good), "{declared} {good}");
        assert!(!holds(declared, &bad), "{declared} {bad}");
    }
}

#[test]
fn odd_dates_are_carried_as_they_are_spelt() {
    let zero = codec("date")
        .decode(Wire::Date(0, 0, 0, 0, 0, 0, 0))
        .unwrap();
    assert_eq!(zero, other("date", "0000-00-00".to_owned()));
    assert_eq!(
        codec("date").encode((&zero).into()),
        Ok(bytes("0000-00-00"))
    );
    let partial = codec("datetime(2)")
        .decode(Wire::Date(2020, 0, 10, 1, 2, 3, 450_000))
        .unwrap();
    assert_eq!(
        partial,
        other("datetime", "2020-00-10 01:02:03.45".to_owned())
    );
}

#[test]
fn wire_values() {
    let cell = |declared: &str, wire| codec(declared).decode(wire).unwrap();
    assert_eq!(
        cell("bigint(20) unsigned", Wire::UInt(u64::MAX)),
        Value::UInt(u64::MAX)
    );
    assert_eq!(cell("bigint(20) unsigned", Wire::UInt(7)), Value::Int(7));
    assert_eq!(cell("bit(9)", Wire::Bytes(vec![1, 2])), Value::Int(258));
    assert_eq!(
        cell("varchar(9)", Wire::Bytes(vec![0xff])),
        other_bytes(&[0xff])
    );
    assert_eq!(
        cell("time", Wire::Time(true, 34, 22, 59, 59, 0)),
        Value::Time(-3_020_399_000_000)
    );
    let id = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
    let uuid = cell("uuid", Wire::Bytes(id.into()));
    assert_eq!(uuid.to_string(), id);
    assert_eq!(codec("uuid").encode((&uuid).into()), Ok(bytes(id)));
}

fn other_bytes(bytes: &[u8]) -> Value {
    Value::Other(Box::new(OtherValue {
        kind: "text".to_owned(),
        bytes: bytes.to_vec(),
    }))
}

#[test]
fn null_where_it_is_allowed() {
    let mut codec = codec("int(11)");
    assert_eq!(codec.encode(ValueRef::Null), Ok(Wire::NULL));
    codec.nullable = false;
    let refused = codec.encode(ValueRef::Null).unwrap_err();
    assert_eq!(refused.kind, ConflictKind::NotNullViolation);
}
