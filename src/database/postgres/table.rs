//! The statements for one table, written once.
//!
//! Many rows go in one statement, as one array for each column. Keys are compared as an index can
//! answer it, everything else bit for bit; casts neither cut nor round.

use std::sync::{Arc, OnceLock};

use crate::database::SyncTable;
use crate::error::Result;

use super::column::PgColumn;
use super::kind::Kind;
use super::links::Facts;
use super::names::{TableName, list};

/// A target list holds so many entries; a statement that needs more is not made.
const ENTRIES_MAX: usize = 1600;

/// A table of a migration, prepared.
#[derive(Debug)]
pub(in crate::database) struct PgTable {
    /// As users write it.
    pub(super) name: String,
    /// Quoted for SQL.
    pub(super) quoted: String,
    /// Without its schema and quotes, as errors name it.
    pub(super) bare: String,
    /// The mapped columns.
    pub(super) columns: Vec<PgColumn>,
    /// The key: indexes into them.
    pub(super) key: Vec<usize>,
    /// Those that are not key.
    pub(super) rest: Vec<usize>,
    /// Reads rows by key: the columns, then the key's number.
    pub(super) rows: Arc<str>,
    /// The same, with locks.
    pub(super) lock: Arc<str>,
    /// Keys, expected cells and new ones of [`Self::rest`]; answers numbers.
    pub(super) guarded: Option<Arc<str>>,
    /// All cells; answers keys.
    pub(super) insert: Arc<str>,
    /// Keys and cells of [`Self::rest`]; `None`: there are none.
    pub(super) update: Option<Arc<str>>,
    /// Keys.
    pub(super) delete: Arc<str>,
    /// Keys and all cells.
    pub(super) swap: Arc<str>,
    /// Gives rows other unique values for a while, where all of them can have such.
    pub(super) park: Option<Arc<str>>,
    /// Takes rows in binary form, or as text if there are types without one.
    pub(super) copy: Arc<str>,
    /// Whether as text.
    pub(super) copy_text: bool,
    /// The largest key.
    pub(super) max_key: Option<Arc<str>>,
    /// For each unique key: cells, and what finds the keys of the rows that hold them.
    pub(super) unique: Vec<Lookup>,
    /// For each foreign key: cells, and what finds and keeps the parents.
    pub(super) parents: Vec<Lookup>,
    /// Whether columns beside the key can only be given a value by inserting.
    pub(super) insert_only: bool,
    /// What only the server knows; read before the first write.
    pub(super) facts: OnceLock<Arc<Facts>>,
}

/// A statement that looks cells up.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    /// Indexes into the mapped columns.
    pub(super) cells: Vec<usize>,
    /// Takes one array for each of them.
    pub(super) sql: Arc<str>,
    /// What is looked for: `customers (id)`.
    pub(super) name: String,
}

/// `unnest($1::int8[], …) WITH ORDINALITY AS v(a0, …, ord)`; `names` are those of the elements.
pub(super) fn unnest<'a>(columns: impl IntoIterator<Item = (&'a PgColumn, String)>) -> String {
    let mut arrays = Vec::new();
    let mut names = Vec::new();
    for (column, name) in columns {
        arrays.push(format!("${}::{}", arrays.len() + 1, column.array()));
        names.push(name);
    }
    format!(
        "unnest({}) WITH ORDINALITY AS v({}, ord)",
        arrays.join(", "),
        names.join(", ")
    )
}

/// A value that hardly anybody holds, for a while; `None` for types that have no such value.
fn parked(column: &PgColumn, declared: &str) -> Option<String> {
    match column.kind {
        _ if column.nullable => Some("NULL".to_owned()),
        Kind::Text => Some(format!("md5(random()::text || v.ord::text)::{declared}")),
        Kind::Int2 | Kind::Int4 | Kind::Int8 => Some(format!(
            "(-1 - v.ord - floor(random() * 20000))::{declared}"
        )),
        Kind::Uuid => Some("gen_random_uuid()".to_owned()),
        _ => None,
    }
}

