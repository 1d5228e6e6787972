//! Which columns a table has in the log, and where the captured ones are among them.
//!
//! The log describes a table before its rows ([`TableMap`]): types, and with
//! `binlog_row_metadata = FULL` names, signs and labels. A captured column ([`Captured`]) is found
//! by its name there, else by its place; it must be of the very type that it is known to have. What
//! does not fit is told in words, and never read as if it did.

use std::collections::HashMap;

use crate::data::Column;
use crate::database::SyncTable;
use crate::database::server::added;

use super::cell::{Cell, refusal};
use super::charset::Charset;
use super::wire::{Input, Wire};
use crate::database::mysql::kind::{Kind, charset_of};

/// The log's description of a table.
#[derive(Debug)]
pub(super) struct TableMap<'a> {
    database: &'a [u8],
    table: &'a [u8],
    types: &'a [u8],
    metadata: &'a [u8],
    optional: &'a [u8],
}

/// What the log says of a column beyond its layout; `None` where it says nothing.
#[derive(Debug, Default)]
struct Facts<'a> {
    names: Option<Vec<&'a [u8]>>,
    unsigned: Option<Vec<bool>>,
    enums: Option<Vec<Vec<&'a [u8]>>>,
    sets: Option<Vec<Vec<&'a [u8]>>>,
    /// Numbers of collations: of texts and bytes, of labels.
    texts: Option<Vec<u64>>,
    labels: Option<Vec<u64>>,
}

/// The character sets of collations, by their numbers.
pub(super) type Collations = HashMap<u64, String>;

impl<'a> TableMap<'a> {
    /// Reads what follows the table's number and flags. `None`: it is damaged.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let mut input = Input(body);
        let mut name = || {
            let length = usize::try_from(input.uint(1)?).ok()?;
            let name = input.take(length)?;
            input.take(1)?;
            Some(name)
        };
        let (database, table) = (name()?, name()?);
        let types = input.counted()?;
        let metadata = input.counted()?;
        input.take(types.len().div_ceil(8))?;
        Some(Self {
            database,
            table,
            types,
            metadata,
            optional: input.0,
        })
    }

    /// Whether it is about this table; `fold`: whatever the case of its name.
    pub(super) fn is(&self, database: &str, table: &str, fold: bool) -> bool {
        let same = |logged: &[u8], name: &str| {
            logged == name.as_bytes()
                || fold
                    && std::str::from_utf8(logged)
                        .is_ok_and(|logged| logged.to_lowercase() == name.to_lowercase())
        };
        same(self.table, table) && same(self.database, database)
    }

    /// How each column is laid out. `None`: a type is not known.
    fn wires(&self) -> Option<Vec<Wire>> {
        let mut metadata = Input(self.metadata);
        self.types
            .iter()
            .map(|kind| Wire::read(*kind, &mut metadata))
            .collect()
    }

    fn facts(&self, wires: &[Wire]) -> Option<Facts<'a>> {
        let mut facts = Facts::default();
        let mut input = Input(self.optional);
        while !input.0.is_empty() {
            let kind = input.uint(1)?;
            let mut value = Input(input.counted()?);
            match kind {
                1 => {
                    let numbers = wires.iter().filter(|wire| has_sign(**wire)).count();
                    let bit = |i: usize| Some(value.0.get(i / 8)? >> (7 - i % 8) & 1 == 1);
                    facts.unsigned = Some((0..numbers).map(bit).collect::<Option<_>>()?);
                }
                2 | 3 | 10 | 11 => {
                    let like = if kind < 10 { is_text } else { is_label };
                    let columns = wires.iter().filter(|wire| like(**wire)).count();
                    let numbers = collations(value, matches!(kind, 2 | 10), columns)?;
                    if kind < 10 {
                        facts.texts = numbers;
                    } else {
                        facts.labels = numbers;
                    }
                }
                4 => {
                    let mut names = Vec::with_capacity(wires.len());
                    while !value.0.is_empty() {
                        names.push(value.counted()?);
                    }
                    facts.names = (names.len() == wires.len()).then_some(names);
                }
                5 | 6 => {
                    let mut all = Vec::new();
                    while !value.0.is_empty() {
                        let count = value.packed()?;
                        let labels = (0..count).map(|_| value.counted());
                        all.push(labels.collect::<Option<Vec<_>>>()?);
                    }
                    if kind == 5 {
                        facts.sets = Some(all);
                    } else {
                        facts.enums = Some(all);
                    }
                }
                _ => {}
            }
        }
        Some(facts)
    }
}

fn has_sign(wire: Wire) -> bool {
    matches!(
        wire,
        Wire::Int(_) | Wire::Float | Wire::Double | Wire::Decimal { .. } | Wire::Year
    )
}

fn is_text(wire: Wire) -> bool {
    matches!(
        wire,
        Wire::Fixed { .. } | Wire::Varying { .. } | Wire::Blob(_) | Wire::Compressed(_)
    )
}

fn is_label(wire: Wire) -> bool {
    matches!(wire, Wire::Enum(_) | Wire::Set(_))
}

