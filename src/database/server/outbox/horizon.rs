//! Up to which number nothing more can appear in an outbox.
//!
//! Numbers without an entry, below one that can be read, were taken before that one was. Their
//! takers are still running, or were rolled back, or have committed since. So: read (the newest
//! entry is number *m*), then ask who is busy, then wait until none of those is busy any more. Then
//! every transaction that had taken a number up to *m* is over, and a reading that begins now sees
//! all entries up to *m* that there will ever be. Who begins later takes numbers behind *m*.
//!
//! Numbers that follow each other without a hole need no waiting.

use std::collections::BTreeSet;

/// See the module's text.
#[derive(Debug, Default)]
pub(in crate::database) struct Horizon {
    /// A reading that began after this was decided holds everything up to here.
    decided: u64,
    /// The newest entry of some reading, and those who were busy after it and may still be.
    waiting: Option<(u64, BTreeSet<String>)>,
    /// The newest entry of the last reading that had holes, before anybody asked who is busy.
    seen: Option<u64>,
}

impl Horizon {
    /// Nothing is waited for below this number.
    pub(in crate::database) fn new(decided: u64) -> Self {
        Self {
            decided,
            ..Self::default()
        }
    }

    /// Up to here a reading that begins now is complete.
    pub(in crate::database) fn decided(&self) -> u64 {
        self.decided
    }

    /// Whether there are holes about which to ask who is busy.
    pub(in crate::database) fn asks(&self) -> bool {
        self.waiting.is_some() || self.seen.is_some()
    }

    /// Whether holes were found about which nobody was asked yet, and nothing else is waited for.
    pub(super) fn is_new(&self) -> bool {
        self.waiting.is_none() && self.seen.is_some()
    }

    /// A reading has brought entries up to `newest`; it is known to be complete up to `complete`.
    pub(in crate::database) fn read(&mut self, complete: u64, newest: u64) {
        self.decided = self.decided.max(complete);
        if self
            .waiting
            .as_ref()
            .is_some_and(|(m, _)| *m <= self.decided)
        {
            self.waiting = None;
        }
        self.seen = (newest > self.decided).then_some(newest);
    }

    /// These are busy now.
    pub(in crate::database) fn busy(&mut self, busy: &BTreeSet<String>) {
        if let Some((newest, waited)) = &mut self.waiting {
            waited.retain(|name| busy.contains(name));
            if busy.contains("") {
                // It may be one of them, under its new name.
                waited.insert(String::new());
            }
            if waited.is_empty() {
                self.decided = self.decided.max(*newest);
                self.waiting = None;
            }
        }
        if self.waiting.is_none()
            && let Some(newest) = self.seen.take()
            && newest > self.decided
        {
            if busy.is_empty() {
                self.decided = newest;
            } else {
                self.waiting = Some((newest, busy.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn holes_are_waited_for() {
        let mut horizon = Horizon::new(10);
        // 11, 12, 15 were read.
        horizon.read(12, 15);
        assert_eq!(horizon.decided(), 12);
        assert!(horizon.asks());
        horizon.busy(&names(&["a", "b"]));
        assert_eq!(horizon.decided(), 12);
        horizon.read(12, 20);
        // Who was not busy then does not matter.
        horizon.busy(&names(&["b", "c"]));
        assert_eq!(horizon.decided(), 12);
        horizon.read(12, 21);
        horizon.busy(&names(&["c", "d"]));
        // The others are over; behind 15 those are waited for that are busy now.
        assert_eq!(horizon.decided(), 15);
        horizon.read(15, 21);
        horizon.busy(&names(&["e"]));
        assert_eq!(horizon.decided(), 21);
        horizon.read(21, 21);
        assert!(!horizon.asks());
    }

    #[test]
    fn nobody_busy_decides_at_once() {
        let mut horizon = Horizon::new(0);
        horizon.read(0, 7);
        horizon.busy(&names(&[]));
        assert_eq!(horizon.decided(), 7);
    }

    #[test]
    fn one_that_changes_its_name_is_waited_for() {
        let mut horizon = Horizon::new(0);
        horizon.read(0, 7);
        horizon.busy(&names(&["a"]));
        horizon.busy(&names(&[""]));
        assert_eq!(horizon.decided(), 0);
        horizon.busy(&names(&["b"]));
        assert_eq!(horizon.decided(), 7);
    }

    #[test]
    fn holes_that_close_need_no_waiting() {
        let mut horizon = Horizon::new(0);
        horizon.read(3, 7);
        horizon.busy(&names(&["a"]));
        horizon.read(7, 7);
        assert_eq!(horizon.decided(), 7);
        assert!(!horizon.asks());
    }
}
