//! Loads plugins.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::Linker;

use crate::error::Result;

use super::cache::CodeCache;
use super::component::{Artefact, Loaded};
use super::engine::Runtime;
use super::guest::{self, GuestState};
use super::limits::Limits;
use super::loaded::Plugin;

/// How plugins are run.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// Where compiled code is kept; made with mode 0700. `None`: it is compiled at every start.
    pub cache_dir: Option<PathBuf>,
}

/// A rule of the configuration that is a component.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// The rule's name.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
    /// The digest that the file must have, in hex.
    pub blake3: Option<String>,
    /// Handed to the rule as they are; an object, or null for an empty one.
    pub settings: serde_json::Value,
    /// What it may use.
    pub limits: Limits,
    /// Every so many batches one is asked twice, in two fresh instances, and the answers are
    /// compared. 0: never.
    pub verify_determinism_every: u64,
}

impl PluginSpec {
    /// A rule with no pin, no settings and the usual limits.
    #[must_use]
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            blake3: None,
            settings: serde_json::Value::Null,
            limits: Limits::default(),
            verify_determinism_every: 0,
        }
    }
}

/// Loads plugins; they share its engine, its clock and its cache of compiled code.
#[derive(Debug)]
pub struct PluginHost {
    shared: Arc<Shared>,
}

/// What all plugins of a host share.
pub(super) struct Shared {
    pub(super) runtime: Runtime,
    linker: Linker<GuestState>,
    cache: Option<CodeCache>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("runtime", &self.runtime)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl PluginHost {
    /// Starts the engine. Fails with [`crate::error::ErrorKind::Rule`] where the machine cannot
    /// run it.
    pub fn new(options: HostOptions) -> Result<Self> {
        let runtime = Runtime::new()?;
        let linker = guest::linker(runtime.engine())?;
        let cache = options.cache_dir.as_deref().and_then(CodeCache::open);
        Ok(Self {
            shared: Arc::new(Shared {
                runtime,
                linker,
                cache,
            }),
        })
    }

    /// Reads, compiles and checks a component, asks it who it is, and lets it check its settings.
    ///
    /// Fails with `NotFound` or `Io` on the file; with `Rule` on a wrong digest, a file that is no
    /// component, imports that are not granted (all are listed), another interface or version of
    /// it, and when `describe` or `open` fails; the message says what was found and expected.
    pub fn load(&self, spec: PluginSpec) -> Result<Arc<Plugin>> {
        Plugin::load(Arc::clone(&self.shared), spec).map(Arc::new)
    }

    /// Whether instances come from a pool. If not, the address space is limited and a batch costs
    /// some microseconds more.
    #[must_use]
    pub fn pooled(&self) -> bool {
        self.shared.runtime.pooled()
    }
}

impl Shared {
    /// Compiles and links; see [`Loaded::prepare`].
    pub(super) fn prepare(&self, artefact: &Artefact, rule: &str) -> Result<Loaded> {
        Loaded::prepare(
            artefact,
            rule,
            &self.runtime,
            &self.linker,
            self.cache.as_ref(),
        )
    }
}
