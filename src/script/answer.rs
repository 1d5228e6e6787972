//! What scripts answer, checked and brought into the form of the traits.

use rhai::{Dynamic, ImmutableString, Map};

use crate::data::Value;
use crate::rule::{
    Conflict, Direction, Note, RouteDecision, RuleColumn, RuleTable, Severity, TransformTables,
    Verdict, answer, nearest,
};

use super::convert::{fit, from_script};
use super::diagnose::Failure;
use super::view::{NewRow, RowHandle, known_cells, unknown_column};

/// An answer made by one of the functions `park`, `error`, `warning`, `refuse`, `to_service`,
/// `to_monolith`.
#[derive(Clone, Debug)]
pub(super) enum Built {
    Park(ImmutableString),
    Note {
        error: bool,
        text: ImmutableString,
    },
    Refuse {
        status: i64,
        message: ImmutableString,
    },
    To {
        service: bool,
        headers: Map,
    },
}

type Read<T> = Result<T, Failure>;

fn described(value: &Dynamic) -> String {
    if value.is_unit() {
        "()".to_owned()
    } else if value.is_string() {
        format!("{:?}", value.to_string())
    } else if value.is_int() || value.is_bool() || value.is_float() {
        value.to_string()
    } else if value.is::<Built>() {
        "what belongs to another question".to_owned()
    } else {
        format!("a value of type {}", short(value.type_name()))
    }
}

/// Rhai names the types of the host by their Rust path.
fn short(name: &str) -> String {
    match name.rsplit("::").next().unwrap_or(name) {
        "DecimalNumber" => "decimal".to_owned(),
        "TimeOfDay" => "time".to_owned(),
        "TimestampUtc" => "timestamp_utc".to_owned(),
        "ConflictHandle" => "conflict".to_owned(),
        "RowHandle" | "NewRow" => "row".to_owned(),
        "i64" => "int".to_owned(),
        other => other.to_lowercase(),
    }
}

/// The verdict of a resolver.
pub(super) fn verdict(table: &RuleTable, conflict: &Conflict, value: Dynamic) -> Read<Verdict> {
    if let Ok(word) = value.as_immutable_string_ref() {
        return match word.as_str() {
            "source" => Ok(Verdict::Source),
            "target" => Ok(Verdict::Target),
            "delete" => Ok(Verdict::Delete),
            other => {
                let near = nearest(other, ["source", "target", "delete"])
                    .map_or_else(String::new, |n| format!(" (did you mean {n:?}?)"));
                Err(Failure::invalid(format!(
                    "resolve answered {other:?}{near}; it answers source, target, delete_row, \
                     park(\"why\") or a row"
                )))
            }
        };
    }
    if let Some(handle) = value.read_lock::<RowHandle>() {
        return match *handle {
            RowHandle::Source => Ok(Verdict::Source),
            RowHandle::Target => Ok(Verdict::Target),
            RowHandle::Base | RowHandle::Given => match handle.row() {
                Some(row) => Ok(Verdict::Merged(row)),
                None => Err(Failure::invalid("resolve answered a row that is not there")),
            },
        };
    }
    if let Some(built) = value.read_lock::<Built>()
        && let Built::Park(why) = &*built
    {
        return Ok(Verdict::Park(why.to_string()));
    }
    let value = match value.try_cast_result::<NewRow>() {
        Ok(NewRow(row)) => {
            let fitted = row
                .into_iter()
                .zip(&table.columns)
                .enumerate()
                .map(|(i, (value, column))| fit(column, value, known_cells(conflict, i)))
                .collect();
            return checked(table, conflict, fitted);
        }
        Err(value) => value,
    };
    let what = described(&value);
    let Some(map) = value.try_cast::<Map>() else {
        return Err(Failure::invalid(format!(
            "resolve answered {what}; it answers source, target, delete_row, park(\"why\") or a \
             row"
        )));
    };
    checked(table, conflict, merged(table, conflict, map)?)
}

fn checked(table: &RuleTable, conflict: &Conflict, row: Vec<Value>) -> Read<Verdict> {
    answer::merged(table, conflict, &row).map_err(Failure::invalid)?;
    Ok(Verdict::Merged(row))
}

