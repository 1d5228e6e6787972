//! A snapshot whose place in the outbox is known.
//!
//! Every entry up to the position is in the snapshot. As a rule no other one is: that is tried for a
//! while. When transactions that overlap with the snapshot do not end, entries behind the position
//! may be in it as well; their changes arrive once more, and are found done.

use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::database::mysql::connect::Access;
use crate::database::mysql::error::mysql;
use crate::database::mysql::store::MysqlStore;
use crate::database::server::outbox::{Horizon, OutboxSource};
use crate::error::Result;

use super::Outbox;
use super::source::MysqlOutbox;

/// How long one tries.
const PATIENCE: Duration = Duration::from_secs(3);

/// Begins the snapshot on a connection; answers its place.
pub(in crate::database::mysql) async fn begin(
    store: &MysqlStore,
    conn: &mut Conn,
    outbox: &Outbox,
) -> Result<u64> {
    let what = || mysql("begin a snapshot");
    let aside = store.connect(Access::Read).await?;
    let mut source = MysqlOutbox::new(aside, outbox.clone(), Vec::new());
    let floor: Option<u64> = conn
        .query_first(format!("SELECT position FROM {}", outbox.sql("noted")))
        .await
        .map_err(what())?;
    let mut horizon = Horizon::new(floor.unwrap_or(0));
    let began = Instant::now();
    loop {
        if horizon.asks() {
            horizon.busy(&source.busy().await?);
        }
        conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            .await
            .map_err(what())?;
        let from = horizon.decided();
        let holes: Option<(Option<u64>, Option<u64>)> = conn
            .exec_first(
                format!(
                    "SELECT MAX(IF(seq - n = ?, seq, NULL)), MAX(seq) FROM \
                     (SELECT seq, ROW_NUMBER() OVER (ORDER BY seq) AS n FROM {} WHERE seq > ?) AS e",
                    outbox.sql("outbox")
                ),
                (from, from),
            )
            .await
            .map_err(what())?;
        let (complete, newest) = holes.unwrap_or((None, None));
        let (complete, newest) = (complete.unwrap_or(from), newest.unwrap_or(from));
        horizon.read(complete, newest);
        if complete == newest || began.elapsed() > PATIENCE {
            return Ok(complete);
        }
        conn.query_drop("ROLLBACK").await.map_err(what())?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
