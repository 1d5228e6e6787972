//! Introspection.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::data::{Column, ForeignKey, Generated, LogicalType, TableSchema, UniqueKey};
use crate::error::{Error, ErrorKind, Result};

use super::error::sqlite;
use super::names::{PREFIX, quote};

/// The application's tables, sorted: ordinary ones, neither SQLite's, nor ours, nor virtual.
pub(super) fn tables(conn: &Connection) -> Result<Vec<String>> {
    let what = || sqlite("list the tables");
    let mut stmt = conn
        .prepare_cached(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )
        .map_err(what())?;
    let names = stmt
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(what())?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(what())?;
    Ok(names
        .into_iter()
        .filter(|n| !n.starts_with(PREFIX))
        .collect())
}

/// The application's views, sorted.
pub(super) fn views(conn: &Connection) -> Result<Vec<String>> {
    let what = || sqlite("list the views");
    conn.prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")
        .map_err(what())?
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(what())?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(what())
}

/// What a declared type is meant to hold.
fn logical(declared: &str) -> LogicalType {
    let upper = declared.to_ascii_uppercase();
    let has = |s: &str| upper.contains(s);
    if upper.is_empty() || upper == "ANY" {
        LogicalType::Any
    } else if has("BOOL") {
        LogicalType::Bool
    } else if has("INT") {
        LogicalType::Int
    } else if has("JSON") {
        LogicalType::Json
    } else if has("UUID") {
        LogicalType::Uuid
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        LogicalType::Text
    } else if has("BLOB") || has("BINARY") {
        LogicalType::Bytes
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        LogicalType::Float
    } else if has("DATETIME") || has("TIMESTAMP") {
        LogicalType::Timestamp
    } else if has("DATE") {
        LogicalType::Date
    } else if has("TIME") {
        LogicalType::Time
    } else if has("DEC") || has("NUM") {
        LogicalType::Decimal
    } else {
        LogicalType::Any
    }
}

/// Fails with `NotFound`, naming the nearest table, when there is none of that name.
pub(super) fn table(conn: &Connection, name: &str) -> Result<TableSchema> {
    let what = || sqlite(format!("read the schema of table {name}"));
    let found = conn
        .prepare_cached(
            "SELECT name, wr, strict FROM pragma_table_list \
             WHERE schema = 'main' AND type = 'table' AND name = ?1 COLLATE NOCASE",
        )
        .map_err(what())?
        .query_map([name], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, bool>(1)?,
                row.get::<_, bool>(2)?,
            ))
        })
        .map_err(what())?
        .next()
        .transpose()
        .map_err(what())?;
    let Some((name, without_rowid, strict)) = found else {
        let mut error = Error::new(ErrorKind::NotFound, format!("there is no table {name}"));
        let view = views(conn)?
            .into_iter()
            .find(|v| v.eq_ignore_ascii_case(name));
        if let Some(view) = view {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no table {name}: {view} is a view"),
            )
            .hint("name the tables behind it; a view's rows come from them"));
        }
        let tables = tables(conn)?;
        let nearest = tables
            .iter()
            .map(|t| (strsim::jaro_winkler(t, name), t))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((score, nearest)) = nearest {
            error = if score > 0.8 {
                error.hint(format!("did you mean {nearest}?"))
            } else {
                error.hint(format!("its tables are: {}", tables.join(", ")))
            };
        } else {
            let file = conn.path().unwrap_or_default();
            error = error.hint(format!(
                "the database has no tables at all; is {file} the right file?"
            ));
        }
        return Err(error);
    };
    let (mut columns, pk) = columns(conn, &name)?;
    let (unique, key_collations) = indexes(conn, &name, &columns, &pk)?;
    for (i, collation) in key_collations {
        columns[i].collation = Some(collation);
    }
    for column in columns.iter_mut().filter(|c| c.collation.is_none()) {
        let (_, collation, ..) = conn
            .column_metadata(Some("main"), name.as_str(), column.name.as_str())
            .map_err(what())?;
        column.collation = collation
            .map(|c| c.to_string_lossy().into_owned())
            .filter(|c| c != "BINARY");
    }
    if without_rowid {
        for &i in &pk {
            columns[i].nullable = false;
        }
    }
    let key = if pk.is_empty() {
        natural_key(&columns, &unique)
    } else {
        pk
    };
    let foreign_keys = foreign_keys(conn, &name, &columns)?;
    let triggers = conn
        .prepare_cached(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 \
             COLLATE NOCASE ORDER BY name",
        )
        .map_err(what())?
        .query_map([&name], |row| row.get::<_, String>(0))
        .map_err(what())?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(what())?
        .into_iter()
        .filter(|t| !t.starts_with(PREFIX))
        .collect();
    Ok(TableSchema {
        name,
        columns,
        key,
        unique,
        foreign_keys,
        without_rowid,
        strict,
        encoding: encoding(conn)?,
        triggers,
    })
}

/// The encoding of texts, unless it is UTF-8.
fn encoding(conn: &Connection) -> Result<Option<String>> {
    let encoding: String = conn
        .prepare_cached("PRAGMA encoding")
        .and_then(|mut stmt| stmt.query_row([], |row| row.get(0)))
        .map_err(sqlite("read the encoding"))?;
    Ok(Some(encoding).filter(|e| e != "UTF-8"))
}

