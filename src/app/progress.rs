//! How far a running sync is, as it is remembered.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::database::LagReader;
use crate::lifecycle::{Phase, PhaseEvent, Progress};
use crate::state::{MigrationRecord, PausedTable};
use crate::sync::SyncReport;

/// What a running sync tells whoever watches it.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Whether everything is copied.
    pub copied: bool,
    /// Rows of the source that are copied.
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

/// How long the feeds are asked how far they are ahead; longer, and it is unknown.
const LAG_WAIT: Duration = Duration::from_millis(200);

/// How much was done between two looks.
#[derive(Debug)]
pub(super) struct Meter {
    at: Instant,
    done: u64,
}

impl Meter {
    /// Nothing is done yet.
    pub(super) fn new() -> Self {
        Self {
            at: Instant::now(),
            done: 0,
        }
    }

    /// Rows each second since the last look; `None` when that was just now.
    fn rate(&mut self, done: u64) -> Option<f64> {
        let seconds = self.at.elapsed().as_secs_f64();
        if seconds <= 0.2 {
            return None;
        }
        let rate = as_f64(done.saturating_sub(self.done)) / seconds;
        *self = Self {
            at: Instant::now(),
            done,
        };
        Some(rate)
    }
}

/// Writes down what was observed. What is not known any more is unknown, not what it was.
pub(super) fn note(record: &mut MigrationRecord, observed: &Observed, meter: &mut Meter) {
    record.rows_copied = observed.rows_copied;
    record.progress_percent = if observed.copied {
        // It may have been an estimate.
        record.rows_total = record.rows_total.map(|_| record.rows_copied);
        Some(100.0)
    } else {
        record
            .rows_total
            .map(|total| percent(record.rows_copied, total))
    };
    if let Some(rate) = meter.rate(observed.rows_copied + observed.applied) {
        record.rate_rows_per_s = Some(rate);
        record.eta_s = record
            .rows_total
            .filter(|_| rate > 0.0)
            .map(|total| as_f64(total.saturating_sub(record.rows_copied)) / rate);
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
    record.lag_rows = None;
    record.lag_ms = None;
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

/// Writes down how far the feeds are ahead of what is applied.
pub(super) async fn note_lag(record: &mut MigrationRecord, feeds: &[(&LagReader, u64)]) {
    let look = async {
        let mut rows = 0;
        let mut oldest_ms: Option<i64> = None;
        for (feed, read) in feeds {
            let lag = feed.lag(*read).await.ok()?;
            rows += lag.rows;
            oldest_ms = [oldest_ms, lag.oldest_ms].into_iter().flatten().min();
        }
        Some((rows, oldest_ms))
    };
    let Ok(Some((rows, oldest_ms))) = tokio::time::timeout(LAG_WAIT, look).await else {
        return;
    };
    record.lag_rows = Some(rows);
    record.lag_ms = match (rows, oldest_ms) {
        (0, _) => Some(0),
        (_, None) => None,
        (_, Some(at)) => Some((now_us() / 1000).saturating_sub(at).max(0).unsigned_abs()),
    };
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn as_f64(n: u64) -> f64 {
    n as f64
}

fn percent(done: u64, total: u64) -> f64 {
    if total == 0 {
        return 100.0;
    }
    // The total may be an estimate: the copy says itself when it is done.
    (100.0 * as_f64(done) / as_f64(total)).min(99.9)
}

pub(super) fn now_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}
