//! The first look at a table: all of its rows, part by part.
//!
//! A part is so many rows that follow each other by key. Each is read from snapshots of its own, so that
//! none is held for longer than a part takes, and what a part found can be written down ([`super::ledger`]):
//! a verification that was interrupted goes on behind it. Parts end where the target's segments end, so
//! that the digest of the table does not depend on them. Where several readers are asked for, the table
//! is cut beforehand ([`super::lanes`]).

use std::time::{Duration, Instant};

use crate::data::Key;
use crate::data::order::compare_keys;
use crate::database::Role;
use crate::error::Result;

use super::digest::TableDigest;
use super::lanes::Lanes;
use super::ledger::TableLedger;
use super::merge::{Merge, Rules};
use super::reader::{Failure, Reader};
use super::request::Level;
use super::sample::Chosen;
use super::segments::{Digests, differing_ranges};
use super::side::{Range, Rows, Side};
use super::suspect::{DifferenceKind, SuspectWriter, Suspects};
use super::table::{Outcome, Pair, Snapshots, now_us};

/// How a table is taken in parts.
#[derive(Clone, Copy)]
pub(super) struct Parts<'l> {
    /// Rows of a part, about.
    pub(super) rows: u64,
    /// Who reads them.
    pub(super) lanes: Lanes<'l>,
    /// Where parts are written down, and were.
    pub(super) ledger: Option<TableLedger<'l>>,
    /// The ranges that are compared; `None`: the whole table.
    pub(super) chosen: Option<&'l Chosen>,
}

/// What a part found.
#[derive(Debug)]
pub(super) struct Part {
    /// Its last key; `None`: the table ends here.
    pub(super) up_to: Option<Key>,
    /// Rows of source and target.
    pub(super) rows: [u64; 2],
    /// Rows that differ, in key order.
    pub(super) suspects: Suspects,
    /// Rows that differ by no more than is tolerated.
    pub(super) tolerated: u64,
    /// The digests of the target's segments.
    pub(super) digests: Vec<[u8; 32]>,
    /// When it was read, in microseconds since 1970.
    pub(super) read_us: i64,
    /// How long its snapshots were held.
    pub(super) held: Duration,
}

impl Part {
    /// Adds to the places of its rows, which were counted from the part's beginning.
    pub(super) fn shift(&mut self, by: u64) -> Result<()> {
        if self.suspects.len() == 0 {
            return Ok(());
        }
        let mut shifted = SuspectWriter::new();
        self.suspects.rewind()?;
        while let Some(mut suspect) = self.suspects.next()? {
            suspect.ordinal += by;
            shifted.push(&suspect)?;
        }
        self.suspects = shifted.finish()?;
        Ok(())
    }
}

/// What was found so far.
pub(super) struct Found {
    rows: [u64; 2],
    suspects: SuspectWriter,
    tolerated: u64,
    digest: TableDigest,
    read_us: Option<i64>,
    held: Duration,
    moments: Option<Option<(String, String)>>,
}

impl Found {
    pub(super) fn new(columns: &[String]) -> Self {
        Self {
            rows: [0; 2],
            suspects: SuspectWriter::new(),
            tolerated: 0,
            digest: TableDigest::new(columns),
            read_us: None,
            held: Duration::ZERO,
            moments: None,
        }
    }

    /// Rows of the side that has more.
    pub(super) fn reached(&self) -> u64 {
        self.rows[0].max(self.rows[1])
    }

    pub(super) fn add(&mut self, part: &mut Part) -> Result<()> {
        part.suspects.rewind()?;
        while let Some(suspect) = part.suspects.next()? {
            self.suspects.push(&suspect)?;
        }
        self.tolerated += part.tolerated;
        for digest in &part.digests {
            self.digest.add(digest);
        }
        self.rows[0] += part.rows[0];
        self.rows[1] += part.rows[1];
        self.read_us = Some(self.read_us.map_or(part.read_us, |us| us.min(part.read_us)));
        self.held = self.held.max(part.held);
        Ok(())
    }

    /// Parts that were read beside each other are of no one instant.
    pub(super) fn at_several(&mut self) {
        self.moments = Some(None);
    }

    /// What the first look says, of which an interrupted verification had compared so many rows.
    pub(super) fn outcome(self, resumed: u64) -> Result<Outcome> {
        Ok(Outcome {
            rows_source: self.rows[0],
            rows_target: self.rows[1],
            sampled: false,
            seen: self.suspects.finish()?,
            differing: SuspectWriter::new().finish()?,
            in_flight: 0,
            waiting: 0,
            tolerated: self.tolerated,
            late: None,
            moments: self.moments.flatten(),
            read_us: self.read_us.unwrap_or_else(now_us),
            held: self.held,
            resumed,
            digest: Some((self.digest.hex(), self.digest.segments)),
        })
    }

