//! Rows that have changed since a copy over others began: see [`Began`].

use rusqlite::params;

use crate::data::canonical;
use crate::database::sqlite::error::sqlite;
use crate::database::{Began, Image, UnitKey};
use crate::error::Result;

use super::{Journal, blob, key, unblob};

impl Journal<'_> {
    /// Keeps them, each instead of what is kept of its row.
    pub(in crate::database::sqlite) fn begin(&self, began: &[Began]) -> Result<()> {
        let what = || sqlite("note what a row was before a change");
        for began in began {
            let Some(table) = self.sources.get(began.table) else {
                continue;
            };
            let (image, known) = match &began.image {
                Image::Row(row) => (row.as_ref(), true),
                Image::Unknown => (None, false),
            };
            self.conn
                .prepare_cached(&format!(
                    "INSERT OR REPLACE INTO {} (tbl, unit, key, image, known, us, shape) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    self.sql("began")
                ))
                .and_then(|mut s| {
                    s.execute(params![
                        table,
                        self.unit_name(began.unit.unit),
                        canonical::encode_exact(&began.unit.key.0),
                        blob(image),
                        known,
                        began.committed_us,
                        self.shape(began.unit.unit)
                    ])
                })
                .map_err(what())?;
        }
        Ok(())
    }

    pub(in crate::database::sqlite) fn began(&self) -> Result<Vec<Began>> {
        let what = || sqlite("read what rows were before changes");
        let mut stmt = self
            .conn
            .prepare_cached(&format!(
                "SELECT tbl, unit, key, image, known, us, shape FROM {}",
                self.sql("began")
            ))
            .map_err(what())?;
        let mut rows = stmt.query([]).map_err(what())?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(what())? {
            let read = || -> rusqlite::Result<Option<Began>> {
                let name = row.get::<_, String>(0)?;
                let table = self.sources.iter().position(|s| *s == name);
                let unit = self.unit(&row.get::<_, String>(1)?);
                let (Some(table), Some(unit)) = (table, unit) else {
                    return Ok(None);
                };
                let image = unblob(row.get(3)?)?;
                // A row with other columns than there are by now says nothing about them.
                let fits = image.is_none() || row.get::<_, Vec<u8>>(6)? == self.shape(unit);
                Ok(Some(Began {
                    table,
                    unit: UnitKey {
                        unit,
                        key: key(&row.get::<_, Vec<u8>>(2)?)?,
                    },
                    image: match row.get(4)? {
                        true if fits => Image::Row(image),
                        _ => Image::Unknown,
                    },
                    committed_us: row.get(5)?,
                }))
            };
            out.extend(read().map_err(what())?);
        }
        Ok(out)
    }

    /// Forgets those of one table of the source, or all.
    pub(in crate::database::sqlite) fn forget_began(
        &self,
        source_table: Option<&str>,
    ) -> Result<()> {
        self.conn
            .prepare_cached(&format!(
                "DELETE FROM {} WHERE ?1 IS NULL OR tbl = ?1",
                self.sql("began")
            ))
            .and_then(|mut s| s.execute([source_table]))
            .map(drop)
            .map_err(sqlite("forget what rows were before changes"))
    }
}
