//! Ranges of a comparison as a leaf of a plan: a row (`n`, `answer`) for each, as soon as it is compared.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};

use crate::verify::query::leaf;

use super::job::{Host, Job, RangeText};

/// See the module's text.
pub(super) struct RangeScan {
    pub(super) job: Arc<Job>,
    pub(super) ranges: Vec<RangeText>,
    /// Who compares; a coordinator does not.
    host: Option<Arc<dyn Host>>,
    properties: Arc<PlanProperties>,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::UInt64, false),
        Field::new("answer", DataType::Utf8, false),
    ]))
}

impl RangeScan {
    /// `whole`: what is still to be divided among tasks, which the planner must see as several parts.
    pub(super) fn new(
        job: Arc<Job>,
        ranges: Vec<RangeText>,
        host: Option<Arc<dyn Host>>,
        whole: bool,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema()),
            Partitioning::UnknownPartitioning(if whole { 2 } else { 1 }),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            job,
            ranges,
            host,
            properties: Arc::new(properties),
        }
    }

    /// Shares for so many tasks; each has ranges from all over the table.
    pub(super) fn shares(&self, tasks: usize) -> Vec<Arc<dyn ExecutionPlan>> {
        (0..tasks)
            .map(|task| -> Arc<dyn ExecutionPlan> {
                let own = self.ranges.iter().skip(task).step_by(tasks);
                let job = Arc::clone(&self.job);
                Arc::new(Self::new(job, own.cloned().collect(), None, false))
            })
            .collect()
    }
}

impl fmt::Debug for RangeScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, ranges) = (&self.job.table, self.ranges.len());
        write!(f, "RangeScan: {table}, {ranges} ranges")
    }
}

impl DisplayAs for RangeScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl ExecutionPlan for RangeScan {
    fn name(&self) -> &'static str {
        "RangeScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    leaf!();

    fn execute(
        &self,
        _partition: usize,
        _context: Arc<TaskContext>,
    ) -> PlanResult<SendableRecordBatchStream> {
        let Some(host) = self.host.clone() else {
            return Err(DataFusionError::Internal(
                "ranges are compared by workers".to_owned(),
            ));
        };
        let mut builder = RecordBatchReceiverStreamBuilder::new(schema(), 1);
        let tx = builder.tx();
        let (job, ranges) = (Arc::clone(&self.job), self.ranges.clone());
        builder.spawn(async move {
            for range in ranges {
                let answer = host.compare(&job, &range).await;
                let answer = answer.map_err(|e| DataFusionError::External(Box::new(e)))?;
                let n: ArrayRef = Arc::new(UInt64Array::from(vec![range.n as u64]));
                let answer: ArrayRef = Arc::new(StringArray::from(vec![answer]));
                let batch = RecordBatch::try_new(schema(), vec![n, answer])?;
                if tx.send(Ok(batch)).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(builder.build())
    }
}

/// Ranges as a table.
#[derive(Debug)]
pub(super) struct RangeTable {
    pub(super) job: Arc<Job>,
    pub(super) ranges: Vec<RangeText>,
}

type Planned<'a> = Pin<Box<dyn Future<Output = PlanResult<Arc<dyn ExecutionPlan>>> + Send + 'a>>;

impl TableProvider for RangeTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn scan<'s, 'd, 'p, 'f, 'x>(
        &'s self,
        _session: &'d dyn Session,
        _projection: Option<&'p Vec<usize>>,
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
        let (job, ranges) = (Arc::clone(&self.job), self.ranges.clone());
        let plan: Arc<dyn ExecutionPlan> = Arc::new(RangeScan::new(job, ranges, None, true));
        Box::pin(std::future::ready(Ok(plan)))
    }
}
