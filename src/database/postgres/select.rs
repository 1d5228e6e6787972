//! The SQL that reads a table's rows in order and between two keys.
//!
//! `COPY` takes no parameters, so keys are literals. The order is that of [`crate::data::order`]:
//! for columns without NULLs whose index is in that order, the plain columns and a comparison of
//! rows, which a range scan of the index answers.

use crate::data::canonical::ValueRef;
use crate::data::{Key, TableSchema};
use crate::error::{Error, ErrorKind, Result};

use super::column::PgColumn;
use super::names::TableName;

/// Which rows, by names of columns; see [`crate::database::ReadRequest`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Selection<'a> {
    /// To order by.
    pub(super) order_by: &'a [PgColumn],
    /// Only rows behind it.
    pub(super) after: Option<&'a Key>,
    /// Only rows up to it.
    pub(super) up_to: Option<&'a Key>,
    /// Only rows for which this is true.
    pub(super) filter: Option<&'a str>,
    /// At most so many.
    pub(super) limit: Option<usize>,
}

/// Columns by name. Fails with `NotFound`.
pub(super) fn columns<'a>(
    schema: &TableSchema,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<PgColumn>> {
    names
        .into_iter()
        .map(|name| {
            let index = schema.column(name).ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("table {} has no column {name}", schema.name),
                )
            })?;
            Ok(PgColumn::new(&schema.columns[index]))
        })
        .collect()
}

/// `COPY (…) TO STDOUT (FORMAT binary)`.
pub(super) fn copy(table: &str, columns: &[PgColumn], selection: Selection<'_>) -> Result<String> {
    Ok(format!(
        "COPY ({}) TO STDOUT (FORMAT binary)",
        select(table, columns, selection)?
    ))
}

fn select(table: &str, columns: &[PgColumn], selection: Selection<'_>) -> Result<String> {
    // Under the table's own name, so that a filter may qualify its columns.
    let name = TableName::parse(table)?;
    let alias = super::names::quote(&name.table);
    let list: Vec<String> = columns.iter().map(|c| c.select(&alias)).collect();
    let mut sql = format!("SELECT {} FROM {}", list.join(", "), name.sql());
    let mut conditions = Vec::new();
    for (key, after) in [(selection.after, true), (selection.up_to, false)] {
        if let Some(key) = key {
            conditions.push(bound(&alias, selection.order_by, key, after)?);
        }
    }
    if let Some(filter) = selection.filter {
        // On a line of its own, so that a comment ends there.
        conditions.push(format!("({filter}\n)"));
    }
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    if !selection.order_by.is_empty() {
        let order: Vec<String> = selection
            .order_by
            .iter()
            .map(|c| {
                let nulls = if c.nullable { " NULLS FIRST" } else { "" };
                format!("{}{nulls}", c.order(&alias))
            })
            .collect();
        sql.push_str(" ORDER BY ");
        sql.push_str(&order.join(", "));
    }
    if let Some(limit) = selection.limit {
        sql.push_str(&format!(" LIMIT {limit}"));
    }
    Ok(sql)
}

/// Rows behind a key, or up to it.
fn bound(alias: &str, order: &[PgColumn], key: &Key, after: bool) -> Result<String> {
    if key.0.len() != order.len() {
        return Err(Error::new(
            ErrorKind::Internal,
            "a key of another length than its columns",
        ));
    }
    let mut cells = Vec::with_capacity(order.len());
    for (column, value) in order.iter().zip(&key.0) {
        let literal = column
            .order_literal(ValueRef::from(value))
            .map_err(|misfit| Error::new(ErrorKind::Value, column.misfit(&misfit)))?;
        cells.push((column.order(alias), literal, value.is_null()));
    }
    let nulls = order.iter().any(|c| c.nullable) || cells.iter().any(|(.., null)| *null);
    if !nulls {
        let side = |pick: fn(&(String, String, bool)) -> &str| {
            cells.iter().map(pick).collect::<Vec<_>>().join(", ")
        };
        let sign = if after { ">" } else { "<=" };
        return Ok(format!(
            "({}) {sign} ({})",
            side(|(column, ..)| column),
            side(|(_, literal, _)| literal)
        ));
    }
    // NULL comes before every value; SQL's own comparison of rows answers NULL there.
    let alternatives: Vec<String> = (0..cells.len())
        .map(|n| {
            let mut all: Vec<String> = cells[..n]
                .iter()
                .map(|(column, literal, null)| {
                    if *null {
                        format!("{column} IS NULL")
                    } else {
                        format!("{column} = {literal}")
                    }
                })
                .collect();
            let (column, literal, null) = &cells[n];
            all.push(if *null {
                format!("{column} IS NOT NULL")
            } else {
                format!("{column} > {literal}")
            });
            format!("({})", all.join(" AND "))
        })
        .collect();
    let is = if after { "IS TRUE" } else { "IS NOT TRUE" };
    Ok(format!("({}) {is}", alternatives.join(" OR ")))
}

/// `SELECT count(*)`.
pub(super) fn count(table: &str, filter: Option<&str>) -> Result<String> {
    let mut sql = format!("SELECT count(*) FROM {}", TableName::parse(table)?.sql());
    if let Some(filter) = filter {
        sql.push_str(&format!(" WHERE ({filter}\n)"));
    }
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Column, Generated, LogicalType, Value};

    fn column(name: &str, declared: &str, nullable: bool) -> PgColumn {
        PgColumn::new(&Column {
            name: name.to_owned(),
            declared_type: declared.to_owned(),
            logical: LogicalType::Any,
            nullable,
            default: None,
            generated: Generated::No,
            collation: None,
        })
    }

    #[test]
    fn keys_without_null_are_compared_as_rows() {
        let key = [column("a", "integer", false), column("b", "text", false)];
        let after = Key(vec![Value::Int(1), Value::Text("x'".into())]);
        let sql = copy(
            "sales.t",
            &key[..1],
            Selection {
                order_by: &key,
                after: Some(&after),
                filter: Some("a > 0 -- all"),
                limit: Some(5),
                ..Selection::default()
            },
        )
        .unwrap();
        assert_eq!(
            sql,
            "COPY (SELECT \"t\".\"a\" FROM \"sales\".\"t\" WHERE (\"t\".\"a\", \"t\".\"b\") > \
             ('1'::integer, 'x'''::text) AND (a > 0 -- all\n) ORDER BY \"t\".\"a\", \"t\".\"b\" \
             LIMIT 5) TO STDOUT (FORMAT binary)"
        );
    }

    #[test]
    fn nullable_columns_are_compared_one_by_one() {
        let key = [column("a", "integer", true)];
        let bound = |v: Value, after| bound("t", &key, &Key(vec![v]), after).unwrap();
        assert_eq!(bound(Value::Null, true), "((t.\"a\" IS NOT NULL)) IS TRUE");
        assert_eq!(
            bound(Value::Int(3), false),
            "((t.\"a\" > '3'::integer)) IS NOT TRUE"
        );
    }
}
