//! From what a migration says about tables to mappings that fit both schemas.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::data::{Generated, TableSchema};
use crate::database::sqlite::{COLUMNS_MAX, too_wide};
use crate::database::{AnyStore, AnySync, Engine, ReadStore, Role, SyncOptions, SyncTable};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::rule::mapping::{How, MappedTable, RowFilter, TableMapping};
use crate::rule::{OnFailure, Resolve, RuleTable, Transform, Validate};
use crate::sync::{Plan, Unit};

/// One table of a migration, with its rules loaded.
#[derive(Clone)]
pub struct TableSpec {
    /// The source's table.
    pub source: String,
    /// The target's table.
    pub target: String,
    /// Further tables of the target that the transform writes.
    pub split: Vec<String>,
    /// Target column → source column; empty: all, by name.
    pub columns: BTreeMap<String, String>,
    /// Columns of the target that are neither compared nor written.
    pub ignore_columns: Vec<String>,
    /// The source's key columns where the table declares none; the target's have the same names
    /// after mapping.
    pub key: Vec<String>,
    /// Reshapes rows.
    pub transform: Option<Arc<dyn Transform>>,
    /// Says whether rows may be there.
    pub validate: Option<Arc<dyn Validate>>,
    /// Decides conflicts.
    pub resolver: Arc<dyn Resolve>,
    /// What happens when that fails.
    pub on_failure: OnFailure,
    /// Which rows of the source take part (SQL).
    pub filter: Option<String>,
}

impl fmt::Debug for TableSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSpec")
            .field("source", &self.source)
            .field("target", &self.target)
            .field("resolver", &self.resolver.describe().name)
            .finish_non_exhaustive()
    }
}

/// A migration, with its rules loaded.
#[derive(Clone, Debug)]
pub struct MigrationSpec {
    /// Its name.
    pub name: String,
    /// Whether the target's changes are carried back.
    pub two_way: bool,
    /// Whether foreign keys are checked when changes are applied.
    pub check_foreign_keys: bool,
    /// So much of its log may a server keep for us, in MiB, before it is said aloud.
    pub log_kept_mb_max: u64,
    /// The tables.
    pub tables: Vec<TableSpec>,
}

/// A migration whose stores are open and whose mappings fit.
#[derive(Debug)]
pub struct Opened {
    /// The source.
    pub source: AnySync,
    /// The target.
    pub target: AnySync,
    /// What is synced with what.
    pub plan: Plan,
}

impl Opened {
    /// Whether capture is installed on both sides.
    pub(super) async fn is_installed(&self) -> Result<bool> {
        Ok(self.source.is_installed().await? && self.target.is_installed().await?)
    }

    /// Whether every table is copied, as the target remembers it.
    pub(super) async fn is_copied(&self) -> Result<bool> {
        if !self.is_installed().await? {
            return Ok(false);
        }
        let chunks = self.target.chunks().await?;
        Ok((0..self.plan.mappings.len())
            .all(|table| chunks.iter().any(|c| c.table == table && c.upper.is_none())))
    }
}

/// What is wrong with a migration once both schemas are seen.
#[derive(Debug)]
pub(super) struct Misfit {
    /// Index of the table in the specification; `None`: the migration as a whole.
    pub(super) table: Option<usize>,
    /// What is wrong.
    pub(super) error: Error,
}

/// The tables of a migration, as far as they fit.
#[derive(Debug, Default)]
pub(super) struct Fitted {
    pub(super) mappings: Vec<TableMapping>,
    pub(super) units: Vec<Unit>,
    pub(super) source_tables: Vec<SyncTable>,
    pub(super) target_tables: Vec<SyncTable>,
    /// For each mapping, the index of its table in the specification.
    pub(super) origins: Vec<usize>,
    /// What does not fit.
    pub(super) misfits: Vec<Misfit>,
}

