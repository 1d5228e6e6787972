//! What is published of the types.

use std::sync::Mutex;

use crate::support::sides::Engine;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/database/VALUES.md");
const HEAD: &str = "<!-- Written by a test, tests/types; do not edit. UPDATE=1 tests/run types:: writes it. -->

# Values there and back

Every type of each kind of database with values at its edges, between every two of them: the target's
table is made by Banyan, the values are copied there, written again by the target under other keys, and
come back. \"Back\" says how many are then bit for bit what they were. The others are refused: the row
waits as a conflict that says why, and nothing else changes. No value is ever bent; but a `numeric`
without a scale is compared as a number: MySQL cannot tell 1.5 from 1.50, and gives it back as 1.5.

Measured on PostgreSQL 15, MariaDB 10.11 and SQLite 3.
";

static WRITING: Mutex<()> = Mutex::new(());

/// The part for one pair.
pub(super) struct Section {
    title: String,
    text: String,
}

fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "SQLite",
        Engine::Postgres => "PostgreSQL",
        Engine::Mysql => "MariaDB",
    }
}

impl Section {
    pub(super) fn new(source: Engine, target: Engine) -> Self {
        Self {
            title: format!("## {} to {}\n", name(source), name(target)),
            text: "\n| type | back | refused |\n|---|---|---|\n".to_owned(),
        }
    }

    pub(super) fn add<'a>(
        &mut self,
        declared: &str,
        values: &[&str],
        no_table: Option<&str>,
        back: usize,
        refused: impl Fn(i64) -> Option<&'a str>,
    ) {
        let whys: Vec<String> = (1..)
            .zip(values)
            .filter_map(|(id, value)| {
                let short: String = value.chars().take(60).collect();
                Some(format!("`{short}`: {}", refused(id)?))
            })
            .collect();
        let whys = match no_table {
            Some(why) => format!("no table: {why}"),
            None => whys.join("; "),
        };
        // What would end a cell.
        let whys = whys.replace('|', "\\|");
        let declared = if declared.is_empty() {
            "no type"
        } else {
            declared
        };
        let cells = format!("`{declared}` | {back} of {} | {whys}", values.len());
        let cells = cells.replace('\n', " ");
        self.text.push_str(&format!("| {cells} |\n"));
    }

    /// Compares it with what is published, or publishes it.
    pub(super) fn check(self) {
        let _writing = WRITING.lock().unwrap();
        let published = std::fs::read_to_string(PATH).unwrap_or_else(|_| HEAD.to_owned());
        let (before, after) = match published.split_once(&self.title) {
            Some((before, rest)) => {
                let end = rest.find("\n## ").map_or(rest.len(), |end| end + 1);
                (before.to_owned(), rest[end..].to_owned())
            }
            None => (format!("{published}\n"), String::new()),
        };
        let gap = if after.is_empty() { "" } else { "\n" };
        let wanted = format!("{before}{}{}{gap}{after}", self.title, self.text);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(PATH, wanted).unwrap();
            return;
        }
        // Other servers than those it was measured on may say it in other words.
        let given = ["BANYAN_TEST_POSTGRES_URL", "BANYAN_TEST_MYSQL_URL"];
        if given.iter().all(|url| std::env::var_os(url).is_none()) {
            assert_eq!(published, wanted, "UPDATE=1 tests/run types:: publishes it");
        }
    }
}
