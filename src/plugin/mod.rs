//! Rules as WebAssembly components: `wit/0.1.0`, run by wasmtime.
//!
//! A [`PluginHost`] loads components; a [`Plugin`] fulfils the traits of [`crate::rule`].
//!
//! - A batch gets a fresh instance, which is dropped afterwards: nothing leaks from one batch to
//!   the next, and a trap spoils only its own. The call is synchronous and blocks its thread for
//!   up to [`Limits::call_ms`]; call it where blocking is allowed.
//! - Fuel bounds the work and is the same everywhere; the deadline bounds the time; a limiter
//!   bounds memory; the log has a quota. The linker holds the log and nothing else, so a component
//!   has no clock, no randomness and no files.
//! - Data crosses as typed columns. Every answer is checked; a wrong one is a failure of the
//!   plugin, never a wrong row.
//! - Compiled code is cached on disk; a changed file is compiled, opened and swapped between
//!   batches ([`Plugin::reload_if_changed`]).
//!
//! [`build`] makes components of Rust crates, [`scaffold`] begins new ones.

mod batch;
pub mod build;
mod cache;
mod component;
mod engine;
mod guest;
mod host;
mod limits;
mod loaded;
mod roles;
pub mod scaffold;
mod stats;
mod traits;
mod v0_1;

pub use host::{HostOptions, PluginHost, PluginSpec};
pub use limits::Limits;
pub use loaded::{Plugin, Reload};
pub use roles::Role;
pub use stats::PluginStats;
