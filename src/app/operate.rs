//! Syncing a migration: attempts of an engine, and what is remembered of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::database::{AnyStore, LagReader, ReadStore};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::lifecycle::{Phase, PhaseEvent, Progress};
use crate::runtime::Shutdown;
use crate::state::MigrationRecord;
use crate::sync::{Engine, EngineOptions, RunOptions, SyncReport, run};

use super::Opened;
use super::build::join;
use super::check::rows_without_key;
use super::create;
use super::ending::half_ended;
use super::lease::Lease;
use super::notebook::Notebook;
use super::open::{open, state, state_folder, store};
use super::progress::{Meter, Observed, note, note_lag, now_us};
use super::proof::Board;
use super::remap::remap;
use super::resume::recopies;
use super::rules::RuleWatcher;
use super::widen;

/// What to sync, and until when.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The migration.
    pub migration: String,
    /// End when both sides have nothing left.
    pub until_idle: bool,
    /// End when everything is copied.
    pub copy_only: bool,
    /// Make tables of the target that are not there.
    pub create_tables: bool,
    /// Who proves both sides equal meanwhile.
    pub board: Option<Arc<Board>>,
}

/// How often the state is written and wishes are looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// A column that cannot be added to the other side is tried again so often.
const WIDEN_AGAIN: Duration = Duration::from_secs(5);
/// New tables get their constraints when both sides are level, or so long after the copy.
const LEVEL_MAX: Duration = Duration::from_secs(30);
/// Pauses between tries after an error that passes by itself.
const BACKOFF_MS: [u64; 6] = [100, 200, 500, 1_000, 2_000, 5_000];
/// Tries, when somebody waits for the end.
const TRIES_MAX: u32 = 12;

/// Copies if needed, then follows changes. `observe` is called after each round.
///
/// Errors that pass by themselves (a locked or full store) are retried with growing pauses for as
/// long as nobody stops it; with `until_idle` for about a minute. Before the migration has begun
/// nothing is: then whoever started it is there to act.
pub async fn sync(
    config: &Config,
    request: &SyncRequest,
    shutdown: &Shutdown,
    mut observe: impl FnMut(&Observed) + Send,
) -> Result<SyncReport> {
    let name = &request.migration;
    config.migration(name)?;
    // First of all: whoever asks whether somebody works on the migration learns it at once, however long
    // the state takes to open.
    let lease = match Lease::need(&state_folder(config)?, name) {
        // The state says better what is wrong with its folder.
        Err(e) if e.kind() == ErrorKind::Io => state(config).await.and(Err(e))?,
        lease => lease?,
    };
    let state = state(config).await?;
    let record = state.migration(name).await?;
    if let Some(reason) = state.pause_wished(name).await? {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("migration {name} is paused: {reason}"),
        )
        .hint(format!("banyan migration resume {name}")));
    }
    record
        .phase
        .on(PhaseEvent::Start(Progress::Copying))
        .map_err(|refusal| refusal.into_error().at(format!("migration {name}")))?;
    let begun = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let mut work = Work {
        config,
        request,
        shutdown,
        fresh: !record.phase.is_installed(),
        was_planned: record.phase == Phase::Planned,
        record,
        followed: false,
        was_in_the_way: false,
        widen: false,
        notebook: Notebook::new(&state),
        stop,
        stopped,
    };
    let mut tries = 0;
    let mut earlier = SyncReport::default();
    if request.create_tables && work.record.ending.is_none() {
        earlier.created = create::missing(config, &state, &mut work.record).await?;
    }
    loop {
        let e = match Box::pin(work.attempt(&mut observe)).await {
            Ok(Attempt {
                mut report,
                again: true,
            }) if !shutdown.is_requested() => {
                report.add(&earlier);
                earlier = report;
                work.fresh = false;
                tries = 0;
                continue;
            }
            Ok(Attempt { mut report, .. }) => {
                work.end_proof().await;
                report.add(&earlier);
                report.seconds = begun.elapsed().as_secs_f64();
                drop(lease);
                return Ok(report);
            }
            Err(e) => e,
        };
        if std::mem::take(&mut work.widen) && !work.record.paused {
            work.stop.send_replace(false);
        }
        let patience = if request.until_idle {
            TRIES_MAX
        } else {
            u32::MAX
        };
        if !work.passes(&e) || tries >= patience || shutdown.is_requested() {
            work.end_proof().await;
            work.give_up(&e).await;
            return Err(
                if matches!(e.kind(), ErrorKind::LogGap | ErrorKind::Schema) {
                    e.hint(format!(
                    "banyan migration resume {name}, then banyan sync {name}: a new log is begun, what \
                     the other side changed is carried over, and then all rows are compared"
                ))
                } else {
                    e
                },
            );
        }
        let pause = BACKOFF_MS[(tries as usize).min(BACKOFF_MS.len() - 1)];
        tracing::warn!(%e, pause_ms = pause, "trying again");
        work.record.add_error(e.to_string());
        work.notebook.save(&work.record).await;
        tries += 1;
        work.fresh = false;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            () = shutdown.requested() => return Err(e),
        }
    }
}

