//! The statements for one table that takes part in a migration.

use tokio::sync::OnceCell;

use crate::data::canonical::ValueRef;
use crate::data::{Key, Row};
use crate::database::SyncTable;
use crate::database::server::driver::Violation;
use crate::error::Result;

use mysql_async::{Row as WireRow, Value as Wire};

use super::kind::Kind;
use super::names::{list, quote, quote_table};
use super::reference::Links;
use super::value::{Codec, Misfit};

/// A table that takes part: its mapped columns, its key, its statements.
#[derive(Debug)]
pub(in crate::database) struct MysqlTable {
    /// The name, for messages.
    pub(super) name: String,
    /// The name, quoted.
    pub(super) sql: String,
    /// The mapped columns, in order.
    pub(super) codecs: Vec<Codec>,
    /// Their names.
    pub(super) columns: Vec<String>,
    /// Their names for SQL, with commas.
    pub(super) list: String,
    /// Indexes of the key among the mapped columns.
    pub(super) key: Vec<usize>,
    /// The key's columns for SQL, in parentheses when they are several.
    key_list: String,
    /// One key's placeholders.
    key_place: String,
    /// ` FORCE INDEX (…)`: the key's own index, so that nothing else is locked.
    pub(super) force: String,
    /// All columns that hold data, mapped or not.
    pub(super) all: Vec<Codec>,
    /// Their names for SQL, with commas.
    pub(super) all_list: String,
    /// For each mapped column its place among them.
    pub(super) place: Vec<usize>,
    /// Mapped columns that are not of the key.
    pub(super) updated: Vec<usize>,
    /// Whether `INSERT … ON DUPLICATE KEY UPDATE` updates a row that is there, and does nothing
    /// else: the key is the only unique one, no trigger fires for the insert, and there is no column
    /// whose default a CHECK could refuse.
    pub(super) upsert: bool,
    /// The table as introspected, and which columns are mapped.
    pub(super) sync: SyncTable,
    /// Who refers to it and what its unique keys are, read at first use.
    pub(super) links: OnceCell<Links>,
}

impl MysqlTable {
    /// Prepares the statements. Fails with `Schema` on a type that cannot be carried.
    pub(in crate::database) fn new(table: &SyncTable) -> Result<Self> {
        let schema = &table.schema;
        let name = |i: usize| schema.columns[i].name.as_str();
        let codec = |i: usize| {
            Codec::of(&schema.columns[i]).map_err(|e| e.at(format!("table {}", schema.name)))
        };
        let codecs = table
            .columns
            .iter()
            .map(|&i| codec(i))
            .collect::<Result<Vec<_>>>()?;
        let data = schema.data_columns();
        let all = data.iter().map(|&i| codec(i)).collect::<Result<Vec<_>>>()?;
        let key: Vec<usize> = table.key.iter().map(|&k| table.columns[k]).collect();
        let key_list = list(key.iter().map(|&i| name(i)));
        let places: Vec<String> = table.key.iter().map(|&k| place(&codecs[k])).collect();
        let several = key.len() > 1;
        let parenthesized = |text: String| {
            if several { format!("({text})") } else { text }
        };
        // The key is the primary one unless it is one of the other unique keys.
        let index = schema
            .unique
            .iter()
            .find(|u| {
                !u.partial
                    && u.columns.len() == key.len()
                    && key.iter().all(|k| u.columns.contains(&Some(*k)))
            })
            .map_or("PRIMARY", |u| u.name.as_str());
        Ok(Self {
            name: schema.name.clone(),
            sql: quote_table(&schema.name),
            columns: table.columns.iter().map(|&i| name(i).to_owned()).collect(),
            list: list(table.columns.iter().map(|&i| name(i))),
            key: table.key.clone(),
            key_list: parenthesized(key_list),
            key_place: parenthesized(places.join(", ")),
            force: format!(" FORCE INDEX ({})", quote(index)),
            all_list: list(data.iter().map(|&i| name(i))),
            place: table
                .columns
                .iter()
                .filter_map(|c| data.iter().position(|d| d == c))
                .collect(),
            updated: (0..table.columns.len())
                .filter(|i| !table.key.contains(i))
                .collect(),
            all,
            codecs,
            upsert: schema.triggers.is_empty()
                && data.iter().all(|d| table.columns.contains(d))
                && schema.unique.iter().all(|u| u.name == index),
            sync: table.clone(),
            links: OnceCell::new(),
        })
    }

    /// `key IN (…)` for so many keys.
    pub(super) fn key_in(&self, keys: usize) -> String {
        format!(
            "{} IN ({})",
            self.key_list,
            vec![self.key_place.as_str(); keys].join(", ")
        )
    }

    /// `a = ? AND b = ?`
    pub(super) fn key_is(&self) -> String {
        let parts: Vec<String> = self
            .key
            .iter()
            .map(|&k| format!("{} = {}", quote(&self.columns[k]), place(&self.codecs[k])))
            .collect();
        parts.join(" AND ")
    }

    /// A key's parameters; `None` when no row of the table can have it.
    pub(super) fn key_wires(&self, key: &Key) -> Option<Vec<Wire>> {
        self.key
            .iter()
            .zip(&key.0)
            .map(|(&k, cell)| {
                let wire = self.codecs[k].encode(cell.into()).ok()?;
                (wire != Wire::NULL).then_some(wire)
            })
            .collect()
    }

    /// A row's parameters.
    pub(super) fn wires<'a>(
        &self,
        row: impl IntoIterator<Item = ValueRef<'a>>,
    ) -> std::result::Result<Vec<Wire>, Violation> {
        encode(&self.codecs, row)
    }

    /// A row off the wire: the mapped columns.
    pub(super) fn row(&self, row: WireRow) -> Result<Row> {
        decode(&self.codecs, row)
    }
}

/// The placeholder of a column's cell where it is compared: a decimal is one, not a double.
pub(super) fn place(codec: &Codec) -> String {
    match codec.kind() {
        Kind::Decimal { precision, scale } => {
            format!("CAST(? AS DECIMAL({precision},{scale}))")
        }
        _ => "?".to_owned(),
    }
}

/// Cells as parameters.
pub(super) fn encode<'a>(
    codecs: &[Codec],
    row: impl IntoIterator<Item = ValueRef<'a>>,
) -> std::result::Result<Vec<Wire>, Violation> {
    codecs
        .iter()
        .zip(row)
        .map(|(codec, cell)| codec.encode(cell))
        .collect::<std::result::Result<_, Misfit>>()
        .map_err(|misfit| Violation {
            kind: misfit.kind,
            reason: misfit.reason,
        })
}

/// Cells off the wire.
pub(super) fn decode(codecs: &[Codec], row: WireRow) -> Result<Row> {
    codecs
        .iter()
        .zip(row.unwrap())
        .map(|(codec, cell)| codec.decode(cell))
        .collect()
}
