//! What a relation message of the log has to do with a captured table.
//!
//! The log describes a table before its first change, and again after its schema changed, in the
//! order of the log. Columns are found by name; each description is compared with the table as it
//! was when the migration was opened.

use std::collections::HashMap;

use crate::data::{Generated, Row, Value};
use crate::database::SyncTable;
use crate::database::server::added;
use crate::error::{Error, ErrorKind, Result};

use super::kind::Kind;
use super::pgoutput::{Cell, RelationMessage, Tuple};
use super::text;

/// Types by object identifier and modifier, as `format_type` spells their base types.
pub(super) type TypeNames = HashMap<(u32, i32), String>;

/// A captured table.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Its object identifier when it was captured.
    pub(super) id: u32,
    /// Its schema then.
    pub(super) schema: String,
    /// Its name in that schema.
    pub(super) relation: String,
    /// Its name in the configuration.
    pub(super) name: String,
    /// The mapped columns: name and type.
    columns: Vec<(String, String)>,
    /// The names of all its columns.
    all: Vec<String>,
    /// The names of those that the log holds, in the order of the table.
    logged: Vec<String>,
    /// Of the mapped columns: whether all rows had NULL there when it was added.
    began_null: Vec<bool>,
    /// The key among the mapped columns.
    pub(super) key: Vec<usize>,
    /// Where the log ended when the table was known to be like this; 0: nobody has looked.
    seen_at: u64,
}

impl Shape {
    /// Of a table that has this object identifier, schema and name.
    pub(super) fn new(table: &SyncTable, id: u32, schema: String, relation: String) -> Self {
        let column = |&i: &usize| {
            let column = &table.schema.columns[i];
            (column.name.clone(), column.declared_type.clone())
        };
        let logged = table.schema.columns.iter();
        let began_null = |&i: &usize| table.schema.columns[i].began_null();
        Self {
            id,
            schema,
            relation,
            logged: logged
                .filter(|c| c.generated == Generated::No)
                .map(|c| c.name.clone())
                .collect(),
            began_null: table.columns.iter().map(began_null).collect(),
            seen_at: 0,
            name: table.schema.name.clone(),
            columns: table.columns.iter().map(column).collect(),
            all: table
                .schema
                .columns
                .iter()
                .map(|c| c.name.clone())
                .collect(),
            key: table.key.clone(),
        }
    }

    /// The log's columns when it ended at this position. Further ones may have come meanwhile.
    pub(super) fn seen(&mut self, columns: &[String], position: u64) {
        if columns.starts_with(&self.logged) {
            self.seen_at = position;
        }
    }

    /// Whether this describes the table before columns were added to it that began as NULL: what a
    /// transaction says that was committed at this position. Nothing else explains why just the last
    /// columns are not there.
    fn is_before_additions(&self, message: &RelationMessage<'_>, committed: u64) -> bool {
        let described = message.columns.len();
        committed < self.seen_at
            && described < self.logged.len()
            && std::iter::zip(&message.columns, &self.logged).all(|(c, name)| c.name == name)
            && std::iter::zip(&self.columns, &self.began_null).all(|((name, _), began_null)| {
                *began_null || self.logged[..described].contains(name)
            })
    }
}

/// A captured table as the log describes it now.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// For each column of the log: which mapped column it is, and how it is read.
    cells: Vec<Option<(usize, Kind)>>,
    /// How many columns are mapped.
    width: usize,
    /// Whether all mapped columns are there.
    pub(super) complete: bool,
}

