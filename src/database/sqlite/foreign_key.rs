//! Foreign keys, checked by us.
//!
//! Writes of ours run with SQLite's enforcement off: its actions (CASCADE, SET NULL) would change
//! rows that the other side does not change. So after a batch is written, and before it is
//! committed, every written row's parents and every removed row's children are looked up: the same
//! look-ups that SQLite would do, but naming the row.

use rusqlite::Connection;

use crate::data::{Row, TableSchema, Value};
use crate::database::{Outcome, RowChange};
use crate::error::Result;
use crate::rule::ConflictKind;

use super::error::sqlite;
use super::names::{list, quote};
use super::value::bind;
use crate::database::SyncTable;

/// The foreign keys that touch one table.
#[derive(Clone, Debug, Default)]
pub(super) struct ForeignKeys {
    parents: Vec<Link>,
    children: Vec<Link>,
}

/// A look-up: cells of a written row, and the statement that finds the other end.
#[derive(Clone, Debug)]
struct Link {
    /// Indexes into the captured columns.
    cells: Vec<usize>,
    /// Finds a parent with these cells, or a child that refers to them.
    find: String,
    /// For a child: finds another row of this table that has the cells.
    still_there: Option<String>,
    /// `customers (id)`.
    name: String,
}

fn exists(table: &str, columns: &[String]) -> String {
    let conditions: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(i, c)| format!("{} = ?{}", quote(c), i + 1))
        .collect();
    format!(
        "SELECT 1 FROM {} WHERE {} LIMIT 1",
        quote(table),
        conditions.join(" AND ")
    )
}

impl ForeignKeys {
    /// Those of `table`, given the schemas of all tables of the store.
    pub(super) fn of(table: &SyncTable, all: &[TableSchema]) -> Self {
        let cells = |columns: &mut dyn Iterator<Item = usize>| -> Option<Vec<usize>> {
            columns
                .map(|c| table.columns.iter().position(|&m| m == c))
                .collect()
        };
        let mut out = Self::default();
        for key in &table.schema.foreign_keys {
            if let Some(cells) = cells(&mut key.columns.iter().copied()) {
                out.parents.push(Link {
                    cells,
                    find: exists(&key.parent, &key.parent_columns),
                    still_there: None,
                    name: format!("{} ({})", key.parent, key.parent_columns.join(", ")),
                });
            }
        }
        for child in all {
            for key in &child.foreign_keys {
                if !key.parent.eq_ignore_ascii_case(&table.schema.name) {
                    continue;
                }
                let mut parents = key
                    .parent_columns
                    .iter()
                    .map(|c| table.schema.column(c).unwrap_or(usize::MAX));
                if let Some(cells) = cells(&mut parents) {
                    let columns: Vec<String> = key
                        .columns
                        .iter()
                        .map(|&i| child.columns[i].name.clone())
                        .collect();
                    out.children.push(Link {
                        cells,
                        find: exists(&child.name, &columns),
                        still_there: Some(exists(&table.schema.name, &key.parent_columns)),
                        name: format!(
                            "{} ({})",
                            child.name,
                            list(columns.iter().map(String::as_str)).replace('"', "")
                        ),
                    });
                }
            }
        }
        out
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parents.is_empty() && self.children.is_empty()
    }

    /// What a written change violates, if anything.
    pub(super) fn violation(
        &self,
        conn: &Connection,
        change: &RowChange,
    ) -> Result<Option<Outcome>> {
        let pick = |row: &Row, link: &Link| -> Vec<Value> {
            link.cells.iter().map(|&i| row[i].clone()).collect()
        };
        let found = |sql: &str, cells: &[Value]| -> Result<bool> {
            conn.prepare_cached(sql)
                .and_then(|mut s| s.exists(rusqlite::params_from_iter(bind(cells))))
                .map_err(sqlite("look up a foreign key"))
        };
        if let Some(after) = &change.after {
            for link in &self.parents {
                let cells = pick(after, link);
                let same = change
                    .expect
                    .as_ref()
                    .is_some_and(|e| pick(e, link) == cells);
                if same || cells.iter().any(Value::is_null) || found(&link.find, &cells)? {
                    continue;
                }
                return Ok(Some(Outcome::Blocked {
                    kind: ConflictKind::FkParentMissing,
                    reason: format!("{} has no row {}", link.name, show(&cells)),
                }));
            }
        }
        if let Some(before) = &change.expect {
            for link in &self.children {
                let cells = pick(before, link);
                let same = change
                    .after
                    .as_ref()
                    .is_some_and(|a| pick(a, link) == cells);
                if same || cells.iter().any(Value::is_null) || !found(&link.find, &cells)? {
                    continue;
                }
                if let Some(sql) = &link.still_there
                    && found(sql, &cells)?
                {
                    continue;
                }
                return Ok(Some(Outcome::Blocked {
                    kind: ConflictKind::FkChildExists,
                    reason: format!("{} still refers to {}", link.name, show(&cells)),
                }));
            }
        }
        Ok(None)
    }
}

fn show(cells: &[Value]) -> String {
    let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
    format!("({})", cells.join(", "))
}
