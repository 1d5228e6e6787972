//! Trying a rule, whatever it is written in: its case files, its cases, and the laws.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::rule::cases::{CaseFile, CaseReport, Rules};
use crate::rule::laws::{
    LawOptions, LawReport, check_resolve, check_route, check_transform, check_validate,
};

use super::Printer;

/// What the cases showed.
#[derive(Debug, Serialize)]
pub(super) struct Tested {
    passed: usize,
    failed: usize,
    files: Vec<CaseReport>,
}

impl Tested {
    /// Runs the cases of the rule in the file `rule`; `kind` is what messages call it.
    pub(super) fn new(
        kind: &str,
        rule: &Path,
        given: &[PathBuf],
        run: impl FnMut(&CaseFile) -> Result<CaseReport>,
    ) -> Result<Self> {
        let files = case_files(rule, given)?;
        if files.is_empty() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{kind} {} has no cases", rule.display()),
            )
            .hint(format!(
                "write {} or give --cases",
                rule.with_extension("cases.toml").display()
            )));
        }
        let files: Vec<CaseReport> = files.iter().map(run).collect::<Result<_>>()?;
        let failed = files.iter().map(CaseReport::failed).sum();
        let all: usize = files.iter().map(|r| r.cases.len()).sum();
        Ok(Self {
            passed: all - failed,
            failed,
            files,
        })
    }

    /// Prints it; the exit code.
    pub(super) fn show(&self, printer: &mut Printer<'_>) -> Result<u8> {
        if printer.is_json() {
            printer.json(self)?;
        } else {
            for file in &self.files {
                printer.line(file.to_string().trim_end())?;
            }
        }
        Ok(u8::from(self.failed > 0))
    }
}

/// The laws on the tables and rows of a case file, as far as the rule has the roles.
pub(super) fn laws_on(rules: &Rules<'_>, file: &CaseFile, options: &LawOptions) -> Vec<LawReport> {
    let mut laws = Vec::new();
    let rows = || -> Vec<_> { file.rows(0).into_iter().map(|r| vec![r]).collect() };
    if let Some(table) = file.table() {
        if let Some(rule) = rules.resolve {
            let recorded: Vec<_> = file.conflicts().into_iter().map(|c| vec![c]).collect();
            laws.push(check_resolve(rule, table, &recorded, options));
        }
        if let Some(rule) = rules.validate {
            laws.push(check_validate(rule, table, &rows(), options));
        }
    }
    if let (Some(tables), Some(rule)) = (file.tables(), rules.transform) {
        laws.push(check_transform(rule, tables, &rows(), options));
    }
    if let Some(rule) = rules.route {
        laws.push(check_route(rule, &file.requests(), options));
    }
    laws
}

/// The laws that need no case file.
pub(super) fn laws_alone(rules: &Rules<'_>, options: &LawOptions) -> Vec<LawReport> {
    let route = rules.route.map(|rule| check_route(rule, &[], options));
    route.into_iter().collect()
}

/// Prints what the laws showed of the rule in `file`.
pub(super) fn show_laws(file: &str, laws: &[LawReport], printer: &mut Printer<'_>) -> Result<()> {
    for laws in laws {
        printer.line(laws.to_string().trim_end())?;
    }
    if laws.is_empty() {
        printer.hint(format!(
            "the laws were not tried on {file}: they take their tables from case files (--cases)"
        ));
    }
    Ok(())
}

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
