//! The request to stop, seen by everybody who asks or waits.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// A new request that has not been made, and the means to make it.
#[must_use]
pub fn shutdown() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger { sender }, Shutdown { receiver })
}

/// Makes the request. Dropping every trigger makes it too: nobody is left who could.
#[derive(Clone, Debug)]
pub struct ShutdownTrigger {
    sender: watch::Sender<bool>,
}

impl ShutdownTrigger {
    /// Asks everybody to stop. Asking again does nothing.
    pub fn request(&self) {
        self.sender.send_replace(true);
    }
}

/// Sees the request.
#[derive(Clone, Debug)]
pub struct Shutdown {
    receiver: watch::Receiver<bool>,
}

impl Shutdown {
    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.receiver.borrow() || self.receiver.has_changed().is_err()
    }

    /// Ends when somebody asks to stop; at once when somebody has.
    pub async fn requested(&self) {
        // An error says that every trigger is gone, which is a request too.
        drop(self.receiver.clone().wait_for(|requested| *requested).await);
    }

    /// For loops: an error once somebody asked to stop.
    ///
    /// # Errors
    /// `Shutdown`.
    pub fn check(&self) -> Result<()> {
        if self.is_requested() {
            return Err(Error::new(ErrorKind::Shutdown, "shutting down"));
        }
        Ok(())
    }
}

/// Makes the request when the process gets SIGTERM or SIGINT. Run it in a
/// `TaskSet`; it ends after the request, however that came about.
///
/// # Errors
/// `Internal` when the signals cannot be watched.
pub async fn on_signal(trigger: ShutdownTrigger, shutdown: Shutdown) -> Result<()> {
    let watch = |kind| {
        signal(kind).map_err(|cause| {
            Error::new(ErrorKind::Internal, "signals cannot be watched").caused_by(cause)
        })
    };
    let mut terminate = watch(SignalKind::terminate())?;
    let mut interrupt = watch(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is under way"),
        _ = interrupt.recv() => tracing::info!("interrupted: finishing what is under way"),
        () = shutdown.requested() => return Ok(()),
    }
    trigger.request();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_sees_the_request() {
        let (trigger, first) = shutdown();
        let second = first.clone();
        assert!(!first.is_requested());
        first.check().unwrap();
        let mut waiting = Box::pin(second.requested());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        trigger.request();
        trigger.request();
        waiting.await;
        assert!(first.is_requested());
        assert_eq!(first.check().unwrap_err().kind(), ErrorKind::Shutdown);
        first.requested().await;
    }

    #[tokio::test]
    async fn a_lost_trigger_is_a_request() {
        let (trigger, seen) = shutdown();
        drop(trigger);
        assert!(seen.is_requested());
        seen.requested().await;
    }

    #[tokio::test]
    async fn watching_for_signals_ends_with_the_request() {
        let (trigger, seen) = shutdown();
        let watching = on_signal(trigger.clone(), seen.clone());
        trigger.request();
        watching.await.unwrap();
    }
}
