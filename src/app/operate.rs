//! What is done with a migration: sync it, end it, give it up.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::Config;
use crate::database::ReadStore;
use crate::database::sqlite::SqliteStore;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::lifecycle::{Phase, PhaseEvent, Progress};
use crate::runtime::Shutdown;
use crate::state::{MigrationRecord, State};
use crate::sync::{Engine, EngineOptions, RunOptions, SyncReport, run};

use super::build::join;
use super::check::rows_without_key;
use super::lease::Lease;
use super::open::{open, state, store};
use super::progress::{Meter, Observed, note, note_lag, now_us};
use super::remap::remap;
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
    let mut earlier = SyncReport::default();
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
            Ok(Attempt {
                report,
                again: true,
            }) if !shutdown.is_requested() => {
                let mut report = report;
                report.add(&earlier);
                earlier = report;
                fresh = false;
                tries = 0;
            }
            Ok(Attempt { mut report, .. }) => {
                report.add(&earlier);
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
                // A refusal before anything was begun leaves the migration as it was, and what
                // passes by itself is no failure of it.
                if record.phase.is_running() && e.kind().retry() == Retry::Never {
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

/// What became of an attempt.
struct Attempt {
    report: SyncReport,
    /// What waited is carried over, and now tables are to be copied once more.
    again: bool,
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
) -> Result<Attempt> {
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
            // Later such a row waits as a conflict, and keeps nothing else from being synced.
            if let Some(error) = join(rows_without_key(&store, sync.tables()).await?) {
                return Err(error);
            }
        }
    }
    let mut rows_total = if fresh || record.rows_total.is_none() {
        count(config, name, &opened).await?
    } else {
        record.rows_total
    };
    install(&opened).await?;
    let recopies = recopies(&opened).await?;
    if !recopies.is_empty() {
        tracing::warn!(
            tables = recopies.join(", "),
            "these tables are copied once more: first what waits is carried over; then rows that \
             differ become conflicts, and rows that one side lacks come to it"
        );
    }
    let both = (opened.source.clone(), opened.target.clone());
    record.rows_total = rows_total;
    if recopies.is_empty() {
        remap(&opened, &store(config, &migration.source)?, record).await?;
        rows_total = record.rows_total;
    }
    record.phase = started;
    record.reason = None;
    record.updated_us = now_us();
    if fresh {
        record.rows_copied = 0;
    }
    state.save(record).await?;
    let options = &migration.options;
    let mut feeds = vec![store(config, &migration.source)?];
    if opened.plan.two_way {
        feeds.push(store(config, &migration.target)?);
    }
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
        until_idle: request.until_idle || !recopies.is_empty(),
        copy_only: request.copy_only && recopies.is_empty(),
        copy_rows_per_s_max: options.copy_rows_per_s_max,
        stop: stopped.clone(),
    };
    let copied_before = record.rows_copied;
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
                    note(record, &observed, &mut meter);
                    let feeds = feeds.iter().cloned().zip(observed.positions);
                    note_lag(record, &feeds.collect::<Vec<_>>()).await;
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
    note(record, &observed, &mut meter);
    if engine.is_copied() && request.until_idle && !*stopped.borrow() {
        record.lag_rows = Some(0);
        record.lag_ms = Some(0);
        if let Ok(phase) = record.phase.on(PhaseEvent::Tables(Progress::Ready)) {
            record.phase = phase;
        }
    }
    state.save(record).await?;
    let again = !recopies.is_empty() && !*stopped.borrow();
    if again {
        drop(engine);
        let (source, target) = both;
        // In this order: a crash in between copies once more.
        target.forget_copies(recopies).await?;
        target.recopies_begun().await?;
        source.recopies_begun().await?;
        record.rows_copied = 0;
        record.phase = started;
    }
    Ok(Attempt { report, again })
}

