//! Finds the tables that a query names.

use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser;

use crate::database::ReadStore;
use crate::error::{Error, ErrorKind, Result};

use super::QueryOptions;
use super::diff::{self, Wanted};
use super::failure;
use super::files;
use super::mentioned::Mentioned;
use super::provider::StoreTable;

/// The one catalog; stores are its schemas.
pub(super) const CATALOG: &str = "banyan";
/// The schema of tables that are named without a store. No store can have this name.
pub(super) const ANY_STORE: &str = " any store ";

/// The tables of one query.
#[derive(Debug)]
pub(super) struct Found {
    stores: Vec<String>,
    tables: Vec<FoundTable>,
}

#[derive(Debug)]
struct FoundTable {
    /// The store's name, or [`ANY_STORE`].
    schema: String,
    /// As it is written in the query.
    name: String,
    provider: Arc<dyn TableProvider>,
    /// Of all of it in memory, roughly.
    bytes: u64,
}

/// Reads the text of a query: exactly one statement.
pub(super) fn parse(sql: &str) -> Result<Statement> {
    let mut statements = DFParser::parse_sql(sql).map_err(failure::syntax)?;
    match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) if reads(&statement) => Ok(statement),
        (Some(statement), 0) => Err(Error::new(
            ErrorKind::Usage,
            format!("a query only reads, and this is: {statement}"),
        )
        .hint("use SELECT, WITH or EXPLAIN")),
        (None, _) => Err(Error::new(ErrorKind::Usage, "the query is empty")),
        (Some(_), more) => Err(Error::new(
            ErrorKind::Usage,
            format!("{} statements, but a query is one", more + 1),
        )),
    }
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(inner) => matches!(**inner, sqlparser::ast::Statement::Query(_)),
        Statement::Explain(explain) => reads(&explain.statement),
        _ => false,
    }
}

/// Looks up every table that the statement names, also those that it compares with `diff`.
pub(super) async fn find(
    stores: &[Arc<dyn ReadStore>],
    statement: &Statement,
    compared: &[Wanted],
    options: &QueryOptions,
) -> Result<Found> {
    let (mut references, _) =
        resolve_table_references(statement, false).map_err(failure::syntax)?;
    for wanted in compared {
        references.extend(wanted.tables()?);
    }
    references.sort();
    references.dedup();
    let mut found = Found {
        stores: stores.iter().map(|s| s.name().to_owned()).collect(),
        tables: Vec::new(),
    };
    let joined = references.len() > 1;
    let mentioned = if compared.is_empty() {
        Mentioned::of(statement)
    } else {
        Mentioned::all()
    };
    for reference in &references {
        let (schema, store, table) = match reference {
            TableReference::Bare { table }
                if files::is_file(table) && options.cluster.is_some() =>
            {
                let message =
                    format!("{table} is a file of this machine, which workers do not have");
                return Err(Error::new(ErrorKind::Usage, message).hint("leave --workers out"));
            }
            TableReference::Bare { table } if files::is_file(table) => {
                let (provider, bytes) = files::open(table, &options.folder).await?;
                found.tables.push(FoundTable {
                    schema: ANY_STORE.to_owned(),
                    name: table.to_string(),
                    provider,
                    bytes,
                });
                continue;
            }
            TableReference::Bare { table }
                if !compared.is_empty() && table.eq_ignore_ascii_case(diff::NAME) =>
            {
                continue;
            }
            TableReference::Bare { table } => {
                let Some(store) = holder(stores, table).await? else {
                    if is_table_function(table) {
                        continue;
                    }
                    return Err(no_table(stores, None, table).await?);
                };
                (ANY_STORE, store, table)
            }
            TableReference::Partial { schema, table }
            | TableReference::Full { schema, table, .. } => {
                let store = stores
                    .iter()
                    .find(|s| s.name() == &**schema)
                    .ok_or_else(|| no_store(&found.stores, schema, table))?;
                (&**schema, store, table)
            }
        };
        let names = tables_of(store).await?;
        let Some(name) = spelt(&names, table) else {
            return Err(no_table(stores, Some(store), table).await?);
        };
        let opened = StoreTable::open(store, name, options, &mentioned, joined).await?;
        found.tables.push(FoundTable {
            schema: schema.to_owned(),
            name: table.to_string(),
            bytes: opened.bytes_estimated(),
            provider: Arc::new(opened),
        });
    }
    Ok(found)
}

fn is_table_function(name: &str) -> bool {
    name.eq_ignore_ascii_case(diff::NAME)
        || SessionContext::new()
            .state()
            .table_functions()
            .contains_key(&name.to_ascii_lowercase())
}

async fn tables_of(store: &Arc<dyn ReadStore>) -> Result<Vec<String>> {
    store
        .tables()
        .await
        .map_err(|e| e.at(format_args!("store {}", store.name())))
}

/// The table's name as the store spells it.
fn spelt<'n>(names: &'n [String], table: &str) -> Option<&'n str> {
    names
        .iter()
        .find(|n| *n == table)
        .or_else(|| names.iter().find(|n| n.eq_ignore_ascii_case(table)))
        .map(String::as_str)
}

