//! `banyan plugin new|build|check|test|list`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::config::{RuleConfig, RuleSource};
use crate::error::{Error, ErrorKind, Result};
use crate::plugin::build::{self, BuildOptions};
use crate::plugin::{HostOptions, Plugin, PluginHost, PluginSpec, Role, scaffold};
use crate::rule::cases::{self, CaseFile, Rules};
use crate::rule::laws::{LawOptions, LawReport};

use super::Printer;
use super::context::load;
use super::trial::{Tested, case_files, laws_alone, laws_on, show_laws};

mod list;

/// Write, build, check and test rules that are WebAssembly components
#[derive(clap::Args, Debug)]
pub(super) struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(clap::Subcommand, Debug)]
enum PluginCommand {
    /// Begin a rule: a crate that builds and passes its tests, with the SDK beside it
    New {
        /// The rule's name, and its folder's
        name: String,

        /// What it answers: resolver, transformer, validator or router
        #[arg(long, value_parser = role, default_value = "resolver")]
        role: Role,

        /// Where the folder is made
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Build a rule's crate into a component
    Build {
        /// The crate's folder
        dir: PathBuf,

        /// Where the component goes [default: DIR/NAME.wasm]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Load components and try the laws on them; exit 1 when a law fails
    ///
    /// The laws need tables: they are taken from case files.
    Check {
        /// Components, folders of crates, or names of rules in the configuration
        #[arg(required = true, value_name = "FILE|DIR|NAME")]
        plugins: Vec<String>,

        /// Case files, or folders of them, whose tables and rows the laws are tried on [default:
        /// PLUGIN.cases.toml beside the component]
        #[arg(long, value_name = "PATH")]
        cases: Vec<PathBuf>,

        /// Where the generated batches come from
        #[arg(long, value_name = "N", default_value_t = LawOptions::default().seed)]
        seed: u64,

        /// Generated batches for each law
        #[arg(long, value_name = "N", default_value_t = LawOptions::default().batches)]
        batches: usize,
    },
    /// Run the cases of case files; exit 1 when one fails
    Test {
        /// The component, the crate's folder, or the name of a rule in the configuration
        #[arg(value_name = "FILE|DIR|NAME")]
        plugin: String,

        /// Case files, or folders of them [default: PLUGIN.cases.toml beside the component]
        #[arg(long, value_name = "PATH")]
        cases: Vec<PathBuf>,
    },
    /// List the configuration's plugins and scripts with what they decided and what waits because of them;
    /// exit 1 when one cannot be loaded
    List,
}

fn role(name: &str) -> std::result::Result<Role, String> {
    Role::from_name(name).ok_or_else(|| {
        format!(
            "a role is one of {}",
            Role::ALL.map(Role::interface).join(", ")
        )
    })
}

/// What `check` found out about a plugin.
#[derive(Debug, Serialize)]
struct Checked {
    plugin: String,
    name: String,
    version: String,
    summary: String,
    roles: Vec<&'static str>,
    blake3: String,
    imports: Vec<String>,
    laws: Vec<LawReport>,
}

pub(super) fn run(
    args: &PluginArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
) -> Result<u8> {
    match &args.command {
        PluginCommand::New { name, role, dir } => {
            let folder = scaffold::create(dir, name, *role)?;
            let shown = folder.display();
            if printer.is_json() {
                printer.json(&serde_json::json!({ "folder": folder, "role": role.interface() }))?;
            } else {
                printer.line(shown.to_string())?;
            }
            printer.hint(format!(
                "edit {shown}/src/lib.rs; cargo test in there needs no WebAssembly"
            ));
            printer.hint(format!(
                "then: banyan plugin build {shown} && banyan plugin test {shown} && banyan plugin \
                 check {shown}"
            ));
            Ok(0)
        }
        PluginCommand::Build { dir, out } => {
            let built = build::build(&BuildOptions {
                out: out.clone(),
                ..BuildOptions::new(dir)
            })?;
            // A component that cannot be loaded is not done.
            let plugin = host()?.load(PluginSpec::new(stem(&built.path), &built.path))?;
            let roles: Vec<&str> = plugin.roles().into_iter().map(Role::interface).collect();
            if printer.is_json() {
                printer.json(&serde_json::json!({
                    "component": built.path,
                    "bytes": built.bytes,
                    "blake3": built.digest,
                    "roles": roles,
                }))?;
            } else {
                printer.line(format!(
                    "{}: {}, {} bytes, blake3 {}",
                    built.path.display(),
                    roles.join(", "),
                    built.bytes,
                    built.digest
                ))?;
            }
            Ok(0)
        }
        PluginCommand::Check {
            plugins,
            cases,
            seed,
            batches,
        } => {
            let options = LawOptions {
                seed: *seed,
                batches: *batches,
                ..LawOptions::default()
            };
            let host = host()?;
            let checked: Vec<Checked> = plugins
                .iter()
                .map(|name| check(&host, &spec(name, config)?, cases, &options))
                .collect::<Result<_>>()?;
            show_checked(&checked, printer)
        }
        PluginCommand::Test { plugin, cases } => {
            let (host, spec) = (host()?, spec(plugin, config)?);
            Tested::new("plugin", &spec.path, cases, |file| {
                let plugin = for_cases(&host, &spec, file)?;
                Ok(cases::run(file, &rules(&plugin)))
            })?
            .show(printer)
        }
        PluginCommand::List => list::run(&host()?, &load(config)?, printer),
    }
}

/// A host for this command; nothing is left on disk.
fn host() -> Result<PluginHost> {
    PluginHost::new(HostOptions::default())
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
}

/// The plugin of that file, that crate or that name.
fn spec(name: &str, config: Option<&Path>) -> Result<PluginSpec> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(PluginSpec::new(stem(path), path));
    }
    if path.is_dir() {
        let component = build::component_path(path)?;
        if !component.is_file() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{} is not built: there is no {}", name, component.display()),
            )
            .hint(format!("banyan plugin build {name}")));
        }
        return Ok(PluginSpec::new(stem(&component), component));
    }
    if path.extension().is_some() || name.contains('/') {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no plugin {name}"),
        ));
    }
    configured(name, load(config)?.rule(name)?)
}