/// What became of an attempt.
struct Attempt {
    report: SyncReport,
    /// What waited is carried over, and now tables are to be copied once more.
    again: bool,
}

/// One sync, over all its attempts.
struct Work<'a> {
    config: &'a Config,
    request: &'a SyncRequest,
    shutdown: &'a Shutdown,
    record: MigrationRecord,
    /// Whether this begins the migration, or begins it anew.
    fresh: bool,
    was_planned: bool,
    /// Whether an engine ran in this process.
    followed: bool,
    /// Whether a constraint of a new table could not be added: it is tried again now and then.
    was_in_the_way: bool,
    /// Whether a column is to be added to the other side.
    widen: bool,
    notebook: Notebook<'a>,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
}

impl Work<'_> {
    /// Whether another attempt makes sense.
    fn passes(&self, e: &Error) -> bool {
        // Nothing was begun: whoever starts it sees what is wrong at once.
        if e.kind().retry() == Retry::Never || self.was_planned && !self.record.phase.is_running() {
            return false;
        }
        match e.kind() {
            ErrorKind::Busy => true,
            ErrorKind::Full => !self.fresh || self.followed,
            // What was there may come back; what was not is probably misspelt.
            _ => self.followed,
        }
    }

    /// A refusal before anything was begun leaves the migration as it was, and what passes by
    /// itself is no failure of it.
    async fn give_up(&mut self, e: &Error) {
        let record = &mut self.record;
        if record.phase.is_running()
            && e.kind().retry() == Retry::Never
            && e.kind() != ErrorKind::Refused
        {
            record.add_error(e.to_string());
            record.reason = Some(e.to_string());
            if let Ok(failed) = record.phase.on(PhaseEvent::Fail) {
                record.phase = failed;
            }
            self.notebook.save(record).await;
        }
    }

    /// From here on nobody proves anything.
    async fn end_proof(&mut self) {
        if let Some(board) = &self.request.board {
            let mut proof = board.record();
            proof.reason = Some("the host does not sync this migration at the moment".to_owned());
            self.record.proof = Some(proof);
            self.notebook.save(&self.record).await;
        }
    }

    async fn attempt(&mut self, observe: &mut (impl FnMut(&Observed) + Send)) -> Result<Attempt> {
        let (config, name) = (self.config, &self.request.migration);
        if self.record.ending.is_none() {
            widen::all(config, &self.record).await?;
        }
        let (mut opened, rules) = match open(config, name).await {
            // It may have come since they were looked at.
            Err(e) if e.kind() == ErrorKind::Config => {
                match widen::all(config, &self.record).await? {
                    true => open(config, name).await?,
                    false => return Err(e),
                }
            }
            opened => opened?,
        };
        let migration = config.migration(name)?;
        if self.record.ending.is_some() && !opened.is_installed().await? {
            return Err(half_ended(&self.record));
        }
        for (store_name, sync) in [
            (&migration.source, &opened.source),
            (&migration.target, &opened.target),
        ] {
            let store = store(config, store_name)?;
            if !sync.is_installed().await? {
                // Whether both can be written is found out before one of them is.
                store.inspect().await?;
                // Later such a row waits as a conflict, and keeps nothing else from being synced.
                if let Some(error) = join(rows_without_key(&store, sync.tables()).await?) {
                    return Err(error);
                }
            }
        }
        if self.fresh {
            // So is the state, which must know that something was begun.
            self.notebook.state.save(&self.record).await?;
        }
        let rows_total = if self.fresh || self.record.rows_total.is_none() {
            count(config, name, &opened).await?
        } else {
            self.record.rows_total
        };
        install(&opened).await?;
        widen::go_on(config, &self.record, &opened).await?;
        let recopies = recopies(&opened).await?;
        let both = (opened.source.clone(), opened.target.clone());
        self.record.rows_total = rows_total;
        let widened = widen::look(config, &self.record, &mut opened, !recopies.is_empty()).await?;
        if recopies.is_empty() {
            if remap(&opened, widened.comes).await? {
                self.record.rows_total = count(config, name, &opened).await?;
            }
            // Only now: what was copied under another mapping must not be forgotten.
            self.record.known_columns = widened.known;
        }
        self.begin(&opened).await?;
        let rows_total = self.record.rows_total;
        let options = &migration.options;
        let feed = |name: &str| {
            Ok::<_, Error>(LagReader::new(store(config, name)?, &self.record.migration))
        };
        let mut feeds = vec![feed(&migration.source)?];
        if opened.plan.two_way {
            feeds.push(feed(&migration.target)?);
        }
        let ends = [&migration.source, &migration.target];
        let ends = [store(config, ends[0])?, store(config, ends[1])?];
        let mut engine = Engine::start(
            opened.source,
            opened.target,
            opened.plan,
            EngineOptions {
                batch_rows: usize::try_from(options.batch_rows).unwrap_or(5_000),
                chunk_rows: chunk_rows(options.chunk_rows, &ends),
                ..EngineOptions::default()
            },
        )
        .await?;
        let board = self.request.board.as_deref();
        if let Some(board) = board {
            engine.tell(&board.touched);
        }
        self.followed = true;
        let (tell, mut told) = watch::channel(Observed {
            rows_copied: engine.rows_copied(),
            rows_total,
            ..Observed::default()
        });
        let is_unfinished = !self.record.unfinished.is_empty();
        let run_options = RunOptions {
            // Rows that were copied at different instants need not fit each other: what they refer
            // to, or the row that a unique value has moved to, may be among the changes.
            until_idle: self.request.until_idle
                || !recopies.is_empty()
                || is_unfinished && !self.was_in_the_way,
            copy_only: self.request.copy_only && recopies.is_empty(),
            no_longer_than: is_unfinished.then_some(LEVEL_MAX),
            copy_rows_per_s_max: options.copy_rows_per_s_max,
            stop: self.stopped.clone(),
        };
        let mut meter = Meter::new();
        let finished = {
            let running = run(&mut engine, &run_options, |engine| {
                let report = engine.report();
                let applied = report
                    .tables
                    .iter()
                    .map(|t| t.applied_to_target + t.applied_to_source)
                    .sum();
                let observed = Observed {
                    copied: engine.is_copied(),
                    rows_copied: engine.rows_copied(),
                    rows_total,
                    applied,
                    report,
                    positions: engine.positions(),
                };
                observe(&observed);
                tell.send_replace(observed);
            });
            // Beside the engine, never in its way: a state that is locked holds nothing up.
            let (over, mut is_over) = watch::channel(false);
            let keeping = keep(
                &mut is_over,
                &mut self.record,
                &mut self.notebook,
                &mut told,
                &mut meter,
                &feeds,
                &rules,
                &self.stop,
                (config, &mut self.widen),
                board,
            );
            tokio::pin!(running, keeping);
            let finished = loop {
                tokio::select! {
                    result = &mut running => break result,
                    () = self.shutdown.requested() => {
                        self.stop.send_replace(true);
                        // The step under way is finished; what is durable stays consistent anyway.
                        break (&mut running).await;
                    }
                    () = &mut keeping => {}
                }
            };
            // What is being written must not arrive after the last word.
            over.send_replace(true);
            (&mut keeping).await;
            finished
        };
        let report = finished?;
        let observed = told.borrow().clone();
        note(&mut self.record, &observed, &mut meter);
        let is_done = engine.is_copied() && self.request.until_idle && !is_unfinished;
        if is_done && !*self.stopped.borrow() {
            let record = &mut self.record;
            record.lag_rows = Some(0);
            record.lag_ms = Some(0);
            if let Ok(phase) = record.phase.on(PhaseEvent::Tables(Progress::Ready)) {
                record.phase = phase;
            }
        }
        let is_stopped = *self.stopped.borrow();
        let is_over = self.shutdown.is_requested() || self.record.paused;
        let mut widens = std::mem::take(&mut self.widen) && !is_over;
        if !widens && !is_over && !observed.report.paused.is_empty() {
            // The table may have been paused since anybody looked.
            widens = !widen::wanted(config, &self.record).await?.is_empty()
                || widen::would_go_on(config, &self.record).await?;
        }
        if widens {
            self.stop.send_replace(false);
        }
        let mut again = !recopies.is_empty() && !is_stopped;
        if is_unfinished && engine.is_copied() && !is_stopped {
            drop(engine);
            let target = store(config, &migration.target)?;
            let done = create::finish(&target, &mut self.record, &mut self.notebook).await;
            match done {
                Ok(()) => {}
                Err(e) if self.request.until_idle => return Err(e),
                // What is in its way may be gone when more changes are carried over.
                Err(e) => {
                    self.was_in_the_way = true;
                    tracing::warn!(%e, "a constraint of a new table is tried again later");
                }
            }
            again |= !self.request.copy_only;
        } else if again {
            drop(engine);
            let (source, target) = both;
            // In this order: a crash in between copies once more.
            target.forget_copies(recopies).await?;
            target.recopies_begun().await?;
            source.recopies_begun().await?;
            self.record.rows_copied = 0;
        }
        self.notebook.save(&self.record).await;
        let again = again || widens;
        Ok(Attempt { report, again })
    }

    /// The phase is what the stores say: a process may have been killed before it wrote it down.
    async fn begin(&mut self, opened: &Opened) -> Result<()> {
        let progress = if opened.is_copied().await? {
            Progress::CatchingUp
        } else {
            Progress::Copying
        };
        let record = &mut self.record;
        record.phase = record
            .phase
            .on(PhaseEvent::Start(progress))
            .map_err(crate::lifecycle::Refusal::into_error)?;
        record.reason = None;
        record.ending = None;
        record.updated_us = now_us();
        if self.fresh {
            record.rows_copied = 0;
            record.progress_percent = None;
        }
        self.notebook.save(record).await;
        Ok(())
    }
}

