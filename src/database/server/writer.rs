//! Guarded writes inside a transaction of a server.
//!
//! Every write says what row it expects. Updates are first tried all at once by a statement that
//! compares in the server; whatever that leaves, and everything else, is locked, read, compared bit
//! for bit here, and then written. Deletes go first, so that the unique values they free can be
//! taken. A statement that runs into a constraint is undone to a savepoint and tried in halves, until
//! the guilty rows are alone. Those that a unique key keeps out are tried again when the others are
//! through; what then still waits is a swap of values, done by taking the rows out and putting them
//! back. What even then violates a constraint is blocked and named; the rest goes on.
//!
//! Tables are locked in the order in which the changes name them first: that is the order in which
//! the application's transactions lock them, so that the two do not wait for each other crosswise.

mod foreign;
mod statement;

use std::collections::BTreeMap;

use crate::data::{Key, Row, Value};
use crate::database::{Outcome, RowChange};
use crate::error::Result;
use crate::rule::ConflictKind;

use super::driver::Tx;
use statement::{Act, Stuck};

/// Writes to the tables of one store.
pub(super) struct Writer<'a, T: Tx> {
    pub(super) tx: &'a mut T,
    pub(super) tables: &'a [T::Table],
    /// Whether parents and children are looked for.
    pub(super) check_foreign_keys: bool,
    /// Whether nobody else can insert a row whose absence was seen.
    pub(super) absence_is_locked: bool,
}

