//! Reads a table of a store as part of a query.

use std::fmt;
use std::sync::{Arc, Mutex};

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use crate::data::batch;
use crate::data::{LogicalType, TableSchema};
use crate::database::{ReadRequest, ReadStore, Snapshot};
use crate::error::{Error, ErrorKind, Result};

use crate::verify::side::Range;

use super::convert::{Misfit, convert};
use super::leaf::leaf;
use super::types::{ColumnType, is_row_id};

/// Batches that wait for the query.
const AHEAD: usize = 2;

/// What is read.
#[derive(Clone)]
pub(super) struct Scan {
    pub(super) store: Arc<dyn ReadStore>,
    pub(super) table: Arc<TableSchema>,
    pub(super) types: Arc<Vec<ColumnType>>,
    /// Indexes into the table's columns.
    pub(super) columns: Vec<usize>,
    pub(super) filter: Option<String>,
    pub(super) limit: Option<usize>,
    /// How many rows the table has, if known.
    pub(super) rows: Option<u64>,
    /// What each part of the scan reads, by key; `None`: nothing.
    pub(super) parts: Vec<Option<Range>>,
    /// The instant that all parts see, where the store can share one.
    pub(super) instant: Option<Instant>,
}

/// An instant of a store that several sessions can see.
#[derive(Clone)]
pub(super) struct Instant {
    /// Its name in the store.
    pub(super) name: String,
    /// What keeps it; with somebody else, who waits until we have read.
    pub(super) _kept: Option<Arc<Mutex<Box<dyn Snapshot>>>>,
}

/// The scan as a part of a plan.
pub(in crate::verify) struct StoreScan {
    pub(super) scan: Scan,
    schema: SchemaRef,
    pub(super) order: Vec<String>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for StoreScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl StoreScan {
    pub(super) fn new(scan: Scan, schema: &SchemaRef) -> PlanResult<Self> {
        let order = scan.natural_order();
        Self::ordered(scan, schema, order)
    }

    /// Whose rows come in this order.
    pub(super) fn ordered(scan: Scan, schema: &SchemaRef, order: Vec<String>) -> PlanResult<Self> {
        let schema = Arc::new(schema.project(&scan.columns)?);
        let sorting: Vec<PhysicalSortExpr> = order
            .iter()
            .map_while(|name| schema.index_of(name).ok().map(|i| (name, i)))
            .map(|(name, index)| {
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, index));
                PhysicalSortExpr::new(
                    column,
                    SortOptions {
                        descending: false,
                        nulls_first: true,
                    },
                )
            })
            .collect();
        let equivalence = if sorting.is_empty() {
            EquivalenceProperties::new(Arc::clone(&schema))
        } else {
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), [sorting])
        };
        let properties = PlanProperties::new(
            equivalence,
            Partitioning::UnknownPartitioning(scan.parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            scan,
            schema,
            order,
            properties: Arc::new(properties),
        })
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.scan.names().collect();
        let mut text = format!(
            "StoreScan: {}.{}, columns=[{}]",
            self.scan.store.name(),
            self.scan.table.name,
            names.join(", ")
        );
        if let Some(filter) = &self.scan.filter {
            text.push_str(&format!(", filter=[{filter}]"));
        }
        if let Some(limit) = self.scan.limit {
            text.push_str(&format!(", limit={limit}"));
        }
        if !self.order.is_empty() {
            text.push_str(&format!(", order=[{}]", self.order.join(", ")));
        }
        if self.scan.parts.len() > 1 {
            text.push_str(&format!(", parts={}", self.scan.parts.len()));
        }
        text
    }
}

impl DisplayAs for StoreScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl ExecutionPlan for StoreScan {
    fn name(&self) -> &'static str {
        "StoreScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    leaf!();

    fn execute(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let part = self.scan.parts.get(partition).cloned().flatten();
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), AHEAD);
        let tx = builder.tx();
        let (scan, schema, order) = (
            self.scan.clone(),
            Arc::clone(&self.schema),
            self.order.clone(),
        );
        if let Some(part) = part {
            builder.spawn(async move {
                scan.run(&schema, order, part, tx)
                    .await
                    .map_err(|e| DataFusionError::External(Box::new(e)))
            });
        }
        Ok(builder.build())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> PlanResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.scan.rows {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            // Counted a moment ago, and before any filter.
            statistics.num_rows = Precision::Inexact(rows);
        }
        Ok(Arc::new(statistics))
    }
}

