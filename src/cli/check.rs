//! `banyan check`

use std::path::Path;

use serde_json::json;

use crate::config::{Config, DEFAULT_FILE, ProcessEnvironment};
use crate::error::{Error, ErrorKind, Result};

use super::Printer;

/// Read the configuration and list every mistake in it
#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {}

/// Lists what is wrong as data, so that an editor can read it too.
pub(super) fn run(_: &CheckArgs, printer: &mut Printer<'_>, config: Option<&Path>) -> Result<u8> {
    let path = config.unwrap_or(Path::new(DEFAULT_FILE));
    let checked = Config::load_listing(path, &ProcessEnvironment)?;
    let file = path.display();
    let problems = checked.as_ref().err().map_or(&[][..], Vec::as_slice);
    if printer.is_json() {
        printer.json(&json!({ "ok": problems.is_empty(), "problems": problems }))?;
    } else {
        for problem in problems {
            printer.line(format!("{file}: {problem}"))?;
        }
    }
    match (problems.len(), checked) {
        (0, Ok(config)) => {
            if !printer.is_json() {
                printer.line(summary(&config))?;
            }
            Ok(0)
        }
        (1, _) => Err(Error::new(
            ErrorKind::Config,
            format!("{file} has a mistake"),
        )),
        (count, _) => Err(Error::new(
            ErrorKind::Config,
            format!("{file} has {count} mistakes"),
        )),
    }
}

fn summary(config: &Config) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    format!(
        "{} is right: {}, {}, {}",
        config.path.display(),
        count(config.stores.len(), "store"),
        count(config.rules.len(), "rule"),
        count(config.migrations.len(), "migration"),
    )
}
