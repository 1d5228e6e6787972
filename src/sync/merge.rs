//! The changes of one key in one batch, as one.
//!
//! Each change begins with the row with which the one before it ended, and so together they are the
//! first row and the last. A log need not hold them in that order: where a trigger of the application
//! fires before the capture does, the change that it makes stands before the change that it was
//! fired by. Then the rows themselves tell the order. Between changes that are put together here
//! nobody but the application wrote the key (what lies before a write of ours is settled), so they
//! are one path from row to row; the row that is left once more than it is reached is its start, and
//! the row that is reached once more than it is left is its end.

use std::collections::HashMap;

use crate::data::{Row, canonical};

use super::compose::UnitChange;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Run {
    first: UnitChange,
    /// Where the log does not go on with the row with which it ended.
    further: Vec<UnitChange>,
}

impl Run {
    pub(super) fn new(first: UnitChange) -> Self {
        Self {
            first,
            further: Vec::new(),
        }
    }

    /// The next change of the log.
    pub(super) fn add(&mut self, change: UnitChange) {
        let last = self.further.last_mut().unwrap_or(&mut self.first);
        if last.after == change.before {
            extend(last, change);
        } else {
            self.further.push(change);
        }
    }

    /// All of them as one change.
    pub(super) fn whole(self) -> UnitChange {
        let ends = self.ends();
        let mut whole = self.first;
        if let Some((start, end)) = ends {
            whole.before = start.row;
            whole.after = end.row;
            whole.source_key = end.source_key;
            if let Some(partial) = &mut whole.partial {
                *partial = (start.partial, end.partial);
            }
            if let Some(last) = self.further.last() {
                whole.seq = last.seq;
                whole.committed_us = last.committed_us;
            }
        } else {
            for change in self.further {
                extend(&mut whole, change);
            }
        }
        whole
    }

    /// Where the path begins and ends; `None` when the log has it in order, or it is no path.
    fn ends(&self) -> Option<(End, End)> {
        if self.further.is_empty() {
            return None;
        }
        let pieces = || std::iter::once(&self.first).chain(&self.further);
        if pieces().any(|p| p.refused.is_some()) {
            return None;
        }
        let mut balance: HashMap<Option<Vec<u8>>, i64> = HashMap::new();
        for piece in pieces() {
            *balance.entry(name(&piece.before)).or_default() += 1;
            *balance.entry(name(&piece.after)).or_default() -= 1;
        }
        let begins: Vec<_> = balance.iter().filter(|(_, n)| **n > 0).collect();
        let ends: Vec<_> = balance.iter().filter(|(_, n)| **n < 0).collect();
        let (start, end) = match (&begins[..], &ends[..]) {
            ([(start, 1)], [(end, -1)]) => ((*start).clone(), (*end).clone()),
            // Round and round: it ends where it began.
            ([], []) => (name(&self.first.before), name(&self.first.before)),
            _ => return None,
        };
        let start = pieces().find(|p| name(&p.before) == start)?;
        let end = pieces().find(|p| name(&p.after) == end)?;
        let (first, last) = (start.partial.as_ref(), end.partial.as_ref());
        Some((
            End {
                row: start.before.clone(),
                partial: first.and_then(|p| p.0.clone()),
                source_key: start.source_key.clone(),
            },
            End {
                row: end.after.clone(),
                partial: last.and_then(|p| p.1.clone()),
                source_key: end.source_key.clone(),
            },
        ))
    }
}

/// One end of the path.
struct End {
    row: Option<Row>,
    partial: Option<crate::rule::mapping::PartialRow>,
    source_key: crate::data::Key,
}

fn name(row: &Option<Row>) -> Option<Vec<u8>> {
    row.as_ref().map(|row| canonical::encode_exact(row))
}

/// In the order of the log.
fn extend(first: &mut UnitChange, change: UnitChange) {
    first.after = change.after;
    first.seq = change.seq;
    first.committed_us = change.committed_us;
    first.refused = change.refused.or(first.refused.take());
    first.source_key = change.source_key;
    if let (Some(p), Some(q)) = (&mut first.partial, change.partial) {
        p.1 = q.1;
    }
}

#[cfg(test)]
mod tests {
    use super::Run;
    use crate::data::{Key, Row, Value};
    use crate::database::UnitKey;
    use crate::sync::compose::UnitChange;

    /// What the changes are together, 0 for no row.
    fn whole(changes: &[(i64, i64)]) -> (i64, i64) {
        let row = |n: i64| (n != 0).then(|| vec![Value::Int(n)]);
        let number = |row: Option<Row>| match row.as_deref() {
            Some([Value::Int(n)]) => *n,
            _ => 0,
        };
        let mut changes = changes.iter().zip(1..).map(|(&(before, after), seq)| {
            let key = Key(vec![Value::Int(1)]);
            UnitChange {
                unit: UnitKey {
                    unit: 0,
                    key: key.clone(),
                },
                source_key: key,
                before: row(before),
                after: row(after),
                partial: None,
                seq,
                committed_us: None,
                refused: None,
            }
        });
        let mut run = Run::new(changes.next().unwrap());
        changes.for_each(|change| run.add(change));
        let whole = run.whole();
        (number(whole.before), number(whole.after))
    }

    #[test]
    fn in_the_order_of_the_log() {
        assert_eq!(whole(&[(1, 2), (2, 3), (3, 1)]), (1, 1));
        assert_eq!(whole(&[(0, 1), (1, 0), (0, 2)]), (0, 2));
    }

    #[test]
    fn what_a_trigger_did_stands_before_what_fired_it() {
        assert_eq!(whole(&[(5, 6), (0, 5)]), (0, 6));
        assert_eq!(whole(&[(2, 3), (1, 2)]), (1, 3));
        // A trigger of a trigger; two triggers; one that takes everything back.
        assert_eq!(whole(&[(3, 4), (2, 3), (1, 2)]), (1, 4));
        assert_eq!(whole(&[(2, 3), (3, 4), (1, 2)]), (1, 4));
        assert_eq!(whole(&[(2, 1), (1, 2), (1, 3)]), (1, 3));
        assert_eq!(whole(&[(5, 0), (0, 5)]), (5, 5));
        // And what follows.
        assert_eq!(whole(&[(5, 6), (0, 5), (6, 7)]), (0, 7));
        // Round and round is nothing, wherever it began.
        let (start, end) = whole(&[(5, 6), (0, 5), (6, 0)]);
        assert_eq!(start, end);
    }

    #[test]
    fn what_is_no_path_is_taken_as_it_stands() {
        assert_eq!(whole(&[(1, 2), (3, 4)]), (1, 4));
    }
}
