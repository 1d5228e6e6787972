//! What every verb that does something needs: the configuration, a runtime, signals.

use std::future::Future;
use std::path::Path;

use crate::config::{Config, DEFAULT_FILE, ProcessEnvironment};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::{Shutdown, on_signal, shutdown};

/// Reads the configuration that the command line names.
pub(super) fn load(config: Option<&Path>) -> Result<Config> {
    Config::load(
        config.unwrap_or(Path::new(DEFAULT_FILE)),
        &ProcessEnvironment,
    )
}

/// Runs something to its end on a runtime of its own. SIGINT and SIGTERM ask it to stop.
pub(super) fn block_on<T, F>(run: impl FnOnce(Shutdown) -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorKind::Internal, "cannot start the runtime").caused_by(e))?;
    let (trigger, seen) = shutdown();
    runtime.block_on(async {
        let signals = on_signal(trigger.clone(), seen.clone());
        tokio::pin!(signals);
        let work = run(seen.clone());
        tokio::pin!(work);
        let mut watching = true;
        loop {
            tokio::select! {
                result = &mut work => {
                    trigger.request();
                    return result;
                }
                watched = &mut signals, if watching => {
                    watched?;
                    watching = false;
                }
            }
        }
    })
}
