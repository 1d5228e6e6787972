//! Open conflicts.

use crate::data::{Row, Value};
use crate::database::server::driver::Tx;
use crate::database::{OpenConflict, OpenState, Resolution, Role, UnitKey};
use crate::error::Result;
use crate::rule::{ConflictKind, Direction};

use super::{
    Journal, bytes, flag, int, key, key_hash, key_value, maybe, maybe_bytes, maybe_int, maybe_row,
    role, role_value, row_value, string, text,
};

const COLUMNS: &str = "id, unit, k, source_k, direction, kind, base, base_known, us0, us1, state, \
                       reason, rule_name, request, seen0, seen1, at_us, interrupted, shape";

impl Journal {
    /// Writes a conflict down, instead of one that may be open for the key, and gives it its number.
    pub(in crate::database::server) async fn open<T: Tx>(
        &self,
        tx: &mut T,
        conflict: &mut OpenConflict,
    ) -> Result<()> {
        let unit = self.unit_name(conflict.unit.unit);
        let hash = key_hash(&conflict.unit.key);
        let sql = format!("DELETE FROM {} WHERE unit = ? AND kh = ?", self.open);
        tx.execute(&sql, &[unit.clone(), hash.clone()]).await?;
        let sql = format!("UPDATE {} SET last_open = last_open + 1", self.log);
        tx.execute(&sql, &[]).await?;
        let sql = format!("SELECT last_open FROM {}", self.log);
        let rows = tx.query(&sql, &[]).await?;
        conflict.id = rows
            .first()
            .map_or_else(|| Err(super::not_installed()), |row| int(row, 0))?;
        let sql = format!(
            "INSERT INTO {} (id, unit, kh, k, source_k, direction, kind, base, base_known, us0, \
             us1, state, reason, rule_name, at_us, interrupted, shape) VALUES \
             (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.open
        );
        let values = [
            Value::Int(conflict.id),
            unit,
            hash,
            key_value(&conflict.unit.key),
            key_value(&conflict.source_key),
            flag(conflict.direction == Direction::Backward),
            text(conflict.kind.as_str()),
            row_value(conflict.base.as_ref()),
            flag(conflict.base_known),
            maybe(conflict.committed_us[0]),
            maybe(conflict.committed_us[1]),
            Value::Int(conflict.state as i64),
            text(&conflict.reason),
            text(&conflict.rule),
            Value::Int(conflict.at_us),
            flag(conflict.interrupted),
            Value::Bytes(self.shape(conflict.unit.unit).to_vec()),
        ];
        tx.execute(&sql, &values).await.map(drop)
    }

