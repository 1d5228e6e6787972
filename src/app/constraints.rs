//! Of a migration's tables: constraints that only one side has, and sequences that lag behind.

use crate::database::{AnyStore, Role};
use crate::error::Result;
use crate::rule::RuleColumn;
use crate::verify::{Pair, Report, SchemaDifference, compare_constraints, late_sequence};

use super::build::Opened;

/// Beside their rows, of the tables that were compared and are mapped column by column.
pub(super) async fn differences(
    opened: &Opened,
    stores: [&AnyStore; 2],
    report: &Report,
) -> Result<Vec<SchemaDifference>> {
    let mut columns = Vec::new();
    let mut pairs = Vec::new();
    for (i, mapping) in opened.plan.mappings.iter().enumerate() {
        let target = &mapping.targets[0].table;
        if mapping.is_transformed() || !report.tables.iter().any(|t| t.table == target.name) {
            continue;
        }
        let unit = opened.plan.units_of(i).next();
        let Some(there) = unit.and_then(|unit| opened.target.tables().get(unit)) else {
            continue;
        };
        let name = |c: &RuleColumn| c.name.clone();
        let names = mapping.source.table.columns.iter().map(name);
        let names: Vec<(String, String)> = names.zip(target.columns.iter().map(name)).collect();
        columns.push(names);
        pairs.push((&opened.source.tables()[i].schema, &there.schema));
    }
    let pairs: Vec<Pair<'_>> = std::iter::zip(&pairs, &columns)
        .map(|((source, target), columns)| Pair {
            source,
            target,
            columns,
        })
        .collect();
    let mut out = compare_constraints(&pairs);
    for pair in &pairs {
        for (role, store, table) in [
            (Role::Source, stores[0], pair.source),
            (Role::Target, stores[1], pair.target),
        ] {
            for (column, next, highest) in store.sequences(&table.name).await? {
                out.extend(late_sequence(
                    &pair.target.name,
                    role,
                    &column,
                    next,
                    highest,
                ));
            }
        }
    }
    Ok(out)
}
