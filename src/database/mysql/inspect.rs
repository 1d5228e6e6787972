//! What `check` wants to know of a database before anything is begun. Nothing that is done here
//! leaves a trace.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::data::TableSchema;
use crate::database::{Inspection, Orphans, ReadStore};
use crate::error::{Error, ErrorKind, Result};

use super::connect::Access;
use super::error::{code, mysql};
use super::log;
use super::names::{quote, quote_table, split};
use super::schema;
use super::store::MysqlStore;

/// How long a look at one foreign key may take.
const LOOK_MAX_S: u32 = 5;
/// Rows are counted up to here.
const COUNT_MAX: u64 = 1_000;

impl MysqlStore {
    /// Whether the database can be read, and written as installing capture does. The table that is
    /// created for that is dropped again.
    ///
    /// # Errors
    /// `Store` when it may not be written or the server is too old, `Unavailable` when it cannot be
    /// reached.
    pub async fn inspect(&self) -> Result<Inspection> {
        let mut conn = self.connect(Access::Write).await?;
        let looked = async {
            schema::tables(&mut conn).await?;
            try_to_write(&mut conn).await?;
            self.notes(&mut conn).await
        }
        .await;
        let notes = looked.map_err(|e| self.named(e))?;
        Ok(Inspection { notes })
    }

    /// The server's version, as it says it.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn version(&self) -> Result<String> {
        if self.server().version().is_none() {
            drop(self.connect(Access::Read).await?);
        }
        Ok(self
            .server()
            .version()
            .map(|v| v.text.clone())
            .unwrap_or_default())
    }

    /// What works, but not well, when Banyan writes into these tables.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn notes_on(&self, tables: &[&str]) -> Result<Vec<(String, String)>> {
        let mut notes = Vec::new();
        for table in tables {
            let schema = self.schema(table).await?;
            if !schema.triggers.is_empty() {
                notes.push((
                    format!(
                        "table {} has the triggers {}: they fire for rows that Banyan writes, too",
                        schema.name,
                        schema.triggers.join(", ")
                    ),
                    "make sure that they do not change rows that the other side changes as well, \
                     or drop them for the time of the migration"
                        .to_owned(),
                ));
            }
        }
        Ok(notes)
    }

    /// Rows of a table whose parents are missing. Looks for five seconds at each foreign key.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn orphans(&self, table: &str) -> Result<Orphans> {
        let mut conn = self.connect(Access::Read).await?;
        let mariadb = self.server().is_mariadb();
        let looked = async {
            let table = schema::table(&mut conn, table).await?;
            find_orphans(&mut conn, &table, mariadb).await
        }
        .await;
        looked.map_err(|e| self.named(e))
    }

    async fn notes(&self, conn: &mut Conn) -> Result<Vec<(String, String)>> {
        let mut notes = Vec::new();
        let mut note = |what: String, advice: &str| notes.push((what, advice.to_owned()));
        let settings: Vec<(String, String)> = conn
            .query(
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', \
                 'binlog_row_image', 'read_only', 'binlog_row_value_options', 'log_bin_compress')",
            )
            .await
            .map_err(mysql("read the server's settings"))?;
        let setting = |name: &str| {
            settings
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.as_str())
                .unwrap_or_default()
        };
        if !setting("log_bin").eq_ignore_ascii_case("ON") {
            note(
                "the server keeps no binary log, so that changes cannot be captured from it"
                    .to_owned(),
                "set log_bin, binlog_format=ROW and binlog_row_image=FULL in its configuration \
                 and restart it",
            );
            return Ok(notes);
        }
        if !setting("binlog_format").eq_ignore_ascii_case("ROW") {
            note(
                format!(
                    "its binlog_format is {}: changes may be logged as statements",
                    setting("binlog_format")
                ),
                "run SET GLOBAL binlog_format = 'ROW', and let the application connect anew",
            );
        }
        if !setting("binlog_row_image").eq_ignore_ascii_case("FULL") {
            note(
                format!(
                    "its binlog_row_image is {}: rows are not logged whole",
                    setting("binlog_row_image")
                ),
                "run SET GLOBAL binlog_row_image = 'FULL', and let the application connect anew",
            );
        }
        if setting("binlog_row_value_options").contains("PARTIAL_JSON") {
            note(
                "its binlog_row_value_options is PARTIAL_JSON: changed JSON is not logged whole"
                    .to_owned(),
                "run SET GLOBAL binlog_row_value_options = ''",
            );
        }
        if let Err(error) = log::end(self.server(), conn).await {
            if error.kind() != ErrorKind::Store {
                return Err(error);
            }
            note(
                error.to_string(),
                error.hints().first().map_or("", String::as_str),
            );
        }
        Ok(notes)
    }

    /// How many rows a table has after the engine's statistics; `None` without any.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn estimated_rows(&self, table: &str) -> Result<Option<u64>> {
        let (database, name) = split(table);
        let sql = "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE \
                   TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?";
        let mut conn = self.connect(Access::Read).await?;
        let rows: Option<Option<u64>> = conn
            .exec_first(sql, (database, name))
            .await
            .map_err(mysql(format!("estimate the rows of table {table}")))
            .map_err(|e| self.named(e))?;
        Ok(rows.flatten())
    }

    /// How many rows a table has, counted up to a thousand, and whether there may be more.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn count_some(&self, table: &str) -> Result<(u64, bool)> {
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT {COUNT_MAX}) AS counted",
            quote_table(table)
        );
        let mut conn = self.connect(Access::Read).await?;
        let rows: Option<u64> = conn
            .query_first(sql)
            .await
            .map_err(mysql(format!("count the rows of table {table}")))
            .map_err(|e| self.named(e))?;
        let rows = rows.ok_or_else(|| Error::new(ErrorKind::Internal, "a count without a row"))?;
        Ok((rows, rows >= COUNT_MAX))
    }
}

