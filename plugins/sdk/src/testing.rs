//! Rows and conflicts for native tests: `cargo test`, no WebAssembly needed.
//!
//! They go through the same columns as in production.
//!
//! ```
//! use banyan_rule::testing::{ConflictCase, table};
//! let customers = table("customers", &[("id", "INTEGER"), ("email", "TEXT")], &["id"]);
//! let case = ConflictCase::new(&customers)
//!     .source(&[("id", 1.into()), ("email", "a@x".into())])
//!     .target(&[("id", 1.into()), ("email", "b@x".into())]);
//! ```

use crate::bindings::lifecycle::banyan::rules::types as wire;
use crate::bindings::resolver::exports::banyan::rules::resolver as abi;
use crate::failure::Failure;
use crate::out;
use crate::resolver::{ConflictKind, Direction, Resolver, Verdict, choice};
use crate::router::{Decision, Request, Router};
use crate::rows::{Batch, Row};
use crate::rule::{Opened, Rule};
use crate::table::{Column, LogicalType, Table};
use crate::transformer::Transformer;
use crate::validator::{Note, Validator};
use crate::value::Value;

/// Cells by column name; columns that are not named are NULL.
pub type Cells<'a> = [(&'a str, Value<'a>)];

/// A table with these columns (name, declared type) and key. Every column allows NULL.
#[must_use]
pub fn table(name: &str, columns: &[(&str, &str)], key: &[&str]) -> Table {
    let columns: Vec<Column> = columns
        .iter()
        .map(|(name, source_type)| Column {
            name: (*name).to_owned(),
            source_type: (*source_type).to_owned(),
            logical_type: logical(source_type),
            nullable: true,
        })
        .collect();
    let key = key
        .iter()
        .map(|k| {
            columns
                .iter()
                .position(|c| c.name == *k)
                .unwrap_or_else(|| panic!("the key column {k:?} is not among the columns"))
        })
        .collect();
    Table::new(name, columns, key)
}

/// What a declared type means, roughly as SQLite reads it.
fn logical(declared: &str) -> LogicalType {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        LogicalType::Int64
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        LogicalType::Text
    } else if has("BLOB") {
        LogicalType::Bytes
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        LogicalType::Float64
    } else {
        LogicalType::Any
    }
}

/// A rule with these settings (JSON) and tables, as the host would open it.
pub fn open<R: Rule>(settings: &str, tables: &[&Table]) -> Result<Opened<R>, Failure> {
    Opened::open(settings, tables.iter().map(|&t| t.clone()).collect())
}

fn cells(table: &Table, given: &Cells<'_>) -> Vec<Value<'static>> {
    let mut row = vec![Value::Null; table.columns().len()];
    for (name, value) in given {
        let column = table
            .find(name)
            .unwrap_or_else(|| panic!("{}", table.missing(name)));
        row[column] = value.clone().into_owned();
    }
    row
}

/// One conflict.
#[derive(Clone, Debug)]
pub struct ConflictCase {
    table: Table,
    kind: ConflictKind,
    direction: Direction,
    base_known: bool,
    base: Option<Vec<Value<'static>>>,
    source: Option<Vec<Value<'static>>>,
    target: Option<Vec<Value<'static>>>,
    source_us: Option<i64>,
    target_us: Option<i64>,
}

impl ConflictCase {
    /// An `update_origin_differs` of a forward change: no rows, no times, the base not known.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        Self {
            table: table.clone(),
            kind: ConflictKind::UpdateOriginDiffers,
            direction: Direction::Forward,
            base_known: false,
            base: None,
            source: None,
            target: None,
            source_us: None,
            target_us: None,
        }
    }

    /// Of another kind.
    #[must_use]
    pub fn kind(mut self, kind: ConflictKind) -> Self {
        self.kind = kind;
        self
    }

    /// Of the other way.
    #[must_use]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// What both sides had in common.
    #[must_use]
    pub fn base(mut self, row: &Cells<'_>) -> Self {
        self.base_known = true;
        self.base = Some(cells(&self.table, row));
        self
    }

    /// It is known that both sides had no row.
    #[must_use]
    pub fn base_absent(mut self) -> Self {
        self.base_known = true;
        self.base = None;
        self
    }

    /// The source's row.
    #[must_use]
    pub fn source(mut self, row: &Cells<'_>) -> Self {
        self.source = Some(cells(&self.table, row));
        self
    }

    /// The target's row.
    #[must_use]
    pub fn target(mut self, row: &Cells<'_>) -> Self {
        self.target = Some(cells(&self.table, row));
        self
    }

    /// When the sides were committed, in microseconds since 1970 UTC.
    #[must_use]
    pub fn committed_us(mut self, source: Option<i64>, target: Option<i64>) -> Self {
        self.source_us = source;
        self.target_us = target;
        self
    }

    /// The same with the sides changed over.
    #[must_use]
    pub fn mirrored(mut self) -> Self {
        std::mem::swap(&mut self.source, &mut self.target);
        std::mem::swap(&mut self.source_us, &mut self.target_us);
        self
    }

    fn rows(&self, row: Option<&Vec<Value<'static>>>) -> wire::Rows {
        let width = self.table.columns().len();
        let row = row.cloned().unwrap_or_else(|| vec![Value::Null; width]);
        out::rows(width, &[row])
    }

    fn side(&self, row: Option<&Vec<Value<'static>>>, committed_us: Option<i64>) -> abi::Side {
        abi::Side {
            present: vec![u8::from(row.is_some())],
            committed_known: vec![u8::from(committed_us.is_some())],
            committed_us: vec![committed_us.unwrap_or(0)],
            rows: self.rows(row),
        }
    }

    /// What the rule, with these settings (JSON), decides.
    pub fn resolve<R: Resolver>(&self, settings: &str) -> Result<Decided, Failure> {
        let opened = open::<R>(settings, &[&self.table])?;
        let batch = abi::Conflicts {
            kinds: vec![self.kind as u8],
            backward: vec![u8::from(self.direction == Direction::Backward)],
            base: abi::Base {
                known: vec![u8::from(self.base_known)],
                present: vec![u8::from(self.base.is_some())],
                rows: self.rows(self.base.as_ref()),
            },
            source: self.side(self.source.as_ref(), self.source_us),
            target: self.side(self.target.as_ref(), self.target_us),
        };
        let answer = crate::run_resolver(&opened.rule, &self.table, &batch).map_err(from_wire)?;
        let merged = Batch::new(&self.table, &answer.merged);
        let verdict = match answer.choices[0] {
            choice::SOURCE => Verdict::Source,
            choice::TARGET => Verdict::Target,
            choice::DELETE => Verdict::Delete,
            choice::MERGED => Verdict::Merged(owned(&Row::new(&merged, 0))),
            _ => Verdict::Park(answer.notes[0].message.clone()),
        };
        Ok(Decided {
            table: self.table.clone(),
            verdict,
        })
    }
}

