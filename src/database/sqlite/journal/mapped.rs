//! How each table was mapped when it was copied.
//!
//! The configuration may be edited while nobody syncs. A table that is mapped otherwise now, or was
//! left out for a while, is not what it was copied as: what the old mapping passed over was never
//! carried, and its changes are gone from the logs. So its copy is forgotten, and made again.

use std::collections::BTreeMap;

use rusqlite::params;

use crate::database::MappedAs;
use crate::database::migrated::mapped_otherwise;
use crate::database::sqlite::error::sqlite;
use crate::error::Result;

use super::Journal;

impl Journal<'_> {
    /// Writes down how tables are mapped now, and forgets the copies of those that were mapped
    /// otherwise, and of those that are not mapped any more. Answers the former, each with what is
    /// different.
    pub(in crate::database::sqlite) fn remap(
        &self,
        now: &BTreeMap<String, MappedAs>,
        widened: bool,
    ) -> Result<Vec<(String, Vec<String>)>> {
        let mut again = Vec::new();
        for (table, was) in self.mapped()? {
            match now.get(&table) {
                None => {
                    self.forget_copy(&table)?;
                }
                Some(now) => {
                    let different = mapped_otherwise(&was, now, widened);
                    if !different.is_empty() && self.forget_copy(&table)? {
                        again.push((table, different));
                    }
                }
            }
        }
        self.set_mapped(now)?;
        Ok(again)
    }

    fn mapped(&self) -> Result<Vec<(String, MappedAs)>> {
        let what = || sqlite("read how tables are mapped");
        let mut stmt = self
            .conn
            .prepare_cached(&format!("SELECT tbl, mapping FROM {}", self.sql("mapped")))
            .map_err(what())?;
        let rows = stmt
            .query_map([], |row| {
                let mapping: String = row.get(1)?;
                // One that cannot be read differs from every other.
                Ok((
                    row.get(0)?,
                    serde_json::from_str(&mapping).unwrap_or_default(),
                ))
            })
            .map_err(what())?;
        rows.collect::<rusqlite::Result<_>>().map_err(what())
    }

    fn set_mapped(&self, now: &BTreeMap<String, MappedAs>) -> Result<()> {
        let what = || sqlite("write how tables are mapped");
        let table = self.sql("mapped");
        self.conn
            .execute(&format!("DELETE FROM {table}"), [])
            .map_err(what())?;
        for (name, mapping) in now {
            self.conn
                .prepare_cached(&format!(
                    "INSERT INTO {table} (tbl, mapping) VALUES (?1, ?2)"
                ))
                .and_then(|mut s| s.execute(params![name, serde_json::json!(mapping).to_string()]))
                .map_err(what())?;
        }
        Ok(())
    }
}
