//! A table of a store, as DataFusion sees it.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::data::{LogicalType, TableSchema};
use crate::database::{ReadStore, Snapshot};
use crate::error::Result;
use crate::verify::lanes::Keys;
use crate::verify::pace::Pace;
use crate::verify::side::Range;

use super::QueryOptions;
use super::mentioned::Mentioned;
use super::pushdown::Filters;
use super::scan::{Instant, Scan, StoreScan};
use super::types::{self, ColumnType};

/// Bytes of a cell, when nothing is known.
const CELL_BYTES: u64 = 32;

/// Rows of a part of a scan, at most.
const PART_ROWS: u64 = u64::MAX;

/// A table in so many parts by its key, if it has one and rows enough.
async fn spread(
    snapshot: &mut dyn Snapshot,
    table: &TableSchema,
    parts: u64,
) -> Result<Vec<Option<Range>>> {
    // A key without a value is in no range.
    if table.key.is_empty() || table.key.iter().any(|&k| table.columns[k].nullable) {
        return Ok(vec![Some(Range::default())]);
    }
    let is_integer = matches!(
        table.key[..],
        [column] if table.columns[column].logical == LogicalType::Int
    );
    let mut keys = Keys {
        snapshot,
        table: &table.name,
        key: table.key_names().into_iter().map(str::to_owned).collect(),
        is_integer,
        filter: None,
        pace: Pace::default(),
    };
    let ranges = keys.ranges(None, PART_ROWS, parts, 1).await?;
    Ok(ranges.into_iter().map(Some).collect())
}

/// A table of a store.
pub(super) struct StoreTable {
    store: Arc<dyn ReadStore>,
    table: Arc<TableSchema>,
    types: Arc<Vec<ColumnType>>,
    schema: SchemaRef,
    rows: Option<u64>,
    parts: Vec<Option<Range>>,
    instant: Option<Instant>,
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
            let mut snapshot = None;
            let parts = match options.parts {
                0 | 1 => vec![Some(Range::default())],
                parts => {
                    let mut own = store.snapshot().await?;
                    let parts = spread(own.as_mut(), &table, parts as u64).await?;
                    snapshot = (parts.len() > 1).then_some(own);
                    parts
                }
            };
            let instant = match snapshot {
                None => None,
                Some(mut snapshot) => snapshot.share().await?.map(|name| Instant {
                    name,
                    _kept: Some(Arc::new(Mutex::new(snapshot))),
                }),
            };
            Ok((table, types, rows, parts, instant))
        };
        let (table, types, rows, parts, instant) =
            open.await.map_err(|e: crate::error::Error| e.at(place))?;
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
            parts,
            instant,
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
            parts: self.parts.clone(),
            instant: self.instant.clone(),
        };
        let plan = StoreScan::new(scan, &self.schema)
            .map(|plan| -> Arc<dyn ExecutionPlan> { Arc::new(plan) });
        Box::pin(std::future::ready(plan))
    }
}
