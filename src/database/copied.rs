//! Rows of the copy on their way from one store to the other.
//!
//! Between two servers of one kind, rows whose columns have the very same types need not be taken
//! apart and put together again: what one server sends, the other one takes. They are taken apart
//! only when somebody must look at them.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::record_batch::RecordBatch;

use crate::data::Key;
use crate::data::batch::ColumnView;
use crate::error::Result;

/// Rows as they were read, in key order.
#[derive(Clone, Debug)]
pub enum ChunkRows {
    /// Column `i` is captured column `i` of the table.
    Cells(RecordBatch),
    /// As the server sent them. No cell of their key is NULL.
    Sent(SentRows),
}

impl ChunkRows {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Cells(batch) => batch.num_rows(),
            Self::Sent(rows) => rows.len,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Taken apart.
    ///
    /// # Errors
    /// Fails with `Value` or `Internal` for a row that cannot be read.
    pub fn cells(&self) -> Result<RecordBatch> {
        match self {
            Self::Cells(batch) => Ok(batch.clone()),
            Self::Sent(rows) => rows.form.cells(&rows.bytes),
        }
    }

    /// The key of the last row; `key`: the captured columns that it consists of.
    ///
    /// # Errors
    /// Those of [`Self::cells`].
    pub fn last_key(&self, key: &[usize]) -> Result<Option<Key>> {
        let Some(last) = self.len().checked_sub(1) else {
            return Ok(None);
        };
        let (batch, row) = match self {
            Self::Cells(batch) => (batch.clone(), last),
            Self::Sent(rows) => (rows.form.cells(&rows.bytes[rows.last..])?, 0),
        };
        let cells = key
            .iter()
            .map(|&k| ColumnView::new(&batch, k).map(|view| view.get(row).to_value()));
        cells.collect::<Result<Vec<_>>>().map(|key| Some(Key(key)))
    }
}

/// Rows in the form in which a server sends and takes them.
#[derive(Clone, Debug)]
pub struct SentRows {
    form: Arc<dyn SentForm>,
    bytes: Bytes,
    len: usize,
    /// Where the last row begins.
    last: usize,
}

impl SentRows {
    pub(super) fn new(form: Arc<dyn SentForm>, bytes: Vec<u8>, len: usize, last: usize) -> Self {
        Self {
            form,
            bytes: bytes.into(),
            len,
            last,
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All of them.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// How rows are taken apart.
pub(super) trait SentForm: Debug + Send + Sync {
    /// Any number of whole rows.
    fn cells(&self, rows: &[u8]) -> Result<RecordBatch>;
}
