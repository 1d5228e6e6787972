//! Which entries are delivered together: those of one transaction, and those of all transactions
//! that it overlaps with.

use std::collections::HashMap;
use std::ops::Range;

/// Cuts a reading into groups. `writers`: who wrote each entry, in order. `final_entries`: so many of
/// the first are complete. `limit`: groups end before this entry. Answers the groups, in order;
/// what is behind the last one is not whole yet.
pub(super) fn groups(writers: &[u64], final_entries: usize, limit: usize) -> Vec<Range<usize>> {
    let mut last = HashMap::new();
    for (i, writer) in writers.iter().enumerate() {
        last.insert(*writer, i);
    }
    let mut groups = Vec::new();
    let (mut start, mut open_until) = (0, 0);
    for (i, writer) in writers.iter().enumerate().take(final_entries.min(limit)) {
        open_until = open_until.max(last.get(writer).copied().unwrap_or(i));
        if open_until == i {
            groups.push(start..i + 1);
            start = i + 1;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_stays_whole() {
        let all = |w: &[u64]| groups(w, w.len(), w.len());
        assert_eq!(all(&[1, 1, 2, 3, 3]), [0..2, 2..3, 3..5]);
        // 1 and 2 overlap, 3 does not.
        assert_eq!(all(&[1, 2, 1, 2, 3]), [0..4, 4..5]);
        assert_eq!(all(&[1, 2, 3, 1]).first(), Some(&(0..4)));
        assert_eq!(all(&[]), Vec::<Range<usize>>::new());
    }

    #[test]
    fn what_is_not_final_waits_with_all_that_belongs_to_it() {
        assert_eq!(groups(&[1, 2, 2, 3], 2, 4).first(), Some(&(0..1)));
        assert_eq!(groups(&[1, 2, 1, 3], 3, 4).first(), Some(&(0..3)));
        assert_eq!(groups(&[1, 2, 1, 3], 2, 4), Vec::<Range<usize>>::new());
        assert_eq!(groups(&[1, 2, 2, 3], 4, 2).first(), Some(&(0..1)));
    }
}
