//! Generation 0.1 of the interface: `wit/0.1.0`, package `banyan:rules@0.1`.
//!
//! A breaking generation gets a folder of its own under `wit/` and a module beside this one that
//! converts at the edge; components of this one keep loading.
//!
//! - [`wire`]: the types as they cross the boundary.
//! - [`columns`]: rows into columns, on the way in.
//! - [`answer`]: columns into rows, on the way out, checked.
//! - [`exports`]: the functions of a component, and calls of them.
//! - [`questions`]: the four questions, from the host's types and back.

pub(super) mod answer;
pub(super) mod columns;
pub(super) mod exports;
pub(super) mod questions;
pub(super) mod wire;

/// The interface's name and version as the host has it.
pub(super) const PACKAGE: &str = "banyan:rules";
/// See [`PACKAGE`].
pub(super) const VERSION: &str = "0.1.0";
