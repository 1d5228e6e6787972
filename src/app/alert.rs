//! Tells somebody that something is wrong: a command, a URL, or both.
//!
//! What cannot be told is logged, and stops nobody.

mod post;

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::Result;
use crate::verify::Report;

use post::Hook;

/// How long an alert may take in all.
const ALERT_MAX: Duration = Duration::from_secs(30);
/// How long one try to deliver it may take: three of them, and the pauses between them, fit in.
const TRY_MAX: Duration = Duration::from_secs(8);
/// The pauses between tries.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Who is told.
#[derive(Debug, Default)]
pub struct Alert {
    command: Option<String>,
    hook: Option<Hook>,
}

impl Alert {
    /// `command` is run by the shell with the alert on its stdin; to `url` it is posted.
    ///
    /// # Errors
    /// `Usage` for a URL that nothing can be posted to, `Config` for certificates that cannot be read.
    pub fn new(command: Option<String>, url: Option<&str>) -> Result<Self> {
        let hook = url.map(Hook::new).transpose()?;
        Ok(Self { command, hook })
    }

    /// Tells everybody, at the same time. `json`: what is wrong.
    pub async fn send(&self, json: &str) {
        tokio::join!(self.run(json), self.post(json));
    }

    async fn run(&self, json: &str) {
        let Some(command) = &self.command else {
            return;
        };
        match tokio::time::timeout(ALERT_MAX, run(command, json)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::error!("the alert's command failed: {e}"),
            Err(_) => tracing::error!("the alert's command was given up after {ALERT_MAX:?}"),
        }
    }

    async fn post(&self, json: &str) {
        let Some(hook) = &self.hook else {
            return;
        };
        let place = hook.place();
        let mut pauses = PAUSES.iter();
        let tries = async {
            loop {
                let posted = match tokio::time::timeout(TRY_MAX, hook.post(json)).await {
                    Ok(posted) => posted,
                    Err(_) => Err(format!("no answer within {TRY_MAX:?}")),
                };
                let Err(why) = posted else {
                    return;
                };
                let Some(pause) = pauses.next() else {
                    tracing::error!("the alert did not reach {place}, and was given up: {why}");
                    return;
                };
                tracing::warn!("the alert did not reach {place}, and is sent once more: {why}");
                tokio::time::sleep(*pause).await;
            }
        };
        if tokio::time::timeout(ALERT_MAX, tries).await.is_err() {
            tracing::error!("the alert did not reach {place} within {ALERT_MAX:?}");
        }
    }
}

/// Rows in flight are not proven equal, but they are no reason to wake anybody.
pub fn is_alarming(report: &Report, below: f64) -> bool {
    // Where numbers differ, at most so much is equal, whatever a sample says.
    let sampled = report.tables.iter().filter(|t| t.sampled_percent.is_some());
    let (fewer, more) = sampled
        .filter(|t| t.numbers_differ)
        .map(|t| {
            (
                t.rows_source.min(t.rows_target),
                t.rows_source.max(t.rows_target),
            )
        })
        .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let mut proven = report.proven_percent();
    if more > 0 {
        proven = proven.min(100.0 * fewer as f64 / more as f64);
    }
    report.checks.iter().any(|c| !c.passed)
        || report.tables.iter().any(|t| !t.consistent()) && proven < below
}

async fn run(command: &str, json: &str) -> std::io::Result<()> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing has its reasons.
        drop(stdin.write_all(json.as_bytes()).await);
    }
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    Err(std::io::Error::other(status.to_string()))
}
