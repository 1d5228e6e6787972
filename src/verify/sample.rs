//! A sample: of a large table only some ranges of keys are compared, drawn from a seed.
//!
//! Its keys are divided into many ranges of about one size, of which each is as likely as any other;
//! the first and the last one have no end, so that rows beyond the borders of the other side are in
//! them. The same seed over the same rows chooses the same ranges. What is compared is compared to the
//! end, with the same second looks; nothing is said about the rest.

use serde::Serialize;

use crate::data::{Key, Value};
use crate::database::Role;
use crate::error::{Error, ErrorKind, Result};

use super::lanes::{Keys, Numbered};
use super::look::{Found, Parts};
use super::reader::Failure;
use super::request::Level;
use super::side::Range;
use super::table::{NEAR_ROWS, Outcome, Pair};

/// A table of fewer rows is compared wholly: that takes no longer.
const ROWS_MIN: u64 = 10_000;
/// Rows of a range. Many small ones say more about the whole than a few large ones, and cost more.
const RANGE_ROWS: std::ops::RangeInclusive<u64> = 1_000..=200_000;
/// How many ranges are chosen, about, where their size allows it.
const RANGES: u64 = 256;
/// Above so many integers a row between its first and its last one, a key is taken for one with gaps.
const SPARSE: u64 = 4;

/// How much is compared, and which choice it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Percent of the rows of each large table, about.
    pub percent: f64,
    /// What the choice is drawn from.
    pub seed: u64,
}

impl Sample {
    /// # Errors
    /// `Usage` for a percentage that is none, or nothing.
    pub fn new(percent: f64, seed: u64) -> Result<Self> {
        if percent > 0.0 && percent <= 100.0 {
            return Ok(Self { percent, seed });
        }
        Err(Error::new(
            ErrorKind::Usage,
            format!("a sample of {percent} % of the rows is none"),
        )
        .hint("write a number above 0 and up to 100, as in --sample 5"))
    }

    /// How many of `rows` that is.
    fn of(&self, rows: u64) -> u64 {
        (rows as f64 * self.percent / 100.0).ceil() as u64
    }

    /// Of so many ranges of a table those that are compared, in order; at least one.
    fn choose(&self, table: &str, ranges: usize) -> Vec<usize> {
        let lot = |n: &usize| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&self.seed.to_le_bytes());
            hasher.update(&(*n as u64).to_le_bytes());
            hasher.update(table.as_bytes());
            *hasher.finalize().as_bytes()
        };
        let mut chosen: Vec<usize> = (0..ranges).collect();
        chosen.sort_by_cached_key(lot);
        chosen.truncate(
            usize::try_from(self.of(ranges as u64))
                .unwrap_or(ranges)
                .max(1),
        );
        chosen.sort_unstable();
        chosen
    }
}

/// The ranges of a table that are compared.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) ranges: Vec<Numbered>,
    /// How many rows they have, about.
    pub(super) rows: u64,
}

impl Pair<'_> {
    /// What of the table is compared; `None`: all of it. `counts`: how many rows both sides have.
    pub(super) async fn choose(
        &self,
        sample: &Sample,
        part_rows: u64,
        counts: (u64, u64),
    ) -> Result<Option<Chosen>> {
        // Where there are more rows there is more to choose from.
        let (side, role, rows) = if counts.0 > counts.1 {
            (&self.source, Role::Source, counts.0)
        } else {
            (&self.target, Role::Target, counts.1)
        };
        if !self.ranged() || rows < ROWS_MIN || sample.percent >= 100.0 {
            return Ok(None);
        }
        let size = sample.of(rows) / RANGES;
        let size = size.clamp(*RANGE_ROWS.start(), *RANGE_ROWS.end());
        let size = size.min(part_rows);
        let mut snapshot = side.snapshot().await?;
        let mut keys = self.keys(side, role, snapshot.as_mut());
        let borders = borders(&mut keys, rows, size).await?;
        let all = borders.len() + 1;
        let chosen = sample.choose(self.name(), all);
        if chosen.len() == all {
            return Ok(None);
        }
        let ranges = chosen.iter().enumerate().map(|(place, &n)| {
            let range = Range {
                after: n.checked_sub(1).map(|n| borders[n].clone()),
                up_to: borders.get(n).cloned(),
                ordinal: 0,
            };
            (place, range)
        });
        Ok(Some(Chosen {
            rows: rows * chosen.len() as u64 / all as u64,
            ranges: ranges.collect(),
        }))
    }

    /// Compares the ranges that were chosen, and nothing else.
    pub(super) async fn look_at_sample(
        &self,
        level: Level,
        parts: &Parts<'_>,
        chosen: &Chosen,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Outcome, Failure> {
        let mut found = Found::new(&self.target.names);
        // Far enough from each other that a second look does not look at what is between them.
        let apart = NEAR_ROWS + 1;
        self.look_at_ranges(level, parts, &chosen.ranges, apart, &mut found, progress)
            .await?;
        let mut outcome = found.outcome(0)?;
        // It is of no whole table.
        outcome.digest = None;
        outcome.sampled = true;
        Ok(outcome)
    }
}

/// Keys that divide a table of so many rows into ranges of this size, about.
async fn borders(keys: &mut Keys<'_>, rows: u64, size: u64) -> Result<Vec<Key>> {
    let wanted = rows / size;
    if let Some((first, last)) = keys.integers(None, u64::MAX).await? {
        let span = i128::from(last) - i128::from(first) + 1;
        if span / i128::from(SPARSE) <= i128::from(rows) {
            let mut borders: Vec<i64> = (1..wanted)
                .map(|n| i128::from(first) - 1 + span * i128::from(n) / i128::from(wanted))
                .filter_map(|border| i64::try_from(border).ok())
                .collect();
            borders.dedup();
            let key = |border| Key(vec![Value::Int(border)]);
            return Ok(borders.into_iter().map(key).collect());
        }
    }
    // Ranges of one width are not ranges of as many rows: where those end, the keys themselves say.
    let mut borders = keys.every(size).await?;
    borders.dedup();
    Ok(borders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_range_is_chosen_as_often_as_any_other() {
        let mut times = [0_u32; 40];
        for seed in 0..2_000 {
            let sample = Sample::new(5.0, seed).unwrap();
            let chosen = sample.choose("t", 40);
            assert_eq!(chosen.len(), 2);
            assert!(chosen.is_sorted());
            chosen.into_iter().for_each(|n| times[n] += 1);
        }
        // A hundred times each is expected; five standard deviations around it.
        assert!(times.iter().all(|n| (50..=150).contains(n)), "{times:?}");
    }

    #[test]
    fn a_seed_says_which_and_tables_do_not_follow_each_other() {
        let choose = |seed, table| Sample::new(10.0, seed).unwrap().choose(table, 100);
        assert_eq!(choose(7, "t"), choose(7, "t"));
        assert_ne!(choose(7, "t"), choose(8, "t"));
        assert_ne!(choose(7, "t"), choose(7, "u"));
    }

    #[test]
    fn there_is_always_something_to_compare() {
        let sample = Sample::new(0.001, 1).unwrap();
        assert_eq!(sample.choose("t", 30).len(), 1);
        for wrong in [0.0, -1.0, 100.1, f64::NAN, f64::INFINITY] {
            assert!(Sample::new(wrong, 1).is_err(), "{wrong}");
        }
    }
}
