//! Capture by triggers, for servers whose log may not be read: no superuser, no extension, no
//! restart. See [`crate::database::server::outbox`].
//!
//! Beside the protocol's tables the migration's schema holds `outbox`, `noted` (up to where it is
//! read, see [`source`]), `layout` (which columns an entry's cells are of), `captured`, and for each
//! captured table a trigger function. Dropping the schema drops the triggers with it.
//!
//! The functions run with their owner's rights and with settings of their own, so that texts are
//! those that [`super::text`] reads whatever the application has set. What they cannot write down (a
//! column is gone) they say so in the outbox: the application's own statement goes through.
//!
//! Our own writes are known by a setting of the session, `banyan.apply`. The triggers fire in
//! sessions of replicas as well, where we own the tables: what other tools replicate into this
//! database is the application's to us. Their names sort before others, so that they write a change
//! down before another trigger changes the row once more.
//!
//! Who is busy (see [`crate::database::server::outbox::OutboxSource::busy`]) is whoever holds a lock
//! of the outbox: an insert takes it before it takes a number, and it is held until the end of the
//! transaction. A transaction that is no longer in the list has become visible before it left it.
//! (The list of running transactions would not do: a snapshot's `xmax` is one more than the newest
//! transaction that is over, and not than the newest one; and it holds those of all databases.)

mod install;
mod preflight;
mod snapshot;
mod source;
mod trigger;

use std::time::Duration;

use tokio_postgres::Client;

use crate::error::Result;

use super::capture_names::CaptureNames;
use super::connect::PgConn;
use super::error::pg;
use super::failure;

pub(super) use install::{install, install_tables};
pub(super) use preflight::problems;
pub(super) use snapshot::OutboxSnapshot;
pub(super) use source::PgOutbox;

/// What the reader's entries begin with when they are no row's.
const OP_SCHEMA: i16 = 4;
/// The entry that every outbox begins with.
const OP_BEGIN: i16 = 0;

/// The newest entry that is committed.
pub(super) fn end_sql(names: &CaptureNames) -> String {
    format!(
        "SELECT coalesce(max(seq), 0) FROM {}",
        names.table("outbox")
    )
}

/// The setting of a session that writes for this migration.
pub(super) fn mark_sql(names: &CaptureNames) -> String {
    format!(
        "SET banyan.apply = {}",
        super::capture_names::literal(&names.schema)
    )
}

/// The same as a number.
pub(super) async fn end(client: &Client, names: &CaptureNames) -> Result<u64> {
    let row = client
        .query_one(&end_sql(names), &[])
        .await
        .map_err(pg("read the outbox's end"))?;
    let end: i64 = row.try_get(0).map_err(pg("read the outbox's end"))?;
    Ok(end.unsigned_abs())
}

/// Whether the migration's changes are captured here by triggers, by the log, or not yet.
pub(super) async fn installed(client: &Client, names: &CaptureNames) -> Result<Option<bool>> {
    let row = client
        .query_one(
            "SELECT to_regclass($1) IS NOT NULL, to_regclass($2) IS NOT NULL",
            &[&names.table("outbox"), &names.table("log")],
        )
        .await
        .map_err(|cause| failure::sql("Banyan's own tables cannot be looked for", cause))?;
    Ok(match (row.get(0), row.get(1)) {
        (true, _) => Some(true),
        (false, true) => {
            // Its table comes before the outbox: interrupted in between, nothing is decided yet.
            let sql = format!("SELECT EXISTS (SELECT FROM {})", names.table("log"));
            let begun = client.query_one(&sql, &[]).await;
            let begun = begun.map_err(pg("look whether the log has begun"))?;
            begun.get::<_, bool>(0).then_some(false)
        }
        (false, false) => None,
    })
}

/// Fails with `LogGap` unless everything behind the position is in the outbox.
pub(super) async fn check(client: &Client, names: &CaptureNames, position: u64) -> Result<()> {
    let sql = format!(
        "SELECT coalesce((SELECT position FROM {}), 0), \
                EXISTS (SELECT FROM {} WHERE seq = $1)",
        names.table("noted"),
        names.table("outbox")
    );
    let row = client
        .query_one(&sql, &[&position.cast_signed()])
        .await
        .map_err(|cause| failure::sql("the outbox cannot be looked at", cause))?;
    let noted: i64 = row.get(0);
    crate::database::server::outbox::check(position, noted.unsigned_abs(), row.get(1))
}

/// How long a new beginning waits for the transactions that are writing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Begins the outbox anew, behind all entries. Answers where: every transaction that commits after
/// this call is behind it.
pub(super) async fn renew(conn: PgConn, names: &CaptureNames) -> Result<u64> {
    let sql = format!(
        "WITH entry AS (INSERT INTO {} (tx, layout, op, us) VALUES (0, 0, {OP_BEGIN}, 0) \
           RETURNING seq) \
         UPDATE {} SET position = seq FROM entry RETURNING position",
        names.table("outbox"),
        names.table("noted")
    );
    let row = conn.client().query_one(&sql, &[]).await;
    let row = row.map_err(pg("begin the outbox anew"))?;
    let begin: i64 = row.try_get(0).map_err(pg("begin the outbox anew"))?;
    let mut source = PgOutbox::open(conn, names.clone(), Vec::new()).await?;
    crate::database::server::outbox::settle(&mut source, PATIENCE).await?;
    Ok(begin.unsigned_abs())
}

/// Lets everything that is committed be on disk.
pub(super) async fn harden(client: &Client, names: &CaptureNames) -> Result<()> {
    let sql = format!(
        "BEGIN; SET LOCAL synchronous_commit = local; UPDATE {} SET position = position; COMMIT",
        names.table("noted")
    );
    client
        .batch_execute(&sql)
        .await
        .map_err(pg("let the outbox be on disk"))
}
