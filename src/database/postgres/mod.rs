//! PostgreSQL, 14 and later.
//!
//! - [`PgStore`]: one database, what reading asks of it.
//! - `connect`, `tls`: connections and their settings. `error`: what the server's errors mean.
//! - `kind`, `column`: how types and columns are carried. `decode`, `encode`, `numeric`, `plain`:
//!   their binary and plain forms. `names`: quoting.
//! - `schema`: introspection. `inspect`: what `check` asks.
//! - `read`, `select`, `rows`, `copy`: snapshots, by `COPY`.
//! - `pool`, `tx`: connections and transactions that write. `table`, `write`, `load`, `links`,
//!   `arrays`, `sql`: their statements.

mod arrays;
mod column;
mod connect;
mod copy;
mod decode;
mod encode;
mod error;
mod inspect;
mod kind;
mod links;
mod load;
mod names;
mod numeric;
mod plain;
mod pool;
mod read;
mod rows;
mod schema;
mod select;
mod sql;
mod store;
mod table;
mod tls;
mod tx;
mod write;

pub use store::PgStore;
