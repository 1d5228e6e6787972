//! The running proof of one migration, beside its sync in the same process.
//!
//! What the engine notes is numbered by its plan, and its rules are swapped in place; so the proof maps
//! rows by that very plan, and only reads through connections of its own. It makes no round while no
//! engine is at work, or while tables are copied, and takes nothing for proven while a table is paused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::config::Config;
use crate::data::{Key, Row, Value};
use crate::database::{SyncStore, UnitKey};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Shutdown;
use crate::state::{ProofDifference, ProofRecord};
use crate::sync::{Plan, Standing, Touched};
use crate::verify::{BothRows, Flow, Ground, PATIENCE, Proof, ProofTable, Report, Round};

use super::Opened;
use super::flow::MigrationFlow;
use super::open::{open, store};
use super::progress::now_us;
use super::verify::{mapping_digest, tolerances};

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(1);
/// After an error, at most.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Differences that are named.
const NAMED_MAX: usize = 20;
/// Differences that a comparison of everything may find without being worthless.
const KNOWN_MAX: usize = 10_000;
/// A proof that has not got on for so long is worth an alert.
const STALE_US: i64 = 10 * 60 * 1_000_000;

/// What is known of a migration's proof, shared by those who work on it.
#[derive(Debug)]
pub struct Board {
    /// Where the sync notes which rows change.
    pub(super) touched: Arc<Touched>,
    known: Mutex<Known>,
    /// How often the proof had to begin anew.
    losses: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    record: ProofRecord,
    /// Whether rounds are made, so that what changes from now on is compared.
    is_following: bool,
    /// Why there is no base, and why the rounds do not get on.
    no_base: Option<String>,
    trouble: Option<String>,
    /// The rows that differ, if they are few: table and key.
    different: BTreeSet<(String, String)>,
}

impl Board {
    /// Of a migration whose changes go one way or both.
    pub(super) fn new(two_way: bool) -> Self {
        let mut known = Known::default();
        known.record.sides = if two_way { "both" } else { "source" }.to_owned();
        Self {
            touched: Arc::default(),
            known: Mutex::new(known),
            losses: watch::Sender::new(0),
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How far it is.
    pub(super) fn record(&self) -> ProofRecord {
        self.with(|known| {
            let mut record = known.record.clone();
            record.reason = known.trouble.clone().or_else(|| known.no_base.clone());
            record
        })
    }

    /// How often it had to begin anew.
    pub(super) fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// Whether a comparison of everything is of use now.
    pub(super) fn is_following(&self) -> bool {
        self.with(|known| known.is_following)
    }

    pub(super) fn has_base(&self) -> bool {
        self.with(|known| known.record.base_us.is_some())
    }

    /// Only a comparison of everything helps.
    pub(super) fn lose(&self, why: &str) {
        self.with(|known| {
            known.record = ProofRecord {
                rows_compared: known.record.rows_compared,
                rows_untold: known.record.rows_untold,
                sides: std::mem::take(&mut known.record.sides),
                ..ProofRecord::default()
            };
            known.is_following = false;
            known.different.clear();
            known.no_base = Some(why.to_owned());
        });
        self.losses.send_modify(|losses| *losses += 1);
    }

    /// Takes in a comparison of everything, begun then, after so many losses.
    pub(super) fn swept(&self, report: &Report, begun_us: i64, losses: u64) {
        if *self.losses.borrow() != losses {
            return;
        }
        self.with(|known| {
            // Rows that the comparison saw moving were noted, or are in conflict: the proof compares them.
            let is_base = report.decided() && Proof::knows_all_of(report, &known.different);
            let record = &mut known.record;
            if is_base {
                record.base_us = Some(begun_us);
                known.no_base = None;
                return;
            }
            record.base_us = None;
            record.proven_us = None;
            known.no_base = Some(match report.decided() {
                true => format!(
                    "the last comparison of everything found {} differences",
                    report.differences_total
                ),
                false => "the last comparison of everything could not decide about every table"
                    .to_owned(),
            });
        });
    }

    fn round(&self, proof: &Proof, round: &Round, begun_us: i64, paused: &[String]) {
        let listed = proof.list(KNOWN_MAX + 1);
        self.with(|known| {
            known.is_following = true;
            let record = &mut known.record;
            record.rows_compared = proof.compared();
            record.rows_untold = proof.untold();
            record.rows_in_flight = proof.in_flight();
            record.rows_different = proof.different();
            record.differences = listed
                .iter()
                .take(NAMED_MAX)
                .map(|row| ProofDifference {
                    table: row.table.clone(),
                    key: row.key.clone(),
                    kind: row.kind.as_str().to_owned(),
                })
                .collect();
            let is_few = listed.len() <= KNOWN_MAX;
            known.different = match is_few {
                true => listed.into_iter().map(|row| (row.table, row.key)).collect(),
                false => BTreeSet::new(),
            };
            known.trouble = match (paused.first(), round) {
                (Some(paused), _) => Some(paused.clone()),
                (None, Round::Through | Round::Lost) => None,
                (None, Round::Waits) => Some("changes wait, and no sync runs".to_owned()),
                (None, Round::Late(why)) => Some(why.clone()),
            };
            if *round == Round::Through && paused.is_empty() && record.base_us.is_some() {
                record.proven_us = Some(begun_us);
            }
        });
    }

    pub(super) fn failed(&self, why: String) {
        self.with(|known| known.trouble = Some(why));
    }
}

/// What a proof tells whoever watches.
pub(super) enum ProofNews {
    /// More rows differ than before.
    Differ,
    /// No row differs any more.
    Alike,
    /// It has not got on for long.
    Stands,
}

/// Proves for as long as the sync beside it runs.
pub(super) async fn prove(
    config: &Config,
    name: &str,
    board: &Board,
    tell: &(dyn Fn(ProofNews) + Send + Sync),
    shutdown: &Shutdown,
) {
    let mut prover = Prover {
        config,
        name,
        board,
        tell,
        proof: Proof::new(Vec::new()),
        mapping: None,
        differed: 0,
        moved_us: now_us(),
        is_stale: false,
    };
    let mut pause = EVERY;
    while !shutdown.is_requested() {
        let attempt = tokio::select! {
            attempt = prover.attempt(shutdown) => attempt,
            () = shutdown.requested() => return,
        };
        match attempt {
            Ok(()) => pause = EVERY,
            Err(e) => {
                tracing::warn!(migration = name, "the proof does not get on: {e}");
                board.failed(format!("the proof does not get on: {e}"));
                pause = (pause * 2).min(AGAIN_MAX);
            }
        }
        prover.look_at_the_clock();
        rest(pause, shutdown).await;
    }
}

struct Prover<'a> {
    config: &'a Config,
    name: &'a str,
    board: &'a Board,
    tell: &'a (dyn Fn(ProofNews) + Send + Sync),
    proof: Proof,
    /// The digest of what is mapped.
    mapping: Option<String>,
    /// How many rows differed when that was told.
    differed: u64,
    /// When it last got on.
    moved_us: i64,
    is_stale: bool,
}

impl Prover<'_> {
    /// Rounds for as long as one engine is at work.
    async fn attempt(&mut self, shutdown: &Shutdown) -> Result<()> {
        let Some(standing) = self.board.touched.standing() else {
            return Ok(());
        };
        if !standing.is_copied {
            if self.board.is_following() || self.mapping.is_none() {
                self.mapping = Some(String::new());
                self.board.lose("tables are being copied");
            }
            return Ok(());
        }
        let migration = self.config.migration(self.name)?;
        let (opened, _) = open(self.config, self.name).await?;
        let ends = [&migration.source, &migration.target];
        let ends = [store(self.config, ends[0])?, store(self.config, ends[1])?];
        let digest = |plan: &Plan| {
            let places = [ends[0].identity(), ends[1].identity()];
            mapping_digest(places, migration, &plan.mappings)
        };
        let mapped = digest(&standing.plan);
        if digest(&opened.plan) != mapped {
            return Err(Error::new(
                ErrorKind::Schema,
                "the tables are not what the sync found any more",
            ));
        }
        if self.mapping.as_ref() != Some(&mapped) {
            let tolerances = tolerances(migration, &standing.plan.mappings)?;
            self.proof
                .begin_anew(proof_tables(&standing.plan, &tolerances));
            if self.mapping.replace(mapped).is_some() {
                self.board
                    .lose("the tables, or what is mapped of them, changed");
            }
        }
        let Some(flow) = MigrationFlow::of(self.config, &opened).await? else {
            return Ok(());
        };
        let ground = MigrationGround {
            plan: &standing.plan,
            opened: &opened,
            flow: &flow,
            touched: &self.board.touched,
            busy: migration.verification.busy_percent_max,
            shutdown,
        };
        while let Some(now) = self.board.touched.standing()
            && now.number == standing.number
        {
            self.round(&ground, &now).await?;
            rest(EVERY, shutdown).await;
        }
        Ok(())
    }

