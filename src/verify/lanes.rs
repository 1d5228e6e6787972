//! Several readers for one table: it is cut into ranges of keys beforehand, and each range is compared by
//! whoever is free, here or on a worker.
//!
//! Cuts are keys behind which a segment ends ([`super::digest`]), taken from the target, whose digest it
//! is: so the digest of the table is the same however it was cut. What the ranges found is put
//! together, and written into the ledger, in the order of the keys.

use std::collections::BTreeMap;

use futures::StreamExt;

use crate::data::batch;
use crate::data::{Key, LogicalType, Value};
use crate::database::{ReadRequest, Role, Snapshot};
use crate::error::{Error, ErrorKind, Result};

use super::cluster::Cluster;
use super::digest::{is_cut, key_of};
use super::look::{Found, Part, Parts};
use super::pace::Pace;
use super::reader::Failure;
use super::request::Level;
use super::side::{Range, Side};
use super::table::Pair;

/// A range of fewer rows is not worth a reader of its own.
const RANGE_ROWS_MIN: u64 = 20_000;
/// So many ranges for each reader, so that nobody waits long for the last one.
const RANGES_EACH: u64 = 4;
/// Keys that are looked at for a cut: one in 512 is one.
const LOOK_KEYS: usize = 4096;
/// Where keys end is found near enough: ranges need not be of one size.
const NEAR: u64 = 64;

/// Who compares the parts of a table.
#[derive(Clone, Copy, Debug, Default)]
pub enum Lanes<'a> {
    /// One reader a side, part after part.
    #[default]
    One,
    /// So many readers a side, in this process.
    Readers(usize),
    /// The workers of a cluster.
    Cluster(&'a Cluster),
}

impl Lanes<'_> {
    /// How many ranges are compared at one time.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Readers(readers) => *readers,
            // Even one is another machine.
            Self::Cluster(cluster) => cluster.workers().max(2),
        }
    }
}

/// A range, by its place in the table.
pub(super) type Numbered = (usize, Range);
/// Takes what a range found.
pub(super) type Done<'a> = dyn FnMut(usize, Part) -> Result<()> + Send + 'a;

impl Pair<'_> {
    /// Compares what lies behind `after` in ranges beside each other. `false`: there is too little for that,
    /// and nothing was compared.
    pub(super) async fn look_in_ranges(
        &self,
        level: Level,
        parts: &Parts<'_>,
        after: Option<Key>,
        found: &mut Found,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<bool, Failure> {
        let width = parts.lanes.width() as u64;
        let ranges: Vec<Numbered> = self
            .cut(after, parts.rows, width)
            .await?
            .into_iter()
            .enumerate()
            .collect();
        if ranges.len() < 2 {
            return Ok(false);
        }
        self.look_at_ranges(level, parts, &ranges, 0, found, progress)
            .await?;
        Ok(true)
    }

    /// Compares ranges, numbered from 0, beside each other if there are several readers. `apart`: rows
    /// that may lie between one and the next; 0: they follow each other.
    pub(super) async fn look_at_ranges(
        &self,
        level: Level,
        parts: &Parts<'_>,
        ranges: &[Numbered],
        apart: u64,
        found: &mut Found,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        // Those that wait for one before them.
        let mut early: BTreeMap<usize, Part> = BTreeMap::new();
        let mut next = 0;
        let mut place = 0;
        let mut done = |n: usize, part: Part| -> Result<()> {
            early.insert(n, part);
            while let Some(mut part) = early.remove(&next) {
                if apart == 0 {
                    place = found.reached();
                }
                part.shift(place)?;
                // A row that the other side lacks takes a place of its own.
                place += part.rows[0] + part.rows[1] + apart;
                found.add(&mut part)?;
                if let Some(ledger) = parts.ledger {
                    ledger.add(&mut part);
                }
                next += 1;
            }
            let waiting = early.values().map(|p| p.rows[0].max(p.rows[1]));
            progress(found.reached() + waiting.sum::<u64>());
            Ok(())
        };
        match parts.lanes {
            Lanes::Cluster(cluster) => cluster.compare(self, level, ranges, &mut done).await?,
            Lanes::One | Lanes::Readers(_) => {
                let readers = parts.lanes.width();
                let mut running =
                    futures::stream::iter(ranges)
                        .map(|(n, range)| async move {
                            (*n, self.range_part(level, range, &|_| ()).await)
                        })
                        .buffer_unordered(readers);
                while let Some((n, part)) = running.next().await {
                    done(n, part?)?;
                }
            }
        }
        if next < ranges.len() {
            let message = "a range of a table was not compared";
            return Err(Error::new(ErrorKind::Internal, message).into());
        }
        found.at_several();
        Ok(())
    }

    /// Ranges of about `rows_max` rows at most, enough of them for so many readers.
    async fn cut(&self, after: Option<Key>, rows_max: u64, width: u64) -> Result<Vec<Range>> {
        let side = &self.target;
        let mut snapshot = side.snapshot().await?;
        let mut keys = self.keys(side, Role::Target, snapshot.as_mut());
        keys.ranges(after, rows_max, width, RANGES_EACH).await
    }

    /// The keys of one side.
    pub(super) fn keys<'k>(
        &self,
        side: &'k Side<'_>,
        role: Role,
        snapshot: &'k mut dyn Snapshot,
    ) -> Keys<'k> {
        let table = &self.mapping.targets[self.target_index].table;
        Keys {
            snapshot,
            table: &side.table,
            key: side.key.iter().map(|&k| side.columns[k].clone()).collect(),
            is_integer: matches!(
                side.key[..],
                [column] if table.columns[column].logical == LogicalType::Int
            ),
            filter: side.filter.as_deref(),
            pace: self.pace(role),
        }
    }
}