/// The only store that has a table of this name.
async fn holder<'s>(
    stores: &'s [Arc<dyn ReadStore>],
    table: &str,
) -> Result<Option<&'s Arc<dyn ReadStore>>> {
    let mut holders = Vec::new();
    for store in stores {
        if spelt(&tables_of(store).await?, table).is_some() {
            holders.push(store);
        }
    }
    match holders[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => {
            let names: Vec<_> = holders
                .iter()
                .map(|s| format!("{}.{table}", s.name()))
                .collect();
            Err(Error::new(
                ErrorKind::Usage,
                format!("several stores have a table {table:?}"),
            )
            .hint(format!("write {}", names.join(" or "))))
        }
    }
}

fn no_store(stores: &[String], name: &str, table: &str) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("there is no store {name:?}"));
    let file = format!("{name}.{table}");
    if files::is_file(&file) {
        return error.hint(format!("a file's name stands in quotes: '{file}'"));
    }
    match failure::nearest(name, stores) {
        Some(nearest) => error.hint(format!("did you mean {nearest:?}?")),
        None => error.hint(format!("the stores are {}", stores.join(", "))),
    }
}

async fn no_table(
    stores: &[Arc<dyn ReadStore>],
    store: Option<&Arc<dyn ReadStore>>,
    table: &str,
) -> Result<Error> {
    for store in stores
        .iter()
        .filter(|s| store.is_none_or(|only| s.name() == only.name()))
    {
        let views = store
            .views()
            .await
            .map_err(|e| e.at(format_args!("store {}", store.name())))?;
        if let Some(view) = spelt(&views, table) {
            return Ok(Error::new(
                ErrorKind::NotFound,
                format!("{}.{view} is a view; a query reads tables", store.name()),
            )
            .hint(format!(
                "write what it selects into the query: WITH {view} AS (SELECT … FROM {}.…) …",
                store.name()
            )));
        }
    }
    let (place, mut names) = match store {
        Some(store) => (
            format!("store {} has", store.name()),
            tables_of(store).await?,
        ),
        None => ("no store has".to_owned(), Vec::new()),
    };
    if store.is_none() {
        for store in stores {
            let qualified = |t: &String| format!("{}.{t}", store.name());
            names.extend(tables_of(store).await?.iter().map(qualified));
        }
    }
    let what = if store.is_some() {
        "no table"
    } else {
        "a table"
    };
    let error = Error::new(ErrorKind::NotFound, format!("{place} {what} {table:?}"));
    Ok(match failure::nearest(table, &names) {
        Some(nearest) => error.hint(format!("did you mean {nearest}?")),
        None if names.is_empty() => error,
        None => error.hint(format!("the tables are {}", names.join(", "))),
    })
}

impl Found {
    /// Makes the tables known under the names that the query uses.
    pub(super) fn register(&self, context: &SessionContext) -> Result<()> {
        let catalog = MemoryCatalogProvider::new();
        let schemas = self.stores.iter().map(String::as_str).chain([ANY_STORE]);
        for name in schemas {
            let schema = MemorySchemaProvider::new();
            for table in self.tables.iter().filter(|t| t.schema == name) {
                schema
                    .register_table(table.name.clone(), Arc::clone(&table.provider))
                    .map_err(failure::syntax)?;
            }
            catalog
                .register_schema(name, Arc::new(schema))
                .map_err(failure::syntax)?;
        }
        context.register_catalog(CATALOG, Arc::new(catalog));
        Ok(())
    }

    /// Whether the smaller sides of joins may not fit into a quarter of the memory, so that they
    /// must not be held in hash tables.
    pub(super) fn too_large_to_hash(&self, memory_bytes: usize) -> bool {
        let mut sizes: Vec<u64> = self.tables.iter().map(|t| t.bytes).collect();
        sizes.sort_unstable();
        sizes.pop();
        sizes.iter().sum::<u64>() > memory_bytes as u64 / 4
    }

    /// Files that may be sorted, if these two tables are such.
    pub(super) fn sorted_files(
        &self,
        tables: &[&TableReference; 2],
    ) -> Option<[Arc<dyn TableProvider>; 2]> {
        let file = |table: &TableReference| {
            let name = table.table();
            let is_bare = table.schema().is_none() && files::has_cheap_columns(name);
            let mut known = self.tables.iter().filter(|_| is_bare);
            let found = known.find(|t| t.schema == ANY_STORE && t.name == name)?;
            Some(Arc::clone(&found.provider))
        };
        Some([file(tables[0])?, file(tables[1])?])
    }

    /// All columns, as `table.column`.
    pub(super) fn columns(&self) -> Vec<String> {
        let columns = |table: &FoundTable| -> Vec<String> {
            let schema = table.provider.schema();
            let fields = schema.fields().iter();
            fields
                .map(|f| format!("{}.{}", table.name, f.name()))
                .collect()
        };
        self.tables.iter().flat_map(columns).collect()
    }

    /// The columns of one of the tables.
    pub(super) fn columns_of(&self, table: &TableReference) -> Vec<String> {
        let schema = table.schema().unwrap_or(ANY_STORE);
        let mut tables = self.tables.iter();
        let found = tables.find(|t| t.schema == schema && t.name == table.table());
        found.map_or_else(Vec::new, |t| {
            let schema = t.provider.schema();
            schema.fields().iter().map(|f| f.name().clone()).collect()
        })
    }
}
