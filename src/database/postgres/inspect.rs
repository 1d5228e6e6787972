//! What `check` wants to know of a database before anything is begun. Nothing that is done here
//! leaves a trace.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::database::{Inspection, Orphans};
use crate::error::{Error, ErrorKind, Result};

use super::connect::PgConn;
use super::error::pg;
use super::names::{TableName, quote};
use super::schema;
use super::store::PgStore;

/// How long a look through one table's rows may take.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Rows are counted up to here.
const COUNT_MAX: u64 = 1_000;

impl PgStore {
    /// Whether the database can be read, and written as installing capture does. What is written is
    /// rolled back.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be reached, `Refused` when it is too old or a standby, `Store`
    /// when it may not be written.
    pub async fn inspect(&self) -> Result<Inspection> {
        let conn = self.connect().await?;
        inspect(&conn).await.map_err(|e| self.place(e))
    }

    /// What Banyan's user may not do with these tables: table and privileges, in order.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn missing_privileges(
        &self,
        tables: &[&str],
        written: bool,
    ) -> Result<Vec<(String, Vec<String>)>> {
        let conn = self.connect().await?;
        let wanted: &[&str] = if written {
            &["SELECT", "INSERT", "UPDATE", "DELETE"]
        } else {
            &["SELECT"]
        };
        let mut missing = Vec::new();
        for table in tables {
            let sql = "SELECT p FROM unnest($2::text[]) WITH ORDINALITY AS w(p, n) \
                       WHERE NOT has_table_privilege($1::text::regclass, p) ORDER BY n";
            let name = TableName::parse(table)?.sql();
            let what = || pg(format!("read the privileges on table {table}"));
            let rows = conn
                .client()
                .query(sql, &[&name, &wanted])
                .await
                .map_err(|e| self.place(what()(e)))?;
            let privileges = rows
                .iter()
                .map(|row| row.try_get::<_, String>(0))
                .collect::<Result<Vec<_>, _>>()
                .map_err(what())?;
            if !privileges.is_empty() {
                missing.push(((*table).to_owned(), privileges));
            }
        }
        Ok(missing)
    }

    /// How many rows a table has, counted up to a thousand, and whether there may be more.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn count_some(&self, table: &str) -> Result<(u64, bool)> {
        let conn = self.connect().await?;
        let what = || pg(format!("count the rows of table {table}"));
        let sql = format!(
            "SELECT count(*) FROM (SELECT FROM {} LIMIT {COUNT_MAX}) AS t",
            TableName::parse(table)?.sql()
        );
        let row = conn.client().query_one(&sql, &[]).await;
        let rows: i64 = row
            .and_then(|row| row.try_get(0))
            .map_err(|e| self.place(what()(e)))?;
        Ok((rows.unsigned_abs(), rows.unsigned_abs() >= COUNT_MAX))
    }

    /// How many rows a table has after the planner's statistics; `None` without any.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn estimated_rows(&self, table: &str) -> Result<Option<u64>> {
        let conn = self.connect().await?;
        let sql = "SELECT sum(c.reltuples)::int8 FROM pg_class AS c WHERE c.reltuples > 0 AND c.oid IN \
                   (SELECT $1::text::regclass UNION SELECT relid FROM \
                   pg_partition_tree($1::text::regclass) WHERE isleaf)";
        let name = TableName::parse(table)?.sql();
        let row = conn.client().query_one(sql, &[&name]).await;
        let rows: Option<i64> = row
            .and_then(|row| row.try_get(0))
            .map_err(|e| self.place(pg(format!("estimate the rows of table {table}"))(e)))?;
        Ok(rows.map(i64::unsigned_abs))
    }

    /// Rows of a table that violate its foreign keys. Looks for five seconds at most.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn orphans(&self, table: &str) -> Result<Orphans> {
        let conn = self.connect().await?;
        let found = find_orphans(&conn, table).await;
        found.map_err(|e| self.place(e))
    }

    /// The ascending sequences of a table's integer columns: column, next value, and the highest value that
    /// was there before. Those that may not be looked at are left out. Looks for a few seconds at most.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn sequences(&self, table: &str) -> Result<Vec<(String, i64, i64)>> {
        let conn = self.connect().await?;
        let found = find_sequences(&conn, table).await;
        found.map_err(|e| self.place(pg(format!("read the sequences of table {table}"))(e)))
    }

    /// Foreign keys that refer to `parents` from columns without an index: looking for a row's
    /// children then reads the whole table. Table and columns, in order.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn unindexed_children(&self, parents: &[&str]) -> Result<Vec<(String, Vec<String>)>> {
        let conn = self.connect().await?;
        let names = parents
            .iter()
            .map(|p| TableName::parse(p).map(|p| p.sql()))
            .collect::<Result<Vec<_>>>()?;
        let what = || pg("read the indexes of foreign keys");
        let rows = conn
            .client()
            .query(UNINDEXED, &[&names])
            .await
            .map_err(|e| self.place(what()(e)))?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let read = || -> Result<_, tokio_postgres::Error> {
                let name = TableName::of(row.try_get(0)?, row.try_get(1)?);
                Ok((name, row.try_get(2)?))
            };
            found.push(read().map_err(what())?);
        }
        Ok(found)
    }
}

