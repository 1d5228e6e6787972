//! Loading the rules that a configuration names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Config, OnConflict, OnFailure as ConfiguredFailure, RuleConfig, RuleSource};
use crate::error::{Error, ErrorKind, Result};
use crate::plugin::{HostOptions, Plugin, PluginHost, PluginSpec, Reload};
use crate::rule::{OnFailure, Resolve, RuleTable, Transform, Validate, builtin};
use crate::script::{Script, ScriptSpec};
use crate::state::RefusedRule;

/// A loaded rule.
#[derive(Clone)]
enum Loaded {
    Builtin(Arc<dyn Resolve>),
    Plugin(Arc<Plugin>),
    Script(Arc<Script>),
}

/// The rules of a configuration, loaded as they are asked for.
pub struct Rules<'a> {
    config: &'a Config,
    host: PluginHost,
    loaded: BTreeMap<String, Loaded>,
}

impl std::fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules")
            .field("loaded", &self.loaded.keys())
            .finish_non_exhaustive()
    }
}

impl<'a> Rules<'a> {
    /// No rule is loaded yet. Compiled plugins are kept under `folder`.
    pub fn new(config: &'a Config, folder: &Path) -> Result<Self> {
        Self::with_cache(config, Some(folder.join("plugins")))
    }

    /// The same, leaving nothing on disk that is not there already.
    pub fn without_trace(config: &'a Config, folder: &Path) -> Result<Self> {
        Self::with_cache(config, Some(folder.join("plugins")).filter(|f| f.is_dir()))
    }

    fn with_cache(config: &'a Config, cache_dir: Option<PathBuf>) -> Result<Self> {
        Ok(Self {
            config,
            host: PluginHost::new(HostOptions { cache_dir })?,
            loaded: BTreeMap::new(),
        })
    }

    /// Loads a rule, unless it is loaded already. The error does not say where in the
    /// configuration the rule stands.
    pub(super) fn try_load(&mut self, name: &str) -> Result<()> {
        self.loaded(name).map(drop)
    }

    fn loaded(&mut self, name: &str) -> Result<Loaded> {
        if let Some(loaded) = self.loaded.get(name) {
            return Ok(loaded.clone());
        }
        let loaded = self.open(name, self.config.rule(name)?)?;
        self.loaded.insert(name.to_owned(), loaded.clone());
        Ok(loaded)
    }

    fn load(&mut self, name: &str) -> Result<Loaded> {
        self.loaded(name).map_err(|e| e.at(format!("rules.{name}")))
    }

    fn open(&self, name: &str, rule: &RuleConfig) -> Result<Loaded> {
        let limits = &rule.limits;
        match &rule.source {
            RuleSource::Strategy(strategy) => {
                builtin::strategy(strategy, &rule.settings).map(Loaded::Builtin)
            }
            RuleSource::Plugin(path) => {
                let mut spec = PluginSpec::new(name, path);
                spec.blake3.clone_from(&rule.blake3);
                spec.settings = rule.settings.clone();
                if let Some(v) = limits.memory_mb {
                    spec.limits.memory_mb = v;
                }
                if let Some(v) = limits.call_ms {
                    spec.limits.call_ms = v;
                }
                if let Some(v) = limits.fuel_base {
                    spec.limits.fuel_base = v;
                }
                if let Some(v) = limits.fuel_per_row {
                    spec.limits.fuel_per_row = v;
                }
                self.host.load(spec).map(Loaded::Plugin)
            }
            RuleSource::Script(path) => {
                let defaults = crate::script::Limits::default();
                let spec = ScriptSpec {
                    name: name.to_owned(),
                    path: path.clone(),
                    blake3: rule.blake3.clone(),
                    settings: rule.settings.clone(),
                    limits: crate::script::Limits {
                        call_ms: limits.call_ms.unwrap_or(defaults.call_ms),
                        memory_mb: limits.memory_mb.map_or(defaults.memory_mb, u64::from),
                        operations_per_row: limits
                            .fuel_per_row
                            .unwrap_or(defaults.operations_per_row),
                    },
                };
                Script::load(spec).map(Loaded::Script)
            }
        }
    }

    /// Who decides conflicts, and what happens when that fails.
    pub fn resolver(&mut self, on_conflict: &OnConflict) -> Result<(Arc<dyn Resolve>, OnFailure)> {
        match on_conflict {
            OnConflict::Strategy(name) => Ok((
                builtin::strategy(name, &serde_json::Value::Null)?,
                OnFailure::Park,
            )),
            OnConflict::Rule(name) => {
                let failure = match &self.config.rule(name)?.on_failure {
                    ConfiguredFailure::Park => OnFailure::Park,
                    ConfiguredFailure::Halt => OnFailure::Halt,
                    ConfiguredFailure::Strategy(s) => OnFailure::Strategy(s.clone()),
                };
                let resolver: Arc<dyn Resolve> = match self.load(name)? {
                    Loaded::Builtin(rule) => rule,
                    Loaded::Plugin(rule) => {
                        need(name, "resolve", &roles_of(&rule))?;
                        rule
                    }
                    Loaded::Script(rule) => {
                        need(name, "resolve", &script_roles(&rule))?;
                        rule
                    }
                };
                Ok((resolver, failure))
            }
        }
    }

