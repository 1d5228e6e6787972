//! The publication: which tables' changes the log delivers.

use tokio_postgres::Client;

use crate::database::SyncTable;
use crate::error::{Error, ErrorKind, Result};

use super::capture_names::{CaptureNames, literal, quoted};
use super::failure;

/// A table as the server knows it.
#[derive(Clone, Debug)]
pub(super) struct Located {
    /// Its name in the configuration.
    pub(super) name: String,
    /// Its object identifier.
    pub(super) id: u32,
    /// Its schema.
    pub(super) schema: String,
    /// Its name in that schema.
    pub(super) relation: String,
    /// `r`, `p`, …
    pub(super) kind: String,
    /// `p`, `u`, `t`
    pub(super) persistence: String,
    /// `d`, `n`, `f`, `i`
    pub(super) identity: String,
    /// Whether this role has its owner's rights.
    pub(super) owned: bool,
    /// Whether other tables inherit from it that are no partitions.
    pub(super) inherited: bool,
}

impl Located {
    /// Quoted and qualified.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.relation))
    }
}

/// A part of a table's name as users write it: with a dot or a quote in it, in double quotes.
fn written(column: &str) -> String {
    format!(
        "CASE WHEN {column} ~ '[.\"]' THEN '\"' || replace({column}, '\"', '\"\"') || '\"' \
         ELSE {column}::text END"
    )
}

/// Finds the tables: by a name that is visible on the search path, or by schema and name with a dot
/// between them.
pub(super) async fn locate(client: &Client, tables: &[SyncTable]) -> Result<Vec<Located>> {
    let (schema, relation) = (written("n.nspname"), written("c.relname"));
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, \
                 c.relpersistence::text, c.relreplident::text, \
                 pg_has_role(c.relowner, 'USAGE'), \
                 c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid) \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND \
                 ({relation} = $1 AND pg_table_is_visible(c.oid) \
                   OR {schema} || '.' || {relation} = $1) \
               ORDER BY pg_table_is_visible(c.oid) AND {relation} = $1 DESC LIMIT 1"
    );
    let failed = |cause| failure::sql("the tables cannot be looked up", cause);
    let statement = client.prepare(&sql).await.map_err(failed)?;
    let mut located = Vec::with_capacity(tables.len());
    for table in tables {
        let name = &table.schema.name;
        let row = client
            .query_opt(&statement, &[name])
            .await
            .map_err(failed)?;
        let row = row.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no table {name}"))
                .hint("look at the tables' names and the role's search_path")
        })?;
        located.push(Located {
            name: name.clone(),
            id: row.get(0),
            schema: row.get(1),
            relation: row.get(2),
            kind: row.get(3),
            persistence: row.get(4),
            identity: row.get(5),
            owned: row.get(6),
            inherited: row.get(7),
        });
    }
    Ok(located)
}

const WITH: &str =
    "(publish = 'insert, update, delete, truncate', publish_via_partition_root = true)";

/// What the publication's owner would have to run.
pub(super) fn statement(names: &CaptureNames, tables: &[Located]) -> String {
    format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH {WITH}",
        quoted(names.publication()),
        list(tables)
    )
}

fn list(tables: &[Located]) -> String {
    let tables: Vec<String> = tables.iter().map(Located::quoted).collect();
    tables.join(", ")
}

