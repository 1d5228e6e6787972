//! Repairs what a verification finds.
//!
//! A row is repaired only if both sides still are what the comparison saw: the side that is kept is
//! read again just before, the side that is written is checked inside the writing transaction. What
//! moved meanwhile is left to the next run, or to the sync, whose business it then is. Repairs that
//! a constraint blocks are tried again after the others, as long as that helps; so the order of
//! parents and children does not matter.

mod plan;
mod report;
mod rule;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::rule::Resolve;

use super::repair::{Repair, RepairOutcome, RepairStore, RepairTable};
use super::request::{Level, VerifyRequest};
use super::run;
use super::suspect::{SuspectWriter, Suspects};
use super::table::Pair;

use plan::{Planned, Side};
pub use report::{Action, Operation, ReconcileReport, ReconcileTable, ReconcileWrites, Unrepaired};

/// Rows repaired at a time.
const CHUNK_ROWS: usize = 256;
/// Rows that are listed with the reason why they were not repaired; all are counted.
const UNREPAIRED_LISTED: usize = 1000;

/// Which side is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefer {
    /// The source: the target is made equal to it.
    Source,
    /// The target: the source is made equal to it.
    Target,
    /// The side whose row was committed last; a row whose times are not both known is not repaired.
    Newest,
    /// Whatever the table's own rule for conflicts says.
    Rule,
}

/// What to repair.
pub struct ReconcileRequest<'a> {
    /// What to compare; the level is taken as FULL.
    pub verify: VerifyRequest<'a>,
    /// Which side is right.
    pub prefer: Prefer,
    /// Who decides about a table of the target, for [`Prefer::Rule`].
    pub resolvers: BTreeMap<String, Arc<dyn Resolve>>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
    /// Writes to the source.
    pub repair_source: &'a dyn RepairStore,
    /// Writes to the target.
    pub repair_target: &'a dyn RepairStore,
    /// Told about every repair when it is done, or, in a dry run, would be.
    pub observe: &'a mut (dyn FnMut(&Action) + Send),
    /// Writes down what is about to be written and what became of it; not asked in a dry run.
    pub ledger: &'a (dyn Fn(Entry<'_>) -> Result<()> + Send + Sync),
}