/// Looks at both schemas and builds the mappings, without a write. Goes on after a misfit, but
/// not when a store fails.
pub(super) async fn fit(source: &AnyStore, target: &AnyStore, spec: &MigrationSpec) -> Fitted {
    let mut fitted = Fitted::default();
    if source.identity() == target.identity() {
        let error = Error::new(
            ErrorKind::Config,
            format!(
                "its source and its target are the same database, {}",
                source.place()
            ),
        )
        .hint("give the service a database of its own");
        fitted.misfits.push(Misfit { table: None, error });
        return fitted;
    }
    let mut seen = HashSet::new();
    for (index, table) in spec.tables.iter().enumerate() {
        let table_is = Some(index);
        if !seen.insert(table.source.to_ascii_lowercase()) {
            let error = Error::new(
                ErrorKind::Config,
                format!("table {} of the source occurs twice", table.source),
            )
            .hint("to write one table to several, use a transform and `split`");
            fitted.misfits.push(Misfit {
                table: table_is,
                error,
            });
            continue;
        }
        match build_table(source, target, table).await {
            Ok(built) => fitted.add(index, table, built),
            Err(error) => {
                let over = error.kind().retry() == Retry::Backoff
                    || matches!(error.kind(), ErrorKind::Store | ErrorKind::Io);
                if over {
                    // The store is away, locked or broken: asking it once more for each table would only
                    // take long.
                    fitted.misfits.push(Misfit { table: None, error });
                    return fitted;
                }
                let place = format!("table {}", table.source);
                let error = if error.message().contains(&place) {
                    error
                } else {
                    error.at(place)
                };
                fitted.misfits.push(Misfit {
                    table: table_is,
                    error,
                });
            }
        }
    }
    let mut names = HashSet::new();
    for unit in &fitted.units {
        if !names.insert(unit.name.to_ascii_lowercase()) {
            let error = Error::new(
                ErrorKind::Config,
                format!("table {} of the target is written by two tables", unit.name),
            );
            fitted.misfits.push(Misfit {
                table: fitted.origins.get(unit.mapping).copied(),
                error,
            });
        }
    }
    fitted
}

impl Fitted {
    fn add(&mut self, index: usize, table: &TableSpec, built: Built) {
        let mapping = self.mappings.len();
        for n in 0..built.mapping.targets.len() {
            self.units.push(Unit {
                name: built.mapping.targets[n].table.name.clone(),
                mapping,
                target: n,
                resolver: Arc::clone(&table.resolver),
                on_failure: table.on_failure.clone(),
                validator: table.validate.clone(),
                added: Vec::new(),
            });
        }
        self.mappings.push(built.mapping);
        self.origins.push(index);
        self.source_tables.push(built.source);
        self.target_tables.extend(built.targets);
    }
}

/// Looks at both schemas, builds the mappings, opens the connections. Nothing is written. Fails
/// with one error that lists everything that does not fit.
pub async fn build(source: &AnyStore, target: &AnyStore, spec: &MigrationSpec) -> Result<Opened> {
    let mut fitted = fit(source, target, spec).await;
    let misfits = std::mem::take(&mut fitted.misfits)
        .into_iter()
        .map(|m| m.error)
        .collect();
    if let Some(error) = join(misfits) {
        return Err(error.at(format!("migration {}", spec.name)));
    }
    open_fitted(source, target, spec, fitted).await
}

/// Opens both stores of what fits. Nothing is written.
pub(super) async fn open_fitted(
    source: &AnyStore,
    target: &AnyStore,
    spec: &MigrationSpec,
    fitted: Fitted,
) -> Result<Opened> {
    let unit_names: Vec<String> = fitted.units.iter().map(|u| u.name.clone()).collect();
    let sources: Vec<String> = fitted
        .source_tables
        .iter()
        .map(|t| t.schema.name.clone())
        .collect();
    let origins: Vec<String> = fitted
        .units
        .iter()
        .map(|u| sources[u.mapping].clone())
        .collect();
    let targets = fitted.target_tables.clone();
    let options = |role, tables| SyncOptions {
        migration: spec.name.clone(),
        role,
        tables,
        units: unit_names.clone(),
        sources: sources.clone(),
        origins: match role {
            Role::Source => sources.clone(),
            Role::Target => origins.clone(),
        },
        written: spec.two_way || role == Role::Target,
        followed: spec.two_way || role == Role::Source,
        targets: targets.clone(),
        check_foreign_keys: spec.check_foreign_keys,
        log_kept_mb_max: spec.log_kept_mb_max,
    };
    let (source_tables, target_tables) = (fitted.source_tables, fitted.target_tables);
    Ok(Opened {
        source: source.sync(options(Role::Source, source_tables)).await?,
        target: target.sync(options(Role::Target, target_tables)).await?,
        plan: Plan {
            migration: spec.name.clone(),
            two_way: spec.two_way,
            mappings: fitted.mappings,
            units: fitted.units,
        },
    })
}

