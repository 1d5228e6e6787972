//! `[migrations.NAME]`: which tables move from where to where, and how.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Section, Text};
use super::rule::{RuleConfig, RuleSource};
use super::store::StoreConfig;
use super::strategy::BUILT_IN_STRATEGIES;
use super::verification::{self, VerificationConfig};

/// A migration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct MigrationConfig {
    /// Name of the store that the tables come from.
    pub source: String,
    /// Name of the store that they go to.
    pub target: String,
    /// Whether changes also go back.
    pub mode: Mode,
    /// Who decides conflicts where a table says nothing else.
    pub on_conflict: OnConflict,
    /// Its tables. Empty: every table of the source, by name.
    pub tables: Vec<TableConfig>,
    /// How it runs.
    pub options: MigrationOptions,
    /// How the host proves both sides equal.
    pub verification: VerificationConfig,
}

/// Which way changes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// From the source to the target.
    #[default]
    OneWay,
    /// Both ways.
    TwoWay,
}

impl Mode {
    /// `one-way` or `two-way`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneWay => "one-way",
            Self::TwoWay => "two-way",
        }
    }
}

/// Who decides conflicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// A built-in strategy with its default settings, one of
    /// [`BUILT_IN_STRATEGIES`](super::BUILT_IN_STRATEGIES).
    Strategy(String),
    /// A rule of the configuration.
    Rule(String),
}

impl OnConflict {
    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Strategy(name) | Self::Rule(name) => name,
        }
    }
}

impl Default for OnConflict {
    /// Nothing is decided for somebody who has not said how.
    fn default() -> Self {
        Self::Strategy("park".to_owned())
    }
}

/// One table of a migration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct TableConfig {
    /// Its name in the source.
    pub source: String,
    /// Its name in the target.
    pub target: String,
    /// Further target tables that the transform writes.
    pub split: Vec<String>,
    /// Target column → source column, in the order of the file. `None`: all, by name.
    pub columns: Option<Vec<(String, String)>>,
    /// Target columns that are neither written nor compared.
    pub ignore_columns: Vec<String>,
    /// By how much numbers of target columns may differ without being a difference.
    pub tolerance: BTreeMap<String, f64>,
    /// Target columns that identify a row, for tables that declare no key. Empty: as declared.
    pub key: Vec<String>,
    /// The rule that reshapes its rows.
    pub transform: Option<String>,
    /// The rule that says which rows may be there.
    pub validate: Option<String>,
    /// Who decides its conflicts; the migration's where the table says nothing.
    pub on_conflict: OnConflict,
    /// Which source rows take part, as a SQL condition.
    pub filter: Option<String>,
    /// Where it stands: `migrations.orders.tables[2]`.
    pub path: String,
    /// The line in the file, from 1.
    pub line: usize,
}

/// What is done about foreign keys of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ForeignKeys {
    /// They are enforced; a child waits for its parent.
    #[default]
    Check,
    /// They are not enforced while Banyan writes.
    Ignore,
}

/// What is done about a nullable column that one side gets while the migration runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddedColumns {
    /// The table waits until somebody has decided.
    #[default]
    Pause,
    /// The other side gets it as well, and it is carried over.
    Carry,
}

/// How a migration runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MigrationOptions {
    /// Rows of one write batch, at most. A source transaction is never cut.
    pub batch_rows: u64,
    /// Rows of one chunk of the snapshot; `None`: what suits the stores.
    pub chunk_rows: Option<u64>,
    /// What is done about foreign keys of the target.
    pub foreign_keys: ForeignKeys,
    /// What is done about columns that are added meanwhile.
    pub added_columns: AddedColumns,
    /// Rows copied each second, at most; `None` is as fast as it goes.
    pub copy_rows_per_s_max: Option<u64>,
    /// So much of its log may a server keep for us, in MiB, before it is said aloud.
    pub log_kept_mb_max: u64,
}

impl Default for MigrationOptions {
    fn default() -> Self {
        Self {
            batch_rows: 5_000,
            chunk_rows: None,
            foreign_keys: ForeignKeys::Check,
            added_columns: AddedColumns::Pause,
            copy_rows_per_s_max: None,
            log_kept_mb_max: 10_240,
        }
    }
}

/// What the names in a migration refer to. `None` stands for an entry with mistakes of its own:
/// its name is known, its content is not.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) stores: &'a BTreeMap<String, Option<StoreConfig>>,
    pub(super) rules: &'a BTreeMap<String, Option<RuleConfig>>,
}

