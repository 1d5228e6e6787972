//! Filters that the store decides exactly as DataFusion would.
//!
//! Only these, because a filter that means something else there gives a wrong answer without a
//! word: comparisons of integers, comparisons of text under the binary collation, `IN` and `BETWEEN`
//! of them, `IS [NOT] NULL`, and `AND` and `OR` of these. Not floats (their literals may be read a
//! bit off), not LIKE (SQLite's ignores case), not other collations, not texts in UTF-16.
//!
//! A column may hold values of another kind than declared. A comparison by `<` or `>` would then
//! hide such rows; so it lets them through, and reading them is the error that it must be.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, expr::InList};

use crate::data::{LogicalType, TableSchema};
use crate::database::Dialect;

use super::types::ColumnType;

/// Longer lists are left to DataFusion.
const LIST_MOST: usize = 200;

/// The table that filters are about.
pub(super) struct Filters<'a> {
    pub(super) schema: &'a TableSchema,
    pub(super) types: &'a [ColumnType],
    /// How the store spells it.
    pub(super) dialect: Dialect,
}

impl Filters<'_> {
    /// The filter in the store's SQL; `None` when the store may decide it otherwise.
    pub(super) fn sql(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And => Some(format!("({} AND {})", self.sql(left)?, self.sql(right)?)),
                Operator::Or => Some(format!("({} OR {})", self.sql(left)?, self.sql(right)?)),
                op => match (self.comparable(left), self.comparable(right)) {
                    (Some(column), None) => self.compare(column, *op, right),
                    (None, Some(column)) => self.compare(column, op.swap()?, left),
                    _ => None,
                },
            },
            Expr::IsNull(inner) => Some(format!("{} IS NULL", self.quoted(self.column(inner)?))),
            Expr::IsNotNull(inner) => {
                Some(format!("{} IS NOT NULL", self.quoted(self.column(inner)?)))
            }
            Expr::InList(InList {
                expr,
                list,
                negated: false,
            }) if list.len() <= LIST_MOST => {
                let column = self.comparable(expr)?;
                let items: Option<Vec<String>> =
                    list.iter().map(|item| self.literal(column, item)).collect();
                Some(format!(
                    "{} IN ({})",
                    self.quoted(column),
                    items?.join(", ")
                ))
            }
            Expr::Between(Between {
                expr,
                negated: false,
                low,
                high,
            }) => {
                let column = self.comparable(expr)?;
                Some(format!(
                    "({} AND {})",
                    self.compare(column, Operator::GtEq, low)?,
                    self.compare(column, Operator::LtEq, high)?
                ))
            }
            _ => None,
        }
    }

    /// Whether rows may pass that hold a value of another kind than their column.
    pub(super) fn lets_through(&self, expr: &Expr) -> bool {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And | Operator::Or => self.lets_through(left) || self.lets_through(right),
                Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => [left, right]
                    .into_iter()
                    .filter_map(|side| self.comparable(side))
                    .any(|column| !self.types[column].guaranteed),
                _ => false,
            },
            Expr::Between(Between { expr, .. }) => self
                .comparable(expr)
                .is_some_and(|column| !self.types[column].guaranteed),
            _ => false,
        }
    }

    fn column(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Column(column) => self
                .schema
                .columns
                .iter()
                .position(|c| c.name == column.name),
            _ => None,
        }
    }

    /// A column whose comparisons mean the same to the store.
    fn comparable(&self, expr: &Expr) -> Option<usize> {
        let index = self.column(expr)?;
        let column = &self.schema.columns[index];
        let plain = match column.logical {
            LogicalType::Int => true,
            LogicalType::Text => {
                self.dialect == Dialect::Standard
                    && column.collation.is_none()
                    && self.schema.encoding.is_none()
            }
            _ => false,
        };
        (plain && !self.types[index].as_text).then_some(index)
    }

    fn compare(&self, column: usize, op: Operator, value: &Expr) -> Option<String> {
        let (sign, ordered) = match op {
            Operator::Eq => ("=", false),
            Operator::NotEq => ("<>", false),
            Operator::Lt => ("<", true),
            Operator::LtEq => ("<=", true),
            Operator::Gt => (">", true),
            Operator::GtEq => (">=", true),
            _ => return None,
        };
        let name = self.quoted(column);
        let comparison = format!("{name} {sign} {}", self.literal(column, value)?);
        if !ordered || self.types[column].guaranteed {
            return Some(comparison);
        }
        let kind = match self.schema.columns[column].logical {
            LogicalType::Int => "integer",
            _ => "text",
        };
        Some(format!(
            "({comparison} OR typeof({name}) NOT IN ('{kind}', 'null'))"
        ))
    }

    fn literal(&self, column: usize, expr: &Expr) -> Option<String> {
        let Expr::Literal(value, _) = expr else {
            return None;
        };
        match (self.schema.columns[column].logical, value) {
            (LogicalType::Int, ScalarValue::Int64(Some(v))) => Some(v.to_string()),
            (
                LogicalType::Text,
                ScalarValue::Utf8(Some(v))
                | ScalarValue::LargeUtf8(Some(v))
                | ScalarValue::Utf8View(Some(v)),
            ) if !v.contains('\0') => Some(format!("'{}'", v.replace('\'', "''"))),
            _ => None,
        }
    }

    fn quoted(&self, column: usize) -> String {
        let name = &self.schema.columns[column].name;
        match self.dialect {
            Dialect::Standard => format!("\"{}\"", name.replace('"', "\"\"")),
            Dialect::Mysql => format!("`{}`", name.replace('`', "``")),
        }
    }
}
