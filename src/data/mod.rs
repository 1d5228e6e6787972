//! What is moved: values, rows, keys, schemas, changes and positions, their Arrow form, and the
//! one canonical byte encoding that keys and checksums use everywhere.
//!
//! - [`Value`]: one cell, losing nothing of what the engines hold.
//! - [`Row`], [`Key`]: cells in column order; the key's cells in key order.
//! - [`TableSchema`], [`Column`]: what introspection found.
//! - [`Change`], [`Commit`], [`Position`], [`LogId`]: what a feed delivers.
//! - [`canonical`]: the byte encoding, with its test vectors.
//! - [`batch`]: rows to Arrow record batches and back.
//! - [`clock`]: dates and times as text.
//! - [`order`]: the order of keys, and which cells are equal.

pub mod batch;
pub mod canonical;
mod change;
pub mod clock;
mod constraint;
mod decimal;
mod fast;
pub mod json;
pub mod order;
mod position;
mod schema;
mod value;

pub use change::{Change, Commit, Op};
pub use constraint::Constraint;
pub use decimal::Decimal;
pub use fast::{FastMap, FastSet};
pub use position::{LogId, Position};
pub use schema::{Column, ForeignKey, Generated, LogicalType, TableSchema, UniqueKey};
pub use value::{Key, OtherValue, Row, Value};
