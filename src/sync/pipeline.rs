//! The order of steps: copy, catch up, follow, until told to stop.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::database::{OpenState, SyncStore};
use crate::error::Result;
use crate::rule::Direction;

use super::engine::Engine;
use super::report::SyncReport;

/// When a run ends.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// End when both sides have nothing left.
    pub until_idle: bool,
    /// End when everything is copied; nothing is followed.
    pub copy_only: bool,
    /// End so long after everything is copied, at the latest.
    pub no_longer_than: Option<Duration>,
    /// Rows copied each second, at most.
    pub copy_rows_per_s_max: Option<u64>,
    /// Becomes true when the program is asked to stop; the step under way is finished.
    pub stop: watch::Receiver<bool>,
}

/// Between two tries of what waits for another row.
const RETRY_WAITING: Duration = Duration::from_millis(50);
/// Between two prunings.
const FLUSH: Duration = Duration::from_millis(1000);
/// How long to sleep on a store at most before looking at everything again.
const WAIT_MS: u64 = 100;
/// Rounds without anything new after which what still waits is left waiting.
const IDLE_ROUNDS: u32 = 25;

/// Runs until the options say stop. `observe` is called after each round with whether everything
/// is copied and the counts so far.
///
/// Errors of kind `Busy` while locking for a conflict only delay it; every other error ends the
/// run, and the engine must be started anew.
pub async fn run<S: SyncStore>(
    engine: &mut Engine<S>,
    options: &RunOptions,
    mut observe: impl FnMut(&Engine<S>) + Send,
) -> Result<SyncReport> {
    let begun = Instant::now();
    // What waits, and what people answered, is looked at in the first round already.
    let mut last_retry: Option<Instant> = None;
    let mut last_flush = Instant::now();
    let mut idle = 0;
    let mut copied_at: Option<Instant> = None;
    while !*options.stop.borrow() {
        if engine.is_copied() {
            let at = *copied_at.get_or_insert_with(Instant::now);
            if options.no_longer_than.is_some_and(|d| at.elapsed() >= d) {
                break;
            }
        }
        let mut progress = false;
        if copy_allowed(engine, options, begun) {
            progress = Box::pin(engine.copy_chunk()).await?;
        }
        if options.copy_only {
            observe(engine);
            if !progress {
                if engine.is_copied() || options.copy_rows_per_s_max.is_none() {
                    break;
                }
                tokio::time::sleep(RETRY_WAITING).await;
            }
            continue;
        }
        for direction in [Direction::Forward, Direction::Backward] {
            progress |= Box::pin(engine.step(direction)).await?;
        }
        progress |= patiently(engine.decide().await)?;
        let retried = last_retry.is_none_or(|at| at.elapsed() >= RETRY_WAITING);
        if retried {
            progress |= patiently(engine.retry_waiting().await)?;
            progress |= patiently(engine.carry_out_requests().await)?;
            last_retry = Some(Instant::now());
        }
        if last_flush.elapsed() >= FLUSH {
            engine.flush().await?;
            last_flush = Instant::now();
        }
        engine.tell_written();
        engine.tell_copied();
        observe(engine);
        if progress {
            idle = 0;
            continue;
        }
        let waits = engine
            .open
            .values()
            .any(|c| matches!(c.state, OpenState::Waiting | OpenState::Open));
        // A round in which what waits was not tried says nothing about it.
        idle += u32::from(retried || !waits);
        // Each has had its turn several times.
        let turns = engine.waiting() / engine.options.conflict_rows.max(1);
        let idle_max = IDLE_ROUNDS.saturating_add(u32::try_from(2 * turns).unwrap_or(u32::MAX));
        if options.until_idle
            && (engine.is_copied() || !engine.paused.is_empty())
            && (!waits || idle >= idle_max)
            && engine.is_caught_up().await?
        {
            break;
        }
        let (source, target) = (&engine.stores[0], &engine.stores[1]);
        let wait_ms = if waits {
            u64::try_from(RETRY_WAITING.as_millis()).unwrap_or(WAIT_MS)
        } else {
            WAIT_MS
        };
        tokio::select! {
            woken = source.wait(wait_ms) => { woken?; }
            woken = target.wait(wait_ms) => { woken?; }
        }
    }
    engine.finish_copying().await?;
    engine.flush().await?;
    let mut report = engine.report();
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

/// Whether the copy is not ahead of its allowed rate.
fn copy_allowed<S: SyncStore>(engine: &Engine<S>, options: &RunOptions, begun: Instant) -> bool {
    let Some(limit) = options.copy_rows_per_s_max else {
        return true;
    };
    let copied: u64 = engine.counts.iter().map(|t| t.copied).sum();
    let due_ms = copied.saturating_mul(1000) / limit.max(1);
    begun.elapsed() >= Duration::from_millis(due_ms)
}

/// A lock that was not to be had now is tried for again in the next round.
fn patiently(result: Result<bool>) -> Result<bool> {
    match result {
        Err(e) if e.kind() == crate::error::ErrorKind::Busy => {
            tracing::debug!(%e, "the rows of a conflict are locked; trying again");
            Ok(false)
        }
        other => other,
    }
}
