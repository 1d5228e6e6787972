//! `banyan verify`

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::app::{VerifyOptions, remember, verify};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Shutdown;
use crate::verify::{
    Level, PART_ROWS, PATIENCE, Progress as Compared, Recheck, Report, Sample, Stage, Strategy,
    TableReport,
};

use super::context::{block_on, load};
use super::watch::{self, WatchArgs};
use super::worker::WorkersArgs;
use super::{Bar, Printer, Progress};

/// Compare both sides of a migration; exit 1 when they differ
#[derive(clap::Args, Debug)]
pub(super) struct VerifyArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,

    /// How closely: count (rows), hash (digests, then rows where they differ) or full (every cell)
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    pub(super) level: Level,

    /// Who orders rows by their key: merge (the databases), sort-merge (this process, on disk where tables are large: each is read as a whole, in whatever order is cheapest) or auto
    #[arg(long, value_name = "STRATEGY", default_value = "auto")]
    pub(super) strategy: Strategy,

    #[command(flatten)]
    pub(super) scope: ScopeArgs,

    /// List at most so many differences; all are counted
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) differences_max: usize,

    /// Leave out the configuration's own [checks]; they run when all tables are compared
    #[arg(long)]
    pub(super) no_checks: bool,

    /// Let so many readers of each side compare a large table in ranges of its key
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) readers: u16,

    /// Of each table of 10,000 rows or more compare about so many percent, in ranges of its key drawn at random
    #[arg(long, value_name = "PERCENT", conflicts_with = "resume")]
    pub(super) sample: Option<f64>,

    /// Draw the sample from this number, which every report of a sample names: the same one again
    #[arg(long, value_name = "N", requires = "sample")]
    pub(super) sample_seed: Option<u64>,

    #[command(flatten)]
    pub(super) workers: WorkersArgs,

    /// Go on where a verification of the same was interrupted; what it had compared stays as old as it is
    #[arg(long, conflicts_with = "continuous")]
    pub(super) resume: bool,

    /// Compare so many rows of a table from one snapshot, about; an interrupted one goes on behind them
    #[arg(long, value_name = "N", default_value_t = PART_ROWS, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) part_rows: u64,

    /// Compare again and again until stopped; a line a time, an alert when something is wrong
    #[arg(long)]
    pub(super) continuous: bool,

    #[command(flatten)]
    pub(super) watch: WatchArgs,

    /// Also write the report, with the migration's history, as one page of HTML to this file
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
}

impl VerifyArgs {
    /// What is sorted here is read as a whole.
    fn check_parts(&self) -> Result<()> {
        let parted = [
            ("--sample", self.sample.is_some()),
            ("--resume", self.resume),
            ("--readers", self.readers > 1),
            ("--workers", self.workers.cluster()?.is_some()),
        ];
        match parted.iter().find(|(_, asked)| *asked) {
            Some((name, _)) if self.strategy == Strategy::SortMerge => Err(Error::new(
                ErrorKind::Usage,
                format!("{name} needs tables that are read by ranges of their key"),
            )
            .hint("leave out --strategy sort-merge, which reads each table as a whole")),
            _ => Ok(()),
        }
    }

    fn sample(&self) -> Result<Option<Sample>> {
        let Some(percent) = self.sample else {
            return Ok(None);
        };
        if self.level == Level::Count {
            return Err(
                Error::new(ErrorKind::Usage, "rows are counted wholly, not by a sample")
                    .hint("compare a sample at --level hash or --level full"),
            );
        }
        let seed = match self.sample_seed {
            Some(seed) => seed,
            // Short enough to be typed.
            None => u64::from(getrandom::u32().map_err(|e| {
                Error::new(ErrorKind::Internal, "there are no random numbers").caused_by(e)
            })?),
        };
        Sample::new(percent, seed).map(Some)
    }
}

/// Which tables are compared, and how often.
#[derive(clap::Args, Debug)]
pub(super) struct ScopeArgs {
    /// Only this table (of the target or the source); may be given several times
    #[arg(long = "table", value_name = "TABLE")]
    pub(super) tables: Vec<String>,

    /// Look again after so many milliseconds at rows that differ: they may be on their way
    #[arg(long, value_name = "MS", default_value_t = Recheck::default().wait_ms)]
    pub(super) recheck_ms: u64,

    /// Look again so often at most; 0: report what differs at first sight
    #[arg(long, value_name = "N", default_value_t = Recheck::default().tries)]
    pub(super) recheck_tries: u32,

    /// Only rows for which this SQL is true in both databases: --where "id = 7"
    #[arg(long = "where", value_name = "SQL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) filter: Option<String>,

    /// Read so many rows of each side in a second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) rows_per_s_max: Option<u64>,

