//! Whether what a rule answered may be written at all.
//!
//! Length, columns, types, NULLs and keys are checked here for whatever fulfils the traits. A
//! wrong answer is a failure of the rule, never a wrong row.
//!
//! A cell fits its column when its type is one that the column's logical type stands for. Stores
//! with dynamic types hold other things as well, so a cell that was *taken over* from the rows the
//! rule was given always fits: moving a value is not making one up.

use crate::data::{LogicalType, Value};

use super::{
    Conflict, Direction, Note, RouteDecision, Routed, RuleColumn, RuleTable, TransformTables,
    Verdict,
};

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The row of the batch that it is about; `None` when about the answer as a whole.
    pub row: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Wrong {
    /// About one row.
    #[must_use]
    pub fn row(row: usize, message: impl Into<String>) -> Self {
        Self {
            row: Some(row),
            message: message.into(),
        }
    }

    /// About all of it.
    #[must_use]
    pub fn all(message: impl Into<String>) -> Self {
        Self {
            row: None,
            message: message.into(),
        }
    }
}

/// Whether a value is of a type that the logical type stands for. NULL fits everywhere here.
#[must_use]
pub fn fits(logical: LogicalType, value: &Value) -> bool {
    use LogicalType as L;
    use Value as V;
    match value {
        V::Null => true,
        V::Other(_) | V::Array(_) => logical == L::Any,
        V::Bool(_) => matches!(logical, L::Any | L::Bool | L::Int | L::UInt),
        V::Int(v) => match logical {
            L::UInt => *v >= 0,
            L::Text | L::Bytes | L::Uuid | L::Json => false,
            _ => true,
        },
        V::UInt(_) => !matches!(logical, L::Text | L::Bytes | L::Uuid | L::Json | L::Date),
        V::Decimal(_) => matches!(logical, L::Any | L::Decimal | L::Float),
        V::Float(_) => matches!(logical, L::Any | L::Decimal | L::Float),
        // What has no type of its own in SQLite is text there.
        V::Text(_) => !matches!(logical, L::Bool | L::Int | L::UInt | L::Float | L::Bytes),
        V::Bytes(_) => matches!(logical, L::Any | L::Bytes | L::Uuid | L::Json),
        V::Date(_) => matches!(logical, L::Any | L::Date),
        V::Time(_) => matches!(logical, L::Any | L::Time),
        V::Timestamp(_) | V::TimestampUtc(_) => {
            matches!(logical, L::Any | L::Timestamp | L::TimestampUtc)
        }
        V::Uuid(_) => matches!(logical, L::Any | L::Uuid),
        V::Json(_) => matches!(logical, L::Any | L::Json | L::Text),
    }
}

fn cell(column: &RuleColumn, value: &Value, taken_over: impl Fn() -> bool) -> Result<(), String> {
    if value.is_null() && column.nullable {
        return Ok(());
    }
    if !value.is_null() && fits(column.logical, value) || taken_over() {
        return Ok(());
    }
    if value.is_null() {
        return Err(format!("column {} must not be NULL", column.name));
    }
    let declared = if column.declared_type.is_empty() {
        format!("{:?}", column.logical).to_lowercase()
    } else {
        column.declared_type.clone()
    };
    Err(format!(
        "column {} is {declared}, the answer has the {} {value}",
        column.name,
        value.type_name(),
    ))
}

/// Checks the row of a [`Verdict::Merged`].
pub fn merged(table: &RuleTable, conflict: &Conflict, row: &[Value]) -> Result<(), String> {
    if row.len() != table.columns.len() {
        return Err(format!(
            "the merged row has {} cells, table {} has {} columns",
            row.len(),
            table.name,
            table.columns.len()
        ));
    }
    let base = if conflict.base_known {
        conflict.base.as_ref()
    } else {
        None
    };
    let given = [
        conflict.source.row.as_ref(),
        conflict.target.row.as_ref(),
        base,
    ];
    for (i, (column, value)) in table.columns.iter().zip(row).enumerate() {
        let taken_over = || given.iter().flatten().any(|r| r.get(i) == Some(value));
        if table.key.contains(&i) {
            if !taken_over() {
                return Err(format!(
                    "key column {} became {value}; a rule must leave the key as it is",
                    column.name
                ));
            }
            continue;
        }
        cell(column, value, taken_over)?;
    }
    Ok(())
}

