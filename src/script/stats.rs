//! What a script has done so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::rule::{FailureKind, RuleError};

/// Counted since the script was loaded; reloading keeps the counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptStats {
    /// Batches and requests answered or failed.
    pub calls: u64,
    /// Rows in them.
    pub rows: u64,
    /// Time spent in them, in microseconds.
    pub busy_us: u64,
    /// Failures by kind.
    pub failures: BTreeMap<FailureKind, u64>,
    /// The last failure, as it was reported.
    pub last_failure: Option<String>,
    /// Times that a changed file was taken over.
    pub reloads: u64,
    /// The last changed file that was refused, and why.
    pub refused_reload: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<ScriptStats>);

impl Counters {
    pub(super) fn snapshot(&self) -> ScriptStats {
        self.with(|s| s.clone())
    }

    pub(super) fn called(&self, rows: usize, busy_us: u64, failure: Option<&RuleError>) {
        self.with(|s| {
            s.calls += 1;
            s.rows += rows as u64;
            s.busy_us += busy_us;
            if let Some(error) = failure {
                *s.failures.entry(error.kind).or_default() += 1;
                s.last_failure = Some(error.to_string());
            }
        });
    }

    pub(super) fn reloaded(&self) {
        self.with(|s| {
            s.reloads += 1;
            s.refused_reload = None;
        });
    }

    pub(super) fn refused(&self, why: String) {
        self.with(|s| s.refused_reload = Some(why));
    }

    fn with<T>(&self, f: impl FnOnce(&mut ScriptStats) -> T) -> T {
        // Counting cannot leave half a state behind: a poisoned lock is as good as another.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
