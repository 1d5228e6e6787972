//! Calling a script for the rows of one batch.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rhai::{CallFnOptions, Dynamic, FuncArgs, Scope};

use crate::rule::{FailureKind, RuleError};

use super::diagnose::Failure;
use super::load::Loaded;
use super::log;
use super::meter::{self, Running};
use super::spec::Limits;

/// Rows between two looks at the clock where rows are so cheap that the engine never looks.
const LOOK_EVERY_ROWS: usize = 16;

/// When a call that starts now must have ended.
pub(super) fn deadline(limits: &Limits) -> Instant {
    Instant::now() + Duration::from_millis(limits.call_ms.max(1))
}

/// One call: a function of a script and the batch that it answers.
pub(super) struct Call<'a> {
    pub(super) rule: &'a str,
    pub(super) limits: &'a Limits,
    pub(super) loaded: &'a Loaded,
    pub(super) function: &'static str,
    pub(super) table: &'a str,
    pub(super) rows: usize,
}

impl Call<'_> {
    /// Answers row after row. The first failure ends the call and names its row.
    pub(super) fn each<T>(
        &self,
        mut answer: impl FnMut(&mut Scope<'static>, usize) -> Result<T, Failure>,
    ) -> Result<Vec<T>, RuleError> {
        let _running = Running::until(deadline(self.limits));
        log::begin();
        let at = Cell::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut scope = Scope::new();
            let mut out = Vec::with_capacity(self.rows);
            for row in 0..self.rows {
                at.set(row);
                if row % LOOK_EVERY_ROWS == LOOK_EVERY_ROWS - 1 && meter::is_over() {
                    return Err(Failure::new(
                        FailureKind::Deadline,
                        format!(
                            "the batch of {} rows ran longer than {} ms (limits.call_ms)",
                            self.rows, self.limits.call_ms
                        ),
                    ));
                }
                out.push(answer(&mut scope, row)?);
            }
            Ok(out)
        }));
        log::end(self.rule);
        let failure = match outcome {
            Ok(Ok(out)) => return Ok(out),
            Ok(Err(failure)) => failure,
            // Rhai is not known to panic; a rule that makes it do so fails like any other.
            Err(panic) => Failure::new(
                FailureKind::Trapped,
                format!("the interpreter panicked: {}", text(&*panic)),
            ),
        };
        Err(self.error(failure, at.get()))
    }

    /// Calls the function for one row.
    pub(super) fn call(
        &self,
        scope: &mut Scope<'static>,
        args: impl FuncArgs,
    ) -> Result<Dynamic, Failure> {
        meter::begin_row();
        let options = CallFnOptions::new().eval_ast(false).rewind_scope(true);
        self.loaded
            .engine
            .call_fn_with_options::<Dynamic>(options, scope, &self.loaded.ast, self.function, args)
            .map_err(|e| {
                scope.clear();
                self.loaded.source.failure(*e, self.function, self.limits)
            })
    }

    /// The failure of a row as the caller gets it.
    pub(super) fn error(&self, failure: Failure, row: usize) -> RuleError {
        RuleError {
            kind: failure.kind,
            rule: self.rule.to_owned(),
            version: self.loaded.version.clone(),
            digest: Some(self.loaded.digest.clone()),
            function: self.function,
            table: self.table.to_owned(),
            rows: row..row + 1,
            message: failure.message,
        }
    }
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
