//! Introspection.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row as WireRow};

use crate::data::{Column, ForeignKey, Generated, LogicalType, TableSchema, UniqueKey};
use crate::error::{Error, ErrorKind, Result};

use super::error::mysql;
use super::kind::Kind;
use super::names::{PREFIX, split};

/// The application's tables in the connection's database, sorted.
pub(super) async fn tables(conn: &mut Conn) -> Result<Vec<String>> {
    of_type(conn, "BASE TABLE").await
}

/// The application's views, sorted.
pub(super) async fn views(conn: &mut Conn) -> Result<Vec<String>> {
    of_type(conn, "VIEW").await
}

async fn of_type(conn: &mut Conn, table_type: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = conn
        .exec(
            "SELECT TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = ?",
            (table_type,),
        )
        .await
        .map_err(mysql("list the tables"))?;
    names.retain(|n| !n.starts_with(PREFIX));
    names.sort();
    Ok(names)
}

/// A table as the catalogue has it.
struct Found {
    database: String,
    name: String,
    table_type: String,
    engine: String,
}

/// What a table looks like: `t`, or `db.t` of another database. Fails with `NotFound`, naming the
/// nearest table, when there is none, and with `Schema` when its engine has no transactions.
pub(super) async fn table(conn: &mut Conn, wanted: &str) -> Result<TableSchema> {
    let found = find(conn, wanted).await?;
    let own = split(wanted).0.is_none();
    let name = if own {
        found.name.clone()
    } else {
        format!("{}.{}", found.database, found.name)
    };
    match found.table_type.as_str() {
        "BASE TABLE" => {}
        "VIEW" | "SYSTEM VIEW" => {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no table {wanted}: {name} is a view"),
            )
            .hint("name the tables behind it; a view's rows come from them"));
        }
        other => {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("{name} is of the type {other}, which cannot be synced"),
            )
            .hint("leave it out"));
        }
    }
    if !found.engine.eq_ignore_ascii_case("InnoDB") {
        return Err(Error::new(
            ErrorKind::Schema,
            format!(
                "table {name} has the engine {}; only tables of InnoDB can be synced, because \
                 others have no transactions",
                found.engine
            ),
        )
        .hint(format!("run ALTER TABLE {name} ENGINE = InnoDB")));
    }
    let columns = columns(conn, &found).await?;
    let (primary, unique) = indexes(conn, &found, &columns).await?;
    let key = if primary.is_empty() {
        natural_key(&columns, &unique)
    } else {
        primary
    };
    let foreign_keys = foreign_keys(conn, &found, &columns, own).await?;
    let triggers = triggers(conn, &found).await?;
    Ok(TableSchema {
        name,
        columns,
        key,
        unique,
        foreign_keys,
        without_rowid: false,
        strict: true,
        encoding: None,
        triggers,
    })
}

async fn find(conn: &mut Conn, wanted: &str) -> Result<Found> {
    let what = || mysql(format!("read the schema of table {wanted}"));
    let (database, table) = split(wanted);
    let rows: Vec<(String, String, String, Option<String>)> = conn
        .exec(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND LOWER(TABLE_NAME) = LOWER(?)",
            (database, table),
        )
        .await
        .map_err(what())?;
    let exact = rows.iter().position(|r| r.1 == table);
    let place = exact.or((rows.len() == 1).then_some(0));
    if let Some((database, name, table_type, engine)) = place.and_then(|i| rows.into_iter().nth(i))
    {
        return Ok(Found {
            database,
            name,
            table_type,
            engine: engine.unwrap_or_default(),
        });
    }
    let error = Error::new(ErrorKind::NotFound, format!("there is no table {wanted}"));
    let tables = tables(conn).await?;
    if tables.iter().any(|t| t == wanted) {
        return Err(error.hint(format!(
            "a table with a dot in its name cannot be told from table {table} of another \
             database; rename it"
        )));
    }
    let nearest = tables
        .iter()
        .map(|t| (strsim::jaro_winkler(t, wanted), t))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(match nearest {
        Some((score, nearest)) if score > 0.8 => error.hint(format!("did you mean {nearest}?")),
        Some(_) => error.hint(format!("its tables are: {}", tables.join(", "))),
        None => error.hint(
            "the database has no tables that this user may see; is it the right one, and does the \
             user have the SELECT privilege?",
        ),
    })
}

