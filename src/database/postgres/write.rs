//! Reading and writing rows by key, many in one statement.

use std::sync::Arc;

use crate::data::{Key, Row};
use crate::database::server::driver::{Done, Violation};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::ConflictKind;

use super::arrays::{Arrays, misfit};
use super::column::PgColumn;
use super::encode::Param;
use super::error::{Doing, violation};
use super::links::{self, Facts};
use super::table::PgTable;
use super::tx::{Failure, PgTx, cell, ordinal};

/// What a failed statement on a table means.
pub(super) fn done<T>(
    result: Result<T, Failure>,
    table: &PgTable,
    doing: Doing,
) -> Result<Done<T>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Server(e)) => match violation(&e, &table.bare, doing) {
            Some(violation) => Ok(Err(violation)),
            None => Err(Failure::Server(e).error(format!("write table {}", table.name))),
        },
        Err(failure) => Err(failure.error("")),
    }
}

fn key_columns(table: &PgTable) -> impl Iterator<Item = &PgColumn> {
    table.key.iter().map(|&i| &table.columns[i])
}

fn rest_columns(table: &PgTable) -> impl Iterator<Item = &PgColumn> {
    table.rest.iter().map(|&i| &table.columns[i])
}

impl PgTx {
    /// What only the server knows of the table; refuses tables that cannot be written rightly.
    pub(super) async fn facts(&mut self, table: &PgTable) -> Result<Arc<Facts>> {
        if let Some(facts) = table.facts.get() {
            return Ok(Arc::clone(facts));
        }
        let facts = self
            .run(async |s| Ok(links::facts(&s.conn, table).await?))
            .await
            .map_err(|e| e.error("read what refers to a table"))?;
        if let Some(name) = facts.unchecked.first()
            && self.session()?.is_replica()
        {
            return Err(Error::new(
                ErrorKind::Refused,
                format!(
                    "the constraint {name} of table {} is DEFERRABLE: PostgreSQL does not check it \
                     on what Banyan writes",
                    table.name
                ),
            )
            .hint("make it NOT DEFERRABLE: drop it and add it again"));
        }
        Ok(Arc::clone(table.facts.get_or_init(|| facts)))
    }

    /// The rows whose keys are bit for bit these.
    pub(super) async fn read_by_key(
        &mut self,
        table: &PgTable,
        sql: &Arc<str>,
        keys: &[Key],
    ) -> Result<Vec<Option<Row>>> {
        let mut found = vec![None; keys.len()];
        let mut arrays = Arrays::new(key_columns(table), keys.len());
        for (i, key) in keys.iter().enumerate() {
            // A key that the column cannot hold is the key of no row.
            drop(arrays.push(i, &key.0, usize::MAX));
        }
        if arrays.is_empty() {
            return Ok(found);
        }
        let (params, numbers) = arrays.finish();
        let rows = self
            .select(sql, &params)
            .await
            .map_err(|e| e.error(format!("read rows of table {}", table.name)))?;
        for row in &rows {
            let place = numbers[ordinal(row, table.columns.len(), numbers.len())?];
            let cells = table
                .columns
                .iter()
                .enumerate()
                .map(|(i, column)| cell(row, i, column.kind))
                .collect::<Result<Row>>()?;
            let same = table
                .key
                .iter()
                .zip(&keys[place].0)
                .all(|(&k, v)| cells[k] == *v);
            if same {
                found[place] = Some(cells);
            }
        }
        Ok(found)
    }

    pub(super) async fn write_guarded(
        &mut self,
        table: &PgTable,
        rows: &[(&Key, &Row, &Row)],
    ) -> Result<Done<Option<Vec<bool>>>> {
        self.facts(table).await?;
        let Some(sql) = &table.guarded else {
            return Ok(Ok(None));
        };
        let mut written = vec![false; rows.len()];
        let columns = key_columns(table)
            .chain(rest_columns(table))
            .chain(rest_columns(table));
        let mut arrays = Arrays::new(columns, rows.len());
        let expected_end = table.key.len() + table.rest.len();
        for (i, (key, expected, after)) in rows.iter().enumerate() {
            let same_key = |row: &Row| table.key.iter().zip(&key.0).all(|(&k, v)| row[k] == *v);
            if !same_key(expected) || !same_key(after) {
                continue;
            }
            let cells = key
                .0
                .iter()
                .chain(table.rest.iter().map(|&c| &expected[c]))
                .chain(table.rest.iter().map(|&c| &after[c]));
            if let Err(reason) = arrays.push(i, cells, expected_end) {
                // Either no row can be what is expected, or the new one cannot be held.
                let mut tried = Arrays::new(rest_columns(table), 1);
                if tried
                    .push(i, table.rest.iter().map(|&c| &after[c]), 0)
                    .is_err()
                {
                    return Ok(Err(misfit(reason)));
                }
            }
        }
        if arrays.is_empty() {
            return Ok(Ok(Some(written)));
        }
        let (params, numbers) = arrays.finish();
        let answered = self.select(sql, &params).await;
        let answered = match done(answered, table, Doing::Write)? {
            Ok(rows) => rows,
            Err(violation) => return Ok(Err(violation)),
        };
        for row in &answered {
            written[numbers[ordinal(row, 0, numbers.len())?]] = true;
        }
        Ok(Ok(Some(written)))
    }

