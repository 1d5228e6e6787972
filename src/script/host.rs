//! A script in use: its current version, its counters, and the traits it fulfils.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use rhai::{Dynamic, ImmutableString};

use crate::data::Row;
use crate::error::{Error, ErrorKind, Result};
use crate::rule::{
    Conflict, Direction, FailureKind, Note, RequestHead, Resolve, Route, RouteDecision, Routed,
    RuleError, RuleInfo, RuleTable, Transform, TransformTables, Validate, Verdict, answer,
};

use super::answer::{Made, decision, made, notes, verdict};
use super::call::Call;
use super::diagnose::Failure;
use super::load::{self, Loaded};
use super::spec::{Roles, ScriptSpec};
use super::stats::{Counters, ScriptStats};
use super::view::{
    COLUMNS, CONFLICT, Columns, ConflictHandle, REQUEST, ROW, RequestHandle, RowHandle,
};

/// A loaded script. Fulfils the traits whose function it has; asked for another, it fails.
#[derive(Debug)]
pub struct Script {
    spec: ScriptSpec,
    current: ArcSwap<Loaded>,
    counters: Counters,
}

impl Script {
    /// Reads, compiles and checks a script.
    ///
    /// Fails with [`ErrorKind::NotFound`] or [`ErrorKind::Io`] when the file cannot be read, with
    /// [`ErrorKind::Config`] on settings that are no table, and with [`ErrorKind::Rule`] when the
    /// digest is not the pinned one, the script does not compile, its top level fails, or its
    /// functions are not those that are expected. The message points at line and column.
    pub fn load(spec: ScriptSpec) -> Result<Arc<Self>> {
        let bytes = load::read(&spec)?;
        let loaded = load::compile(&spec, bytes)?;
        Ok(Arc::new(Self {
            spec,
            current: ArcSwap::from_pointee(loaded),
            counters: Counters::default(),
        }))
    }

    /// What it was loaded from.
    #[must_use]
    pub fn spec(&self) -> &ScriptSpec {
        &self.spec
    }

    /// The questions it answers.
    #[must_use]
    pub fn roles(&self) -> Roles {
        self.current.load().roles
    }

