//! `banyan check`

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::app::{Checked, Finding, check};
use crate::config::{Config, DEFAULT_FILE, Problem, ProcessEnvironment};
use crate::error::{Error, ErrorKind, Result};

use super::Printer;
use super::context::block_on;

/// Try everything that the configuration names and list every problem at once
///
/// Reads the configuration, loads every rule, connects to every store, fits every table. Nothing
/// is written that stays. Exit code 2 when the configuration, a rule or a mapping is wrong, 3 when
/// a store cannot be worked with; notes alone are no failure. With -v also notes on what is so for
/// every migration.
#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {}

/// Lists what is wrong as data, so that an editor can read it too.
pub(super) fn run(
    _: &CheckArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
    verbose: bool,
) -> Result<u8> {
    let path = config.unwrap_or(Path::new(DEFAULT_FILE));
    match Config::load_listing(path, &ProcessEnvironment)? {
        Err(mistakes) => show_mistakes(path, &mistakes, printer),
        Ok(config) => {
            let checked = block_on(|_| async { Ok(check(&config, verbose).await) })?;
            show(&config, &checked, printer)
        }
    }
}

/// The file itself is wrong; nothing else was tried.
fn show_mistakes(path: &Path, mistakes: &[Problem], printer: &mut Printer<'_>) -> Result<u8> {
    let file = path.display();
    if printer.is_json() {
        printer.json(&json!({ "ok": false, "problems": mistakes, "notes": [] }))?;
    } else {
        for mistake in mistakes {
            printer.line(format!("{file}: {mistake}"))?;
        }
    }
    let message = match mistakes.len() {
        1 => format!("{file} has a mistake"),
        count => format!("{file} has {count} mistakes"),
    };
    Err(Error::new(ErrorKind::Config, message))
}

fn show(config: &Config, checked: &Checked, printer: &mut Printer<'_>) -> Result<u8> {
    let file = config.path.display();
    let Checked {
        problems, notes, ..
    } = checked;
    if printer.is_json() {
        let ok = Json::Bool(problems.is_empty());
        printer.json(&json!({ "ok": ok, "problems": problems, "notes": notes }))?;
    } else {
        if problems.is_empty() {
            printer.line(summary(config))?;
        }
        for problem in problems {
            line(&format!("{file}: "), problem, printer)?;
        }
        for note in notes {
            line("note: ", note, printer)?;
        }
    }
    if problems.is_empty() {
        return Ok(0);
    }
    let kind = if problems.iter().all(|p| p.is_outage) {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Config
    };
    Err(Error::new(
        kind,
        format!("{file}: {} found", count(problems.len(), "problem")),
    ))
}

fn line(label: &str, finding: &Finding, printer: &mut Printer<'_>) -> Result<()> {
    let place = match finding.path.as_str() {
        "" => String::new(),
        path => format!("{path}: "),
    };
    printer.line(format!("{label}{place}{}", finding.message))?;
    for hint in &finding.hints {
        printer.line(format!("  → {hint}"))?;
    }
    Ok(())
}

fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn summary(config: &Config) -> String {
    format!(
        "{} is right: {}, {}, {}",
        config.path.display(),
        count(config.stores.len(), "store"),
        count(config.rules.len(), "rule"),
        count(config.migrations.len(), "migration"),
    )
}
