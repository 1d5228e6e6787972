//! One batch: a fresh instance under limits, and what became of it.

use wasmtime::component::Instance;
use wasmtime::{Store, Trap, WasmBacktrace};

use crate::rule::{FailureKind, RuleError};

use super::component::Loaded;
use super::engine::Runtime;
use super::guest::{GuestLog, GuestState};
use super::limits::{Limits, MemoryLimiter};
use super::stats::Counters;
use super::v0_1::exports::Stop;
use super::v0_1::questions::{Running, cut};
use super::v0_1::wire::Failure;

/// Frames of a trap's backtrace that are shown.
const FRAMES_MAX: usize = 6;

/// What is asked, for messages and limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// `resolve`, …
    pub(super) function: &'static str,
    /// The table; empty for routing.
    pub(super) table: &'a str,
    /// Rows in the batch.
    pub(super) rows: usize,
    /// Bytes in the batch.
    pub(super) bytes: usize,
}

/// Where batches of one component run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bench<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) loaded: &'a Loaded,
    pub(super) limits: Limits,
    pub(super) settings: &'a str,
    pub(super) counters: &'a Counters,
}

impl Bench<'_> {
    /// Runs a question in a fresh instance, which is dropped afterwards whatever happened: after a
    /// trap a wasmtime store is dead, and nothing leaks from one batch to the next.
    pub(super) fn run<T>(
        &self,
        question: Question<'_>,
        ask: impl FnOnce(&mut Running<'_>) -> Result<T, Stop>,
    ) -> Result<T, RuleError> {
        let limits = self.limits;
        if question.bytes > limits.memory_bytes() {
            return Err(self.error(
                question,
                FailureKind::OutOfMemory,
                format!(
                    "the batch has {} bytes, the rule may use {} MiB",
                    question.bytes, limits.memory_mb
                ),
            ));
        }
        let fuel = limits.fuel(question.rows, question.bytes);
        let _slot = self.runtime.enter();
        let mut store = Store::new(
            self.runtime.engine(),
            GuestState {
                memory: MemoryLimiter::new(limits.memory_bytes()),
                log: GuestLog::new(&self.loaded.info.name),
            },
        );
        store.limiter(|state| &mut state.memory);
        // What a guest makes the host copy is bounded like its own memory.
        store.set_hostcall_fuel(limits.memory_bytes());
        store.set_epoch_deadline(limits.call_ms.saturating_add(1));
        let outcome = store
            .set_fuel(fuel)
            .and_then(|()| self.loaded.pre.instantiate(&mut store))
            .map_err(Stop::Wasm)
            .and_then(|instance: Instance| {
                ask(&mut Running {
                    exports: &self.loaded.exports,
                    store: &mut store,
                    instance: &instance,
                    settings: self.settings,
                })
            });
        let used = store.get_fuel().map_or(0, |left| fuel.saturating_sub(left));
        let dropped = store.data().log.finish();
        self.counters.ran(outcome.is_ok().then_some(used), dropped);
        outcome.map_err(|stop| self.explain(question, &stop, store.data(), fuel))
    }

    fn explain(
        &self,
        question: Question<'_>,
        stop: &Stop,
        state: &GuestState,
        fuel: u64,
    ) -> RuleError {
        match stop {
            Stop::Failure(Failure::Fatal(message)) => {
                self.error(question, FailureKind::Fatal, cut(message.clone()))
            }
            Stop::Failure(Failure::Reject(rejection)) => {
                let error = self.error(
                    question,
                    FailureKind::Rejected,
                    cut(rejection.message.clone()),
                );
                narrowed(error, rejection.row.map(|row| row as usize))
            }
            Stop::Wrong(wrong) => narrowed(
                self.error(question, FailureKind::InvalidOutput, wrong.message.clone()),
                wrong.row,
            ),
            Stop::Host(kind, message) => self.error(question, *kind, message.clone()),
            Stop::Wasm(error) => {
                let (kind, message) = self.stopped(error, state, fuel);
                self.error(question, kind, message)
            }
        }
    }

    /// What wasmtime's error means.
    fn stopped(
        &self,
        error: &wasmtime::Error,
        state: &GuestState,
        fuel: u64,
    ) -> (FailureKind, String) {
        let limits = self.limits;
        if let Some(wanted) = state.memory.refused {
            return (
                FailureKind::OutOfMemory,
                format!(
                    "asked for {} MiB in all; limits.memory_mb is {}",
                    wanted.div_ceil(1024 * 1024),
                    limits.memory_mb
                ),
            );
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => (
                FailureKind::OutOfFuel,
                format!("used up its fuel of {fuel}{}", frames(error)),
            ),
            Some(Trap::Interrupt) => (
                FailureKind::Deadline,
                format!(
                    "ran longer than limits.call_ms = {}{}",
                    limits.call_ms,
                    frames(error)
                ),
            ),
            Some(trap) => {
                let said = state
                    .log
                    .last_error
                    .as_deref()
                    .filter(|text| text.contains("panicked"));
                let message = match said {
                    Some(text) => text.to_owned(),
                    None => format!("{trap}{}", frames(error)),
                };
                (FailureKind::Trapped, message)
            }
            // Neither trap nor limit: the canonical ABI could not read the answer.
            None => (
                FailureKind::InvalidOutput,
                cut(format!("the answer cannot be read: {}", error.root_cause())),
            ),
        }
    }

    pub(super) fn error(
        &self,
        question: Question<'_>,
        kind: FailureKind,
        message: String,
    ) -> RuleError {
        let info = &self.loaded.info;
        RuleError {
            kind,
            rule: info.name.clone(),
            version: info.version.clone(),
            digest: info.digest.clone(),
            function: question.function,
            table: question.table.to_owned(),
            rows: 0..question.rows,
            message,
        }
    }
}

/// Blames one row instead of the batch.
fn narrowed(mut error: RuleError, row: Option<usize>) -> RuleError {
    if let Some(row) = row
        && error.rows.contains(&row)
    {
        error.rows = row..row + 1;
    }
    error
}

/// The functions that a trap came from, innermost first.
fn frames(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    let names: Vec<String> = trace
        .frames()
        .iter()
        .take(FRAMES_MAX)
        .filter_map(|frame| frame.func_name().map(str::to_owned))
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(", in {}", names.join(" < "))
    }
}
