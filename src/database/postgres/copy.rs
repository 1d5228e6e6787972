//! The rows of a table in key order, from one long `COPY`, handed out piece by piece.

use tokio::sync::{mpsc, oneshot};

use crate::data::Key;
use crate::data::batch::BatchBuilder;
use crate::database::server::driver::CopyReader;
use crate::database::{ChunkRows, SyncTable};
use crate::error::{Error, ErrorKind, Result};

use super::column::PgColumn;
use super::connect::PgConn;
use super::error::pg;
use super::read;
use super::rows::CopyRows;
use super::schema;
use super::select::{self, Selection};
use super::sent::SentBuilder;
use super::store::PgStore;

/// A piece ends early when it holds so many bytes.
const BYTES_MAX: usize = 16 << 20;

/// See the module's text. Dropped, its connection is closed and the statement ends.
#[derive(Debug)]
pub(in crate::database) struct PgCopy {
    requests: mpsc::Sender<Request>,
    seq: u64,
}

/// What is to be read.
#[derive(Clone, Debug)]
struct Wanted {
    store: PgStore,
    sql: String,
    columns: Vec<PgColumn>,
    table: SyncTable,
    exported: Option<String>,
    /// What is done, for errors.
    what: String,
}

/// Who asks for rows.
#[derive(Debug)]
struct Request {
    rows_max: usize,
    answer: oneshot::Sender<Result<(ChunkRows, bool)>>,
}

impl PgCopy {
    /// The mapped columns of the rows behind `after`, from the snapshot that another session has
    /// exported under this name, or from one of its own; `seq`: where the log stood at that instant.
    pub(super) async fn open(
        store: &PgStore,
        table: &SyncTable,
        after: Option<&Key>,
        exported: Option<&str>,
        seq: u64,
    ) -> Result<Self> {
        let opened = Self::open_inner(store, table, after, exported, seq).await;
        opened.map_err(|e| store.place(e))
    }

    async fn open_inner(
        store: &PgStore,
        table: &SyncTable,
        after: Option<&Key>,
        exported: Option<&str>,
        seq: u64,
    ) -> Result<Self> {
        let columns: Vec<PgColumn> = table
            .columns
            .iter()
            .map(|&i| PgColumn::new(&table.schema.columns[i]))
            .collect();
        let key: Vec<PgColumn> = table.key.iter().map(|&k| columns[k].clone()).collect();
        let selection = Selection {
            order_by: &key,
            after,
            filter: table.filter.as_deref(),
            ..Selection::default()
        };
        let wanted = Wanted {
            store: store.clone(),
            sql: select::copy(&table.schema.name, &columns, selection)?,
            columns,
            table: table.clone(),
            exported: exported.map(str::to_owned),
            what: format!("copy table {}", table.schema.name),
        };
        let (requests, asked) = mpsc::channel(1);
        let (ready, begun) = oneshot::channel();
        std::thread::Builder::new()
            .name("banyan-pg-copy".to_owned())
            .spawn(move || run(wanted, asked, ready))
            .map_err(|cause| {
                Error::new(ErrorKind::Unavailable, "a copy's reader cannot start").caused_by(cause)
            })?;
        begun.await.map_err(|_| ended())??;
        Ok(Self { requests, seq })
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Internal, "a copy's reader has ended on its own")
}

/// The thread: its connection is read and its rows are taken apart in one place, so that nobody is
/// woken for each packet.
fn run(wanted: Wanted, asked: mpsc::Receiver<Request>, ready: oneshot::Sender<Result<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(wanted, asked, ready)),
        Err(cause) => {
            let error = Error::new(ErrorKind::Unavailable, "a copy's reader cannot start");
            drop(ready.send(Err(error.caused_by(cause))));
        }
    }
}

async fn serve(
    wanted: Wanted,
    mut asked: mpsc::Receiver<Request>,
    ready: oneshot::Sender<Result<()>>,
) {
    let what = wanted.what.clone();
    let begun = async {
        let conn = wanted.store.endpoint().connect().await?;
        read::begin(&conn, wanted.exported.as_deref()).await?;
        let as_sent = wanted.table.as_sent && is_as_planned(&conn, &wanted.table).await?;
        let stream = conn.client().copy_out(wanted.sql.as_str()).await;
        Ok((stream.map_err(pg(&what))?, conn, as_sent))
    };
    // The connection lives as long as its rows are read.
    let (stream, _conn, as_sent) = match begun.await {
        Ok(begun) => begun,
        Err(e) => {
            drop(ready.send(Err(e)));
            return;
        }
    };
    let kinds = wanted.columns.iter().map(|c| c.kind).collect();
    let mut rows = CopyRows::new(stream, kinds, wanted.what);
    let mut collected = if as_sent {
        Collected::Sent(SentBuilder::new(&wanted.columns))
    } else {
        let names = wanted.columns.into_iter().map(|c| c.name);
        Collected::Cells(BatchBuilder::new(names.collect()))
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    while let Some(Request {
        rows_max,
        mut answer,
    }) = asked.recv().await
    {
        let read = tokio::select! {
            read = collected.next(&mut rows, rows_max.max(1)) => read,
            () = answer.closed() => return,
        };
        let read = read.map(|chunk| (chunk, rows.ended()));
        let failed = read.is_err();
        if answer.send(read).is_err() || failed {
            return;
        }
    }
}

/// Whether the columns have the types in the snapshot that they had when the migration was opened: the
/// other side would round what has more digits now.
async fn is_as_planned(conn: &PgConn, table: &SyncTable) -> Result<bool> {
    let now = schema::table(conn, &table.schema.name).await?;
    let mut planned = table.columns.iter().map(|&i| &table.schema.columns[i]);
    Ok(planned.all(|was| {
        let is = now.column(&was.name).map(|i| &now.columns[i]);
        is.is_some_and(|is| is.declared_type == was.declared_type && is.nullable == was.nullable)
    }))
}

/// Rows of the next chunk.
enum Collected {
    Cells(BatchBuilder),
    Sent(SentBuilder),
}

impl Collected {
    async fn next(&mut self, rows: &mut CopyRows, rows_max: usize) -> Result<ChunkRows> {
        match self {
            Self::Cells(builder) => {
                rows.fill(builder, rows_max, BYTES_MAX).await?;
                Ok(ChunkRows::Cells(builder.finish()?))
            }
            Self::Sent(builder) => {
                rows.fill(builder, rows_max, BYTES_MAX).await?;
                Ok(ChunkRows::Sent(builder.finish()))
            }
        }
    }
}

impl CopyReader for PgCopy {
    fn seq(&self) -> u64 {
        self.seq
    }

    async fn next(&mut self, rows_max: usize) -> Result<(ChunkRows, bool)> {
        let (answer, read) = oneshot::channel();
        let request = Request { rows_max, answer };
        self.requests.send(request).await.map_err(|_| ended())?;
        read.await.map_err(|_| ended())?
    }
}
