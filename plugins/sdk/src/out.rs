//! Values into columns, on the way to the host.

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::value::Value;

/// The columns of rows that all have `width` cells.
pub(crate) fn rows(width: usize, rows: &[Vec<Value<'_>>]) -> wire::Rows {
    wire::Rows {
        count: rows.len() as u32,
        columns: (0..width).map(|c| column(rows, c)).collect(),
    }
}

/// Marks a row as NULL; the flags are only made when there is one.
fn mark(nulls: &mut Vec<u8>, rows: usize, row: usize) {
    if nulls.is_empty() {
        nulls.resize(rows, 0);
    }
    nulls[row] = 1;
}

/// One column: of the kind of its first value, or of mixed kinds.
fn column(rows: &[Vec<Value<'_>>], c: usize) -> wire::Column {
    let first = rows.iter().map(|r| &r[c]).find(|v| !v.is_null());
    let mut nulls = Vec::new();
    macro_rules! plain {
        ($case:ident, $kind:ident, $v:ident => $push:expr, $empty:expr) => {{
            let mut out = Vec::with_capacity(rows.len());
            for (i, row) in rows.iter().enumerate() {
                match &row[c] {
                    Value::$kind($v) => out.push($push),
                    Value::Null => {
                        mark(&mut nulls, rows.len(), i);
                        out.push($empty);
                    }
                    _ => return mixed(rows, c),
                }
            }
            wire::Cells::$case(out)
        }};
    }
    macro_rules! long {
        ($case:ident, $kind:ident, $record:ident, $data:ident: $type:ty, $v:ident => $push:expr) => {{
            let mut ends = Vec::with_capacity(rows.len());
            let len = rows.iter().map(|row| match &row[c] {
                Value::$kind(v) => v.len(),
                _ => 0,
            });
            let mut $data = <$type>::with_capacity(len.sum());
            for (i, row) in rows.iter().enumerate() {
                match &row[c] {
                    Value::$kind($v) => $push,
                    Value::Null => mark(&mut nulls, rows.len(), i),
                    _ => return mixed(rows, c),
                }
                ends.push($data.len() as u32);
            }
            wire::Cells::$case(wire::$record { ends, data: $data })
        }};
    }
    let cells = match first {
        None | Some(Value::Null) => wire::Cells::Nothing,
        Some(Value::Bool(_)) => plain!(Boolean, Bool, v => u8::from(*v), 0),
        Some(Value::Int(_)) => plain!(Int64, Int, v => *v, 0),
        Some(Value::UInt(_)) => plain!(Uint64, UInt, v => *v, 0),
        Some(Value::Float(_)) => plain!(Float64, Float, v => *v, 0.0),
        Some(Value::Date(_)) => plain!(Date, Date, v => *v, 0),
        Some(Value::Time(_)) => plain!(Time, Time, v => *v, 0),
        Some(Value::Timestamp(_)) => plain!(Timestamp, Timestamp, v => *v, 0),
        Some(Value::TimestampUtc(_)) => plain!(TimestampUtc, TimestampUtc, v => *v, 0),
        Some(Value::Decimal(_)) => {
            long!(Decimal, Decimal, Utf8, data: String, v => data.push_str(v))
        }
        Some(Value::Text(_)) => long!(Text, Text, Utf8, data: String, v => data.push_str(v)),
        Some(Value::Json(_)) => long!(Json, Json, Utf8, data: String, v => data.push_str(v)),
        Some(Value::Bytes(_)) => {
            long!(Bytes, Bytes, Binary, data: Vec<u8>, v => data.extend_from_slice(v))
        }
        Some(Value::Uuid(_)) => {
            let mut out = Vec::with_capacity(rows.len() * 16);
            for (i, row) in rows.iter().enumerate() {
                match &row[c] {
                    Value::Uuid(v) => out.extend_from_slice(v),
                    Value::Null => {
                        mark(&mut nulls, rows.len(), i);
                        out.extend_from_slice(&[0; 16]);
                    }
                    _ => return mixed(rows, c),
                }
            }
            wire::Cells::Uuid(out)
        }
        Some(Value::Other(_)) => return mixed(rows, c),
    };
    wire::Column { nulls, cells }
}

fn mixed(rows: &[Vec<Value<'_>>], c: usize) -> wire::Column {
    let mut nulls = Vec::new();
    let mut ends = Vec::with_capacity(rows.len());
    let mut data = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        match &row[c] {
            Value::Null => mark(&mut nulls, rows.len(), i),
            value => value.encode(&mut data),
        }
        ends.push(data.len() as u32);
    }
    wire::Column {
        nulls,
        cells: wire::Cells::Other(wire::Binary { ends, data }),
    }
}

#[cfg(test)]
mod tests {
    use crate::rows::{Batch, Row};
    use crate::table::{Column, LogicalType, Table};
    use crate::value::Value;

    #[test]
    fn what_goes_out_as_columns_reads_back_the_same() {
        let rows: Vec<Vec<Value<'_>>> = vec![
            vec![Value::Null, 1i64.into(), "a".into(), Value::Null],
            vec![Value::Null, "two".into(), "".into(), Value::Uuid([1; 16])],
            vec![Value::Null, Value::Null, Value::Null, Value::Uuid([2; 16])],
            vec![Value::Null, 3.5.into(), "ä".into(), Value::Null],
        ];
        let names = ["a", "b", "c", "d"];
        let table = Table::new(
            "t",
            names
                .iter()
                .map(|n| Column {
                    name: (*n).to_owned(),
                    source_type: String::new(),
                    logical_type: LogicalType::Any,
                    nullable: true,
                })
                .collect(),
            vec![],
        );
        let out = super::rows(4, &rows);
        let batch = Batch::new(&table, &out);
        for (i, row) in rows.iter().enumerate() {
            let view = Row::new(&batch, i);
            assert_eq!(view.values().collect::<Vec<_>>(), *row);
            assert_eq!(&view["b"], &row[1]);
        }
    }
}
