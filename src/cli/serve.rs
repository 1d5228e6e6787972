//! `banyan serve`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::app::{HostEvent, host};
use crate::error::{Error, ErrorKind, Result};

use super::Printer;
use super::context::{block_on, load};
use super::watch;

/// Host all migrations: sync them and prove their sides equal, until stopped
#[derive(clap::Args, Debug)]
pub(super) struct ServeArgs {
    /// Only these migrations of the configuration; default: all
    #[arg(value_name = "MIGRATION")]
    migrations: Vec<String>,
}

pub(super) fn run(
    args: &ServeArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
) -> Result<u8> {
    let config = Arc::new(load(config)?);
    let names = args.migrations.clone();
    block_on(|shutdown| async move {
        let (events, mut happened) = tokio::sync::mpsc::unbounded_channel();
        let hosting = host(config, names, &shutdown, events);
        tokio::pin!(hosting);
        let mut screen = Screen {
            printer,
            is_lost: false,
            differ: BTreeMap::new(),
        };
        loop {
            tokio::select! {
                ended = &mut hosting => {
                    ended?;
                    break;
                }
                Some((name, event)) = happened.recv() => screen.show(&name, &event),
            }
        }
        while let Ok((name, event)) = happened.try_recv() {
            screen.show(&name, &event);
        }
        Ok(u8::from(screen.differ.values().any(|differs| *differs)))
    })
}

/// What is shown, and what was last known.
struct Screen<'a, 'p> {
    printer: &'a mut Printer<'p>,
    /// Whether nobody can be shown anything.
    is_lost: bool,
    /// Of each migration, whether the last comparison of everything, or the proof since, found differences.
    differ: BTreeMap<String, bool>,
}

impl Screen<'_, '_> {
    /// That nobody listens is no reason to stop syncing.
    fn show(&mut self, name: &str, event: &HostEvent) {
        match event {
            HostEvent::Swept(report) => {
                self.differ.insert(name.to_owned(), !report.consistent);
            }
            HostEvent::Proof(proof) => {
                self.differ
                    .insert(name.to_owned(), proof.rows_different > 0);
            }
            HostEvent::Begun | HostEvent::Ended(_) => {}
        }
        if let Err(e) = show(self.printer, name, event)
            && !self.is_lost
        {
            self.is_lost = true;
            tracing::error!("what happens is not shown any more: {e}");
        }
    }
}

/// A line an event.
fn show(printer: &mut Printer<'_>, name: &str, event: &HostEvent) -> Result<()> {
    if printer.is_json() {
        let line = match event {
            HostEvent::Begun => json!({"migration": name, "event": "begun"}),
            HostEvent::Swept(report) => {
                json!({"migration": name, "event": "swept", "report": report})
            }
            HostEvent::Proof(proof) => json!({"migration": name, "event": "proof", "proof": proof}),
            HostEvent::Ended(error) => json!({
                "migration": name,
                "event": "ended",
                "error": error.as_ref().map(ToString::to_string),
                "hints": error.as_ref().map(|e| e.hints().to_vec()).unwrap_or_default(),
            }),
        };
        let line = serde_json::to_string(&line)
            .map_err(|e| Error::new(ErrorKind::Internal, "encode an event").caused_by(e))?;
        return printer.line(&line);
    }
    match event {
        HostEvent::Begun => printer.line(format!("{name}: syncing")),
        HostEvent::Swept(report) => printer.line(format!("{name}: {}", watch::line(report))),
        HostEvent::Proof(proof) if proof.rows_different == 0 => {
            printer.line(format!("{name}: no row differs that changed"))
        }
        HostEvent::Proof(proof) => {
            let first = proof.differences.first();
            let first = first.map_or(String::new(), |d| {
                format!("; the first: {} {} {}", d.table, d.key, d.kind)
            });
            let rows = match proof.rows_different {
                1 => "1 row differs".to_owned(),
                rows => format!("{rows} rows differ"),
            };
            printer.line(format!("{name}: {rows} after a change{first}"))
        }
        HostEvent::Ended(None) => printer.line(format!("{name}: ended")),
        HostEvent::Ended(Some(error)) => {
            printer.line(format!("{name}: ended: {error}"))?;
            for hint in error.hints() {
                printer.hint(hint);
            }
            Ok(())
        }
    }
}
