//! Case files: what an author expects of a rule, in TOML, for every kind of rule alike.
//!
//! # Resolvers and validators
//! ```toml
//! settings = { floor = 5 }                 # handed to the rule; optional
//!
//! [table]
//! name = "products"
//! columns = { id = "int", sku = "text", stock = "int", price = "decimal?" }   # ? = may be NULL
//! key = ["id"]
//!
//! [[case]]
//! name = "both sides sold some"
//! kind = "update_origin_differs"           # the default
//! direction = "forward"                    # the default
//! base   = { id = 1, sku = "a", stock = 10, price = "1.50" }   # left out: no row; or "unknown"
//! source = { id = 1, sku = "a", stock = 8,  price = "1.50" }   # left out: deleted
//! target = { id = 1, sku = "a", stock = 9,  price = "1.50" }
//! source_committed = 2026-11-21T13:05:09Z  # left out: unknown
//! target_committed = 2026-11-21T13:05:08.5Z
//! expect = { merged = { id = 1, sku = "a", stock = 7, price = "1.50" } }
//! #        "source" | "target" | "delete" | "park" | { park = "part of the reason" }
//! #        | "keep-both" | { fails = "part of the message" }
//!
//! [[case]]
//! name = "no stock below zero"
//! row = { id = 1, sku = "a", stock = -1 }
//! expect = { error = "below zero" }        # "fine" | { warning = "…" } | a list of these
//! ```
//!
//! # Transforms
//! ```toml
//! [source]
//! name = "customers"
//! columns = { id = "int", name = "text", street = "text?" }
//! key = ["id"]
//!
//! [[target]]
//! name = "people"
//! columns = { id = "int", full_name = "text" }
//! key = ["id"]
//!
//! [[case]]
//! name = "the name moves"
//! row = { id = 1, name = "Ada" }
//! expect = { people = { id = 1, full_name = "Ada" } }   # "drop" | { fails = "…" }
//!
//! [[case]]
//! name = "and back"
//! direction = "backward"
//! table = "people"                          # the default when there is one target only
//! row = { id = 1, full_name = "Ada" }
//! expect = { id = 1, name = "Ada" }         # the columns that the way back sets, no others
//! ```
//! `rows = [ … ]` with `expect = [ … ]` gives the rule several rows in one batch.
//!
//! # Routers
//! ```toml
//! [[case]]
//! name = "gold customers go to the service"
//! request = { method = "GET", path = "/orders", headers = { x-tier = "gold" } }
//! expect = "service"   # "monolith" | "default" | { service = { x-by = "vip" } } | { refuse = 403 }
//! ```
//!
//! # Values
//! A plain value is read as its column's type says: `"1.50"` in a `decimal` column is a decimal.
//! A key that is left out of a row is NULL. Everything else, and every type in any column:
//! `{ null = true }`, `{ bool = true }`, `{ int = 1 }`, `{ uint = "18446744073709551615" }`,
//! `{ decimal = "1.50" }`, `{ float = "nan" }`, `{ text = "…" }`, `{ bytes = "00ff" }`,
//! `{ date = "2026-11-21" }`, `{ time = "13:05:09" }`, `{ timestamp = "2026-11-21T13:05:09" }`,
//! `{ timestamp-utc = "2026-11-21T13:05:09Z" }`, `{ uuid = "…" }`, `{ json = "…" }`,
//! `{ array = [ … ] }`, `{ other = "kind", bytes = "00" }`. The column types are `any` and these.

mod file;
mod run;
mod show;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

pub use file::{Became, Case, CaseFile, Expect, ExpectNote, Question};
pub use run::{Rules, run};
pub use show::{show_conflict, show_row, show_side, show_state, show_value};

/// What came out of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// The line of its `[[case]]`.
    pub line: usize,
    /// `resolve`, `transform`, `validate` or `route`.
    pub role: &'static str,
    /// What was expected and what was found; `None` when the same.
    pub failure: Option<String>,
}

/// What came out of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// The file's name.
    pub file: String,
    /// In the order of the file.
    pub cases: Vec<CaseResult>,
}

impl CaseReport {
    /// Cases that failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|c| c.failure.is_some()).count()
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} of {} cases passed",
            self.file,
            self.cases.len() - self.failed(),
            self.cases.len()
        )?;
        for case in &self.cases {
            match &case.failure {
                None => writeln!(f, "  passed  {}", case.name)?,
                Some(failure) => {
                    writeln!(f, "  FAILED  {} ({}:{})", case.name, self.file, case.line)?;
                    for line in failure.lines() {
                        writeln!(f, "      {line}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
