//! Guarded writes inside an open transaction.
//!
//! Every write says what row it expects. The row is read, compared bit for bit (SQL's own `IS`
//! would call 1 and 1.0 equal, and `a` and `A` under NOCASE), and only then written. A key is the
//! same only bit for bit, too; a row whose key SQL calls equal is another row, which holds the key. Deletes go
//! first, so that the unique values they free can be taken. A write that meets a unique constraint
//! waits for the others; what then still waits is a swap, and is done by taking the rows out and
//! putting them back. What even then violates a constraint is blocked and named; the rest goes on.

use std::collections::BTreeMap;

use datafusion::arrow::record_batch::RecordBatch;
use rusqlite::{Connection, ErrorCode, ffi};

use crate::data::batch::views;
use crate::data::{Column, Key, Row, Value};
use crate::database::{Outcome, RowChange};
use crate::error::Result;
use crate::rule::ConflictKind;

use super::error::{extended, sqlite};
use super::foreign_key::ForeignKeys;
use super::names::{list, quote};
use super::value::{Bind, bind, same, to_value};
use crate::database::SyncTable;

/// The statements for one table.
#[derive(Debug)]
pub(super) struct TableSql {
    pub(super) select: String,
    pub(super) insert: String,
    update: Option<String>,
    delete: String,
    /// All columns that hold data, mapped or not.
    select_all: String,
    insert_all: String,
    all_columns: usize,
    /// For each unique key, the own one last: cells (indexes into the captured columns) and a
    /// statement that finds the key of the row that holds their values, as SQL compares them.
    unique: Vec<(Vec<usize>, String)>,
    /// Indexes into the captured columns of those that an update writes.
    updated: Vec<usize>,
    /// For each captured column its place among all data columns.
    place: Vec<usize>,
    pub(super) foreign_keys: ForeignKeys,
}

impl TableSql {
    pub(super) fn new(table: &SyncTable, foreign_keys: ForeignKeys) -> Self {
        let name = |i: usize| table.schema.columns[i].name.as_str();
        let quoted = quote(&table.schema.name);
        let captured = || table.columns.iter().map(|&i| name(i));
        let key: Vec<String> = table
            .key
            .iter()
            .enumerate()
            .map(|(n, &k)| is_key(&table.schema.columns[table.columns[k]], n + 1))
            .collect();
        let key = key.join(" AND ");
        let data = table.schema.data_columns();
        let updated: Vec<usize> = (0..table.columns.len())
            .filter(|i| !table.key.contains(i))
            .collect();
        let offset = table.key.len();
        let sets: Vec<String> = updated
            .iter()
            .enumerate()
            .map(|(n, &i)| format!("{} = ?{}", quote(name(table.columns[i])), offset + n + 1))
            .collect();
        let holes = |n: usize| vec!["?"; n].join(", ");
        let own: Vec<usize> = table.key.iter().map(|&k| table.columns[k]).collect();
        let others = table.schema.unique.iter().filter(|u| !u.partial);
        let unique = others
            .filter_map(|u| u.columns.iter().copied().collect::<Option<Vec<_>>>())
            .filter(|columns| *columns != own)
            .chain([own.clone()])
            .filter_map(|columns| {
                let cells = columns
                    .iter()
                    .map(|c| table.columns.iter().position(|m| m == c))
                    .collect::<Option<Vec<_>>>()?;
                let conditions: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(n, &c)| format!("{} = ?{}", quote(name(c)), n + 1))
                    .collect();
                let sql = format!(
                    "SELECT {} FROM {quoted} WHERE {}",
                    list(table.key.iter().map(|&k| name(table.columns[k]))),
                    conditions.join(" AND ")
                );
                Some((cells, sql))
            })
            .collect();
        Self {
            select: format!("SELECT {} FROM {quoted} WHERE {key}", list(captured())),
            insert: format!(
                "INSERT INTO {quoted} ({}) VALUES ({})",
                list(captured()),
                holes(table.columns.len())
            ),
            update: (!sets.is_empty())
                .then(|| format!("UPDATE {quoted} SET {} WHERE {key}", sets.join(", "))),
            delete: format!("DELETE FROM {quoted} WHERE {key}"),
            select_all: format!(
                "SELECT {} FROM {quoted} WHERE {key}",
                list(data.iter().map(|&i| name(i)))
            ),
            insert_all: format!(
                "INSERT INTO {quoted} ({}) VALUES ({})",
                list(data.iter().map(|&i| name(i))),
                holes(data.len())
            ),
            all_columns: data.len(),
            unique,
            updated,
            place: table
                .columns
                .iter()
                .map(|c| data.iter().position(|d| d == c).unwrap_or(0))
                .collect(),
            foreign_keys,
        }
    }
}

