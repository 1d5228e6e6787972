//! One kind of statement over many rows, in halves where a constraint says no.

use crate::data::{Key, Row};
use crate::database::server::driver::{Done, Tx, Violation};
use crate::database::{Outcome, RowChange};
use crate::error::Result;

use super::Writer;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Locked rows go.
    Delete,
    /// Rows that are what is expected change; others are left.
    Guarded,
    /// Locked rows change.
    Update,
    /// Rows whose key is free come; others are left.
    Insert,
}

/// A change that a constraint keeps out.
#[derive(Clone, Debug)]
pub(super) struct Stuck {
    pub(super) change: usize,
    pub(super) violation: Violation,
}

impl From<Violation> for Outcome {
    fn from(violation: Violation) -> Self {
        Self::Blocked {
            kind: violation.kind,
            reason: violation.reason,
        }
    }
}

impl<T: Tx> Writer<'_, T> {
    /// Does it for these changes, all of one table. Those that are done get their outcome; those
    /// that a constraint keeps out are answered; the rest is left as it is.
    pub(super) async fn run(
        &mut self,
        act: Act,
        changes: &[RowChange],
        which: Vec<usize>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<Vec<Stuck>> {
        let mut stuck = Vec::new();
        let mut parts = vec![which];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            self.tx.batch("SAVEPOINT banyan_part").await?;
            match self.act(act, changes, &part).await? {
                Ok(done) => {
                    self.tx.batch("RELEASE SAVEPOINT banyan_part").await?;
                    for (&i, done) in part.iter().zip(done) {
                        if done {
                            outcomes[i] = Some(Outcome::Written);
                        }
                    }
                }
                Err(violation) => {
                    self.tx.batch("ROLLBACK TO SAVEPOINT banyan_part").await?;
                    if let [change] = part[..] {
                        stuck.push(Stuck { change, violation });
                    } else {
                        let (front, back) = part.split_at(part.len() / 2);
                        // The front first.
                        parts.push(back.to_vec());
                        parts.push(front.to_vec());
                    }
                }
            }
        }
        Ok(stuck)
    }

    async fn act(
        &mut self,
        act: Act,
        changes: &[RowChange],
        which: &[usize],
    ) -> Result<Done<Vec<bool>>> {
        let table = &self.tables[changes[which[0]].table];
        let all = |done: Done<()>| done.map(|()| vec![true; which.len()]);
        let after = |i: &usize| {
            changes[*i]
                .after
                .as_ref()
                .map(|row| (&changes[*i].key, row))
        };
        Ok(match act {
            Act::Delete => {
                let keys: Vec<&Key> = which.iter().map(|&i| &changes[i].key).collect();
                all(self.tx.delete(table, &keys).await?)
            }
            Act::Update => {
                let rows: Vec<(&Key, &Row)> = which.iter().filter_map(after).collect();
                all(self.tx.update(table, &rows).await?)
            }
            Act::Insert => {
                let rows: Vec<&Row> = which.iter().filter_map(after).map(|(_, row)| row).collect();
                self.tx.insert(table, &rows).await?
            }
            Act::Guarded => {
                let rows: Vec<(&Key, &Row, &Row)> = which
                    .iter()
                    .filter_map(|i| {
                        let (key, after) = after(i)?;
                        Some((key, changes[*i].expect.as_ref()?, after))
                    })
                    .collect();
                let done = self.tx.guarded_update(table, &rows).await?;
                done.map(|done| done.unwrap_or_else(|| vec![false; which.len()]))
            }
        })
    }

    /// Takes rows out and puts them back with their new values, then puts new ones in. Answers what
    /// keeps them out, if anything does.
    pub(super) async fn swap(
        &mut self,
        changes: &[RowChange],
        stuck: &[Stuck],
    ) -> Result<Option<Violation>> {
        let mut tables: Vec<usize> = stuck.iter().map(|s| changes[s.change].table).collect();
        tables.sort_unstable();
        tables.dedup();
        for index in tables {
            let table = &self.tables[index];
            let of_table = || {
                stuck
                    .iter()
                    .map(|s| &changes[s.change])
                    .filter(|c| c.table == index)
            };
            let swapped: Vec<(&Key, &Row)> = of_table()
                .filter(|c| c.expect.is_some())
                .filter_map(|c| Some((&c.key, c.after.as_ref()?)))
                .collect();
            if !swapped.is_empty()
                && let Err(violation) = self.tx.swap(table, &swapped).await?
            {
                return Ok(Some(violation));
            }
            let new: Vec<&Row> = of_table()
                .filter(|c| c.expect.is_none())
                .filter_map(|c| c.after.as_ref())
                .collect();
            if new.is_empty() {
                continue;
            }
            match self.tx.insert(table, &new).await? {
                Err(violation) => return Ok(Some(violation)),
                Ok(done) if done.contains(&false) => {
                    return Ok(Some(Violation {
                        kind: crate::rule::ConflictKind::InsertExists,
                        reason: "a row with this key is there".to_owned(),
                    }));
                }
                Ok(_) => {}
            }
        }
        Ok(None)
    }
}
