//! What the configuration says about a script.

use std::fmt;
use std::path::PathBuf;

/// A script to load.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptSpec {
    /// The rule's name in the configuration.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The blake3 digest that the file must have, in hex; anything else is refused.
    pub blake3: Option<String>,
    /// Handed to the script as the constant `settings`; `null` is an empty map.
    pub settings: serde_json::Value,
    /// What it may use up.
    pub limits: Limits,
}

/// What a script may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time of one call, which answers one batch, in milliseconds. The fire alarm: it depends on the
    /// machine and on what else runs there, so it should be so loose that the operations, which do
    /// not, strike first. 1,000 rows take about 2 ms.
    pub call_ms: u64,
    /// Memory of what a script's variables hold, in mebibytes. A single text may take a 64th.
    pub memory_mb: u64,
    /// Operations for one row: statements, expressions and loop rounds. The same on every machine.
    pub operations_per_row: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_ms: 1_000,
            memory_mb: 64,
            operations_per_row: 100_000,
        }
    }
}

impl Limits {
    /// The longest text, in bytes.
    pub(super) fn text_bytes(&self) -> usize {
        let bytes = self.memory_mb.saturating_mul(1 << 20) / 64;
        usize::try_from(bytes.clamp(64 << 10, 16 << 20)).unwrap_or(64 << 10)
    }

    /// What all variables may hold together, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        usize::try_from(self.memory_mb.max(1).saturating_mul(1 << 20)).unwrap_or(usize::MAX)
    }
}

/// The questions that a script answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// It has `fn resolve(conflict)`.
    pub resolve: bool,
    /// It has `fn transform(row, direction)`.
    pub transform: bool,
    /// It has `fn validate(row)`.
    pub validate: bool,
    /// It has `fn route(request)`.
    pub route: bool,
}

impl Roles {
    /// The names, in order.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [
            (self.resolve, "resolve"),
            (self.transform, "transform"),
            (self.validate, "validate"),
            (self.route, "route"),
        ]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect()
    }

    /// The roles of `before` that are gone.
    pub(super) fn missing_from(self, before: Self) -> Vec<&'static str> {
        let now = self.names();
        before
            .names()
            .into_iter()
            .filter(|name| !now.contains(name))
            .collect()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}
