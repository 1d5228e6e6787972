//! `diff` of two files that are sorted by its key: both are read once, side by side.
//!
//! Whether they are sorted, each key greater than the one before, is looked at first; it is only the
//! key's columns that are read for it. Where keys of both sides follow each other alike, as they do nearly
//! everywhere, whole columns are compared at once, and only rows that differ are put together. Anything
//! else (other types on the two sides, keys that are there twice) is left to the join that `diff` stands
//! for; the rows that come out are the same.

use std::cmp::Ordering;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, StringArray, UInt64Array, make_comparator, new_empty_array,
};
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::{SortOptions, cast, interleave, take};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::leaf::leaf;

/// Batches that are read ahead of each side.
const AHEAD: usize = 4;
/// Rows of a batch: large ones, since hardly any of them are touched one by one.
const BATCH_ROWS: usize = 32_768;

/// What is compared with what: columns of both sides, by index.
#[derive(Clone, Debug)]
pub(super) struct Compared {
    /// The key's columns.
    pub(super) key: Vec<(usize, usize)>,
    /// The others that both sides have, with their names.
    pub(super) common: Vec<(usize, usize, String)>,
}

/// The two sides, sorted.
#[derive(Debug)]
pub(super) struct Lockstep {
    sides: [DataFrame; 2],
    compared: Arc<Compared>,
    schema: SchemaRef,
}

impl Lockstep {
    /// Looks whether both sides can be compared so; the rows that come out have `schema`.
    pub(super) async fn of(
        sides: [Arc<dyn TableProvider>; 2],
        compared: Compared,
        schema: SchemaRef,
    ) -> PlanResult<Option<Self>> {
        let [a, b] = sides.each_ref().map(|side| side.schema());
        let types = |&(i, j): &(usize, usize)| {
            let (a, b) = (a.field(i).data_type(), b.field(j).data_type());
            let empty = new_empty_array(a);
            a == b && cmp::distinct(&empty, &empty).is_ok()
        };
        let pairs = compared.common.iter().map(|&(i, j, _)| (i, j));
        let pairs: Vec<_> = pairs.chain(compared.key.iter().copied()).collect();
        if compared.key.is_empty() || !pairs.iter().all(types) {
            return Ok(None);
        }
        let config = SessionConfig::new()
            .with_target_partitions(1)
            .with_batch_size(BATCH_ROWS);
        let context = SessionContext::new_with_config(config);
        let [a, b] = sides.map(|side| context.read_table(side));
        let sides = [a?, b?];
        let [a, b] = [0, 1].map(|side| {
            let pick = |&(i, j): &(usize, usize)| if side == 0 { i } else { j };
            let columns: Vec<usize> = compared.key.iter().map(pick).collect();
            tokio::spawn(is_sorted(sides[side].clone(), columns))
        });
        let joined = |e| DataFusionError::External(Box::new(e));
        if !(a.await.map_err(joined)?? && b.await.map_err(joined)??) {
            return Ok(None);
        }
        Ok(Some(Self {
            sides,
            compared: Arc::new(compared),
            schema,
        }))
    }
}

/// Whether each key is greater than the one before, and none is NULL.
async fn is_sorted(table: DataFrame, key: Vec<usize>) -> PlanResult<bool> {
    let names: Vec<String> = key
        .iter()
        .map(|&i| table.schema().field(i).name().clone())
        .collect();
    let names: Vec<Expr> = names.into_iter().map(datafusion::prelude::ident).collect();
    let mut rows = table.select(names)?.execute_stream().await?;
    let fields = rows.schema();
    let fields = fields
        .fields()
        .iter()
        .map(|f| SortField::new(f.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let mut last: Option<Vec<u8>> = None;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let count = batch.num_rows();
        if count == 0 {
            continue;
        }
        if batch.columns().iter().any(|c| c.logical_null_count() > 0) {
            return Ok(false);
        }
        let ends: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .map(|c| take(c, &UInt64Array::from(vec![0, count as u64 - 1]), None))
            .collect::<Result<_, ArrowError>>()?;
        let ends = converter.convert_columns(&ends)?;
        if last.is_some_and(|last| last.as_slice() >= ends.row(0).as_ref()) {
            return Ok(false);
        }
        last = Some(ends.row(1).as_ref().to_vec());
        let grows = if let [only] = batch.columns() {
            let (before, after) = (only.slice(0, count - 1), only.slice(1, count - 1));
            cmp::lt(&before, &after)?.true_count() == count - 1
        } else {
            let rows = converter.convert_columns(batch.columns())?;
            (1..count).all(|i| rows.row(i - 1) < rows.row(i))
        };
        if !grows {
            return Ok(false);
        }
    }
    Ok(true)
}

type Planned<'a> = Pin<Box<dyn Future<Output = PlanResult<Arc<dyn ExecutionPlan>>> + Send + 'a>>;

impl TableProvider for Lockstep {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn scan<'s, 'd, 'p, 'f, 'x>(
        &'s self,
        _session: &'d dyn Session,
        projection: Option<&'p Vec<usize>>,
        _filters: &'f [Expr],
        _limit: Option<usize>,
    ) -> Planned<'x>
    where
        's: 'x,
        'd: 'x,
        'p: 'x,
        'f: 'x,
        Self: 'x,
    {
        Box::pin(async move {
            let a = self.sides[0].clone().create_physical_plan().await?;
            let b = self.sides[1].clone().create_physical_plan().await?;
            let exec = LockstepExec::new([a, b], &self.compared, &self.schema)?;
            let exec: Arc<dyn ExecutionPlan> = Arc::new(exec);
            let Some(projection) = projection else {
                return Ok(exec);
            };
            let columns = projection.iter().map(|&i| {
                let name = self.schema.field(i).name();
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, i));
                (column, name.clone())
            });
            let projected = ProjectionExec::try_new(columns.collect::<Vec<_>>(), exec)?;
            Ok(Arc::new(projected) as Arc<dyn ExecutionPlan>)
        })
    }
}

