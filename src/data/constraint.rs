//! What is added to a table that holds its rows already.

use serde::{Deserialize, Serialize};

use super::TableSchema;

/// A unique index or foreign key that a table gets when it holds its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    /// The table.
    pub table: String,
    /// The columns that it is over.
    pub columns: Vec<String>,
    /// The table that they refer to, by its name there; `None`: they are unique.
    pub parent: Option<String>,
    /// What adds it.
    pub sql: String,
}

/// A table's name without the schema that it lies in.
fn bare(table: &str) -> &str {
    table.rsplit('.').next().unwrap_or(table)
}

impl Constraint {
    /// Whether a table has it.
    #[must_use]
    pub fn is_in(&self, schema: &TableSchema) -> bool {
        let named = |columns: &mut dyn Iterator<Item = Option<usize>>| {
            let names = columns.map(|c| Some(schema.columns.get(c?)?.name.as_str()));
            names.eq(self.columns.iter().map(|c| Some(c.as_str())))
        };
        if self.parent.is_none() {
            let mut unique = schema.unique.iter().filter(|u| !u.partial);
            return unique.any(|u| named(&mut u.columns.iter().copied()));
        }
        let mut foreign = schema.foreign_keys.iter();
        foreign.any(|f| {
            named(&mut f.columns.iter().copied().map(Some))
                && self
                    .parent
                    .as_deref()
                    .is_some_and(|p| bare(p) == bare(&f.parent))
        })
    }
}
