//! What PostgreSQL and MySQL have in common: the protocol's own tables, guarded writes and their
//! order, recovery, the buffer between a server's log and the engine.
//!
//! - [`driver`]: what one kind of server must be able to do.

pub(super) mod driver;
