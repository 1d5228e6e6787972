//! Decides what to do about each row that differs, and whether it still is as it was seen.

use std::collections::HashMap;

use crate::data::{Key, Row};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::mapping::PartialRow;
use crate::verify::order::differing_columns;
use crate::verify::repair::{Repair, RepairStore, RepairTable};
use crate::verify::side::map_rows;
use crate::verify::suspect::{DifferenceKind, Suspect};
use crate::verify::table::Pair;

use super::{Prefer, ReconcileRequest, repair_table, rule};

/// Which store is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Target,
}

/// What is to be done about a row.
#[derive(Debug)]
pub(super) enum Planned {
    /// This.
    Write(Side, Repair),
    /// Both sides get a row that neither has: the target first, and the source if that was done.
    Both {
        /// The target's.
        target: Repair,
        /// The source's.
        source: Repair,
    },
    /// Nothing: a side moved since it was compared.
    Moved,
    /// Nothing: the row's conflict, with this id, is open.
    InConflict(String),
    /// Nothing, for this reason.
    Refused(String),
}

/// The rows of a suspect as they are now.
pub(super) struct Now {
    /// The source's row, as it is there.
    source: Option<Row>,
    /// What the target's row says about the source's.
    back: Option<PartialRow>,
}

impl Now {
    /// The same, where the target is to have another row: what that one says about the source's.
    pub(super) fn saying(&self, pair: &Pair<'_>, wanted: &Suspect) -> Result<Self> {
        let back = match &wanted.target {
            None => self.back.clone(),
            Some(row) => {
                let back = pair.mapping.backward(pair.target_index, vec![row.clone()]);
                let back = back.map_err(|e| Error::new(ErrorKind::Rule, e.to_string()))?;
                back.into_iter().next().flatten()
            }
        };
        Ok(Self {
            source: self.source.clone(),
            back,
        })
    }
}

/// One plan for each suspect, in order.
pub(super) async fn plan(
    request: &ReconcileRequest<'_>,
    pair: &Pair<'_>,
    suspects: &[Suspect],
    in_conflict: &HashMap<Key, String>,
) -> Result<Vec<Planned>> {
    if !pair.keyed {
        return Ok(suspects
            .iter()
            .map(|s| without_key(request, pair, s))
            .collect());
    }
    let keys: Vec<Key> = suspects
        .iter()
        .map(|s| Key::of(s.row(), &pair.target.key))
        .collect();
    let targets = request
        .repair_target
        .rows(repair_table(pair, Side::Target), &keys)
        .await?;
    let sources = sources_now(request, pair, suspects).await?;
    let times = if matches!(request.prefer, Prefer::Newest | Prefer::Rule) {
        times(request, pair, &keys, &sources).await?
    } else {
        vec![(None, None); suspects.len()]
    };
    let mut verdicts = match (request.prefer, request.resolvers.get(pair.name())) {
        (Prefer::Rule, Some(resolver)) => {
            rule::verdicts(resolver.as_ref(), pair, suspects, &times)?.into_iter()
        }
        _ => Vec::new().into_iter(),
    };
    let mut plans = Vec::with_capacity(suspects.len());
    for (i, suspect) in suspects.iter().enumerate() {
        let now = &sources[i];
        let verdict = verdicts.next();
        if let Some(id) = in_conflict.get(&keys[i]) {
            plans.push(Planned::InConflict(id.clone()));
            continue;
        }
        if !same(targets[i].as_ref(), suspect.target.as_ref())
            || now.as_ref().is_some_and(|n| !maps_to(pair, n, suspect))
        {
            plans.push(Planned::Moved);
            continue;
        }
        let prefer = match (request.prefer, times[i]) {
            (Prefer::Newest, (Some(source), Some(target))) if source > target => Prefer::Source,
            (Prefer::Newest, (Some(source), Some(target))) if source < target => Prefer::Target,
            (prefer, _) => prefer,
        };
        plans.push(match prefer {
            Prefer::Source => Planned::Write(
                Side::Target,
                Repair {
                    key: keys[i].clone(),
                    expected: suspect.target.clone(),
                    row: suspect.source.clone(),
                },
            ),
            Prefer::Target => to_source(pair, suspect, now.as_ref()),
            Prefer::Rule => match verdict {
                Some(verdict) => rule::planned(pair, suspect, &keys[i], now.as_ref(), verdict)?,
                None => Planned::Refused("no rule decides about this table".to_owned()),
            },
            Prefer::Newest => Planned::Refused(
                "the times of the last change are unknown or equal; prefer source or target"
                    .to_owned(),
            ),
        });
    }
    Ok(plans)
}

fn same(a: Option<&Row>, b: Option<&Row>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.len() == b.len() && differing_columns(a, b).is_empty(),
        _ => false,
    }
}

/// Whether the source's row of now still is in the target what the comparison saw.
fn maps_to(pair: &Pair<'_>, now: &Now, suspect: &Suspect) -> bool {
    let mapped = match &now.source {
        None => Ok(Vec::new()),
        Some(row) => map_rows(
            pair.mapping,
            pair.target_index,
            vec![row.clone()],
            &pair.source.table,
        ),
    };
    mapped.is_ok_and(|mut rows| same(rows.pop().as_ref(), suspect.source.as_ref()))
}

