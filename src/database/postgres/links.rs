//! What only the server knows of a table: who refers to it, and what would make our writes wrong.

use std::sync::Arc;

use tokio_postgres::Row;

use crate::error::{Error, ErrorKind, Result};

use super::connect::PgConn;
use super::error::pg;
use super::names::{TableName, quote};
use super::table::{Lookup, PgTable, unnest};

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// For each foreign key that refers to mapped columns: those cells, and what finds the
    /// referring rows of rows that are gone.
    pub(super) children: Vec<Lookup>,
    /// Children that the server itself would change when a row is taken out and put back.
    pub(super) cascades: Vec<String>,
    /// Why a replica's session must not write the table: constraints that it does not check.
    pub(super) unchecked: Vec<String>,
}

const CHILDREN: &str = "\
SELECT CASE WHEN n.nspname = current_schema() THEN NULL ELSE n.nspname::text END, \
  c.relname::text, \
  (SELECT array_agg(a.attname::text ORDER BY f.n) FROM unnest(k.conkey) WITH ORDINALITY \
    AS f(attnum, n) JOIN pg_catalog.pg_attribute a \
    ON a.attrelid = k.conrelid AND a.attnum = f.attnum), \
  (SELECT array_agg(a.attname::text ORDER BY f.n) FROM unnest(k.confkey) WITH ORDINALITY \
    AS f(attnum, n) JOIN pg_catalog.pg_attribute a \
    ON a.attrelid = k.confrelid AND a.attnum = f.attnum), \
  k.confdeltype IN ('c', 'n', 'd') \
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE k.confrelid = $1::text::regclass AND k.contype = 'f' AND k.conparentid = 0 \
  AND coalesce((to_jsonb(k)->>'conenforced')::boolean, true) \
ORDER BY 1 NULLS FIRST, 2, k.conname";

const UNCHECKED: &str = "\
SELECT conname::text FROM pg_catalog.pg_constraint \
WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u', 'x') AND condeferrable";

const HEIRS: &str = "\
SELECT i.inhrelid::regclass::text FROM pg_catalog.pg_inherits i \
JOIN pg_catalog.pg_class c ON c.oid = i.inhparent \
WHERE i.inhparent = $1::text::regclass AND c.relkind = 'r'";

/// Reads the facts of a table. Fails with `Refused` when its rows are not its own.
pub(super) async fn facts(conn: &PgConn, table: &PgTable) -> Result<Arc<Facts>> {
    let what = || pg(format!("read what refers to table {}", table.name));
    let client = conn.client();
    let name: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&table.quoted];
    let (children, unchecked, heirs) = futures::try_join!(
        client.query(CHILDREN, &name),
        client.query(UNCHECKED, &name),
        client.query(HEIRS, &name),
    )
    .map_err(what())?;
    if let Some(heir) = heirs.first() {
        let heir: String = heir.try_get(0).map_err(what())?;
        return Err(Error::new(
            ErrorKind::Refused,
            format!(
                "table {} shows the rows of {heir}, which inherits it",
                table.name
            ),
        )
        .hint("ALTER TABLE … NO INHERIT, or use declarative partitions"));
    }
    let mut facts = Facts::default();
    for row in &unchecked {
        facts.unchecked.push(row.try_get(0).map_err(what())?);
    }
    for row in &children {
        child(row, table, &mut facts).map_err(what())?;
    }
    Ok(Arc::new(facts))
}

fn child(row: &Row, table: &PgTable, facts: &mut Facts) -> Result<(), tokio_postgres::Error> {
    let schema: Option<&str> = row.try_get(0)?;
    let child = TableName {
        schema: schema.map(str::to_owned),
        table: row.try_get(1)?,
    };
    let referring: Vec<String> = row.try_get(2)?;
    let referred: Vec<String> = row.try_get(3)?;
    let shown = TableName::of(schema, &child.table);
    if row.try_get(4)? {
        facts.cascades.push(shown.clone());
    }
    let cells: Option<Vec<usize>> = referred
        .iter()
        .map(|name| table.columns.iter().position(|c| c.name == *name))
        .collect();
    let Some(cells) = cells else { return Ok(()) };
    let value = |i: usize| table.columns[i].write(&format!("v.n{i}"));
    let refers: Vec<String> = referring
        .iter()
        .zip(&cells)
        .map(|(name, &i)| format!("c.{} = {}", quote(name), value(i)))
        .collect();
    let remains: Vec<String> = cells
        .iter()
        .map(|&i| table.columns[i].key_equals("t", &format!("v.n{i}")))
        .collect();
    let arrays = cells.iter().map(|&i| (&table.columns[i], format!("n{i}")));
    facts.children.push(Lookup {
        sql: format!(
            "SELECT v.ord FROM {} WHERE EXISTS (SELECT FROM {} AS c WHERE {}) \
             AND NOT EXISTS (SELECT FROM {} AS t WHERE {})",
            unnest(arrays),
            child.sql(),
            refers.join(" AND "),
            table.quoted,
            remains.join(" AND ")
        )
        .into(),
        name: format!("{shown} ({})", referring.join(", ")),
        cells,
    });
    Ok(())
}
