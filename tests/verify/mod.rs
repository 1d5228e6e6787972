//! The verifier, from outside.

mod compare;
mod fidelity;
mod memory;
mod moving;
mod query;
mod reconcile;
mod support;
mod transformed;
