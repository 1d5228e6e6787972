//! `banyan migration start|status|pause|resume|complete|abort|list`

use std::path::Path;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use crate::app::{Ending, SyncRequest, end, resume, state, sync};
use crate::config::Config;
use crate::data::clock::timestamp_text;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{MigrationRecord, ProofRecord};

use super::Printer;
use super::context::{block_on, load};

/// The life of a migration
#[derive(clap::Args, Debug)]
pub(super) struct MigrationArgs {
    #[command(subcommand)]
    pub(super) verb: MigrationVerb,
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(super) enum MigrationVerb {
    /// Begin it (copy, then catch up until both sides have nothing left), or go on after a failure
    Start(NameArgs),
    /// Show how far it is and what can be done next
    Status(NameArgs),
    /// Hold it where it is; nothing is lost
    Pause(PauseArgs),
    /// Go on after a pause
    Resume(NameArgs),
    /// End it: the target owns the tables; everything that Banyan added is removed
    Complete(NameArgs),
    /// Give it up: everything that Banyan added is removed, copied rows stay
    Abort(NameArgs),
    /// List all migrations of the configuration with their phases
    List,
}

/// Which migration.
#[derive(clap::Args, Debug)]
pub(super) struct NameArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,
}

/// Which migration, and why.
#[derive(clap::Args, Debug)]
pub(super) struct PauseArgs {
    /// The migration's name in the configuration
    pub(super) migration: String,

    /// Why, for whoever looks at its status
    #[arg(long, value_name = "TEXT", default_value = "paused by hand")]
    pub(super) reason: String,
}

pub(super) fn run(
    args: &MigrationArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
) -> Result<u8> {
    let config = load(config)?;
    let record = match &args.verb {
        MigrationVerb::List => return list(&config, printer),
        MigrationVerb::Status(args) => read(&config, &args.migration)?,
        MigrationVerb::Start(args) => {
            let request = SyncRequest {
                migration: args.migration.clone(),
                until_idle: true,
                copy_only: false,
                create_tables: false,
                board: None,
            };
            block_on(|shutdown| async {
                let shutdown = shutdown;
                sync(&config, &request, &shutdown, |_| ()).await.map(drop)
            })?;
            read(&config, &args.migration)?
        }
        MigrationVerb::Pause(args) => pause(&config, args)?,
        MigrationVerb::Resume(args) => {
            block_on(|_| async { resume(&config, &args.migration).await })?
        }
        MigrationVerb::Complete(args) => finish(&config, &args.migration, Ending::Complete)?,
        MigrationVerb::Abort(args) => finish(&config, &args.migration, Ending::Abort)?,
    };
    show(&record, printer)?;
    Ok(0)
}

fn read(config: &Config, name: &str) -> Result<MigrationRecord> {
    config.migration(name)?;
    block_on(|_| async {
        let state = state(config).await?;
        let mut record = state.migration(name).await?;
        if let Some(reason) = state.pause_wished(name).await? {
            record.paused = true;
            record.reason = Some(reason);
        }
        Ok(record)
    })
}

fn pause(config: &Config, args: &PauseArgs) -> Result<MigrationRecord> {
    let record = read(config, &args.migration)?;
    if !record.phase.is_running() {
        return Err(Error::new(
            ErrorKind::Refused,
            format!(
                "migration {} is {}, so it cannot be paused",
                args.migration, record.phase
            ),
        ));
    }
    block_on(|_| async {
        state(config)
            .await?
            .wish_pause(&args.migration, Some(&args.reason))
            .await
    })?;
    read(config, &args.migration)
}

fn finish(config: &Config, name: &str, ending: Ending) -> Result<MigrationRecord> {
    block_on(|shutdown| async move { end(config, name, ending, &shutdown).await })
}

