//! Walks through both sides in key order and writes down every row that differs.

use std::cmp::Ordering;

use datafusion::arrow::record_batch::RecordBatch;

use crate::data::batch::{self, ColumnView};
use crate::data::order::compare_keys;
use crate::data::{Key, Row, Value};
use crate::error::Result;
use crate::rule::mapping::StoredForm;

use super::columns::equal_rows;
use super::group::Group;
use super::order;
use super::reader::{Failure, Reader};
use super::side::{Range, Rows};
use super::suspect::{Suspect, SuspectWriter};

/// Rows that are compared at a time: few after a difference, many on a straight run.
const BLOCK_LEAST: usize = 16;
const BLOCK_MOST: usize = 8192;

/// One side as it is walked through.
struct Input {
    reader: Reader<Rows>,
    batch: Option<RecordBatch>,
    at: usize,
    /// The key before `batch`.
    before: Option<Key>,
    rows: u64,
    ended: bool,
}

impl Input {
    fn new(reader: Reader<Rows>, range: &Range) -> Self {
        Self {
            reader,
            batch: None,
            at: 0,
            before: range.after.clone(),
            rows: 0,
            ended: false,
        }
    }

    /// Makes sure that there is a row, or that the side has ended.
    async fn fill(&mut self, key: &[usize]) -> Result<(), Failure> {
        while !self.ended && self.batch.as_ref().is_none_or(|b| self.at >= b.num_rows()) {
            if let Some(batch) = &self.batch
                && let Some(last) = batch.num_rows().checked_sub(1)
            {
                let views = batch::views(batch)?;
                self.before = Some(key_of(&views, last, key));
            }
            self.at = 0;
            self.batch = self.reader.next().await?;
            match &self.batch {
                None => self.ended = true,
                Some(batch) => self.rows += batch.num_rows() as u64,
            }
        }
        Ok(())
    }

    /// Rows of the batch.
    fn len(&self) -> usize {
        self.batch.as_ref().map_or(0, RecordBatch::num_rows)
    }
}

/// What is equal.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The key's columns.
    pub(super) key: &'a [usize],
    /// Whether rows with one key are versions of one row. Not so without a key.
    pub(super) paired: bool,
    /// What the target makes of the source's cells.
    pub(super) stored: Option<&'a dyn StoredForm>,
}

/// Compares two sides.
pub(super) struct Merge<'a> {
    rules: Rules<'a>,
    source: Input,
    target: Input,
    ordinal: u64,
    block: usize,
    group: Option<Group>,
    out: &'a mut SuspectWriter,
}

