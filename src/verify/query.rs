//! SQL over all stores by name: `SELECT … FROM monolith.customers a JOIN orders.customers b …`.
//!
//! DataFusion plans and runs it; each table of a store is a provider that reads only the columns
//! that are needed, and leaves to the store those filters that it decides exactly as DataFusion
//! would ([`pushdown`]). Nothing can be written: only queries (and EXPLAIN) are accepted, and a
//! provider has nothing but a snapshot to read from. Memory is bounded: sorts, aggregates and merge
//! joins spill to disk, and a join whose smaller side would not fit is planned as a merge join,
//! because hash joins do not spill.
//!
//! Beside the tables of stores there are files ([`files`]: `FROM 'orders.parquet'`; Parquet, CSV, Arrow,
//! NDJSON), and the functions [`row_hash`], [`set_hash`] and [`diff`].
//!
//! # Types
//! A column has one Arrow type for a query. Declared integers, floats, text, JSON and bytes are what
//! they say, and so are a server's dates, times, truth values and decimals (`numeric(12,2)`); a
//! `numeric` without a scale gets the digits that it needs by a look at the data. The rest (`NUMERIC`,
//! `BOOLEAN`, `DATE`, `DATETIME`, no type) says little in SQLite, so what the column holds decides, by a look at the data: whole numbers are `Int64`, numbers
//! `Float64`, text `Utf8` (dates are the text that is there), bytes `Binary`; a `BOOLEAN` of zeros
//! and ones is `Boolean`. A value that does not fit its column's type is an error that names the
//! row, never a wrong answer; [`QueryOptions::mixed_as_text`] reads such columns as text.
//!
//! Tables and columns are spelt as in the store; a table's name also in other case. Each scan reads
//! a snapshot of its own: tables that are written meanwhile may be seen a moment apart.

mod convert;
mod diff;
mod export;
mod failure;
mod files;
mod leaf;
mod lockstep;
mod mentioned;
mod provider;
mod pushdown;
mod render;
mod row_hash;
mod scan;
mod set_hash;
mod tables;
mod text;
mod types;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{AggregateUDF, LogicalPlan, ScalarUDF};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;

use crate::database::ReadStore;
use crate::error::Result;

use super::cluster::Cluster;

pub(super) use leaf::leaf;
pub(super) use scan::StoreScan;
pub(super) use text::ScanText;

pub use export::{FileForm, FileRows};
pub use render::{JsonRows, TextRows};

/// So often a query is run once more when workers are lost before anything has come.
const RETRIES: u32 = 3;

/// How a query is run.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// Memory for sorts, joins and aggregates, in bytes; beyond it they spill to disk.
    pub memory_bytes: usize,
    /// Room for that on disk, in bytes.
    pub spill_bytes_max: u64,
    /// Whether columns that hold values of several kinds are read as text: `1` as `1`, bytes as
    /// `x'00ff'`. Otherwise reading such a column is an error.
    pub mixed_as_text: bool,
    /// The folder that the paths of files start from.
    pub folder: PathBuf,
    /// Into how many parts a large table is cut that are read beside each other.
    pub parts: usize,
    /// The workers that run it; `None`: this process.
    pub cluster: Option<Cluster>,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * 1024 * 1024,
            spill_bytes_max: 64 * 1024 * 1024 * 1024,
            mixed_as_text: false,
            folder: PathBuf::new(),
            parts: 1,
            cluster: None,
        }
    }
}

/// The rows of a query, as they come.
pub struct QueryRows {
    stream: SendableRecordBatchStream,
    asked: Asked,
    /// How often it may be asked once more: nothing has come yet, and workers may be lost.
    tries: u32,
}

/// What was asked.
struct Asked {
    stores: Vec<Arc<dyn ReadStore>>,
    sql: String,
    options: QueryOptions,
}

impl fmt::Debug for QueryRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRows")
            .field("schema", &self.stream.schema())
            .finish_non_exhaustive()
    }
}

impl QueryRows {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows, `None` at the end. Fails with [`crate::error::ErrorKind::Value`] when a value
    /// does not fit its column, with `Full` when memory or disk is not enough, and with what the
    /// store says.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            match self.stream.next().await {
                None => return Ok(None),
                Some(Ok(batch)) => {
                    if batch.num_rows() > 0 {
                        self.tries = 0;
                    }
                    return Ok(Some(batch));
                }
                Some(Err(e)) => {
                    let cluster = self.asked.options.cluster.as_ref();
                    if self.tries == 0 || !cluster.is_some_and(|c| c.may_be_lost(&e)) {
                        return Err(failure::running(e, self.asked.options.memory_bytes));
                    }
                    self.tries -= 1;
                    tracing::warn!("the query is run once more: {}", e.strip_backtrace());
                    self.stream = self.asked.run().await?;
                }
            }
        }
    }
}

/// Runs one query over these stores.
///
/// Fails with [`crate::error::ErrorKind::Usage`] when the SQL is wrong or would write, and with
/// `NotFound` when a store or table does not exist; the nearest names are given.
pub async fn query(
    stores: &[Arc<dyn ReadStore>],
    sql: &str,
    options: &QueryOptions,
) -> Result<QueryRows> {
    let asked = Asked {
        stores: stores.to_vec(),
        sql: sql.to_owned(),
        options: options.clone(),
    };
    Ok(QueryRows {
        stream: asked.run().await?,
        tries: if options.cluster.is_some() {
            RETRIES
        } else {
            0
        },
        asked,
    })
}

/// Banyan's own functions.
pub(super) fn functions() -> (ScalarUDF, AggregateUDF) {
    (row_hash::function(), set_hash::function())
}

impl Asked {
    async fn run(&self) -> Result<SendableRecordBatchStream> {
        Box::pin(run(&self.stores, &self.sql, &self.options)).await
    }
}

async fn run(
    stores: &[Arc<dyn ReadStore>],
    sql: &str,
    options: &QueryOptions,
) -> Result<SendableRecordBatchStream> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(tables::CATALOG, tables::ANY_STORE)
        .with_information_schema(false);
    let settings = config.options_mut();
    // Names are taken as they are written: stores have tables and columns in any case.
    settings.sql_parser.enable_ident_normalization = false;
    settings.catalog.create_default_catalog_and_schema = false;
    let statement = tables::parse(sql)?;
    let compared = diff::wanted(&statement)?;
    let found = tables::find(stores, &statement, &compared, options).await?;
    settings.optimizer.prefer_hash_join = !found.too_large_to_hash(options.memory_bytes);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(options.memory_bytes)))
        .with_max_temp_directory_size(options.spill_bytes_max)
        .build_arc()
        .map_err(|e| failure::planning(e, &found))?;
    let context = match &options.cluster {
        None => SessionContext::new_with_config_rt(config, runtime),
        Some(cluster) => cluster.context(config, Some(runtime)).await?,
    };
    let (scalar, aggregate) = functions();
    context.register_udf(scalar);
    context.register_udaf(aggregate);
    found.register(&context)?;
    let in_one_process = options.cluster.is_none();
    diff::register(&context, &compared, &found, in_one_process).await?;
    let read_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let plan = async {
        let plan = context.state().statement_to_plan(statement).await?;
        read_only.verify_plan(&plan)?;
        if let (Some(cluster), LogicalPlan::Explain(explain)) = (&options.cluster, &plan) {
            let plan = cluster.explain(&context, explain).await?;
            return context.read_batch(plan)?.execute_stream().await;
        }
        context
            .execute_logical_plan(plan)
            .await?
            .execute_stream()
            .await
    };
    plan.await.map_err(|e| failure::planning(e, &found))
}
