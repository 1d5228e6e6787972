//! `banyan sync`

/// Copy what is not copied yet, then follow changes
#[derive(clap::Args, Debug)]
pub(super) struct SyncArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,

    /// End when both sides have nothing left
    #[arg(long)]
    pub(super) until_idle: bool,
}
