//! The order of keys, the same for every store.

use std::cmp::Ordering;

use super::Value;

/// Compares keys cell by cell: NULL, then numbers by value, then text by its bytes, then bytes.
/// This is SQLite's order under the BINARY collation, and what a
/// [`ReadRequest`](crate::database::ReadRequest) is answered in.
#[must_use]
pub fn compare_keys(a: &[Value], b: &[Value]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| compare_values(a, b))
        .find(|o| *o != Ordering::Equal)
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Compares two values in the order of [`compare_keys`].
#[must_use]
pub fn compare_values(a: &Value, b: &Value) -> Ordering {
    class(a).cmp(&class(b)).then_with(|| match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.total_cmp(b)),
        (Value::Int(a), Value::Float(b)) => int_float(*a, *b),
        (Value::Float(a), Value::Int(b)) => int_float(*b, *a).reverse(),
        _ => bytes(a).cmp(&bytes(b)),
    })
}

/// Compares exactly, without rounding the integer.
fn int_float(a: i64, b: f64) -> Ordering {
    // 2^63 is a double; everything below fits an i64 after truncation.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if b.is_nan() || b < -LIMIT {
        return Ordering::Greater;
    }
    if b >= LIMIT {
        return Ordering::Less;
    }
    #[expect(clippy::cast_possible_truncation, reason = "in range, see above")]
    let whole = b.trunc() as i64;
    a.cmp(&whole).then_with(|| {
        let fraction = b - b.trunc();
        0.0_f64.partial_cmp(&fraction).unwrap_or(Ordering::Equal)
    })
}

fn class(v: &Value) -> u8 {
    match v {
        Value::Null => 0,
        Value::Int(_) | Value::Float(_) => 1,
        Value::Text(_) => 2,
        Value::Other(o) if o.kind == "text" => 2,
        Value::Bytes(_) => 3,
        _ => 4,
    }
}

fn bytes(v: &Value) -> std::borrow::Cow<'_, [u8]> {
    match v {
        Value::Text(v) => v.as_bytes().into(),
        Value::Bytes(v) => v.as_slice().into(),
        Value::Other(v) => v.bytes.as_slice().into(),
        other => super::canonical::encode(std::slice::from_ref(other)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::compare_values;
    use crate::data::Value;
    use std::cmp::Ordering;

    #[test]
    fn the_order_of_kinds_and_numbers() {
        let sorted = [
            Value::Null,
            Value::Float(f64::NEG_INFINITY),
            Value::Int(i64::MIN),
            Value::Float(-1.5),
            Value::Int(-1),
            Value::Float(-0.5),
            Value::Int(0),
            Value::Float(0.5),
            Value::Int(9_007_199_254_740_993),
            Value::Float(9_007_199_254_740_994.0),
            Value::Int(i64::MAX),
            Value::Float(9_223_372_036_854_775_808.0),
            Value::Text(String::new()),
            Value::Text("A".into()),
            Value::Text("a".into()),
            Value::Bytes(vec![]),
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare_values(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
        assert_eq!(
            compare_values(&Value::Int(1), &Value::Float(1.0)),
            Ordering::Equal
        );
    }
}
