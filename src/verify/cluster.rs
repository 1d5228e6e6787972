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
//!
//! Built with the feature `cluster` alone: it is a third more to compile, and most migrations fit one
//! machine.

#[cfg(feature = "cluster")]
mod channels;
#[cfg(feature = "cluster")]
mod codec;
#[cfg(feature = "cluster")]
mod job;
#[cfg(feature = "cluster")]
mod plan;
#[cfg(feature = "cluster")]
mod serve;
#[cfg(feature = "cluster")]
pub(super) mod session;

#[cfg(feature = "cluster")]
pub use job::{Host, Job, RangeText, compare_range};
#[cfg(feature = "cluster")]
pub use serve::{Listening, other_configuration, serve};

#[cfg(not(feature = "cluster"))]
use std::sync::Arc;

#[cfg(not(feature = "cluster"))]
use datafusion::arrow::record_batch::RecordBatch;
#[cfg(not(feature = "cluster"))]
use datafusion::error::DataFusionError;
#[cfg(not(feature = "cluster"))]
use datafusion::execution::runtime_env::RuntimeEnv;
#[cfg(not(feature = "cluster"))]
use datafusion::logical_expr::Explain;
#[cfg(not(feature = "cluster"))]
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::error::Result;

/// The workers of a cluster, as whoever compares or asks knows them.
#[derive(Clone, Debug)]
pub struct Cluster {
    #[cfg(feature = "cluster")]
    workers: Vec<url::Url>,
    /// What workers ask for.
    #[cfg(feature = "cluster")]
    token: Option<String>,
    /// The migration, and what its configuration says about tables, digested.
    #[cfg(feature = "cluster")]
    of: (String, String),
}

#[cfg(not(feature = "cluster"))]
impl Cluster {
    /// Workers at these addresses (`HOST:PORT`).
    ///
    /// # Errors
    /// `Usage`: this program was built without them.
    pub fn new(_workers: &[String], _token: Option<String>) -> Result<Self> {
        Err(crate::error::Error::new(
            crate::error::ErrorKind::Usage,
            "this program was built without workers",
        )
        .hint("cargo build --release --features cluster"))
    }

    /// For this migration.
    #[must_use]
    pub fn of(self, _migration: &str, _compared: String) -> Self {
        self
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        0
    }

    pub(super) fn may_be_lost(&self, _error: &DataFusionError) -> bool {
        false
    }

    pub(super) async fn explain(
        &self,
        context: &SessionContext,
        explain: &Explain,
    ) -> Result<RecordBatch, DataFusionError> {
        let plan = context.state().create_physical_plan(&explain.plan).await?;
        Ok(RecordBatch::new_empty(plan.schema()))
    }

    pub(super) async fn context(
        &self,
        config: SessionConfig,
        _runtime: Option<Arc<RuntimeEnv>>,
    ) -> Result<SessionContext> {
        std::future::ready(Ok(SessionContext::new_with_config(config))).await
    }

    pub(super) async fn compare(
        &self,
        _pair: &super::table::Pair<'_>,
        _level: super::Level,
        _ranges: &[super::lanes::Numbered],
        _done: &mut super::lanes::Done<'_>,
    ) -> Result<(), super::reader::Failure> {
        std::future::ready(Ok(())).await
    }
}

#[cfg(feature = "cluster")]
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
