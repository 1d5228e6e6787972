//! What a row is on the other side: columns, filter, transform, stored form.
//!
//! A [`TableMapping`] joins one table of the source with one table of the target, or with several
//! when a transform splits rows. Rows on either side are given as the *mapped columns* in a fixed
//! order: for a mapping by columns both sides have the same number of cells in the same order, so
//! that mapping a row is keeping it. Columns that are not mapped are neither compared nor written.

mod carry;

use std::fmt;
use std::sync::Arc;

use crate::data::{Key, Row, Value};

pub use carry::{Faithful, Unmapped};

use super::{Direction, FailureKind, Routed, RuleError, RuleTable, Transform, TransformTables};

/// Turns a value into what a store will hold after writing it to a column: SQLite's column
/// affinity makes `'12'` in an INTEGER column the integer 12.
pub trait StoredForm: Send + Sync {
    /// What column `column` (index into the mapped columns) holds after `value` is written to it.
    fn as_stored(&self, column: usize, value: Value) -> Value;

    /// Likewise; `Err` with the value where the column can hold nothing that stands for it.
    fn try_stored(&self, column: usize, value: Value) -> Result<Value, Value> {
        Ok(self.as_stored(column, value))
    }

    /// Whether every value is held as it is.
    fn is_identity(&self) -> bool;
}

/// Says which source rows belong to a mapping (`where` in the configuration).
pub trait RowFilter: Send + Sync {
    /// Whether the row belongs. An error message when it cannot be evaluated.
    fn matches(&self, row: &[Value]) -> Result<bool, String>;
}

/// One side of a mapping.
#[derive(Clone)]
pub struct MappedTable {
    /// The table's name and mapped columns; its key is by index into the mapped columns.
    pub table: RuleTable,
    /// How the store holds values; `None` when as they are.
    pub stored: Option<Arc<dyn StoredForm>>,
}

impl fmt::Debug for MappedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MappedTable").field(&self.table).finish()
    }
}

impl MappedTable {
    fn store(&self, row: Row) -> Row {
        match &self.stored {
            None => row,
            Some(stored) => row
                .into_iter()
                .enumerate()
                .map(|(i, v)| stored.as_stored(i, v))
                .collect(),
        }
    }

    /// What column `column` holds after `value` was written to it; the error says what it cannot
    /// hold.
    fn held(&self, column: usize, value: Value) -> Result<Value, String> {
        match &self.stored {
            None => Ok(value),
            Some(stored) => stored.try_stored(column, value).map_err(|value| {
                let there = &self.table.columns[column];
                format!(
                    "column {} of table {}, {}, cannot hold {value}",
                    there.name, self.table.name, there.declared_type
                )
            }),
        }
    }

    /// What a rule answered, as the table will hold it; the error says which cell it cannot hold.
    pub fn try_store(&self, row: Row) -> Result<Row, String> {
        let cells = row.into_iter().enumerate();
        cells.map(|(i, value)| self.held(i, value)).collect()
    }

    /// The key of a row of this side.
    #[must_use]
    pub fn key(&self, row: &[Value]) -> Key {
        Key::of(row, &self.table.key)
    }
}

/// How the sides are joined.
#[derive(Clone)]
pub enum How {
    /// Cell by cell; both sides have the same cells in the same order.
    Columns,
    /// By a rule.
    Rule(Arc<dyn Transform>),
}

impl fmt::Debug for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns => f.write_str("Columns"),
            Self::Rule(rule) => f.debug_tuple("Rule").field(&rule.describe().name).finish(),
        }
    }
}

/// One table of the source and what it is in the target.
#[derive(Clone)]
pub struct TableMapping {
    /// The source's table.
    pub source: MappedTable,
    /// The target's tables: one, or the first and those that a transform splits off. Deleting a
    /// row of the first deletes the source's row; deleting one of the others empties its columns.
    pub targets: Vec<MappedTable>,
    /// How rows get across.
    pub how: How,
    /// Which source rows take part.
    pub filter: Option<Arc<dyn RowFilter>>,
    /// The filter as SQL, for the store to evaluate where it can.
    pub filter_sql: Option<String>,
}

impl fmt::Debug for TableMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableMapping")
            .field("source", &self.source)
            .field("targets", &self.targets)
            .field("by_rule", &matches!(self.how, How::Rule(_)))
            .field("filter_sql", &self.filter_sql)
            .finish()
    }
}

/// A rule is given at most so many rows at a time: its limits of time and memory hold for one call.
pub const RULE_ROWS_MAX: usize = 1_000;

