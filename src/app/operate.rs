//! What is done with a migration: sync it, end it, give it up.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::config::Config;
use crate::database::ReadStore;
use crate::database::sqlite::SqliteSync;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::lifecycle::{Phase, PhaseEvent, Progress};
use crate::runtime::Shutdown;
use crate::state::{MigrationRecord, PausedTable, State};
use crate::sync::{Engine, EngineOptions, RunOptions, SyncReport, run};

use super::build::join;
use super::check::rows_without_key;
use super::lease::Lease;
use super::open::{open, state, store};
use super::{Opened, conflicts};

/// What to sync, and until when.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The migration.
    pub migration: String,
    /// End when both sides have nothing left.
    pub until_idle: bool,
    /// End when everything is copied.
    pub copy_only: bool,
}

/// What a running sync tells whoever watches it.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Whether everything is copied.
    pub copied: bool,
    /// Rows copied by this process.
    pub rows_copied: u64,
    /// Rows there were to copy.
    pub rows_total: Option<u64>,
    /// Changes applied by this process, both ways.
    pub applied: u64,
    /// The counts.
    pub report: SyncReport,
    /// How far the feeds are read.
    pub positions: [u64; 2],
}

/// How often the state is written and wishes are looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// Pauses between tries after an error that passes by itself.
const BACKOFF_MS: [u64; 6] = [100, 200, 500, 1_000, 2_000, 5_000];