/// What is written down of repairs.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// These are about to be written. If that cannot be written down, they are not.
    Intended(&'a [Action]),
    /// What became of them, in the same order.
    Done(&'a [RepairOutcome]),
}

impl std::fmt::Debug for ReconcileRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReconcileRequest")
            .field("verify", &self.verify)
            .field("prefer", &self.prefer)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

/// Compares, and repairs what differs. Fails as [`super::verify`] does, and with what the stores
/// say when they cannot be written.
pub async fn reconcile(mut request: ReconcileRequest<'_>) -> Result<ReconcileReport> {
    let started = Instant::now();
    request.verify.level = Level::Full;
    let mut report = ReconcileReport::new(request.prefer, request.dry_run);
    let mut pairs = run::pairs(&request.verify)?;
    let tables = pairs.len();
    let mut todo: Vec<Suspects> = Vec::new();
    for (index, pair) in pairs.iter_mut().enumerate() {
        let (table, mut outcome) = run::compare(&request.verify, pair, index, tables).await?;
        outcome.differing.rewind()?;
        report.tables.push(ReconcileTable::new(pair.name(), &table));
        let (_, blocked) = round(
            &mut request,
            pair,
            &mut outcome.differing,
            &mut report,
            index,
        )
        .await?;
        todo.push(blocked);
    }
    // Again, as long as it helps.
    loop {
        let mut progress = false;
        for (index, pair) in pairs.iter().enumerate() {
            if todo[index].len() == 0 {
                continue;
            }
            let mut again = std::mem::replace(&mut todo[index], SuspectWriter::new().finish()?);
            let (done, blocked) = round(&mut request, pair, &mut again, &mut report, index).await?;
            progress |= done > 0;
            todo[index] = blocked;
        }
        if !progress {
            break;
        }
    }
    for (index, pair) in pairs.iter().enumerate() {
        while let Some(suspect) = todo[index].next()? {
            let reason = report.blocked_reason(pair, &suspect);
            report.unrepaired(index, pair, &suspect, reason);
        }
    }
    report.finish(started.elapsed().as_secs_f64());
    Ok(report)
}

/// Repairs the suspects of one table once; answers how many were repaired, and which were blocked.
async fn round(
    request: &mut ReconcileRequest<'_>,
    pair: &Pair<'_>,
    suspects: &mut Suspects,
    report: &mut ReconcileReport,
    index: usize,
) -> Result<(u64, Suspects)> {
    let mut done = 0;
    let mut blocked = SuspectWriter::new();
    let in_conflict = request
        .repair_target
        .in_conflict(repair_table(pair, Side::Target))
        .await?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_ROWS);
        while chunk.len() < CHUNK_ROWS
            && let Some(suspect) = suspects.next()?
        {
            chunk.push(suspect);
        }
        if chunk.is_empty() {
            return Ok((done, blocked.finish()?));
        }
        let planned = plan::plan(request, pair, &chunk, &in_conflict).await?;
        // Rows of which the first half could not be written: nothing is known of the other one.
        let mut halved = HashSet::new();
        for side in [Side::Target, Side::Source] {
            let repairs: Vec<(usize, &Repair)> = planned
                .iter()
                .enumerate()
                .filter(|(i, _)| !halved.contains(i))
                .filter_map(|(i, planned)| match (planned, side) {
                    (Planned::Write(to, repair), _) if *to == side => Some((i, repair)),
                    (Planned::Both { target, .. }, Side::Target) => Some((i, target)),
                    (Planned::Both { source, .. }, Side::Source) => Some((i, source)),
                    _ => None,
                })
                .collect();
            let outcomes = write(request, pair, side, &repairs).await?;
            for ((i, repair), outcome) in repairs.into_iter().zip(outcomes) {
                let suspect = &chunk[i];
                if outcome != RepairOutcome::Done {
                    halved.insert(i);
                }
                match outcome {
                    RepairOutcome::Done => {
                        done += 1;
                        let action = Action::of(pair, side, repair);
                        report.repaired(index, &action);
                        (request.observe)(&action);
                    }
                    RepairOutcome::Moved => report.tables[index].moved += 1,
                    RepairOutcome::Blocked(why) => {
                        report.note_blocked(pair, suspect, why);
                        blocked.push(suspect)?;
                    }
                }
            }
        }
        for (suspect, planned) in chunk.iter().zip(planned) {
            match planned {
                Planned::Write(..) | Planned::Both { .. } => {}
                Planned::Moved => report.tables[index].moved += 1,
                Planned::InConflict(id) => report.in_conflict(index, pair, suspect, &id),
                Planned::Refused(reason) => report.unrepaired(index, pair, suspect, reason),
            }
        }
    }
}

/// One side of a pair as repairs see it.
fn repair_table<'p>(pair: &'p Pair<'_>, side: Side) -> RepairTable<'p> {
    match side {
        Side::Target => RepairTable {
            table: &pair.target.table,
            columns: &pair.target.columns,
            key: if pair.keyed { &pair.target.key } else { &[] },
        },
        Side::Source => RepairTable {
            table: &pair.source.table,
            columns: &pair.source.columns,
            key: &pair.mapping.source.table.key,
        },
    }
}

async fn write(
    request: &ReconcileRequest<'_>,
    pair: &Pair<'_>,
    side: Side,
    repairs: &[(usize, &Repair)],
) -> Result<Vec<RepairOutcome>> {
    if request.dry_run || repairs.is_empty() {
        return Ok(vec![RepairOutcome::Done; repairs.len()]);
    }
    let store = match side {
        Side::Target => request.repair_target,
        Side::Source => request.repair_source,
    };
    let owned: Vec<Repair> = repairs.iter().map(|(_, r)| (*r).clone()).collect();
    let actions: Vec<Action> = owned.iter().map(|r| Action::of(pair, side, r)).collect();
    (request.ledger)(Entry::Intended(&actions))?;
    let outcomes = store.repair(repair_table(pair, side), &owned).await?;
    (request.ledger)(Entry::Done(&outcomes))?;
    if outcomes.len() != owned.len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("{} repairs got {} outcomes", owned.len(), outcomes.len()),
        ));
    }
    Ok(outcomes)
}
