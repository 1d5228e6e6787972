//! The layout of a table's rows in the outbox, and what is done when it changes.
//!
//! A row holds the captured columns in the order in which the triggers were told, old values first.
//! When other columns are captured from now on, the rows that wait are brought into the new order
//! at once, in the transaction that replaces the triggers: so one layout holds for the whole outbox.
//!
//! A column that was added to the table meanwhile is in both images what SQLite shows in a row from
//! before: its default. Only the last change of a key ends with what the row holds now, because
//! whatever was written into the new column since then left a change behind.

use std::collections::HashSet;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use crate::data::Column;
use crate::database::sqlite::error::sqlite;
use crate::database::sqlite::names::{Names, quote};
use crate::error::Result;

use super::{CaptureTable, NOW_MS, OP_DELETE, OP_INSERT, OP_UPDATE};

/// The columns that an insert trigger captures, read from its text: `RENAME COLUMN` changes it.
pub(super) fn captured_by(insert_trigger: &str) -> Option<Vec<String>> {
    let (_, mut cells) = insert_trigger.split_once(NOW_MS)?;
    let mut out = Vec::new();
    while let Some(cell) = cells.trim_start_matches([',', ' ']).strip_prefix("NEW.") {
        let (name, rest) = identifier(cell)?;
        out.push(name);
        cells = rest;
    }
    (!out.is_empty() && cells.trim_start().starts_with(')')).then_some(out)
}

fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ')', ' '])?;
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        let Some(more) = rest.strip_prefix('"') else {
            return Some((name, rest));
        };
        name.push('"');
        rest = more;
    }
}

/// How many changes of a table wait behind `consumed`.
pub(super) fn waiting(conn: &Connection, names: &Names, id: i64, consumed: u64) -> Result<u64> {
    conn.query_row(
        &format!(
            "SELECT count(*) FROM {} WHERE seq > ?1 AND tbl = ?2 \
             AND op IN ({OP_INSERT}, {OP_UPDATE}, {OP_DELETE})",
            names.sql("outbox")
        ),
        [consumed.cast_signed(), id],
        |row| row.get::<_, i64>(0),
    )
    .map(i64::unsigned_abs)
    .map_err(sqlite("count the changes that wait"))
}

/// Brings the waiting changes of a table from the columns `old` into those of `table`.
pub(super) fn convert(
    conn: &Connection,
    names: &Names,
    id: i64,
    old: &[String],
    table: &CaptureTable,
) -> Result<()> {
    let what = || {
        sqlite(format!(
            "rearrange the changes of table {}",
            table.schema.name
        ))
    };
    let new = table.names();
    let (was, width) = (old.len(), new.len());
    let mut defaults: Vec<Value> = Vec::new();
    let mut added = Vec::new();
    let mut before = Vec::new();
    let mut after = Vec::new();
    for (slot, name) in new.iter().enumerate() {
        if let Some(i) = old.iter().position(|o| o == name) {
            before.push(format!("c{slot} = c{i}"));
            after.push(format!("c{} = c{}", width + slot, was + i));
            continue;
        }
        let column = &table.schema.columns[table.columns[slot]];
        defaults.push(default_of(conn, column, table.schema.strict)?);
        added.push(slot);
        let n = defaults.len();
        before.push(format!(
            "c{slot} = CASE WHEN op IN ({OP_UPDATE}, {OP_DELETE}) THEN ?{n} END"
        ));
        after.push(format!(
            "c{} = CASE WHEN op IN ({OP_INSERT}, {OP_UPDATE}) THEN ?{n} END",
            width + slot
        ));
    }
    let mut set = before;
    set.extend(after);
    set.extend((2 * width..2 * was).map(|i| format!("c{i} = NULL")));
    conn.execute(
        &format!(
            "UPDATE {} SET {} WHERE tbl = {id}",
            names.sql("outbox"),
            set.join(", ")
        ),
        rusqlite::params_from_iter(defaults),
    )
    .map_err(what())?;
    if added.is_empty() {
        return Ok(());
    }
    fill(conn, names, id, table, &added).map_err(what())
}

