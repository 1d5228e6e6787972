//! `banyan plugin list`

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::list_conflicts;
use crate::cli::Printer;
use crate::cli::context::block_on;
use crate::config::{Config, RuleConfig, RuleSource};
use crate::error::Result;
use crate::plugin::{PluginHost, Role};
use crate::script::Script;

/// A plugin or script of the configuration.
#[derive(Debug, Serialize)]
struct Listed {
    rule: String,
    /// `plugin` or `script`.
    kind: &'static str,
    file: String,
    loaded: bool,
    /// Why not.
    error: Option<String>,
    name: String,
    version: String,
    summary: String,
    roles: Vec<&'static str>,
    blake3: String,
    pinned: bool,
    /// Conflicts that it decided.
    decided: usize,
    /// Conflicts that wait for a person after it was asked.
    waiting: usize,
    /// Why the last of them waits.
    last_reason: Option<String>,
}

impl Listed {
    fn plugin(&mut self, host: &PluginHost, name: &str, rule: &RuleConfig) -> Result<()> {
        let plugin = host.load(super::configured(name, rule)?)?;
        let info = plugin.info();
        self.name = plugin.component_name();
        self.version = info.version;
        self.summary = info.summary;
        self.roles = plugin.roles().into_iter().map(Role::interface).collect();
        self.blake3 = plugin.digest();
        Ok(())
    }

    fn script(&mut self, name: &str, rule: &RuleConfig) -> Result<()> {
        let script = Script::load(crate::cli::script::configured(name, rule)?)?;
        let info = script.info();
        self.name = info.name;
        self.version = info.version;
        self.summary = info.summary;
        self.roles = script.roles().names();
        self.blake3 = info.digest.unwrap_or_default();
        Ok(())
    }
}

/// What the migrations' records say about a rule.
#[derive(Debug, Default)]
struct Record {
    decided: usize,
    waiting: usize,
    last_reason: Option<String>,
}

pub(super) fn run(host: &PluginHost, config: &Config, printer: &mut Printer<'_>) -> Result<u8> {
    let mut records = records(config, printer)?;
    let mut listed = Vec::new();
    for (name, rule) in &config.rules {
        let (kind, path) = match &rule.source {
            RuleSource::Plugin(path) => ("plugin", path),
            RuleSource::Script(path) => ("script", path),
            RuleSource::Strategy(_) => continue,
        };
        let record = records.remove(name.as_str()).unwrap_or_default();
        let mut line = Listed {
            rule: name.clone(),
            kind,
            file: path.display().to_string(),
            loaded: false,
            error: None,
            name: String::new(),
            version: String::new(),
            summary: String::new(),
            roles: Vec::new(),
            blake3: String::new(),
            pinned: rule.blake3.is_some(),
            decided: record.decided,
            waiting: record.waiting,
            last_reason: record.last_reason,
        };
        let loaded = match &rule.source {
            RuleSource::Script(_) => line.script(name, rule),
            _ => line.plugin(host, name, rule),
        };
        match loaded {
            Err(error) => line.error = Some(error.to_string()),
            Ok(()) => line.loaded = true,
        }
        listed.push(line);
    }
    show(&listed, printer)
}

fn show(listed: &[Listed], printer: &mut Printer<'_>) -> Result<u8> {
    let failed = listed.iter().any(|l| !l.loaded);
    if printer.is_json() {
        printer.json(&listed)?;
        return Ok(u8::from(failed));
    }
    for plugin in listed {
        match &plugin.error {
            Some(error) => printer.line(format!(
                "{}: {} cannot be loaded: {error}",
                plugin.rule, plugin.kind
            ))?,
            None => printer.line(format!(
                "{}: {} {} {}, {}; blake3 {}{}",
                plugin.rule,
                plugin.kind,
                plugin.name,
                plugin.version,
                plugin.roles.join(", "),
                plugin.blake3.get(..12).unwrap_or_default(),
                if plugin.pinned { ", pinned" } else { "" }
            ))?,
        }
        printer.line(format!("  {}", plugin.file))?;
        if plugin.decided > 0 || plugin.waiting > 0 {
            printer.line(format!(
                "  decided {}, waiting {}",
                plugin.decided, plugin.waiting
            ))?;
        }
        if let Some(reason) = &plugin.last_reason {
            printer.line(format!("  last: {reason}"))?;
        }
    }
    if listed.is_empty() {
        printer.hint(
            "the configuration names no plugin and no script; begin one with banyan plugin new",
        );
    }
    Ok(u8::from(failed))
}

/// What the migrations recorded, by rule. A migration that cannot be read is left out with a hint:
/// its stores may be away, and the plugins are to be listed nevertheless.
fn records(config: &Config, printer: &mut Printer<'_>) -> Result<BTreeMap<String, Record>> {
    let mut records: BTreeMap<String, Record> = BTreeMap::new();
    for name in config.migrations.keys() {
        let conflicts = match block_on(|_| async { list_conflicts(config, name).await }) {
            Ok(conflicts) => conflicts,
            Err(error) => {
                printer.hint(format!(
                    "what was decided in migration {name} is not counted: {error}"
                ));
                continue;
            }
        };
        for conflict in conflicts {
            let text = |field: &str| conflict.get(field).and_then(serde_json::Value::as_str);
            let Some(rule) = text("rule").filter(|r| !r.is_empty()) else {
                continue;
            };
            let record = records.entry(rule.to_owned()).or_default();
            if matches!(text("outcome"), Some("open" | "waiting" | "parked")) {
                record.waiting += 1;
                if let Some(reason) = text("reason") {
                    record.last_reason = Some(reason.to_owned());
                }
            } else {
                record.decided += 1;
            }
        }
    }
    Ok(records)
}
