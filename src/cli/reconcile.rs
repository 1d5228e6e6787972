//! `banyan reconcile`

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value as Json;

use crate::app::reconcile;
use crate::error::{Error, ErrorKind, Result};
use crate::verify::{Action, Prefer, ReconcileReport};

use super::context::{block_on, load};
use super::verify::{Bars, ScopeArgs, or_interrupted};
use super::{Printer, Progress};

/// How often what was done is printed.
const PRINT_EVERY: Duration = Duration::from_millis(100);

/// Compare both sides and repair what differs; exit 1 when something could not be repaired
///
/// Makes the target equal to the source unless --prefer says otherwise: rows that only the target
/// has are then deleted there. Rows whose conflict is open are left alone. --dry-run first.
#[derive(clap::Args, Debug)]
pub(super) struct ReconcileArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,

    /// Which side is right
    #[arg(long, value_enum, default_value_t = PreferArg::Source)]
    pub(super) prefer: PreferArg,

    /// Only print what would be done
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) scope: ScopeArgs,
}

/// Which side is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PreferArg {
    /// The source: the target is made equal to it
    Source,
    /// The target: the source is made equal to it
    Target,
    /// Whichever was committed last, where both times are known
    Newest,
    /// Whatever the table's own on_conflict says; a strategy or a rule of yours
    Rule,
}

pub(super) fn run(
    args: &ReconcileArgs,
    printer: &mut Printer<'_>,
    progress: &Progress,
    config: Option<&Path>,
) -> Result<u8> {
    let config = load(config)?;
    let options = args.scope.options(&args.migration);
    let prefer = match args.prefer {
        PreferArg::Source => Prefer::Source,
        PreferArg::Target => Prefer::Target,
        PreferArg::Newest => Prefer::Newest,
        PreferArg::Rule => Prefer::Rule,
    };
    let bars = Bars::new(progress);
    let json = printer.is_json();
    let out = printer.out();
    let lines = Lines::new(json);
    let report = block_on(|shutdown| async move {
        let show = |compared| bars.show(&compared);
        let mut observe = |action: &Action| lines.add(action);
        let work = reconcile(&config, &options, prefer, args.dry_run, &show, &mut observe);
        let work = or_interrupted(Box::pin(work), &shutdown);
        tokio::pin!(work);
        let report = loop {
            tokio::select! {
                report = &mut work => break report,
                () = tokio::time::sleep(PRINT_EVERY) => lines.print(out)?,
            }
        };
        lines.print(out)?;
        let report = report?;
        lines.end(&report, out)?;
        Ok(report)
    })?;
    let in_conflict: u64 = report.tables.iter().map(|t| t.in_conflict).sum();
    if in_conflict > 0 {
        printer.hint(format!(
            "rows with an open conflict are left alone: banyan conflict list {} --which open, then \
             banyan conflict resolve ID --take source|target|delete",
            args.migration
        ));
    }
    if report.dry_run && report.writes.iter().any(|w| w.deletes > 0) {
        printer.hint(
            "rows that only one side has are deleted there; --prefer source|target|newest says \
             which side is right",
        );
    }
    if report.clean && report.dry_run && report.tables.iter().any(|t| t.found > 0) {
        printer.hint("nothing was written; leave out --dry-run to do it");
    }
    Ok(u8::from(!report.clean))
}

/// What was done, until it is printed.
#[derive(Clone)]
struct Lines {
    json: bool,
    waiting: Arc<Mutex<(String, bool)>>,
}

impl Lines {
    fn new(json: bool) -> Self {
        Self {
            json,
            waiting: Arc::default(),
        }
    }

    fn add(&self, action: &Action) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, any) = &mut *waiting;
        if self.json {
            text.push_str(if *any {
                ",\n    "
            } else {
                "{\n  \"actions\": [\n    "
            });
            // An action is text and numbers: it always has a JSON form.
            text.push_str(&serde_json::to_string(action).unwrap_or_default());
        } else {
            text.push_str(&format!("{action}\n"));
        }
        *any = true;
    }

    fn print(&self, out: &mut dyn Write) -> Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::mem::take(&mut waiting.0);
        drop(waiting);
        write(out, &text)
    }

    fn end(&self, report: &ReconcileReport, out: &mut dyn Write) -> Result<()> {
        if !self.json {
            return write(out, &report.to_string());
        }
        let any = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1;
        let mut text = String::from(if any { "\n  ]" } else { "{\n  \"actions\": []" });
        let fields = serde_json::to_value(report).map_err(|e| {
            Error::new(ErrorKind::Internal, "the report has no JSON form").caused_by(e)
        })?;
        if let Json::Object(fields) = fields {
            for (name, value) in fields {
                text.push_str(&format!(",\n  {}: {value}", Json::String(name)));
            }
        }
        text.push_str("\n}\n");
        write(out, &text)
    }
}

fn write(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes())
        .map_err(|e| Error::new(ErrorKind::Io, "the output cannot be written").caused_by(e))
}
