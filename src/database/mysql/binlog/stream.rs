//! The log as [`ChangeStream`].

use mysql_async::BinlogStreamRequest;
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
pub(in crate::database::mysql) struct MysqlStream {
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
        let (conn, server_id) = log.dump_connection().await?;
        // The request has 32 bits for the offset: beyond, the file is read from its beginning, and
        // what is known already is passed over.
        let start = if u32::try_from(offset).is_ok() {
            offset.max(4)
        } else {
            4
        };
        let place = Place::new(&file, start)?;
        let request = BinlogStreamRequest::new(server_id)
            .with_filename(file.as_bytes())
            .with_pos(start);
        let stream = conn
            .get_binlog_stream(request)
            .await
            .map_err(|e| log.stream_error(e))?;
        let (sender, events) = queue();
        let mariadb = log.server.is_mariadb();
        let follower = Follower::new(log.clone(), mariadb, watched, sender, place, after);
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
