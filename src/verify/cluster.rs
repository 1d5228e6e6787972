//! Several machines: the ranges of a comparison, and the parts of a query, go to workers.
//!
//! A worker is `banyan worker`: the same program with the same configuration, which reads the stores
//! itself. What travels is a plan of DataFusion in which a store is a name: no URL, no password. The
//! engine is datafusion-distributed, which streams; it repeats nothing. So a range is what is repeated:
//! what a range found is kept as it arrives, and when a worker is lost, the ranges that have not come
//! go to those that are left. (Ballista survives a lost executor by itself, but wants a scheduler beside
//! the executors, writes every shuffle to disk, and ships logical plans.)
//!
//! - `job`: what is compared, and one range of it, as it travels.
//! - `plan`: ranges as a leaf of a plan; `scan`: a table's part as one.
//! - `channels`: connections to workers.
//! - `codec`: both as bytes, and back.
//! - `session`: the coordinator's side, who is alive, and what is done once more.
//! - `serve`: the worker's side.

mod channels;
mod codec;
mod job;
mod plan;
mod serve;
pub(super) mod session;

pub use job::{Host, Job, RangeText, compare_range};
pub use serve::{Listening, other_configuration, serve};

use crate::error::Result;

/// The workers of a cluster, as whoever compares or asks knows them.
#[derive(Clone, Debug)]
pub struct Cluster {
    workers: Vec<url::Url>,
    /// What workers ask for.
    token: Option<String>,
    /// The migration, and what its configuration says about tables, digested.
    of: (String, String),
}

impl Cluster {
    /// Workers at these addresses (`HOST:PORT`), and the word that they ask for, if they do.
    ///
    /// # Errors
    /// `Usage` for what is no address.
    pub fn new(workers: &[String], token: Option<String>) -> Result<Self> {
        let workers = workers
            .iter()
            .map(|worker| {
                let url = url::Url::parse(&format!("http://{worker}"));
                url.ok()
                    .filter(|url| url.has_host() && url.path() == "/")
                    .ok_or_else(|| {
                        crate::error::Error::new(
                            crate::error::ErrorKind::Usage,
                            format!("{worker:?} is no address of a worker"),
                        )
                        .hint("write HOST:PORT, as in --workers 10.0.0.5:7070,10.0.0.6:7070")
                    })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            workers,
            token,
            of: (String::new(), String::new()),
        })
    }

    /// For this migration; workers whose configuration says something else about it refuse.
    #[must_use]
    pub fn of(self, migration: &str, compared: String) -> Self {
        Self {
            of: (migration.to_owned(), compared),
            ..self
        }
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }
}
