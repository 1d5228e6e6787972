//! Compares one table with what it should be.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::data::LogicalType;
use crate::database::{Role, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::RuleColumn;
use crate::rule::mapping::{How, StoredForm, TableMapping};
use crate::runtime::Share;

use super::flow::{Across, Flow, Moving};
use super::look::Parts;
use super::pace::Pace;
use super::reader::Failure;
use super::request::{Level, Recheck, Strategy, VerifyRequest};
use super::side::{Range, Side, map_rows};
use super::suspect::{Suspect, SuspectWriter, Suspects};
use super::tolerance::Tolerance;

/// The wait before a second look where nobody carries changes over: the two sides' snapshots are not
/// of one instant.
const STILL: Duration = Duration::from_millis(200);
/// How often what differs while changes are carried over is looked at beyond that, and how far apart: one
/// such wait before the first of these looks, two before the second.
const CONFIRMING_LOOKS: u32 = 6;
const CONFIRMING_WAIT: Duration = Duration::from_millis(17);
/// Rows of a batch that readers choose, about.
const BATCH_ROWS: usize = 8192;
/// Suspects that are closer than this are looked at again in one read.
pub(super) const NEAR_ROWS: u64 = 1000;

/// A table of the target, and what it is compared with.
pub(super) struct Pair<'a> {
    pub(super) mapping: &'a TableMapping,
    /// Which of the mapping's targets.
    pub(super) target_index: usize,
    pub(super) source: Side<'a>,
    pub(super) target: Side<'a>,
    /// Whether the table has a key.
    pub(super) keyed: bool,
    /// What the target makes of the source's cells. Rows are compared as they are first: what the
    /// target holds in the same form has nothing to be converted.
    pub(super) stored: Option<Arc<dyn StoredForm>>,
    /// Whether a key of one side means the same when it bounds a read of the other.
    alike: bool,
    /// Who was asked to order rows.
    strategy: Strategy,
    /// Rows of each side that are read in a second, at most.
    pub(super) rows_per_s_max: Option<u64>,
    /// How much of the time each is read, in percent, at most.
    pub(super) busy_percent_max: Option<u8>,
    /// How fast source and target are read.
    paces: [Pace; 2],
    /// What is no difference.
    pub(super) tolerance: Tolerance,
}

/// What a comparison found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) rows_source: u64,
    pub(super) rows_target: u64,
    /// Whether these are the rows of some ranges, and not of the whole table.
    pub(super) sampled: bool,
    /// Rows that differed when they were last looked at.
    pub(super) seen: Suspects,
    /// Rows that differ for certain.
    pub(super) differing: Suspects,
    /// Rows about which nothing is certain: they changed whenever they were looked at, or changes
    /// were on their way.
    pub(super) in_flight: u64,
    /// Rows that differ by no more than is tolerated.
    pub(super) tolerated: u64,
    /// Rows that differ because their changes wait for a sync, and none runs.
    pub(super) waiting: u64,
    /// Why changes did not arrive in time, if they did not.
    pub(super) late: Option<String>,
    /// What tells the instants of the first look from others, where both stores can tell.
    pub(super) moments: Option<(String, String)>,
    /// When the source was read, its first part, in microseconds since 1970 by this machine's clock.
    pub(super) read_us: i64,
    /// How long a snapshot of the source was held at most.
    pub(super) held: Duration,
    /// Rows that an interrupted verification had compared.
    pub(super) resumed: u64,
    /// The digest of the target's rows, and the number of its segments.
    pub(super) digest: Option<(String, u64)>,
}

pub(super) type Snapshots = (Box<dyn Snapshot>, Box<dyn Snapshot>);

