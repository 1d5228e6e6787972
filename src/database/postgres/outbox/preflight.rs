//! What stands in the way of capture by triggers, found out before anything is changed.

use tokio_postgres::Client;

use crate::database::SyncTable;
use crate::database::postgres::capture_names::{CaptureNames, quoted};
use crate::database::postgres::failure;
use crate::database::postgres::preflight::Problem;
use crate::database::postgres::publication;
use crate::error::Result;

/// Everything that is in the way of following these tables by triggers as this role.
pub(in crate::database::postgres) async fn problems(
    client: &Client,
    names: &CaptureNames,
    tables: &[SyncTable],
    followed: bool,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let failed = |cause| failure::sql("the privileges cannot be looked at", cause);
    let sql = "SELECT current_user::text, current_database()::text, \
                 has_database_privilege(current_database(), 'CREATE'), \
                 EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), pg_is_in_recovery(), \
                 coalesce((SELECT has_language_privilege(oid, 'USAGE') FROM pg_language \
                   WHERE lanname = 'plpgsql'), false)";
    let row = client
        .query_one(sql, &[&names.schema])
        .await
        .map_err(failed)?;
    let (role, database) = (quoted(row.get(0)), quoted(row.get(1)));
    if !row.get::<_, bool>(2) && !row.get::<_, bool>(3) {
        problems.push((
            format!("the role {role} may not create a schema in {database}"),
            format!("its owner must run: GRANT CREATE ON DATABASE {database} TO {role}"),
        ));
    }
    if row.get(4) {
        problems.push((
            "the server is a standby, which nobody can write to".to_owned(),
            "name the primary".to_owned(),
        ));
    }
    if !followed {
        return Ok(problems);
    }
    if !row.get::<_, bool>(5) {
        problems.push((
            format!(
                "the role {role} may not use the language plpgsql, in which triggers are written"
            ),
            format!("a superuser must run: GRANT USAGE ON LANGUAGE plpgsql TO {role}"),
        ));
    }
    for table in publication::locate(client, tables).await? {
        let relation = table.quoted();
        if !matches!(table.kind.as_str(), "r" | "p") {
            problems.push((
                format!(
                    "{} is no table: a view or foreign table has no changes of its own",
                    table.name
                ),
                "take it out of the migration".to_owned(),
            ));
            continue;
        }
        let sql = "SELECT has_table_privilege($1::oid, 'TRIGGER')";
        let row = client.query_one(sql, &[&table.id]).await.map_err(failed)?;
        if !row.get::<_, bool>(0) {
            problems.push((
                format!("the role {role} may not create triggers on {}", table.name),
                format!("the table's owner must run: GRANT TRIGGER ON {relation} TO {role}"),
            ));
        }
    }
    Ok(problems)
}
