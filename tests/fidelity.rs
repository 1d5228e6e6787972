//! Every storage class in every column affinity, copied and followed: it gets across bit for bit in
//! the form that SQLite gives it there, or it waits, because it would not come back.

use std::collections::{BTreeMap, BTreeSet};

use banyan::sync::SyncReport;

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

/// A table for each type: the `i`th type here is the `i + turn`th there.
fn schema(name: &str, turn: usize) -> String {
    let tables: Vec<String> = (0..TYPES.len())
        .map(|i| {
            let declared = TYPES[(i + turn) % TYPES.len()];
            format!("CREATE TABLE {name}{i} (id INTEGER PRIMARY KEY, v {declared})")
        })
        .collect();
    tables.join("; ")
}

/// A row for each value in each table.
fn rows(offset: usize) -> String {
    let rows: Vec<String> = VALUES
        .iter()
        .enumerate()
        .map(|(i, v)| format!("({}, {v})", i + offset))
        .collect();
    let tables = (0..TYPES.len()).map(|i| format!("INSERT INTO t{i} VALUES {}; ", rows.join(", ")));
    tables.collect()
}

/// The cells of a query by key, with their types, bit for bit.
fn cells(conn: &rusqlite::Connection, sql: &str) -> BTreeMap<i64, String> {
    let mut stmt = conn.prepare(sql).unwrap();
    let cells = stmt.query_map([], |row| {
        Ok((row.get(0)?, format!("{:?}", row.get_ref(1)?)))
    });
    cells.unwrap().collect::<Result<_, _>>().unwrap()
}

/// What a table of the target must hold, and which rows must wait.
#[derive(Debug, Default)]
struct Expected {
    held: BTreeMap<i64, String>,
    parked: BTreeSet<i64>,
}

impl Expected {
    /// Takes the source's rows as they are now: what SQLite makes of a value in the target's
    /// column is held there, if it comes back as what it was.
    fn follow(&mut self, there: &rusqlite::Connection, i: usize) {
        there
            .execute_batch(&format!(
                "DELETE FROM made{i}; INSERT INTO made{i} SELECT * FROM source.t{i};
                 DELETE FROM back{i}; INSERT INTO back{i} SELECT * FROM made{i}"
            ))
            .unwrap();
        let of = |table: &str| cells(there, &format!("SELECT id, v FROM {table}{i}"));
        let (source, made, back) = (of("source.t"), of("made"), of("back"));
        self.held.retain(|id, _| source.contains_key(id));
        self.parked.retain(|id| source.contains_key(id));
        for (id, value) in source {
            if back[&id] != value {
                self.parked.insert(id);
            } else {
                // Also one that waited: it has a value now that comes back.
                self.parked.remove(&id);
                self.held.insert(id, made[&id].clone());
            }
        }
    }
}

/// Answers how many rows were parked.
async fn across(turn: usize) -> usize {
    let target = [("t", turn), ("made", turn), ("back", 0)].map(|(name, turn)| schema(name, turn));
    let pair = Pair::new(&schema("t", 0), &target.join("; "));
    let (a, b) = (app(&pair.source()), app(&pair.target()));
    b.execute_batch(&format!("ATTACH '{}' AS source", pair.source().display()))
        .unwrap();
    let names: Vec<String> = (0..TYPES.len()).map(|i| format!("t{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = spec(&names, "park");
    let mut expected: Vec<Expected> = names.iter().map(|_| Expected::default()).collect();
    let mut check = |what: &str, report: &SyncReport| {
        let mut parked = 0;
        for (i, expected) in expected.iter_mut().enumerate() {
            expected.follow(&b, i);
            let types = (TYPES[i], TYPES[(i + turn) % TYPES.len()]);
            let held = cells(&b, &format!("SELECT id, v FROM t{i}"));
            assert_eq!(held, expected.held, "{what}: {types:?}");
            let t = &report.tables[i];
            let counts = (t.applied_to_source, t.conflicts, t.parked);
            let waits = expected.parked.len() as u64;
            assert_eq!(counts, (0, 0, waits), "{what}: {types:?}");
            parked += expected.parked.len();
        }
        parked
    };
    a.execute_batch(&rows(1)).unwrap();
    let mut engine = pair.engine(&spec).await;
    check("copied", &until_idle(&mut engine).await);

    a.execute_batch(&rows(1001)).unwrap();
    check("inserted", &until_idle(&mut engine).await);

    // Every row gets its neighbour's value.
    for name in &names {
        a.execute_batch(&format!(
            "UPDATE {name} SET v = (SELECT v FROM {name} AS o WHERE o.id = {name}.id + 1)"
        ))
        .unwrap();
    }
    check("updated", &until_idle(&mut engine).await);

    for name in &names {
        a.execute_batch(&format!("DELETE FROM {name} WHERE id % 3 = 0"))
            .unwrap();
    }
    check("deleted", &until_idle(&mut engine).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_columns_of_the_same_types() {
    assert_eq!(across(0).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_columns_of_all_other_types() {
    let mut parked = 0;
    for turn in 1..TYPES.len() {
        parked += across(turn).await;
    }
    assert!(parked > 0);
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