/// Several errors as one, with every hint once; `None` when there is none.
pub(super) fn join(mut problems: Vec<Error>) -> Option<Error> {
    if problems.len() <= 1 {
        return problems.pop();
    }
    let kind = problems[0].kind();
    let lines: Vec<String> = problems.iter().map(|p| format!("  {p}")).collect();
    let mut error = Error::new(
        kind,
        format!("{} problems:\n{}", problems.len(), lines.join("\n")),
    );
    for problem in &problems {
        for hint in problem.hints() {
            if !error.hints().contains(hint) {
                error = error.hint(hint.clone());
            }
        }
    }
    Some(error)
}

struct Built {
    mapping: TableMapping,
    source: SyncTable,
    targets: Vec<SyncTable>,
}

/// A schema, the columns that take part, and the key, all by index into the schema.
struct Chosen {
    schema: TableSchema,
    columns: Vec<usize>,
    key: Vec<usize>,
}

impl Chosen {
    fn mapped(&self, store: &AnyStore, other: Engine) -> MappedTable {
        let mut table = RuleTable::of(&self.schema, &self.columns);
        table.key = self.key_cells();
        let stored = store.form(&self.schema, &self.columns, other);
        MappedTable { table, stored }
    }

    fn key_cells(&self) -> Vec<usize> {
        self.key
            .iter()
            .filter_map(|k| self.columns.iter().position(|c| c == k))
            .collect()
    }

    fn sync(self, filter: Option<String>, as_sent: bool) -> SyncTable {
        SyncTable {
            as_sent,
            key: self.key_cells(),
            schema: self.schema,
            columns: self.columns,
            filter,
        }
    }
}

async fn build_table(source: &AnyStore, target: &AnyStore, spec: &TableSpec) -> Result<Built> {
    let from = source.schema(&spec.source).await?;
    let to = target.schema(&spec.target).await.map_err(|e| {
        if e.kind() == ErrorKind::NotFound && spec.transform.is_none() {
            e.hint("banyan copy and banyan sync create such tables with --create-tables")
        } else {
            e
        }
    })?;
    let filter: Option<Arc<dyn RowFilter>> = None;
    let (from, tos, how) = match &spec.transform {
        None => {
            let (from, to) = by_columns(from, to, spec)?;
            (from, vec![to], How::Columns)
        }
        Some(rule) => {
            let columns = from.data_columns();
            let key = declared_key(&from, &spec.key)?;
            let from = Chosen {
                schema: from,
                columns,
                key,
            };
            let mut tos = vec![whole(to, spec)?];
            for name in &spec.split {
                tos.push(whole(target.schema(name).await?, spec)?);
            }
            (from, tos, How::Rule(Arc::clone(rule)))
        }
    };
    super::encoding::refuse(source, &from.schema, &from.key)?;
    for to in &tos {
        super::encoding::refuse(target, &to.schema, &to.key)?;
    }
    let filter = match &spec.filter {
        None => filter,
        Some(sql) => Some(source.filter(&from.schema, &from.columns, sql)?),
    };
    let mut mapping = TableMapping {
        source: from.mapped(source, target.engine()),
        targets: tos
            .iter()
            .map(|to| to.mapped(target, source.engine()))
            .collect(),
        how,
        filter,
        filter_sql: spec.filter.clone(),
    };
    let to = &tos[0];
    let (a, b) = (
        (&from.schema, &from.columns[..]),
        (&to.schema, &to.columns[..]),
    );
    if matches!(mapping.how, How::Columns) && source.holds_alike(a.0, a.1, target, b.0, b.1) {
        // Both sides make the same of every value, so what one holds the other holds.
        mapping.source.stored = None;
        mapping.targets[0].stored = None;
    }
    let as_sent = matches!(mapping.how, How::Columns)
        && spec.validate.is_none()
        && source.sends_alike((a.0, a.1, &from.key), target, b);
    for chosen in std::iter::once(&from).chain(&tos) {
        if chosen.columns.len() > COLUMNS_MAX {
            return Err(too_wide(&chosen.schema.name, chosen.columns.len()));
        }
    }
    Ok(Built {
        mapping,
        source: from.sync(spec.filter.clone(), as_sent),
        targets: tos.into_iter().map(|t| t.sync(None, false)).collect(),
    })
}

