//! Transactions.
//!
//! Dropped in the middle of a statement, the connection is closed; dropped between two, it is
//! rolled back behind the caller's back and used again.

use std::sync::Arc;

use tokio_postgres::types::PgLsn;

use crate::data::canonical::ValueRef;
use crate::data::{Key, Row, Value};
use crate::database::ChunkRows;
use crate::database::server::driver::{Done, Tx};
use crate::error::{Error, ErrorKind, Result};

use super::decode::{self, Raw};
use super::encode::Param;
use super::error::{internal, pg, stale_plan};
use super::kind::Kind;
use super::names::text;
use super::pool::{Loan, Session};
use super::sql::placeholders;
use super::table::PgTable;

/// A transaction on a connection on loan.
#[derive(Debug)]
pub(in crate::database) struct PgTx {
    /// `None` after the end.
    loan: Option<Loan>,
    /// Whether a statement was begun whose end is not known.
    in_flight: bool,
}

impl Drop for PgTx {
    fn drop(&mut self) {
        if let Some(mut loan) = self.loan.take() {
            if self.in_flight {
                loan.discard();
            } else {
                loan.undo();
            }
        }
    }
}

/// A failure of a statement: the server's, which may be a constraint's matter, or ours.
pub(super) enum Failure {
    /// The driver's error.
    Server(tokio_postgres::Error),
    /// Any other.
    Own(Error),
}

