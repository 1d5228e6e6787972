//! Errors of scripts, with the innermost line and column and a caret.

use std::fmt::Write as _;

use rhai::{Dynamic, EvalAltResult, ParseError, Position};

use crate::rule::{FailureKind, nearest};

use super::engine::DEPTH_MAX;
use super::spec::Limits;
use super::view;

/// The source of a script, for pointing into it.
#[derive(Debug)]
pub(super) struct Source {
    /// The file's name, as the configuration gives it.
    pub(super) file: String,
    pub(super) text: String,
}

/// How a call failed and what to tell the author.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidOutput, message)
    }
}

/// Thrown by `reject("…")` and `fatal("…")`.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) fatal: bool,
    pub(super) message: String,
}

/// Why a call was ended from outside; the token of [`rhai::Engine::on_progress`] and of the
/// memory meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Operations,
    Deadline,
    Memory,
    Size,
    Depth,
}

impl Source {
    /// The message with the place, the line and a caret under the column.
    pub(super) fn point(&self, message: &str, at: Position, note: &str) -> String {
        let mut out = message.to_owned();
        let (Some(line), column) = (at.line(), at.position().unwrap_or(1).max(1)) else {
            // Rhai keeps no position where a limit was struck. Writing to a string cannot fail.
            let _never = write!(
                out,
                "\n  --> {}{note} or a function that it calls",
                self.file
            );
            return out;
        };
        let text: String = self
            .text
            .lines()
            .nth(line - 1)
            .unwrap_or("")
            .chars()
            .map(|c| if c == '\t' { ' ' } else { c })
            .collect();
        let margin = line.to_string().len();
        let blank = " ".repeat(margin);
        let before = " ".repeat(column - 1);
        let _never = write!(
            out,
            "\n  --> {}:{line}:{column}{note}\n {blank} |\n {line} | {}\n {blank} | {before}^",
            self.file,
            text.trim_end(),
        );
        out
    }

    /// A script that does not compile.
    pub(super) fn parse_error(&self, error: &ParseError) -> String {
        let mut message = error.err_type().to_string();
        let named = |word: &str| message.contains(&format!("'{word}'"));
        let hint = if ["eval", "import", "export"].into_iter().any(named) {
            Some("a rule is one file that runs as it is written")
        } else if ["|", "||"].into_iter().any(named) {
            Some("closures are off; write a named function and pass its name: list.filter(is_open)")
        } else if named("curry") || named("this") {
            Some("functions take everything they need as arguments")
        } else {
            None
        };
        if let Some(hint) = hint {
            let _never = write!(message, " ({hint})");
        }
        self.point(&message, self.on_text(error.position()), "")
    }

    /// Where the script ends too early, behind its last word and not on an empty line below.
    fn on_text(&self, at: Position) -> Position {
        let Some(line) = at.line() else {
            return at;
        };
        let is_blank = |text: &str| text.trim().is_empty();
        let below = self.text.lines().skip(line - 1);
        if !below.clone().all(is_blank) {
            return at;
        }
        let above = self.text.lines().take(line - 1);
        let Some((n, text)) = above.enumerate().filter(|(_, t)| !is_blank(t)).last() else {
            return at;
        };
        let (Ok(line), Ok(column)) = (
            u16::try_from(n + 1),
            u16::try_from(text.trim_end().chars().count() + 1),
        ) else {
            return at;
        };
        Position::new(line, column)
    }

    /// A script that failed while it ran `function`.
    pub(super) fn failure(&self, error: EvalAltResult, function: &str, limits: &Limits) -> Failure {
        let mut chain: Vec<(String, Position)> = Vec::new();
        let mut error = error;
        while let EvalAltResult::ErrorInFunctionCall(name, _, inner, at) = error {
            chain.push((name, at));
            error = *inner;
        }
        let at = error.take_position();
        let (kind, message) = sort(&error, limits, &self.text);
        let innermost = chain.last().map_or(function, |(name, _)| name);
        let mut note = format!(" in {innermost}");
        for (i, (_, called_at)) in chain.iter().enumerate().rev() {
            let caller = if i == 0 { function } else { &chain[i - 1].0 };
            if let Some(line) = called_at.line() {
                let _never = write!(note, ", called by {caller} in line {line}");
            }
            // A deep recursion says enough with its innermost calls.
            if chain.len() - i >= 4 && i > 0 {
                let _never = write!(note, ", and {i} calls more");
                break;
            }
        }
        Failure {
            kind,
            message: self.point(&message, at, &note),
        }
    }
}

