//! The verifier, from outside.

mod compare;
mod fidelity;
mod memory;
mod moving;
mod support;
mod transformed;
