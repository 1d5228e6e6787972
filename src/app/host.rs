//! The host: syncs all migrations of a configuration, and proves their sides equal all the time.
//!
//! Each migration is attended to on its own: whatever becomes of one, the others go on. One that is not
//! begun, paused, ended or worked on by another process is left alone until that changes; one whose sync
//! ends with an error is tried again, or waits for a person where its phase says so.
//!
//! A comparison of everything and the running proof (`proof`) work beside each sync, on connections of
//! their own, and rest most of the time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use crate::config::{Config, MigrationConfig, Mode, Secret, SweepLevel};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::lifecycle::Phase;
use crate::runtime::{Shutdown, shutdown as new_shutdown};
use crate::state::ProofRecord;
use crate::verify::{Level, Report};

use super::alert::{Alert, is_alarming};
use super::lease::Lease;
use super::open::{state, state_folder};
use super::operate::{SyncRequest, sync};
use super::progress::{Observed, now_us};
use super::proof::{Board, ProofNews, prove};
use super::verify::{VerifyOptions, remember, verify};

/// How often it is looked whether a migration can be attended to.
const LOOK: Duration = Duration::from_millis(500);
/// Before a sync that ended by itself is begun again.
const AGAIN: Duration = Duration::from_secs(5);
/// A sync that got on for so long was well: what ends it then is news.
const WELL: Duration = Duration::from_mins(1);
/// So many times a sync may end by what passes by itself, such as a lost connection, before somebody is told,
/// unless one was well in between.
const PASSING: u32 = 2;
/// So many different ones are told; who does not listen to these will not listen to more.
const TOLD_MAX: usize = 20;
/// Before everything is compared once more because the proof's base was lost, or could not be read.
const SWEEP_AGAIN: Duration = Duration::from_secs(10);

/// What happens, for whoever watches.
#[derive(Debug)]
pub enum HostEvent {
    /// A sync has begun.
    Begun,
    /// Everything was compared.
    Swept(Box<Report>),
    /// Rows that changed differ, or do not any more.
    Proof(Box<ProofRecord>),
    /// A sync has ended, with an error or because somebody paused it.
    Ended(Option<Error>),
}

/// Where events go, each with the migration's name.
pub type HostEvents = mpsc::UnboundedSender<(String, HostEvent)>;

