//! A transaction of Banyan's.
//!
//! It is REPEATABLE READ, so that looking for a row that is not there keeps others from inserting it
//! (gap locks); every look that matters is a locking one and sees the newest rows, whatever the
//! snapshot. Its first write of a row is preceded by one to Banyan's own table `mark`: that is how
//! the reader of the log knows it.
//!
//! An error of a statement undoes that statement alone, except where the server undoes the whole
//! transaction (deadlocks): after any error but a [`Violation`] nothing more can be done in it.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row as WireRow, Value as Wire};
use tokio::sync::OwnedMutexGuard;

use crate::data::{Key, Row, Value};
use crate::database::ChunkRows;
use crate::database::server::driver::{Done, Tx};
use crate::error::{Error, ErrorKind, Result};

use super::connect::Access;
use super::error::{code, mysql, violation};
use super::log;
use super::names::Names;
use super::outbox::{self, Outbox};
use super::store::MysqlStore;
use super::table::MysqlTable;

/// How long a lock is waited for when nobody says otherwise: the servers' default.
const LOCK_WAIT_S: u64 = 50;

/// A connection that writes, between transactions.
#[derive(Debug)]
pub(super) struct Writer {
    conn: Conn,
    /// What it is set to.
    lock_wait_s: u64,
    /// The largest packet that the server takes.
    max_packet: usize,
    /// With triggers: sees what is committed by now, whatever the transaction's snapshot.
    aside: Option<Conn>,
}

impl Writer {
    async fn open(store: &MysqlStore, outbox: Option<&Outbox>) -> Result<Self> {
        let mut conn = store.connect(Access::Write).await?;
        if let Some(outbox) = outbox {
            conn.query_drop(outbox.mark_sql())
                .await
                .map_err(mysql("set up a session that writes"))
                .map_err(|e| store.named(e))?;
        }
        let max_packet: Option<u64> = conn
            .query_first("SELECT @@max_allowed_packet")
            .await
            .map_err(mysql("read max_allowed_packet"))
            .map_err(|e| store.named(e))?;
        Ok(Self {
            conn,
            aside: None,
            lock_wait_s: 0,
            max_packet: max_packet
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(PACKET),
        })
    }
}

/// See the module's text.
#[derive(Debug)]
pub(in crate::database) struct MysqlTx {
    pub(super) store: MysqlStore,
    /// Where the connection is put back.
    slot: Option<OwnedMutexGuard<Option<Writer>>>,
    writer: Option<Writer>,
    /// The name of the table `mark`, for SQL.
    mark: String,
    marked: bool,
    /// A plain read was made: further ones see the same snapshot.
    viewed: bool,
    /// A statement is under way.
    busy: bool,
    /// A statement failed: the server may have undone everything.
    failed: bool,
    /// Where changes are captured by triggers.
    outbox: Option<Outbox>,
    pub(super) max_packet: usize,
}

/// What a statement answers.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<WireRow>,
    /// Rows that it found to write.
    pub(super) affected: u64,
}

impl MysqlTx {
    /// Begins one, when the last one is over. `patience_ms`: see
    /// [`Driver::begin`](crate::database::server::driver::Driver::begin); the servers count in
    /// whole seconds.
    pub(super) async fn begin(
        store: &MysqlStore,
        names: &Names,
        patience_ms: u64,
        outbox: Option<&Outbox>,
    ) -> Result<Self> {
        let mut slot = store.writer().lock_owned().await;
        let wait_s = match patience_ms {
            0 => LOCK_WAIT_S,
            ms => ms.div_ceil(1_000),
        };
        let kept = slot.take();
        let begun = match kept {
            Some(writer) => match start(writer, wait_s).await {
                // The server may have closed it meanwhile.
                Err(e) if e.is_fatal() => None,
                other => Some(other.map_err(mysql("begin a transaction"))),
            },
            None => None,
        };
        let writer = match begun {
            Some(writer) => writer,
            None => {
                let writer = Writer::open(store, outbox).await?;
                start(writer, wait_s)
                    .await
                    .map_err(mysql("begin a transaction"))
            }
        }
        .map_err(|e| store.named(e))?;
        Ok(Self {
            store: store.clone(),
            slot: Some(slot),
            max_packet: writer.max_packet,
            writer: Some(writer),
            mark: names.sql("mark"),
            // Without a log there is nothing to mark in it.
            marked: outbox.is_some(),
            viewed: false,
            busy: false,
            failed: false,
            outbox: outbox.cloned(),
        })
    }

