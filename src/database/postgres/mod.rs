//! PostgreSQL, 14 and later.
//!
//! - [`PgStore`]: one database, what reading asks of it.
//! - `connect`, `tls`: connections and their settings. `error`: what the server's errors mean.
//! - `kind`, `column`: how types and columns are carried. `decode`, `encode`, `numeric`, `plain`:
//!   their binary and plain forms. `names`: quoting.
//! - `schema`: introspection. `inspect`: what `check` asks.
//! - `read`, `select`, `rows`, `copy`: snapshots, by `COPY`. `sent`: rows that are not looked into.
//! - `pool`, `tx`: connections and transactions that write. `table`, `write`, `load`, `links`,
//!   `arrays`, `sql`: their statements.
//! - `capture`, `slot`, `publication`, `identity`, `preflight`: what keeps the server's log
//!   for us. `stream`, `reader`, `pgoutput`, `assemble`, `text`: reading it.
//! - `outbox`: capture by triggers, where the log may not be read.
//! - `driver`: all of it as the shared code for servers wants it.

mod arrays;
mod assemble;
mod capture;
mod capture_names;
mod catalogue;
mod column;
mod connect;
mod copy;
mod decode;
mod driver;
mod encode;
mod error;
mod failure;
mod identity;
mod inspect;
mod kind;
mod links;
mod load;
mod names;
mod numeric;
mod opening;
mod outbox;
mod pgoutput;
mod plain;
mod pool;
mod preflight;
mod publication;
mod queue;
mod read;
mod reader;
mod relation;
mod replication;
mod rows;
mod schema;
mod select;
pub(super) mod sent;
mod slot;
mod spill;
mod sql;
mod store;
mod stream;
mod table;
mod text;
mod tls;
mod tx;
mod write;

pub(super) use driver::PgDriver;
pub(super) use names::quote_table;
pub use store::PgStore;
