//! A loaded plugin: asks it, counts what it does, and takes over a changed file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::error::{Error, ErrorKind, Result};
use crate::rule::{FailureKind, RuleError, RuleInfo, RuleTable};

use super::batch::{Bench, Question};
use super::component::{Artefact, Loaded, Stamp};
use super::host::{PluginSpec, Shared};
use super::limits::Limits;
use super::roles::Role;
use super::stats::{Counters, PluginStats};
use super::v0_1::exports::Stop;
use super::v0_1::questions::Running;

/// Loading is done once and under whatever else the machine does: fuel alone shall stop it there.
const LOAD_MS_MIN: u64 = 2_000;
/// Different sets of tables that are remembered for checking a changed file.
const TABLE_SETS_MAX: usize = 64;
/// Length of the name, version and summary that a component gives itself.
const INFO_CHARACTERS_MAX: usize = 200;

/// What became of a changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The file is the one that runs.
    Unchanged,
    /// The new file runs from the next batch on.
    Swapped {
        /// blake3 of the file before.
        from: String,
        /// blake3 of the file now.
        to: String,
    },
    /// The new file is refused; the old one goes on.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A component that fulfils [`crate::rule`]'s traits. A role that it does not have fails with
/// [`FailureKind::Fatal`]; see [`Plugin::roles`].
#[derive(Debug)]
pub struct Plugin {
    shared: Arc<Shared>,
    spec: PluginSpec,
    /// The settings as JSON text.
    settings: String,
    current: ArcSwap<Loaded>,
    counters: Counters,
    /// The file as it was last looked at.
    stamp: Mutex<Option<Stamp>>,
    /// The tables that it was opened with, to check a changed file with.
    opened: Mutex<BTreeMap<(&'static str, String), Vec<RuleTable>>>,
}

impl Plugin {
    pub(super) fn load(shared: Arc<Shared>, spec: PluginSpec) -> Result<Self> {
        let settings = settings(&spec)?;
        // The stamp is taken first: a file that changes while it is read is looked at again.
        let stamp = Stamp::of(&spec.path);
        let counters = Counters::default();
        let loaded = prepare(&shared, &spec, &settings, &counters, &[])
            .map_err(|e| e.at(format!("rule {}", spec.name)))?;
        Ok(Self {
            shared,
            spec,
            settings,
            current: ArcSwap::from_pointee(loaded),
            counters,
            stamp: Mutex::new(stamp),
            opened: Mutex::new(BTreeMap::new()),
        })
    }

    /// The rule's name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.spec.path
    }

    /// Who it is; `name` is the rule's, see [`Self::component_name`] for its own.
    #[must_use]
    pub fn info(&self) -> RuleInfo {
        self.current.load().info.clone()
    }

    /// The name that the component gives itself.
    #[must_use]
    pub fn component_name(&self) -> String {
        self.current.load().component_name.clone()
    }

    /// blake3 of the file, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        self.current.load().digest.clone()
    }

    /// What it can answer, in order.
    #[must_use]
    pub fn roles(&self) -> Vec<Role> {
        self.current.load().roles()
    }

    /// What it imports, with the functions.
    #[must_use]
    pub fn imports(&self) -> Vec<String> {
        self.current.load().imports.clone()
    }

    /// What it may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.spec.limits
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> PluginStats {
        self.counters.snapshot()
    }

    /// Opens it for these tables without asking anything: whether its settings fit them. A
    /// resolver or validator takes one table, a transformer the source's and then the target's.
    pub fn check_tables(&self, tables: &[&RuleTable]) -> Result<(), RuleError> {
        let loaded = self.current.load_full();
        let bench = bench(
            &self.shared,
            &loaded,
            &self.spec,
            &self.settings,
            &self.counters,
        );
        open(bench, tables)
    }

    /// Takes over the file if it changed. Batches that are running finish with the old one. A file
    /// that cannot be read, compiled, pinned or opened with the tables in use is refused, and
    /// [`PluginStats::refused`] says why until the file changes again. Cheap when nothing changed:
    /// one `stat`.
    pub fn reload_if_changed(&self) -> Reload {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamp::of(&self.spec.path);
        if *stamp == now {
            return Reload::Unchanged;
        }
        *stamp = now;
        let tables: Vec<Vec<RuleTable>> = self
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        match self.take_over(&tables) {
            Ok(None) => {
                self.counters.unchanged();
                Reload::Unchanged
            }
            Ok(Some((from, to))) => {
                self.counters.reloaded();
                let rule = self.name();
                tracing::info!(%rule, "plugin reloaded: {from} is now {to}");
                Reload::Swapped { from, to }
            }
            Err(error) => {
                let reason = error.to_string();
                let rule = self.name();
                tracing::warn!(%rule, "changed plugin refused, the old one goes on: {reason}");
                self.counters.refused(reason.clone());
                Reload::Refused { reason }
            }
        }
    }

    fn take_over(&self, tables: &[Vec<RuleTable>]) -> Result<Option<(String, String)>> {
        let old = self.current.load_full();
        let artefact = Artefact::read(&self.spec.path, self.spec.blake3.as_deref())?;
        if artefact.digest == old.digest {
            return Ok(None);
        }
        let new = loaded(
            &self.shared,
            &artefact,
            &self.spec,
            &self.settings,
            &self.counters,
            tables,
        )?;
        let lost: Vec<&str> = old
            .roles()
            .into_iter()
            .filter(|role| !new.roles().contains(role))
            .map(Role::interface)
            .collect();
        if !lost.is_empty() {
            return Err(Error::new(
                ErrorKind::Rule,
                format!(
                    "plugin {} is no longer a {}",
                    self.spec.path.display(),
                    lost.join(", ")
                ),
            ));
        }
        let digests = (old.digest.clone(), new.digest.clone());
        self.current.store(Arc::new(new));
        Ok(Some(digests))
    }

    /// Asks a question, twice where that is due, and counts.
    pub(super) fn ask<T: PartialEq>(
        &self,
        question: Question<'_>,
        tables: &[&RuleTable],
        ask: impl Fn(&mut Running<'_>) -> Result<T, Stop>,
    ) -> Result<T, RuleError> {
        let loaded = self.current.load_full();
        let bench = bench(
            &self.shared,
            &loaded,
            &self.spec,
            &self.settings,
            &self.counters,
        );
        let number = self.counters.call(question.rows);
        self.remember(question, tables);
        let answer = bench.run(question, &ask).and_then(|first| {
            let every = self.spec.verify_determinism_every;
            if every == 0 || !number.is_multiple_of(every) {
                return Ok(first);
            }
            self.counters.asked_twice();
            let second = bench.run(question, &ask)?;
            same(first, &second).ok_or_else(|| {
                bench.error(
                    question,
                    FailureKind::Nondeterministic,
                    "answered differently when asked twice".to_owned(),
                )
            })
        });
        if let Err(error) = &answer {
            self.counters.failed(error);
        }
        answer
    }

    fn remember(&self, question: Question<'_>, tables: &[&RuleTable]) {
        if tables.is_empty() {
            return;
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let known = opened
            .iter()
            .find(|((function, table), _)| {
                *function == question.function && table == question.table
            })
            .is_some_and(|(_, known)| known.iter().eq(tables.iter().copied()));
        if !known && opened.len() < TABLE_SETS_MAX {
            opened.insert(
                (question.function, question.table.to_owned()),
                tables.iter().map(|&t| t.clone()).collect(),
            );
        }
    }
}

/// The answer, if it is the same both times.
fn same<T: PartialEq>(first: T, second: &T) -> Option<T> {
    (first == *second).then_some(first)
}

fn settings(spec: &PluginSpec) -> Result<String> {
    match &spec.settings {
        serde_json::Value::Null => Ok("{}".to_owned()),
        settings @ serde_json::Value::Object(_) => Ok(settings.to_string()),
        other => Err(Error::new(
            ErrorKind::Config,
            format!(
                "rule {}: settings must be a table, found {other}",
                spec.name
            ),
        )),
    }
}

fn bench<'a>(
    shared: &'a Shared,
    loaded: &'a Loaded,
    spec: &PluginSpec,
    settings: &'a str,
    counters: &'a Counters,
) -> Bench<'a> {
    Bench {
        runtime: &shared.runtime,
        loaded,
        limits: spec.limits,
        settings,
        counters,
    }
}

