//! What changes of this store's tables touch: keys, unique values before and after, parents.

use crate::data::{Column, Row, Value};
use crate::database::{Footprint, RowChange, SyncTable};

/// Of a table as a whole.
const WHOLE: usize = usize::MAX;

/// Of these changes.
pub(super) fn of(tables: &[SyncTable], changes: &[RowChange]) -> Footprint {
    let facts: Vec<Facts> = tables.iter().map(|t| Facts::of(t, tables)).collect();
    let mut out = Footprint::default();
    for change in changes {
        let facts = &facts[change.table];
        out.write((change.table, 0, &change.key.0));
        if facts.is_opaque {
            out.write((change.table, WHOLE));
        }
        let images = [&change.expect, &change.after];
        for row in images.into_iter().flatten() {
            for (n, cells) in facts.unique.iter().enumerate() {
                if let Some(values) = values(row, cells) {
                    out.write((change.table, n + 1, values));
                }
            }
            for parent in &facts.opaque_parents {
                out.rely_on((parent, WHOLE));
            }
            for (parent, names, cells) in &facts.parents {
                if let Some(values) = values(row, cells) {
                    out.rely_on((parent, names, values));
                }
            }
            for (names, cells) in &facts.referred_to {
                if let Some(values) = values(row, cells) {
                    out.write((change.table, names, values));
                }
            }
        }
    }
    out
}

/// The values; `None` when one is NULL: it equals nothing.
fn values<'r>(row: &'r Row, cells: &[usize]) -> Option<Vec<&'r Value>> {
    let values = cells.iter().map(|&i| &row[i]);
    values.map(|v| (!v.is_null()).then_some(v)).collect()
}

/// What matters of a table; cells are indexes into the captured columns.
struct Facts {
    unique: Vec<Vec<usize>>,
    /// Tables that take part, by index, the columns that are referred to, and our cells.
    parents: Vec<(usize, Vec<String>, Vec<usize>)>,
    /// Parents by columns that do not take part.
    opaque_parents: Vec<usize>,
    /// Columns that others refer to.
    referred_to: Vec<(Vec<String>, Vec<usize>)>,
    /// Whether something must be unique that cannot be told from the cells.
    is_opaque: bool,
}

impl Facts {
    fn of(table: &SyncTable, all: &[SyncTable]) -> Self {
        let cells = |columns: &mut dyn Iterator<Item = Option<usize>>| -> Option<Vec<usize>> {
            columns
                .map(|c| table.columns.iter().position(|m| Some(*m) == c))
                .collect()
        };
        let mut facts = Self {
            unique: Vec::new(),
            parents: Vec::new(),
            opaque_parents: Vec::new(),
            referred_to: Vec::new(),
            is_opaque: false,
        };
        // The key that the migration goes by may be another one than the table's primary key.
        let primary = table.schema.key.iter().copied().map(Some).collect();
        let others = table.schema.unique.iter().map(|u| u.columns.clone());
        for columns in others.chain([primary]) {
            match cells(&mut columns.iter().copied()) {
                Some(cells) if cells == table.key => {}
                Some(cells) => facts.unique.push(cells),
                None => facts.is_opaque = true,
            }
        }
        // Texts that are the same in capitals.
        let is_loose = |c: &Column| c.declared_type.contains("citext");
        facts.is_opaque |= table
            .columns
            .iter()
            .any(|&i| is_loose(&table.schema.columns[i]));
        for foreign in &table.schema.foreign_keys {
            let parent = all.iter().position(|t| t.schema.name == foreign.parent);
            let cells = cells(&mut foreign.columns.iter().copied().map(Some));
            if let (Some(parent), Some(cells)) = (parent, cells) {
                let names = foreign.parent_columns.clone();
                let there = &all[parent];
                let takes_part = |name: &String| {
                    let mut captured = there.columns.iter();
                    captured.any(|&c| there.schema.columns[c].name == *name)
                };
                if !names.iter().all(takes_part) {
                    facts.opaque_parents.push(parent);
                }
                facts.parents.push((parent, names, cells));
            }
        }
        for child in all {
            for foreign in &child.schema.foreign_keys {
                let names = &foreign.parent_columns;
                if foreign.parent != table.schema.name
                    || facts.referred_to.iter().any(|(known, _)| known == names)
                {
                    continue;
                }
                let columns = &table.schema.columns;
                let column = |name: &String| columns.iter().position(|c| c.name == *name);
                match cells(&mut names.iter().map(column)) {
                    Some(cells) => facts.referred_to.push((names.clone(), cells)),
                    None => facts.is_opaque = true,
                }
            }
        }
        facts
    }
}
