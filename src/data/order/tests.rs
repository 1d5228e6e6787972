use std::cmp::Ordering;

use proptest::prelude::*;

use super::{compare, compare_keys, prefix, same_cell};
use crate::data::{OtherValue, Value};

fn other(bytes: &[u8]) -> Value {
    Value::Other(Box::new(OtherValue {
        kind: "text".into(),
        bytes: bytes.to_vec(),
    }))
}

/// Ascending; the inner lists share one place.
fn ladder() -> Vec<Vec<Value>> {
    let d = |v: &str| Value::Decimal(v.parse().unwrap());
    vec![
        vec![Value::Null],
        vec![Value::Float(f64::NEG_INFINITY), d("-Infinity")],
        vec![Value::Float(-1e300)],
        vec![
            Value::Int(i64::MIN),
            Value::Float(-9_223_372_036_854_775_808.0),
        ],
        vec![Value::Int(i64::MIN + 1)],
        vec![d("-1.5"), Value::Float(-1.5)],
        vec![Value::Int(-1)],
        vec![Value::Float(-0.5)],
        vec![
            Value::Int(0),
            Value::Float(0.0),
            Value::Float(-0.0),
            Value::Bool(false),
        ],
        vec![Value::Float(5e-324)],
        // 0.1 the decimal lies below 0.1 the double.
        vec![d("0.1")],
        vec![Value::Float(0.1)],
        vec![
            Value::Int(1),
            Value::Float(1.0),
            d("1.00"),
            Value::UInt(1),
            Value::Bool(true),
        ],
        vec![
            Value::Int(9_007_199_254_740_992),
            Value::Float(9_007_199_254_740_992.0),
        ],
        vec![Value::Int(9_007_199_254_740_993)],
        vec![Value::Int(i64::MAX)],
        vec![
            Value::Float(9_223_372_036_854_775_808.0),
            Value::UInt(1 << 63),
        ],
        vec![Value::UInt(u64::MAX)],
        vec![Value::Float(1e300)],
        vec![Value::Float(f64::INFINITY), d("Infinity")],
        vec![Value::Float(f64::NAN), d("NaN")],
        vec![Value::Date(-1)],
        vec![Value::Date(3)],
        vec![Value::Timestamp(i64::MIN)],
        vec![Value::Timestamp(5)],
        vec!["".into()],
        vec!["A".into()],
        vec!["a".into(), Value::Json("a".into())],
        vec!["a ".into()],
        vec!["é".into()],
        vec![other(&[0xff])],
        vec![Value::Bytes(vec![])],
        vec![Value::Bytes(vec![0])],
        vec![Value::Bytes(vec![0, 0])],
        vec![Value::Bytes(vec![0xff])],
    ]
}

#[test]
fn the_ladder_is_ascending() {
    let steps = ladder();
    for (i, low) in steps.iter().enumerate() {
        for (j, high) in steps.iter().enumerate() {
            for a in low {
                for b in high {
                    assert_eq!(compare(a.into(), b.into()), i.cmp(&j), "{a} and {b}");
                    if i < j {
                        assert!(prefix(a.into()) <= prefix(b.into()), "{a} and {b}");
                    }
                }
            }
        }
    }
}

#[test]
fn one_place_is_not_one_content() {
    for (a, b) in [
        (Value::Int(1), Value::Float(1.0)),
        (Value::Float(0.0), Value::Float(-0.0)),
        (Value::Int(1), Value::Bool(true)),
        ("a".into(), Value::Bytes(b"a".to_vec())),
        ("a".into(), other(b"a")),
        (Value::Null, "".into()),
    ] {
        assert!(!same_cell((&a).into(), (&b).into()), "{a} and {b}");
    }
    for (a, b) in [
        (Value::Float(f64::NAN), Value::Float(f64::NAN)),
        (Value::UInt(7), Value::Int(7)),
        (
            Value::Decimal("1.0".parse().unwrap()),
            Value::Decimal("1.00".parse().unwrap()),
        ),
    ] {
        assert!(same_cell((&a).into(), (&b).into()), "{a} and {b}");
    }
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        (-3_i64..3).prop_map(Value::Int),
        any::<f64>().prop_map(Value::Float),
        any::<i64>().prop_map(|v| Value::Float(v as f64)),
        (any::<i32>(), 0_u32..5).prop_map(|(v, scale)| {
            let text = format!("{}.{:0width$}", v / 10, scale, width = scale as usize + 1);
            Value::Decimal(text.parse().unwrap())
        }),
        "[a-c\u{e9}]{0,9}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        Just(Value::Null),
    ]
}

proptest! {
    #[test]
    fn it_is_a_total_order_and_prefix_agrees(a in number(), b in number(), c in number()) {
        let ab = compare((&a).into(), (&b).into());
        let bc = compare((&b).into(), (&c).into());
        prop_assert_eq!(ab, compare((&b).into(), (&a).into()).reverse());
        if ab != Ordering::Greater && bc != Ordering::Greater {
            prop_assert!(compare((&a).into(), (&c).into()) != Ordering::Greater);
        }
        if ab == Ordering::Less {
            prop_assert!(prefix((&a).into()) <= prefix((&b).into()));
        }
        prop_assert_eq!(compare_keys(std::slice::from_ref(&a), std::slice::from_ref(&b)), ab);
    }
}
