//! Why a rule does not answer.

use std::fmt;

use crate::bindings::lifecycle::banyan::rules::types as wire;

/// Why a rule does not answer. For bugs there are panics: their text reaches the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This row can't be decided: it is parked for a person.
    Reject(String),
    /// The settings or the tables do not fit: the migration stops.
    Fatal(String),
}

impl Failure {
    /// See [`Failure::Reject`].
    pub fn reject(message: impl Into<String>) -> Self {
        Self::Reject(message.into())
    }

    /// See [`Failure::Fatal`].
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::Fatal(message.into())
    }

    /// The text.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Reject(message) | Self::Fatal(message) => message,
        }
    }

    pub(crate) fn at_row(self, row: Option<usize>) -> wire::Failure {
        match self {
            Self::Reject(message) => wire::Failure::Reject(wire::Rejection {
                row: row.map(|r| r as u32),
                message,
            }),
            Self::Fatal(message) => wire::Failure::Fatal(message),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Failure {}
