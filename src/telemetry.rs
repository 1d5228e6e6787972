//! Logs, and the names of metrics.
//!
//! Logs go to stderr, as text or, with `BANYAN_LOG_FORMAT=json`, as one JSON object a line. `-v`
//! and `-q` choose the level; `BANYAN_LOG` overrides them with a filter in the form of
//! tracing-subscriber's `EnvFilter` (`banyan::sync=debug,warn`).

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::error::{Error, ErrorKind, Result};

/// The variable that holds a filter.
pub const ENV_FILTER: &str = "BANYAN_LOG";
/// The variable that chooses the form: `text` or `json`.
pub const ENV_FORMAT: &str = "BANYAN_LOG_FORMAT";

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// A line for a person.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A filter as `EnvFilter` reads it.
    pub filter: String,
    /// How it looks.
    pub format: LogFormat,
}

impl LogOptions {
    /// From the number of `-v` less the number of `-q`, and the environment.
    ///
    /// # Errors
    /// `Usage` when a variable has a value that means nothing.
    pub fn new(verbosity: i16, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let level = match verbosity {
            ..=-2 => "off",
            -1 => "error",
            0 => "warn",
            1 => "info",
            2 => "debug",
            3.. => "trace",
        };
        // The libraries below are of interest only to somebody who asks for everything.
        let filter = match environment(ENV_FILTER).filter(|filter| !filter.trim().is_empty()) {
            Some(filter) => {
                EnvFilter::try_new(&filter).map_err(|cause| {
                    Error::new(
                        ErrorKind::Usage,
                        format!("{ENV_FILTER}={filter} is no filter for logs"),
                    )
                    .hint("write a level (error, warn, info, debug, trace) or module=level,…")
                    .caused_by(cause)
                })?;
                filter
            }
            None if verbosity < 3 => format!("off,banyan={level}"),
            None => format!("debug,banyan={level}"),
        };
        let format = match environment(ENV_FORMAT).as_deref() {
            None | Some("" | "text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("{ENV_FORMAT}={other}: allowed are text and json"),
                ));
            }
        };
        Ok(Self { filter, format })
    }
}

/// Starts logging to `writer`. Once a process; a second call changes nothing.
///
/// # Errors
/// `Usage` when the filter means nothing.
pub fn init(options: &LogOptions, writer: BoxMakeWriter) -> Result<()> {
    let filter = EnvFilter::try_new(&options.filter).map_err(|cause| {
        Error::new(
            ErrorKind::Usage,
            format!("{} is no filter for logs", options.filter),
        )
        .caused_by(cause)
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(writer);
    let started = match options.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Somebody who embeds the library may log already; that is theirs to decide.
    drop(started);
    Ok(())
}

/// The names of metrics: counters end in `_total`, everything else in its unit.
pub mod metric {
    /// Rows written by the first copy.
    pub const ROWS_COPIED: &str = "banyan_rows_copied_total";
    /// Changes applied, by direction.
    pub const CHANGES_APPLIED: &str = "banyan_changes_applied_total";
    /// Changes recognised as Banyan's own and dropped.
    pub const ECHOES_DROPPED: &str = "banyan_echoes_dropped_total";
    /// Conflicts decided, by table, kind and rule.
    pub const CONFLICTS_RESOLVED: &str = "banyan_conflicts_resolved_total";
    /// Conflicts that wait for a person.
    pub const CONFLICTS_PARKED: &str = "banyan_conflicts_parked_rows";
    /// Failures of rules, by rule and kind.
    pub const RULE_FAILURES: &str = "banyan_rule_failures_total";
    /// Time of a call into a rule.
    pub const RULE_CALL: &str = "banyan_rule_call_seconds";
    /// From the commit at one side to visibility at the other.
    pub const SYNC_LAG: &str = "banyan_sync_lag_seconds";
    /// Changes captured and not yet applied.
    pub const BACKLOG: &str = "banyan_backlog_rows";
    /// Rows compared by verification.
    pub const ROWS_VERIFIED: &str = "banyan_rows_verified_total";
    /// Rows that verification found different.
    pub const ROWS_DIFFERENT: &str = "banyan_rows_different_total";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn options(verbosity: i16, variables: &[(&str, &str)]) -> Result<LogOptions> {
        let variables: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        LogOptions::new(verbosity, |name| variables.get(name).cloned())
    }

    #[test]
    fn flags_choose_the_level_of_our_own_logs() {
        for (verbosity, filter) in [
            (-5, "off,banyan=off"),
            (-1, "off,banyan=error"),
            (0, "off,banyan=warn"),
            (1, "off,banyan=info"),
            (2, "off,banyan=debug"),
            (9, "debug,banyan=trace"),
        ] {
            assert_eq!(options(verbosity, &[]).unwrap().filter, filter);
        }
    }

    #[test]
    fn the_environment_overrides_them() {
        let chosen = options(0, &[(ENV_FILTER, "info"), (ENV_FORMAT, "json")]).unwrap();
        assert_eq!(chosen.filter, "info");
        assert_eq!(chosen.format, LogFormat::Json);
        assert_eq!(
            options(0, &[(ENV_FILTER, " ")]).unwrap().filter,
            "off,banyan=warn"
        );
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for variable in [(ENV_FILTER, "banyan=loud"), (ENV_FORMAT, "xml")] {
            let error = options(0, &[variable]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains(variable.1), "{error}");
        }
    }
}
