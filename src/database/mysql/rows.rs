//! Finding and writing rows inside a transaction.
//!
//! A key is the same only bit for bit: a row whose key the server calls equal (`'a'` and `'A'` under
//! most collations) is another row, which holds the key. `INSERT` is never told to ignore or to
//! replace: it would do that for any unique key.

use std::collections::{HashMap, HashSet};

use datafusion::arrow::record_batch::RecordBatch;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row as WireRow, Value as Wire};

use crate::data::batch::views;
use crate::data::{Key, Row};
use crate::database::server::driver::{Done, Violation};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::ConflictKind;

use super::error::mysql;
use super::kind::Kind;
use super::names::quote;
use super::store::MysqlStore;
use super::table::{MysqlTable, decode, encode};
use super::tx::MysqlTx;

/// Keys in one statement at most.
const KEYS_MAX: usize = 1_000;
/// Parameters in one statement at most.
const PARAMETERS_MAX: usize = 60_000;
/// Rows in one bulk statement at most.
const BULK_ROWS_MAX: usize = 10_000;

/// Sizes of statements, so that there are few of them: each is prepared once.
fn bucket(keys: usize, width: usize) -> usize {
    let most = (PARAMETERS_MAX / width.max(1)).clamp(1, KEYS_MAX);
    [1, 8, 64, 256, KEYS_MAX]
        .into_iter()
        .find(|&size| size >= keys)
        .unwrap_or(KEYS_MAX)
        .min(most)
}

/// Bytes of a parameter on the wire, roughly.
fn wire_bytes(wire: &Wire) -> usize {
    match wire {
        Wire::Bytes(v) => v.len() + 10,
        _ => 10,
    }
}

/// What a packet holds beside a row, at most.
const PACKET_EXTRA: usize = 8 << 10;

/// One statement's keys: where they are among those asked for, and its parameters.
struct Part {
    sql: String,
    wires: Vec<Wire>,
}

/// The statements that read rows by key, and the place of each key that a row can have.
fn parts(table: &MysqlTable, keys: &[Key], lock: &str) -> (Vec<Part>, HashMap<Key, Vec<usize>>) {
    let mut places: HashMap<Key, Vec<usize>> = HashMap::with_capacity(keys.len());
    let mut wires = Vec::with_capacity(keys.len());
    for (i, key) in keys.iter().enumerate() {
        let Some(key_wires) = table.key_wires(key) else {
            continue;
        };
        let known = places.entry(key.clone()).or_default();
        if known.is_empty() {
            wires.push(key_wires);
        }
        known.push(i);
    }
    let mut parts = Vec::new();
    let mut rest = wires.as_slice();
    while let Some(last) = rest.last() {
        let size = bucket(rest.len(), table.key.len());
        let taken = size.min(rest.len());
        let mut all: Vec<Wire> = rest[..taken].concat();
        // The statement's remaining places hold the last key once more.
        for _ in taken..size {
            all.extend_from_slice(last);
        }
        rest = &rest[taken..];
        parts.push(Part {
            sql: format!(
                "SELECT {} FROM {}{} WHERE {}{lock}",
                table.list,
                table.sql,
                table.force,
                table.key_in(size)
            ),
            wires: all,
        });
    }
    (parts, places)
}

/// Puts rows where their keys were asked for.
fn place(
    table: &MysqlTable,
    rows: Vec<WireRow>,
    places: &HashMap<Key, Vec<usize>>,
    found: &mut [Option<Row>],
) -> Result<()> {
    for row in rows {
        let row = table.row(row)?;
        let at = places.get(&Key::of(&row, &table.key));
        for &i in at.into_iter().flatten() {
            found[i] = Some(row.clone());
        }
    }
    Ok(())
}

/// Rows by key, as committed by now.
pub(super) async fn read(
    store: &MysqlStore,
    conn: &mut Conn,
    table: &MysqlTable,
    keys: &[Key],
) -> Result<Vec<Option<Row>>> {
    let what = format!("read rows of table {}", table.name);
    let mut found = vec![None; keys.len()];
    let (parts, places) = parts(table, keys, "");
    for part in parts {
        let rows = conn
            .exec::<WireRow, _, _>(part.sql, Params::Positional(part.wires))
            .await
            .map_err(mysql(&what))
            .map_err(|e| store.named(e))?;
        place(table, rows, &places, &mut found)?;
    }
    Ok(found)
}

/// A statement that wrote another number of rows than it was given.
fn lost(table: &MysqlTable, written: u64, wanted: usize) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!(
            "{written} rows of table {} were written instead of {wanted}",
            table.name
        ),
    )
}

