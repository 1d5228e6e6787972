//! Makes a component of a Rust crate.
//!
//! A core module is built for `wasm32-unknown-unknown`, where nothing of WASI is imported, and
//! wrapped as a component. The target's standard library is either installed (rustup) or built
//! from its source (Debian's `rust-web-src`, rustup's `rust-src`), which takes a minute once.
//! Paths of the machine are left out of the result, so that the same source gives the same digest.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, ErrorKind, Result};

/// The target that guests are built for.
pub const GUEST_TARGET: &str = "wasm32-unknown-unknown";

/// The guest's stack. Rust's usual 1 MiB would be most of its memory.
const STACK_BYTES: usize = 128 * 1024;
/// The memory that a guest begins with. A usual batch fits: growing costs two system calls, more
/// than most batches do. A crate with more static data sets `initial_memory_kb` under
/// `[package.metadata.banyan]`.
const MEMORY_KB: u64 = 1024;

/// Variables of an enclosing cargo that would change the guest's build.
const FOREIGN_PREFIXES: [&str; 6] = [
    "CARGO_PROFILE_",
    "CARGO_BUILD_",
    "CARGO_TARGET_",
    "CARGO_PKG_",
    "CARGO_CFG_",
    "CARGO_FEATURE_",
];
const FOREIGN: [&str; 9] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTDOC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_INCREMENTAL",
    "CARGO_MANIFEST_DIR",
    "CARGO_UNSTABLE_BUILD_STD",
];

/// A way to build for [`GUEST_TARGET`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The compiler.
    pub rustc: PathBuf,
    /// Its cargo.
    pub cargo: PathBuf,
    /// Whether the standard library is built from source.
    pub build_std: bool,
    sysroot: PathBuf,
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// The first one that works: an installed target before one built from source, the `PATH`
    /// before `/usr/bin`. Fails with [`ErrorKind::Rule`], saying how to get one.
    pub fn find() -> Result<Self> {
        let candidates: Vec<Self> = [
            (PathBuf::from("rustc"), PathBuf::from("cargo")),
            (
                PathBuf::from("/usr/bin/rustc"),
                PathBuf::from("/usr/bin/cargo"),
            ),
        ]
        .into_iter()
        .filter_map(|(rustc, cargo)| Self::inspect(rustc, cargo))
        .collect();
        let found = candidates
            .iter()
            .find(|t| !t.build_std)
            .or_else(|| candidates.first());
        found.cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::Rule,
                format!("no Rust toolchain on this machine can build for {GUEST_TARGET}"),
            )
            .hint(format!("with rustup: rustup target add {GUEST_TARGET}"))
            .hint("on Debian: apt-get install rustc-web rust-web-src cargo-web lld")
        })
    }

    /// What this compiler offers; `None` when it cannot build guests.
    fn inspect(rustc: PathBuf, cargo: PathBuf) -> Option<Self> {
        let output = Command::new(&rustc)
            .args(["--print", "sysroot"])
            .output()
            .ok()?;
        let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        let lib = sysroot.join("lib/rustlib");
        let installed = lib.join(GUEST_TARGET).join("lib").is_dir();
        let source = lib.join("src/rust/library/std/Cargo.toml").is_file();
        if !installed && !source || !runs(&cargo) {
            return None;
        }
        // rustup brings its own linker; Debian's is wasm-ld, with or without a version.
        let bundled = fs::read_dir(&lib)
            .ok()?
            .flatten()
            .any(|host| host.path().join("bin/rust-lld").is_file());
        let linker = if bundled {
            None
        } else {
            Some(
                ["wasm-ld", "wasm-ld-14", "wasm-ld-19", "rust-lld"]
                    .into_iter()
                    .find_map(on_path)?,
            )
        };
        Some(Self {
            rustc,
            cargo,
            build_std: !installed,
            sysroot,
            linker,
        })
    }
}

fn runs(program: &Path) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success())
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// What to build.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The crate's folder.
    pub crate_dir: PathBuf,
    /// Where the component goes; by default `NAME.wasm` in the crate's folder.
    pub out: Option<PathBuf>,
    /// Cargo's target folder; by default `target` in the crate's folder, never the host's.
    pub target_dir: Option<PathBuf>,
    /// Panics name files relative to this folder; by default the one that the crate's lies in.
    /// Crates built with the same one share their standard library in `target_dir`.
    pub root: Option<PathBuf>,
}