/// One number for each column: a list of them, or one for all and exceptions. `Some(None)`: they
/// are not as many as the columns.
fn collations(mut value: Input<'_>, default: bool, columns: usize) -> Option<Option<Vec<u64>>> {
    let mut numbers = Vec::with_capacity(columns);
    if default {
        numbers.resize(columns, value.packed()?);
        while !value.0.is_empty() {
            let (at, number) = (value.packed()?, value.packed()?);
            *numbers.get_mut(usize::try_from(at).ok()?)? = number;
        }
    } else {
        while !value.0.is_empty() {
            numbers.push(value.packed()?);
        }
    }
    Some((numbers.len() == columns).then_some(numbers))
}

/// A captured column as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Captured {
    /// Its name.
    pub(super) name: String,
    /// Its type.
    pub(super) kind: Kind,
    /// Its type as declared.
    pub(super) declared: String,
    /// Its character set, if it has one.
    pub(super) charset: Option<String>,
    /// Its place in the table.
    pub(super) place: usize,
    /// Whether all rows had NULL there when it was added.
    pub(super) began_null: bool,
}

impl Captured {
    /// Of an introspected column.
    pub(super) fn new(column: &Column, place: usize) -> Self {
        let kind = Kind::of(column);
        let text = matches!(
            kind,
            Kind::Char { .. } | Kind::Text { .. } | Kind::Enum { .. } | Kind::Set { .. }
        );
        // No collation stands for utf8mb4_bin.
        let charset = column.collation.as_deref().map_or("utf8mb4", charset_of);
        Self {
            name: column.name.clone(),
            declared: column.declared_type.clone(),
            charset: text.then(|| charset.to_owned()),
            kind,
            place,
            began_null: column.began_null(),
        }
    }
}

/// A table as it is known: its captured columns, in their order, and how many it has in all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// The captured columns; `None`: the table has it no more.
    pub(super) columns: Vec<Option<Captured>>,
    /// The names of all its columns, in the order of the table.
    pub(super) names: Vec<String>,
}

impl Shape {
    /// Of a captured table.
    pub(super) fn new(table: &SyncTable) -> Self {
        let captured = table
            .columns
            .iter()
            .map(|&i| Some(Captured::new(&table.schema.columns[i], i)))
            .collect();
        Self {
            columns: captured,
            names: table
                .schema
                .columns
                .iter()
                .map(|c| c.name.clone())
                .collect(),
        }
    }

    /// The first column that cannot be captured, and why.
    pub(super) fn refusal(&self) -> Option<(String, String)> {
        self.columns
            .iter()
            .flatten()
            .find_map(|c| Some((c.name.clone(), refusal(&c.kind, &c.declared)?)))
    }

    /// What of the captured columns is another in `now`, in words.
    pub(super) fn difference(&self, now: &Self) -> Option<String> {
        self.columns.iter().zip(&now.columns).find_map(|(was, is)| {
            let was = was.as_ref()?;
            let Some(is) = is else {
                return Some(format!("column {} is gone", was.name));
            };
            if was.declared != is.declared {
                return Some(format!(
                    "column {} was {}, is {}",
                    was.name, was.declared, is.declared
                ));
            }
            let charset = |c: &Captured| c.charset.clone().unwrap_or_default();
            (was.charset != is.charset).then(|| {
                format!(
                    "the character set of column {} was {}, is {}",
                    was.name,
                    charset(was),
                    charset(is)
                )
            })
        })
    }

    /// A column of `now` that is new, in words.
    pub(super) fn addition(&self, now: &Self) -> Option<String> {
        let known = |name: &&String| self.names.iter().any(|k| k.eq_ignore_ascii_case(name));
        let new = now.names.iter().find(|name| !known(name))?;
        Some(added::logged(new))
    }

    /// The shape before columns were added to it, last ones that began as NULL, if that is what the
    /// log describes with these names.
    fn before_additions(&self, names: &[&[u8]]) -> Option<Self> {
        let described = names.len();
        let mut pairs = names.iter().zip(&self.names);
        let is_prefix = described < self.names.len()
            && pairs.all(|(logged, name)| logged.eq_ignore_ascii_case(name.as_bytes()));
        let columns: Option<Vec<_>> = self
            .columns
            .iter()
            .map(|column| match column {
                Some(c) if c.place >= described => c.began_null.then_some(None),
                column => Some(column.clone()),
            })
            .collect();
        Some(Self {
            columns: columns.filter(|_| is_prefix)?,
            names: self.names[..described].to_vec(),
        })
    }
}

/// How the rows of one table map are read.
#[derive(Debug)]
pub(super) struct Layout {
    /// Of each column in the log: its form, and, of a captured one, its index and how to read it.
    pub(super) columns: Vec<(Wire, Option<(usize, Cell)>)>,
    /// How many columns are captured.
    pub(super) width: usize,
    /// Captured columns that the log does not hold.
    pub(super) missing: Vec<usize>,
}

impl Layout {
    /// Likewise, where the log describes the table as it was before it had all of its columns.
    pub(super) fn before_additions(
        map: &TableMap<'_>,
        shape: &Shape,
        collations: &Collations,
    ) -> Option<Self> {
        let names = map.facts(&map.wires()?)?.names?;
        Self::new(map, &shape.before_additions(&names)?, collations).ok()
    }