impl Relation {
    /// Compares; answers also what is different, in words. `types` must know all types of mapped
    /// columns that are not those of the beginning. `committed`: where the transaction that says so
    /// was committed.
    pub(super) fn new(
        shape: &Shape,
        message: &RelationMessage<'_>,
        types: &TypeNames,
        committed: u64,
    ) -> (Self, Vec<String>) {
        let mut what = Vec::new();
        if message.name != shape.relation || !is_schema(message.schema, &shape.schema) {
            what.push(format!(
                "the table {} is now {}.{}",
                shape.name, message.schema, message.name
            ));
        }
        let mut cells = Vec::with_capacity(message.columns.len());
        let mut found = 0;
        for column in &message.columns {
            let Some(slot) = shape.columns.iter().position(|(n, _)| n == column.name) else {
                if !shape.all.iter().any(|name| name == column.name) {
                    what.push(added::logged(column.name));
                }
                cells.push(None);
                continue;
            };
            let declared = types
                .get(&(column.type_id, column.modifier))
                .map_or("???", String::as_str);
            let (name, before) = &shape.columns[slot];
            if !same_type(before, declared) {
                what.push(format!("column {name} was {before} and is {declared}"));
            }
            found += 1;
            cells.push(Some((slot, Kind::of_declared(declared))));
        }
        if shape.is_before_additions(message, committed) {
            found = shape.columns.len();
        }
        for (name, _) in &shape.columns {
            let is_there = message.columns.iter().any(|column| column.name == name);
            if found < shape.columns.len() && !is_there {
                what.push(format!(
                    "column {name} is gone (dropped or renamed); the table's changes from here on \
                     are passed over, and it must be compared"
                ));
            }
        }
        let width = shape.columns.len();
        let relation = Self {
            cells,
            width,
            complete: found == width,
        };
        (relation, what)
    }

    /// How many columns are mapped.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The mapped cells of a row. Large values that were not changed are taken from `old`.
    pub(super) fn row(&self, shape: &Shape, tuple: Tuple<'_>, old: Option<&Row>) -> Result<Row> {
        if tuple.len() != self.cells.len() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "the log gives {} cells for the {} columns of {}",
                    tuple.len(),
                    self.cells.len(),
                    shape.name
                ),
            ));
        }
        let mut row = vec![Value::Null; self.width];
        for (cell, place) in tuple.cells().zip(&self.cells) {
            let Some((slot, kind)) = *place else {
                continue;
            };
            row[slot] = match cell {
                Cell::Null => continue,
                Cell::Text(bytes) => text::value(kind, bytes)
                    .map_err(|e| e.at(format_args!("{}.{}", shape.name, shape.columns[slot].0)))?,
                Cell::Unchanged => match old {
                    Some(old) => old[slot].clone(),
                    None => return Err(no_value(shape, slot)),
                },
                Cell::Binary(_) => {
                    return Err(Error::new(
                        ErrorKind::Internal,
                        format!("the log gives {} in binary form", shape.name),
                    ));
                }
            };
        }
        Ok(row)
    }
}

/// A change whose row before is not in the log.
pub(super) fn no_old_row(shape: &Shape) -> Error {
    Error::new(
        ErrorKind::Schema,
        format!(
            "the log holds a change of {} without the row before it: its replica identity is not \
             FULL any more",
            shape.name
        ),
    )
    .hint(identity_hint(shape))
}

fn no_value(shape: &Shape, slot: usize) -> Error {
    Error::new(
        ErrorKind::Schema,
        format!(
            "the log does not hold the value of {}.{}, which a change left as it was",
            shape.name, shape.columns[slot].0
        ),
    )
    .hint(identity_hint(shape))
}

fn identity_hint(shape: &Shape) -> String {
    format!(
        "run ALTER TABLE {}.{} REPLICA IDENTITY FULL (for a partitioned table, of every \
         partition); what was changed before cannot be read any more: abort the migration and \
         start it anew",
        super::capture_names::quoted(&shape.schema),
        super::capture_names::quoted(&shape.relation)
    )
}

/// The log leaves `pg_catalog` out.
fn is_schema(logged: &str, schema: &str) -> bool {
    logged == schema || logged.is_empty() && schema == "pg_catalog"
}

/// Whether two spellings are one type: a schema may be left out of one of them, as `format_type`
/// does for what is on the search path.
pub(super) fn same_type(a: &str, b: &str) -> bool {
    let longer = |long: &str, short: &str| {
        long.strip_suffix(short)
            .is_some_and(|schema| schema.ends_with('.') && !short.contains('.'))
    };
    a == b || longer(a, b) || longer(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_may_be_left_out_of_a_type() {
        assert!(same_type("mood", "public.mood"));
        assert!(same_type(
            "public.geometry(Point,4326)",
            "geometry(Point,4326)"
        ));
        assert!(same_type("numeric(10,2)", "numeric(10,2)"));
        assert!(!same_type("numeric(10,2)", "numeric(10,3)"));
        assert!(!same_type("a.mood", "b.mood"));
        assert!(!same_type("a.b.mood", "b.mood"));
        assert!(!same_type("", "mood"));
        assert!(!same_type("???", "mood"));
    }
}
