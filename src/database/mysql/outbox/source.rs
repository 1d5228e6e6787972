//! The outbox, read.

use std::collections::{BTreeSet, HashMap};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::data::{Row, Value};
use crate::database::SyncTable;
use crate::database::mysql::error::mysql;
use crate::database::mysql::names::split;
use crate::database::mysql::value::Codec;
use crate::database::server::added;
use crate::database::server::outbox::{Entry, OutboxSource, What};
use crate::error::{Error, ErrorKind, Result};

use super::{GATES, OP_SCHEMA, Outbox, cell, trigger};

/// Entries deleted in one statement.
const PRUNED: u64 = 10_000;

/// An entry on the wire.
type EntryRow = (
    u64,
    u64,
    u32,
    u8,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
);

/// See the module's text.
#[derive(Debug)]
pub(in crate::database::mysql) struct MysqlOutbox {
    conn: Conn,
    outbox: Outbox,
    tables: Vec<SyncTable>,
    layouts: HashMap<u32, Layout>,
    /// What was last found to be different about each table.
    told: Vec<String>,
}

/// Which cells an entry has.
#[derive(Clone, Debug)]
enum Layout {
    /// Of a table that does not take part any more.
    Unknown,
    /// Of a table, and it cannot be read.
    Incomplete(usize, String),
    /// For each mapped column its place among the cells, and how it is read; `None`: the table had no
    /// such column.
    Known(usize, Vec<Option<(usize, Codec)>>),
}

impl MysqlOutbox {
    /// On a connection of its own.
    pub(in crate::database::mysql) fn new(
        conn: Conn,
        outbox: Outbox,
        tables: Vec<SyncTable>,
    ) -> Self {
        Self {
            told: vec![String::new(); tables.len()],
            conn,
            outbox,
            tables,
            layouts: HashMap::new(),
        }
    }

    async fn learn_layouts(&mut self) -> Result<()> {
        let sql = format!(
            "SELECT id, name, columns FROM {}",
            self.outbox.sql("layout")
        );
        let rows: Vec<(u32, String, String)> = self
            .conn
            .query(sql)
            .await
            .map_err(mysql("read which columns are captured"))?;
        for (id, name, columns) in rows {
            let (columns, others): (Vec<(String, String)>, Vec<String>) =
                serde_json::from_str(&columns).map_err(|e| {
                    Error::new(
                        ErrorKind::Store,
                        "the table layout of Banyan's own is damaged",
                    )
                    .caused_by(e)
                })?;
            let layout = self.layout(&name, &columns, &others)?;
            self.layouts.insert(id, layout);
        }
        Ok(())
    }

    fn layout(
        &self,
        name: &str,
        captured: &[(String, String)],
        others: &[String],
    ) -> Result<Layout> {
        let Some(index) = self.tables.iter().position(|t| t.schema.name == name) else {
            return Ok(Layout::Unknown);
        };
        let table = &self.tables[index];
        let mut places = Vec::with_capacity(table.columns.len());
        for &i in &table.columns {
            let column = &table.schema.columns[i];
            let place = captured
                .iter()
                .position(|(name, _)| name.eq_ignore_ascii_case(&column.name));
            match place {
                Some(place) => places.push(Some((place, Codec::of(column)?))),
                // It came later. What was in it since then, all rows are looked at for.
                None if column.began_null()
                    && !others.iter().any(|o| o.eq_ignore_ascii_case(&column.name)) =>
                {
                    places.push(None);
                }
                None => {
                    let what = format!(
                        "column {} was not captured at the time of a change",
                        column.name
                    );
                    return Ok(Layout::Incomplete(index, what));
                }
            }
        }
        Ok(Layout::Known(index, places))
    }

    fn entry(&self, row: EntryRow) -> Entry {
        let (seq, writer, layout, op, us, before, after, note) = row;
        let what = match self.layouts.get(&layout) {
            None | Some(Layout::Unknown) => What::Nothing,
            Some(Layout::Incomplete(table, _) | Layout::Known(table, _)) if op == OP_SCHEMA => {
                What::Schema {
                    table: *table,
                    what: note.unwrap_or_else(|| "is not what it was".to_owned()),
                }
            }
            Some(Layout::Incomplete(table, what)) => What::Schema {
                table: *table,
                what: what.clone(),
            },
            Some(Layout::Known(table, places)) => {
                let read = |cells: Option<Vec<u8>>| {
                    let row = cells.map(|cells| self.row(*table, places, &cells));
                    row.transpose()
                };
                match (read(before), read(after)) {
                    (Ok(None), Ok(None)) => What::Nothing,
                    (Ok(before), Ok(after)) => What::Row {
                        table: *table,
                        before,
                        after,
                    },
                    // Nothing is bent, and nothing is passed over without a word.
                    (Err(e), _) | (_, Err(e)) => What::Schema {
                        table: *table,
                        what: format!("a change cannot be read: {}", e.message()),
                    },
                }
            }
        };
        Entry {
            seq,
            writer,
            us,
            what,
        }
    }

