use super::{decode, encode, encode_exact, encode_from_exact, encode_value, encode_value_exact};
use crate::data::{OtherValue, Value};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn published_vectors() {
    let cases: &[(Value, &str)] = &[
        (Value::Null, "0000000000"),
        ("".into(), "0600000000"),
        ("NULL".into(), "06040000004e554c4c"),
        (0_i64.into(), "020100000000"),
        (128_i64.into(), "02020000000080"),
        ((-1_i64).into(), "0201000000ff"),
        (0.3.into(), "05080000003fd3333333333333"),
        ((0.1 + 0.2).into(), "05080000003fd3333333333334"),
        ((-0.0).into(), "05080000008000000000000000"),
        (Value::Decimal("1.50".parse().unwrap()), "0403000000312e35"),
        (true.into(), "010100000001"),
        (vec![0_u8, 255].into(), "070200000000ff"),
    ];
    for (value, expected) in cases {
        assert_eq!(
            hex(&encode(std::slice::from_ref(value))),
            *expected,
            "{value}"
        );
    }
}

#[test]
fn exact_bytes_decode_to_the_same_values() {
    let row = vec![
        Value::Null,
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Int(-129),
        Value::UInt(5),
        Value::UInt(u64::MAX),
        Value::Decimal("-12.3400".parse().unwrap()),
        Value::Float(f64::NAN),
        Value::Text("a\0b|c".into()),
        Value::Bytes(vec![]),
        Value::Date(-1),
        Value::Time(-90_000_000_000),
        Value::Timestamp(1),
        Value::TimestampUtc(-1),
        Value::Uuid([7; 16]),
        Value::Json("{\"a\": 1.0}".into()),
        Value::Array(vec![Value::Int(1), Value::Null]),
        Value::Other(Box::new(OtherValue {
            kind: "text".into(),
            bytes: vec![0xff, 0xfe],
        })),
    ];
    let back = decode(&encode_exact(&row)).unwrap();
    assert_eq!(back, row);
    let Value::Decimal(d) = &back[6] else {
        panic!()
    };
    assert_eq!(d.as_str(), "-12.3400");
}

#[test]
fn damaged_bytes_are_an_error() {
    let bytes = encode(&[Value::Text("hello".into())]);
    for cut in 1..bytes.len() {
        assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(decode(&[0x77, 0, 0, 0, 0]).is_err());
}

#[test]
fn columns_cannot_be_faked_by_a_delimiter() {
    let a = encode(&["p|q".into(), "r".into()]);
    let b = encode(&["p".into(), "q|r".into()]);
    assert_ne!(a, b);
    assert_ne!(encode(&[Value::Null]), encode(&["".into()]));
}

/// Also where the length of the digits looks like a point.
#[test]
fn the_canonical_form_can_be_had_from_the_exact_one() {
    let digits = |n: usize| format!("1{}", "0".repeat(n));
    let mut values: Vec<Value> = (0..400)
        .flat_map(|n| {
            let whole = digits(n);
            [
                whole.clone(),
                format!("-{whole}"),
                format!("{whole}.50"),
                format!("0.{whole}0"),
                format!("{whole}.0"),
            ]
        })
        .map(|text| Value::Decimal(text.parse().unwrap()))
        .collect();
    for special in ["NaN", "Infinity", "-Infinity", "0.000", "0"] {
        values.push(Value::Decimal(special.parse().unwrap()));
    }
    values.extend([
        Value::UInt(1),
        Value::UInt(u64::MAX),
        Value::Int(-1),
        Value::Bool(true),
    ]);
    values.push(Value::Array(values.iter().take(9).cloned().collect()));
    for value in values {
        let (mut exact, mut from_exact, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        encode_value_exact(&mut exact, &value);
        encode_from_exact(&mut from_exact, &exact);
        encode_value(&mut wanted, &value);
        assert_eq!(from_exact, wanted, "{value}");
    }
}
