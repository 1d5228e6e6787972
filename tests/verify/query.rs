//! SQL over stores, on real SQLite files.

use std::sync::Arc;

use banyan::data::Value;
use banyan::data::canonical;
use banyan::database::ReadStore;
use banyan::database::sqlite::SqliteStore;
use banyan::error::{Error, ErrorKind};
use banyan::verify::{JsonRows, QueryOptions, TextRows, query};
use tempfile::TempDir;

struct Shop {
    _folder: TempDir,
    stores: Vec<Arc<dyn ReadStore>>,
    runtime: tokio::runtime::Runtime,
    options: QueryOptions,
}

fn shop(monolith: &str, orders: &str) -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let stores = [("monolith", monolith), ("orders", orders)].map(|(name, sql)| {
        let path = folder.path().join(format!("{name}.db"));
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        let store: Arc<dyn ReadStore> = Arc::new(SqliteStore::new(name, path));
        store
    });
    Shop {
        _folder: folder,
        stores: stores.into(),
        runtime: tokio::runtime::Runtime::new().unwrap(),
        options: QueryOptions::default(),
    }
}

impl Shop {
    fn json(&self, sql: &str) -> Result<String, Error> {
        self.runtime.block_on(async {
            let mut rows = query(&self.stores, sql, &self.options).await?;
            let mut json = JsonRows::new(&rows.schema());
            let mut out = String::new();
            while let Some(batch) = rows.next().await? {
                out.push_str(&json.push(&batch)?);
            }
            out.push_str(json.finish());
            let _: serde_json::Value = serde_json::from_str(&out).unwrap();
            Ok(out)
        })
    }

    fn text(&self, sql: &str) -> Result<String, Error> {
        self.runtime.block_on(async {
            let mut rows = query(&self.stores, sql, &self.options).await?;
            let mut text = TextRows::new(&rows.schema());
            let mut out = String::new();
            while let Some(batch) = rows.next().await? {
                out.push_str(&text.push(&batch)?);
            }
            out.push_str(&text.finish());
            Ok(out)
        })
    }

    fn plan(&self, sql: &str) -> String {
        self.text(&format!("EXPLAIN {sql}")).unwrap()
    }
}

fn small() -> Shop {
    shop(
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, active BOOLEAN, credit DECIMAL(10,2), joined DATE);
         INSERT INTO customers VALUES (1, 'Ada', 1, 10, '2026-01-02'), (2, 'Bo''b', 0, 2.5, '2026-03-04'), (3, NULL, NULL, NULL, NULL);
         CREATE TABLE notes (n INTEGER, t TEXT COLLATE NOCASE, r REAL, b BLOB, anything);
         INSERT INTO notes VALUES (1, 'a', 1, x'00ff', 1), (2, 'A', 0.5, NULL, 'one');",
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, full_name TEXT);
         INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
         CREATE TABLE \"Invoices\" (\"Id\" INTEGER PRIMARY KEY, total REAL);
         INSERT INTO \"Invoices\" VALUES (7, 1.5);",
    )
}

