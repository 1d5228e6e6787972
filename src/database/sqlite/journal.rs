//! The protocol's own tables in a store: what must be durable together with the rows.

use rusqlite::{Connection, Row as SqlRow, params};

use crate::data::{Key, LogId, Position, Row, Value, canonical};
use crate::database::{
    ChunkMark, DecisionRecord, OpenConflict, OpenState, Resolution, Role, Settled, UnitKey,
};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::{ConflictKind, Direction};

use super::capture::{OP_CANDIDATE, OP_SENTINEL};
use super::error::sqlite;
use super::names::Names;

/// The format of these tables. Another one is refused.
const VERSION: i64 = 1;

/// Names of units (target tables) by index: indexes move when the configuration changes, names
/// do not.
pub(super) struct Journal<'a> {
    pub(super) conn: &'a Connection,
    pub(super) names: &'a Names,
    pub(super) units: &'a [String],
    /// The source's tables by index, for chunk marks.
    pub(super) sources: &'a [String],
    pub(super) role: Role,
}

/// Creates the tables if they are not there; answers the log's identity.
pub(super) fn create(conn: &Connection, names: &Names) -> Result<LogId> {
    if let Some(log) = log(conn, names)? {
        return Ok(log);
    }
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id)
        .map_err(|e| Error::new(ErrorKind::Internal, "no randomness").caused_by(e))?;
    let n = |what: &str| names.sql(what);
    let sql = format!(
        "CREATE TABLE {log} (id BLOB NOT NULL, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
            last_open INTEGER NOT NULL);
         CREATE TABLE {tables} (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
         CREATE TABLE {outbox} (seq INTEGER PRIMARY KEY, tbl INTEGER NOT NULL,
            op INTEGER NOT NULL, at INTEGER);
         CREATE INDEX {candidate} ON {outbox} (tbl) WHERE op = 8;
         CREATE TABLE {checkpoint} (direction INTEGER PRIMARY KEY, log BLOB NOT NULL,
            seq INTEGER NOT NULL);
         CREATE TABLE {settled} (id INTEGER PRIMARY KEY, role INTEGER NOT NULL,
            seq INTEGER NOT NULL, unit TEXT NOT NULL, keys BLOB NOT NULL);
         CREATE TABLE {open} (id INTEGER PRIMARY KEY, unit TEXT NOT NULL,
            key BLOB NOT NULL, source_key BLOB NOT NULL, direction INTEGER NOT NULL,
            kind TEXT NOT NULL, base BLOB, base_known INTEGER NOT NULL, us0 INTEGER, us1 INTEGER,
            state INTEGER NOT NULL, reason TEXT NOT NULL, rule TEXT NOT NULL, request INTEGER,
            seen0 BLOB, seen1 BLOB, at INTEGER NOT NULL, interrupted INTEGER NOT NULL,
            UNIQUE (unit, key));
         CREATE TABLE {touched} (unit TEXT NOT NULL, key BLOB NOT NULL, role INTEGER NOT NULL,
            us INTEGER, PRIMARY KEY (unit, key, role)) WITHOUT ROWID;
         CREATE TABLE {record} (id BLOB PRIMARY KEY, unit TEXT NOT NULL, key BLOB NOT NULL,
            source_key BLOB NOT NULL, kind TEXT NOT NULL, rule TEXT NOT NULL,
            outcome TEXT NOT NULL, two INTEGER NOT NULL, first INTEGER NOT NULL,
            pos0 INTEGER NOT NULL, pos1 INTEGER NOT NULL, seen0 BLOB, seen1 BLOB, result0 BLOB,
            result1 BLOB, base BLOB, base_known INTEGER NOT NULL, closes TEXT NOT NULL,
            supersedes BLOB, at INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE {chunk} (tbl TEXT PRIMARY KEY, marks BLOB NOT NULL) WITHOUT ROWID;",
        log = n("log"),
        tables = n("tables"),
        outbox = n("outbox"),
        candidate = n("candidate"),
        checkpoint = n("checkpoint"),
        settled = n("settled"),
        open = n("open"),
        touched = n("touched"),
        record = n("record"),
        chunk = n("chunk"),
    );
    let what = || sqlite("create Banyan's tables");
    conn.execute_batch(&sql).map_err(what())?;
    conn.execute(
        &format!("INSERT INTO {} VALUES (?1, ?2, 0, 0)", n("log")),
        params![id.as_slice(), VERSION],
    )
    .map_err(what())?;
    // The last row of the outbox is never pruned, so that numbers are never used again; this one
    // makes that true from the start.
    conn.execute(
        &format!(
            "INSERT INTO {} (seq, tbl, op) VALUES (1, 0, ?1)",
            n("outbox")
        ),
        [OP_SENTINEL],
    )
    .map_err(what())?;
    Ok(LogId(id))
}

