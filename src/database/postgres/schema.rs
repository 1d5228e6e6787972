//! Introspection: what tables there are, and what one looks like.
//!
//! Names are written as users write them: a table of the first schema of `search_path` without its
//! schema, others with it.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::data::{Column, ForeignKey, Generated, LogicalType, TableSchema, UniqueKey};
use crate::error::{Error, ErrorKind, Result};

use super::column::IDENTITY_ALWAYS;
use super::connect::PgConn;
use super::error::pg;
use super::kind::Kind;
use super::names::{PREFIX, TableName};

/// The application's schemas, as a condition on `n.nspname`.
const USER_SCHEMAS: &str = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
     AND NOT starts_with(n.nspname, '_banyan_')";

/// The application's tables, sorted: ordinary and partitioned ones, not their partitions.
pub(super) async fn tables(conn: &PgConn) -> Result<Vec<String>> {
    relations(conn, "c.relkind IN ('r', 'p') AND NOT c.relispartition").await
}

/// The application's views, sorted.
pub(super) async fn views(conn: &PgConn) -> Result<Vec<String>> {
    relations(conn, "c.relkind IN ('v', 'm')").await
}

async fn relations(conn: &PgConn, condition: &str) -> Result<Vec<String>> {
    let what = || pg("list the tables");
    let sql = format!(
        "SELECT CASE WHEN n.nspname = current_schema() THEN NULL ELSE n.nspname::text END, \
         c.relname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {condition} AND {USER_SCHEMAS} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
         WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
    );
    let rows = conn.client().query(&sql, &[]).await.map_err(what())?;
    let mut names = Vec::with_capacity(rows.len());
    for row in rows {
        let schema: Option<&str> = row.try_get(0).map_err(what())?;
        names.push(TableName::of(schema, row.try_get(1).map_err(what())?));
    }
    names.sort();
    Ok(names)
}

/// A relation that was found.
struct Found {
    oid: u32,
    name: String,
    kind: i8,
    partition: bool,
}

/// Finds a relation by exactly this name, or, if there is one alone, by one that differs in case.
async fn find(conn: &PgConn, name: &str) -> Result<Option<Found>> {
    let what = || pg(format!("find table {name}"));
    let wanted = TableName::parse(name)?;
    let sql = format!(
        "SELECT c.oid, CASE WHEN n.nspname = current_schema() THEN NULL ELSE n.nspname::text END, \
         c.relname::text, c.relkind, c.relispartition, \
         c.relname = $2 AND ($1::text IS NULL OR n.nspname = $1) AS exact \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE lower(c.relname) = lower($2) AND {USER_SCHEMAS} \
         AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
         AND CASE WHEN $1 IS NULL THEN n.nspname = ANY (current_schemas(false)) \
         ELSE lower(n.nspname) = lower($1) END \
         ORDER BY exact DESC, array_position(current_schemas(false), n.nspname)"
    );
    let rows = conn
        .client()
        .query(&sql, &[&wanted.schema, &wanted.table])
        .await
        .map_err(what())?;
    let read = |row: &Row| -> Result<(Found, bool), tokio_postgres::Error> {
        let schema: Option<&str> = row.try_get(1)?;
        let found = Found {
            oid: row.try_get(0)?,
            name: TableName::of(schema, row.try_get(2)?),
            kind: row.try_get(3)?,
            partition: row.try_get(4)?,
        };
        Ok((found, row.try_get(5)?))
    };
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push(read(row).map_err(what())?);
    }
    let alone = found.len() == 1;
    Ok(found
        .into_iter()
        .next()
        .filter(|(_, exact)| *exact || alone)
        .map(|(found, _)| found))
}

/// Fails with `NotFound`, naming the nearest table, when there is none of that name.
pub(super) async fn table(conn: &PgConn, name: &str) -> Result<TableSchema> {
    let Some(found) = find(conn, name).await? else {
        return Err(not_found(conn, name).await?);
    };
    const TABLE: i8 = b'r'.cast_signed();
    const PARTITIONED: i8 = b'p'.cast_signed();
    if !matches!(found.kind, TABLE | PARTITIONED) {
        let is = if found.kind == b'f'.cast_signed() {
            "a foreign table, whose rows are elsewhere"
        } else {
            "a view"
        };
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no table {name}: {} is {is}", found.name),
        )
        .hint("name the tables behind it; its rows come from them"));
    }
    if found.partition {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("table {} is a partition", found.name),
        )
        .hint("name the partitioned table that it belongs to"));
    }
    read(conn, found.oid, found.name).await
}

