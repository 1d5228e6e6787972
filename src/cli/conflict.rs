//! `banyan conflict list|show|resolve`

use std::path::Path;

use clap::{Subcommand, ValueEnum};
use serde_json::Value as Json;

use crate::app::{list_conflicts, resolve_conflict, show_conflict};
use crate::config::Config;
use crate::database::Resolution;
use crate::error::{Error, ErrorKind, Result};

use super::Printer;
use super::context::{block_on, load};

/// The recorded and the parked conflicts
#[derive(clap::Args, Debug)]
pub(super) struct ConflictArgs {
    #[command(subcommand)]
    pub(super) verb: ConflictVerb,
}

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum ConflictVerb {
    /// List conflicts, oldest first; exit code 1 when one waits
    List(ListArgs),
    /// Show one conflict with both rows, column by column
    Show(ShowArgs),
    /// Decide a conflict that is parked or waits
    Resolve(ResolveArgs),
}

/// Which conflicts to list.
#[derive(clap::Args, Debug)]
pub(super) struct ListArgs {
    /// The migration [default: the only one]
    pub(super) migration: Option<String>,

    /// Only this table's, by its name in the target; may be given several times
    #[arg(long, value_name = "TABLE")]
    pub(super) table: Vec<String>,

    /// Which ones: open, decided or all
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Which::All)]
    pub(super) which: Which,

    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) limit: usize,
}

/// Which conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    /// Those that wait.
    Open,
    /// Those that were decided.
    Decided,
    /// Both.
    All,
}

/// Which conflict to show.
#[derive(clap::Args, Debug)]
pub(super) struct ShowArgs {
    /// The conflict's id, from `banyan conflict list`
    pub(super) id: String,

    /// The migration [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(super) migration: Option<String>,
}

/// How to decide a conflict.
#[derive(clap::Args, Debug)]
pub(super) struct ResolveArgs {
    /// The conflict's id, from `banyan conflict list`
    pub(super) id: String,

    /// Which row lives: source, target, or none (also spelt delete); retry asks the rule again
    #[arg(long, value_enum, hide_possible_values = true)]
    pub(super) take: Take,

    /// What `conflict show` gave as seen: refused if a row changed since then
    #[arg(long, value_name = "SEEN")]
    pub(super) seen: Option<String>,

    /// The migration [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(super) migration: Option<String>,
}

/// Which row lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Take {
    /// The source's.
    Source,
    /// The target's.
    Target,
    /// None: the row is deleted on both sides.
    #[value(alias = "none")]
    Delete,
    /// Whatever the rule says now.
    Retry,
}

pub(super) fn run(
    args: &ConflictArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
) -> Result<u8> {
    let config = load(config)?;
    match &args.verb {
        ConflictVerb::List(args) => list(&config, args, printer),
        ConflictVerb::Show(args) => {
            let name = only(&config, args.migration.as_deref())?;
            let conflict = block_on(|_| async { show_conflict(&config, &name, &args.id).await })?;
            show(&conflict, printer)?;
            Ok(0)
        }
        ConflictVerb::Resolve(args) => {
            let name = only(&config, args.migration.as_deref())?;
            let resolution = match args.take {
                Take::Source => Resolution::Source,
                Take::Target => Resolution::Target,
                Take::Delete => Resolution::Delete,
                Take::Retry => Resolution::Retry,
            };
            let conflict = block_on(|shutdown| async move {
                let seen = args.seen.as_deref();
                resolve_conflict(&config, &name, &args.id, resolution, seen, &shutdown).await
            })?;
            show(&conflict, printer)?;
            Ok(u8::from(waits(&conflict)))
        }
    }
}

