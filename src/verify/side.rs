//! One side of a comparison: what is read of a store, and how it becomes rows in key order.

use datafusion::arrow::array::Array;
use datafusion::arrow::record_batch::RecordBatch;

use crate::data::batch::{self, BatchBuilder, ColumnView};
use crate::data::{Key, Row, Value};
use crate::database::{ReadRequest, ReadStore, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::mapping::TableMapping;

use super::digest::{Segment, Segmenter};
use super::order;
use super::reader::{Failure, Stage};
use super::sorter::{Sorted, Sorter};

/// Rows and bytes of a batch that was sorted.
const SORTED_ROWS: usize = 4096;
const SORTED_BYTES: usize = 1024 * 1024;

/// Part of a table in key order.
#[derive(Clone, Debug, Default)]
pub(super) struct Range {
    /// After this key; `None`: from the front.
    pub(super) after: Option<Key>,
    /// Up to and with this key; `None`: to the end.
    pub(super) up_to: Option<Key>,
    /// Rows before it, roughly; see [`super::suspect::Suspect::ordinal`].
    pub(super) ordinal: u64,
}

/// One side.
#[derive(Clone)]
pub(super) struct Side<'a> {
    pub(super) store: &'a dyn ReadStore,
    /// The table that is read, in the store.
    pub(super) table: String,
    /// The columns that are read.
    pub(super) columns: Vec<String>,
    /// The columns that come out; the target's names on both sides.
    pub(super) names: Vec<String>,
    /// The key, by index into `names`; all columns when the table has none.
    pub(super) key: Vec<usize>,
    /// Which rows, as SQL.
    pub(super) filter: Option<String>,
    /// Rows go through this mapping, to its target of that number.
    pub(super) mapping: Option<(TableMapping, usize)>,
    /// Whether the store cannot give the order, so that rows are sorted here.
    pub(super) sorted: bool,
    /// Rows of a batch at most; 0: the reader chooses.
    pub(super) batch_rows: usize,
}

impl Side<'_> {
    /// A snapshot of the store.
    pub(super) async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.store
            .snapshot()
            .await
            .map_err(|e| e.at(format_args!("store {}", self.store.name())))
    }

    /// What to ask the store for.
    pub(super) fn request(&self, range: &Range) -> ReadRequest {
        let order_by = if self.sorted {
            Vec::new()
        } else if let Some((mapping, _)) = &self.mapping {
            // A transform that keeps the key keeps its order.
            let table = &mapping.source.table;
            let key = table.key.iter();
            key.map(|&k| table.columns[k].name.clone()).collect()
        } else {
            self.key.iter().map(|&k| self.columns[k].clone()).collect()
        };
        ReadRequest {
            table: self.table.clone(),
            columns: self.columns.clone(),
            order_by,
            after: range.after.clone(),
            up_to: range.up_to.clone(),
            filter: self.filter.clone(),
            limit: None,
            batch_rows: self.batch_rows,
        }
    }

    /// What is done with the batches.
    pub(super) fn rows(&self, digest: bool) -> Rows {
        Rows {
            place: format!("table {} of store {}", self.table, self.store.name()),
            names: self.names.clone(),
            key: self.key.clone(),
            mapping: self.mapping.clone(),
            sorting: if self.sorted {
                Sorting::Gather(Sorter::new())
            } else {
                Sorting::No
            },
            last: None,
            segmenter: digest.then(|| Box::new(Segmenter::new(&self.key, &self.names))),
            ended: Vec::new(),
            rows: 0,
        }
    }
}

/// Turns what the store delivers into batches of comparable rows in key order.
#[derive(Debug)]
pub(super) struct Rows {
    place: String,
    names: Vec<String>,
    key: Vec<usize>,
    mapping: Option<(TableMapping, usize)>,
    sorting: Sorting,
    last: Option<Vec<Value>>,
    /// Boxed: it holds two hashers of 2 kB.
    segmenter: Option<Box<Segmenter>>,
    ended: Vec<Segment>,
    /// Rows that came out.
    pub(super) rows: u64,
}

#[derive(Debug)]
enum Sorting {
    No,
    Gather(Sorter),
    Hand(Sorted),
}

impl Stage for Rows {
    type Out = RecordBatch;

