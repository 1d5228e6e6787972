//! Decision records.

use rusqlite::{Row as SqlRow, params};

use crate::data::canonical;
use crate::database::sqlite::error::sqlite;
use crate::database::{DecisionRecord, Role, UnitKey};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::ConflictKind;

use super::{Journal, blob, damaged, key, role, unblob};

impl Journal<'_> {
    pub(in crate::database::sqlite) fn record(&self, r: &DecisionRecord) -> Result<()> {
        let closes: Vec<(usize, i64)> = r.closes.iter().map(|(s, id)| (s.index(), *id)).collect();
        let closes = serde_json::to_string(&closes)
            .map_err(|e| Error::new(ErrorKind::Internal, "encode a record").caused_by(e))?;
        self.conn
            .prepare_cached(&format!(
                "INSERT INTO {} ({RECORD_COLUMNS}) VALUES \
                 (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20)",
                self.sql("record")
            ))
            .and_then(|mut s| {
                s.execute(params![
                    r.id.as_slice(),
                    self.unit_name(r.unit.unit),
                    canonical::encode_exact(&r.unit.key.0),
                    canonical::encode_exact(&r.source_key.0),
                    r.kind.as_str(),
                    r.rule,
                    r.outcome,
                    r.two,
                    r.first.index().cast_signed() as i64,
                    r.positions[0].cast_signed(),
                    r.positions[1].cast_signed(),
                    blob(r.seen[0].as_ref()),
                    blob(r.seen[1].as_ref()),
                    blob(r.result[0].as_ref()),
                    blob(r.result[1].as_ref()),
                    blob(r.base.as_ref()),
                    r.base_known,
                    closes,
                    r.supersedes.as_ref().map(<[u8; 16]>::as_slice),
                    r.at_us,
                ])
            })
            .map(drop)
            .map_err(sqlite("write a decision record"))
    }

    /// Decision records in the order of time; only those that wrote both sides, or all.
    pub(in crate::database::sqlite) fn records(
        &self,
        two_sided_only: bool,
    ) -> Result<Vec<DecisionRecord>> {
        let what = || sqlite("read the decision records");
        let mut stmt = self
            .conn
            .prepare_cached(&format!(
                "SELECT {RECORD_COLUMNS} FROM {} WHERE two >= ?1 ORDER BY at, id",
                self.sql("record")
            ))
            .map_err(what())?;
        let mut rows = stmt.query([i64::from(two_sided_only)]).map_err(what())?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(what())? {
            if let Some(record) = self.read_record(row).map_err(what())? {
                out.push(record);
            }
        }
        Ok(out)
    }

    fn read_record(&self, row: &SqlRow<'_>) -> rusqlite::Result<Option<DecisionRecord>> {
        let Some(unit) = self.unit(&row.get::<_, String>(1)?) else {
            return Ok(None);
        };
        let id = |bytes: Vec<u8>| <[u8; 16]>::try_from(bytes).map_err(|_| damaged("record id"));
        let closes: Vec<(i64, i64)> =
            serde_json::from_str(&row.get::<_, String>(17)?).map_err(|e| damaged(e.to_string()))?;
        Ok(Some(DecisionRecord {
            id: id(row.get(0)?)?,
            unit: UnitKey {
                unit,
                key: key(&row.get::<_, Vec<u8>>(2)?)?,
            },
            source_key: key(&row.get::<_, Vec<u8>>(3)?)?,
            kind: ConflictKind::from_name(&row.get::<_, String>(4)?)
                .unwrap_or(ConflictKind::UpdateOriginDiffers),
            rule: row.get(5)?,
            outcome: row.get(6)?,
            two: row.get(7)?,
            first: role(row.get(8)?),
            positions: [
                row.get::<_, i64>(9)?.unsigned_abs(),
                row.get::<_, i64>(10)?.unsigned_abs(),
            ],
            seen: [unblob(row.get(11)?)?, unblob(row.get(12)?)?],
            result: [unblob(row.get(13)?)?, unblob(row.get(14)?)?],
            base: unblob(row.get(15)?)?,
            base_known: row.get(16)?,
            closes: closes.into_iter().map(|(r, id)| (role(r), id)).collect(),
            supersedes: row.get::<_, Option<Vec<u8>>>(18)?.map(id).transpose()?,
            at_us: row.get(19)?,
        }))
    }

    /// What the records kept here close.
    pub(in crate::database::sqlite) fn closed(&self) -> Result<Vec<(Role, i64)>> {
        let what = || sqlite("read the decision records");
        let rows = self
            .conn
            .prepare_cached(&format!(
                "SELECT closes FROM {} WHERE closes <> '[]'",
                self.sql("record")
            ))
            .map_err(what())?
            .query_map([], |row| row.get::<_, String>(0))
            .map_err(what())?
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(what())?;
        let mut out = Vec::new();
        for closes in rows {
            let closes: Vec<(i64, i64)> = serde_json::from_str(&closes)
                .map_err(|e| Error::new(ErrorKind::Store, "a record is damaged").caused_by(e))?;
            out.extend(closes.into_iter().map(|(r, id)| (role(r), id)));
        }
        Ok(out)
    }
}

const RECORD_COLUMNS: &str = "id, unit, key, source_key, kind, rule, outcome, two, first, pos0, \
                              pos1, seen0, seen1, result0, result1, base, base_known, closes, \
                              supersedes, at";
