//! Merges two versions of a customer.
//!
//! - `loyalty_tier`: the higher of both, and at least `floor`.
//! - `last_login`: the later one.
//! - `email`: the source's, where the source changed it; otherwise the target's.
//! - everything else: column by column; what both sides changed goes by `on_clash`.
//! - a row deleted on one side lives on where its tier is at least `keep_from`.
//!
//! Settings, all optional: `tiers` (from low to high), `floor`, `keep_from`, `tier_column`,
//! `latest` (columns), `source_wins` (columns), `on_clash` (`park`, `source`, `target`, `newest`).

use std::cmp::Ordering;

use banyan_rule::{
    Conflict, Failure, Info, Resolver, Row, Rule, Settings, Side, Table, Value, Verdict,
};

const TIERS: [&str; 4] = ["bronze", "silver", "gold", "platinum"];

/// The rule with its settings, and with the columns of the table once it is opened.
pub struct VipMerge {
    tiers: Vec<String>,
    floor: Option<usize>,
    keep_from: Option<usize>,
    on_clash: OnClash,
    tier: ColumnSetting,
    latest: Vec<ColumnSetting>,
    source_wins: Vec<ColumnSetting>,
}

/// Who wins a column that both sides changed.
#[derive(Clone, Copy, PartialEq)]
enum OnClash {
    Park,
    Source,
    Target,
    Newest,
}

/// A column named by the settings, or by default where the table has it.
struct ColumnSetting {
    name: String,
    required: bool,
    index: Option<usize>,
}

impl ColumnSetting {
    fn list(settings: &Settings, name: &str, default: &str) -> Result<Vec<Self>, Failure> {
        let named = settings.texts(name)?;
        let required = named.is_some();
        Ok(named
            .unwrap_or_else(|| vec![default])
            .into_iter()
            .map(|name| Self {
                name: name.to_owned(),
                required,
                index: None,
            })
            .collect())
    }

    fn open(&mut self, table: &Table) -> Result<(), Failure> {
        self.index = if self.required {
            Some(table.column(&self.name)?)
        } else {
            table.find(&self.name)
        };
        Ok(())
    }
}

fn rank(tiers: &[String], tier: &str) -> Option<usize> {
    tiers.iter().position(|t| t == tier)
}

fn tier_setting(
    settings: &Settings,
    tiers: &[String],
    name: &str,
) -> Result<Option<usize>, Failure> {
    let Some(tier) = settings.text(name)? else {
        return Ok(None);
    };
    rank(tiers, tier).map(Some).ok_or_else(|| {
        Failure::fatal(format!(
            "setting {name:?} is {tier:?}; the tiers are {}",
            tiers.join(", ")
        ))
    })
}

impl Rule for VipMerge {
    fn info() -> Info {
        banyan_rule::info!()
    }

    fn new(settings: &Settings) -> Result<Self, Failure> {
        let tiers: Vec<String> = settings
            .texts("tiers")?
            .unwrap_or_else(|| TIERS.to_vec())
            .into_iter()
            .map(str::to_owned)
            .collect();
        let tier_column = settings.text("tier_column")?;
        Ok(Self {
            floor: tier_setting(settings, &tiers, "floor")?,
            keep_from: tier_setting(settings, &tiers, "keep_from")?,
            on_clash: match settings.text_or("on_clash", "park")? {
                "park" => OnClash::Park,
                "source" => OnClash::Source,
                "target" => OnClash::Target,
                "newest" => OnClash::Newest,
                other => {
                    return Err(Failure::fatal(format!(
                        "setting \"on_clash\" is {other:?}; allowed are park, source, target, newest"
                    )));
                }
            },
            tier: ColumnSetting {
                name: tier_column.unwrap_or("loyalty_tier").to_owned(),
                required: tier_column.is_some(),
                index: None,
            },
            latest: ColumnSetting::list(settings, "latest", "last_login")?,
            source_wins: ColumnSetting::list(settings, "source_wins", "email")?,
            tiers,
        })
    }

    fn open(&mut self, tables: &[Table]) -> Result<(), Failure> {
        let table = &tables[0];
        self.tier.open(table)?;
        for column in self.latest.iter_mut().chain(&mut self.source_wins) {
            column.open(table)?;
        }
        Ok(())
    }
}

