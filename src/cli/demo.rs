//! `banyan demo`

use std::path::PathBuf;

/// Run a whole migration on generated data, and prove both sides equal
#[derive(clap::Args, Debug)]
pub(super) struct DemoArgs {
    /// The folder to make; it must not exist
    #[arg(long, value_name = "DIR", default_value = "demo")]
    pub(super) folder: PathBuf,

    /// Rows to generate, over all tables
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub(super) rows: u64,

    /// Changes a second that the applications make on both sides together
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(super) changes_per_s: u64,

    /// What the generated data and changes follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
}