/// Checks the answer of a resolver.
pub fn verdicts(
    table: &RuleTable,
    conflicts: &[Conflict],
    answer: &[Verdict],
) -> Result<(), Wrong> {
    if answer.len() != conflicts.len() {
        return Err(Wrong::all(format!(
            "{} conflicts were asked, {} verdicts came back",
            conflicts.len(),
            answer.len()
        )));
    }
    for (i, (conflict, verdict)) in conflicts.iter().zip(answer).enumerate() {
        let rows: &[&[Value]] = match verdict {
            Verdict::Merged(row) => &[row],
            Verdict::KeepBoth { row, other } => &[row, other],
            Verdict::Source | Verdict::Target | Verdict::Delete | Verdict::Park(_) => &[],
        };
        for row in rows {
            merged(table, conflict, row).map_err(|e| Wrong::row(i, e))?;
        }
    }
    Ok(())
}

/// Checks the answer of a transform.
pub fn routed(
    tables: &TransformTables,
    direction: Direction,
    given: &[Vec<Value>],
    answer: &[Routed],
) -> Result<(), Wrong> {
    let mut seen = std::collections::BTreeSet::new();
    for group in answer {
        let back = group.table == 0;
        let Some(table) = tables
            .get(group.table)
            .filter(|_| back == (direction == Direction::Backward))
        else {
            return Err(Wrong::all(format!(
                "rows for table number {} came back on the way {}",
                group.table,
                direction.as_str()
            )));
        };
        if group.rows.len() != group.origins.len() {
            return Err(Wrong::all(format!(
                "{} rows came back with {} origins",
                group.rows.len(),
                group.origins.len()
            )));
        }
        let mut columns = Vec::with_capacity(group.columns.len());
        for (n, &c) in group.columns.iter().enumerate() {
            match table.columns.get(c) {
                Some(column) if !group.columns[..n].contains(&c) => columns.push(column),
                _ => {
                    return Err(Wrong::all(format!(
                        "column number {c} of table {} does not exist or is given twice",
                        table.name
                    )));
                }
            }
        }
        for (row, &origin) in group.rows.iter().zip(&group.origins) {
            let Some(input) = given.get(origin) else {
                return Err(Wrong::all(format!(
                    "a row came back for input row {origin} of {}",
                    given.len()
                )));
            };
            if !seen.insert((group.table, origin)) {
                return Err(Wrong::row(
                    origin,
                    format!("two rows came back for table {}", table.name),
                ));
            }
            if row.len() != columns.len() {
                return Err(Wrong::row(
                    origin,
                    format!(
                        "the row has {} cells for {} columns",
                        row.len(),
                        columns.len()
                    ),
                ));
            }
            for (column, value) in columns.iter().zip(row) {
                cell(column, value, || !value.is_null() && input.contains(value))
                    .map_err(|e| Wrong::row(origin, format!("table {}: {e}", table.name)))?;
            }
        }
    }
    Ok(())
}

/// Checks the answer of a validator about `rows` rows.
pub fn notes(rows: usize, answer: &[Note]) -> Result<(), Wrong> {
    match answer.iter().find(|n| n.row >= rows) {
        None => Ok(()),
        Some(note) => Err(Wrong::all(format!(
            "a note is about row {}, {rows} rows were given",
            note.row
        ))),
    }
}

/// Checks the answer of a router.
pub fn decision(answer: &RouteDecision) -> Result<(), Wrong> {
    let headers = match answer {
        RouteDecision::Refuse { status, .. } => {
            return if (400..=599).contains(status) {
                Ok(())
            } else {
                Err(Wrong::all(format!(
                    "status {status} is not within 400 to 599"
                )))
            };
        }
        RouteDecision::Default => return Ok(()),
        RouteDecision::Monolith { headers } | RouteDecision::Service { headers } => headers,
    };
    for (name, value) in headers {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(Wrong::all(format!("{name:?} is no header name")));
        }
        if value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
            return Err(Wrong::all(format!(
                "header {name} has a control character in its value"
            )));
        }
    }
    Ok(())
}