/// Writes progress down, looks for changed rules and wishes, until it is over.
#[expect(clippy::too_many_arguments, reason = "what a running sync keeps")]
async fn keep(
    is_over: &mut watch::Receiver<bool>,
    record: &mut MigrationRecord,
    notebook: &mut Notebook<'_>,
    told: &mut watch::Receiver<Observed>,
    meter: &mut Meter,
    feeds: &[LagReader],
    rules: &RuleWatcher,
    stop: &watch::Sender<bool>,
    (config, widens): (&Config, &mut bool),
    board: Option<&Board>,
) {
    let mut tried = None;
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = housekeeping.tick() => {}
            _ = is_over.changed() => return,
        }
        let observed = told.borrow_and_update().clone();
        note(record, &observed, meter);
        let feeds = feeds.iter().zip(observed.positions);
        note_lag(record, &feeds.collect::<Vec<_>>()).await;
        let reloaded = rules.reload();
        if let (true, Some(board)) = (reloaded.swapped, board) {
            // What a rule made of rows before, it may not make of them now.
            board.touched.lose();
        }
        record.refused_rules = reloaded.refused;
        record.proof = board.map(Board::record);
        notebook.save(record).await;
        let is_due = tried.is_none_or(|t: Instant| t.elapsed() > WIDEN_AGAIN);
        if !observed.report.paused.is_empty() && is_due {
            tried = Some(Instant::now());
            // The other tables go on meanwhile, whatever holds this one up.
            let widened = async {
                Ok(widen::all(config, record).await? || widen::would_go_on(config, record).await?)
            };
            match widened.await {
                Ok(true) => {
                    *widens = true;
                    stop.send_replace(true);
                }
                Ok(false) => {}
                Err::<_, Error>(e) => {
                    tracing::warn!(%e, "a column cannot be added to the other side yet");
                }
            }
        }
        if let Some(reason) = notebook.pause_wished(&record.migration).await {
            record.paused = true;
            record.reason = Some(reason);
            stop.send_replace(true);
        }
    }
}

