//! The coordinator's side: plans go out, answers come in, and what a lost worker had is done once more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, AsArray, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::Explain;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_distributed::{
    ChannelResolver, DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExt,
    DistributedLeafExec, GetWorkerInfoRequest, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
    SessionStateBuilderExt, WorkerResolver, display_plan_ascii,
};
use futures::StreamExt;
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::verify::lanes::{Done, Numbered};
use crate::verify::query::StoreScan;
use crate::verify::reader::Failure;
use crate::verify::request::Level;
use crate::verify::table::Pair;

use super::Cluster;
use super::channels::Channels;
use super::codec::Codec;
use super::job::{Job, RangeText, part_of};
use super::plan::{RangeScan, RangeTable};

/// The header in which a worker finds its word.
pub(super) const TOKEN: &str = "x-banyan-token";
/// So long may a worker take to say that it is there.
const ALIVE: Duration = Duration::from_secs(3);
/// So often something is tried again although nobody was lost.
const RETRIES: u32 = 2;

/// Why ranges were not compared.
enum Broken {
    /// Workers: others may do it.
    Workers(Error),
    /// This process.
    Here(Failure),
}

/// Workers that are there.
struct There(Vec<Url>);

impl WorkerResolver for There {
    fn get_urls(&self) -> PlanResult<Vec<Url>> {
        Ok(self.0.clone())
    }
}

async fn is_alive(resolver: &Channels, url: &Url) -> Result<(), String> {
    let ask = async {
        let mut channel = resolver.get_worker_client_for_url(url).await?;
        channel.get_worker_info(GetWorkerInfoRequest {}).await
    };
    match tokio::time::timeout(ALIVE, ask).await {
        Err(_) => Err(format!("did not answer within {} s", ALIVE.as_secs())),
        Ok(Err(e)) => Err(match root_of(&e) {
            cause if cause.is_empty() => "cannot be reached".to_owned(),
            cause => format!("cannot be reached: {cause}"),
        }),
        Ok(Ok(info)) if info.version == env!("CARGO_PKG_VERSION") => Ok(()),
        Ok(Ok(info)) => Err(format!("runs version {}", info.version)),
    }
}

/// What an error comes from in the end.
fn root_of(e: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = e;
    while let Some(next) = cause.source() {
        cause = next;
    }
    // A cause that was only kept as text stands in quotes.
    let text = cause.to_string();
    let text = text.split("message: \"").nth(1).unwrap_or(&text);
    text.split('"').next().unwrap_or(text).trim().to_owned()
}

impl Cluster {
    /// Whether an error may be that of a worker which is gone, and not of what was asked.
    pub(in crate::verify) fn may_be_lost(&self, error: &DataFusionError) -> bool {
        let text = error.strip_backtrace();
        ["h2 protocol error", "transport error", "tcp connect error"]
            .iter()
            .any(|lost| text.contains(lost))
    }

    /// What runs where.
    pub(in crate::verify) async fn explain(
        &self,
        context: &SessionContext,
        explain: &Explain,
    ) -> PlanResult<RecordBatch> {
        let logical = explain.plan.display_indent().to_string();
        let physical = context.state().create_physical_plan(&explain.plan).await?;
        let physical = display_plan_ascii(physical.as_ref(), false);
        let field = |name| Field::new(name, DataType::Utf8, false);
        let schema = Schema::new(vec![field("plan_type"), field("plan")]);
        let kinds: ArrayRef = Arc::new(StringArray::from(vec!["logical_plan", "physical_plan"]));
        let plans: ArrayRef = Arc::new(StringArray::from(vec![logical, physical]));
        Ok(RecordBatch::try_new(Arc::new(schema), vec![kinds, plans])?)
    }

    /// The workers that are there; says who is not. Fails when nobody is.
    async fn alive(&self) -> Result<Vec<Url>> {
        let resolver = Channels::default();
        let asked = self.workers.iter().map(|url| is_alive(&resolver, url));
        let answers = futures::future::join_all(asked).await;
        let mut alive = Vec::new();
        let mut lost = Vec::new();
        for (url, answer) in self.workers.iter().zip(answers) {
            let place = url.authority();
            match answer {
                Ok(()) => alive.push(url.clone()),
                Err(why) => lost.push(format!("{place}: {why}")),
            }
        }
        if alive.is_empty() {
            let error = Error::new(
                ErrorKind::Unavailable,
                format!("no worker is there ({})", lost.join("; ")),
            );
            return Err(error.hint("start some: banyan worker --listen HOST:PORT"));
        }
        if !lost.is_empty() {
            tracing::warn!(lost = lost.join("; "), "goes on without these workers");
        }
        Ok(alive)
    }

    /// A session whose plans these workers run.
    pub(in crate::verify) async fn context(
        &self,
        config: SessionConfig,
        runtime: Option<Arc<datafusion::execution::runtime_env::RuntimeEnv>>,
    ) -> Result<SessionContext> {
        self.context_on(config, runtime, self.alive().await?)
    }

