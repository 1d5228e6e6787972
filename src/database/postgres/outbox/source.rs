//! The outbox, read.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::Row as SqlRow;

use crate::data::{Row, Value};
use crate::database::SyncTable;
use crate::database::postgres::capture_names::CaptureNames;
use crate::database::postgres::connect::PgConn;
use crate::database::postgres::error::pg;
use crate::database::postgres::kind::Kind;
use crate::database::postgres::relation::same_type;
use crate::database::postgres::text;
use crate::database::server::added;
use crate::database::server::outbox::{Entry, OutboxSource, What};
use crate::error::{Error, ErrorKind, Result};

use super::{OP_SCHEMA, trigger};

/// Entries deleted in one statement.
const PRUNED: i64 = 20_000;

/// See the module's text.
#[derive(Debug)]
pub(in crate::database::postgres) struct PgOutbox {
    conn: PgConn,
    names: CaptureNames,
    tables: Vec<SyncTable>,
    layouts: HashMap<i32, Layout>,
    /// What was last found to be different about each table.
    told: Vec<String>,
}

/// Which cells an entry has.
#[derive(Clone, Debug)]
enum Layout {
    /// Of a table that does not take part any more.
    Unknown,
    /// Of a table without all of its mapped columns.
    Incomplete(usize, String),
    /// For each mapped column its place among the cells; `None`: the table had no such column.
    Known(usize, Vec<Option<usize>>),
}

impl PgOutbox {
    /// On a connection of its own.
    pub(in crate::database::postgres) async fn open(
        conn: PgConn,
        names: CaptureNames,
        tables: Vec<SyncTable>,
    ) -> Result<Self> {
        // What is delivered must not be lost in a crash; how others commit is their own choice.
        conn.client()
            .batch_execute("SET synchronous_commit = local; SET enable_seqscan = off")
            .await
            .map_err(pg("set up a session"))?;
        Ok(Self {
            told: vec![String::new(); tables.len()],
            conn,
            names,
            tables,
            layouts: HashMap::new(),
        })
    }

    async fn learn_layouts(&mut self) -> Result<()> {
        let what = || pg("read which columns are captured");
        let sql = format!(
            "SELECT id, name, columns, others FROM {}",
            self.names.table("layout")
        );
        let rows = self.conn.client().query(&sql, &[]).await.map_err(what())?;
        for row in rows {
            let id: i32 = row.try_get(0).map_err(what())?;
            let name: &str = row.try_get(1).map_err(what())?;
            let columns: Vec<&str> = row.try_get(2).map_err(what())?;
            let others: Vec<&str> = row.try_get(3).map_err(what())?;
            self.layouts
                .insert(id, self.layout(name, &columns, &others));
        }
        Ok(())
    }

    fn layout(&self, name: &str, captured: &[&str], others: &[&str]) -> Layout {
        let Some(index) = self.tables.iter().position(|t| t.schema.name == name) else {
            return Layout::Unknown;
        };
        let table = &self.tables[index];
        let mut places = Vec::with_capacity(table.columns.len());
        for &i in &table.columns {
            let known = &table.schema.columns[i];
            let column = &known.name;
            match captured.iter().position(|c| c == column) {
                Some(place) => places.push(Some(place)),
                // It came later. What was in it since then, all rows are looked at for.
                None if known.began_null() && !others.contains(&column.as_str()) => {
                    places.push(None);
                }
                None => {
                    return Layout::Incomplete(
                        index,
                        format!("column {column} was not captured at the time of a change"),
                    );
                }
            }
        }
        Layout::Known(index, places)
    }

