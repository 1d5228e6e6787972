//! What is moved: stores, their snapshots, feeds and writers.
//!
//! - [`ReadStore`] and [`Snapshot`]: what copying, verifying and querying need of any store.
//! - [`SyncStore`] and [`StoreLock`]: what the sync engine needs.
//! - [`mod@sqlite`]: the embedded engine.

mod any;
mod captures;
mod copied;
mod create;
mod engine;
mod form;
mod migrated;
pub mod mysql;
pub mod postgres;
mod read;
mod server;
pub mod sqlite;
mod sync_store;
mod turn;

pub use any::{AnyLock, AnyStore, AnySync, LagReader};
use captures::Captures;
pub use copied::{ChunkRows, SentRows};
pub use create::{Created, add_column, create_table, type_document};
pub use engine::Engine;
pub use form::{ColumnForm, ServerStoredForm, same_form};
pub use migrated::{Findings, Inspection, Lag, MappedAs, Orphans, SyncOptions, SyncTable};
pub use read::{Dialect, ReadRequest, ReadStore, Snapshot};
pub use sync_store::{
    Applied, ApplyBatch, Base, Began, Cause, Chunk, ChunkMark, CopiedRows, DecisionRecord,
    FeedPage, Image, OpenConflict, OpenState, Outcome, Patience, Recovered, Refusal, Resolution,
    Role, RowChange, Settled, StoreLock, SyncStore, UnitKey,
};
pub use turn::{Footprint, Turn};
