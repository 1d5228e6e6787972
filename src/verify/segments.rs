//! HASH: each side is reduced to digests where it is read, and only where those differ are rows
//! looked at.

use std::collections::VecDeque;

use datafusion::arrow::record_batch::RecordBatch;

use crate::data::Key;
use crate::error::Result;

use super::digest::Segment;
use super::reader::{Failure, Reader, Stage};
use super::side::{Range, Rows};
use crate::data::order::compare_keys;

/// Above this, a range swallows what lies between it and the one before.
const RANGES_MOST: usize = 10_000;

/// Reduces rows to segments.
#[derive(Debug)]
pub(super) struct Digests {
    /// What makes the rows.
    pub(super) rows: Rows,
    ended: bool,
}

impl Digests {
    pub(super) fn new(rows: Rows) -> Self {
        Self { rows, ended: false }
    }
}

fn some(segments: Vec<Segment>) -> Option<Vec<Segment>> {
    (!segments.is_empty()).then_some(segments)
}

impl Stage for Digests {
    type Out = Vec<Segment>;

    fn batch(&mut self, batch: RecordBatch) -> Result<Option<Vec<Segment>>, Failure> {
        self.rows.batch(batch)?;
        Ok(some(self.rows.take_segments()))
    }

    fn rest(&mut self) -> Result<Option<Vec<Segment>>, Failure> {
        while !self.ended {
            self.ended = self.rows.rest()?.is_none();
            let segments = self.rows.take_segments();
            if !segments.is_empty() {
                return Ok(Some(segments));
            }
        }
        Ok(None)
    }
}

struct Input {
    reader: Reader<Digests>,
    segments: VecDeque<Segment>,
    rows: u64,
}

impl Input {
    fn new(reader: Reader<Digests>) -> Self {
        Self {
            reader,
            segments: VecDeque::new(),
            rows: 0,
        }
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        while self.segments.is_empty() {
            let Some(segments) = self.reader.next().await? else {
                break;
            };
            self.segments.extend(segments);
        }
        Ok(())
    }

    fn pop(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front();
        self.rows += segment.as_ref().map_or(0, |s| s.rows);
        segment
    }
}

/// What digests say of a part of a table.
pub(super) struct Differing {
    /// The ranges in which the two sides differ, in order.
    pub(super) ranges: Vec<Range>,
    /// The last key of the part; `None`: it ends where the range does.
    pub(super) up_to: Option<Key>,
    /// Rows of source and target.
    pub(super) rows: [u64; 2],
    /// The digests of the target's segments.
    pub(super) digests: Vec<[u8; 32]>,
    pub(super) source: Reader<Digests>,
    pub(super) target: Reader<Digests>,
}

/// Where the two sides differ, to the table's end, or until about `most` rows are compared. Between two
/// keys at which both sides cut, equal digests mean equal rows; where one side cuts and the other does
/// not, the range grows until both do.
pub(super) async fn differing_ranges(
    source: Reader<Digests>,
    target: Reader<Digests>,
    part: &Range,
    most: u64,
    mut progress: impl FnMut(u64, u64),
) -> Result<Differing, Failure> {
    let (mut source, mut target) = (Input::new(source), Input::new(target));
    let mut ranges = Vec::new();
    let mut digests = Vec::new();
    let mut after = part.after.clone();
    let mut begin = part.ordinal;
    let mut differs = false;
    loop {
        source.fill().await?;
        target.fill().await?;
        progress(source.rows, target.rows);
        let rows = source.rows.max(target.rows);
        if rows >= most && !differs && after != part.after {
            return Ok(Differing {
                ranges,
                up_to: after,
                rows: [source.rows, target.rows],
                digests,
                source: source.reader,
                target: target.reader,
            });
        }
        let ordinal = part.ordinal + rows;
        match (source.segments.front(), target.segments.front()) {
            (None, None) => break,
            (Some(_), None) => {
                source.pop();
                differs = true;
            }
            (None, Some(_)) => {
                digests.extend(target.pop().map(|s| s.digest));
                differs = true;
            }
            (Some(a), Some(b)) => match compare_keys(&a.last.0, &b.last.0) {
                std::cmp::Ordering::Less => {
                    source.pop();
                    differs = true;
                }
                std::cmp::Ordering::Greater => {
                    digests.extend(target.pop().map(|s| s.digest));
                    differs = true;
                }
                std::cmp::Ordering::Equal => {
                    let end = b.last.clone();
                    if differs || a.digest != b.digest || a.rows != b.rows {
                        push(&mut ranges, after, Some(end.clone()), begin);
                    }
                    source.pop();
                    digests.extend(target.pop().map(|s| s.digest));
                    differs = false;
                    begin = ordinal;
                    after = Some(end);
                }
            },
        }
    }
    if differs {
        push(&mut ranges, after, part.up_to.clone(), begin);
    }
    Ok(Differing {
        ranges,
        up_to: None,
        rows: [source.rows, target.rows],
        digests,
        source: source.reader,
        target: target.reader,
    })
}

fn push(ranges: &mut Vec<Range>, after: Option<Key>, up_to: Option<Key>, ordinal: u64) {
    let full = ranges.len() >= RANGES_MOST;
    if let Some(last) = ranges.last_mut() {
        let adjacent =
            matches!((&last.up_to, &after), (Some(a), Some(b)) if compare_keys(&a.0, &b.0).is_eq());
        if adjacent || full {
            last.up_to = up_to;
            return;
        }
    }
    ranges.push(Range {
        after,
        up_to,
        ordinal,
    });
}
