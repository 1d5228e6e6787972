//! Every class of difference of the catalogue, between every two kinds of database, is found by HASH and
//! by FULL, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::support::sides::{Engine, Side, Sides};

/// Rows of a table of the shape classes.
const ROWS: i64 = 1000;

#[derive(Deserialize)]
struct Catalogue {
    class: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    name: String,
    r#type: String,
    a: String,
    b: String,
    sqlite_a: Option<String>,
    sqlite_b: Option<String>,
    #[serde(default)]
    only: Vec<String>,
}

fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
        Engine::Mysql => "mysql",
    }
}

/// The columns of a type; `None` where the engine has none such.
fn columns(r#type: &str, engine: Engine) -> Option<&'static str> {
    let [sqlite, postgres, mysql] = match r#type {
        "text" => ["v TEXT", "v TEXT", "v TEXT COLLATE utf8mb4_bin"],
        "two texts" => [
            "v TEXT, w TEXT",
            "v TEXT, w TEXT",
            "v TEXT COLLATE utf8mb4_bin, w TEXT COLLATE utf8mb4_bin",
        ],
        "int" => ["v INTEGER", "v BIGINT", "v BIGINT"],
        "float" => ["v REAL", "v DOUBLE PRECISION", "v DOUBLE"],
        "decimal" => ["v TEXT", "v NUMERIC(36,12)", "v DECIMAL(36,12)"],
        "any decimal" => ["", "v NUMERIC", ""],
        "timestamp" => ["v TEXT", "v TIMESTAMP", "v DATETIME(6)"],
        "instant" => ["", "v TIMESTAMPTZ", ""],
        "date" => ["v TEXT", "v DATE", "v DATE"],
        "time" => ["v TEXT", "v TIME", "v TIME(6)"],
        "bool" => ["v BOOLEAN", "v BOOLEAN", "v BOOLEAN"],
        "bytes" => ["v BLOB", "v BYTEA", "v BLOB"],
        "uuid" => ["v TEXT", "v UUID", "v UUID"],
        "json" => ["v TEXT", "v JSONB", "v JSON"],
        "array" => ["", "v INT[]", ""],
        "range" => ["", "v INT4RANGE", ""],
        "interval" => ["", "v INTERVAL", ""],
        "timetz" => ["", "v TIMETZ", ""],
        "enum" => ["v TEXT", "v mood", "v ENUM('new', 'old')"],
        "inet" => ["", "v INET", ""],
        other => panic!("no type {other}"),
    };
    let columns = match engine {
        Engine::Sqlite => sqlite,
        Engine::Postgres => postgres,
        Engine::Mysql => mysql,
    };
    (!columns.is_empty()).then_some(columns)
}

impl Class {
    fn is_of(&self, engine: Engine) -> bool {
        (self.only.is_empty() || self.only.iter().any(|o| o == name(engine)))
            && columns(&self.r#type, engine).is_some()
    }

    /// The cells as this engine writes them.
    fn cells(&self, engine: Engine, second: bool) -> String {
        let own = if second {
            &self.sqlite_b
        } else {
            &self.sqlite_a
        };
        let cells = match own {
            Some(own) if engine == Engine::Sqlite => own,
            _ if second => &self.b,
            _ => &self.a,
        };
        match (self.r#type.as_str(), engine) {
            _ if cells == "NULL" => cells.clone(),
            ("bytes", _) => engine.bytes(cells),
            // As text in the form in which the servers' decimals are carried.
            ("decimal", Engine::Sqlite) => format!("'{}'", with_scale(cells)),
            _ => cells.clone(),
        }
    }
}

/// `1` as `1.000000000000`.
fn with_scale(decimal: &str) -> String {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}.{fraction:0<12}")
}

/// Tables that differ in their rows: name, columns, rows of both sides. Each is `(id, v)`.
type Rows = Vec<(i64, i64)>;

