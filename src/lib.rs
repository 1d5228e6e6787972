//! Banyan moves live tables out of a monolith's database into the databases of new services.

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