/// Whether a key column holds parameter `n`, bit for bit. The first comparison, by the column's
/// own collation, is the one that an index can answer.
fn is_key(column: &Column, n: usize) -> String {
    let name = quote(&column.name);
    let equals = if column.nullable { "IS" } else { "=" };
    format!(
        "{name} {equals} ?{n} AND {name} {equals} ?{n} COLLATE BINARY AND typeof({name}) = \
         typeof(?{n})"
    )
}

/// Writes to the tables of one store.
pub(super) struct Writer<'a> {
    pub(super) conn: &'a Connection,
    pub(super) tables: &'a [TableSql],
    pub(super) check_foreign_keys: bool,
}

/// What one statement ran into.
enum Hit {
    Done,
    Unique,
    Other(ConflictKind, String),
}

enum Found {
    Expected,
    After,
    Else(Option<Row>),
}

impl Writer<'_> {
    /// Writes what can be written; one outcome for each change, in order.
    pub(super) fn write(&self, changes: &[RowChange]) -> Result<Vec<Outcome>> {
        let guarded = self.check_foreign_keys
            && changes
                .iter()
                .any(|c| !self.tables[c.table].foreign_keys.is_empty());
        let mut blocked: BTreeMap<usize, Outcome> = BTreeMap::new();
        for (i, change) in changes.iter().enumerate() {
            if let Some(refusal) = &change.cause.refused {
                blocked.insert(i, Outcome::Suspect { kind: refusal.kind });
            }
        }
        if !guarded {
            return self.attempt(changes, &blocked);
        }
        loop {
            self.batch("SAVEPOINT banyan_write")?;
            let outcomes = self.attempt(changes, &blocked)?;
            let before = blocked.len();
            for (i, change) in changes.iter().enumerate() {
                if outcomes[i] == Outcome::Written
                    && let Some(violation) = self.tables[change.table]
                        .foreign_keys
                        .violation(self.conn, change)?
                {
                    blocked.insert(i, violation);
                }
            }
            if blocked.len() == before {
                self.batch("RELEASE banyan_write")?;
                return Ok(outcomes);
            }
            // Without the guilty rows others may lack a parent: check again.
            self.batch("ROLLBACK TO banyan_write; RELEASE banyan_write")?;
        }
    }

    /// Inserts copied rows. Answers, for each row that was not simply inserted, its index and what
    /// became of it.
    pub(super) fn copy(
        &self,
        table: usize,
        batch: &RecordBatch,
        change: impl Fn(Row) -> RowChange,
    ) -> Result<Vec<(RowChange, Outcome)>> {
        let what = || sqlite("insert copied rows");
        let views = views(batch)?;
        let mut stmt = self
            .conn
            .prepare_cached(&self.tables[table].insert)
            .map_err(what())?;
        let mut left = Vec::new();
        for row in 0..batch.num_rows() {
            for (i, view) in views.iter().enumerate() {
                stmt.raw_bind_parameter(i + 1, Bind(view.get(row)))
                    .map_err(what())?;
            }
            match stmt.raw_execute() {
                Ok(_) => {}
                Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    left.push(row);
                }
                Err(e) => return Err(what()(e)),
            }
        }
        drop(stmt);
        let changes: Vec<RowChange> = left
            .into_iter()
            .map(|row| change(views.iter().map(|v| v.get(row).to_value()).collect()))
            .collect();
        // No foreign-key check: parents that this chunk lacks are in the feed, or in another chunk.
        let outcomes = self.attempt(&changes, &BTreeMap::new())?;
        Ok(changes.into_iter().zip(outcomes).collect())
    }

    fn batch(&self, sql: &str) -> Result<()> {
        self.conn.execute_batch(sql).map_err(sqlite(sql))
    }

    fn attempt(
        &self,
        changes: &[RowChange],
        blocked: &BTreeMap<usize, Outcome>,
    ) -> Result<Vec<Outcome>> {
        let mut outcomes = vec![Outcome::Equal; changes.len()];
        let mut waiting = Vec::new();
        let deletes = (0..changes.len()).filter(|&i| changes[i].after.is_none());
        let writes = (0..changes.len()).filter(|&i| changes[i].after.is_some());
        for i in deletes.chain(writes) {
            if let Some(outcome) = blocked.get(&i) {
                outcomes[i] = outcome.clone();
                continue;
            }
            match self.one(&changes[i])? {
                Some(outcome) => outcomes[i] = outcome,
                None => waiting.push(i),
            }
        }
        while !waiting.is_empty() {
            let mut left = Vec::new();
            for &i in &waiting {
                match self.one(&changes[i])? {
                    Some(outcome) => outcomes[i] = outcome,
                    None => left.push(i),
                }
            }
            if left.len() == waiting.len() {
                // Those that go in together, without those that even then do not.
                let mut together = left.clone();
                while together.len() > 1 {
                    let guilty = self.swap(changes, &together)?;
                    if guilty.is_empty() {
                        break;
                    }
                    together.retain(|i| !guilty.contains(i));
                }
                if together.len() < 2 {
                    together.clear();
                }
                for &i in &left {
                    outcomes[i] = if together.contains(&i) {
                        Outcome::Written
                    } else {
                        self.blocked_by(&changes[i])?
                    };
                }
                break;
            }
            waiting = left;
        }
        Ok(outcomes)
    }

    /// One change; `None` when a unique value is taken.
    fn one(&self, change: &RowChange) -> Result<Option<Outcome>> {
        let sql = &self.tables[change.table];
        let what = || sqlite("write a row");
        if change.key.0.contains(&Value::Null) {
            // It may be the key of many rows.
            return Ok(Some(Outcome::Blocked {
                kind: ConflictKind::ValueNotRepresentable,
                reason: "a row without a value in its key cannot be told apart from others"
                    .to_owned(),
            }));
        }
        // An insert is tried first: the row is nearly always absent, and the key's own constraint
        // says so if not.
        if change.expect.is_none()
            && let Some(after) = &change.after
        {
            let hit = self.hit(&sql.insert, bind(after))?;
            return match hit {
                Hit::Done => Ok(Some(Outcome::Written)),
                Hit::Other(kind, reason) => Ok(Some(Outcome::Blocked { kind, reason })),
                Hit::Unique => Ok(match self.look(change)? {
                    Found::Expected => None,
                    Found::After => Some(Outcome::Equal),
                    Found::Else(_) => Some(Outcome::Suspect {
                        kind: ConflictKind::InsertExists,
                    }),
                }),
            };
        }
        match self.look(change)? {
            Found::After => return Ok(Some(Outcome::Equal)),
            Found::Else(row) => {
                return Ok(Some(Outcome::Suspect {
                    kind: suspect(change, row.as_ref()),
                }));
            }
            Found::Expected => {}
        }
        let Some(after) = &change.after else {
            self.conn
                .prepare_cached(&sql.delete)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(bind(&change.key.0))))
                .map_err(what())?;
            return Ok(Some(Outcome::Written));
        };
        let Some(update) = &sql.update else {
            return Ok(Some(Outcome::Written));
        };
        let cells = sql.updated.iter().map(|&i| &after[i]);
        let parameters = bind(&change.key.0).chain(cells.map(|v| Bind(v.into())));
        Ok(match self.hit(update, parameters)? {
            Hit::Done => Some(Outcome::Written),
            Hit::Unique => None,
            Hit::Other(kind, reason) => Some(Outcome::Blocked { kind, reason }),
        })
    }

    fn look(&self, change: &RowChange) -> Result<Found> {
        let what = || sqlite("read a row");
        let sql = &self.tables[change.table].select;
        let mut stmt = self.conn.prepare_cached(sql).map_err(what())?;
        let mut rows = stmt
            .query(rusqlite::params_from_iter(bind(&change.key.0)))
            .map_err(what())?;
        let Some(row) = rows.next().map_err(what())? else {
            return Ok(if change.after.is_none() {
                Found::After
            } else if change.expect.is_none() {
                Found::Expected
            } else {
                Found::Else(None)
            });
        };
        let is = |expected: &Row| -> Result<bool> {
            for (i, value) in expected.iter().enumerate() {
                if !same(row.get_ref(i).map_err(what())?, value) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if let Some(expect) = &change.expect
            && is(expect)?
        {
            // Also when nothing changes: the caller then learns that the row is as it must be.
            if change.after.as_ref() == Some(expect) {
                return Ok(Found::After);
            }
            return Ok(Found::Expected);
        }
        if let Some(after) = &change.after
            && is(after)?
        {
            return Ok(Found::After);
        }
        let width = change
            .after
            .as_ref()
            .or(change.expect.as_ref())
            .map_or(0, Vec::len);
        let row = (0..width)
            .map(|i| row.get_ref(i).map(to_value).map_err(what()))
            .collect::<Result<Row>>()?;
        Ok(Found::Else(Some(row)))
    }

    fn hit<'p>(&self, sql: &str, parameters: impl Iterator<Item = Bind<'p>>) -> Result<Hit> {
        let result = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(rusqlite::params_from_iter(parameters)));
        match result {
            Ok(_) => Ok(Hit::Done),
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Ok(match extended(&e) {
                    Some(
                        ffi::SQLITE_CONSTRAINT_UNIQUE
                        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                        | ffi::SQLITE_CONSTRAINT_ROWID,
                    ) => Hit::Unique,
                    Some(ffi::SQLITE_CONSTRAINT_NOTNULL) => {
                        Hit::Other(ConflictKind::NotNullViolation, e.to_string())
                    }
                    Some(ffi::SQLITE_CONSTRAINT_CHECK) => {
                        Hit::Other(ConflictKind::CheckViolation, e.to_string())
                    }
                    _ => Hit::Other(ConflictKind::ValueNotRepresentable, e.to_string()),
                })
            }
            Err(e)
                if matches!(
                    e.sqlite_error_code(),
                    Some(ErrorCode::TypeMismatch | ErrorCode::TooBig)
                ) =>
            {
                Ok(Hit::Other(
                    ConflictKind::ValueNotRepresentable,
                    e.to_string(),
                ))
            }
            Err(e) => Err(sqlite("write a row")(e)),
        }
    }

    /// Takes the rows out and puts them back with their new values. Answers those that cannot be
    /// put back; if there are any, nothing is done.
    fn swap(&self, changes: &[RowChange], which: &[usize]) -> Result<Vec<usize>> {
        let what = || sqlite("swap unique values");
        self.batch("SAVEPOINT banyan_swap")?;
        let mut guilty = Vec::new();
        let mut rows = Vec::with_capacity(which.len());
        for &i in which {
            let change = &changes[i];
            let sql = &self.tables[change.table];
            if change.expect.is_none() {
                rows.push(None);
                continue;
            }
            let width = sql.all_columns;
            let row = self
                .conn
                .prepare_cached(&sql.select_all)
                .and_then(|mut s| {
                    s.query_row(rusqlite::params_from_iter(bind(&change.key.0)), |row| {
                        (0..width)
                            .map(|i| row.get_ref(i).map(to_value))
                            .collect::<rusqlite::Result<Row>>()
                    })
                })
                .map_err(what())?;
            self.conn
                .prepare_cached(&sql.delete)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(bind(&change.key.0))))
                .map_err(what())?;
            rows.push(Some(row));
        }
        for (&i, row) in which.iter().zip(rows) {
            let change = &changes[i];
            let sql = &self.tables[change.table];
            let Some(after) = &change.after else { continue };
            let hit = match row {
                None => self.hit(&sql.insert, bind(after))?,
                Some(mut row) => {
                    for (n, value) in after.iter().enumerate() {
                        row[sql.place[n]] = value.clone();
                    }
                    self.hit(&sql.insert_all, bind(&row))?
                }
            };
            if !matches!(hit, Hit::Done) {
                guilty.push(i);
            }
        }
        self.batch(if guilty.is_empty() {
            "RELEASE banyan_swap"
        } else {
            "ROLLBACK TO banyan_swap; RELEASE banyan_swap"
        })?;
        Ok(guilty)
    }

    /// Names the rows that hold the unique values.
    fn blocked_by(&self, change: &RowChange) -> Result<Outcome> {
        let what = || sqlite("find the row that holds a unique value");
        let sql = &self.tables[change.table];
        let mut holders: Vec<Key> = Vec::new();
        if let Some(after) = &change.after {
            for (cells, find) in &sql.unique {
                let values: Row = cells.iter().map(|&i| after[i].clone()).collect();
                let mut stmt = self.conn.prepare_cached(find).map_err(what())?;
                let width = change.key.0.len();
                let found = stmt
                    .query_map(rusqlite::params_from_iter(bind(&values)), |row| {
                        (0..width)
                            .map(|i| row.get_ref(i).map(to_value))
                            .collect::<rusqlite::Result<Row>>()
                    })
                    .map_err(what())?
                    .collect::<rusqlite::Result<Vec<_>>>()
                    .map_err(what())?;
                for key in found.into_iter().map(Key) {
                    if key != change.key && !holders.contains(&key) {
                        holders.push(key);
                    }
                }
            }
        }
        let kind = if holders.len() > 1 {
            ConflictKind::MultipleUniqueConflicts
        } else if change.expect.is_none() {
            ConflictKind::InsertExists
        } else {
            ConflictKind::UpdateExists
        };
        let holders: Vec<String> = holders.iter().map(|k| format!("({k})")).collect();
        Ok(Outcome::Blocked {
            kind,
            reason: format!(
                "a unique value is held by the row with key {}",
                holders.join(" and ")
            ),
        })
    }
}

/// What kind of conflict it is that `row` is there.
fn suspect(change: &RowChange, row: Option<&Row>) -> ConflictKind {
    match (&change.expect, &change.after, row) {
        (None, _, _) => ConflictKind::InsertExists,
        (Some(_), None, _) => ConflictKind::DeleteOriginDiffers,
        (Some(_), Some(_), None) => ConflictKind::UpdateDeleted,
        (Some(_), Some(_), Some(_)) => ConflictKind::UpdateOriginDiffers,
    }
}
