//! `banyan query`

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::app::query;
use crate::error::{Error, ErrorKind, Result};
use crate::verify::{FileForm, FileRows, JsonRows, QueryOptions, QueryRows, TextRows};

use super::Printer;
use super::context::{block_on, load};
use super::verify::or_interrupted;
use super::worker::WorkersArgs;

/// Run SQL over all stores: SELECT … FROM monolith.customers a JOIN orders.customers b …
///
/// Files are tables, too: FROM 'export.parquet' (.parquet, .csv, .arrow, .ndjson). Beside SQL's own
/// functions there are row_hash(a, b, …), set_hash(a, b, …) and the table of differences
/// diff('monolith.customers', 'orders.customers', 'id').
#[derive(clap::Args, Debug)]
pub(super) struct QueryArgs {
    /// One SELECT, WITH or EXPLAIN; tables are named STORE.TABLE, files in single quotes
    pub(super) sql: String,

    /// Memory for sorts and joins, in MiB; beyond it they spill to disk
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(super) memory_mb: usize,

    /// Read columns that hold several kinds of values as text
    #[arg(long)]
    pub(super) mixed_as_text: bool,

    /// Write the rows to this file instead; its ending says how: .csv, .json, .arrow or .parquet
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    #[command(flatten)]
    pub(super) workers: WorkersArgs,
}

pub(super) fn run(
    args: &QueryArgs,
    printer: &mut Printer<'_>,
    config: Option<&Path>,
) -> Result<u8> {
    let config = load(config)?;
    let options = QueryOptions {
        memory_bytes: args.memory_mb.saturating_mul(1024 * 1024),
        mixed_as_text: args.mixed_as_text,
        parts: args.workers.parts(),
        cluster: args.workers.cluster()?,
        ..QueryOptions::default()
    };
    if let Some(path) = &args.output {
        // Before the query runs for nothing.
        FileForm::of(path)?;
        let rows = block_on(|shutdown| async move {
            let work = async {
                let mut rows = query(&config, &args.sql, &options).await?;
                let mut file = FileRows::create(path, &rows.schema())?;
                while let Some(batch) = rows.next().await? {
                    file.push(&batch)?;
                }
                file.finish()
            };
            or_interrupted(Box::pin(work), &shutdown).await
        })?;
        printer.hint(format!("{rows} rows are in {}", path.display()));
        return Ok(0);
    }
    let json = printer.is_json();
    let out = printer.out();
    block_on(|shutdown| async move {
        let work = async {
            let rows = query(&config, &args.sql, &options).await?;
            print(rows, json, out).await
        };
        or_interrupted(Box::pin(work), &shutdown).await
    })?;
    Ok(0)
}

/// Prints rows as they come.
async fn print(mut rows: QueryRows, json: bool, out: &mut dyn Write) -> Result<()> {
    let mut write = |text: &str| {
        out.write_all(text.as_bytes())
            .map_err(|e| Error::new(ErrorKind::Io, "the output cannot be written").caused_by(e))
    };
    if json {
        let mut form = JsonRows::new(&rows.schema());
        while let Some(batch) = rows.next().await? {
            write(&form.push(&batch)?)?;
        }
        write(form.finish())
    } else {
        let mut form = TextRows::new(&rows.schema());
        while let Some(batch) = rows.next().await? {
            write(&form.push(&batch)?)?;
        }
        write(&form.finish())
    }
}
