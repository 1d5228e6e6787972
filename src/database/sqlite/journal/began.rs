//! Rows that have changed since a copy over others began: see [`Began`].

use rusqlite::params;

use crate::data::canonical;
use crate::database::sqlite::error::sqlite;
use crate::database::{Began, Image, UnitKey};
use crate::error::Result;

use super::{Journal, blob, key, unblob};

impl Journal<'_> {
    /// Keeps them, each instead of what is kept of its row, and forgets those that have ended.
    pub(in crate::database::sqlite) fn begin(
        &self,
        began: &[Began],
        ended: &[(usize, UnitKey)],
    ) -> Result<()> {
        let what = || sqlite("note what a row was before a change");
        for (table, unit) in ended {
            let Some(table) = self.sources.get(*table) else {
                continue;
            };
            self.conn
                .prepare_cached(&format!(
                    "DELETE FROM {} WHERE tbl = ?1 AND unit = ?2 AND key = ?3",
                    self.sql("began")
                ))
                .and_then(|mut s| {
                    let key = canonical::encode_exact(&unit.key.0);
                    s.execute(params![table, self.unit_name(unit.unit), key])
                })
                .map_err(what())?;
        }
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
                    "INSERT OR REPLACE INTO {} (tbl, unit, key, image, known, us, seq, shape) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
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
                        began.seq.cast_signed(),
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
                "SELECT tbl, unit, key, image, known, us, shape, seq FROM {}",
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
                    seq: row.get::<_, i64>(7)?.unsigned_abs(),
                    committed_us: row.get(5)?,
                }))
            };
            out.extend(read().map_err(what())?);
        }
        Ok(out)
    }

    /// Forgets all, and where former copies were.
    pub(in crate::database::sqlite) fn forget_began(&self) -> Result<()> {
        let forget = |sql: String| self.conn.execute(&sql, []).map(drop);
        forget(format!("DELETE FROM {}", self.sql("began")))
            .and_then(|()| forget(format!("UPDATE {} SET former = x''", self.sql("chunk"))))
            .map_err(sqlite("forget what rows were before changes"))
    }
}