impl<T: Tx> Writer<'_, T> {
    /// Writes what can be written, but leaves alone what is marked; one outcome for each change, in
    /// order.
    pub(super) async fn write(&mut self, changes: &[RowChange]) -> Result<Vec<Outcome>> {
        let mut blocked: BTreeMap<usize, Outcome> = BTreeMap::new();
        for (i, change) in changes.iter().enumerate() {
            if change.key.0.contains(&Value::Null) {
                // It may be the key of many rows.
                let outcome = Outcome::Blocked {
                    kind: ConflictKind::ValueNotRepresentable,
                    reason: "a row without a value in its key cannot be told apart from others"
                        .to_owned(),
                };
                blocked.insert(i, outcome);
            }
            if let Some(refusal) = &change.cause.refused {
                blocked.insert(i, Outcome::Suspect { kind: refusal.kind });
            }
        }
        if !self.check_foreign_keys {
            return self.attempt(changes, &blocked).await;
        }
        loop {
            self.tx.batch("SAVEPOINT banyan_write").await?;
            let outcomes = self.attempt(changes, &blocked).await?;
            let orphans = self.orphans(changes, &outcomes).await?;
            if orphans.is_empty() {
                self.tx.batch("RELEASE SAVEPOINT banyan_write").await?;
                return Ok(outcomes);
            }
            self.tx.batch("ROLLBACK TO SAVEPOINT banyan_write").await?;
            blocked.extend(orphans);
        }
    }

    async fn attempt(
        &mut self,
        changes: &[RowChange],
        blocked: &BTreeMap<usize, Outcome>,
    ) -> Result<Vec<Outcome>> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; changes.len()];
        for (&i, outcome) in blocked {
            outcomes[i] = Some(outcome.clone());
        }
        let groups = Groups::of(changes, blocked);
        let mut waiting = Vec::new();
        for which in groups.deletes.values() {
            self.deletes(changes, which, &mut outcomes).await?;
        }
        for which in &groups.updates {
            self.updates(changes, which, &mut outcomes, &mut waiting)
                .await?;
        }
        for which in groups.inserts.values() {
            self.inserts(changes, which, &mut outcomes, &mut waiting)
                .await?;
        }
        self.once_more(changes, waiting, &mut outcomes).await?;
        let outcomes = outcomes.into_iter();
        Ok(outcomes.map(|o| o.unwrap_or(Outcome::Equal)).collect())
    }

    async fn deletes(
        &mut self,
        changes: &[RowChange],
        which: &[usize],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<()> {
        let Some(&first) = which.first() else {
            return Ok(());
        };
        let table = &self.tables[changes[first].table];
        let keys: Vec<Key> = which.iter().map(|&i| changes[i].key.clone()).collect();
        let found = self.tx.lock_rows(table, &keys).await?;
        let mut expected = Vec::new();
        for (&i, row) in which.iter().zip(found) {
            let change = &changes[i];
            if row.is_none() {
                // An absence that is not locked says nothing about what was committed when.
                outcomes[i] = Some(if self.absence_is_locked || change.expect.is_none() {
                    Outcome::Equal
                } else {
                    Outcome::Suspect {
                        kind: ConflictKind::DeleteMissing,
                    }
                });
            } else if row == change.expect {
                expected.push(i);
            } else {
                outcomes[i] = Some(suspect(change, row.as_ref()));
            }
        }
        let stuck = self.run(Act::Delete, changes, expected, outcomes).await?;
        for Stuck { change, violation } in stuck {
            outcomes[change] = Some(violation.into());
        }
        Ok(())
    }

    async fn updates(
        &mut self,
        changes: &[RowChange],
        which: &[usize],
        outcomes: &mut [Option<Outcome>],
        waiting: &mut Vec<Stuck>,
    ) -> Result<()> {
        // Those that change nothing must still be looked at under a lock.
        let moves = |i: &usize| changes[*i].expect != changes[*i].after;
        let moving: Vec<usize> = which.iter().copied().filter(moves).collect();
        let stuck = self.run(Act::Guarded, changes, moving, outcomes).await?;
        let rest: Vec<usize> = which
            .iter()
            .copied()
            .filter(|&i| outcomes[i].is_none() && stuck.iter().all(|s| s.change != i))
            .collect();
        waiting.extend(stuck);
        if rest.is_empty() {
            return Ok(());
        }
        let table = &self.tables[changes[rest[0]].table];
        let keys: Vec<Key> = rest.iter().map(|&i| changes[i].key.clone()).collect();
        let found = self.tx.lock_rows(table, &keys).await?;
        let mut expected = Vec::new();
        for (&i, row) in rest.iter().zip(found) {
            let change = &changes[i];
            if row == change.after {
                outcomes[i] = Some(Outcome::Equal);
            } else if row == change.expect {
                expected.push(i);
            } else {
                outcomes[i] = Some(suspect(change, row.as_ref()));
            }
        }
        waiting.extend(self.run(Act::Update, changes, expected, outcomes).await?);
        Ok(())
    }

    async fn inserts(
        &mut self,
        changes: &[RowChange],
        which: &[usize],
        outcomes: &mut [Option<Outcome>],
        waiting: &mut Vec<Stuck>,
    ) -> Result<()> {
        let mut rest = which.to_vec();
        // A row that was there may be gone when it is looked at.
        for _ in 0..3 {
            let stuck = self
                .run(Act::Insert, changes, rest.clone(), outcomes)
                .await?;
            rest.retain(|&i| outcomes[i].is_none() && stuck.iter().all(|s| s.change != i));
            waiting.extend(stuck);
            let Some(&first) = rest.first() else {
                return Ok(());
            };
            let table = &self.tables[changes[first].table];
            let keys: Vec<Key> = rest.iter().map(|&i| changes[i].key.clone()).collect();
            let found = self.tx.lock_rows(table, &keys).await?;
            for (&i, row) in rest.iter().zip(found) {
                if row.is_some() && row == changes[i].after {
                    outcomes[i] = Some(Outcome::Equal);
                } else if row.is_some() {
                    outcomes[i] = Some(suspect(&changes[i], row.as_ref()));
                }
            }
            rest.retain(|&i| outcomes[i].is_none());
        }
        for i in rest {
            // The key is taken by a row that has another one, bit for bit.
            outcomes[i] = Some(self.held(&changes[i]).await?);
        }
        Ok(())
    }

    /// What a constraint kept out, now that the others are through.
    async fn once_more(
        &mut self,
        changes: &[RowChange],
        mut waiting: Vec<Stuck>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<()> {
        loop {
            waiting.retain(|stuck| {
                let is_unique = stuck.violation.kind == ConflictKind::InsertExists;
                if !is_unique {
                    outcomes[stuck.change] = Some(stuck.violation.clone().into());
                }
                is_unique
            });
            let before = waiting.len();
            if before == 0 {
                return Ok(());
            }
            let mut left = Vec::new();
            for stuck in waiting {
                let act = if changes[stuck.change].expect.is_none() {
                    Act::Insert
                } else {
                    Act::Update
                };
                let again = self.run(act, changes, vec![stuck.change], outcomes).await?;
                if outcomes[stuck.change].is_none() {
                    left.push(again.into_iter().next().unwrap_or(stuck));
                }
            }
            if left.len() == before {
                return self.together(changes, left, outcomes).await;
            }
            waiting = left;
        }
    }

    /// Those that go in together, without those that even then do not.
    async fn together(
        &mut self,
        changes: &[RowChange],
        mut left: Vec<Stuck>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<()> {
        while left.len() > 1 {
            self.tx.batch("SAVEPOINT banyan_swap").await?;
            let guilty = self.swap(changes, &left).await?;
            if guilty.is_none() {
                self.tx.batch("RELEASE SAVEPOINT banyan_swap").await?;
                for stuck in left {
                    outcomes[stuck.change] = Some(Outcome::Written);
                }
                return Ok(());
            }
            self.tx.batch("ROLLBACK TO SAVEPOINT banyan_swap").await?;
            // Which one it is cannot be told from the error: those go whose value somebody holds
            // who does not take part.
            let mut outside = Vec::new();
            for (n, stuck) in left.iter().enumerate() {
                let change = &changes[stuck.change];
                let holders = self.holders(change).await?;
                let taking_part = |key: &Key| {
                    left.iter().any(|s| {
                        changes[s.change].table == change.table && changes[s.change].key == *key
                    })
                };
                if holders.iter().any(|key| !taking_part(key)) {
                    outside.push(n);
                }
            }
            if outside.is_empty() {
                break;
            }
            for n in outside.into_iter().rev() {
                let stuck = left.remove(n);
                outcomes[stuck.change] = Some(self.held(&changes[stuck.change]).await?);
            }
        }
        for stuck in left {
            outcomes[stuck.change] = Some(self.held(&changes[stuck.change]).await?);
        }
        Ok(())
    }

    async fn holders(&mut self, change: &RowChange) -> Result<Vec<Key>> {
        let Some(after) = &change.after else {
            return Ok(Vec::new());
        };
        let mut holders = self.tx.holders(&self.tables[change.table], after).await?;
        holders.retain(|key| *key != change.key);
        Ok(holders)
    }

    /// Names the rows that hold the unique values.
    async fn held(&mut self, change: &RowChange) -> Result<Outcome> {
        let holders = self.holders(change).await?;
        let kind = if holders.len() > 1 {
            ConflictKind::MultipleUniqueConflicts
        } else if change.expect.is_none() {
            ConflictKind::InsertExists
        } else {
            ConflictKind::UpdateExists
        };
        let holders: Vec<String> = holders.iter().map(|k| format!("({k})")).collect();
        Ok(Outcome::Blocked {
            kind,
            reason: if holders.is_empty() {
                "a unique value is held by another row".to_owned()
            } else {
                format!(
                    "a unique value is held by the row with key {}",
                    holders.join(" and ")
                )
            },
        })
    }
}

/// The changes by what is done, and by table.
#[derive(Default)]
struct Groups {
    deletes: BTreeMap<usize, Vec<usize>>,
    /// In the order in which the changes name the tables.
    updates: Vec<Vec<usize>>,
    inserts: BTreeMap<usize, Vec<usize>>,
}

impl Groups {
    fn of(changes: &[RowChange], blocked: &BTreeMap<usize, Outcome>) -> Self {
        let mut groups = Self::default();
        let mut order: Vec<usize> = Vec::new();
        for change in changes {
            if !order.contains(&change.table) {
                order.push(change.table);
            }
        }
        groups.updates.resize(order.len(), Vec::new());
        for (i, change) in changes.iter().enumerate() {
            if blocked.contains_key(&i) {
                continue;
            }
            let place = order.iter().position(|t| *t == change.table).unwrap_or(0);
            match (&change.expect, &change.after) {
                (_, None) => groups.deletes.entry(place).or_default().push(i),
                (Some(_), Some(_)) => groups.updates[place].push(i),
                (None, Some(_)) => groups.inserts.entry(place).or_default().push(i),
            }
        }
        groups
    }
}

/// Another row is there than expected.
fn suspect(change: &RowChange, row: Option<&Row>) -> Outcome {
    let kind = match (&change.expect, &change.after, row) {
        (None, _, _) => ConflictKind::InsertExists,
        (Some(_), None, _) => ConflictKind::DeleteOriginDiffers,
        (Some(_), Some(_), None) => ConflictKind::UpdateDeleted,
        (Some(_), Some(_), Some(_)) => ConflictKind::UpdateOriginDiffers,
    };
    Outcome::Suspect { kind }
}
