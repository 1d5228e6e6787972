//! A thousand single cells, changed as little as their types allow, in tables of all kinds of columns between
//! every two kinds of database: HASH and FULL find each of them, in its column, and nothing else.

use std::collections::BTreeMap;

use crate::sim::{Chooser, Seed};
use crate::support::sides::{Engine, Side, Sides};

const ROWS: usize = 5_000;
const CORRUPTIONS: usize = 1_000;
const COLUMNS: [&str; 7] = ["n", "f", "t", "d", "m", "b", "y"];

/// A value that all engines hold.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    /// In millionths of millionths.
    Decimal(i64),
    /// Microseconds of the year 2024, below a day.
    Time(i64),
    Bytes(Vec<u8>),
    Bool(bool),
}

fn columns(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "n INTEGER, f REAL, t TEXT, d TEXT, m TEXT, b BLOB, y BOOLEAN",
        Engine::Postgres => {
            "n BIGINT, f DOUBLE PRECISION, t TEXT, d NUMERIC(36,12), m TIMESTAMP, b BYTEA, y BOOLEAN"
        }
        Engine::Mysql => {
            "n BIGINT, f DOUBLE, t TEXT COLLATE utf8mb4_bin, d DECIMAL(36,12), m DATETIME(6), \
             b BLOB, y BOOLEAN"
        }
    }
}

impl Cell {
    fn random(column: usize, seed: &mut Seed) -> Self {
        if seed.one_in(12) {
            return Self::Null;
        }
        let words = [
            "Straße",
            "a",
            "A",
            "",
            " x",
            "Ångström",
            "naïve",
            "日本",
            "0",
            "1e3",
        ];
        match column {
            0 => Self::Int(seed.choose(1 << 40) as i64 - (1 << 39)),
            1 => Self::Float(seed.choose(1 << 50) as f64 / 1024.0 + 0.5),
            2 => Self::Text(format!(
                "{}{}",
                words[seed.choose(words.len())],
                seed.choose(100)
            )),
            3 => Self::Decimal(seed.choose(1 << 60) as i64 - (1 << 59)),
            4 => Self::Time(seed.choose(86_400_000_000) as i64),
            5 => Self::Bytes(
                (0..seed.choose(9))
                    .map(|_| seed.choose(256) as u8)
                    .collect(),
            ),
            _ => Self::Bool(seed.one_in(2)),
        }
    }

    /// Another value, as near as can be.
    fn corrupt(&self, column: usize, seed: &mut Seed) -> Self {
        match self {
            // What one is tempted to take for nothing.
            Self::Null => match column {
                0 => Self::Int(0),
                1 => Self::Float(0.0),
                2 => Self::Text(String::new()),
                3 => Self::Decimal(0),
                4 => Self::Time(0),
                5 => Self::Bytes(Vec::new()),
                _ => Self::Bool(false),
            },
            _ if seed.one_in(10) => Self::Null,
            Self::Int(v) => Self::Int(v ^ (1 << seed.choose(62))),
            Self::Float(v) => Self::Float(f64::from_bits(v.to_bits() ^ (1 << seed.choose(52)))),
            Self::Text(v) => Self::Text(match seed.choose(4) {
                0 => format!("{v} "),
                1 if v.to_uppercase() != *v => v.to_uppercase(),
                2 => format!("{v}\u{301}"),
                _ => v
                    .chars()
                    .rev()
                    .skip(1)
                    .collect::<Vec<_>>()
                    .iter()
                    .rev()
                    .collect(),
            }),
            Self::Decimal(v) => Self::Decimal(v + 1),
            Self::Time(v) => Self::Time(v ^ 1),
            Self::Bytes(v) if v.is_empty() => Self::Bytes(vec![0]),
            Self::Bytes(v) => {
                let mut v = v.clone();
                let at = seed.choose(v.len());
                v[at] ^= 1 << seed.choose(8);
                Self::Bytes(v)
            }
            Self::Bool(v) => Self::Bool(!v),
        }
    }

