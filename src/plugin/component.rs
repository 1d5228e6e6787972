//! From a file to a component that can be run, or a message that says why not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::error::{Error, ErrorKind, Result};
use crate::rule::RuleInfo;

use super::cache::CodeCache;
use super::engine::Runtime;
use super::guest::GuestState;
use super::roles::Role;
use super::v0_1::exports::Exports;
use super::v0_1::{PACKAGE, VERSION};

/// A component larger than this is not read: Python's have 18 MiB.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// What tells one version of a file from the next without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self {
            modified: meta.modified().ok(),
            len: meta.len(),
            inode,
        })
    }
}

/// The bytes of a component file.
#[derive(Debug)]
pub(super) struct Artefact {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// blake3, in hex.
    pub(super) digest: String,
}

impl Artefact {
    /// Reads a file, and refuses it where a pin names another digest.
    pub(super) fn read(path: &Path, pin: Option<&str>) -> Result<Self> {
        let shown = path.display();
        let failed = |e: std::io::Error| {
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            let kind = if missing {
                ErrorKind::NotFound
            } else {
                ErrorKind::Io
            };
            let error = Error::new(kind, format!("cannot read plugin {shown}")).caused_by(e);
            if missing {
                error.hint("build it with `banyan plugin build FOLDER`, or correct the path")
            } else {
                error
            }
        };
        let meta = fs::metadata(path).map_err(failed)?;
        if !meta.is_file() {
            return Err(
                Error::new(ErrorKind::Rule, format!("plugin {shown} is not a file"))
                    .hint("give the path of a component (.wasm)"),
            );
        }
        if meta.len() > FILE_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Rule,
                format!(
                    "plugin {shown} has {} bytes; at most {FILE_BYTES_MAX} are loaded",
                    meta.len()
                ),
            ));
        }
        let bytes = fs::read(path).map_err(failed)?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        if let Some(pin) = pin
            && !pin.eq_ignore_ascii_case(&digest)
        {
            return Err(Error::new(
                ErrorKind::Rule,
                format!("plugin {shown} is refused: its blake3 is {digest}, pinned is {pin}"),
            )
            .hint("if the new file is the right one, write its digest as `blake3` of the rule"));
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            digest,
        })
    }

    fn compile(&self, runtime: &Runtime, cache: Option<&CodeCache>) -> Result<Component> {
        let engine = runtime.engine();
        let shown = self.path.display();
        self.check_format()?;
        if let Some(component) = cache.and_then(|c| c.load(engine, &self.digest)) {
            return Ok(component);
        }
        let malformed = |e: wasmtime::Error| {
            Error::new(
                ErrorKind::Rule,
                format!("plugin {shown} is no valid component: {e:#}"),
            )
            .hint("build it again; the file may be damaged")
        };
        let component = Component::new(engine, &self.bytes).map_err(malformed)?;
        if let Some(cache) = cache {
            cache.store(
                engine,
                &self.digest,
                &component.serialize().map_err(malformed)?,
            );
        }
        Ok(component)
    }

    /// Tells components from core modules and from anything else, before compiling.
    fn check_format(&self) -> Result<()> {
        let shown = self.path.display();
        let text = self.path.extension().is_some_and(|e| e == "wat");
        if self.bytes.starts_with(&COMPONENT) || text {
            return Ok(());
        }
        if self.bytes.starts_with(&CORE_MODULE) {
            return Err(Error::new(
                ErrorKind::Rule,
                format!("plugin {shown} is a core WebAssembly module, not a component"),
            )
            .hint("build it with `banyan plugin build FOLDER`, which makes a component of it"));
        }
        if self.bytes.starts_with(b"\0asm") {
            return Err(Error::new(
                ErrorKind::Rule,
                format!(
                    "plugin {shown} has an unknown WebAssembly format version {:02x?}",
                    self.bytes.get(4..8).unwrap_or_default()
                ),
            ));
        }
        let start: String = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(16)])
            .escape_debug()
            .collect();
        Err(Error::new(
            ErrorKind::Rule,
            format!(
                "plugin {shown} is not WebAssembly: {}",
                if self.bytes.is_empty() {
                    "it is empty".to_owned()
                } else {
                    format!("it begins with \"{start}\"")
                }
            ),
        )
        .hint("give the path of a component (.wasm)"))
    }
}