    pub(super) async fn write_new(
        &mut self,
        table: &PgTable,
        rows: &[&Row],
    ) -> Result<Done<Vec<bool>>> {
        self.facts(table).await?;
        let mut written = vec![false; rows.len()];
        let mut arrays = Arrays::new(&table.columns, rows.len());
        for (i, row) in rows.iter().enumerate() {
            if let Err(reason) = arrays.push(i, row.iter(), 0) {
                return Ok(Err(misfit(reason)));
            }
        }
        if arrays.is_empty() {
            return Ok(Ok(written));
        }
        let (params, _) = arrays.finish();
        let answered = self.select(&table.insert, &params).await;
        let answered = match done(answered, table, Doing::Write)? {
            Ok(rows) => rows,
            Err(violation) => return Ok(Err(violation)),
        };
        if answered.len() == rows.len() {
            written.fill(true);
            return Ok(Ok(written));
        }
        // They come in the order in which they went.
        let mut next = 0;
        for answer in &answered {
            let key = table
                .key
                .iter()
                .enumerate()
                .map(|(i, &k)| cell(answer, i, table.columns[k].kind))
                .collect::<Result<Row>>()?;
            let is = |row: &Row| {
                let mut cells = table.key.iter().zip(&key);
                cells.all(|(&k, given)| table.columns[k].same(&row[k], given))
            };
            while next < rows.len() && !is(rows[next]) {
                next += 1;
            }
            let place = written.get_mut(next).ok_or_else(|| {
                Error::new(
                    ErrorKind::Store,
                    format!("table {} keeps other keys than were written", table.name),
                )
                .hint("a trigger changes them: let it not run for Banyan's user")
            })?;
            *place = true;
            next += 1;
        }
        Ok(Ok(written))
    }

    pub(super) async fn write_cells(
        &mut self,
        table: &PgTable,
        rows: &[(&Key, &Row)],
    ) -> Result<Done<()>> {
        if table.insert_only {
            return self.take_out_and_in(table, rows).await;
        }
        self.facts(table).await?;
        let Some(sql) = &table.update else {
            return Ok(Ok(()));
        };
        let columns = key_columns(table).chain(rest_columns(table));
        let mut arrays = Arrays::new(columns, rows.len());
        for (i, (key, row)) in rows.iter().enumerate() {
            let cells = key.0.iter().chain(table.rest.iter().map(|&c| &row[c]));
            if let Err(reason) = arrays.push(i, cells, table.key.len()) {
                return Ok(Err(misfit(reason)));
            }
        }
        self.all(table, sql, arrays, Doing::Write).await
    }

    pub(super) async fn take_out(&mut self, table: &PgTable, keys: &[&Key]) -> Result<Done<()>> {
        self.facts(table).await?;
        let mut arrays = Arrays::new(key_columns(table), keys.len());
        for (i, key) in keys.iter().enumerate() {
            if let Err(reason) = arrays.push(i, &key.0, usize::MAX) {
                return Ok(Err(misfit(reason)));
            }
        }
        self.all(table, &table.delete, arrays, Doing::Delete).await
    }

    pub(super) async fn take_out_and_in(
        &mut self,
        table: &PgTable,
        rows: &[(&Key, &Row)],
    ) -> Result<Done<()>> {
        let facts = self.facts(table).await?;
        if let Some(child) = facts.cascades.first()
            && !self.session()?.is_replica()
        {
            // The server would change the rows that refer to them, so they stay where they are.
            let Some(park) = table.park.as_ref().filter(|_| !table.insert_only) else {
                return Ok(Err(Violation {
                    kind: ConflictKind::UpdateExists,
                    reason: format!(
                        "rows of table {} would have to be taken out and put back, and the server \
                         would change those of {child} that refer to them: GRANT SET ON PARAMETER \
                         session_replication_role TO Banyan's user",
                        table.name
                    ),
                }));
            };
            let mut arrays = Arrays::new(key_columns(table), rows.len());
            for (i, (key, _)) in rows.iter().enumerate() {
                if let Err(reason) = arrays.push(i, &key.0, usize::MAX) {
                    return Ok(Err(misfit(reason)));
                }
            }
            return match self.all(table, park, arrays, Doing::Write).await? {
                Ok(()) => Box::pin(self.write_cells(table, rows)).await,
                Err(violation) => Ok(Err(violation)),
            };
        }
        let columns = key_columns(table).chain(&table.columns);
        let mut arrays = Arrays::new(columns, rows.len());
        for (i, (key, row)) in rows.iter().enumerate() {
            if let Err(reason) = arrays.push(i, key.0.iter().chain(row.iter()), table.key.len()) {
                return Ok(Err(misfit(reason)));
            }
        }
        self.all(table, &table.swap, arrays, Doing::Write).await
    }

