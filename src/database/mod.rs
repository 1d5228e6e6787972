//! What is moved: stores, their snapshots, feeds and writers.
//!
//! [`ReadStore`] and [`Snapshot`] are what copying, verifying and querying need of any store.

mod read;

pub use read::{ReadRequest, ReadStore, Snapshot};
