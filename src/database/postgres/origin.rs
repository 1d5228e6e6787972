//! Replication origins: the mark on what Banyan writes.

use std::time::Duration;

use tokio_postgres::Client;

use crate::error::{Error, ErrorKind, Result};

use super::capture_names::{CaptureNames, quoted};
use super::failure;

/// The functions that a role must be allowed to call.
const FUNCTIONS: [&str; 5] = [
    "pg_replication_origin_create",
    "pg_replication_origin_oid",
    "pg_replication_origin_drop",
    "pg_replication_origin_session_setup",
    "pg_replication_origin_session_reset",
];

/// Creates an origin unless it is there. Needed on a side that Banyan writes to.
pub(super) async fn ensure(client: &Client, name: &str) -> Result<()> {
    let sql = "SELECT pg_replication_origin_create($1) \
               WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = $1)";
    match client.execute(sql, &[&name]).await {
        Ok(_) => Ok(()),
        // Another one was faster.
        Err(cause) if cause.code().is_some_and(|code| code.code() == "23505") => Ok(()),
        Err(cause) => {
            let error = failure::sql(
                &format!("the replication origin {name} cannot be created"),
                cause,
            );
            match missing_grants(client).await? {
                Some(grant) => Err(error.hint(grant)),
                None => Err(error),
            }
        }
    }
}

/// What a superuser must run so that this role can mark what it writes; `None` when it can.
pub(super) async fn missing_grants(client: &Client) -> Result<Option<String>> {
    let sql = "SELECT current_user::text, coalesce(array_agg(p.oid::regprocedure::text \
                 ORDER BY p.proname), '{}') \
               FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
               WHERE n.nspname = 'pg_catalog' AND p.proname = ANY($1) \
                 AND NOT has_function_privilege(p.oid, 'EXECUTE')";
    let names: Vec<&str> = FUNCTIONS.to_vec();
    let row = client
        .query_one(sql, &[&names])
        .await
        .map_err(|cause| failure::sql("the privileges cannot be looked at", cause))?;
    let role: &str = row.get(0);
    let functions: Vec<&str> = row.get(1);
    Ok((!functions.is_empty()).then(|| {
        format!(
            "a superuser must run, in this database: GRANT EXECUTE ON FUNCTION {} TO {}",
            functions.join(", "),
            quoted(role)
        )
    }))
}

/// Drops the origins of all writers of a migration.
pub(super) async fn remove(client: &Client, names: &CaptureNames) -> Result<()> {
    let failed = |cause| failure::sql("the replication origins cannot be dropped", cause);
    let sql = "SELECT roname FROM pg_replication_origin WHERE roname LIKE '\\_banyan\\_%'";
    for row in client.query(sql, &[]).await.map_err(failed)? {
        let name: &str = row.get(0);
        if names.is_own_origin(name) {
            remove_one(client, name).await?;
        }
    }
    Ok(())
}

async fn remove_one(client: &Client, name: &str) -> Result<()> {
    let sql = "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin \
               WHERE roname = $1";
    for _ in 0..50 {
        let what = format!("the replication origin {name} cannot be dropped");
        match client.execute(sql, &[&name]).await {
            Ok(_) => return Ok(()),
            // Another one was faster.
            Err(cause) if cause.code().is_some_and(|code| code.code() == "42704") => return Ok(()),
            Err(cause) => {
                let error = failure::sql(&what, cause);
                if error.kind() != ErrorKind::Busy {
                    return Err(error);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Error::new(
        ErrorKind::Busy,
        format!("the replication origin {name} is still in use"),
    )
    .hint("stop the Banyan that uses it, then try again"))
}
