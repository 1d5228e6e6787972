//! Open conflicts, and the changes that they absorbed.

use rusqlite::{Row as SqlRow, params};

use crate::data::canonical;
use crate::database::sqlite::error::sqlite;
use crate::database::{OpenConflict, OpenState, Resolution, Role, UnitKey};
use crate::error::Result;
use crate::rule::{ConflictKind, Direction};

use super::{Journal, blob, key, role, unblob};

impl Journal<'_> {
    /// Writes an open conflict down and gives it its number. One that is there for the key already
    /// is a left-over whose decision is recorded in the other store: it is replaced.
    pub(in crate::database::sqlite) fn open(&self, conflict: &mut OpenConflict) -> Result<()> {
        let what = || sqlite("write an open conflict");
        let key = canonical::encode_exact(&conflict.unit.key.0);
        self.conn
            .prepare_cached(&format!(
                "DELETE FROM {} WHERE unit = ?1 AND key = ?2",
                self.sql("open")
            ))
            .and_then(|mut s| s.execute(params![self.unit_name(conflict.unit.unit), key]))
            .map_err(what())?;
        // A counter of our own, because numbers must never be used again (records refer to them),
        // and AUTOINCREMENT would leave `sqlite_sequence` behind in the user's database.
        self.conn
            .prepare_cached(&format!(
                "UPDATE {} SET last_open = last_open + 1",
                self.sql("log")
            ))
            .and_then(|mut s| s.execute([]))
            .map_err(what())?;
        self.conn
            .prepare_cached(&format!(
                "INSERT INTO {} (id, unit, key, source_key, direction, kind, base, base_known, us0, \
                 us1, state, reason, rule, at, interrupted, shape) VALUES ((SELECT last_open FROM {}), \
                 ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
                self.sql("open"),
                self.sql("log")
            ))
            .map_err(what())?
            .execute(params![
                self.unit_name(conflict.unit.unit),
                key,
                canonical::encode_exact(&conflict.source_key.0),
                i64::from(conflict.direction == Direction::Backward),
                conflict.kind.as_str(),
                blob(conflict.base.as_ref()),
                conflict.base_known,
                conflict.committed_us[0],
                conflict.committed_us[1],
                conflict.state as i64,
                conflict.reason,
                conflict.rule,
                conflict.at_us,
                conflict.interrupted,
                self.shape(conflict.unit.unit),
            ])
            .map_err(what())?;
        conflict.id = self
            .conn
            .prepare_cached(&format!(
                "SELECT id FROM {} WHERE unit = ?1 AND key = ?2",
                self.sql("open")
            ))
            .map_err(what())?
            .query_row(params![self.unit_name(conflict.unit.unit), key], |row| {
                row.get(0)
            })
            .map_err(what())?;
        Ok(())
    }

    pub(in crate::database::sqlite) fn update_open(&self, conflict: &OpenConflict) -> Result<()> {
        self.conn
            .prepare_cached(&format!(
                "UPDATE {} SET kind=?2, base=?3, base_known=?4, us0=?5, us1=?6, state=?7, \
                 reason=?8, rule=?9, shape=?10, request=NULL, seen0=NULL, seen1=NULL WHERE id = ?1",
                self.sql("open")
            ))
            .and_then(|mut s| {
                s.execute(params![
                    conflict.id,
                    conflict.kind.as_str(),
                    blob(conflict.base.as_ref()),
                    conflict.base_known,
                    conflict.committed_us[0],
                    conflict.committed_us[1],
                    conflict.state as i64,
                    conflict.reason,
                    conflict.rule,
                    self.shape(conflict.unit.unit),
                ])
            })
            .map(drop)
            .map_err(sqlite("update an open conflict"))
    }

    pub(in crate::database::sqlite) fn request(
        &self,
        id: i64,
        resolution: &Resolution,
        seen: [[u8; 32]; 2],
    ) -> Result<bool> {
        let n = match resolution {
            Resolution::Source => 0,
            Resolution::Target => 1,
            Resolution::Delete => 2,
            Resolution::Retry => 3,
        };
        self.conn
            .prepare_cached(&format!(
                "UPDATE {} SET request = ?2, seen0 = ?3, seen1 = ?4 WHERE id = ?1",
                self.sql("open")
            ))
            .and_then(|mut s| s.execute(params![id, n, seen[0].as_slice(), seen[1].as_slice()]))
            .map(|n| n == 1)
            .map_err(sqlite("write the answer to a conflict"))
    }

    pub(in crate::database::sqlite) fn close(&self, ids: &[i64]) -> Result<()> {
        let what = || sqlite("close an open conflict");
        let (open, touched) = (self.sql("open"), self.sql("touched"));
        for id in ids {
            self.conn
                .prepare_cached(&format!(
                    "DELETE FROM {touched} WHERE (unit, key) IN \
                     (SELECT unit, key FROM {open} WHERE id = ?1)"
                ))
                .and_then(|mut s| s.execute([id]))
                .map_err(what())?;
            self.conn
                .prepare_cached(&format!("DELETE FROM {open} WHERE id = ?1"))
                .and_then(|mut s| s.execute([id]))
                .map_err(what())?;
        }
        Ok(())
    }

    pub(in crate::database::sqlite) fn open_conflicts(&self) -> Result<Vec<OpenConflict>> {
        self.conflicts_where("true")
    }

    /// Those that a person answered.
    pub(in crate::database::sqlite) fn answered_conflicts(&self) -> Result<Vec<OpenConflict>> {
        self.conflicts_where("request IS NOT NULL")
    }

    fn conflicts_where(&self, condition: &str) -> Result<Vec<OpenConflict>> {
        let what = || sqlite("read the open conflicts");
        let mut stmt = self
            .conn
            .prepare_cached(&format!(
                "SELECT {OPEN_COLUMNS} FROM {} WHERE {condition} ORDER BY id",
                self.sql("open")
            ))
            .map_err(what())?;
        let mut rows = stmt.query([]).map_err(what())?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(what())? {
            if let Some(conflict) = self.read_open(row).map_err(what())? {
                out.push(conflict);
            }
        }
        Ok(out)
    }

    fn read_open(&self, row: &SqlRow<'_>) -> rusqlite::Result<Option<OpenConflict>> {
        let Some(unit) = self.unit(&row.get::<_, String>(1)?) else {
            return Ok(None);
        };
        let seen = |i: usize| -> rusqlite::Result<Option<[u8; 32]>> {
            Ok(row
                .get::<_, Option<Vec<u8>>>(i)?
                .and_then(|v| v.try_into().ok()))
        };
        let request = match (row.get::<_, Option<i64>>(13)?, seen(14)?, seen(15)?) {
            (Some(n), Some(a), Some(b)) => Some((resolution(n), [a, b])),
            _ => None,
        };
        // A base with other columns than the rows have by now says nothing about them; that there
        // was no row is as true as before.
        let base = unblob(row.get(6)?)?;
        let fits = base.is_none() || row.get::<_, Vec<u8>>(18)? == self.shape(unit);
        Ok(Some(OpenConflict {
            home: self.role,
            id: row.get(0)?,
            unit: UnitKey {
                unit,
                key: key(&row.get::<_, Vec<u8>>(2)?)?,
            },
            source_key: key(&row.get::<_, Vec<u8>>(3)?)?,
            direction: if row.get::<_, i64>(4)? == 0 {
                Direction::Forward
            } else {
                Direction::Backward
            },
            kind: ConflictKind::from_name(&row.get::<_, String>(5)?)
                .unwrap_or(ConflictKind::UpdateOriginDiffers),
            base: base.filter(|_| fits),
            base_known: row.get(7)? && fits,
            committed_us: [row.get(8)?, row.get(9)?],
            state: state(row.get(10)?),
            reason: row.get(11)?,
            rule: row.get(12)?,
            request,
            at_us: row.get(16)?,
            interrupted: row.get(17)?,
        }))
    }

    pub(in crate::database::sqlite) fn touch(
        &self,
        unit: &UnitKey,
        role: Role,
        us: Option<i64>,
    ) -> Result<()> {
        self.conn
            .prepare_cached(&format!(
                "INSERT INTO {} (unit, key, role, us) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (unit, key, role) DO UPDATE SET us = excluded.us",
                self.sql("touched")
            ))
            .and_then(|mut s| {
                s.execute(params![
                    self.unit_name(unit.unit),
                    canonical::encode_exact(&unit.key.0),
                    role.index().cast_signed() as i64,
                    us
                ])
            })
            .map(drop)
            .map_err(sqlite("note a change of a conflicting key"))
    }

    pub(in crate::database::sqlite) fn touched(&self) -> Result<Vec<(UnitKey, Role, Option<i64>)>> {
        let what = || sqlite("read noted changes");
        let mut stmt = self
            .conn
            .prepare_cached(&format!(
                "SELECT unit, key, role, us FROM {}",
                self.sql("touched")
            ))
            .map_err(what())?;
        let mut rows = stmt.query([]).map_err(what())?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(what())? {
            let read = || -> rusqlite::Result<_> {
                Ok((
                    row.get::<_, String>(0)?,
                    key(&row.get::<_, Vec<u8>>(1)?)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, Option<i64>>(3)?,
                ))
            };
            let (name, key, r, us) = read().map_err(what())?;
            if let Some(unit) = self.unit(&name) {
                out.push((UnitKey { unit, key }, role(r), us));
            }
        }
        Ok(out)
    }
}

const OPEN_COLUMNS: &str = "id, unit, key, source_key, direction, kind, base, base_known, us0, \
                            us1, state, reason, rule, request, seen0, seen1, at, interrupted, \
                            shape";

fn state(n: i64) -> OpenState {
    match n {
        0 => OpenState::Open,
        1 => OpenState::Waiting,
        _ => OpenState::Parked,
    }
}

fn resolution(n: i64) -> Resolution {
    match n {
        0 => Resolution::Source,
        1 => Resolution::Target,
        2 => Resolution::Delete,
        _ => Resolution::Retry,
    }
}
