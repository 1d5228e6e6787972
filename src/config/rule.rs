//! `[rules.NAME]`: a plugin, a script or a built-in strategy with settings.

use std::path::PathBuf;

use super::document::{Section, Text};
use super::strategy::BUILT_IN_STRATEGIES;

/// A rule, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleConfig {
    /// Who answers.
    pub source: RuleSource,
    /// blake3 of the artefact in lower-case hex; anything else is refused when it is loaded.
    pub blake3: Option<String>,
    /// Handed to the rule as it is; an object.
    pub settings: serde_json::Value,
    /// What it may use.
    pub limits: RuleLimits,
    /// What happens when it fails.
    pub on_failure: OnFailure,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// A WASM component.
    Plugin(PathBuf),
    /// A Rhai script.
    Script(PathBuf),
    /// A built-in strategy, one of [`BUILT_IN_STRATEGIES`].
    Strategy(String),
}

impl RuleSource {
    /// The file, for plugins and scripts.
    #[must_use]
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Plugin(path) | Self::Script(path) => Some(path),
            Self::Strategy(_) => None,
        }
    }
}

/// What a rule may use for one batch; `None` is the host's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RuleLimits {
    /// Memory, in MiB.
    pub memory_mb: Option<u32>,
    /// Time, in milliseconds.
    pub call_ms: Option<u64>,
    /// Work for a batch without rows: about the instructions of a component, the operations of a
    /// script.
    pub fuel_base: Option<u64>,
    /// Work added for each row.
    pub fuel_per_row: Option<u64>,
}

/// What happens when a rule fails.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The rows wait for a person; everything else goes on.
    #[default]
    Park,
    /// The migration stops.
    Halt,
    /// This built-in strategy decides.
    Strategy(String),
}

/// Reads `[rules.NAME]`.
pub(super) fn read(name: &str, section: Section<'_>) -> Option<RuleConfig> {
    if BUILT_IN_STRATEGIES.contains(&name) {
        section.report(section.place.problem(format!(
            "{name} is the name of a built-in strategy; give the rule another name"
        )));
    }
    let source = read_source(&section);
    let blake3 = section.filled_text("blake3").and_then(|text| {
        let hex = text.value.to_lowercase();
        let good = hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit());
        if !good {
            section.report(text.place.problem(format!(
                "found {} characters, wanted the 64 hex digits of a blake3 digest",
                text.value.chars().count()
            )));
        }
        good.then_some(hex)
    });
    if blake3.is_some() && matches!(source, Some(RuleSource::Strategy(_))) {
        section.report(
            section
                .place_of("blake3")
                .problem("a built-in strategy has no file to pin"),
        );
    }
    let settings = section.json("settings");
    let limits = section
        .section("limits")
        .map(read_limits)
        .unwrap_or_default();
    let on_failure = section.filled_text("on_failure").and_then(|text| {
        let found = match text.value.as_str() {
            "park" => Some(OnFailure::Park),
            "halt" => Some(OnFailure::Halt),
            other => BUILT_IN_STRATEGIES
                .contains(&other)
                .then(|| OnFailure::Strategy(other.to_owned())),
        };
        if found.is_none() {
            let strategies = BUILT_IN_STRATEGIES.iter().copied().filter(|s| *s != "park");
            section.report(text.place.unknown(
                format!("found \"{}\"", text.shown()),
                &text.template,
                ["park", "halt"].into_iter().chain(strategies),
            ));
        }
        found
    });
    section.finish();
    Some(RuleConfig {
        source: source?,
        blake3,
        settings,
        limits,
        on_failure: on_failure.unwrap_or_default(),
    })
}

fn read_source(section: &Section<'_>) -> Option<RuleSource> {
    let path = |text: Text| section.document.resolve_path(&text.value);
    let given: Vec<&str> = ["plugin", "script", "strategy"]
        .into_iter()
        .filter(|key| section.has(key))
        .collect();
    let plugin = section
        .filled_text("plugin")
        .map(path)
        .map(RuleSource::Plugin);
    let script = section
        .filled_text("script")
        .map(path)
        .map(RuleSource::Script);
    let strategy = section.filled_text("strategy").and_then(|text| {
        let known = BUILT_IN_STRATEGIES.contains(&text.value.as_str());
        if !known {
            section.report(text.place.unknown(
                format!("found \"{}\"", text.shown()),
                &text.template,
                BUILT_IN_STRATEGIES.iter().copied(),
            ));
        }
        known.then_some(RuleSource::Strategy(text.value))
    });
    match given.as_slice() {
        [] => {
            section.report(section.place.problem(
                "wants one of plugin (a component), script (a Rhai file) or strategy (a built-in)",
            ));
            None
        }
        [_] => plugin.or(script).or(strategy),
        several => {
            section.report(section.place.problem(format!(
                "has {}; only one may be given",
                several.join(" and ")
            )));
            None
        }
    }
}

fn read_limits(section: Section<'_>) -> RuleLimits {
    let limits = RuleLimits {
        memory_mb: section
            .integer("memory_mb", 1, 4096)
            .and_then(|mb| u32::try_from(mb).ok()),
        call_ms: section.integer("call_ms", 1, 600_000),
        fuel_base: section.integer("fuel_base", 1, 1_000_000_000_000),
        fuel_per_row: section.integer("fuel_per_row", 1, 1_000_000_000),
    };
    section.finish();
    limits
}
