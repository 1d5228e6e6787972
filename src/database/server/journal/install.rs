//! Making the tables, and what is written down about the captured tables.

use crate::data::{LogId, Value};
use crate::database::server::added::{BETWEEN, missed};
use crate::database::server::driver::{Driver, Tx};
use crate::error::{Error, ErrorKind, Result};

use super::{Journal, VERSION, flag, int, seq, string, text};

/// A captured table as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::database::server) struct Captured {
    /// Its name.
    pub(in crate::database::server) name: String,
    /// Why changes of it were missed. It stays paused until somebody resumes it.
    pub(in crate::database::server) gap: Option<String>,
    /// Whether all its rows are to be looked at again.
    pub(in crate::database::server) recopy: bool,
}

impl Journal {
    /// Creates the tables. DDL commits by itself on some servers, so each statement stands alone
    /// and may be repeated; [`Self::begin_log`] makes them count.
    pub(in crate::database::server) async fn create<D: Driver>(
        &self,
        driver: &D,
        tx: &mut D::Tx,
    ) -> Result<()> {
        let t = driver.types();
        let (int, name, text, bytes, short) = (t.int, t.name, t.text, t.bytes, t.short_bytes);
        let tables = [
            (
                &self.log,
                format!(
                    "version {int} NOT NULL, id {bytes} NOT NULL, begin_seq {int} NOT NULL, \
                     epoch {int} NOT NULL, last_open {int} NOT NULL"
                ),
            ),
            (
                &self.tables,
                format!("name {name} NOT NULL PRIMARY KEY, gap {text}, recopy {int} NOT NULL"),
            ),
            (
                &self.checkpoint,
                format!(
                    "direction {int} NOT NULL PRIMARY KEY, log_id {short} NOT NULL, \
                     seq {int} NOT NULL"
                ),
            ),
            (
                &self.settled,
                format!(
                    "role {int} NOT NULL, seq {int} NOT NULL, unit {name} NOT NULL, \
                     marks {bytes} NOT NULL"
                ),
            ),
            (
                &self.open,
                format!(
                    "id {int} NOT NULL PRIMARY KEY, unit {name} NOT NULL, kh {short} NOT NULL, \
                     k {bytes} NOT NULL, source_k {bytes} NOT NULL, direction {int} NOT NULL, \
                     kind {name} NOT NULL, base {bytes}, base_known {int} NOT NULL, us0 {int}, \
                     us1 {int}, state {int} NOT NULL, reason {text} NOT NULL, \
                     rule_name {text} NOT NULL, request {int}, seen0 {bytes}, seen1 {bytes}, \
                     at_us {int} NOT NULL, interrupted {int} NOT NULL, shape {bytes} NOT NULL, \
                     UNIQUE (unit, kh)"
                ),
            ),
            (
                &self.touched,
                format!(
                    "unit {name} NOT NULL, kh {short} NOT NULL, k {bytes} NOT NULL, \
                     role {int} NOT NULL, us {int}, PRIMARY KEY (unit, kh, role)"
                ),
            ),
            (
                &self.began,
                format!(
                    "tbl {name} NOT NULL, unit {name} NOT NULL, kh {short} NOT NULL, \
                     k {bytes} NOT NULL, image {bytes}, known {int} NOT NULL, us {int}, \
                     seq {int} NOT NULL, \
                     shape {bytes} NOT NULL, PRIMARY KEY (tbl, unit, kh)"
                ),
            ),
            (
                &self.record,
                format!(
                    "id {short} NOT NULL PRIMARY KEY, unit {name} NOT NULL, k {bytes} NOT NULL, \
                     source_k {bytes} NOT NULL, kind {name} NOT NULL, rule_name {text} NOT NULL, \
                     outcome {name} NOT NULL, two {int} NOT NULL, first_side {int} NOT NULL, \
                     pos0 {int} NOT NULL, pos1 {int} NOT NULL, seen0 {bytes}, seen1 {bytes}, \
                     result0 {bytes}, result1 {bytes}, base {bytes}, base_known {int} NOT NULL, \
                     closes {text} NOT NULL, supersedes {bytes}, at_us {int} NOT NULL"
                ),
            ),
            (
                &self.chunk,
                format!(
                    "tbl {name} NOT NULL, n {int} NOT NULL, upper_k {bytes}, seq {int} NOT NULL, \
                     row_count {int} NOT NULL, target_seq {int} NOT NULL, over_rows {int} NOT NULL, \
                     PRIMARY KEY (tbl, n)"
                ),
            ),
            (
                &self.mapped,
                format!("tbl {name} NOT NULL PRIMARY KEY, mapping {text} NOT NULL"),
            ),
        ];
        for (table, columns) in tables {
            tx.batch(&format!("CREATE TABLE IF NOT EXISTS {table} ({columns})"))
                .await?;
        }
        Ok(())
    }

