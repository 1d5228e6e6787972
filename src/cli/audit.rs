//! `banyan audit`

use std::path::Path;

use crate::app::{AuditLog, state_folder};
use crate::error::Result;

use super::Printer;
use super::context::load;

/// The log of repairs and verifications, in which nothing can be changed unnoticed
#[derive(clap::Args, Debug)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    pub(super) command: AuditCommand,
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// Check that no byte of the log was changed and no entry is missing; exit 1 if one was
    Verify,
    /// Print the entries, oldest first, a JSON object a line
    Show,
}

pub(super) fn run(
    args: &AuditArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
) -> Result<u8> {
    let config = load(config)?;
    let log = AuditLog::in_folder(&state_folder(&config)?);
    match args.command {
        AuditCommand::Verify => {
            let summary = log.read(drop)?;
            if printer.is_json() {
                printer.json(&summary)?;
            } else {
                printer.line(&match &summary.head {
                    None => format!("{} has no entries yet", summary.file.display()),
                    Some(head) => format!(
                        "{}: {} entries, none changed; the last one is {head}",
                        summary.file.display(),
                        summary.entries
                    ),
                })?;
            }
        }
        AuditCommand::Show => {
            let mut lines = Vec::new();
            log.read(|entry| lines.push(entry.to_string()))?;
            for line in lines {
                printer.line(&line)?;
            }
        }
    }
    Ok(0)
}
