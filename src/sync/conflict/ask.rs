//! Asking the rules, and what happens when one fails.

use crate::database::{OpenState, SyncStore};
use crate::error::Result;
use crate::rule::{Conflict, OnFailure, Resolve, RuleError, RuleTable, Side, Verdict, builtin};
use crate::sync::compose::halt;
use crate::sync::engine::Engine;

use super::{Decision, Work};

impl<S: SyncStore> Engine<S> {
    /// Asks the rules, one call for all conflicts of a unit.
    pub(super) fn ask(&self, work: &mut [Work]) -> Result<()> {
        for (u, unit) in self.plan.units.iter().enumerate() {
            let which: Vec<usize> = (0..work.len())
                .filter(|&i| work[i].decision.is_none() && work[i].conflict.unit.unit == u)
                .collect();
            if which.is_empty() {
                continue;
            }
            let conflicts: Vec<Conflict> = which
                .iter()
                .map(|&i| {
                    let w = &work[i];
                    let c = &w.conflict;
                    Conflict {
                        kind: c.kind,
                        direction: c.direction,
                        base: c.base.clone(),
                        base_known: c.base_known,
                        source: Side {
                            row: w.mapped.clone(),
                            committed_us: c.committed_us[0],
                        },
                        target: Side {
                            row: w.seen[1].clone(),
                            committed_us: c.committed_us[1],
                        },
                    }
                })
                .collect();
            let side = &self.plan.mappings[unit.mapping].targets[unit.target];
            let mut asked = Asked {
                rule: unit.resolver.as_ref(),
                table: &side.table,
                failures: 0,
                halt: unit.on_failure == OnFailure::Halt,
                fallback: match &unit.on_failure {
                    OnFailure::Strategy(name) => {
                        Some(builtin::strategy(name, &serde_json::Value::Null)?)
                    }
                    OnFailure::Park | OnFailure::Halt => None,
                },
            };
            let verdicts = asked.verdicts(&conflicts)?;
            let rule = unit.resolver.describe().name;
            for (i, verdict) in which.into_iter().zip(verdicts) {
                let w = &mut work[i];
                if matches!(verdict, Verdict::KeepBoth { .. }) && !self.is_copied() {
                    // See the module's text; it is asked again.
                    continue;
                }
                let wait = |reason| Decision::Wait {
                    state: OpenState::Parked,
                    reason,
                };
                // What a column cannot hold waits for a person; it is not bent, and not tried.
                let refused = |message: String| {
                    wait(format!(
                        "rule {rule} answered a row that cannot be written: {message}"
                    ))
                };
                let result = |row, outcome, beside| Decision::Result {
                    row,
                    rule: rule.clone(),
                    outcome,
                    beside,
                };
                w.decision = Some(match verdict {
                    Verdict::Source => result(w.mapped.clone(), "source", None),
                    Verdict::Target => result(w.seen[1].clone(), "target", None),
                    Verdict::Delete => result(None, "delete", None),
                    Verdict::Merged(row) => match side.try_store(row) {
                        Ok(row) => result(Some(row), "merged", None),
                        Err(message) => refused(message),
                    },
                    Verdict::KeepBoth { row, other } => {
                        match (side.try_store(row), side.try_store(other)) {
                            (Ok(row), Ok(other)) => result(Some(row), "both", Some(other)),
                            (Err(message), _) | (_, Err(message)) => refused(message),
                        }
                    }
                    Verdict::Park(reason) => wait(reason),
                });
            }
        }
        Ok(())
    }
}

/// How many failing calls one batch may cost before all that is left of it is parked.
const FAILURES_MAX: u32 = 12;

/// A rule being asked, and how it fails.
struct Asked<'a> {
    rule: &'a dyn Resolve,
    table: &'a RuleTable,
    failures: u32,
    halt: bool,
    fallback: Option<std::sync::Arc<dyn Resolve>>,
}

impl Asked<'_> {
    /// Verdicts on all conflicts. Where the rule fails, the batch is halved until the guilty ones
    /// are alone, a bounded number of times; they are parked or fall back.
    fn verdicts(&mut self, conflicts: &[Conflict]) -> Result<Vec<Verdict>> {
        match self.twice(conflicts) {
            Ok(verdicts) => Ok(verdicts),
            Err(error) if self.halt => Err(halt(&error)),
            Err(error) => {
                self.failures += 1;
                if conflicts.len() > 1 && self.failures < FAILURES_MAX {
                    let (a, b) = conflicts.split_at(conflicts.len() / 2);
                    let mut out = self.verdicts(a)?;
                    out.append(&mut self.verdicts(b)?);
                    return Ok(out);
                }
                tracing::warn!(%error, conflicts = conflicts.len(), "a rule failed");
                if let Some(fallback) = &self.fallback
                    && let Ok(verdicts) = fallback.resolve(self.table, conflicts)
                {
                    return Ok(verdicts);
                }
                Ok(vec![Verdict::Park(error.to_string()); conflicts.len()])
            }
        }
    }

    /// Rules that are not our own are asked twice: what answers differently decides nothing.
    fn twice(&self, conflicts: &[Conflict]) -> std::result::Result<Vec<Verdict>, RuleError> {
        let first = self.rule.resolve(self.table, conflicts)?;
        let info = self.rule.describe();
        let error = |kind, message: String| RuleError {
            kind,
            rule: info.name.clone(),
            version: info.version.clone(),
            digest: info.digest.clone(),
            function: "resolve",
            table: self.table.name.clone(),
            rows: 0..conflicts.len(),
            message,
        };
        if first.len() != conflicts.len() {
            return Err(error(
                crate::rule::FailureKind::InvalidOutput,
                format!("{} verdicts for {} conflicts", first.len(), conflicts.len()),
            ));
        }
        if info.digest.is_some() && self.rule.resolve(self.table, conflicts)? != first {
            return Err(error(
                crate::rule::FailureKind::Nondeterministic,
                "asked twice about the same rows, it answered differently".to_owned(),
            ));
        }
        Ok(first)
    }
}