/// Reads `[migrations.NAME]`.
pub(super) fn read(section: Section<'_>, known: Known<'_>) -> Option<MigrationConfig> {
    let source = store(&section, "source", known);
    let target = store(&section, "target", known);
    if let (Some(source), Some(target)) = (&source, &target) {
        check_apart(&section, source, target, known);
    }
    let mode = section.choice(
        "mode",
        &[("one-way", Mode::OneWay), ("two-way", Mode::TwoWay)],
    );
    let mode = mode.unwrap_or_default();
    let on_conflict = conflict(&section, known).unwrap_or_default();
    let tables: Vec<_> = section
        .section_list("tables")
        .into_iter()
        .map(|table| read_table(table, mode, &on_conflict, known))
        .collect();
    let options = read_options(&section);
    let verification = verification::read(&section);
    let all_read = tables.iter().all(Option::is_some);
    let tables: Vec<_> = tables.into_iter().flatten().collect();
    check_tables(&section, &tables);
    section.finish();
    Some(MigrationConfig {
        source: source?,
        target: target?,
        mode,
        on_conflict,
        tables: all_read.then_some(tables)?,
        options,
        verification,
    })
}

fn store(section: &Section<'_>, key: &'static str, known: Known<'_>) -> Option<String> {
    let text = section.required_text(key, "the name of a store")?;
    if known.stores.contains_key(&text.value) {
        return Some(text.value);
    }
    section.report(text.place.unknown(
        format!(
            "found \"{}\", but there is no [stores.{}]",
            text.shown(),
            text.shown()
        ),
        &text.template,
        known.stores.keys().map(String::as_str),
    ));
    None
}

fn check_apart(section: &Section<'_>, source: &str, target: &str, known: Known<'_>) {
    let url = |name| known.stores.get(name)?.as_ref().map(|store| &store.url);
    let problem = if source == target {
        format!("found \"{target}\", which is also the source; a migration joins two stores")
    } else if url(source).is_some() && url(source) == url(target) {
        format!("found \"{target}\", which is the same database as the source, \"{source}\"")
    } else {
        return;
    };
    section.report(section.place_of("target").problem(problem));
}

fn conflict(section: &Section<'_>, known: Known<'_>) -> Option<OnConflict> {
    let text = section.filled_text("on_conflict")?;
    if BUILT_IN_STRATEGIES.contains(&text.value.as_str()) {
        return Some(OnConflict::Strategy(text.value));
    }
    if known.rules.contains_key(&text.value) {
        return Some(OnConflict::Rule(text.value));
    }
    let rules = known.rules.keys().map(String::as_str);
    section.report(text.place.unknown(
        format!(
            "found \"{}\", which is neither a rule nor a built-in strategy",
            text.shown()
        ),
        &text.template,
        rules.chain(BUILT_IN_STRATEGIES.iter().copied()),
    ));
    None
}

/// A key that names a plugin or a script.
fn rule(section: &Section<'_>, key: &'static str, known: Known<'_>) -> Option<String> {
    let text = section.filled_text(key)?;
    match known.rules.get(&text.value) {
        Some(Some(rule)) if matches!(rule.source, RuleSource::Strategy(_)) => {
            section.report(text.place.problem(format!(
                "found \"{}\", which is a built-in strategy and can only decide conflicts; wanted \
                 a plugin or a script",
                text.shown()
            )));
            None
        }
        Some(_) => Some(text.value),
        None => {
            section.report(text.place.unknown(
                format!("found \"{}\", but there is no such rule", text.shown()),
                &text.template,
                known.rules.keys().map(String::as_str),
            ));
            None
        }
    }
}

