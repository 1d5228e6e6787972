//! How a rule fails, and what happens then.

use std::fmt;
use std::ops::Range;

/// How a rule failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureKind {
    /// The rule refused these rows in so many words.
    Rejected,
    /// The rule says that its configuration or the schema is wrong.
    Fatal,
    /// It crashed: a trap, a panic, a script error.
    Trapped,
    /// It used up its budget of work (fuel, operations).
    OutOfFuel,
    /// It asked for more memory than it may have.
    OutOfMemory,
    /// It ran longer than it may.
    Deadline,
    /// Its answer has the wrong shape.
    InvalidOutput,
    /// It answered differently when asked twice.
    Nondeterministic,
}

impl FailureKind {
    /// `rejected`, `out-of-fuel`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Fatal => "fatal",
            Self::Trapped => "trapped",
            Self::OutOfFuel => "out-of-fuel",
            Self::OutOfMemory => "out-of-memory",
            Self::Deadline => "deadline",
            Self::InvalidOutput => "invalid-output",
            Self::Nondeterministic => "nondeterministic",
        }
    }
}

/// A rule's failure, with everything its author needs to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// How.
    pub kind: FailureKind,
    /// The rule's name in the configuration.
    pub rule: String,
    /// Its version.
    pub version: String,
    /// blake3 of the artefact, in hex.
    pub digest: Option<String>,
    /// `resolve`, `transform`, …
    pub function: &'static str,
    /// The table whose rows it was given; empty for routing.
    pub table: String,
    /// Which rows of the batch.
    pub rows: Range<usize>,
    /// What the guest itself said (panic text, script error with line and caret), or what is
    /// wrong with its answer.
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} {}", self.rule, self.version)?;
        if let Some(digest) = &self.digest {
            write!(f, " ({})", &digest[..digest.len().min(12)])?;
        }
        write!(f, " failed in {}", self.function)?;
        if !self.table.is_empty() {
            write!(f, " on table {}", self.table)?;
            match self.rows.len() {
                0 => {}
                1 => write!(f, ", row {}", self.rows.start)?,
                _ => write!(f, ", rows {} to {}", self.rows.start, self.rows.end - 1)?,
            }
        }
        write!(f, ": {}: {}", self.kind.as_str(), self.message)
    }
}

impl std::error::Error for RuleError {}

/// What to do when a rule fails.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The rows wait for a person; everything else goes on.
    #[default]
    Park,
    /// The migration stops.
    Halt,
    /// A built-in strategy of this name decides.
    Strategy(String),
}