/// The comparison as a part of a plan.
struct LockstepExec {
    sides: [Arc<dyn ExecutionPlan>; 2],
    compared: Arc<Compared>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl LockstepExec {
    fn new(
        sides: [Arc<dyn ExecutionPlan>; 2],
        compared: &Arc<Compared>,
        schema: &SchemaRef,
    ) -> PlanResult<Self> {
        if sides
            .iter()
            .any(|s| s.output_partitioning().partition_count() != 1)
        {
            let message = "a sorted file is read in one part";
            return Err(DataFusionError::Internal(message.to_owned()));
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            sides,
            compared: Arc::clone(compared),
            schema: Arc::clone(schema),
            properties: Arc::new(properties),
        })
    }
}

impl fmt::Debug for LockstepExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.compared.common.len();
        write!(f, "LockstepDiff: {columns} columns beside the key")
    }
}

impl DisplayAs for LockstepExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl ExecutionPlan for LockstepExec {
    fn name(&self) -> &'static str {
        "LockstepDiff"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    // Read in order and in one part, which no optimizer is to change.
    leaf!();

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let side = |i: usize| -> PlanResult<Cursor> {
            let rows = self.sides[i].execute(0, Arc::clone(&context))?;
            Ok(Cursor {
                rows: spawn_buffered(rows, AHEAD),
                batch: None,
                at: 0,
            })
        };
        let work = Work {
            a: side(0)?,
            b: side(1)?,
            compared: Arc::clone(&self.compared),
            schema: Arc::clone(&self.schema),
        };
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), 1);
        let tx = builder.tx();
        builder.spawn(work.run(tx));
        Ok(builder.build())
    }
}

/// Where one side stands.
struct Cursor {
    rows: SendableRecordBatchStream,
    batch: Option<RecordBatch>,
    at: usize,
}

impl Cursor {
    /// The batch with rows that are left, and how many are.
    async fn fill(&mut self) -> PlanResult<Option<(RecordBatch, usize)>> {
        loop {
            if let Some(batch) = &self.batch
                && self.at < batch.num_rows()
            {
                return Ok(Some((batch.clone(), batch.num_rows() - self.at)));
            }
            self.at = 0;
            match self.rows.next().await {
                None => return Ok(None),
                Some(batch) => self.batch = Some(batch?),
            }
        }
    }
}

/// A row that differs: its places in the two batches, and the compared columns that do.
type Differing = (Option<usize>, Option<usize>, Option<String>);

struct Work {
    a: Cursor,
    b: Cursor,
    compared: Arc<Compared>,
    schema: SchemaRef,
}

