//! Whether a configuration can be carried out as it is: every rule, every store, every mapping is
//! tried, and everything that is wrong is listed. Nothing is written that stays.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::config::Config;
use crate::database::sqlite::shared_table;
use crate::database::{AnyStore, ReadStore, SyncTable};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::lifecycle::Phase;
use crate::state::probe;

use super::host::alert;
use super::open::{state, state_folder, state_path, store};
use super::rules::Rules;

mod migration;

use migration::Migration;

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
                for (message, hint) in inspection.notes {
                    checked.notes.push(Finding::note(&path, message, hint));
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
        if let Err(error) = alert(migration) {
            checked.problem(format!("migrations.{name}.verification.alert_url"), &error);
        }
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
    /// The database; see [`AnyStore::identity`].
    identity: String,
    /// Where that is, for people.
    place: String,
    table: String,
    /// Whether Banyan writes into it.
    written: bool,
}

/// Two migrations share a table only if neither writes it: no migration sees what another writes.
fn clash(used: &[Used], uses: &[Used]) -> Option<Error> {
    let found = uses.iter().find_map(|new| {
        let mut others = used.iter();
        let other = others.find(|old| {
            old.identity == new.identity
                && old.table.eq_ignore_ascii_case(&new.table)
                && (old.written || new.written)
        });
        other.map(|other| (new, other))
    });
    found.map(|(new, other)| {
        shared_table(&new.migration, &other.migration, &new.table).at(&new.place)
    })
}

/// Tables with rows that have no value in a key column, so that they cannot be told apart.
pub(super) async fn rows_without_key(store: &AnyStore, tables: &[SyncTable]) -> Result<Vec<Error>> {
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
