//! Rows that have changed since a copy over others began: see [`Began`].

use crate::database::server::driver::Tx;
use crate::database::{Began, Image, UnitKey};
use crate::error::Result;

use crate::data::Value;

use super::{
    Journal, bytes, flag, int, key, key_hash, key_value, maybe, maybe_int, maybe_row, row_value,
    seq, string, text,
};

impl Journal {
    /// Keeps them, each instead of what is kept of its row, and forgets those that have ended.
    pub(in crate::database::server) async fn begin<T: Tx>(
        &self,
        tx: &mut T,
        began: &[Began],
        ended: &[(usize, UnitKey)],
    ) -> Result<()> {
        let forget = format!(
            "DELETE FROM {} WHERE tbl = ? AND unit = ? AND kh = ?",
            self.began
        );
        let place = |table: usize, unit: &UnitKey| {
            let table = self.sources.get(table)?;
            let hash = key_hash(&unit.key);
            Some([text(table), self.unit_name(unit.unit), hash])
        };
        for (table, unit) in ended {
            if let Some(place) = place(*table, unit) {
                tx.execute(&forget, &place).await?;
            }
        }
        let keep = format!(
            "INSERT INTO {} (tbl, unit, kh, k, image, known, us, seq, shape) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.began
        );
        for began in began {
            let Some(place) = place(began.table, &began.unit) else {
                continue;
            };
            tx.execute(&forget, &place).await?;
            let (image, known) = match &began.image {
                Image::Row(row) => (row.as_ref(), true),
                Image::Unknown => (None, false),
            };
            let mut values = place.to_vec();
            values.extend([
                key_value(&began.unit.key),
                row_value(image),
                flag(known),
                maybe(began.committed_us),
                seq(began.seq),
                Value::Bytes(self.shape(began.unit.unit).to_vec()),
            ]);
            tx.execute(&keep, &values).await?;
        }
        Ok(())
    }

    pub(in crate::database::server) async fn began<T: Tx>(&self, tx: &mut T) -> Result<Vec<Began>> {
        let sql = format!(
            "SELECT tbl, unit, k, image, known, us, shape, seq FROM {}",
            self.began
        );
        let mut out = Vec::new();
        for row in tx.query(&sql, &[]).await? {
            let name = string(&row, 0)?;
            let table = self.sources.iter().position(|s| s == name);
            let (Some(table), Some(unit)) = (table, self.unit(string(&row, 1)?)) else {
                continue;
            };
            let fitted = match (maybe_row(&row, 3)?, self.shapes.get(unit)) {
                (Some(image), Some(shape)) => shape.fit(image, &bytes(&row, 6)?).map(Some),
                (Some(_), None) => None,
                (None, _) => Some(None),
            };
            let known = int(&row, 4)? != 0;
            out.push(Began {
                table,
                unit: UnitKey {
                    unit,
                    key: key(&row, 2)?,
                },
                image: fitted.filter(|_| known).map_or(Image::Unknown, Image::Row),
                seq: int(&row, 7)?.cast_unsigned(),
                committed_us: maybe_int(&row, 5)?,
            });
        }
        Ok(out)
    }

    /// Forgets all, and where former copies were.
    pub(in crate::database::server) async fn forget_began<T: Tx>(&self, tx: &mut T) -> Result<()> {
        for (table, which) in [(&self.began, ""), (&self.chunk, " WHERE n < 0")] {
            tx.execute(&format!("DELETE FROM {table}{which}"), &[])
                .await?;
        }
        Ok(())
    }
}