impl Scan {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .map(|&i| self.table.columns[i].name.as_str())
    }

    /// The key, where the store delivers its order for nothing and it is Arrow's order too.
    fn natural_order(&self) -> Vec<String> {
        let schema = &self.table;
        let comparable = |&k: &usize| {
            let column = &schema.columns[k];
            let like_arrow = match column.logical {
                LogicalType::Int => true,
                LogicalType::Text => schema.encoding.is_none(),
                _ => false,
            };
            like_arrow && column.collation.is_none() && !self.types[k].as_text
        };
        if !(is_row_id(schema) || schema.without_rowid) || !schema.key.iter().all(comparable) {
            return Vec::new();
        }
        schema.key_names().into_iter().map(str::to_owned).collect()
    }

    fn request(&self, columns: Vec<String>, order_by: Vec<String>) -> ReadRequest {
        ReadRequest {
            table: self.table.name.clone(),
            columns,
            order_by,
            filter: self.filter.clone(),
            limit: self.limit,
            ..ReadRequest::default()
        }
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        match &self.instant {
            Some(instant) => self.store.snapshot_at(&instant.name).await,
            None => self.store.snapshot().await,
        }
    }

    async fn run(
        &self,
        schema: &SchemaRef,
        order: Vec<String>,
        part: Range,
        tx: Sender<PlanResult<RecordBatch>>,
    ) -> Result<()> {
        let place = format!("store {}", self.store.name());
        let mut snapshot = self.snapshot().await.map_err(|e| e.at(&place))?;
        let mut request = self.request(self.names().map(str::to_owned).collect(), order);
        if part.after.is_some() || part.up_to.is_some() {
            // What bounds a read is its order.
            request.order_by = self
                .table
                .key_names()
                .into_iter()
                .map(str::to_owned)
                .collect();
        }
        request.after = part.after;
        request.up_to = part.up_to;
        let mut batches = snapshot.read(request);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|e| e.at(&place))?;
            match self.convert(&batch, schema)? {
                Ok(batch) => {
                    if tx.send(Ok(batch)).await.is_err() {
                        return Ok(());
                    }
                }
                Err((column, misfit)) => {
                    drop(batches);
                    return Err(self.explain(snapshot.as_mut(), column, misfit).await);
                }
            }
        }
        Ok(())
    }

    fn convert(
        &self,
        batch: &RecordBatch,
        schema: &SchemaRef,
    ) -> Result<Result<RecordBatch, (usize, Misfit)>> {
        let rows = batch.num_rows();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (i, view) in batch::views(batch)?.iter().enumerate() {
            let column = self.columns[i];
            match convert(batch.column(i), view, rows, &self.types[column]) {
                Ok(array) => arrays.push(array),
                Err(misfit) => return Ok(Err((column, misfit))),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options);
        batch.map(Ok).map_err(|e| {
            Error::new(
                ErrorKind::Internal,
                "a batch does not have the table's types",
            )
            .caused_by(e)
        })
    }

    /// Names the first row that does not fit, by its key.
    async fn explain(&self, snapshot: &mut dyn Snapshot, column: usize, misfit: Misfit) -> Error {
        let name = &self.table.columns[column].name;
        let mut found = (String::new(), misfit.value);
        if !self.table.key.is_empty()
            && let Ok(Some((key, value))) = self.find_misfit(snapshot, column).await
        {
            found = (format!(", row ({key})"), value);
        }
        let (row, value) = found;
        Error::new(
            ErrorKind::Value,
            format!(
                "store {}, table {}, column {name}{row}: holds {value}, but the column is read as {}",
                self.store.name(),
                self.table.name,
                self.types[column].arrow
            ),
        )
        .hint("correct the value, or leave the column out of the query")
        .hint("--mixed-as-text reads columns that hold several kinds of values as text")
    }

    async fn find_misfit(
        &self,
        snapshot: &mut dyn Snapshot,
        column: usize,
    ) -> Result<Option<(String, String)>> {
        let key = self.table.key_names();
        let mut names: Vec<String> = key.iter().map(|&n| n.to_owned()).collect();
        names.push(self.table.columns[column].name.clone());
        let mut request = self.request(names, Vec::new());
        request.limit = None;
        let mut batches = snapshot.read(request);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let views = batch::views(&batch)?;
            let array = batch.column(key.len());
            let rows = batch.num_rows();
            if let Err(misfit) = convert(array, &views[key.len()], rows, &self.types[column]) {
                let cells = key
                    .iter()
                    .zip(&views)
                    .map(|(name, view)| format!("{name} = {}", view.get(misfit.row).to_value()));
                return Ok(Some((cells.collect::<Vec<_>>().join(", "), misfit.value)));
            }
        }
        Ok(None)
    }
}
