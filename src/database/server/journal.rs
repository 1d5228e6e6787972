//! The protocol's own tables in a server's database: what must be durable together with the rows.
//!
//! Units and tables stand there by name: indexes move when the configuration changes, names do not.
//! Rows and keys stand as canonical exact bytes.

mod began;
mod install;
mod open;
mod progress;
mod record;

pub(super) use install::Captured;

use std::collections::BTreeMap;

use crate::data::{Key, LogId, Position, Row, Value, canonical};
use crate::database::migrated::Shape;
use crate::database::{Role, Settled, SyncOptions, UnitKey};
use crate::error::{Error, ErrorKind, Result};

use super::driver::{Driver, Tx};

/// The format of these tables. Another one is refused.
pub(super) const VERSION: i64 = 2;

/// The tables by their quoted names, and what their entries mean.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub(super) log: String,
    pub(super) tables: String,
    checkpoint: String,
    settled: String,
    open: String,
    touched: String,
    began: String,
    record: String,
    chunk: String,
    mapped: String,
    units: Vec<String>,
    sources: Vec<String>,
    shapes: Vec<Shape>,
    role: Role,
}

/// What stands in the table `log`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogRow {
    /// The log's identity.
    pub(super) id: LogId,
    /// Where it begins.
    pub(super) begin: u64,
    /// Whose engine it is.
    pub(super) epoch: i64,
}

impl Journal {
    pub(super) fn new<D: Driver>(driver: &D, options: &SyncOptions) -> Self {
        Self {
            log: driver.own("log"),
            tables: driver.own("tables"),
            checkpoint: driver.own("checkpoint"),
            settled: driver.own("settled"),
            open: driver.own("open"),
            touched: driver.own("touched"),
            began: driver.own("began"),
            record: driver.own("record"),
            chunk: driver.own("chunk"),
            mapped: driver.own("mapped"),
            units: options.units.clone(),
            sources: options.sources.clone(),
            shapes: options.targets.iter().map(Shape::of).collect(),
            role: options.role,
        }
    }

    fn unit(&self, name: &str) -> Option<usize> {
        self.units.iter().position(|u| u == name)
    }

    fn unit_name(&self, unit: usize) -> Value {
        text(self.units.get(unit).map_or("", String::as_str))
    }

    fn shape(&self, unit: usize) -> &[u8] {
        self.shapes.get(unit).map_or(&[], |shape| &shape.encoded)
    }

    fn incoming(&self) -> Value {
        Value::Int(i64::from(self.role == Role::Source))
    }

    /// Fails with `Schema` on another version's tables, `NotFound` when there are none.
    pub(super) async fn log<T: Tx>(&self, tx: &mut T) -> Result<LogRow> {
        let sql = format!("SELECT version, id, begin_seq, epoch FROM {}", self.log);
        let rows = tx.query(&sql, &[]).await?;
        let Some(row) = rows.first() else {
            return Err(not_installed());
        };
        let version = int(row, 0)?;
        if version != VERSION {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("Banyan's tables here have format {version}; this program knows {VERSION}"),
            )
            .hint("use the version of banyan that began this migration, or abort it"));
        }
        let id = bytes(row, 1)?
            .try_into()
            .map_err(|_| Error::new(ErrorKind::LogGap, "the log's identity is damaged"))?;
        Ok(LogRow {
            id: LogId(id),
            begin: int(row, 2)?.cast_unsigned(),
            epoch: int(row, 3)?,
        })
    }

    /// The epoch, which nobody changes until the transaction's end.
    pub(super) async fn hold_epoch<T: Tx>(&self, tx: &mut T, share: &str) -> Result<i64> {
        let sql = format!("SELECT epoch FROM {} {share}", self.log);
        let rows = tx.query(&sql, &[]).await?;
        rows.first()
            .map_or_else(|| Err(not_installed()), |row| int(row, 0))
    }

    pub(super) async fn set_epoch<T: Tx>(&self, tx: &mut T, epoch: i64) -> Result<()> {
        let sql = format!("UPDATE {} SET epoch = ?", self.log);
        tx.execute(&sql, &[Value::Int(epoch)]).await.map(drop)
    }

    pub(super) async fn checkpoint<T: Tx>(&self, tx: &mut T) -> Result<Option<Position>> {
        let sql = format!(
            "SELECT log_id, seq FROM {} WHERE direction = ?",
            self.checkpoint
        );
        let rows = tx.query(&sql, &[self.incoming()]).await?;
        rows.first()
            .map(|row| {
                let log = bytes(row, 0)?
                    .try_into()
                    .map_err(|_| damaged("a log's identity"))?;
                Ok(Position {
                    log: LogId(log),
                    seq: int(row, 1)?.cast_unsigned(),
                })
            })
            .transpose()
    }

    /// Moves the checkpoint from `from` to `to`; `false` when it does not stand at `from`.
    pub(super) async fn advance<T: Tx>(
        &self,
        tx: &mut T,
        log: LogId,
        from: u64,
        to: u64,
    ) -> Result<bool> {
        let log = Value::Bytes(log.0.to_vec());
        let sql = format!(
            "UPDATE {} SET seq = ? WHERE direction = ? AND log_id = ? AND seq = ?",
            self.checkpoint
        );
        let values = [seq(to), self.incoming(), log.clone(), seq(from)];
        if tx.execute(&sql, &values).await? == 1 {
            return Ok(true);
        }
        if from != 0 || self.checkpoint(tx).await?.is_some() {
            return Ok(false);
        }
        let sql = format!(
            "INSERT INTO {} (direction, log_id, seq) VALUES (?, ?, ?)",
            self.checkpoint
        );
        tx.execute(&sql, &[self.incoming(), log, seq(to)]).await?;
        Ok(true)
    }

    pub(super) async fn settle<T: Tx>(&self, tx: &mut T, settled: &Settled) -> Result<()> {
        let mut by_unit: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        let mut key = Vec::new();
        for unit in &settled.units {
            key.clear();
            for cell in &unit.key.0 {
                canonical::encode_value_exact(&mut key, cell);
            }
            canonical::encode_value(
                by_unit.entry(unit.unit).or_default(),
                canonical::ValueRef::Bytes(&key),
            );
        }
        let sql = format!(
            "INSERT INTO {} (role, seq, unit, marks) VALUES (?, ?, ?, ?)",
            self.settled
        );
        for (unit, keys) in by_unit {
            let values = [
                role_value(settled.role),
                seq(settled.seq),
                self.unit_name(unit),
                Value::Bytes(keys),
            ];
            tx.execute(&sql, &values).await?;
        }
        Ok(())
    }

    pub(super) async fn settled<T: Tx>(&self, tx: &mut T) -> Result<Vec<Settled>> {
        let sql = format!("SELECT role, seq, unit, marks FROM {}", self.settled);
        let mut out = Vec::new();
        for row in tx.query(&sql, &[]).await? {
            let Some(unit) = self.unit(string(&row, 2)?) else {
                continue;
            };
            let mut units = Vec::new();
            for value in canonical::decode(&bytes(&row, 3)?)? {
                if let Value::Bytes(bytes) = value {
                    units.push(UnitKey {
                        unit,
                        key: Key(canonical::decode(&bytes)?),
                    });
                }
            }
            out.push(Settled {
                role: role(int(&row, 0)?),
                seq: int(&row, 1)?.cast_unsigned(),
                units,
            });
        }
        Ok(out)
    }

    /// The other side's log is another one from now on.
    pub(super) async fn forget_other<T: Tx>(&self, tx: &mut T) -> Result<()> {
        let sql = format!("DELETE FROM {} WHERE direction = ?", self.checkpoint);
        tx.execute(&sql, &[self.incoming()]).await?;
        // Positions of the old log say nothing of the new one.
        self.forget_began(tx).await?;
        let sql = format!("UPDATE {} SET seq = 0", self.chunk);
        tx.execute(&sql, &[]).await?;
        self.forget_settled(tx, self.role.other()).await
    }

    /// Forgets all settled marks in a side's log.
    async fn forget_settled<T: Tx>(&self, tx: &mut T, of: Role) -> Result<()> {
        let sql = format!("DELETE FROM {} WHERE role = ?", self.settled);
        tx.execute(&sql, &[role_value(of)]).await.map(drop)
    }

    /// Forgets settled marks at or below these positions.
    pub(super) async fn prune<T: Tx>(&self, tx: &mut T, settled: [u64; 2]) -> Result<()> {
        let sql = format!("DELETE FROM {} WHERE role = ? AND seq <= ?", self.settled);
        for role in Role::BOTH {
            let values = [role_value(role), seq(settled[role.index()])];
            tx.execute(&sql, &values).await?;
        }
        Ok(())
    }
}

