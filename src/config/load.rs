//! File → [`Config`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::error::{Error, ErrorKind, Result};

use super::check::{self, CheckConfig};
use super::document::{Document, Section};
use super::environment::Environment;
use super::migration::{self, Known, MigrationConfig};
use super::problem::{Problem, into_error};
use super::router::{self, RouterConfig};
use super::rule::{self, RuleConfig};
use super::store::{self, StoreConfig, StoreUrl};

/// Where the configuration is read from when nobody says otherwise.
pub const DEFAULT_FILE: &str = "banyan.toml";

/// Where the state is kept when the configuration does not say.
const DEFAULT_STATE: &str = ".banyan/state.db";

/// A configuration without mistakes: every name in it refers to something.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// Where Banyan keeps what it must remember.
    pub state: StateConfig,
    /// The stores by name.
    pub stores: BTreeMap<String, StoreConfig>,
    /// The rules by name.
    pub rules: BTreeMap<String, RuleConfig>,
    /// The migrations by name.
    pub migrations: BTreeMap<String, MigrationConfig>,
    /// The saved checks by name.
    pub checks: BTreeMap<String, CheckConfig>,
    /// The router, if any.
    pub router: Option<RouterConfig>,
    /// The control API, if any.
    pub control: Option<ControlConfig>,
}

/// `[state]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// Where it is.
    pub url: StoreUrl,
}

/// `[control]`, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlConfig {
    /// Where the control API listens.
    pub listen: SocketAddr,
}

impl Config {
    /// Reads and checks a file. Nothing but the file and the environment is looked at.
    ///
    /// # Errors
    /// `NotFound` or `Io` when the file cannot be read, `Config` with every mistake in it.
    pub fn load(path: &Path, environment: &dyn Environment) -> Result<Self> {
        let text = read_file(path)?;
        Self::parse(&text, path, environment).map_err(|problems| into_error(path, &problems))
    }

    /// Like [`Config::load`], with the mistakes one by one.
    ///
    /// # Errors
    /// Outside when the file cannot be read, inside every mistake in it, in the order of the file.
    pub fn load_listing(
        path: &Path,
        environment: &dyn Environment,
    ) -> Result<Result<Self, Vec<Problem>>> {
        let text = read_file(path)?;
        Ok(Self::parse(&text, path, environment))
    }

    /// Checks the text of a configuration as if it stood in the file `path`.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn parse(
        text: &str,
        path: &Path,
        environment: &dyn Environment,
    ) -> Result<Self, Vec<Problem>> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let document = Document::new(text, folder, environment);
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in &errors {
                document.report(syntax_problem(&document, text, error));
            }
            return Err(document.into_problems());
        }
        let config = read(Section::root(&document, root.get_ref()), path);
        let problems = document.into_problems();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }

    /// A migration by name.
    ///
    /// # Errors
    /// `NotFound`, naming those that there are.
    pub fn migration(&self, name: &str) -> Result<&MigrationConfig> {
        self.migrations
            .get(name)
            .ok_or_else(|| self.not_found("migration", name, self.migrations.keys()))
    }

    /// A store by name.
    ///
    /// # Errors
    /// `NotFound`, naming those that there are.
    pub fn store(&self, name: &str) -> Result<&StoreConfig> {
        self.stores
            .get(name)
            .ok_or_else(|| self.not_found("store", name, self.stores.keys()))
    }

    /// A rule by name.
    ///
    /// # Errors
    /// `NotFound`, naming those that there are.
    pub fn rule(&self, name: &str) -> Result<&RuleConfig> {
        self.rules
            .get(name)
            .ok_or_else(|| self.not_found("rule", name, self.rules.keys()))
    }

    fn not_found<'a>(
        &self,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'a String>,
    ) -> Error {
        let known: Vec<&str> = known.map(String::as_str).collect();
        let file = self.path.display();
        let error = Error::new(
            ErrorKind::NotFound,
            format!("there is no {what} \"{name}\" in {file}"),
        );
        match super::nearest(name, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None if known.is_empty() => error.hint(format!("{file} has no {what}s yet")),
            None => error.hint(format!("there are: {}", known.join(", "))),
        }
    }
}