async fn not_found(conn: &PgConn, name: &str) -> Result<Error> {
    let error = Error::new(ErrorKind::NotFound, format!("there is no table {name}"));
    let tables = tables(conn).await?;
    let bare = |t: &str| {
        t.rsplit_once('.')
            .map_or(t, |(_, t)| t)
            .to_ascii_lowercase()
    };
    let likeness =
        |t: &str| strsim::jaro_winkler(t, name).max(strsim::jaro_winkler(&bare(t), &bare(name)));
    let nearest = tables
        .iter()
        .map(|t| (likeness(t), t))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Ok(match nearest {
        Some((score, nearest)) if score > 0.8 => error.hint(format!("did you mean {nearest}?")),
        Some(_) if tables.len() <= 50 => {
            error.hint(format!("its tables are: {}", tables.join(", ")))
        }
        Some(_) => error.hint(format!("the database has {} other tables", tables.len())),
        None => error.hint(
            "the database shows no tables at all: is it the right one, and may this user see them?",
        ),
    })
}

/// Columns with their base types: a domain's own modifier is that of what it is made of.
const COLUMNS: &str = "\
WITH RECURSIVE base AS ( \
  SELECT a.attnum, a.atttypid AS type, a.atttypmod AS modifier \
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped \
  UNION ALL \
  SELECT b.attnum, t.typbasetype, t.typtypmod FROM base b \
  JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd') \
SELECT a.attnum, a.attname::text, pg_catalog.format_type(b.type, b.modifier), a.attnotnull, \
  pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, \
  CASE WHEN a.attcollation = 0 THEN NULL \
    WHEN a.attcollation = 100 THEN ( \
      SELECT CASE WHEN to_jsonb(s)->>'datlocprovider' = 'b' \
        OR coalesce(to_jsonb(s)->>'datlocprovider', 'c') = 'c' AND s.datcollate IN ('C', 'POSIX') \
        THEN NULL ELSE coalesce(to_jsonb(s)->>'datlocale', to_jsonb(s)->>'daticulocale', \
        s.datcollate::text) END \
      FROM pg_catalog.pg_database s WHERE s.datname = current_database()) \
    WHEN c.collprovider = 'b' OR c.collprovider = 'c' \
      AND to_jsonb(c)->>'collcollate' IN ('C', 'POSIX') THEN NULL \
    ELSE c.collname::text END \
FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype <> 'd' \
JOIN pg_catalog.pg_attribute a ON a.attrelid = $1 AND a.attnum = b.attnum \
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation \
ORDER BY a.attnum";

/// Unique indexes: name, primary, partial, immediate, columns (0 is an expression).
const INDEXES: &str = "\
SELECT c.relname::text, i.indisprimary, i.indpred IS NOT NULL, i.indimmediate, \
  (SELECT array_agg(k.attnum ORDER BY k.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY \
   AS k(attnum, n) WHERE k.n <= i.indnkeyatts) \
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid ORDER BY c.relname";

const FOREIGN_KEYS: &str = "\
SELECT k.conkey, CASE WHEN n.nspname = current_schema() THEN NULL ELSE n.nspname::text END, \
  p.relname::text, (SELECT array_agg(a.attname::text ORDER BY f.n) FROM unnest(k.confkey) \
    WITH ORDINALITY AS f(attnum, n) JOIN pg_catalog.pg_attribute a \
    ON a.attrelid = k.confrelid AND a.attnum = f.attnum), k.confdeltype, k.confupdtype \
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class p ON p.oid = k.confrelid \
JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace \
WHERE k.conrelid = $1 AND k.contype = 'f' AND k.conparentid = 0 \
  AND coalesce((to_jsonb(k)->>'conenforced')::boolean, true) ORDER BY k.conname";

const TRIGGERS: &str = "\
SELECT tgname::text FROM pg_catalog.pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal \
  AND tgenabled <> 'D' AND NOT starts_with(tgname::text, '!_banyan_') ORDER BY tgname";

async fn read(conn: &PgConn, oid: u32, name: String) -> Result<TableSchema> {
    let what = || pg(format!("read the schema of table {name}"));
    let client = conn.client();
    let table: [&(dyn ToSql + Sync); 1] = [&oid];
    let (columns, indexes, foreign_keys, triggers, encoding) = futures::try_join!(
        client.query(COLUMNS, &table),
        client.query(INDEXES, &table),
        client.query(FOREIGN_KEYS, &table),
        client.query(TRIGGERS, &table),
        client.query("SHOW server_encoding", &[]),
    )
    .map_err(what())?;
    let columns = columns
        .iter()
        .map(column)
        .collect::<Result<Vec<_>, _>>()
        .map_err(what())?;
    let places: BTreeMap<i16, usize> = columns
        .iter()
        .enumerate()
        .map(|(i, (number, _))| (*number, i))
        .collect();
    let columns: Vec<Column> = columns.into_iter().map(|(_, column)| column).collect();
    let keys = || -> Result<Keys, tokio_postgres::Error> { keys(&indexes, &columns, &places) };
    let keys = keys().map_err(what())?;
    let foreign_keys = foreign_keys
        .iter()
        .map(|row| foreign_key(row, &places))
        .collect::<Result<Vec<_>, _>>()
        .map_err(what())?;
    let triggers = triggers
        .iter()
        .map(|row| row.try_get::<_, String>(0))
        .collect::<Result<Vec<_>, _>>()
        .map_err(what())?
        .into_iter()
        .filter(|t| !t.starts_with(PREFIX))
        .collect();
    let encoding = encoding
        .first()
        .map(|row| row.try_get::<_, String>(0))
        .transpose()
        .map_err(what())?
        .filter(|e| e != "UTF8");
    Ok(TableSchema {
        name,
        columns,
        key: keys.key,
        unique: keys.unique,
        foreign_keys,
        without_rowid: false,
        strict: true,
        encoding,
        triggers,
    })
}

