//! A shop's tables for each engine.

use crate::support::sides::{Engine, Side, Sides};

/// In the order in which they are copied.
pub(super) const TABLES: [&str; 7] = [
    "items",
    "tags",
    "basket_lines",
    "parents",
    "children",
    "counters",
    "wide",
];

/// An integer key, a text key, a key of two columns, a parent with a unique name and its children,
/// counters, and a row of all kinds of values.
pub(super) fn schema(engine: Engine) -> String {
    let (int, text, name) = match engine {
        Engine::Sqlite => ("INTEGER", "TEXT", "TEXT"),
        Engine::Postgres => ("BIGINT", "TEXT", "VARCHAR(100)"),
        Engine::Mysql => ("BIGINT", "TEXT", "VARCHAR(100)"),
    };
    let (decimal, time, truth, float, bytes) = match engine {
        Engine::Sqlite => ("TEXT", "TEXT", "INTEGER", "REAL", "BLOB"),
        Engine::Postgres => (
            "NUMERIC(12, 2)",
            "TIMESTAMP",
            "BOOLEAN",
            "DOUBLE PRECISION",
            "BYTEA",
        ),
        Engine::Mysql => ("DECIMAL(12, 2)", "DATETIME(6)", "BOOLEAN", "DOUBLE", "BLOB"),
    };
    let deferrable = match engine {
        Engine::Mysql => "",
        Engine::Sqlite | Engine::Postgres => " DEFERRABLE INITIALLY DEFERRED",
    };
    format!(
        "CREATE TABLE items (id {int} PRIMARY KEY, name {name} NOT NULL, stars {int});
         CREATE TABLE tags (code {name} NOT NULL PRIMARY KEY, label {text}, weight {int} NOT NULL);
         CREATE TABLE basket_lines (basket {int} NOT NULL, line {int} NOT NULL, what {text} NOT NULL,
             quantity {int} NOT NULL, PRIMARY KEY (basket, line));
         CREATE TABLE parents (id {int} PRIMARY KEY, name {name} NOT NULL UNIQUE, v {int});
         CREATE TABLE children (id {int} PRIMARY KEY, parent {int} NOT NULL, v {int},
             FOREIGN KEY (parent) REFERENCES parents (id){deferrable});
         CREATE TABLE counters (id {int} PRIMARY KEY, n {int} NOT NULL, m {int} NOT NULL);
         CREATE TABLE wide (id {int} PRIMARY KEY, title {text}, note {text}, amount {decimal},
             made {time}, done {truth}, ratio {float}, data {bytes})"
    )
}

/// Decides about rows of `wide`; see [`CONFIG`].
pub(super) const RULE: &str = "\
//! The longer title wins; the rest is the service's.