/// The migration that is meant when none is named.
pub(super) fn only(config: &Config, named: Option<&str>) -> Result<String> {
    if let Some(name) = named {
        config.migration(name)?;
        return Ok(name.to_owned());
    }
    let mut names = config.migrations.keys();
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name.clone()),
        (None, _) => Err(Error::new(
            ErrorKind::Config,
            "the configuration has no migration",
        )),
        _ => Err(Error::new(
            ErrorKind::Usage,
            "the configuration has several migrations; name one",
        )
        .hint(format!(
            "there are: {}",
            config
                .migrations
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn text<'a>(conflict: &'a Json, field: &str) -> &'a str {
    conflict.get(field).and_then(Json::as_str).unwrap_or("")
}

fn waits(conflict: &Json) -> bool {
    matches!(text(conflict, "outcome"), "open" | "waiting" | "parked")
}

fn list(config: &Config, args: &ListArgs, printer: &mut Printer<'_>) -> Result<u8> {
    let name = only(config, args.migration.as_deref())?;
    let mut conflicts = block_on(|_| async { list_conflicts(config, &name).await })?;
    conflicts.retain(|c| {
        let table = args.table.is_empty() || args.table.iter().any(|t| t == text(c, "table"));
        let which = match args.which {
            Which::All => true,
            Which::Open => waits(c),
            Which::Decided => !waits(c),
        };
        table && which
    });
    let cut = conflicts.len().saturating_sub(args.limit);
    conflicts.drain(..cut);
    let waiting = conflicts.iter().filter(|c| waits(c)).count();
    if printer.is_json() {
        printer.json(&conflicts)?;
    } else {
        for c in &conflicts {
            let key = cells(c.get("key"));
            let who = match text(c, "rule") {
                "" => String::new(),
                rule => format!(" by {rule}"),
            };
            let mut line = format!(
                "{}  {}  {} ({key})  {}: {}{who}",
                text(c, "at"),
                text(c, "id"),
                text(c, "table"),
                text(c, "kind"),
                text(c, "outcome"),
            );
            if let Some(reason) = text(c, "reason").lines().next() {
                line.push_str("; ");
                line.push_str(reason);
            }
            printer.line(line)?;
        }
        if conflicts.is_empty() {
            printer.line("no conflicts")?;
        }
    }
    if cut > 0 {
        printer.hint(format!("{cut} older ones are not shown: --limit N"));
    }
    if waiting > 0 {
        printer.hint(
            "look at one with banyan conflict show ID, decide it with banyan conflict resolve ID \
             --take source|target|delete|retry",
        );
    }
    Ok(u8::from(waiting > 0))
}

fn cells(object: Option<&Json>) -> String {
    object.and_then(Json::as_object).map_or_else(
        || "no row".to_owned(),
        |o| {
            o.iter()
                .map(|(k, v)| format!("{k} = {v}"))
                .collect::<Vec<_>>()
                .join(", ")
        },
    )
}

fn show(conflict: &Json, printer: &mut Printer<'_>) -> Result<()> {
    if printer.is_json() {
        return printer.json(conflict);
    }
    for field in [
        "id", "table", "kind", "outcome", "rule", "reason", "at", "seen",
    ] {
        if !text(conflict, field).is_empty() {
            printer.line(format!("{field:8} {}", text(conflict, field)))?;
        }
    }
    printer.line(format!("key      {}", cells(conflict.get("key"))))?;
    for (field, label) in [
        ("base_row", "before"),
        ("source_row", "source"),
        ("target_row", "target"),
        ("result_row", "result"),
    ] {
        if field == "result_row" && waits(conflict) || conflict.get(field).is_none() {
            continue;
        }
        match conflict.get(field) {
            Some(Json::Object(row)) => {
                printer.line(format!("{label}:"))?;
                let width = row.keys().map(|k| k.chars().count()).max().unwrap_or(0);
                for (column, value) in row {
                    printer.line(format!("  {column:width$} = {value}"))?;
                }
            }
            Some(Json::String(text)) => printer.line(format!("{label}: {text}"))?,
            _ => printer.line(format!("{label}: no row"))?,
        }
    }
    Ok(())
}