/// A position in both batches, with all that is needed to write down a difference there.
struct Walk<'v> {
    source: Vec<ColumnView<'v>>,
    target: Vec<ColumnView<'v>>,
    source_rows: usize,
    target_rows: usize,
    i: usize,
    j: usize,
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        source: Reader<Rows>,
        target: Reader<Rows>,
        rules: Rules<'a>,
        range: &Range,
        out: &'a mut SuspectWriter,
    ) -> Self {
        Self {
            rules,
            source: Input::new(source, range),
            target: Input::new(target, range),
            ordinal: range.ordinal,
            block: BLOCK_LEAST,
            group: None,
            out,
        }
    }

    /// Runs to the end of both sides, or until about `most` rows are compared; answers then the last
    /// key that is. `progress` is told the rows read of source and target.
    pub(super) async fn run(
        mut self,
        most: u64,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(Reader<Rows>, Reader<Rows>, Option<Key>), Failure> {
        let begin = self.ordinal;
        loop {
            self.source.fill(self.rules.key).await?;
            self.target.fill(self.rules.key).await?;
            progress(self.source.rows, self.target.rows);
            if self.source.ended && self.target.ended {
                break;
            }
            if self.ordinal - begin >= most
                && self.group.is_none()
                && let Some(reached) = self.reached()?
            {
                return Ok((self.source.reader, self.target.reader, Some(reached)));
            }
            self.step()?;
        }
        self.close_group()?;
        Ok((self.source.reader, self.target.reader, None))
    }

    /// The greatest key of either side that is compared, with all its rows.
    fn reached(&self) -> Result<Option<Key>> {
        let last = |input: &Input| -> Result<Option<Key>> {
            match (&input.batch, input.at.checked_sub(1)) {
                (Some(batch), Some(row)) => {
                    let views = batch::views(batch)?;
                    Ok(Some(key_of(&views, row, self.rules.key)))
                }
                _ => Ok(input.before.clone()),
            }
        };
        let Some(reached) = greater(last(&self.source)?, last(&self.target)?) else {
            return Ok(None);
        };
        for input in [&self.source, &self.target] {
            if let Some(batch) = &input.batch
                && input.at < batch.num_rows()
            {
                let views = batch::views(batch)?;
                if order::compare_to_key(&views, input.at, self.rules.key, &reached.0).is_le() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(reached))
    }

    /// Walks until one of the batches is used up.
    fn step(&mut self) -> Result<(), Failure> {
        let (source, target) = (self.source.batch.clone(), self.target.batch.clone());
        let mut walk = Walk {
            source: source.as_ref().map_or(Ok(Vec::new()), batch::views)?,
            target: target.as_ref().map_or(Ok(Vec::new()), batch::views)?,
            source_rows: self.source.len(),
            target_rows: self.target.len(),
            i: self.source.at,
            j: self.target.at,
        };
        let more_source = !self.source.ended;
        let more_target = !self.target.ended;
        loop {
            let (have_source, have_target) = (walk.i < walk.source_rows, walk.j < walk.target_rows);
            if self.group.is_some() {
                if !self.fill_group(&mut walk, more_source, more_target)? {
                    break;
                }
                continue;
            }
            match (have_source, have_target) {
                (true, true) => self.pair(&mut walk)?,
                (true, false) if !more_target => self.missing(&mut walk)?,
                (false, true) if !more_source => self.extra(&mut walk)?,
                _ => break,
            }
        }
        self.source.at = walk.i;
        self.target.at = walk.j;
        Ok(())
    }

    /// Both sides have a row: skips those that are identical, judges the first that is not.
    fn pair(&mut self, walk: &mut Walk<'_>) -> Result<(), Failure> {
        let rows = (walk.source_rows - walk.i)
            .min(walk.target_rows - walk.j)
            .min(self.block);
        let equal = equal_rows(&walk.source, walk.i, &walk.target, walk.j, rows);
        walk.i += equal;
        walk.j += equal;
        self.ordinal += equal as u64;
        if equal == rows {
            self.block = (self.block * 2).min(BLOCK_MOST);
            return Ok(());
        }
        self.block = BLOCK_LEAST;
        match order::compare_row_keys(&walk.source, walk.i, &walk.target, walk.j, self.rules.key) {
            Ordering::Less => self.missing(walk),
            Ordering::Greater => Ok(self.extra(walk)?),
            Ordering::Equal => {
                let key = key_of(&walk.source, walk.i, self.rules.key);
                self.group = Some(Group::new(key, self.before(walk), self.ordinal));
                Ok(())
            }
        }
    }

    fn missing(&mut self, walk: &mut Walk<'_>) -> Result<(), Failure> {
        let suspect = Suspect {
            source: Some(self.rules.source_row(&walk.source, walk.i)?),
            target: None,
            before: self.before(walk),
            ordinal: self.ordinal,
        };
        walk.i += 1;
        self.ordinal += 1;
        Ok(self.out.push(&suspect)?)
    }

    fn extra(&mut self, walk: &mut Walk<'_>) -> Result<()> {
        let suspect = Suspect {
            source: None,
            target: Some(row_of(&walk.target, walk.j)),
            before: self.before(walk),
            ordinal: self.ordinal,
        };
        walk.j += 1;
        self.ordinal += 1;
        self.out.push(&suspect)
    }

    /// Moves the rows with the group's key into it; `false` when more must be read first.
    fn fill_group(
        &mut self,
        walk: &mut Walk<'_>,
        more_source: bool,
        more_target: bool,
    ) -> Result<bool, Failure> {
        let Some(group) = &mut self.group else {
            return Ok(true);
        };
        while walk.i < walk.source_rows
            && order::compare_to_key(&walk.source, walk.i, self.rules.key, &group.key.0).is_eq()
        {
            group.source(self.rules.source_row(&walk.source, walk.i)?)?;
            walk.i += 1;
        }
        while walk.j < walk.target_rows
            && order::compare_to_key(&walk.target, walk.j, self.rules.key, &group.key.0).is_eq()
        {
            group.target(row_of(&walk.target, walk.j))?;
            walk.j += 1;
        }
        let source_done = walk.i < walk.source_rows || !more_source;
        let target_done = walk.j < walk.target_rows || !more_target;
        if source_done && target_done {
            self.close_group()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn close_group(&mut self) -> Result<()> {
        if let Some(group) = self.group.take() {
            self.ordinal += group.rows();
            group.close(self.rules.paired, self.rules.key, self.out)?;
        }
        Ok(())
    }

    /// The greatest key of either side before the position.
    fn before(&self, walk: &Walk<'_>) -> Option<Key> {
        let before = |views: &[ColumnView<'_>], at: usize, input: &Input| match at.checked_sub(1) {
            Some(previous) => Some(key_of(views, previous, self.rules.key)),
            None => input.before.clone(),
        };
        let source = before(&walk.source, walk.i, &self.source);
        let target = before(&walk.target, walk.j, &self.target);
        greater(source, target)
    }
}

fn greater(a: Option<Key>, b: Option<Key>) -> Option<Key> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if compare_keys(&a.0, &b.0).is_lt() {
            b
        } else {
            a
        }),
        (a, b) => a.or(b),
    }
}

impl Rules<'_> {
    /// The source's row as the target would hold it. Its key must keep its place.
    fn source_row(&self, views: &[ColumnView<'_>], row: usize) -> Result<Row, Failure> {
        let raw = row_of(views, row);
        let Some(stored) = self.stored else {
            return Ok(raw);
        };
        let held: Row = raw
            .iter()
            .enumerate()
            .map(|(column, cell)| stored.as_stored(column, cell.clone()))
            .collect();
        if compare_keys(&Key::of(&raw, self.key).0, &Key::of(&held, self.key).0).is_ne() {
            return Err(Failure::OutOfOrder(
                "the target holds keys in another form than the source".to_owned(),
            ));
        }
        Ok(held)
    }
}

fn key_of(views: &[ColumnView<'_>], row: usize, key: &[usize]) -> Key {
    Key(key.iter().map(|&c| views[c].get(row).to_value()).collect())
}

fn row_of(views: &[ColumnView<'_>], row: usize) -> Row {
    views
        .iter()
        .map(|v| v.get(row).to_value())
        .collect::<Vec<Value>>()
}
