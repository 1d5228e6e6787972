//! Verifies the tables of a migration, one after the other.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::rule::mapping::TableMapping;

use super::look::Parts;
use super::pace::shares;
use super::report::{Difference, Report, Sampled, TableReport, share};
use super::request::{Level, Progress, Stage, VerifyRequest};
use super::suspect::DifferenceKind;
use super::table::{Outcome, Pair, Settling, now_us};

/// Compares the target's tables with what the mappings make of the source's.
///
/// Fails with [`ErrorKind::NotFound`] when a table of `tables` is in no mapping, with what the
/// stores say when they cannot be read, and with [`ErrorKind::Rule`] when a transform fails.
/// Differences are no failure: see [`Report::consistent`].
pub async fn verify(request: VerifyRequest<'_>) -> Result<Report> {
    if request.sample.is_some() && request.level == Level::Count {
        return Err(
            Error::new(ErrorKind::Usage, "rows are counted wholly, not by a sample")
                .hint("compare a sample at level hash or full"),
        );
    }
    let started = Instant::now();
    let mut report = Report {
        consistent: true,
        level: request.level,
        tables: Vec::new(),
        differences: Vec::new(),
        differences_total: 0,
        in_flight: 0,
        consistency_percent: 100.0,
        sample: request.sample.map(Sampled::new),
        checks: Vec::new(),
        schema: Vec::new(),
        seconds: 0.0,
    };
    let mut pairs = pairs(&request)?;
    let tables = pairs.len();
    for (index, pair) in pairs.iter_mut().enumerate() {
        let counted = match request.level {
            Level::Count => count(pair, request.settling()).await?,
            Level::Hash | Level::Full => None,
        };
        let table = match counted {
            Some(table) => table,
            None => {
                let (table, mut outcome) = compare(&request, pair, index, tables).await?;
                list(&mut report, pair, &mut outcome, request.differences_max)?;
                table
            }
        };
        (request.progress)(Progress {
            table: table.table.clone(),
            index,
            tables,
            rows: table.rows_source.max(table.rows_target),
            rows_total: request
                .totals
                .then(|| table.rows_source.max(table.rows_target)),
            stage: Stage::Done,
        });
        report.add_table(table);
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

impl VerifyRequest<'_> {
    pub(super) fn settling(&self) -> Settling<'_> {
        Settling {
            recheck: self.recheck,
            flow: self.flow,
            patience: self.patience,
        }
    }
}

/// The tables that are asked for.
pub(super) fn pairs<'a>(request: &VerifyRequest<'a>) -> Result<Vec<Pair<'a>>> {
    let names = |m: &TableMapping| -> Vec<String> {
        std::iter::once(&m.source)
            .chain(&m.targets)
            .map(|t| t.table.name.clone())
            .collect()
    };
    let all: Vec<String> = request.mappings.iter().flat_map(names).collect();
    let tables = match &request.tables {
        None => None,
        Some(tables) => Some(
            tables
                .iter()
                .map(|table| spelt(table, &all).ok_or_else(|| no_table(table, &all)))
                .collect::<Result<Vec<_>>>()?,
        ),
    };
    let wanted = |m: &TableMapping, target: usize| {
        tables.as_ref().is_none_or(|tables| {
            tables.contains(&m.source.table.name) || tables.contains(&m.targets[target].table.name)
        })
    };
    // Of all tables together: many small ones are as much as a large one.
    let shares = shares(request.busy_percent_max);
    Ok(request
        .mappings
        .iter()
        .flat_map(|m| (0..m.targets.len()).map(move |target| (m, target)))
        .filter(|(m, target)| wanted(m, *target))
        .map(|(m, target)| Pair::new(request, m, target, &shares))
        .collect())
}

/// The table's name as the stores spell it; in other case if only one is meant.
fn spelt(table: &str, all: &[String]) -> Option<String> {
    if all.iter().any(|name| name == table) {
        return Some(table.to_owned());
    }
    let mut found: Vec<&String> = all
        .iter()
        .filter(|name| name.eq_ignore_ascii_case(table))
        .collect();
    found.sort();
    found.dedup();
    match found[..] {
        [one] => Some(one.clone()),
        _ => None,
    }
}

fn no_table(table: &str, all: &[String]) -> Error {
    let error = Error::new(
        ErrorKind::NotFound,
        format!("table {table:?} is in no mapping of this migration"),
    );
    let nearest = all
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, table).total_cmp(&strsim::jaro_winkler(b, table)));
    match nearest {
        Some(name) if strsim::jaro_winkler(name, table) > 0.7 => {
            error.hint(format!("did you mean {name:?}?"))
        }
        _ => {
            let mut all = all.to_vec();
            all.sort();
            all.dedup();
            error.hint(format!("its tables are {}", all.join(", ")))
        }
    }
}