/// A merged row from a map, which must name every column and no other.
fn merged(table: &RuleTable, conflict: &Conflict, mut map: Map) -> Read<Vec<Value>> {
    let mut row = Vec::with_capacity(table.columns.len());
    for (i, column) in table.columns.iter().enumerate() {
        let Some(value) = map.remove(column.name.as_str()) else {
            return Err(Failure::invalid(format!(
                "the merged row lacks column {}; start from a whole row: \
                 conflict.source.merge(#{{ {}: … }})",
                column.name,
                map.keys().next().map_or("column", |k| k.as_str()),
            )));
        };
        let value = from_script(value)
            .map_err(|e| Failure::invalid(format!("column {}: {e}", column.name)))?;
        row.push(fit(column, value, known_cells(conflict, i)));
    }
    match map.keys().next() {
        None => Ok(row),
        Some(unknown) => Err(Failure::invalid(unknown_column(table, unknown))),
    }
}

/// A row that a transform made: its table, and its cells in the order of the columns.
pub(super) struct Made {
    pub(super) table: usize,
    pub(super) columns: Vec<usize>,
    pub(super) cells: Vec<Value>,
}

/// The rows that a transform made of one row.
pub(super) fn made(
    tables: &TransformTables,
    direction: Direction,
    given: &RuleTable,
    row: &[Value],
    value: Dynamic,
) -> Read<Vec<Made>> {
    if value.is_unit() {
        return Ok(Vec::new());
    }
    let all: &[RuleTable] = match direction {
        Direction::Forward => &tables.targets,
        Direction::Backward => std::slice::from_ref(&tables.source),
    };
    let first = usize::from(direction == Direction::Forward);
    let value = match whole_row(value, row) {
        Ok(cells) => {
            let [only] = all else {
                return Err(several(all));
            };
            return by_name(given, row, cells, only, first).map(|made| vec![made]);
        }
        Err(value) => value,
    };
    let what = described(&value);
    let Some(map) = value.try_cast::<Map>() else {
        return Err(Failure::invalid(format!(
            "transform answered {what}; it answers a map of columns, a map of tables, or () to \
             drop the row"
        )));
    };
    // With one table its name may be left out, unless the map holds nothing but that table's row.
    if let [only] = all
        && !(map.len() == 1
            && map
                .iter()
                .next()
                .is_some_and(|(k, v)| *k == only.name && (v.is_map() || is_whole_row(v))))
    {
        return one(only, first, row, map).map(|made| vec![made]);
    }
    let mut out = Vec::with_capacity(map.len());
    for (name, value) in map {
        let Some(at) = all.iter().position(|t| t.name == name.as_str()) else {
            let names = all.iter().map(|t| t.name.as_str());
            let near = nearest(&name, names)
                .map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
            return Err(Failure::invalid(format!(
                "transform answered a row for {name:?}, which is no table here{near}"
            )));
        };
        if value.is_unit() {
            continue;
        }
        let value = match whole_row(value, row) {
            Ok(cells) => {
                out.push(by_name(given, row, cells, &all[at], first + at)?);
                continue;
            }
            Err(value) => value,
        };
        let what = described(&value);
        match value.try_cast::<Map>() {
            Some(cells) => out.push(one(&all[at], first + at, row, cells)?),
            None => {
                return Err(Failure::invalid(format!(
                    "transform answered {what} for table {name}; a row is a map of columns"
                )));
            }
        }
    }
    out.sort_by_key(|made| made.table);
    Ok(out)
}

fn several(all: &[RuleTable]) -> Failure {
    let names: Vec<String> = all
        .iter()
        .map(|t| format!("{}: #{{ … }}", t.name))
        .collect();
    Failure::invalid(format!(
        "there are several tables; transform answers #{{ {} }}",
        names.join(", ")
    ))
}

fn is_whole_row(value: &Dynamic) -> bool {
    value.is::<RowHandle>() || value.is::<NewRow>()
}

/// The cells of the given row itself, or of a changed copy.
fn whole_row(value: Dynamic, row: &[Value]) -> Result<Vec<Value>, Dynamic> {
    if value.is::<RowHandle>() {
        return Ok(row.to_vec());
    }
    value.try_cast_result::<NewRow>().map(|new| new.0)
}

/// A whole row for another table, column by column of the same name.
fn by_name(
    given: &RuleTable,
    row: &[Value],
    cells: Vec<Value>,
    to: &RuleTable,
    table: usize,
) -> Read<Made> {
    let mut out = Vec::with_capacity(cells.len());
    for (column, value) in given.columns.iter().zip(cells) {
        let Some(i) = to.column(&column.name) else {
            return Err(Failure::invalid(unknown_column(to, &column.name)));
        };
        out.push((i, kept(&to.columns[i], row, value)));
    }
    Ok(sorted(table, out))
}