    /// Parts of several instants are of none.
    fn at(&mut self, moment: Option<(String, String)>) {
        self.moments = Some(match self.moments.take() {
            None => moment,
            Some(before) => before.filter(|before| Some(before) == moment.as_ref()),
        });
    }
}

fn moments(snapshots: &Snapshots) -> Option<(String, String)> {
    let (source, target) = (snapshots.0.moment()?, snapshots.1.moment()?);
    Some((source.to_owned(), target.to_owned()))
}

/// What one walk through both sides read.
pub(super) struct Scanned {
    source: Rows,
    target: Rows,
    /// The last key, when it was ended before the end.
    reached: Option<Key>,
}

impl Pair<'_> {
    pub(super) async fn first_look(
        &self,
        level: Level,
        parts: Parts<'_>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Outcome, Failure> {
        if !self.ranged() {
            return self.look_at_all(progress).await;
        }
        if let Some(chosen) = parts.chosen {
            return self.look_at_sample(level, &parts, chosen, progress).await;
        }
        let mut found = Found::new(&self.target.names);
        let mut range = Range::default();
        let mut is_over = false;
        let taken_over = match &parts.ledger {
            Some(ledger) => ledger.parts()?,
            None => Vec::new(),
        };
        for mut part in taken_over {
            found.add(&mut part)?;
            found.at(None);
            is_over = part.up_to.is_none();
            range.after = part.up_to;
        }
        let resumed = found.reached();
        if !is_over && parts.lanes.width() > 1 {
            is_over = self
                .look_in_ranges(level, &parts, range.after.clone(), &mut found, progress)
                .await?;
        }
        while !is_over {
            range.ordinal = found.reached();
            let (begun, read_us) = (Instant::now(), now_us());
            let snapshots = self.snapshots().await?;
            found.at(moments(&snapshots));
            let base = range.ordinal;
            let tell = |rows| progress(base + rows);
            let mut part = if level == Level::Hash {
                self.hash_part(snapshots, &range, parts.rows, &tell).await?
            } else {
                self.full_part(snapshots, &range, parts.rows, &tell).await?
            };
            part.read_us = read_us;
            part.held = begun.elapsed();
            found.add(&mut part)?;
            is_over = part.up_to.is_none();
            if let Some(ledger) = parts.ledger
                && !(is_over && range.after.is_none())
            {
                ledger.add(&mut part);
            }
            range.after = part.up_to;
        }
        Ok(found.outcome(resumed)?)
    }

    /// One range, from snapshots of its own. The places of its rows are counted from its beginning.
    pub(super) async fn range_part(
        &self,
        level: Level,
        range: &Range,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Part, Failure> {
        let (begun, read_us) = (Instant::now(), now_us());
        let snapshots = self.snapshots().await?;
        let mut part = if level == Level::Hash {
            self.hash_part(snapshots, range, u64::MAX, progress).await?
        } else {
            self.full_part(snapshots, range, u64::MAX, progress).await?
        };
        part.up_to.clone_from(&range.up_to);
        part.read_us = read_us;
        part.held = begun.elapsed();
        Ok(part)
    }

    /// A table of which no part can be read by itself.
    async fn look_at_all(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<Outcome, Failure> {
        let (begun, read_us) = (Instant::now(), now_us());
        let snapshots = self.snapshots().await?;
        let moments = moments(&snapshots);
        let mut found = SuspectWriter::new();
        let (_, scanned) = self
            .walk(
                snapshots,
                &Range::default(),
                u64::MAX,
                true,
                &mut found,
                progress,
            )
            .await?;
        let (seen, counts) = self.judged(&mut found.finish()?, None)?;
        Ok(Outcome {
            rows_source: scanned.source.rows,
            rows_target: scanned.target.rows,
            sampled: false,
            seen,
            differing: SuspectWriter::new().finish()?,
            in_flight: 0,
            waiting: 0,
            tolerated: counts.tolerated,
            late: None,
            moments,
            read_us,
            held: begun.elapsed(),
            resumed: 0,
            digest: scanned.target.digest(),
        })
    }

    async fn full_part(
        &self,
        mut snapshots: Snapshots,
        range: &Range,
        mut most: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Part, Failure> {
        loop {
            let mut found = SuspectWriter::new();
            let (again, mut scanned) = self
                .walk(snapshots, range, most, true, &mut found, progress)
                .await?;
            snapshots = again;
            let mut found = found.finish()?;
            let mut segments = scanned.target.take_segments();
            let Some(reached) = scanned.reached else {
                let (suspects, counts) = self.judged(&mut found, None)?;
                return Ok(Part {
                    up_to: None,
                    rows: [scanned.source.rows, scanned.target.rows],
                    suspects,
                    tolerated: counts.tolerated,
                    digests: segments.iter().map(|s| s.digest).collect(),
                    read_us: 0,
                    held: Duration::ZERO,
                });
            };
            // The reader was ahead of the comparison.
            segments.retain(|s| compare_keys(&s.last.0, &reached.0).is_le());
            let Some(last) = segments.last() else {
                // No segment has ended yet.
                most = most.saturating_mul(2);
                continue;
            };
            let last = last.last.clone();
            let (suspects, counts) = self.judged(&mut found, Some(&last))?;
            let rows: u64 = segments.iter().map(|s| s.rows).sum();
            return Ok(Part {
                rows: [rows + counts.missing - counts.extra, rows],
                up_to: Some(last),
                suspects,
                tolerated: counts.tolerated,
                digests: segments.iter().map(|s| s.digest).collect(),
                read_us: 0,
                held: Duration::ZERO,
            });
        }
    }

    async fn hash_part(
        &self,
        snapshots: Snapshots,
        range: &Range,
        most: u64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Part, Failure> {
        let start = |side: &Side<'_>, role, snapshot| {
            Reader::start(
                snapshot,
                side.request(range),
                Digests::new(side.rows(true)),
                self.pace(role),
            )
        };
        let (source, target) = (
            start(&self.source, Role::Source, snapshots.0),
            start(&self.target, Role::Target, snapshots.1),
        );
        let differing = differing_ranges(source, target, range, most, |a, b| {
            progress(a.max(b));
        })
        .await?;
        let source = differing.source.finish().await?;
        let target = differing.target.finish().await?;
        let mut snapshots = (source.0, target.0);
        let mut found = SuspectWriter::new();
        for range in &differing.ranges {
            (snapshots, _) = self.scan(snapshots, range, false, &mut found).await?;
        }
        let (suspects, counts) = self.judged(&mut found.finish()?, None)?;
        Ok(Part {
            up_to: differing.up_to,
            rows: differing.rows,
            suspects,
            tolerated: counts.tolerated,
            digests: differing.digests,
            read_us: 0,
            held: Duration::ZERO,
        })
    }

    /// Of the rows that differ those up to a key that do so by more than is tolerated.
    pub(super) fn judged(
        &self,
        found: &mut Suspects,
        up_to: Option<&Key>,
    ) -> Result<(Suspects, Counts)> {
        let mut counts = Counts::default();
        let mut kept = SuspectWriter::new();
        found.rewind()?;
        while let Some(suspect) = found.next()? {
            if up_to.is_some_and(|end| compare_keys(&self.target_key(&suspect).0, &end.0).is_gt()) {
                break;
            }
            match suspect.kind() {
                DifferenceKind::MissingOnTarget => counts.missing += 1,
                DifferenceKind::ExtraOnTarget => counts.extra += 1,
                DifferenceKind::Differs => {}
            }
            if self.tolerance.allows(&suspect) {
                counts.tolerated += 1;
            } else {
                kept.push(&suspect)?;
            }
        }
        Ok((kept.finish()?, counts))
    }

    /// Walks through a range of both sides and writes down what differs.
    pub(super) async fn scan(
        &self,
        snapshots: Snapshots,
        range: &Range,
        digest: bool,
        found: &mut SuspectWriter,
    ) -> Result<(Snapshots, Scanned), Failure> {
        self.walk(snapshots, range, u64::MAX, digest, found, &|_| ())
            .await
    }

    async fn walk(
        &self,
        snapshots: Snapshots,
        range: &Range,
        most: u64,
        digest: bool,
        found: &mut SuspectWriter,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(Snapshots, Scanned), Failure> {
        let start = |side: &Side<'_>, role, snapshot, digest| {
            Reader::start(
                snapshot,
                side.request(range),
                side.rows(digest),
                self.pace(role),
            )
        };
        let source = start(&self.source, Role::Source, snapshots.0, false);
        let target = start(&self.target, Role::Target, snapshots.1, digest);
        let rules = Rules {
            key: &self.source.key,
            paired: self.keyed,
            stored: self.stored.as_deref(),
        };
        let merge = Merge::new(source, target, rules, range, found);
        let (source, target, reached) = merge.run(most, |a, b| progress(a.max(b))).await?;
        let (source, target) = (source.finish().await?, target.finish().await?);
        let scanned = Scanned {
            source: source.1,
            target: target.1,
            reached,
        };
        Ok(((source.0, target.0), scanned))
    }
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    missing: u64,
    extra: u64,
    pub(super) tolerated: u64,
}
