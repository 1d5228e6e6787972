//! What `check` wants to know of a database before anything is begun. Nothing that is done here
//! leaves a trace.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::data::TableSchema;
use crate::database::{Inspection, Orphans, ReadStore};
use crate::error::{Error, ErrorKind, Result};

use super::error::sqlite;
use super::names::quote;
use super::schema;
use super::session::Access;
use super::store::SqliteStore;

/// How long a look through one table's rows may take.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Rows are counted up to here.
const COUNT_MAX: u64 = 1_000;

impl SqliteStore {
    /// Whether the database can be read, and written as installing capture does. What is written is
    /// rolled back.
    ///
    /// # Errors
    /// `Store` when it is no database or may not be written, `Busy` when it is locked.
    pub async fn inspect(&self) -> Result<Inspection> {
        let path = self.path().display().to_string();
        self.with(Access::Application, move |session| {
            let conn = session.conn();
            let journal_mode: String = conn
                .query_row("PRAGMA journal_mode", [], |row| row.get(0))
                .map_err(sqlite(format!("read the settings of {path}")))?;
            schema::tables(conn)?;
            let tried =
                conn.execute_batch("BEGIN IMMEDIATE; CREATE TABLE \"_banyan_check\" (c); ROLLBACK");
            if let Err(e) = tried {
                drop(conn.execute_batch("ROLLBACK"));
                return Err(match e.sqlite_error_code() {
                    Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                        Error::new(ErrorKind::Store, format!("{path} cannot be written"))
                            .caused_by(e.to_string())
                            .hint("give this user the right to write the file and its folder")
                    }
                    _ => sqlite(format!("write {path}"))(e),
                });
            }
            let mut inspection = Inspection::default();
            if !journal_mode.eq_ignore_ascii_case("wal") {
                inspection.notes.push((
                    format!(
                        "its journal_mode is {journal_mode}: readers and writers block each \
                         other, your application's and Banyan's"
                    ),
                    "run PRAGMA journal_mode = WAL once in this database; it stays".to_owned(),
                ));
            }
            Ok(inspection)
        })
        .await
    }

    /// How many rows a table has, counted up to a thousand, and whether there may be more.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn count_some(&self, table: &str) -> Result<(u64, bool)> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {COUNT_MAX})",
            quote(table)
        );
        let what = format!("count the rows of table {table}");
        self.with(Access::Read, move |session| {
            session
                .conn()
                .query_row(&sql, [], |row| row.get::<_, i64>(0))
                .map(|rows| (rows.unsigned_abs(), rows.unsigned_abs() >= COUNT_MAX))
                .map_err(sqlite(what))
        })
        .await
    }

    /// Rows of a table that violate its foreign keys. Looks for five seconds at most.
    ///
    /// # Errors
    /// Those of reading, and `Schema` when a foreign key refers to columns that are not unique.
    pub async fn orphans(&self, table: &str) -> Result<Orphans> {
        let session = self.session(Access::Read).await?;
        let interrupt = session.conn().get_interrupt_handle();
        let name = table.to_owned();
        let look = tokio::task::spawn_blocking(move || find_orphans(session.conn(), &name));
        tokio::pin!(look);
        let looked = tokio::select! {
            looked = &mut look => looked,
            () = tokio::time::sleep(LOOK_MAX) => {
                interrupt.interrupt();
                look.await
            }
        };
        looked
            .map_err(|e| Error::new(ErrorKind::Internal, "a store's thread panicked").caused_by(e))?
            .map_err(|e| e.at(format!("store {}", self.name())))
    }

    /// Foreign keys that refer to `parents` from columns without an index: looking for a row's
    /// children then reads the whole table. Table and columns, in order.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn unindexed_children(&self, parents: &[&str]) -> Result<Vec<(String, Vec<String>)>> {
        let parents: Vec<String> = parents.iter().map(|p| (*p).to_owned()).collect();
        self.with(Access::Read, move |session| {
            let conn = session.conn();
            let mut found = Vec::new();
            for table in schema::tables(conn)? {
                let table = schema::table(conn, &table)?;
                let leading = leading_columns(conn, &table)?;
                for key in &table.foreign_keys {
                    let wanted = parents.iter().any(|p| p.eq_ignore_ascii_case(&key.parent));
                    if !wanted || key.columns.iter().any(|c| leading.contains(c)) {
                        continue;
                    }
                    let columns = key.columns.iter().map(|&i| table.columns[i].name.clone());
                    found.push((table.name.clone(), columns.collect()));
                }
            }
            Ok(found)
        })
        .await
    }
}

fn find_orphans(conn: &Connection, table: &str) -> Result<Orphans> {
    let found = conn
        .prepare("SELECT parent, count(*) FROM pragma_foreign_key_check(?1) GROUP BY parent")
        .and_then(|mut stmt| {
            stmt.query_map([table], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()
        });
    match found {
        Ok(found) => Ok(Orphans::Found(
            found.iter().map(|(_, count)| count.unsigned_abs()).sum(),
            found.into_iter().map(|(parent, _)| parent).collect(),
        )),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Ok(Orphans::Unknown)
        }
        Err(e) => Err(sqlite(format!("check the foreign keys of table {table}"))(
            e,
        )),
    }
}

/// The columns with which an index over all rows begins, the primary key's included.
fn leading_columns(conn: &Connection, table: &TableSchema) -> Result<Vec<usize>> {
    let mut leading: Vec<usize> = conn
        .prepare(
            "SELECT i.name FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS i \
             WHERE NOT l.partial AND i.seqno = 0 AND i.name IS NOT NULL",
        )
        .and_then(|mut stmt| {
            stmt.query_map([&table.name], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()
        })
        .map_err(sqlite(format!("read the indexes of table {}", table.name)))?
        .iter()
        .filter_map(|name| table.column(name))
        .collect();
    leading.extend(table.key.first());
    Ok(leading)
}
