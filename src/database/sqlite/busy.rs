//! Waiting for the write lock.
//!
//! SQLite's own busy timeout sleeps up to 100 ms between tries, and loses against an application
//! that writes all the time. Ours tries every millisecond, up to a bound.

use std::time::Duration;

/// How long a writer of ours waits for the lock, in tries of one millisecond.
const TRIES_MAX: i32 = 10_000;
/// The same for the short locks of the conflict path.
const TRIES_SHORT_MAX: i32 = 500;

pub(super) fn patient(tries: i32) -> bool {
    pause(tries, TRIES_MAX)
}

pub(super) fn short(tries: i32) -> bool {
    pause(tries, TRIES_SHORT_MAX)
}

fn pause(tries: i32, max: i32) -> bool {
    if tries >= max {
        return false;
    }
    std::thread::sleep(if tries < 4 {
        Duration::from_micros(250)
    } else {
        Duration::from_millis(1)
    });
    true
}
