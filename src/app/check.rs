//! Whether a configuration can be carried out as it is: every rule, every store, every mapping is
//! tried, and everything that is wrong is listed. Nothing is written that stays.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{Config, MigrationConfig};
use crate::database::ReadStore;
use crate::database::sqlite::{Affinity, Orphans, SqliteStore, SyncTable, shared_table};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::lifecycle::Phase;
use crate::rule::RuleTable;
use crate::rule::mapping::How;
use crate::state::probe;

use super::build::{Fitted, fit};
use super::open::{Draft, draft, state, state_folder, state_path, store};
use super::rules::Rules;

/// Something that is wrong, or that one should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where in the configuration: `stores.monolith`, `migrations.orders.tables[2]`.
    pub path: String,
    /// What it is.
    pub message: String,
    /// What to do.
    pub hints: Vec<String>,
    /// Whether a store is away, locked or full: nothing is wrong with the configuration.
    #[serde(skip)]
    pub is_outage: bool,
}

impl Finding {
    /// What the path says already is left out of the message.
    fn of(path: impl Into<String>, error: &Error) -> Self {
        let path = path.into();
        let message = error.to_string();
        let said = match path.split_once('.') {
            Some(("stores", name)) => format!("store {name}: "),
            Some(("rules", name)) => format!("rule {name}: "),
            _ => String::new(),
        };
        Self {
            message: message.strip_prefix(&said).unwrap_or(&message).to_owned(),
            path,
            hints: error.hints().to_vec(),
            is_outage: error.kind().retry() == Retry::Backoff
                || matches!(error.kind(), ErrorKind::Store | ErrorKind::Io),
        }
    }

    fn note(path: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            message: message.into(),
            hints: vec![hint.into()],
            is_outage: false,
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What keeps a migration from running.
    pub problems: Vec<Finding>,
    /// What one should know, and may leave as it is.
    pub notes: Vec<Finding>,
    /// Whether that takes in what is always so.
    verbose: bool,
}

impl Checked {
    fn problem(&mut self, path: impl Into<String>, error: &Error) {
        self.problems.push(Finding::of(path, error));
    }
}

/// Tries everything that the configuration names: the state, stores, rules, and each migration's
/// tables and mappings. `verbose` also notes what is so for every migration.
pub async fn check(config: &Config, verbose: bool) -> Checked {
    let mut checked = Checked {
        verbose,
        ..Checked::default()
    };
    let has_state = check_state(config, &mut checked);
    let reachable = check_stores(config, &mut checked).await;
    let phases = if has_state {
        phases(config, &mut checked).await
    } else {
        BTreeMap::new()
    };
    let migrations = check_rules_and_migrations(config, &reachable, &phases, &mut checked);
    if let Err(error) = migrations.await {
        checked.problem("", &error);
    }
    checked
}

/// The state is made when it is first needed; here only what would keep it from being made.
/// Answers whether there is one that can be looked into.
fn check_state(config: &Config, checked: &mut Checked) -> bool {
    let path = match state_path(config) {
        Ok(path) => path,
        Err(error) => {
            checked.problem("state.url", &error);
            return false;
        }
    };
    let there = path
        .ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("."));
    let is_file = there == path;
    let wrong = match (is_file, there.is_dir()) {
        (true, true) => Some("is a folder, not a file"),
        (true, false) if !is_database(there) => Some("is no database"),
        (false, false) => Some("is a file, not a folder"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        let error = Error::new(
            ErrorKind::Config,
            format!(
                "{} {wrong}, so the state cannot be kept there",
                there.display()
            ),
        )
        .hint("correct [state] url, or leave [state] out");
        checked.problem("state.url", &error);
    } else if let Err(error) = probe(&path) {
        checked.problem("state.url", &error);
        // What cannot be written cannot be opened as a state either.
        return false;
    }
    is_file && wrong.is_none()
}

/// An empty file becomes a database when it is first written.
fn is_database(path: &Path) -> bool {
    let mut start = [0; 16];
    match File::open(path).and_then(|mut file| file.read(&mut start)) {
        Ok(0) => true,
        Ok(_) => start.starts_with(b"SQLite format 3\0"),
        Err(_) => false,
    }
}

/// The names of the stores that can be worked with.
async fn check_stores<'a>(config: &'a Config, checked: &mut Checked) -> Vec<&'a str> {
    let mut reachable = Vec::new();
    for name in config.stores.keys() {
        let path = format!("stores.{name}");
        let inspected = match store(config, name) {
            Ok(store) => store.inspect().await,
            Err(error) => Err(error),
        };
        match inspected {
            Err(error) => checked.problem(path, &error),
            Ok(inspection) => {
                reachable.push(name.as_str());
                if !inspection.journal_mode.eq_ignore_ascii_case("wal") {
                    checked.notes.push(Finding::note(
                        &path,
                        format!(
                            "its journal_mode is {}: readers and writers block each other, your \
                             application's and Banyan's",
                            inspection.journal_mode
                        ),
                        "run PRAGMA journal_mode = WAL once in this database; it stays",
                    ));
                }
            }
        }
    }
    reachable
}