fn with_steps(record: &MigrationRecord) -> Result<Json> {
    let mut json = serde_json::to_value(record)
        .map_err(|e| Error::new(ErrorKind::Internal, "encode a record").caused_by(e))?;
    let name = &record.migration;
    let steps: Vec<String> = if let Some(verb) = &record.ending {
        vec![format!("banyan migration {verb} {name}")]
    } else if record.paused || !record.paused_tables.is_empty() {
        vec![format!("banyan migration resume {name}")]
    } else {
        record
            .phase
            .next_steps()
            .iter()
            // It would be refused.
            .filter(|step| record.parked == 0 || **step != "migration complete")
            .map(|step| match *step {
                "check" => "banyan check".to_owned(),
                "conflict list" if record.parked > 0 => {
                    format!("banyan conflict list {name} --which open")
                }
                step => format!("banyan {step} {name}"),
            })
            .collect()
    };
    if let Some(object) = json.as_object_mut() {
        // Banyan's own memory.
        object.shift_remove("known_columns");
        object.insert("next_steps".to_owned(), json!(steps));
    }
    Ok(json)
}

fn show(record: &MigrationRecord, printer: &mut Printer<'_>) -> Result<()> {
    let data = with_steps(record)?;
    if printer.is_json() {
        return printer.json(&data);
    }
    printer.line(format!("migration {}: {}", record.migration, record.phase))?;
    if let Some(total) = record.rows_total {
        let percent = record
            .progress_percent
            .map_or(String::new(), |p| format!(" ({p:.0} %)"));
        printer.line(format!(
            "copied    {} of {total} rows{percent}",
            record.rows_copied
        ))?;
    }
    if let Some(rate) = record.rate_rows_per_s {
        printer.line(format!("rate      {rate:.0} rows/s"))?;
    }
    match record.parked {
        0 => {}
        1 => printer.line("waiting   1 conflict")?,
        parked => printer.line(format!("waiting   {parked} conflicts"))?,
    }
    if record.paused {
        printer.line(format!(
            "paused    {}",
            record.reason.as_deref().unwrap_or("")
        ))?;
    } else if let Some(reason) = &record.reason {
        printer.line(format!("reason    {reason}"))?;
    }
    for table in &record.paused_tables {
        printer.line(format!("paused    table {}: {}", table.table, table.reason))?;
    }
    for rule in &record.refused_rules {
        printer.line(format!(
            "rule      {}: its changed file is refused, the version before stays in use: {}",
            rule.rule, rule.reason
        ))?;
    }
    if let Some(proof) = &record.proof {
        printer.line(format!("proof     {}", proven(proof)))?;
    }
    if let Some(verb) = &record.ending {
        printer.line(format!("ending    {verb} was begun and is not finished"))?;
    }
    for step in data["next_steps"].as_array().into_iter().flatten() {
        if let Some(step) = step.as_str() {
            printer.hint(format!("next: {step}"));
        }
    }
    Ok(())
}

/// How far a host has proven both sides equal, in words.
fn proven(proof: &ProofRecord) -> String {
    let mut text = match proof.proven_us {
        Some(at) => {
            let by = match proof.sides.as_str() {
                "source" => "that the source committed",
                _ => "that was committed",
            };
            let at = timestamp_text(at, "Z");
            format!("everything {by} before {at} is equal")
        }
        None => "not proven equal yet".to_owned(),
    };
    match proof.rows_different {
        0 => {}
        1 => text.push_str("; 1 row differs"),
        rows => text.push_str(&format!("; {rows} rows differ")),
    }
    if let Some(first) = proof.differences.first() {
        let (table, key, kind) = (&first.table, &first.key, &first.kind);
        text.push_str(&format!(" (the first: {table} {key} {kind})"));
    }
    match proof.rows_in_flight {
        0 => {}
        1 => text.push_str("; 1 row is in flight"),
        rows => text.push_str(&format!("; {rows} rows are in flight")),
    }
    match proof.rows_untold {
        0 => {}
        rows => text.push_str(&format!(
            "; {rows} times it could not be told what the source has for a row"
        )),
    }
    if let Some(reason) = &proof.reason {
        text.push_str(&format!("; {reason}"));
    }
    text
}

fn list(config: &Config, printer: &mut Printer<'_>) -> Result<u8> {
    let mut records = Vec::new();
    for name in config.migrations.keys() {
        records.push(read(config, name)?);
    }
    if printer.is_json() {
        let all = records.iter().map(with_steps).collect::<Result<Vec<_>>>()?;
        printer.json(&all)?;
    } else {
        for record in &records {
            printer.line(format!("{}  {}", record.migration, record.phase))?;
        }
    }
    Ok(0)
}
