//! Leaves of plans as bytes, and back: JSON, in which a store is a name.

use std::fmt;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use super::job::{Host, Job, RangeText};
use super::plan::RangeScan;
use crate::verify::query::{ScanText, StoreScan};

/// With a host it reads plans, as a worker does; without one it only writes them.
pub(super) struct Codec(pub(super) Option<Arc<dyn Host>>);

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}

#[derive(Serialize, Deserialize)]
enum Leaf {
    #[serde(rename = "ranges")]
    Ranges { job: Job, ranges: Vec<RangeText> },
    #[serde(rename = "scan")]
    Scan(ScanText),
}

fn failed(what: &str, e: impl fmt::Display) -> DataFusionError {
    DataFusionError::Internal(format!("{what}: {e}"))
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        buf: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        _ctx: &TaskContext,
        _proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let leaf: Leaf = serde_json::from_slice(buf)
            .map_err(|e| failed("a leaf of a plan cannot be read", e))?;
        let Some(host) = &self.0 else {
            return Err(failed("a leaf of a plan", "only workers read them"));
        };
        Ok(match leaf {
            Leaf::Ranges { job, ranges } => Arc::new(RangeScan::new(
                Arc::new(job),
                ranges,
                Some(Arc::clone(host)),
                false,
            )),
            Leaf::Scan(text) => {
                let store = host.store(&text.store);
                let store = store.map_err(|e| DataFusionError::External(Box::new(e)))?;
                Arc::new(StoreScan::of_text(text, store)?)
            }
        })
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        _proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> PlanResult<()> {
        let leaf = if let Some(scan) = node.downcast_ref::<RangeScan>() {
            Leaf::Ranges {
                job: (*scan.job).clone(),
                ranges: scan.ranges.clone(),
            }
        } else if let Some(scan) = node.downcast_ref::<StoreScan>() {
            Leaf::Scan(scan.to_text()?)
        } else {
            return Err(failed("no leaf of Banyan's", node.name()));
        };
        serde_json::to_writer(buf, &leaf)
            .map_err(|e| failed("a leaf of a plan cannot be written", e))
    }
}