async fn find_sequences(
    conn: &PgConn,
    table: &str,
) -> Result<Vec<(String, i64, i64)>, tokio_postgres::Error> {
    let client = conn.client();
    let name = match TableName::parse(table) {
        Ok(name) => name.sql(),
        Err(_) => return Ok(Vec::new()),
    };
    let limit = format!("SET statement_timeout = {}", LOOK_MAX.as_millis());
    client.batch_execute(&limit).await?;
    let mut out = Vec::new();
    for row in client.query(SEQUENCES, &[&name]).await? {
        let (column, sequence): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let step: i64 = row.try_get(2)?;
        // The rows first: whoever takes a number in between makes the sequence go on, and nothing else.
        let sql = format!("SELECT max({})::int8 FROM {name}", quote(&column));
        let highest: Option<i64> = client.query_one(&sql, &[]).await?.try_get(0)?;
        let sql = format!("SELECT last_value, is_called FROM {sequence}");
        let now = client.query_one(&sql, &[]).await?;
        let (last, is_called): (i64, bool) = (now.try_get(0)?, now.try_get(1)?);
        let next = if is_called {
            last.saturating_add(step)
        } else {
            last
        };
        out.extend(highest.map(|highest| (column, next, highest)));
    }
    Ok(out)
}

/// Sequences that belong to a column (serial, identity).
const SEQUENCES: &str = "\
SELECT a.attname::text, q.id::text, s.seqincrement FROM pg_catalog.pg_attribute a, \
  LATERAL (SELECT pg_get_serial_sequence($1::text, a.attname::text)::regclass AS id) AS q \
  JOIN pg_catalog.pg_sequence s ON s.seqrelid = q.id \
WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped \
  AND s.seqincrement > 0 AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) \
  AND has_sequence_privilege(q.id, 'SELECT') ORDER BY a.attnum";

/// An index helps when its first column is one of the foreign key's and it covers all rows.
const UNINDEXED: &str = "\
SELECT CASE WHEN n.nspname = current_schema() THEN NULL ELSE n.nspname::text END, \
  c.relname::text, \
  (SELECT array_agg(a.attname::text ORDER BY f.n) FROM unnest(k.conkey) WITH ORDINALITY \
    AS f(attnum, n) JOIN pg_catalog.pg_attribute a \
    ON a.attrelid = k.conrelid AND a.attnum = f.attnum) \
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE k.contype = 'f' AND k.conparentid = 0 \
  AND k.confrelid IN (SELECT p::regclass FROM unnest($1::text[]) AS p) \
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = k.conrelid \
    AND i.indisvalid AND i.indpred IS NULL AND (i.indkey::int2[])[0] = ANY (k.conkey)) \
ORDER BY 1 NULLS FIRST, 2, k.conname";

