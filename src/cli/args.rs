//! The tree of commands and the arguments that all of them take.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::{
    audit, check, conflict, demo, init, migration, plugin, query, reconcile, script, serve, sync,
    verify, worker,
};

/// Moves live tables out of a monolith's database into the databases of new services.
#[derive(Debug, Parser)]
#[command(
    name = "banyan",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 a check found a difference, a conflict waits, or a gate \
                  refused; 2 wrong usage or configuration; 3 a store, plugin or network failed."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Args, Debug)]
pub(super) struct Global {
    /// The configuration [default: banyan.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// The form of the output: text or json
    #[arg(long, global = true, value_enum, hide_possible_values = true, default_value_t = Format::Text)]
    pub(super) format: Format,

    /// Log more; again for still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,

    /// Log less and show no progress
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) quiet: u8,
}

impl Global {
    /// How much is logged: the number of `-v` less the number of `-q`.
    pub(super) fn verbosity(&self) -> i16 {
        i16::from(self.verbose) - i16::from(self.quiet)
    }
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(init::InitArgs),
    Check(check::CheckArgs),
    Demo(demo::DemoArgs),
    Copy(sync::CopyArgs),
    Sync(sync::SyncArgs),
    Verify(verify::VerifyArgs),
    Reconcile(reconcile::ReconcileArgs),
    Audit(audit::AuditArgs),
    Query(query::QueryArgs),
    Worker(worker::WorkerArgs),
    Conflict(conflict::ConflictArgs),
    Migration(migration::MigrationArgs),
    Serve(serve::ServeArgs),
    Script(script::ScriptArgs),
    Plugin(plugin::PluginArgs),
}

/// Whether a command line that could not be read asks for JSON.
pub(super) fn wants_json(arguments: &[OsString]) -> bool {
    let words: Vec<_> = arguments.iter().filter_map(|word| word.to_str()).collect();
    words.contains(&"--format=json") || words.windows(2).any(|pair| pair == ["--format", "json"])
}
