//! How long a commit takes to be seen on the other side.
//!
//! After a commit its writer notes what it wrote and when (the moment COMMIT returned). An observer
//! on the other side, with a connection that only reads, sleeps half a millisecond at a time until
//! `PRAGMA data_version` says that somebody else wrote, and then looks for what is noted. Both use
//! one clock. So a sample holds everything: capture, waking, transform, detection, the other
//! side's commit, and the observer's own half millisecond.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::Serialize;

use crate::error::Result;

use super::application::store;
use super::side::Side;

/// How a write is recognised on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An order with this id is there.
    Order,
    /// The parcel with this id has this code.
    Parcel,
}

/// A write to look for.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) seen: Seen,
    pub(super) key: i64,
    pub(super) token: Option<String>,
    /// When COMMIT returned.
    pub(super) at: Instant,
}

/// A write that was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Where it was written.
    pub(super) from: Side,
    pub(super) committed: Instant,
    pub(super) seen: Instant,
}

/// What was written, by side, and not seen yet; and what was seen.
#[derive(Debug, Default)]
pub(super) struct Probes {
    waiting: [Mutex<Vec<Probe>>; 2],
    noted: [AtomicU64; 2],
    samples: Mutex<Vec<Sample>>,
    stop: AtomicBool,
}

/// More are not looked for at a time; while the sync is down they would grow and grow.
const WAITING_MAX: usize = 2_000;
/// Between two looks at `data_version`.
const TICK: Duration = Duration::from_micros(500);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Probes {
    /// A write on this side was committed.
    pub(super) fn note(&self, side: Side, probe: Probe) {
        let mut waiting = locked(&self.waiting[side.index()]);
        // What was written over before it was seen will not be seen.
        waiting.retain(|p| (p.seen, p.key) != (probe.seen, probe.key));
        if waiting.len() < WAITING_MAX {
            waiting.push(probe);
            self.noted[side.index()].fetch_add(1, Ordering::Release);
        }
    }

    /// Observers end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Everything seen so far.
    pub(super) fn samples(&self) -> Vec<Sample> {
        locked(&self.samples).clone()
    }

    /// How many writes were never seen.
    pub(super) fn unseen(&self) -> usize {
        self.waiting.iter().map(|w| locked(w).len()).sum()
    }

    /// Looks, on `side`, for what the other side wrote, until stopped.
    pub(super) fn observe(&self, side: Side, path: &Path) -> Result<()> {
        let from = side.other();
        let failed = || store(format!("look into {}", path.display()));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed())?;
        connection
            .busy_timeout(Duration::from_secs(10))
            .map_err(failed())?;
        let mut before = (0_i64, 0_u64);
        while !self.stop.load(Ordering::Relaxed) {
            let noted = self.noted[from.index()].load(Ordering::Acquire);
            let version = connection
                .prepare_cached("PRAGMA data_version")
                .and_then(|mut s| s.query_row([], |row| row.get(0)))
                .map_err(failed())?;
            if before == (version, noted) {
                std::thread::sleep(TICK);
                continue;
            }
            before = (version, noted);
            self.look(side, &connection).map_err(failed())?;
        }
        Ok(())
    }

    fn look(&self, side: Side, connection: &Connection) -> rusqlite::Result<()> {
        let from = side.other();
        let wanted: Vec<Probe> = locked(&self.waiting[from.index()]).clone();
        let mut found = Vec::new();
        for probe in &wanted {
            let sql = match probe.seen {
                Seen::Order => "SELECT NULL FROM orders WHERE id = ?1",
                Seen::Parcel => side.choose(
                    "SELECT tracking FROM shipments WHERE id = ?1",
                    "SELECT track_code FROM deliveries WHERE id = ?1",
                ),
            };
            let row: Option<Option<String>> = connection
                .prepare_cached(sql)?
                .query_row([probe.key], |row| row.get(0))
                .optional()?;
            if row.as_ref() == Some(&probe.token) {
                found.push(Sample {
                    from,
                    committed: probe.at,
                    seen: Instant::now(),
                });
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        locked(&self.waiting[from.index()]).retain(|p| !found.iter().any(|s| s.committed == p.at));
        locked(&self.samples).append(&mut found);
        Ok(())
    }
}

/// A span of time in which the sync was running and had nothing to catch up on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

/// The moment from which both directions have caught up with what was committed since `from`: the
/// first write of each side after it is seen. `None` when that never happened.
pub(super) fn caught_up(samples: &[Sample], from: Instant) -> Option<Instant> {
    Side::BOTH
        .into_iter()
        .map(|side| {
            let later = samples
                .iter()
                .filter(|s| s.from == side && s.committed >= from);
            later.map(|s| s.seen).min()
        })
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max()
}

/// Percentiles in milliseconds, of so many samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) samples: usize,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Latency {
    /// Of the writes committed and seen within one of the windows; `None` when there are none.
    pub(super) fn of(samples: &[Sample], windows: &[Window], from: Option<Side>) -> Option<Self> {
        let within = |s: &&Sample| {
            windows
                .iter()
                .any(|w| s.committed >= w.begin && s.seen <= w.end)
                && from.is_none_or(|side| side == s.from)
        };
        let mut ms: Vec<f64> = samples
            .iter()
            .filter(within)
            .map(|s| s.seen.saturating_duration_since(s.committed).as_secs_f64() * 1000.0)
            .collect();
        ms.sort_by(f64::total_cmp);
        // Nearest rank: a value that was really measured.
        let rank = |percent: usize| {
            ms.get((ms.len() * percent).div_ceil(100).max(1) - 1)
                .copied()
        };
        Some(Self {
            samples: ms.len(),
            p50_ms: rank(50)?,
            p95_ms: rank(95)?,
            p99_ms: rank(99)?,
            max_ms: rank(100)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(begin: Instant, ms: impl Iterator<Item = u64>) -> Vec<Sample> {
        ms.map(|ms| Sample {
            from: Side::Monolith,
            committed: begin,
            seen: begin + Duration::from_millis(ms),
        })
        .collect()
    }

    #[test]
    fn percentiles_are_measured_values() {
        let begin = Instant::now();
        let window = Window {
            begin,
            end: begin + Duration::from_secs(1),
        };
        let latency = Latency::of(&samples(begin, 1..=200), &[window], None).unwrap();
        assert_eq!(latency.samples, 200);
        assert_eq!(
            [
                latency.p50_ms,
                latency.p95_ms,
                latency.p99_ms,
                latency.max_ms
            ],
            [100.0, 190.0, 198.0, 200.0]
        );
        let one = Latency::of(&samples(begin, 7..=7), &[window], None).unwrap();
        assert_eq!([one.p50_ms, one.p99_ms], [7.0, 7.0]);
    }

    #[test]
    fn what_lies_outside_of_the_windows_does_not_count() {
        let begin = Instant::now();
        let window = Window {
            begin,
            end: begin + Duration::from_millis(50),
        };
        let all = samples(begin, 1..=200);
        assert_eq!(Latency::of(&all, &[window], None).unwrap().samples, 50);
        assert_eq!(Latency::of(&all, &[window], Some(Side::Service)), None);
        assert_eq!(Latency::of(&all, &[], None), None);
    }

    #[test]
    fn caught_up_means_both_directions() {
        let begin = Instant::now();
        let mut all = samples(begin, 5..=9);
        assert_eq!(caught_up(&all, begin), None);
        all.push(Sample {
            from: Side::Service,
            committed: begin,
            seen: begin + Duration::from_millis(20),
        });
        assert_eq!(
            caught_up(&all, begin),
            Some(begin + Duration::from_millis(20))
        );
        assert_eq!(caught_up(&all, begin + Duration::from_millis(1)), None);
    }
}