fn prepare(
    shared: &Shared,
    spec: &PluginSpec,
    settings: &str,
    counters: &Counters,
    tables: &[Vec<RuleTable>],
) -> Result<Loaded> {
    let artefact = Artefact::read(&spec.path, spec.blake3.as_deref())?;
    loaded(shared, &artefact, spec, settings, counters, tables)
}

/// Compiles, links, compares types, asks who it is, and opens it: without tables, and with all
/// sets of tables that are in use.
fn loaded(
    shared: &Shared,
    artefact: &Artefact,
    spec: &PluginSpec,
    settings: &str,
    counters: &Counters,
    tables: &[Vec<RuleTable>],
) -> Result<Loaded> {
    let mut loaded = shared.prepare(artefact, &spec.name)?;
    let patient = PluginSpec {
        limits: Limits {
            call_ms: spec.limits.call_ms.max(LOAD_MS_MIN),
            ..spec.limits
        },
        ..spec.clone()
    };
    let path = artefact.path.display().to_string();
    let failed = |e: RuleError| {
        Error::new(ErrorKind::Rule, format!("plugin {path} cannot be used")).caused_by(e)
    };
    let question = Question {
        function: "describe",
        table: "",
        rows: 0,
        bytes: 0,
    };
    let mut mismatch = None;
    let info = bench(shared, &loaded, &patient, settings, counters).run(question, |running| {
        if let Err(found) = running.exports.typecheck(running.store, running.instance) {
            mismatch = Some(found);
        }
        running.exports.describe(running.store, running.instance)
    });
    if let Some((function, error)) = mismatch {
        return Err(Error::new(
            ErrorKind::Rule,
            format!(
                "plugin {path} says it is built against banyan:rules@0.1.0, but its {function} \
                 has other types: {error:#}"
            ),
        )
        .hint("build it again against wit/0.1.0"));
    }
    let info = info.map_err(failed)?;
    let short = |text: &str| text.chars().take(INFO_CHARACTERS_MAX).collect::<String>();
    loaded.component_name = short(&info.name);
    loaded.info.version = short(&info.version);
    loaded.info.summary = short(&info.summary);
    let bench = bench(shared, &loaded, &patient, settings, counters);
    open(bench, &[]).map_err(failed)?;
    for set in tables {
        open(bench, &set.iter().collect::<Vec<_>>()).map_err(failed)?;
    }
    Ok(loaded)
}

fn open(bench: Bench<'_>, tables: &[&RuleTable]) -> Result<(), RuleError> {
    let question = Question {
        function: "open",
        table: tables.first().map_or("", |t| &t.name),
        rows: 0,
        bytes: 0,
    };
    bench.run(question, |running| running.open(tables))
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn two_different_answers_are_no_answer() {
        assert_eq!(same(vec![1, 2], &vec![1, 2]), Some(vec![1, 2]));
        assert_eq!(same(vec![1, 2], &vec![1, 3]), None);
    }
}
