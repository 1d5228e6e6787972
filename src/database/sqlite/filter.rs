//! A mapping's `where`, evaluated by SQLite itself on one row.

use std::sync::Mutex;

use crate::data::{TableSchema, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::mapping::RowFilter;

use super::names::{list, quote};
use super::value::bind;

/// A table in memory with the same columns, holding the one row that is asked about: types,
/// affinities and collations are those of the real table.
#[derive(Debug)]
pub struct SqliteFilter {
    conn: Mutex<rusqlite::Connection>,
    insert: String,
    select: String,
}

impl SqliteFilter {
    /// For rows made of these columns of the table. Fails with `Config` when the expression is not
    /// valid SQL over them.
    pub fn new(schema: &TableSchema, columns: &[usize], expression: &str) -> Result<Self> {
        let bad = |e: rusqlite::Error| {
            Error::new(
                ErrorKind::Config,
                format!("where = {expression:?} of table {}", schema.name),
            )
            .caused_by(e)
            .hint("write it as an SQL expression over mapped columns of the source's table")
        };
        let conn = rusqlite::Connection::open_in_memory().map_err(bad)?;
        let definition: Vec<String> = columns
            .iter()
            .map(|&i| {
                let c = &schema.columns[i];
                let collation = c
                    .collation
                    .as_ref()
                    .map(|c| format!(" COLLATE {}", quote(c)))
                    .unwrap_or_default();
                format!("{} {}{collation}", quote(&c.name), c.declared_type)
            })
            .collect();
        if let Some(encoding) = &schema.encoding {
            // Texts are compared in it.
            conn.pragma_update(None, "encoding", encoding)
                .map_err(bad)?;
        }
        let table = quote(&schema.name);
        conn.execute_batch(&format!("CREATE TABLE {table} ({})", definition.join(", ")))
            .map_err(bad)?;
        let names = columns.iter().map(|&i| schema.columns[i].name.as_str());
        let insert = format!(
            "INSERT INTO {table} ({}) VALUES ({})",
            list(names),
            vec!["?"; columns.len()].join(", ")
        );
        let select = format!("SELECT count(*) FROM {table} WHERE ({expression})");
        conn.prepare(&select).map_err(bad)?;
        Ok(Self {
            conn: Mutex::new(conn),
            insert,
            select,
        })
    }
}

impl RowFilter for SqliteFilter {
    fn matches(&self, row: &[Value]) -> Result<bool, String> {
        let conn = self.conn.lock().map_err(|e| e.to_string())?;
        let run = || -> rusqlite::Result<i64> {
            let tx = conn.unchecked_transaction()?;
            tx.prepare_cached(&self.insert)?
                .execute(rusqlite::params_from_iter(bind(row)))?;
            tx.prepare_cached(&self.select)?
                .query_row([], |row| row.get(0))
        };
        run().map(|n| n > 0).map_err(|e| e.to_string())
    }
}
