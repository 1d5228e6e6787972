//! The SQL of a read: its order and bounds are those of [`crate::data::order`].
//!
//! A column whose own order is already that one is named plainly, so that its index is used:
//! numbers, bytes, times, and texts under a binary collation that does not pad. Other texts are
//! ordered by their UTF-8 bytes. Dates that are none (`0000-00-00`) come after all others: they are
//! no dates to anybody else. Rows behind a key are asked for with a range of the first column
//! beside the exact condition; a comparison of rows would not use the index.

use mysql_async::Value as Wire;

use crate::data::order;
use crate::data::{Decimal, Key, Value};
use crate::database::ReadRequest;
use crate::error::{Error, ErrorKind, Result};

use super::kind::Kind;
use super::names::{list, quote, quote_table};
use super::schema::is_binary;
use crate::data::{Column, TableSchema};

/// A statement and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Select {
    pub(super) sql: String,
    pub(super) parameters: Vec<Wire>,
}

/// Something to order by: an expression that sorts by itself as the order wants it.
struct Term {
    sql: String,
    nullable: bool,
}

/// Where a bound lies among the values of a term.
enum Bound {
    Null,
    /// Placeholder and parameter.
    At(String, Wire),
    /// Before all values but NULL.
    Before,
    /// After all values.
    After,
}

/// The statement of a request for a table.
pub(super) fn select(schema: &TableSchema, request: &ReadRequest) -> Result<Select> {
    let columns = if request.columns.is_empty() {
        "NULL".to_owned()
    } else {
        list(request.columns.iter().map(String::as_str))
    };
    let ordered = request
        .order_by
        .iter()
        .map(|name| column(schema, name))
        .collect::<Result<Vec<_>>>()?;
    let terms: Vec<Term> = ordered.iter().copied().flat_map(terms).collect();
    let mut parameters = Vec::new();
    let mut conditions = Vec::new();
    if let Some(key) = &request.after {
        let bounds = bounds(&ordered, key)?;
        conditions.push(behind(&terms, &bounds, &mut parameters));
    }
    if let Some(key) = &request.up_to {
        let bounds = bounds(&ordered, key)?;
        conditions.push(up_to(&terms, &bounds, &mut parameters));
    }
    if let Some(filter) = &request.filter {
        conditions.push(format!("({filter})"));
    }
    let mut sql = format!("SELECT {columns} FROM {}", quote_table(&request.table));
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    if !terms.is_empty() {
        let order: Vec<&str> = terms.iter().map(|t| t.sql.as_str()).collect();
        sql.push_str(" ORDER BY ");
        sql.push_str(&order.join(", "));
    }
    if let Some(limit) = request.limit {
        sql.push_str(&format!(" LIMIT {limit}"));
    }
    Ok(Select { sql, parameters })
}

/// A column of the table by name.
pub(super) fn column<'a>(schema: &'a TableSchema, name: &str) -> Result<&'a Column> {
    let found = schema.column(name).map(|i| &schema.columns[i]);
    found.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("there is no column {name} in table {}", schema.name),
        )
    })
}

fn terms(column: &Column) -> Vec<Term> {
    let name = quote(&column.name);
    let plain = |sql: String| Term {
        sql,
        nullable: column.nullable,
    };
    match Kind::of(column) {
        Kind::Char { charset } | Kind::Text { charset } => {
            vec![plain(match (&column.collation, charset.as_str()) {
                (None, _) => name,
                (Some(c), _) if is_binary(c) => name,
                (_, "utf8mb4" | "utf8mb3" | "utf8" | "ascii") => {
                    format!("CAST({name} AS BINARY)")
                }
                _ => format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)"),
            })]
        }
        Kind::Enum { .. } | Kind::Set { .. } | Kind::Inet4 | Kind::Inet6 | Kind::Json => {
            vec![plain(format!(
                "CAST(CONVERT({name} USING utf8mb4) AS BINARY)"
            ))]
        }
        // Versions 1 to 5 are stored in another order.
        Kind::Uuid => vec![plain(format!("CAST({name} AS BINARY(16))"))],
        Kind::Date | Kind::Datetime { .. } => vec![
            Term {
                sql: odd_date(&name),
                nullable: false,
            },
            plain(name),
        ],
        Kind::Timestamp { .. } => vec![
            Term {
                sql: format!("COALESCE(MONTH({name}) = 0, 0)"),
                nullable: false,
            },
            plain(name),
        ],
        _ => vec![plain(name)],
    }
}

