//! Looking for what stands in a row's way: who holds its unique values, which parents are missing,
//! which children are left.
//!
//! All looks are locking ones (`LOCK IN SHARE MODE`): they see the newest rows, and what they saw
//! stays until the end of the transaction.

use std::collections::HashMap;

use mysql_async::{Row as WireRow, Value as Wire};

use crate::data::{Key, Row, Value};
use crate::error::{Error, ErrorKind, Result};

use super::names::{list, quote, quote_table, split};
use super::table::{MysqlTable, decode, place};
use super::tx::MysqlTx;
use super::value::Codec;

/// Keys in one statement at most.
const KEYS_MAX: usize = 256;

/// What else is to be known of a table.
#[derive(Debug, Default)]
pub(super) struct Links {
    uniques: Vec<Unique>,
    children: Vec<Child>,
}

/// A unique key whose columns are all mapped.
#[derive(Debug)]
struct Unique {
    /// Mapped columns, and how much of them is looked at.
    parts: Vec<(usize, Option<usize>)>,
}

/// A foreign key of another table, or of the same, that refers to mapped columns of this one.
#[derive(Debug)]
struct Child {
    /// The table, as the store names it.
    table: String,
    columns: Vec<String>,
    /// Mapped columns of this table.
    cells: Vec<usize>,
    /// Their names.
    parents: Vec<String>,
}

fn text(row: &mut WireRow, index: usize) -> Result<String> {
    row.take_opt::<String, _>(index)
        .and_then(std::result::Result::ok)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Store,
                format!("column {index} of the server's catalogue is not what was expected"),
            )
        })
}

/// `a = ? AND b = ?`
fn equal(columns: &[&str], codecs: &[&Codec]) -> String {
    let parts: Vec<String> = columns
        .iter()
        .zip(codecs)
        .map(|(column, codec)| format!("{} = {}", quote(column), place(codec)))
        .collect();
    parts.join(" AND ")
}

/// `(a, b) IN ((?, ?), …)`
fn among(columns: &[&str], codecs: &[&Codec], count: usize) -> String {
    let several = columns.len() > 1;
    let parenthesized = |text: String| {
        if several { format!("({text})") } else { text }
    };
    let places: Vec<String> = codecs.iter().map(|c| place(c)).collect();
    let one = parenthesized(places.join(", "));
    format!(
        "{} IN ({})",
        parenthesized(list(columns.iter().copied())),
        vec![one; count].join(", ")
    )
}

fn show(cells: &[Value]) -> String {
    let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
    format!("({})", cells.join(", "))
}

/// The rows' cells at these places, each distinct one once, with the rows that have it. Rows with a
/// NULL among them refer to nothing.
fn distinct(rows: &[&Row], cells: &[usize]) -> Vec<(Row, Vec<usize>)> {
    let mut places: HashMap<Row, usize> = HashMap::new();
    let mut out: Vec<(Row, Vec<usize>)> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let picked: Row = cells.iter().map(|&c| row[c].clone()).collect();
        if picked.iter().any(Value::is_null) {
            continue;
        }
        let at = *places.entry(picked.clone()).or_insert(out.len());
        if at == out.len() {
            out.push((picked, Vec::new()));
        }
        out[at].1.push(i);
    }
    out
}

/// Cells as parameters; `None` when no row can have them.
fn wires(codecs: &[&Codec], cells: &[Value]) -> Option<Vec<Wire>> {
    codecs
        .iter()
        .zip(cells)
        .map(|(codec, cell)| codec.encode(cell.into()).ok())
        .collect()
}