/// What a resolver decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    table: Table,
    verdict: Verdict<'static>,
}

impl Decided {
    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> &Verdict<'static> {
        &self.verdict
    }

    /// A cell of the merged row. Panics when the verdict is another one.
    #[must_use]
    pub fn merged(&self, column: &str) -> &Value<'static> {
        let Verdict::Merged(cells) = &self.verdict else {
            panic!("the verdict is {:?}, not a merged row", self.verdict);
        };
        match self.table.find(column) {
            Some(index) => &cells[index],
            None => panic!("{}", self.table.missing(column)),
        }
    }
}

fn owned(row: &Row<'_>) -> Vec<Value<'static>> {
    row.values().map(Value::into_owned).collect()
}

fn from_wire(failure: wire::Failure) -> Failure {
    match failure {
        wire::Failure::Reject(rejection) => Failure::Reject(rejection.message),
        wire::Failure::Fatal(message) => Failure::Fatal(message),
    }
}

/// A row that a transformer put out.
#[derive(Clone, Debug, PartialEq)]
pub struct RowMade {
    /// For which table.
    pub table: usize,
    /// The cells that were set, by column name.
    pub cells: Vec<(String, Value<'static>)>,
}

impl RowMade {
    /// A cell; `None` when it was not set.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value<'static>> {
        self.cells
            .iter()
            .find(|(name, _)| name == column)
            .map(|(_, value)| value)
    }
}

/// What a row of the source is in the target. `tables`: the source's, then the target's.
pub fn forward<R: Transformer>(
    settings: &str,
    tables: &[&Table],
    row: &Cells<'_>,
) -> Result<Vec<RowMade>, Failure> {
    transformed::<R>(settings, tables, wire::Direction::Forward, 0, row)
}

/// What a row of target table `table` (1, 2, …) is in the source.
pub fn backward<R: Transformer>(
    settings: &str,
    tables: &[&Table],
    table: usize,
    row: &Cells<'_>,
) -> Result<Vec<RowMade>, Failure> {
    transformed::<R>(settings, tables, wire::Direction::Backward, table, row)
}

fn transformed<R: Transformer>(
    settings: &str,
    tables: &[&Table],
    direction: wire::Direction,
    number: usize,
    row: &Cells<'_>,
) -> Result<Vec<RowMade>, Failure> {
    let opened = open::<R>(settings, tables)?;
    let table = tables[number];
    let rows = out::rows(table.columns().len(), &[cells(table, row)]);
    let routed = crate::run_transformer(
        &opened.rule,
        &opened.tables,
        direction,
        number as u32,
        &rows,
    )
    .map_err(from_wire)?;
    let mut made = Vec::new();
    for part in routed {
        let target = tables[part.table as usize];
        let columns: Vec<Column> = part
            .columns
            .iter()
            .map(|&c| target.columns()[usize::from(c)].clone())
            .collect();
        let view = Table::new(target.name(), columns, Vec::new());
        let batch = Batch::new(&view, &part.rows);
        for index in 0..part.origins.len() {
            let names = view.columns().iter().map(|c| c.name.clone());
            made.push(RowMade {
                table: part.table as usize,
                cells: names.zip(owned(&Row::new(&batch, index))).collect(),
            });
        }
    }
    Ok(made)
}

/// What a validator says about a row.
pub fn validate<R: Validator>(
    settings: &str,
    table: &Table,
    row: &Cells<'_>,
) -> Result<Vec<Note>, Failure> {
    let opened = open::<R>(settings, &[table])?;
    let rows = out::rows(table.columns().len(), &[cells(table, row)]);
    let notes = crate::run_validator(&opened.rule, table, &rows).map_err(from_wire)?;
    Ok(notes
        .into_iter()
        .map(|note| Note {
            severity: note.severity,
            message: note.message,
        })
        .collect())
}

/// Where a router sends a request.
pub fn route<R: Router>(settings: &str, request: &Request) -> Result<Decision, Failure> {
    open::<R>(settings, &[])?.rule.route(request)
}
