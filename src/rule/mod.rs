//! What a user's rule answers, whoever wrote it in whatever language.
//!
//! Four traits: [`Resolve`], [`Transform`], [`Validate`], [`Route`]. Built-in strategies
//! ([`builtin`]) fulfil them in plain Rust, `plugin` with WASM components, `script` with Rhai;
//! nothing above knows which one it is talking to. Data rules work on batches. A rule that fails
//! decides nothing: it answers with a [`RuleError`] and the caller parks, halts or falls back as
//! configured ([`OnFailure`]).
//!
//! [`answer`] checks what a rule answered, [`laws`] tries a rule on generated batches, [`cases`]
//! runs its author's examples; all three work on the traits, whoever fulfils them.
//!
//! [`mapping`] applies column mapping, filter and transform to rows in both directions; copying,
//! syncing and verifying all go through it, so they cannot disagree about what a row is on the
//! other side.

pub mod answer;
pub mod builtin;
pub mod cases;
mod conflict;
mod failure;
pub mod laws;
pub mod mapping;
pub mod notation;
pub mod number;
mod spelling;

pub use conflict::{Conflict, ConflictKind, Side, Verdict};
pub use failure::{FailureKind, OnFailure, RuleError};
pub use spelling::nearest;

use crate::data::{LogicalType, Row, TableSchema};

/// What a rule says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// The name under which the configuration knows it.
    pub name: String,
    /// Its own version; built-ins have Banyan's.
    pub version: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// blake3 of the artefact, in hex; `None` for built-ins.
    pub digest: Option<String>,
}

/// A column as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleColumn {
    /// Its name.
    pub name: String,
    /// The type as the store declares it.
    pub declared_type: String,
    /// What that means.
    pub logical: LogicalType,
    /// Whether NULL is allowed.
    pub nullable: bool,
}

/// A table as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTable {
    /// Its name in its store.
    pub name: String,
    /// The columns a rule is given and may answer with, in this order.
    pub columns: Vec<RuleColumn>,
    /// Indexes of the key columns.
    pub key: Vec<usize>,
}

impl RuleTable {
    /// The table with these of its columns (indexes into the schema), in this order.
    /// Key columns that are left out do not appear in the key.
    #[must_use]
    pub fn of(schema: &TableSchema, columns: &[usize]) -> Self {
        Self {
            name: schema.name.clone(),
            columns: columns
                .iter()
                .map(|&i| {
                    let c = &schema.columns[i];
                    RuleColumn {
                        name: c.name.clone(),
                        declared_type: c.declared_type.clone(),
                        logical: c.logical,
                        nullable: c.nullable,
                    }
                })
                .collect(),
            key: schema
                .key
                .iter()
                .filter_map(|k| columns.iter().position(|c| c == k))
                .collect(),
        }
    }

    /// The index of a column by exact name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

/// These rows conflict: which one lives?
pub trait Resolve: Send + Sync {
    /// Who answers.
    fn describe(&self) -> RuleInfo;

    /// One verdict for each conflict, in order. All conflicts of a call belong to `table`, and all
    /// their rows have its columns.
    fn resolve(&self, table: &RuleTable, conflicts: &[Conflict])
    -> Result<Vec<Verdict>, RuleError>;
}

/// Which way a row travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the source (the monolith) to the target (the service).
    Forward,
    /// From the target back to the source.
    Backward,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }

    /// `forward` or `backward`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

/// The tables a transform works between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformTables {
    /// The table in the source store. Number 0 towards the rule.
    pub source: RuleTable,
    /// The tables in the target store. Numbers 1, 2, … towards the rule.
    pub targets: Vec<RuleTable>,
}

impl TransformTables {
    /// Table 0 is the source, 1.. are the targets.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&RuleTable> {
        match number {
            0 => Some(&self.source),
            n => self.targets.get(n - 1),
        }
    }
}

/// Rows that a transform made for one table, all with the same columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// Which table of [`TransformTables`] they are for.
    pub table: usize,
    /// Indexes of the columns that are given, in the order of the cells. A column that is not
    /// given is left as it is.
    pub columns: Vec<usize>,
    /// For each row, the index of the input row it came from.
    pub origins: Vec<usize>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// What is this row on the other side?
pub trait Transform: Send + Sync {
    /// Who answers.
    fn describe(&self) -> RuleInfo;

    /// Forward: `rows` are of table 0, the answer holds rows for tables 1, 2, …; backward: `rows`
    /// are of table `table`, the answer holds rows for table 0. An input row that yields nothing
    /// is dropped. Each input row yields at most one row for each table.
    fn transform(
        &self,
        tables: &TransformTables,
        direction: Direction,
        table: usize,
        rows: &[Row],
    ) -> Result<Vec<Routed>, RuleError>;
}

/// How bad a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Worth knowing; the row goes through.
    Warning,
    /// The row must not be there; it is parked.
    Error,
}

/// What a validator (or resolver) says about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Index of the row in the batch.
    pub row: usize,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
}

/// May this row be there?
pub trait Validate: Send + Sync {
    /// Who answers.
    fn describe(&self) -> RuleInfo;

    /// Notes on rows that are about to be written to `table`; none when all is fine.
    fn validate(&self, table: &RuleTable, rows: &[Row]) -> Result<Vec<Note>, RuleError>;
}

/// The head of a request, for [`Route`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RequestHead {
    /// `GET`, …
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query without `?`, empty when there is none.
    pub query: String,
    /// Header names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub client: String,
    /// The service that the request matched.
    pub service: String,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteDecision {
    /// To the monolith.
    Monolith {
        /// Headers to set.
        headers: Vec<(String, String)>,
    },
    /// To the service.
    Service {
        /// Headers to set.
        headers: Vec<(String, String)>,
    },
    /// Whatever the route's strategy says.
    Default,
    /// Nowhere.
    Refuse {
        /// The HTTP status, 400 to 599.
        status: u16,
        /// The body.
        message: String,
    },
}

/// Where does this request go?
pub trait Route: Send + Sync {
    /// Who answers.
    fn describe(&self) -> RuleInfo;

    /// The decision for one request.
    fn route(&self, request: &RequestHead) -> Result<RouteDecision, RuleError>;
}
