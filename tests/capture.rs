//! Everything that an application can do to SQLite is captured, and capture changes nothing of what
//! the application sees.

use std::process::Command;

use banyan::database::AnySync;
use banyan::sync::{Engine, SyncReport};

use crate::sim::{Chooser, Seed};
use crate::support::{Pair, app, dump, spec, until_idle};

/// A source with capture, the same database without, and a target that follows.
struct Followed {
    pair: Pair,
    plain: rusqlite::Connection,
    source: rusqlite::Connection,
    engine: Engine<AnySync>,
    tables: Vec<String>,
}

impl Followed {
    async fn new(schema: &str, tables: &[&str]) -> Self {
        let pair = Pair::new(schema, schema);
        let path = pair.dir.path().join("plain.db");
        let plain = app(&path);
        plain.execute_batch("PRAGMA synchronous = OFF").unwrap();
        plain.execute_batch(schema).unwrap();
        let source = app(&pair.source());
        source.execute_batch("PRAGMA synchronous = OFF").unwrap();
        let mut engine = pair.engine(&spec(tables, "source-wins")).await;
        until_idle(&mut engine).await;
        Self {
            source,
            plain,
            pair,
            engine,
            tables: tables.iter().map(|t| (*t).to_owned()).collect(),
        }
    }

    /// Runs a statement with and without capture; both must end alike.
    fn run(&self, sql: &str) {
        let outcome = |conn: &rusqlite::Connection| {
            let error = conn.execute_batch(sql).err().map(|e| e.to_string());
            (
                error,
                conn.changes(),
                conn.last_insert_rowid(),
                conn.is_autocommit(),
            )
        };
        let (plain, source) = (outcome(&self.plain), outcome(&self.source));
        assert_eq!(plain, source, "with capture, {sql} ends otherwise");
    }

    fn rows(&self, conn: &rusqlite::Connection) -> Vec<String> {
        let mut out = Vec::new();
        for table in &self.tables {
            let mut stmt = conn
                .prepare(&format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")))
                .unwrap();
            let width = stmt.column_count();
            let mut rows = stmt.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let cells: Vec<String> = (0..width)
                    .map(|i| format!("{:?}", row.get_ref(i).unwrap()))
                    .collect();
                out.push(format!("{table}: {}", cells.join(" | ")));
            }
        }
        out.sort();
        out
    }

    async fn sync(&mut self) -> SyncReport {
        until_idle(&mut self.engine).await
    }

    async fn check(&mut self, context: &str) {
        let report = self.sync().await;
        let source = self.rows(&self.source);
        assert_eq!(
            self.rows(&self.plain),
            source,
            "the source itself, {context}"
        );
        assert_eq!(
            self.rows(&app(&self.pair.target())),
            source,
            "the target, {context}"
        );
        for table in &report.tables {
            assert_eq!(
                (table.conflicts, table.parked),
                (0, 0),
                "{}: {context}",
                table.table
            );
        }
    }
}

/// Runs the statements, syncing after each one, and again syncing only at the end.
async fn follows(schema: &str, tables: &[&str], statements: &[&str]) {
    for each in [true, false] {
        let mut followed = Followed::new(schema, tables).await;
        for sql in statements {
            followed.run(sql);
            if each {
                followed.check(sql).await;
            }
        }
        followed.check("at the end").await;
    }
}

macro_rules! followed {
    ($($name:ident: $schema:expr, $tables:expr, [$($sql:expr),* $(,)?];)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            follows($schema, &$tables, &[$($sql),*]).await;
        })*
    };
}