fn shapes() -> Vec<(&'static str, Rows, Rows, usize)> {
    let all = || (1..=ROWS).map(|i| (i, i)).collect::<Rows>();
    let without = |gone: &dyn Fn(i64) -> bool| all().into_iter().filter(|r| !gone(r.0)).collect();
    let with =
        |change: &dyn Fn(i64) -> i64| all().into_iter().map(|r| (r.0, change(r.0))).collect();
    let half = usize::try_from(ROWS / 2).unwrap();
    vec![
        ("a row that is missing", all(), without(&|i| i == 500), 1),
        ("a row that is extra", without(&|i| i == 500), all(), 1),
        ("the first row is missing", all(), without(&|i| i == 1), 1),
        ("the last row is missing", all(), without(&|i| i == ROWS), 1),
        (
            "one is missing and another extra",
            without(&|i| i == 7),
            without(&|i| i == 8),
            2,
        ),
        ("the target is empty", all(), Vec::new(), ROWS as usize),
        ("the source is empty", Vec::new(), all(), ROWS as usize),
        (
            "every second row is missing",
            all(),
            without(&|i| i % 2 == 0),
            half,
        ),
        (
            "two rows have each other's values",
            all(),
            with(&|i| match i {
                3 => 4,
                4 => 3,
                i => i,
            }),
            2,
        ),
        (
            "one more here, one less there",
            all(),
            with(&|i| match i {
                10 => 11,
                20 => 19,
                i => i,
            }),
            2,
        ),
        (
            "an even number of rows shifted alike",
            all(),
            with(&|i| if i <= 200 { i + 25_200 } else { i }),
            200,
        ),
        (
            "half of the rows shifted",
            all(),
            with(&|i| if i % 2 == 0 { i + 4 } else { i }),
            half,
        ),
        ("every row differs", all(), with(&|i| -i), ROWS as usize),
        (
            "values moved by one row",
            all(),
            with(&|i| i % ROWS + 1),
            ROWS as usize,
        ),
        (
            "a key that is another",
            all(),
            all()
                .into_iter()
                .map(|(i, v)| if i == 9 { (5000, v) } else { (i, v) })
                .collect(),
            2,
        ),
    ]
}

fn insert(side: &Side, table: &str, rows: &Rows) {
    for rows in rows.chunks(500) {
        let rows: Vec<String> = rows.iter().map(|(i, v)| format!("({i}, {v})")).collect();
        side.sql(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
    }
}

fn check(source: Engine, target: Engine) {
    let sides = Sides::new(source, target);
    let text = include_str!("catalogue.toml");
    let catalogue: Catalogue = toml::from_str(text).unwrap();
    let names: BTreeSet<&str> = catalogue.class.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names.len(), catalogue.class.len());
    let mut expected: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for side in sides.both() {
        if side.engine == Engine::Postgres {
            side.sql("CREATE TYPE mood AS ENUM ('new', 'old')");
        }
    }
    for (i, class) in catalogue.class.iter().enumerate() {
        if !sides.both().iter().all(|side| class.is_of(side.engine)) {
            continue;
        }
        let table = format!("c{i}");
        for (second, side) in [false, true].into_iter().zip(sides.both()) {
            let columns = columns(&class.r#type, side.engine).unwrap();
            side.sql(&format!(
                "CREATE TABLE {table} (id INTEGER PRIMARY KEY, {columns})"
            ));
            let (alike, other) = (
                class.cells(side.engine, false),
                class.cells(side.engine, second),
            );
            side.sql(&format!(
                "INSERT INTO {table} VALUES (1, {alike}), (2, {other})"
            ));
        }
        expected.insert(table, (class.name.clone(), 1));
    }
    for (i, (name, a, b, differences)) in shapes().into_iter().enumerate() {
        let table = format!("s{i}");
        for (side, rows) in sides.both().into_iter().zip([a, b]) {
            let v = match side.engine {
                Engine::Sqlite => "INTEGER",
                Engine::Postgres | Engine::Mysql => "BIGINT",
            };
            side.sql(&format!(
                "CREATE TABLE {table} (id INTEGER PRIMARY KEY, v {v})"
            ));
            insert(side, &table, &rows);
        }
        expected.insert(table, (name.to_owned(), differences));
    }
    sides.configure("");
    for level in ["hash", "full"] {
        let shown = sides.shop.run(&[
            "verify",
            "shop",
            "--level",
            level,
            "--recheck-ms",
            "0",
            "--format",
            "json",
        ]);
        assert_eq!(shown.code, 1, "{}", shown.errors);
        let report = shown.json();
        let found: BTreeMap<&str, u64> = report["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| {
                let count = |what: &str| t[what].as_u64().unwrap();
                let found = ["missing_on_target", "extra_on_target", "differs"].map(count);
                assert_eq!(t["in_flight"], 0);
                (t["table"].as_str().unwrap(), found.iter().sum())
            })
            .collect();
        assert_eq!(found.len(), expected.len());
        for (table, (name, differences)) in &expected {
            let found = found[table.as_str()];
            assert_eq!(found, *differences as u64, "{level}: {name} ({table})");
        }
    }
    println!("{} classes", expected.len());
    assert!(expected.len() >= 60, "only {} classes", expected.len());
}

macro_rules! pairs {
    ($($name:ident: $source:ident, $target:ident;)*) => {$(
        #[test]
        fn $name() {
            check(Engine::$source, Engine::$target);
        }
    )*};
}

pairs! {
    sqlite_to_sqlite: Sqlite, Sqlite;
    sqlite_to_postgres: Sqlite, Postgres;
    sqlite_to_mysql: Sqlite, Mysql;
    postgres_to_sqlite: Postgres, Sqlite;
    postgres_to_postgres: Postgres, Postgres;
    postgres_to_mysql: Postgres, Mysql;
    mysql_to_sqlite: Mysql, Sqlite;
    mysql_to_postgres: Mysql, Postgres;
    mysql_to_mysql: Mysql, Mysql;
}