    /// Let each reader read so much of the time at most: the slower a database is, the longer it is left alone. Snapshots are held longer, too: each until the --part-rows of verify are read
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(super) busy_percent_max: Option<u8>,

    /// Wait so many seconds at most for what a sync is carrying over, each time
    #[arg(long, value_name = "S", default_value_t = PATIENCE.as_secs())]
    pub(super) patience_s: u64,
}

impl ScopeArgs {
    pub(super) fn options(&self, migration: &str) -> VerifyOptions {
        VerifyOptions {
            tables: self.tables.clone(),
            recheck: Recheck {
                wait_ms: self.recheck_ms,
                tries: self.recheck_tries,
            },
            totals: std::io::stderr().is_terminal(),
            filter: self.filter.clone(),
            rows_per_s_max: self.rows_per_s_max,
            busy_percent_max: self.busy_percent_max,
            patience: Duration::from_secs(self.patience_s),
            ..VerifyOptions::new(migration)
        }
    }
}

pub(super) fn run(
    args: &VerifyArgs,
    printer: &mut Printer<'_>,
    progress: &Progress,
    config: Option<&Path>,
) -> Result<u8> {
    args.check_parts()?;
    let config = load(config)?;
    let options = VerifyOptions {
        level: args.level,
        strategy: args.strategy,
        differences_max: args.differences_max,
        checks: !args.no_checks,
        part_rows: args.part_rows,
        sample: args.sample()?,
        resume: args.resume,
        readers: usize::from(args.readers),
        cluster: args.workers.cluster()?,
        ..args.scope.options(&args.migration)
    };
    if args.continuous {
        return watch::run(args, &options, &config, printer);
    }
    let bars = Bars::new(progress);
    let (settings, options) = (&config, &options);
    let report = block_on(|shutdown| async move {
        let show = |compared| bars.show(&compared);
        or_interrupted(Box::pin(verify(settings, options, &show)), &shutdown).await
    })?;
    keep(&config, args, &report)?;
    if printer.is_json() {
        printer.json(&report)?;
    } else {
        printer.line(report.to_string().trim_end())?;
    }
    if !report.decided() {
        printer.hint("the sync lags or stands still; wait longer with --patience-s, or look at it");
    }
    if report.consistent {
        return Ok(u8::from(!report.decided()));
    }
    if report.tables.iter().all(TableReport::consistent) {
        // A check failed, and the report says which.
    } else if report.level == Level::Count {
        printer.hint(format!(
            "which rows: banyan verify {} --level full",
            args.migration
        ));
    } else {
        printer.hint(format!(
            "see what a repair would do: banyan reconcile {} --prefer source --dry-run",
            args.migration
        ));
    }
    Ok(1)
}

/// Adds the report to the history, and writes the page that is asked for.
pub(super) fn keep(config: &Config, args: &VerifyArgs, report: &Report) -> Result<()> {
    let history = remember(config, &args.migration, report);
    if let Some(path) = &args.report {
        let page = report.to_html(&args.migration, history.as_deref().unwrap_or_default());
        write_whole(path, page.as_bytes())?;
    }
    if let Err(e) = history {
        // The comparison is right all the same.
        tracing::warn!("the verification is not in the history: {e}");
    }
    Ok(())
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::new(
            ErrorKind::Io,
            format!("{} cannot be written", path.display()),
        )
        .caused_by(e)
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Ends early when the process is asked to stop.
pub(super) async fn or_interrupted<T>(
    work: impl Future<Output = Result<T>>,
    shutdown: &Shutdown,
) -> Result<T> {
    tokio::select! {
        result = work => result,
        () = shutdown.requested() => Err(Error::new(ErrorKind::Shutdown, "interrupted")),
    }
}

/// One bar for the table that is being compared.
pub(super) struct Bars {
    progress: Progress,
    current: Mutex<Option<(usize, Bar)>>,
}

impl Bars {
    pub(super) fn new(progress: &Progress) -> Self {
        Self {
            progress: progress.clone(),
            current: Mutex::new(None),
        }
    }

    pub(super) fn show(&self, compared: &Compared) {
        let Ok(mut current) = self.current.lock() else {
            return;
        };
        if compared.stage == Stage::Done {
            if let Some((_, bar)) = current.take() {
                bar.finish();
            }
            return;
        }
        if current
            .as_ref()
            .is_none_or(|(index, _)| *index != compared.index)
        {
            let label = format!(
                "{} ({}/{})",
                compared.table,
                compared.index + 1,
                compared.tables
            );
            *current = Some((
                compared.index,
                self.progress.bar(label, compared.rows_total),
            ));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set(compared.rows);
        }
    }
}