/// The keys of a table.
pub(super) struct Keys<'a> {
    pub(super) snapshot: &'a mut dyn Snapshot,
    pub(super) table: &'a str,
    /// The key's columns.
    pub(super) key: Vec<String>,
    /// Whether that is one, of integers.
    pub(super) is_integer: bool,
    /// Which rows, as SQL.
    pub(super) filter: Option<&'a str>,
    /// How fast they are read.
    pub(super) pace: Pace,
}

impl Keys<'_> {
    /// What lies behind `after` in ranges of about `rows_max` rows at most: `each` for so many readers.
    pub(super) async fn ranges(
        &mut self,
        after: Option<Key>,
        rows_max: u64,
        width: u64,
        each: u64,
    ) -> Result<Vec<Range>> {
        let most = rows_max.max(1);
        let wanted = |rows: u64| {
            let size = (rows / (width * each)).clamp(RANGE_ROWS_MIN.min(most), most);
            rows.div_ceil(size)
        };
        let cuts = match self.integers(after.as_ref(), NEAR).await? {
            Some((first, last)) => {
                let span = u64::try_from(i128::from(last) - i128::from(first)).unwrap_or(u64::MAX);
                let rows = if span / width > each * most {
                    // Keys are far apart, or there are very many rows.
                    self.snapshot.count(self.table, self.filter).await?
                } else {
                    span
                };
                self.cuts_between(first, last, wanted(rows)).await?
            }
            None => {
                let all = self.cuts_behind(after.clone()).await?;
                let rows = all.last().map_or(0, |(_, rows)| *rows);
                evenly(all, rows, wanted(rows))
            }
        };
        let mut ranges = Vec::with_capacity(cuts.len() + 1);
        let mut begin = after;
        for cut in cuts {
            ranges.push(Range {
                after: begin,
                up_to: Some(cut.clone()),
                ordinal: 0,
            });
            begin = Some(cut);
        }
        ranges.push(Range {
            after: begin,
            up_to: None,
            ordinal: 0,
        });
        Ok(ranges)
    }

    fn request(&self, after: Option<Key>, limit: Option<usize>) -> ReadRequest {
        ReadRequest {
            table: self.table.to_owned(),
            columns: self.key.clone(),
            order_by: self.key.clone(),
            after,
            filter: self.filter.map(str::to_owned),
            limit,
            ..ReadRequest::default()
        }
    }

    /// The first key behind this one, if it is an integer.
    async fn integer_behind(&mut self, after: Option<Key>) -> Result<Option<i64>> {
        let request = self.request(after, Some(1));
        let mut batches = self.snapshot.read(request);
        let mut found = None;
        // To its end: a read that is dropped before costs a connection.
        while let Some(batch) = self.pace.next(&mut batches).await {
            let batch = batch?;
            if batch.num_rows() > 0
                && let [Value::Int(key)] = key_of(&batch::views(&batch)?, 0, &[0])[..]
            {
                found = Some(key);
            }
        }
        Ok(found)
    }

    /// Where a key of one integer begins behind `after`, and where it ends but for one part in so many.
    /// `None`: it is no such key.
    pub(super) async fn integers(
        &mut self,
        after: Option<&Key>,
        near: u64,
    ) -> Result<Option<(i64, i64)>> {
        if !self.is_integer {
            return Ok(None);
        }
        let Some(first) = self.integer_behind(after.cloned()).await? else {
            return Ok(None);
        };
        let behind = |key: i64| Some(Key(vec![Value::Int(key)]));
        let (mut last, mut step) = (first, 1024_i64);
        let mut beyond = loop {
            let probe = last.saturating_add(step);
            match self.integer_behind(behind(probe)).await? {
                Some(key) => last = key,
                None => break probe,
            }
            step = step.saturating_mul(2);
        };
        let span = |from: i64, to: i64| i128::from(to) - i128::from(from);
        while span(last, beyond) > span(first, last) / i128::from(near) {
            // Rounded down, below zero as well: so one of the two moves each time.
            let middle = i128::from(last) + span(last, beyond) / 2;
            let middle = i64::try_from(middle).unwrap_or(last);
            match self.integer_behind(behind(middle)).await? {
                Some(key) => last = key,
                None => beyond = middle,
            }
        }
        Ok(Some((first, last)))
    }

    /// Cuts that divide the integers between these two into so many ranges.
    async fn cuts_between(&mut self, first: i64, last: i64, ranges: u64) -> Result<Vec<Key>> {
        let mut cuts: Vec<Key> = Vec::new();
        let span = i128::from(last) - i128::from(first);
        for n in 1..ranges {
            let place = i128::from(first) + span * i128::from(n) / i128::from(ranges);
            let place = i64::try_from(place).unwrap_or(last);
            // One cut may be the first behind several places.
            let is_behind = |cut: &Key| matches!(cut.0[..], [Value::Int(cut)] if place < cut);
            if cuts.last().is_some_and(is_behind) {
                continue;
            }
            let request = self.request(Some(Key(vec![Value::Int(place)])), Some(LOOK_KEYS));
            let mut batches = self.snapshot.read(request);
            let mut found = None;
            while let Some(batch) = self.pace.next(&mut batches).await {
                let batch = batch?;
                let views = batch::views(&batch)?;
                if found.is_none() {
                    let cut = (0..batch.num_rows()).find(|&row| is_cut(&views, row, &[0]));
                    found = cut.map(|row| Key(key_of(&views, row, &[0])));
                }
            }
            cuts.extend(found);
        }
        Ok(cuts)
    }

    /// All cuts behind `after`, with the number of rows before each; the last one is the table's end.
    async fn cuts_behind(&mut self, after: Option<Key>) -> Result<Vec<(Key, u64)>> {
        let key: Vec<usize> = (0..self.key.len()).collect();
        let request = self.request(after, None);
        let mut cuts = Vec::new();
        let (mut rows, mut last) = (0, None);
        let mut batches = self.snapshot.read(request);
        while let Some(batch) = self.pace.next(&mut batches).await {
            let batch = batch?;
            let views = batch::views(&batch)?;
            for row in 0..batch.num_rows() {
                rows += 1;
                if is_cut(&views, row, &key) {
                    cuts.push((Key(key_of(&views, row, &key)), rows));
                }
            }
            if batch.num_rows() > 0 {
                last = Some(Key(key_of(&views, batch.num_rows() - 1, &key)));
            }
        }
        cuts.extend(last.map(|key| (key, rows)));
        Ok(cuts)
    }

    /// The last one of every so many keys, and not the very last one.
    pub(super) async fn every(&mut self, rows: u64) -> Result<Vec<Key>> {
        let key: Vec<usize> = (0..self.key.len()).collect();
        let request = self.request(None, None);
        let mut found = Vec::new();
        let mut seen = 0;
        let mut batches = self.snapshot.read(request);
        while let Some(batch) = self.pace.next(&mut batches).await {
            let batch = batch?;
            let views = batch::views(&batch)?;
            for row in 0..batch.num_rows() {
                seen += 1;
                if seen % rows == 0 {
                    found.push(Key(key_of(&views, row, &key)));
                }
            }
        }
        if seen % rows == 0 {
            found.pop();
        }
        Ok(found)
    }
}

/// Of these cuts, each with the number of rows before it, those that divide the rows into so many ranges.
fn evenly(all: Vec<(Key, u64)>, rows: u64, ranges: u64) -> Vec<Key> {
    let mut cuts = Vec::new();
    let mut next = 1_u64;
    for (key, before) in all {
        let reached = u128::from(before) * u128::from(ranges);
        if next < ranges && reached >= u128::from(rows) * u128::from(next) {
            cuts.push(key);
            next += 1;
        }
    }
    cuts
}
