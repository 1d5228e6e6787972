//! A captured table while the log is read: what it is known to look like, and how its rows are to
//! be read as the log describes it.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::data::{Column, Generated, LogicalType};
use crate::database::SyncTable;
use crate::error::{Error, ErrorKind, Result};

use super::layout::{Captured, Collations, Layout, Shape, TableMap};
use super::transaction::Reading;
use crate::database::mysql::error::mysql;
use crate::database::mysql::names;

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    /// Its index.
    table: usize,
    /// Its database.
    pub(super) database: String,
    /// Its name.
    pub(super) name: String,
    /// The names of the captured columns.
    pub(super) columns: Vec<String>,
    /// Indexes into them.
    key: Vec<usize>,
    known: Shape,
    /// As it was found later, when the log no longer fitted what is known.
    found: Option<Shape>,
    /// Whether it was told that it changed.
    pub(super) told: bool,
    /// Whether all that was told are new columns.
    pub(super) only_added: bool,
}

impl Watched {
    /// The captured table with this index, in `database` unless its name says otherwise.
    pub(super) fn new(table: usize, captured: &SyncTable, database: &str) -> Result<Self> {
        let (own, name) = names::split(&captured.schema.name);
        let known = Shape::new(captured);
        if let Some((column, why)) = known.refusal() {
            return Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "column {column} of table {} cannot be captured: {why}",
                    captured.schema.name
                ),
            )
            .hint("leave the column out of the mapping, or change its type"));
        }
        let names = captured.columns.iter();
        Ok(Self {
            table,
            database: own.unwrap_or(database).to_owned(),
            name: name.to_owned(),
            columns: names
                .map(|&i| captured.schema.columns[i].name.clone())
                .collect(),
            key: captured.key.clone(),
            known,
            found: None,
            told: false,
            only_added: true,
        })
    }

    /// `db.t`
    pub(super) fn place(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    /// Its index among the captured tables.
    pub(super) fn index(&self) -> usize {
        self.table
    }

    /// Whether a table map is about it.
    pub(super) fn is(&self, map: &TableMap<'_>, fold: bool) -> bool {
        map.is(&self.database, &self.name, fold)
    }

    fn reading(&self, layout: Layout) -> Reading {
        Reading {
            table: self.table,
            key: self.key.clone(),
            layout,
        }
    }

    /// How the rows behind this table map are read. Fails with what does not fit as long as that
    /// was not told.
    pub(super) fn fit(
        &self,
        map: &TableMap<'_>,
        collations: &Collations,
    ) -> Result<Result<Reading, String>> {
        if !self.told {
            return Ok(Layout::new(map, &self.known, collations).map(|l| self.reading(l)));
        }
        self.fit_changed(map, collations).map(Ok)
    }

    /// How they are read if the table was known to have fewer columns then: those that it got later
    /// were NULL. To be asked when the table has been looked at and is as it is known, or has got more
    /// columns since.
    pub(super) fn fit_older(&self, map: &TableMap<'_>, collations: &Collations) -> Option<Reading> {
        Layout::before_additions(map, &self.known, collations).map(|l| self.reading(l))
    }

    /// Likewise for a table that was told to have changed: as the server describes it now, else as
    /// it was. Columns that are gone are NULL: its changes wait, and only their keys are looked at.
    /// Fails when the key is gone, or when the rows are neither the old nor the new table's.
    fn fit_changed(&self, map: &TableMap<'_>, collations: &Collations) -> Result<Reading> {
        let mut why = "it is not there".to_owned();
        for shape in self.found.iter().chain([&self.known]) {
            match Layout::new(map, shape, collations) {
                Ok(layout) => match self.key.iter().find(|k| layout.missing.contains(k)) {
                    None => return Ok(self.reading(layout)),
                    Some(&gone) => why = format!("its key column {} is gone", self.columns[gone]),
                },
                Err(what) => why = what,
            }
        }
        if self.only_added
            && let Some(reading) = self.fit_older(map, collations)
        {
            return Ok(reading);
        }
        Err(Error::new(
            ErrorKind::Schema,
            format!(
                "the rows of table {} in the binary log cannot be read any more: {why}",
                self.place()
            ),
        )
        .hint(
            "let the mapping fit the table, abort the migration and start it again: it copies \
             anew. With binlog_row_metadata = FULL more changes of a table can be read over",
        ))
    }

    /// Looks at the table as it is now. Answers what of it is different, in words.
    pub(super) async fn look(&mut self, conn: &mut Conn) -> Result<Option<String>> {
        let what = || mysql(format!("read the columns of table {}", self.place()));
        let rows: Vec<(String, String, Option<String>)> = conn
            .exec(
                "SELECT COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
                (&self.database, &self.name),
            )
            .await
            .map_err(what())?;
        let indexes: Vec<(String, String)> = conn
            .exec(
                "SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
                 WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 \
                 AND COLUMN_NAME IS NOT NULL",
                (&self.database, &self.name),
            )
            .await
            .map_err(what())?;
        if rows.is_empty() {
            self.found = None;
            return Ok(Some("the table is gone".to_owned()));
        }
        let columns = self
            .columns
            .iter()
            .map(|name| {
                let place = rows
                    .iter()
                    .position(|(n, _, _)| n.eq_ignore_ascii_case(name))?;
                let (name, declared, collation) = rows[place].clone();
                let column = Column {
                    name,
                    declared_type: declared,
                    logical: LogicalType::Any,
                    nullable: true,
                    default: None,
                    generated: Generated::No,
                    collation,
                };
                Some(Captured::new(&column, place))
            })
            .collect();
        let now = Shape {
            columns,
            names: rows.iter().map(|(name, _, _)| name.clone()).collect(),
        };
        let difference = self
            .known
            .difference(&now)
            .or_else(|| self.known.addition(&now));
        let difference = difference.or_else(|| {
            let key: Vec<&String> = self.key.iter().map(|&k| &self.columns[k]).collect();
            let unique = indexes.iter().any(|(index, _)| {
                let columns = indexes.iter().filter(|(i, _)| i == index);
                let mut columns: Vec<String> = columns.map(|(_, c)| c.to_lowercase()).collect();
                let mut key: Vec<String> = key.iter().map(|k| k.to_lowercase()).collect();
                columns.sort();
                key.sort();
                columns == key
            });
            (!unique).then(|| "its key is no longer unique".to_owned())
        });
        self.found = Some(now);
        Ok(difference)
    }
}