/// Creates the publication for exactly these tables, or makes it so.
pub(super) async fn ensure(
    client: &Client,
    names: &CaptureNames,
    tables: &[Located],
) -> Result<()> {
    let failed = |cause| {
        let what = format!("the publication {} cannot be made", names.publication());
        failure::sql(&what, cause).hint(format!(
            "the tables' owner must run: {}",
            statement(names, tables)
        ))
    };
    if tables.is_empty() {
        return remove(client, names).await;
    }
    let publication = quoted(names.publication());
    // Row filters and column lists exist since PostgreSQL 15.
    let sql = "SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate \
                 AND p.pubviaroot AND NOT p.puballtables, \
                 coalesce((SELECT array_agg(r.prrelid ORDER BY r.prrelid) \
                   FROM pg_publication_rel r WHERE r.prpubid = p.oid \
                     AND to_jsonb(r) ->> 'prqual' IS NULL AND to_jsonb(r) ->> 'prattrs' IS NULL), '{}'), \
                 (SELECT count(*) FROM pg_publication_rel r WHERE r.prpubid = p.oid) \
               FROM pg_publication p WHERE p.pubname = $1";
    let row = client.query_opt(sql, &[&names.publication()]).await;
    let Some(row) = row.map_err(failed)? else {
        let create = statement(names, tables);
        return client.batch_execute(&create).await.map_err(failed);
    };
    let mut wanted: Vec<u32> = tables.iter().map(|table| table.id).collect();
    wanted.sort_unstable();
    let (options, held, count): (bool, Vec<u32>, i64) = (row.get(0), row.get(1), row.get(2));
    let exact = held == wanted && usize::try_from(count) == Ok(held.len());
    let mut sql = String::new();
    if !exact {
        sql.push_str(&format!(
            "ALTER PUBLICATION {publication} SET TABLE {};",
            list(tables)
        ));
    }
    if !options {
        sql.push_str(&format!("ALTER PUBLICATION {publication} SET {WITH};"));
    }
    if sql.is_empty() {
        return Ok(());
    }
    client.batch_execute(&sql).await.map_err(failed)
}

/// Drops the publication if it is there.
pub(super) async fn remove(client: &Client, names: &CaptureNames) -> Result<()> {
    let sql = format!("DROP PUBLICATION IF EXISTS {}", quoted(names.publication()));
    client.batch_execute(&sql).await.map_err(|cause| {
        let what = format!("the publication {} cannot be dropped", names.publication());
        failure::sql(&what, cause).hint(format!("its owner must run: {sql}"))
    })
}

/// Remembers which tables are captured, under which object identifiers.
pub(super) async fn remember(
    client: &Client,
    names: &CaptureNames,
    tables: &[Located],
) -> Result<()> {
    let own = names.table("captured");
    let mut sql = format!(
        "BEGIN; CREATE TABLE IF NOT EXISTS {own} (name text PRIMARY KEY, relid oid NOT NULL, \
         schema text NOT NULL, relation text NOT NULL); DELETE FROM {own}; "
    );
    for table in tables {
        sql.push_str(&format!(
            "INSERT INTO {own} VALUES ({}, {}, {}, {}); ",
            literal(&table.name),
            table.id,
            literal(&table.schema),
            literal(&table.relation)
        ));
    }
    sql.push_str("COMMIT");
    let failed = |cause| failure::sql("the captured tables cannot be written down", cause);
    if let Err(cause) = client.batch_execute(&sql).await {
        client.batch_execute("ROLLBACK").await.map_err(failed)?;
        return Err(failed(cause));
    }
    Ok(())
}

/// Which captured tables are not captured as they should be (index, why): dropped and created anew,
/// taken out of the publication, another replica identity. The log itself does not tell of it.
pub(super) async fn verify(
    client: &Client,
    names: &CaptureNames,
    tables: &[SyncTable],
) -> Result<Vec<(usize, String)>> {
    let failed = |cause| failure::sql("the captured tables cannot be looked at", cause);
    let sql = format!(
        "SELECT c.name, t.oid IS NOT NULL, EXISTS (\
           SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid \
           WHERE p.pubname = $1 AND r.prrelid = c.relid AND to_jsonb(r) ->> 'prqual' IS NULL), \
           EXISTS (SELECT FROM pg_class l WHERE l.relreplident <> 'f' AND l.relkind = 'r' \
             AND (l.oid = c.relid OR l.oid IN \
               (SELECT relid FROM pg_partition_tree(t.oid::regclass)))) \
         FROM {} c LEFT JOIN pg_class t ON t.oid = c.relid",
        names.table("captured")
    );
    let rows = client.query(&sql, &[&names.publication()]).await;
    let rows = rows.map_err(failed)?;
    let mut wrong = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let name = table.schema.name.as_str();
        let what = match rows.iter().find(|row| row.get::<_, &str>(0) == name) {
            None => "is not captured",
            Some(row) if !row.get::<_, bool>(1) => {
                "was dropped; a new table of this name is not in the log"
            }
            Some(row) if !row.get::<_, bool>(2) => "is not in the publication any more",
            Some(row) if row.get(3) => {
                "has, or one of its partitions has, another replica identity than FULL"
            }
            Some(_) => continue,
        };
        wrong.push((index, what.to_owned()));
    }
    Ok(wrong)
}
