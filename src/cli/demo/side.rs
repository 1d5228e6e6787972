//! The two sides of the demo's migration.

use serde::Serialize;

/// The monolith or the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    /// The source.
    Monolith,
    /// The target.
    Service,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Monolith, Self::Service];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Monolith => Self::Service,
            Self::Service => Self::Monolith,
        }
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Monolith => 0,
            Self::Service => 1,
        }
    }

    /// Of two texts the one that is this side's.
    pub(super) fn choose(self, monolith: &'static str, service: &'static str) -> &'static str {
        match self {
            Self::Monolith => monolith,
            Self::Service => service,
        }
    }
}
