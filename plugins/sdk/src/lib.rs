//! Write rules for Banyan in Rust: a rule is a type that answers one of four questions, made into
//! a WebAssembly component by one macro.
//!
//! ```
//! use banyan_rule::{Conflict, Failure, Info, Resolver, Rule, Settings, Verdict};
//!
//! struct HigherTier {
//!     floor: String,
//! }
//!
//! impl Rule for HigherTier {
//!     fn info() -> Info {
//!         banyan_rule::info!()
//!     }
//!
//!     fn new(settings: &Settings) -> Result<Self, Failure> {
//!         Ok(Self { floor: settings.text_or("floor", "silver")?.to_owned() })
//!     }
//! }
//!
//! impl Resolver for HigherTier {
//!     fn resolve<'a>(&self, conflict: &Conflict<'a>) -> Result<Verdict<'a>, Failure> {
//!         if conflict.source()["tier"] == *self.floor {
//!             return Ok(Verdict::Source);
//!         }
//!         Ok(Verdict::Target)
//!     }
//! }
//!
//! banyan_rule::export_resolver!(HigherTier);
//! # fn main() {}
//! ```
//!
//! - A rule has no clock, no randomness, no files: its answer depends on its settings and on what
//!   it is given. Each batch gets a fresh one.
//! - A panic is a bug: its text, with the row, reaches the operator. A [`Failure`] is an answer.
//! - Rows are views of typed columns: reading a cell copies nothing.
//! - [`testing`] makes conflicts and rows, so that `cargo test` needs no WebAssembly.
//!
//! `banyan plugin build` makes the component, `banyan plugin check` tries it.

#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
mod alloc;
#[doc(hidden)]
pub mod bindings;
mod export;
mod failure;
mod json;
mod log;
mod out;
mod resolver;
mod router;
mod rows;
mod rule;
mod settings;
mod table;
pub mod testing;
mod transformer;
mod validator;
mod value;

pub use failure::Failure;
pub use log::{Level, log};
pub use resolver::{Conflict, ConflictKind, Conflicts, Direction, Merge, Resolver, Side, Verdict};
pub use router::{Decision, Request, Router};
pub use rows::{Batch, Row};
pub use rule::{Info, Rule};
pub use settings::Settings;
pub use table::{Column, ColumnRef, LogicalType, Table};
pub use transformer::{Output, RowOut, Transformer};
pub use validator::{Note, Severity, Validator};
pub use value::Value;

#[doc(hidden)]
pub use bindings::lifecycle::banyan::rules::types as wire;
#[doc(hidden)]
pub use log::install_panic_hook;
#[doc(hidden)]
pub use resolver::run as run_resolver;
#[doc(hidden)]
pub use router::run as run_router;
#[doc(hidden)]
pub use rule::Opened;
#[doc(hidden)]
pub use transformer::run as run_transformer;
#[doc(hidden)]
pub use validator::run as run_validator;
