//! Owned tasks, shutdown, backoff, clock, throttle: what every long-running part is made of.
//!
//! - [`TaskSet`]: every task has an owner; a panic is an error; draining waits for all of them.
//! - [`shutdown`], [`Shutdown`]: one request, seen by everybody who asks or waits.
//! - [`Backoff`]: bounded exponential pauses with jitter from a seed.
//! - [`Clock`]: time as a dependency; [`SystemClock`] in the program, [`ManualClock`] in tests.
//! - [`Throttle`]: at most so many units a second. [`Share`]: at most so much of the time.

mod backoff;
mod clock;
mod share;
mod shutdown;
mod tasks;
mod throttle;

pub use backoff::{Backoff, BackoffPolicy};
pub use clock::{Clock, ManualClock, SystemClock};
pub use share::Share;
pub use shutdown::{Shutdown, ShutdownTrigger, on_signal, shutdown};
pub use tasks::TaskSet;
pub use throttle::Throttle;
