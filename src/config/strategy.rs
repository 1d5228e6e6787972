//! The names of the built-in conflict strategies.

/// What `on_conflict`, `strategy` and `on_failure` may name without a `[rules.NAME]`. The same
/// names as the strategies in `rule::builtin`; a test above both floors compares them.
pub const BUILT_IN_STRATEGIES: &[&str] = &[
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
