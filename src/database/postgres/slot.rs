//! Replication slots: the one that keeps the log for us, and the short-lived one whose creation
//! gives a snapshot that is aligned with the log.

use std::time::Duration;

use tokio_postgres::Client;

use crate::config::ServerUrl;
use crate::error::{Error, ErrorKind, Result};

use super::capture_names::CaptureNames;
use super::catalogue::{SlotState, TIMELINE, slot_sql};
use super::failure::{self, TABLES_ANEW};
use super::opening::check_slot;
use super::replication::{Replication, parse_lsn};

/// How long the creation of a slot waits for transactions that are running.
const PATIENCE_S: u64 = 60;

/// A snapshot that others can use while this lives: `SET TRANSACTION SNAPSHOT`.
#[derive(Debug)]
pub(super) struct ExportedSnapshot {
    /// Its name.
    pub(super) name: String,
    /// Transactions whose commit ends at or before this position are in it, no others.
    pub(super) position: u64,
    connection: Option<Replication>,
}

impl Drop for ExportedSnapshot {
    fn drop(&mut self) {
        // Ending a connection blocks for a moment.
        if let Some(connection) = self.connection.take() {
            drop(std::thread::Builder::new().spawn(move || drop(connection)));
        }
    }
}

/// Makes a snapshot, at the price of one replication slot and one connection while it lives. Waits
/// for the transactions that are writing; fails with `Busy` when they take too long.
pub(super) async fn export_snapshot(
    url: &ServerUrl,
    names: &CaptureNames,
) -> Result<ExportedSnapshot> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|cause| {
        Error::new(ErrorKind::Internal, "the system gives no random numbers")
            .hint(cause.to_string())
    })?;
    let number = u32::from_ne_bytes(random);
    let stem: String = names.slot.chars().take(54).collect();
    let slot = format!("{stem}_{number:08x}");
    let url = url.clone();
    let made = tokio::task::spawn_blocking(move || export(&url, &slot)).await;
    made.map_err(|cause| {
        Error::new(ErrorKind::Internal, "making a snapshot was interrupted").caused_by(cause)
    })?
}

fn export(url: &ServerUrl, slot: &str) -> Result<ExportedSnapshot> {
    let mut connection = Replication::connect(url)?;
    connection.run(&format!("SET lock_timeout = '{PATIENCE_S}s'"))?;
    let create =
        format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT");
    let rows = connection.run(&create).map_err(waiting)?;
    let cell = |column: usize| {
        let cell = rows.first().and_then(|row| row.get(column)?.as_deref());
        cell.ok_or_else(|| Error::new(ErrorKind::Internal, "the server exported no snapshot"))
    };
    let (position, name) = (parse_lsn(cell(1)?)?, cell(2)?.to_owned());
    Ok(ExportedSnapshot {
        name,
        position,
        connection: Some(connection),
    })
}

fn waiting(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Busy => error.hint(
            "transactions have been writing for a long time: see pg_stat_activity, where \
             backend_xid is not null, and end them",
        ),
        _ => error,
    }
}