impl Failure {
    /// As an error.
    pub(super) fn error(self, what: impl std::fmt::Display) -> Error {
        match self {
            Self::Server(e) => pg(what)(e),
            Self::Own(e) => e,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(e: tokio_postgres::Error) -> Self {
        Self::Server(e)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Own(e)
    }
}

impl PgTx {
    /// On a session in which a transaction has begun.
    pub(super) fn new(loan: Loan) -> Self {
        Self {
            loan: Some(loan),
            in_flight: false,
        }
    }

    /// The session.
    pub(super) fn session(&mut self) -> Result<&mut Session> {
        self.loan
            .as_mut()
            .and_then(Loan::session)
            .ok_or_else(|| internal("a transaction used after its end"))
    }

    /// Runs something on the session. When nobody waits for its end any more, or the connection is
    /// lost, the session is not used again.
    pub(super) async fn run<R>(
        &mut self,
        run: impl AsyncFnOnce(&mut Session) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.in_flight = true;
        let session = self.session()?;
        let result = run(session).await;
        if let Err(Failure::Server(e)) = &result
            && e.as_db_error().is_some_and(stale_plan)
        {
            session.conn.forget_statements();
        }
        self.in_flight = false;
        result
    }

    /// The rows of a prepared statement.
    pub(super) async fn select(
        &mut self,
        sql: &Arc<str>,
        params: &[Param],
    ) -> Result<Vec<tokio_postgres::Row>, Failure> {
        self.run(async |session| {
            let statement = session.conn.prepare(sql).await?;
            let rows = session.conn.client().query_raw(&statement, params).await?;
            Ok(futures::TryStreamExt::try_collect(rows).await?)
        })
        .await
    }

    /// The number of rows of a prepared statement.
    pub(super) async fn affect(
        &mut self,
        sql: &Arc<str>,
        params: &[Param],
    ) -> Result<u64, Failure> {
        self.run(async |session| {
            let statement = session.conn.prepare(sql).await?;
            Ok(session
                .conn
                .client()
                .execute_raw(&statement, params)
                .await?)
        })
        .await
    }

    /// A statement on own tables, prepared, with its parameters.
    async fn own(
        &mut self,
        sql: &str,
        values: &[Value],
    ) -> Result<(tokio_postgres::Statement, Vec<Param>), Failure> {
        let sql: Arc<str> = placeholders(sql).into();
        let statement = self.run(async |s| Ok(s.conn.prepare(&sql).await?)).await?;
        let types = statement.params();
        if types.len() != values.len() {
            return Err(internal(format!(
                "{} values for {} placeholders of {sql}",
                values.len(),
                types.len()
            ))
            .into());
        }
        let params = types
            .iter()
            .zip(values)
            .map(|(ty, value)| {
                Param::one(Kind::of_oid(ty.oid()), ValueRef::from(value))
                    .map_err(|misfit| internal(format!("a parameter of {sql}: {misfit}")).into())
            })
            .collect::<Result<_, Failure>>()?;
        Ok((statement, params))
    }
}

/// One cell of a row.
pub(super) fn cell(row: &tokio_postgres::Row, index: usize, kind: Kind) -> Result<Value> {
    let raw: Raw<'_> = row.try_get(index).map_err(pg("read a cell"))?;
    decode::value(kind, raw.0)
}

/// The number that a statement answers for a row: one less than the server's.
pub(super) fn ordinal(row: &tokio_postgres::Row, index: usize, rows: usize) -> Result<usize> {
    let ordinal: i64 = row.try_get(index).map_err(pg("read a row's number"))?;
    usize::try_from(ordinal - 1)
        .ok()
        .filter(|i| *i < rows)
        .ok_or_else(|| internal("a row's number is out of range"))
}

impl Tx for PgTx {
    type Table = PgTable;

    async fn batch(&mut self, sql: &str) -> Result<()> {
        self.run(async |s| Ok(s.conn.client().batch_execute(sql).await?))
            .await
            .map_err(|e| e.error(format!("run {sql}")))
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let run = async {
            let (statement, params) = self.own(sql, values).await?;
            self.run(async |s| Ok(s.conn.client().execute_raw(&statement, &params).await?))
                .await
        };
        run.await
            .map_err(|e: Failure| e.error(format!("run {sql}")))
    }

    async fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        let run = async {
            let (statement, params) = self.own(sql, values).await?;
            let rows: Vec<tokio_postgres::Row> = self
                .run(async |s| {
                    let rows = s.conn.client().query_raw(&statement, &params).await?;
                    Ok(futures::TryStreamExt::try_collect(rows).await?)
                })
                .await?;
            let kinds: Vec<Kind> = statement
                .columns()
                .iter()
                .map(|c| Kind::of_oid(c.type_().oid()))
                .collect();
            if kinds.contains(&Kind::Other) {
                return Err(internal(format!("{sql} answers types that are not known")).into());
            }
            let rows = rows
                .iter()
                .map(|row| {
                    let cells = kinds.iter().enumerate();
                    cells
                        .map(|(i, kind)| cell(row, i, *kind))
                        .collect::<Result<Row>>()
                })
                .collect::<Result<Vec<Row>>>()?;
            Ok(rows)
        };
        run.await
            .map_err(|e: Failure| e.error(format!("run {sql}")))
    }

    async fn rows(&mut self, table: &PgTable, keys: &[Key]) -> Result<Vec<Option<Row>>> {
        self.read_by_key(table, &table.rows, keys).await
    }

    async fn lock_rows(&mut self, table: &PgTable, keys: &[Key]) -> Result<Vec<Option<Row>>> {
        self.read_by_key(table, &table.lock, keys).await
    }

    async fn lock_tables(&mut self, tables: &[&PgTable]) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = tables.iter().map(|t| t.quoted.as_str()).collect();
        let sql = format!(
            "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
            names.join(", ")
        );
        self.batch(&sql).await
    }

    async fn guarded_update(
        &mut self,
        table: &PgTable,
        rows: &[(&Key, &Row, &Row)],
    ) -> Result<Done<Option<Vec<bool>>>> {
        self.write_guarded(table, rows).await
    }

    async fn insert(&mut self, table: &PgTable, rows: &[&Row]) -> Result<Done<Vec<bool>>> {
        self.write_new(table, rows).await
    }

    async fn update(&mut self, table: &PgTable, rows: &[(&Key, &Row)]) -> Result<Done<()>> {
        self.write_cells(table, rows).await
    }

    async fn delete(&mut self, table: &PgTable, keys: &[&Key]) -> Result<Done<()>> {
        self.take_out(table, keys).await
    }

