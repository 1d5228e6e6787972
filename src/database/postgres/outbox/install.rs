//! Making the outbox and the triggers. Every step can be done again, and continues where it was
//! interrupted.

use tokio_postgres::Client;

use crate::database::SyncTable;
use crate::database::postgres::capture_names::{CaptureNames, quoted};
use crate::database::postgres::error::pg;
use crate::database::postgres::publication::{self, Located};
use crate::database::postgres::{capture, failure};
use crate::error::{ErrorKind, Result};

use super::{OP_BEGIN, trigger};

/// Creating a trigger waits so long for those who use the table, and keeps others waiting behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '3s'";

/// Creates the outbox, with an entry to begin with. Answers the position at which it begins.
pub(in crate::database::postgres) async fn install_tables(
    client: &Client,
    names: &CaptureNames,
) -> Result<u64> {
    capture::prepare(client, names).await?;
    let (outbox, noted, layout) = (
        names.table("outbox"),
        names.table("noted"),
        names.table("layout"),
    );
    let failed = |cause| failure::sql("the outbox cannot be created", cause);
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {layout} (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
           name text NOT NULL, columns text[] NOT NULL, types text[] NOT NULL, \
           others text[] NOT NULL); \
         CREATE TABLE IF NOT EXISTS {noted} (one bool PRIMARY KEY, position bigint NOT NULL); \
         CREATE TABLE IF NOT EXISTS {outbox} (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
           tx bigint NOT NULL, layout int NOT NULL, op smallint NOT NULL, us bigint NOT NULL, \
           was text[], now_is text[], note text); \
         INSERT INTO {outbox} (tx, layout, op, us) SELECT 0, 0, {OP_BEGIN}, 0 \
           WHERE NOT EXISTS (SELECT FROM {outbox}); \
         INSERT INTO {noted} SELECT true, max(seq) FROM {outbox} ON CONFLICT DO NOTHING"
    );
    client.batch_execute(&sql).await.map_err(failed)?;
    // Not the newest entry: others may be written by transactions that are running.
    let sql = format!("SELECT position FROM {noted}");
    let row = client.query_one(&sql, &[]).await.map_err(failed)?;
    let begin: i64 = row.get(0);
    Ok(begin.unsigned_abs())
}

/// Captures the changes of these tables from now on: every transaction that commits after this call
/// and changes them is behind the position that is answered, or has been.
pub(in crate::database::postgres) async fn install(
    client: &Client,
    names: &CaptureNames,
    tables: &[SyncTable],
) -> Result<u64> {
    let begin = install_tables(client, names).await?;
    let located = publication::locate(client, tables).await?;
    for (table, place) in tables.iter().zip(&located) {
        let layout = layout(client, names, table).await?;
        let function = trigger::create_function(names, table, layout);
        client.batch_execute(&function).await.map_err(|cause| {
            let what = format!("the trigger function of {} cannot be created", place.name);
            failure::sql(&what, cause)
        })?;
        create_triggers(client, names, place).await?;
    }
    drop_others(client, names, tables).await?;
    publication::remember(client, names, &located).await?;
    Ok(begin)
}

/// The number under which the table's captured columns are known.
async fn layout(client: &Client, names: &CaptureNames, table: &SyncTable) -> Result<i32> {
    let what = || pg("write down which columns are captured");
    let columns = |of: fn(&crate::data::Column) -> &String| -> Vec<String> {
        let columns = table.columns.iter();
        columns
            .map(|&i| of(&table.schema.columns[i]).clone())
            .collect()
    };
    let (columns, types) = (columns(|c| &c.name), columns(|c| &c.declared_type));
    let own = names.table("layout");
    let sql = format!(
        "WITH known AS (SELECT id FROM {own} WHERE name = $1 AND columns = $2 AND types = $3 \
           AND others = $4), \
         made AS (INSERT INTO {own} (name, columns, types, others) SELECT $1, $2, $3, $4 \
           WHERE NOT EXISTS (SELECT FROM known) RETURNING id) \
         SELECT id FROM known UNION ALL SELECT id FROM made LIMIT 1"
    );
    let row = client
        .query_one(
            &sql,
            &[&table.schema.name, &columns, &types, &table.others()],
        )
        .await
        .map_err(what())?;
    row.try_get(0).map_err(what())
}

