//! The program on two databases, from outside.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value as Json;

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Shown {
    /// With the folder's name taken out.
    pub(crate) fn new(output: &Output, folder: &Path) -> Self {
        let folder = folder.to_str().unwrap();
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .unwrap()
                .replace(&format!("{folder}/"), "")
                .replace(folder, "FOLDER")
        };
        Self {
            code: output.status.code().unwrap(),
            out: text(&output.stdout),
            errors: text(&output.stderr),
        }
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Exit code and stderr, for snapshots.
    pub(crate) fn failure(&self) -> String {
        format!("exit code: {}\n{}", self.code, self.errors)
    }

    /// Everything, for snapshots.
    pub(crate) fn all(&self) -> String {
        format!(
            "exit code: {}\n--- stdout\n{}--- stderr\n{}",
            self.code, self.out, self.errors
        )
    }
}

/// A folder with `banyan.toml`, `source.db` and `target.db`.
#[derive(Debug)]
pub(crate) struct Shop {
    folder: tempfile::TempDir,
}

/// Two stores, and a two-way migration `shop` of `items`.
pub(crate) const CONFIG: &str = r#"
[stores.monolith]
url = "sqlite:source.db"

[stores.service]
url = "sqlite:target.db"

[migrations.shop]
source = "monolith"
target = "service"
mode = "two-way"
on_conflict = "park"

[[migrations.shop.tables]]
source = "items"
"#;

pub(crate) const ITEMS: &str =
    "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL)";

impl Shop {
    /// The same table in both, with three rows in the source.
    pub(crate) fn new() -> Self {
        let shop = Self::of(ITEMS, ITEMS);
        shop.write(
            "source.db",
            "INSERT INTO items VALUES (1, 'one', 1.5), (2, 'two', NULL), (3, 'three', 3)",
        );
        shop
    }

    /// Two databases in WAL mode with these schemas, and [`CONFIG`].
    pub(crate) fn of(source: &str, target: &str) -> Self {
        let shop = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        shop.configure(CONFIG);
        for (name, schema) in [("source.db", source), ("target.db", target)] {
            shop.write(name, &format!("PRAGMA journal_mode = WAL; {schema}"));
        }
        shop
    }

    /// A folder with nothing in it.
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn configure(&self, config: &str) {
        std::fs::write(self.path("banyan.toml"), config).unwrap();
    }

    /// Runs statements as an application does.
    pub(crate) fn write(&self, database: &str, sql: &str) {
        super::app(&self.path(database)).execute_batch(sql).unwrap();
    }

    /// The program, about to be run in the folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_banyan"));
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    /// Whatever runs the program, with the same surroundings.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.folder())
            .env_remove("BANYAN_LOG")
            .env_remove("BANYAN_LOG_FORMAT")
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Shown {
        let output = self.command(arguments).output().unwrap();
        Shown::new(&output, self.folder())
    }

    /// Runs it, demands success, and answers its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Json {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--format", "json"]);
        let shown = self.run(&arguments);
        assert_eq!(shown.code, 0, "{arguments:?}: {shown:?}");
        shown.json()
    }

    /// Starts it and does not wait.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The phase that the migration is said to be in.
    pub(crate) fn phase(&self) -> String {
        let status = self.json(&["migration", "status", "shop"]);
        status["phase"].as_str().unwrap().to_owned()
    }

    /// Schema and rows of both databases; equal when nothing changed.
    pub(crate) fn everything(&self) -> Vec<String> {
        let mut out = content(&self.path("source.db"));
        out.extend(content(&self.path("target.db")));
        out
    }
}

/// The rows of a query, as text that can be read: `1, 'one', NULL`.
pub(crate) fn rows(path: &Path, sql: &str) -> Vec<String> {
    use rusqlite::types::ValueRef;

    let conn = super::app(path);
    let mut stmt = conn.prepare(sql).unwrap();
    let width = stmt.column_count();
    let mut rows = stmt.query([]).unwrap();
    let mut out = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cells = (0..width).map(|i| match row.get_ref(i).unwrap() {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(v) => v.to_string(),
            ValueRef::Real(v) => format!("{v:?}"),
            ValueRef::Text(v) => format!("'{}'", String::from_utf8_lossy(v)),
            ValueRef::Blob(v) => format!("{v:?}"),
        });
        out.push(cells.collect::<Vec<_>>().join(", "));
    }
    out
}

/// The schema of a database and all its rows. For a file that is no database: its bytes.
pub(crate) fn content(path: &Path) -> Vec<String> {
    let header = std::fs::read(path).unwrap_or_default();
    if !header.starts_with(b"SQLite format 3\0") {
        return vec![format!("{header:?}")];
    }
    let mut out = super::dump(
        path,
        "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2",
    );
    let tables = super::app(path)
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
        .unwrap()
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    for table in tables {
        let mut rows = super::dump(path, &format!("SELECT * FROM \"{table}\""));
        rows.sort();
        out.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    out
}

/// Waits until something is so; the tests' own time limit is a minute.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed().as_secs() < 60, "never came: {what}");
        std::thread::yield_now();
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}
