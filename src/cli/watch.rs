//! `banyan verify --continuous`

use std::time::Duration;

use crate::app::{Alert, VerifyOptions, is_alarming, verify};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::verify::Report;

use super::Printer;
use super::context::block_on;
use super::verify::{VerifyArgs, keep};

/// How often, and what happens when something is wrong.
#[derive(clap::Args, Debug)]
pub(super) struct WatchArgs {
    /// Wait so many seconds between one comparison's end and the next one's begin
    #[arg(long, value_name = "S", default_value_t = 60, requires = "continuous")]
    pub(super) interval_s: u64,

    /// Alert when less than this (of a sample, if one is compared) is proven equal, or a check fails
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = 100.0,
        requires = "continuous"
    )]
    pub(super) alert_below: f64,

    /// Run this by the shell for an alert, with the report as JSON on its stdin
    #[arg(long, value_name = "COMMAND", requires = "continuous")]
    pub(super) alert_command: Option<String>,

    /// Post the report as JSON to this URL (http or https) for an alert; what does not arrive is tried three times within 30 seconds, and logged
    #[arg(long, value_name = "URL", requires = "continuous")]
    pub(super) alert_url: Option<String>,

    /// End after so many comparisons
    #[arg(long, value_name = "N", requires = "continuous")]
    pub(super) sweeps: Option<u64>,
}

/// Compares until the process is asked to stop; the exit code is that of the last comparison.
pub(super) fn run(
    args: &VerifyArgs,
    options: &VerifyOptions,
    config: &Config,
    printer: &mut Printer<'_>,
) -> Result<u8> {
    let mut options = VerifyOptions {
        totals: false,
        ..options.clone()
    };
    let watch = &args.watch;
    let alert = &Alert::new(watch.alert_command.clone(), watch.alert_url.as_deref())?;
    block_on(|shutdown| async move {
        // Of one that was stopped before anything was compared.
        let mut code = ErrorKind::Shutdown.exit_code();
        let mut sweeps = 0;
        loop {
            let swept = tokio::select! {
                report = Box::pin(verify(config, &options, &|_| ())) => report,
                () = shutdown.requested() => break,
            };
            match swept {
                Ok(report) => {
                    code = u8::from(!report.consistent || !report.decided());
                    keep(config, args, &report)?;
                    let json = serde_json::to_string(&report).map_err(|e| {
                        Error::new(ErrorKind::Internal, "the report has no JSON form").caused_by(e)
                    })?;
                    if printer.is_json() {
                        printer.line(&json)?;
                    } else {
                        printer.line(line(&report))?;
                    }
                    if is_alarming(&report, args.watch.alert_below) {
                        tracing::error!(
                            migration = args.migration,
                            consistency_percent = report.proven_percent(),
                            differences = report.differences_total,
                            "the two sides are not consistent"
                        );
                        tokio::select! {
                            () = alert.send(&json) => {}
                            () = shutdown.requested() => break,
                        }
                    }
                }
                // A store that is away comes back; anything else will be as wrong the next time.
                Err(e) if e.kind().retry() == Retry::Backoff => {
                    code = e.kind().exit_code();
                    tracing::warn!("this comparison was given up: {e}");
                }
                Err(e) => return Err(e),
            }
            sweeps += 1;
            // Other rows each time.
            if let Some(sample) = &mut options.sample {
                sample.seed = sample.seed.wrapping_add(1);
            }
            if args.watch.sweeps.is_some_and(|most| sweeps >= most) {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(args.watch.interval_s)) => {}
                () = shutdown.requested() => break,
            }
        }
        Ok(code)
    })
}

pub(super) fn line(report: &Report) -> String {
    let failed: Vec<&str> = report
        .checks
        .iter()
        .filter(|c| !c.passed)
        .map(|c| c.check.as_str())
        .collect();
    let sample = report.sample.as_ref().filter(|_| report.is_part());
    let (well, of) = match sample {
        None => ("consistent", String::new()),
        Some(sample) => (
            "no difference in the sample",
            format!(
                " of it ({} % of the rows, seed {})",
                sample.rows_percent, sample.asked.seed
            ),
        ),
    };
    let mut line = format!(
        "{}: {} %{of} proven equal, {} differences, {} in flight ({} in {:.1} s)",
        if report.consistent {
            well
        } else {
            "NOT consistent"
        },
        report.proven_percent(),
        report.differences_total,
        report.in_flight,
        report.level,
        report.seconds
    );
    if !failed.is_empty() {
        line.push_str(&format!("; failed checks: {}", failed.join(", ")));
    }
    line
}
