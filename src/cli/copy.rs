//! `banyan copy`

/// Copy a migration's tables once, without following changes
#[derive(clap::Args, Debug)]
pub(super) struct CopyArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,
}