    pub(in crate::database::server) async fn update_open<T: Tx>(
        &self,
        tx: &mut T,
        conflict: &OpenConflict,
    ) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET kind = ?, base = ?, base_known = ?, us0 = ?, us1 = ?, state = ?, \
             reason = ?, rule_name = ?, shape = ?, request = NULL, seen0 = NULL, seen1 = NULL \
             WHERE id = ?",
            self.open
        );
        let values = [
            text(conflict.kind.as_str()),
            row_value(conflict.base.as_ref()),
            flag(conflict.base_known),
            maybe(conflict.committed_us[0]),
            maybe(conflict.committed_us[1]),
            Value::Int(conflict.state as i64),
            text(&conflict.reason),
            text(&conflict.rule),
            Value::Bytes(self.shape(conflict.unit.unit).to_vec()),
            Value::Int(conflict.id),
        ];
        tx.execute(&sql, &values).await.map(drop)
    }

    /// Writes a person's answer down; `false` when there is no such conflict.
    pub(in crate::database::server) async fn request<T: Tx>(
        &self,
        tx: &mut T,
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
        let sql = format!(
            "UPDATE {} SET request = ?, seen0 = ?, seen1 = ? WHERE id = ?",
            self.open
        );
        let [a, b] = seen.map(|hash| Value::Bytes(hash.to_vec()));
        let values = [Value::Int(n), a, b, Value::Int(id)];
        Ok(tx.execute(&sql, &values).await? == 1)
    }

    pub(in crate::database::server) async fn close<T: Tx>(
        &self,
        tx: &mut T,
        ids: &[i64],
    ) -> Result<()> {
        let place = format!("SELECT unit, kh FROM {} WHERE id = ?", self.open);
        let touched = format!("DELETE FROM {} WHERE unit = ? AND kh = ?", self.touched);
        let open = format!("DELETE FROM {} WHERE id = ?", self.open);
        for &id in ids {
            let id = [Value::Int(id)];
            for row in tx.query(&place, &id).await? {
                tx.execute(&touched, &row).await?;
            }
            tx.execute(&open, &id).await?;
        }
        Ok(())
    }

    pub(in crate::database::server) async fn open_conflicts<T: Tx>(
        &self,
        tx: &mut T,
        answered_only: bool,
    ) -> Result<Vec<OpenConflict>> {
        let condition = if answered_only {
            "WHERE request IS NOT NULL"
        } else {
            ""
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM {} {condition} ORDER BY id",
            self.open
        );
        let rows = tx.query(&sql, &[]).await?;
        rows.iter()
            .filter_map(|row| self.read_open(row).transpose())
            .collect()
    }

    fn read_open(&self, row: &Row) -> Result<Option<OpenConflict>> {
        let Some(unit) = self.unit(string(row, 1)?) else {
            return Ok(None);
        };
        let seen = |i: usize| -> Result<Option<[u8; 32]>> {
            Ok(maybe_bytes(row, i)?.and_then(|v| v.try_into().ok()))
        };
        let request = match (maybe_int(row, 13)?, seen(14)?, seen(15)?) {
            (Some(n), Some(a), Some(b)) => Some((resolution(n), [a, b])),
            _ => None,
        };
        // A base with other columns than the rows have by now says nothing about them; that there
        // was no row is as true as before.
        let base = match (maybe_row(row, 6)?, self.shapes.get(unit)) {
            (Some(base), Some(shape)) => Some(shape.fit(base, &bytes(row, 18)?)),
            _ => None,
        };
        let fits = base.as_ref().is_none_or(Option::is_some);
        Ok(Some(OpenConflict {
            home: self.role,
            id: int(row, 0)?,
            unit: UnitKey {
                unit,
                key: key(row, 2)?,
            },
            source_key: key(row, 3)?,
            direction: if int(row, 4)? == 0 {
                Direction::Forward
            } else {
                Direction::Backward
            },
            kind: ConflictKind::from_name(string(row, 5)?)
                .unwrap_or(ConflictKind::UpdateOriginDiffers),
            base: base.flatten(),
            base_known: int(row, 7)? != 0 && fits,
            committed_us: [maybe_int(row, 8)?, maybe_int(row, 9)?],
            state: match int(row, 10)? {
                0 => OpenState::Open,
                1 => OpenState::Waiting,
                _ => OpenState::Parked,
            },
            reason: string(row, 11)?.to_owned(),
            rule: string(row, 12)?.to_owned(),
            request,
            at_us: int(row, 16)?,
            interrupted: int(row, 17)? != 0,
        }))
    }

    /// Notes when the key of an open conflict was changed last.
    pub(in crate::database::server) async fn touch<T: Tx>(
        &self,
        tx: &mut T,
        touched: &UnitKey,
        by: Role,
        us: Option<i64>,
    ) -> Result<()> {
        let unit = self.unit_name(touched.unit);
        let hash = key_hash(&touched.key);
        let sql = format!(
            "UPDATE {} SET us = ? WHERE unit = ? AND kh = ? AND role = ?",
            self.touched
        );
        let values = [maybe(us), unit.clone(), hash.clone(), role_value(by)];
        if tx.execute(&sql, &values).await? > 0 {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO {} (unit, kh, k, role, us) VALUES (?, ?, ?, ?, ?)",
            self.touched
        );
        let values = [
            unit,
            hash,
            key_value(&touched.key),
            role_value(by),
            maybe(us),
        ];
        tx.execute(&sql, &values).await.map(drop)
    }

    pub(in crate::database::server) async fn touched<T: Tx>(
        &self,
        tx: &mut T,
    ) -> Result<Vec<(UnitKey, Role, Option<i64>)>> {
        let sql = format!("SELECT unit, k, role, us FROM {}", self.touched);
        let mut out = Vec::new();
        for row in tx.query(&sql, &[]).await? {
            if let Some(unit) = self.unit(string(&row, 0)?) {
                let key = key(&row, 1)?;
                let unit = UnitKey { unit, key };
                out.push((unit, role(int(&row, 2)?), maybe_int(&row, 3)?));
            }
        }
        Ok(out)
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