/// Where each migration stands.
async fn phases<'a>(config: &'a Config, checked: &mut Checked) -> BTreeMap<&'a str, Phase> {
    let read = async {
        let state = state(config).await?;
        let mut phases = BTreeMap::new();
        for name in config.migrations.keys() {
            phases.insert(name.as_str(), state.migration(name).await?.phase);
        }
        Ok::<_, Error>(phases)
    };
    read.await.unwrap_or_else(|error| {
        checked.problem("state.url", &error);
        BTreeMap::new()
    })
}

async fn check_rules_and_migrations(
    config: &Config,
    reachable: &[&str],
    phases: &BTreeMap<&str, Phase>,
    checked: &mut Checked,
) -> Result<()> {
    let mut rules = Rules::without_trace(config, &state_folder(config)?)?;
    let mut broken = Vec::new();
    for name in config.rules.keys() {
        if let Err(error) = rules.try_load(name) {
            checked.problem(format!("rules.{name}"), &error);
            broken.push(name.as_str());
        }
    }
    let mut used: Vec<Used> = Vec::new();
    for (name, migration) in &config.migrations {
        let stores = [&migration.source, &migration.target];
        if stores.iter().any(|s| !reachable.contains(&s.as_str())) {
            // The store is listed already.
            continue;
        }
        let path = format!("migrations.{name}");
        let mut migration = Migration {
            name,
            config: migration,
            path: &path,
            phase: phases.get(name.as_str()).copied().unwrap_or(Phase::Planned),
            source: store(config, &migration.source)?,
            target: store(config, &migration.target)?,
        };
        match migration.check(&mut rules, &broken, checked).await {
            Err(error) => checked.problem(path, &error),
            // What is over uses nothing any more.
            Ok(_) if migration.phase == Phase::Completed => {}
            Ok(uses) => {
                if let Some(error) = clash(&used, &uses) {
                    checked.problem(path.as_str(), &error);
                }
                used.extend(uses);
            }
        }
    }
    Ok(())
}

/// A table that a migration works on.
struct Used {
    migration: String,
    file: PathBuf,
    table: String,
    /// Whether Banyan writes into it.
    written: bool,
}

/// Two migrations share a table only if neither writes it: no migration sees what another writes.
fn clash(used: &[Used], uses: &[Used]) -> Option<Error> {
    let found = uses.iter().find_map(|new| {
        let mut others = used.iter();
        let other = others.find(|old| {
            old.file == new.file
                && old.table.eq_ignore_ascii_case(&new.table)
                && (old.written || new.written)
        });
        other.map(|other| (new, other))
    });
    found.map(|(new, other)| {
        shared_table(&new.migration, &other.migration, &new.table)
            .at(format!("file {}", new.file.display()))
    })
}

