//! A table of a store, as DataFusion sees it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::data::TableSchema;
use crate::database::ReadStore;
use crate::error::Result;

use super::QueryOptions;
use super::mentioned::Mentioned;
use super::pushdown::Filters;
use super::scan::{Scan, StoreScan};
use super::types::{self, ColumnType};

/// Bytes of a cell, when nothing is known.
const CELL_BYTES: u64 = 32;

/// A table of a store.
pub(super) struct StoreTable {
    store: Arc<dyn ReadStore>,
    table: Arc<TableSchema>,
    types: Arc<Vec<ColumnType>>,
    schema: SchemaRef,
    rows: Option<u64>,
}

impl fmt::Debug for StoreTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.store.name(), self.table.name)
    }
}

impl StoreTable {
    /// Looks at the table; with `count` also at its number of rows, which decides how it is joined.
    pub(super) async fn open(
        store: &Arc<dyn ReadStore>,
        name: &str,
        options: &QueryOptions,
        mentioned: &Mentioned,
        count: bool,
    ) -> Result<Self> {
        let place = format!("store {}", store.name());
        let open = async {
            let table = store.schema(name).await?;
            let types =
                types::decide(store.as_ref(), &table, mentioned, options.mixed_as_text).await?;
            let rows = if count {
                Some(store.snapshot().await?.count(name, None).await?)
            } else {
                None
            };
            Ok((table, types, rows))
        };
        let (table, types, rows) = open.await.map_err(|e: crate::error::Error| e.at(place))?;
        let fields: Vec<Field> = table
            .columns
            .iter()
            .zip(&types)
            .map(|(column, t)| Field::new(&column.name, t.arrow.clone(), true))
            .collect();
        Ok(Self {
            store: Arc::clone(store),
            table: Arc::new(table),
            types: Arc::new(types),
            schema: Arc::new(Schema::new(fields)),
            rows,
        })
    }

    /// Bytes of the whole table in memory, roughly.
    pub(super) fn bytes_estimated(&self) -> u64 {
        let width = self.table.columns.len() as u64 * CELL_BYTES;
        self.rows.unwrap_or(0).saturating_mul(width)
    }

    fn filters(&self) -> Filters<'_> {
        Filters {
            schema: &self.table,
            types: &self.types,
            dialect: self.store.dialect(),
        }
    }
}

type Planned<'a> = Pin<Box<dyn Future<Output = PlanResult<Arc<dyn ExecutionPlan>>> + Send + 'a>>;

impl TableProvider for StoreTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        let known = self.filters();
        Ok(filters
            .iter()
            .map(|filter| match known.sql(filter) {
                // Rows that it lets through without a comparison must be read, to be the error that
                // they are.
                Some(_) if known.lets_through(filter) => TableProviderFilterPushDown::Inexact,
                Some(_) => TableProviderFilterPushDown::Exact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    fn scan<'s, 'd, 'p, 'f, 'x>(
        &'s self,
        _session: &'d dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'f [Expr],
        limit: Option<usize>,
    ) -> Planned<'x>
    where
        's: 'x,
        'd: 'x,
        'p: 'x,
        'f: 'x,
        Self: 'x,
    {
        let known = self.filters();
        let columns = projection
            .cloned()
            .unwrap_or_else(|| (0..self.table.columns.len()).collect());
        let filters: Vec<String> = filters.iter().filter_map(|f| known.sql(f)).collect();
        let scan = Scan {
            store: Arc::clone(&self.store),
            table: Arc::clone(&self.table),
            types: Arc::clone(&self.types),
            columns,
            filter: (!filters.is_empty()).then(|| filters.join(" AND ")),
            limit,
            rows: self.rows,
        };
        let plan = StoreScan::new(scan, &self.schema)
            .map(|plan| -> Arc<dyn ExecutionPlan> { Arc::new(plan) });
        Box::pin(std::future::ready(plan))
    }
}
