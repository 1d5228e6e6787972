//! From the configuration to an opened migration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, ForeignKeys, MigrationConfig, Mode, OnConflict, StoreUrl};
use crate::database::{AnyStore, ReadStore};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::{OnFailure, Resolve};
use crate::state::State;

use super::build::{MigrationSpec, Opened, TableSpec, build, join};
use super::rules::{RuleWatcher, Rules};

/// A store of the configuration. Fails with `NotFound` when there is none of that name.
pub fn store(config: &Config, name: &str) -> Result<AnyStore> {
    let store = config.store(name)?;
    AnyStore::new(name, &store.url, store.capture)
}

/// All stores of the configuration, for queries.
pub fn stores(config: &Config) -> Result<Vec<Arc<dyn ReadStore>>> {
    config
        .stores
        .keys()
        .map(|name| Ok(Arc::new(store(config, name)?) as Arc<dyn ReadStore>))
        .collect()
}

/// Where the state lies. Fails with `Config` for a state in a server.
pub(super) fn state_path(config: &Config) -> Result<PathBuf> {
    match &config.state.url {
        StoreUrl::Sqlite { path } => Ok(path.clone()),
        other => Err(Error::new(
            ErrorKind::Config,
            format!(
                "state.url: a state in {} comes with a later version",
                other.kind()
            ),
        )
        .hint("leave [state] out, or give it url = \"sqlite:PATH\"")),
    }
}

/// Opens the state.
pub async fn state(config: &Config) -> Result<State> {
    State::open(&state_path(config)?).await
}

/// The folder in which the state, locks and compiled plugins lie.
pub fn state_folder(config: &Config) -> Result<PathBuf> {
    Ok(state_path(config)?
        .parent()
        .map_or_else(PathBuf::new, Path::to_owned))
}

/// A migration of the configuration with its rules loaded, its stores opened, its mappings fitted.
/// Nothing is written to the stores.
pub async fn open(config: &Config, name: &str) -> Result<(Opened, RuleWatcher)> {
    let migration = config.migration(name)?;
    let source = store(config, &migration.source)?;
    let target = store(config, &migration.target)?;
    let mut rules = Rules::new(config, &state_folder(config)?)?;
    let drafted = draft(name, migration, &mut rules, &source).await?;
    let mut said = BTreeSet::new();
    // A rule that cannot be loaded is said once, however often it is used.
    let wrong = drafted.wrong.into_iter();
    let wrong = wrong.filter(|w| said.insert(w.error.to_string()));
    let wrong = wrong.map(|w| w.error.at(format!("{}.{}", w.path, w.field)));
    if let Some(error) = join(wrong.collect()) {
        return Err(error);
    }
    let opened = build(&source, &target, &drafted.spec).await?;
    Ok((opened, rules.watcher()))
}

/// A rule that a table cannot use.
#[derive(Debug)]
pub(super) struct WrongRule {
    /// Where the table stands in the configuration.
    pub(super) path: String,
    /// Which of its settings names the rule.
    pub(super) field: &'static str,
    /// The rule's name.
    pub(super) rule: String,
    /// What is wrong.
    pub(super) error: Error,
}

/// A migration as far as its rules can be used.
pub(super) struct Draft {
    /// A rule that cannot be used is left out here; a table whose transform cannot be used, too.
    pub(super) spec: MigrationSpec,
    /// For each table of the specification, where it stands in the configuration.
    pub(super) paths: Vec<String>,
    /// The rules that cannot be used.
    pub(super) wrong: Vec<WrongRule>,
}

/// Loads the rules of a migration. Fails only when the source cannot be read.
pub(super) async fn draft(
    name: &str,
    migration: &MigrationConfig,
    rules: &mut Rules<'_>,
    source: &AnyStore,
) -> Result<Draft> {
    let mut draft = Draft {
        spec: MigrationSpec {
            name: name.to_owned(),
            two_way: migration.mode == Mode::TwoWay,
            check_foreign_keys: migration.options.foreign_keys == ForeignKeys::Check,
            log_kept_mb_max: migration.options.log_kept_mb_max,
            tables: Vec::new(),
        },
        paths: Vec::new(),
        wrong: Vec::new(),
    };
    for table in &migration.tables {
        let (resolver, on_failure) = draft.resolver(rules, &table.path, &table.on_conflict)?;
        let mut use_rule = Usage {
            path: &table.path,
            wrong: &mut draft.wrong,
        };
        let validate = use_rule.of("validate", table.validate.as_deref(), |n| {
            rules.validator(n)
        });
        let transform = use_rule.of("transform", table.transform.as_deref(), |n| {
            rules.transform(n)
        });
        if transform.is_none() && table.transform.is_some() {
            continue;
        }
        draft.paths.push(table.path.clone());
        draft.spec.tables.push(TableSpec {
            source: table.source.clone(),
            target: table.target.clone(),
            split: table.split.clone(),
            columns: table.columns.iter().flatten().cloned().collect(),
            ignore_columns: table.ignore_columns.clone(),
            key: table.key.clone(),
            transform,
            validate,
            resolver,
            on_failure,
            filter: table.filter.clone(),
        });
    }
    if migration.tables.is_empty() {
        let path = format!("migrations.{name}");
        let (resolver, on_failure) = draft.resolver(rules, &path, &migration.on_conflict)?;
        for table in source.tables().await? {
            draft.paths.push(path.clone());
            draft.spec.tables.push(TableSpec {
                source: table.clone(),
                target: table,
                split: Vec::new(),
                columns: BTreeMap::new(),
                ignore_columns: Vec::new(),
                key: Vec::new(),
                transform: None,
                validate: None,
                resolver: Arc::clone(&resolver),
                on_failure: on_failure.clone(),
                filter: None,
            });
        }
    }
    Ok(draft)
}

impl Draft {
    fn resolver(
        &mut self,
        rules: &mut Rules<'_>,
        path: &str,
        on_conflict: &OnConflict,
    ) -> Result<(Arc<dyn Resolve>, OnFailure)> {
        match rules.resolver(on_conflict) {
            Ok(found) => Ok(found),
            Err(error) => {
                self.wrong.push(WrongRule {
                    path: path.to_owned(),
                    field: "on_conflict",
                    rule: on_conflict.name().to_owned(),
                    error,
                });
                rules.resolver(&OnConflict::default())
            }
        }
    }
}

/// A table that uses rules.
struct Usage<'a> {
    path: &'a str,
    wrong: &'a mut Vec<WrongRule>,
}

impl Usage<'_> {
    fn of<T>(
        &mut self,
        field: &'static str,
        rule: Option<&str>,
        load: impl FnOnce(&str) -> Result<T>,
    ) -> Option<T> {
        let rule = rule?;
        match load(rule) {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                self.wrong.push(WrongRule {
                    path: self.path.to_owned(),
                    field,
                    rule: rule.to_owned(),
                    error,
                });
                None
            }
        }
    }
}