impl Resolver for VipMerge {
    fn resolve<'a>(&self, conflict: &Conflict<'a>) -> Result<Verdict<'a>, Failure> {
        let (source, target) = (conflict.source(), conflict.target());
        match (source.row(), target.row()) {
            (None, None) => Ok(Verdict::Delete),
            (Some(row), None) => Ok(self.kept(&row, Verdict::Source)),
            (None, Some(row)) => Ok(self.kept(&row, Verdict::Target)),
            (Some(_), Some(_)) => self.merged(conflict, &source, &target),
        }
    }
}

impl VipMerge {
    /// A row that the other side deleted.
    fn kept<'a>(&self, row: &Row<'a>, keep: Verdict<'a>) -> Verdict<'a> {
        let rank = self.rank_of(row);
        match (self.keep_from, rank) {
            (Some(from), Some(rank)) if rank >= from => keep,
            _ => Verdict::Delete,
        }
    }

    fn rank_of(&self, row: &Row<'_>) -> Option<usize> {
        rank(&self.tiers, row.text(self.tier.index?)?)
    }

    fn merged<'a>(
        &self,
        conflict: &Conflict<'a>,
        source: &Side<'a>,
        target: &Side<'a>,
    ) -> Result<Verdict<'a>, Failure> {
        let mut merge = conflict.merge();
        if let Some(column) = self.tier.index {
            let ranks = [self.rank_of(source), self.rank_of(target), self.floor];
            if let Some(highest) = ranks.into_iter().flatten().max() {
                let name = &self.tiers[highest];
                // The cell that came in is handed back where it can be: nothing is copied.
                let cell = [source, target]
                    .into_iter()
                    .map(|side| side.get(column))
                    .find(|cell| *cell == name.as_str())
                    .unwrap_or_else(|| name.clone().into());
                merge.set(column, cell);
            }
        }
        for column in self.latest.iter().filter_map(|c| c.index) {
            let (a, b) = (source.get(column), target.get(column));
            if let Some(latest) = later(a, b) {
                merge.set(column, latest);
            }
        }
        for column in self.source_wins.iter().filter_map(|c| c.index) {
            if merge.clashes().contains(&column) {
                merge.set(column, source.get(column));
            }
        }
        for column in merge.clashes().to_vec() {
            let winner = match self.on_clash {
                OnClash::Source => source,
                OnClash::Target => target,
                OnClash::Newest => match newer(source, target) {
                    Some(side) => side,
                    None => return Ok(self.park(conflict, column)),
                },
                OnClash::Park => return Ok(self.park(conflict, column)),
            };
            merge.set(column, winner.get(column));
        }
        Ok(merge.into_verdict())
    }

    fn park<'a>(&self, conflict: &Conflict<'a>, column: usize) -> Verdict<'a> {
        Verdict::park(format!(
            "both sides changed {}: {} and {}",
            conflict.table().columns()[column].name,
            conflict.source().get(column),
            conflict.target().get(column)
        ))
    }
}

/// The later of two moments; a known one is later than none. `None` when they can't be compared.
fn later<'a>(a: Value<'a>, b: Value<'a>) -> Option<Value<'a>> {
    let order = match (&a, &b) {
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Text(x), Value::Text(y)) => x.cmp(y),
        (Value::Date(x), Value::Date(y)) => x.cmp(y),
        (Value::Int(x), Value::Int(y))
        | (Value::Timestamp(x), Value::Timestamp(y))
        | (Value::TimestampUtc(x), Value::TimestampUtc(y)) => x.cmp(y),
        (Value::Float(x), Value::Float(y)) => x.total_cmp(y),
        _ => return None,
    };
    Some(if order == Ordering::Less { b } else { a })
}

/// The side that was committed later, when that is known and not the same moment.
fn newer<'s, 'a>(source: &'s Side<'a>, target: &'s Side<'a>) -> Option<&'s Side<'a>> {
    match source.committed_us()?.cmp(&target.committed_us()?) {
        Ordering::Less => Some(target),
        Ordering::Equal => None,
        Ordering::Greater => Some(source),
    }
}

banyan_rule::export_resolver!(VipMerge);

#[cfg(test)]
mod tests;
