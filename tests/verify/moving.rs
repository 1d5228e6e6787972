//! Rows on their way are not differences.

use banyan::verify::{Level, Recheck};

use super::memory::MemoryStore;
use super::support::{counts, int, mapping, run, text};

const TWICE: Recheck = Recheck {
    wait_ms: 1,
    tries: 2,
};

fn stores(key: &[usize]) -> (MemoryStore, MemoryStore) {
    let rows: Vec<_> = (0..3000).map(|i| vec![int(i), text("x")]).collect();
    (
        MemoryStore::new("monolith", 100).with("t", &["id", "v"], key, rows.clone()),
        MemoryStore::new("service", 64).with("t", &["id", "v"], key, rows),
    )
}

fn set(store: &MemoryStore, snapshot: usize, row: usize, value: &'static str) {
    store.before_snapshot(snapshot, move |tables| {
        tables.get_mut("t").unwrap().rows[row][1] = text(value);
    });
}

#[test]
fn a_row_that_arrives_late_is_no_difference() {
    for key in [&[0][..], &[]] {
        for level in [Level::Full, Level::Hash] {
            let (source, target) = stores(key);
            set(&source, 0, 1234, "new");
            set(&target, 1, 1234, "new");
            let report = run(
                &source,
                &target,
                &[mapping("t", &["id", "v"], key)],
                level,
                TWICE,
            );
            assert!(report.consistent, "{report}");
            assert_eq!(report.in_flight, 0);
        }
    }
}

#[test]
fn rows_that_arrive_late_are_counted_again() {
    let (source, target) = stores(&[0]);
    target.before_snapshot(0, |t| drop(t.get_mut("t").unwrap().rows.pop()));
    target.before_snapshot(2, |t| {
        t.get_mut("t").unwrap().rows.push(vec![int(1), text("x")]);
    });
    let mappings = [mapping("t", &["id", "v"], &[0])];
    assert!(run(&source, &target, &mappings, Level::Count, TWICE).consistent);
}

#[test]
fn a_row_that_never_rests_is_in_flight() {
    let (source, target) = stores(&[0]);
    for (n, value) in ["a", "b", "c"].into_iter().enumerate() {
        set(&source, n, 5, value);
    }
    let report = run(
        &source,
        &target,
        &[mapping("t", &["id", "v"], &[0])],
        Level::Full,
        TWICE,
    );
    assert!(report.consistent);
    assert_eq!((report.in_flight, report.tables[0].in_flight), (1, 1));
    assert!(
        report.to_string().contains("1 row was in flight"),
        "{report}"
    );
}

#[test]
fn a_row_that_rests_and_differs_is_reported() {
    for key in [&[0][..], &[]] {
        for level in [Level::Full, Level::Hash] {
            let (source, target) = stores(key);
            // One is lost, one settles, and one comes to rest only at the second look.
            set(&source, 0, 1234, "lost");
            set(&source, 0, 2900, "late");
            set(&target, 1, 2900, "late");
            set(&target, 0, 7, "other");
            set(&source, 1, 7, "first");
            let report = run(
                &source,
                &target,
                &[mapping("t", &["id", "v"], key)],
                level,
                TWICE,
            );
            assert_eq!(report.in_flight, 0, "{report}");
            let expected = if key.is_empty() { (2, 2, 0) } else { (0, 0, 2) };
            assert_eq!(counts(&report), expected, "{report}");
        }
    }
}

#[test]
fn what_does_not_move_is_certain_after_one_more_look() {
    for key in [&[0][..], &[]] {
        for level in [Level::Full, Level::Hash] {
            let (source, target) = stores(key);
            target.edit(|tables| {
                let rows = &mut tables.get_mut("t").unwrap().rows;
                rows.remove(2999);
                rows.remove(0);
                rows.push(vec![int(-5), text("x")]);
                rows.push(vec![int(9000), text("x")]);
                for i in (10..2000).step_by(7) {
                    rows[i][1] = text("y");
                }
            });
            let recheck = Recheck {
                wait_ms: 0,
                tries: 1,
            };
            let report = run(
                &source,
                &target,
                &[mapping("t", &["id", "v"], key)],
                level,
                recheck,
            );
            assert_eq!(report.in_flight, 0);
            let changed = (10..2000).step_by(7).count() as u64;
            let expected = if key.is_empty() {
                (2 + changed, 2 + changed, 0)
            } else {
                (2, 2, changed)
            };
            assert_eq!(counts(&report), expected, "{key:?} {level}");
            // A second look reads around the differences, not the whole table.
            if !key.is_empty() {
                assert!(source.reads().last().unwrap().up_to.is_some());
            }
        }
    }
}
