//! Queries on servers: filters that go to them, and values that only they hold.

use serde_json::{Value as Json, json};

use crate::support::sides::{Engine, Sides};

fn rows(sides: &Sides, sql: &str) -> Json {
    sides.shop.json(&["query", sql])
}

/// Decided by the server or not, a filter means the same.
#[test]
fn filters_answer_alike_in_every_engine() {
    for engine in [Engine::Sqlite, Engine::Postgres, Engine::Mysql] {
        let sides = Sides::new(engine, Engine::Sqlite);
        let (int, text) = match engine {
            Engine::Sqlite => ("INTEGER", "TEXT"),
            Engine::Postgres => ("BIGINT", "TEXT"),
            Engine::Mysql => ("BIGINT", "VARCHAR(40) COLLATE utf8mb4_bin"),
        };
        let quote = if engine == Engine::Mysql { '`' } else { '"' };
        sides.source.sql(&format!(
            "CREATE TABLE t (id {int} PRIMARY KEY, v {int}, s {text}, {quote}Odd \\ name{quote} {int})"
        ));
        let backslash = if engine == Engine::Mysql {
            "a\\\\b"
        } else {
            "a\\b"
        };
        sides.source.sql(&format!(
            "INSERT INTO t VALUES (1, 1, 'a', 5), (2, NULL, 'a ', 6), (3, 3, 'A', 7), (4, 4, '{backslash}', 8)"
        ));
        sides.configure("");
        for (filter, expected) in [
            ("id = 2", vec![2]),
            ("v IS NULL", vec![2]),
            ("v IS NOT NULL AND id >= 3", vec![3, 4]),
            ("id IN (1, 4) OR v = 3", vec![1, 3, 4]),
            ("id BETWEEN 2 AND 3", vec![2, 3]),
            ("v <> 3", vec![1, 4]),
            ("s = 'a'", vec![1]),
            ("s = 'a '", vec![2]),
            ("s > 'A'", vec![1, 2, 4]),
            ("s = 'a\\b'", vec![4]),
            ("\"Odd \\ name\" < 7", vec![1, 2]),
        ] {
            let sql = format!("SELECT id FROM monolith.t WHERE {filter} ORDER BY id");
            let expected: Vec<Json> = expected.into_iter().map(|id| json!({"id": id})).collect();
            assert_eq!(
                rows(&sides, &sql),
                Json::Array(expected),
                "{engine:?}: {filter}"
            );
            let sql = format!("SELECT count(*) n FROM monolith.t WHERE {filter}");
            assert!(rows(&sides, &sql)[0]["n"].is_u64());
        }
    }
}

#[test]
fn numbers_and_times_of_a_server_are_calculated_with() {
    let sides = Sides::new(Engine::Postgres, Engine::Mysql);
    sides.source.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, a NUMERIC(12,2), b NUMERIC, at TIMESTAMPTZ, day DATE, tm TIME,
                         u UUID, ok BOOLEAN);
         INSERT INTO t VALUES
           (1, 10.50, 1.25, '2024-01-01 00:00:00+00', '2024-02-29', '12:00', gen_random_uuid(), true),
           (2, 0.25, 1000000000000.5, '2024-01-01 01:00:00+00', '2024-03-01', '13:00', NULL, false)",
    );
    sides.target.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, a DECIMAL(12,2), n BIGINT UNSIGNED);
         INSERT INTO t VALUES (1, 10.50, 18446744073709551615), (2, 0.25, 0)",
    );
    sides.configure("");
    let sql = "SELECT sum(a) a, sum(b) b, CAST(max(day) - min(day) AS VARCHAR) days,
                      count(*) FILTER (WHERE ok) ok, max(tm) tm, date_part('hour', max(at)) hour FROM monolith.t";
    assert_eq!(
        rows(&sides, sql),
        json!([{"a": "10.75", "b": "1000000000001.75", "days": "1", "ok": 1, "tm": "13:00:00", "hour": 1}])
    );
    let sql = "SELECT m.id, m.a - s.a d, s.n FROM monolith.t m JOIN service.t s ON s.id = m.id ORDER BY 1";
    assert_eq!(
        rows(&sides, sql),
        json!([{"id": 1, "d": "0.00", "n": 18_446_744_073_709_551_615_u64}, {"id": 2, "d": "0.00", "n": 0}])
    );
    // What no calendar and no number has is named, and can be read as text.
    sides
        .source
        .sql("INSERT INTO t VALUES (3, 'NaN', 1, 'infinity', '-infinity', '24:00', NULL, NULL)");
    for column in ["a", "at", "day", "tm"] {
        let sql = format!("SELECT {column} v FROM monolith.t ORDER BY id");
        let shown = sides.shop.run(&["query", &sql]);
        assert_eq!(shown.code, 3, "{column}: {shown:?}");
        assert!(shown.errors.contains("row (id = 3)"), "{}", shown.errors);
        let rows = sides.shop.json(&["query", &sql, "--mixed-as-text"]);
        assert_eq!(rows.as_array().unwrap().len(), 3, "{column}: {rows}");
    }
}
