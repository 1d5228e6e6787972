//! Databases whose texts are not UTF-8.
//!
//! Copying goes on behind the last key, and verification reads both sides in the order of the key;
//! both by the bytes of UTF-8. A database in UTF-16 orders its texts otherwise, so that rows would
//! be taken for copied that are not. Where a key can hold texts such a database is refused.

use crate::data::TableSchema;
use crate::database::{AnyStore, ReadStore};
use crate::error::{Error, ErrorKind, Result};

/// Fails with `Config` when the table's order by this key is not ours.
pub(super) fn refuse(store: &AnyStore, schema: &TableSchema, key: &[usize]) -> Result<()> {
    let Some(encoding) = &schema.encoding else {
        return Ok(());
    };
    let texts: Vec<&str> = key
        .iter()
        .filter(|&&k| can_hold_texts(schema, key, k))
        .map(|&k| schema.columns[k].name.as_str())
        .collect();
    if texts.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "store {}: {} keeps its texts in {encoding}, and the key of table {} ({}) can hold \
             texts: they are ordered otherwise there, so that copying would skip rows",
            store.name(),
            store.place(),
            schema.name,
            texts.join(", ")
        ),
    )
    .hint(
        "while nothing writes to it, make a copy in UTF-8 and use that: sqlite3 OLD.db .dump | \
         sqlite3 NEW.db; a key of one INTEGER PRIMARY KEY works in any encoding",
    ))
}

fn can_hold_texts(schema: &TableSchema, key: &[usize], column: usize) -> bool {
    let declared = &schema.columns[column].declared_type;
    let is = |types: &[&str]| types.iter().any(|t| declared.eq_ignore_ascii_case(t));
    if schema.strict {
        return is(&["TEXT", "ANY"]);
    }
    // The rowid, and nothing else, holds integers only; it has no index of its own.
    let has_index = schema.unique.iter().any(|u| u.columns == [Some(column)]);
    !is(&["INTEGER"]) || schema.without_rowid || has_index || key.len() != 1
}