/// One migration whose stores can be reached.
struct Migration<'a> {
    name: &'a str,
    config: &'a MigrationConfig,
    path: &'a str,
    phase: Phase,
    source: SqliteStore,
    target: SqliteStore,
}

impl Migration<'_> {
    /// Answers which tables it works on.
    async fn check(
        &mut self,
        rules: &mut Rules<'_>,
        broken: &[&str],
        checked: &mut Checked,
    ) -> Result<Vec<Used>> {
        let drafted = draft(self.name, self.config, rules, &self.source).await?;
        for wrong in &drafted.wrong {
            // A rule that cannot be loaded is listed once, where it stands.
            if !broken.contains(&wrong.rule.as_str()) {
                checked.problem(format!("{}.{}", wrong.path, wrong.field), &wrong.error);
            }
        }
        self.check_left_out(&drafted, checked).await;
        let fitted = fit(&self.source, &self.target, &drafted.spec).await;
        for misfit in &fitted.misfits {
            let path = misfit.table.and_then(|table| drafted.paths.get(table));
            checked.problem(path.map_or(self.path, String::as_str), &misfit.error);
        }
        self.check_rule_tables(&drafted, &fitted, rules, checked);
        for (store, tables) in [
            (&self.source, &fitted.source_tables),
            (&self.target, &fitted.target_tables),
        ] {
            for error in rows_without_key(store, tables).await? {
                if self.phase.is_installed() {
                    // They wait as conflicts, and the rest goes on.
                    checked.notes.push(Finding::of(self.path, &error));
                } else {
                    checked.problem(self.path, &error);
                }
            }
        }
        self.note(&drafted, &fitted, checked).await?;
        let sides = [
            (&self.source, &fitted.source_tables, drafted.spec.two_way),
            (&self.target, &fitted.target_tables, true),
        ];
        let mut uses = Vec::new();
        for (store, tables, written) in sides {
            let path = store.path();
            let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            uses.extend(tables.iter().map(|table| Used {
                migration: self.name.to_owned(),
                file: file.clone(),
                table: table.schema.name.clone(),
                written,
            }));
        }
        Ok(uses)
    }

    /// Of a table whose transform cannot be used, at least the names can be looked up.
    async fn check_left_out(&self, drafted: &Draft, checked: &mut Checked) {
        for table in &self.config.tables {
            if drafted.paths.contains(&table.path) {
                continue;
            }
            let targets = std::iter::once(&table.target).chain(&table.split);
            let names = std::iter::once((&self.source, &table.source))
                .chain(targets.map(|name| (&self.target, name)));
            for (store, name) in names {
                if let Err(error) = store.schema(name).await {
                    checked.problem(&table.path, &error);
                }
            }
        }
    }

    /// Opens each rule with the tables that it will be given.
    fn check_rule_tables(
        &self,
        drafted: &Draft,
        fitted: &Fitted,
        rules: &mut Rules<'_>,
        checked: &mut Checked,
    ) {
        for (mapping, &origin) in fitted.mappings.iter().zip(&fitted.origins) {
            let path = drafted.paths[origin].as_str();
            let Some(table) = self.config.tables.iter().find(|t| t.path == path) else {
                continue;
            };
            let targets: Vec<&RuleTable> = mapping.targets.iter().map(|t| &t.table).collect();
            let mut whole = vec![&mapping.source.table];
            whole.extend(&targets);
            let mut asked: Vec<(&str, &str, Vec<&RuleTable>)> = Vec::new();
            if let (How::Rule(_), Some(rule)) = (&mapping.how, &table.transform) {
                asked.push(("transform", rule, whole));
            }
            for target in targets {
                asked.extend(
                    table
                        .validate
                        .as_deref()
                        .map(|r| ("validate", r, vec![target])),
                );
                asked.push(("on_conflict", table.on_conflict.name(), vec![target]));
            }
            for (field, rule, tables) in asked {
                let usable = drafted.wrong.iter().all(|w| w.rule != rule);
                if usable
                    && rules.has(rule)
                    && let Err(error) = rules.check_tables(rule, &tables)
                {
                    checked.problem(format!("{path}.{field}"), &error);
                }
            }
        }
    }

    async fn note(&self, drafted: &Draft, fitted: &Fitted, checked: &mut Checked) -> Result<()> {
        let two_way = drafted.spec.two_way;
        let checks_keys = drafted.spec.check_foreign_keys;
        let sides = [
            (&self.source, &fitted.source_tables, two_way),
            (&self.target, &fitted.target_tables, true),
        ];
        for (store, tables, is_written) in sides {
            for table in tables {
                if is_written {
                    self.note_triggers(store, table, checked);
                }
                let is_read = std::ptr::eq(store, &self.source) || two_way;
                if checks_keys && is_read && !table.schema.foreign_keys.is_empty() {
                    self.note_orphans(store, table, checked).await?;
                }
            }
            if is_written && checks_keys {
                self.note_unindexed(store, tables, checked).await?;
            }
        }
        for (n, mapping) in fitted.mappings.iter().enumerate() {
            if matches!(mapping.how, How::Columns)
                && let Some(from) = fitted.source_tables.get(n)
                && let Some(to) = (fitted.units.iter())
                    .position(|u| u.mapping == n)
                    .and_then(|u| fitted.target_tables.get(u))
            {
                self.note_lossy(from, to, checked);
            }
        }
        if !self.phase.is_installed() {
            self.note_rows_on_target(&fitted.target_tables, two_way, checked)
                .await?;
        }
        if checked.verbose && !fitted.mappings.is_empty() {
            checked.notes.push(Finding::note(
                self.path,
                "while the migration runs, SQLite refuses ALTER TABLE … DROP COLUMN for the \
                 columns that are synced: Banyan's triggers name them",
                "leave such changes until the migration is completed or aborted; adding columns \
                 and tables works",
            ));
        }
        Ok(())
    }

    /// Columns that hold some values of their counterparts in another form, for good.
    fn note_lossy(&self, from: &SyncTable, to: &SyncTable, checked: &mut Checked) {
        for (&s, &t) in from.columns.iter().zip(&to.columns) {
            let column = |table: &SyncTable, i: usize| {
                let c = &table.schema.columns[i];
                let affinity = Affinity::of_column(table.schema.strict, &c.declared_type);
                let declared = match c.declared_type.as_str() {
                    "" => "no type".to_owned(),
                    declared => declared.to_owned(),
                };
                let name = format!("column {} of table {}", c.name, table.schema.name);
                (affinity, name, declared)
            };
            let (source, target) = (column(from, s), column(to, t));
            if !source.0.may_lose_in(target.0) {
                continue;
            }
            checked.notes.push(Finding::note(
                self.path,
                format!(
                    "the source's {} ({}) is {} ({}) in the target, which changes some values for \
                     good (text that looks like a number, large numbers); rows with such a value \
                     are not carried, and wait as conflicts",
                    source.1, source.2, target.1, target.2
                ),
                "give both columns the same type, or use a transform that says what is meant",
            ));
        }
    }

    fn note_triggers(&self, store: &SqliteStore, table: &SyncTable, checked: &mut Checked) {
        let triggers = &table.schema.triggers;
        if triggers.is_empty() {
            return;
        }
        checked.notes.push(Finding::note(
            self.path,
            format!(
                "store {}: table {} has triggers of yours ({}); they do not fire for the rows \
                 that Banyan writes",
                store.name(),
                table.schema.name,
                triggers.join(", ")
            ),
            "what a trigger writes on one side arrives on the other as rows if its tables are \
             synced, too; otherwise it is missing there",
        ));
    }

    async fn note_orphans(
        &self,
        store: &SqliteStore,
        table: &SyncTable,
        checked: &mut Checked,
    ) -> Result<()> {
        let name = &table.schema.name;
        let found = match store.orphans(name).await {
            Ok(Orphans::Found(0, _)) => return Ok(()),
            Ok(Orphans::Found(count, parents)) => {
                let parents = parents.join(", ");
                let (references, lead) = match count {
                    1 => ("reference", "leads"),
                    _ => ("references", "lead"),
                };
                format!(
                    "store {}: {count} {references} of table {name} {lead} to no row of {parents}; \
                     with foreign_keys = \"check\" such rows wait for their parents",
                    store.name()
                )
            }
            Ok(Orphans::Unknown) => format!(
                "store {}: table {name} is too large to look for rows without parents here; with \
                 foreign_keys = \"check\" such rows wait for their parents",
                store.name()
            ),
            Err(error) => format!("{error}; it cannot be told which rows lack their parents"),
        };
        checked.notes.push(Finding::note(
            self.path,
            found,
            format!(
                "PRAGMA foreign_key_check({name}) lists them; mend them, or set foreign_keys = \
                 \"ignore\" in [{}]",
                self.path
            ),
        ));
        Ok(())
    }

    async fn note_unindexed(
        &self,
        store: &SqliteStore,
        tables: &[SyncTable],
        checked: &mut Checked,
    ) -> Result<()> {
        let parents: Vec<&str> = tables.iter().map(|t| t.schema.name.as_str()).collect();
        for (table, columns) in store.unindexed_children(&parents).await? {
            let columns = columns.join(", ");
            checked.notes.push(Finding::note(
                self.path,
                format!(
                    "store {}: table {table} has a foreign key on ({columns}) and no index there: \
                     each deleted parent reads the whole table",
                    store.name()
                ),
                format!(
                    "CREATE INDEX {table}_{} ON {table} ({columns})",
                    columns.replace(", ", "_")
                ),
            ));
        }
        Ok(())
    }

    async fn note_rows_on_target(
        &self,
        tables: &[SyncTable],
        two_way: bool,
        checked: &mut Checked,
    ) -> Result<()> {
        let only_there = if two_way {
            "is carried to the source"
        } else {
            "stays there"
        };
        for table in tables {
            let name = &table.schema.name;
            let (rows, more) = self.target.count_some(name).await?;
            if rows == 0 {
                continue;
            }
            let rows = match (rows, more) {
                (_, true) => format!("{rows} rows or more"),
                (1, _) => "1 row".to_owned(),
                _ => format!("{rows} rows"),
            };
            checked.notes.push(Finding::note(
                self.path,
                format!(
                    "store {}: table {name} holds {rows} before the start: where the source has \
                     another row of the same key, that is a conflict; what only the target has \
                     {only_there}",
                    self.target.name()
                ),
                format!(
                    "empty it first, or compare both: banyan verify {}",
                    self.name
                ),
            ));
        }
        Ok(())
    }
}

/// Tables with rows that have no value in a key column, so that they cannot be told apart.
pub(super) async fn rows_without_key(
    store: &SqliteStore,
    tables: &[SyncTable],
) -> Result<Vec<Error>> {
    let mut found = Vec::new();
    let mut snapshot = store.snapshot().await?;
    for table in tables {
        for &k in &table.key {
            let column = &table.schema.columns[table.columns[k]];
            if !column.nullable {
                continue;
            }
            let condition = format!("\"{}\" IS NULL", column.name.replace('"', "\"\""));
            let nulls = snapshot.count(&table.schema.name, Some(&condition)).await?;
            if nulls > 0 {
                let error = Error::new(
                    ErrorKind::Config,
                    format!(
                        "store {}: {} no value in key column {}",
                        store.name(),
                        match (nulls, &table.schema.name) {
                            (1, name) => format!("1 row of table {name} has"),
                            (_, name) => format!("{nulls} rows of table {name} have"),
                        },
                        column.name
                    ),
                );
                found.push(error.hint("give these rows a key, then start again"));
            }
        }
    }
    Ok(found)
}