/// `None` when capture is not installed. Fails with `Schema` on another version's tables.
pub(super) fn log(conn: &Connection, names: &Names) -> Result<Option<LogId>> {
    let what = || sqlite("read Banyan's tables");
    let there: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)")
        .map_err(what())?
        .query_row([names.object("log")], |row| row.get(0))
        .map_err(what())?;
    if !there {
        return Ok(None);
    }
    let (id, version): (Vec<u8>, i64) = conn
        .prepare_cached(&format!("SELECT id, version FROM {}", names.sql("log")))
        .map_err(what())?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(what())?;
    if version != VERSION {
        return Err(Error::new(
            ErrorKind::Schema,
            format!("Banyan's tables here have format {version}; this program knows {VERSION}"),
        )
        .hint("use the version of banyan that began this migration, or abort it"));
    }
    let id = id
        .try_into()
        .map_err(|_| Error::new(ErrorKind::LogGap, "the log's identity is damaged"))?;
    Ok(Some(LogId(id)))
}

fn us_to_sql(us: Option<i64>) -> Option<i64> {
    us
}

fn blob(row: Option<&Row>) -> Option<Vec<u8>> {
    row.map(|r| canonical::encode_exact(r))
}

fn unblob(bytes: Option<Vec<u8>>) -> rusqlite::Result<Option<Row>> {
    bytes
        .map(|b| canonical::decode(&b).map_err(|e| damaged(e.to_string())))
        .transpose()
}

fn damaged(text: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, text.into().into())
}

fn key(bytes: &[u8]) -> rusqlite::Result<Key> {
    canonical::decode(bytes)
        .map(Key)
        .map_err(|e| damaged(e.to_string()))
}

fn role(n: i64) -> Role {
    if n == 0 { Role::Source } else { Role::Target }
}

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

const OPEN_COLUMNS: &str = "id, unit, key, source_key, direction, kind, base, base_known, us0, \
                            us1, state, reason, rule, request, seen0, seen1, at, interrupted";
const RECORD_COLUMNS: &str = "id, unit, key, source_key, kind, rule, outcome, two, first, pos0, \
                              pos1, seen0, seen1, result0, result1, base, base_known, closes, \
                              supersedes, at";

