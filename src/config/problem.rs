//! A mistake in the configuration.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, ErrorKind};

/// One mistake, with everything needed to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it stands: `migrations.orders.tables[2].on_conflict`. Tables count from 0. Empty
    /// when the file as a whole is meant.
    pub path: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong, with what was found.
    pub message: String,
    /// What would be right; empty when that cannot be listed.
    pub allowed: Vec<String>,
    /// The allowed name nearest to what was found.
    pub nearest: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean \"{nearest}\"?")?;
        }
        if !self.allowed.is_empty() {
            let separator = if self.nearest.is_some() { "" } else { ";" };
            write!(f, "{separator} allowed: {}", self.allowed.join(", "))?;
        }
        Ok(())
    }
}

/// All mistakes of a file as one error, one line each.
#[must_use]
pub fn into_error(file: &Path, problems: &[Problem]) -> Error {
    let file = file.display();
    let message = match problems {
        [one] => format!("{file}: {one}"),
        many => {
            let mut text = format!("{file} has {} mistakes", many.len());
            for problem in many {
                text.push_str("\n  ");
                text.push_str(&problem.to_string());
            }
            text
        }
    };
    Error::new(ErrorKind::Config, message)
}
