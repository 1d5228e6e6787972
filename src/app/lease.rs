//! One engine a migration: a lock on a file, gone with the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

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

    /// Takes the lease, or fails with `Busy`.
    pub fn need(folder: &Path, migration: &str) -> Result<Self> {
        Self::take(folder, migration)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Refused,
                format!("another banyan process works on migration {migration}"),
            )
            .hint("stop it first (Ctrl-C is safe), or use it")
        })
    }
}
