//! The bases of open conflicts, and what rows were before what a copy covers, when their tables get other
//! columns.
//!
//! Both are rows in the target table's form. A column that was added to the target since is in it what
//! SQLite shows in a row from before: its default. Where it is not sure that a column is new (one was
//! renamed or dropped, or it only was not synced before), what the row was is not known any more.

use rusqlite::{Connection, params};

use crate::data::{Value, canonical};
use crate::database::sqlite::error::sqlite;
use crate::database::sqlite::names::Names;
use crate::database::sqlite::value::to_value;
use crate::error::Result;

use super::CaptureTable;
use super::layout::default_of;

/// Which columns the rows of a unit have, and which ones the target's table has beside them.
pub(in crate::database::sqlite) fn shape(target: &CaptureTable) -> Vec<u8> {
    let texts = |names: Vec<String>| Value::Array(names.into_iter().map(Value::Text).collect());
    canonical::encode_exact(&[texts(target.names()), texts(target.rest())])
}

fn names_of(shape: &[u8]) -> Option<(Vec<String>, Vec<String>)> {
    let texts = |value: &Value| -> Option<Vec<String>> {
        let Value::Array(names) = value else {
            return None;
        };
        names
            .iter()
            .map(|name| match name {
                Value::Text(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    };
    match &canonical::decode(shape).ok()?[..] {
        [columns, rest] => Some((texts(columns)?, texts(rest)?)),
        _ => None,
    }
}

/// A row in the form that a table's rows had once.
struct Outdated {
    unit: String,
    key: Vec<u8>,
    row: Option<Vec<u8>>,
    shape: Vec<u8>,
}

/// Brings the bases of open conflicts, and the rows from before what a copy covers, into the form that the
/// rows have from now on.
pub(super) fn rebase(conn: &Connection, names: &Names, targets: &[CaptureTable]) -> Result<()> {
    for (table, row, known) in [("open", "base", "base_known"), ("began", "image", "known")] {
        let table = names.sql(table);
        for target in targets {
            let what = || {
                sqlite(format!(
                    "rearrange what is kept of table {}",
                    target.schema.name
                ))
            };
            let now = shape(target);
            let outdated = conn
                .prepare(&format!(
                    "SELECT unit, key, {row}, shape FROM {table} WHERE unit = ?1 AND shape <> ?2"
                ))
                .and_then(|mut s| {
                    s.query_map(params![target.schema.name, now], |row| {
                        Ok(Outdated {
                            unit: row.get(0)?,
                            key: row.get(1)?,
                            row: row.get(2)?,
                            shape: row.get(3)?,
                        })
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()
                })
                .map_err(what())?;
            for was in outdated {
                let new = match &was.row {
                    Some(row) => convert(conn, target, &canonical::decode(row)?, &was.shape)?,
                    None => None,
                };
                conn.execute(
                    &format!(
                        "UPDATE {table} SET {row} = ?3, {known} = {known} AND ?4, shape = ?5 \
                         WHERE unit = ?1 AND key = ?2"
                    ),
                    params![
                        was.unit,
                        was.key,
                        new,
                        new.is_some() == was.row.is_some(),
                        now
                    ],
                )
                .map_err(what())?;
            }
        }
    }
    Ok(())
}

/// `None` when it cannot be told what the row was.
fn convert(
    conn: &Connection,
    target: &CaptureTable,
    base: &[Value],
    was: &[u8],
) -> Result<Option<Vec<u8>>> {
    let Some((old, old_rest)) = names_of(was) else {
        return Ok(None);
    };
    let there = |name: &String| target.schema.column(name).is_some();
    if base.len() != old.len() || !old.iter().chain(&old_rest).all(there) {
        return Ok(None);
    }
    let mut row = Vec::with_capacity(target.columns.len());
    for (name, &column) in target.names().iter().zip(&target.columns) {
        if let Some(i) = old.iter().position(|o| o == name) {
            row.push(base[i].clone());
        } else if old_rest.contains(name) {
            return Ok(None);
        } else {
            let column = &target.schema.columns[column];
            let default = default_of(conn, column, target.schema.strict)?;
            row.push(to_value((&default).into()));
        }
    }
    Ok(Some(canonical::encode_exact(&row)))
}
