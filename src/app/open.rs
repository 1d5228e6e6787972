//! From the configuration to an opened migration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, ForeignKeys, MigrationConfig, Mode, OnConflict, StoreUrl};
use crate::database::ReadStore;
use crate::database::sqlite::SqliteStore;
use crate::error::{Error, ErrorKind, Result};
use crate::state::State;

use super::build::{MigrationSpec, Opened, TableSpec, build};
use super::rules::{RuleWatcher, Rules};

/// A store of the configuration. Fails with `Config` for engines that this version does not move.
pub fn store(config: &Config, name: &str) -> Result<SqliteStore> {
    match &config.store(name)?.url {
        StoreUrl::Sqlite { path } => Ok(SqliteStore::new(name, path)),
        other => Err(Error::new(
            ErrorKind::Config,
            format!("stores.{name}: {} databases come with a later version", other.kind()),
        )
        .hint("this version moves tables between SQLite databases: url = \"sqlite:PATH\"")),
    }
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
pub fn state_path(config: &Config) -> Result<PathBuf> {
    match &config.state.url {
        StoreUrl::Sqlite { path } => Ok(path.clone()),
        other => Err(Error::new(
            ErrorKind::Config,
            format!("state.url: a state in {} comes with a later version", other.kind()),
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
    let spec = spec(name, migration, &mut rules, &source).await?;
    let opened = build(&source, &target, &spec).await?;
    Ok((opened, rules.watcher()))
}

async fn spec(
    name: &str,
    migration: &MigrationConfig,
    rules: &mut Rules<'_>,
    source: &SqliteStore,
) -> Result<MigrationSpec> {
    let mut tables = Vec::new();
    for table in &migration.tables {
        let at = |e: Error| e.at(&table.path);
        let (resolver, on_failure) = rules.resolver(&table.on_conflict).map_err(at)?;
        let transform = table.transform.as_deref();
        let validate = table.validate.as_deref();
        tables.push(TableSpec {
            source: table.source.clone(),
            target: table.target.clone(),
            split: table.split.clone(),
            columns: table.columns.iter().flatten().cloned().collect(),
            ignore_columns: table.ignore_columns.clone(),
            key: table.key.clone(),
            transform: transform.map(|n| rules.transform(n)).transpose().map_err(at)?,
            validate: validate.map(|n| rules.validator(n)).transpose().map_err(at)?,
            resolver,
            on_failure,
            filter: table.filter.clone(),
        });
    }
    if tables.is_empty() {
        tables = all_tables(&migration.on_conflict, rules, source).await?;
    }
    Ok(MigrationSpec {
        name: name.to_owned(),
        two_way: migration.mode == Mode::TwoWay,
        check_foreign_keys: migration.options.foreign_keys == ForeignKeys::Check,
        tables,
    })
}

async fn all_tables(
    on_conflict: &OnConflict,
    rules: &mut Rules<'_>,
    source: &SqliteStore,
) -> Result<Vec<TableSpec>> {
    let (resolver, on_failure) = rules.resolver(on_conflict)?;
    Ok(source
        .tables()
        .await?
        .into_iter()
        .map(|name| TableSpec {
            source: name.clone(),
            target: name,
            split: Vec::new(),
            columns: Default::default(),
            ignore_columns: Vec::new(),
            key: Vec::new(),
            transform: None,
            validate: None,
            resolver: Arc::clone(&resolver),
            on_failure: on_failure.clone(),
            filter: None,
        })
        .collect())
}