/// Creates the slot that keeps the log, unless it is there. Answers the position at which the log
/// begins: every transaction that commits behind it is delivered.
pub(super) async fn ensure(client: &Client, names: &CaptureNames) -> Result<u64> {
    let own = names.table("slot");
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {own} (name text PRIMARY KEY, system text NOT NULL, \
         timeline text NOT NULL, begin_lsn text NOT NULL, \
         at timestamptz NOT NULL DEFAULT now())"
    );
    let failed = |cause| failure::sql("the replication slot cannot be created", cause);
    client.batch_execute(&create).await.map_err(failed)?;
    let begin = format!("SELECT begin_lsn FROM {own} WHERE name = $1");
    let row = client.query_opt(&begin, &[&names.slot]).await;
    if let Some(row) = row.map_err(failed)? {
        let position = parse_lsn(row.get(0))?;
        let state = state(client, names).await?;
        // What has been confirmed since is no gap here: only the slot itself must be there.
        let confirmed = state.as_ref().map_or(0, |state| state.confirmed);
        check_slot(&names.slot, state.as_ref(), position.max(confirmed))?;
        return Ok(position);
    }
    // A slot that nobody remembers was left by an installation that did not come to its end.
    remove(client, names).await?;
    let make = format!(
        "BEGIN; SET LOCAL lock_timeout = '{PATIENCE_S}s'; \
         SELECT lsn::text FROM pg_create_logical_replication_slot('{}', 'pgoutput'); COMMIT",
        names.slot
    );
    let made = match client.simple_query(&make).await {
        Ok(made) => made,
        Err(cause) => {
            client.batch_execute("ROLLBACK").await.map_err(failed)?;
            return Err(hinted(waiting(failed(cause))));
        }
    };
    let position = made
        .iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .ok_or_else(|| Error::new(ErrorKind::Internal, "the server names no position"))?
        .to_owned();
    let keep = format!(
        "INSERT INTO {own} (name, system, timeline, begin_lsn) \
         SELECT $1, system_identifier::text, {TIMELINE}, $2 FROM pg_control_system()"
    );
    client
        .execute(&keep, &[&names.slot, &position])
        .await
        .map_err(failed)?;
    parse_lsn(&position)
}

/// Removes the slot and forgets it, so that [`ensure`] begins a new log.
pub(super) async fn forget(client: &Client, names: &CaptureNames) -> Result<()> {
    remove(client, names).await?;
    let sql = format!("DROP TABLE IF EXISTS {}", names.table("slot"));
    client
        .batch_execute(&sql)
        .await
        .map_err(|cause| failure::sql("the old replication slot cannot be forgotten", cause))
}

fn hinted(error: Error) -> Error {
    if error.message().contains("all replication slots are in use") {
        return error.hint("raise max_replication_slots and restart the server, or drop a slot");
    }
    if error.message().contains("wal_level") {
        return error.hint(
            "a superuser must run: ALTER SYSTEM SET wal_level = logical; then restart the server; \
             or use capture = \"trigger\"",
        );
    }
    error
}

