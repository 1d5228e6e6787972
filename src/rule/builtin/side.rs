//! Choosing one whole side of a conflict.

use crate::rule::{Conflict, Direction, Verdict};

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Winner {
    Source,
    Target,
}

impl Winner {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Source => Verdict::Source,
            Self::Target => Verdict::Target,
        }
    }
}

/// The strategies that choose a side without looking into the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    LastWriteWins,
    FirstWriteWins,
    SourceWins,
    TargetWins,
    Skip,
    Park,
}

impl Choice {
    /// Those that may stand in `otherwise`, by name.
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("last-write-wins", Self::LastWriteWins),
        ("first-write-wins", Self::FirstWriteWins),
        ("source-wins", Self::SourceWins),
        ("target-wins", Self::TargetWins),
        ("skip", Self::Skip),
        ("park", Self::Park),
    ];

    /// The winner, or `None` when a person must decide. `prefer` breaks ties of time.
    pub(super) fn winner(self, conflict: &Conflict, prefer: Winner) -> Option<Winner> {
        Some(match self {
            Self::LastWriteWins => later(conflict).unwrap_or(prefer),
            Self::FirstWriteWins => later(conflict).map_or(prefer, Winner::other),
            Self::SourceWins => Winner::Source,
            Self::TargetWins => Winner::Target,
            Self::Skip => match conflict.direction {
                Direction::Forward => Winner::Target,
                Direction::Backward => Winner::Source,
            },
            Self::Park => return None,
        })
    }
}

/// The side that was committed later; `None` when either time is unknown or both are equal.
fn later(conflict: &Conflict) -> Option<Winner> {
    match conflict
        .source
        .committed_us?
        .cmp(&conflict.target.committed_us?)
    {
        std::cmp::Ordering::Greater => Some(Winner::Source),
        std::cmp::Ordering::Less => Some(Winner::Target),
        std::cmp::Ordering::Equal => None,
    }
}
