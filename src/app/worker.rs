//! A worker: what it has of its own when others send it parts of comparisons and queries.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::database::{AnyStore, ReadStore};
use crate::error::Result;
use crate::runtime::Shutdown;
use crate::verify::{
    Host, Job, Listening, RangeText, VerifyRequest, compare_range, other_configuration, serve,
};

use super::Opened;
use super::open::{open, store};
use super::verify::{mapping_digest, tolerances};

/// Where a worker listens, and for whom.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// `HOST:PORT`; port 0 is any that is free.
    pub listen: String,
    /// What whoever sends something must know.
    pub token: Option<String>,
    /// Memory for queries, in bytes.
    pub memory_bytes: usize,
}

/// Works until it is asked to stop. `ready` is told the address.
///
/// # Errors
/// Those of the network.
pub async fn work(
    config: &Config,
    options: WorkerOptions,
    shutdown: &Shutdown,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<()> {
    let listening = Listening::open(&options.listen, options.token.is_some()).await?;
    ready(listening.address);
    let host = Arc::new(Own {
        config: config.clone(),
        opened: Mutex::default(),
    });
    let stop = shutdown.requested();
    serve(listening, host, options.token, options.memory_bytes, stop).await
}

/// This process's configuration, and what is open of it.
struct Own {
    config: Config,
    opened: Mutex<HashMap<String, Arc<Migration>>>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").finish_non_exhaustive()
    }
}

struct Migration {
    source: AnyStore,
    target: AnyStore,
    opened: Opened,
    digest: String,
}

impl Own {
    /// The migration as the job knows it; opened anew when it looks otherwise.
    async fn migration(&self, job: &Job) -> Result<Arc<Migration>> {
        let mut known = self.opened.lock().await;
        if let Some(found) = known.get(&job.migration)
            && found.digest == job.compared
        {
            return Ok(Arc::clone(found));
        }
        let migration = self.config.migration(&job.migration)?;
        let source = store(&self.config, &migration.source)?;
        let target = store(&self.config, &migration.target)?;
        let (opened, _) = Box::pin(open(&self.config, &job.migration)).await?;
        let places = [source.identity(), target.identity()];
        let digest = mapping_digest(places, migration, &opened.plan.mappings);
        if digest != job.compared {
            return Err(other_configuration(&format!("migration {}", job.migration)));
        }
        let found = Arc::new(Migration {
            source,
            target,
            opened,
            digest,
        });
        known.insert(job.migration.clone(), Arc::clone(&found));
        Ok(found)
    }
}

impl Host for Own {
    fn store(&self, name: &str) -> Result<Arc<dyn ReadStore>> {
        Ok(Arc::new(store(&self.config, name)?))
    }

    fn compare<'a>(&'a self, job: &'a Job, range: &'a RangeText) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let migration = self.migration(job).await?;
            let mappings = &migration.opened.plan.mappings;
            let mut request = VerifyRequest::new(&migration.source, &migration.target, mappings);
            request.level = job.level.parse()?;
            request.tables = Some(vec![job.table.clone()]);
            request.filter.clone_from(&job.filter);
            request.rows_per_s_max = job.rows_per_s_max;
            request.busy_percent_max = job.busy_percent_max;
            let config = self.config.migration(&job.migration)?;
            request.tolerances = tolerances(config, mappings)?;
            let begun = std::time::Instant::now();
            let answer = compare_range(&request, range).await;
            tracing::debug!(
                table = job.table,
                range = range.n,
                ms = begun.elapsed().as_millis(),
                "a range is compared"
            );
            answer
        })
    }
}
