//! Resolvers: these rows conflict, which one lives?

use std::ops::Deref;

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::bindings::resolver::exports::banyan::rules::resolver as abi;
use crate::failure::Failure;
use crate::log;
use crate::out;
use crate::rows::{Batch, Row};
use crate::rule::Rule;
use crate::table::{ColumnRef, Table};
use crate::value::Value;

pub use wire::Direction;

/// What kind of conflict. The first eight are named as PostgreSQL 18 names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum ConflictKind {
    /// An insert met another row with the same key (or unique value).
    InsertExists,
    /// An update met a row that the other side had changed as well.
    UpdateOriginDiffers,
    /// An update would take a unique value that another row holds.
    UpdateExists,
    /// An update met a row that the other side deleted.
    UpdateDeleted,
    /// An update met no row, and nothing says who deleted it.
    UpdateMissing,
    /// A delete met a row that the other side had changed.
    DeleteOriginDiffers,
    /// A delete met no row.
    DeleteMissing,
    /// A row would take unique values that several other rows hold.
    MultipleUniqueConflicts,
    /// A row refers to a parent that is not there.
    FkParentMissing,
    /// A row is to be deleted that others still refer to.
    FkChildExists,
    /// A CHECK constraint says no.
    CheckViolation,
    /// A NOT NULL constraint says no.
    NotNullViolation,
    /// A value cannot be held by the other side, or its transform failed.
    ValueNotRepresentable,
    /// A validator says that the row must not be there.
    ValidationFailed,
    /// A kind of a later version of Banyan.
    Other,
}

impl ConflictKind {
    /// All that have a code, in the order of the codes.
    const CODED: [Self; 14] = [
        Self::InsertExists,
        Self::UpdateOriginDiffers,
        Self::UpdateExists,
        Self::UpdateDeleted,
        Self::UpdateMissing,
        Self::DeleteOriginDiffers,
        Self::DeleteMissing,
        Self::MultipleUniqueConflicts,
        Self::FkParentMissing,
        Self::FkChildExists,
        Self::CheckViolation,
        Self::NotNullViolation,
        Self::ValueNotRepresentable,
        Self::ValidationFailed,
    ];

    fn from_code(code: u8) -> Self {
        let known = Self::CODED.get(usize::from(code));
        known.copied().unwrap_or(Self::Other)
    }
}

/// The codes of choices.
pub(crate) mod choice {
    pub(crate) const SOURCE: u8 = 0;
    pub(crate) const TARGET: u8 = 1;
    pub(crate) const MERGED: u8 = 2;
    pub(crate) const DELETE: u8 = 3;
    pub(crate) const PARK: u8 = 4;
}

/// Decides conflicts, one at a time.
pub trait Resolver: Rule {
    /// Which row lives. The answer must depend on the conflict and the settings alone; it should
    /// be the same whichever of the two stores is called source, or both sides will be right to
    /// be surprised (`banyan plugin check` reports it).
    fn resolve<'a>(&self, conflict: &Conflict<'a>) -> Result<Verdict<'a>, Failure>;
}

/// Two rows with one key that both moved away from what they had in common.
#[derive(Clone, Copy, Debug)]
pub struct Conflict<'a> {
    batch: &'a Conflicts<'a>,
    row: usize,
}

/// The batch that a [`Conflict`] belongs to.
#[derive(Debug)]
pub struct Conflicts<'a> {
    wire: &'a abi::Conflicts,
    base: Batch<'a>,
    source: Batch<'a>,
    target: Batch<'a>,
}

/// One side of a conflict, as it is now. Reads like a [`Row`]; where there is none its cells are
/// NULL.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    row: Row<'a>,
    present: bool,
    committed_us: Option<i64>,
}

impl<'a> Side<'a> {
    /// Whether there is a row.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.present
    }

    /// When it was committed, in microseconds since 1970 UTC; `None` when nothing says so.
    #[must_use]
    pub fn committed_us(&self) -> Option<i64> {
        self.committed_us
    }

    /// The row, where there is one.
    #[must_use]
    pub fn row(&self) -> Option<Row<'a>> {
        self.present.then_some(self.row)
    }
}

impl<'a> Deref for Side<'a> {
    type Target = Row<'a>;

    fn deref(&self) -> &Row<'a> {
        &self.row
    }
}

/// A flag of a batch; none at all means that all are set.
fn flag(flags: &[u8], row: usize) -> bool {
    flags.get(row).is_none_or(|&f| f == 1)
}

impl<'a> Conflict<'a> {
    /// What kind.
    #[must_use]
    pub fn kind(&self) -> ConflictKind {
        ConflictKind::from_code(self.batch.wire.kinds[self.row])
    }

