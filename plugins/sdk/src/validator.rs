//! Validators: may this row be there?

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::failure::Failure;
use crate::log;
use crate::rows::{Batch, Row};
use crate::rule::Rule;
use crate::table::Table;

pub use wire::Severity;

/// Looks at rows that are about to be written, one at a time.
pub trait Validator: Rule {
    /// What there is to say about the row; nothing when it is fine.
    fn validate(&self, row: &Row<'_>) -> Result<Vec<Note>, Failure>;
}

/// Something to say about a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
}

impl Note {
    /// Worth knowing; the row goes through.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            message: message.into(),
        }
    }

    /// The row must not be there; it is parked.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
        }
    }
}

#[doc(hidden)]
pub fn run<R: Validator>(
    rule: &R,
    table: &Table,
    rows: &wire::Rows,
) -> Result<Vec<wire::Note>, wire::Failure> {
    let batch = Batch::new(table, rows);
    let mut notes = Vec::new();
    for index in 0..batch.len() {
        log::at_row(Some(index));
        let said = rule
            .validate(&Row::new(&batch, index))
            .map_err(|failure| failure.at_row(Some(index)))?;
        notes.extend(said.into_iter().map(|note| wire::Note {
            row: index as u32,
            severity: note.severity,
            message: note.message,
        }));
    }
    log::at_row(None);
    Ok(notes)
}
