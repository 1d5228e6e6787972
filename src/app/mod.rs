//! The composition root: configuration → opened stores, loaded rules, a running engine.
//!
//! The only place that names concrete backends and hosts of rules.

mod build;

pub use build::{MigrationSpec, Opened, TableSpec, build};