impl BuildOptions {
    /// A crate, and defaults for the rest.
    #[must_use]
    pub fn new(crate_dir: impl Into<PathBuf>) -> Self {
        Self {
            crate_dir: crate_dir.into(),
            out: None,
            target_dir: None,
            root: None,
        }
    }
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The component.
    pub path: PathBuf,
    /// Its blake3, in hex.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
}

/// Builds a crate and wraps it as a component. cargo's messages go to stderr.
///
/// Fails with `NotFound` when there is no crate, and with `Rule` when there is no toolchain, when
/// cargo fails, or when the module exports no rule.
pub fn build(options: &BuildOptions) -> Result<Built> {
    let dir = &options.crate_dir;
    let manifest = Manifest::read(dir)?;
    let name = &manifest.library;
    let toolchain = Toolchain::find()?;
    let target_dir = options
        .target_dir
        .clone()
        .unwrap_or_else(|| dir.join("target"));
    let target_dir = std::path::absolute(&target_dir).map_err(io(&target_dir))?;
    let root = options
        .root
        .clone()
        .or_else(|| Some(fs::canonicalize(dir).ok()?.parent()?.to_owned()));
    let mut command = command(&toolchain, dir, &target_dir);
    command.env(
        "CARGO_ENCODED_RUSTFLAGS",
        flags(&toolchain, root.as_deref(), manifest.memory_kb),
    );
    let status = command.status().map_err(|e| {
        Error::new(
            ErrorKind::Rule,
            format!("cannot run {}", toolchain.cargo.display()),
        )
        .caused_by(e)
    })?;
    if !status.success() {
        return Err(Error::new(
            ErrorKind::Rule,
            format!("cargo could not build {} ({status})", dir.display()),
        )
        .hint("its messages are above"));
    }
    let module = target_dir
        .join(GUEST_TARGET)
        .join("release")
        .join(format!("{name}.wasm"));
    let core = fs::read(&module).map_err(|e| {
        Error::new(
            ErrorKind::Rule,
            format!("{} built no {name}.wasm", dir.display()),
        )
        .caused_by(e)
        .hint("Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]")
    })?;
    let component = componentize(&core).map_err(|e| e.at(format!("crate {}", dir.display())))?;
    let path = options
        .out
        .clone()
        .unwrap_or_else(|| dir.join(format!("{name}.wasm")));
    write(&path, &component)?;
    Ok(Built {
        path,
        digest: blake3::hash(&component).to_hex().to_string(),
        bytes: component.len() as u64,
    })
}

/// Where [`build`] puts the component of a crate unless it is told otherwise. Fails with
/// `NotFound` when there is no crate.
pub fn component_path(crate_dir: &Path) -> Result<PathBuf> {
    let library = Manifest::read(crate_dir)?.library;
    Ok(crate_dir.join(format!("{library}.wasm")))
}

/// Wraps a core module that wit-bindgen described as a component.
pub fn componentize(core: &[u8]) -> Result<Vec<u8>> {
    let encoded = wit_component::ComponentEncoder::default()
        .module(core)
        .and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|e| {
        Error::new(
            ErrorKind::Rule,
            format!("the module cannot be made a component: {e:#}"),
        )
        .hint("does the crate call banyan_rule::export_resolver!(…) or one of its like?")
    })
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let shown = path.display().to_string();
    move |e| Error::new(ErrorKind::Io, format!("cannot use {shown}")).caused_by(e)
}

/// Written beside and moved into place: a running host never sees half a file.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty());
    let dir = dir.unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(dir).map_err(io(dir))?;
    let file = tempfile::Builder::new()
        .prefix(".banyan-")
        .tempfile_in(dir)
        .map_err(io(dir))?;
    fs::write(file.path(), bytes).map_err(io(path))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).map_err(io(path))?;
    }
    file.persist(path).map_err(|e| io(path)(e.error))?;
    Ok(())
}

