//! What the log's reader asks the catalogue.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind, Result};

use super::capture_names::{CaptureNames, literal};
use super::relation::TypeNames;
use super::replication::{Replication, TextRows, parse_lsn};

/// Object identifiers and modifiers of columns as the base types that they are carried as: domains
/// are resolved. `$` stands for the rows (id, modifier).
const TYPES: &str = "\
WITH RECURSIVE wanted (id, modifier) AS ($), base (id, modifier, type, typmod) AS (
  SELECT id, modifier, id, modifier FROM wanted
  UNION ALL
  SELECT base.id, base.modifier, t.typbasetype, \
    CASE WHEN base.typmod = -1 THEN t.typtypmod ELSE base.typmod END
  FROM base JOIN pg_type t ON t.oid = base.type WHERE t.typtype = 'd'
)
SELECT b.id, b.modifier, format_type(b.type, NULLIF(b.typmod, -1))
FROM base b LEFT JOIN pg_type t ON t.oid = b.type
WHERE t.typtype IS DISTINCT FROM 'd'";

/// The names of these types.
pub(super) fn types(server: &mut Replication, wanted: &[(u32, i32)]) -> Result<TypeNames> {
    if wanted.is_empty() {
        return Ok(TypeNames::new());
    }
    let rows: Vec<String> = wanted
        .iter()
        .map(|(id, modifier)| format!("({id}::oid, {modifier})"))
        .collect();
    let rows = format!("VALUES {}", rows.join(", "));
    read_types(server.run(&TYPES.replace('$', &rows))?)
}

/// The names of the types of all columns of these tables.
pub(super) fn column_types(server: &mut Replication, tables: &[u32]) -> Result<TypeNames> {
    if tables.is_empty() {
        return Ok(TypeNames::new());
    }
    let ids: Vec<String> = tables.iter().map(u32::to_string).collect();
    let rows = format!(
        "SELECT DISTINCT atttypid, atttypmod FROM pg_attribute \
         WHERE attrelid IN ({}) AND attnum > 0 AND NOT attisdropped",
        ids.join(", ")
    );
    read_types(server.run(&TYPES.replace('$', &rows))?)
}

/// The names of the columns that the log holds of these tables, in the order of each table.
pub(super) fn logged_columns(
    server: &mut Replication,
    tables: &[u32],
) -> Result<HashMap<u32, Vec<String>>> {
    let mut out = HashMap::new();
    if tables.is_empty() {
        return Ok(out);
    }
    let ids: Vec<String> = tables.iter().map(u32::to_string).collect();
    let sql = format!(
        "SELECT attrelid, attname FROM pg_attribute WHERE attrelid IN ({}) AND attnum > 0 \
         AND NOT attisdropped AND attgenerated = '' ORDER BY attrelid, attnum",
        ids.join(", ")
    );
    for row in &server.run(&sql)? {
        let columns: &mut Vec<String> = out.entry(number(row, 0)?).or_default();
        columns.push(text(row, 1)?.to_owned());
    }
    Ok(out)
}

fn read_types(rows: TextRows) -> Result<TypeNames> {
    rows.iter()
        .map(|row| {
            let key = (number(row, 0)?, number(row, 1)?);
            Ok((key, text(row, 2)?.to_owned()))
        })
        .collect()
}

/// A captured table as Banyan remembers it.
#[derive(Debug)]
pub(super) struct Captured {
    /// Its name in the configuration.
    pub(super) name: String,
    /// Its object identifier.
    pub(super) id: u32,
    /// Its schema.
    pub(super) schema: String,
    /// Its name in that schema.
    pub(super) relation: String,
    /// Whether the publication still holds it.
    pub(super) published: bool,
}

/// What was captured.
pub(super) fn captured(server: &mut Replication, names: &CaptureNames) -> Result<Vec<Captured>> {
    let sql = format!(
        "SELECT c.name, c.relid, c.schema, c.relation, EXISTS (\
           SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid \
           WHERE p.pubname = {} AND r.prrelid = c.relid::oid) \
         FROM {} c",
        literal(names.publication()),
        names.table("captured")
    );
    let rows = server.run(&sql)?;
    rows.iter()
        .map(|row| {
            Ok(Captured {
                name: text(row, 0)?.to_owned(),
                id: number(row, 1)?,
                schema: text(row, 2)?.to_owned(),
                relation: text(row, 3)?.to_owned(),
                published: text(row, 4)? == "t",
            })
        })
        .collect()
}

/// The slot as it is, and the log that it belongs to.
#[derive(Debug)]
pub(super) struct SlotState {
    /// What was confirmed last.
    pub(super) confirmed: u64,
    /// Whether the log behind it is still there.
    pub(super) lost: bool,
    /// Whether the log's identity is the one that was remembered.
    pub(super) same_log: bool,
    /// Where the log ends.
    pub(super) end: u64,
}

/// See [`SlotState`]; `None` when there is no slot.
pub(super) fn slot(server: &mut Replication, names: &CaptureNames) -> Result<Option<SlotState>> {
    let rows = server.run(&slot_sql(names))?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(SlotState {
        confirmed: parse_lsn(text(row, 0)?)?,
        lost: text(row, 1)? == "t",
        same_log: text(row, 2)? == "t",
        end: parse_lsn(text(row, 3)?)?,
    }))
}

/// The question behind [`slot`]: confirmed position, lost, same log, end.
pub(super) fn slot_sql(names: &CaptureNames) -> String {
    format!(
        "SELECT coalesce(s.confirmed_flush_lsn, '0/0')::text, \
           coalesce(s.wal_status = 'lost', false) OR s.confirmed_flush_lsn IS NULL, \
           EXISTS (SELECT FROM {} r, pg_control_system() c \
             WHERE r.name = s.slot_name AND r.system = c.system_identifier::text \
               AND r.timeline = {TIMELINE}), \
           pg_current_wal_insert_lsn()::text \
         FROM pg_replication_slots s WHERE s.slot_name = {} AND s.database = current_database()",
        names.table("slot"),
        literal(&names.slot)
    )
}

/// The timeline that is being written, as eight hexadecimal digits.
pub(super) const TIMELINE: &str = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)";

fn text(row: &[Option<String>], column: usize) -> Result<&str> {
    row.get(column).and_then(Option::as_deref).ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            format!("the catalogue's answer has no column {column}"),
        )
    })
}

fn number<T: std::str::FromStr>(row: &[Option<String>], column: usize) -> Result<T> {
    let text = text(row, column)?;
    text.parse().map_err(|_| {
        Error::new(
            ErrorKind::Internal,
            format!("the catalogue's answer {text:?} is no number"),
        )
    })
}
