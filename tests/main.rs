//! All integration tests, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "in tests a panic is the report"
)]

mod adoption;
mod bad_input;
mod capture;
mod cli_sync;
mod command_line;
mod constraints;
mod crash;
mod demo;
mod faults;
mod fidelity;
mod gaps;
mod layering;
mod pairs;
mod plugin;
mod schema_change;
mod script_commands;
mod serve;
mod sim;
mod support;
mod sync_basic;
mod types;
mod verify;
