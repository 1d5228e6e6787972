//! The published table of types as text; `TYPES.md` in the folder above is that.

use crate::database::Engine;

use super::mappings::MAPPINGS;
use super::types::When;

const HEAD: &str = "<!-- Written by a test from src/database/create/mappings.rs; do not edit. \
UPDATE=1 cargo test --lib types_are_published writes it. -->

# Types

Which type a column gets when Banyan creates the table in another kind of database. The first row \
that fits counts. Tables that you create yourself may use any types: what a column cannot hold, or \
would give back as something else, is refused by name, never bent.

Between two columns of the same type of the same engine nothing is converted. A timestamp without \
zone and one in UTC are never turned into each other.

Numbers in SQLite's columns become texts or floats by its own rules, and a value that does not come \
back from there as what it was is refused. Dates and times are texts in SQLite: `YYYY-MM-DD`, \
`HH:MM:SS`, with six digits of the fraction if there is one, `Z` behind a time in UTC, `infinity`; \
years before 1 count as 0, -1, ….
";

/// The published table as Markdown.
#[must_use]
pub fn type_document() -> String {
    let mut out = HEAD.to_owned();
    for (from, others) in [
        (Engine::Postgres, [Engine::Mysql, Engine::Sqlite]),
        (Engine::Mysql, [Engine::Postgres, Engine::Sqlite]),
        (Engine::Sqlite, [Engine::Postgres, Engine::Mysql]),
    ] {
        let [first, second] = others;
        out.push_str(&format!("\n## From {from}\n\n"));
        out.push_str(&format!(
            "| {from} | {first} | {second} | |\n|---|---|---|---|\n"
        ));
        for m in MAPPINGS.iter().filter(|m| m.from == from) {
            let name = match (m.name, m.when) {
                ("*", _) => "all others".to_owned(),
                ("*[]", _) => "arrays".to_owned(),
                (name, When::Any) => format!("`{name}`"),
                (name, When::Is(n)) => format!("`{name}({n})`"),
                (name, When::Most(n)) => format!("`{name}(n)`, n ≤ {n}"),
                (name, When::Digits(p, s)) => {
                    format!("`{name}(p,s)`, p ≤ {p}, 0 ≤ s ≤ {s}, s ≤ p")
                }
            };
            let shown = |engine| {
                let numbers = if matches!(m.when, When::Digits(..)) {
                    ["p", "s"]
                } else {
                    ["n", "s"]
                };
                m.target(engine)
                    .replace("{0}", numbers[0])
                    .replace("{1}", numbers[1])
                    .replace("{seconds}", "p")
            };
            out.push_str(&format!(
                "| {name} | `{}` | `{}` | {} |\n",
                shown(first),
                shown(second),
                m.note
            ));
        }
    }
    out
}

#[test]
fn types_are_published() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/database/TYPES.md");
    let wanted = type_document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "{path} is out of date; run this test with UPDATE=1"
    );
}
