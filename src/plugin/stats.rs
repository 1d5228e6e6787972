//! What a plugin has done so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::rule::{FailureKind, RuleError};

/// What a plugin has done since it was loaded by this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginStats {
    /// Batches and requests.
    pub calls: u64,
    /// Rows in them; a request counts as one.
    pub rows: u64,
    /// Failures by kind.
    pub failures: BTreeMap<FailureKind, u64>,
    /// The last failure.
    pub last_failure: Option<RuleError>,
    /// Batches that were asked twice.
    pub asked_twice: u64,
    /// Fuel that the last successful call used.
    pub fuel_last: u64,
    /// Log lines that were dropped.
    pub log_lines_dropped: u64,
    /// Times that a changed file was taken over.
    pub reloads: u64,
    /// Times that a changed file was refused.
    pub reloads_refused: u64,
    /// Why the file as it is now was refused; `None` when it runs.
    pub refused: Option<String>,
}

/// [`PluginStats`] that many threads write to.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<PluginStats>);

impl Counters {
    pub(super) fn snapshot(&self) -> PluginStats {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn update<T>(&self, change: impl FnOnce(&mut PluginStats) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a call; answers its number, from 1.
    pub(super) fn call(&self, rows: usize) -> u64 {
        self.update(|s| {
            s.calls += 1;
            s.rows += rows as u64;
            s.calls
        })
    }

    pub(super) fn asked_twice(&self) {
        self.update(|s| s.asked_twice += 1);
    }

    pub(super) fn ran(&self, fuel: Option<u64>, dropped: u64) {
        self.update(|s| {
            if let Some(fuel) = fuel {
                s.fuel_last = fuel;
            }
            s.log_lines_dropped += dropped;
        });
    }

    pub(super) fn failed(&self, error: &RuleError) {
        self.update(|s| {
            *s.failures.entry(error.kind).or_default() += 1;
            s.last_failure = Some(error.clone());
        });
    }

    pub(super) fn reloaded(&self) {
        self.update(|s| {
            s.reloads += 1;
            s.refused = None;
        });
    }

    /// The file is again the one that runs.
    pub(super) fn unchanged(&self) {
        self.update(|s| s.refused = None);
    }

    pub(super) fn refused(&self, reason: String) {
        self.update(|s| {
            s.reloads_refused += 1;
            s.refused = Some(reason);
        });
    }
}
