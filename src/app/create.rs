//! Tables of the target that are not there: created after the source's, with their primary keys; their
//! unique indexes when the rows are there, their foreign keys last.
//!
//! Which tables are asked for is told by hand (`--create-tables`). What is left to be done after the
//! copy is kept with the migration, as SQL, so that whoever goes on does it.

use std::collections::HashMap;

use crate::config::Config;
use crate::data::TableSchema;
use crate::database::{AnyStore, Engine, ReadStore, create_table};
use crate::error::{Error, ErrorKind, Result};
use crate::state::{MigrationRecord, State};
use crate::sync::CreatedTable;

use super::build::{TableSpec, join, no_column};
use super::notebook::Notebook;
use super::open::{draft, state_folder, store};
use super::rules::Rules;

/// Creates what is missing, writes into the record what is left to be done. Answers what was created.
/// Where one table cannot be created, none is.
pub(super) async fn missing(
    config: &Config,
    state: &State,
    record: &mut MigrationRecord,
) -> Result<Vec<CreatedTable>> {
    let name = record.migration.clone();
    let migration = config.migration(&name)?;
    let source = store(config, &migration.source)?;
    let target = store(config, &migration.target)?;
    let mut rules = Rules::new(config, &state_folder(config)?)?;
    let specs = draft(&name, migration, &mut rules, &source)
        .await?
        .spec
        .tables;
    let mut wanted = Vec::new();
    let mut names = Vec::new();
    for spec in &specs {
        if spec.transform.is_some() {
            // Only the rule knows what its tables look like.
            continue;
        }
        let schema = source.schema(&spec.source).await?;
        names.push((schema.name.clone(), spec.target.clone()));
        match target.schema(&spec.target).await {
            Ok(_) => {}
            // An empty table in its place would be taken for one whose rows are all deleted.
            Err(e) if e.kind() == ErrorKind::NotFound && record.phase.is_installed() => {
                return Err(Error::new(
                    ErrorKind::Refused,
                    format!(
                        "migration {name}: table {} of the target is not there, and the migration \
                         has begun",
                        spec.target
                    ),
                )
                .hint(
                    "bring it back if it was there; make it yourself if it is new in the migration",
                )
                .hint(format!("or begin anew: banyan migration abort {name}")));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => wanted.push((spec, schema)),
            Err(e) => return Err(e),
        }
    }
    let names: Vec<(&str, &str)> = names
        .iter()
        .map(|(there, here)| (there.as_str(), here.as_str()))
        .collect();
    let (from, to) = (source.engine(), target.engine());
    let mut problems = Vec::new();
    let mut planned = Vec::new();
    for (spec, schema) in wanted {
        let created = mapped(schema, spec)
            .and_then(|schema| create_table(&schema, from, to, &spec.target, &names));
        match created {
            Ok(created) => planned.push((spec.target.clone(), created)),
            Err(e) => problems.push(e),
        }
    }
    if let Some(error) = join(problems) {
        return Err(error.at(format!("migration {name}")));
    }
    if planned.is_empty() {
        return Ok(Vec::new());
    }
    // Written down first: a table that is there is not created once more.
    let all = || planned.iter().map(|(_, created)| created);
    record
        .unfinished
        .retain(|u| planned.iter().all(|(table, _)| *table != u.table));
    // An index that comes later would be a change to SQLite's capture, and there costs little now.
    if to != Engine::Sqlite {
        let indexes = all().flat_map(|c| c.indexes.iter().cloned());
        record.unfinished.extend(indexes);
    }
    let foreign_keys = all().flat_map(|c| c.foreign_keys.iter().cloned());
    record.unfinished.extend(foreign_keys);
    // What a foreign key refers to must be unique first.
    record.unfinished.sort_by_key(|u| u.parent.is_some());
    state.save(record).await?;
    let mut done = Vec::new();
    for (table, created) in planned {
        if to == Engine::Sqlite {
            let indexes = created.indexes.iter().map(|index| index.sql.as_str());
            let all: Vec<&str> = std::iter::once(created.table.as_str())
                .chain(indexes)
                .collect();
            let sql = format!("BEGIN IMMEDIATE;\n{};\nCOMMIT", all.join(";\n"));
            target.run_ddl(&sql).await?;
        } else {
            target.run_ddl(&created.table).await?;
        }
        done.push(CreatedTable {
            table,
            left_out: created.left_out,
        });
    }
    Ok(done)
}

/// Does what is left to be done after the copy, in order, and forgets it.
pub(super) async fn finish(
    target: &AnyStore,
    record: &mut MigrationRecord,
    notebook: &mut Notebook<'_>,
) -> Result<()> {
    while let Some(next) = record.unfinished.first() {
        let is_done = match target.schema(&next.table).await {
            // Somebody may have done it who had no time to write it down.
            Ok(schema) => next.is_in(&schema),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                tracing::warn!(sql = next.sql, "left out: {e}");
                true
            }
            Err(e) => return Err(e),
        };
        if !is_done && let Err(e) = target.run_ddl(&next.sql).await {
            return Err(e.hint(format!(
                "mend what is in its way and start it again: banyan sync {}",
                record.migration
            )));
        }
        record.unfinished.remove(0);
        notebook.save(record).await;
    }
    Ok(())
}

/// The table as its target has it: with the target's names, without what is not mapped.
fn mapped(schema: TableSchema, spec: &TableSpec) -> Result<TableSchema> {
    let by_source: HashMap<usize, &String> = spec
        .columns
        .iter()
        .map(|(to, from)| {
            let column = schema
                .column(from)
                .ok_or_else(|| no_column(&schema, from))?;
            Ok((column, to))
        })
        .collect::<Result<_>>()?;
    let ignored = |name: &str| {
        let mut columns = spec.ignore_columns.iter();
        columns.any(|c| c.eq_ignore_ascii_case(name))
    };
    let kept: Vec<usize> = (0..schema.columns.len())
        .filter(|i| by_source.is_empty() || by_source.contains_key(i))
        .filter(|&i| !ignored(&schema.columns[i].name))
        .collect();
    let place = |i: usize| kept.iter().position(|&k| k == i);
    let mut out = schema.clone();
    out.columns = kept
        .iter()
        .map(|&i| {
            let mut column = schema.columns[i].clone();
            if let Some(name) = by_source.get(&i) {
                column.name.clone_from(name);
            }
            column
        })
        .collect();
    let key: Vec<usize> = if spec.key.is_empty() {
        schema.key.clone()
    } else {
        let found = spec
            .key
            .iter()
            .map(|name| schema.column(name).ok_or_else(|| no_column(&schema, name)));
        found.collect::<Result<_>>()?
    };
    out.key = key.iter().filter_map(|&i| place(i)).collect();
    if out.key.len() != key.len() {
        return Err(Error::new(
            ErrorKind::Config,
            format!("columns of the key of table {} are not mapped", schema.name),
        ));
    }
    for unique in &mut out.unique {
        for column in &mut unique.columns {
            *column = column.and_then(place);
        }
    }
    out.foreign_keys.retain_mut(|foreign| {
        let columns: Option<Vec<usize>> = foreign.columns.iter().map(|&i| place(i)).collect();
        let is_kept = columns.is_some();
        foreign.columns = columns.unwrap_or_default();
        is_kept
    });
    Ok(out)
}