    fn batch(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>, Failure> {
        if batch.num_columns() != self.width_read() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "{}: the reader gave other columns than asked for",
                    self.place
                ),
            )
            .into());
        }
        let batch = match &self.mapping {
            None => batch,
            Some((mapping, target)) => {
                let rows = map_rows(mapping, *target, batch::to_rows(&batch)?, &self.place)?;
                if let Sorting::Gather(sorter) = &mut self.sorting {
                    for row in &rows {
                        sorter.push(&Key::of(row, &self.key).0, row)?;
                    }
                    return Ok(None);
                }
                batch::from_rows(&self.names, &rows)?
            }
        };
        if let Sorting::Gather(sorter) = &mut self.sorting {
            for row in &batch::to_rows(&batch)? {
                sorter.push(&Key::of(row, &self.key).0, row)?;
            }
            return Ok(None);
        }
        self.pass(batch)
    }

    fn rest(&mut self) -> Result<Option<RecordBatch>, Failure> {
        if let Sorting::Gather(sorter) = &mut self.sorting {
            let sorter = std::mem::replace(sorter, Sorter::new());
            self.sorting = Sorting::Hand(sorter.finish());
        }
        let mut builder = BatchBuilder::new(self.names.clone());
        if let Sorting::Hand(sorted) = &mut self.sorting {
            while builder.rows() < SORTED_ROWS
                && builder.bytes() < SORTED_BYTES
                && let Some(row) = sorted.next_row()?
            {
                for (i, cell) in row.iter().enumerate() {
                    builder.push(i, cell.into());
                }
                builder.end_row();
            }
        }
        if builder.rows() > 0 {
            return self.pass(builder.finish()?);
        }
        if let Some(segmenter) = &mut self.segmenter {
            self.ended.extend(segmenter.finish());
        }
        Ok(None)
    }
}

impl Rows {
    fn width_read(&self) -> usize {
        self.mapping
            .as_ref()
            .map_or(self.names.len(), |(m, _)| m.source.table.columns.len())
    }

    fn pass(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>, Failure> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let views = batch::views(&batch)?;
        self.check_order(&views, batch.num_rows())?;
        self.rows += batch.num_rows() as u64;
        if let Some(segmenter) = &mut self.segmenter {
            segmenter.push(&batch, &views, &mut self.ended);
        }
        drop(views);
        Ok(Some(batch))
    }

    /// A merge of rows that are out of order would report differences that are none.
    fn check_order(&mut self, views: &[ColumnView<'_>], rows: usize) -> Result<(), Failure> {
        let first_fits = self
            .last
            .as_ref()
            .is_none_or(|last| order::compare_to_key(views, 0, &self.key, last).is_ge());
        let ascending = match (&*self.key, self.key.first().map(|&k| &views[k])) {
            ([_], Some(ColumnView::Int(keys))) if keys.null_count() == 0 => {
                keys.values().is_sorted()
            }
            _ => (1..rows)
                .all(|i| order::compare_row_keys(views, i - 1, views, i, &self.key).is_le()),
        };
        if !(first_fits && ascending) {
            return Err(Failure::OutOfOrder(format!(
                "{}: the rows do not come in the order of the key",
                self.place
            )));
        }
        self.last = Some(
            self.key
                .iter()
                .map(|&k| views[k].get(rows - 1).to_value())
                .collect(),
        );
        Ok(())
    }

    /// The segments that ended since the last call.
    pub(super) fn take_segments(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.ended)
    }

    /// The digest of everything that was read, and its number of segments.
    pub(super) fn digest(&self) -> Option<(String, u64)> {
        self.segmenter
            .as_ref()
            .map(|s| (s.table().hex(), s.table().segments))
    }
}

/// What source rows are in one of the mapping's targets.
pub(super) fn map_rows(
    mapping: &TableMapping,
    target: usize,
    rows: Vec<Row>,
    place: &str,
) -> Result<Vec<Row>> {
    let mapped = mapping.forward(rows).map_err(|e| {
        Error::new(ErrorKind::Rule, format!("{place}: {e}"))
            .hint("a row that cannot be transformed cannot be compared; mend the rule or the row")
    })?;
    Ok(mapped
        .into_iter()
        .filter_map(|mut targets| targets.get_mut(target).and_then(Option::take))
        .collect())
}