/// A cell of the catalogue as text.
fn take<T: mysql_async::prelude::FromValue>(row: &mut WireRow, index: usize) -> Result<T> {
    row.take_opt::<T, _>(index)
        .and_then(std::result::Result::ok)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Store,
                format!("column {index} of the server's catalogue is not what was expected"),
            )
        })
}

async fn columns(conn: &mut Conn, found: &Found) -> Result<Vec<Column>> {
    let rows: Vec<WireRow> = conn
        .exec(
            "SELECT COLUMN_NAME, CAST(COLUMN_TYPE AS CHAR), IS_NULLABLE, \
             CAST(COLUMN_DEFAULT AS CHAR), EXTRA, COLLATION_NAME, VERSION() LIKE '%MariaDB%' \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
             ORDER BY ORDINAL_POSITION",
            (&found.database, &found.name),
        )
        .await
        .map_err(mysql(format!("read the columns of table {}", found.name)))?;
    let mut columns = Vec::with_capacity(rows.len());
    for mut row in rows {
        let extra = take::<Option<String>>(&mut row, 4)?.unwrap_or_default();
        let extra = extra.to_ascii_uppercase();
        let declared_type: String = take(&mut row, 1)?;
        let collation: Option<String> = take(&mut row, 5)?;
        let mariadb = take::<u8>(&mut row, 6)? == 1;
        let mut column = Column {
            name: take(&mut row, 0)?,
            declared_type,
            logical: LogicalType::Any,
            nullable: take::<String>(&mut row, 2)? == "YES",
            default: take(&mut row, 3)?,
            generated: if extra.contains("VIRTUAL GENERATED") {
                Generated::Virtual
            } else if extra.contains("STORED GENERATED") || extra.contains("PERSISTENT") {
                Generated::Stored
            } else {
                Generated::No
            },
            collation,
        };
        let kind = Kind::of(&column);
        column.logical = kind.logical();
        // MariaDB gives an expression, MySQL a text without its quotes unless it says otherwise.
        column.default = column.default.filter(|d| d != "NULL" || !mariadb).map(|d| {
            let quoted = mariadb
                || extra.contains("DEFAULT_GENERATED")
                || matches!(
                    column.logical,
                    LogicalType::Int
                        | LogicalType::UInt
                        | LogicalType::Float
                        | LogicalType::Decimal
                );
            if quoted {
                d
            } else {
                format!("'{}'", d.replace('\\', "\\\\").replace('\'', "''"))
            }
        });
        column.collation = match kind {
            // Compared as what they stand for.
            Kind::Inet4 | Kind::Inet6 => Some(column.declared_type.clone()),
            // Ordered by the labels' numbers.
            Kind::Enum { .. } | Kind::Set { .. } => column.collation,
            _ => column.collation.filter(|c| !is_binary(c)),
        };
        columns.push(column);
    }
    Ok(columns)
}

/// Whether texts are compared by their UTF-8 bytes. `utf8mb4_bin` is not: it pads with spaces, so
/// that `'a'` equals `'a '`.
pub(super) fn is_binary(collation: &str) -> bool {
    matches!(
        collation,
        "binary" | "utf8mb4_nopad_bin" | "utf8mb4_0900_bin"
    )
}

