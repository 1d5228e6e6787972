//! The running proof of one migration, beside its sync in the same process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Notify;

use crate::config::Config;
use crate::data::{Key, Row, Value};
use crate::database::{SyncStore, UnitKey};
use crate::error::{Result, Retry};
use crate::runtime::Shutdown;
use crate::state::{ProofDifference, ProofRecord};
use crate::sync::Touched;
use crate::verify::{BothRows, Flow, Ground, PATIENCE, Proof, ProofTable, Report, Round};

use super::Opened;
use super::flow::MigrationFlow;
use super::open::{open, store};
use super::progress::now_us;
use super::verify::{mapping_digest, tolerances};

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(1);
/// Differences that are named.
const NAMED_MAX: usize = 20;

/// What is known of a migration's proof, shared by those who work on it.
#[derive(Debug, Default)]
pub struct Board {
    /// Where the sync notes which rows change.
    pub(super) touched: Arc<Touched>,
    known: Mutex<Known>,
    /// Told when only a comparison of everything helps.
    pub(super) lost: Notify,
}

#[derive(Debug, Default)]
struct Known {
    record: ProofRecord,
    losses: u64,
}

impl Board {
    fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far it is.
    pub(super) fn record(&self) -> ProofRecord {
        self.with(|known| known.record.clone())
    }

    /// How often it had to begin anew.
    pub(super) fn losses(&self) -> u64 {
        self.with(|known| known.losses)
    }

    fn lose(&self, why: &str) {
        self.with(|known| {
            known.losses += 1;
            known.record.base_us = None;
            known.record.proven_us = None;
            known.record.reason = Some(why.to_owned());
        });
        self.lost.notify_one();
    }

    /// Takes in a comparison of everything, begun then, after so many losses.
    pub(super) fn swept(&self, report: &Report, begun_us: i64, losses: u64) {
        self.with(|known| {
            // Rows that the comparison saw moving were noted, and are compared by the proof.
            let is_base = report.differences_total == 0
                && report.tables.iter().all(|t| t.consistent())
                && report.decided();
            if is_base && known.losses == losses {
                known.record.base_us = Some(begun_us);
                known.record.reason = None;
            } else if !is_base {
                known.record.base_us = None;
                known.record.proven_us = None;
                known.record.reason = Some(match report.decided() {
                    true => format!(
                        "the last comparison of everything found {} differences",
                        report.differences_total
                    ),
                    false => "the last comparison of everything could not decide about every table"
                        .to_owned(),
                });
            }
        });
    }

    fn round(&self, proof: &Proof, round: &Round, begun_us: i64) {
        self.with(|known| {
            let record = &mut known.record;
            record.rows_compared = proof.compared();
            record.rows_untold = proof.untold();
            record.rows_in_flight = proof.in_flight();
            record.rows_different = proof.different();
            record.differences = proof
                .list(NAMED_MAX)
                .into_iter()
                .map(|row| ProofDifference {
                    table: row.table,
                    key: row.key,
                    kind: row.kind.as_str().to_owned(),
                })
                .collect();
            if record.base_us.is_none() {
                return;
            }
            record.reason = match round {
                Round::Through => None,
                Round::Waits => Some("changes wait, and no sync runs".to_owned()),
                Round::Late(why) => Some(why.clone()),
                Round::Lost => return,
            };
            if *round == Round::Through {
                record.proven_us = Some(begun_us);
            }
        });
    }

    fn failed(&self, why: String) {
        self.with(|known| known.record.reason = Some(why));
    }
}

