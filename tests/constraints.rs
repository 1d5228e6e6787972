//! What a constraint keeps out waits, is named, and holds nothing else up.

use banyan::app::MigrationSpec;
use banyan::database::{OpenConflict, SyncStore};
use banyan::rule::ConflictKind;

use crate::support::{Pair, app, dump, spec, until_idle};

fn same(pair: &Pair, tables: &[&str]) {
    for table in tables {
        let sql = format!("SELECT * FROM {table} ORDER BY 1");
        assert_eq!(
            dump(&pair.source(), &sql),
            dump(&pair.target(), &sql),
            "{table}"
        );
    }
    for path in [pair.source(), pair.target()] {
        assert!(
            dump(&path, "PRAGMA foreign_key_check").is_empty(),
            "{}",
            path.display()
        );
    }
}

/// The conflicts that wait, on both sides.
async fn waiting(pair: &Pair, spec: &MigrationSpec) -> Vec<OpenConflict> {
    let opened = pair.open(spec).await;
    let mut out = opened.source.open_conflicts().await.unwrap();
    out.extend(opened.target.open_conflicts().await.unwrap());
    out
}

const UNIQUE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b UNIQUE, c)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unique_value_that_another_row_holds() {
    let pair = Pair::new(UNIQUE, UNIQUE);
    let spec = spec(&["t"], "source-wins");
    pair.sync(&spec).await;
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    a.execute_batch("INSERT INTO t VALUES (1, 'x', 1, 0), (3, 'free', 3, 0)")
        .unwrap();
    b.execute_batch("INSERT INTO t VALUES (5, 'x', 5, 0), (7, 'too', 7, 0)")
        .unwrap();
    let report = pair.sync(&spec).await;
    assert_eq!(report.tables[0].parked, 2);
    let ids = "SELECT id FROM t ORDER BY id";
    assert_eq!(
        dump(&pair.source(), ids).join(),
        "Integer(1) Integer(3) Integer(7)"
    );
    assert_eq!(
        dump(&pair.target(), ids).join(),
        "Integer(3) Integer(5) Integer(7)"
    );
    let open = waiting(&pair, &spec).await;
    for (conflict, holder) in open.iter().zip(["(1)", "(5)"]) {
        assert_eq!(conflict.kind, ConflictKind::InsertExists);
        assert!(conflict.reason.contains(holder), "{}", conflict.reason);
    }

    b.execute_batch("UPDATE t SET a = 'y' WHERE id = 5")
        .unwrap();
    let report = pair.sync(&spec).await;
    assert_eq!(report.tables[0].parked, 0);
    same(&pair, &["t"]);
    assert_eq!(dump(&pair.source(), ids).len(), 4);
}

trait Join {
    fn join(&self) -> String;
}

