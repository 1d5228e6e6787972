//! Banyan moves live tables out of a monolith's database into the databases of new services.

pub mod data;
pub mod database;
pub mod error;
pub mod rule;
pub mod verify;