/// Counts; again after a wait if the counts differ, because rows may be on their way. `None`: they
/// differ where changes are captured, so that numbers alone say nothing: rows may be written after
/// the wait, whether somebody carries them over at this moment or not.
async fn count(pair: &Pair<'_>, settling: Settling<'_>) -> Result<Option<TableReport>> {
    let started = Instant::now();
    let ((rows_source, rows_target), read_us) = counts(pair, settling).await?;
    if settling.flow.is_some() && rows_source != rows_target {
        return Ok(None);
    }
    Ok(Some(TableReport {
        table: pair.name().to_owned(),
        source_table: pair.source.table.clone(),
        rows_source,
        rows_target,
        looked_at: [rows_source, rows_target],
        sampled_percent: None,
        numbers_differ: rows_source != rows_target,
        missing_on_target: None,
        extra_on_target: None,
        differs: None,
        in_flight: 0,
        waiting: 0,
        tolerated: 0,
        late: None,
        rows_compared: 0,
        rows_resumed: 0,
        compared_at_us: read_us,
        source_held_ms: 0,
        strategy: pair.strategy(Level::Count),
        digest: None,
        segments: None,
        seconds: started.elapsed().as_secs_f64(),
    }))
}

/// The numbers of rows, again after a wait if they differ, and when they were counted at last.
async fn counts(pair: &Pair<'_>, settling: Settling<'_>) -> Result<((u64, u64), i64)> {
    let mut read_us = now_us();
    let mut counts = pair.counts().await?;
    for _ in 0..settling.recheck.tries {
        if counts.0 == counts.1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(settling.recheck.wait_ms)).await;
        settling.across().await?;
        read_us = now_us();
        counts = pair.counts().await?;
    }
    Ok((counts, read_us))
}

/// Compares one table; counts what differs.
pub(super) async fn compare(
    request: &VerifyRequest<'_>,
    pair: &mut Pair<'_>,
    index: usize,
    tables: usize,
) -> Result<(TableReport, Outcome)> {
    let started = Instant::now();
    let name = pair.name().to_owned();
    let part_rows = request.part_rows.max(1);
    let (counted, chosen) = match &request.sample {
        // How many rows there are says what a part of them is, and whether all of them can be equal.
        Some(sample) if pair.ranged() => {
            let mut counted = pair.counts().await?;
            let chosen = pair.choose(sample, part_rows, counted).await?;
            if chosen.is_some() && counted.0 != counted.1 && request.flow.is_none() {
                (counted, _) = counts(pair, request.settling()).await?;
            }
            (Some(counted), chosen)
        }
        _ if request.totals => (Some(pair.counts().await?), None),
        _ => (None, None),
    };
    let rows_total = counted.filter(|_| request.totals).map(|(source, target)| {
        let all = source.max(target);
        chosen.as_ref().map_or(all, |chosen| chosen.rows)
    });
    let tell = |rows, stage| {
        (request.progress)(Progress {
            table: name.clone(),
            index,
            tables,
            rows,
            rows_total,
            stage,
        });
    };
    tell(0, Stage::Compare);
    // Counts that say nothing are looked into.
    let level = match request.level {
        Level::Count => Level::Hash,
        level => level,
    };
    let mut outcome = pair
        .compare(
            level,
            Parts {
                rows: part_rows,
                lanes: request.lanes,
                ledger: request.ledger.map(|ledger| ledger.table(index)),
                chosen: chosen.as_ref(),
            },
            request.settling(),
            &|rows| tell(rows, Stage::Compare),
            &|| tell(rows_total.unwrap_or(0), Stage::Recheck),
        )
        .await?;
    let (mut missing, mut extra, mut differs) = (0, 0, 0);
    outcome.differing.rewind()?;
    while let Some(suspect) = outcome.differing.next()? {
        match suspect.kind() {
            DifferenceKind::MissingOnTarget => missing += 1,
            DifferenceKind::ExtraOnTarget => extra += 1,
            DifferenceKind::Differs => differs += 1,
        }
    }
    let (digest, segments) = outcome.digest.clone().unzip();
    let looked_at = [outcome.rows_source, outcome.rows_target];
    let whole = counted
        .filter(|_| outcome.sampled)
        .map(|(source, target)| [source, target]);
    let [rows_source, rows_target] = whole.unwrap_or(looked_at);
    let table = TableReport {
        table: name.clone(),
        source_table: pair.source.table.clone(),
        rows_source,
        rows_target,
        looked_at,
        sampled_percent: whole
            .map(|rows| share(looked_at[0].max(looked_at[1]), rows[0].max(rows[1]))),
        // Where changes are captured, rows may be on their way.
        numbers_differ: whole.is_some_and(|rows| rows[0] != rows[1]) && request.flow.is_none(),
        missing_on_target: Some(missing),
        extra_on_target: Some(extra),
        differs: Some(differs),
        in_flight: outcome.in_flight,
        waiting: outcome.waiting,
        tolerated: outcome.tolerated,
        late: outcome.late.clone(),
        rows_compared: looked_at[0]
            .max(looked_at[1])
            .saturating_sub(outcome.in_flight),
        rows_resumed: outcome.resumed,
        compared_at_us: outcome.read_us,
        source_held_ms: u64::try_from(outcome.held.as_millis()).unwrap_or(u64::MAX),
        strategy: pair.strategy(level),
        digest,
        segments,
        seconds: started.elapsed().as_secs_f64(),
    };
    Ok((table, outcome))
}

/// Lists the first differences.
fn list(report: &mut Report, pair: &Pair<'_>, outcome: &mut Outcome, most: usize) -> Result<()> {
    outcome.differing.rewind()?;
    while report.differences.len() < most
        && let Some(suspect) = outcome.differing.next()?
    {
        report.differences.push(Difference::of(
            pair.name(),
            &pair.target.names,
            &pair.target.key,
            &suspect,
        ));
    }
    Ok(())
}
