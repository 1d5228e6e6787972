//! What happens when the configuration of a running migration was edited.

use std::collections::BTreeMap;

use serde_json::json;

use crate::database::MappedAs;
use crate::error::Result;
use crate::rule::RuleTable;
use crate::rule::mapping::TableMapping;
use crate::sync::Plan;

use super::Opened;

/// Lets tables be copied once more that are mapped otherwise than when they were copied: rows that
/// are equal stay, rows that differ are conflicts for the table's rule. Answers whether there are
/// any. `widened`: columns that were added need no copy.
pub(super) async fn remap(opened: &Opened, widened: bool) -> Result<bool> {
    let plan = &opened.plan;
    let now = plan.mappings.iter();
    let now = now.map(|m| (m.source.table.name.clone(), mapped_as(plan, m)));
    let again = opened.target.remap(now.collect(), widened).await?;
    for (table, different) in &again {
        tracing::warn!(
            "table {table} is copied once more, because it is mapped otherwise than when it was \
             copied ({}); rows that differ by now are conflicts for its on_conflict",
            different.join(", ")
        );
    }
    Ok(!again.is_empty())
}

/// What decides which cells of which rows get across, and which way. Rules are left out: they may
/// be edited at any time.
fn mapped_as(plan: &Plan, mapping: &TableMapping) -> MappedAs {
    let columns = |table: &RuleTable| -> Vec<String> {
        table.columns.iter().map(|c| c.name.clone()).collect()
    };
    let key = |table: &RuleTable| -> Vec<String> {
        let key = table.key.iter();
        key.map(|&k| table.columns[k].name.clone()).collect()
    };
    let targets = mapping.targets.iter();
    let targets: BTreeMap<&str, Vec<String>> = targets
        .map(|t| (t.table.name.as_str(), columns(&t.table)))
        .collect();
    let parts = [
        ("where", json!(mapping.filter_sql)),
        ("source columns", json!(columns(&mapping.source.table))),
        ("key", json!(key(&mapping.source.table))),
        ("target columns", json!(targets)),
        ("transform or not", json!(mapping.is_transformed())),
    ];
    let two_way = plan.two_way.then(|| ("mode", json!("two-way")));
    parts
        .into_iter()
        .chain(two_way)
        .map(|(name, value)| (name.to_owned(), value.to_string()))
        .collect()
}
