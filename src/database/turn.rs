//! Batches that are worked on side by side: what each of them touches, and whose turn it is to
//! commit.

use std::hash::{BuildHasher, Hash};
use std::sync::OnceLock;

use tokio::sync::oneshot;

use crate::data::FastSet;
use crate::error::{Error, ErrorKind, Result};

/// What one tells the next.
#[derive(Debug)]
struct Over;

/// A place in a line.
#[derive(Debug)]
struct Place {
    before: Option<oneshot::Receiver<Over>>,
    /// For the one behind.
    done: Option<oneshot::Sender<Over>>,
    behind: Option<oneshot::Receiver<Over>>,
}

impl Place {
    /// In front of everybody, and over before it begins.
    fn head() -> Self {
        let (done, behind) = oneshot::channel();
        drop(done.send(Over));
        Self {
            before: None,
            done: None,
            behind: Some(behind),
        }
    }

    fn next(&mut self) -> Self {
        let (done, behind) = oneshot::channel();
        Self {
            before: self.behind.replace(behind),
            done: Some(done),
            behind: None,
        }
    }

    async fn come(&mut self) -> Result<()> {
        if let Some(before) = &mut self.before {
            let result = before.await;
            self.before = None;
            result.map(drop).map_err(|_| {
                Error::new(
                    ErrorKind::Unavailable,
                    "a batch before this one was not committed",
                )
            })?;
        }
        Ok(())
    }

    fn pass(&mut self) {
        if let Some(done) = self.done.take() {
            // Nobody may be behind.
            drop(done.send(Over));
        }
    }
}

/// The order in which batches that are under way at the same time commit. One that is not committed
/// keeps all behind it from committing.
#[derive(Debug)]
pub struct Turn {
    load: Place,
    commit: Place,
}

impl Turn {
    /// Of somebody who is behind nobody.
    #[must_use]
    pub fn first() -> Self {
        Self {
            load: Place::head(),
            commit: Place::head(),
        }
    }

    /// The turn behind the last one that this was asked for.
    #[must_use]
    pub fn following(&mut self) -> Self {
        Self {
            load: self.load.next(),
            commit: self.commit.next(),
        }
    }

    /// Waits until the rows of everything before are in. Rows that are loaded in the order of their
    /// keys, one batch after the other, leave an index that is full and not half empty; that the one
    /// before commits meanwhile does no harm.
    ///
    /// # Errors
    /// `Unavailable` when something before is not going to be committed.
    pub async fn come_to_load(&mut self) -> Result<()> {
        self.load.come().await
    }

    /// The rows are in.
    pub fn loaded(&mut self) {
        self.load.pass();
    }

    /// Waits until everything before is committed.
    ///
    /// # Errors
    /// `Unavailable` when something before is not going to be committed.
    pub async fn come(&mut self) -> Result<()> {
        self.commit.come().await
    }

    /// It is committed: the next one may.
    pub fn pass(mut self) {
        self.load.pass();
        self.commit.pass();
    }
}

/// What a batch writes and what it relies on, as hashes: two batches that have none in common can be
/// worked on side by side, and two that have may.
#[derive(Clone, Debug, Default)]
pub struct Footprint {
    written: FastSet<u64>,
    relied_on: FastSet<u64>,
}

fn hash(what: impl Hash) -> u64 {
    static STATE: OnceLock<foldhash::fast::RandomState> = OnceLock::new();
    STATE.get_or_init(Default::default).hash_one(what)
}

impl Footprint {
    /// Something is written.
    pub fn write(&mut self, what: impl Hash) {
        self.written.insert(hash(what));
    }

    /// Something must stay as it is.
    pub fn rely_on(&mut self, what: impl Hash) {
        self.relied_on.insert(hash(what));
    }

    /// Whether neither writes what the other one writes or relies on.
    #[must_use]
    pub fn is_apart_from(&self, other: &Self) -> bool {
        self.written.is_disjoint(&other.written)
            && self.written.is_disjoint(&other.relied_on)
            && self.relied_on.is_disjoint(&other.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_in_order() {
        let mut line = Turn::first();
        let (mut a, mut b) = (line.following(), line.following());
        let mut waiting = Box::pin(b.come());
        assert!(futures::poll!(&mut waiting).is_pending());
        a.come().await.unwrap();
        assert!(futures::poll!(&mut waiting).is_pending());
        a.pass();
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_not_committed_keeps_back_what_is_behind() {
        let mut line = Turn::first();
        let (a, mut b, mut c) = (line.following(), line.following(), line.following());
        drop(a);
        assert_eq!(b.come().await.unwrap_err().kind(), ErrorKind::Unavailable);
        drop(b);
        assert!(c.come().await.is_err());
    }

    #[test]
    fn footprints_meet_where_one_of_them_writes() {
        let of = |written: &[&str], relied_on: &[&str]| {
            let mut footprint = Footprint::default();
            for what in written {
                footprint.write(what);
            }
            for what in relied_on {
                footprint.rely_on(what);
            }
            footprint
        };
        let apart = |a: &Footprint, b: &Footprint| {
            assert_eq!(a.is_apart_from(b), b.is_apart_from(a));
            a.is_apart_from(b)
        };
        assert!(apart(&of(&["a"], &["p"]), &of(&["b"], &["p"])));
        assert!(!apart(&of(&["a"], &[]), &of(&["a", "b"], &[])));
        assert!(!apart(&of(&["a"], &["p"]), &of(&["p"], &[])));
    }
}