/// Copies if needed, then follows changes. `observe` is called after each round.
///
/// Errors that pass by themselves (a locked or full store) are retried with growing pauses for as
/// long as nobody stops it; with `until_idle` for about a minute.
pub async fn sync(
    config: &Config,
    request: &SyncRequest,
    shutdown: &Shutdown,
    mut observe: impl FnMut(&Observed) + Send,
) -> Result<SyncReport> {
    let name = &request.migration;
    config.migration(name)?;
    let state = state(config).await?;
    let lease = Lease::need(state.folder(), name)?;
    let mut record = state.migration(name).await?;
    if let Some(reason) = state.pause_wished(name).await? {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("migration {name} is paused: {reason}"),
        )
        .hint(format!("banyan migration resume {name}")));
    }
    let started = record
        .phase
        .on(PhaseEvent::Start(Progress::Copying))
        .map_err(|refusal| refusal.into_error().at(format!("migration {name}")))?;
    let begun = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let mut fresh = record.phase == Phase::Planned || record.phase == Phase::Aborted;
    let mut tries = 0;
    loop {
        let result = attempt(
            config,
            request,
            &state,
            &mut record,
            started,
            fresh,
            shutdown,
            &stop,
            &stopped,
            &mut observe,
        )
        .await;
        match result {
            Ok(mut report) => {
                report.seconds = begun.elapsed().as_secs_f64();
                drop(lease);
                return Ok(report);
            }
            Err(e) if e.kind().retry() == Retry::Backoff && !shutdown.is_requested() => {
                let patience = if request.until_idle { 12 } else { u32::MAX };
                if tries >= patience || fresh && record.phase == Phase::Planned {
                    return Err(e);
                }
                let pause = BACKOFF_MS[(tries as usize).min(BACKOFF_MS.len() - 1)];
                tracing::warn!(%e, pause_ms = pause, "trying again");
                record.add_error(e.to_string());
                state.save(&record).await?;
                tries += 1;
                fresh = false;
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(pause)) => {}
                    () = shutdown.requested() => return Err(e),
                }
            }
            Err(e) => {
                // A refusal before anything was begun leaves the migration as it was.
                if record.phase.is_running() {
                    record.add_error(e.to_string());
                    record.reason = Some(e.to_string());
                    if let Ok(failed) = record.phase.on(PhaseEvent::Fail) {
                        record.phase = failed;
                    }
                    state.save(&record).await?;
                }
                return Err(e);
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one attempt of the loop above")]
async fn attempt(
    config: &Config,
    request: &SyncRequest,
    state: &State,
    record: &mut MigrationRecord,
    started: Phase,
    fresh: bool,
    shutdown: &Shutdown,
    stop: &watch::Sender<bool>,
    stopped: &watch::Receiver<bool>,
    observe: &mut (impl FnMut(&Observed) + Send),
) -> Result<SyncReport> {
    let name = &request.migration;
    let (opened, rules) = open(config, name).await?;
    let migration = config.migration(name)?;
    for (store_name, sync) in [
        (&migration.source, &opened.source),
        (&migration.target, &opened.target),
    ] {
        let store = store(config, store_name)?;
        if !sync.is_installed().await? {
            // Whether both can be written is found out before one of them is.
            store.inspect().await?;
        }
        if let Some(error) = join(rows_without_key(&store, sync.tables()).await?) {
            return Err(error);
        }
    }
    let rows_total = if fresh || record.rows_total.is_none() {
        count(config, name, &opened).await?
    } else {
        record.rows_total
    };
    install(&opened).await?;
    record.phase = started;
    record.rows_total = rows_total;
    record.reason = None;
    record.updated_us = now_us();
    if fresh {
        record.rows_copied = 0;
    }
    state.save(record).await?;
    let options = &config.migration(name)?.options;
    let mut engine = Engine::start(
        opened.source,
        opened.target,
        opened.plan,
        EngineOptions {
            batch_rows: usize::try_from(options.batch_rows).unwrap_or(5_000),
            chunk_rows: usize::try_from(options.chunk_rows).unwrap_or(10_000),
            ..EngineOptions::default()
        },
    )
    .await?;
    let (tell, mut told) = watch::channel(Observed::default());
    let run_options = RunOptions {
        until_idle: request.until_idle,
        copy_only: request.copy_only,
        copy_rows_per_s_max: options.copy_rows_per_s_max,
        stop: stopped.clone(),
    };
    let copied_before = record.rows_copied;
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
                rows_copied: copied_before + report.tables.iter().map(|t| t.copied).sum::<u64>(),
                rows_total,
                applied,
                report,
                positions: engine.positions(),
            };
            observe(&observed);
            tell.send_replace(observed);
        });
        tokio::pin!(running);
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut before = (Instant::now(), 0_u64, 0_u64);
        loop {
            tokio::select! {
                result = &mut running => break result,
                () = shutdown.requested() => {
                    stop.send_replace(true);
                    // The step under way is finished; what is durable stays consistent anyway.
                    break (&mut running).await;
                }
                _ = housekeeping.tick() => {
                    let observed = told.borrow_and_update().clone();
                    note_progress(record, &observed, &mut before);
                    state.save(record).await?;
                    rules.reload();
                    if let Some(reason) = state.pause_wished(name).await? {
                        record.paused = true;
                        record.reason = Some(reason);
                        stop.send_replace(true);
                    }
                }
            }
        }
    };
    let report = finished?;
    let observed = told.borrow().clone();
    let mut before = (Instant::now(), observed.rows_copied, observed.applied);
    note_progress(record, &observed, &mut before);
    if engine.is_copied() && request.until_idle && !*stopped.borrow() {
        record.lag_rows = Some(0);
        record.lag_ms = Some(0);
        if let Ok(phase) = record.phase.on(PhaseEvent::Tables(Progress::Ready)) {
            record.phase = phase;
        }
    }
    state.save(record).await?;
    Ok(report)
}

