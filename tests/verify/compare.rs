//! Exactly the symmetric difference, for every shape of table and key.

use std::collections::BTreeMap;

use banyan::data::{Key, Row, Value, canonical};
use banyan::verify::{DifferenceKind, Level, VerifyRequest, verify};
use proptest::prelude::*;

use super::memory::{MemoryStore, compare_rows};
use super::support::{ONCE, Random, counts, diff, int, mapping, run, text};

fn numbered(ids: impl IntoIterator<Item = i64>) -> Vec<Row> {
    ids.into_iter()
        .map(|i| vec![int(i), text(&format!("row {i}"))])
        .collect()
}

#[test]
fn missing_and_extra_rows_are_found_wherever_they_are() {
    let all = numbered(0..40);
    for level in [Level::Full, Level::Hash] {
        for at in 0..all.len() {
            let mut less = all.clone();
            less.remove(at);
            let missing = diff(all.clone(), less.clone(), &[0], level);
            assert_eq!(counts(&missing), (1, 0, 0), "{level} {at}");
            assert_eq!(missing.differences[0].key["c0"], at);
            assert_eq!(missing.differences[0].kind, DifferenceKind::MissingOnTarget);
            let extra = diff(less, all.clone(), &[0], level);
            assert_eq!(counts(&extra), (0, 1, 0), "{level} {at}");
            assert_eq!(extra.differences[0].key["c0"], at);
        }
    }
}

#[test]
fn an_empty_side_is_all_difference() {
    let all = numbered(0..3000);
    for level in [Level::Full, Level::Hash] {
        assert_eq!(
            counts(&diff(all.clone(), vec![], &[0], level)),
            (3000, 0, 0)
        );
        assert_eq!(
            counts(&diff(vec![], all.clone(), &[0], level)),
            (0, 3000, 0)
        );
        assert!(diff(vec![], vec![], &[0], level).consistent);
    }
}

#[test]
fn counting_says_only_what_it_knows() {
    let report = diff(numbered(0..5), numbered(0..3), &[0], Level::Count);
    assert!(!report.consistent);
    assert_eq!(report.tables[0].rows_source, 5);
    assert_eq!(report.tables[0].rows_target, 3);
    assert_eq!(report.tables[0].missing_on_target, None);
    assert!(diff(numbered(0..5), numbered(5..10), &[0], Level::Count).consistent);
}

#[test]
fn copies_count_in_a_table_without_a_key() {
    let row = |n: i64| vec![int(n), text("same")];
    let source = vec![row(1), row(2), row(1), row(1), row(3)];
    let target = vec![row(3), row(1), row(2), row(2), row(4)];
    for level in [Level::Full, Level::Hash] {
        let report = diff(source.clone(), target.clone(), &[], level);
        assert_eq!(counts(&report), (2, 2, 0));
        assert_eq!(report.tables[0].strategy, "multiset");
        let keys: Vec<_> = report
            .differences
            .iter()
            .map(|d| d.key["c0"].clone())
            .collect();
        assert_eq!(keys, [1, 1, 2, 4]);
    }
}

#[test]
fn a_large_table_without_a_key_is_sorted_on_disk() {
    let mut random = Random(7);
    // Some 40 MB, more than is sorted in memory.
    let source: Vec<Row> = (0..100_000)
        .map(|i| {
            let n = random.next();
            vec![
                int((n % 50_000) as i64),
                text(&format!("{n:0>300}")),
                int(i),
            ]
        })
        .collect();
    let mut target = source.clone();
    target.reverse();
    let gone = target.swap_remove(777);
    target.push(target[5].clone());
    let report = diff(source, target, &[], Level::Full);
    assert_eq!(counts(&report), (1, 1, 0));
    let missing = report
        .differences
        .iter()
        .find(|d| d.kind == DifferenceKind::MissingOnTarget);
    assert_eq!(
        missing.unwrap().key["c2"].as_i64(),
        Some(match gone[2] {
            Value::Int(v) => v,
            _ => unreachable!("the third column is a number"),
        })
    );
}

