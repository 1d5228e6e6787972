//! `banyan sync`, and `banyan copy`, which is its first part.

use std::path::Path;

use crate::app::{Observed, SyncRequest, sync};
use crate::error::Result;
use crate::sync::SyncReport;

use super::context::{block_on, load};
use super::{Bar, Printer, Progress};

/// Copy what is not copied yet, then follow changes
#[derive(clap::Args, Debug)]
pub(super) struct SyncArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,

    /// End when both sides have nothing left; exit code 1 when conflicts are left
    #[arg(long)]
    pub(super) until_idle: bool,

    /// Create tables of the target that are not there, after the source's
    #[arg(long)]
    pub(super) create_tables: bool,
}

/// Copy a migration's tables once, without following changes
#[derive(clap::Args, Debug)]
pub(super) struct CopyArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,

    /// Create tables of the target that are not there, after the source's
    #[arg(long)]
    pub(super) create_tables: bool,
}

pub(super) fn run(
    args: &SyncArgs,
    printer: &mut Printer<'_>,
    progress: &Progress,
    config: Option<&Path>,
) -> Result<u8> {
    let request = SyncRequest {
        migration: args.migration.clone(),
        until_idle: args.until_idle,
        copy_only: false,
        create_tables: args.create_tables,
        board: None,
    };
    follow(&request, printer, progress, config)
}

pub(super) fn run_copy(
    args: &CopyArgs,
    printer: &mut Printer<'_>,
    progress: &Progress,
    config: Option<&Path>,
) -> Result<u8> {
    let request = SyncRequest {
        migration: args.migration.clone(),
        until_idle: false,
        copy_only: true,
        create_tables: args.create_tables,
        board: None,
    };
    follow(&request, printer, progress, config)
}

fn follow(
    request: &SyncRequest,
    printer: &mut Printer<'_>,
    progress: &Progress,
    config: Option<&Path>,
) -> Result<u8> {
    let config = load(config)?;
    let mut bars = Bars {
        progress,
        copy: None,
        follow: None,
    };
    let report = block_on(|shutdown| async move {
        sync(&config, request, &shutdown, |observed| bars.show(observed)).await
    })?;
    if printer.is_json() {
        printer.json(&report)?;
    } else {
        text(printer, &report)?;
    }
    for created in &report.created {
        printer.hint(format!(
            "table {} is new; it does not have: {}",
            created.table,
            created.left_out.join("; ")
        ));
    }
    let waiting: u64 = report.tables.iter().map(|t| t.parked).sum();
    if waiting > 0 {
        let wait = match waiting {
            1 => "1 conflict waits".to_owned(),
            _ => format!("{waiting} conflicts wait"),
        };
        printer.hint(format!(
            "{wait}: banyan conflict list {} --which open",
            request.migration
        ));
    }
    for (table, reason) in &report.paused {
        printer.hint(format!(
            "table {table} is paused ({reason}): when the mapping fits again, banyan migration \
             resume {}",
            request.migration
        ));
    }
    if waiting == 0 && report.paused.is_empty() && request.until_idle {
        printer.hint(format!(
            "both sides have nothing left; prove it: banyan verify {} --level full",
            request.migration
        ));
    }
    let undone = waiting > 0 || !report.paused.is_empty();
    Ok(u8::from(request.until_idle && undone))
}

/// One bar for the copy, one for the changes.
struct Bars<'a> {
    progress: &'a Progress,
    copy: Option<Bar>,
    follow: Option<Bar>,
}

impl Bars<'_> {
    fn show(&mut self, observed: &Observed) {
        if !observed.copied || self.copy.is_some() {
            let bar = self
                .copy
                .get_or_insert_with(|| self.progress.bar("copy", observed.rows_total));
            bar.set(observed.rows_copied);
        }
        if observed.copied {
            if let Some(bar) = self.copy.take() {
                bar.finish();
            }
            self.follow
                .get_or_insert_with(|| self.progress.bar("changes", None))
                .set(observed.applied);
        }
    }
}

fn text(printer: &mut Printer<'_>, report: &SyncReport) -> Result<()> {
    let width = report
        .tables
        .iter()
        .map(|t| t.table.chars().count())
        .max()
        .unwrap_or(0)
        .max(5);
    printer.line(format!(
        "{:width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>7}",
        "table", "copied", "to target", "to source", "conflicts", "waiting"
    ))?;
    for t in &report.tables {
        printer.line(format!(
            "{:width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>7}",
            t.table, t.copied, t.applied_to_target, t.applied_to_source, t.conflicts, t.parked
        ))?;
    }
    printer.line(format!("took {:.1} s", report.seconds))
}
