//! The real engine on stores in memory, under every interleaving that a seed makes.
//!
//! - `store`: the store, with a gate before each operation.
//! - `ghost`: the oracle: who knows of whose writes.
//! - `history`: how earlier forms failed.
//! - `run`: one schedule of applications, engine steps, faults and persons.
//! - `explore`: all schedules within small bounds.
//! - `schedules`: generated schedules for every built-in strategy.

mod explore;
mod ghost;
mod history;
mod run;
mod schedules;
mod store;

pub(crate) use run::{Chooser, Seed};
