//! How far the copy is, and how tables were mapped when they were copied.

use std::collections::BTreeMap;

use crate::data::Value;
use crate::database::migrated::mapped_otherwise;
use crate::database::server::driver::Tx;
use crate::database::{ChunkMark, MappedAs};
use crate::error::Result;

use super::{Journal, flag, int, key, key_value, seq, string, text};

impl Journal {
    /// Adds a chunk to the marks of its table: chunks come in key order.
    pub(in crate::database::server) async fn mark_chunk<T: Tx>(
        &self,
        tx: &mut T,
        mark: &ChunkMark,
        target_seq: u64,
    ) -> Result<()> {
        let Some(table) = self.sources.get(mark.table) else {
            return Ok(());
        };
        let sql = format!("SELECT max(n) FROM {} WHERE tbl = ?", self.chunk);
        let last = tx.query(&sql, &[text(table)]).await?;
        let last = match last.first().and_then(|row| row.first()) {
            Some(Value::Int(n)) => *n,
            _ => 0,
        };
        let sql = format!(
            "INSERT INTO {} (tbl, n, upper_k, seq, row_count, target_seq, over_rows) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            self.chunk
        );
        let values = [
            text(table),
            Value::Int(last + 1),
            mark.upper.as_ref().map_or(Value::Null, key_value),
            seq(mark.seq),
            seq(mark.rows),
            seq(target_seq),
            flag(mark.over_rows),
        ];
        tx.execute(&sql, &values).await.map(drop)
    }

    /// The marks of the copies, each in key order; or those of former copies. These have numbers below
    /// 0, downwards, and one is left out between two copies.
    pub(in crate::database::server) async fn chunks<T: Tx>(
        &self,
        tx: &mut T,
        former: bool,
    ) -> Result<Vec<Vec<ChunkMark>>> {
        let which = match former {
            false => "n > 0 ORDER BY tbl, n",
            true => "n < 0 ORDER BY tbl, n DESC",
        };
        let sql = format!(
            "SELECT tbl, upper_k, seq, row_count, target_seq, over_rows, n FROM {} WHERE {which}",
            self.chunk
        );
        let mut out: Vec<Vec<ChunkMark>> = Vec::new();
        let mut last = None;
        for row in tx.query(&sql, &[]).await? {
            let name = string(&row, 0)?;
            let Some(table) = self.sources.iter().position(|s| s == name) else {
                continue;
            };
            let mark = ChunkMark {
                table,
                upper: match row[1] {
                    Value::Null => None,
                    _ => Some(key(&row, 1)?),
                },
                seq: int(&row, 2)?.cast_unsigned(),
                rows: int(&row, 3)?.cast_unsigned(),
                target_seq: int(&row, 4)?.cast_unsigned(),
                over_rows: int(&row, 5)? != 0,
            };
            let n = int(&row, 6)?.unsigned_abs();
            match out.last_mut() {
                Some(copy) if last == Some((table, n - 1)) => copy.push(mark),
                _ => out.push(vec![mark]),
            }
            last = Some((table, n));
        }
        Ok(out)
    }

    /// Tables that are, or were, copied over rows which were here before.
    pub(in crate::database::server) async fn copied_before<T: Tx>(
        &self,
        tx: &mut T,
    ) -> Result<Vec<usize>> {
        let sql = format!(
            "SELECT DISTINCT tbl FROM {} WHERE over_rows = 1",
            self.chunk
        );
        let rows = tx.query(&sql, &[]).await?;
        let mut out = Vec::new();
        for row in &rows {
            let name = string(row, 0)?;
            out.extend(self.sources.iter().position(|s| s == name));
        }
        Ok(out)
    }

    /// Forgets how far a table of the source is copied, but not that it was (mark number 0);
    /// `false` when nothing of it was.
    pub(in crate::database::server) async fn forget_copy<T: Tx>(
        &self,
        tx: &mut T,
        source_table: &str,
    ) -> Result<bool> {
        let sql = format!("SELECT min(n), max(n) FROM {} WHERE tbl = ?", self.chunk);
        let numbers = tx.query(&sql, &[text(source_table)]).await?;
        let (first, last) = match numbers.first().map(Vec::as_slice) {
            Some([Value::Int(first), Value::Int(last)]) => (*first, *last),
            _ => (0, 0),
        };
        if last <= 0 {
            return Ok(false);
        }
        let sql = format!(
            "UPDATE {} SET n = ? - n WHERE tbl = ? AND n > 0",
            self.chunk
        );
        let values = [Value::Int(first.min(0) - 1), text(source_table)];
        tx.execute(&sql, &values).await?;
        let sql = format!("SELECT n FROM {} WHERE tbl = ? AND n = 0", self.chunk);
        if tx.query(&sql, &[text(source_table)]).await?.is_empty() {
            let sql = format!(
                "INSERT INTO {} (tbl, n, seq, row_count, target_seq, over_rows) \
                 VALUES (?, 0, 0, 0, 0, 1)",
                self.chunk
            );
            tx.execute(&sql, &[text(source_table)]).await?;
        }
        Ok(true)
    }

    /// Writes down how tables are mapped now, and forgets the copies of those that were mapped
    /// otherwise, and of those that are not mapped any more. Answers the former, each with what is
    /// different.
    pub(in crate::database::server) async fn remap<T: Tx>(
        &self,
        tx: &mut T,
        now: &BTreeMap<String, MappedAs>,
        widened: bool,
    ) -> Result<Vec<(String, Vec<String>)>> {
        let mut again = Vec::new();
        let sql = format!("SELECT tbl, mapping FROM {}", self.mapped);
        for row in tx.query(&sql, &[]).await? {
            let table = string(&row, 0)?;
            // One that cannot be read differs from every other.
            let was: MappedAs = serde_json::from_str(string(&row, 1)?).unwrap_or_default();
            match now.get(table) {
                None => {
                    self.forget_copy(tx, table).await?;
                }
                Some(now) => {
                    let different = mapped_otherwise(&was, now, widened);
                    if !different.is_empty() && self.forget_copy(tx, table).await? {
                        again.push((table.to_owned(), different));
                    }
                }
            }
        }
        tx.execute(&format!("DELETE FROM {}", self.mapped), &[])
            .await?;
        let sql = format!("INSERT INTO {} (tbl, mapping) VALUES (?, ?)", self.mapped);
        for (name, mapping) in now {
            let mapping = serde_json::json!(mapping).to_string();
            tx.execute(&sql, &[text(name), Value::Text(mapping)])
                .await?;
        }
        Ok(again)
    }
}
