//! Going on after a pause, and after changes were missed.

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::state::MigrationRecord;

use super::Opened;
use super::ending::stores_of;
use super::lease::Lease;
use super::open::{open, state};
use super::operate::install;

/// The source's tables all of whose rows are to be looked at again.
pub(super) async fn recopies(opened: &Opened) -> Result<Vec<String>> {
    let mut tables = opened.source.recopies().await?;
    tables.extend(opened.target.recopies().await?);
    tables.sort();
    tables.dedup();
    if !tables.is_empty() {
        tracing::warn!(
            tables = tables.join(", "),
            "these tables are copied once more: first what waits is carried over; then rows that \
             differ become conflicts, and rows that one side lacks come to it"
        );
    }
    Ok(tables)
}

/// Goes on after a pause. Tables of which changes were missed go on, too: all their rows are compared
/// when the sync starts. Other tables that the schema paused are looked at when the sync goes on.
pub async fn resume(config: &Config, name: &str) -> Result<MigrationRecord> {
    config.migration(name)?;
    let state = state(config).await?;
    let mut record = state.migration(name).await?;
    if record.phase.is_installed() {
        let mut has_gap = false;
        for store in stores_of(config, name)? {
            has_gap |= store.has_gap(name).await?;
        }
        match (Lease::take(state.folder(), name)?, has_gap) {
            (Some(_lease), _) => match open(config, name).await {
                Ok((opened, _)) => {
                    if opened.source.is_lost().await? {
                        opened.source.renew(&opened.target).await?;
                    }
                    if opened.target.is_lost().await? {
                        opened.target.renew(&opened.source).await?;
                    }
                    install(&opened).await?;
                    opened.source.resume().await?;
                    opened.target.resume().await?;
                }
                Err(e) if has_gap => return Err(e),
                // The sync says it when it goes on.
                Err(_) => {}
            },
            (None, true) => {
                return Err(Error::new(
                    ErrorKind::Refused,
                    format!(
                        "migration {name}: changes of a table were missed, and another banyan \
                         process works on the migration"
                    ),
                )
                .hint(format!(
                    "stop it first (Ctrl-C is safe), then banyan migration resume {name}, then \
                     start it again"
                )));
            }
            (None, false) => {}
        }
    }
    state.wish_pause(name, None).await?;
    record.paused = false;
    record.reason = None;
    record.paused_tables.clear();
    state.save(&record).await?;
    Ok(record)
}
