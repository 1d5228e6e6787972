//! Which `where` of a server's table can be evaluated here as the server does.
//!
//! The server evaluates it when rows are copied and compared; for rows of its log it is evaluated
//! here, in SQL of another engine. So only what means the same everywhere is taken: comparisons of
//! columns with literals, `IN`, `BETWEEN`, `IS NULL`, and `AND`, `OR`, `NOT` over them. Numbers may be
//! ordered; texts only compared for equality, since their order is a matter of collation.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value as Literal};
use datafusion::sql::sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect};
use datafusion::sql::sqlparser::parser::Parser;

use crate::data::{LogicalType, TableSchema};
use crate::database::Engine;
use crate::error::{Error, ErrorKind, Result};

/// Fails with `Config` on anything else than the module's text says.
pub(super) fn check(engine: Engine, schema: &TableSchema, sql: &str) -> Result<()> {
    let dialect: &dyn Dialect = match engine {
        Engine::Mysql => &MySqlDialect {},
        Engine::Postgres | Engine::Sqlite => &PostgreSqlDialect {},
    };
    let parsed = Parser::new(dialect)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_expr())
        .map_err(|e| wrong(schema, sql, &e.to_string()))?;
    match condition(schema, &parsed) {
        Ok(()) => Ok(()),
        Err(what) => Err(wrong(schema, sql, &what)),
    }
}

fn wrong(schema: &TableSchema, sql: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("where = {sql:?} of table {}: {what}", schema.name),
    )
    .hint(
        "compare columns with literals (=, <>, IN, IS NULL; <, >, BETWEEN for numbers), joined by \
         AND, OR, NOT; anything else belongs into a transform, which may drop rows",
    )
}

type Checked = std::result::Result<(), String>;

fn condition(schema: &TableSchema, expr: &Expr) -> Checked {
    match expr {
        Expr::Nested(inner) => condition(schema, inner),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => condition(schema, expr),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => column(schema, inner).map(drop),
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::And | BinaryOperator::Or => {
                condition(schema, left)?;
                condition(schema, right)
            }
            BinaryOperator::Eq | BinaryOperator::NotEq => comparison(schema, left, right, false),
            BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq => comparison(schema, left, right, true),
            other => Err(format!("the operator {other} cannot be evaluated here")),
        },
        Expr::InList { expr, list, .. } => list
            .iter()
            .try_for_each(|item| comparison(schema, expr, item, false)),
        Expr::Between {
            expr, low, high, ..
        } => {
            comparison(schema, expr, low, true)?;
            comparison(schema, expr, high, true)
        }
        Expr::Identifier(_) if column(schema, expr)? == LogicalType::Bool => Ok(()),
        other => Err(format!("{other} cannot be evaluated here")),
    }
}

fn comparison(schema: &TableSchema, left: &Expr, right: &Expr, ordered: bool) -> Checked {
    let (name, literal) = match (left, right) {
        (Expr::Identifier(_), literal) => (left, literal),
        (literal, name) => (name, literal),
    };
    let logical = column(schema, name)?;
    let is_fitting = match (logical, kind(literal)?) {
        (LogicalType::Int | LogicalType::UInt, Kind::Integer) => true,
        (LogicalType::Text, Kind::Text) => !ordered && has_plain_text(schema, name),
        (LogicalType::Bool, Kind::Bool) => !ordered,
        _ => false,
    };
    if is_fitting {
        Ok(())
    } else {
        Err(format!(
            "comparing {name} with {literal} may mean something else here than in the store"
        ))
    }
}

enum Kind {
    Integer,
    Text,
    Bool,
}

fn kind(expr: &Expr) -> std::result::Result<Kind, String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Literal::Number(digits, _) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Kind::Integer)
            }
            Literal::SingleQuotedString(_) => Ok(Kind::Text),
            Literal::Boolean(_) => Ok(Kind::Bool),
            other => Err(format!("{other} cannot be compared here")),
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match kind(expr)? {
            Kind::Integer => Ok(Kind::Integer),
            _ => Err(format!("-{expr} is no number")),
        },
        other => Err(format!("{other} is no literal")),
    }
}

fn find(schema: &TableSchema, expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Identifier(name) => schema.column(&name.value),
        _ => None,
    }
}

fn column(schema: &TableSchema, expr: &Expr) -> std::result::Result<LogicalType, String> {
    find(schema, expr)
        .map(|i| schema.columns[i].logical)
        .ok_or_else(|| format!("{expr} is no column of the table"))
}

/// Whether equal texts are those with equal bytes.
fn has_plain_text(schema: &TableSchema, expr: &Expr) -> bool {
    find(schema, expr).is_some_and(|i| {
        let column = &schema.columns[i];
        let declared = column.declared_type.to_ascii_lowercase();
        column.collation.is_none() && !declared.starts_with("char") && declared != "citext"
    })
}
