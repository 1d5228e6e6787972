//! The one error of this crate, and the one place that says what a kind of error means.
//!
//! An [`Error`] carries a [`ErrorKind`], a message that says what is wrong and where, optional
//! hints that say what to do, and its cause. Nobody matches on texts: retry, exit code and
//! severity follow from the kind alone ([`ErrorKind::exit_code`], [`ErrorKind::retry`]).

use std::fmt;

/// What went wrong, as far as the program must decide something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command line is wrong.
    Usage,
    /// The configuration is wrong.
    Config,
    /// Something the user named does not exist (file, store, table, migration, conflict).
    NotFound,
    /// A check, a gate or a comparison said no; nothing was changed.
    Refused,
    /// The store answered with an error that another try will not mend.
    Store,
    /// The store is locked or busy; another try may succeed.
    Busy,
    /// The store cannot be reached.
    Unavailable,
    /// The disk or the store is full.
    Full,
    /// The schema of a store does not fit the mapping, or changed.
    Schema,
    /// A log was recreated or lost history: going on would leave a gap.
    LogGap,
    /// Another engine has taken over; this one must stop.
    Fenced,
    /// A value cannot be represented on the other side.
    Value,
    /// A rule (plugin or script) cannot be loaded or failed.
    Rule,
    /// Reading or writing a file failed.
    Io,
    /// The program is shutting down.
    Shutdown,
    /// A bug in Banyan.
    Internal,
}

/// Whether another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again after a pause; the cause passes by itself.
    Backoff,
    /// Somebody must act first.
    Never,
}

impl ErrorKind {
    /// The exit code of the process: 1 a check or gate said no, 2 wrong usage or configuration,
    /// 3 a store, plugin or file failed.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage | Self::Config | Self::NotFound => 2,
            Self::Store
            | Self::Busy
            | Self::Unavailable
            | Self::Full
            | Self::Schema
            | Self::LogGap
            | Self::Fenced
            | Self::Value
            | Self::Rule
            | Self::Io
            | Self::Shutdown
            | Self::Internal => 3,
        }
    }

    /// Whether the operation may be tried again as it is.
    #[must_use]
    pub fn retry(self) -> Retry {
        match self {
            Self::Busy | Self::Full | Self::Unavailable => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}

/// What is wrong, where, and what to do. Cheap to move: one pointer.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind. The message names the thing and the place; no final full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            kind,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }))
    }

    /// Adds a sentence that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts the place in front of the message: `"store monolith: …"`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without its cause.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do, in order.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let text = cause.to_string();
            if !self.0.message.contains(&text) {
                write!(f, ": {text}")?;
            }
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        for hint in &self.0.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|s| s as &(dyn std::error::Error + 'static))
    }
}