/// The source's tables all of whose rows are to be looked at again.
async fn recopies(opened: &Opened) -> Result<Vec<String>> {
    let mut tables = opened.source.recopies().await?;
    tables.extend(opened.target.recopies().await?);
    tables.sort();
    tables.dedup();
    Ok(tables)
}

/// Goes on after a pause. Tables of which changes were missed go on, too: all their rows are compared
/// when the sync starts. Other tables that the schema paused are looked at when the sync goes on.
pub async fn resume(config: &Config, name: &str) -> Result<MigrationRecord> {
    config.migration(name)?;
    let state = state(config).await?;
    let mut record = state.migration(name).await?;
    if record.phase.is_installed() {
        let mut has_gap = false;
        for store in stores_of(config, name)? {
            has_gap |= store.has_gap(name).await?;
        }
        match (Lease::take(state.folder(), name)?, has_gap) {
            (Some(_lease), _) => match open(config, name).await {
                Ok((opened, _)) => {
                    install(&opened).await?;
                    opened.source.resume().await?;
                    opened.target.resume().await?;
                }
                Err(e) if has_gap => return Err(e),
                // The sync says it when it goes on.
                Err(_) => {}
            },
            (None, true) => {
                return Err(Error::new(
                    ErrorKind::Refused,
                    format!(
                        "migration {name}: changes of a table were missed, and another banyan \
                         process works on the migration"
                    ),
                )
                .hint(format!(
                    "stop it first (Ctrl-C is safe), then banyan migration resume {name}, then \
                     start it again"
                )));
            }
            (None, false) => {}
        }
    }
    state.wish_pause(name, None).await?;
    record.paused = false;
    record.reason = None;
    record.paused_tables.clear();
    state.save(&record).await?;
    Ok(record)
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
                    match waiting {
                        1 => format!("migration {name}: 1 conflict still waits"),
                        _ => format!("migration {name}: {waiting} conflicts still wait"),
                    },
                )
                .hint(format!(
                    "banyan conflict list {name}; resolve them, then complete"
                )));
            }
            if let Some((table, reason)) = report.paused.first() {
                return Err(Error::new(
                    ErrorKind::Refused,
                    format!("migration {name}: table {table} is paused: {reason}"),
                )
                .hint(format!(
                    "make both schemas fit the mapping again, banyan migration resume {name}, \
                     sync, then complete"
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
    match keep_decisions(config, name, &state).await {
        Err(e)
            if ending == Ending::Complete
                || e.kind().retry() == Retry::Backoff && !gone(config, name)? =>
        {
            return Err(e);
        }
        // Giving up must work when the tables, the rules or a whole database are gone.
        Err(e) => tracing::warn!("the decisions of migration {name} are not kept: {e}"),
        Ok(()) => {}
    }
    for store in stores_of(config, name)? {
        if ending == Ending::Abort && !store.path().exists() {
            tracing::warn!(
                "store {} is gone; nothing is left to remove there",
                store.name()
            );
            continue;
        }
        store.uninstall(name).await?;
    }
    record.phase = phase;
    record.paused = false;
    record.paused_tables.clear();
    record.parked = 0;
    record.reason = None;
    record.updated_us = now_us();
    state.wish_pause(name, None).await?;
    state.save(&record).await?;
    Ok(record)
}

async fn keep_decisions(config: &Config, name: &str, state: &State) -> Result<()> {
    let (opened, _) = open(config, name).await?;
    let kept = conflicts::decisions(&opened).await?;
    if kept.is_empty() {
        return Ok(());
    }
    state.archive(name, &kept).await
}

fn stores_of(config: &Config, name: &str) -> Result<[SqliteStore; 2]> {
    let migration = config.migration(name)?;
    Ok([
        store(config, &migration.source)?,
        store(config, &migration.target)?,
    ])
}

/// Whether a store's file is not there any more.
fn gone(config: &Config, name: &str) -> Result<bool> {
    Ok(stores_of(config, name)?.iter().any(|s| !s.path().exists()))
}
