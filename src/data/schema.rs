//! What introspection found out about a table.

/// Where a generated column's value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// Not generated.
    No,
    /// Computed when read.
    Virtual,
    /// Computed when written.
    Stored,
}

/// What kind of values a column is meant to hold. A store with dynamic types (SQLite) may hold
/// others; nothing may rely on it but presentation, SQL typing and type mapping between engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogicalType {
    /// No declared type: any value.
    Any,
    /// Truth values.
    Bool,
    /// Signed integers.
    Int,
    /// Unsigned integers.
    UInt,
    /// Exact decimals.
    Decimal,
    /// Doubles.
    Float,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
    /// Calendar dates.
    Date,
    /// Times of day.
    Time,
    /// Timestamps without zone.
    Timestamp,
    /// Timestamps in UTC.
    TimestampUtc,
    /// UUIDs.
    Uuid,
    /// JSON.
    Json,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as spelt in the store.
    pub name: String,
    /// The type as declared, e.g. `VARCHAR(20)`; empty when none was.
    pub declared_type: String,
    /// What that means.
    pub logical: LogicalType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// The default expression as SQL text.
    pub default: Option<String>,
    /// Whether its value is computed; such columns are never written nor compared.
    pub generated: Generated,
    /// The collation when it is not the store's binary one.
    pub collation: Option<String>,
}

impl Column {
    /// Whether every row had NULL there when the column was added to a table that had rows.
    #[must_use]
    pub fn began_null(&self) -> bool {
        self.nullable && self.default.is_none()
    }
}

/// A unique index or constraint beside the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// Its name in the store.
    pub name: String,
    /// Indexes into [`TableSchema::columns`]; `None` for an expression.
    pub columns: Vec<Option<usize>>,
    /// Whether it covers only some rows (a partial index).
    pub partial: bool,
}

/// A foreign key of this table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Indexes into [`TableSchema::columns`].
    pub columns: Vec<usize>,
    /// The table referred to.
    pub parent: String,
    /// The columns referred to, by name.
    pub parent_columns: Vec<String>,
    /// `NO ACTION`, `CASCADE`, …
    pub on_delete: String,
    /// Likewise for updates of the parent's key.
    pub on_update: String,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    /// Its name, as spelt in the store.
    pub name: String,
    /// In the order of the table.
    pub columns: Vec<Column>,
    /// The key: indexes into `columns`, in key order. Empty when the table has none.
    pub key: Vec<usize>,
    /// The other unique keys.
    pub unique: Vec<UniqueKey>,
    /// The foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// SQLite: the table has no rowid.
    pub without_rowid: bool,
    /// SQLite: types are enforced.
    pub strict: bool,
    /// The encoding of the store's texts when it is not UTF-8: its order of texts is then not
    /// that of [`crate::data::order`].
    pub encoding: Option<String>,
    /// The application's own triggers on it.
    pub triggers: Vec<String>,
}

impl TableSchema {
    /// The index of a column, found as SQL does: without regard to ASCII case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|c| c.name == name)
            .or_else(|| {
                self.columns
                    .iter()
                    .position(|c| c.name.eq_ignore_ascii_case(name))
            })
    }

    /// Indexes of the columns that hold data of their own: all but the generated ones.
    #[must_use]
    pub fn data_columns(&self) -> Vec<usize> {
        (0..self.columns.len())
            .filter(|&i| self.columns[i].generated == Generated::No)
            .collect()
    }

    /// The names of the key columns.
    #[must_use]
    pub fn key_names(&self) -> Vec<&str> {
        self.key
            .iter()
            .map(|&i| self.columns[i].name.as_str())
            .collect()
    }
}
