//! A snapshot whose place in the outbox is known.
//!
//! Every entry up to the position is in the snapshot. As a rule no other one is: that is tried for a
//! while. When transactions that overlap with the snapshot do not end, entries behind the position
//! may be in it as well; their changes arrive once more, and are found done.

use std::time::{Duration, Instant};

use crate::database::postgres::capture_names::CaptureNames;
use crate::database::postgres::connect::PgConn;
use crate::database::postgres::error::pg;
use crate::database::postgres::read;
use crate::database::postgres::store::PgStore;
use crate::database::server::outbox::{Horizon, OutboxSource};
use crate::error::Result;

use super::source::PgOutbox;

/// How long one tries.
const PATIENCE: Duration = Duration::from_secs(3);

/// Others can use it while this lives: `SET TRANSACTION SNAPSHOT`.
#[derive(Debug)]
pub(in crate::database::postgres) struct OutboxSnapshot {
    /// Its name.
    pub(in crate::database::postgres) name: String,
    /// See the module's text.
    pub(in crate::database::postgres) position: u64,
    _conn: PgConn,
}

impl OutboxSnapshot {
    /// Makes one.
    pub(in crate::database::postgres) async fn make(
        store: &PgStore,
        names: &CaptureNames,
    ) -> Result<Self> {
        let conn = store.endpoint().connect().await?;
        let aside = store.endpoint().connect().await?;
        let mut outbox = PgOutbox::open(aside, names.clone(), Vec::new()).await?;
        let sql = format!("SELECT position FROM {}", names.table("noted"));
        let what = || pg("make a snapshot");
        let row = conn.client().query_one(&sql, &[]).await.map_err(what())?;
        let floor: i64 = row.try_get(0).map_err(what())?;
        let mut horizon = Horizon::new(floor.unsigned_abs());
        let began = Instant::now();
        loop {
            if horizon.asks() {
                horizon.busy(&outbox.busy().await?);
            }
            read::begin(&conn, None).await?;
            let from = horizon.decided();
            let (complete, newest) = holes(&conn, names, from).await?;
            horizon.read(complete, newest);
            if complete == newest || began.elapsed() > PATIENCE {
                let sql = "SELECT pg_export_snapshot()";
                let row = conn.client().query_one(sql, &[]).await.map_err(what())?;
                return Ok(Self {
                    name: row.try_get(0).map_err(what())?,
                    position: complete,
                    _conn: conn,
                });
            }
            conn.client()
                .batch_execute("ROLLBACK")
                .await
                .map_err(what())?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Up to which entry there is no hole behind `from`, and the newest one.
async fn holes(conn: &PgConn, names: &CaptureNames, from: u64) -> Result<(u64, u64)> {
    let what = || pg("read the outbox");
    let sql = format!(
        "SELECT coalesce(max(seq) FILTER (WHERE seq - n = $1), $1), coalesce(max(seq), $1) \
         FROM (SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM {} WHERE seq > $1) AS e",
        names.table("outbox")
    );
    let row = conn
        .client()
        .query_one(&sql, &[&from.cast_signed()])
        .await
        .map_err(what())?;
    let (complete, newest): (i64, i64) = (
        row.try_get(0).map_err(what())?,
        row.try_get(1).map_err(what())?,
    );
    Ok((complete.unsigned_abs(), newest.unsigned_abs()))
}
