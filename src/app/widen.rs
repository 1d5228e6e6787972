//! Columns that one side gets while a migration runs, with `added_columns = "carry"`: the other side
//! gets them as well, and they are carried over from then on.
//!
//! Only what cannot be decided wrongly is added: a column that may be NULL and has no default, of a table
//! whose columns are mapped by name. Any other column pauses the table, as without this setting.
//!
//! What a side's tables had is kept with the migration ([`look`]), so that a column that was the
//! service's own from the beginning is told from one that was added. Changes that came before the
//! other side had the column wait meanwhile, and are decided once both sides have it.

use std::collections::BTreeMap;

use futures::StreamExt;

use crate::config::{AddedColumns, Config};
use crate::data::{Generated, TableSchema};
use crate::database::{
    AnyStore, AnySync, Engine, OpenState, ReadRequest, ReadStore, SyncStore, SyncTable, add_column,
};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::state::{KnownColumn, MigrationRecord};

use super::Opened;
use super::build::{TableSpec, build};
use super::open::{Draft, draft, state_folder, store};
use super::rules::Rules;

/// A column to be added.
#[derive(Debug)]
pub(super) struct Addition {
    store: AnyStore,
    table: String,
    column: String,
    sql: String,
}

/// The columns that one side was given and the other one lacks, as far as they can be added there.
pub(super) async fn wanted(config: &Config, record: &MigrationRecord) -> Result<Vec<Addition>> {
    if !carries(config, record)? || !record.phase.is_installed() {
        return Ok(Vec::new());
    }
    let ([source, target], Draft { spec, .. }) = ends(config, record).await?;
    let mut out = Vec::new();
    for table in &spec.tables {
        if !is_mapped_by_name(table) {
            continue;
        }
        let sides = async {
            Ok((
                source.schema(&table.source).await?,
                target.schema(&table.target).await?,
            ))
        };
        let (from, to) = match sides.await {
            Ok(sides) => sides,
            // That is said where the migration is opened.
            Err(e) if Error::kind(&e) == ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        // As the store spells it, not as the configuration does.
        let Some(known) = record.known_columns.get(&to.name) else {
            continue;
        };
        let ignored = |column: &str| {
            let mut ignored = table.ignore_columns.iter();
            ignored.any(|c| c.eq_ignore_ascii_case(column))
        };
        // One that the target had is one that somebody has dropped there.
        let is_new = |column: &str| known.keys().all(|k| !k.eq_ignore_ascii_case(column));
        let mut add = |from: (&AnyStore, &TableSchema), to: (&AnyStore, &TableSchema)| {
            for index in 0..from.1.columns.len() {
                let column = &from.1.columns[index].name;
                if to.1.column(column).is_some() || ignored(column) || !is_new(column) {
                    continue;
                }
                let engines = (from.0.engine(), to.0.engine());
                if let Some(sql) = addition(from.1, index, engines, &to.1.name) {
                    out.push(Addition {
                        store: to.0.clone(),
                        table: to.1.name.clone(),
                        column: column.clone(),
                        sql,
                    });
                }
            }
        };
        add((&source, &from), (&target, &to));
        if spec.two_way {
            add((&target, &to), (&source, &from));
        }
    }
    Ok(out)
}

/// The SQL, unless the column is one that somebody must decide about.
fn addition(
    schema: &TableSchema,
    index: usize,
    (from, to): (Engine, Engine),
    table: &str,
) -> Option<String> {
    let column = &schema.columns[index];
    let plain =
        column.began_null() && column.generated == Generated::No && !schema.key.contains(&index);
    plain
        .then(|| add_column(schema, index, from, to, table))
        .flatten()
}

/// Adds what is wanted; answers whether that is anything.
pub(super) async fn all(config: &Config, record: &MigrationRecord) -> Result<bool> {
    let additions = wanted(config, record).await?;
    let any = !additions.is_empty();
    add(additions, &record.migration).await?;
    Ok(any)
}

/// Adds what is missing. Fails with `Busy` where a table cannot be changed at once: nobody is kept
/// waiting for long.
async fn add(additions: Vec<Addition>, migration: &str) -> Result<()> {
    for addition in additions {
        let Addition {
            store,
            table,
            column,
            sql,
        } = addition;
        if let Err(e) = store.run_ddl(&sql).await {
            let there = store.schema(&table).await?;
            if there.column(&column).is_some() {
                continue;
            }
            let e = e.at(format!(
                "migration {migration}: column {column} for table {table}"
            ));
            return Err(match e.kind() {
                ErrorKind::Busy => e,
                _ => e.hint(format!(
                    "add it yourself, or leave it out with ignore_columns = [\"{column}\"]"
                )),
            });
        }
        tracing::info!(
            table,
            column,
            sql,
            "a column was added, as on the other side"
        );
    }
    Ok(())
}

/// Lets tables go on that waited for columns which are on both sides by now.
pub(super) async fn go_on(
    config: &Config,
    record: &MigrationRecord,
    opened: &Opened,
) -> Result<()> {
    if carries(config, record)? {
        let [source, target] = complete(record, opened, |_| true);
        opened.source.widened(source).await?;
        opened.target.widened(target).await?;
    }
    Ok(())
}

/// Whether a table that is paused would go on if the migration were opened anew: the column that it waits
/// for is on both sides. That it was added may be read late, when the other side has it long since; and
/// somebody may have added it to both. Fails with what passes by itself only.
pub(super) async fn would_go_on(config: &Config, record: &MigrationRecord) -> Result<bool> {
    if !carries(config, record)? {
        return Ok(false);
    }
    match do_go_on(config, record).await {
        // The sync runs on as it was opened, whatever would be in its way now.
        Err(e) if e.kind().retry() == Retry::Never => Ok(false),
        goes_on => goes_on,
    }
}

async fn do_go_on(config: &Config, record: &MigrationRecord) -> Result<bool> {
    let ([source, target], drafted) = ends(config, record).await?;
    let opened = build(&source, &target, &drafted.spec).await?;
    for side in [&opened.source, &opened.target] {
        if !side.look_over().await?.problems.is_empty() {
            return Ok(false);
        }
    }
    let tables = &drafted.spec.tables;
    let [source, target] = complete(record, &opened, |mapping| {
        is_mapped_by_name(&tables[mapping])
    });
    Ok(drafted.wrong.is_empty()
        && (opened.source.wait_for_columns(&source).await?
            || opened.target.wait_for_columns(&target).await?))
}

/// Both stores, and what is to be done between them.
async fn ends(config: &Config, record: &MigrationRecord) -> Result<([AnyStore; 2], Draft)> {
    let name = &record.migration;
    let migration = config.migration(name)?;
    let ends = [
        store(config, &migration.source)?,
        store(config, &migration.target)?,
    ];
    let mut rules = Rules::new(config, &state_folder(config)?)?;
    let drafted = draft(name, migration, &mut rules, &ends[0]).await?;
    Ok((ends, drafted))
}

/// Whose columns somebody has named, nobody else adds some to.
fn is_mapped_by_name(table: &TableSpec) -> bool {
    table.transform.is_none() && table.columns.is_empty()
}

fn carries(config: &Config, record: &MigrationRecord) -> Result<bool> {
    let options = &config.migration(&record.migration)?.options;
    Ok(options.added_columns == AddedColumns::Carry)
}

/// The tables of the source and of the target that have no column which should be on the other side too,
/// of the mappings that are asked for.
fn complete(
    record: &MigrationRecord,
    opened: &Opened,
    is_asked: impl Fn(usize) -> bool,
) -> [Vec<String>; 2] {
    // What of the source is not mapped, somebody has left out.
    let source = opened.source.tables().iter().enumerate();
    let source = source.filter(|(mapping, _)| is_asked(*mapping));
    let source = source.map(|(_, t)| t.schema.name.clone()).collect();
    // Of the target it may be new, and none that can be added to the source.
    let is_known = |table: &&SyncTable| {
        let known = record.known_columns.get(&table.schema.name);
        table.schema.data_columns().into_iter().all(|column| {
            let name = &table.schema.columns[column].name;
            table.columns.contains(&column) || known.is_some_and(|known| known.contains_key(name))
        })
    };
    let target = std::iter::zip(&opened.plan.units, opened.target.tables());
    let target = target.filter(|(unit, _)| is_asked(unit.mapping));
    let target = target.map(|(_, table)| table).filter(is_known);
    let target = target.map(|t| t.schema.name.clone()).collect();
    [source, target]
}

/// What is known of the target's columns, and of what is in those that are new.
pub(super) struct Widened {
    /// All at first, later those that are mapped as well.
    pub(super) known: BTreeMap<String, BTreeMap<String, KnownColumn>>,
    /// Whether all that is in the columns that are mapped now and were not before comes with changes that
    /// are still to be read: they were added, are empty so far, and every change is read from a log.
    pub(super) comes: bool,
}

/// Looks which columns the target's tables have, and tells the plan which ones are new. `recopied`: tables
/// are to be looked at again, so that nothing is settled yet.
pub(super) async fn look(
    config: &Config,
    record: &MigrationRecord,
    opened: &mut Opened,
    recopied: bool,
) -> Result<Widened> {
    let migration = config.migration(&opened.plan.migration)?;
    let stores = [
        store(config, &migration.source)?,
        store(config, &migration.target)?,
    ];
    let followed = [
        Some(&opened.source),
        opened.plan.two_way.then_some(&opened.target),
    ];
    let mut comes = migration.options.added_columns == AddedColumns::Carry
        && followed.into_iter().flatten().all(AnySync::has_log);
    let is_looked_at = !recopied && opened.is_copied().await? && is_decided(opened).await?;
    let mut all = BTreeMap::new();
    for (unit, table) in std::iter::zip(&mut opened.plan.units, opened.target.tables()) {
        let source = &opened.source.tables()[unit.mapping];
        let columns = table.schema.columns.iter().enumerate();
        let is_mapped = |index: usize| table.columns.contains(&index);
        let known = match record.known_columns.get(&table.schema.name) {
            None => {
                comes = false;
                let state = |i| match is_mapped(i) {
                    true => KnownColumn::Mapped,
                    false => KnownColumn::LeftOut,
                };
                columns.map(|(i, c)| (c.name.clone(), state(i))).collect()
            }
            Some(known) => {
                let mut known = known.clone();
                for (_, column) in columns.filter(|(i, _)| is_mapped(*i)) {
                    let was = known.get(&column.name);
                    let is = match was {
                        None if column.began_null() => KnownColumn::Added,
                        Some(KnownColumn::Added) if !is_looked_at => KnownColumn::Added,
                        _ => KnownColumn::Mapped,
                    };
                    comes &= match was {
                        // One that was left out held something.
                        Some(KnownColumn::LeftOut) => false,
                        Some(_) => true,
                        None => {
                            comes
                                && is == KnownColumn::Added
                                && is_empty(&stores[0], source, &column.name).await?
                                && is_empty(&stores[1], table, &column.name).await?
                        }
                    };
                    known.insert(column.name.clone(), is);
                }
                known
            }
        };
        let is_added = |&index: &usize| {
            let name = &table.schema.columns[index].name;
            known.get(name) == Some(&KnownColumn::Added)
        };
        unit.added = table.columns.iter().map(is_added).collect();
        all.insert(table.schema.name.clone(), known);
    }
    Ok(Widened { known: all, comes })
}

/// Whether no row waits for what both sides' new columns decide about it.
async fn is_decided(opened: &Opened) -> Result<bool> {
    for store in [&opened.source, &opened.target] {
        let open = store.open_conflicts().await?;
        if open.iter().any(|c| c.state != OpenState::Parked) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a table has the column, and no row has anything in it: what was added with a default, or filled
/// at once, stands in no log.
async fn is_empty(store: &AnyStore, table: &SyncTable, column: &str) -> Result<bool> {
    let schema = &table.schema;
    let Some(index) = schema
        .column(column)
        .filter(|&i| schema.columns[i].began_null())
    else {
        return Ok(false);
    };
    let name = &schema.columns[index].name;
    let request = ReadRequest {
        table: schema.name.clone(),
        columns: vec![name.clone()],
        filter: Some(format!("{} IS NOT NULL", store.engine().quote(name))),
        limit: Some(1),
        ..ReadRequest::default()
    };
    let mut snapshot = store.snapshot().await?;
    let mut batches = snapshot.read(request);
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        rows += batch?.num_rows();
    }
    Ok(rows == 0)
}
