//! The SQL that creates a table in another database, after the published types.
//!
//! What is not carried over is named: generated columns, defaults that are no plain literals,
//! collations, expressions and conditions of unique keys, foreign keys to tables that are not created
//! as well, triggers. Introspection does not show CHECK constraints, other indexes than unique ones,
//! identities and AUTO_INCREMENT, so they are never carried, and that is said as well; where the
//! numbers of new rows go on is settled at cutover. PostgreSQL's enums become texts (their type is not ours to create), MySQL's
//! become texts with a CHECK of their labels. `ON DELETE CASCADE` and the like are not created in
//! MySQL: its log does not show the rows that it changes on its own.
//!
//! The caller turns on `explicit_defaults_for_timestamp` before it creates a table in MySQL where it
//! is off: otherwise the server gives the first `timestamp` that is NOT NULL a default, and a new
//! value at every update.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::{Column, Constraint, ForeignKey, Generated, TableSchema};
use crate::database::Engine;
use crate::database::form::ColumnForm;
use crate::database::form::declared::Declared;
use crate::error::{Error, ErrorKind, Result};

use super::default::{self, Default};
use super::types::{self, KEY_TYPES};

/// Bytes that the columns of one row may have in MySQL, texts and bytes of any length left aside,
/// less what the server itself needs.
const MYSQL_ROW_BYTES: usize = 60_000;
/// What may stand behind ON DELETE and ON UPDATE.
const ACTIONS: [&str; 4] = ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"];

/// The SQL that creates a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// `CREATE TABLE`, with the primary key.
    pub table: String,
    /// `CREATE UNIQUE INDEX`, to be run when the rows are there.
    pub indexes: Vec<Constraint>,
    /// `ALTER TABLE … ADD FOREIGN KEY`, to be run last. SQLite has them in `table`.
    pub foreign_keys: Vec<Constraint>,
    /// What the old table has and the new one has not, in words.
    pub left_out: Vec<String>,
}

/// The SQL for a table like `schema`, a table of `from`, under this name in a database of `to`.
/// `tables` are those that are created as well: their names there and here. Fails with `Refused`
/// where there is no such table: a type that cannot be carried, a name that is too long.
pub fn create_table(
    schema: &TableSchema,
    from: Engine,
    to: Engine,
    name: &str,
    tables: &[(&str, &str)],
) -> Result<Created> {
    let maker = Maker {
        schema,
        from,
        to,
        name,
        tables,
        keyed: keyed(schema),
    };
    maker.check_names()?;
    let mut created = Created::default();
    maker.table(&mut created)?;
    maker.indexes(&mut created);
    if to != Engine::Sqlite {
        for key in &schema.foreign_keys {
            if let Some(sql) = maker.foreign_key(key, &mut created.left_out) {
                let table = to.quote_table(name);
                let sql = format!("ALTER TABLE {table} ADD {sql}");
                let parent = maker.parent(key).map(str::to_owned);
                let constraint = maker.constraint(&key.columns, parent, sql);
                created.foreign_keys.push(constraint);
            }
        }
    }
    if to != Engine::Sqlite
        && let [key] = schema.key[..]
        && is_integer(&schema.columns[key])
    {
        created.left_out.push(format!(
            "a sequence, identity or AUTO_INCREMENT for column {}: it is settled at cutover",
            schema.columns[key].name
        ));
    }
    created.left_out.push(
        "CHECK constraints, and indexes that are not unique: Banyan does not look at them"
            .to_owned(),
    );
    if !schema.triggers.is_empty() {
        let list = schema.triggers.join(", ");
        created.left_out.push(format!("the triggers {list}"));
    }
    Ok(created)
}

/// The SQL that gives a table of `to` a column like the one with this index of `schema`, a table of
/// `from`. `None` where there is no such column in that engine.
#[must_use]
pub fn add_column(
    schema: &TableSchema,
    index: usize,
    from: Engine,
    to: Engine,
    name: &str,
) -> Option<String> {
    let maker = Maker {
        schema,
        from,
        to,
        name,
        tables: &[],
        keyed: BTreeSet::new(),
    };
    let column = &schema.columns[index];
    if !to.name_fits(&column.name) {
        return None;
    }
    let sql_type = maker.sql_type(index, column, &mut Vec::new()).ok()?;
    let column = maker.column(index, &sql_type, &mut Vec::new());
    let table = to.quote_table(name);
    Some(format!("ALTER TABLE {table} ADD COLUMN {column}"))
}

