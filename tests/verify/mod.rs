//! The verifier, from outside.

mod compare;
mod fidelity;
mod memory;
mod moving;
mod query;
mod support;
mod transformed;