impl PgTable {
    /// Writes the statements. No round trip.
    pub(super) fn new(table: &SyncTable) -> Result<Self> {
        let parsed = TableName::parse(&table.schema.name)?;
        let quoted = parsed.sql();
        let all = &table.schema.columns;
        let columns: Vec<PgColumn> = table
            .columns
            .iter()
            .map(|&i| PgColumn::new(&all[i]))
            .collect();
        let key = table.key.clone();
        let rest: Vec<usize> = (0..columns.len()).filter(|i| !key.contains(i)).collect();

        let named = |which: &[usize], letter: char| -> Vec<(&PgColumn, String)> {
            which
                .iter()
                .map(|&i| (&columns[i], format!("{letter}{i}")))
                .collect()
        };
        let keys = || named(&key, 'k');
        let is_key: Vec<String> = key
            .iter()
            .map(|&i| columns[i].key_equals("t", &format!("v.k{i}")))
            .collect();
        let is_key = is_key.join(" AND ");
        let select = |which: &mut dyn Iterator<Item = usize>| -> String {
            which
                .map(|i| columns[i].select("t"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let selected = select(&mut (0..columns.len()));
        let selected_key = select(&mut key.iter().copied());
        let key_names = list(key.iter().map(|&i| columns[i].name.as_str()));
        let column_names = list(columns.iter().map(|c| c.name.as_str()));
        let cell = |i: usize, letter: char| columns[i].write(&format!("v.{letter}{i}"));

        let rows = format!(
            "SELECT {selected}, v.ord FROM {} JOIN {quoted} AS t ON {is_key}",
            unnest(keys())
        );
        let sets: Vec<String> = rest
            .iter()
            .map(|&i| format!("{} = {}", columns[i].quoted, cell(i, 'n')))
            .collect();
        let insert_only = rest.iter().any(|&i| columns[i].identity_always);

        let exactly = |which: &[usize], letter: char| -> Vec<String> {
            which
                .iter()
                .map(|&i| columns[i].is_exactly("t", &format!("v.{letter}{i}")))
                .collect()
        };
        let guard = [exactly(&key, 'k'), exactly(&rest, 'e')]
            .concat()
            .join(" AND ");
        let expected = [keys(), named(&rest, 'e')].concat();
        let guarded = if sets.is_empty() {
            format!(
                "SELECT v.ord FROM {} JOIN {quoted} AS t ON {is_key} AND {guard} FOR UPDATE OF t",
                unnest(expected)
            )
        } else {
            format!(
                "UPDATE {quoted} AS t SET {} FROM {} WHERE {is_key} AND {guard} RETURNING v.ord",
                sets.join(", "),
                unnest([expected, named(&rest, 'n')].concat())
            )
        };
        let entries = key.len() + 2 * rest.len() + columns.len();
        let guarded = (!insert_only && entries <= ENTRIES_MAX).then(|| guarded.into());

        let every: Vec<usize> = (0..columns.len()).collect();
        let cells: Vec<String> = every.iter().map(|&i| cell(i, 'n')).collect();
        let overriding = if all.iter().any(|c| PgColumn::new(c).identity_always) {
            " OVERRIDING SYSTEM VALUE"
        } else {
            ""
        };
        let insert = format!(
            "INSERT INTO {quoted} AS t ({column_names}){overriding} SELECT {} FROM {} \
             ON CONFLICT ({key_names}) DO NOTHING RETURNING {selected_key}",
            cells.join(", "),
            unnest(named(&every, 'n'))
        );
        let update = (!sets.is_empty()).then(|| {
            format!(
                "UPDATE {quoted} AS t SET {} FROM {} WHERE {is_key}",
                sets.join(", "),
                unnest([keys(), named(&rest, 'n')].concat())
            )
            .into()
        });
        let delete = format!(
            "DELETE FROM {quoted} AS t USING {} WHERE {is_key}",
            unnest(keys())
        );
        let unmapped: Vec<&str> = table
            .schema
            .data_columns()
            .into_iter()
            .filter(|i| !table.columns.contains(i))
            .map(|i| all[i].name.as_str())
            .collect();
        let swap = swap(&Swap {
            quoted: &quoted,
            is_key: &is_key,
            unnest: unnest([keys(), named(&every, 'n')].concat()),
            cells: &cells,
            column_names: &column_names,
            unmapped: &unmapped,
            overriding,
        });

        let copy_text = columns.iter().any(PgColumn::is_other);
        let format = if copy_text { "text" } else { "binary" };
        let copy = format!("COPY {quoted} ({column_names}) FROM STDIN (FORMAT {format})");

        let max_key = match key[..] {
            [k] if columns[k].is_int() => {
                Some(format!("SELECT max({})::int8 FROM {quoted}", columns[k].quoted).into())
            }
            _ => None,
        };

        let mapped = |wanted: &mut dyn Iterator<Item = Option<usize>>| -> Option<Vec<usize>> {
            wanted
                .map(|c| c.and_then(|c| table.columns.iter().position(|m| *m == c)))
                .collect()
        };
        let own: Vec<usize> = key.iter().map(|&k| table.columns[k]).collect();
        let mut unique = Vec::new();
        let others = table.schema.unique.iter().filter(|u| !u.partial);
        let others = others.filter_map(|u| mapped(&mut u.columns.iter().copied()));
        let mine = mapped(&mut own.iter().copied().map(Some));
        for cells in others.filter(|u| *u != key).chain(mine) {
            let equal: Vec<String> = cells
                .iter()
                .map(|&i| columns[i].key_equals("t", &format!("v.n{i}")))
                .collect();
            unique.push(Lookup {
                sql: format!(
                    "SELECT {selected_key} FROM {} JOIN {quoted} AS t ON {}",
                    unnest(named(&cells, 'n')),
                    equal.join(" AND ")
                )
                .into(),
                name: list(cells.iter().map(|&i| columns[i].name.as_str())),
                cells,
            });
        }
        let shared: std::collections::BTreeSet<usize> = unique
            .iter()
            .flat_map(|u: &Lookup| u.cells.iter().copied())
            .filter(|i| !key.contains(i))
            .collect();
        let parked: Option<Vec<String>> = shared
            .iter()
            .map(|&i| {
                let value = parked(&columns[i], &all[table.columns[i]].declared_type)?;
                Some(format!("{} = {value}", columns[i].quoted))
            })
            .collect();
        let park = parked.filter(|sets| !sets.is_empty()).map(|sets| {
            format!(
                "UPDATE {quoted} AS t SET {} FROM {} WHERE {is_key}",
                sets.join(", "),
                unnest(keys())
            )
            .into()
        });
        let mut parents = Vec::new();
        for foreign in &table.schema.foreign_keys {
            let Some(cells) = mapped(&mut foreign.columns.iter().copied().map(Some)) else {
                continue;
            };
            let equal: Vec<String> = cells
                .iter()
                .zip(&foreign.parent_columns)
                .map(|(&i, parent)| {
                    let value = columns[i].write(&format!("v.n{i}"));
                    format!("p.{} = {value}", super::names::quote(parent))
                })
                .collect();
            parents.push(Lookup {
                sql: format!(
                    "SELECT v.ord FROM {} JOIN {} AS p ON {} FOR KEY SHARE OF p",
                    unnest(named(&cells, 'n')),
                    TableName::parse(&foreign.parent)?.sql(),
                    equal.join(" AND ")
                )
                .into(),
                name: format!("{} ({})", foreign.parent, foreign.parent_columns.join(", ")),
                cells,
            });
        }
        Ok(Self {
            name: table.schema.name.clone(),
            bare: parsed.table,
            lock: format!("{rows} FOR UPDATE OF t").into(),
            rows: rows.into(),
            guarded,
            insert: insert.into(),
            update,
            delete: delete.into(),
            park,
            swap: swap.into(),
            copy: copy.into(),
            copy_text,
            max_key,
            unique,
            parents,
            insert_only,
            facts: OnceLock::new(),
            quoted,
            columns,
            key,
            rest,
        })
    }
}

struct Swap<'a> {
    quoted: &'a str,
    is_key: &'a str,
    unnest: String,
    cells: &'a [String],
    column_names: &'a str,
    unmapped: &'a [&'a str],
    overriding: &'a str,
}

/// Rows out and in again in one statement: the sort reads all that was taken out before the first
/// row goes in.
fn swap(s: &Swap<'_>) -> String {
    let mut taken = Vec::new();
    let mut put = Vec::new();
    for (i, cell) in s.cells.iter().enumerate() {
        taken.push(format!("{cell} AS n{i}"));
        put.push(format!("d.n{i}"));
    }
    let mut names = s.column_names.to_owned();
    for (i, name) in s.unmapped.iter().enumerate() {
        let quoted = super::names::quote(name);
        taken.push(format!("t.{quoted} AS u{i}"));
        put.push(format!("d.u{i}"));
        names.push_str(&format!(", {quoted}"));
    }
    format!(
        "WITH d AS (DELETE FROM {} AS t USING {} WHERE {} RETURNING {}, v.ord AS ord) \
         INSERT INTO {} ({names}){} SELECT {} FROM d ORDER BY d.ord",
        s.quoted,
        s.unnest,
        s.is_key,
        taken.join(", "),
        s.quoted,
        s.overriding,
        put.join(", ")
    )
}
