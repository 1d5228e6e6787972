//! The built-in strategies, as plain Rust behind the same trait as everybody's rules.
//!
//! # What each one answers
//! A side's *state* is its row or its absence: a delete is a state like any other and has a commit
//! time like any other. Before any strategy is asked:
//!
//! 1. both states are equal: there is nothing to decide, the answer is `source`;
//! 2. for the strategies that look inside rows (`merge-columns`, `add-deltas`, `max`, `min`,
//!    `keep-both`): the base is known and one side still equals it: the other side wins, whether
//!    it changed the row, deleted it or inserted it. (For `max` and `min` only where one side has
//!    no row: two rows are always compared.)
//!
//! | strategy | two rows | a row and its absence (delete against update) |
//! |---|---|---|
//! | `last-write-wins` | the side that was committed last | likewise |
//! | `first-write-wins` | the side that was committed first | likewise |
//! | `source-wins`, `target-wins` | that side | likewise |
//! | `merge-columns` | every column by three-way merge; changed on both sides to different values: that column by `otherwise` | by `otherwise` |
//! | `add-deltas` | `base + (source - base) + (target - base)` in numeric columns; the others as `merge-columns` | by `otherwise` |
//! | `max`, `min` | the larger or smaller value in ordered columns; the others as `merge-columns` | by `otherwise` |
//! | `keep-both` | the later one keeps the key, the other gets a new key | the row stays: nothing is lost |
//! | `skip` | what stands at the side the change was going to | likewise |
//! | `park` | a person decides | likewise |
//!
//! **Time.** A missing commit time is *unknown*, never "oldest". Where a time decides and either is
//! unknown, or both are equal, the side named by `prefer` wins (default `source`).
//!
//! **An unknown base** (`base_known = false`) is never guessed: every column in which the sides
//! differ counts as changed on both. `add-deltas` then has nothing to count from, so that such a
//! column goes to `otherwise`.
//!
//! **Exactness.** Integers and decimals are added exactly; a sum that its column's integer type
//! cannot hold, or a float sum that is not finite, parks the conflict. A column with NULL or with
//! something that is no number in any of the three rows is merged, not added. `max` and `min`
//! compare numbers by value whatever their type; cells without a common order are merged. Two
//! cells that are equal but not the same (`1` and `1.0`) are decided by `otherwise`.
//!
//! **The key** is never merged. Where the two rows have different keys (a unique value is held by
//! another row), there is nothing to merge and `otherwise` decides.
//!
//! # Settings
//! ```toml
//! settings = { columns = ["stock"], otherwise = "last-write-wins", prefer = "source" }
//! ```
//! - `columns` (`add-deltas`, `max`, `min`): only these columns; all others are merged. Default:
//!   every column that fits.
//! - `otherwise` (`merge-columns`, `add-deltas`, `max`, `min`): what decides where the strategy
//!   itself cannot: `last-write-wins` (default), `first-write-wins`, `source-wins`, `target-wins`,
//!   `skip` or `park`.
//! - `prefer` (all that look at times): `source` (default) or `target`.
//!
//! Anything else is an error. Every strategy is deterministic, treats rows one by one, and is
//! symmetric: with the sides, the direction and `prefer` swapped, the answer is the mirrored one.

mod merge;
mod settings;
mod side;
mod strategy;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::Resolve;
use super::spelling::nearest;
use strategy::{Builtin, Strategy};

/// The strategies' names, as the configuration spells them.
pub const NAMES: &[&str] = &[
    "last-write-wins",
    "first-write-wins",
    "source-wins",
    "target-wins",
    "merge-columns",
    "add-deltas",
    "max",
    "min",
    "keep-both",
    "skip",
    "park",
];

/// What the strategy of that name does, in a sentence; `None` when there is none.
#[must_use]
pub fn summary(name: &str) -> Option<&'static str> {
    Strategy::from_name(name).map(Strategy::summary)
}

/// The strategy of that name with these settings (`null` or an object; see the module).
///
/// Fails with [`ErrorKind::Config`] on an unknown name, an unknown setting, or one that the
/// strategy has no use for.
pub fn strategy(name: &str, settings: &serde_json::Value) -> Result<Arc<dyn Resolve>> {
    let Some(strategy) = Strategy::from_name(name) else {
        let mut error = Error::new(
            ErrorKind::Config,
            format!("{name:?} is no built-in strategy"),
        );
        if let Some(nearest) = nearest(name, NAMES.iter().copied()) {
            error = error.hint(format!("did you mean {nearest:?}?"));
        }
        return Err(error.hint(format!("the built-in strategies are {}", NAMES.join(", "))));
    };
    let settings = settings::read(strategy, settings)
        .map_err(|e| e.at(format_args!("settings of strategy {name}")))?;
    Ok(Arc::new(Builtin::new(strategy, settings)))
}
