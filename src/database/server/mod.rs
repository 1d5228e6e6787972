//! What PostgreSQL and MySQL have in common: the protocol's own tables, guarded writes and their
//! order, recovery, the buffer between a server's log and the engine.
//!
//! - [`driver`]: what one kind of server must be able to do.
//! - `journal`: the protocol's own tables. `writer`: guarded writes. `log`: reading ahead.
//! - `outbox`: changes that triggers write down, as a log.
//! - `added`: what is said of new columns.
//! - `sync`: the store as the engine sees it, for any driver.

pub(super) mod added;
pub(super) mod driver;
mod journal;
mod log;
pub(super) mod outbox;
mod sync;
mod writer;

pub(super) use sync::{ServerLock, ServerSync};