/// A component, compiled, linked and checked.
pub(super) struct Loaded {
    pub(super) pre: InstancePre<GuestState>,
    pub(super) exports: Exports,
    /// With the rule's name in the configuration.
    pub(super) info: RuleInfo,
    /// The name that the component gives itself.
    pub(super) component_name: String,
    pub(super) digest: String,
    pub(super) imports: Vec<String>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Loaded {
    /// Compiles and links. `describe` has not been called yet: see [`super::Plugin`].
    pub(super) fn prepare(
        artefact: &Artefact,
        rule: &str,
        runtime: &Runtime,
        linker: &Linker<GuestState>,
        cache: Option<&CodeCache>,
    ) -> Result<Self> {
        let shown = artefact.path.display().to_string();
        let component = artefact.compile(runtime, cache)?;
        let (imports, refused) = imports(&component, runtime);
        if !refused.is_empty() {
            return Err(Error::new(
                ErrorKind::Rule,
                format!(
                    "plugin {shown} wants what is not granted: {}",
                    refused.join(", ")
                ),
            )
            .hint(format!(
                "a rule may only import {PACKAGE}/host@{VERSION} (log); build it without WASI, for \
                 Rust with --target wasm32-unknown-unknown"
            )));
        }
        let exports = Exports::find(&component)
            .filter(|e| !e.roles().is_empty())
            .ok_or_else(|| no_rule(&shown, &component, runtime))?;
        let pre = linker.instantiate_pre(&component).map_err(|e| {
            Error::new(
                ErrorKind::Rule,
                format!("plugin {shown} does not fit {PACKAGE}@{VERSION}: {e:#}"),
            )
            .hint("build it again against wit/0.1.0")
        })?;
        Ok(Self {
            pre,
            exports,
            info: RuleInfo {
                name: rule.to_owned(),
                version: String::new(),
                summary: String::new(),
                digest: Some(artefact.digest.clone()),
            },
            component_name: String::new(),
            digest: artefact.digest.clone(),
            imports,
        })
    }

    /// What it can answer.
    pub(super) fn roles(&self) -> Vec<Role> {
        self.exports.roles()
    }
}

/// `banyan:rules/host@0.1.3` is ours when it is of generation 0.1.
fn generation(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?
        .strip_prefix('/')?
        .split_once('@')
}

fn is_ours(version: &str) -> bool {
    let major_minor = |v: &str| v.rsplit_once('.').map(|(a, _)| a.to_owned());
    major_minor(version) == major_minor(VERSION) && !version.contains('-')
}

/// All imports, and those that are not granted, with the functions that they ask for.
fn imports(component: &Component, runtime: &Runtime) -> (Vec<String>, Vec<String>) {
    let engine = runtime.engine();
    let mut all = Vec::new();
    let mut refused = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        let granted = generation(name).is_some_and(|(_, version)| is_ours(version));
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            all.push(name.to_owned());
            refused.push(name.to_owned());
            continue;
        };
        let functions: Vec<String> = instance
            .exports(engine)
            .filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
            .map(|(function, _)| function.to_owned())
            .collect();
        if functions.is_empty() && granted {
            // Types alone ask for nothing.
            continue;
        }
        let shown = if functions.is_empty() {
            name.to_owned()
        } else {
            format!("{name} ({})", functions.join(", "))
        };
        let known = granted
            && generation(name).is_some_and(|(interface, _)| interface == "host")
            && functions.iter().all(|f| f == "log");
        if !known {
            refused.push(shown.clone());
        }
        all.push(shown);
    }
    (all, refused)
}

/// Why a component is no rule of this generation.
fn no_rule(shown: &str, component: &Component, runtime: &Runtime) -> Error {
    let engine = runtime.engine();
    let names: Vec<String> = component
        .component_type()
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    let other: Vec<&str> = names
        .iter()
        .filter_map(|n| generation(n))
        .map(|(_, version)| version)
        .filter(|version| !is_ours(version))
        .collect();
    if let Some(found) = other.first() {
        return Error::new(
            ErrorKind::Rule,
            format!(
                "plugin {shown} is built against {PACKAGE}@{found}; this Banyan expects \
                 {PACKAGE}@{VERSION}"
            ),
        )
        .hint("build it against wit/0.1.0, or use the Banyan that it was built for");
    }
    let roles = Role::ALL.map(Role::interface).join(", ");
    Error::new(
        ErrorKind::Rule,
        format!(
            "plugin {shown} is no rule: it exports {}; expected is {PACKAGE}/lifecycle@{VERSION} \
             and at least one of {roles}",
            if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            }
        ),
    )
    .hint("begin with `banyan plugin new NAME --role resolver`")
}