    /// Runs a statement that must write every row.
    async fn all(
        &mut self,
        table: &PgTable,
        sql: &Arc<str>,
        arrays: Arrays<'_>,
        doing: Doing,
    ) -> Result<Done<()>> {
        if arrays.is_empty() {
            return Ok(Ok(()));
        }
        let (params, numbers) = arrays.finish();
        let affected = self.affect(sql, &params).await;
        let affected = match done(affected, table, doing)? {
            Ok(rows) => rows,
            Err(violation) => return Ok(Err(violation)),
        };
        every(table, affected, numbers.len())?;
        Ok(Ok(()))
    }

    pub(super) async fn find_holders(&mut self, table: &PgTable, row: &Row) -> Result<Vec<Key>> {
        let mut holders = Vec::new();
        let own: Row = table.key.iter().map(|&k| row[k].clone()).collect();
        for unique in &table.unique {
            let Some(params) = lookup(table, &unique.cells, &[row]) else {
                continue;
            };
            let what = || format!("find who holds a unique value of table {}", table.name);
            let rows = self
                .select(&unique.sql, &params.0)
                .await
                .map_err(|e| e.error(what()))?;
            for found in &rows {
                let key = table
                    .key
                    .iter()
                    .enumerate()
                    .map(|(i, &k)| cell(found, i, table.columns[k].kind))
                    .collect::<Result<Row>>()?;
                if key != own && !holders.contains(&Key(key.clone())) {
                    holders.push(Key(key));
                }
            }
        }
        Ok(holders)
    }

    pub(super) async fn find_missing_parents(
        &mut self,
        table: &PgTable,
        rows: &[&Row],
    ) -> Result<Vec<(usize, String)>> {
        let mut missing = Vec::new();
        for parent in &table.parents {
            let Some((params, numbers)) = lookup(table, &parent.cells, rows) else {
                continue;
            };
            let answered = self
                .select(&parent.sql, &params)
                .await
                .map_err(|e| e.error(format!("look for rows of {}", parent.name)))?;
            let mut found = vec![false; numbers.len()];
            for row in &answered {
                found[ordinal(row, 0, numbers.len())?] = true;
            }
            for (place, _) in numbers.iter().zip(found).filter(|(_, found)| !found) {
                let cells = shown(&parent.cells, rows[*place]);
                missing.push((*place, format!("{} has no row {cells}", parent.name)));
            }
        }
        missing.sort_by_key(|(place, _)| *place);
        Ok(missing)
    }

    pub(super) async fn find_children(
        &mut self,
        table: &PgTable,
        rows: &[&Row],
    ) -> Result<Vec<(usize, String)>> {
        let facts = self.facts(table).await?;
        let mut left = Vec::new();
        for child in &facts.children {
            let Some((params, numbers)) = lookup(table, &child.cells, rows) else {
                continue;
            };
            let answered = self
                .select(&child.sql, &params)
                .await
                .map_err(|e| e.error(format!("look for rows of {}", child.name)))?;
            for row in &answered {
                let place = numbers[ordinal(row, 0, numbers.len())?];
                let cells = shown(&child.cells, rows[place]);
                left.push((place, format!("{} still refers to {cells}", child.name)));
            }
        }
        left.sort_by_key(|(place, _)| *place);
        Ok(left)
    }
}

/// Fails when fewer rows were written than there were.
pub(super) fn every(table: &PgTable, affected: u64, rows: usize) -> Result<()> {
    if usize::try_from(affected) == Ok(rows) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Store,
        format!(
            "{affected} of {rows} rows of table {} were written",
            table.name
        ),
    )
    .hint("a trigger or rule of the table may keep rows from being written"))
}

/// These cells of the rows as parameters, without rows that have a NULL among them: they refer to
/// nothing and hold nothing. `None`: none is left.
fn lookup(table: &PgTable, cells: &[usize], rows: &[&Row]) -> Option<(Vec<Param>, Vec<usize>)> {
    let columns = cells.iter().map(|&i| &table.columns[i]);
    let mut arrays = Arrays::new(columns, rows.len());
    for (place, row) in rows.iter().enumerate() {
        if cells.iter().all(|&i| !row[i].is_null()) {
            // What the column cannot hold is nowhere.
            drop(arrays.push(place, cells.iter().map(|&i| &row[i]), usize::MAX));
        }
    }
    (!arrays.is_empty()).then(|| arrays.finish())
}

fn shown(cells: &[usize], row: &Row) -> String {
    let cells: Vec<String> = cells.iter().map(|&i| row[i].to_string()).collect();
    format!("({})", cells.join(", "))
}