    /// Finds the columns of `shape` in the log's table. Fails with what does not fit.
    pub(super) fn new(
        map: &TableMap<'_>,
        shape: &Shape,
        collations: &Collations,
    ) -> Result<Self, String> {
        let wires = map
            .wires()
            .ok_or("it has a column of a type that is not known")?;
        let facts = map
            .facts(&wires)
            .ok_or("its description in the log is damaged")?;
        let mut columns: Vec<_> = wires.iter().map(|wire| (*wire, None)).collect();
        let mut missing = Vec::new();
        for (index, captured) in shape.columns.iter().enumerate() {
            let Some(captured) = captured else {
                missing.push(index);
                continue;
            };
            let at = find(
                captured,
                facts.names.as_deref(),
                wires.len(),
                shape.names.len(),
            )?;
            let wrong = |what| format!("column {} is {what}", captured.name);
            let cell = Cell::new(&captured.kind, &captured.declared, wires[at])
                .map_err(|e| wrong(format!("known as {e}")))?;
            check(&facts, &wires, at, captured).map_err(wrong)?;
            same_charset(&facts, &wires, at, captured, collations).map_err(wrong)?;
            if columns[at].1.replace((index, cell)).is_some() {
                return Err(wrong("there twice".to_owned()));
            }
        }
        Ok(Self {
            columns,
            width: shape.columns.len(),
            missing,
        })
    }
}

fn find(
    captured: &Captured,
    names: Option<&[&[u8]]>,
    logged: usize,
    known: usize,
) -> Result<usize, String> {
    let Some(names) = names else {
        if logged != known {
            return Err(format!(
                "it has {logged} columns in the log, and {known} are known (with \
                 binlog_row_metadata = FULL their names would tell which is which)"
            ));
        }
        return Ok(captured.place);
    };
    let name = captured.name.as_bytes();
    names
        .iter()
        .position(|n| *n == name)
        .or_else(|| names.iter().position(|n| n.eq_ignore_ascii_case(name)))
        .ok_or_else(|| format!("it has no column {}", captured.name))
}

/// Compares what the log says beyond the layout.
fn check(facts: &Facts<'_>, wires: &[Wire], at: usize, captured: &Captured) -> Result<(), String> {
    let nth = |like: fn(Wire) -> bool| wires[..at].iter().filter(|wire| like(**wire)).count();
    match &captured.kind {
        Kind::Int { unsigned, .. } => {
            let logged = facts.unsigned.as_ref().and_then(|u| u.get(nth(has_sign)));
            if logged.is_some_and(|logged| logged != unsigned) {
                return Err(format!(
                    "known as {}, but the log has it {}",
                    captured.declared,
                    if *unsigned { "signed" } else { "unsigned" }
                ));
            }
        }
        Kind::Enum { labels } => {
            let all = facts.enums.as_ref();
            let logged = all.and_then(|all| all.get(nth(|w| matches!(w, Wire::Enum(_)))));
            same_labels(logged, labels, captured)?;
        }
        Kind::Set { labels } => {
            let all = facts.sets.as_ref();
            let logged = all.and_then(|all| all.get(nth(|w| matches!(w, Wire::Set(_)))));
            same_labels(logged, labels, captured)?;
        }
        _ => {}
    }
    Ok(())
}

/// Texts of another character set would be read as if they were of the known one.
fn same_charset(
    facts: &Facts<'_>,
    wires: &[Wire],
    at: usize,
    captured: &Captured,
    collations: &Collations,
) -> Result<(), String> {
    let nth = |like: fn(Wire) -> bool| wires[..at].iter().filter(|wire| like(**wire)).count();
    let number = match &captured.kind {
        Kind::Char { .. } | Kind::Text { .. } => {
            facts.texts.as_ref().and_then(|all| all.get(nth(is_text)))
        }
        Kind::Enum { .. } | Kind::Set { .. } => {
            facts.labels.as_ref().and_then(|all| all.get(nth(is_label)))
        }
        _ => None,
    };
    let logged = number.and_then(|number| collations.get(number));
    match (logged, &captured.charset) {
        (Some(logged), Some(known)) if logged != known => Err(format!(
            "known to be {known} text, but is {logged} text in the log"
        )),
        _ => Ok(()),
    }
}

fn same_labels(
    logged: Option<&Vec<&[u8]>>,
    known: &[String],
    captured: &Captured,
) -> Result<(), String> {
    let Some(logged) = logged else {
        return Ok(());
    };
    // Where they cannot be read, their number must do.
    let charset = captured.charset.as_deref().and_then(Charset::of);
    let same = logged.len() == known.len()
        && charset.is_none_or(|charset| {
            let mut pairs = logged.iter().zip(known);
            pairs.all(|(logged, known)| charset.decode(logged).as_deref() == Some(known))
        });
    if same {
        Ok(())
    } else {
        Err(format!(
            "known as {}, but has other labels in the log",
            captured.declared
        ))
    }
}

#[cfg(test)]
mod tests;
