//! The verifier, from outside.

mod command;
mod compare;
mod fidelity;
mod memory;
mod moving;
mod query;
mod reconcile;
mod sqlite;
mod support;
mod transformed;
