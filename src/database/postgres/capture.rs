//! Capture by the server's log: everything that it needs in the database, made and taken away.
//!
//! A side whose changes are followed has a schema of Banyan's own (what was captured, what replica
//! identities were, which log the slot belongs to), a publication for exactly the migration's
//! tables, replica identity FULL on these, and a replication slot. Every step can be done again, and
//! continues where it was interrupted.

use tokio_postgres::Client;

use crate::database::SyncTable;
use crate::error::Result;

use super::capture_names::{CaptureNames, quoted};
use super::{failure, identity, publication, slot};

/// Creates Banyan's schema unless it is there.
pub(super) async fn prepare(client: &Client, names: &CaptureNames) -> Result<()> {
    let failed = |cause| {
        failure::sql(
            &format!("the schema {} cannot be created", names.schema),
            cause,
        )
        .hint(format!(
            "the database's owner must run: CREATE SCHEMA {} AUTHORIZATION <this role>",
            quoted(&names.schema)
        ))
    };
    // IF NOT EXISTS would ask for the right to create even when it exists.
    let sql = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    let row = client.query_one(sql, &[&names.schema]).await;
    if row.map_err(failed)?.get(0) {
        return Ok(());
    }
    let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(&names.schema));
    client.batch_execute(&sql).await.map_err(failed)
}

/// Lets the server keep the log of these tables for us from now on. Answers the position at which
/// it begins: every transaction that commits after this call is behind it. Needs the rights of the
/// tables' owner for what is not there yet, and the attribute REPLICATION.
pub(super) async fn install(
    client: &Client,
    names: &CaptureNames,
    tables: &[SyncTable],
) -> Result<u64> {
    prepare(client, names).await?;
    let located = publication::locate(client, tables).await?;
    for table in &located {
        identity::ensure(client, names, table.id).await?;
    }
    publication::ensure(client, names, &located).await?;
    publication::remember(client, names, &located).await?;
    // The slot last: everything behind its beginning has whole rows and is published.
    slot::ensure(client, names).await
}

/// Takes everything away that was added for this migration, Banyan's own tables included, whatever
/// became of the tables.
pub(super) async fn uninstall(client: &Client, names: &CaptureNames) -> Result<()> {
    // The slot first: it holds back the server's log, and our reader must be gone.
    slot::remove(client, names).await?;
    publication::remove(client, names).await?;
    identity::remove(client, names).await?;
    let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(&names.schema));
    client
        .batch_execute(&sql)
        .await
        .map_err(|cause| failure::sql(&format!("{sql} failed"), cause))
}
