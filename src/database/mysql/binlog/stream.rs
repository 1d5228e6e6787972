//! The log as [`ChangeStream`].

use tokio::task::JoinHandle;

use crate::database::SyncTable;
use crate::database::server::driver::{ChangeStream, LogEvent};
use crate::error::Result;

use super::capture::Log;
use super::follow::Follower;
use super::place::Place;
use super::queue::{Receiver, queue};
use super::watched::Watched;

/// See the module's text. A task reads ahead; dropped, it stops.
#[derive(Debug)]
pub(in crate::database) struct MysqlStream {
    events: Receiver,
    task: JoinHandle<()>,
}

impl MysqlStream {
    /// The log after `after`. Fails with `LogGap` when the log does not hold it, with `Schema` when
    /// a captured column cannot be read from the log.
    pub(in crate::database::mysql) async fn open(
        log: &Log,
        tables: &[SyncTable],
        after: u64,
    ) -> Result<Self> {
        let watched = tables
            .iter()
            .enumerate()
            .map(|(i, table)| Watched::new(i, table, log.server.database()))
            .collect::<Result<Vec<_>>>()?;
        let (file, offset) = log.find(after).await?;
        let start = Log::start(offset);
        let place = Place::new(&file, start)?;
        log.check_types(&watched).await?;
        let facts = log.facts().await?;
        let stream = log.open(&file, start, false).await?;
        let (sender, events) = queue();
        let follower = Follower::new(log.clone(), facts, watched, sender, place, after);
        Ok(Self {
            events,
            task: tokio::spawn(follower.run(stream)),
        })
    }
}

impl ChangeStream for MysqlStream {
    async fn next(&mut self) -> Result<LogEvent> {
        self.events.next().await
    }

    /// The server keeps its log as long as its settings say, whoever has read it.
    async fn confirm(&mut self, _position: u64) -> Result<()> {
        Ok(())
    }
}

impl Drop for MysqlStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}
