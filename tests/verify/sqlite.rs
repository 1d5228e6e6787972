//! The verifier over real SQLite files: every storage class in every column affinity.

use std::collections::BTreeMap;

use banyan::verify::{Level, Report, VerifyRequest, verify};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::support::{ONCE, Random, counts};
use crate::support::{Pair, app, spec};

/// One column of each affinity.
const TABLE: &str =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, n NUMERIC, x TEXT, b BLOB)";
const COLUMNS: [&str; 5] = ["i", "r", "n", "x", "b"];

/// Text is given as bytes, so that it need not be UTF-8.
#[derive(Clone, Debug)]
enum Cell {
    Value(Value),
    RawText(&'static [u8]),
}

impl rusqlite::ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Value(v) => ToSqlOutput::Borrowed(v.into()),
            Self::RawText(v) => ToSqlOutput::Borrowed(ValueRef::Text(v)),
        })
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = vec![
        Cell::Value(Value::Null),
        Cell::RawText(b"\xff\xfe"),
        Cell::RawText(b"a\0b"),
    ];
    cells.extend(
        [
            0,
            1,
            -1,
            127,
            128,
            1 << 52,
            (1 << 53) + 1,
            i64::MAX,
            i64::MIN,
        ]
        .map(|v| Cell::Value(Value::Integer(v))),
    );
    cells.extend(
        [
            0.0,
            -0.0,
            0.3,
            0.1 + 0.2,
            1.5,
            1e300,
            5e-324,
            f64::INFINITY,
            9_007_199_254_740_993.0,
        ]
        .map(|v| Cell::Value(Value::Real(v))),
    );
    cells.extend(
        [
            "", " ", "NULL", "1", "1.0", "1e3", "0x10", " 5", "abc", "ABC", "abc ", "\u{e9}",
            "e\u{301}",
        ]
        .map(|v| Cell::Value(Value::Text(v.into()))),
    );
    cells.extend([&b""[..], b"1", b"abc", b"\0"].map(|v| Cell::Value(Value::Blob(v.to_vec()))));
    cells
}

/// What a cell holds, told apart bit for bit.
fn held(conn: &rusqlite::Connection, id: i64, column: &str) -> String {
    let sql = format!("SELECT {column} FROM t WHERE id = ?1");
    conn.query_row(&sql, [id], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Real(v) => format!("real {:016x}", v.to_bits()),
            other => format!("{other:?}"),
        })
    })
    .unwrap()
}

fn fill(pair: &Pair, rows: i64) {
    let cells = cells();
    for path in [pair.source(), pair.target()] {
        let conn = app(&path);
        let mut random = Random(11);
        conn.execute_batch("BEGIN").unwrap();
        for id in 0..rows {
            let mut pick = || cells[random.below(cells.len())].clone();
            conn.prepare_cached("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
                .unwrap()
                .execute((id, pick(), pick(), pick(), pick(), pick()))
                .unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
    }
}

async fn compare(pair: &Pair, level: Level) -> Report {
    let opened = pair.open(&spec(&["t"], "last-write-wins")).await;
    let (source, target) = pair.stores();
    let mut request = VerifyRequest::new(&source, &target, &opened.plan.mappings);
    request.level = level;
    request.recheck = ONCE;
    verify(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_1000_corruptions_in_every_affinity_is_found() {
    let pair = Pair::new(TABLE, TABLE);
    fill(&pair, 20_000);
    for level in [Level::Full, Level::Hash] {
        assert!(compare(&pair, level).await.consistent);
    }
    let conn = app(&pair.target());
    let cells = cells();
    let mut random = Random(12);
    let mut corrupted = BTreeMap::new();
    while corrupted.len() < 1000 {
        let id = random.below(20_000) as i64;
        let column = COLUMNS[random.below(COLUMNS.len())];
        if corrupted.contains_key(&id) {
            continue;
        }
        let before = held(&conn, id, column);
        let bad = &cells[random.below(cells.len())];
        conn.execute(
            &format!("UPDATE t SET {column} = ?1 WHERE id = ?2"),
            (bad, id),
        )
        .unwrap();
        // The affinity may have made it what it was.
        if held(&conn, id, column) != before {
            corrupted.insert(id, column.to_owned());
        }
    }
    for level in [Level::Full, Level::Hash] {
        let report = compare(&pair, level).await;
        let found: BTreeMap<i64, String> = report
            .differences
            .iter()
            .map(|d| (d.key["id"].as_i64().unwrap(), d.columns.join(",")))
            .collect();
        assert_eq!(found, corrupted, "{level}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_affinities_hold_the_same_values_in_another_form() {
    // What the target makes of a value is what it should hold.
    let pair = Pair::new(
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, v TEXT)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v NUMERIC)",
    );
    let source = app(&pair.source());
    let target = app(&pair.target());
    for id in 0..3000 {
        let v = if id % 3 == 0 {
            format!("{id}.5")
        } else {
            format!("v{id}")
        };
        source
            .execute("INSERT INTO t VALUES (?1, ?2)", (id.to_string(), &v))
            .unwrap();
        target
            .execute("INSERT INTO t VALUES (?1, ?2)", (id, &v))
            .unwrap();
    }
    for level in [Level::Full, Level::Hash] {
        let report = compare(&pair, level).await;
        assert!(report.consistent, "{report}");
        // '10' comes before '9' as text.
        assert_eq!(report.tables[0].strategy, "sort-merge");
    }
    target
        .execute("UPDATE t SET v = 9.25 WHERE id = 9", [])
        .unwrap();
    target.execute("DELETE FROM t WHERE id = 10", []).unwrap();
    for level in [Level::Full, Level::Hash] {
        let report = compare(&pair, level).await;
        assert_eq!(counts(&report), (1, 0, 1));
        assert_eq!(report.differences[0].key["id"], 9);
    }
    // What the target makes of it is not what comes back.
    source
        .execute("UPDATE t SET v = '12.50' WHERE id = '12'", [])
        .unwrap();
    for level in [Level::Full, Level::Hash] {
        assert_eq!(counts(&compare(&pair, level).await), (1, 0, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn composite_keys_of_text_are_read_in_ranges() {
    let table = "CREATE TABLE t (a TEXT COLLATE NOCASE NOT NULL, n INTEGER NOT NULL, v TEXT, PRIMARY KEY (a, n)) WITHOUT ROWID";
    let pair = Pair::new(table, table);
    for path in [pair.source(), pair.target()] {
        app(&path)
            .execute_batch(
                "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 9999)
                 INSERT INTO t SELECT char(97 + i % 26 - 32 * (i % 2)) || 'é' || (i / 100), i, 'v' || i FROM c",
            )
            .unwrap();
    }
    for level in [Level::Full, Level::Hash] {
        let report = compare(&pair, level).await;
        assert!(report.consistent, "{report}");
    }
    app(&pair.target())
        .execute_batch("UPDATE t SET v = v || ' ' WHERE n % 500 = 3; DELETE FROM t WHERE n = 7777; UPDATE t SET a = upper(a) WHERE n = 0")
        .unwrap();
    for level in [Level::Full, Level::Hash] {
        let report = compare(&pair, level).await;
        assert_eq!(counts(&report), (2, 1, 20), "{report}");
    }
}
