//! DataFusion's errors in our words.

use std::error::Error as _;
use std::path::Path;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

use super::tables::Found;

/// The name that is meant, if one is near enough.
pub(super) fn nearest<'n>(name: &str, names: &'n [String]) -> Option<&'n str> {
    let name = name.to_lowercase();
    let near = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let short = candidate
            .rsplit('.')
            .next()
            .unwrap_or(&candidate)
            .to_owned();
        strsim::jaro_winkler(&name, &candidate).max(strsim::jaro_winkler(&name, &short))
    };
    names
        .iter()
        .map(|n| (near(n), n.as_str()))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, n)| n)
}

/// An error of text that is no SQL.
pub(super) fn syntax(error: DataFusionError) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("the query is not valid SQL: {}", plain(&error)),
    )
}

/// An error of a query that cannot be planned.
pub(super) fn planning(error: DataFusionError, found: &Found) -> Error {
    if let Some(ours) = ours(&error) {
        return ours;
    }
    if let Some(SchemaError::FieldNotFound { field, .. }) = schema_error(&error) {
        let wrong = Error::new(
            ErrorKind::Usage,
            format!("there is no column {:?}", field.flat_name()),
        );
        let columns = found.columns();
        return match nearest(&field.name, &columns) {
            Some(nearest) => wrong.hint(format!(
                "did you mean {nearest}? Columns are spelt as in the store"
            )),
            None => wrong.hint(format!("the columns are {}", columns.join(", "))),
        };
    }
    let text = plain(&error);
    if text.contains("Wildcard {") {
        return Error::new(
            ErrorKind::Usage,
            "a function takes columns, and * is none (but in count(*))",
        )
        .hint(format!(
            "name them: row_hash(a, b); the columns are {}",
            found.columns().join(", ")
        ));
    }
    if [
        "DDL not supported",
        "DML not supported",
        "Statement not supported",
    ]
    .iter()
    .any(|refused| text.contains(refused))
    {
        return Error::new(ErrorKind::Usage, format!("a query only reads: {text}"))
            .hint("use SELECT, WITH or EXPLAIN");
    }
    Error::new(ErrorKind::Usage, format!("the query cannot be run: {text}"))
}

/// An error of a file that cannot be read as a table.
pub(super) fn file(error: &DataFusionError, path: &Path) -> Error {
    Error::new(
        ErrorKind::Value,
        format!("the file {}: {}", path.display(), plain(error)),
    )
}

/// An error of a query that is running.
pub(super) fn running(error: DataFusionError, memory_bytes: usize) -> Error {
    if let Some(ours) = ours(&error) {
        return ours;
    }
    if let DataFusionError::ResourcesExhausted(text) = error.find_root() {
        return Error::new(
            ErrorKind::Full,
            format!(
                "the query needs more than {} MiB of memory, or more room on disk: {text}",
                memory_bytes / 1024 / 1024
            ),
        )
        .hint("raise --memory-mb, or let the query join and group fewer rows");
    }
    Error::new(
        ErrorKind::Value,
        format!("the query failed: {}", plain(&error)),
    )
}

/// The message without DataFusion's own frame around it.
fn plain(error: &DataFusionError) -> String {
    error.find_root().strip_backtrace()
}

/// The error of a store that came through DataFusion.
fn ours(error: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(found) = e.downcast_ref::<Error>() {
            return Some(copy(found));
        }
        if let Some(DataFusionError::External(inner)) = e.downcast_ref::<DataFusionError>()
            && let Some(found) = inner.downcast_ref::<Error>()
        {
            return Some(copy(found));
        }
        cause = e.source();
    }
    None
}

fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message());
    for hint in error.hints() {
        copy = copy.hint(hint);
    }
    if let Some(cause) = error.source() {
        copy = copy.caused_by(cause.to_string());
    }
    copy
}

fn schema_error(error: &DataFusionError) -> Option<&SchemaError> {
    match error {
        DataFusionError::SchemaError(e, _) => Some(e),
        DataFusionError::Context(_, e) | DataFusionError::Diagnostic(_, e) => schema_error(e),
        DataFusionError::Collection(all) => all.iter().find_map(schema_error),
        DataFusionError::Shared(e) => schema_error(e),
        _ => None,
    }
}
