//! What `check` wants to know of a database before anything is begun. Nothing that is done here
//! leaves a trace.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::database::{Inspection, ReadStore};
use crate::error::{Error, ErrorKind, Result};

use super::connect::Access;
use super::error::mysql;
use super::log;
use super::names::quote_table;
use super::schema;
use super::store::MysqlStore;

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

    /// How many rows a table has, counted up to a thousand, and whether there may be more.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn count_some(&self, table: &str) -> Result<(u64, bool)> {
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT {COUNT_MAX}) AS some",
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
