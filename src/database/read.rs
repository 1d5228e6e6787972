//! Reading a store: introspection and consistent snapshots.

use datafusion::arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::data::{Key, Position, TableSchema};
use crate::error::{Error, ErrorKind, Result};

/// What to read of a table.
#[derive(Clone, Debug, Default)]
pub struct ReadRequest {
    /// The table.
    pub table: String,
    /// The columns, by name, in the order of the batch.
    pub columns: Vec<String>,
    /// Columns to order by (ascending, NULL first, numbers before text before bytes, text by its
    /// bytes whatever the column's collation); empty: any order.
    pub order_by: Vec<String>,
    /// Only rows whose `order_by` cells come after this key.
    pub after: Option<Key>,
    /// Only rows whose `order_by` cells come at or before this key.
    pub up_to: Option<Key>,
    /// Only rows for which this SQL expression, in the store's own dialect, is true.
    pub filter: Option<String>,
    /// At most so many rows.
    pub limit: Option<usize>,
    /// Rows in a batch at most; 0: the reader chooses.
    pub batch_rows: usize,
}

/// How a store's SQL is spelt, as far as filters of queries need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Names in `"`; texts are compared byte by byte where their column has no collation.
    Standard,
    /// Names in backticks; every comparison of texts is that of a collation, which ignores spaces at
    /// the end or more.
    Mysql,
}

/// A store that can be read.
pub trait ReadStore: Send + Sync {
    /// The name in the configuration.
    fn name(&self) -> &str;

    /// What tells its database from others, whatever it is called.
    fn place(&self) -> String {
        self.name().to_owned()
    }

    /// How its SQL is spelt.
    fn dialect(&self) -> Dialect {
        Dialect::Standard
    }

    /// The names of the application's tables, sorted; none of Banyan's own or the engine's.
    fn tables(&self) -> BoxFuture<'_, Result<Vec<String>>>;

    /// The names of the application's views, sorted.
    fn views(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// What the table looks like. Fails with `NotFound`, naming the nearest table.
    fn schema<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<TableSchema>>;

    /// A consistent view of the whole store as it is now. It holds resources of the store
    /// (SQLite: a read transaction, which keeps the WAL from shrinking): drop it soon.
    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>>>;

    /// The instant that a snapshot shares ([`Snapshot::share`]), for as long as that is there.
    fn snapshot_at<'a>(&'a self, shared: &'a str) -> BoxFuture<'a, Result<Box<dyn Snapshot>>> {
        let error = Error::new(
            ErrorKind::Internal,
            format!("store {} shares no snapshots: {shared}", self.name()),
        );
        Box::pin(std::future::ready(Err(error)))
    }
}

/// One instant of a store. Reads of one snapshot see the same data and run one after the other;
/// take several snapshots to read in parallel.
pub trait Snapshot: Send {
    /// Where the store's log stood at that instant, if a migration captures changes there.
    fn position(&self) -> Option<Position>;

    /// What tells this instant from others: two snapshots of one store with the same text see the same
    /// data. `None`: it cannot be told.
    fn moment(&self) -> Option<&str> {
        None
    }

    /// A name under which other sessions can see this instant while this snapshot is kept and not read
    /// from. `None`: the store has no such thing.
    fn share(&mut self) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The number of rows of a table, or of those that `filter` selects.
    fn count<'a>(
        &'a mut self,
        table: &'a str,
        filter: Option<&'a str>,
    ) -> BoxFuture<'a, Result<u64>>;

    /// The rows, as batches made by [`crate::data::batch::BatchBuilder`]. Memory is bounded by a
    /// few batches; dropping the stream ends the read.
    fn read(&mut self, request: ReadRequest) -> BoxStream<'_, Result<RecordBatch>>;
}