/// What a crate's `Cargo.toml` says about the guest.
#[derive(Debug)]
struct Manifest {
    /// The name of the library.
    library: String,
    memory_kb: u64,
}

impl Manifest {
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(|e| {
            Error::new(
                ErrorKind::NotFound,
                format!("{} is no crate: cannot read Cargo.toml", dir.display()),
            )
            .caused_by(e)
            .hint("give the folder that `banyan plugin new` made")
        })?;
        let wrong =
            |message: String| Error::new(ErrorKind::Rule, format!("{}: {message}", path.display()));
        let table: toml::Table = text.parse().map_err(|e| wrong(format!("{e}")))?;
        let name = |section: &str| table.get(section)?.get("name")?.as_str();
        let library = name("lib")
            .or_else(|| name("package"))
            .map(|name| name.replace('-', "_"))
            .ok_or_else(|| wrong("it names no package".to_owned()))?;
        let metadata = table
            .get("package")
            .and_then(|p| p.get("metadata")?.get("banyan")?.get("initial_memory_kb"));
        let memory_kb = match metadata {
            None => MEMORY_KB,
            Some(value) => value
                .as_integer()
                .and_then(|kb| u64::try_from(kb).ok())
                .filter(|kb| kb.is_multiple_of(64) && (64..=4 * 1024 * 1024).contains(kb))
                .ok_or_else(|| {
                    wrong(format!(
                        "package.metadata.banyan.initial_memory_kb is {value}; it must be a \
                         multiple of 64"
                    ))
                })?,
        };
        Ok(Self { library, memory_kb })
    }
}

fn command(toolchain: &Toolchain, dir: &Path, target_dir: &Path) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    command
        .current_dir(dir)
        .args([
            "build",
            "--release",
            "--quiet",
            "--lib",
            "--target",
            GUEST_TARGET,
        ])
        // cargo's stdout is empty, but data alone may go to ours.
        .stdout(std::process::Stdio::null());
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if FOREIGN.contains(&&*shown) || FOREIGN_PREFIXES.iter().any(|p| shown.starts_with(p)) {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_TARGET_DIR", target_dir);
    if toolchain.rustc.is_absolute() {
        command.env("RUSTC", &toolchain.rustc);
    }
    if let Some(linker) = &toolchain.linker {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    if toolchain.build_std {
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zbuild-std=std,panic_abort");
    }
    command
}

/// A small stack, some memory, and no paths of the machine in panic messages. Later paths win.
fn flags(toolchain: &Toolchain, root: Option<&Path>, memory_kb: u64) -> OsString {
    let mut prefixes: Vec<(PathBuf, &str)> = Vec::new();
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    if let Some(home) = home {
        prefixes.push((home, "cargo"));
    }
    prefixes.push((toolchain.sysroot.join("lib/rustlib/src/rust"), "rust"));
    if let Some(root) = root.and_then(|root| fs::canonicalize(root).ok()) {
        prefixes.push((root, "."));
    }
    let mut flags = OsString::from(format!(
        "-Clink-arg=-zstack-size={STACK_BYTES}\u{1f}-Clink-arg=--initial-memory={}",
        memory_kb * 1024
    ));
    for (from, to) in prefixes {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::{Manifest, componentize};
    use crate::error::ErrorKind;

    #[test]
    fn the_library_is_named_as_cargo_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let name = |text: &str| {
            std::fs::write(dir.path().join("Cargo.toml"), text).unwrap();
            Manifest::read(dir.path()).map(|m| m.library)
        };
        assert_eq!(name("[package]\nname = \"my-rule\"").unwrap(), "my_rule");
        assert_eq!(
            name("[package]\nname = \"a\"\n[lib]\nname = \"b\"").unwrap(),
            "b"
        );
        assert_eq!(name("[package").unwrap_err().kind(), ErrorKind::Rule);
        assert!(name("").unwrap_err().message().contains("names no package"));
    }

    #[test]
    fn a_folder_without_a_crate_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            Manifest::read(dir.path()).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert_eq!(
            componentize(b"nonsense").unwrap_err().kind(),
            ErrorKind::Rule
        );
    }
}