impl<'a> Pair<'a> {
    pub(super) fn new(
        request: &VerifyRequest<'a>,
        mapping: &'a TableMapping,
        target_index: usize,
        shares: &[Option<Arc<Share>>; 2],
    ) -> Self {
        let (source, target) = (request.source, request.target);
        // Parts end between batches.
        let batch_rows = match usize::try_from(request.part_rows) {
            Ok(rows) if rows < BATCH_ROWS => rows,
            _ => 0,
        };
        let to = &mapping.targets[target_index];
        let from = &mapping.source;
        let columns = |table: &crate::rule::RuleTable| -> Vec<String> {
            table.columns.iter().map(|c| c.name.clone()).collect()
        };
        let names = columns(&to.table);
        let tolerance = Tolerance::new(&names, request.tolerances.get(&to.table.name));
        let mut key = to.table.key.clone();
        if key.is_empty() && matches!(mapping.how, How::Columns) {
            key.clone_from(&from.table.key);
        }
        let keyed = !key.is_empty();
        if !keyed {
            key = (0..names.len()).collect();
        }
        let by_row =
            mapping.is_transformed() || mapping.filter.is_some() && mapping.filter_sql.is_none();
        let stored = match &to.stored {
            Some(stored) if !by_row && !stored.is_identity() => mapping.comparable_form(),
            _ => None,
        };
        // Where rows are counted nobody orders them.
        let strategy = match request.level {
            Level::Count => Strategy::Auto,
            Level::Hash | Level::Full => request.strategy,
        };
        let sorted = !keyed || strategy == Strategy::SortMerge;
        // Rows are brought into the target's form before they are sorted: it may order them otherwise.
        let (by_row, stored) = match stored {
            Some(_) if sorted && keyed => (true, None),
            stored => (by_row, stored),
        };
        let alike = !mapping.is_transformed()
            && key.iter().all(|&k| {
                let (a, b) = (&from.table.columns[k], &to.table.columns[k]);
                !a.nullable && !b.nullable && same_type(a, b)
            });
        Self {
            mapping,
            target_index,
            source: Side {
                store: source,
                table: from.table.name.clone(),
                columns: columns(&from.table),
                names: names.clone(),
                key: key.clone(),
                filter: match (&mapping.filter_sql, &request.filter) {
                    (Some(a), Some(b)) => Some(format!("({a}\n) AND ({b}\n)")),
                    (a, b) => a.clone().or_else(|| b.clone()),
                },
                mapping: by_row.then(|| (mapping.clone(), target_index)),
                sorted,
                batch_rows,
            },
            target: Side {
                store: target,
                table: to.table.name.clone(),
                columns: names.clone(),
                names,
                key,
                filter: request.filter.clone(),
                mapping: None,
                sorted,
                batch_rows,
            },
            keyed,
            stored,
            alike,
            strategy,
            rows_per_s_max: request.rows_per_s_max,
            busy_percent_max: request.busy_percent_max,
            paces: shares
                .clone()
                .map(|share| Pace::new(request.rows_per_s_max, share)),
            tolerance,
        }
    }

    /// How fast the source is read, or the target.
    pub(super) fn pace(&self, side: Role) -> Pace {
        self.paces[side.index()].clone()
    }

    /// The table's name in reports.
    pub(super) fn name(&self) -> &str {
        &self.target.table
    }