fn resolve(conflict) {
    if conflict.source == () || conflict.target == () { return park(\"deleted on one side\"); }
    let title = conflict.target.title;
    if conflict.source.title.len() > title.len() { title = conflict.source.title; }
    conflict.target.merge(#{ title: title })
}
";

/// The migration of all tables, in small batches.
pub(super) const CONFIG: &str = r#"on_conflict = "last-write-wins"
batch_rows = 50
chunk_rows = 20

[rules.longer]
script = "longer.rhai"

[[migrations.shop.tables]]
source = "items"

[[migrations.shop.tables]]
source = "tags"

[[migrations.shop.tables]]
source = "basket_lines"
on_conflict = "source-wins"

[[migrations.shop.tables]]
source = "parents"

[[migrations.shop.tables]]
source = "children"

[[migrations.shop.tables]]
source = "counters"
on_conflict = "add-deltas"

[[migrations.shop.tables]]
source = "wide"
on_conflict = "longer"
"#;

/// Two databases with these tables, and the migration.
pub(super) fn shop(sides: Sides) -> Sides {
    for side in sides.both() {
        side.sql(&schema(side.engine));
    }
    std::fs::write(sides.shop.path("longer.rhai"), RULE).unwrap();
    sides.configure(CONFIG);
    sides
}

/// A row of `wide`; numbers, times and truth values are written as SQL.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wide<'a> {
    pub(super) id: i64,
    pub(super) title: Option<&'a str>,
    pub(super) note: Option<&'a str>,
    pub(super) amount: Option<&'a str>,
    pub(super) made: Option<&'a str>,
    pub(super) done: Option<bool>,
    pub(super) ratio: Option<f64>,
    /// In hexadecimal.
    pub(super) data: Option<&'a str>,
}

impl Wide<'_> {
    /// Its insert.
    pub(super) fn insert(&self, engine: Engine) -> String {
        let or_null = |literal: Option<String>| literal.unwrap_or_else(|| "NULL".to_owned());
        let text = |value: Option<&str>| or_null(value.map(|v| engine.text(v)));
        let cells = [
            self.id.to_string(),
            text(self.title),
            text(self.note),
            text(self.amount),
            text(self.made),
            or_null(self.done.map(|v| v.to_string().to_uppercase())),
            or_null(self.ratio.map(|v| format!("{v:?}"))),
            or_null(self.data.map(|v| engine.bytes(v))),
        ];
        format!("INSERT INTO wide VALUES ({})", cells.join(", "))
    }
}

/// Rows at the edges of what all three engines hold.
pub(super) const WIDE: [Wide<'_>; 6] = [
    Wide {
        id: 1,
        title: None,
        note: None,
        amount: None,
        made: None,
        done: None,
        ratio: None,
        data: None,
    },
    Wide {
        id: 2,
        title: Some(""),
        note: Some(""),
        amount: Some("0.00"),
        made: Some("2024-02-29 23:59:59.999999"),
        done: Some(false),
        ratio: Some(0.1),
        data: Some(""),
    },
    Wide {
        id: 3,
        title: Some("it's \"quoted\" \\ and `ticked`"),
        note: Some("NULL"),
        amount: Some("9999999999.99"),
        made: Some("1970-01-01 00:00:00.000001"),
        done: Some(true),
        ratio: Some(-1.5),
        data: Some("00ff27005c0a"),
    },
    Wide {
        id: 4,
        title: Some("Žluťoučký 😀 \t\r\n"),
        note: Some(" spaces on both sides "),
        amount: Some("-9999999999.99"),
        made: Some("9999-12-31 12:34:56.123456"),
        done: Some(true),
        ratio: Some(123_456.789),
        data: Some("f09f9880"),
    },
    Wide {
        id: 5,
        title: Some("0"),
        note: Some("null"),
        amount: Some("-0.01"),
        made: Some("1000-01-01 00:00:00.100001"),
        done: Some(false),
        ratio: Some(0.30000000000000004),
        data: Some("20"),
    },
    Wide {
        id: -6,
        title: Some("a key below zero"),
        note: None,
        amount: Some("1.10"),
        made: None,
        done: None,
        ratio: Some(2.5),
        data: None,
    },
];

/// What the source holds before the migration.
pub(super) fn seed(engine: Engine) -> Vec<String> {
    let values = |table: &str, n: std::ops::Range<i64>, row: &dyn Fn(i64) -> String| {
        let rows: Vec<String> = n.map(|i| format!("({})", row(i))).collect();
        format!("INSERT INTO {table} VALUES {}", rows.join(", "))
    };
    let mut out = vec![
        values("items", 1..201, &|i| format!("{i}, 'item {i}', {}", i % 7)),
        values("tags", 0..20, &|i| format!("'tag/{i}', 'label {i}', {i}")),
        values("basket_lines", 0..60, &|i| {
            format!("{}, {}, 'line {i}', 1", i / 4, i % 4)
        }),
        values("parents", 1..13, &|i| format!("{i}, 'parent {i}', 0")),
        values("children", 1..31, &|i| format!("{i}, {}, 0", 1 + i % 10)),
        values("counters", 0..8, &|i| format!("{i}, 0, 0")),
    ];
    out.extend(WIDE.iter().map(|row| row.insert(engine)));
    let long = "long ".repeat(3000);
    out.push(
        Wide {
            id: 7,
            title: Some("short"),
            note: Some(&long),
            amount: Some("7.70"),
            ..Wide::default()
        }
        .insert(engine),
    );
    out
}

/// All rows of a table, alike in every engine.
pub(super) fn content(side: &Side, table: &str) -> Vec<String> {
    let columns = match (table, side.engine) {
        ("wide", Engine::Sqlite) => {
            "id, title, note, amount, made, done, ratio,
             CASE WHEN data IS NULL THEN NULL ELSE lower(hex(data)) END"
        }
        ("wide", Engine::Postgres) => {
            "id, title, note, amount, to_char(made, 'YYYY-MM-DD HH24:MI:SS.US'), done::INT, ratio,
             encode(data, 'hex')"
        }
        ("wide", Engine::Mysql) => {
            "id, title, note, amount, date_format(made, '%Y-%m-%d %H:%i:%s.%f'), done, ratio,
             lower(hex(data))"
        }
        _ => "*",
    };
    side.rows(&format!("SELECT {columns} FROM {table}"))
}

/// Both sides hold the same rows, and no child is without its parent.
pub(super) fn assert_equal(sides: &Sides) {
    for table in TABLES {
        let source = content(&sides.source, table);
        let target = content(&sides.target, table);
        for (a, b) in source.iter().zip(&target) {
            assert_eq!(a, b, "{table}");
        }
        assert_eq!(source.len(), target.len(), "{table}");
    }
    for side in sides.both() {
        let orphans = side.rows(
            "SELECT c.id FROM children c LEFT JOIN parents p ON p.id = c.parent WHERE p.id IS NULL",
        );
        assert_eq!(orphans, Vec::<String>::new(), "{:?}", side.engine);
    }
}

/// Otherwise what these tests compare would mean nothing.
#[test]
fn the_same_rows_look_alike_in_every_engine() {
    let contents = [Engine::Sqlite, Engine::Postgres, Engine::Mysql].map(|engine| {
        let sides = shop(Sides::new(engine, Engine::Sqlite));
        let seeds = seed(engine);
        sides
            .source
            .transaction(&seeds.iter().map(String::as_str).collect::<Vec<_>>());
        TABLES.map(|table| content(&sides.source, table))
    });
    assert_eq!(contents[0][0].len(), 200);
    assert_eq!(contents[0], contents[1]);
    assert_eq!(contents[0], contents[2]);
}