impl MysqlTx {
    /// Rows by key, locked as `lock` says.
    pub(super) async fn find(
        &mut self,
        table: &MysqlTable,
        keys: &[Key],
        lock: &str,
    ) -> Result<Vec<Option<Row>>> {
        let what = format!("read rows of table {}", table.name);
        let mut found = vec![None; keys.len()];
        let (parts, places) = parts(table, keys, lock);
        for part in parts {
            let rows = self.look(&what, &part.sql, part.wires).await?;
            place(table, rows, &places, &mut found)?;
        }
        Ok(found)
    }

    /// Inserts rows of so many columns: many in one statement.
    pub(super) async fn insert_wires(
        &mut self,
        table: &MysqlTable,
        columns: &str,
        width: usize,
        rows: Vec<Vec<Wire>>,
    ) -> Result<Done<()>> {
        self.insert_many(table, (columns, ""), width, rows).await
    }

    /// Likewise, with something at the end of each statement.
    async fn insert_many(
        &mut self,
        table: &MysqlTable,
        (columns, tail): (&str, &str),
        width: usize,
        rows: Vec<Vec<Wire>>,
    ) -> Result<Done<()>> {
        if let Some(found) = self.too_large(table, &rows) {
            return Ok(Err(found));
        }
        let what = format!("write rows of table {}", table.name);
        let one = format!("({})", vec!["?"; width].join(", "));
        let head = format!("INSERT INTO {} ({columns}) VALUES ", table.sql);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let part = self.take_part(&mut rows);
            let most = (PARAMETERS_MAX / width.max(1)).clamp(1, INSERT_ROWS_MAX);
            let mut rest = part.into_iter();
            while rest.len() > 0 {
                // Powers of two, so that there are few different statements.
                let size = 1 << rest.len().min(most).ilog2();
                let wires: Vec<Wire> = rest.by_ref().take(size).flatten().collect();
                let sql = format!("{head}{}{tail}", vec![one.as_str(); size].join(", "));
                match self.run(&what, &sql, wires).await? {
                    // A row that is there counts twice, or once when it was that already.
                    Ok(answer) if answer.affected == size as u64 || !tail.is_empty() => {}
                    Ok(answer) => return Err(lost(table, answer.affected, size)),
                    Err(found) => return Ok(Err(found)),
                }
            }
        }
        Ok(Ok(()))
    }

    /// The driver would lose its place with a row that no packet holds.
    fn too_large(&self, table: &MysqlTable, rows: &[Vec<Wire>]) -> Option<Violation> {
        let most = self.max_packet.saturating_sub(PACKET_EXTRA);
        let bytes = rows
            .iter()
            .map(|row| row.iter().map(wire_bytes).sum::<usize>())
            .find(|&bytes| bytes > most)?;
        Some(Violation {
            kind: ConflictKind::ValueNotRepresentable,
            reason: format!(
                "a row of table {} with {bytes} bytes is larger than the server's \
                 max_allowed_packet of {} allows",
                table.name, self.max_packet
            ),
        })
    }

    /// Rows that fit a packet together.
    fn take_part(
        &self,
        rows: &mut std::iter::Peekable<std::vec::IntoIter<Vec<Wire>>>,
    ) -> Vec<Vec<Wire>> {
        let most = self.max_packet / 2;
        let mut bytes = 0;
        let mut part = Vec::new();
        while let Some(row) = rows.peek() {
            let row_bytes: usize = row.iter().map(wire_bytes).sum();
            if !part.is_empty() && (bytes + row_bytes > most || part.len() >= BULK_ROWS_MAX) {
                break;
            }
            bytes += row_bytes;
            part.extend(rows.next());
        }
        part
    }

    /// See [`Tx::insert`](crate::database::server::driver::Tx::insert).
    pub(super) async fn insert_free(
        &mut self,
        table: &MysqlTable,
        rows: &[&Row],
    ) -> Result<Done<Vec<bool>>> {
        let mut wires = Vec::with_capacity(rows.len());
        for row in rows {
            match table.wires(row.iter().map(Into::into)) {
                Ok(row) => wires.push(row),
                Err(found) => return Ok(Err(found)),
            }
        }
        self.mark().await?;
        self.savepoint("SAVEPOINT banyan_insert").await?;
        let width = table.codecs.len();
        let found = match self
            .insert_wires(table, &table.list, width, wires.clone())
            .await?
        {
            Ok(()) => {
                self.savepoint("RELEASE SAVEPOINT banyan_insert").await?;
                return Ok(Ok(vec![true; rows.len()]));
            }
            Err(found) if found.kind == ConflictKind::InsertExists => found,
            Err(found) => return Ok(Err(found)),
        };
        // Which keys are taken? The rows that are there stay as they are until the end.
        self.savepoint("ROLLBACK TO SAVEPOINT banyan_insert")
            .await?;
        let keys: Vec<Key> = rows.iter().map(|row| Key::of(row, &table.key)).collect();
        let there = self.find(table, &keys, " FOR UPDATE").await?;
        let mut seen = HashSet::new();
        let free: Vec<bool> = keys
            .iter()
            .zip(&there)
            .map(|(key, row)| row.is_none() && seen.insert(key))
            .collect();
        if free.iter().all(|&free| free) {
            // It is another unique key, or a key that only the server calls equal.
            return Ok(Err(found));
        }
        let rest = wires
            .into_iter()
            .zip(&free)
            .filter_map(|(row, &free)| free.then_some(row))
            .collect();
        Ok(self
            .insert_wires(table, &table.list, width, rest)
            .await?
            .map(|()| free))
    }

    async fn savepoint(&mut self, sql: &str) -> Result<()> {
        use crate::database::server::driver::Tx as _;
        self.batch(sql).await
    }

    /// See [`Tx::update`](crate::database::server::driver::Tx::update).
    pub(super) async fn update_rows(
        &mut self,
        table: &MysqlTable,
        rows: &[(&Key, &Row)],
    ) -> Result<Done<()>> {
        if table.updated.is_empty() || rows.is_empty() {
            return Ok(Ok(()));
        }
        // MariaDB does the plain statement for many rows at once, and as fast.
        if table.upsert && rows.len() > 1 && !self.store.server().is_mariadb() {
            return self.upsert_rows(table, rows).await;
        }
        let set: Vec<String> = table
            .updated
            .iter()
            .map(|&i| format!("{} = ?", quote(&table.columns[i])))
            .collect();
        let sql = format!(
            "UPDATE {} SET {} WHERE {}",
            table.sql,
            set.join(", "),
            table.key_is()
        );
        let mut wires = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let mut cells = match table.wires(row.iter().map(Into::into)) {
                Ok(cells) => cells,
                Err(found) => return Ok(Err(found)),
            };
            let mut all: Vec<Wire> = table
                .updated
                .iter()
                .map(|&i| std::mem::replace(&mut cells[i], Wire::NULL))
                .collect();
            all.extend(table.key_wires(key).ok_or_else(|| no_key(table, key))?);
            wires.push(all);
        }
        self.mark().await?;
        self.write_each(table, &sql, wires).await
    }

    /// Updates locked rows of a table by inserting them once more: many in one statement.
    async fn upsert_rows(&mut self, table: &MysqlTable, rows: &[(&Key, &Row)]) -> Result<Done<()>> {
        let mut wires = Vec::with_capacity(rows.len());
        for (_, row) in rows {
            match table.wires(row.iter().map(Into::into)) {
                Ok(row) => wires.push(row),
                Err(found) => return Ok(Err(found)),
            }
        }
        self.mark().await?;
        let set: Vec<String> = table
            .updated
            .iter()
            .map(|&i| quote(&table.columns[i]))
            .map(|column| format!("{column} = VALUES({column})"))
            .collect();
        let tail = format!(" ON DUPLICATE KEY UPDATE {}", set.join(", "));
        self.insert_many(table, (&table.list, &tail), table.codecs.len(), wires)
            .await
    }

    /// One write for each row, which must find it.
    async fn write_each(
        &mut self,
        table: &MysqlTable,
        sql: &str,
        wires: Vec<Vec<Wire>>,
    ) -> Result<Done<()>> {
        if let Some(found) = self.too_large(table, &wires) {
            return Ok(Err(found));
        }
        let what = format!("write rows of table {}", table.name);
        let mut rest = wires.into_iter().peekable();
        while rest.peek().is_some() {
            let part = self.take_part(&mut rest);
            let count = part.len();
            match self.run_each(&what, sql, part).await? {
                Ok(written) if written == count as u64 => {}
                Ok(written) => return Err(lost(table, written, count)),
                Err(found) => return Ok(Err(found)),
            }
        }
        Ok(Ok(()))
    }

    /// See [`Tx::delete`](crate::database::server::driver::Tx::delete).
    pub(super) async fn delete_rows(
        &mut self,
        table: &MysqlTable,
        keys: &[&Key],
    ) -> Result<Done<()>> {
        if keys.is_empty() {
            return Ok(Ok(()));
        }
        let wires = keys
            .iter()
            .map(|key| table.key_wires(key).ok_or_else(|| no_key(table, key)))
            .collect::<Result<Vec<_>>>()?;
        self.mark().await?;
        let what = format!("delete rows of table {}", table.name);
        let mut rest = wires.as_slice();
        while let Some(last) = rest.last() {
            let size = bucket(rest.len(), table.key.len());
            let taken = size.min(rest.len());
            let mut all: Vec<Wire> = rest[..taken].concat();
            for _ in taken..size {
                all.extend_from_slice(last);
            }
            // Of the two forms of DELETE this is the one that can be told which index to use.
            let sql = format!(
                "DELETE t FROM {} AS t{} WHERE {}",
                table.sql,
                table.force,
                table.key_in(size)
            );
            match self.run(&what, &sql, all).await? {
                Ok(answer) if answer.affected == taken as u64 => {}
                Ok(answer) => return Err(lost(table, answer.affected, taken)),
                Err(found) => return Ok(Err(found)),
            }
            rest = &rest[taken..];
        }
        Ok(Ok(()))
    }

    /// See [`Tx::swap`](crate::database::server::driver::Tx::swap).
    pub(super) async fn swap_rows(
        &mut self,
        table: &MysqlTable,
        rows: &[(&Key, &Row)],
    ) -> Result<Done<()>> {
        let what = format!("read rows of table {}", table.name);
        let mut out = Vec::with_capacity(rows.len());
        let sql = format!(
            "SELECT {} FROM {}{} WHERE {} FOR UPDATE",
            table.all_list,
            table.sql,
            table.force,
            table.key_is()
        );
        for (key, row) in rows {
            let wires = table.key_wires(key).ok_or_else(|| no_key(table, key))?;
            let there = self.look(&what, &sql, wires).await?.into_iter().next();
            let there = there.ok_or_else(|| lost(table, 0, 1))?;
            let mut all = decode(&table.all, there)?;
            for (&place, cell) in table.place.iter().zip(row.iter()) {
                all[place] = cell.clone();
            }
            match encode(&table.all, all.iter().map(Into::into)) {
                Ok(wires) => out.push(wires),
                Err(found) => return Ok(Err(found)),
            }
        }
        let keys: Vec<&Key> = rows.iter().map(|(key, _)| *key).collect();
        if let Err(found) = self.delete_rows(table, &keys).await? {
            return Ok(Err(found));
        }
        self.insert_wires(table, &table.all_list, table.all.len(), out)
            .await
    }

    /// See [`Tx::load`](crate::database::server::driver::Tx::load).
    pub(super) async fn load_batch(
        &mut self,
        table: &MysqlTable,
        batch: &RecordBatch,
    ) -> Result<Done<()>> {
        let views = views(batch)?;
        let mut wires = Vec::with_capacity(batch.num_rows());
        for i in 0..batch.num_rows() {
            match table.wires(views.iter().map(|view| view.get(i))) {
                Ok(row) => wires.push(row),
                Err(found) => return Ok(Err(found)),
            }
        }
        self.mark().await?;
        self.insert_wires(table, &table.list, table.codecs.len(), wires)
            .await
    }

    /// See [`Tx::next_key`](crate::database::server::driver::Tx::next_key).
    pub(super) async fn find_next_key(&mut self, table: &MysqlTable) -> Result<Option<Key>> {
        let [key] = table.key[..] else {
            return Ok(None);
        };
        let &Kind::Int { bytes, unsigned } = table.codecs[key].kind() else {
            return Ok(None);
        };
        let column = quote(&table.columns[key]);
        // The gap behind the last row is locked with it.
        let sql = format!(
            "SELECT {column} FROM {}{} ORDER BY {column} DESC LIMIT 1 FOR UPDATE",
            table.sql, table.force
        );
        let what = format!("read the last key of table {}", table.name);
        let last = self.look(&what, &sql, Vec::new()).await?.into_iter().next();
        let last = match last {
            None => 0,
            Some(row) => match decode(std::slice::from_ref(&table.codecs[key]), row)?.pop() {
                Some(crate::data::Value::Int(v)) => v,
                // Beyond the integers that other stores have.
                _ => return Ok(None),
            },
        };
        let bits = u32::from(bytes) * 8 - u32::from(!unsigned);
        let most = i64::try_from((1_u128 << bits) - 1).unwrap_or(i64::MAX);
        let next = last.checked_add(1).filter(|&next| next <= most);
        Ok(next.map(|next| Key(vec![crate::data::Value::Int(next)])))
    }
}

/// Rows in one `INSERT` at most; with more it became slower (32 to 1024 were measured).
const INSERT_ROWS_MAX: usize = 64;

fn no_key(table: &MysqlTable, key: &Key) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("table {} can have no row with the key ({key})", table.name),
    )
}