    async fn swap(&mut self, table: &PgTable, rows: &[(&Key, &Row)]) -> Result<Done<()>> {
        self.take_out_and_in(table, rows).await
    }

    async fn load(&mut self, table: &PgTable, rows: &ChunkRows) -> Result<Done<()>> {
        self.load_rows(table, rows).await
    }

    async fn holders(&mut self, table: &PgTable, row: &Row) -> Result<Vec<Key>> {
        self.find_holders(table, row).await
    }

    async fn missing_parents(
        &mut self,
        table: &PgTable,
        rows: &[&Row],
    ) -> Result<Vec<(usize, String)>> {
        self.find_missing_parents(table, rows).await
    }

    async fn children(&mut self, table: &PgTable, rows: &[&Row]) -> Result<Vec<(usize, String)>> {
        self.find_children(table, rows).await
    }

    async fn next_key(&mut self, table: &PgTable) -> Result<Option<Key>> {
        let (Some(sql), [key]) = (&table.max_key, &table.key[..]) else {
            return Ok(None);
        };
        let what = || format!("find a free key of table {}", table.name);
        let rows = self.select(sql, &[]).await.map_err(|e| e.error(what()))?;
        let max = match rows.first() {
            Some(row) => row.try_get::<_, Option<i64>>(0).map_err(pg(what()))?,
            None => None,
        };
        let Some(next) = max.unwrap_or(0).checked_add(1) else {
            return Ok(None);
        };
        // The application's sequence must not give the same number later.
        let sequence: Arc<str> = format!(
            "SELECT CASE WHEN nextval(s.name) >= $1::int8 THEN currval(s.name) \
             ELSE setval(s.name, $1::int8) END FROM (SELECT pg_get_serial_sequence({}, {})::regclass \
             AS name) AS s WHERE has_sequence_privilege(s.name, 'UPDATE')",
            text(&table.quoted),
            text(&table.columns[*key].name)
        )
        .into();
        let floor = Param::one(Kind::Int8, ValueRef::Int(next))
            .map_err(|misfit| internal(format!("a key: {misfit}")))?;
        let rows = self
            .select(&sequence, &[floor])
            .await
            .map_err(|e| e.error(what()))?;
        let given = match rows.first() {
            Some(row) => row.try_get::<_, i64>(0).map_err(pg(what()))?,
            None => next,
        };
        Ok(Some(Key(vec![Value::Int(given)])))
    }

    async fn end(&mut self) -> Result<u64> {
        const SQL: &str = "SELECT pg_catalog.pg_current_wal_insert_lsn()";
        let what = "read the log's position";
        if let Some(sql) = self.session()?.end_sql() {
            // Whoever has changed a row that is locked here, and has committed, is visible.
            let rows = self.select(&sql, &[]).await.map_err(|e| e.error(what))?;
            let row = rows.first().ok_or_else(|| internal(what))?;
            let end: i64 = row.try_get(0).map_err(pg(what))?;
            return Ok(end.unsigned_abs());
        }
        let sql: Arc<str> = SQL.into();
        let rows = self.select(&sql, &[]).await.map_err(|e| e.error(what))?;
        let row = rows.first().ok_or_else(|| internal(what))?;
        let position: PgLsn = row.try_get(0).map_err(pg(what))?;
        Ok(position.into())
    }

    async fn commit(mut self) -> Result<()> {
        self.in_flight = true;
        let session = self.session()?;
        let committed = session.conn.client().simple_query("COMMIT").await;
        if let Err(e) = committed {
            // A server that answers has undone it; otherwise nobody knows.
            let answered = e
                .as_db_error()
                .is_some_and(|db| !db.code().code().starts_with("57P"));
            let error = pg("commit")(e);
            return Err(if answered || error.kind() == ErrorKind::Unavailable {
                error
            } else {
                Error::new(
                    ErrorKind::Unavailable,
                    "whether it was committed is not known",
                )
                .caused_by(error)
            });
        }
        self.in_flight = false;
        if let Some(loan) = self.loan.take() {
            loan.give_back();
        }
        Ok(())
    }
}
