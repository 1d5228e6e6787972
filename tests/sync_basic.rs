//! Copying and following, in both directions.

use crate::support::{Pair, app, dump, spec};

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT UNIQUE)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_then_follows_both_sides() {
    let pair = Pair::new(SCHEMA, SCHEMA);
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    a.execute_batch(
        "INSERT INTO t VALUES (1, 1, 'one'), (2, 2.5, 'two'), (3, x'00ff', NULL), (4, NULL, '')",
    )
    .unwrap();
    let spec = spec(&["t"], "source-wins");
    let mut engine = pair.engine(&spec).await;
    let report = crate::support::until_idle(&mut engine).await;
    assert_eq!(report.tables[0].copied, 4);
    let all = "SELECT * FROM t ORDER BY id";
    assert_eq!(dump(&pair.source(), all), dump(&pair.target(), all));

    a.execute_batch(
        "UPDATE t SET a = 'x' WHERE id = 1; DELETE FROM t WHERE id = 2;
         INSERT OR REPLACE INTO t VALUES (9, 9, 'one')",
    )
    .unwrap();
    b.execute_batch("INSERT INTO t VALUES (5, 5, 'five'); UPDATE t SET a = -0.0 WHERE id = 4")
        .unwrap();
    let report = crate::support::until_idle(&mut engine).await;
    assert_eq!(dump(&pair.source(), all), dump(&pair.target(), all));
    assert_eq!(dump(&pair.source(), all).len(), 4);
    assert_eq!(report.tables[0].conflicts, 0);
    assert_eq!(report.tables[0].parked, 0);
    assert_eq!(report.tables[0].applied_to_source, 2);

    // Conflicting updates: the source wins on both sides.
    a.execute_batch("UPDATE t SET a = 'from a' WHERE id = 4")
        .unwrap();
    b.execute_batch("UPDATE t SET a = 'from b' WHERE id = 4")
        .unwrap();
    let report = crate::support::until_idle(&mut engine).await;
    assert_eq!(dump(&pair.source(), all), dump(&pair.target(), all));
    assert_eq!(report.tables[0].conflicts, 1);
    assert!(dump(&pair.target(), "SELECT a FROM t WHERE id = 4")[0].contains("Text"));

    // Unique values swapped inside one transaction.
    a.execute_batch(
        "INSERT INTO t VALUES (20, 0, 'p'), (21, 0, 'q');
         BEGIN; UPDATE t SET b = 'tmp' WHERE id = 20; UPDATE t SET b = 'p' WHERE id = 21;
         UPDATE t SET b = 'q' WHERE id = 20; COMMIT",
    )
    .unwrap();
    crate::support::until_idle(&mut engine).await;
    a.execute_batch(
        "BEGIN; UPDATE t SET b = 'tmp' WHERE id = 20; UPDATE t SET b = 'q' WHERE id = 21;
         UPDATE t SET b = 'p' WHERE id = 20; COMMIT",
    )
    .unwrap();
    crate::support::until_idle(&mut engine).await;
    assert_eq!(dump(&pair.source(), all), dump(&pair.target(), all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_added_is_gone_after_uninstall() {
    let pair = Pair::new(SCHEMA, SCHEMA);
    let schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name";
    let before = dump(&pair.source(), schema);
    let spec = spec(&["t"], "source-wins");
    pair.sync(&spec).await;
    assert_ne!(dump(&pair.source(), schema), before);
    let opened = pair.open(&spec).await;
    opened.source.uninstall().await.unwrap();
    opened.target.uninstall().await.unwrap();
    assert_eq!(dump(&pair.source(), schema), before);
    assert_eq!(dump(&pair.target(), schema), before);
}
