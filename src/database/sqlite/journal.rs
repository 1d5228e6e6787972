//! The protocol's own tables in a store: what must be durable together with the rows.

mod began;
mod mapped;
mod open;
mod record;

use rusqlite::{Connection, params};

use crate::data::{Key, LogId, Position, Row, Value, canonical};
use crate::database::{ChunkMark, Role, Settled, UnitKey};
use crate::error::{Error, ErrorKind, Result};

use super::capture::{OP_CANDIDATE, OP_SENTINEL};
use super::error::sqlite;
use super::names::Names;

/// The format of these tables. Another one is refused.
const VERSION: i64 = 2;

/// Names of units (target tables) by index: indexes move when the configuration changes, names
/// do not.
pub(super) struct Journal<'a> {
    pub(super) conn: &'a Connection,
    pub(super) names: &'a Names,
    pub(super) units: &'a [String],
    /// The source's tables by index, for chunk marks.
    pub(super) sources: &'a [String],
    /// For each unit, which columns its rows have.
    pub(super) shapes: &'a [Vec<u8>],
    pub(super) role: Role,
}

/// Creates the tables, the outbox with so many slots for values; answers the log's identity.
pub(super) fn create(conn: &Connection, names: &Names, slots: usize) -> Result<LogId> {
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id)
        .map_err(|e| Error::new(ErrorKind::Internal, "no randomness").caused_by(e))?;
    let n = |what: &str| names.sql(what);
    let values: Vec<String> = (0..slots).map(|i| format!(", c{i}")).collect();
    let sql = format!(
        "CREATE TABLE {log} (id BLOB NOT NULL, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
            last_open INTEGER NOT NULL, written INTEGER NOT NULL, whole INTEGER NOT NULL);
         CREATE TABLE {tables} (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
            columns BLOB NOT NULL, rest BLOB NOT NULL, keys BLOB NOT NULL, uniques BLOB NOT NULL,
            gap TEXT, recopy INTEGER NOT NULL);
         CREATE TABLE {outbox} (seq INTEGER PRIMARY KEY, tbl INTEGER NOT NULL,
            op INTEGER NOT NULL, at INTEGER{values});
         CREATE INDEX {candidate} ON {outbox} (tbl) WHERE op = 8;
         CREATE TABLE {checkpoint} (direction INTEGER PRIMARY KEY, log BLOB NOT NULL,
            seq INTEGER NOT NULL, anchor INTEGER);
         CREATE TABLE {settled} (id INTEGER PRIMARY KEY, role INTEGER NOT NULL,
            seq INTEGER NOT NULL, unit TEXT NOT NULL, keys BLOB NOT NULL);
         CREATE TABLE {open} (id INTEGER PRIMARY KEY, unit TEXT NOT NULL,
            key BLOB NOT NULL, source_key BLOB NOT NULL, direction INTEGER NOT NULL,
            kind TEXT NOT NULL, base BLOB, base_known INTEGER NOT NULL, us0 INTEGER, us1 INTEGER,
            state INTEGER NOT NULL, reason TEXT NOT NULL, rule TEXT NOT NULL, request INTEGER,
            seen0 BLOB, seen1 BLOB, at INTEGER NOT NULL, interrupted INTEGER NOT NULL,
            shape BLOB NOT NULL, UNIQUE (unit, key));
         CREATE TABLE {touched} (unit TEXT NOT NULL, key BLOB NOT NULL, role INTEGER NOT NULL,
            us INTEGER, PRIMARY KEY (unit, key, role)) WITHOUT ROWID;
         CREATE TABLE {began} (tbl TEXT NOT NULL, unit TEXT NOT NULL, key BLOB NOT NULL,
            image BLOB, known INTEGER NOT NULL, us INTEGER, seq INTEGER NOT NULL,
            shape BLOB NOT NULL,
            PRIMARY KEY (tbl, unit, key)) WITHOUT ROWID;
         CREATE TABLE {record} (id BLOB PRIMARY KEY, unit TEXT NOT NULL, key BLOB NOT NULL,
            source_key BLOB NOT NULL, kind TEXT NOT NULL, rule TEXT NOT NULL,
            outcome TEXT NOT NULL, two INTEGER NOT NULL, first INTEGER NOT NULL,
            pos0 INTEGER NOT NULL, pos1 INTEGER NOT NULL, seen0 BLOB, seen1 BLOB, result0 BLOB,
            result1 BLOB, base BLOB, base_known INTEGER NOT NULL, closes TEXT NOT NULL,
            supersedes BLOB, at INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE {chunk} (tbl TEXT PRIMARY KEY, marks BLOB NOT NULL,
            former BLOB NOT NULL DEFAULT x'', again INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE {mapped} (tbl TEXT PRIMARY KEY, mapping TEXT NOT NULL) WITHOUT ROWID;",
        values = values.concat(),
        log = n("log"),
        tables = n("tables"),
        outbox = n("outbox"),
        candidate = n("candidate"),
        checkpoint = n("checkpoint"),
        settled = n("settled"),
        open = n("open"),
        touched = n("touched"),
        began = n("began"),
        record = n("record"),
        chunk = n("chunk"),
        mapped = n("mapped"),
    );
    let what = || sqlite("create Banyan's tables");
    conn.execute_batch(&sql).map_err(what())?;
    conn.execute(
        &format!("INSERT INTO {} VALUES (?1, ?2, 0, 0, 0, 0)", n("log")),
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

fn blob(row: Option<&Row>) -> Option<Vec<u8>> {
    row.map(|r| canonical::encode_exact(r))
}

/// A mark as it stands there.
fn entry(mark: &ChunkMark, seq: u64) -> Value {
    let upper = mark.upper.as_ref();
    Value::Array(vec![
        upper.map_or(Value::Null, |k| Value::Bytes(canonical::encode_exact(&k.0))),
        Value::Int(seq.cast_signed()),
        Value::Int(mark.rows.cast_signed()),
    ])
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

    fn shape(&self, unit: usize) -> &[u8] {
        self.shapes.get(unit).map_or(&[], Vec::as_slice)
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

    /// What the change looked like at which the checkpoint stands; see [`Self::anchor`].
    pub(super) fn checkpoint_anchor(&self) -> Result<Option<i64>> {
        let what = || sqlite("read the checkpoint");
        self.conn
            .prepare_cached(&format!(
                "SELECT anchor FROM {} WHERE direction = ?1",
                self.sql("checkpoint")
            ))
            .map_err(what())?
            .query_map([self.incoming()], |row| row.get(0))
            .map_err(what())?
            .next()
            .transpose()
            .map(Option::flatten)
            .map_err(what())
    }

    /// Moves the checkpoint from `from` to `to`; `false` when it does not stand at `from`.
    pub(super) fn advance(
        &self,
        log: LogId,
        from: u64,
        to: u64,
        anchor: Option<i64>,
    ) -> Result<bool> {
        let what = || sqlite("write the checkpoint");
        let n = if self.checkpoint()?.is_none() && from == 0 {
            self.conn
                .prepare_cached(&format!(
                    "INSERT INTO {} (direction, log, seq, anchor) VALUES (?1, ?2, ?3, ?4)",
                    self.sql("checkpoint")
                ))
                .map_err(what())?
                .execute(params![
                    self.incoming(),
                    log.0.as_slice(),
                    to.cast_signed(),
                    anchor
                ])
        } else {
            self.conn
                .prepare_cached(&format!(
                    "UPDATE {} SET anchor = CASE WHEN seq = ?4 THEN coalesce(?5, anchor) ELSE ?5 END, seq = ?4 WHERE direction = ?1 AND log = ?2 AND seq = ?3",
                    self.sql("checkpoint")
                ))
                .map_err(what())?
                .execute(params![
                    self.incoming(),
                    log.0.as_slice(),
                    from.cast_signed(),
                    to.cast_signed(),
                    anchor
                ])
        }
        .map_err(what())?;
        Ok(n == 1)
    }

    /// See [`super::SqliteSync::forget_other`].
    pub(super) fn forget_other(&self) -> Result<()> {
        let what = || sqlite("forget the other side's log");
        self.conn
            .execute(
                &format!(
                    "DELETE FROM {} WHERE direction = ?1",
                    self.sql("checkpoint")
                ),
                [self.incoming()],
            )
            .map_err(what())?;
        self.forget_began()?;
        self.forget_positions()?;
        self.conn
            .execute(
                &format!("DELETE FROM {} WHERE role = ?1", self.sql("settled")),
                [self.role.other().index().cast_signed() as i64],
            )
            .map(drop)
            .map_err(what())
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

    /// Adds a chunk to the marks of its table: chunks come in key order.
    pub(super) fn mark_chunk(&self, mark: &ChunkMark) -> Result<()> {
        let Some(table) = self.sources.get(mark.table) else {
            return Ok(());
        };
        let entry = entry(mark, mark.seq);
        self.conn
            .prepare_cached(&format!(
                "INSERT INTO {0} (tbl, marks, again) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (tbl) DO UPDATE SET marks = CAST(marks || excluded.marks AS BLOB), \
                 again = max(again, excluded.again)",
                self.sql("chunk")
            ))
            .and_then(|mut s| {
                let marks = canonical::encode_exact(&[entry]);
                s.execute(params![table, marks, mark.over_rows])
            })
            .map(drop)
            .map_err(sqlite("mark a copied chunk"))
    }

    /// Tables that are, or were, copied over rows which were here before.
    pub(super) fn copied_before(&self) -> Result<Vec<usize>> {
        let what = || sqlite("read the copy's progress");
        let names = self
            .conn
            .prepare_cached(&format!(
                "SELECT tbl FROM {} WHERE again = 1",
                self.sql("chunk")
            ))
            .map_err(what())?
            .query_map([], |row| row.get::<_, String>(0))
            .map_err(what())?
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(what())?;
        let index = |name: &String| self.sources.iter().position(|s| s == name);
        Ok(names.iter().filter_map(index).collect())
    }

    /// The `marks` of the copies, each in key order, or those of `former` ones, between which NULL stands.
    pub(super) fn chunks(&self, which: &str) -> Result<Vec<Vec<ChunkMark>>> {
        let what = || sqlite("read the copy's progress");
        let rows = self
            .conn
            .prepare_cached(&format!(
                "SELECT tbl, {which}, again FROM {}",
                self.sql("chunk")
            ))
            .map_err(what())?
            .query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get(2)?,
                ))
            })
            .map_err(what())?
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(what())?;
        let mut out: Vec<Vec<ChunkMark>> = Vec::new();
        for (name, marks, over_rows) in rows {
            let Some(table) = self.sources.iter().position(|s| *s == name) else {
                continue;
            };
            let mut copy = Vec::new();
            for mark in canonical::decode(&marks)? {
                let Value::Array(parts) = mark else {
                    out.push(std::mem::take(&mut copy));
                    continue;
                };
                let [upper, Value::Int(seq), Value::Int(rows)] = &parts[..] else {
                    continue;
                };
                copy.push(ChunkMark {
                    table,
                    upper: match upper {
                        Value::Bytes(b) => Some(Key(canonical::decode(b)?)),
                        _ => None,
                    },
                    seq: seq.unsigned_abs(),
                    rows: rows.unsigned_abs(),
                    target_seq: 0,
                    over_rows,
                });
            }
            out.push(copy);
        }
        Ok(out)
    }

    /// Positions of the source's old log say nothing of the new one.
    fn forget_positions(&self) -> Result<()> {
        for marks in self.chunks("marks")? {
            let Some(table) = marks.first().and_then(|m| self.sources.get(m.table)) else {
                continue;
            };
            let entries: Vec<Value> = marks.iter().map(|m| entry(m, 0)).collect();
            self.conn
                .execute(
                    &format!("UPDATE {} SET marks = ?2 WHERE tbl = ?1", self.sql("chunk")),
                    params![table, canonical::encode_exact(&entries)],
                )
                .map_err(sqlite("forget positions of the other side's log"))?;
        }
        Ok(())
    }

    /// Forgets how far a table of the source is copied, but not that it was; `false` when nothing
    /// of it was.
    pub(super) fn forget_copy(&self, source_table: &str) -> Result<bool> {
        self.conn
            .prepare_cached(&format!(
                "UPDATE {} SET former = CAST(former || marks || ?2 AS BLOB), marks = x'', \
                 again = 1 WHERE tbl = ?1 AND marks <> x''",
                self.sql("chunk")
            ))
            .and_then(|mut s| {
                let end = canonical::encode_exact(&[Value::Null]);
                s.execute(params![source_table, end])
            })
            .map(|n| n > 0)
            .map_err(sqlite("forget the copy of a table"))
    }

    /// See [`crate::database::SyncStore::prune`].
    pub(super) fn prune(&self, feed: u64, settled: [u64; 2]) -> Result<()> {
        let what = || sqlite("prune the outbox");
        super::capture::sweep(self.conn, self.names)?;
        // The change at which the checkpoint stands stays: it proves that this is still the log
        // that was read.
        self.conn
            .prepare_cached(&format!(
                "DELETE FROM {0} WHERE seq < (SELECT seq FROM {0} \
                 WHERE op <> {OP_CANDIDATE} AND seq <= ?1 ORDER BY seq DESC LIMIT 1)",
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