    fn context_on(
        &self,
        config: SessionConfig,
        runtime: Option<Arc<datafusion::execution::runtime_env::RuntimeEnv>>,
        workers: Vec<Url>,
    ) -> Result<SessionContext> {
        let internal = |e: DataFusionError| {
            Error::new(ErrorKind::Internal, "a session with workers cannot be made").caused_by(e)
        };
        let mut headers = http::HeaderMap::new();
        if let Some(token) = &self.token {
            let value = http::HeaderValue::from_str(token).map_err(|e| {
                Error::new(
                    ErrorKind::Usage,
                    "the workers' token has characters of no header",
                )
                .caused_by(e)
            })?;
            headers.insert(TOKEN, value);
        }
        // One worker has two tasks: one alone would be done here.
        let tasks = workers.len().max(2);
        let state = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config);
        let state = match runtime {
            Some(runtime) => state.with_runtime_env(runtime),
            None => state,
        };
        let state = state
            .with_distributed_worker_resolver(There(workers))
            .with_distributed_channel_resolver(Channels::default())
            .with_distributed_planner()
            .with_distributed_user_codec(Codec(None))
            .with_distributed_passthrough_headers(headers)
            .map_err(internal)?
            .with_distributed_max_tasks_per_stage(tasks)
            .map_err(internal)?
            .with_distributed_desired_task_count_handler(move |event: DesiredTaskCountEvent<'_>| {
                desired(event, tasks)
            })
            .with_distributed_scale_up_leaf_node_handler(scaled)
            .build();
        Ok(SessionContext::new_with_state(state))
    }

    /// Compares ranges; what each found is handed over as it comes.
    pub(in crate::verify) async fn compare(
        &self,
        pair: &Pair<'_>,
        level: Level,
        ranges: &[Numbered],
        done: &mut Done<'_>,
    ) -> Result<(), Failure> {
        let job = |workers: usize| Job {
            migration: self.of.0.clone(),
            compared: self.of.1.clone(),
            table: pair.name().to_owned(),
            level: level.as_str().to_owned(),
            filter: pair.target.filter.clone(),
            rows_per_s_max: pair
                .rows_per_s_max
                .map(|most| (most / workers as u64).max(1)),
            busy_percent_max: pair.busy_percent_max,
        };
        let mut missing: BTreeMap<usize, RangeText> = ranges
            .iter()
            .map(|(n, range)| (*n, RangeText::new(*n, range)))
            .collect();
        let mut workers = self.alive().await?;
        let mut tries = 0;
        let mut open = missing.len();
        while !missing.is_empty() {
            let failed = self
                .compare_on(&workers, job(workers.len().max(2)), &mut missing, done)
                .await;
            let e = match failed {
                Ok(()) => break,
                Err(Broken::Here(failure)) => return Err(failure),
                Err(Broken::Workers(e)) => e,
            };
            let left = self.alive().await?;
            // Where nobody was lost, or nothing was done, something else is wrong, and most of that does
            // not pass.
            let before = std::mem::replace(&mut open, missing.len());
            if left.len() == workers.len() || missing.len() == before {
                if tries == RETRIES || e.kind() == ErrorKind::Refused {
                    return Err(e.into());
                }
                tries += 1;
            }
            tracing::warn!(
                ranges = missing.len(),
                workers = left.len(),
                "ranges are compared once more: {e}"
            );
            workers = left;
        }
        Ok(())
    }

    async fn compare_on(
        &self,
        workers: &[Url],
        job: Job,
        missing: &mut BTreeMap<usize, RangeText>,
        done: &mut Done<'_>,
    ) -> Result<(), Broken> {
        let context = self.context_on(SessionConfig::new(), None, workers.to_vec());
        let context = context.map_err(|e| Broken::Here(e.into()))?;
        let table = RangeTable {
            job: Arc::new(job),
            ranges: missing.values().cloned().collect(),
        };
        let answers = async { context.read_table(Arc::new(table))?.execute_stream().await };
        let mut answers = answers.await.map_err(|e| Broken::Workers(of_workers(e)))?;
        while let Some(batch) = answers.next().await {
            let batch = batch.map_err(|e| Broken::Workers(of_workers(e)))?;
            let numbers: &UInt64Array = batch.column(0).as_primitive::<UInt64Type>();
            let answers: &StringArray = batch.column(1).as_string();
            for (n, answer) in numbers.iter().zip(answers) {
                let n = n.and_then(|n| usize::try_from(n).ok());
                let found = n.filter(|n| missing.contains_key(n)).zip(answer);
                let Some((n, answer)) = found else {
                    let message = "a worker answered what nobody has asked";
                    return Err(Broken::Here(
                        Error::new(ErrorKind::Internal, message).into(),
                    ));
                };
                // What goes wrong here is no worker's fault, and is not tried again.
                let part = part_of(answer).map_err(Broken::Here)?;
                done(n, part).map_err(|e| Broken::Here(e.into()))?;
                missing.remove(&n);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let message = "the workers have ended before they had compared everything";
        Err(Broken::Workers(Error::new(ErrorKind::Unavailable, message)))
    }
}

/// What workers say is text by the time that it is here.
fn of_workers(e: DataFusionError) -> Error {
    let text = e.strip_backtrace();
    let kind = if text.contains(super::serve::REFUSED) {
        ErrorKind::Refused
    } else {
        ErrorKind::Unavailable
    };
    Error::new(kind, format!("the workers failed: {text}"))
}

fn desired(
    event: DesiredTaskCountEvent<'_>,
    tasks: usize,
) -> Option<PlanResult<DesiredTaskCountEventResponse>> {
    let parts = if event.plan.is::<RangeScan>() {
        tasks
    } else {
        event.plan.downcast_ref::<StoreScan>()?.parts()
    };
    Some(Ok(if parts > 1 {
        DesiredTaskCountEventResponse::desired(tasks)
    } else {
        DesiredTaskCountEventResponse::maximum(1)
    }))
}

fn scaled(event: ScaleUpLeafNodeEvent<'_>) -> Option<PlanResult<ScaleUpLeafNodeEventResponse>> {
    let shares = if let Some(scan) = event.plan.downcast_ref::<RangeScan>() {
        scan.shares(event.task_count)
    } else {
        let shares = event
            .plan
            .downcast_ref::<StoreScan>()?
            .shares(event.task_count);
        match shares {
            Ok(shares) => shares
                .into_iter()
                .map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>)
                .collect(),
            Err(e) => return Some(Err(e)),
        }
    };
    let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), shares);
    Some(leaf.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
}