followed! {
    a_number_of_the_log_is_never_used_again:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", ["t"], [
        "INSERT INTO t VALUES (1, 'one')",
        // Leaves a candidate behind, the newest row of the log.
        "INSERT OR IGNORE INTO t VALUES (1, 'ignored')",
        "INSERT INTO t VALUES (2, 'two')",
        "INSERT OR IGNORE INTO t VALUES (1, 'ignored')",
        "DELETE FROM t WHERE id = 1",
        "INSERT INTO t VALUES (2, 'two') ON CONFLICT DO NOTHING",
        "UPDATE t SET a = 'zwei' WHERE id = 2",
    ];

    replace_ignore_abort_upsert:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b UNIQUE)", ["t"], [
        "INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', 'z')",
        "INSERT OR REPLACE INTO t VALUES (1, 'aa', 'x')",
        "REPLACE INTO t VALUES (9, 'b', 'z')",
        "INSERT OR IGNORE INTO t VALUES (9, 'q', 'q'), (10, 'q', 'r')",
        "INSERT OR ABORT INTO t VALUES (11, 'n', 'n'), (12, 'n', 'm')",
        "INSERT OR FAIL INTO t VALUES (11, 'n', 'n'), (12, 'n', 'm')",
        "INSERT INTO t VALUES (11, 'u', 'u') ON CONFLICT (id) DO UPDATE SET a = 'up', b = excluded.b",
        "INSERT INTO t VALUES (13, 'up', 'v') ON CONFLICT (a) DO UPDATE SET id = 14",
        "INSERT INTO t VALUES (14, 'up', 'v') ON CONFLICT DO NOTHING",
        "INSERT INTO t (a, b) VALUES (NULL, NULL), (NULL, NULL)",
        "INSERT OR REPLACE INTO t (a, b) VALUES ('up', 'q')",
        "UPDATE OR REPLACE t SET a = 'aa' WHERE id > 5",
        "UPDATE OR IGNORE t SET b = 'x'",
    ];

    keys_that_change:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", ["t"], [
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
        "UPDATE t SET id = 10 WHERE id = 1",
        "UPDATE OR REPLACE t SET id = 2 WHERE id = 3",
        "UPDATE t SET id = -id",
        "BEGIN; UPDATE t SET id = 99 WHERE id = -2; UPDATE t SET id = -2 WHERE id = -10;
         UPDATE t SET id = -10 WHERE id = 99; COMMIT",
        "UPDATE OR REPLACE t SET id = 5",
    ];

    rowids_and_their_collisions:
        "CREATE TABLE t (k TEXT PRIMARY KEY, a); CREATE TABLE u (k TEXT NOT NULL UNIQUE)", ["t", "u"], [
        "INSERT INTO t VALUES ('one', 1), ('two', 2)",
        // The row that this one displaces shares no declared key with it.
        "INSERT OR REPLACE INTO t (rowid, k, a) VALUES (1, 'three', 3)",
        "INSERT INTO u VALUES ('a'), ('b')",
        "UPDATE OR REPLACE u SET rowid = 1 WHERE k = 'b'",
        "UPDATE t SET rowid = rowid + 100",
    ];

    tables_without_rowid:
        "CREATE TABLE t (k TEXT, n INT, a UNIQUE, PRIMARY KEY (k, n)) WITHOUT ROWID", ["t"], [
        "INSERT INTO t VALUES ('x', 1, 1), ('x', 2, 2), ('y', 1, 3)",
        "INSERT OR REPLACE INTO t VALUES ('x', 1, 3)",
        "UPDATE OR REPLACE t SET k = 'x'",
        "UPDATE t SET n = n + 10",
        "DELETE FROM t",
    ];

    strict_tables:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, i INT, r REAL, s TEXT, b BLOB, x ANY) STRICT", ["t"], [
        "INSERT INTO t VALUES (1, 1, 1, 'a', x'00', '12'), (2, '7', '1.5', 3, NULL, 12)",
        "INSERT INTO t VALUES (3, 'no', 1, '', x'', 1)",
        "UPDATE t SET x = 1.0 WHERE id = 1; UPDATE t SET x = x'0102' WHERE id = 2",
    ];

    generated_columns:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, v AS (a * 2) UNIQUE, s AS (a + 1) STORED)", ["t"], [
        "INSERT INTO t (id, a) VALUES (1, 1), (2, 2)",
        "INSERT OR REPLACE INTO t (id, a) VALUES (3, 2)",
        "UPDATE OR REPLACE t SET a = 1 WHERE id = 3",
        "UPDATE t SET a = a + 1",
    ];

    indexes_partial_expressions_collations:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, mail TEXT, state TEXT, n INT);
         CREATE UNIQUE INDEX by_mail ON t (lower(mail));
         CREATE UNIQUE INDEX by_state ON t (n) WHERE state = 'open';
         CREATE UNIQUE INDEX by_nocase ON t (state COLLATE NOCASE, n + 1) WHERE n > 100", ["t"], [
        "INSERT INTO t VALUES (1, 'A@x', 'open', 1), (2, 'b@x', 'shut', 1)",
        "INSERT OR REPLACE INTO t VALUES (3, 'a@X', 'open', 2)",
        "INSERT OR REPLACE INTO t VALUES (4, 'c@x', 'open', 2)",
        "UPDATE OR REPLACE t SET mail = 'B@X' WHERE id = 4",
        "INSERT INTO t VALUES (5, 'd@x', 'Far', 200), (6, 'e@x', 'other', 200)",
        "INSERT OR REPLACE INTO t VALUES (7, 'f@x', 'fAR', 200)",
        "UPDATE OR REPLACE t SET state = 'FAR' WHERE id = 6",
    ];

    an_index_with_another_collation_than_its_column:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, tag TEXT COLLATE NOCASE);
         CREATE UNIQUE INDEX by_name ON t (name COLLATE NOCASE);
         CREATE UNIQUE INDEX by_tag ON t (tag COLLATE BINARY)", ["t"], [
        "INSERT INTO t VALUES (1, 'Ann', 'x'), (2, 'Bob', 'X')",
        "INSERT OR REPLACE INTO t VALUES (3, 'ANN', 'y')",
        "UPDATE OR REPLACE t SET name = 'bOB' WHERE id = 3",
        "INSERT OR REPLACE INTO t VALUES (4, 'Cid', 'Y')",
    ];

    keys_that_ignore_case:
        "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, a)", ["t"], [
        "INSERT INTO t VALUES ('Ab', 1), ('cd', 2)",
        "INSERT OR REPLACE INTO t VALUES ('AB', 3)",
        "UPDATE t SET k = 'aB'",
        "UPDATE t SET k = upper(k) WHERE k = 'CD'",
        "UPDATE t SET a = 9",
        "DELETE FROM t WHERE k = 'ab'",
    ];

    recursive_triggers:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)", ["t"], [
        "PRAGMA recursive_triggers = ON",
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
        "INSERT OR REPLACE INTO t VALUES (4, 1)",
        "REPLACE INTO t VALUES (2, 3)",
        "UPDATE OR REPLACE t SET a = 1 WHERE id = 2",
        "DELETE FROM t",
    ];

    the_application_s_own_triggers:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, n INT DEFAULT 0);
         CREATE TABLE audit (id INTEGER PRIMARY KEY, what);
         CREATE TRIGGER stamp AFTER UPDATE OF a ON t BEGIN
            UPDATE t SET n = n + 1 WHERE id = NEW.id; END;
         CREATE TRIGGER noted BEFORE INSERT ON t BEGIN
            INSERT INTO audit (what) VALUES ('insert ' || NEW.id); END;
         CREATE TRIGGER twin AFTER INSERT ON t WHEN NEW.id < 100 BEGIN
            INSERT OR REPLACE INTO t VALUES (NEW.id + 100, NEW.a, 0); END;
         CREATE TRIGGER refuse BEFORE DELETE ON t WHEN OLD.a = 'keep' BEGIN
            SELECT RAISE(ABORT, 'kept'); END;
         CREATE TRIGGER skip BEFORE UPDATE ON t WHEN NEW.a = 'skip' BEGIN
            SELECT RAISE(IGNORE); END", ["t", "audit"], [
        "INSERT INTO t (id, a) VALUES (1, 'x'), (2, 'keep')",
        "UPDATE t SET a = a || '!' WHERE id = 1",
        "REPLACE INTO t (id, a) VALUES (1, 'y')",
        "DELETE FROM t",
        "DELETE FROM t WHERE id = 1",
        "UPDATE t SET a = 'skip'",
        "INSERT OR REPLACE INTO t (id, a) VALUES (2, 'z')",
    ];

    a_trigger_that_writes_the_same_table_first:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE);
         CREATE TRIGGER first BEFORE INSERT ON t WHEN NEW.id < 100 BEGIN
            INSERT OR REPLACE INTO t VALUES (NEW.id + 100, 'log'); END", ["t"], [
        "INSERT INTO t VALUES (1, 'x')",
        "INSERT OR REPLACE INTO t VALUES (2, 'x')",
        "INSERT OR REPLACE INTO t VALUES (3, 'x')",
    ];

    foreign_keys_that_act:
        "CREATE TABLE p (id INTEGER PRIMARY KEY, up INT REFERENCES p ON DELETE CASCADE);
         CREATE TABLE c (id INTEGER PRIMARY KEY,
            p INT REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE,
            q INT DEFAULT 1 REFERENCES p ON DELETE SET NULL ON UPDATE SET DEFAULT)", ["p", "c"], [
        "INSERT INTO p VALUES (1, NULL), (2, 1), (3, 2), (4, NULL)",
        "INSERT INTO c VALUES (1, 1, 4), (2, 4, 1), (3, 4, 2)",
        "UPDATE p SET id = 40 WHERE id = 4",
        "DELETE FROM p WHERE id = 1",
        "DELETE FROM p WHERE id = 999",
        "INSERT OR REPLACE INTO p VALUES (40, NULL)",
        "DELETE FROM p",
    ];

    savepoints_and_rollbacks:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)", ["t"], [
        "BEGIN; INSERT INTO t VALUES (1, 1); SAVEPOINT s; INSERT OR REPLACE INTO t VALUES (2, 1);
         ROLLBACK TO s; INSERT INTO t VALUES (3, 3); RELEASE s; COMMIT",
        "BEGIN; DELETE FROM t; ROLLBACK",
        "BEGIN; INSERT INTO t VALUES (4, 4); INSERT OR ROLLBACK INTO t VALUES (5, 3)",
        "BEGIN; UPDATE t SET a = a + 10; SAVEPOINT s; UPDATE t SET a = 0 WHERE id = 1; ROLLBACK TO s; COMMIT",
        "BEGIN; INSERT OR IGNORE INTO t VALUES (1, 1); ROLLBACK",
        "INSERT INTO t VALUES (6, 6)",
    ];

    whole_tables_at_once:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", ["t"], [
        "INSERT INTO t SELECT value, value * 2 FROM generate_series(1, 300)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO t SELECT i, i * 2 FROM n",
        "UPDATE t SET a = a + 1",
        "DELETE FROM t",
        "INSERT INTO t VALUES (1, 1)",
    ];

    odd_values:
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, i INTEGER, r REAL, s TEXT, n NUMERIC)", ["t"], [
        "INSERT INTO t VALUES (1, -0.0, -0.0, -0.0, -0.0, -0.0)",
        "INSERT INTO t VALUES (2, 9e999, -9e999, 9e999, 9e999, 9e999 - 9e999)",
        "INSERT INTO t VALUES (3, 9223372036854775807, -9223372036854775808, 9223372036854775807,
            9223372036854775807, 9223372036854775808)",
        "INSERT INTO t VALUES (4, CAST(x'ff00fe' AS TEXT), x'', CAST(x'80' AS TEXT), x'00', CAST(x'3100' AS TEXT))",
        "INSERT INTO t VALUES (5, 0.1 + 0.2, '12', '1e3', 1e3, '0x10')",
        "INSERT INTO t VALUES (6, 'a' || char(0) || 'b', ' 7 ', '', NULL, 1e300)",
        "UPDATE t SET a = -0.0, i = 5.0, r = 7, s = 1.0, n = '1.0'",
        "UPDATE t SET r = -0.0 WHERE id = 3",
        "UPDATE t SET r = 1.5 WHERE id = 3",
        "INSERT INTO t VALUES (7, zeroblob(100000), 1, 1, hex(zeroblob(50000)), 1)",
    ];

    names_that_need_quotes:
        "CREATE TABLE \"a \"\"b.c'd\" (\"k 1\" INTEGER PRIMARY KEY, \"select\" UNIQUE, c0, seq, tbl)",
        ["a \"b.c'd"], [
        "INSERT INTO \"a \"\"b.c'd\" VALUES (1, 2, 3, 4, 5), (2, 3, 4, 5, 6)",
        "INSERT OR REPLACE INTO \"a \"\"b.c'd\" VALUES (3, 2, 3, 4, 5)",
        "UPDATE \"a \"\"b.c'd\" SET seq = 7",
    ];

    keys_of_several_columns_and_types:
        "CREATE TABLE t (a, b TEXT, c REAL, v, PRIMARY KEY (c, a, b))", ["t"], [
        "INSERT INTO t VALUES (1, 'x', 1.0, 0), (1.0, 'x', 1.5, 0), ('1', 'x', 1.0, 0), (x'31', 'x', 1.0, 0)",
        "UPDATE t SET v = typeof(a)",
        "UPDATE t SET a = 2 WHERE typeof(a) = 'text'",
        "DELETE FROM t WHERE typeof(a) = 'blob'",
        "INSERT OR REPLACE INTO t VALUES (2, 'x', 1, 'new')",
    ];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capture_looks_rows_up_by_index() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b TEXT, c);
         CREATE TABLE u (k TEXT PRIMARY KEY, a);
         CREATE UNIQUE INDEX some ON t (b) WHERE c = 1;
         CREATE UNIQUE INDEX computed ON t (lower(b), c DESC);
         CREATE UNIQUE INDEX nocase ON t (b COLLATE NOCASE, id)";
    let followed = Followed::new(schema, &["t", "u"]).await;
    followed.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO t SELECT i, i, i, i FROM n; INSERT INTO u SELECT id, a FROM t",
    );
    let looked_at = |conn: &rusqlite::Connection, sql: &str| {
        let mut stmt = conn.prepare(sql).unwrap();
        stmt.execute([]).unwrap();
        stmt.get_status(rusqlite::StatementStatus::FullscanStep)
    };
    // That a trigger's look-ups are counted:
    followed
        .plain
        .execute_batch(
            "CREATE TRIGGER slow AFTER DELETE ON u BEGIN SELECT count(*) FROM t WHERE c > 0; END",
        )
        .unwrap();
    assert!(looked_at(&followed.plain, "DELETE FROM u WHERE k = '7'") > 900);
    for sql in [
        "INSERT OR REPLACE INTO t VALUES (2000, 5, 'x', 1)",
        "UPDATE t SET b = 'y' WHERE id = 2000",
        "INSERT OR REPLACE INTO u VALUES ('5', 6)",
        "DELETE FROM t WHERE id = 2000",
    ] {
        let steps = looked_at(&followed.source, sql);
        assert!(steps < 10, "{sql}: {steps} rows were looked at one by one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_tool_of_another_version() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)";
    let mut followed = Followed::new(schema, &["t"]).await;
    for sql in [
        "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        "INSERT OR REPLACE INTO t VALUES (3, 'x')",
        "INSERT INTO t VALUES (3, 'z') ON CONFLICT (id) DO UPDATE SET a = 'zz'",
        "UPDATE t SET id = id + 10; DELETE FROM t WHERE a = 'y'",
    ] {
        let run = |path: &std::path::Path| Command::new("sqlite3").arg(path).arg(sql).status();
        let Ok(status) = run(&followed.pair.source()) else {
            println!("there is no sqlite3 on this machine");
            return;
        };
        assert!(status.success(), "{sql}");
        followed.plain.execute_batch(sql).unwrap();
        followed.check(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_another_one_attaches() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)";
    let mut followed = Followed::new(schema, &["t"]).await;
    let other = app(&followed.pair.dir.path().join("other.db"));
    let path = followed.pair.source();
    other
        .execute_batch(&format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 'mine');
             ATTACH '{}' AS s; INSERT INTO s.t SELECT * FROM main.t;
             INSERT OR REPLACE INTO s.t VALUES (2, 'mine'); UPDATE s.t SET a = 'theirs'",
            path.display()
        ))
        .unwrap();
    followed
        .plain
        .execute_batch("INSERT INTO t VALUES (2, 'theirs')")
        .unwrap();
    followed.check("attached").await;
}