/// What an error means, and its text without a position.
fn sort(error: &EvalAltResult, limits: &Limits, text: &str) -> (FailureKind, String) {
    use EvalAltResult as E;
    match error {
        E::ErrorTerminated(token, _) => ended(token, limits),
        E::ErrorDataTooLarge(what, _) => (
            FailureKind::OutOfMemory,
            format!(
                "{what} is over the limit (limits.memory_mb = {})",
                limits.memory_mb
            ),
        ),
        E::ErrorTooManyVariables(_) => (
            FailureKind::OutOfMemory,
            "too many variables in one function".to_owned(),
        ),
        E::ErrorStackOverflow(_) => (
            FailureKind::Trapped,
            "functions call each other too deeply".to_owned(),
        ),
        E::ErrorRuntime(thrown, _) => match thrown.clone().try_cast::<Refusal>() {
            Some(refusal) if refusal.fatal => (FailureKind::Fatal, refusal.message),
            Some(refusal) => (FailureKind::Rejected, refusal.message),
            None if thrown.is_string() => (FailureKind::Trapped, thrown.to_string()),
            None => (FailureKind::Trapped, format!("threw {thrown}")),
        },
        E::ErrorPropertyNotFound(name, _) => (
            FailureKind::Trapped,
            format!("the map has no property {name:?}; ask with `\"{name}\" in map` first"),
        ),
        E::ErrorFunctionNotFound(signature, _) => {
            (FailureKind::Trapped, unknown_function(signature, text))
        }
        E::ErrorDotExpr(text, _) => (FailureKind::Trapped, unknown_property(text)),
        other => (FailureKind::Trapped, other.to_string()),
    }
}

/// Everything that scripts can call, one signature a line.
const FUNCTIONS: &str = include_str!("allowed.txt");
/// Words that are values, and easily taken for functions.
const WORDS: [&str; 7] = [
    "source",
    "target",
    "delete_row",
    "monolith",
    "service",
    "default_route",
    "settings",
];

/// Rhai's "Function not found", with what was meant. `script` is the script's text.
fn unknown_function(signature: &str, script: &str) -> String {
    let signature = signature.replace("&str | ImmutableString | String", "string");
    let signature = signature.as_str();
    let message = format!("Function not found: {signature}");
    let name = signature.split(" (").next().unwrap_or(signature);
    if WORDS.contains(&name) {
        return format!("{message}; {name} is a value: write it without ()");
    }
    let known = FUNCTIONS.lines().filter_map(|line| {
        let (name, rest) = line.split_once('(')?;
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then_some((name, rest))
    });
    let forms: Vec<&str> = known
        .clone()
        .filter(|(n, _)| *n == name)
        .filter_map(|(_, rest)| rest.rsplit_once(')').map(|(arguments, _)| arguments))
        .collect();
    if !forms.is_empty() {
        let forms: Vec<String> = forms
            .iter()
            .take(4)
            .map(|arguments| {
                let types = arguments
                    .split(", ")
                    .map(|a| a.rsplit_once(": ").map_or(a, |(_, kind)| kind));
                format!("{name}({})", types.collect::<Vec<_>>().join(", "))
            })
            .collect();
        return format!("{message}; there is {}", forms.join(", "));
    }
    let own = script.split("fn ").skip(1).filter_map(|rest| {
        let name = rest.trim_start().split('(').next()?;
        Some(name.trim())
    });
    match nearest(name, known.map(|(n, _)| n).chain(own)) {
        Some(near) => format!("{message}; did you mean {near}?"),
        None => message,
    }
}

/// Rhai's "Unknown property 'x' - a getter is not registered for type 'y'", with the nearest name.
fn unknown_property(text: &str) -> String {
    let mut quoted = text.split('\'').skip(1).step_by(2);
    let (Some(name), Some(kind)) = (quoted.next(), quoted.next()) else {
        return text.to_owned();
    };
    let known: &[&str] = match kind {
        "conflict" => &view::CONFLICT_PROPERTIES,
        "request" => &view::REQUEST_PROPERTIES,
        _ => &[],
    };
    let near = nearest(name, known.iter().copied())
        .map_or_else(String::new, |n| format!("; did you mean {n}?"));
    format!("a {kind} has no property {name:?}{near}")
}

fn ended(token: &Dynamic, limits: &Limits) -> (FailureKind, String) {
    match token.clone().try_cast::<Ended>() {
        Some(Ended::Memory) => (
            FailureKind::OutOfMemory,
            format!(
                "its variables hold more than {} MiB (limits.memory_mb)",
                limits.memory_mb
            ),
        ),
        Some(Ended::Operations) => (
            FailureKind::OutOfFuel,
            format!(
                "used more than {} operations for one row (limits.operations_per_row)",
                limits.operations_per_row
            ),
        ),
        Some(Ended::Size) => (
            FailureKind::OutOfMemory,
            format!(
                "an array or map is over the limit (limits.memory_mb = {})",
                limits.memory_mb
            ),
        ),
        Some(Ended::Depth) => (
            FailureKind::OutOfMemory,
            format!("an array or map is nested more than {DEPTH_MAX} deep"),
        ),
        _ => (
            FailureKind::Deadline,
            format!("ran longer than {} ms (limits.call_ms)", limits.call_ms),
        ),
    }
}