    fn entry(&self, row: &SqlRow) -> Result<Entry> {
        let read = || -> Result<_, tokio_postgres::Error> {
            let seq: i64 = row.try_get(0)?;
            let writer: i64 = row.try_get(1)?;
            let op: i16 = row.try_get(3)?;
            let note: Option<&str> = row.try_get(7)?;
            Ok((seq, writer, row.try_get(2)?, op, row.try_get(4)?, note))
        };
        let (seq, writer, layout, op, us, note): (i64, i64, i32, i16, i64, Option<&str>) =
            read().map_err(pg("read an entry of the outbox"))?;
        let what = match self.layouts.get(&layout) {
            None | Some(Layout::Unknown) => What::Nothing,
            Some(Layout::Incomplete(table, _) | Layout::Known(table, _)) if op == OP_SCHEMA => {
                What::Schema {
                    table: *table,
                    what: note.unwrap_or("is not what it was").to_owned(),
                }
            }
            Some(Layout::Incomplete(table, what)) => What::Schema {
                table: *table,
                what: what.clone(),
            },
            Some(Layout::Known(table, places)) => {
                let cells = |column| -> Result<Option<Row>> {
                    let cells: Option<Vec<Option<&str>>> = row
                        .try_get(column)
                        .map_err(pg("read an entry of the outbox"))?;
                    let cells = cells.map(|cells| self.row(*table, places, &cells));
                    cells.transpose()
                };
                match (cells(5), cells(6)) {
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
        Ok(Entry {
            seq: seq.unsigned_abs(),
            writer: writer.unsigned_abs(),
            us,
            what,
        })
    }

    fn row(&self, table: usize, places: &[Option<usize>], cells: &[Option<&str>]) -> Result<Row> {
        let table = &self.tables[table];
        let columns = table.columns.iter().map(|&i| &table.schema.columns[i]);
        columns
            .zip(places)
            .map(
                |(column, place)| match place.map(|place| cells.get(place)) {
                    None => Ok(Value::Null),
                    Some(None) => Err(Error::new(
                        ErrorKind::Schema,
                        format!("it has no cell for column {}", column.name),
                    )),
                    Some(Some(None)) => Ok(Value::Null),
                    Some(Some(Some(cell))) => {
                        text::value(Kind::of_declared(&column.declared_type), cell.as_bytes())
                            .map_err(|e| {
                                e.at(format_args!("{}.{}", table.schema.name, column.name))
                            })
                    }
                },
            )
            .collect()
    }

    /// What of the tables is different now, in words; empty: nothing.
    async fn differences(&self) -> Result<Vec<String>> {
        let what = || pg("look at the captured tables");
        let (for_rows, _) = trigger::triggers(&self.names);
        let sql = format!(
            "SELECT k.name, k.relid, c.oid IS NOT NULL \
               AND c.relname = k.relation AND n.nspname = k.schema, \
               EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = k.relid AND t.tgname = $1 \
                 AND t.tgenabled IN ('O', 'A')) \
             FROM {} k LEFT JOIN pg_class c ON c.oid = k.relid \
             LEFT JOIN pg_namespace n ON n.oid = c.relnamespace",
            self.names.table("captured")
        );
        let client = self.conn.client();
        let captured = client.query(&sql, &[&for_rows]).await.map_err(what())?;
        let ids: Vec<u32> = captured.iter().map(|row| row.get(1)).collect();
        let columns = client.query(COLUMNS, &[&ids]).await.map_err(what())?;
        let mut found = Vec::with_capacity(self.tables.len());
        for table in &self.tables {
            let name = &table.schema.name;
            let row = captured
                .iter()
                .find(|row| row.get::<_, &str>(0) == name.as_str());
            found.push(match row {
                None => "is not captured".to_owned(),
                Some(row) if !row.get::<_, bool>(2) => {
                    "was dropped or renamed: changes of a new table of this name are not captured"
                        .to_owned()
                }
                Some(row) if !row.get::<_, bool>(3) => {
                    "has lost its trigger, or it is switched off: changes were missed".to_owned()
                }
                Some(row) => {
                    let id: u32 = row.get(1);
                    let now: Vec<(&str, &str)> = columns
                        .iter()
                        .filter(|c| c.get::<_, u32>(0) == id)
                        .map(|c| (c.get(1), c.get(2)))
                        .collect();
                    different_columns(table, &now)
                }
            });
        }
        Ok(found)
    }
}

/// Columns of tables with the names of their base types: domains are resolved.
const COLUMNS: &str = "\
WITH RECURSIVE base (relid, attnum, name, type, typmod) AS (
  SELECT attrelid, attnum, attname::text, atttypid, atttypmod FROM pg_attribute
  WHERE attrelid = ANY($1) AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT b.relid, b.attnum, b.name, t.typbasetype, \
    CASE WHEN b.typmod = -1 THEN t.typtypmod ELSE b.typmod END
  FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
)
SELECT b.relid, b.name, format_type(b.type, NULLIF(b.typmod, -1))
FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype <> 'd' ORDER BY b.relid, b.attnum";

fn different_columns(table: &SyncTable, now: &[(&str, &str)]) -> String {
    let mut what = Vec::new();
    for &i in &table.columns {
        let column = &table.schema.columns[i];
        match now.iter().find(|(name, _)| *name == column.name) {
            None => what.push(format!(
                "column {} is gone (dropped or renamed); the table's changes from here on are \
                 passed over, and it must be compared",
                column.name
            )),
            Some((_, declared)) if !same_type(&column.declared_type, declared) => {
                what.push(format!(
                    "column {} was {} and is {declared}",
                    column.name, column.declared_type
                ));
            }
            Some(_) => {}
        }
    }
    for (name, _) in now {
        if !table.schema.columns.iter().any(|c| c.name == *name) {
            what.push(added::unseen(name));
        }
    }
    what.join("; ")
}

impl OutboxSource for PgOutbox {
    const KNOWS_TRANSACTIONS: bool = true;

    async fn read(&mut self, after: u64, entries_max: usize) -> Result<Vec<Entry>> {
        let what = || pg("read the outbox");
        let sql = format!(
            "SELECT seq, tx, layout, op, us, was, now_is, note FROM {} WHERE seq > $1 \
             ORDER BY seq LIMIT $2",
            self.names.table("outbox")
        );
        let statement = self.conn.prepare(&sql.into()).await.map_err(what())?;
        let most = i64::try_from(entries_max).unwrap_or(i64::MAX);
        let rows = self
            .conn
            .client()
            .query(&statement, &[&after.cast_signed(), &most])
            .await
            .map_err(what())?;
        let known = |row: &SqlRow| {
            let layout: i32 = row.get(2);
            self.layouts.contains_key(&layout)
        };
        if !rows.iter().all(known) {
            self.learn_layouts().await?;
        }
        rows.iter().map(|row| self.entry(row)).collect()
    }

    async fn busy(&mut self) -> Result<BTreeSet<String>> {
        let what = || pg("see who writes into the outbox");
        // A transaction that is prepared gets another name.
        let sql = format!(
            "SELECT CASE WHEN virtualtransaction LIKE '-1/%' THEN '' ELSE virtualtransaction END \
             FROM pg_catalog.pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' \
               AND granted AND pid IS DISTINCT FROM pg_backend_pid() \
               AND database = (SELECT oid FROM pg_catalog.pg_database \
                 WHERE datname = current_database()) \
               AND relation = {}::regclass",
            crate::database::postgres::capture_names::literal(&self.names.table("outbox"))
        );
        let statement = self.conn.prepare(&sql.into()).await.map_err(what())?;
        let rows = self
            .conn
            .client()
            .query(&statement, &[])
            .await
            .map_err(what())?;
        rows.iter()
            .map(|row| row.try_get(0).map_err(what()))
            .collect()
    }

    async fn note(&mut self, position: u64) -> Result<()> {
        let what = || pg("note up to where the outbox is read");
        let sql = format!(
            "UPDATE {} SET position = greatest(position, $1)",
            self.names.table("noted")
        );
        let statement = self.conn.prepare(&sql.into()).await.map_err(what())?;
        let client = self.conn.client();
        let noted = client
            .execute(&statement, &[&position.cast_signed()])
            .await
            .map_err(what())?;
        if noted == 1 {
            Ok(())
        } else {
            Err(crate::database::server::outbox::gap(
                "somebody has emptied the table noted of Banyan's own",
            ))
        }
    }

    async fn prune(&mut self, position: u64) -> Result<bool> {
        let what = || pg("delete entries of the outbox");
        let outbox = self.names.table("outbox");
        let sql = format!(
            "DELETE FROM {outbox} WHERE seq < $1 AND seq <= \
               (SELECT min(seq) + {PRUNED} FROM {outbox})"
        );
        let statement = self.conn.prepare(&sql.into()).await.map_err(what())?;
        let client = self.conn.client();
        let deleted = client
            .execute(&statement, &[&position.cast_signed()])
            .await
            .map_err(what())?;
        Ok(deleted >= PRUNED.unsigned_abs() / 2)
    }

    async fn look(&mut self) -> Result<()> {
        let what = || pg("write down that a table is not what it was");
        for (index, difference) in self.differences().await?.into_iter().enumerate() {
            if self.told[index] == difference {
                continue;
            }
            self.told[index].clone_from(&difference);
            if difference.is_empty() {
                continue;
            }
            let sql = format!(
                "INSERT INTO {} (tx, layout, op, us, note) \
                 SELECT 0, max(id), {OP_SCHEMA}, \
                   (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, $2 \
                 FROM {} WHERE name = $1 HAVING max(id) IS NOT NULL",
                self.names.table("outbox"),
                self.names.table("layout")
            );
            self.conn
                .client()
                .execute(&sql, &[&self.tables[index].schema.name, &difference])
                .await
                .map_err(what())?;
        }
        Ok(())
    }
}
