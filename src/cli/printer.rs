//! Where a command's output goes.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// Writes data to stdout and advice to stderr.
#[expect(missing_debug_implementations, reason = "the writers have none")]
pub struct Printer<'a> {
    out: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    json: bool,
    quiet: bool,
}

impl<'a> Printer<'a> {
    /// Writes data to `out` and advice to `errors`.
    pub fn new(out: &'a mut dyn Write, errors: &'a mut dyn Write, json: bool) -> Self {
        Self {
            out,
            errors,
            json,
            quiet: false,
        }
    }

    /// Whether data is wanted as JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// stdout itself.
    pub fn out(&mut self) -> &mut dyn Write {
        self.out
    }

    /// One line of data, in text.
    ///
    /// # Errors
    /// `Io` when stdout cannot be written.
    pub fn line(&mut self, text: impl AsRef<str>) -> Result<()> {
        writeln!(self.out, "{}", text.as_ref()).map_err(unwritable)
    }

    /// Data as JSON, on several lines for a reader's eyes.
    ///
    /// # Errors
    /// `Io` when stdout cannot be written, `Internal` when the data has no JSON form.
    pub fn json(&mut self, data: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(data).map_err(|cause| {
            Error::new(ErrorKind::Internal, "the result has no JSON form").caused_by(cause)
        })?;
        self.line(text)
    }

    /// What is going on, for whoever waits; on stderr like progress.
    pub fn note(&mut self, text: impl AsRef<str>) {
        if !self.quiet {
            // Nobody to tell is no reason to fail.
            drop(writeln!(self.errors, "{}", text.as_ref()));
        }
    }

    /// Without notes.
    #[must_use]
    pub fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    /// Advice for a person; left out with JSON.
    pub fn hint(&mut self, text: impl AsRef<str>) {
        if !self.json {
            // Advice that cannot be shown is no reason to fail.
            drop(writeln!(self.errors, "hint: {}", text.as_ref()));
        }
    }
}

fn unwritable(cause: io::Error) -> Error {
    Error::new(ErrorKind::Io, "the output cannot be written").caused_by(cause)
}