/// A random statement over a table with every kind of unique key.
fn random_statement(seed: &mut Seed) -> String {
    let verb = [
        "INSERT",
        "INSERT OR REPLACE",
        "INSERT OR IGNORE",
        "INSERT OR FAIL",
        "REPLACE",
    ];
    let clause = ["", "OR REPLACE", "OR IGNORE", "OR FAIL", "OR REPLACE"];
    let mut value = |seed: &mut Seed| {
        let values = [
            "NULL", "1", "2", "3", "'a'", "'A'", "'b'", "1.0", "x'61'", "'1'", "-0.0",
        ];
        values[seed.choose(values.len())].to_owned()
    };
    let id = |seed: &mut Seed| (1 + seed.choose(6)).to_string();
    let condition = |seed: &mut Seed| match seed.choose(4) {
        0 => String::new(),
        1 => format!("WHERE id > {}", seed.choose(6)),
        2 => "WHERE typeof(a) = 'text'".to_owned(),
        _ => format!("WHERE id = {}", 1 + seed.choose(6)),
    };
    let row = |seed: &mut Seed, value: &mut dyn FnMut(&mut Seed) -> String| {
        let id = if seed.one_in(6) {
            "NULL".to_owned()
        } else {
            id(seed)
        };
        format!("({id}, {}, {}, {})", value(seed), value(seed), value(seed))
    };
    match seed.choose(10) {
        0..=3 => {
            let rows: Vec<String> = (0..=seed.choose(3))
                .map(|_| row(seed, &mut value))
                .collect();
            format!(
                "{} INTO t (id, a, b, c) VALUES {}",
                verb[seed.choose(verb.len())],
                rows.join(", ")
            )
        }
        4 => {
            let action = match seed.choose(3) {
                0 => "ON CONFLICT DO NOTHING".to_owned(),
                1 => format!(
                    "ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = {}",
                    value(seed)
                ),
                _ => format!(
                    "ON CONFLICT (a) DO UPDATE SET id = {}, c = excluded.c",
                    id(seed)
                ),
            };
            format!(
                "INSERT INTO t (id, a, b, c) VALUES {} {action}",
                row(seed, &mut value)
            )
        }
        5..=7 => {
            let column = ["a", "b", "c", "id"][seed.choose(4)];
            let value = if column == "id" {
                id(seed)
            } else {
                value(seed)
            };
            format!(
                "UPDATE {} t SET {column} = {value} {}",
                clause[seed.choose(clause.len())],
                condition(seed)
            )
        }
        8 => format!("DELETE FROM t {}", condition(seed)),
        _ => {
            let inner = random_statement(seed);
            let inner = inner.trim_start_matches("SAVEPOINT").to_owned();
            if inner.contains(';') {
                inner
            } else {
                format!(
                    "SAVEPOINT s; {inner}; {}; RELEASE s",
                    ["SELECT 1", "ROLLBACK TO s"][seed.choose(2)]
                )
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_statements_leave_both_sides_equal() {
    let schema =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE, b, c NUMERIC,
            UNIQUE (b, c));
         CREATE UNIQUE INDEX some ON t (c) WHERE b = 1;
         CREATE UNIQUE INDEX computed ON t (coalesce(a, '') || coalesce(b, ''), c)";
    let first: Option<u64> = std::env::var("CAPTURE_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    for n in first.map_or(0..24, |s| s..s + 1) {
        let mut seed = Seed::new(n);
        let mut followed = Followed::new(schema, &["t"]).await;
        let recursive = seed.one_in(3);
        followed.run(&format!("PRAGMA recursive_triggers = {recursive}"));
        let mut story = Vec::new();
        for _ in 0..60 {
            let sql = random_statement(&mut seed);
            story.push(sql.clone());
            followed.run(&sql);
            // A failed statement may leave its savepoint open.
            if !followed.source.is_autocommit() {
                followed.run("ROLLBACK");
            }
            if seed.one_in(3) {
                followed
                    .check(&format!("seed {n}: {}", story.join(";\n")))
                    .await;
                story.clear();
            }
        }
        followed
            .check(&format!("seed {n}: {}", story.join(";\n")))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_pruned_goes_on_counting() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)";
    let mut followed = Followed::new(schema, &["t"]).await;
    for i in 0..5 {
        followed.run(&format!("INSERT INTO t VALUES ({i}, 0)"));
        followed.run(&format!("INSERT OR IGNORE INTO t VALUES ({i}, 1)"));
        followed.check("and pruned").await;
        let outbox = "SELECT count(*) FROM \"_banyan_test.outbox\"";
        assert!(!dump(&followed.pair.source(), outbox)[0].contains("Integer(0)"));
    }
}