    fn literal(&self, engine: Engine) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Int(v) => v.to_string(),
            Self::Float(v) => format!("{v:e}"),
            Self::Text(v) => engine.text(v),
            Self::Decimal(v) => {
                let sign = if *v < 0 { "-" } else { "" };
                let v = v.unsigned_abs();
                let (whole, rest) = (v / 1_000_000_000_000, v % 1_000_000_000_000);
                let decimal = format!("{sign}{whole}.{rest:012}");
                match engine {
                    Engine::Sqlite => format!("'{decimal}'"),
                    Engine::Postgres | Engine::Mysql => decimal,
                }
            }
            Self::Time(us) => {
                let (s, us) = (us / 1_000_000, us % 1_000_000);
                let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
                // In the form in which the servers' times are carried into text.
                let fraction = match us {
                    0 => String::new(),
                    us => format!(".{us:06}"),
                };
                format!("'2024-02-29 {hour:02}:{minute:02}:{second:02}{fraction}'")
            }
            Self::Bytes(v) => {
                let hex: String = v.iter().map(|b| format!("{b:02x}")).collect();
                engine.bytes(&hex)
            }
            Self::Bool(v) => v.to_string().to_uppercase(),
        }
    }
}

fn fill(side: &Side, rows: &[Vec<Cell>]) {
    side.sql(&format!(
        "CREATE TABLE cells (id BIGINT PRIMARY KEY, {})",
        columns(side.engine)
    ));
    for (n, some) in rows.chunks(500).enumerate() {
        let rows: Vec<String> = some
            .iter()
            .enumerate()
            .map(|(i, row)| {
                let cells: Vec<String> = row.iter().map(|c| c.literal(side.engine)).collect();
                format!("({}, {})", n * 500 + i, cells.join(", "))
            })
            .collect();
        side.sql(&format!("INSERT INTO cells VALUES {}", rows.join(", ")));
    }
}

fn check(source: Engine, target: Engine) {
    let sides = Sides::new(source, target);
    let mut seed = Seed::new(1_000 + source as u64 * 3 + target as u64);
    let rows: Vec<Vec<Cell>> = (0..ROWS)
        .map(|_| {
            (0..COLUMNS.len())
                .map(|c| Cell::random(c, &mut seed))
                .collect()
        })
        .collect();
    for side in sides.both() {
        fill(side, &rows);
    }
    sides.configure("");
    let verify = |level: &str| {
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
        (shown.code, shown.json())
    };
    for level in ["hash", "full"] {
        let (code, report) = verify(level);
        assert_eq!(code, 0, "{level}: {report}");
        assert_eq!(report["tables"][0]["rows_source"], ROWS, "{report}");
    }
    let mut expected: BTreeMap<i64, String> = BTreeMap::new();
    let mut updates = Vec::new();
    while expected.len() < CORRUPTIONS {
        let (id, column) = (seed.choose(ROWS), seed.choose(COLUMNS.len()));
        if expected.contains_key(&(id as i64)) {
            continue;
        }
        let was = &rows[id][column];
        let is = was.corrupt(column, &mut seed);
        assert_ne!(is, *was);
        let (name, engine) = (COLUMNS[column], sides.target.engine);
        let value = is.literal(engine);
        updates.push(format!("UPDATE cells SET {name} = {value} WHERE id = {id}"));
        expected.insert(id as i64, name.to_owned());
    }
    let updates: Vec<&str> = updates.iter().map(String::as_str).collect();
    sides.target.transaction(&updates);
    for level in ["hash", "full"] {
        let (code, report) = verify(level);
        assert_eq!(code, 1, "{level}: {report}");
        let found: BTreeMap<i64, String> = report["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| {
                let columns: Vec<&str> = d["columns"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|c| c.as_str().unwrap())
                    .collect();
                (d["key"]["id"].as_i64().unwrap(), columns.join(","))
            })
            .collect();
        assert_eq!(found, expected, "{level}");
        assert_eq!(report["differences_total"], CORRUPTIONS, "{level}");
    }
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