    /// The transform of that name.
    pub fn transform(&mut self, name: &str) -> Result<Arc<dyn Transform>> {
        match self.load(name)? {
            Loaded::Builtin(_) => Err(wrong_role(name, "transform", &[])),
            Loaded::Plugin(rule) => {
                need(name, "transform", &roles_of(&rule))?;
                Ok(rule)
            }
            Loaded::Script(rule) => {
                need(name, "transform", &script_roles(&rule))?;
                Ok(rule)
            }
        }
    }

    /// The validator of that name.
    pub fn validator(&mut self, name: &str) -> Result<Arc<dyn Validate>> {
        match self.load(name)? {
            Loaded::Builtin(_) => Err(wrong_role(name, "validate", &[])),
            Loaded::Plugin(rule) => {
                need(name, "validate", &roles_of(&rule))?;
                Ok(rule)
            }
            Loaded::Script(rule) => {
                need(name, "validate", &script_roles(&rule))?;
                Ok(rule)
            }
        }
    }

    /// Whether a rule of that name is loaded.
    pub(super) fn has(&self, name: &str) -> bool {
        self.loaded.contains_key(name)
    }

    /// Asks a loaded rule whether it can work with these tables and its settings. Scripts and
    /// built-in strategies are not asked: they look at tables when they are given rows.
    pub(super) fn check_tables(&mut self, name: &str, tables: &[&RuleTable]) -> Result<()> {
        let Loaded::Plugin(plugin) = self.loaded(name)? else {
            return Ok(());
        };
        plugin
            .check_tables(tables)
            .map_err(|e| Error::new(ErrorKind::Rule, e.to_string()))
    }

    /// What hot-reloads: looks at the files of all loaded rules and swaps those that changed.
    #[must_use]
    pub fn watcher(&self) -> RuleWatcher {
        RuleWatcher {
            loaded: self.loaded.values().cloned().collect(),
            refused: Mutex::default(),
        }
    }
}

/// What became of changed rule files.
#[derive(Debug)]
pub struct Reloaded {
    /// The rules whose file, as it is now, is refused.
    pub refused: Vec<RefusedRule>,
    /// Whether a rule is another one now.
    pub swapped: bool,
}

/// Looks for changed rule files.
pub struct RuleWatcher {
    loaded: Vec<Loaded>,
    /// What was said about files that are refused, by rule: each is said once.
    refused: Mutex<BTreeMap<String, String>>,
}

impl std::fmt::Debug for RuleWatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleWatcher")
            .field("rules", &self.loaded.len())
            .finish()
    }
}

impl RuleWatcher {
    /// Swaps rules whose file changed. A bad file is refused, said once, and the rule in use stays.
    pub fn reload(&self) -> Reloaded {
        let mut swapped = false;
        let refused = self
            .loaded
            .iter()
            .filter_map(|rule| {
                let (name, reason) = match rule {
                    Loaded::Builtin(_) => return None,
                    // A plugin says by itself what became of its file.
                    Loaded::Plugin(rule) => {
                        swapped |= matches!(rule.reload_if_changed(), Reload::Swapped { .. });
                        (rule.name(), rule.stats().refused)
                    }
                    Loaded::Script(rule) => {
                        let name = rule.spec().name.as_str();
                        let reloaded = rule.reload_if_changed();
                        swapped |= matches!(reloaded, Ok(true));
                        (name, self.say(name, reloaded))
                    }
                };
                Some(RefusedRule {
                    rule: name.to_owned(),
                    reason: reason?,
                })
            })
            .collect();
        Reloaded { refused, swapped }
    }

    /// Why a script's changed file is refused; in the log once for each reason.
    fn say(&self, rule: &str, reloaded: Result<bool>) -> Option<String> {
        let mut said = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match reloaded {
            Ok(true) => {
                tracing::info!(rule, "script reloaded");
                said.remove(rule);
                return None;
            }
            Ok(false) => {
                if said.remove(rule).is_some() {
                    tracing::warn!(rule, "the script is again the one in use");
                }
                return None;
            }
            Err(error) => error,
        };
        let reason = error.to_string();
        if said.get(rule) != Some(&reason) {
            tracing::warn!(
                rule,
                "changed script refused, the version before stays in use: {reason}"
            );
            said.insert(rule.to_owned(), reason.clone());
        }
        Some(reason)
    }
}

fn roles_of(plugin: &Plugin) -> Vec<&'static str> {
    plugin
        .roles()
        .into_iter()
        .map(crate::plugin::Role::function)
        .collect()
}

fn script_roles(script: &Script) -> Vec<&'static str> {
    script.roles().names()
}

fn need(name: &str, role: &'static str, has: &[&'static str]) -> Result<()> {
    if has.contains(&role) {
        Ok(())
    } else {
        Err(wrong_role(name, role, has))
    }
}

fn wrong_role(name: &str, role: &str, has: &[&str]) -> Error {
    let has = if has.is_empty() {
        "nothing of the kind".to_owned()
    } else {
        has.join(", ")
    };
    Error::new(
        ErrorKind::Config,
        format!("rule {name} is used to {role}, but it can {has}"),
    )
    .hint(format!("write fn {role}(…) in it, or name another rule"))
}