/// Gives the last change of each key what the added columns hold now.
fn fill(
    conn: &Connection,
    names: &Names,
    id: i64,
    table: &CaptureTable,
    added: &[usize],
) -> rusqlite::Result<()> {
    let outbox = names.sql("outbox");
    let new = table.names();
    let width = new.len();
    let slots: Vec<usize> = table
        .key
        .iter()
        .filter_map(|k| table.columns.iter().position(|c| c == k))
        .collect();
    let keys = |from: usize| -> String {
        let slots = slots.iter().map(|s| format!("c{}", from + s));
        slots.collect::<Vec<_>>().join(", ")
    };
    let mut changes = conn.prepare(&format!(
        "SELECT seq, op, {}, {} FROM {outbox} WHERE tbl = {id} \
         AND op IN ({OP_INSERT}, {OP_UPDATE}, {OP_DELETE}) ORDER BY seq DESC",
        keys(0),
        keys(width)
    ))?;
    let mut row_of = conn.prepare(&format!(
        "SELECT {} FROM {} WHERE {}",
        added
            .iter()
            .map(|&slot| quote(&new[slot]))
            .collect::<Vec<_>>()
            .join(", "),
        quote(&table.schema.name),
        slots
            .iter()
            .enumerate()
            .map(|(i, &slot)| format!("{} IS ?{}", quote(&new[slot]), i + 1))
            .collect::<Vec<_>>()
            .join(" AND ")
    ))?;
    let mut set = conn.prepare(&format!(
        "UPDATE {outbox} SET {} WHERE seq = ?1",
        added
            .iter()
            .enumerate()
            .map(|(i, &slot)| format!("c{} = ?{}", width + slot, i + 2))
            .collect::<Vec<_>>()
            .join(", ")
    ))?;
    let mut seen = HashSet::new();
    let mut rows = changes.query([])?;
    while let Some(row) = rows.next()? {
        let op: i64 = row.get(1)?;
        let key = |from: usize| -> rusqlite::Result<Vec<Value>> {
            (from..from + slots.len()).map(|i| row.get(i)).collect()
        };
        let (before, after) = (key(2)?, key(2 + slots.len())?);
        if op != OP_DELETE && !seen.contains(&format!("{after:?}")) {
            let now = row_of
                .query_row(rusqlite::params_from_iter(&after), |now| {
                    (0..added.len())
                        .map(|i| now.get(i))
                        .collect::<rusqlite::Result<Vec<Value>>>()
                })
                .optional()?;
            if let Some(now) = now {
                let mut values = vec![Value::Integer(row.get(0)?)];
                values.extend(now);
                set.execute(rusqlite::params_from_iter(values))?;
            }
        }
        if op != OP_DELETE {
            seen.insert(format!("{after:?}"));
        }
        if op != OP_INSERT {
            seen.insert(format!("{before:?}"));
        }
    }
    Ok(())
}

/// What a row from before an `ADD COLUMN` shows in the new column.
pub(super) fn default_of(conn: &Connection, column: &Column, strict: bool) -> Result<Value> {
    let Some(default) = &column.default else {
        return Ok(Value::Null);
    };
    let declared = &column.declared_type;
    let strict = if strict { " STRICT" } else { "" };
    let evaluate = |default: &str| -> rusqlite::Result<Value> {
        // A table of the same type answers it, so that the column's affinity has its say.
        conn.execute_batch(&format!(
            "CREATE TEMP TABLE _banyan_default (c {declared} DEFAULT {default}){strict}; \
             INSERT INTO temp._banyan_default DEFAULT VALUES"
        ))?;
        let value = conn.query_row("SELECT c FROM temp._banyan_default", [], |row| row.get(0));
        conn.execute_batch("DROP TABLE temp._banyan_default")?;
        value
    };
    // A word without quotes is a text, and an expression needs parentheses.
    evaluate(default)
        .or_else(|_| evaluate(&format!("({default})")))
        .map_err(sqlite(format!(
            "find the default of column {}",
            column.name
        )))
}

#[cfg(test)]
mod tests {
    use super::{NOW_MS, captured_by};

    #[test]
    fn the_captured_columns_are_read_from_the_trigger() {
        let trigger = |cells: &str| {
            format!(
                "CREATE TRIGGER a AFTER INSERT ON t BEGIN INSERT INTO o (tbl, op, at, c3) VALUES (1, 1, {NOW_MS}, {cells}); END"
            )
        };
        let read = |cells: &str| captured_by(&trigger(cells));
        assert_eq!(
            read(r#"NEW."id", NEW."a "",) b", NEW.bare"#).unwrap(),
            ["id", "a \",) b", "bare"]
        );
        assert_eq!(read(r#"NEW."id", 7"#), None);
        assert_eq!(captured_by("CREATE TRIGGER by_hand"), None);
    }
}
