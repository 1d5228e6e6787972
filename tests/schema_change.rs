//! A schema that changes under a running sync: noticed, named, nothing lost, the rest goes on.

use crate::support::{Pair, app, dump, spec, until_idle};

const SCHEMA: &str =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE TABLE u (id INTEGER PRIMARY KEY, a)";

fn same(pair: &Pair, sql: &str) {
    assert_eq!(
        dump(&pair.source(), sql),
        dump(&pair.target(), sql),
        "{sql}"
    );
}

/// Runs `change` on a side of a running sync: `t` pauses, `u` goes on, and after both sides fit again
/// (`mend` runs on the source, `mend_target` on the target) everything is there.
async fn pauses(on_source: bool, change: &str, mend: &str, mend_target: &str, says: &str) {
    let pair = Pair::new(SCHEMA, SCHEMA);
    let spec = spec(&["t", "u"], "last-write-wins");
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    a.execute_batch("INSERT INTO t VALUES (1, 1, 1), (2, 2, 2); INSERT INTO u VALUES (1, 1)")
        .unwrap();
    let mut engine = Box::new(Box::pin(pair.engine(&spec)).await);
    until_idle(&mut engine).await;
    a.execute_batch("UPDATE t SET a = 'before' WHERE id = 1")
        .unwrap();
    let changed = if on_source { &a } else { &b };
    changed.execute_batch(change).unwrap();
    a.execute_batch("UPDATE t SET a = 'after' WHERE id = 2; INSERT INTO u VALUES (2, 2)")
        .or_else(|e| {
            // The table itself may be gone.
            assert!(e.to_string().contains("no such table"), "{e}");
            a.execute_batch("INSERT INTO u VALUES (2, 2)")
        })
        .unwrap();
    b.execute_batch("INSERT INTO u VALUES (3, 3)").unwrap();
    let report = until_idle(&mut engine).await;
    let (table, why) = &report.paused[0];
    assert_eq!(table, "t");
    assert!(why.contains(says), "{why}");
    assert_eq!(report.paused.len(), 1);
    same(&pair, "SELECT * FROM u ORDER BY id");
    assert_eq!(dump(&pair.source(), "SELECT * FROM u").len(), 3);

    a.execute_batch(mend).unwrap();
    b.execute_batch(mend_target).unwrap();
    let report = Box::pin(pair.resumed(&spec)).await;
    assert!(report.paused.is_empty(), "{:?}", report.paused);
    assert_eq!(report.tables[0].parked, 0);
    same(&pair, "SELECT * FROM t ORDER BY id");
    same(&pair, "SELECT * FROM u ORDER BY id");
    let sql = "SELECT count(*) FROM t WHERE a IN ('before', 'after')";
    assert_eq!(dump(&pair.target(), sql), ["Integer(2)"]);
    // And it is followed again, both ways.
    a.execute_batch("UPDATE t SET a = 'again' WHERE id = 1")
        .unwrap();
    b.execute_batch("UPDATE t SET a = 'back' WHERE id = 2")
        .unwrap();
    Box::pin(pair.sync(&spec)).await;
    same(&pair, "SELECT * FROM t ORDER BY id");
    assert_eq!(
        dump(&pair.target(), "SELECT a FROM t WHERE id = 1"),
        dump(&pair.source(), "SELECT 'again'")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_is_added_at_the_source() {
    let add = "ALTER TABLE t ADD COLUMN c DEFAULT 7";
    pauses(true, add, "", add, "column c was added").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_is_added_at_the_target() {
    let add = "ALTER TABLE t ADD COLUMN c";
    pauses(false, add, add, "", "column c was added").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_is_renamed_at_the_source() {
    let rename = "ALTER TABLE t RENAME COLUMN b TO bb";
    pauses(true, rename, "", rename, "column b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_is_renamed_at_the_target() {
    let rename = "ALTER TABLE t RENAME COLUMN b TO bb";
    pauses(false, rename, rename, "", "column b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_renamed_and_renamed_back() {
    pauses(
        true,
        "ALTER TABLE t RENAME TO tt",
        "ALTER TABLE tt RENAME TO t; UPDATE t SET a = 'after' WHERE id = 2",
        "",
        "dropped or renamed",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_capture_triggers_are_removed() {
    pauses(
        false,
        "DROP TRIGGER \"_banyan_test.t.update\"",
        "",
        "",
        "capture triggers were removed",
    )
    .await;
}