/// Proves for as long as the sync beside it runs. Fails with what no patience mends.
pub(super) async fn prove(
    config: &Config,
    name: &str,
    board: &Board,
    tell: &(dyn Fn(ProofRecord) + Send + Sync),
    shutdown: &Shutdown,
) -> Result<()> {
    let migration = config.migration(name)?;
    let busy = migration.verification.busy_percent_max;
    let mut mapping = None;
    let mut proof = Proof::new(Vec::new());
    let mut alarmed = false;
    while !shutdown.is_requested() {
        let engines = board.touched.engines();
        let (opened, _) = match open(config, name).await {
            Err(e) if e.kind().retry() == Retry::Backoff => {
                board.failed(e.to_string());
                rest(EVERY, shutdown).await;
                continue;
            }
            opened => opened?,
        };
        let ends = [&migration.source, &migration.target];
        let ends = [store(config, ends[0])?, store(config, ends[1])?];
        let places = [ends[0].identity(), ends[1].identity()];
        let digest = mapping_digest(places, migration, &opened.plan.mappings);
        if mapping.as_ref().is_some_and(|before| *before != digest) {
            board.lose("the tables or what is mapped of them changed");
        }
        mapping = Some(digest);
        proof.set_tables(proof_tables(
            &opened,
            &tolerances(migration, &opened.plan.mappings)?,
        ));
        let Some(flow) = MigrationFlow::of(config, &opened).await? else {
            return Ok(());
        };
        let ground = MigrationGround {
            opened: &opened,
            flow: &flow,
            touched: &board.touched,
            busy,
            shutdown,
        };
        // An engine that begins anew may have found other columns.
        while !shutdown.is_requested() && board.touched.engines() == engines {
            let begun_us = now_us();
            let round = tokio::select! {
                round = proof.round(&ground, PATIENCE) => round,
                () = shutdown.requested() => return Ok(()),
            };
            match round {
                Ok(Round::Lost) => {
                    board
                        .lose("rows were copied, or too many changed at once to take note of them");
                }
                Ok(round) => board.round(&proof, &round, begun_us),
                Err(e) if e.kind().retry() == Retry::Backoff => {
                    board.failed(e.to_string());
                    rest(EVERY, shutdown).await;
                    break;
                }
                Err(e) => return Err(e),
            }
            if (proof.different() > 0) != alarmed {
                alarmed = !alarmed;
                tell(board.record());
            }
            rest(EVERY, shutdown).await;
        }
    }
    Ok(())
}

async fn rest(time: Duration, shutdown: &Shutdown) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = shutdown.requested() => {}
    }
}

fn proof_tables(
    opened: &Opened,
    tolerances: &BTreeMap<String, BTreeMap<String, f64>>,
) -> Vec<ProofTable> {
    let plan = &opened.plan;
    let units = plan.units.iter().enumerate();
    units
        .map(|(i, unit)| {
            let table = &plan.mapping(i).targets[unit.target];
            ProofTable::new(table, tolerances.get(&unit.name))
        })
        .collect()
}

/// A migration's rows, through connections of their own.
struct MigrationGround<'a> {
    opened: &'a Opened,
    flow: &'a MigrationFlow<'a>,
    touched: &'a Touched,
    busy: u8,
    shutdown: &'a Shutdown,
}

impl MigrationGround<'_> {
    /// What a source row is in a unit; `None`: that cannot be told of this key.
    fn mapped(&self, unit: usize, key: &Key, row: Option<Row>) -> Option<Option<Row>> {
        let plan = &self.opened.plan;
        let Some(row) = row else {
            return Some(None);
        };
        let target = plan.units[unit].target;
        // A row that no rule can reshape is a matter of the comparison of everything.
        let mut mapped = plan.mapping(unit).forward(vec![row]).ok()?;
        let mapped = mapped.pop()?.get_mut(target)?.take();
        match &mapped {
            // It has become another row there.
            Some(row) if plan.mapping(unit).targets[target].key(row) != *key => None,
            _ => Some(mapped),
        }
    }
}

impl Ground for MigrationGround<'_> {
    fn noted(&self) -> Option<Vec<(UnitKey, Key)>> {
        let noted = self.touched.drain();
        (!noted.lost).then(|| noted.rows.into_iter().collect())
    }

    fn rows<'a>(
        &'a self,
        unit: usize,
        keys: &'a [(Key, Key)],
    ) -> BoxFuture<'a, Result<Vec<Option<BothRows>>>> {
        Box::pin(async move {
            let mapping = self.opened.plan.units[unit].mapping;
            // A key without a value names no row.
            let named = |key: &Key| !key.0.contains(&Value::Null);
            let which: Vec<bool> = keys.iter().map(|(t, s)| named(t) && named(s)).collect();
            let asked = || keys.iter().zip(&which).filter(|(_, named)| **named);
            let target_keys: Vec<Key> = asked().map(|((key, _), _)| key.clone()).collect();
            let source_keys: Vec<Key> = asked().map(|((_, key), _)| key.clone()).collect();
            let (source, target) = futures::try_join!(
                self.opened.source.read_rows(mapping, source_keys),
                self.opened.target.read_rows(unit, target_keys),
            )?;
            let mut rows = source.into_iter().zip(target);
            Ok(keys
                .iter()
                .zip(which)
                .map(|((key, _), named)| {
                    let (source, target) = named.then(|| rows.next())??;
                    let source = self.mapped(unit, key, source)?;
                    Some(BothRows { source, target })
                })
                .collect())
        })
    }

    fn flow(&self) -> &dyn Flow {
        self.flow
    }

    fn rest(&self, read: Duration) -> BoxFuture<'_, ()> {
        let percent = u32::from(self.busy.clamp(1, 100));
        let time = read * (100 - percent) / percent;
        Box::pin(rest(time, self.shutdown))
    }
}
