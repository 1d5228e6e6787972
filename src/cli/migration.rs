//! `banyan migration start|status|pause|resume|complete|abort|list`

use clap::Subcommand;

/// The life of a migration
#[derive(clap::Args, Debug)]
pub(super) struct MigrationArgs {
    #[command(subcommand)]
    pub(super) verb: MigrationVerb,
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(super) enum MigrationVerb {
    /// Begin it, or go on after a failure
    Start(NameArgs),
    /// Show how far it is and what can be done next
    Status(NameArgs),
    /// Hold it where it is; nothing is lost
    Pause(PauseArgs),
    /// Go on after a pause
    Resume(NameArgs),
    /// End it: the target owns the tables; everything that Banyan added is removed
    Complete(NameArgs),
    /// Give it up: everything that Banyan added is removed, copied rows stay
    Abort(NameArgs),
    /// List all migrations of the configuration with their phases
    List,
}

/// Which migration.
#[derive(clap::Args, Debug)]
pub(super) struct NameArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,
}

/// Which migration, and why.
#[derive(clap::Args, Debug)]
pub(super) struct PauseArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,

    /// Why, for whoever looks at its status
    #[arg(long, value_name = "TEXT", default_value = "paused by hand")]
    pub(super) reason: String,
}
