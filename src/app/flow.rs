//! What is on its way in a migration, told by the positions that both stores keep.
//!
//! While a process syncs, everything has got across when each store's checkpoint has reached where the
//! other store's log stood. While none does, what lies behind the checkpoints is read, and names the rows
//! that wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::config::Config;
use crate::data::Key;
use crate::database::{AnySync, OpenState, Patience, Role, SyncStore};
use crate::error::Result;
use crate::verify::{Across, Flow, Moving};

use super::Opened;
use super::lease::Lease;
use super::open::{open, state_folder};

/// How often the checkpoints are looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long a sync that is being started anew may be away.
const RESTART: Duration = Duration::from_secs(10);
/// Changes that are read in one go.
const PAGE_ROWS: usize = 10_000;
/// So many rows that wait are told apart; of more, nothing is said about any.
const MOVING_ROWS_MAX: usize = 1_000_000;

/// A migration's changes on their way.
pub(super) struct MigrationFlow<'a> {
    config: &'a Config,
    opened: &'a Opened,
    /// Whether one that was waited for did not come.
    is_gone: AtomicBool,
}

impl<'a> MigrationFlow<'a> {
    /// `None` where nothing is captured, so that nothing is on its way.
    pub(super) async fn of(config: &'a Config, opened: &'a Opened) -> Result<Option<Self>> {
        let installed = opened.is_installed().await?;
        Ok(installed.then(|| Self {
            config,
            opened,
            is_gone: AtomicBool::new(false),
        }))
    }

    fn is_held(&self) -> Result<bool> {
        Lease::is_held(&state_folder(self.config)?, &self.opened.plan.migration)
    }

    async fn wait(&self, patience: Duration) -> Result<Across> {
        let deadline = Instant::now() + patience;
        let (source, target) = (&self.opened.source, &self.opened.target);
        let source_end = source.log_end().await?;
        let target_end = match self.opened.plan.two_way {
            true => Some(target.log_end().await?),
            false => None,
        };
        loop {
            let carried = self.is_held()?;
            let forward = is_at(target, source_end).await?;
            let backward = match target_end {
                Some(end) => is_at(source, end).await?,
                None => true,
            };
            if forward && backward {
                let mut moving = Moving::default();
                if !carried {
                    return Ok(Across::Still(moving));
                }
                self.add_undecided(&mut moving).await?;
                return Ok(Across::Carried(moving));
            }
            if !carried {
                let still = self.read_ahead().await?;
                let waits = !matches!(&still, Across::Still(moving) if moving.is_empty());
                if !waits || !self.comes_back().await? {
                    return Ok(still);
                }
            }
            if Instant::now() >= deadline {
                return Ok(Across::Late(format!(
                    "the sync has not carried over within {} s what was committed before",
                    patience.as_secs()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether a sync begins within a moment: one that is being started anew is no standstill.
    async fn comes_back(&self) -> Result<bool> {
        if self.is_gone.load(Ordering::Relaxed) {
            return self.is_held();
        }
        let deadline = Instant::now() + RESTART;
        while Instant::now() < deadline {
            if self.is_held()? {
                return Ok(true);
            }
            tokio::time::sleep(POLL).await;
        }
        self.is_gone.store(true, Ordering::Relaxed);
        Ok(false)
    }

    /// Rows whose conflict is still to be decided, or waits for another row.
    async fn add_undecided(&self, moving: &mut Moving) -> Result<()> {
        for sync in [&self.opened.source, &self.opened.target] {
            for conflict in sync.open_conflicts().await? {
                let unit = conflict.unit.unit;
                if conflict.state == OpenState::Parked || unit >= self.opened.plan.units.len() {
                    continue;
                }
                // The rows that a row is split into are decided one by one; nothing tells here which
                // of the other tables' rows belong to it.
                for target in &self.opened.plan.mapping(unit).targets {
                    if target.table.name != self.opened.plan.units[unit].name {
                        moving.add_table(&target.table.name);
                    }
                }
                moving.add(&self.opened.plan.units[unit].name, conflict.unit.key);
            }
        }
        Ok(())
    }

    /// What nobody has carried over yet, read from the logs. Through connections of its own, which are
    /// closed at the end: a sync may be started at any moment.
    async fn read_ahead(&self) -> Result<Across> {
        let (opened, _) = open(self.config, &self.opened.plan.migration).await?;
        let mut moving = Moving::default();
        for role in Role::BOTH {
            if role == Role::Target && !opened.plan.two_way {
                continue;
            }
            let (store, other) = match role {
                Role::Source => (&opened.source, &opened.target),
                Role::Target => (&opened.target, &opened.source),
            };
            // Before the copy has begun nothing was promised to be across.
            let Some(checkpoint) = other.checkpoint().await? else {
                continue;
            };
            let mut after = checkpoint.seq;
            loop {
                let all = store.catch_up(after, Patience::UntilFull).await?;
                let page = store.read_feed(after, PAGE_ROWS).await?;
                for change in &page.commit.changes {
                    for row in [&change.before, &change.after].into_iter().flatten() {
                        add(&opened, role, change.table, row, &mut moving);
                    }
                }
                if moving.rows() > MOVING_ROWS_MAX {
                    return Ok(Across::Late(format!(
                        "no sync runs, and changes of more than {MOVING_ROWS_MAX} rows wait"
                    )));
                }
                let is_end = page.commit.end == after || all && !page.more;
                after = page.commit.end;
                store.consumed(after);
                if is_end {
                    break;
                }
            }
        }
        Ok(Across::Still(moving))
    }
}

/// Whether the other side's log is applied here up to a position.
async fn is_at(sync: &AnySync, end: u64) -> Result<bool> {
    let checkpoint = sync.checkpoint().await?;
    Ok(checkpoint.is_some_and(|c| c.seq >= end))
}

/// Notes which rows of the target a change is about.
fn add(opened: &Opened, from: Role, table: usize, row: &crate::data::Row, moving: &mut Moving) {
    let targets = opened.target.tables();
    if from == Role::Target {
        if let Some(target) = targets.get(table) {
            moving.add(&target.schema.name, Key::of(row, &target.key));
        }
        return;
    }
    let Some(mapping) = opened.plan.mappings.get(table) else {
        return;
    };
    let key = match mapping.forward_row(row.clone()) {
        _ if mapping.is_transformed() => None,
        Ok(Ok(Some(row))) => Some(mapping.targets[0].key(&row)),
        Ok(Ok(None)) => return,
        Ok(Err(unmapped)) => unmapped.key,
        Err(_) => None,
    };
    match key {
        Some(key) => moving.add(mapping.name(), key),
        None => {
            for target in &mapping.targets {
                moving.add_table(&target.table.name);
            }
        }
    }
}

impl Flow for MigrationFlow<'_> {
    fn is_carried(&self) -> Result<bool> {
        self.is_held()
    }

    fn across(&self, patience: Duration) -> BoxFuture<'_, Result<Across>> {
        Box::pin(self.wait(patience))
    }
}