#[test]
fn stores_are_joined_by_name() {
    let shop = small();
    let rows = shop.json(
        "SELECT a.id, a.name, b.full_name FROM monolith.customers a \
         JOIN orders.customers b ON a.id = b.id WHERE a.name <> b.full_name",
    );
    insta::assert_snapshot!(rows.unwrap(), @r#"
    [
      {"id":2,"name":"Bo'b","full_name":"Bob"}
    ]
    "#);
    assert_eq!(
        shop.json("SELECT id FROM monolith.customers WHERE id > 9")
            .unwrap(),
        "[]\n"
    );
}

#[test]
fn text_is_an_aligned_table() {
    let shop = small();
    let rows = shop.text("SELECT * FROM monolith.customers ORDER BY id");
    insta::assert_snapshot!(rows.unwrap(), @r"
    id  name  active  credit  joined
    --  ----  ------  ------  ----------
     1  Ada   true      10.0  2026-01-02
     2  Bo'b  false      2.5  2026-03-04
     3  NULL  NULL      NULL  NULL
    ");
    let twice =
        shop.text("SELECT a.id, b.id FROM monolith.customers a JOIN orders.customers b USING (id)");
    assert!(twice.unwrap().starts_with("id  id_2\n"));
}

#[test]
fn a_bare_name_is_found_if_one_store_has_it() {
    let shop = small();
    assert!(
        shop.json("SELECT n FROM notes")
            .unwrap()
            .contains("\"n\":1")
    );
    // In any case of letters; columns are spelt as they are.
    assert!(
        shop.json("SELECT Id FROM invoices")
            .unwrap()
            .contains("\"Id\":7")
    );
    let error = shop.json("SELECT 1 FROM customers").unwrap_err();
    assert!(
        error.hints()[0].contains("monolith.customers or orders.customers"),
        "{error:?}"
    );
}

#[test]
fn wrong_names_get_the_nearest_right_one() {
    let shop = small();
    for (sql, kind, hint) in [
        (
            "SELECT 1 FROM monolit.customers",
            ErrorKind::NotFound,
            "\"monolith\"",
        ),
        (
            "SELECT 1 FROM orders.custmers",
            ErrorKind::NotFound,
            "customers?",
        ),
        ("SELECT 1 FROM custmers", ErrorKind::NotFound, ".customers?"),
        (
            "SELECT nmae FROM monolith.customers",
            ErrorKind::Usage,
            "customers.name?",
        ),
        (
            "SELECT a.fullname FROM orders.customers a",
            ErrorKind::Usage,
            "customers.full_name?",
        ),
        (
            "SELECT zzz FROM orders.Invoices",
            ErrorKind::Usage,
            "Invoices.Id, Invoices.total",
        ),
    ] {
        let error = shop.json(sql).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.hints().iter().any(|h| h.contains(hint)), "{error:?}");
    }
}

#[test]
fn nothing_can_be_written() {
    let shop = small();
    for sql in [
        "INSERT INTO monolith.customers SELECT * FROM monolith.customers",
        "DELETE FROM monolith.customers",
        "UPDATE monolith.customers SET name = 'x'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "DROP TABLE monolith.customers",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE DELETE FROM monolith.customers",
        "SELECT 1; DROP TABLE monolith.customers",
        "SELEKT 1",
        "",
    ] {
        let error = shop.json(sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{sql}: {error:?}");
    }
    assert!(
        shop.json("SELECT count(*) AS n FROM monolith.customers")
            .unwrap()
            .contains("\"n\":3")
    );
}

#[test]
fn projection_filter_and_limit_go_to_the_store() {
    let shop = small();
    let plan =
        shop.plan("SELECT name FROM monolith.customers WHERE id > 1 AND name = 'Bo''b' LIMIT 5");
    let scan = plan.lines().rfind(|l| l.contains("StoreScan")).unwrap();
    assert_eq!(
        scan.trim(),
        "StoreScan: monolith.customers, columns=[name], filter=[\"id\" > 1 AND \"name\" = 'Bo''b'], \
         limit=5, order=[id]"
    );
    assert!(!plan.contains("FilterExec"), "{plan}");
    for (filter, pushed) in [
        ("id IN (1, 2)", true),
        ("id BETWEEN 1 AND 2", true),
        ("1 < id", true),
        ("name IS NULL", true),
        ("credit IS NOT NULL", true),
        ("id = 1 OR name = 'x'", true),
        ("name LIKE 'a%'", false),
        ("credit > 1", false),
        ("joined = '2026-01-02'", false),
        ("id + 1 = 2", false),
        ("name = 'x' || 'y' || id", false),
    ] {
        let plan = shop.plan(&format!(
            "SELECT id FROM monolith.customers WHERE {filter} LIMIT 1"
        ));
        assert_eq!(plan.contains("filter=["), pushed, "{filter}\n{plan}");
        assert_eq!(plan.contains("FilterExec"), !pushed, "{filter}\n{plan}");
        // A limit below a filter would lose rows.
        assert_eq!(plan.contains("limit=1"), pushed, "{filter}\n{plan}");
    }
    // Another collation compares otherwise; so does a column that may hold other kinds.
    let plan = shop.plan("SELECT n FROM monolith.notes WHERE t = 'a'");
    assert!(plan.contains("FilterExec"), "{plan}");
    let plan = shop.plan("SELECT n FROM monolith.notes WHERE n < 2");
    assert!(
        plan.contains("typeof(\"n\") NOT IN ('integer', 'null')"),
        "{plan}"
    );
    assert_eq!(
        shop.json("SELECT n FROM monolith.notes WHERE t = 'a'")
            .unwrap()
            .matches('{')
            .count(),
        1
    );
}

#[test]
fn filters_answer_alike_wherever_they_are_decided() {
    let shop = shop(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, s TEXT);
         INSERT INTO t VALUES (1, 5, 'a'), (2, NULL, 'A'), (3, -1, ''), (4, 9223372036854775807, NULL),
           (5, 5, 'b''c'), (6, 0, 'é'), (7, 6, char(233));",
        "",
    );
    for filter in [
        "i = 5",
        "i <> 5",
        "i < 5",
        "i >= 5",
        "NOT i = 5",
        "i IN (5, 6)",
        "i NOT IN (5, 6)",
        "i BETWEEN 0 AND 5",
        "i NOT BETWEEN 0 AND 5",
        "s = 'a'",
        "s <> 'a'",
        "s > 'a'",
        "s <= ''",
        "s IN ('a', 'b''c')",
        "s IS NULL OR i IS NULL",
        "i = 9223372036854775807",
        "5 > i",
        "s = 'é' AND i < 7",
        "i = 5 OR s = 'A'",
    ] {
        let ids = |condition: &str| {
            shop.json(&format!(
                "SELECT id FROM monolith.t WHERE {condition} ORDER BY id"
            ))
            .unwrap()
        };
        // Arithmetic on both sides keeps a filter out of the store.
        let here = filter
            .replace('i', "(i + 0)")
            .replace("(i + 0)s", "is")
            .replace('s', "(s || '')");
        let here = here.replace("I(s || '')", "IS");
        assert_eq!(ids(filter), ids(&here), "{filter} / {here}");
    }
}

#[test]
fn a_value_of_another_kind_is_an_error_that_names_its_row() {
    let mut shop = shop(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, age INTEGER, label TEXT, free NUMERIC);
         INSERT INTO t VALUES (1, 30, 'x', 1), (7, 'thirty', 'y', 'abc'), (8, 40, x'00ff', 2.5);",
        "",
    );
    for (sql, place) in [
        (
            "SELECT age FROM monolith.t",
            "column age, row (id = 7): holds \"thirty\"",
        ),
        (
            "SELECT count(age) AS n FROM monolith.t WHERE age < 35",
            "column age, row (id = 7)",
        ),
        (
            "SELECT label FROM monolith.t",
            "column label, row (id = 8): holds x'00ff'",
        ),
        (
            "SELECT free FROM monolith.t",
            "column free, row (id = 1): holds 1,",
        ),
    ] {
        let error = shop.json(sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.message().contains(place), "{error:?}");
        assert!(
            error.message().starts_with("store monolith, table t"),
            "{error:?}"
        );
    }
    // Other columns of the table can be read.
    assert!(
        shop.json("SELECT id FROM monolith.t WHERE age = 30")
            .unwrap()
            .contains("\"id\":1")
    );
    shop.options.mixed_as_text = true;
    let rows = shop
        .json("SELECT age, label, free FROM monolith.t ORDER BY id")
        .unwrap();
    insta::assert_snapshot!(rows, @r#"
    [
      {"age":"30","label":"x","free":"1"},
      {"age":"thirty","label":"y","free":"abc"},
      {"age":"40","label":"x'00ff'","free":"2.5"}
    ]
    "#);
}

#[test]
fn only_what_a_query_names_is_looked_at_first() {
    use super::memory::MemoryStore;
    use super::support::int;
    let store = Arc::new(MemoryStore::new("m", 10).with(
        "t",
        &["id", "v", "w"],
        &[0],
        vec![vec![int(1), int(2), int(3)]],
    ));
    let stores: Vec<Arc<dyn ReadStore>> = vec![Arc::<MemoryStore>::clone(&store)];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let read = |sql: &str| {
        let before = store.reads().len();
        runtime.block_on(async {
            let mut rows = query(&stores, sql, &QueryOptions::default()).await.unwrap();
            while rows.next().await.unwrap().is_some() {}
        });
        store.reads()[before].columns.clone()
    };
    assert_eq!(read("SELECT v FROM t"), ["v"]);
    assert_eq!(read("SELECT count(*) FROM t WHERE w > v"), ["v", "w"]);
    assert_eq!(read("SELECT * FROM t"), ["id", "v", "w"]);
    assert!(read("SELECT count(*) FROM t").is_empty());
}

#[test]
fn types_follow_what_is_there() {
    let shop = shop(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, whole NUMERIC, mixed DECIMAL(9,2), flag BOOLEAN, many BOOLEAN, at DATETIME, stamp TIMESTAMP, raw, none);
         INSERT INTO t VALUES (1, 1, 1, 0, 0, '2026-01-01 00:00:00', 1767225600, x'01', NULL), (2, 2, 2.5, 1, 2, NULL, 5, NULL, NULL);",
        "",
    );
    let types = shop.text(
        "SELECT arrow_typeof(whole) AS a, arrow_typeof(mixed) AS b, arrow_typeof(flag) AS c, \
         arrow_typeof(many) AS d, arrow_typeof(at) AS e, arrow_typeof(stamp) AS f, \
         arrow_typeof(raw) AS g, arrow_typeof(none) AS h FROM monolith.t LIMIT 1",
    );
    let types = types.unwrap();
    let types: Vec<&str> = types.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(
        types,
        [
            "Int64", "Float64", "Boolean", "Int64", "Utf8", "Int64", "Binary", "Utf8"
        ]
    );
    // An integer that no double holds is not rounded.
    let error = self::shop(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v NUMERIC); INSERT INTO t VALUES (1, 0.5), (2, 9007199254740993);",
        "",
    )
    .json("SELECT v FROM monolith.t")
    .unwrap_err();
    assert!(
        error
            .message()
            .contains("row (id = 2): holds 9007199254740993"),
        "{error:?}"
    );
}