    fn over() -> Error {
        Error::new(
            ErrorKind::Internal,
            "a transaction that has failed was used again",
        )
    }

    /// The connection, for something that may fail; [`Self::done`] must be called with the outcome.
    fn conn(&mut self) -> Result<&mut Conn> {
        if self.failed || self.busy {
            return Err(Self::over());
        }
        self.busy = true;
        self.writer
            .as_mut()
            .map(|w| &mut w.conn)
            .ok_or_else(Self::over)
    }

    /// After a statement: a constraint's word is an answer, everything else ends the transaction.
    fn done<T>(
        &mut self,
        what: &str,
        outcome: std::result::Result<T, mysql_async::Error>,
    ) -> Result<Done<T>> {
        self.busy = false;
        match outcome {
            Ok(answer) => Ok(Ok(answer)),
            Err(e) => match violation(&e) {
                Some(found) => Ok(Err(found)),
                None => {
                    self.failed = true;
                    Err(self.store.named(mysql(what)(e)))
                }
            },
        }
    }

    /// Runs a prepared statement.
    pub(super) async fn run(
        &mut self,
        what: &str,
        sql: &str,
        wires: Vec<Wire>,
    ) -> Result<Done<Answer>> {
        let conn = self.conn()?;
        let outcome = async {
            let mut result = conn.exec_iter(sql, Params::Positional(wires)).await?;
            let rows = result.collect::<WireRow>().await?;
            let affected = result.affected_rows();
            result.drop_result().await?;
            Ok(Answer { rows, affected })
        }
        .await;
        self.done(what, outcome)
    }

    /// Runs a prepared statement once for each of the rows, together where the server can do that
    /// (MariaDB). The parameters of one position are of one type, and all of them fit a packet.
    pub(super) async fn run_each(
        &mut self,
        what: &str,
        sql: &str,
        rows: Vec<Vec<Wire>>,
    ) -> Result<Done<u64>> {
        if self.store.server().is_mariadb() {
            let conn = self.conn()?;
            let outcome = async {
                conn.exec_batch(sql, rows.into_iter().map(Params::Positional))
                    .await?;
                Ok(conn.affected_rows())
            }
            .await;
            return self.done(what, outcome);
        }
        let mut affected = 0;
        for row in rows {
            match self.run(what, sql, row).await? {
                Ok(answer) => affected += answer.affected,
                Err(found) => return Ok(Err(found)),
            }
        }
        Ok(Ok(affected))
    }

    /// Runs a statement that reads; a constraint cannot say no.
    pub(super) async fn look(
        &mut self,
        what: &str,
        sql: &str,
        wires: Vec<Wire>,
    ) -> Result<Vec<WireRow>> {
        match self.run(what, sql, wires).await? {
            Ok(answer) => Ok(answer.rows),
            Err(found) => {
                self.failed = true;
                let error = Error::new(ErrorKind::Store, format!("cannot {what}"));
                Err(self.store.named(error.caused_by(found.reason)))
            }
        }
    }

    /// Before the first write of a row: the mark by which the reader of the log knows us.
    pub(super) async fn mark(&mut self) -> Result<()> {
        if self.marked {
            return Ok(());
        }
        let sql = format!("UPDATE {} SET n = n + 1", self.mark);
        let conn = self.conn()?;
        let outcome = conn.exec_drop(&sql, ()).await;
        let outcome = match outcome {
            // Changes are not captured here: nobody reads the log.
            Err(e) if code(&e) == Some(1146) => Ok(()),
            other => other,
        };
        self.marked = true;
        self.plain("mark a transaction", outcome)
    }

