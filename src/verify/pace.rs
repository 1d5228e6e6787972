//! How fast a side is read.

use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use futures::{Stream, StreamExt};

use crate::error::Result;
use crate::runtime::{Share, SystemClock, Throttle};

/// What all who read one side keep to.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// So many rows in a second.
    rows: Option<Arc<Throttle>>,
    /// So much of the time.
    share: Option<Arc<Share>>,
}

impl Pace {
    pub(super) fn new(rows_per_s_max: Option<u64>, share: Option<Arc<Share>>) -> Self {
        let rows = rows_per_s_max.map(|most| {
            let clock = Arc::new(SystemClock::new());
            Arc::new(Throttle::new(clock, most, most / 10))
        });
        Self { rows, share }
    }

    /// Reads the next batch, and waits until it may be used. What counts as reading is the wait for the
    /// store, not that for whoever compares.
    pub(super) async fn next(
        &self,
        batches: &mut (impl Stream<Item = Result<RecordBatch>> + Unpin),
    ) -> Option<Result<RecordBatch>> {
        let batch = self.during(batches.next()).await;
        if let (Some(throttle), Some(Ok(batch))) = (&self.rows, &batch) {
            tokio::time::sleep(throttle.reserve(batch.num_rows() as u64)).await;
        }
        batch
    }

    /// Lets the store do something else than hand out rows.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.share {
            None => work.await,
            Some(share) => share.during(work).await,
        }
    }
}

/// Those of source and target.
pub(super) fn shares(busy_percent_max: Option<u8>) -> [Option<Arc<Share>>; 2] {
    let share = || {
        let most = busy_percent_max?;
        Some(Arc::new(Share::new(Arc::new(SystemClock::new()), most)))
    };
    [share(), share()]
}