    /// How the comparison goes, for the report.
    pub(super) fn strategy(&self, level: Level) -> &'static str {
        let sorted = self.source.sorted || self.strategy == Strategy::SortMerge;
        match (level, self.ranged(), sorted, self.keyed) {
            (Level::Count, ..) => "count",
            (_, _, _, false) => "multiset",
            (_, _, true, true) => "sort-merge",
            (Level::Hash, true, ..) => "segment-digests",
            _ => "merge",
        }
    }

    /// Whether both stores can read parts of the table by its key.
    pub(super) fn ranged(&self) -> bool {
        self.is_found_by_key() && !self.source.sorted
    }

    /// Whether a row of one side is found in the other store by its key.
    fn is_found_by_key(&self) -> bool {
        self.keyed && self.alike && self.source.mapping.is_none()
    }

    pub(super) async fn snapshots(&self) -> Result<Snapshots> {
        let (source, target) = futures::join!(self.source.snapshot(), self.target.snapshot());
        Ok((source?, target?))
    }

    /// The number of rows of both sides.
    pub(super) async fn counts(&self) -> Result<(u64, u64)> {
        let (mut source, mut target) = self.snapshots().await?;
        let [pace, pace_target] = &self.paces;
        let rows = async {
            match &self.source.mapping {
                None => {
                    let filter = self.source.filter.as_deref();
                    pace.during(source.count(&self.source.table, filter)).await
                }
                Some((mapping, index)) => {
                    let place = format!("table {}", self.source.table);
                    let mut side = self.source.clone();
                    side.sorted = true;
                    let mut rows = 0;
                    let mut stream = source.read(side.request(&Range::default()));
                    while let Some(batch) = pace.next(&mut stream).await {
                        let batch = crate::data::batch::to_rows(&batch?)?;
                        rows += map_rows(mapping, *index, batch, &place)?.len() as u64;
                    }
                    Ok(rows)
                }
            }
        };
        let (rows_source, rows_target) = futures::join!(
            rows,
            pace_target.during(target.count(&self.target.table, self.target.filter.as_deref()))
        );
        Ok((
            rows_source.map_err(|e| e.at(format_args!("store {}", self.source.store.name())))?,
            rows_target.map_err(|e| e.at(format_args!("store {}", self.target.store.name())))?,
        ))
    }

    /// Compares, and looks again at what differs.
    pub(super) async fn compare(
        &mut self,
        level: Level,
        parts: Parts<'_>,
        settling: Settling<'_>,
        progress: &(dyn Fn(u64) + Sync),
        rechecking: &(dyn Fn() + Sync),
    ) -> Result<Outcome> {
        let first = match self.first_look(level, parts, progress).await {
            Err(Failure::OutOfOrder(_))
                if self.strategy == Strategy::Auto
                    && (self.source.mapping.is_some() || self.stored.is_some()) =>
            {
                // The transform, or the form in which keys are held, changes their order.
                self.source.mapping = Some((self.mapping.clone(), self.target_index));
                self.stored = None;
                self.source.sorted = true;
                self.first_look(level, parts, progress).await
            }
            other => other,
        };
        if self.is_found_by_key() {
            // What differs is looked at again by its key, which costs no store an order of the whole table.
            self.source.sorted = false;
            self.target.sorted = false;
        }
        let mut outcome = first.map_err(|failure| match failure {
            Failure::OutOfOrder(why) if self.strategy == Strategy::Merge => {
                Error::new(ErrorKind::Usage, why)
                    .at(format_args!("table {}", self.name()))
                    .hint("this process can sort the table: strategy auto or sort-merge")
            }
            other => other.into_error(),
        })?;
        let first_seen = outcome.seen.len();
        if settling.recheck.tries == 0 {
            std::mem::swap(&mut outcome.differing, &mut outcome.seen);
        } else if outcome.seen.len() > 0 {
            rechecking();
            self.settle(&mut outcome, settling).await?;
            if outcome.differing.len() != first_seen {
                // It was of rows that are others by now.
                outcome.digest = None;
            }
        }
        Ok(outcome)
    }

    /// Looks again until all that differs is at rest, or tries run out. Certain is what two looks saw in
    /// the same way, with everything across in between that was committed before the first of them;
    /// three, while changes are carried over.
    async fn settle(&self, outcome: &mut Outcome, settling: Settling<'_>) -> Result<()> {
        let key = &self.source.key;
        let mut agreed = SuspectWriter::new().finish()?;
        for _ in 0..settling.recheck.tries {
            let mut wait = Duration::from_millis(settling.recheck.wait_ms);
            if !settling.is_carried()? {
                wait = wait.min(STILL);
                let across = settling.across().await?;
                if matches!(across, Across::Still(_)) && self.is_unchanged(outcome).await? {
                    // Nobody has carried anything meanwhile, and a second look would see what the first
                    // one saw.
                    std::mem::swap(&mut outcome.differing, &mut outcome.seen);
                    outcome.in_flight = 0;
                    outcome.waiting = self.waiting(&across, &mut outcome.differing)?;
                    return Ok(());
                }
            }
            tokio::time::sleep(wait).await;
            let across = settling.across().await?;
            if let Across::Late(why) = across {
                // Who has not come within the patience is not waited for once more.
                outcome.in_flight = outcome.seen.len() - outcome.differing.len();
                outcome.late = Some(why);
                break;
            }
            outcome.late = None;
            let mut now = self.look_again(&mut outcome.seen).await?;
            agreed = match &across {
                Across::Carried(moving) => {
                    let at_rest = |suspect: &Suspect| !self.is_of(moving, suspect);
                    let twice = agreeing(&mut outcome.seen, &mut now, key, at_rest)?;
                    outcome.differing = agreeing(&mut agreed, &mut now, key, at_rest)?;
                    twice
                }
                Across::Still(_) | Across::Late(_) => {
                    outcome.differing = agreeing(&mut outcome.seen, &mut now, key, |_| true)?;
                    SuspectWriter::new().finish()?
                }
            };
            outcome.waiting = self.waiting(&across, &mut outcome.differing)?;
            outcome.in_flight = now.len() - outcome.differing.len();
            outcome.seen = now;
            if outcome.in_flight == 0 {
                break;
            }
        }
        if outcome.late.is_none() && settling.is_carried()? {
            self.confirm(outcome, settling).await?;
        }
        Ok(())
    }

    /// Looks some more times at what is about to be called different while changes are carried over: a row
    /// that goes back and forth between two values may have been seen on its way at every look so far.
    async fn confirm(&self, outcome: &mut Outcome, settling: Settling<'_>) -> Result<()> {
        for look in 1..=CONFIRMING_LOOKS {
            if outcome.differing.len() == 0 {
                break;
            }
            // No rhythm of an application's shall meet that of the looks.
            tokio::time::sleep(CONFIRMING_WAIT * look).await;
            let (mut now, moving) = match settling.across().await? {
                Across::Carried(moving) => (self.look_again(&mut outcome.differing).await?, moving),
                Across::Still(_) => break,
                Across::Late(why) => {
                    outcome.late = Some(why);
                    (SuspectWriter::new().finish()?, Moving::default())
                }
            };
            let at_rest = |suspect: &Suspect| !self.is_of(&moving, suspect);
            let key = &self.source.key;
            let same = agreeing(&mut outcome.differing, &mut now, key, at_rest)?;
            outcome.in_flight += outcome.differing.len().saturating_sub(same.len());
            outcome.differing = same;
        }
        Ok(())
    }

    fn is_of(&self, moving: &Moving, suspect: &Suspect) -> bool {
        self.keyed && moving.has(self.name(), self.target_key(suspect))
    }

    /// How many of the rows that differ wait for a sync, where none runs.
    fn waiting(&self, across: &Across, differing: &mut Suspects) -> Result<u64> {
        let mut waiting = 0;
        if let Across::Still(moving) = across
            && !moving.is_empty()
        {
            differing.rewind()?;
            while let Some(suspect) = differing.next()? {
                waiting += u64::from(self.is_of(moving, &suspect));
            }
        }
        Ok(waiting)
    }

    /// Whether both stores hold what they held at the first look, as far as they can tell.
    async fn is_unchanged(&self, outcome: &Outcome) -> Result<bool> {
        let Some((source, target)) = &outcome.moments else {
            return Ok(false);
        };
        let now = self.snapshots().await?;
        Ok(now.0.moment() == Some(source) && now.1.moment() == Some(target))
    }

    async fn look_again(&self, pending: &mut Suspects) -> Result<Suspects> {
        let mut snapshots = self.snapshots().await?;
        let mut found = SuspectWriter::new();
        if !self.ranged() {
            self.scan(snapshots, &Range::default(), false, &mut found)
                .await
                .map_err(Failure::into_error)?;
            return Ok(self.judged(&mut found.finish()?, None)?.0);
        }
        pending.rewind()?;
        let mut range: Option<(Range, u64)> = None;
        loop {
            let next = pending.next()?;
            if let (Some((range, last)), Some(suspect)) = (&mut range, &next)
                && suspect.ordinal.saturating_sub(*last) <= NEAR_ROWS
            {
                range.up_to = Some(self.target_key(suspect));
                *last = suspect.ordinal;
                continue;
            }
            if let Some((range, _)) = range.take() {
                (snapshots, _) = self
                    .scan(snapshots, &range, false, &mut found)
                    .await
                    .map_err(Failure::into_error)?;
            }
            let Some(suspect) = next else {
                return Ok(self.judged(&mut found.finish()?, None)?.0);
            };
            let up_to = Some(self.target_key(&suspect));
            // Of several rows with one key the first may have been equal: that key is no border.
            let own = up_to.as_ref();
            let after = suspect
                .before
                .filter(|before| own.is_none_or(|own| before != own));
            range = Some((
                Range {
                    after,
                    up_to,
                    ordinal: suspect.ordinal,
                },
                suspect.ordinal,
            ));
        }
    }

    pub(super) fn target_key(&self, suspect: &Suspect) -> crate::data::Key {
        crate::data::Key::of(suspect.row(), &self.source.key)
    }
}

