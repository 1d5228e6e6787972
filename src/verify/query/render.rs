//! The rows of a query as text and as JSON, while they come.

use std::collections::HashSet;
use std::fmt::Write as _;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, ErrorKind, Result};

/// Rows that decide how wide columns are.
const MEASURED_ROWS: usize = 1000;

fn unshowable(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Value, "a result cannot be shown").caused_by(e)
}

/// The names of the columns, each once: a second `id` is `id_2`.
pub(super) fn names(schema: &SchemaRef) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut names = Vec::new();
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        names.push(name);
    }
    names
}

/// Writes rows as a JSON array of objects, one a line.
#[derive(Debug)]
pub struct JsonRows {
    names: Vec<String>,
    any: bool,
}

impl JsonRows {
    /// For rows of this schema. Of columns with one name the second gets `_2`, and so on.
    #[must_use]
    pub fn new(schema: &SchemaRef) -> Self {
        Self {
            names: names(schema),
            any: false,
        }
    }

    /// The next rows.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<String> {
        let mut out = String::new();
        for row in 0..batch.num_rows() {
            out.push_str(if self.any { ",\n  " } else { "[\n  " });
            self.any = true;
            out.push_str(&Json::Object(self.row(batch, row)?).to_string());
        }
        Ok(out)
    }

    /// One row as an object.
    pub(in crate::verify) fn row(
        &self,
        batch: &RecordBatch,
        row: usize,
    ) -> Result<Map<String, Json>> {
        let cells = self.names.iter().zip(batch.columns());
        cells
            .map(|(name, column)| Ok((name.clone(), json_cell(column.as_ref(), row)?)))
            .collect()
    }

    /// What follows the last row.
    #[must_use]
    pub fn finish(self) -> &'static str {
        if self.any { "\n]\n" } else { "[]\n" }
    }
}

/// As [`crate::data::json::to_json`] has it: numbers, truth values and text as themselves, the rest
/// (bytes, floats that JSON cannot hold, times) as text.
fn json_cell(array: &dyn Array, row: usize) -> Result<Json> {
    macro_rules! number {
        ($type:ty) => {
            json!(array.as_primitive::<$type>().value(row))
        };
    }
    if array.is_null(row) {
        return Ok(Json::Null);
    }
    let float = |v: f64| {
        if v.is_finite() {
            json!(v)
        } else {
            json!(format!("{v:?}"))
        }
    };
    Ok(match array.data_type() {
        DataType::Null => Json::Null,
        DataType::Boolean => json!(array.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => json!(array.as_string::<i64>().value(row)),
        DataType::Utf8View => json!(array.as_string_view().value(row)),
        _ => json!(shown(array, row)?),
    })
}

fn shown(array: &dyn Array, row: usize) -> Result<String> {
    let formatter =
        ArrayFormatter::try_new(array, &FormatOptions::default()).map_err(unshowable)?;
    let text = formatter.value(row).try_to_string().map_err(unshowable)?;
    Ok(match array.data_type() {
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => format!("x'{text}'"),
        _ => text,
    })
}

/// Writes rows as an aligned table. The first thousand rows decide the widths; a longer cell later
/// pushes its line out.
#[derive(Debug)]
pub struct TextRows {
    names: Vec<String>,
    numbers: Vec<bool>,
    widths: Option<Vec<usize>>,
    waiting: Vec<Vec<String>>,
    /// The plan of an EXPLAIN is text on several lines, not a table.
    plan: bool,
}

impl TextRows {
    /// For rows of this schema.
    #[must_use]
    pub fn new(schema: &SchemaRef) -> Self {
        let names = names(schema);
        Self {
            plan: names == ["plan_type", "plan"],
            names,
            numbers: schema
                .fields()
                .iter()
                .map(|f| f.data_type().is_numeric())
                .collect(),
            widths: None,
            waiting: Vec::new(),
        }
    }

    /// The next rows; the text may lag behind.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<String> {
        let mut out = String::new();
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(self.names.len());
            for column in batch.columns() {
                cells.push(if column.is_null(row) {
                    "NULL".to_owned()
                } else {
                    shown(column.as_ref(), row)?
                });
            }
            if self.plan {
                let _ok = writeln!(out, "{}:\n{}\n", cells[0], cells[1].trim_end());
                continue;
            }
            let cells: Vec<String> = cells.iter().map(|cell| one_line(cell)).collect();
            if self.widths.is_some() {
                self.line(&mut out, &cells);
            } else {
                self.waiting.push(cells);
                if self.waiting.len() >= MEASURED_ROWS {
                    self.begin(&mut out);
                }
            }
        }
        Ok(out)
    }

    /// The rest.
    #[must_use]
    pub fn finish(mut self) -> String {
        let mut out = String::new();
        if self.widths.is_none() && !self.plan {
            self.begin(&mut out);
        }
        out
    }

    fn begin(&mut self, out: &mut String) {
        let width = |i: usize| {
            let cells = self.waiting.iter().map(|row| row[i].chars().count());
            cells
                .chain([self.names[i].chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.names.len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|&w| "-".repeat(w)).collect();
        self.widths = Some(widths);
        self.line(out, &self.names.clone());
        self.line(out, &rule);
        for row in std::mem::take(&mut self.waiting) {
            self.line(out, &row);
        }
    }

    fn line(&self, out: &mut String, cells: &[String]) {
        let mut line = String::new();
        for (i, cell) in cells.iter().enumerate() {
            let width = self.widths.as_ref().map_or(0, |w| w[i]);
            let gap = if i == 0 { "" } else { "  " };
            let _ok = if self.numbers[i] {
                write!(line, "{gap}{cell:>width$}")
            } else {
                write!(line, "{gap}{cell:<width$}")
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Control characters would break the table, or the terminal.
fn one_line(cell: &str) -> String {
    if cell.chars().any(char::is_control) {
        cell.escape_debug().to_string()
    } else {
        cell.to_owned()
    }
}
