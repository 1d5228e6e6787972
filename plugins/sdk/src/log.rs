//! What a rule may tell the operator.

use std::cell::Cell;
use std::sync::Once;

thread_local! {
    /// The row that is being worked on, for the text of a panic.
    static ROW: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is wrong.
    Error,
    /// Something is odd.
    Warn,
    /// Worth knowing.
    Info,
    /// For finding out what the rule does.
    Debug,
    /// Everything.
    Trace,
}

/// Tells the operator something. Lines beyond the quota of a batch are dropped and counted. In
/// native tests it goes to stderr.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    {
        use crate::bindings::lifecycle::banyan::rules::host;
        let level = match level {
            Level::Error => host::Level::Error,
            Level::Warn => host::Level::Warn,
            Level::Info => host::Level::Info,
            Level::Debug => host::Level::Debug,
            Level::Trace => host::Level::Trace,
        };
        host::log(level, message);
    }
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Names the row that is being worked on; a panic's text begins with it.
pub(crate) fn at_row(row: Option<usize>) {
    ROW.with(|r| r.set(row));
}

#[doc(hidden)]
/// Sends the text of a panic to the host, where it would be lost otherwise.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    if cfg!(target_arch = "wasm32") {
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                let text = match ROW.with(Cell::get) {
                    Some(row) => format!("row {row}: {info}"),
                    None => info.to_string(),
                };
                log(Level::Error, &text);
            }));
        });
    }
}
