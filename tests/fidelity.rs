//! Every storage class in every column affinity gets across bit for bit, copied and followed.

use crate::support::{Pair, app, dump, spec, until_idle};

/// Edge values as SQL.
const VALUES: &[&str] = &[
    "NULL",
    "0",
    "1",
    "-1",
    "127",
    "128",
    "32767",
    "-32769",
    "8388607",
    "2147483648",
    "140737488355327",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "0.0",
    "-0.0",
    "1.0",
    "-1.5",
    "0.1 + 0.2",
    "0.3",
    "1e300",
    "5e-324",
    "-2.2250738585072014e-308",
    "1.7976931348623157e308",
    "9e999",
    "-9e999",
    "9223372036854775808.0",
    "9007199254740993.0",
    "1e15",
    "123456789012345678.0",
    "''",
    "' '",
    "'NULL'",
    "'0'",
    "'-0'",
    "'1'",
    "' 1 '",
    "'01'",
    "'1.0'",
    "'1e3'",
    "'1e400'",
    "'0x1F'",
    "'9223372036854775807'",
    "'9223372036854775808'",
    "'12abc'",
    "'.5'",
    "'5.'",
    "'+7'",
    "'-0.0'",
    "'1_000'",
    "'Infinity'",
    "'nan'",
    "'é€😀'",
    "'a' || char(0) || 'b'",
    "char(0)",
    "CAST(x'ff00fe' AS TEXT)",
    "CAST(x'c3' AS TEXT)",
    "CAST(x'eda080' AS TEXT)",
    "'x,y|z;''\"'",
    "replace(hex(zeroblob(3000)), '00', 'long ')",
    "x''",
    "x'00'",
    "x'31'",
    "x'ff'",
    "zeroblob(5000)",
];

const TYPES: &[&str] = &[
    "",
    "BLOB",
    "TEXT",
    "VARCHAR(5)",
    "NUMERIC",
    "DECIMAL(5,2)",
    "INTEGER",
    "BIGINT",
    "REAL",
    "DOUBLE",
    "BOOLEAN",
    "DATE",
];

/// A table with a column of each type, beginning with the `turn`th.
fn schema(name: &str, turn: usize) -> String {
    let columns: Vec<String> = (0..TYPES.len())
        .map(|i| format!("c{i} {}", TYPES[(i + turn) % TYPES.len()]))
        .collect();
    format!(
        "CREATE TABLE {name} (id INTEGER PRIMARY KEY, {})",
        columns.join(", ")
    )
}

/// A row for each value, which is in all of its columns.
fn rows(offset: usize, table: &str) -> String {
    let rows: Vec<String> = VALUES
        .iter()
        .enumerate()
        .map(|(i, v)| format!("({}, {})", i + offset, vec![*v; TYPES.len()].join(", ")))
        .collect();
    format!("INSERT INTO {table} VALUES {}", rows.join(", "))
}

async fn across(turn: usize) {
    // `expected` says what SQLite itself makes of the source's rows in the target's columns.
    let target = format!("{}; {}", schema("t", turn), schema("expected", turn));
    let pair = Pair::new(&schema("t", 0), &target);
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    b.execute_batch(&format!("ATTACH '{}' AS source", pair.source().display()))
        .unwrap();
    let spec = spec(&["t"], "park");
    let check = |what: &str| {
        b.execute_batch("DELETE FROM expected; INSERT INTO expected SELECT * FROM source.t")
            .unwrap();
        for i in 0..TYPES.len() {
            let column = |table| {
                dump(
                    &pair.target(),
                    &format!("SELECT id, typeof(c{i}), c{i} FROM {table} ORDER BY id"),
                )
            };
            let (made, expected) = (column("t"), column("expected"));
            assert_eq!(made.len(), expected.len(), "{what}");
            for (made, expected) in made.iter().zip(&expected) {
                assert_eq!(
                    made,
                    expected,
                    "{what}: {:?} to {:?}",
                    TYPES[i],
                    TYPES[(i + turn) % TYPES.len()]
                );
            }
        }
    };
    a.execute_batch(&rows(1, "t")).unwrap();
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    check("copied");

    a.execute_batch(&rows(1001, "t")).unwrap();
    until_idle(&mut engine).await;
    check("inserted");

    // Every row gets its neighbour's values.
    let sets: Vec<String> = (0..TYPES.len())
        .map(|i| format!("c{i} = (SELECT c{i} FROM t AS o WHERE o.id = t.id + 1)"))
        .collect();
    a.execute_batch(&format!("UPDATE t SET {}", sets.join(", ")))
        .unwrap();
    until_idle(&mut engine).await;
    check("updated");

    a.execute_batch("DELETE FROM t WHERE id % 3 = 0").unwrap();
    let report = until_idle(&mut engine).await;
    check("deleted");
    let t = &report.tables[0];
    assert_eq!((t.applied_to_source, t.conflicts, t.parked), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_columns_of_the_same_types() {
    across(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_columns_of_all_other_types() {
    for turn in 1..TYPES.len() {
        across(turn).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_type_on_the_other_side() {
    let pair = Pair::new(
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v)",
        "CREATE TABLE t (k TEXT PRIMARY KEY, v)",
    );
    let spec = spec(&["t"], "last-write-wins");
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    a.execute_batch("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (-3, 'c')")
        .unwrap();
    let mut engine = pair.engine(&spec).await;
    until_idle(&mut engine).await;
    assert_eq!(
        dump(&pair.target(), "SELECT typeof(k) FROM t GROUP BY 1"),
        ["Text([116, 101, 120, 116])"]
    );
    b.execute_batch("UPDATE t SET v = 'bb' WHERE k = '2'; INSERT INTO t VALUES ('44', 'd'); DELETE FROM t WHERE k = '1'")
        .unwrap();
    until_idle(&mut engine).await;
    let rows =
        |path: &std::path::Path| dump(path, "SELECT CAST(k AS INTEGER), v FROM t ORDER BY 1");
    assert_eq!(rows(&pair.source()), rows(&pair.target()));
    assert_eq!(rows(&pair.source()).len(), 3);
    // The later write wins although its key is spelt otherwise there.
    a.execute_batch("UPDATE t SET v = 'first' WHERE k = 2")
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    b.execute_batch("UPDATE t SET v = 'last' WHERE k = '2'")
        .unwrap();
    let report = until_idle(&mut engine).await;
    assert_eq!(report.tables[0].conflicts, 1);
    assert_eq!(rows(&pair.source()), rows(&pair.target()));
    assert!(
        rows(&pair.source())
            .iter()
            .any(|r| r.contains("[108, 97, 115, 116]")),
        "{:?}",
        rows(&pair.source())
    );
}
