//! MariaDB 10.11 and later, MySQL 8.
//!
//! - [`MysqlStore`]: one database of a server, what reading asks of it.
//! - `connect`: TLS and the settings of a session. `error`: the servers' errors in our words.
//! - `kind`: which value a type is. `value`: cells from and to the wire. `calendar`: dates and times.
//! - `schema`: introspection. `select`: the SQL of a read. `read`: snapshots. `copy`: a table's rows.
//! - `position`: a place in the binary log as one number. `log`: its end.
//! - `tx`: transactions. `table`, `rows`, `reference`: their statements.
//! - `inspect`: what `check` asks. `binlog`: the log as a change feed.
//! - `outbox`: capture by triggers, where there is no log to read.
//! - `driver`: all of it as the shared code for servers wants it.

mod binlog;
mod calendar;
mod connect;
mod copy;
mod driver;
mod error;
mod inspect;
mod kind;
mod log;
mod names;
mod outbox;
mod position;
mod read;
mod reference;
mod rows;
mod schema;
mod select;
mod store;
mod table;
mod tx;
mod value;

pub(super) use driver::MysqlDriver;
pub(super) use names::quote_table;
pub use store::MysqlStore;