    /// The number of the newest entry: whoever has changed a row that is locked here, and has
    /// committed, is visible to a connection that reads now.
    async fn end_of_outbox(&mut self, outbox: &Outbox) -> Result<u64> {
        let writer = self.writer.as_mut().ok_or_else(Self::over)?;
        if let Some(mut conn) = writer.aside.take()
            && let Ok(end) = outbox::end(&mut conn, outbox).await
        {
            writer.aside = Some(conn);
            return Ok(end);
        }
        // The server closes what is not used for long.
        let mut conn = self.store.connect(Access::Read).await?;
        let end = outbox::end(&mut conn, outbox).await;
        let end = end.map_err(|e| self.store.named(e))?;
        writer.aside = Some(conn);
        Ok(end)
    }

    /// The outcome of something that meets no constraint.
    fn plain<T>(
        &mut self,
        what: &str,
        outcome: std::result::Result<T, mysql_async::Error>,
    ) -> Result<T> {
        self.busy = false;
        outcome.map_err(|e| {
            self.failed = true;
            self.store.named(mysql(what)(e))
        })
    }
}

/// The servers' smallest default of max_allowed_packet.
const PACKET: usize = 4 << 20;

async fn start(mut writer: Writer, wait_s: u64) -> std::result::Result<Writer, mysql_async::Error> {
    if writer.lock_wait_s != wait_s {
        // Locks of rows, and of tables that are being altered.
        writer
            .conn
            .query_drop(format!(
                "SET SESSION innodb_lock_wait_timeout = {wait_s}, lock_wait_timeout = {wait_s}"
            ))
            .await?;
        writer.lock_wait_s = wait_s;
    }
    writer.conn.query_drop("START TRANSACTION").await?;
    Ok(writer)
}

/// Whether a statement ends the transaction by itself.
fn is_ddl(sql: &str) -> bool {
    let word = sql
        .trim_start()
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    ["CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME"]
        .iter()
        .any(|ddl| word.eq_ignore_ascii_case(ddl))
}

impl Drop for MysqlTx {
    /// Undoes it, in the background; the next transaction waits for that.
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        if self.busy {
            self.store.server().abandon(writer.conn.id());
            return;
        }
        let (Some(mut slot), Ok(runtime)) =
            (self.slot.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(async move {
            // A connection that cannot do even that is not used again.
            match writer.conn.query_drop("ROLLBACK").await {
                Ok(()) => *slot = Some(writer),
                Err(error) => tracing::debug!(%error, "a transaction was left to the server"),
            }
        });
    }
}

/// Parameters of a statement on Banyan's own tables.
fn own_wires(values: &[Value]) -> Result<Vec<Wire>> {
    values
        .iter()
        .map(|value| match value {
            Value::Null => Ok(Wire::NULL),
            Value::Int(v) => Ok(Wire::Int(*v)),
            Value::Text(v) => Ok(Wire::Bytes(v.as_bytes().to_vec())),
            Value::Bytes(v) => Ok(Wire::Bytes(v.clone())),
            other => Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "a value of type {} in a statement on Banyan's own tables",
                    other.type_name()
                ),
            )),
        })
        .collect()
}

/// A row of Banyan's own tables: the type of a cell is that of its column.
fn own_row(row: WireRow) -> Result<Row> {
    /// The character set of bytes.
    const BINARY: u16 = 63;
    let columns = row.columns();
    let odd = || {
        Error::new(
            ErrorKind::Internal,
            "a cell of an unexpected type in Banyan's own tables",
        )
    };
    columns
        .iter()
        .zip(row.unwrap())
        .map(|(column, cell)| {
            Ok(match cell {
                Wire::NULL => Value::Null,
                Wire::Int(v) => Value::Int(v),
                Wire::UInt(v) => Value::Int(i64::try_from(v).map_err(|_| odd())?),
                Wire::Bytes(v) if column.character_set() == BINARY => {
                    if column.column_type()
                        == mysql_async::consts::ColumnType::MYSQL_TYPE_NEWDECIMAL
                    {
                        // Sums.
                        let text = String::from_utf8(v).map_err(|_| odd())?;
                        Value::Int(text.parse().map_err(|_| odd())?)
                    } else {
                        Value::Bytes(v)
                    }
                }
                Wire::Bytes(v) => Value::Text(String::from_utf8(v).map_err(|_| odd())?),
                _ => return Err(odd()),
            })
        })
        .collect()
}

impl Tx for MysqlTx {
    type Table = MysqlTable;