/// The primary key, and the unique indexes beside it.
async fn indexes(
    conn: &mut Conn,
    found: &Found,
    columns: &[Column],
) -> Result<(Vec<usize>, Vec<UniqueKey>)> {
    let rows: Vec<WireRow> = conn
        .exec(
            "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
             ORDER BY INDEX_NAME, SEQ_IN_INDEX",
            (&found.database, &found.name),
        )
        .await
        .map_err(mysql(format!("read the indexes of table {}", found.name)))?;
    let mut by_name: BTreeMap<String, UniqueKey> = BTreeMap::new();
    for mut row in rows {
        let name: String = take(&mut row, 0)?;
        let column: Option<String> = take(&mut row, 1)?;
        let prefix: Option<u64> = take(&mut row, 2)?;
        let index = by_name.entry(name.clone()).or_insert_with(|| UniqueKey {
            name,
            columns: Vec::new(),
            partial: false,
        });
        index.partial |= prefix.is_some();
        index
            .columns
            .push(column.and_then(|c| columns.iter().position(|k| k.name == c)));
    }
    let whole = by_name.get("PRIMARY").filter(|p| !p.partial);
    let primary: Vec<usize> = whole
        .and_then(|p| p.columns.iter().copied().collect())
        .unwrap_or_default();
    if !primary.is_empty() {
        by_name.remove("PRIMARY");
    }
    Ok((primary, by_name.into_values().collect()))
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

async fn foreign_keys(
    conn: &mut Conn,
    found: &Found,
    columns: &[Column],
    own: bool,
) -> Result<Vec<ForeignKey>> {
    let rows: Vec<WireRow> = conn
        .exec(
            "SELECT k.CONSTRAINT_NAME, k.COLUMN_NAME, k.REFERENCED_TABLE_SCHEMA, \
             k.REFERENCED_TABLE_NAME, k.REFERENCED_COLUMN_NAME, r.DELETE_RULE, r.UPDATE_RULE \
             FROM information_schema.KEY_COLUMN_USAGE k \
             JOIN information_schema.REFERENTIAL_CONSTRAINTS r \
             ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA \
             AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND r.TABLE_NAME = k.TABLE_NAME \
             WHERE k.TABLE_SCHEMA = ? AND k.TABLE_NAME = ? \
             AND k.REFERENCED_TABLE_NAME IS NOT NULL \
             ORDER BY k.CONSTRAINT_NAME, k.ORDINAL_POSITION",
            (&found.database, &found.name),
        )
        .await
        .map_err(mysql(format!(
            "read the foreign keys of table {}",
            found.name
        )))?;
    let mut keys: BTreeMap<String, ForeignKey> = BTreeMap::new();
    for mut row in rows {
        let name: String = take(&mut row, 0)?;
        let column: String = take(&mut row, 1)?;
        let database: String = take(&mut row, 2)?;
        let parent: String = take(&mut row, 3)?;
        let parent_column: String = take(&mut row, 4)?;
        let on_delete: String = take(&mut row, 5)?;
        let on_update: String = take(&mut row, 6)?;
        // Without the database where it is the store's own.
        let parent = if own && database == found.database {
            parent
        } else {
            format!("{database}.{parent}")
        };
        let key = keys.entry(name).or_insert_with(|| ForeignKey {
            columns: Vec::new(),
            parent,
            parent_columns: Vec::new(),
            on_delete,
            on_update,
        });
        if let Some(i) = columns
            .iter()
            .position(|c| c.name.eq_ignore_ascii_case(&column))
        {
            key.columns.push(i);
            key.parent_columns.push(parent_column);
        }
    }
    Ok(keys.into_values().collect())
}

async fn triggers(conn: &mut Conn, found: &Found) -> Result<Vec<String>> {
    let mut names: Vec<String> = conn
        .exec(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ?",
            (&found.database, &found.name),
        )
        .await
        .map_err(mysql(format!("read the triggers of table {}", found.name)))?;
    names.retain(|n| !n.starts_with(PREFIX));
    names.sort();
    Ok(names)
}
