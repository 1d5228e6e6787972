//! Rows as arrays, one for each column of a statement.

use crate::data::Value;
use crate::data::canonical::ValueRef;
use crate::database::server::driver::Violation;
use crate::rule::ConflictKind;

use super::column::PgColumn;
use super::encode::{ArrayParam, Param};

/// The arrays of a statement, filled row by row.
pub(super) struct Arrays<'a> {
    columns: Vec<&'a PgColumn>,
    arrays: Vec<ArrayParam>,
    /// Where each array ended before the row under way.
    marks: Vec<(i32, usize)>,
    /// The number of each row, as the caller counts.
    pub(super) rows: Vec<usize>,
}

impl<'a> Arrays<'a> {
    /// For these columns, with room for so many rows.
    pub(super) fn new(columns: impl IntoIterator<Item = &'a PgColumn>, rows: usize) -> Self {
        let columns: Vec<&PgColumn> = columns.into_iter().collect();
        Self {
            arrays: columns.iter().map(|c| c.array_param(rows)).collect(),
            marks: Vec::with_capacity(columns.len()),
            columns,
            rows: Vec::with_capacity(rows),
        }
    }

    /// Appends a row, or nothing of it. The error says which column cannot hold its value.
    /// Only cells from `written` on are going to be written.
    pub(super) fn push<'v>(
        &mut self,
        row: usize,
        cells: impl IntoIterator<Item = &'v Value>,
        written: usize,
    ) -> Result<(), String> {
        self.marks.clear();
        for (i, ((column, array), cell)) in self
            .columns
            .iter()
            .zip(&mut self.arrays)
            .zip(cells)
            .enumerate()
        {
            let cell = ValueRef::from(cell);
            self.marks.push(array.mark());
            let result = if i >= written {
                column.check(cell)
            } else {
                Ok(())
            };
            if let Err(misfit) = result.and_then(|()| array.push(cell)) {
                for (array, mark) in self.arrays.iter_mut().zip(&self.marks) {
                    array.reset(*mark);
                }
                return Err(column.misfit(&misfit));
            }
        }
        self.rows.push(row);
        Ok(())
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The parameters, and the rows' numbers.
    pub(super) fn finish(self) -> (Vec<Param>, Vec<usize>) {
        let params = self.arrays.into_iter().map(ArrayParam::finish).collect();
        (params, self.rows)
    }
}

/// A value that the column cannot hold as it is.
pub(super) fn misfit(reason: String) -> Violation {
    Violation {
        kind: ConflictKind::ValueNotRepresentable,
        reason,
    }
}