/// Asks a transform about any number of rows, in parts that its limits are made for.
fn ask(
    rule: &dyn Transform,
    tables: &TransformTables,
    direction: Direction,
    table: usize,
    rows: &[Row],
) -> Result<Vec<Routed>, RuleError> {
    let mut out = Vec::new();
    for (n, part) in rows.chunks(RULE_ROWS_MAX).enumerate() {
        let first = n * RULE_ROWS_MAX;
        let mut answer = rule
            .transform(tables, direction, table, part)
            .map_err(|mut e| {
                e.rows = e.rows.start + first..e.rows.end + first;
                e
            })?;
        for origin in answer.iter_mut().flat_map(|routed| &mut routed.origins) {
            // One that is not in this part must not pass for one of the next.
            *origin = if *origin < part.len() {
                first + *origin
            } else {
                usize::MAX
            };
        }
        out.append(&mut answer);
    }
    Ok(out)
}

/// Some cells of a source row.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialRow {
    /// Indexes into the source's mapped columns.
    pub columns: Vec<usize>,
    /// Their cells.
    pub cells: Row,
}

impl TableMapping {
    /// The table's name in reports: the first target's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.targets[0].table.name
    }

    /// Whether a rule reshapes rows (so that sides cannot be compared cell by cell).
    #[must_use]
    pub fn is_transformed(&self) -> bool {
        matches!(self.how, How::Rule(_))
    }

    fn tables(&self) -> TransformTables {
        TransformTables {
            source: self.source.table.clone(),
            targets: self.targets.iter().map(|t| t.table.clone()).collect(),
        }
    }

    fn error(&self, kind: FailureKind, row: usize, message: String) -> RuleError {
        let (rule, version, digest) = match &self.how {
            How::Columns => ("where".to_owned(), String::new(), None),
            How::Rule(rule) => {
                let info = rule.describe();
                (info.name, info.version, info.digest)
            }
        };
        RuleError {
            kind,
            rule,
            version,
            digest,
            function: "transform",
            table: self.source.table.name.clone(),
            rows: row..row + 1,
            message,
        }
    }

    /// Whether a source row takes part.
    pub fn selects(&self, row: &[Value]) -> Result<bool, RuleError> {
        match &self.filter {
            None => Ok(true),
            Some(filter) => filter
                .matches(row)
                .map_err(|message| self.error(FailureKind::Trapped, 0, message)),
        }
    }

    /// What source rows are in the target: for each input row, for each target table, the row in
    /// its stored form, or `None`. A mapping by columns leaves cells that would not come back as
    /// they are; [`TableMapping::forward_row`] refuses them.
    pub fn forward(&self, rows: Vec<Row>) -> Result<Vec<Vec<Option<Row>>>, RuleError> {
        let mut out: Vec<Vec<Option<Row>>> = vec![vec![None; self.targets.len()]; rows.len()];
        let mut taken = Vec::with_capacity(rows.len());
        let mut input = Vec::with_capacity(rows.len());
        for (i, row) in rows.into_iter().enumerate() {
            if self.selects(&row)? {
                taken.push(i);
                input.push(row);
            }
        }
        match &self.how {
            How::Columns => {
                for (i, row) in taken.into_iter().zip(input) {
                    out[i][0] = Some(self.comparable_row(row));
                }
            }
            How::Rule(rule) if !input.is_empty() => {
                let tables = self.tables();
                for routed in ask(rule.as_ref(), &tables, Direction::Forward, 0, &input)? {
                    let target = routed.table.wrapping_sub(1);
                    let Some(side) = self.targets.get(target) else {
                        return Err(self.error(
                            FailureKind::InvalidOutput,
                            0,
                            format!("answered rows for table number {}", routed.table),
                        ));
                    };
                    let width = side.table.columns.len();
                    for (row, &origin) in routed.rows.into_iter().zip(&routed.origins) {
                        let mut cells: Vec<Option<Value>> = vec![None; width];
                        for (&column, value) in routed.columns.iter().zip(row) {
                            if let Some(cell) = cells.get_mut(column) {
                                *cell = Some(value);
                            }
                        }
                        if let Some(missing) = cells.iter().position(Option::is_none) {
                            return Err(self.error(
                                FailureKind::InvalidOutput,
                                origin,
                                format!(
                                    "gave no value for column {} of table {}; give one, or list \
                                     the column in ignore_columns",
                                    side.table.columns[missing].name, side.table.name
                                ),
                            ));
                        }
                        let Some(&i) = taken.get(origin) else {
                            return Err(self.error(
                                FailureKind::InvalidOutput,
                                origin,
                                "answered a row that comes from no input row".to_owned(),
                            ));
                        };
                        if out[i][target].is_some() {
                            return Err(self.error(
                                FailureKind::InvalidOutput,
                                origin,
                                format!("answered two rows for table {}", side.table.name),
                            ));
                        }
                        let row = side.try_store(cells.into_iter().flatten().collect());
                        out[i][target] = Some(row.map_err(|message| {
                            self.error(FailureKind::InvalidOutput, origin, message)
                        })?);
                    }
                }
            }
            How::Rule(_) => {}
        }
        Ok(out)
    }

    /// What rows of target table `target` are in the source: the cells that they determine, in
    /// stored form, or `None` where the rule drops the row.
    pub fn backward(
        &self,
        target: usize,
        rows: Vec<Row>,
    ) -> Result<Vec<Option<PartialRow>>, RuleError> {
        let width = self.source.table.columns.len();
        match &self.how {
            How::Columns => Ok(rows
                .into_iter()
                .map(|row| {
                    Some(PartialRow {
                        columns: (0..width).collect(),
                        cells: self.source.store(row),
                    })
                })
                .collect()),
            How::Rule(rule) => {
                let mut out = vec![None; rows.len()];
                if rows.is_empty() {
                    return Ok(out);
                }
                let tables = self.tables();
                for routed in ask(
                    rule.as_ref(),
                    &tables,
                    Direction::Backward,
                    target + 1,
                    &rows,
                )? {
                    if routed.table != 0 {
                        return Err(self.error(
                            FailureKind::InvalidOutput,
                            0,
                            format!(
                                "answered rows for table number {} on the way back; only 0, the \
                                 source's table, is allowed",
                                routed.table
                            ),
                        ));
                    }
                    for (row, &origin) in routed.rows.into_iter().zip(&routed.origins) {
                        let Some(slot) = out.get_mut(origin) else {
                            return Err(self.error(
                                FailureKind::InvalidOutput,
                                origin,
                                "answered a row that comes from no input row".to_owned(),
                            ));
                        };
                        let cells = row.into_iter().zip(&routed.columns);
                        let cells = cells
                            .map(|(v, &c)| self.source.held(c, v))
                            .collect::<Result<Row, String>>()
                            .map_err(|message| {
                                self.error(FailureKind::InvalidOutput, origin, message)
                            })?;
                        *slot = Some(PartialRow {
                            columns: routed.columns.clone(),
                            cells,
                        });
                    }
                }
                Ok(out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::data::LogicalType;
    use crate::rule::{RuleColumn, RuleInfo};

    /// Hands rows on, and notes how many it was given at a time.
    #[derive(Default)]
    struct Parts(Mutex<Vec<usize>>);

    impl Transform for Parts {
        fn describe(&self) -> RuleInfo {
            RuleInfo {
                name: "parts".to_owned(),
                version: "1".to_owned(),
                summary: String::new(),
                digest: None,
            }
        }

        fn transform(
            &self,
            _: &TransformTables,
            direction: Direction,
            _: usize,
            rows: &[Row],
        ) -> Result<Vec<Routed>, RuleError> {
            self.0.lock().unwrap().push(rows.len());
            // Backwards, so that order is not what brings rows home.
            Ok(vec![Routed {
                table: usize::from(direction == Direction::Forward),
                columns: vec![0],
                origins: (0..rows.len()).rev().collect(),
                rows: rows.iter().rev().cloned().collect(),
            }])
        }
    }

    #[test]
    fn a_rule_is_given_many_rows_in_parts_and_each_comes_home() {
        let table = || MappedTable {
            table: RuleTable {
                name: "t".to_owned(),
                columns: vec![RuleColumn {
                    name: "id".to_owned(),
                    declared_type: "INTEGER".to_owned(),
                    logical: LogicalType::Int,
                    nullable: false,
                }],
                key: vec![0],
            },
            stored: None,
        };
        let rule = Arc::new(Parts::default());
        let mapping = TableMapping {
            source: table(),
            targets: vec![table()],
            how: How::Rule(Arc::clone(&rule) as Arc<dyn Transform>),
            filter: None,
            filter_sql: None,
        };
        let rows: Vec<Row> = (0..2_500).map(|i| vec![Value::Int(i)]).collect();
        let there = mapping.forward(rows.clone()).unwrap();
        let back = mapping.backward(0, rows.clone()).unwrap();
        assert_eq!(
            *rule.0.lock().unwrap(),
            [1_000, 1_000, 500, 1_000, 1_000, 500]
        );
        for ((row, there), back) in rows.iter().zip(there).zip(back) {
            assert_eq!(there, [Some(row.clone())]);
            assert_eq!(back.unwrap().cells, *row);
        }
    }
}
