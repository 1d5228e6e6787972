//! `banyan script check|test`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::config::{RuleConfig, RuleSource};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::cases::{self, CaseFile, Rules};
use crate::rule::laws::{LawOptions, LawReport};
use crate::script::{Limits, Script, ScriptSpec};

use super::Printer;
use super::context::load;
use super::trial::{Tested, case_files, laws_alone, laws_on, show_laws};

/// Check and test rules written in Rhai
#[derive(clap::Args, Debug)]
pub(super) struct ScriptArgs {
    #[command(subcommand)]
    command: ScriptCommand,
}

#[derive(clap::Subcommand, Debug)]
enum ScriptCommand {
    /// Load scripts and try the laws on them; exit 1 when a law fails
    ///
    /// The laws need tables: they are taken from case files.
    Check {
        /// Script files, or names of rules in the configuration
        #[arg(required = true, value_name = "FILE|NAME")]
        scripts: Vec<String>,

        /// Case files, or folders of them, whose tables and rows the laws are tried on [default:
        /// SCRIPT.cases.toml beside the script]
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
        /// The script's file, or the name of a rule in the configuration
        #[arg(value_name = "FILE|NAME")]
        script: String,

        /// Case files, or folders of them [default: SCRIPT.cases.toml beside the script]
        #[arg(long, value_name = "PATH")]
        cases: Vec<PathBuf>,
    },
}

/// What `check` found out about a script.
#[derive(Debug, Serialize)]
struct Checked {
    script: String,
    roles: Vec<&'static str>,
    version: String,
    blake3: String,
    summary: String,
    laws: Vec<LawReport>,
}

pub(super) fn run(
    args: &ScriptArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
) -> Result<u8> {
    match &args.command {
        ScriptCommand::Check {
            scripts,
            cases,
            seed,
            batches,
        } => {
            let options = LawOptions {
                seed: *seed,
                batches: *batches,
                ..LawOptions::default()
            };
            let checked: Vec<Checked> = scripts
                .iter()
                .map(|name| check(&spec(name, config)?, cases, &options))
                .collect::<Result<_>>()?;
            show_checked(&checked, printer)
        }
        ScriptCommand::Test { script, cases } => {
            let spec = spec(script, config)?;
            Tested::new("script", &spec.path, cases, |file| {
                Ok(cases::run(file, &rules(for_cases(&spec, file)?.as_ref())))
            })?
            .show(printer)
        }
    }
}

/// The script of that file or that name.
fn spec(name: &str, config: Option<&Path>) -> Result<ScriptSpec> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(ScriptSpec {
            name: path
                .file_stem()
                .map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned()),
            path: path.to_owned(),
            blake3: None,
            settings: serde_json::Value::Null,
            limits: Limits::default(),
        });
    }
    if path.extension().is_some() || name.contains('/') {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no script {name}"),
        ));
    }
    configured(name, load(config)?.rule(name)?)
}

pub(super) fn configured(name: &str, rule: &RuleConfig) -> Result<ScriptSpec> {
    let RuleSource::Script(path) = &rule.source else {
        return Err(
            Error::new(ErrorKind::Config, format!("rule {name} is no script"))
                .hint("plugins are checked with banyan plugin check"),
        );
    };
    let defaults = Limits::default();
    Ok(ScriptSpec {
        name: name.to_owned(),
        path: path.clone(),
        blake3: rule.blake3.clone(),
        settings: rule.settings.clone(),
        limits: Limits {
            call_ms: rule.limits.call_ms.unwrap_or(defaults.call_ms),
            memory_mb: rule.limits.memory_mb.map_or(defaults.memory_mb, u64::from),
            operations_per_row: rule
                .limits
                .fuel_per_row
                .unwrap_or(defaults.operations_per_row),
        },
    })
}

/// Trying a rule must not depend on what else the machine does: the clock only stops what hangs.
const TRY_MS_MIN: u64 = 10_000;

/// The script with the settings of a case file, where it gives some.
fn for_cases(spec: &ScriptSpec, file: &CaseFile) -> Result<Arc<Script>> {
    let mut spec = spec.clone();
    spec.limits.call_ms = spec.limits.call_ms.max(TRY_MS_MIN);
    if !file.settings.is_null() {
        spec.settings = file.settings.clone();
    }
    Script::load(spec)
}

/// What the script answers.
fn rules(script: &Script) -> Rules<'_> {
    let roles = script.roles();
    Rules {
        resolve: roles.resolve.then_some(script),
        transform: roles.transform.then_some(script),
        validate: roles.validate.then_some(script),
        route: roles.route.then_some(script),
    }
}

fn check(spec: &ScriptSpec, given: &[PathBuf], options: &LawOptions) -> Result<Checked> {
    let script = Script::load(spec.clone())?;
    let info = script.info();
    let mut laws = Vec::new();
    let files = case_files(&spec.path, given)?;
    for file in &files {
        let script = for_cases(spec, file)?;
        laws.extend(laws_on(&rules(&script), file, options));
    }
    if files.is_empty() {
        laws = laws_alone(&rules(&script), options);
    }
    Ok(Checked {
        script: spec.path.display().to_string(),
        roles: script.roles().names(),
        version: info.version,
        blake3: info.digest.unwrap_or_default(),
        summary: info.summary,
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
    for script in checked {
        printer.line(format!(
            "{}: answers {}; version {}, blake3 {}",
            script.script,
            script.roles.join(", "),
            script.version,
            script.blake3
        ))?;
        if !script.summary.is_empty() {
            printer.line(format!("  {}", script.summary))?;
        }
        show_laws(&script.script, &script.laws, printer)?;
    }
    Ok(u8::from(failed))
}
