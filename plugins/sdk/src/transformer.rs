//! Transformers: what is this row on the other side?

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::bindings::transformer::exports::banyan::rules::transformer as abi;
use crate::failure::Failure;
use crate::log;
use crate::out;
use crate::rows::{Batch, Row};
use crate::rule::Rule;
use crate::table::{ColumnRef, Table};
use crate::value::Value;

/// Reshapes rows, one at a time, in both directions.
pub trait Transformer: Rule {
    /// What a row of the source (table 0) is in the target (tables 1, 2, …). A row for which
    /// nothing is put out does not take part.
    fn forward<'a>(&self, row: &Row<'a>, out: &mut Output<'a>) -> Result<(), Failure>;

    /// What a row of target table `table` (1, 2, …) is in the source (table 0). Columns that are
    /// not set are left as they are.
    fn backward<'a>(
        &self,
        table: usize,
        row: &Row<'a>,
        out: &mut Output<'a>,
    ) -> Result<(), Failure>;
}

/// Takes the rows that a transformer makes of one input row.
#[derive(Debug)]
pub struct Output<'a> {
    tables: &'a [Table],
    drafts: Vec<Draft<'a>>,
    wrong: Option<String>,
}

/// A row being put out.
#[derive(Debug)]
struct Draft<'a> {
    table: usize,
    cells: Vec<(usize, Value<'a>)>,
}

/// Sets the cells of a row that is put out.
#[derive(Debug)]
pub struct RowOut<'o, 'a> {
    table: Option<&'a Table>,
    cells: Option<&'o mut Vec<(usize, Value<'a>)>>,
    wrong: &'o mut Option<String>,
}

impl<'a> Output<'a> {
    /// Begins a row for that table: 0 is the source's, 1, 2, … are the target's. A table that does
    /// not exist is a failure after the row.
    pub fn row(&mut self, table: usize) -> RowOut<'_, 'a> {
        let known = self.tables.get(table);
        if known.is_none() {
            self.wrong.get_or_insert_with(|| {
                format!(
                    "a row is put out for table number {table}; the last is {}",
                    self.tables.len().saturating_sub(1)
                )
            });
        }
        self.drafts.push(Draft {
            table,
            cells: Vec::new(),
        });
        RowOut {
            table: known,
            cells: self.drafts.last_mut().map(|draft| &mut draft.cells),
            wrong: &mut self.wrong,
        }
    }

    /// The tables, 0 the source's.
    #[must_use]
    pub fn tables(&self) -> &'a [Table] {
        self.tables
    }
}

impl<'a> RowOut<'_, 'a> {
    /// Sets a column. A column that the table does not have is a failure after the row, which
    /// names the ones there are.
    pub fn set(&mut self, column: impl ColumnRef, value: impl Into<Value<'a>>) -> &mut Self {
        let Some(table) = self.table else {
            return self;
        };
        match column.try_index_in(table) {
            Err(message) => {
                self.wrong.get_or_insert(message);
            }
            Ok(column) => {
                if let Some(cells) = &mut self.cells {
                    let value = value.into();
                    match cells.iter_mut().find(|(c, _)| *c == column) {
                        Some((_, cell)) => *cell = value,
                        None => cells.push((column, value)),
                    }
                }
            }
        }
        self
    }

    /// Sets each column of the table for which the row has one of the same name, unless it is set
    /// already: what a transform does not touch.
    pub fn copy_same_names(&mut self, row: &Row<'a>) -> &mut Self {
        let Some(table) = self.table else {
            return self;
        };
        for (index, column) in table.columns().iter().enumerate() {
            let set = self
                .cells
                .as_ref()
                .is_some_and(|cells| cells.iter().any(|(c, _)| *c == index));
            if !set && let Some(from) = row.table().find(&column.name) {
                self.set(index, row.get(from));
            }
        }
        self
    }
}

/// Rows for one table with the same columns.
struct Group<'a> {
    table: usize,
    columns: Vec<usize>,
    origins: Vec<u32>,
    rows: Vec<Vec<Value<'a>>>,
}

#[doc(hidden)]
pub fn run<R: Transformer>(
    rule: &R,
    tables: &[Table],
    direction: wire::Direction,
    table: u32,
    rows: &wire::Rows,
) -> Result<Vec<abi::RoutedRows>, wire::Failure> {
    let number = table as usize;
    let Some(table) = tables.get(number) else {
        return Err(wire::Failure::Fatal(format!(
            "asked about table number {number}, but opened with {}",
            tables.len()
        )));
    };
    let batch = Batch::new(table, rows);
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut output = Output {
        tables,
        drafts: Vec::new(),
        wrong: None,
    };
    for index in 0..batch.len() {
        log::at_row(Some(index));
        let row = Row::new(&batch, index);
        match direction {
            wire::Direction::Forward => rule.forward(&row, &mut output),
            wire::Direction::Backward => rule.backward(number, &row, &mut output),
        }
        .map_err(|failure| failure.at_row(Some(index)))?;
        if let Some(message) = output.wrong.take() {
            return Err(wire::Failure::Fatal(message));
        }
        for mut draft in output.drafts.drain(..) {
            draft.cells.sort_by_key(|(column, _)| *column);
            let same = groups.iter().position(|g| {
                g.table == draft.table
                    && g.columns
                        .iter()
                        .eq(draft.cells.iter().map(|(column, _)| column))
            });
            let group = match same {
                Some(at) => &mut groups[at],
                None => {
                    groups.push(Group {
                        table: draft.table,
                        columns: draft.cells.iter().map(|(column, _)| *column).collect(),
                        origins: Vec::new(),
                        rows: Vec::new(),
                    });
                    let last = groups.len() - 1;
                    &mut groups[last]
                }
            };
            group.origins.push(index as u32);
            group
                .rows
                .push(draft.cells.into_iter().map(|(_, value)| value).collect());
        }
    }
    log::at_row(None);
    Ok(groups
        .into_iter()
        .map(|group| abi::RoutedRows {
            table: group.table as u32,
            rows: out::rows(group.columns.len(), &group.rows),
            columns: group.columns.iter().map(|&c| c as u16).collect(),
            origins: group.origins,
        })
        .collect())
}