#[test]
fn what_a_query_cannot_read_is_said_in_our_words() {
    let shop = shop(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT); CREATE VIEW names AS SELECT n FROM t;
         INSERT INTO t VALUES (1, 'a'), (2, x'00')",
        "",
    );
    for sql in ["SELECT * FROM monolith.names", "SELECT * FROM Names"] {
        let error = shop.json(sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.message(),
            "monolith.names is a view; a query reads tables"
        );
    }
    let error = shop.json("SELECT row_hash(*) FROM monolith.t").unwrap_err();
    assert_eq!(
        error.message(),
        "a function takes columns, and * is none (but in count(*))"
    );
    assert!(error.hints()[0].contains("t.id, t.n"), "{error:?}");
    // A value of another kind is an error, also where only a filter asks for it.
    for filter in ["n > 'A'", "n BETWEEN 'A' AND 'b'", "id < 9 AND n <= 'z'"] {
        let sql = format!("SELECT id FROM monolith.t WHERE {filter}");
        let error = shop.json(&sql).unwrap_err();
        assert!(
            error.message().contains("row (id = 2): holds x'00'"),
            "{error:?}"
        );
    }
}

#[test]
fn row_hash_is_the_hash_of_the_canonical_bytes() {
    let shop = small();
    let rows = shop.json("SELECT row_hash(id, name) AS h FROM monolith.customers WHERE id = 1");
    let hash: String = canonical::hash(&[Value::Int(1), "Ada".into()])
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(rows.unwrap(), format!("[\n  {{\"h\":\"{hash}\"}}\n]\n"));
    // Views, other widths, NULL and '' and shifted delimiters.
    let rows = shop.json(
        "SELECT row_hash(arrow_cast('x', 'Utf8View'), arrow_cast(1, 'Int8')) = row_hash('x', 1) AS same, \
         row_hash(NULL) = row_hash('') AS empty, row_hash('p|q', 'r') = row_hash('p', 'q|r') AS shifted, \
         row_hash(1) = row_hash(1.0) AS float",
    );
    assert!(
        rows.unwrap()
            .contains(r#"{"same":true,"empty":false,"shifted":false,"float":false}"#)
    );
    // The same rows on both sides of a join.
    let rows = shop.json(
        "SELECT a.id FROM monolith.customers a JOIN orders.customers b ON a.id = b.id \
         WHERE row_hash(a.id, a.name) <> row_hash(b.id, b.full_name)",
    );
    assert_eq!(rows.unwrap(), "[\n  {\"id\":2}\n]\n");
}

#[test]
fn kinds_that_only_other_engines_hold_have_their_types() {
    use super::memory::MemoryStore;
    let row = |n: i32| {
        let n64 = i64::from(n);
        vec![
            Value::Int(n64),
            Value::Bool(n == 1),
            Value::UInt(u64::MAX - n.unsigned_abs() as u64),
            Value::Decimal("1.50".parse().unwrap()),
            Value::Date(n),
            Value::Timestamp(n64 * 1_000_000),
            Value::TimestampUtc(n64),
            Value::Uuid([7; 16]),
            Value::Json("{}".into()),
            Value::Time(n64),
        ]
    };
    let columns = ["id", "b", "u", "d", "day", "at", "utc", "uuid", "j", "t"];
    let store = MemoryStore::new("m", 10).with("t", &columns, &[0], vec![row(1), row(2)]);
    let stores: Vec<Arc<dyn ReadStore>> = vec![Arc::new(store)];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let json = |sql: &str| {
        runtime.block_on(async {
            let mut rows = query(&stores, sql, &QueryOptions::default()).await.unwrap();
            let mut form = JsonRows::new(&rows.schema());
            let mut out = String::new();
            while let Some(batch) = rows.next().await.unwrap() {
                out.push_str(&form.push(&batch).unwrap());
            }
            out + form.finish()
        })
    };
    insta::assert_snapshot!(json("SELECT * FROM t WHERE id = 1"), @r#"
    [
      {"id":1,"b":true,"u":18446744073709551614,"d":"1.50","day":"1970-01-02","at":"1970-01-01T00:00:01","utc":"1970-01-01T00:00:00.000001Z","uuid":"07070707-0707-0707-0707-070707070707","j":"{}","t":"00:00:00.000001"}
    ]
    "#);
    // The hash of a cell is that of the value it holds.
    let hash: String = canonical::hash(&[
        row(1)[1].clone(),
        row(1)[2].clone(),
        row(1)[4].clone(),
        row(1)[5].clone(),
        row(1)[6].clone(),
    ])
    .iter()
    .map(|b| format!("{b:02x}"))
    .collect();
    assert!(json("SELECT row_hash(b, u, day, at, utc) AS h FROM t WHERE id = 1").contains(&hash));
}

#[test]
fn odd_cells_are_shown_and_quoted() {
    let shop = small();
    let rows = shop.json("SELECT b, r, anything FROM monolith.notes WHERE n = 1");
    // The untyped column holds two kinds.
    assert!(rows.unwrap_err().message().contains("column anything"));
    let rows = shop
        .json("SELECT b, r, 'a\nb' AS lines, 1e308 * 10 AS big FROM monolith.notes WHERE n = 1");
    assert_eq!(
        rows.unwrap(),
        "[\n  {\"b\":\"x'00ff'\",\"r\":1.0,\"lines\":\"a\\nb\",\"big\":\"inf\"}\n]\n"
    );
    assert!(
        shop.text("SELECT 'a\nb' AS t")
            .unwrap()
            .ends_with("a\\nb\n")
    );
}

#[test]
fn large_sides_are_joined_by_merging_in_little_memory() {
    let rows = |offset: i64| {
        format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
             INSERT INTO t SELECT i, 'value ' || (i + {offset} * (i % 1000 = 0)) FROM n;"
        )
    };
    let mut shop = shop(&rows(0), &rows(1));
    shop.options.memory_bytes = 8 * 1024 * 1024;
    let sql = "SELECT count(*) AS n FROM monolith.t a FULL OUTER JOIN orders.t b ON a.id = b.id \
               WHERE a.v IS DISTINCT FROM b.v";
    let plan = shop.plan(sql);
    assert!(plan.contains("SortMergeJoin"), "{plan}");
    assert!(shop.json(sql).unwrap().contains("\"n\":60"));
    shop.options.memory_bytes = 1024 * 1024 * 1024;
    assert!(shop.plan(sql).contains("HashJoin"));
    // A sort that does not fit spills.
    shop.options.memory_bytes = 16 * 1024 * 1024;
    let sql = "SELECT v FROM (SELECT a.v FROM monolith.t a ORDER BY row_hash(a.v)) LIMIT 1000000";
    assert_eq!(shop.json(sql).unwrap().matches('{').count(), 60_000);
}