/// 1 for what is no date, 0 for dates and NULL.
fn odd_date(name: &str) -> String {
    format!(
        "COALESCE(MONTH({name}) = 0 OR DAYOFMONTH({name}) = 0 OR DAYOFMONTH({name}) > \
         CASE MONTH({name}) WHEN 2 THEN 28 + (YEAR({name}) % 4 = 0 AND (YEAR({name}) % 100 <> 0 \
         OR YEAR({name}) % 400 = 0)) WHEN 4 THEN 30 WHEN 6 THEN 30 WHEN 9 THEN 30 WHEN 11 THEN 30 \
         ELSE 31 END, 0)"
    )
}

/// The place of a cell in [`order`], roughly: cells of different ranks never compare equal.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Decimal(_) | Value::Float(_) => 1,
        Value::Date(_) => 2,
        Value::Time(_) => 3,
        Value::Timestamp(_) => 4,
        Value::TimestampUtc(_) => 5,
        Value::Text(_) | Value::Json(_) => 6,
        Value::Other(v) if v.kind == "text" => 6,
        Value::Bytes(_) | Value::Uuid(_) => 7,
        Value::Array(_) => 8,
        Value::Other(_) => 9,
    }
}

fn rank_of(kind: &Kind) -> u8 {
    match kind {
        Kind::Int { .. }
        | Kind::Decimal { .. }
        | Kind::Float
        | Kind::Double
        | Kind::Bit { .. }
        | Kind::Year => 1,
        Kind::Date => 2,
        Kind::Time { .. } => 3,
        Kind::Datetime { .. } => 4,
        Kind::Timestamp { .. } => 5,
        Kind::Char { .. }
        | Kind::Text { .. }
        | Kind::Enum { .. }
        | Kind::Set { .. }
        | Kind::Inet4
        | Kind::Inet6
        | Kind::Json => 6,
        Kind::Binary { .. } | Kind::Bytes | Kind::Geometry | Kind::Uuid => 7,
        Kind::Other => 9,
    }
}

/// Where a key lies among the terms of the columns.
fn bounds(columns: &[&Column], key: &Key) -> Result<Vec<Bound>> {
    if columns.len() != key.0.len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "a bound of {} cells for {} columns",
                key.0.len(),
                columns.len()
            ),
        ));
    }
    let mut bounds = Vec::new();
    for (&column, cell) in columns.iter().zip(&key.0) {
        let kind = Kind::of(column);
        let dated = matches!(
            kind,
            Kind::Date | Kind::Datetime { .. } | Kind::Timestamp { .. }
        );
        let odd = dated && matches!(cell, Value::Other(v) if v.kind != "text");
        if dated {
            bounds.push(Bound::At("?".to_owned(), Wire::Int(i64::from(odd))));
        }
        bounds.push(if odd {
            match cell {
                Value::Other(v) => Bound::At("?".to_owned(), Wire::Bytes(v.bytes.clone())),
                _ => Bound::After,
            }
        } else {
            bound(column, &kind, cell)?
        });
    }
    Ok(bounds)
}