impl MysqlTx {
    async fn links<'t>(&mut self, table: &'t MysqlTable) -> Result<&'t Links> {
        if let Some(known) = table.links.get() {
            return Ok(known);
        }
        let links = self.read_links(table).await?;
        Ok(table.links.get_or_init(|| async { links }).await)
    }

    async fn read_links(&mut self, table: &MysqlTable) -> Result<Links> {
        let own = self.store.server().database().to_owned();
        let (database, name) = split(&table.name);
        let database = database.unwrap_or(&own);
        let parameters = || {
            [database, name]
                .iter()
                .map(|v| Wire::Bytes(v.as_bytes().to_vec()))
                .collect::<Vec<_>>()
        };
        let mapped = |column: &str| {
            table
                .columns
                .iter()
                .position(|c| c.eq_ignore_ascii_case(column))
        };
        let what = format!("read the unique keys of table {}", table.name);
        let mut rows = self
            .look(
                &what,
                "SELECT INDEX_NAME, COALESCE(COLUMN_NAME, ''), COALESCE(CAST(SUB_PART AS CHAR), '') \
                 FROM information_schema.STATISTICS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
                 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
                parameters(),
            )
            .await?;
        let mut uniques: Vec<(String, Option<Unique>)> = Vec::new();
        for row in &mut rows {
            let index = text(row, 0)?;
            let column = mapped(&text(row, 1)?);
            let prefix = text(row, 2)?.parse().ok();
            if uniques.last().is_none_or(|(last, _)| *last != index) {
                uniques.push((index, Some(Unique { parts: Vec::new() })));
            }
            if let Some((_, unique)) = uniques.last_mut() {
                // An expression, or a column that is not mapped: its value is not known.
                match (column, unique.as_mut()) {
                    (Some(column), Some(unique)) => unique.parts.push((column, prefix)),
                    _ => *unique = None,
                }
            }
        }
        let what = format!("read the foreign keys that refer to table {}", table.name);
        let mut rows = self
            .look(
                &what,
                "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, \
                 REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
                 WHERE REFERENCED_TABLE_SCHEMA = ? AND REFERENCED_TABLE_NAME = ? \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION",
                parameters(),
            )
            .await?;
        let mut children: Vec<((String, String, String), Option<Child>)> = Vec::new();
        for row in &mut rows {
            let id = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
            let (column, parent) = (text(row, 3)?, text(row, 4)?);
            if children.last().is_none_or(|(last, _)| *last != id) {
                let child = if id.0 == own {
                    id.1.clone()
                } else {
                    format!("{}.{}", id.0, id.1)
                };
                let child = Child {
                    table: child,
                    columns: Vec::new(),
                    cells: Vec::new(),
                    parents: Vec::new(),
                };
                children.push((id, Some(child)));
            }
            if let Some((_, child)) = children.last_mut() {
                match (mapped(&parent), child.as_mut()) {
                    (Some(cell), Some(child)) => {
                        child.columns.push(column);
                        child.cells.push(cell);
                        child.parents.push(parent);
                    }
                    _ => *child = None,
                }
            }
        }
        Ok(Links {
            uniques: uniques.into_iter().filter_map(|(_, u)| u).collect(),
            children: children.into_iter().filter_map(|(_, c)| c).collect(),
        })
    }

    /// See [`Tx::holders`](crate::database::server::driver::Tx::holders).
    pub(super) async fn find_holders(&mut self, table: &MysqlTable, row: &Row) -> Result<Vec<Key>> {
        let own = Key::of(row, &table.key);
        let what = format!("find who holds a unique value of table {}", table.name);
        let key_list = list(table.key.iter().map(|&k| table.columns[k].as_str()));
        let key_codecs: Vec<Codec> = table.key.iter().map(|&k| table.codecs[k].clone()).collect();
        let links = self.links(table).await?;
        let mut holders = Vec::new();
        for unique in &links.uniques {
            let mut conditions = Vec::new();
            let mut parameters = Vec::new();
            for &(cell, prefix) in &unique.parts {
                let codec = &table.codecs[cell];
                let column = quote(&table.columns[cell]);
                let Some(mut wire) = codec.encode((&row[cell]).into()).ok() else {
                    break;
                };
                conditions.push(match prefix {
                    None => format!("{column} = {}", place(codec)),
                    Some(most) => {
                        cut(&mut wire, &row[cell], most);
                        format!("LEFT({column}, {most}) = ?")
                    }
                });
                parameters.push(wire);
            }
            // NULLs are never equal.
            if conditions.len() < unique.parts.len() || parameters.contains(&Wire::NULL) {
                continue;
            }
            let sql = format!(
                "SELECT {key_list} FROM {} WHERE {} LOCK IN SHARE MODE",
                table.sql,
                conditions.join(" AND ")
            );
            for found in self.look(&what, &sql, parameters).await? {
                let key = Key(decode(&key_codecs, found)?);
                if key != own && !holders.contains(&key) {
                    holders.push(key);
                }
            }
        }
        Ok(holders)
    }

    /// See [`Tx::missing_parents`](crate::database::server::driver::Tx::missing_parents).
    pub(super) async fn find_missing_parents(
        &mut self,
        table: &MysqlTable,
        rows: &[&Row],
    ) -> Result<Vec<(usize, String)>> {
        let mut missing = Vec::new();
        for key in &table.sync.schema.foreign_keys {
            let mapped = |c: &usize| table.sync.columns.iter().position(|m| m == c);
            let Some(cells) = key.columns.iter().map(mapped).collect::<Option<Vec<_>>>() else {
                continue;
            };
            let codecs: Vec<&Codec> = cells.iter().map(|&c| &table.codecs[c]).collect();
            let owned: Vec<Codec> = codecs.iter().map(|&c| c.clone()).collect();
            let columns: Vec<&str> = key.parent_columns.iter().map(String::as_str).collect();
            let parent = quote_table(&key.parent);
            let what = format!("look for parents in table {}", key.parent);
            for part in distinct(rows, &cells).chunks(KEYS_MAX) {
                let mut known: Vec<Row> = Vec::new();
                let all: Vec<Wire> = part
                    .iter()
                    .filter_map(|(cells, _)| wires(&codecs, cells))
                    .flatten()
                    .collect();
                let count = all.len() / codecs.len().max(1);
                if count > 0 {
                    let sql = format!(
                        "SELECT {} FROM {parent} WHERE {} LOCK IN SHARE MODE",
                        list(columns.iter().copied()),
                        among(&columns, &codecs, count)
                    );
                    for row in self.look(&what, &sql, all).await? {
                        known.push(decode(&owned, row)?);
                    }
                }
                let known: std::collections::HashSet<&Row> = known.iter().collect();
                for (cells, of) in part {
                    if known.contains(cells) {
                        continue;
                    }
                    // The server may call another spelling equal.
                    if let Some(wires) = wires(&codecs, cells) {
                        let sql = format!(
                            "SELECT 1 FROM {parent} WHERE {} LIMIT 1 LOCK IN SHARE MODE",
                            equal(&columns, &codecs)
                        );
                        if !self.look(&what, &sql, wires).await?.is_empty() {
                            continue;
                        }
                    }
                    let reason = format!(
                        "{} ({}) has no row {}",
                        key.parent,
                        columns.join(", "),
                        show(cells)
                    );
                    missing.extend(of.iter().map(|&i| (i, reason.clone())));
                }
            }
        }
        Ok(missing)
    }

    /// See [`Tx::children`](crate::database::server::driver::Tx::children).
    pub(super) async fn find_children(
        &mut self,
        table: &MysqlTable,
        rows: &[&Row],
    ) -> Result<Vec<(usize, String)>> {
        let links = self.links(table).await?;
        let mut left = Vec::new();
        for child in &links.children {
            let codecs: Vec<&Codec> = child.cells.iter().map(|&c| &table.codecs[c]).collect();
            let columns: Vec<&str> = child.columns.iter().map(String::as_str).collect();
            let parents: Vec<&str> = child.parents.iter().map(String::as_str).collect();
            let from = quote_table(&child.table);
            let what = format!("look for children in table {}", child.table);
            for part in distinct(rows, &child.cells).chunks(KEYS_MAX) {
                let all: Vec<Wire> = part
                    .iter()
                    .filter_map(|(cells, _)| wires(&codecs, cells))
                    .flatten()
                    .collect();
                let count = all.len() / codecs.len().max(1);
                if count == 0 {
                    continue;
                }
                let sql = format!(
                    "SELECT 1 FROM {from} WHERE {} LIMIT 1 LOCK IN SHARE MODE",
                    among(&columns, &codecs, count)
                );
                if self.look(&what, &sql, all).await?.is_empty() {
                    continue;
                }
                for (cells, of) in part {
                    let Some(wires) = wires(&codecs, cells) else {
                        continue;
                    };
                    let refers = format!(
                        "SELECT 1 FROM {from} WHERE {} LIMIT 1 LOCK IN SHARE MODE",
                        equal(&columns, &codecs)
                    );
                    if self.look(&what, &refers, wires.clone()).await?.is_empty() {
                        continue;
                    }
                    let stands = format!(
                        "SELECT 1 FROM {} WHERE {} LIMIT 1 LOCK IN SHARE MODE",
                        table.sql,
                        equal(&parents, &codecs)
                    );
                    if !self.look(&what, &stands, wires).await?.is_empty() {
                        continue;
                    }
                    let reason = format!(
                        "{} ({}) still refers to {}",
                        child.table,
                        columns.join(", "),
                        show(cells)
                    );
                    left.extend(of.iter().map(|&i| (i, reason.clone())));
                }
            }
        }
        Ok(left)
    }
}

/// So many characters of a text, bytes of bytes.
fn cut(wire: &mut Wire, cell: &Value, most: usize) {
    if let Wire::Bytes(bytes) = wire {
        let end = match cell {
            Value::Text(text) => text.char_indices().nth(most).map(|(at, _)| at),
            _ => Some(most).filter(|&most| most < bytes.len()),
        };
        if let Some(end) = end {
            bytes.truncate(end);
        }
    }
}
