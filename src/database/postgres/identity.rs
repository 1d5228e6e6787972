//! Replica identities: that the log holds a row as it was before its change.
//!
//! They are the tables' own, so what they were is remembered and put back in the end.

use tokio_postgres::Client;

use crate::error::{Error, ErrorKind, Result};

use super::capture_names::{CaptureNames, literal, quoted};
use super::failure;

/// Changing a table waits so long for those who use it, and keeps others waiting behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '3s'";

/// Banyan's table of what identities were.
fn own(names: &CaptureNames) -> String {
    names.table("replica_identity")
}

/// Lets the log hold whole rows for a table, and for all partitions of a partitioned one.
pub(super) async fn ensure(client: &Client, names: &CaptureNames, table: u32) -> Result<()> {
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {} (relid oid PRIMARY KEY, was text NOT NULL, index oid)",
        own(names)
    );
    let failed = |cause| failure::sql("the tables' replica identities cannot be set", cause);
    client.batch_execute(&create).await.map_err(failed)?;
    let sql = "SELECT c.oid, n.nspname::text, c.relname::text, c.relreplident::text, i.indexrelid \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisreplident \
               WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass))";
    for row in client.query(sql, &[&table]).await.map_err(failed)? {
        let (id, was): (u32, &str) = (row.get(0), row.get(3));
        let relation = format!("{}.{}", quoted(row.get(1)), quoted(row.get(2)));
        let index: Option<u32> = row.get(4);
        let index = index.map_or("NULL".to_owned(), |index| index.to_string());
        let mut sql = format!(
            "BEGIN; {LOCK_TIMEOUT}; INSERT INTO {} VALUES ({id}, {}, {index}) \
             ON CONFLICT DO NOTHING; ",
            own(names),
            literal(was)
        );
        if was != "f" {
            sql.push_str(&format!("ALTER TABLE {relation} REPLICA IDENTITY FULL; "));
        }
        sql.push_str("COMMIT");
        let what = format!("the replica identity of {relation} cannot be set");
        let error = |cause| failure::sql(&what, cause);
        if let Err(cause) = client.batch_execute(&sql).await {
            client.batch_execute("ROLLBACK").await.map_err(failed)?;
            return Err(hinted(error(cause), &full(&relation)));
        }
    }
    Ok(())
}

/// The statement that sets it.
pub(super) fn full(relation: &str) -> String {
    format!("ALTER TABLE {relation} REPLICA IDENTITY FULL")
}

fn hinted(error: Error, statement: &str) -> Error {
    match error.kind() {
        ErrorKind::Busy => error.hint("a transaction holds the table; try again when it is done"),
        _ => error.hint(format!("the table's owner must run: {statement}")),
    }
}

/// Puts back what was, for the tables that are still there.
pub(super) async fn remove(client: &Client, names: &CaptureNames) -> Result<()> {
    let failed = |cause| failure::sql("the tables' replica identities cannot be put back", cause);
    let sql = "SELECT to_regclass($1) IS NOT NULL";
    let row = client
        .query_one(sql, &[&own(names)])
        .await
        .map_err(failed)?;
    if !row.get::<_, bool>(0) {
        return Ok(());
    }
    let sql = format!(
        "SELECT r.relid, r.was, n.nspname::text, c.relname::text, i.relname::text, \
           c.relreplident = 'f' \
         FROM {} r LEFT JOIN pg_class c ON c.oid = r.relid \
         LEFT JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_class i ON i.oid = r.index ORDER BY r.relid",
        own(names)
    );
    for row in client.query(&sql, &[]).await.map_err(failed)? {
        let (id, was): (u32, &str) = (row.get(0), row.get(1));
        let forget = format!("DELETE FROM {} WHERE relid = {id}", own(names));
        let place: (Option<&str>, Option<&str>) = (row.get(2), row.get(3));
        let is_ours = row.get::<_, Option<bool>>(5) == Some(true);
        let (Some(schema), Some(table)) = place else {
            client.batch_execute(&forget).await.map_err(failed)?;
            continue;
        };
        let index: Option<&str> = row.get(4);
        let put_back = match (was, index) {
            ("n", _) => "NOTHING".to_owned(),
            ("i", Some(index)) => format!("USING INDEX {}", quoted(index)),
            _ => "DEFAULT".to_owned(),
        };
        let keep = was == "f" || !is_ours || hand_over(client, names, id, was).await?;
        let relation = format!("{}.{}", quoted(schema), quoted(table));
        let statement = format!("ALTER TABLE {relation} REPLICA IDENTITY {put_back}");
        let sql = if keep {
            forget
        } else {
            format!("BEGIN; {LOCK_TIMEOUT}; {statement}; {forget}; COMMIT")
        };
        let what = format!("the replica identity of {relation} cannot be put back");
        let error = |cause| failure::sql(&what, cause);
        if let Err(cause) = client.batch_execute(&sql).await {
            client.batch_execute("ROLLBACK").await.map_err(failed)?;
            return Err(hinted(error(cause), &statement));
        }
    }
    Ok(())
}

/// When another migration follows the table too, it puts back what was, in its own end.
async fn hand_over(client: &Client, names: &CaptureNames, id: u32, was: &str) -> Result<bool> {
    let failed = |cause| failure::sql("other migrations cannot be looked for", cause);
    let sql = "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relname = 'replica_identity' AND c.relkind = 'r' \
                 AND n.nspname LIKE '\\_banyan\\_%' AND n.nspname <> $1";
    for row in client.query(sql, &[&names.schema]).await.map_err(failed)? {
        let schema: &str = row.get(0);
        let sql = format!(
            "UPDATE {}.replica_identity o SET was = $2, index = (SELECT index FROM {} WHERE relid = $1) \
             WHERE relid = $1",
            quoted(schema),
            own(names)
        );
        if client.execute(&sql, &[&id, &was]).await.map_err(failed)? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