fn sorted(table: usize, mut cells: Vec<(usize, Value)>) -> Made {
    cells.sort_by_key(|(i, _)| *i);
    let (columns, cells) = cells.into_iter().unzip();
    Made {
        table,
        columns,
        cells,
    }
}

/// The cell as its column holds it. What came unchanged from the given row keeps the type that
/// the store gave it.
fn kept(column: &RuleColumn, given: &[Value], value: Value) -> Value {
    match given.iter().find(|v| same_for_scripts(v, &value)) {
        Some(taken_over) => taken_over.clone(),
        None => fit(column, value, std::iter::empty()),
    }
}

fn one(to: &RuleTable, table: usize, given: &[Value], map: Map) -> Read<Made> {
    let mut cells: Vec<(usize, Value)> = Vec::with_capacity(map.len());
    for (name, value) in map {
        let Some(i) = to.column(&name) else {
            return Err(Failure::invalid(unknown_column(to, &name)));
        };
        let value =
            from_script(value).map_err(|e| Failure::invalid(format!("column {name}: {e}")))?;
        cells.push((i, kept(&to.columns[i], given, value)));
    }
    Ok(sorted(table, cells))
}

/// Whether a script cannot tell the cell from its own value: an unsigned integer looks like a
/// signed one.
fn same_for_scripts(cell: &Value, made: &Value) -> bool {
    match (cell, made) {
        (Value::UInt(a), Value::Int(b)) => u64::try_from(*b) == Ok(*a),
        (Value::UInt(a), Value::Decimal(b)) => b.as_str().parse() == Ok(*a),
        _ => false,
    }
}

/// The notes of a validator on row number `row`.
pub(super) fn notes(row: usize, value: Dynamic) -> Read<Vec<Note>> {
    if value.is_unit() || value.as_bool() == Ok(true) {
        return Ok(Vec::new());
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(vec![Note {
            row,
            severity: Severity::Error,
            message: text.to_string(),
        }]);
    }
    if let Some(built) = value.read_lock::<Built>()
        && let Built::Note { error, text } = &*built
    {
        let severity = if *error {
            Severity::Error
        } else {
            Severity::Warning
        };
        return Ok(vec![Note {
            row,
            severity,
            message: text.to_string(),
        }]);
    }
    let what = described(&value);
    match value.try_cast::<rhai::Array>() {
        Some(list) if !list.iter().any(Dynamic::is_array) => list
            .into_iter()
            .map(|item| notes(row, item))
            .collect::<Read<Vec<_>>>()
            .map(|notes| notes.concat()),
        _ => Err(Failure::invalid(format!(
            "validate answered {what}; it answers () when the row is fine, error(\"…\"), \
             warning(\"…\") or a list of these"
        ))),
    }
}

/// The decision of a router.
pub(super) fn decision(value: Dynamic) -> Read<RouteDecision> {
    if let Ok(word) = value.as_immutable_string_ref() {
        let headers = Vec::new();
        return match word.as_str() {
            "monolith" => Ok(RouteDecision::Monolith { headers }),
            "service" => Ok(RouteDecision::Service { headers }),
            "default" => Ok(RouteDecision::Default),
            other => {
                let near = nearest(other, ["monolith", "service", "default"])
                    .map_or_else(String::new, |n| format!(" (did you mean {n:?}?)"));
                Err(Failure::invalid(format!(
                    "route answered {other:?}{near}; {DECISIONS}"
                )))
            }
        };
    }
    let decision = match value.read_lock::<Built>().as_deref() {
        Some(Built::Refuse { status, message }) => RouteDecision::Refuse {
            status: u16::try_from(*status).unwrap_or(0),
            message: message.to_string(),
        },
        Some(Built::To { service, headers }) => {
            let headers = headers
                .iter()
                .map(|(name, value)| {
                    if value.is_map() || value.is_array() || value.is_unit() {
                        return Err(Failure::invalid(format!(
                            "header {name} must be a text, found {}",
                            described(value)
                        )));
                    }
                    Ok((name.to_lowercase(), value.to_string()))
                })
                .collect::<Read<Vec<_>>>()?;
            if *service {
                RouteDecision::Service { headers }
            } else {
                RouteDecision::Monolith { headers }
            }
        }
        _ => {
            return Err(Failure::invalid(format!(
                "route answered {}; {DECISIONS}",
                described(&value)
            )));
        }
    };
    answer::decision(&decision).map_err(|w| Failure::invalid(w.message))?;
    Ok(decision)
}

const DECISIONS: &str = "it answers monolith, service, default_route, to_service(#{ header: \
     \"…\" }), to_monolith(…) or refuse(403, \"why\")";
