//! `banyan worker`

use std::path::Path;

use crate::error::Result;

use super::Printer;
use super::context::load;

/// Compare and query for others: see --workers of verify and query
///
/// A worker has the same configuration and reads the stores itself; what it is sent names them and holds
/// no password. The connection is not encrypted. Where others than this machine can reach it, set
/// BANYAN_WORKER_TOKEN to the same long word here and there.
#[derive(clap::Args, Debug)]
pub(super) struct WorkerArgs {
    /// Where to listen; port 0 is any that is free
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7070")]
    pub(super) listen: String,

    /// Memory for sorts and joins, in MiB; beyond it they spill to disk
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(super) memory_mb: usize,
}

/// Which workers do the work.
#[derive(clap::Args, Debug)]
pub(super) struct WorkersArgs {
    /// Let these workers do it (banyan worker); what a lost one had is done once more
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub(super) workers: Vec<String>,
}

impl WorkersArgs {
    /// Into how many parts tables are cut that they read.
    pub(super) fn parts(&self) -> usize {
        match self.workers.len() {
            0 => 1,
            workers => workers.max(2),
        }
    }

    pub(super) fn cluster(&self) -> Result<Option<crate::verify::Cluster>> {
        if self.workers.is_empty() {
            return Ok(None);
        }
        crate::verify::Cluster::new(&self.workers, token()).map(Some)
    }
}

/// What workers ask for.
fn token() -> Option<String> {
    std::env::var("BANYAN_WORKER_TOKEN")
        .ok()
        .filter(|token| !token.is_empty())
}

pub(super) fn run(
    args: &WorkerArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
) -> Result<u8> {
    use crate::app::{WorkerOptions, work};

    let config = load(config)?;
    let options = WorkerOptions {
        listen: args.listen.clone(),
        token: token(),
        memory_bytes: args.memory_mb.saturating_mul(1024 * 1024),
    };
    let json = printer.is_json();
    let mut told = Ok(());
    super::context::block_on(|shutdown| {
        let ready = |address: std::net::SocketAddr| {
            told = if json {
                printer.json(&serde_json::json!({ "listening": address.to_string() }))
            } else {
                printer.line(format!("listening on {address}"))
            };
        };
        async move { work(&config, options, &shutdown, ready).await }
    })?;
    told.map(|()| 0)
}