impl Join for Vec<String> {
    fn join(&self) -> String {
        self.as_slice().join(" ")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unique_values_that_several_rows_hold() {
    let pair = Pair::new(UNIQUE, UNIQUE);
    let spec = spec(&["t"], "source-wins");
    pair.sync(&spec).await;
    app(&pair.source())
        .execute_batch("INSERT INTO t VALUES (1, 'x', 'y', 0)")
        .unwrap();
    app(&pair.target())
        .execute_batch("INSERT INTO t VALUES (5, 'x', 1, 0), (6, 2, 'y', 0)")
        .unwrap();
    pair.sync(&spec).await;
    let open = waiting(&pair, &spec).await;
    let several = open
        .iter()
        .find(|c| c.kind == ConflictKind::MultipleUniqueConflicts)
        .unwrap();
    assert!(
        several.reason.contains("(5)") && several.reason.contains("(6)"),
        "{}",
        several.reason
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_change_places() {
    let pair = Pair::new(UNIQUE, UNIQUE);
    let spec = spec(&["t"], "park");
    let a = app(&pair.source());
    a.execute_batch(
        "INSERT INTO t VALUES (1, 'a', 1, 0), (2, 'b', 2, 0), (3, 'c', 3, 0), (4, 'd', 4, 0)",
    )
    .unwrap();
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    for sql in [
        // A cycle of three, then of four in both columns.
        "BEGIN; UPDATE t SET a = '-' WHERE id = 1; UPDATE t SET a = 'a' WHERE id = 2;
         UPDATE t SET a = 'b' WHERE id = 3; UPDATE t SET a = 'c' WHERE id = 1; COMMIT",
        "BEGIN; UPDATE t SET a = a || '-', b = -b; UPDATE t SET b = 1 WHERE id = 4;
         UPDATE t SET b = 4 WHERE id = 3; UPDATE t SET b = 3 WHERE id = 2;
         UPDATE t SET b = 2 WHERE id = 1; COMMIT",
        // Keys, with the values that belong to them.
        "BEGIN; UPDATE t SET id = 100 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2;
         UPDATE t SET id = 2 WHERE id = 100; COMMIT",
        "BEGIN; UPDATE t SET id = -id; UPDATE t SET id = 5 + id; COMMIT",
        // One leaves, another takes what it had.
        "BEGIN; DELETE FROM t WHERE id = 3; INSERT INTO t SELECT 30, a || '!', b + 50, c FROM t WHERE id = 4;
         UPDATE t SET a = 'last' WHERE id = 4; ROLLBACK",
        "BEGIN; UPDATE t SET a = 'z' WHERE id = 4; INSERT INTO t VALUES (9, 'd', 99, 0);
         DELETE FROM t WHERE id = 1; COMMIT",
    ] {
        a.execute_batch(sql).unwrap();
        let report = until_idle(&mut engine).await;
        assert_eq!((report.tables[0].conflicts, report.tables[0].parked), (0, 0), "{sql}");
        same(&pair, &["t"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_goes_through_beside_a_row_that_cannot() {
    let pair = Pair::new(UNIQUE, UNIQUE);
    let spec = spec(&["t"], "park");
    let a = app(&pair.source());
    a.execute_batch("INSERT INTO t VALUES (1, 'a', 1, 0), (2, 'b', 2, 0), (3, 'c', 3, 0)")
        .unwrap();
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    app(&pair.target())
        .execute_batch("INSERT INTO t VALUES (50, 'held', 50, 0)")
        .unwrap();
    a.execute_batch(
        "BEGIN; UPDATE t SET a = '-' WHERE id = 1; UPDATE t SET a = 'a' WHERE id = 2;
         UPDATE t SET a = 'b' WHERE id = 1; UPDATE t SET a = 'held' WHERE id = 3; COMMIT",
    )
    .unwrap();
    until_idle(&mut engine).await;
    let two = "SELECT * FROM t WHERE id < 3 ORDER BY id";
    assert_eq!(dump(&pair.source(), two), dump(&pair.target(), two));
    assert_eq!(waiting(&pair, &spec).await.len(), 2);
    app(&pair.target())
        .execute_batch("UPDATE t SET a = 'freed' WHERE id = 50")
        .unwrap();
    until_idle(&mut engine).await;
    same(&pair, &["t"]);
}

const FAMILY: &str = "
    CREATE TABLE p (id INTEGER PRIMARY KEY, up INT REFERENCES p DEFERRABLE INITIALLY DEFERRED, v);
    CREATE TABLE c (id INTEGER PRIMARY KEY, p INT REFERENCES p, v);
    CREATE TABLE x (id INTEGER PRIMARY KEY, y INT REFERENCES y DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE y (id INTEGER PRIMARY KEY, x INT REFERENCES x DEFERRABLE INITIALLY DEFERRED)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_waits_for_its_parent_and_holds_nothing_up() {
    let pair = Pair::new(FAMILY, FAMILY);
    let spec = spec(&["c", "p"], "source-wins");
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    let a = app(&pair.source());
    a.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    a.execute_batch("INSERT INTO c VALUES (1, 7, 'early'), (2, NULL, 'orphan')")
        .unwrap();
    until_idle(&mut engine).await;
    assert_eq!(
        dump(&pair.target(), "SELECT id FROM c").join(),
        "Integer(2)"
    );
    let open = waiting(&pair, &spec).await;
    assert_eq!(open[0].kind, ConflictKind::FkParentMissing);
    assert!(
        open[0].reason.contains("p (id)") && open[0].reason.contains('7'),
        "{}",
        open[0].reason
    );
    // What happens to it while it waits is not lost either.
    a.execute_batch("UPDATE c SET v = 'late' WHERE id = 1; INSERT INTO p VALUES (7, NULL, 0)")
        .unwrap();
    let report = until_idle(&mut engine).await;
    assert_eq!(report.tables[0].parked, 0);
    same(&pair, &["p", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_with_children_on_the_other_side_comes_back() {
    let pair = Pair::new(FAMILY, FAMILY);
    let spec = spec(&["p", "c"], "source-wins");
    let a = app(&pair.source());
    a.execute_batch("INSERT INTO p VALUES (1, NULL, 'p'), (2, NULL, 'q')")
        .unwrap();
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    a.execute_batch("DELETE FROM p").unwrap();
    app(&pair.target())
        .execute_batch("INSERT INTO c VALUES (10, 1, 'child')")
        .unwrap();
    let report = until_idle(&mut engine).await;
    assert_eq!(report.tables[0].parked + report.tables[1].parked, 0);
    same(&pair, &["p", "c"]);
    assert_eq!(
        dump(&pair.source(), "SELECT id FROM p").join(),
        "Integer(1)"
    );
    assert_eq!(
        dump(&pair.source(), "SELECT id FROM c").join(),
        "Integer(10)"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_refer_to_each_other() {
    let pair = Pair::new(FAMILY, FAMILY);
    let spec = spec(&["x", "y", "c", "p"], "park");
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    for (path, sql) in [
        (
            pair.source(),
            "BEGIN; INSERT INTO x VALUES (1, 1); INSERT INTO y VALUES (1, 1); COMMIT",
        ),
        (
            pair.target(),
            "BEGIN; INSERT INTO p VALUES (1, 2, 0), (2, 1, 0), (3, 3, 0); COMMIT",
        ),
        (
            pair.source(),
            "BEGIN; INSERT INTO x VALUES (2, 3); UPDATE y SET id = 3; UPDATE x SET y = 3; COMMIT",
        ),
        (
            pair.source(),
            "BEGIN; INSERT INTO c VALUES (1, 3, 0); UPDATE p SET up = 1 WHERE id = 3; COMMIT",
        ),
        (pair.target(), "BEGIN; DELETE FROM x; DELETE FROM y; COMMIT"),
        (pair.source(), "BEGIN; DELETE FROM c; DELETE FROM p; COMMIT"),
    ] {
        app(&path).execute_batch(sql).unwrap();
        let report = until_idle(&mut engine).await;
        for t in &report.tables {
            assert_eq!((t.conflicts, t.parked), (0, 0), "{}: {sql}", t.table);
        }
        same(&pair, &["x", "y", "c", "p"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stricter_target() {
    let pair = Pair::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a CHECK (a > 0), b NOT NULL)",
    );
    let spec = spec(&["t"], "source-wins");
    let a = app(&pair.source());
    a.execute_batch("INSERT INTO t VALUES (1, 1, 1), (2, -2, 2)")
        .unwrap();
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    a.execute_batch("UPDATE t SET b = NULL WHERE id = 1; INSERT INTO t VALUES (3, 3, 3)")
        .unwrap();
    until_idle(&mut engine).await;
    assert_eq!(
        dump(&pair.target(), "SELECT id, b FROM t ORDER BY id").len(),
        2
    );
    let mut kinds: Vec<_> = waiting(&pair, &spec)
        .await
        .into_iter()
        .map(|c| c.kind)
        .collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [ConflictKind::CheckViolation, ConflictKind::NotNullViolation]
    );
    a.execute_batch("UPDATE t SET a = 2 WHERE id = 2; UPDATE t SET b = 11 WHERE id = 1")
        .unwrap();
    let report = until_idle(&mut engine).await;
    assert_eq!(report.tables[0].parked, 0);
    same(&pair, &["t"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_changes_that_conflict() {
    let pair = Pair::new(UNIQUE, UNIQUE);
    let spec = spec(&["t"], "last-write-wins");
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    a.execute_batch("INSERT INTO t VALUES (1, 'a', 1, 0), (2, 'b', 2, 0)")
        .unwrap();
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    // The row moves away here and changes there; a new one takes its key there.
    a.execute_batch("UPDATE t SET id = 10 WHERE id = 1")
        .unwrap();
    b.execute_batch(
        "UPDATE t SET c = 'changed' WHERE id = 1; DELETE FROM t WHERE id = 2;
                     INSERT INTO t VALUES (2, 'new', 20, 0)",
    )
    .unwrap();
    a.execute_batch("UPDATE t SET id = 2, c = 'moved' WHERE id = 10; DELETE FROM t WHERE id = 99")
        .unwrap_err();
    until_idle(&mut engine).await;
    // Row 1 lives at the target only by its unique value, which row 10 holds: somebody must say.
    let open = waiting(&pair, &spec).await;
    if open.is_empty() {
        same(&pair, &["t"]);
    } else {
        b.execute_batch("DELETE FROM t WHERE id = 1").unwrap();
        until_idle(&mut engine).await;
        same(&pair, &["t"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_decided_does_not_keep_the_rest_waiting() {
    let pair = Pair::new(UNIQUE, UNIQUE);
    let spec = spec(&["t"], "source-wins");
    pair.sync(&spec).await;
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    b.execute_batch(
        "INSERT INTO t SELECT value, value, value, 0 FROM json_each('[1,2,3,4,5,6,7,8]')",
    )
    .unwrap();
    a.execute_batch("INSERT INTO t SELECT value + 10, value, value + 100, 0 FROM json_each('[1,2,3,4,5,6,7,8]')")
        .unwrap();
    let opened = pair.open(&spec).await;
    let options = banyan::sync::EngineOptions {
        conflict_rows: 2,
        ..Default::default()
    };
    let mut engine =
        banyan::sync::Engine::start(opened.source, opened.target, opened.plan, options)
            .await
            .unwrap();
    until_idle(&mut engine).await;
    assert_eq!(engine.waiting(), 16);
    // Only the last ones can go.
    b.execute_batch("UPDATE t SET a = 'free' WHERE id = 8")
        .unwrap();
    until_idle(&mut engine).await;
    assert_eq!(engine.waiting(), 14);
    b.execute_batch("DELETE FROM t WHERE id < 8").unwrap();
    until_idle(&mut engine).await;
    assert_eq!(engine.waiting(), 0);
    same(&pair, &["t"]);
}

/// The parent's new key waits for its unique value, the old parent for its child, and the child,
/// whose later version is the other side's, for nothing that will come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_knot_of_rows_that_wait_for_each_other_is_left_to_a_person() {
    let schema = "CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE);
                  CREATE TABLE c (id INTEGER PRIMARY KEY,
                                  p INT REFERENCES p (id) ON UPDATE CASCADE, v)";
    let pair = Pair::new(schema, schema);
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    a.execute_batch("INSERT INTO p VALUES (2, 'b'); INSERT INTO c VALUES (2, 2, 2)")
        .unwrap();
    let spec = spec(&["p", "c"], "target-wins");
    pair.sync(&spec).await;
    a.execute_batch("UPDATE p SET id = 20 WHERE id = 2")
        .unwrap();
    b.execute_batch("UPDATE c SET v = 99").unwrap();
    let report = pair.sync(&spec).await;
    let parked: u64 = report.tables.iter().map(|t| t.parked).sum();
    assert_eq!(parked, 3, "{report:?}");
    // Nothing was given up on either side, and the way out is an ordinary write.
    assert_eq!(dump(&pair.source(), "SELECT id FROM p"), ["Integer(20)"]);
    assert_eq!(dump(&pair.target(), "SELECT v FROM c"), ["Integer(99)"]);
    b.execute_batch("UPDATE p SET id = 20 WHERE id = 2")
        .unwrap();
    let report = pair.sync(&spec).await;
    assert!(report.tables.iter().all(|t| t.parked == 0), "{report:?}");
    same(&pair, &["p", "c"]);
}