/// Columns that are part of a key, a unique index or a foreign key.
fn keyed(schema: &TableSchema) -> BTreeSet<usize> {
    let unique = schema
        .unique
        .iter()
        .flat_map(|u| u.columns.iter().copied().flatten());
    let foreign = schema
        .foreign_keys
        .iter()
        .flat_map(|f| f.columns.iter().copied());
    schema
        .key
        .iter()
        .copied()
        .chain(unique)
        .chain(foreign)
        .collect()
}

fn is_integer(column: &Column) -> bool {
    let declared = column.declared_type.to_ascii_lowercase();
    ["int", "serial"].iter().any(|t| declared.contains(t))
        && !["interval", "point", "range", "["]
            .iter()
            .any(|t| declared.contains(t))
}

struct Maker<'a> {
    schema: &'a TableSchema,
    from: Engine,
    to: Engine,
    name: &'a str,
    tables: &'a [(&'a str, &'a str)],
    keyed: BTreeSet<usize>,
}

impl Maker<'_> {
    fn refuse(&self, what: String) -> Error {
        Error::new(
            ErrorKind::Refused,
            format!(
                "table {} cannot be created in {}: {what}",
                self.name, self.to
            ),
        )
        .hint("create the table yourself, and map the columns by name")
    }

    fn check_names(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        let columns = self.schema.columns.iter().map(|c| c.name.as_str());
        for name in columns.chain([self.name]) {
            if !self.to.name_fits(name) || name.is_empty() || name.contains('\0') {
                return Err(self.refuse(format!("it does not take the name {name:?}")));
            }
        }
        for column in &self.schema.columns {
            if !seen.insert(column.name.to_lowercase()) && self.to != Engine::Postgres {
                return Err(self.refuse(format!(
                    "two columns are called {}, but for upper and lower case",
                    column.name
                )));
            }
        }
        let computed = self.schema.key.iter().map(|&i| &self.schema.columns[i]);
        if let Some(column) = computed.into_iter().find(|c| c.generated != Generated::No) {
            return Err(self.refuse(format!("its key column {} is computed", column.name)));
        }
        if self.schema.data_columns().is_empty() {
            return Err(self.refuse("it has no columns that hold data".to_owned()));
        }
        Ok(())
    }

    fn table(&self, created: &mut Created) -> Result<()> {
        let schema = self.schema;
        let mut types = BTreeMap::new();
        for (i, column) in schema.columns.iter().enumerate() {
            if column.generated == Generated::No {
                types.insert(i, self.sql_type(i, column, &mut created.left_out)?);
            } else {
                created
                    .left_out
                    .push(format!("column {}, which is computed", column.name));
            }
        }
        if self.to == Engine::Mysql {
            self.narrow(&mut types, &mut created.left_out);
        }
        let mut parts = Vec::new();
        for (&i, sql_type) in &types {
            parts.push(self.column(i, sql_type, &mut created.left_out));
        }
        if schema.key.is_empty() {
            created
                .left_out
                .push("a primary key: the table has none".to_owned());
        } else {
            parts.push(format!("PRIMARY KEY ({})", self.columns(&schema.key)));
        }
        if self.to == Engine::Sqlite {
            for key in &schema.foreign_keys {
                parts.extend(self.foreign_key(key, &mut created.left_out));
            }
        }
        self.collations(&mut created.left_out);
        let options = match self.to {
            Engine::Mysql => " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
            Engine::Sqlite if self.from == Engine::Sqlite => {
                match (schema.without_rowid, schema.strict) {
                    (true, true) => " WITHOUT ROWID, STRICT",
                    (true, false) => " WITHOUT ROWID",
                    (false, true) => " STRICT",
                    (false, false) => "",
                }
            }
            Engine::Sqlite | Engine::Postgres => "",
        };
        created.table = format!(
            "CREATE TABLE {} (\n  {}\n){options}",
            self.to.quote_table(self.name),
            parts.join(",\n  ")
        );
        Ok(())
    }

    fn column(&self, index: usize, sql_type: &str, left_out: &mut Vec<String>) -> String {
        let column = &self.schema.columns[index];
        let mut sql = format!("{} {sql_type}", self.to.quote(&column.name));
        if self.from == self.to
            && self.to != Engine::Postgres
            && let Some(collation) = &column.collation
            // Of a type that is compared as what it stands for.
            && *collation != column.declared_type
        {
            let charset = collation.split_once('_').map(|(charset, _)| charset);
            if let (Engine::Mysql, Some(charset)) = (self.to, charset) {
                sql.push_str(&format!(" CHARACTER SET {charset}"));
            }
            sql.push_str(&format!(" COLLATE {collation}"));
        }
        if !column.nullable || self.schema.key.contains(&index) {
            sql.push_str(" NOT NULL");
        } else if self.to == Engine::Mysql && sql_type.starts_with("timestamp") {
            // Without the word older servers make it NOT NULL.
            sql.push_str(" NULL");
        }
        match default::of(self.from, column, self.to, sql_type) {
            Default::None => {}
            Default::Literal(literal) => sql.push_str(&format!(" DEFAULT {literal}")),
            Default::LeftOut => left_out.push(format!(
                "the default of column {}, {}",
                column.name,
                column.default.as_deref().unwrap_or_default()
            )),
        }
        if self.from == Engine::Mysql && self.to != Engine::Mysql {
            let declared = Declared::mysql(&column.declared_type);
            if declared.name == "enum" {
                let labels: Vec<String> =
                    declared.labels.iter().map(|l| self.to.literal(l)).collect();
                let name = self.to.quote(&column.name);
                sql.push_str(&format!(" CHECK ({name} IN ({}))", labels.join(", ")));
            } else if declared.name == "set" {
                left_out.push(format!("the labels of column {}", column.name));
            }
        }
        sql
    }

    /// The column's type by the published table.
    fn sql_type(
        &self,
        index: usize,
        column: &Column,
        left_out: &mut Vec<String>,
    ) -> Result<String> {
        let declared = &column.declared_type;
        if self.from == self.to {
            // A type that the new database may not have is carried as text.
            let foreign = self.from == Engine::Postgres
                && ColumnForm::postgres(column)
                    .unchecked()
                    .is_some_and(|t| !is_built_in(t));
            if foreign {
                left_out.push(format!(
                    "the type of column {}, {declared}: it is a text",
                    column.name
                ));
                return Ok("text".to_owned());
            }
            let plain = declared
                .split_once(" /*")
                .map_or(declared.as_str(), |(t, _)| t);
            return Ok(plain.to_owned());
        }
        let Some((mapping, sql_type)) =
            types::target(self.from, self.to, self.schema.strict, column)
        else {
            return Err(self.refuse(format!(
                "there is no type there for column {}, {declared}",
                column.name
            )));
        };
        if mapping.name == "*" {
            left_out.push(format!(
                "the type of column {}, {declared}: it is a text",
                column.name
            ));
        }
        let key_type = KEY_TYPES
            .iter()
            .find(|(engine, any, _)| *engine == self.to && *any == sql_type)
            .filter(|_| self.keyed.contains(&index));
        let Some((_, _, key_type)) = key_type else {
            return Ok(sql_type);
        };
        if self.to == Engine::Mysql {
            left_out.push(format!(
                "values of column {} that are longer than {key_type} allows: it is part of a key",
                column.name
            ));
        }
        Ok((*key_type).to_owned())
    }

    /// Where a row of MySQL would be too long, its longest texts get a type that lies outside.
    fn narrow(&self, types: &mut BTreeMap<usize, String>, left_out: &mut Vec<String>) {
        let bytes = |sql_type: &str| {
            let d = Declared::mysql(sql_type);
            let n = d
                .number(0)
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(0);
            match d.name.as_str() {
                "varchar" | "char" => n * 4 + 2,
                "varbinary" | "binary" => n + 2,
                "decimal" => 32,
                _ => 12,
            }
        };
        loop {
            let total: usize = types.values().map(|t| bytes(t)).sum();
            let longest = types
                .iter()
                .filter(|(i, t)| t.starts_with("varchar") && !self.keyed.contains(i))
                .max_by_key(|(i, t)| (bytes(t), std::cmp::Reverse(**i)))
                .map(|(&i, _)| i);
            let (true, Some(i)) = (total > MYSQL_ROW_BYTES, longest) else {
                return;
            };
            let old = types.insert(i, "longtext".to_owned()).unwrap_or_default();
            left_out.push(format!(
                "the limit of column {}, {old}: a row would be too long, so it is a longtext",
                self.schema.columns[i].name
            ));
        }
    }

    fn constraint(&self, columns: &[usize], parent: Option<String>, sql: String) -> Constraint {
        let names = columns.iter().map(|&i| self.schema.columns[i].name.clone());
        Constraint {
            table: self.name.to_owned(),
            columns: names.collect(),
            parent,
            sql,
        }
    }

    fn columns(&self, columns: &[usize]) -> String {
        let names: Vec<String> = columns
            .iter()
            .map(|&i| self.to.quote(&self.schema.columns[i].name))
            .collect();
        names.join(", ")
    }

    fn collations(&self, left_out: &mut Vec<String>) {
        if self.from == self.to && self.to != Engine::Postgres {
            return;
        }
        let mut columns: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for column in &self.schema.columns {
            if let Some(collation) = &column.collation {
                columns.entry(collation).or_default().push(&column.name);
            }
        }
        for (collation, columns) in columns {
            left_out.push(format!(
                "the collation {collation} of {}: the new column compares texts by their bytes",
                columns.join(", ")
            ));
        }
    }

    fn indexes(&self, created: &mut Created) {
        let mut names = BTreeSet::new();
        for unique in &self.schema.unique {
            let whole: Option<Vec<usize>> = unique.columns.iter().copied().collect();
            let usable = whole.filter(|columns| {
                !unique.partial
                    && !columns.is_empty()
                    && columns
                        .iter()
                        .all(|&i| self.schema.columns[i].generated == Generated::No)
            });
            let Some(columns) = usable else {
                created.left_out.push(format!(
                    "the unique key {}, which is over an expression, a computed column or some of \
                     the rows",
                    unique.name
                ));
                continue;
            };
            let mut sorted = (columns.clone(), self.schema.key.clone());
            sorted.0.sort_unstable();
            sorted.1.sort_unstable();
            if sorted.0 == sorted.1 {
                continue;
            }
            // Without the schema or database that it lies in.
            let bare = self.name.rsplit('.').next().unwrap_or_default();
            let mut name = bare.trim_matches(['"', '`']).to_owned();
            for &i in &columns {
                name.push('_');
                name.push_str(&self.schema.columns[i].name);
            }
            name.push_str("_key");
            if !self.to.name_fits(&name) || names.contains(&name) {
                // As much of it as leaves room for a number.
                let end = (0..=50).rev().find(|&end| name.is_char_boundary(end));
                name.truncate(end.unwrap_or(0));
                name.push_str(&format!("_{}_key", names.len() + 1));
            }
            let sql = format!(
                "CREATE UNIQUE INDEX {} ON {} ({})",
                self.to.quote(&name),
                self.to.quote_table(self.name),
                self.columns(&columns)
            );
            created.indexes.push(self.constraint(&columns, None, sql));
            names.insert(name);
        }
    }

    /// What the parent is called here.
    fn parent(&self, key: &ForeignKey) -> Option<&str> {
        self.tables
            .iter()
            .find(|(there, _)| *there == key.parent)
            .map(|(_, here)| *here)
            .or_else(|| (key.parent == self.schema.name).then_some(self.name))
    }

    fn foreign_key(&self, key: &ForeignKey, left_out: &mut Vec<String>) -> Option<String> {
        let here = self.parent(key);
        let names: Vec<&str> = key
            .columns
            .iter()
            .map(|&i| self.schema.columns[i].name.as_str())
            .collect();
        let computed = key
            .columns
            .iter()
            .any(|&i| self.schema.columns[i].generated != Generated::No);
        let what = format!("the foreign key of {} to {}", names.join(", "), key.parent);
        let Some(parent) = here else {
            left_out.push(format!("{what}, which is not created here"));
            return None;
        };
        if computed || key.columns.is_empty() || key.columns.len() != key.parent_columns.len() {
            left_out.push(what);
            return None;
        }
        let parents: Vec<String> = key
            .parent_columns
            .iter()
            .map(|c| self.to.quote(c))
            .collect();
        let mut sql = format!(
            "FOREIGN KEY ({}) REFERENCES {} ({})",
            self.columns(&key.columns),
            self.to.quote_table(parent),
            parents.join(", ")
        );
        for (event, action) in [("DELETE", &key.on_delete), ("UPDATE", &key.on_update)] {
            let action = action.to_ascii_uppercase();
            if action == "NO ACTION" || action.is_empty() {
                continue;
            }
            let own = self.to == Engine::Mysql && action != "RESTRICT";
            if own || !ACTIONS.contains(&action.as_str()) {
                left_out.push(format!("ON {event} {action} of {what}"));
            } else {
                sql.push_str(&format!(" ON {event} {action}"));
            }
        }
        Some(sql)
    }
}

/// Types of PostgreSQL that every database has.
fn is_built_in(declared: &str) -> bool {
    const NAMES: [&str; 31] = [
        "xml",
        "tsvector",
        "tsquery",
        "point",
        "line",
        "lseg",
        "box",
        "path",
        "polygon",
        "circle",
        "numrange",
        "tsrange",
        "tstzrange",
        "daterange",
        "int4multirange",
        "int8multirange",
        "nummultirange",
        "tsmultirange",
        "tstzmultirange",
        "datemultirange",
        "jsonpath",
        "pg_lsn",
        "txid_snapshot",
        "pg_snapshot",
        "xid",
        "xid8",
        "cid",
        "tid",
        "\"char\"",
        "oidvector",
        "int2vector",
    ];
    NAMES.contains(&declared) || declared.starts_with("interval ")
}

#[cfg(test)]
mod tests;