    /// Name, version (the constant `VERSION`), summary (the `//!` lines) and digest.
    #[must_use]
    pub fn info(&self) -> RuleInfo {
        let loaded = self.current.load();
        RuleInfo {
            name: self.spec.name.clone(),
            version: loaded.version.clone(),
            summary: loaded.summary.clone(),
            digest: Some(loaded.digest.clone()),
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> ScriptStats {
        self.counters.snapshot()
    }

    /// Takes a changed file over: to be called between batches. Answers whether it did. A batch
    /// that is running ends with the script it began with.
    ///
    /// Fails as [`Script::load`], and with [`ErrorKind::Rule`] when the new script lacks a role of
    /// the old one; then the old one stays in use.
    pub fn reload_if_changed(&self) -> Result<bool> {
        let reloaded = self.reload();
        match &reloaded {
            Ok(true) => self.counters.reloaded(),
            Ok(false) => {}
            Err(e) => self.counters.refused(e.to_string()),
        }
        reloaded
    }

    fn reload(&self) -> Result<bool> {
        let bytes = load::read(&self.spec)?;
        let current = self.current.load();
        if load::digest(&bytes) == current.digest {
            return Ok(false);
        }
        let stays = "the version in use before stays in use";
        let loaded = load::compile(&self.spec, bytes).map_err(|e| e.hint(stays))?;
        let gone = loaded.roles.missing_from(current.roles);
        if !gone.is_empty() {
            return Err(Error::new(
                ErrorKind::Rule,
                format!(
                    "rule {}: the changed script no longer has {}",
                    self.spec.name,
                    gone.join(", ")
                ),
            )
            .hint(stays));
        }
        self.current.store(Arc::new(loaded));
        Ok(true)
    }

    /// Runs one call and counts it.
    fn counted<T>(
        &self,
        function: &'static str,
        table: &str,
        rows: usize,
        run: impl FnOnce(&Call<'_>) -> std::result::Result<T, RuleError>,
    ) -> std::result::Result<T, RuleError> {
        let started = Instant::now();
        let loaded = self.current.load_full();
        let call = Call {
            rule: &self.spec.name,
            limits: &self.spec.limits,
            loaded: &loaded,
            function,
            table,
            rows,
        };
        let result = if loaded.roles.names().contains(&function) {
            run(&call)
        } else {
            let message = format!("the script has no function {function}");
            let mut error = call.error(Failure::new(FailureKind::Fatal, message), 0);
            error.rows = 0..rows;
            Err(error)
        };
        let busy_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counters.called(rows, busy_us, result.as_ref().err());
        result
    }
}

impl Resolve for Script {
    fn describe(&self) -> RuleInfo {
        self.info()
    }

    fn resolve(
        &self,
        table: &RuleTable,
        conflicts: &[Conflict],
    ) -> std::result::Result<Vec<Verdict>, RuleError> {
        self.counted("resolve", &table.name, conflicts.len(), |call| {
            COLUMNS.set(&Columns::of(table), || {
                call.each(|scope, i| {
                    let conflict = &conflicts[i];
                    CONFLICT.set(conflict, || {
                        let answer = call.call(scope, (ConflictHandle,))?;
                        verdict(table, conflict, answer)
                    })
                })
            })
        })
    }
}

impl Transform for Script {
    fn describe(&self) -> RuleInfo {
        self.info()
    }

    fn transform(
        &self,
        tables: &TransformTables,
        direction: Direction,
        table: usize,
        rows: &[Row],
    ) -> std::result::Result<Vec<Routed>, RuleError> {
        let name = tables.get(table).map_or("", |t| &t.name);
        self.counted("transform", name, rows.len(), |call| {
            let Some(given) = tables.get(table) else {
                let message = format!("there is no table number {table}");
                return Err(call.error(Failure::new(FailureKind::Fatal, message), 0));
            };
            let way = ImmutableString::from(direction.as_str());
            let made = COLUMNS.set(&Columns::of(given), || {
                call.each(|scope, i| {
                    ROW.set(&rows[i], || {
                        let answer = call.call(scope, (RowHandle::Given, way.clone()))?;
                        made(tables, direction, given, &rows[i], answer)
                    })
                })
            })?;
            let routed = grouped(made);
            match answer::routed(tables, direction, rows, &routed) {
                Ok(()) => Ok(routed),
                Err(w) => Err(call.error(Failure::invalid(w.message), w.row.unwrap_or(0))),
            }
        })
    }
}

/// Rows for the same table with the same columns together, in the order they came.
fn grouped(made: Vec<Vec<Made>>) -> Vec<Routed> {
    let mut out: Vec<Routed> = Vec::new();
    for (origin, rows) in made.into_iter().enumerate() {
        for row in rows {
            let group = out
                .iter()
                .position(|g| g.table == row.table && g.columns == row.columns);
            let at = group.unwrap_or_else(|| {
                out.push(Routed {
                    table: row.table,
                    columns: row.columns,
                    origins: Vec::new(),
                    rows: Vec::new(),
                });
                out.len() - 1
            });
            out[at].origins.push(origin);
            out[at].rows.push(row.cells);
        }
    }
    out
}

impl Validate for Script {
    fn describe(&self) -> RuleInfo {
        self.info()
    }

    fn validate(
        &self,
        table: &RuleTable,
        rows: &[Row],
    ) -> std::result::Result<Vec<Note>, RuleError> {
        self.counted("validate", &table.name, rows.len(), |call| {
            COLUMNS
                .set(&Columns::of(table), || {
                    call.each(|scope, i| {
                        ROW.set(&rows[i], || {
                            let answer: Dynamic = call.call(scope, (RowHandle::Given,))?;
                            notes(i, answer)
                        })
                    })
                })
                .map(|notes| notes.concat())
        })
    }
}

impl Route for Script {
    fn describe(&self) -> RuleInfo {
        self.info()
    }

    fn route(&self, request: &RequestHead) -> std::result::Result<RouteDecision, RuleError> {
        self.counted("route", "", 1, |call| {
            let decided = REQUEST.set(request, || {
                call.each(|scope, _| decision(call.call(scope, (RequestHandle,))?))
            })?;
            Ok(decided.into_iter().next().unwrap_or(RouteDecision::Default))
        })
    }
}