impl Work {
    async fn run(mut self, tx: Sender<PlanResult<RecordBatch>>) -> PlanResult<()> {
        loop {
            let (a, b) = (self.a.fill().await?, self.b.fill().await?);
            let (found, a, b) = match (a, b) {
                (None, None) => return Ok(()),
                (Some((a, left)), None) => {
                    let rows = self.a.at..self.a.at + left;
                    self.a.at += left;
                    let found = rows.map(|i| (Some(i), None, None)).collect();
                    let none = RecordBatch::new_empty(self.b.rows.schema());
                    (found, a, none)
                }
                (None, Some((b, left))) => {
                    let rows = self.b.at..self.b.at + left;
                    self.b.at += left;
                    let found = rows.map(|j| (None, Some(j), None)).collect();
                    let none = RecordBatch::new_empty(self.a.rows.schema());
                    (found, none, b)
                }
                (Some((a, left_a)), Some((b, left_b))) => {
                    (self.step(&a, &b, left_a.min(left_b))?, a, b)
                }
            };
            if !found.is_empty() {
                let batch = self.rows(&a, &b, &found)?;
                if tx.send(Ok(batch)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// Goes on as far as keys are alike, and then over those that only one side has.
    fn step(
        &mut self,
        a: &RecordBatch,
        b: &RecordBatch,
        rows: usize,
    ) -> PlanResult<Vec<Differing>> {
        let (from_a, from_b) = (self.a.at, self.b.at);
        let mut alike = rows;
        for &(i, j) in &self.compared.key {
            let (a, b) = (
                a.column(i).slice(from_a, alike),
                b.column(j).slice(from_b, alike),
            );
            let same = cmp::eq(&a, &b)?;
            if same.true_count() < alike {
                alike = (0..alike).find(|&row| !same.value(row)).unwrap_or(alike);
            }
        }
        let mut found = Vec::new();
        if alike > 0 {
            let mut columns: Vec<(&str, BooleanArray)> = Vec::new();
            for (i, j, name) in &self.compared.common {
                let a = a.column(*i).slice(from_a, alike);
                let b = b.column(*j).slice(from_b, alike);
                let differs = cmp::distinct(&a, &b)?;
                if differs.true_count() > 0 {
                    columns.push((name, differs));
                }
            }
            for row in 0..if columns.is_empty() { 0 } else { alike } {
                let names = columns.iter().filter(|(_, differs)| differs.value(row));
                let names: Vec<&str> = names.map(|(name, _)| *name).collect();
                if !names.is_empty() {
                    let names = Some(names.join(", "));
                    found.push((Some(from_a + row), Some(from_b + row), names));
                }
            }
            self.a.at += alike;
            self.b.at += alike;
        }
        if alike < rows {
            let options = SortOptions {
                descending: false,
                nulls_first: true,
            };
            let order = self.compared.key.iter();
            let order = order.map(|&(i, j)| make_comparator(a.column(i), b.column(j), options));
            let order: Vec<_> = order.collect::<Result<_, ArrowError>>()?;
            let compare = |i: usize, j: usize| {
                let mut parts = order.iter().map(|compare| compare(i, j));
                parts.find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            };
            while self.a.at < a.num_rows() && self.b.at < b.num_rows() {
                match compare(self.a.at, self.b.at) {
                    Ordering::Equal => break,
                    Ordering::Less => {
                        found.push((Some(self.a.at), None, None));
                        self.a.at += 1;
                    }
                    Ordering::Greater => {
                        found.push((None, Some(self.b.at), None));
                        self.b.at += 1;
                    }
                }
            }
        }
        Ok(found)
    }

    /// The rows that differ, as `diff` has them.
    fn rows(
        &self,
        a: &RecordBatch,
        b: &RecordBatch,
        found: &[Differing],
    ) -> PlanResult<RecordBatch> {
        let places = |side: fn(&Differing) -> Option<usize>| -> UInt64Array {
            found.iter().map(|f| side(f).map(|i| i as u64)).collect()
        };
        let (in_a, in_b) = (places(|f| f.0), places(|f| f.1));
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for &(i, j) in &self.compared.key {
            let which: Vec<(usize, usize)> = found
                .iter()
                .map(|f| match (f.0, f.1) {
                    (Some(i), _) => (0, i),
                    (None, j) => (1, j.unwrap_or(0)),
                })
                .collect();
            columns.push(interleave(&[a.column(i), b.column(j)], &which)?);
        }
        let kinds = found.iter().map(|f| match (f.0, f.1) {
            (Some(_), None) => "only in a",
            (None, _) => "only in b",
            (Some(_), Some(_)) => "differs",
        });
        columns.push(Arc::new(StringArray::from_iter_values(kinds)));
        let names: StringArray = found.iter().map(|f| f.2.as_deref()).collect();
        columns.push(Arc::new(names));
        for &(i, j, _) in &self.compared.common {
            columns.push(take(a.column(i), &in_a, None)?);
            columns.push(take(b.column(j), &in_b, None)?);
        }
        let fields = self.schema.fields().iter();
        let columns = fields
            .zip(columns)
            .map(|(field, column)| cast(&column, field.data_type()))
            .collect::<Result<_, ArrowError>>()?;
        let schema = Schema::clone(&self.schema);
        Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
    }
}
