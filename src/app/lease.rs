//! One engine a migration: a lock on a file, gone with the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How often, and how far apart, the lease is tried for.
const ASKED_TRIES: u32 = 60;
const ASKED: Duration = Duration::from_millis(50);

/// Held while a process works on a migration.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Lease {
    /// Takes the lease; `Ok(None)` when another process holds it.
    pub fn take(folder: &Path, migration: &str) -> Result<Option<Self>> {
        let path = folder.join(format!("{migration}.lock"));
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot lock {}", path.display())).caused_by(e)
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    /// Takes the lease, or fails with `Refused` after three seconds. One who only asks who works holds it
    /// for a moment, and one who was killed until the system has cleared it away, which on a busy machine
    /// takes longer than starting anew.
    pub fn need(folder: &Path, migration: &str) -> Result<Self> {
        for _ in 0..ASKED_TRIES {
            if let Some(lease) = Self::take(folder, migration)? {
                return Ok(lease);
            }
            std::thread::sleep(ASKED);
        }
        Self::take(folder, migration)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Refused,
                format!("another banyan process works on migration {migration}"),
            )
            .hint("stop it first (Ctrl-C is safe), or use it")
            .hint(format!(
                "a host that shall go on with others lets go of it: banyan migration pause {migration}"
            ))
        })
    }

    /// Whether a process works on the migration. Nothing is written.
    pub fn is_held(folder: &Path, migration: &str) -> Result<bool> {
        let path = folder.join(format!("{migration}.lock"));
        let failed = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot look at {}", path.display())).caused_by(e)
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(failed(e)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }
}
