//! Banyan moves live tables out of a monolith's database into the databases of new services: it
//! copies them, follows changes in both directions, lets rules decide conflicts, and proves both
//! sides equal.
//!
//! It is a host: it owns the mechanics (capture, order, exactly-once apply, comparison). Whatever
//! is somebody's business is a rule ([`rule`]): a built-in strategy, a Rhai script ([`script`]) or
//! a WebAssembly component ([`mod@plugin`]), all behind the same four traits.
//!
//! A module imports only from floors below it; a test reads the `use` paths and fails on anything
//! else.
//!
//! | floor | module | what lives there |
//! |---|---|---|
//! | 0 | [`error`] | one error, one kind, and what a kind means |
//! | 1 | [`data`] | values, rows, keys, schemas, changes, positions, Arrow batches, canonical bytes |
//! | 2 | [`lifecycle`] | phases of a migration and of a table, without I/O |
//! | 2 | [`runtime`] | owned tasks, shutdown, backoff, clock, throttle |
//! | 3 | [`rule`] | the four traits, mappings, built-in strategies, laws, case files |
//! | 3 | [`config`] | TOML → a pure check that lists every mistake → [`config::Config`] |
//! | 3 | [`telemetry`] | logs and names of metrics |
//! | 4 | [`database`] | stores: snapshots, feeds, guarded writes; SQLite |
//! | 4 | [`state`] | where each migration stands, and kept decisions |
//! | 4 | [`mod@plugin`], [`script`] | wasmtime and Rhai: load, limit, fulfil `rule` |
//! | 5 | [`sync`] | the engine: copy, normal path, conflict path, recovery |
//! | 5 | [`verify`] | comparison, reports, reconcile, SQL over all stores |
//! | 8 | [`app`] | the composition root |
//! | 9 | [`cli`] | one file a verb |
//!
//! What always holds: nothing acknowledged is lost and nothing is applied twice (the checkpoint
//! moves in the same transaction as the rows); no write of ours is taken for the application's; a
//! conflict is decided once, and both sides end with the same row; a rule that fails decides
//! nothing; a missing fact is unknown, never zero; any step may be killed at any instant.

pub mod app;
pub mod cli;
pub mod config;
pub mod data;
pub mod database;
pub mod error;
pub mod lifecycle;
pub mod plugin;
pub mod rule;
pub mod runtime;
pub mod script;
pub mod state;
pub mod sync;
pub mod telemetry;
pub mod verify;
