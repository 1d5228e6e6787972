//! Tables and their columns.

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::failure::Failure;

pub use wire::LogicalType;

/// A table as the rule sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    name: String,
    columns: Vec<Column>,
    key: Vec<usize>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type as the store declares it, e.g. `VARCHAR(20)`.
    pub source_type: String,
    /// What that means.
    pub logical_type: LogicalType,
    /// Whether NULL is allowed.
    pub nullable: bool,
}

impl Table {
    /// Its name in its store.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Indexes of the key columns.
    #[must_use]
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// The index of a column, or a failure that names the ones there are. Look columns up in
    /// [`crate::Rule::open`]: it is called once for a batch, and a missing column is found before
    /// anything runs.
    pub fn column(&self, name: &str) -> Result<usize, Failure> {
        self.find(name)
            .ok_or_else(|| Failure::fatal(self.missing(name)))
    }

    /// The index of a column, if there is one of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    pub(crate) fn missing(&self, name: &str) -> String {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        format!(
            "table {} has no column {name:?}; it has {}",
            self.name,
            names.join(", ")
        )
    }

    pub(crate) fn from_wire(table: wire::Table) -> Self {
        Self {
            name: table.name,
            columns: table
                .columns
                .into_iter()
                .map(|c| Column {
                    name: c.name,
                    source_type: c.source_type,
                    logical_type: c.logical_type,
                    nullable: c.nullable,
                })
                .collect(),
            key: table.key.into_iter().map(usize::from).collect(),
        }
    }

    pub(crate) fn new(name: &str, columns: Vec<Column>, key: Vec<usize>) -> Self {
        Self {
            name: name.to_owned(),
            columns,
            key,
        }
    }
}

/// A column by name or by index. By index is faster: look it up once with [`Table::column`].
pub trait ColumnRef: Copy {
    /// The index. Panics, naming the columns there are, where there is none.
    fn index_in(self, table: &Table) -> usize;

    /// The index, or what is wrong.
    fn try_index_in(self, table: &Table) -> Result<usize, String>;
}

impl ColumnRef for &str {
    fn index_in(self, table: &Table) -> usize {
        table
            .find(self)
            .unwrap_or_else(|| panic!("{}", table.missing(self)))
    }

    fn try_index_in(self, table: &Table) -> Result<usize, String> {
        table.find(self).ok_or_else(|| table.missing(self))
    }
}

impl ColumnRef for &String {
    fn index_in(self, table: &Table) -> usize {
        self.as_str().index_in(table)
    }

    fn try_index_in(self, table: &Table) -> Result<usize, String> {
        self.as_str().try_index_in(table)
    }
}

impl ColumnRef for usize {
    fn index_in(self, _table: &Table) -> usize {
        self
    }

    fn try_index_in(self, table: &Table) -> Result<usize, String> {
        if self < table.columns.len() {
            Ok(self)
        } else {
            Err(format!(
                "table {} has no column number {self}; it has {}",
                table.name,
                table.columns.len()
            ))
        }
    }
}