/// The columns, and the primary key as indexes into them.
fn columns(conn: &Connection, table: &str) -> Result<(Vec<Column>, Vec<usize>)> {
    let what = || sqlite(format!("read the columns of table {table}"));
    let mut stmt = conn
        .prepare(&format!("PRAGMA table_xinfo({})", quote(table)))
        .map_err(what())?;
    let mut rows = stmt.query([]).map_err(what())?;
    let mut columns = Vec::new();
    let mut pk: Vec<(i64, usize)> = Vec::new();
    while let Some(row) = rows.next().map_err(what())? {
        let get = || -> rusqlite::Result<(String, String, bool, Option<String>, i64, i64)> {
            Ok((
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
                row.get(6)?,
            ))
        };
        let (name, declared_type, not_null, default, pk_index, hidden) = get().map_err(what())?;
        if hidden == 1 {
            continue;
        }
        if pk_index > 0 {
            pk.push((pk_index, columns.len()));
        }
        columns.push(Column {
            logical: logical(&declared_type),
            name,
            declared_type,
            nullable: !not_null,
            default,
            generated: match hidden {
                2 => Generated::Virtual,
                3 => Generated::Stored,
                _ => Generated::No,
            },
            collation: None,
        });
    }
    pk.sort_unstable();
    if let [(_, i)] = pk[..]
        && columns[i].declared_type.eq_ignore_ascii_case("INTEGER")
    {
        columns[i].nullable = false;
    }
    Ok((columns, pk.into_iter().map(|(_, i)| i).collect()))
}

type Collations = BTreeMap<usize, String>;

/// Unique indexes beside the primary key, and collations that are not BINARY.
fn indexes(
    conn: &Connection,
    table: &str,
    columns: &[Column],
    pk: &[usize],
) -> Result<(Vec<UniqueKey>, Collations)> {
    let what = || sqlite(format!("read the indexes of table {table}"));
    let mut stmt = conn
        .prepare(&format!("PRAGMA index_list({})", quote(table)))
        .map_err(what())?;
    let list = stmt
        .query_map([], |row| {
            Ok((
                row.get::<_, String>(1)?,
                row.get::<_, bool>(2)?,
                row.get::<_, String>(3)?,
                row.get::<_, bool>(4)?,
            ))
        })
        .map_err(what())?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(what())?;
    let mut unique = Vec::new();
    let mut collations = Collations::new();
    for (name, is_unique, origin, partial) in list {
        let mut stmt = conn
            .prepare(&format!("PRAGMA index_xinfo({})", quote(&name)))
            .map_err(what())?;
        let parts = stmt
            .query_map([], |row| {
                Ok((
                    row.get::<_, Option<String>>(2)?,
                    row.get::<_, Option<String>>(4)?,
                    row.get::<_, bool>(5)?,
                ))
            })
            .map_err(what())?
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(what())?;
        let mut indexed = Vec::new();
        for (column, collation, is_key) in parts {
            if !is_key {
                continue;
            }
            let index = column.and_then(|c| columns.iter().position(|k| k.name == c));
            if let (Some(i), Some(collation)) = (index, collation)
                && collation != "BINARY"
                && (is_unique || origin != "c")
            {
                collations.insert(i, collation);
            }
            indexed.push(index);
        }
        let is_pk = origin == "pk"
            || (!partial
                && indexed
                    .iter()
                    .copied()
                    .collect::<Option<Vec<_>>>()
                    .as_deref()
                    == Some(pk));
        if is_unique && !is_pk {
            unique.push(UniqueKey {
                name,
                columns: indexed,
                partial,
            });
        }
    }
    unique.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((unique, collations))
}

/// For a table without a primary key: its first unique key over columns that cannot be NULL.
fn natural_key(columns: &[Column], unique: &[UniqueKey]) -> Vec<usize> {
    unique
        .iter()
        .filter(|u| !u.partial)
        .filter_map(|u| u.columns.iter().copied().collect::<Option<Vec<_>>>())
        .find(|u| u.iter().all(|&i| !columns[i].nullable))
        .unwrap_or_default()
}

fn foreign_keys(conn: &Connection, table: &str, columns: &[Column]) -> Result<Vec<ForeignKey>> {
    let what = || sqlite(format!("read the foreign keys of table {table}"));
    let mut stmt = conn
        .prepare(&format!("PRAGMA foreign_key_list({})", quote(table)))
        .map_err(what())?;
    let mut rows = stmt.query([]).map_err(what())?;
    let mut keys: BTreeMap<i64, (ForeignKey, Vec<Option<String>>)> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(what())? {
        type Part = (i64, String, String, Option<String>, String, String);
        let get = || -> rusqlite::Result<Part> {
            Ok((
                row.get(0)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
                row.get(6)?,
            ))
        };
        let (id, parent, from, to, on_update, on_delete) = get().map_err(what())?;
        let entry = keys.entry(id).or_insert_with(|| {
            let key = ForeignKey {
                columns: Vec::new(),
                parent,
                parent_columns: Vec::new(),
                on_delete,
                on_update,
            };
            (key, Vec::new())
        });
        if let Some(i) = columns
            .iter()
            .position(|c| c.name.eq_ignore_ascii_case(&from))
        {
            entry.0.columns.push(i);
            entry.1.push(to);
        }
    }
    let mut out = Vec::new();
    for (_, (mut key, to)) in keys {
        key.parent_columns = if to.iter().all(Option::is_some) {
            to.into_iter().flatten().collect()
        } else {
            // "REFERENCES parent" without columns means its primary key.
            let (columns, pk) = self::columns(conn, &key.parent)?;
            pk.into_iter().map(|i| columns[i].name.clone()).collect()
        };
        out.push(key);
    }
    Ok(out)
}
