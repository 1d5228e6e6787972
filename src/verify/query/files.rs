//! Files as tables of a query: `FROM 'export/orders.parquet'`.

use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::options::ArrowReadOptions;
use datafusion::prelude::{CsvReadOptions, JsonReadOptions, ParquetReadOptions, SessionContext};

use crate::error::{Error, ErrorKind, Result};

use super::failure;

/// A file takes up to so many times its size as rows in memory.
const EXPANSION: u64 = 4;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Parquet,
    Csv,
    Arrow,
    Json,
}

/// What the name of a table says if it is a file's.
fn kind(name: &str) -> Option<Kind> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "parquet" => Kind::Parquet,
        "csv" => Kind::Csv,
        "arrow" => Kind::Arrow,
        "ndjson" | "jsonl" => Kind::Json,
        _ => return None,
    })
}

/// Whether a table of this name is a file.
pub(super) fn is_file(name: &str) -> bool {
    kind(name).is_some()
}

/// Whether a few of its columns cost less to read than all of them.
pub(super) fn has_cheap_columns(name: &str) -> bool {
    matches!(kind(name), Some(Kind::Parquet | Kind::Arrow))
}

/// A file as a table, and the bytes that it may take in memory. Paths start from `folder`. The
/// columns of CSV and JSON files have the types that all of their values fit.
pub(super) async fn open(name: &str, folder: &Path) -> Result<(Arc<dyn TableProvider>, u64)> {
    let path = folder.join(name);
    let metadata = std::fs::metadata(&path).map_err(|e| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let kind = if missing {
            ErrorKind::NotFound
        } else {
            ErrorKind::Io
        };
        Error::new(kind, format!("the file {} cannot be read", path.display())).caused_by(e)
    })?;
    if !metadata.is_file() {
        let message = format!("{} is no file", path.display());
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let text = url(&path)?;
    let extension = name.rsplit_once('.').map_or("", |(_, e)| e);
    let extension = format!(".{extension}");
    let context = SessionContext::new();
    let read = match kind(name) {
        Some(Kind::Parquet) => {
            let options = ParquetReadOptions::default();
            let options = ParquetReadOptions {
                file_extension: &extension,
                ..options
            };
            context.read_parquet(&text, options).await
        }
        Some(Kind::Csv) => {
            let options = CsvReadOptions::new()
                .schema_infer_max_records(usize::MAX)
                // Otherwise long files are cut at line ends, those within quotes included.
                .newlines_in_values(true)
                .file_extension(&extension);
            context.read_csv(&text, options).await
        }
        Some(Kind::Arrow) => {
            let options = ArrowReadOptions::default();
            let options = ArrowReadOptions {
                file_extension: &extension,
                ..options
            };
            context.read_arrow(&text, options).await
        }
        Some(Kind::Json) | None => {
            let options = JsonReadOptions::default()
                .schema_infer_max_records(usize::MAX)
                .file_extension(&extension);
            context.read_json(&text, options).await
        }
    };
    let table = read.map_err(|e| failure::file(&e, &path))?;
    Ok((table.into_view(), metadata.len().saturating_mul(EXPANSION)))
}

/// The one file of this path: no character of it stands for others.
fn url(path: &Path) -> Result<String> {
    let absolute = std::path::absolute(path).map_err(|e| {
        Error::new(ErrorKind::Io, "the current folder cannot be found").caused_by(e)
    })?;
    let text = absolute.to_str().ok_or_else(|| {
        Error::new(
            ErrorKind::Usage,
            format!("the path {} is not UTF-8", path.display()),
        )
    })?;
    let mut url = String::from("file://");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(url)
}
