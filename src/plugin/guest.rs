//! What lives beside a running instance: its memory limit and its log.

use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Engine, StoreContextMut};

use crate::error::{Error, ErrorKind, Result};

use super::limits::MemoryLimiter;
use super::v0_1::wire::Level;

/// The instance that holds the functions a rule may call.
pub(super) const HOST_INTERFACE: &str = "banyan:rules/host@0.1.0";
/// Lines that a batch may log.
const LOG_LINES_MAX: u32 = 64;
/// Bytes that a batch may log.
const LOG_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one line; the rest is cut.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// The data of a wasmtime store: one batch.
#[derive(Debug)]
pub(super) struct GuestState {
    pub(super) memory: MemoryLimiter,
    pub(super) log: GuestLog,
}

/// The log of one batch.
#[derive(Debug)]
pub(super) struct GuestLog {
    /// The rule's name in the configuration.
    rule: String,
    lines: u32,
    bytes: usize,
    dropped: u64,
    /// The last line at level `error`: after a trap it is the panic's text.
    pub(super) last_error: Option<String>,
}

impl GuestLog {
    pub(super) fn new(rule: &str) -> Self {
        Self {
            rule: rule.to_owned(),
            lines: 0,
            bytes: 0,
            dropped: 0,
            last_error: None,
        }
    }

    fn exhausted(&self) -> bool {
        self.lines >= LOG_LINES_MAX || self.bytes >= LOG_BYTES_MAX
    }

    fn line(&mut self, level: Level, message: &str) {
        let message = cut(message);
        if level == Level::Error {
            self.last_error = Some(message.to_owned());
        }
        if self.exhausted() {
            self.dropped += 1;
            return;
        }
        self.lines += 1;
        self.bytes += message.len();
        let rule = &self.rule;
        match level {
            Level::Error => tracing::error!(target: "banyan::rule", %rule, "{message}"),
            Level::Warn => tracing::warn!(target: "banyan::rule", %rule, "{message}"),
            Level::Info => tracing::info!(target: "banyan::rule", %rule, "{message}"),
            Level::Debug => tracing::debug!(target: "banyan::rule", %rule, "{message}"),
            Level::Trace => tracing::trace!(target: "banyan::rule", %rule, "{message}"),
        }
    }

    /// Ends the batch; answers how many lines were dropped.
    pub(super) fn finish(&self) -> u64 {
        if self.dropped > 0 {
            let (rule, dropped) = (&self.rule, self.dropped);
            tracing::warn!(target: "banyan::rule", %rule, "… {dropped} more lines dropped");
        }
        self.dropped
    }
}

/// At most [`LINE_BYTES_MAX`] bytes, ending on a character boundary.
fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(LINE_BYTES_MAX)]
}

/// A linker with everything that a rule may call: the log.
pub(super) fn linker(engine: &Engine) -> Result<Linker<GuestState>> {
    let internal =
        |e: wasmtime::Error| Error::new(ErrorKind::Internal, "cannot link the log").caused_by(e);
    let mut linker = Linker::new(engine);
    linker
        .instance(HOST_INTERFACE)
        .map_err(internal)?
        .func_wrap(
            "log",
            |mut store: StoreContextMut<'_, GuestState>, (level, message): (Level, WasmStr)| {
                if store.data().log.exhausted() && level != Level::Error {
                    store.data_mut().log.dropped += 1;
                    return Ok(());
                }
                let text = message.to_str(&store)?.into_owned();
                store.data_mut().log.line(level, &text);
                Ok(())
            },
        )
        .map_err(internal)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::{GuestLog, LINE_BYTES_MAX, LOG_LINES_MAX};
    use crate::plugin::v0_1::wire::Level;

    #[test]
    fn a_million_lines_cost_the_quota_and_are_counted() {
        let mut log = GuestLog::new("noisy");
        for i in 0..1_000_000 {
            log.line(Level::Debug, &format!("line {i}"));
        }
        assert_eq!(log.finish(), 1_000_000 - u64::from(LOG_LINES_MAX));
    }

    #[test]
    fn the_last_error_is_kept_beyond_the_quota_and_cut_between_characters() {
        let mut log = GuestLog::new("noisy");
        for _ in 0..100 {
            log.line(Level::Info, "x");
        }
        log.line(Level::Error, &"ä".repeat(LINE_BYTES_MAX));
        let last = log.last_error.unwrap();
        assert!(last.len() <= LINE_BYTES_MAX);
        assert!(last.chars().all(|c| c == 'ä'));
    }
}
