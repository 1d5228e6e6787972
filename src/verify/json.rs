//! Cells as JSON, for reports.

use serde_json::{Map, Value as Json};

use crate::data::json::to_json;
use crate::data::{Row, Value};

/// What is longer than this is cut in reports, so that they stay small.
const SHOWN_BYTES: usize = 1024;

/// Some cells of a row by the names of their columns; long ones cut, with their length.
pub(super) fn cells(names: &[String], row: &Row, columns: &[usize]) -> Map<String, Json> {
    columns
        .iter()
        .map(|&i| (names[i].clone(), cell(&row[i])))
        .collect()
}

fn cell(value: &Value) -> Json {
    let bytes = value.heap_bytes();
    if bytes <= SHOWN_BYTES {
        return to_json(value);
    }
    let text = match value {
        Value::Text(v) => v.clone(),
        other => other.to_string(),
    };
    let end = text.floor_char_boundary(SHOWN_BYTES);
    format!("{}… ({bytes} bytes)", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::cells;
    use crate::data::Value;

    #[test]
    fn long_cells_are_cut_between_characters() {
        let names = ["a".to_owned(), "b".to_owned()];
        let row = vec![Value::Text("é".repeat(600)), Value::Bytes(vec![0xab; 600])];
        let shown = cells(&names, &row, &[0, 1]);
        assert_eq!(shown["a"], format!("{}… (1200 bytes)", "é".repeat(512)));
        assert_eq!(shown["b"], format!("x'{}'", "ab".repeat(600)));
    }
}
