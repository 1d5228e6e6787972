//! Of a migration's tables: constraints that only one side has, and sequences that lag behind.

use crate::database::{AnyStore, Role};
use crate::rule::RuleColumn;
use crate::verify::{Pair, Report, SchemaDifference, compare_constraints, late_sequence};

use super::build::Opened;

/// Beside their rows, of the tables that were compared: constraints of those that are mapped column by
/// column, sequences of all. What cannot be looked at is left out, and logged.
pub(super) async fn differences(
    opened: &Opened,
    stores: [&AnyStore; 2],
    report: &Report,
) -> Vec<SchemaDifference> {
    let mut pairs = Vec::new();
    for (i, mapping) in opened.plan.mappings.iter().enumerate() {
        let unit = opened.plan.units_of(i).next();
        let Some(target) = unit.and_then(|unit| opened.target.tables().get(unit)) else {
            continue;
        };
        let name = |c: &RuleColumn| c.name.clone();
        let names = mapping.source.table.columns.iter().map(name);
        let columns = mapping.targets[0].table.columns.iter().map(name);
        pairs.push(Pair {
            source: &opened.source.tables()[i].schema,
            target: &target.schema,
            columns: (!mapping.is_transformed()).then(|| names.zip(columns).collect()),
        });
    }
    let is_compared = |table: &str| report.tables.iter().any(|t| t.table == table);
    let mut out = compare_constraints(&pairs);
    out.retain(|d| is_compared(&d.table));
    for pair in pairs.iter().filter(|pair| is_compared(&pair.target.name)) {
        for (role, store, table) in [
            (Role::Source, stores[0], pair.source),
            (Role::Target, stores[1], pair.target),
        ] {
            match store.sequences(&table.name).await {
                Ok(found) => out.extend(found.into_iter().filter_map(|(column, next, highest)| {
                    late_sequence(&pair.target.name, role, &column, next, highest)
                })),
                Err(e) => tracing::warn!("sequences are not compared: {e}"),
            }
        }
    }
    out
}
