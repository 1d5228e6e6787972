//! Real database servers for the tests: PostgreSQL and MariaDB, started on loopback in a folder of
//! their own, shared by all tests of a run, and gone when the run ends, however it ends.
//!
//! - `server`: a server, and a fresh database in it.
//! - `install`: the programs, how they are set up and started.
//! - `run`: the folder of a test run, and the process that clears up after it.
//! - `session`: SQL as an application runs it, on servers and on SQLite files.
//!
//! Tests use servers of your own when `BANYAN_TEST_POSTGRES_URL` or `BANYAN_TEST_MYSQL_URL` name one,
//! as an administrator: databases and a role `banyan_test_app` are made there. Tests that restart or
//! break a server are then left out.

mod install;
mod run;
mod server;
mod session;
mod tests;

pub(crate) use server::{Database, Kind, Server, Variant};
pub(crate) use session::Session;
