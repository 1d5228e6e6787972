//! Every difference of content is seen, and nothing else.

use banyan::data::{Row, Value};
use banyan::verify::{DifferenceKind, Level};

use super::support::{Random, counts, diff, int, invalid_text, text};

/// Values of which no two are equal, though many look alike.
fn lookalikes() -> Vec<Value> {
    let mut values = vec![
        Value::Null,
        text(""),
        text("NULL"),
        text("<null>"),
        text(" "),
        text("a"),
        text("a "),
        text("A"),
        text("\u{e9}"),
        text("e\u{301}"),
        text("a|b"),
        text("a\0b"),
        text("a\0"),
        text("1"),
        text("1.0"),
        text("0.1"),
        int(0),
        int(1),
        int(-1),
        int(i64::MAX),
        int(i64::MAX - 1),
        int(i64::MIN),
        int(9_007_199_254_740_992),
        int(9_007_199_254_740_993),
    ];
    values.extend(
        [
            0.0,
            -0.0,
            1.0,
            0.1,
            0.3,
            0.1 + 0.2,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
            9_007_199_254_740_992.0,
            9_223_372_036_854_775_807.0,
        ]
        .map(Value::Float),
    );
    values
        .extend([&b""[..], b"a", b"1", b"\0", b"\0\0", b"\xff"].map(|v| Value::Bytes(v.to_vec())));
    values.extend([&b"\xff"[..], b"a\xff", b"\xc3\x28"].map(invalid_text));
    values
}

#[test]
fn no_two_lookalikes_are_taken_for_each_other() {
    let values = lookalikes();
    for level in [Level::Full, Level::Hash] {
        for (i, a) in values.iter().enumerate() {
            // One table a value: each row holds it beside every other value.
            let source: Vec<Row> = (0..values.len())
                .map(|j| vec![int(j as i64), a.clone(), text("x")])
                .collect();
            let target: Vec<Row> = values
                .iter()
                .enumerate()
                .map(|(j, b)| vec![int(j as i64), b.clone(), text("x")])
                .collect();
            let report = diff(source, target, &[0], level);
            assert_eq!(counts(&report), (0, 0, values.len() as u64 - 1), "{a}");
            assert!(!report.differences.iter().any(|d| d.key["c0"] == i));
            assert!(report.differences.iter().all(|d| d.columns == ["c1"]));
        }
    }
}

#[test]
fn swapped_columns_and_shifted_delimiters_differ() {
    let source = vec![
        vec![int(1), text("p|q"), text("r")],
        vec![int(2), text("a"), text("b")],
        vec![int(3), text(""), Value::Null],
    ];
    let target = vec![
        vec![int(1), text("p"), text("q|r")],
        vec![int(2), text("b"), text("a")],
        vec![int(3), Value::Null, text("")],
    ];
    for level in [Level::Full, Level::Hash] {
        let report = diff(source.clone(), target.clone(), &[0], level);
        assert_eq!(counts(&report), (0, 0, 3));
        assert!(report.differences.iter().all(|d| d.columns == ["c1", "c2"]));
    }
}

#[test]
fn keys_that_look_alike_are_told_apart() {
    // 1 and '1' are two keys; 1 and 1.0 are one key with two contents.
    let report = diff(
        vec![vec![int(1), int(0)], vec![int(5), int(0)]],
        vec![vec![text("1"), int(0)], vec![Value::Float(5.0), int(0)]],
        &[0],
        Level::Full,
    );
    assert_eq!(counts(&report), (1, 1, 1));
    let differs = report
        .differences
        .iter()
        .find(|d| d.kind == DifferenceKind::Differs);
    assert_eq!(differs.unwrap().columns, ["c0"]);
}

fn random_value(random: &mut Random) -> Value {
    let values = lookalikes();
    match random.below(4) {
        0 => int((random.next() % 1000) as i64 - 500),
        1 => text(&format!("text {}", random.below(1000))),
        2 => Value::Float(random.next() as f64 / 7.0),
        _ => values[random.below(values.len())].clone(),
    }
}

/// Changes a value as little as is possible.
fn corrupt(value: &Value, random: &mut Random) -> Value {
    match value {
        Value::Int(v) => match random.below(3) {
            0 => int(v ^ (1 << random.below(63))),
            1 => Value::Float(*v as f64),
            _ => text(&v.to_string()),
        },
        Value::Float(v) => Value::Float(f64::from_bits(v.to_bits() ^ (1 << random.below(51)))),
        Value::Text(v) => match random.below(4) {
            0 => text(&format!("{v} ")),
            1 => Value::Bytes(v.as_bytes().to_vec()),
            2 if v.is_empty() => Value::Null,
            2 => text(&v[..v.len() - v.chars().last().unwrap().len_utf8()]),
            _ => text(&format!("{v}\0")),
        },
        Value::Bytes(v) => Value::Bytes([&v[..], &[0]].concat()),
        Value::Null => text(""),
        _ => Value::Null,
    }
}

#[test]
fn each_of_1000_random_corruptions_is_found_and_nothing_else() {
    const ROWS: usize = 20_000;
    const COLUMNS: usize = 6;
    let mut random = Random(2);
    let source: Vec<Row> = (0..ROWS)
        .map(|i| {
            let mut row = vec![int(i as i64 * 3)];
            row.extend((1..COLUMNS).map(|_| random_value(&mut random)));
            row
        })
        .collect();
    let mut target = source.clone();
    let mut expected = std::collections::BTreeMap::new();
    while expected.len() < 1000 {
        let (row, column) = (random.below(ROWS), 1 + random.below(COLUMNS - 1));
        if expected.contains_key(&(row as i64 * 3)) {
            continue;
        }
        let bad = corrupt(&source[row][column], &mut random);
        assert_ne!(bad, source[row][column]);
        target[row][column] = bad;
        expected.insert(row as i64 * 3, format!("c{column}"));
    }
    for level in [Level::Full, Level::Hash] {
        let clean = diff(source.clone(), source.clone(), &[0], level);
        assert!(clean.consistent);
        let report = diff(source.clone(), target.clone(), &[0], level);
        let found: std::collections::BTreeMap<i64, String> = report
            .differences
            .iter()
            .map(|d| (d.key["c0"].as_i64().unwrap(), d.columns.join(",")))
            .collect();
        assert_eq!(found, expected, "{level}");
        assert_eq!(report.differences_total, 1000);
    }
}
