//! What a resolver is asked, and what it may answer.

use crate::data::Row;

use super::Direction;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// What kind of conflict. The first eight are named as PostgreSQL 18 names them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ConflictKind { $($(#[$doc])* $name),* }

        impl ConflictKind {
            /// All kinds, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in configuration, output and rules: `update_origin_differs`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The kind of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// An insert met another row with the same key (or unique value).
    InsertExists = "insert_exists",
    /// An update met a row that the other side had changed as well.
    UpdateOriginDiffers = "update_origin_differs",
    /// An update would take a unique value that another row holds.
    UpdateExists = "update_exists",
    /// An update met a row that the other side deleted.
    UpdateDeleted = "update_deleted",
    /// An update met no row, and nothing says who deleted it.
    UpdateMissing = "update_missing",
    /// A delete met a row that the other side had changed.
    DeleteOriginDiffers = "delete_origin_differs",
    /// A delete met no row. (Never a conflict here: both sides agree.)
    DeleteMissing = "delete_missing",
    /// A row would take unique values that several other rows hold.
    MultipleUniqueConflicts = "multiple_unique_conflicts",
    /// A row refers to a parent that is not there (yet).
    FkParentMissing = "fk_parent_missing",
    /// A row is to be deleted that others still refer to.
    FkChildExists = "fk_child_exists",
    /// A CHECK constraint says no.
    CheckViolation = "check_violation",
    /// A NOT NULL constraint says no.
    NotNullViolation = "not_null_violation",
    /// A value cannot be held by the other side, or its transform failed.
    ValueNotRepresentable = "value_not_representable",
    /// A validator says that the row must not be there.
    ValidationFailed = "validation_failed",
}

impl std::fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Side {
    /// The row as it is now; `None` when there is none.
    pub row: Option<Row>,
    /// When that was committed, in microseconds since 1970 UTC; `None` when unknown (never 0).
    pub committed_us: Option<i64>,
}

/// Two rows with one key that both moved away from what they had in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// What kind.
    pub kind: ConflictKind,
    /// The way of the change that ran into it.
    pub direction: Direction,
    /// What both sides had in common. `None`: no row. Meaningful only if `base_known`.
    pub base: Option<Row>,
    /// Whether `base` is known. After an interrupted decision it is not.
    pub base_known: bool,
    /// The source's row.
    pub source: Side,
    /// The target's row.
    pub target: Side,
}

/// Which row lives. Both sides end with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The source's row (or its absence).
    Source,
    /// The target's row (or its absence).
    Target,
    /// This row, with the table's columns in order and the key unchanged.
    Merged(Row),
    /// No row.
    Delete,
    /// `row` under the key, and `other` beside it under a new key that the store gives.
    /// Only the built-in `keep-both` answers so.
    KeepBoth {
        /// Stays under the key.
        row: Row,
        /// Gets a new key.
        other: Row,
    },
    /// A person must decide; why.
    Park(String),
}