/// The table's key, or the columns that the configuration names.
fn declared_key(schema: &TableSchema, names: &[String]) -> Result<Vec<usize>> {
    if names.is_empty() {
        if schema.key.is_empty() {
            return Err(no_key(schema));
        }
        return Ok(schema.key.clone());
    }
    names
        .iter()
        .map(|n| schema.column(n).ok_or_else(|| no_column(schema, n)))
        .collect()
}

fn no_key(schema: &TableSchema) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("table {} has no primary key and no unique key without NULLs, so its rows cannot be told apart", schema.name),
    )
    .hint(format!(
        "add one (CREATE UNIQUE INDEX … ON {}(…) over NOT NULL columns), or name unique columns with key = [\"…\"]",
        schema.name
    ))
}

pub(super) fn no_column(schema: &TableSchema, name: &str) -> Error {
    let nearest = schema
        .columns
        .iter()
        .map(|c| (strsim::jaro_winkler(&c.name, name), &c.name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let error = Error::new(
        ErrorKind::Config,
        format!("table {} has no column {name}", schema.name),
    );
    match nearest {
        Some((score, nearest)) if score > 0.75 => error.hint(format!("did you mean {nearest}?")),
        _ => {
            let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
            error.hint(format!("its columns are: {}", names.join(", ")))
        }
    }
}

/// All columns of a table that a transform writes, but the ignored ones.
fn whole(schema: TableSchema, spec: &TableSpec) -> Result<Chosen> {
    let columns = schema
        .data_columns()
        .into_iter()
        .filter(|&i| !ignored(spec, &schema.columns[i].name))
        .collect();
    if schema.key.is_empty() {
        return Err(no_key(&schema));
    }
    Ok(Chosen {
        key: schema.key.clone(),
        schema,
        columns,
    })
}

fn ignored(spec: &TableSpec, column: &str) -> bool {
    spec.ignore_columns
        .iter()
        .any(|c| c.eq_ignore_ascii_case(column))
}

/// Pairs of columns, in the order of the source's table.
fn by_columns(from: TableSchema, to: TableSchema, spec: &TableSpec) -> Result<(Chosen, Chosen)> {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    if spec.columns.is_empty() {
        for i in from.data_columns() {
            let name = &from.columns[i].name;
            match to.column(name) {
                Some(t) if ignored(spec, name) => {
                    debug_assert!(t < to.columns.len());
                }
                Some(t) if to.columns[t].generated == Generated::No => pairs.push((i, t)),
                _ => {
                    return Err(Error::new(
                        ErrorKind::Config,
                        format!(
                            "column {name} has no counterpart in the target's table {}",
                            to.name
                        ),
                    )
                    .hint(
                        "map columns by hand with columns = { target = \"source\" }; those that \
                         are not listed stay behind",
                    ));
                }
            }
        }
    } else {
        for (t, s) in &spec.columns {
            let t = to.column(t).ok_or_else(|| no_column(&to, t))?;
            let s = from.column(s).ok_or_else(|| no_column(&from, s))?;
            pairs.push((s, t));
        }
        pairs.sort_unstable();
    }
    for i in to.data_columns() {
        let c = &to.columns[i];
        if !c.nullable && c.default.is_none() && !pairs.iter().any(|&(_, t)| t == i) {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "column {} of the target's table {} is NOT NULL, has no default and gets no \
                     value",
                    c.name, to.name
                ),
            )
            .hint("map a source column to it, give it a default, or use a transform"));
        }
    }
    let key = declared_key(&from, &spec.key)?;
    let target_key = key
        .iter()
        .map(|k| {
            pairs
                .iter()
                .find(|(s, _)| s == k)
                .map(|&(_, t)| t)
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::Config,
                        format!("key column {} is not mapped", from.columns[*k].name),
                    )
                    .hint("add it to columns")
                })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut sorted = (target_key.clone(), to.key.clone());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    if sorted.0 != sorted.1 && spec.key.is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "the key of the source ({}) is not the key of the target's table {} ({})",
                from.key_names().join(", "),
                to.name,
                to.key_names().join(", ")
            ),
        )
        .hint("both sides must have the same key; give the target's table that primary key"));
    }
    Ok((
        Chosen {
            schema: from,
            columns: pairs.iter().map(|p| p.0).collect(),
            key,
        },
        Chosen {
            schema: to,
            columns: pairs.iter().map(|p| p.1).collect(),
            key: target_key,
        },
    ))
}