fn bound(column: &Column, kind: &Kind, cell: &Value) -> Result<Bound> {
    if cell.is_null() {
        return Ok(Bound::Null);
    }
    match rank(cell).cmp(&rank_of(kind)) {
        std::cmp::Ordering::Less => return Ok(Bound::Before),
        std::cmp::Ordering::Greater => return Ok(Bound::After),
        std::cmp::Ordering::Equal => {}
    }
    let refused = || {
        Error::new(
            ErrorKind::Value,
            format!(
                "the {} {cell} has no place among the values of column {} of type {}",
                cell.type_name(),
                column.name,
                column.declared_type
            ),
        )
    };
    let at = |wire: Wire| Ok(Bound::At("?".to_owned(), wire));
    let text = |text: String| at(Wire::Bytes(text.into_bytes()));
    match cell {
        Value::Date(v) => match super::calendar::date_text(i64::from(*v)) {
            Some(v) => text(v),
            None => Ok(beyond(*v < 0)),
        },
        Value::Timestamp(v) | Value::TimestampUtc(v) => match super::calendar::timestamp_text(*v) {
            Some(v) => text(v),
            None => Ok(beyond(*v < 0)),
        },
        Value::Time(v) => text(super::calendar::time_text(*v)),
        Value::Text(v) | Value::Json(v) => text(v.clone()),
        Value::Other(v) => at(Wire::Bytes(v.bytes.clone())),
        Value::Bytes(v) => at(Wire::Bytes(v.clone())),
        Value::Uuid(v) => at(Wire::Bytes(v.to_vec())),
        number if matches!(kind, Kind::Float | Kind::Double) => {
            let float = match number {
                Value::Float(v) => *v,
                other => other.to_string().parse().map_err(|_| refused())?,
            };
            let exact = order::compare(number.into(), (&Value::Float(float)).into()).is_eq();
            match float {
                _ if !exact => Err(refused()),
                v if v.is_nan() => Ok(Bound::After),
                v if v.is_infinite() => Ok(beyond(v < 0.0)),
                v => at(Wire::Double(v)),
            }
        }
        Value::Int(v) => at(Wire::Int(*v)),
        Value::UInt(v) => at(Wire::UInt(*v)),
        Value::Bool(v) => at(Wire::Int(i64::from(*v))),
        Value::Decimal(v) => decimal(v).ok_or_else(refused),
        Value::Float(v) if v.is_nan() => Ok(Bound::After),
        Value::Float(v) if v.abs() >= 1e30 => Ok(beyond(*v < 0.0)),
        Value::Float(v) => {
            let digits = format!("{v:.1074}");
            digits
                .parse()
                .ok()
                .and_then(|v: Decimal| decimal(&v))
                .ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

fn beyond(below: bool) -> Bound {
    if below { Bound::Before } else { Bound::After }
}

/// The servers compare decimals of up to 65 digits, 30 of them behind the point.
fn decimal(v: &Decimal) -> Option<Bound> {
    match v.as_str() {
        "NaN" | "Infinity" => return Some(Bound::After),
        "-Infinity" => return Some(Bound::Before),
        _ => {}
    }
    let text = v.normalized();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 30 || whole.trim_start_matches('-').len() > 35 {
        return None;
    }
    Some(Bound::At(
        format!("CAST(? AS DECIMAL(65,{}))", fraction.len()),
        Wire::Bytes(text.as_bytes().to_vec()),
    ))
}

/// A condition on one term; its parameter is added.
fn condition(term: &Term, operator: &str, bound: &Bound, parameters: &mut Vec<Wire>) -> String {
    let sql = &term.sql;
    let or_null = |condition: String| {
        if term.nullable {
            format!("({condition} OR {sql} IS NULL)")
        } else {
            condition
        }
    };
    let never = || "FALSE".to_owned();
    let null = || {
        if term.nullable {
            format!("{sql} IS NULL")
        } else {
            "FALSE".to_owned()
        }
    };
    match (bound, operator) {
        (Bound::At(place, wire), _) => {
            parameters.push(wire.clone());
            let condition = format!("{sql} {operator} {place}");
            if operator.starts_with('<') {
                or_null(condition)
            } else {
                condition
            }
        }
        (Bound::Null, "=" | "<=") | (Bound::Before, "<" | "<=") => null(),
        (Bound::Null, "<") | (Bound::Before | Bound::After, "=") => never(),
        (Bound::After, ">" | ">=") => never(),
        (Bound::Null | Bound::Before, ">") | (Bound::Before, ">=") => {
            format!("{sql} IS NOT NULL")
        }
        // After everything, and at or after NULL: all of them.
        _ => "TRUE".to_owned(),
    }
}

/// Rows behind the bounds.
fn behind(terms: &[Term], bounds: &[Bound], parameters: &mut Vec<Wire>) -> String {
    lexicographic(terms, bounds, [">", ">=", ">"], parameters)
}

/// Rows at or before the bounds.
fn up_to(terms: &[Term], bounds: &[Bound], parameters: &mut Vec<Wire>) -> String {
    lexicographic(terms, bounds, ["<", "<=", "<="], parameters)
}

/// `first <= ? AND (first < ? OR first = ? AND (second …))`; the operators are those of a term,
/// of the leading range, and of the last term.
fn lexicographic(
    terms: &[Term],
    bounds: &[Bound],
    [inner, range, last]: [&str; 3],
    parameters: &mut Vec<Wire>,
) -> String {
    let count = terms.len();
    match count {
        0 => return if last == "<=" { "TRUE" } else { "FALSE" }.to_owned(),
        1 => return condition(&terms[0], last, &bounds[0], parameters),
        _ => {}
    }
    let lead = condition(&terms[0], range, &bounds[0], parameters);
    let mut alternatives = Vec::with_capacity(count);
    for i in 0..count {
        let mut all: Vec<String> = (0..i)
            .map(|k| condition(&terms[k], "=", &bounds[k], parameters))
            .collect();
        let operator = if i + 1 == count { last } else { inner };
        all.push(condition(&terms[i], operator, &bounds[i], parameters));
        alternatives.push(format!("({})", all.join(" AND ")));
    }
    format!("{lead} AND ({})", alternatives.join(" OR "))
}

#[cfg(test)]
mod tests;