/// Counts the rows whose parents are missing.
async fn find_orphans(conn: &mut Conn, table: &TableSchema, mariadb: bool) -> Result<Orphans> {
    let mut orphans = 0;
    let mut parents = Vec::new();
    for key in &table.foreign_keys {
        let child = |i: &usize| format!("c.{}", quote(&table.columns[*i].name));
        let joined: Vec<String> = key
            .columns
            .iter()
            .zip(&key.parent_columns)
            .map(|(c, p)| format!("{} = p.{}", child(c), quote(p)))
            .collect();
        let refers: Vec<String> = key
            .columns
            .iter()
            .map(|c| format!("{} IS NOT NULL", child(c)))
            .collect();
        let first = key.parent_columns.first().map(|p| quote(p));
        let (before, hint) = if mariadb {
            (
                format!("SET STATEMENT max_statement_time = {LOOK_MAX_S} FOR "),
                String::new(),
            )
        } else {
            (
                String::new(),
                format!("/*+ MAX_EXECUTION_TIME({LOOK_MAX_S}000) */ "),
            )
        };
        let sql = format!(
            "{before}SELECT {hint}COUNT(*) FROM {} AS c LEFT JOIN {} AS p ON {} \
             WHERE {} AND p.{} IS NULL",
            quote_table(&table.name),
            quote_table(&key.parent),
            joined.join(" AND "),
            refers.join(" AND "),
            first.unwrap_or_default()
        );
        let found: Option<u64> = match conn.query_first(sql).await {
            Ok(found) => found,
            // It took too long.
            Err(e) if matches!(code(&e), Some(1969 | 3024)) => return Ok(Orphans::Unknown),
            Err(e) => {
                let what = format!("check the foreign keys of table {}", table.name);
                return Err(mysql(what)(e));
            }
        };
        let found = found.unwrap_or(0);
        if found > 0 {
            orphans += found;
            if !parents.contains(&key.parent) {
                parents.push(key.parent.clone());
            }
        }
    }
    Ok(Orphans::Found(orphans, parents))
}

/// Creates and drops a table.
async fn try_to_write(conn: &mut Conn) -> Result<()> {
    const NAME: &str = "`_banyan_check`";
    conn.query_drop(format!(
        "CREATE TABLE IF NOT EXISTS {NAME} (c INT PRIMARY KEY) ENGINE = InnoDB"
    ))
    .await
    .map_err(mysql("create a table"))?;
    let written = conn
        .query_drop(format!("INSERT INTO {NAME} VALUES (1)"))
        .await
        .map_err(mysql("write a row"));
    conn.query_drop(format!("DROP TABLE IF EXISTS {NAME}"))
        .await
        .map_err(mysql("drop the table _banyan_check"))?;
    written
}