/// The source's rows of now, where the way back says which they are.
async fn sources_now(
    request: &ReconcileRequest<'_>,
    pair: &Pair<'_>,
    suspects: &[Suspect],
) -> Result<Vec<Option<Now>>> {
    let rows: Vec<Row> = suspects
        .iter()
        .map(|s| s.target.clone().unwrap_or_else(|| s.row().to_vec()))
        .collect();
    let key = &pair.mapping.source.table.key;
    let back = match pair.mapping.backward(pair.target_index, rows) {
        Ok(back) if !key.is_empty() => back,
        Ok(_) => vec![None; suspects.len()],
        Err(e) if request.prefer == Prefer::Source => {
            // The way back is not needed; without it the source's row is not read again.
            tracing::debug!(error = %e, "no way back");
            vec![None; suspects.len()]
        }
        Err(e) => return Err(Error::new(ErrorKind::Rule, e.to_string())),
    };
    let keys: Vec<Option<Key>> = back.iter().map(|b| source_key(b.as_ref(), key)).collect();
    let known: Vec<Key> = keys.iter().flatten().cloned().collect();
    let mut found = read(
        request.repair_source,
        repair_table(pair, Side::Source),
        &known,
    )
    .await?
    .into_iter();
    Ok(back
        .into_iter()
        .zip(keys)
        .map(|(back, key)| {
            key.map(|_| Now {
                source: found.next().flatten(),
                back,
            })
        })
        .collect())
}

async fn read(
    store: &dyn RepairStore,
    table: RepairTable<'_>,
    keys: &[Key],
) -> Result<Vec<Option<Row>>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    store.rows(table, keys).await
}

fn source_key(back: Option<&PartialRow>, key: &[usize]) -> Option<Key> {
    let back = back?;
    let cell = |column: &usize| {
        let at = back.columns.iter().position(|c| c == column)?;
        back.cells.get(at).cloned()
    };
    key.iter().map(cell).collect::<Option<Vec<_>>>().map(Key)
}

/// The source is made what the target says.
pub(super) fn to_source(pair: &Pair<'_>, suspect: &Suspect, now: Option<&Now>) -> Planned {
    let source = &pair.mapping.source.table;
    let Some(now) = now else {
        return Planned::Refused(
            "the transform does not say which row of the source this is".to_owned(),
        );
    };
    let Some(back) = &now.back else {
        return Planned::Refused("the transform drops this row on the way back".to_owned());
    };
    if pair.target_index > 0 && suspect.kind() != DifferenceKind::Differs {
        return Planned::Refused(format!(
            "{} is split off; whether its rows are there follows from {}",
            pair.name(),
            pair.mapping.name()
        ));
    }
    let Some(key) = source_key(Some(back), &source.key) else {
        return Planned::Refused("the transform does not give the source's key".to_owned());
    };
    let row = if suspect.target.is_none() {
        None
    } else {
        let mut cells: Vec<Option<_>> = match &now.source {
            Some(row) => row.iter().cloned().map(Some).collect(),
            None => vec![None; source.columns.len()],
        };
        for (&column, cell) in back.columns.iter().zip(&back.cells) {
            if let Some(slot) = cells.get_mut(column) {
                *slot = Some(cell.clone());
            }
        }
        if let Some(missing) = cells.iter().position(Option::is_none) {
            return Planned::Refused(format!(
                "the transform gives no value for column {} of {}",
                source.columns[missing].name, source.name
            ));
        }
        Some(cells.into_iter().flatten().collect())
    };
    Planned::Write(
        Side::Source,
        Repair {
            key,
            expected: now.source.clone(),
            row,
        },
    )
}

/// Rows without a key are put in and taken out, one copy each.
fn without_key(request: &ReconcileRequest<'_>, pair: &Pair<'_>, suspect: &Suspect) -> Planned {
    let repair = |expected: &Option<Row>, row: &Option<Row>| Repair {
        key: Key(Vec::new()),
        expected: expected.clone(),
        row: row.clone(),
    };
    match request.prefer {
        Prefer::Source => Planned::Write(Side::Target, repair(&suspect.target, &suspect.source)),
        Prefer::Target if pair.source.mapping.is_none() => {
            Planned::Write(Side::Source, repair(&suspect.source, &suspect.target))
        }
        Prefer::Target => Planned::Refused(
            "a row without a key cannot be found in the source of a transform".to_owned(),
        ),
        Prefer::Rule => {
            Planned::Refused("rows without a key are no conflict that a rule decides".to_owned())
        }
        Prefer::Newest => {
            Planned::Refused("a table without a key has no times of change".to_owned())
        }
    }
}

/// When source and target last changed.
async fn times(
    request: &ReconcileRequest<'_>,
    pair: &Pair<'_>,
    keys: &[Key],
    sources: &[Option<Now>],
) -> Result<Vec<(Option<i64>, Option<i64>)>> {
    let targets = request
        .repair_target
        .committed_us(repair_table(pair, Side::Target), keys)
        .await?;
    let source_keys: Vec<Option<Key>> = sources
        .iter()
        .map(|now| source_key(now.as_ref()?.back.as_ref(), &pair.mapping.source.table.key))
        .collect();
    let known: Vec<Key> = source_keys.iter().flatten().cloned().collect();
    let mut found = request
        .repair_source
        .committed_us(repair_table(pair, Side::Source), &known)
        .await?
        .into_iter();
    Ok(source_keys
        .iter()
        .zip(targets)
        .map(|(key, target)| {
            let source = key.as_ref().and_then(|_| found.next().flatten());
            (source, target)
        })
        .collect())
}
