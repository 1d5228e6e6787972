//! What scripts log, with a quota for each call.

use std::cell::Cell;

/// Lines of one call that are passed on.
const LINES_MAX: u32 = 100;
/// Bytes of one call that are passed on.
const BYTES_MAX: usize = 16 << 10;

/// How important a line is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Default)]
struct Quota {
    lines: u32,
    bytes: usize,
    dropped: u32,
}

thread_local! {
    static QUOTA: Cell<Quota> = const { Cell::new(Quota { lines: 0, bytes: 0, dropped: 0 }) };
}

/// Begins a call: the quota is full again.
pub(super) fn begin() {
    QUOTA.set(Quota::default());
}

/// Ends a call: says what was dropped.
pub(super) fn end(rule: &str) {
    let dropped = QUOTA.replace(Quota::default()).dropped;
    if dropped > 0 {
        tracing::warn!(target: "banyan::rule", rule, "… {dropped} more lines dropped");
    }
}

/// Passes a line on while the quota lasts.
pub(super) fn line(rule: &str, level: Level, text: &str) {
    let mut quota = QUOTA.get();
    if quota.lines >= LINES_MAX || quota.bytes + text.len() > BYTES_MAX {
        quota.dropped = quota.dropped.saturating_add(1);
        QUOTA.set(quota);
        return;
    }
    quota.lines += 1;
    quota.bytes += text.len();
    QUOTA.set(quota);
    match level {
        Level::Debug => tracing::debug!(target: "banyan::rule", rule, "{text}"),
        Level::Info => tracing::info!(target: "banyan::rule", rule, "{text}"),
        Level::Warn => tracing::warn!(target: "banyan::rule", rule, "{text}"),
        Level::Error => tracing::error!(target: "banyan::rule", rule, "{text}"),
    }
}