    async fn batch(&mut self, sql: &str) -> Result<()> {
        let conn = self.conn()?;
        let mut outcome = conn.query_drop(sql).await;
        if outcome.is_ok() && is_ddl(sql) {
            // It has committed what was there; what follows belongs together again.
            outcome = conn.query_drop("START TRANSACTION").await;
            self.marked = self.outbox.is_some();
            self.viewed = false;
        }
        self.plain("run a statement", outcome)
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let wires = own_wires(values)?;
        let conn = self.conn()?;
        let outcome = async {
            conn.exec_drop(sql, Params::Positional(wires)).await?;
            Ok(conn.affected_rows())
        }
        .await;
        self.plain("write Banyan's own tables", outcome)
    }

    async fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        let wires = own_wires(values)?;
        self.viewed = true;
        let conn = self.conn()?;
        let outcome = conn
            .exec::<WireRow, _, _>(sql, Params::Positional(wires))
            .await;
        let rows = self.plain("read Banyan's own tables", outcome)?;
        rows.into_iter().map(own_row).collect()
    }

    async fn rows(&mut self, table: &MysqlTable, keys: &[Key]) -> Result<Vec<Option<Row>>> {
        if self.viewed {
            // The snapshot of this transaction may be old by now.
            let mut conn = self.store.connect(Access::Read).await?;
            return super::rows::read(&self.store, &mut conn, table, keys).await;
        }
        self.viewed = true;
        self.find(table, keys, "").await
    }

    async fn lock_rows(&mut self, table: &MysqlTable, keys: &[Key]) -> Result<Vec<Option<Row>>> {
        self.find(table, keys, " FOR UPDATE").await
    }

    async fn lock_tables(&mut self, _tables: &[&MysqlTable]) -> Result<()> {
        // Absent rows are locked by their gaps.
        Ok(())
    }

    async fn guarded_update(
        &mut self,
        _table: &MysqlTable,
        _rows: &[(&Key, &Row, &Row)],
    ) -> Result<Done<Option<Vec<bool>>>> {
        Ok(Ok(None))
    }

    async fn insert(&mut self, table: &MysqlTable, rows: &[&Row]) -> Result<Done<Vec<bool>>> {
        self.insert_free(table, rows).await
    }

    async fn update(&mut self, table: &MysqlTable, rows: &[(&Key, &Row)]) -> Result<Done<()>> {
        self.update_rows(table, rows).await
    }

    async fn delete(&mut self, table: &MysqlTable, keys: &[&Key]) -> Result<Done<()>> {
        self.delete_rows(table, keys).await
    }

    async fn swap(&mut self, table: &MysqlTable, rows: &[(&Key, &Row)]) -> Result<Done<()>> {
        self.swap_rows(table, rows).await
    }

    async fn load(&mut self, table: &MysqlTable, rows: &ChunkRows) -> Result<Done<()>> {
        self.load_batch(table, &rows.cells()?).await
    }

    async fn holders(&mut self, table: &MysqlTable, row: &Row) -> Result<Vec<Key>> {
        self.find_holders(table, row).await
    }

    async fn missing_parents(
        &mut self,
        table: &MysqlTable,
        rows: &[&Row],
    ) -> Result<Vec<(usize, String)>> {
        self.find_missing_parents(table, rows).await
    }

    async fn children(
        &mut self,
        table: &MysqlTable,
        rows: &[&Row],
    ) -> Result<Vec<(usize, String)>> {
        self.find_children(table, rows).await
    }

    async fn next_key(&mut self, table: &MysqlTable) -> Result<Option<Key>> {
        self.find_next_key(table).await
    }

    async fn end(&mut self) -> Result<u64> {
        if let Some(outbox) = self.outbox.clone() {
            return self.end_of_outbox(&outbox).await;
        }
        let server = self.store.server().clone();
        let conn = self.conn()?;
        let end = log::end(&server, conn).await;
        self.busy = false;
        end.map_err(|e| {
            self.failed = true;
            self.store.named(e)
        })
    }

    async fn commit(mut self) -> Result<()> {
        let conn = self.conn()?;
        let outcome = conn.query_drop("COMMIT").await;
        self.plain("commit", outcome)?;
        if let Some(mut slot) = self.slot.take() {
            *slot = self.writer.take();
        }
        Ok(())
    }
}