    fn row(&self, table: usize, places: &[Option<(usize, Codec)>], bytes: &[u8]) -> Result<Row> {
        let table = &self.tables[table];
        let wrong = |column: usize| {
            let column = &table.schema.columns[table.columns[column]];
            Error::new(
                ErrorKind::Value,
                format!(
                    "the cell of {}.{} is no value of type {}",
                    table.schema.name, column.name, column.declared_type
                ),
            )
        };
        let cells = cell::split(bytes).ok_or_else(|| wrong(0))?;
        let mut row = Vec::with_capacity(places.len());
        for (i, place) in places.iter().enumerate() {
            let Some((place, codec)) = place else {
                row.push(Value::Null);
                continue;
            };
            row.push(match cells.get(*place) {
                None => return Err(wrong(i)),
                Some(None) => Value::Null,
                Some(Some(cell)) => {
                    let wire = cell::wire(codec.kind(), cell).ok_or_else(|| wrong(i))?;
                    codec.decode(wire)?
                }
            });
        }
        Ok(row)
    }

    /// What of a table is different now, in words; empty: nothing.
    async fn difference(&mut self, index: usize) -> Result<String> {
        let what = || mysql("look at the captured tables");
        let table = &self.tables[index];
        let (database, name) = split(&table.schema.name);
        let database = database.unwrap_or(&self.outbox.database);
        let now: Vec<(String, String)> = self
            .conn
            .exec(
                "SELECT COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
                (database, name),
            )
            .await
            .map_err(what())?;
        if now.is_empty() {
            return Ok("the table is gone".to_owned());
        }
        let prefix = trigger::table_prefix(&self.outbox, &table.schema.name);
        let triggers: Vec<String> = self
            .conn
            .exec(
                "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
                 WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ?",
                (database, name),
            )
            .await
            .map_err(what())?;
        let ours = triggers.iter().filter(|t| t.starts_with(&prefix)).count();
        if ours < trigger::EVENTS.len() {
            return Ok("has lost its triggers: changes were missed".to_owned());
        }
        let mut found = Vec::new();
        for &i in &table.columns {
            let column = &table.schema.columns[i];
            let same = now
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&column.name));
            match same {
                None => found.push(format!(
                    "column {} is gone (dropped or renamed)",
                    column.name
                )),
                Some((_, declared)) if *declared != column.declared_type => found.push(format!(
                    "column {} was {} and is {declared}",
                    column.name, column.declared_type
                )),
                Some(_) => {}
            }
        }
        for (name, _) in &now {
            let known = &table.schema.columns;
            if !known.iter().any(|c| c.name.eq_ignore_ascii_case(name)) {
                found.push(added::unseen(name));
            }
        }
        Ok(found.join("; "))
    }
}

impl OutboxSource for MysqlOutbox {
    const KNOWS_TRANSACTIONS: bool = false;

    async fn read(&mut self, after: u64, entries_max: usize) -> Result<Vec<Entry>> {
        let sql = format!(
            "SELECT seq, session, layout, op, us, was, now_is, note FROM {} WHERE seq > ? \
             ORDER BY seq LIMIT ?",
            self.outbox.sql("outbox")
        );
        let rows: Vec<EntryRow> = self
            .conn
            .exec(sql, (after, entries_max))
            .await
            .map_err(mysql("read the outbox"))?;
        if !rows.iter().all(|row| self.layouts.contains_key(&row.2)) {
            self.learn_layouts().await?;
        }
        Ok(rows.into_iter().map(|row| self.entry(row)).collect())
    }

    async fn busy(&mut self) -> Result<BTreeSet<String>> {
        let sql = format!(
            "SELECT n FROM {} FOR UPDATE SKIP LOCKED",
            self.outbox.sql("gate")
        );
        let free: Vec<u32> = self
            .conn
            .query(sql)
            .await
            .map_err(mysql("see who writes into the outbox"))?;
        let busy = (0..GATES).filter(|n| !free.contains(n));
        Ok(busy.map(|n| n.to_string()).collect())
    }

    async fn note(&mut self, position: u64) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET position = GREATEST(position, ?)",
            self.outbox.sql("noted")
        );
        self.conn
            .exec_drop(sql, (position,))
            .await
            .map_err(mysql("note up to where the outbox is read"))?;
        if self.conn.affected_rows() == 1 {
            Ok(())
        } else {
            Err(crate::database::server::outbox::gap(
                "somebody has emptied the table noted of Banyan's own",
            ))
        }
    }

    async fn prune(&mut self, position: u64) -> Result<bool> {
        let sql = format!(
            "DELETE FROM {} WHERE seq < ? ORDER BY seq LIMIT {PRUNED}",
            self.outbox.sql("outbox")
        );
        self.conn
            .exec_drop(sql, (position,))
            .await
            .map_err(mysql("delete entries of the outbox"))?;
        Ok(self.conn.affected_rows() >= PRUNED)
    }

    async fn look(&mut self) -> Result<()> {
        for index in 0..self.tables.len() {
            let difference = self.difference(index).await?;
            if self.told[index] == difference {
                continue;
            }
            self.told[index].clone_from(&difference);
            if difference.is_empty() {
                continue;
            }
            let sql = format!(
                "INSERT INTO {} (session, layout, op, us, note) SELECT 0, MAX(id), {OP_SCHEMA}, \
                 TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)), ? FROM {} \
                 WHERE name = ? HAVING MAX(id) IS NOT NULL",
                self.outbox.sql("outbox"),
                self.outbox.sql("layout")
            );
            let name = self.tables[index].schema.name.clone();
            self.conn
                .exec_drop(sql, (difference, name))
                .await
                .map_err(mysql("write down that a table is not what it was"))?;
        }
        Ok(())
    }
}