/// Tables of which a part of the rows is changed by name: partitions, and tables that inherit.
const FAMILY: &str = "\
WITH RECURSIVE family (id) AS (SELECT $1::oid UNION SELECT i.inhrelid FROM family f \
  JOIN pg_inherits i ON i.inhparent = f.id)
SELECT c.oid, n.nspname::text, c.relname::text, c.relispartition AND c.oid <> $1, \
  pg_has_role(c.relowner, 'USAGE'), \
  (SELECT t.tgenabled::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = $2), \
  (SELECT t.tgenabled::text FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = $3) \
FROM family f JOIN pg_class c ON c.oid = f.id JOIN pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p')";

async fn create_triggers(client: &Client, names: &CaptureNames, table: &Located) -> Result<()> {
    let failed = |cause| failure::sql("the triggers cannot be looked at", cause);
    let (for_rows, for_truncate) = trigger::triggers(names);
    let family = client
        .query(FAMILY, &[&table.id, &for_rows, &for_truncate])
        .await
        .map_err(failed)?;
    for member in &family {
        let relation = format!(
            "{}.{}",
            quoted(member.get::<_, &str>(1)),
            quoted(member.get::<_, &str>(2))
        );
        let (is_partition, owned): (bool, bool) = (member.get(3), member.get(4));
        let mut sql = String::new();
        for (name, column, create) in [
            // A partitioned table's trigger is its partitions' as well.
            (
                &for_rows,
                5,
                trigger::create_row_trigger(names, &table.name, &relation),
            ),
            (
                &for_truncate,
                6,
                trigger::create_truncate_trigger(names, &table.name, &relation),
            ),
        ] {
            let state: Option<&str> = member.get(column);
            if is_partition && column == 5 {
                continue;
            }
            if state.is_none() {
                sql.push_str(&format!("{create}; "));
            }
            if owned && state != Some("A") {
                sql.push_str(&format!(
                    "ALTER TABLE {relation} ENABLE ALWAYS TRIGGER {}; ",
                    quoted(name)
                ));
            }
        }
        if sql.is_empty() {
            continue;
        }
        let sql = format!("BEGIN; {LOCK_TIMEOUT}; {sql}COMMIT");
        if let Err(cause) = client.batch_execute(&sql).await {
            client.batch_execute("ROLLBACK").await.map_err(failed)?;
            let what = format!("the triggers of {relation} cannot be created");
            let error = failure::sql(&what, cause);
            return Err(match error.kind() {
                ErrorKind::Busy => {
                    error.hint("a transaction holds the table; try again when it is done")
                }
                _ => error.hint(format!(
                    "the table's owner must run: GRANT TRIGGER ON {relation} TO <this role>"
                )),
            });
        }
    }
    Ok(())
}

/// Drops the functions, and with them the triggers, of tables that are not captured any more.
async fn drop_others(client: &Client, names: &CaptureNames, tables: &[SyncTable]) -> Result<()> {
    let failed = |cause| failure::sql("triggers that are not needed cannot be dropped", cause);
    let kept: Vec<String> = tables
        .iter()
        .map(|t| trigger::function(&t.schema.name))
        .collect();
    let sql = "SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
               WHERE n.nspname = $1 AND starts_with(p.proname::text, 'capture_') \
                 AND p.proname <> ALL($2::text[])";
    for row in client
        .query(sql, &[&names.schema, &kept])
        .await
        .map_err(failed)?
    {
        let name: &str = row.get(0);
        let sql = format!(
            "DROP FUNCTION {}.{}() CASCADE",
            quoted(&names.schema),
            quoted(name)
        );
        client.batch_execute(&sql).await.map_err(failed)?;
    }
    Ok(())
}
