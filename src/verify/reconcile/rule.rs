//! Repairs by the table's own rule: each row that differs is a conflict whose base nobody knows.

use crate::data::{Key, Row};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::{Conflict, ConflictKind, Direction, Resolve, Side as RuleSide, Verdict};
use crate::verify::order::differing_columns;
use crate::verify::repair::Repair;
use crate::verify::suspect::{DifferenceKind, Suspect};
use crate::verify::table::Pair;

use super::plan::{Now, Planned, Side, to_source};

/// When source and target were last changed.
pub(super) type Times = (Option<i64>, Option<i64>);

/// What the rule says about each row.
pub(super) fn verdicts(
    resolver: &dyn Resolve,
    pair: &Pair<'_>,
    suspects: &[Suspect],
    times: &[Times],
) -> Result<Vec<Verdict>> {
    let conflicts: Vec<Conflict> = suspects
        .iter()
        .zip(times)
        .map(|(suspect, (source_us, target_us))| Conflict {
            kind: match suspect.kind() {
                DifferenceKind::Differs => ConflictKind::UpdateOriginDiffers,
                DifferenceKind::MissingOnTarget | DifferenceKind::ExtraOnTarget => {
                    ConflictKind::UpdateMissing
                }
            },
            direction: match suspect.kind() {
                DifferenceKind::ExtraOnTarget => Direction::Backward,
                DifferenceKind::Differs | DifferenceKind::MissingOnTarget => Direction::Forward,
            },
            base: None,
            base_known: false,
            source: RuleSide {
                row: suspect.source.clone(),
                committed_us: *source_us,
            },
            target: RuleSide {
                row: suspect.target.clone(),
                committed_us: *target_us,
            },
        })
        .collect();
    let table = &pair.mapping.targets[pair.target_index].table;
    let rule = |e: String| Error::new(ErrorKind::Rule, e);
    let verdicts = resolver.resolve(table, &conflicts);
    let verdicts = verdicts.map_err(|e| rule(e.to_string()))?;
    if verdicts.len() == conflicts.len() {
        return Ok(verdicts);
    }
    let (answers, asked) = (verdicts.len(), conflicts.len());
    Err(rule(format!("{answers} verdicts for {asked} conflicts")))
}

/// What is to be done for a verdict.
pub(super) fn planned(
    pair: &Pair<'_>,
    suspect: &Suspect,
    key: &Key,
    now: Option<&Now>,
    verdict: Verdict,
) -> Result<Planned> {
    let result = match verdict {
        Verdict::Source => suspect.source.clone(),
        Verdict::Target => suspect.target.clone(),
        Verdict::Delete => None,
        Verdict::Merged(row) => match pair.mapping.targets[pair.target_index].try_store(row) {
            Ok(row) => Some(row),
            Err(why) => {
                return Ok(Planned::Refused(format!(
                    "its rule answered a row that cannot be written: {why}"
                )));
            }
        },
        Verdict::KeepBoth { .. } => {
            return Ok(Planned::Refused(
                "its rule keeps both rows, which only a sync can".to_owned(),
            ));
        }
        Verdict::Park(why) => {
            return Ok(Planned::Refused(format!("its rule decides nothing: {why}")));
        }
    };
    let moved_key = |row: &Row| Key::of(row, &pair.target.key) != *key;
    if result.as_ref().is_some_and(moved_key) {
        return Ok(Planned::Refused("its rule answered another key".to_owned()));
    }
    let is = |side: &Option<Row>| match (side, &result) {
        (None, None) => true,
        (Some(a), Some(b)) => differing_columns(a, b).is_empty(),
        _ => false,
    };
    let target = (!is(&suspect.target)).then(|| Repair {
        key: key.clone(),
        expected: suspect.target.clone(),
        row: result.clone(),
    });
    if is(&suspect.source) {
        return Ok(match target {
            Some(repair) => Planned::Write(Side::Target, repair),
            None => Planned::Moved,
        });
    }
    let wanted = Suspect {
        target: result,
        ..suspect.clone()
    };
    let source = match now {
        Some(now) => to_source(pair, &wanted, Some(&now.saying(pair, &wanted)?)),
        None => to_source(pair, &wanted, None),
    };
    Ok(match (target, source) {
        (None, source) => source,
        (Some(target), Planned::Write(_, source)) => Planned::Both { target, source },
        (Some(_), refused) => refused,
    })
}