/// Microseconds since 1970.
pub(super) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// Whether two columns hold a value in the same form, as far as their types tell.
fn same_type(a: &RuleColumn, b: &RuleColumn) -> bool {
    a.declared_type.eq_ignore_ascii_case(&b.declared_type)
        || a.logical == b.logical
            && matches!(
                a.logical,
                LogicalType::Int | LogicalType::Float | LogicalType::Text
            )
}

/// Of the rows that differ `now`, those that differed in the same way `before` and are at rest, which is
/// asked of these alone. Both lists are in order.
fn agreeing(
    before: &mut Suspects,
    now: &mut Suspects,
    key: &[usize],
    at_rest: impl Fn(&Suspect) -> bool,
) -> Result<Suspects> {
    before.rewind()?;
    now.rewind()?;
    let mut agreeing = SuspectWriter::new();
    let mut old = before.next()?;
    while let Some(suspect) = now.next()? {
        while let Some(o) = &old
            && o.compare(&suspect, key).is_lt()
        {
            old = before.next()?;
        }
        if let Some(o) = &old
            && o.compare(&suspect, key).is_eq()
            && o.same(&suspect)
        {
            if at_rest(&suspect) {
                agreeing.push(&suspect)?;
            }
            // Each copy of a row without a key stands for itself.
            old = before.next()?;
        }
    }
    agreeing.finish()
}

/// How rows that differ are looked at again.
#[derive(Clone, Copy)]
pub(super) struct Settling<'a> {
    pub(super) recheck: Recheck,
    pub(super) flow: Option<&'a dyn Flow>,
    pub(super) patience: Duration,
}

impl Settling<'_> {
    fn is_carried(&self) -> Result<bool> {
        self.flow.map_or(Ok(false), Flow::is_carried)
    }

    /// Waits for what is on its way.
    pub(super) async fn across(&self) -> Result<Across> {
        match self.flow {
            Some(flow) => flow.across(self.patience).await,
            None => Ok(Across::Still(Moving::default())),
        }
    }
}
