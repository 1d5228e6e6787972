//! The rows of a query as a file.
//!
//! The file has its name only when it is whole: until then it is a temporary one beside it.

use std::fmt;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::FileWriter;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::errors::ParquetError;
use tempfile::NamedTempFile;

use crate::error::{Error, ErrorKind, Result};

use super::render::{self, JsonRows};

/// The form of a file, which its name's ending says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileForm {
    /// `.csv`: a line of names, then one a row. NULL and the empty text are both
    /// nothing: the other forms tell them apart.
    Csv,
    /// `.json`: an array of objects.
    Json,
    /// `.arrow`: Arrow's file format.
    Arrow,
    /// `.parquet`
    Parquet,
}

impl FileForm {
    /// By the path's ending. Fails with [`ErrorKind::Usage`] on any other.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "arrow" => Ok(Self::Arrow),
            "parquet" => Ok(Self::Parquet),
            _ => Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{} has none of the endings that results can be written as",
                    path.display()
                ),
            )
            .hint("name it .csv, .json, .arrow or .parquet")),
        }
    }
}

type Out = BufWriter<NamedTempFile>;

enum Writer {
    Csv(Box<csv::Writer<Out>>),
    Json(JsonRows, Out),
    Arrow(Box<FileWriter<Out>>),
    Parquet(Box<ArrowWriter<Out>>),
}

/// Writes rows to a file as they come.
pub struct FileRows {
    path: PathBuf,
    schema: SchemaRef,
    writer: Writer,
    rows: u64,
}

impl fmt::Debug for FileRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileRows").field(&self.path).finish()
    }
}

impl FileRows {
    /// Begins a file for rows of this schema. Of columns with one name the second gets `_2`, and so on.
    pub fn create(path: &Path, schema: &SchemaRef) -> Result<Self> {
        let form = FileForm::of(path)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|e| unwritable(path, e))?;
        let out = BufWriter::new(file);
        let names = render::names(schema);
        let fields = schema.fields().iter().zip(names);
        let fields: Vec<Field> = fields
            .map(|(field, name)| field.as_ref().clone().with_name(name))
            .collect();
        let schema = SchemaRef::new(Schema::new(fields));
        let writer = match form {
            FileForm::Csv => {
                let mut writer = csv::WriterBuilder::new().with_header(true).build(out);
                // The names, also where there are no rows.
                let none = RecordBatch::new_empty(SchemaRef::clone(&schema));
                writer.write(&none).map_err(|e| arrow(path, e))?;
                Writer::Csv(Box::new(writer))
            }
            FileForm::Json => Writer::Json(JsonRows::new(&schema), out),
            FileForm::Arrow => Writer::Arrow(Box::new(
                FileWriter::try_new(out, &schema).map_err(|e| arrow(path, e))?,
            )),
            FileForm::Parquet => Writer::Parquet(Box::new(
                ArrowWriter::try_new(out, SchemaRef::clone(&schema), None)
                    .map_err(|e| parquet(path, e))?,
            )),
        };
        Ok(Self {
            path: path.to_owned(),
            schema,
            writer,
            rows: 0,
        })
    }

    /// The next rows.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        use std::io::Write;
        let path = &self.path;
        let batch = RecordBatch::try_new(SchemaRef::clone(&self.schema), batch.columns().to_vec())
            .map_err(|e| arrow(path, e))?;
        match &mut self.writer {
            Writer::Csv(writer) => writer.write(&batch).map_err(|e| arrow(path, e))?,
            Writer::Json(form, out) => {
                let text = form.push(&batch)?;
                out.write_all(text.as_bytes())
                    .map_err(|e| unwritable(path, e))?;
            }
            Writer::Arrow(writer) => writer.write(&batch).map_err(|e| arrow(path, e))?,
            Writer::Parquet(writer) => writer.write(&batch).map_err(|e| parquet(path, e))?,
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Ends the file and gives it its name; answers the number of rows.
    pub fn finish(self) -> Result<u64> {
        use std::io::Write;
        let path = &self.path;
        let out = match self.writer {
            Writer::Csv(writer) => writer.into_inner(),
            Writer::Json(form, mut out) => {
                out.write_all(form.finish().as_bytes())
                    .map_err(|e| unwritable(path, e))?;
                out
            }
            Writer::Arrow(mut writer) => {
                writer.finish().map_err(|e| arrow(path, e))?;
                writer.into_inner().map_err(|e| arrow(path, e))?
            }
            Writer::Parquet(writer) => writer.into_inner().map_err(|e| parquet(path, e))?,
        };
        let file = out
            .into_inner()
            .map_err(|e| unwritable(path, e.into_error()))?;
        file.as_file().sync_all().map_err(|e| unwritable(path, e))?;
        file.persist(path).map_err(|e| unwritable(path, e.error))?;
        Ok(self.rows)
    }
}

fn unwritable(path: &Path, e: std::io::Error) -> Error {
    let message = format!("the file {} cannot be written", path.display());
    Error::new(ErrorKind::Io, message).caused_by(e)
}

fn arrow(path: &Path, e: ArrowError) -> Error {
    match e {
        ArrowError::IoError(_, e) => unwritable(path, e),
        other => unfit(path, other),
    }
}

fn parquet(path: &Path, e: ParquetError) -> Error {
    unfit(path, e)
}

fn unfit(path: &Path, e: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("the result cannot be written to {}", path.display());
    Error::new(ErrorKind::Value, message)
        .caused_by(e)
        .hint("cast the columns that it names to text, or write it in another form")
}