fn read_table(
    section: Section<'_>,
    mode: Mode,
    on_conflict: &OnConflict,
    known: Known<'_>,
) -> Option<TableConfig> {
    let source = section.required_text("source", "the name of a table");
    let target = section.filled_text("target").map(|text| text.value);
    let split = distinct(&section, section.texts("split"));
    let columns = section
        .text_map("columns")
        .map(|pairs| read_columns(&section, pairs, mode));
    let ignore_columns = distinct(&section, section.texts("ignore_columns"));
    let tolerance = section.numbers("tolerance");
    let key = distinct(&section, section.texts("key"));
    let transform = rule(&section, "transform", known);
    let validate = rule(&section, "validate", known);
    let own = conflict(&section, known);
    let filter = section.filled_text("where").map(|text| text.value);

    if section.has("transform") && section.has("columns") {
        section.report(section.place_of("columns").problem(
            "columns and transform are both given; the transform names the columns it writes, and \
             ignore_columns those it leaves alone",
        ));
    }
    if section.has("split") && !section.has("transform") {
        section.report(
            section
                .place_of("split")
                .problem("only a transform writes several tables; name one, or remove split"),
        );
    }
    let mapped: Vec<&str> = columns
        .iter()
        .flatten()
        .map(|(to, _)| to.as_str())
        .collect();
    for (key_name, names) in [("ignore_columns", &ignore_columns), ("key", &key)] {
        let wanted = key_name == "key";
        for name in names {
            if !mapped.is_empty() && mapped.contains(&name.as_str()) != wanted {
                let wrong = if wanted {
                    "is not in columns"
                } else {
                    "is also in columns"
                };
                section.report(section.place_of(key_name).unknown(
                    format!("found \"{name}\", which {wrong}"),
                    name,
                    mapped.iter().copied().filter(|_| wanted),
                ));
            }
        }
    }
    if let Some(name) = key.iter().find(|name| ignore_columns.contains(name)) {
        section.report(
            section
                .place_of("key")
                .problem(format!("found \"{name}\", which ignore_columns leaves out")),
        );
    }
    let (path, line) = (section.place.path.clone(), section.place.line);
    section.finish();

    let source = source?.value;
    let target = target.unwrap_or_else(|| source.clone());
    Some(TableConfig {
        source,
        target,
        split,
        columns,
        ignore_columns,
        tolerance,
        key,
        transform,
        validate,
        on_conflict: own.unwrap_or_else(|| on_conflict.clone()),
        filter,
        path,
        line,
    })
}

fn read_columns(
    section: &Section<'_>,
    pairs: Vec<(String, Text)>,
    mode: Mode,
) -> Vec<(String, String)> {
    if pairs.is_empty() {
        section.report(
            section
                .place_of("columns")
                .problem("is empty; leave it out to move all columns"),
        );
    }
    let mut taken = BTreeMap::new();
    let mut out = Vec::new();
    for (target, source) in pairs {
        let earlier = taken.insert(source.value.clone(), target.clone());
        if let (Mode::TwoWay, Some(earlier)) = (mode, earlier) {
            section.report(source.place.problem(format!(
                "found \"{}\", which {earlier} also comes from; on the way back they could \
                 disagree",
                source.shown()
            )));
        }
        out.push((target, source.value));
    }
    out
}

/// The values, with those given twice reported.
fn distinct(section: &Section<'_>, texts: Vec<Text>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for text in texts {
        if seen.insert(text.value.clone()) {
            out.push(text.value);
        } else {
            section.report(
                text.place
                    .problem(format!("found \"{}\" twice", text.shown())),
            );
        }
    }
    out
}

/// A table is read once and written once: two mappings of one table could disagree about a row.
fn check_tables(section: &Section<'_>, tables: &[TableConfig]) {
    let mut sources: BTreeMap<String, &str> = BTreeMap::new();
    let mut targets: BTreeMap<String, &str> = BTreeMap::new();
    for table in tables {
        let place = super::document::Place {
            path: table.path.clone(),
            line: table.line,
        };
        if let Some(earlier) = sources.insert(table.source.to_lowercase(), &table.path) {
            section.report(place.problem(format!(
                "the source table \"{}\" is already in {earlier}; a transform with split writes \
                 several tables from one",
                table.source
            )));
        }
        for target in std::iter::once(&table.target).chain(&table.split) {
            if let Some(earlier) = targets.insert(target.to_lowercase(), &table.path) {
                let where_else = if earlier == table.path {
                    "this entry"
                } else {
                    earlier
                };
                section.report(place.problem(format!(
                    "the target table \"{target}\" is already written by {where_else}"
                )));
            }
        }
    }
}

fn read_options(section: &Section<'_>) -> MigrationOptions {
    let default = MigrationOptions::default();
    MigrationOptions {
        batch_rows: section
            .integer("batch_rows", 1, 100_000)
            .unwrap_or(default.batch_rows),
        chunk_rows: section
            .integer("chunk_rows", 1, 1_000_000)
            .or(default.chunk_rows),
        foreign_keys: section
            .choice(
                "foreign_keys",
                &[
                    ("check", ForeignKeys::Check),
                    ("ignore", ForeignKeys::Ignore),
                ],
            )
            .unwrap_or_default(),
        added_columns: section
            .choice(
                "added_columns",
                &[
                    ("pause", AddedColumns::Pause),
                    ("carry", AddedColumns::Carry),
                ],
            )
            .unwrap_or_default(),
        copy_rows_per_s_max: section.integer("copy_rows_per_s_max", 1, 1_000_000_000),
        log_kept_mb_max: section
            .integer("log_kept_mb_max", 1, 1_000_000_000)
            .unwrap_or(default.log_kept_mb_max),
    }
}
