//! `banyan init`

use std::fs::OpenOptions;
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::Path;

use serde_json::json;

use crate::config::{DEFAULT_FILE, TEMPLATE};
use crate::error::{Error, ErrorKind, Result};

use super::Printer;

/// Write a commented banyan.toml
#[derive(clap::Args, Debug)]
pub(super) struct InitArgs {}

/// Writes the configuration, never over one that is there.
pub(super) fn run(_: &InitArgs, printer: &mut Printer<'_>, config: Option<&Path>) -> Result<u8> {
    let path = config.unwrap_or(Path::new(DEFAULT_FILE));
    let file = path.display();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut opened| {
            let written = opened.write_all(TEMPLATE.as_bytes());
            if written.is_err() {
                // Half a file would be refused by the next `init` and pass for a whole one.
                std::fs::remove_file(path).ok();
            }
            written
        });
    written.map_err(|cause| match cause.kind() {
        IoErrorKind::AlreadyExists => {
            Error::new(ErrorKind::Refused, format!("{file} is there already"))
                .hint("`banyan check` says whether it is right")
                .hint("`--config FILE` writes another one")
        }
        IoErrorKind::NotFound => Error::new(
            ErrorKind::NotFound,
            format!("there is no folder for {file}"),
        )
        .hint("make the folder first"),
        _ => Error::new(ErrorKind::Io, format!("{file} cannot be written")).caused_by(cause),
    })?;
    if printer.is_json() {
        printer.json(&json!({ "written": path }))?;
    } else {
        printer.line(format!("wrote {file}"))?;
    }
    printer.hint(format!(
        "name your databases in {file}, then run `banyan check`"
    ));
    Ok(0)
}