/// The plugin of a rule in the configuration.
fn configured(name: &str, rule: &RuleConfig) -> Result<PluginSpec> {
    let RuleSource::Plugin(path) = &rule.source else {
        return Err(
            Error::new(ErrorKind::Config, format!("rule {name} is no plugin"))
                .hint("scripts are checked with banyan script check"),
        );
    };
    let mut spec = PluginSpec::new(name, path);
    spec.blake3.clone_from(&rule.blake3);
    spec.settings = rule.settings.clone();
    let (limits, given) = (&mut spec.limits, &rule.limits);
    limits.memory_mb = given.memory_mb.unwrap_or(limits.memory_mb);
    limits.call_ms = given.call_ms.unwrap_or(limits.call_ms);
    limits.fuel_base = given.fuel_base.unwrap_or(limits.fuel_base);
    limits.fuel_per_row = given.fuel_per_row.unwrap_or(limits.fuel_per_row);
    Ok(spec)
}

/// The plugin with the settings of a case file, where it gives some.
fn for_cases(host: &PluginHost, spec: &PluginSpec, file: &CaseFile) -> Result<Arc<Plugin>> {
    let mut spec = spec.clone();
    if !file.settings.is_null() {
        spec.settings = file.settings.clone();
    }
    host.load(spec)
}

/// What the plugin answers.
fn rules(plugin: &Plugin) -> Rules<'_> {
    let has = |role| plugin.roles().contains(&role);
    Rules {
        resolve: has(Role::Resolver).then_some(plugin),
        transform: has(Role::Transformer).then_some(plugin),
        validate: has(Role::Validator).then_some(plugin),
        route: has(Role::Router).then_some(plugin),
    }
}

fn check(
    host: &PluginHost,
    spec: &PluginSpec,
    given: &[PathBuf],
    options: &LawOptions,
) -> Result<Checked> {
    let files = case_files(&spec.path, given)?;
    let mut laws = Vec::new();
    let mut first = None;
    for file in &files {
        let plugin = for_cases(host, spec, file)?;
        laws.extend(laws_on(&rules(&plugin), file, options));
        first.get_or_insert(plugin);
    }
    let plugin = match first {
        Some(plugin) => plugin,
        None => host.load(spec.clone())?,
    };
    if files.is_empty() {
        laws = laws_alone(&rules(&plugin), options);
    }
    let info = plugin.info();
    Ok(Checked {
        plugin: spec.path.display().to_string(),
        name: plugin.component_name(),
        version: info.version,
        summary: info.summary,
        roles: plugin.roles().into_iter().map(Role::interface).collect(),
        blake3: plugin.digest(),
        imports: plugin.imports(),
        laws,
    })
}

fn show_checked(checked: &[Checked], printer: &mut Printer<'_>) -> Result<u8> {
    let failed = checked
        .iter()
        .flat_map(|c| &c.laws)
        .any(|laws| !laws.passed());
    if printer.is_json() {
        printer.json(&checked)?;
        return Ok(u8::from(failed));
    }
    for plugin in checked {
        printer.line(format!(
            "{}: {} {}, {}; blake3 {}",
            plugin.plugin,
            plugin.name,
            plugin.version,
            plugin.roles.join(", "),
            plugin.blake3
        ))?;
        if !plugin.summary.is_empty() {
            printer.line(format!("  {}", plugin.summary))?;
        }
        printer.line(format!(
            "  imports {}",
            if plugin.imports.is_empty() {
                "nothing".to_owned()
            } else {
                plugin.imports.join(", ")
            }
        ))?;
        show_laws(&plugin.plugin, &plugin.laws, printer)?;
    }
    Ok(u8::from(failed))
}