impl Journal<'_> {
    fn sql(&self, what: &str) -> String {
        self.names.sql(what)
    }

    fn unit(&self, name: &str) -> Option<usize> {
        self.units.iter().position(|u| u == name)
    }

    fn unit_name(&self, unit: usize) -> &str {
        self.units.get(unit).map_or("", String::as_str)
    }

    pub(super) fn checkpoint(&self) -> Result<Option<Position>> {
        let what = || sqlite("read the checkpoint");
        self.conn
            .prepare_cached(&format!(
                "SELECT log, seq FROM {} WHERE direction = ?1",
                self.sql("checkpoint")
            ))
            .map_err(what())?
            .query_map([self.incoming()], |row| {
                let log: Vec<u8> = row.get(0)?;
                let log = log.try_into().map_err(|_| damaged("log identity"))?;
                Ok(Position {
                    log: LogId(log),
                    seq: row.get::<_, i64>(1)?.unsigned_abs(),
                })
            })
            .map_err(what())?
            .next()
            .transpose()
            .map_err(what())
    }

    fn incoming(&self) -> i64 {
        i64::from(self.role == Role::Source)
    }

    /// Moves the checkpoint from `from` to `to`; `false` when it does not stand at `from`.
    pub(super) fn advance(&self, log: LogId, from: u64, to: u64) -> Result<bool> {
        let what = || sqlite("write the checkpoint");
        let n = if self.checkpoint()?.is_none() && from == 0 {
            self.conn
                .prepare_cached(&format!(
                    "INSERT INTO {} (direction, log, seq) VALUES (?1, ?2, ?3)",
                    self.sql("checkpoint")
                ))
                .map_err(what())?
                .execute(params![self.incoming(), log.0.as_slice(), to.cast_signed()])
        } else {
            self.conn
                .prepare_cached(&format!(
                    "UPDATE {} SET seq = ?4 WHERE direction = ?1 AND log = ?2 AND seq = ?3",
                    self.sql("checkpoint")
                ))
                .map_err(what())?
                .execute(params![
                    self.incoming(),
                    log.0.as_slice(),
                    from.cast_signed(),
                    to.cast_signed()
                ])
        }
        .map_err(what())?;
        Ok(n == 1)
    }

    pub(super) fn epoch(&self) -> Result<i64> {
        self.conn
            .prepare_cached(&format!("SELECT epoch FROM {}", self.sql("log")))
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .map_err(sqlite("read the epoch"))
    }

    pub(super) fn set_epoch(&self, epoch: i64) -> Result<()> {
        self.conn
            .prepare_cached(&format!("UPDATE {} SET epoch = ?1", self.sql("log")))
            .and_then(|mut s| s.execute([epoch]))
            .map(drop)
            .map_err(sqlite("write the epoch"))
    }

    pub(super) fn settle(&self, settled: &Settled) -> Result<()> {
        let mut by_unit: std::collections::BTreeMap<usize, Vec<u8>> = Default::default();
        for unit in &settled.units {
            let bytes = canonical::encode_exact(&unit.key.0);
            canonical::encode_value(
                by_unit.entry(unit.unit).or_default(),
                canonical::ValueRef::Bytes(&bytes),
            );
        }
        let what = || sqlite("write settled marks");
        let mut stmt = self
            .conn
            .prepare_cached(&format!(
                "INSERT INTO {} (role, seq, unit, keys) VALUES (?1, ?2, ?3, ?4)",
                self.sql("settled")
            ))
            .map_err(what())?;
        for (unit, keys) in by_unit {
            stmt.execute(params![
                settled.role.index().cast_signed() as i64,
                settled.seq.cast_signed(),
                self.unit_name(unit),
                keys
            ])
            .map_err(what())?;
        }
        Ok(())
    }

    pub(super) fn settled(&self) -> Result<Vec<Settled>> {
        let what = || sqlite("read settled marks");
        let rows = self
            .conn
            .prepare_cached(&format!(
                "SELECT role, seq, unit, keys FROM {}",
                self.sql("settled")
            ))
            .map_err(what())?
            .query_map([], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, Vec<u8>>(3)?,
                ))
            })
            .map_err(what())?
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(what())?;
        let mut out = Vec::new();
        for (r, seq, unit, keys) in rows {
            let Some(unit) = self.unit(&unit) else {
                continue;
            };
            let mut units = Vec::new();
            for value in canonical::decode(&keys)? {
                if let Value::Bytes(bytes) = value {
                    units.push(UnitKey {
                        unit,
                        key: Key(canonical::decode(&bytes)?),
                    });
                }
            }
            out.push(Settled {
                role: role(r),
                seq: seq.unsigned_abs(),
                units,
            });
        }
        Ok(out)
    }

    /// Writes an open conflict down and gives it its number. One that is there for the key already
    /// is a left-over whose decision is recorded in the other store: it is replaced.
    pub(super) fn open(&self, conflict: &mut OpenConflict) -> Result<()> {
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
                 us1, state, reason, rule, at, interrupted) VALUES ((SELECT last_open FROM {}), \
                 ?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
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
                us_to_sql(conflict.committed_us[0]),
                us_to_sql(conflict.committed_us[1]),
                conflict.state as i64,
                conflict.reason,
                conflict.rule,
                conflict.at_us,
                conflict.interrupted,
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

    pub(super) fn update_open(&self, conflict: &OpenConflict) -> Result<()> {
        self.conn
            .prepare_cached(&format!(
                "UPDATE {} SET kind=?2, base=?3, base_known=?4, us0=?5, us1=?6, state=?7, \
                 reason=?8, rule=?9, request=NULL, seen0=NULL, seen1=NULL WHERE id = ?1",
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
                ])
            })
            .map(drop)
            .map_err(sqlite("update an open conflict"))
    }

    pub(super) fn request(
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

    pub(super) fn close(&self, ids: &[i64]) -> Result<()> {
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

    pub(super) fn open_conflicts(&self) -> Result<Vec<OpenConflict>> {
        let what = || sqlite("read the open conflicts");
        let mut stmt = self
            .conn
            .prepare_cached(&format!(
                "SELECT {OPEN_COLUMNS} FROM {} ORDER BY id",
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
            base: unblob(row.get(6)?)?,
            base_known: row.get(7)?,
            committed_us: [row.get(8)?, row.get(9)?],
            state: state(row.get(10)?),
            reason: row.get(11)?,
            rule: row.get(12)?,
            request,
            at_us: row.get(16)?,
            interrupted: row.get(17)?,
        }))
    }

    pub(super) fn touch(&self, unit: &UnitKey, role: Role, us: Option<i64>) -> Result<()> {
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

    pub(super) fn touched(&self) -> Result<Vec<(UnitKey, Role, Option<i64>)>> {
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

    pub(super) fn record(&self, r: &DecisionRecord) -> Result<()> {
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
    pub(super) fn records(&self, two_sided_only: bool) -> Result<Vec<DecisionRecord>> {
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
    pub(super) fn closed(&self) -> Result<Vec<(Role, i64)>> {
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

    /// Adds a chunk to the marks of its table: chunks come in key order.
    pub(super) fn mark_chunk(&self, mark: &ChunkMark) -> Result<()> {
        let Some(table) = self.sources.get(mark.table) else {
            return Ok(());
        };
        let entry = Value::Array(vec![
            mark.upper
                .as_ref()
                .map_or(Value::Null, |k| Value::Bytes(canonical::encode_exact(&k.0))),
            Value::Int(mark.seq.cast_signed()),
            Value::Int(mark.rows.cast_signed()),
        ]);
        self.conn
            .prepare_cached(&format!(
                "INSERT INTO {0} (tbl, marks) VALUES (?1, ?2) \
                 ON CONFLICT (tbl) DO UPDATE SET marks = CAST(marks || excluded.marks AS BLOB)",
                self.sql("chunk")
            ))
            .and_then(|mut s| s.execute(params![table, canonical::encode_exact(&[entry])]))
            .map(drop)
            .map_err(sqlite("mark a copied chunk"))
    }

    pub(super) fn chunks(&self) -> Result<Vec<ChunkMark>> {
        let what = || sqlite("read the copy's progress");
        let rows = self
            .conn
            .prepare_cached(&format!("SELECT tbl, marks FROM {}", self.sql("chunk")))
            .map_err(what())?
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
            })
            .map_err(what())?
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(what())?;
        let mut out = Vec::new();
        for (name, marks) in rows {
            let Some(table) = self.sources.iter().position(|s| *s == name) else {
                continue;
            };
            for mark in canonical::decode(&marks)? {
                let Value::Array(parts) = mark else { continue };
                let [upper, Value::Int(seq), Value::Int(rows)] = &parts[..] else {
                    continue;
                };
                out.push(ChunkMark {
                    table,
                    upper: match upper {
                        Value::Bytes(b) => Some(Key(canonical::decode(b)?)),
                        _ => None,
                    },
                    seq: seq.unsigned_abs(),
                    rows: rows.unsigned_abs(),
                });
            }
        }
        Ok(out)
    }

    /// See [`crate::database::SyncStore::prune`].
    pub(super) fn prune(&self, feed: u64, settled: [u64; 2]) -> Result<()> {
        let what = || sqlite("prune the outbox");
        self.conn
            .prepare_cached(&format!(
                "DELETE FROM {0} WHERE seq <= ?1 AND seq < (SELECT seq FROM {0} \
                 WHERE op <> {OP_CANDIDATE} ORDER BY seq DESC LIMIT 1)",
                self.sql("outbox")
            ))
            .and_then(|mut s| s.execute([feed.cast_signed()]))
            .map_err(what())?;
        for (role, seq) in settled.iter().enumerate() {
            self.conn
                .prepare_cached(&format!(
                    "DELETE FROM {} WHERE role = ?1 AND seq <= ?2",
                    self.sql("settled")
                ))
                .and_then(|mut s| s.execute([role.cast_signed() as i64, seq.cast_signed()]))
                .map_err(what())?;
        }
        Ok(())
    }
}