async fn inspect(conn: &PgConn) -> Result<Inspection> {
    schema::tables(conn).await?;
    let client = conn.client();
    let what = || pg("read the server's settings");
    let row = client
        .query_one(
            "SELECT pg_is_in_recovery(), current_user::text, \
             has_database_privilege(current_database(), 'CREATE'), current_database()::text",
            &[],
        )
        .await
        .map_err(what())?;
    let standby: bool = row.try_get(0).map_err(what())?;
    let user: String = row.try_get(1).map_err(what())?;
    let may_create: bool = row.try_get(2).map_err(what())?;
    let database: String = row.try_get(3).map_err(what())?;
    if standby {
        return Err(Error::new(
            ErrorKind::Refused,
            "the server is a standby, which cannot be written",
        )
        .hint("name the primary in the store's URL"));
    }
    if !may_create {
        return Err(Error::new(
            ErrorKind::Store,
            format!("user {user} may not create a schema in database {database}"),
        )
        .hint(format!(
            "GRANT CREATE ON DATABASE {} TO {}",
            quote(&database),
            quote(&user)
        )));
    }
    client
        .batch_execute(
            "BEGIN READ WRITE; CREATE SCHEMA \"_banyan_check\"; \
             CREATE TABLE \"_banyan_check\".c (c int)",
        )
        .await
        .map_err(pg("create a schema for Banyan's own tables"))?;
    client
        .batch_execute("ROLLBACK")
        .await
        .map_err(pg("undo what was tried"))?;
    let mut inspection = Inspection::default();
    let replica = client
        .batch_execute("SET session_replication_role = replica")
        .await;
    match replica {
        Ok(()) => {}
        Err(e) if e.as_db_error().is_some() => inspection.notes.push((
            format!(
                "user {user} may not set session_replication_role: the tables' triggers, and the \
                 actions of their foreign keys, run on what Banyan writes"
            ),
            if conn.version() >= 15 {
                format!(
                    "GRANT SET ON PARAMETER session_replication_role TO {}",
                    quote(&user)
                )
            } else {
                "let Banyan connect as a superuser, or see to it that the triggers do nothing then"
                    .to_owned()
            },
        )),
        Err(e) => return Err(pg("set up a session that writes")(e)),
    }
    Ok(inspection)
}

async fn find_orphans(conn: &PgConn, table: &str) -> Result<Orphans> {
    let client = conn.client();
    let table = schema::table(conn, table).await?;
    let what = || pg(format!("check the foreign keys of table {}", table.name));
    client
        .batch_execute(&format!("SET statement_timeout = {}", LOOK_MAX.as_millis()))
        .await
        .map_err(what())?;
    let child = TableName::parse(&table.name)?.sql();
    let (mut rows, mut parents) = (0, Vec::new());
    for key in &table.foreign_keys {
        let names: Vec<String> = key
            .columns
            .iter()
            .map(|&i| quote(&table.columns[i].name))
            .collect();
        let set: Vec<String> = names.iter().map(|n| format!("c.{n} IS NOT NULL")).collect();
        let equal: Vec<String> = names
            .iter()
            .zip(&key.parent_columns)
            .map(|(n, p)| format!("p.{} = c.{n}", quote(p)))
            .collect();
        let sql = format!(
            "SELECT count(*) FROM {child} AS c WHERE {} AND NOT EXISTS \
             (SELECT FROM {} AS p WHERE {})",
            set.join(" AND "),
            TableName::parse(&key.parent)?.sql(),
            equal.join(" AND ")
        );
        let counted = client.query_one(&sql, &[]).await;
        let count: i64 = match counted.and_then(|row| row.try_get(0)) {
            Ok(count) => count,
            Err(e) if e.code() == Some(&SqlState::QUERY_CANCELED) => return Ok(Orphans::Unknown),
            Err(e) => return Err(what()(e)),
        };
        if count > 0 {
            rows += count.unsigned_abs();
            parents.push(key.parent.clone());
        }
    }
    parents.sort();
    parents.dedup();
    Ok(Orphans::Found(rows, parents))
}
