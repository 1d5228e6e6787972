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
    let text = path.to_str().ok_or_else(|| {
        Error::new(
            ErrorKind::Usage,
            format!("the path {} is not UTF-8", path.display()),
        )
    })?;
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
            context.read_parquet(text, options).await
        }
        Some(Kind::Csv) => {
            let options = CsvReadOptions::new()
                .schema_infer_max_records(usize::MAX)
                .file_extension(&extension);
            context.read_csv(text, options).await
        }
        Some(Kind::Arrow) => {
            let options = ArrowReadOptions::default();
            let options = ArrowReadOptions {
                file_extension: &extension,
                ..options
            };
            context.read_arrow(text, options).await
        }
        Some(Kind::Json) | None => {
            let options = JsonReadOptions::default()
                .schema_infer_max_records(usize::MAX)
                .file_extension(&extension);
            context.read_json(text, options).await
        }
    };
    let table = read.map_err(|e| failure::file(&e, &path))?;
    Ok((table.into_view(), metadata.len().saturating_mul(EXPANSION)))
}