    /// Gives the log its identity, once.
    pub(in crate::database::server) async fn begin_log<T: Tx>(
        &self,
        tx: &mut T,
        begin: u64,
    ) -> Result<LogId> {
        if let Some(row) = (tx
            .query(&format!("SELECT id FROM {}", self.log), &[])
            .await?)
            .first()
        {
            let id = super::bytes(row, 0)?;
            let id = id
                .try_into()
                .map_err(|_| super::damaged("a log's identity"))?;
            return Ok(LogId(id));
        }
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id)
            .map_err(|e| Error::new(ErrorKind::Internal, "no randomness").caused_by(e))?;
        let sql = format!(
            "INSERT INTO {} (version, id, begin_seq, epoch, last_open) VALUES (?, ?, ?, 0, 0)",
            self.log
        );
        let values = [Value::Int(VERSION), Value::Bytes(id.to_vec()), seq(begin)];
        tx.execute(&sql, &values).await?;
        Ok(LogId(id))
    }

    /// The log is another one from now on; what was settled in the old one says nothing.
    pub(in crate::database::server) async fn renew_log<T: Tx>(
        &self,
        tx: &mut T,
        begin: u64,
    ) -> Result<()> {
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id)
            .map_err(|e| Error::new(ErrorKind::Internal, "no randomness").caused_by(e))?;
        let sql = format!("UPDATE {} SET id = ?, begin_seq = ?", self.log);
        tx.execute(&sql, &[Value::Bytes(id.to_vec()), seq(begin)])
            .await?;
        self.forget_settled(tx, self.role).await
    }

    pub(in crate::database::server) async fn captured<T: Tx>(
        &self,
        tx: &mut T,
    ) -> Result<Vec<Captured>> {
        let sql = format!(
            "SELECT name, gap, recopy FROM {} ORDER BY name",
            self.tables
        );
        let rows = tx.query(&sql, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(Captured {
                    name: string(row, 0)?.to_owned(),
                    gap: match &row[1] {
                        Value::Text(gap) => Some(gap.clone()),
                        _ => None,
                    },
                    recopy: int(row, 2)? != 0,
                })
            })
            .collect()
    }

    /// Adds tables that are not written down yet. While nobody captured them, changes were missed,
    /// so with `recopy` all their rows are looked at.
    pub(in crate::database::server) async fn add_captured<T: Tx>(
        &self,
        tx: &mut T,
        names: &[String],
        recopy: bool,
    ) -> Result<()> {
        let known = self.captured(tx).await?;
        let sql = format!("INSERT INTO {} (name, recopy) VALUES (?, ?)", self.tables);
        for name in names {
            if known.iter().all(|c| c.name != *name) {
                tx.execute(&sql, &[text(name), flag(recopy)]).await?;
            }
        }
        Ok(())
    }

    /// Changes of a table were missed: it is paused until somebody resumes it.
    pub(in crate::database::server) async fn set_gap<T: Tx>(
        &self,
        tx: &mut T,
        table: &str,
        why: &str,
    ) -> Result<()> {
        // Nothing that was missed is forgotten for something else.
        let known = self.captured(tx).await?;
        let known = known.into_iter().find(|c| c.name == table);
        let whole = match known.and_then(|c| c.gap) {
            Some(before) if before.contains(why) => return Ok(()),
            Some(before) => format!("{before}{BETWEEN}{why}"),
            None => why.to_owned(),
        };
        let sql = format!("UPDATE {} SET gap = ? WHERE name = ?", self.tables);
        tx.execute(&sql, &[text(&whole), text(table)])
            .await
            .map(drop)
    }

    /// Lets the tables go on of which changes were missed; all their rows are looked at again.
    pub(in crate::database::server) async fn resume<T: Tx>(&self, tx: &mut T) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET gap = NULL, recopy = 1 WHERE gap IS NOT NULL",
            self.tables
        );
        tx.execute(&sql, &[]).await.map(drop)
    }

    /// Lets the tables go on that waited for nothing but new columns.
    pub(in crate::database::server) async fn widened<T: Tx>(
        &self,
        tx: &mut T,
        tables: &[String],
    ) -> Result<()> {
        for captured in self.captured(tx).await? {
            let missed = captured.gap.as_deref().and_then(missed);
            let Some(missed) = missed.filter(|_| tables.contains(&captured.name)) else {
                continue;
            };
            let again = if missed { ", recopy = 1" } else { "" };
            let sql = format!(
                "UPDATE {} SET gap = NULL{again} WHERE name = ?",
                self.tables
            );
            tx.execute(&sql, &[text(&captured.name)]).await?;
        }
        Ok(())
    }

    /// All rows are being looked at again.
    pub(in crate::database::server) async fn recopies_begun<T: Tx>(
        &self,
        tx: &mut T,
    ) -> Result<()> {
        let sql = format!("UPDATE {} SET recopy = 0 WHERE gap IS NULL", self.tables);
        tx.execute(&sql, &[]).await.map(drop)
    }
}