fn not_installed() -> Error {
    Error::new(ErrorKind::NotFound, "change capture is not installed")
        .hint("start the migration: banyan sync MIGRATION")
}

fn damaged(what: &str) -> Error {
    Error::new(
        ErrorKind::Store,
        format!("{what} in Banyan's own tables is damaged"),
    )
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn seq(seq: u64) -> Value {
    Value::Int(seq.cast_signed())
}

fn flag(value: bool) -> Value {
    Value::Int(i64::from(value))
}

fn maybe(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::Int)
}

fn role_value(role: Role) -> Value {
    Value::Int(i64::from(role == Role::Target))
}

fn role(n: i64) -> Role {
    if n == 0 { Role::Source } else { Role::Target }
}

fn key_value(key: &Key) -> Value {
    Value::Bytes(canonical::encode_exact(&key.0))
}

fn row_value(row: Option<&Row>) -> Value {
    row.map_or(Value::Null, |row| {
        Value::Bytes(canonical::encode_exact(row))
    })
}

/// What stands for a key of any length in an index.
fn key_hash(key: &Key) -> Value {
    let hash = blake3::hash(&canonical::encode_exact(&key.0));
    Value::Bytes(hash.as_bytes()[..16].to_vec())
}

pub(super) fn int(row: &Row, i: usize) -> Result<i64> {
    match row.get(i) {
        Some(Value::Int(v)) => Ok(*v),
        _ => Err(damaged("a number")),
    }
}

fn maybe_int(row: &Row, i: usize) -> Result<Option<i64>> {
    match row.get(i) {
        Some(Value::Null) => Ok(None),
        _ => int(row, i).map(Some),
    }
}

pub(super) fn string(row: &Row, i: usize) -> Result<&str> {
    match row.get(i) {
        Some(Value::Text(v)) => Ok(v),
        _ => Err(damaged("a text")),
    }
}

fn bytes(row: &Row, i: usize) -> Result<Vec<u8>> {
    match row.get(i) {
        Some(Value::Bytes(v)) => Ok(v.clone()),
        _ => Err(damaged("a value")),
    }
}

fn maybe_bytes(row: &Row, i: usize) -> Result<Option<Vec<u8>>> {
    match row.get(i) {
        Some(Value::Null) => Ok(None),
        _ => bytes(row, i).map(Some),
    }
}

fn key(row: &Row, i: usize) -> Result<Key> {
    Ok(Key(canonical::decode(&bytes(row, i)?)?))
}

fn maybe_row(row: &Row, i: usize) -> Result<Option<Row>> {
    maybe_bytes(row, i)?
        .map(|b| canonical::decode(&b))
        .transpose()
}
