//! All integration tests, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "in tests a panic is the report"
)]

mod capture;
mod command_line;
mod constraints;
mod crash;
mod layering;
mod plugin;
mod script_commands;
mod sim;
mod support;
mod sync_basic;
mod verify;