fn note_progress(
    record: &mut MigrationRecord,
    observed: &Observed,
    before: &mut (Instant, u64, u64),
) {
    record.rows_copied = observed.rows_copied.max(record.rows_copied);
    record.progress_percent = if observed.copied {
        Some(100.0)
    } else {
        record
            .rows_total
            .map(|total| percent(record.rows_copied, total))
    };
    let seconds = before.0.elapsed().as_secs_f64();
    if seconds > 0.2 {
        let done = (observed.rows_copied + observed.applied).saturating_sub(before.1 + before.2);
        let rate = as_f64(done) / seconds;
        record.rate_rows_per_s = Some(rate);
        record.eta_s = record
            .rows_total
            .filter(|_| !observed.copied && rate > 0.0)
            .map(|total| as_f64(total.saturating_sub(record.rows_copied)) / rate);
        *before = (Instant::now(), observed.rows_copied, observed.applied);
    }
    if observed.copied {
        record.eta_s = Some(0.0);
        let progress = if record.phase == Phase::Copying {
            Progress::CatchingUp
        } else {
            Progress::Ready
        };
        if let Ok(phase) = record.phase.on(PhaseEvent::Tables(progress)) {
            record.phase = phase;
        }
    }
    record.parked = observed.report.tables.iter().map(|t| t.parked).sum();
    record.paused_tables = observed
        .report
        .paused
        .iter()
        .map(|(table, reason)| PausedTable {
            table: table.clone(),
            reason: reason.clone(),
        })
        .collect();
    record.updated_us = now_us();
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn as_f64(n: u64) -> f64 {
    n as f64
}

fn percent(done: u64, total: u64) -> f64 {
    if total == 0 {
        return 100.0;
    }
    (100.0 * as_f64(done) / as_f64(total)).min(100.0)
}

fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

async fn count(config: &Config, name: &str, opened: &Opened) -> Result<Option<u64>> {
    let migration = config.migration(name)?;
    let source = store(config, &migration.source)?;
    let mut snapshot = source.snapshot().await?;
    let mut total = 0;
    for mapping in &opened.plan.mappings {
        total += snapshot
            .count(&mapping.source.table.name, mapping.filter_sql.as_deref())
            .await?;
    }
    Ok(Some(total))
}

/// Installs capture on both sides, or on none.
async fn install(opened: &Opened) -> Result<()> {
    let already = opened.source.is_installed().await?;
    opened.source.install().await?;
    if let Err(e) = opened.target.install().await {
        if !already {
            opened.source.uninstall().await?;
        }
        return Err(e);
    }
    Ok(())
}

/// How a migration ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The service owns the tables now; nothing may be left undone.
    Complete,
    /// Given up; rows that were copied stay where they are.
    Abort,
}

/// Ends a migration: keeps its decisions in the state, removes everything that Banyan added to
/// both databases.
pub async fn end(
    config: &Config,
    name: &str,
    ending: Ending,
    shutdown: &Shutdown,
) -> Result<MigrationRecord> {
    config.migration(name)?;
    let state = state(config).await?;
    let mut record = state.migration(name).await?;
    let refused = |r: crate::lifecycle::Refusal| r.into_error().at(format!("migration {name}"));
    if ending == Ending::Complete {
        record.phase.on(PhaseEvent::Complete).map_err(refused)?;
        if record.phase != Phase::Completed {
            state.wish_pause(name, None).await?;
            let request = SyncRequest {
                migration: name.to_owned(),
                until_idle: true,
                copy_only: false,
            };
            let report = sync(config, &request, shutdown, |_| ()).await?;
            let waiting: u64 = report.tables.iter().map(|t| t.parked).sum();
            if waiting > 0 {
                return Err(Error::new(
                    ErrorKind::Refused,
                    format!("migration {name}: {waiting} conflicts still wait"),
                )
                .hint(format!(
                    "banyan conflict list {name}; resolve them, then complete"
                )));
            }
            record = state.migration(name).await?;
        }
    }
    let event = match ending {
        Ending::Complete => PhaseEvent::Complete,
        Ending::Abort => PhaseEvent::Abort,
    };
    let phase = record.phase.on(event).map_err(refused)?;
    let _lease = Lease::need(state.folder(), name)?;
    let (opened, _) = open(config, name).await?;
    let kept = conflicts::decisions(&opened).await?;
    if !kept.is_empty() {
        state.archive(name, &kept).await?;
    }
    for sync in [&opened.source, &opened.target] {
        uninstall(sync).await?;
    }
    record.phase = phase;
    record.paused = false;
    record.reason = None;
    record.updated_us = now_us();
    state.wish_pause(name, None).await?;
    state.save(&record).await?;
    Ok(record)
}

async fn uninstall(sync: &SqliteSync) -> Result<()> {
    sync.uninstall().await
}