/// Attends to these migrations until the process is asked to stop; none named: to all.
pub async fn host(
    config: Arc<Config>,
    names: Vec<String>,
    shutdown: &Shutdown,
    events: HostEvents,
) -> Result<()> {
    let names = match names.is_empty() {
        true => config.migrations.keys().cloned().collect(),
        false => names,
    };
    if names.is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            "there is no migration in the configuration",
        ));
    }
    let mut hosts = Vec::with_capacity(names.len());
    for name in names {
        let alert = alert(config.migration(&name)?);
        let alert = alert.map_err(|e| e.at(format!("migrations.{name}.verification.alert_url")))?;
        hosts.push(Host {
            config: Arc::clone(&config),
            name,
            shutdown: shutdown.clone(),
            events: events.clone(),
            alert: Arc::new(alert),
            alerts: Arc::default(),
            rows: Arc::default(),
            // Once is enough: they are the configuration's.
            has_checks: hosts.is_empty(),
        });
    }
    state(&config).await?;
    let mut all = JoinSet::new();
    for host in hosts {
        all.spawn(async move {
            host.attend().await;
            host.send_alerts().await;
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.map_err(|e| {
            Error::new(ErrorKind::Internal, "the host of a migration crashed").caused_by(e)
        })?;
    }
    Ok(())
}

/// Who is told when something of a migration is wrong. Fails with `Usage` for a URL that nothing can be
/// posted to.
pub(super) fn alert(migration: &MigrationConfig) -> Result<Alert> {
    let verification = &migration.verification;
    let url = verification.alert_url.as_ref().map(Secret::expose);
    Alert::new(verification.alert_command.clone(), url)
}

/// Attends to one migration.
#[derive(Clone)]
struct Host {
    config: Arc<Config>,
    name: String,
    shutdown: Shutdown,
    events: HostEvents,
    alert: Arc<Alert>,
    /// Those on their way.
    alerts: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// How many rows the last comparison of everything found.
    rows: Arc<AtomicU64>,
    has_checks: bool,
}

impl Host {
    /// Something is wrong. Whoever is told may take long to listen.
    fn alarm(&self, what: &str, content: &impl serde::Serialize) {
        let json = serde_json::json!({"migration": self.name, what: content}).to_string();
        let alert = Arc::clone(&self.alert);
        let sending = tokio::spawn(async move { alert.send(&json).await });
        let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        alerts.retain(|alert| !alert.is_finished());
        alerts.push(sending);
    }

    fn tell(&self, event: HostEvent) {
        // Nobody watching is all right.
        drop(self.events.send((self.name.clone(), event)));
    }

    /// Waits for the alerts that are on their way.
    async fn send_alerts(&self) {
        let alerts = {
            let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *alerts)
        };
        for alert in alerts {
            // Each has a limit of its own.
            drop(alert.await);
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.shutdown.requested() => {}
        }
    }

    async fn attend(&self) {
        let mut said = None;
        let mut troubles = Troubles::default();
        while !self.shutdown.is_requested() {
            match self.is_wanted().await {
                Ok(None) => {
                    said = None;
                    let (well, trouble) = self.sync().await;
                    if well >= WELL || trouble.is_none() {
                        troubles = Troubles::default();
                    }
                    if let Some(trouble) = trouble {
                        self.complain("its sync ended", &trouble, &mut troubles);
                    }
                    self.pause(AGAIN).await;
                }
                Ok(Some(why)) => {
                    if said.as_ref() != Some(&why) {
                        tracing::info!(migration = self.name, "left alone: {why}");
                        said = Some(why);
                    }
                    self.pause(LOOK).await;
                }
                Err(e) => {
                    let trouble = Trouble {
                        text: e.to_string(),
                        passes: true,
                    };
                    self.complain("the state cannot be read", &trouble, &mut troubles);
                    self.pause(AGAIN).await;
                }
            }
        }
    }

    /// Writes down what keeps a sync from running, and tells it if it is news.
    fn complain(&self, what: &str, trouble: &Trouble, troubles: &mut Troubles) {
        let text = &trouble.text;
        if troubles.is_news(trouble) {
            tracing::error!(migration = self.name, "{what}: {text}");
            self.alarm("ended", text);
        } else {
            tracing::warn!(migration = self.name, "{what}: {text}");
        }
    }

    /// Why there is nothing to do, if there is not.
    async fn is_wanted(&self) -> Result<Option<String>> {
        let state = state(&self.config).await?;
        let record = state.migration(&self.name).await?;
        if let Some(verb) = &record.ending {
            return Ok(Some(format!("{verb} was begun and is not finished")));
        }
        if record.phase == Phase::Planned {
            let name = &self.name;
            return Ok(Some(format!(
                "it is not begun; banyan migration start {name}"
            )));
        }
        if !record.phase.is_running() {
            return Ok(Some(format!("it is {}", record.phase)));
        }
        if let Some(reason) = state.pause_wished(&self.name).await? {
            return Ok(Some(format!("it is paused: {reason}")));
        }
        if Lease::is_held(&state_folder(&self.config)?, &self.name)? {
            return Ok(Some("another process works on it".to_owned()));
        }
        Ok(None)
    }

    /// Syncs until that ends, and proves meanwhile. Returns for how long it got on, and what ended it, if
    /// that is trouble.
    async fn sync(&self) -> (Duration, Option<Trouble>) {
        let Ok(migration) = self.config.migration(&self.name) else {
            return (Duration::ZERO, None);
        };
        let board = Arc::new(Board::new(migration.mode == Mode::TwoWay));
        let request = SyncRequest {
            migration: self.name.clone(),
            until_idle: false,
            copy_only: false,
            create_tables: false,
            board: Some(Arc::clone(&board)),
        };
        let (over, until_over) = new_shutdown();
        let (host, beside, until) = (self.clone(), Arc::clone(&board), until_over.clone());
        // On threads of their own: comparing is work, and the workers are the syncs'.
        let runtime = Handle::current();
        let sweeping =
            tokio::task::spawn_blocking(move || runtime.block_on(host.sweep(&beside, &until)));
        let (host, beside) = (self.clone(), Arc::clone(&board));
        let runtime = Handle::current();
        let proving = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let tell = |news| host.hear(&beside, &news);
                prove(&host.config, &host.name, &beside, &tell, &until_over).await;
            });
        });
        self.tell(HostEvent::Begun);
        let host = self.clone();
        // From the first round to the last one: what passes before or after them is no time in which it
        // got on.
        let well_ms = Arc::new(AtomicU64::new(0));
        let (got_on, mut since) = (Arc::clone(&well_ms), None);
        let syncing = tokio::spawn(async move {
            let observe = |_: &Observed| {
                let so_far = since.get_or_insert_with(Instant::now).elapsed().as_millis();
                got_on.store(so_far.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
            };
            sync(&host.config, &request, &host.shutdown, observe).await
        });
        let ended = match syncing.await {
            Ok(Ok(_)) => None,
            Ok(Err(e)) => Some(e),
            Err(e) => Some(crashed(e)),
        };
        over.request();
        for (what, beside) in [("comparison", sweeping), ("proof", proving)] {
            if let Err(e) = beside.await {
                tracing::error!(migration = self.name, "the {what} crashed: {e}");
            }
        }
        // That somebody stopped or paused it is no trouble; that another process was quicker passes.
        let trouble = ended
            .as_ref()
            .filter(|_| !self.shutdown.is_requested())
            .map(|e| Trouble {
                text: e.to_string(),
                passes: e.kind() == ErrorKind::Refused || e.kind().retry() == Retry::Backoff,
            });
        self.tell(HostEvent::Ended(ended));
        let well = Duration::from_millis(well_ms.load(Ordering::Relaxed));
        (well, trouble)
    }

    /// Takes in what the proof tells.
    fn hear(&self, board: &Board, news: &ProofNews) {
        let record = board.record();
        let is_alarm = match news {
            ProofNews::Differ => self.is_alarming(&record),
            ProofNews::Stands => true,
            ProofNews::Alike => false,
        };
        if is_alarm {
            tracing::error!(migration = self.name, "rows differ after a change");
            self.alarm("proof", &record);
        }
        self.tell(HostEvent::Proof(Box::new(record)));
    }

    /// Whether so many rows differ that somebody wants to know.
    fn is_alarming(&self, record: &ProofRecord) -> bool {
        let Ok(migration) = self.config.migration(&self.name) else {
            return false;
        };
        let below = migration.verification.alert_below_percent;
        let rows = self.rows.load(Ordering::Relaxed);
        // How many rows there are is known from the last comparison of everything.
        rows == 0
            || as_f64(rows.saturating_sub(record.rows_different)) / as_f64(rows) * 100.0 < below
    }

    /// Compares everything now and then.
    async fn sweep(&self, board: &Board, over: &Shutdown) {
        let Ok(migration) = self.config.migration(&self.name) else {
            return;
        };
        let interval = Duration::from_secs(migration.verification.interval_s);
        let options = VerifyOptions {
            checks: self.has_checks,
            ..options(&self.name, migration)
        };
        let mut losses = board.losses();
        loop {
            // What changes during the comparison must be noted, and be compared by the proof.
            while !board.is_following() {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = over.requested() => return,
                }
            }
            let (begun_us, lost) = (now_us(), *losses.borrow_and_update());
            let swept = tokio::select! {
                swept = verify(&self.config, &options, &|_| ()) => swept,
                () = over.requested() => return,
                // Of rows that are copied meanwhile nothing can be said.
                _ = losses.changed() => continue,
            };
            let wait = match swept {
                Ok(report) => {
                    board.swept(&report, begun_us, lost);
                    self.take_in(report, migration.verification.alert_below_percent);
                    match board.has_base() {
                        true => interval,
                        // What differs may be mended soon.
                        false => (interval / 10).max(SWEEP_AGAIN.min(interval)),
                    }
                }
                Err(e) => {
                    tracing::warn!(migration = self.name, "a comparison was given up: {e}");
                    match e.kind().retry() {
                        Retry::Backoff => SWEEP_AGAIN,
                        Retry::Never => interval,
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = over.requested() => return,
                _ = losses.changed() => {
                    tokio::select! {
                        () = tokio::time::sleep(SWEEP_AGAIN.min(wait)) => {}
                        () = over.requested() => return,
                    }
                }
            }
        }
    }

    fn take_in(&self, report: Report, below: f64) {
        let rows = report.tables.iter();
        let rows = rows.map(|t| t.rows_source.max(t.rows_target)).sum();
        self.rows.store(rows, Ordering::Relaxed);
        if let Err(e) = remember(&self.config, &self.name, &report) {
            tracing::warn!(migration = self.name, "history is not written down: {e}");
        }
        if is_alarming(&report, below) {
            tracing::error!(migration = self.name, "the two sides are not consistent");
            self.alarm("report", &report);
        }
        self.tell(HostEvent::Swept(Box::new(report)));
    }
}

