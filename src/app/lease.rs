//! One engine a migration: a lock on a file, gone with the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How often, and how far apart, the lease is tried for.
const ASKED_TRIES: u32 = 3;
const ASKED: Duration = Duration::from_millis(20);

/// Held while a process works on a migration.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

impl Lease {
    /// Takes the lease; `Ok(None)` when another process holds it.
    pub fn take(folder: &Path, migration: &str) -> Result<Option<Self>> {
        let held = Self::lock(folder, migration, File::try_lock)?;
        Ok(held.map(|file| Self { _file: file }))
    }

    /// Takes the lease, or fails with `Refused`. One who only asks who works holds it for a moment.
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
        })
    }

    /// Whether a process works on the migration.
    pub fn is_held(folder: &Path, migration: &str) -> Result<bool> {
        Ok(Self::lock(folder, migration, File::try_lock_shared)?.is_none())
    }

    fn lock(
        folder: &Path,
        migration: &str,
        lock: impl Fn(&File) -> std::result::Result<(), TryLockError>,
    ) -> Result<Option<File>> {
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
        match lock(&file) {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }
}