    async fn round(&mut self, ground: &dyn Ground, standing: &Standing) -> Result<()> {
        let begun_us = now_us();
        let round = self.proof.round(ground, PATIENCE).await?;
        if round == Round::Lost {
            self.board
                .lose("rows changed of which no notes could be taken");
            self.differed = 0;
            return Ok(());
        }
        // It may have been paused meanwhile.
        let now = self.board.touched.standing();
        let paused = now.map_or_else(|| standing.paused.clone(), |now| now.paused);
        self.board.round(&self.proof, &round, begun_us, &paused);
        if round == Round::Through {
            self.moved_us = begun_us;
        }
        let different = self.proof.different();
        if different > self.differed {
            (self.tell)(ProofNews::Differ);
        } else if different == 0 && self.differed > 0 {
            (self.tell)(ProofNews::Alike);
        }
        self.differed = different;
        self.look_at_the_clock();
        Ok(())
    }

    /// Says once that it has not got on for long.
    fn look_at_the_clock(&mut self) {
        let is_stale = now_us() - self.moved_us > STALE_US;
        if is_stale && !self.is_stale {
            (self.tell)(ProofNews::Stands);
        }
        self.is_stale = is_stale;
    }
}

async fn rest(time: Duration, shutdown: &Shutdown) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = shutdown.requested() => {}
    }
}

fn proof_tables(
    plan: &Plan,
    tolerances: &BTreeMap<String, BTreeMap<String, f64>>,
) -> Vec<ProofTable> {
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
    /// The engine's.
    plan: &'a Plan,
    opened: &'a Opened,
    flow: &'a MigrationFlow<'a>,
    touched: &'a Touched,
    busy: u8,
    shutdown: &'a Shutdown,
}

impl MigrationGround<'_> {
    /// What a source row is in a unit; `None`: that cannot be told of this key.
    fn mapped(&self, unit: usize, key: &Key, row: Option<Row>) -> Option<Option<Row>> {
        let plan = self.plan;
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
    fn open(&self) -> BoxFuture<'_, Result<Vec<(UnitKey, Key)>>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            for sync in [&self.opened.source, &self.opened.target] {
                let open = sync.open_conflicts().await?;
                let known = open.into_iter();
                let known = known.filter(|c| c.unit.unit < self.plan.units.len());
                rows.extend(known.map(|c| (c.unit, c.source_key)));
            }
            Ok(rows)
        })
    }

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
            let mapping = self.plan.units[unit].mapping;
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
