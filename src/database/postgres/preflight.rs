//! What stands in the way of capture by the log, found out before anything is changed.

use tokio_postgres::Client;

use crate::database::SyncTable;
use crate::error::Result;

use super::capture_names::{CaptureNames, quoted};
use super::publication::{self, Located};
use super::{failure, identity};

/// What is wrong, and what to do.
pub(super) type Problem = (String, String);

/// Everything that is in the way of Banyan's own things and of following these tables (`followed`) as
/// this role.
pub(super) async fn problems(
    client: &Client,
    names: &CaptureNames,
    tables: &[SyncTable],
    followed: bool,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let failed = |cause| failure::sql("the server's settings cannot be looked at", cause);
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('wal_level'), \
                 current_setting('max_replication_slots')::bigint, \
                 current_setting('max_wal_senders')::bigint, \
                 (SELECT count(*) FROM pg_replication_slots), \
                 (SELECT count(*) FROM pg_stat_replication), \
                 EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1), \
                 EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user \
                   AND (r.rolsuper OR r.rolreplication)) \
                   OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'rds_replication' \
                     AND pg_has_role(r.oid, 'USAGE')), \
                 current_user::text, pg_is_in_recovery(), current_setting('server_encoding'), \
                 has_database_privilege(current_database(), 'CREATE'), current_database()::text, \
                 EXISTS (SELECT FROM pg_namespace WHERE nspname = $2), \
                 EXISTS (SELECT FROM pg_publication WHERE pubname = $2)";
    let row = client
        .query_one(sql, &[&names.slot, &names.schema])
        .await
        .map_err(failed)?;
    let mut say = |wrong: String, cure: String| problems.push((wrong, cure));
    let version: i32 = row.get(0);
    if version < 140_000 {
        say(
            format!("the server is PostgreSQL {}", version / 10_000),
            "upgrade it to 14 or later".to_owned(),
        );
    }
    if row.get(9) {
        say(
            "the server is a standby, which nobody can write to".to_owned(),
            "name the primary".to_owned(),
        );
    }
    let role = quoted(row.get(8));
    let database = quoted(row.get(12));
    let (may_create, has_schema, has_publication): (bool, bool, bool) =
        (row.get(11), row.get(13), row.get(14));
    if !may_create && !(has_schema && (has_publication || !followed)) {
        say(
            format!("the role {role} may not create a schema or a publication in {database}"),
            format!("its owner must run: GRANT CREATE ON DATABASE {database} TO {role}"),
        );
    }
    if !followed {
        return Ok(problems);
    }
    let level: &str = row.get(1);
    if level != "logical" {
        say(
            format!("wal_level is {level}: the log does not hold what changes need"),
            "a superuser must run: ALTER SYSTEM SET wal_level = logical; then restart the server; \
             or use capture = \"trigger\""
                .to_owned(),
        );
    }
    // One slot that stays, one while rows are copied; a connection for each.
    let installed = i64::from(row.get::<_, bool>(6));
    for (setting, most, used, wanted) in [
        ("max_replication_slots", 2, 4, 2 - installed),
        ("max_wal_senders", 3, 5, 2),
    ] {
        let (most, used): (i64, i64) = (row.get(most), row.get(used));
        if most - used < wanted {
            say(
                format!("{setting} is {most}, and {used} are in use; {wanted} must be free"),
                format!(
                    "a superuser must run: ALTER SYSTEM SET {setting} = {}; then restart the \
                     server; or use capture = \"trigger\"",
                    used + wanted + 2
                ),
            );
        }
    }
    if !row.get::<_, bool>(7) {
        say(
            format!("the role {role} may not read the log"),
            format!(
                "a superuser must run: ALTER ROLE {role} REPLICATION; or use capture = \"trigger\""
            ),
        );
    }
    let encoding: &str = row.get(10);
    if encoding == "SQL_ASCII" {
        say(
            "the database's encoding is SQL_ASCII: its texts may be anything".to_owned(),
            "texts that are not UTF-8 will be refused; convert the database to UTF8".to_owned(),
        );
    }
    let located = publication::locate(client, tables).await?;
    for table in &located {
        of_table(table, &mut problems);
    }
    if !has_publication && located.iter().any(|table| !table.owned) {
        problems.push((
            format!("the role {role} does not own all tables that it would publish"),
            format!(
                "the tables' owner must run: {}",
                publication::statement(names, &located)
            ),
        ));
    }
    Ok(problems)
}

fn of_table(table: &Located, problems: &mut Vec<Problem>) {
    let name = &table.name;
    let mut say = |wrong: String, cure: String| problems.push((wrong, cure));
    match table.kind.as_str() {
        "r" | "p" => {}
        _ => say(
            format!("{name} is no table: a view or foreign table has no changes of its own"),
            "take it out of the migration".to_owned(),
        ),
    }
    if table.persistence != "p" {
        say(
            format!("{name} is unlogged or temporary: its changes are not in the log"),
            format!("run: ALTER TABLE {} SET LOGGED", table.quoted()),
        );
    }
    if table.inherited {
        say(
            format!("other tables inherit from {name}: the log names their rows by those tables"),
            "use partitions in place of inheritance, or capture = \"trigger\"".to_owned(),
        );
    }
    if table.identity != "f" && !table.owned {
        say(
            format!("the log does not hold the rows of {name} as they were before a change"),
            format!(
                "the table's owner must run: {}",
                identity::full(&table.quoted())
            ),
        );
    }
}
