//! Reading a strategy's settings. What is unknown is an error, never dropped.

use serde_json::Value as Json;

use crate::error::{Error, ErrorKind, Result};
use crate::rule::spelling::nearest;

use super::side::{Choice, Winner};
use super::strategy::Strategy;

/// The checked settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Columns by name; `None`: all that fit.
    pub(super) columns: Option<Vec<String>>,
    /// What decides where the strategy itself cannot.
    pub(super) otherwise: Choice,
    /// Breaks ties of time.
    pub(super) prefer: Winner,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            columns: None,
            otherwise: Choice::LastWriteWins,
            prefer: Winner::Source,
        }
    }
}

/// Reads `settings` for `strategy`.
pub(super) fn read(strategy: Strategy, settings: &Json) -> Result<Settings> {
    let mut out = Settings::default();
    let object = match settings {
        Json::Null => return Ok(out),
        Json::Object(object) => object,
        other => {
            return Err(config(format!("must be a table, found {other}")));
        }
    };
    for (name, value) in object {
        if !strategy.settings().contains(&name.as_str()) {
            return Err(unknown(strategy, name));
        }
        match name.as_str() {
            "columns" => out.columns = Some(columns(value)?),
            "otherwise" => {
                out.otherwise = one_of("otherwise", value, &Choice::ALL)?;
            }
            _ => {
                let sides = [("source", Winner::Source), ("target", Winner::Target)];
                out.prefer = one_of("prefer", value, &sides)?;
            }
        }
    }
    Ok(out)
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn unknown(strategy: Strategy, name: &str) -> Error {
    let allowed = strategy.settings();
    let mut error = config(format!("unknown setting {name:?}"));
    if let Some(nearest) = nearest(name, allowed.iter().copied()) {
        error = error.hint(format!("did you mean {nearest:?}?"));
    }
    error.hint(if allowed.is_empty() {
        "this strategy has no settings".to_owned()
    } else {
        format!("its settings are {}", allowed.join(", "))
    })
}

fn columns(value: &Json) -> Result<Vec<String>> {
    let names: Option<Vec<String>> = value.as_array().and_then(|items| {
        items
            .iter()
            .map(|i| i.as_str().map(str::to_owned))
            .collect()
    });
    match names {
        Some(names) if !names.is_empty() => Ok(names),
        _ => Err(config(format!(
            "columns must be a list of column names, found {value}"
        ))),
    }
}

fn one_of<T: Copy>(setting: &str, value: &Json, allowed: &[(&'static str, T)]) -> Result<T> {
    let names = || allowed.iter().map(|(name, _)| *name);
    let found = value.as_str();
    if let Some((_, choice)) = allowed.iter().find(|(name, _)| found == Some(name)) {
        return Ok(*choice);
    }
    let mut error = config(format!(
        "{setting} must be one of {}, found {value}",
        names().collect::<Vec<_>>().join(", ")
    ));
    if let Some(nearest) = found.and_then(|f| nearest(f, names())) {
        error = error.hint(format!("did you mean {nearest:?}?"));
    }
    Err(error)
}