/// Between servers a chunk costs round trips; a file is locked while one is written.
fn chunk_rows(asked: Option<u64>, ends: &[AnyStore; 2]) -> usize {
    let is_file = |store: &AnyStore| store.engine() == crate::database::Engine::Sqlite;
    let usual = if ends.iter().any(is_file) {
        20_000
    } else {
        60_000
    };
    asked
        .and_then(|rows| usize::try_from(rows).ok())
        .unwrap_or(usual)
}

/// The rows to copy; of large tables of servers about so many.
async fn count(config: &Config, name: &str, opened: &Opened) -> Result<Option<u64>> {
    let migration = config.migration(name)?;
    let source = store(config, &migration.source)?;
    let mut total = 0;
    for mapping in &opened.plan.mappings {
        let table = &mapping.source.table.name;
        let known = match &mapping.filter_sql {
            None => source.about_rows(table).await?,
            Some(_) => None,
        };
        total += match known {
            Some(rows) => rows,
            None => {
                let mut snapshot = source.snapshot().await?;
                snapshot.count(table, mapping.filter_sql.as_deref()).await?
            }
        };
    }
    Ok(Some(total))
}

/// Installs capture on both sides, or on none.
pub(super) async fn install(opened: &Opened) -> Result<()> {
    let already = opened.source.is_installed().await?;
    let read_of_source = opened.target.checkpoint().await?;
    let read_of_target = opened.source.checkpoint().await?;
    opened.source.install_after(read_of_source).await?;
    if let Err(e) = opened.target.install_after(read_of_target).await {
        if !already {
            opened.source.uninstall().await?;
        }
        return Err(e);
    }
    Ok(())
}
