//! The end of a migration: its decisions are kept, and everything that Banyan added goes.

use crate::config::Config;
use crate::database::{AnyStore, ReadStore};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::lifecycle::{Phase, PhaseEvent};
use crate::runtime::Shutdown;
use crate::state::{MigrationRecord, State};

use super::conflicts;
use super::lease::Lease;
use super::open::{open, state, store};
use super::operate::{SyncRequest, sync};
use super::progress::now_us;

/// How a migration ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The service owns the tables now; nothing may be left undone.
    Complete,
    /// Given up; rows that were copied stay where they are.
    Abort,
}

impl Ending {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Abort => "abort",
        }
    }
}

/// Part of what Banyan added is gone: syncing now would take the changes since then for none.
pub(super) fn half_ended(record: &MigrationRecord) -> Error {
    let (name, verb) = (
        &record.migration,
        record.ending.as_deref().unwrap_or("abort"),
    );
    Error::new(
        ErrorKind::Refused,
        format!("migration {name}: {verb} was interrupted, so it cannot be synced any more"),
    )
    .hint(format!("banyan migration {verb} {name} finishes it"))
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
        let half_done = record.ending.is_some() && !is_installed(config, name).await?;
        // The sync below catches up; only what is not copied is not begun from here.
        let copied = matches!(record.phase, Phase::Copying | Phase::CatchingUp)
            && is_copied(config, name).await?;
        if half_done || copied {
            record.phase = Phase::Following;
        }
        record.phase.on(PhaseEvent::Complete).map_err(refused)?;
        if record.phase != Phase::Completed && !half_done {
            state.wish_pause(name, None).await?;
            let request = SyncRequest {
                migration: name.to_owned(),
                until_idle: true,
                copy_only: false,
                create_tables: false,
                board: None,
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
                    "banyan conflict list {name} --which open shows them"
                ))
                .hint(
                    "decide each with banyan conflict resolve ID --take source|target|delete, or \
                     change what it waits for; then complete",
                ));
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
    // Should this be interrupted, what is left knows that it must not be synced again.
    record.ending = Some(ending.as_str().to_owned());
    state.save(&record).await?;
    for store in stores_of(config, name)? {
        if ending == Ending::Abort && store.is_gone() {
            tracing::warn!(
                "store {} is gone; nothing is left to remove there",
                store.name()
            );
            continue;
        }
        store.uninstall(name).await?;
    }
    record.phase = phase;
    record.ending = None;
    // Of an aborted one the tables stay, and a new beginning goes on with them.
    if phase == Phase::Completed {
        record.unfinished.clear();
    }
    record.paused = false;
    record.refused_rules.clear();
    record.known_columns.clear();
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

pub(super) fn stores_of(config: &Config, name: &str) -> Result<[AnyStore; 2]> {
    let migration = config.migration(name)?;
    Ok([
        store(config, &migration.source)?,
        store(config, &migration.target)?,
    ])
}

async fn is_installed(config: &Config, name: &str) -> Result<bool> {
    open(config, name).await?.0.is_installed().await
}

async fn is_copied(config: &Config, name: &str) -> Result<bool> {
    open(config, name).await?.0.is_copied().await
}

/// Whether a store's file is not there any more.
fn gone(config: &Config, name: &str) -> Result<bool> {
    Ok(stores_of(config, name)?.iter().any(AnyStore::is_gone))
}