/// The parser's message alone: its long form quotes the line, which may hold a secret.
fn syntax_problem(document: &Document<'_>, text: &str, error: &toml::de::Error) -> Problem {
    let mut message = format!("is no TOML: {}", error.message());
    if let Some(key) = error.span().and_then(|span| text.get(span))
        && error.message() == "duplicate key"
    {
        message = format!("{message} {key}");
    }
    Problem {
        path: String::new(),
        line: error.span().map(|span| document.line(span.start)),
        message,
        allowed: Vec::new(),
        nearest: None,
    }
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|cause| {
        let file = path.display();
        if cause.kind() == std::io::ErrorKind::NotFound {
            Error::new(ErrorKind::NotFound, format!("there is no file {file}"))
                .hint("`banyan init` writes one")
                .hint("`--config FILE` names another")
        } else {
            Error::new(ErrorKind::Io, format!("{file} cannot be read")).caused_by(cause)
        }
    })
}

fn read(root: Section<'_>, path: &Path) -> Option<Config> {
    let state = match root.section("state") {
        None => Some(default_state(&root)),
        Some(section) => {
            let url = match section.url("url") {
                Some(text) => store::read_state_url(&section, &text),
                None if section.has("url") => None,
                None => Some(default_state(&section).url),
            };
            section.finish();
            url.map(|url| StateConfig { url })
        }
    };
    let stores: BTreeMap<_, _> = root
        .named_sections("stores")
        .into_iter()
        .map(|(name, section)| (name, store::read(section)))
        .collect();
    if let Some(StateConfig { url }) = &state {
        for (name, entry) in &stores {
            if entry.as_ref().is_some_and(|entry| entry.url == *url) {
                root.report(root.place_of("state").problem(format!(
                    "the state is in the same database as the store \"{name}\"; Banyan keeps its \
                     own things apart"
                )));
            }
        }
    }
    let rules: BTreeMap<_, _> = root
        .named_sections("rules")
        .into_iter()
        .map(|(name, section)| {
            let rule = rule::read(&name, section);
            (name, rule)
        })
        .collect();
    let known = Known {
        stores: &stores,
        rules: &rules,
    };
    let migrations: BTreeMap<_, _> = root
        .named_sections("migrations")
        .into_iter()
        .map(|(name, section)| (name, migration::read(section, known)))
        .collect();
    let checks: BTreeMap<_, _> = root
        .named_sections("checks")
        .into_iter()
        .map(|(name, section)| (name, check::read(section)))
        .collect();
    let router = root
        .section("router")
        .map(|section| router::read(section, &rules));
    let control = root.section("control").map(|section| {
        let listen = router::address(&section, "127.0.0.1:7070");
        section.finish();
        listen.map(|listen| ControlConfig { listen })
    });
    root.finish();
    Some(Config {
        path: path.to_owned(),
        state: state?,
        stores: whole(stores)?,
        rules: whole(rules)?,
        migrations: whole(migrations)?,
        checks: whole(checks)?,
        router: whole_option(router)?,
        control: whole_option(control)?,
    })
}

fn default_state(section: &Section<'_>) -> StateConfig {
    StateConfig {
        url: StoreUrl::Sqlite {
            path: section.document.resolve_path(DEFAULT_STATE),
        },
    }
}

fn whole<T>(entries: BTreeMap<String, Option<T>>) -> Option<BTreeMap<String, T>> {
    entries
        .into_iter()
        .map(|(name, entry)| Some((name, entry?)))
        .collect()
}

/// `None` when there is an entry with mistakes; `Some(None)` when there is no entry.
fn whole_option<T>(entry: Option<Option<T>>) -> Option<Option<T>> {
    match entry {
        None => Some(None),
        Some(None) => None,
        Some(Some(entry)) => Some(Some(entry)),
    }
}
