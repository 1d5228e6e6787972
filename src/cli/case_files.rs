//! Finds the case files of a rule.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::rule::cases::CaseFile;

/// The case files of the rule in the file `rule`: those that are given, all of a folder in the
/// order of their names, or the one beside the rule.
pub(super) fn case_files(rule: &Path, given: &[PathBuf]) -> Result<Vec<CaseFile>> {
    if given.is_empty() {
        let beside = rule.with_extension("cases.toml");
        return if beside.is_file() {
            Ok(vec![CaseFile::read(&beside)?])
        } else {
            Ok(Vec::new())
        };
    }
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(CaseFile::read(path)?);
            continue;
        }
        let unreadable = |e| {
            Error::new(
                ErrorKind::Io,
                format!("folder {} cannot be read", path.display()),
            )
            .caused_by(e)
        };
        let mut found = std::fs::read_dir(path)
            .map_err(unreadable)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(unreadable)?;
        found.retain(|p| p.extension().is_some_and(|e| e == "toml"));
        found.sort();
        if found.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("folder {} has no case files (*.toml)", path.display()),
            ));
        }
        for file in found {
            files.push(CaseFile::read(&file)?);
        }
    }
    Ok(files)
}