/// What ended a sync.
#[derive(Debug)]
struct Trouble {
    text: String,
    /// Whether it may pass by itself.
    passes: bool,
}

/// Why a sync that panicked ended.
fn crashed(e: JoinError) -> Error {
    // Its own text would name the task, another one each time.
    let what = e.try_into_panic().ok().and_then(|what| {
        let text = what.downcast::<String>().map(|text| *text);
        text.or_else(|what| what.downcast::<&str>().map(|text| (*text).to_owned()))
            .ok()
    });
    let what = what.map_or_else(String::new, |what| format!(": {what}"));
    Error::new(ErrorKind::Internal, format!("a sync crashed{what}"))
}

/// What kept a sync from running since one was well, or was stopped by somebody.
#[derive(Debug, Default)]
struct Troubles {
    /// Of these, how many pass by themselves.
    passing: u32,
    told: BTreeSet<String>,
}

impl Troubles {
    /// Whether somebody must be told about this one: of what passes by itself once, and only if it does not,
    /// whatever words a lost connection has at each attempt; of everything else once of each.
    fn is_news(&mut self, trouble: &Trouble) -> bool {
        if trouble.passes {
            self.passing = self.passing.saturating_add(1);
            return self.passing == PASSING + 1;
        }
        self.told.len() < TOLD_MAX && self.told.insert(trouble.text.clone())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of rows")]
fn as_f64(n: u64) -> f64 {
    n as f64
}

fn options(name: &str, migration: &MigrationConfig) -> VerifyOptions {
    let verification = &migration.verification;
    VerifyOptions {
        level: match verification.level {
            SweepLevel::Hash => Level::Hash,
            SweepLevel::Full => Level::Full,
        },
        busy_percent_max: Some(verification.busy_percent_max),
        // Parts that somebody wants to go on behind are theirs.
        ledger: false,
        ..VerifyOptions::new(name)
    }
}
