//! `[migrations.NAME.verification]`: how `banyan serve` proves a migration's sides equal, all the time.

use super::document::Section;
use super::secret::Secret;

/// What the host compares of a migration, how often, and who is told.
#[derive(Clone, Debug, PartialEq)]
pub struct VerificationConfig {
    /// Seconds between the end of one comparison of everything and the begin of the next.
    pub interval_s: u64,
    /// How closely everything is compared.
    pub level: SweepLevel,
    /// Of the time, so much is spent reading at most.
    pub busy_percent_max: u8,
    /// An alert is given when less than this is proven equal and something differs.
    pub alert_below_percent: f64,
    /// Run by the shell for an alert, with what is wrong as JSON on its stdin.
    pub alert_command: Option<String>,
    /// Gets what is wrong as JSON by POST.
    pub alert_url: Option<Secret>,
}

/// How closely everything is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SweepLevel {
    /// By digests.
    #[default]
    Hash,
    /// By every cell.
    Full,
}

impl Default for VerificationConfig {
    fn default() -> Self {
        Self {
            interval_s: 3_600,
            level: SweepLevel::Hash,
            busy_percent_max: 25,
            alert_below_percent: 100.0,
            alert_command: None,
            alert_url: None,
        }
    }
}

/// Reads the section of a migration, if it has one.
pub(super) fn read(migration: &Section<'_>) -> VerificationConfig {
    let default = VerificationConfig::default();
    let Some(section) = migration.section("verification") else {
        return default;
    };
    let read = VerificationConfig {
        interval_s: section
            .integer("interval_s", 1, 31_536_000)
            .unwrap_or(default.interval_s),
        level: section
            .choice(
                "level",
                &[("hash", SweepLevel::Hash), ("full", SweepLevel::Full)],
            )
            .unwrap_or_default(),
        busy_percent_max: section
            .integer("busy_percent_max", 1, 100)
            .and_then(|percent| u8::try_from(percent).ok())
            .unwrap_or(default.busy_percent_max),
        alert_below_percent: section
            .number("alert_below_percent", 0.0, 100.0)
            .unwrap_or(default.alert_below_percent),
        alert_command: section.filled_text("alert_command").map(|text| text.value),
        alert_url: section.url("alert_url").map(|text| Secret::new(text.value)),
    };
    section.finish();
    read
}
