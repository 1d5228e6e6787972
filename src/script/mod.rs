//! Rules as Rhai scripts.
//!
//! A script is a file with one or more of the functions `resolve(conflict)`,
//! `transform(row, direction)`, `validate(row)` and `route(request)`. [`Script`] loads it, fulfils
//! the traits of [`crate::rule`] with it, limits it, takes over changed files between batches, and
//! says with file, line, column and a caret what went wrong.
//!
//! # What a script sees
//! ```rhai
//! //! Stock is counted, the rest goes to the later side.
//! const VERSION = "1.0";
//!
//! fn resolve(conflict) {
//!     if conflict.source == () || conflict.target == () { return park("deleted on one side"); }
//!     let stock = conflict.source.stock + conflict.target.stock - conflict.base.stock;
//!     if stock < settings.floor { reject(`stock would be ${stock}`); }
//!     conflict.source.merge(#{ stock: stock })
//! }
//! ```
//! - `settings`: the rule's settings, constant. A missing one is an error; ask with
//!   `"floor" in settings`. Constants of the script (`const LIMIT = 5;`) are seen by functions;
//!   its top level runs once, when the script is loaded.
//! - `conflict.source`, `.target`, `.base`: a row, or `()` where there is none (`base` also where
//!   it is unknown: `conflict.base_known`). `conflict.source_committed`, `.target_committed`: a
//!   time, or `()` when unknown; comparing it with `()` is an error. `conflict.later` is `source`,
//!   `target`, or `()` when a time is unknown or both are equal. `conflict.kind`, `.direction`.
//! - A row: `row.email` or `row["email"]`, `row.columns()`, `row.table()`, `"email" in row`,
//!   `a.differences(b)` (names of columns), `a == b`, `row.to_map()`,
//!   `row.merge(#{ email: "…" })` (the whole row with some columns replaced). Rows cannot be
//!   changed. NULL is `()`.
//! - Decimals, dates, times, timestamps, UUIDs, bytes and JSON have types of their own:
//!   `decimal("1.50")`, `date("2026-11-21")`, `time("13:05:09")`, `timestamp("…")`,
//!   `timestamp_utc("…Z")`, `uuid("…")`, `bytes("00ff")`, `json(#{ a: 1 })`, `row.data.parse()`.
//! - `log_debug`, `log_info`, `log_warn`, `log_error`; `print` is `log_info`.
//!
//! # What it answers
//! - `resolve`: `source`, `target`, `delete_row`, `park("why")`, or a row: `conflict.base`, or a
//!   map with **every** column of the table. A map that lacks a column is refused, never filled
//!   up: which side it would be filled from is exactly what the rule is asked.
//! - `transform`: `()` drops the row; a map of columns for the only table there is; a map of maps
//!   by table name where there are several; `row` itself. On the way forward every column of the
//!   other side should be given, on the way back those that are known: a column not given is left
//!   as it is.
//! - `validate`: `()` or `true` when fine; `error("…")` (or just the text), `warning("…")`, or a
//!   list of these.
//! - `route`: `monolith`, `service`, `default_route`, `to_service(#{ "x-by": "vip" })`,
//!   `to_monolith(…)`, `refuse(403, "why")`. `request.method`, `.path`, `.query`, `.client`,
//!   `.service`, `request.header("host")`, `.cookie("sid")`, `.parameter("page")`.
//! - `reject("why")` refuses a row, `fatal("why")` says that settings or schema are wrong.
//!
//! # What it cannot do
//! See [`engine`](self) in the source: there is no clock, no file, no network, no other script, no
//! state from one row to the next, and no way past the [`Limits`]. A script is therefore
//! deterministic: the same rows get the same answers.

mod answer;
mod call;
mod convert;
mod diagnose;
mod engine;
mod guard;
mod host;
mod load;
mod log;
mod meter;
mod spec;
mod stats;
mod types;
mod view;

#[cfg(test)]
mod tests;

pub use host::Script;
pub use spec::{Limits, Roles, ScriptSpec};
pub use stats::ScriptStats;
