//! Decision records.

use crate::data::Value;
use crate::database::server::driver::Tx;
use crate::database::{DecisionRecord, Role, UnitKey};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::ConflictKind;

use super::{
    Journal, bytes, damaged, flag, int, key, key_value, maybe_bytes, maybe_row, role, role_value,
    row_value, seq, string, text,
};

const COLUMNS: &str = "id, unit, k, source_k, kind, rule_name, outcome, two, first_side, pos0, \
                       pos1, seen0, seen1, result0, result1, base, base_known, closes, \
                       supersedes, at_us";

impl Journal {
    pub(in crate::database::server) async fn record<T: Tx>(
        &self,
        tx: &mut T,
        r: &DecisionRecord,
    ) -> Result<()> {
        let closes: Vec<(usize, i64)> = r.closes.iter().map(|(s, id)| (s.index(), *id)).collect();
        let closes = serde_json::to_string(&closes)
            .map_err(|e| Error::new(ErrorKind::Internal, "encode a record").caused_by(e))?;
        let sql = format!(
            "INSERT INTO {} ({COLUMNS}) VALUES \
             (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.record
        );
        let values = [
            Value::Bytes(r.id.to_vec()),
            self.unit_name(r.unit.unit),
            key_value(&r.unit.key),
            key_value(&r.source_key),
            text(r.kind.as_str()),
            text(&r.rule),
            text(&r.outcome),
            flag(r.two),
            role_value(r.first),
            seq(r.positions[0]),
            seq(r.positions[1]),
            row_value(r.seen[0].as_ref()),
            row_value(r.seen[1].as_ref()),
            row_value(r.result[0].as_ref()),
            row_value(r.result[1].as_ref()),
            row_value(r.base.as_ref()),
            flag(r.base_known),
            Value::Text(closes),
            r.supersedes
                .map_or(Value::Null, |id| Value::Bytes(id.to_vec())),
            Value::Int(r.at_us),
        ];
        tx.execute(&sql, &values).await.map(drop)
    }

    /// Decision records in the order of time; only those that wrote both sides, or all.
    pub(in crate::database::server) async fn records<T: Tx>(
        &self,
        tx: &mut T,
        two_sided_only: bool,
    ) -> Result<Vec<DecisionRecord>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {} WHERE two >= ? ORDER BY at_us, id",
            self.record
        );
        let mut out = Vec::new();
        for row in tx.query(&sql, &[flag(two_sided_only)]).await? {
            let Some(unit) = self.unit(string(&row, 1)?) else {
                continue;
            };
            let id = |b: Vec<u8>| <[u8; 16]>::try_from(b).map_err(|_| damaged("a record's id"));
            out.push(DecisionRecord {
                id: id(bytes(&row, 0)?)?,
                unit: UnitKey {
                    unit,
                    key: key(&row, 2)?,
                },
                source_key: key(&row, 3)?,
                kind: ConflictKind::from_name(string(&row, 4)?)
                    .unwrap_or(ConflictKind::UpdateOriginDiffers),
                rule: string(&row, 5)?.to_owned(),
                outcome: string(&row, 6)?.to_owned(),
                two: int(&row, 7)? != 0,
                first: role(int(&row, 8)?),
                positions: [
                    int(&row, 9)?.cast_unsigned(),
                    int(&row, 10)?.cast_unsigned(),
                ],
                seen: [maybe_row(&row, 11)?, maybe_row(&row, 12)?],
                result: [maybe_row(&row, 13)?, maybe_row(&row, 14)?],
                base: maybe_row(&row, 15)?,
                base_known: int(&row, 16)? != 0,
                closes: closes(string(&row, 17)?)?,
                supersedes: maybe_bytes(&row, 18)?.map(id).transpose()?,
                at_us: int(&row, 19)?,
            });
        }
        Ok(out)
    }

    /// What the records kept here close.
    pub(in crate::database::server) async fn closed<T: Tx>(
        &self,
        tx: &mut T,
    ) -> Result<Vec<(Role, i64)>> {
        let sql = format!("SELECT closes FROM {} WHERE closes <> '[]'", self.record);
        let mut out = Vec::new();
        for row in tx.query(&sql, &[]).await? {
            out.extend(closes(string(&row, 0)?)?);
        }
        Ok(out)
    }
}

fn closes(json: &str) -> Result<Vec<(Role, i64)>> {
    let closes: Vec<(i64, i64)> =
        serde_json::from_str(json).map_err(|e| damaged("a record").caused_by(e))?;
    Ok(closes.into_iter().map(|(r, id)| (role(r), id)).collect())
}