    /// The way of the change that ran into it.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match self.batch.wire.backward.get(self.row) {
            Some(1) => Direction::Backward,
            _ => Direction::Forward,
        }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &'a Table {
        self.source().row.table()
    }

    /// Whether it is known what both sides had in common.
    #[must_use]
    pub fn base_known(&self) -> bool {
        flag(&self.batch.wire.base.known, self.row)
    }

    /// The row that both sides had in common; `None` when there was none or it is not known.
    #[must_use]
    pub fn base(&self) -> Option<Row<'a>> {
        let there = self.base_known() && flag(&self.batch.wire.base.present, self.row);
        there.then(|| Row::new(&self.batch.base, self.row))
    }

    /// The source's row.
    #[must_use]
    pub fn source(&self) -> Side<'a> {
        self.side(&self.batch.source, &self.batch.wire.source)
    }

    /// The target's row.
    #[must_use]
    pub fn target(&self) -> Side<'a> {
        self.side(&self.batch.target, &self.batch.wire.target)
    }

    fn side(&self, batch: &'a Batch<'a>, side: &abi::Side) -> Side<'a> {
        Side {
            row: Row::new(batch, self.row),
            present: flag(&side.present, self.row),
            committed_us: flag(&side.committed_known, self.row)
                .then(|| side.committed_us[self.row]),
        }
    }

    /// Merges column by column: where one side still has the base's cell, the other's is taken.
    /// Columns that both sides changed differently (all that differ, when the base is not known)
    /// keep the source's cell and are listed by [`Merge::clashes`]. Both sides must be present.
    #[must_use]
    pub fn merge(&self) -> Merge<'a> {
        let base = self.base();
        let (source, target) = (self.source(), self.target());
        let width = self.table().columns().len();
        let mut merge = Merge {
            table: self.table(),
            cells: Vec::with_capacity(width),
            clashes: Vec::new(),
        };
        for column in 0..width {
            let (a, b) = (source.get(column), target.get(column));
            let cell = if a == b {
                a
            } else {
                match base.map(|base| base.get(column)) {
                    Some(base) if base == a => b,
                    Some(base) if base == b => a,
                    _ => {
                        merge.clashes.push(column);
                        a
                    }
                }
            };
            merge.cells.push(cell);
        }
        merge
    }
}

/// A row being merged.
#[derive(Clone, Debug)]
pub struct Merge<'a> {
    table: &'a Table,
    cells: Vec<Value<'a>>,
    clashes: Vec<usize>,
}

impl<'a> Merge<'a> {
    /// The columns that nobody has decided yet.
    #[must_use]
    pub fn clashes(&self) -> &[usize] {
        &self.clashes
    }

    /// Decides a column. Panics, naming the columns there are, where there is none of that name.
    pub fn set(&mut self, column: impl ColumnRef, value: impl Into<Value<'a>>) -> &mut Self {
        let column = column.index_in(self.table);
        self.cells[column] = value.into();
        self.clashes.retain(|&c| c != column);
        self
    }

    /// The cell as it stands.
    #[must_use]
    pub fn get(&self, column: impl ColumnRef) -> &Value<'a> {
        &self.cells[column.index_in(self.table)]
    }

    /// The verdict: this row. Clashes that are left are settled with the source's cells.
    #[must_use]
    pub fn into_verdict(self) -> Verdict<'a> {
        Verdict::Merged(self.cells)
    }
}

/// Which row lives. Both sides end with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<'a> {
    /// The source's row, or its absence.
    Source,
    /// The target's row, or its absence.
    Target,
    /// This row: all columns of the table in order, the key unchanged. See [`Conflict::merge`].
    Merged(Vec<Value<'a>>),
    /// No row.
    Delete,
    /// A person must decide; why.
    Park(String),
}

impl Verdict<'_> {
    /// A person must decide.
    pub fn park(reason: impl Into<String>) -> Self {
        Self::Park(reason.into())
    }
}

#[doc(hidden)]
pub fn run<R: Resolver>(
    rule: &R,
    table: &Table,
    wire: &abi::Conflicts,
) -> Result<abi::Verdicts, wire::Failure> {
    let count = wire.kinds.len();
    let batch = Conflicts {
        wire,
        base: Batch::new(table, &wire.base.rows),
        source: Batch::new(table, &wire.source.rows),
        target: Batch::new(table, &wire.target.rows),
    };
    let mut choices = Vec::with_capacity(count);
    let mut merged = Vec::new();
    let mut notes = Vec::new();
    for row in 0..count {
        log::at_row(Some(row));
        let conflict = Conflict { batch: &batch, row };
        let verdict = rule
            .resolve(&conflict)
            .map_err(|failure| failure.at_row(Some(row)))?;
        choices.push(match verdict {
            Verdict::Source => choice::SOURCE,
            Verdict::Target => choice::TARGET,
            Verdict::Delete => choice::DELETE,
            Verdict::Merged(cells) => {
                merged.push(cells);
                choice::MERGED
            }
            Verdict::Park(message) => {
                notes.push(wire::Note {
                    row: row as u32,
                    severity: wire::Severity::Error,
                    message,
                });
                choice::PARK
            }
        });
    }
    log::at_row(None);
    for cells in &merged {
        if cells.len() != table.columns().len() {
            return Err(wire::Failure::Fatal(format!(
                "a merged row has {} cells, table {} has {} columns",
                cells.len(),
                table.name(),
                table.columns().len()
            )));
        }
    }
    Ok(abi::Verdicts {
        choices,
        merged: out::rows(table.columns().len(), &merged),
        notes,
    })
}