#[test]
fn many_rows_may_share_a_null_key() {
    let row = |n: i64| vec![Value::Null, int(n)];
    for rows in [10, 5000] {
        let source: Vec<Row> = (0..rows).map(row).collect();
        let mut target: Vec<Row> = source.iter().rev().cloned().collect();
        for level in [Level::Full, Level::Hash] {
            assert!(diff(source.clone(), target.clone(), &[0], level).consistent);
        }
        target.swap_remove(3);
        for level in [Level::Full, Level::Hash] {
            assert_eq!(
                counts(&diff(source.clone(), target.clone(), &[0], level)),
                (1, 0, 0)
            );
        }
    }
}

#[test]
fn the_digest_depends_on_content_alone() {
    let rows = numbered(0..5000);
    let digest = |rows: &[Row], batch, level| {
        let store =
            |name| MemoryStore::new(name, batch).with("t", &["c0", "c1"], &[0], rows.to_vec());
        let report = run(
            &store("a"),
            &store("b"),
            &[mapping("t", &["c0", "c1"], &[0])],
            level,
            ONCE,
        );
        assert!(report.tables[0].segments.unwrap() > 2);
        report.tables[0].digest.clone().unwrap()
    };
    let first = digest(&rows, 11, Level::Full);
    assert_eq!(first, digest(&rows, 1024, Level::Hash));
    let mut other = rows;
    other[4321][1] = text("row 4321 ");
    assert_ne!(first, digest(&other, 11, Level::Full));
}

#[test]
fn the_list_is_cut_and_the_count_is_not() {
    let store = |name| MemoryStore::new(name, 100);
    let source = store("a").with("t", &["c0", "c1"], &[0], numbered(0..500));
    let target = store("b").with("t", &["c0", "c1"], &[0], vec![]);
    let mappings = [mapping("t", &["c0", "c1"], &[0])];
    let mut request = VerifyRequest::new(&source, &target, &mappings);
    request.recheck = ONCE;
    request.differences_max = 7;
    let report = futures::executor::block_on(async {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(verify(request)).unwrap()
    });
    assert_eq!(report.differences.len(), 7);
    assert_eq!(report.differences_total, 500);
    assert!(report.to_string().contains("493 more differences"));
}

#[test]
fn an_unknown_table_is_refused_with_the_nearest_name() {
    let store = MemoryStore::new("a", 100).with("customers", &["id"], &[0], vec![]);
    let mappings = [mapping("customers", &["id"], &[0])];
    let mut request = VerifyRequest::new(&store, &store, &mappings);
    request.tables = Some(vec!["custmers".into()]);
    let error = futures::executor::block_on(verify(request)).unwrap_err();
    assert_eq!(error.kind(), banyan::error::ErrorKind::NotFound);
    assert!(error.hints()[0].contains("\"customers\""), "{error:?}");
}

#[test]
fn a_filter_chooses_the_source_s_rows() {
    let rows = vec![
        vec![int(1), int(7)],
        vec![int(2), int(8)],
        vec![int(3), int(7)],
    ];
    let source = MemoryStore::new("a", 2).with("t", &["id", "tenant"], &[0], rows.clone());
    let target = MemoryStore::new("b", 2).with("t", &["id", "tenant"], &[0], rows);
    let mut by_tenant = mapping("t", &["id", "tenant"], &[0]);
    by_tenant.filter_sql = Some("tenant = 7".into());
    let report = run(&source, &target, &[by_tenant], Level::Full, ONCE);
    assert_eq!(counts(&report), (0, 1, 0));
    assert_eq!(report.differences[0].key["id"], 2);
}

fn cell() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (0_i64..4).prop_map(Value::Int),
        1 => (0_i64..3).prop_map(|v| Value::Float(v as f64 + 0.5)),
        1 => Just(Value::Null),
        2 => "[ab]{0,2}".prop_map(Value::Text),
        1 => proptest::collection::vec(0_u8..2, 0..2).prop_map(Value::Bytes),
    ]
}

