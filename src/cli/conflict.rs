//! `banyan conflict list|show|resolve`

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand, ValueEnum};

/// The recorded and the parked conflicts
#[derive(clap::Args, Debug)]
pub(super) struct ConflictArgs {
    #[command(subcommand)]
    pub(super) verb: ConflictVerb,
}

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum ConflictVerb {
    /// List conflicts, newest first; exit code 1 when one waits for a person
    List(ListArgs),
    /// Show one conflict with both rows, column by column
    Show(ShowArgs),
    /// Decide a parked conflict
    Resolve(ResolveArgs),
}

/// Which conflicts to list.
#[derive(clap::Args, Debug)]
pub(super) struct ListArgs {
    /// Only this migration's
    #[arg(long, value_name = "NAME")]
    pub(super) migration: Option<String>,

    /// Only this table's, by its name in the target; may be given several times
    #[arg(long, value_name = "TABLE")]
    pub(super) table: Vec<String>,

    /// Which ones: open, decided or all
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Which::All)]
    pub(super) which: Which,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(super) limit: u64,
}

/// Which conflicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    /// Those that wait for a person.
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
}

/// How to decide a parked conflict.
#[derive(clap::Args, Debug)]
#[command(group = ArgGroup::new("decision").required(true))]
pub(super) struct ResolveArgs {
    /// The conflict's id, from `banyan conflict list`
    pub(super) id: String,

    /// Which row lives: source, target, or none (delete)
    #[arg(long, value_enum, hide_possible_values = true, group = "decision")]
    pub(super) take: Option<Take>,

    /// The row that lives, as a JSON object of the target's columns; - reads it from stdin
    #[arg(long, value_name = "FILE", group = "decision")]
    pub(super) row: Option<PathBuf>,
}

/// Which row lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Take {
    /// The source's.
    Source,
    /// The target's.
    Target,
    /// None: the row is deleted on both sides.
    Delete,
}
