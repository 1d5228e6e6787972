//! Making a batch small while it still shows a breach.

/// Calls of the rule that shrinking may spend: enough for any batch of the usual size, and a
/// bound for rules that answer slowly.
const TRIES_MAX: usize = 2_000;

/// The smallest batch found: first whole runs of rows are taken away, then `simpler` forms of each
/// row are tried, until neither helps or the budget is spent.
pub(super) fn shrink<T: Clone>(
    mut batch: Vec<T>,
    simpler: impl Fn(&T) -> Vec<T>,
    fails: impl Fn(&[T]) -> bool,
) -> Vec<T> {
    let mut left = TRIES_MAX;
    let mut try_it = |candidate: &[T]| {
        left = left.saturating_sub(1);
        left > 0 && fails(candidate)
    };
    let mut run = batch.len() / 2;
    while run > 0 {
        let mut at = 0;
        while at < batch.len() && batch.len() > 1 {
            let mut candidate = batch.clone();
            candidate.drain(at..(at + run).min(batch.len()));
            if !candidate.is_empty() && try_it(&candidate) {
                batch = candidate;
            } else {
                at += run;
            }
        }
        run /= 2;
    }
    let mut again = true;
    while again {
        again = false;
        for i in 0..batch.len() {
            for candidate_row in simpler(&batch[i]) {
                let mut candidate = batch.clone();
                candidate[i] = candidate_row;
                if try_it(&candidate) {
                    batch = candidate;
                    again = true;
                    break;
                }
            }
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn keeps_only_what_shows_the_breach() {
        let batch: Vec<u32> = (0..100).collect();
        let small = shrink(
            batch,
            |&n| {
                if n > 1 {
                    vec![n / 2, n - 1, n - 2]
                } else {
                    vec![]
                }
            },
            |b| b.iter().any(|&n| n >= 17) && b.iter().any(|&n| n % 2 == 1),
        );
        assert_eq!(small, [17]);
    }
}
