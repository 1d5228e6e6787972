//! SQLite, embedded: source and target alike.
//!
//! Connections are opened through sqlx and then driven through their raw handle ([`Session`]):
//! sqlx moves each row through a channel between threads, which costs more than SQLite itself.
//!
//! - [`SqliteStore`]: one database file, what reading and syncing ask of it.
//! - `schema`: introspection. `read`: snapshots. `affinity`: what a column makes of a value.
//! - `inspect`: what `check` asks. `upkeep`: what status and abort ask.
//! - `capture`: triggers into a typed outbox. `feed`: reading it. `writer`: guarded writes.
//! - `journal`: the protocol's own tables. `sync`: the store as the sync engine sees it.
//!
//! Everything Banyan adds to a database is named `_banyan_<migration>.…` and is gone after
//! `uninstall`.

mod affinity;
mod busy;
mod capture;
mod copy;
mod displaced;
mod error;
mod feed;
mod filter;
mod foreign_key;
mod inspect;
mod journal;
mod names;
mod read;
mod schema;
mod session;
mod store;
mod sync;
mod upkeep;
mod value;
mod writer;

pub use capture::{COLUMNS_MAX, shared_table, too_wide};
pub use filter::SqliteFilter;
pub use session::{Access, Session};
pub use store::SqliteStore;

pub use affinity::{Affinity, SqliteStoredForm};
pub use sync::{SqliteLock, SqliteSync};

/// A date as `YYYY-MM-DD`, from days since 1970-01-01.
#[must_use]
pub fn date_text(days: i64) -> String {
    value::civil_date(days)
}