/// Drops the slot if it is there, ending our own reader when there is one.
pub(super) async fn remove(client: &Client, names: &CaptureNames) -> Result<()> {
    let failed = |cause| {
        let what = format!("the replication slot {} cannot be dropped", names.slot);
        failure::sql(&what, cause)
    };
    for _ in 0..100 {
        let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
        let found = client.query_opt(sql, &[&names.slot]).await;
        let Some(row) = found.map_err(failed)? else {
            return Ok(());
        };
        if let Some(pid) = row.get::<_, Option<i32>>(0) {
            let end = "SELECT pg_terminate_backend($1)";
            client.execute(end, &[&pid]).await.map_err(failed)?;
        } else {
            let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                        WHERE slot_name = $1 AND active_pid IS NULL";
            match client.execute(drop, &[&names.slot]).await.map_err(failed) {
                // Somebody took it between the two questions.
                Err(error) if error.kind() == ErrorKind::Busy => {}
                Err(error) => return Err(error),
                Ok(_) => continue,
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Error::new(
        ErrorKind::Busy,
        format!("the replication slot {} is still being read", names.slot),
    )
    .hint("stop the Banyan that reads it, then try again"))
}

/// The slot as it is, and the log that it belongs to; `None` when there is no slot.
pub(super) async fn state(client: &Client, names: &CaptureNames) -> Result<Option<SlotState>> {
    let failed = |cause| failure::sql("the replication slot cannot be looked at", cause);
    let row = client.query_opt(&slot_sql(names), &[]).await;
    let Some(row) = row.map_err(failed)? else {
        return Ok(None);
    };
    Ok(Some(SlotState {
        confirmed: parse_lsn(row.get(0))?,
        lost: row.get(1),
        same_log: row.get(2),
        end: parse_lsn(row.get(3))?,
    }))
}

/// Fails with `LogGap` when the log does not hold everything after `position` any more.
pub(super) async fn check_log(client: &Client, names: &CaptureNames, position: u64) -> Result<()> {
    let sql = "SELECT to_regclass($1) IS NOT NULL";
    let failed = |cause| failure::sql("the replication slot cannot be looked at", cause);
    let table = names.table("slot");
    let row = client.query_one(sql, &[&table]).await.map_err(failed)?;
    if !row.get::<_, bool>(0) {
        return Err(Error::new(
            ErrorKind::LogGap,
            format!("{table} is gone: what the log was is not known"),
        )
        .hint(TABLES_ANEW));
    }
    check_slot(&names.slot, state(client, names).await?.as_ref(), position)
}

/// How much of the log the server keeps for us; `None` when there is no slot.
pub(super) async fn retained_bytes(client: &Client, names: &CaptureNames) -> Result<Option<u64>> {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint \
               FROM pg_replication_slots WHERE slot_name = $1";
    let row = client
        .query_opt(sql, &[&names.slot])
        .await
        .map_err(|cause| failure::sql("the replication slot cannot be looked at", cause))?;
    Ok(row
        .and_then(|row| row.get::<_, Option<i64>>(0))
        .map(|bytes| u64::try_from(bytes).unwrap_or(0)))
}

/// Where the log ends now, written to disk or not: every transaction that anybody can see is at or
/// before it. The stream gets there when the log is on disk up to there, which at the latest the
/// next commit sees to, or [`flush_log`].
///
/// A position that is not on disk must not outlive a crash of the server: before it is written
/// down somewhere else, something must have been committed here after it was read.
pub(super) async fn current_end(client: &Client) -> Result<u64> {
    let sql = "SELECT pg_current_wal_insert_lsn()::text, current_setting('wal_block_size')::bigint, \
               pg_size_bytes(current_setting('wal_segment_size'))";
    let row = client
        .query_one(sql, &[])
        .await
        .map_err(|cause| failure::sql("the log's end cannot be read", cause))?;
    let position = parse_lsn(row.get(0))?;
    Ok(record_end(position, row.get(1), row.get(2)))
}

/// Where the last record ends, if the next one begins here: at a page's beginning its header lies
/// between the two.
fn record_end(next: u64, block: i64, segment: i64) -> u64 {
    const LONG_HEADER: u64 = 40;
    const SHORT_HEADER: u64 = 24;
    let into = |size: i64| {
        u64::try_from(size)
            .ok()
            .and_then(|size| next.checked_rem(size))
    };
    if into(segment) == Some(LONG_HEADER) {
        next - LONG_HEADER
    } else if into(block) == Some(SHORT_HEADER) {
        next - SHORT_HEADER
    } else {
        next
    }
}

/// Writes the log to disk up to its end, by the commit of a transaction that says nothing. Answers
/// a position that is on disk and that the stream gets to even when nothing else happens. Not
/// inside of a transaction.
pub(super) async fn flush_log(client: &Client) -> Result<u64> {
    let failed = |cause| failure::sql("the log cannot be written to its end", cause);
    let sql = "BEGIN; SET LOCAL synchronous_commit = local; \
               SELECT pg_logical_emit_message(true, '_banyan', ''); COMMIT";
    if let Err(cause) = client.batch_execute(sql).await {
        client.batch_execute("ROLLBACK").await.map_err(failed)?;
        return Err(failed(cause));
    }
    let sql = "SELECT pg_current_wal_flush_lsn()::text";
    let row = client.query_one(sql, &[]).await.map_err(failed)?;
    parse_lsn(row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_header_is_no_part_of_the_last_record() {
        let (block, segment) = (8192, 16 << 20);
        assert_eq!(record_end(0x100_0028, block, segment), 0x100_0000);
        assert_eq!(record_end(0x100_2018, block, segment), 0x100_2000);
        assert_eq!(record_end(0x100_2028, block, segment), 0x100_2028);
        assert_eq!(record_end(0x100_2000, block, segment), 0x100_2000);
        assert_eq!(record_end(0x100_2050, block, segment), 0x100_2050);
    }
}
