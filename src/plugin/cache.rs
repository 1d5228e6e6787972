//! Compiled code on disk, so that a rule is compiled once per version of the file and of Banyan.
//!
//! The files are machine code that is run without further checks: the folder belongs to its owner
//! alone (0700), is named after what went in (digest of the component, the engine's compatibility
//! hash, the target), and each file ends with its own digest, so that a torn one is compiled anew.
//! It is a cache: it may be deleted at any time, and is never shipped.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Files kept; the oldest go first.
const FILES_MAX: usize = 64;
const SUFFIX: &str = "cwasm";
const DIGEST_BYTES: usize = 32;

/// Where compiled code lies.
#[derive(Debug)]
pub(super) struct CodeCache {
    dir: PathBuf,
}

impl CodeCache {
    /// A cache in that folder, which is made if needed. `None`, with a warning, when it cannot be
    /// made safe: compiling anew is always possible.
    pub(super) fn open(dir: &Path) -> Option<Self> {
        match prepare(dir) {
            Ok(()) => Some(Self {
                dir: dir.to_owned(),
            }),
            Err(reason) => {
                tracing::warn!(
                    "compiled plugins are not cached: {}: {reason}",
                    dir.display()
                );
                None
            }
        }
    }

    /// The component that was compiled from the bytes of this digest.
    pub(super) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let bytes = fs::read(self.path(engine, digest)).ok()?;
        let (code, sum) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
        if blake3::hash(code).as_bytes() != sum {
            return None;
        }
        #[expect(
            unsafe_code,
            reason = "the file was written by `store` into a folder that only its owner can write, \
                      and its digest was checked"
        )]
        // SAFETY: see above; wasmtime checks that its version and configuration are the same.
        let component = unsafe { Component::deserialize(engine, code) };
        component.ok()
    }

    /// Keeps compiled code. A failure costs only time at the next start.
    pub(super) fn store(&self, engine: &Engine, digest: &str, code: &[u8]) {
        let written = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(code)?;
            file.write_all(blake3::hash(code).as_bytes())?;
            file.persist(self.path(engine, digest))?;
            Ok(())
        };
        if let Err(e) = written() {
            tracing::debug!("compiled plugin not cached in {}: {e}", self.dir.display());
        }
        self.shrink();
    }

    fn path(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut hasher = Blake3Hasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        std::env::consts::ARCH.hash(&mut hasher);
        std::env::consts::OS.hash(&mut hasher);
        let compatibility = hasher.0.finalize().to_hex();
        self.dir
            .join(format!("{digest}-{}.{SUFFIX}", &compatibility[..16]))
    }

    fn shrink(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == SUFFIX))
            .map(|p| {
                let written = fs::metadata(&p).and_then(|m| m.modified());
                (written.unwrap_or(SystemTime::UNIX_EPOCH), p)
            })
            .collect();
        if files.len() > FILES_MAX {
            files.sort();
            for (_, path) in &files[..files.len() - FILES_MAX] {
                // Another process may have been faster.
                drop(fs::remove_file(path));
            }
        }
    }
}

#[cfg(unix)]
fn prepare(dir: &Path) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    let text = |e: std::io::Error| e.to_string();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(text)?;
    let found = fs::symlink_metadata(dir).map_err(text)?;
    if !found.is_dir() {
        return Err("it is not a folder".to_owned());
    }
    if found.permissions().mode() & 0o077 != 0 {
        return Err("others may read or write it; it must have mode 0700".to_owned());
    }
    // A file that we make is ours: whoever owns the folder must be the same.
    let probe = tempfile::NamedTempFile::new_in(dir).map_err(text)?;
    let ours = probe.as_file().metadata().map_err(text)?.uid();
    if found.uid() != ours {
        return Err("it belongs to somebody else".to_owned());
    }
    Ok(())
}

#[cfg(not(unix))]
fn prepare(dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(|e| e.to_string())
}

/// Gives wasmtime's compatibility hash a fixed width that does not depend on Rust's own hasher.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
