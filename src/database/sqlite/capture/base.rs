//! The bases of open conflicts when their rows get other columns.
//!
//! A base is what both sides had in common, in the target table's form. A column that was added to
//! the target since is in it what SQLite shows in a row from before: its default. Where it is not
//! sure that a column is new (one was renamed or dropped, or it only was not synced before), what
//! both sides had in common is not known any more.

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

/// Brings the bases of open conflicts into the form that the rows have from now on.
pub(super) fn rebase(conn: &Connection, names: &Names, targets: &[CaptureTable]) -> Result<()> {
    let open = names.sql("open");
    for target in targets {
        let what = || {
            sqlite(format!(
                "rearrange the conflicts of table {}",
                target.schema.name
            ))
        };
        let now = shape(target);
        let outdated = conn
            .prepare(&format!(
                "SELECT id, base, shape FROM {open} WHERE unit = ?1 AND shape <> ?2"
            ))
            .and_then(|mut s| {
                s.query_map(params![target.schema.name, now], |row| {
                    Ok((
                        row.get::<_, i64>(0)?,
                        row.get::<_, Option<Vec<u8>>>(1)?,
                        row.get::<_, Vec<u8>>(2)?,
                    ))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
            })
            .map_err(what())?;
        for (id, base, was) in outdated {
            let new = match &base {
                Some(base) => convert(conn, target, &canonical::decode(base)?, &was)?,
                None => None,
            };
            conn.execute(
                &format!(
                    "UPDATE {open} SET base = ?2, base_known = base_known AND ?3, shape = ?4 \
                     WHERE id = ?1"
                ),
                params![id, new, new.is_some() == base.is_some(), now],
            )
            .map_err(what())?;
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
