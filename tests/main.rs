//! The one integration-test binary.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;
mod sync_basic;