fn table() -> impl Strategy<Value = Vec<Row>> {
    proptest::collection::vec(proptest::collection::vec(cell(), 4), 0..60)
}

/// Rows by key, the last of each key.
fn unique(rows: Vec<Row>, key: &[usize]) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::new();
    for row in rows {
        let k = Key::of(&row, key);
        out.retain(|r| compare_rows(&Key::of(r, key).0, &k.0).is_ne());
        out.push(row);
    }
    out
}

/// Each row's copies, by its bytes.
fn copies(rows: &[Row]) -> BTreeMap<Vec<u8>, i64> {
    let mut copies = BTreeMap::new();
    for row in rows {
        *copies.entry(canonical::encode(row)).or_default() += 1;
    }
    copies
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn with_a_key_it_is_the_symmetric_difference(
        a in table(),
        b in table(),
        from_a in any::<bool>(),
        key in prop_oneof![Just(vec![0]), Just(vec![0, 1]), Just(vec![2, 0, 1])],
    ) {
        let a = unique(a, &key);
        // Unrelated tables, or one with some rows of the other.
        let b = if from_a { unique([a.clone(), b[..b.len().min(5)].to_vec()].concat(), &key) }
                else { unique(b, &key) };
        let same_key = |x: &Row, y: &Row| compare_rows(&Key::of(x, &key).0, &Key::of(y, &key).0).is_eq();
        let missing = a.iter().filter(|r| !b.iter().any(|o| same_key(r, o))).count() as u64;
        let extra = b.iter().filter(|r| !a.iter().any(|o| same_key(r, o))).count() as u64;
        let differs = a.iter().filter(|r| b.iter().any(|o| same_key(r, o) && *r != o)).count() as u64;
        for level in [Level::Full, Level::Hash] {
            let report = diff(a.clone(), b.clone(), &key, level);
            prop_assert_eq!(counts(&report), (missing, extra, differs));
            prop_assert_eq!(report.consistent, missing + extra + differs == 0);
        }
    }

    #[test]
    fn without_a_key_it_is_the_difference_of_multisets(
        a in table(), b in table(), from_a in any::<bool>(),
    ) {
        let b = if from_a { [&a[..], &b[..b.len().min(4)]].concat() } else { b };
        let (in_a, in_b) = (copies(&a), copies(&b));
        let over = |x: &BTreeMap<Vec<u8>, i64>, y: &BTreeMap<Vec<u8>, i64>| -> u64 {
            x.iter()
                .map(|(row, n)| (n - y.get(row).copied().unwrap_or(0)).max(0) as u64)
                .sum()
        };
        for level in [Level::Full, Level::Hash] {
            let report = diff(a.clone(), b.clone(), &[], level);
            prop_assert_eq!(counts(&report), (over(&in_a, &in_b), over(&in_b, &in_a), 0));
        }
    }

    #[test]
    fn rows_that_share_a_key_are_compared_as_a_multiset(
        a in table(), b in table(), from_a in any::<bool>(),
    ) {
        let b = if from_a { [&a[..], &b[..b.len().min(4)]].concat() } else { b };
        let (in_a, in_b) = (copies(&a), copies(&b));
        let differs = in_a != in_b;
        for level in [Level::Full, Level::Hash] {
            let report = diff(a.clone(), b.clone(), &[0], level);
            prop_assert_eq!(report.consistent, !differs);
            let (missing, extra, changed) = counts(&report);
            let over = |x: &BTreeMap<Vec<u8>, i64>, y: &BTreeMap<Vec<u8>, i64>| -> u64 {
                x.iter()
                    .map(|(row, n)| (n - y.get(row).copied().unwrap_or(0)).max(0) as u64)
                    .sum()
            };
            prop_assert_eq!(missing + changed, over(&in_a, &in_b));
            prop_assert_eq!(extra + changed, over(&in_b, &in_a));
        }
    }
}