fn column(row: &Row) -> Result<(i16, Column), tokio_postgres::Error> {
    let declared_type: String = row.try_get(2)?;
    let kind = Kind::of_declared(&declared_type);
    let expression: Option<String> = row.try_get(4)?;
    let letter = |v: i8| char::from(v.cast_unsigned());
    let generated = match letter(row.try_get(6)?) {
        's' => Generated::Stored,
        'v' => Generated::Virtual,
        _ => Generated::No,
    };
    let default = match letter(row.try_get(5)?) {
        'a' => Some(IDENTITY_ALWAYS.to_owned()),
        'd' => Some("GENERATED BY DEFAULT AS IDENTITY".to_owned()),
        _ => expression.filter(|_| generated == Generated::No),
    };
    let collation: Option<String> = row.try_get(7)?;
    // Types that are carried as text are compared by rules of their own.
    let own_rules = match kind {
        Kind::Other => true,
        Kind::Text => {
            declared_type == "citext"
                || declared_type.starts_with("character(")
                || matches!(declared_type.as_str(), "character" | "bpchar")
        }
        _ => false,
    };
    let collation = match kind {
        Kind::Text | Kind::Other if own_rules => {
            Some(collation.unwrap_or_else(|| declared_type.clone()))
        }
        Kind::Text => collation,
        _ => None,
    };
    let column = Column {
        name: row.try_get(1)?,
        logical: logical(kind),
        declared_type,
        nullable: !row.try_get::<_, bool>(3)?,
        default,
        generated,
        collation,
    };
    Ok((row.try_get(0)?, column))
}

fn logical(kind: Kind) -> LogicalType {
    match kind {
        Kind::Bool => LogicalType::Bool,
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => LogicalType::Int,
        Kind::Numeric => LogicalType::Decimal,
        Kind::Float4 | Kind::Float8 => LogicalType::Float,
        Kind::Text | Kind::Other => LogicalType::Text,
        Kind::Bytea => LogicalType::Bytes,
        Kind::Date => LogicalType::Date,
        Kind::Time => LogicalType::Time,
        Kind::Timestamp => LogicalType::Timestamp,
        Kind::TimestampTz => LogicalType::TimestampUtc,
        Kind::Uuid => LogicalType::Uuid,
        Kind::Json | Kind::Jsonb => LogicalType::Json,
    }
}

struct Keys {
    key: Vec<usize>,
    unique: Vec<UniqueKey>,
}

fn keys(
    rows: &[Row],
    columns: &[Column],
    places: &BTreeMap<i16, usize>,
) -> Result<Keys, tokio_postgres::Error> {
    let mut primary = None;
    let mut natural = None;
    let mut unique = Vec::new();
    for row in rows {
        let numbers: Vec<i16> = row.try_get(4)?;
        let (is_primary, partial, immediate): (bool, bool, bool) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let indexed: Vec<Option<usize>> = numbers.iter().map(|n| places.get(n).copied()).collect();
        let plain: Option<Vec<usize>> = indexed.iter().copied().collect();
        if is_primary {
            primary = plain;
            continue;
        }
        if let Some(plain) = plain
            && natural.is_none()
            && !partial
            && immediate
            && plain.iter().all(|&i| !columns[i].nullable)
        {
            natural = Some(plain);
        }
        unique.push(UniqueKey {
            name: row.try_get(0)?,
            columns: indexed,
            partial,
        });
    }
    Ok(Keys {
        key: primary.or(natural).unwrap_or_default(),
        unique,
    })
}

fn foreign_key(
    row: &Row,
    places: &BTreeMap<i16, usize>,
) -> Result<ForeignKey, tokio_postgres::Error> {
    let numbers: Vec<i16> = row.try_get(0)?;
    let schema: Option<&str> = row.try_get(1)?;
    Ok(ForeignKey {
        columns: numbers
            .iter()
            .filter_map(|n| places.get(n).copied())
            .collect(),
        parent: TableName::of(schema, row.try_get(2)?),
        parent_columns: row.try_get(3)?,
        on_delete: action(row.try_get(4)?).to_owned(),
        on_update: action(row.try_get(5)?).to_owned(),
    })
}

/// A foreign key's action, spelt out.
pub(super) fn action(letter: i8) -> &'static str {
    match char::from(letter.cast_unsigned()) {
        'c' => "CASCADE",
        'n' => "SET NULL",
        'd' => "SET DEFAULT",
        'r' => "RESTRICT",
        _ => "NO ACTION",
    }
}
