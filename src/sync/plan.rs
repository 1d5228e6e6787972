//! What is synced with what, and who decides.

use std::sync::Arc;

use crate::rule::mapping::TableMapping;
use crate::rule::{OnFailure, Resolve, Validate};

/// One table of the target and the table of the source that it comes from.
#[derive(Clone)]
pub struct Unit {
    /// The target table's name; unique within the migration.
    pub name: String,
    /// Index of the mapping; also of the source's table.
    pub mapping: usize,
    /// Which of the mapping's target tables.
    pub target: usize,
    /// Who decides conflicts.
    pub resolver: Arc<dyn Resolve>,
    /// What happens when that rule fails.
    pub on_failure: OnFailure,
    /// Who says whether a row may be there.
    pub validator: Option<Arc<dyn Validate>>,
    /// Of the columns of its rows: whether it was added a moment ago, and was NULL everywhere. Empty: none.
    pub added: Vec<bool>,
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("name", &self.name)
            .field("resolver", &self.resolver.describe().name)
            .finish_non_exhaustive()
    }
}

/// Everything about a migration that its stores do not know.
///
/// Indexes: mapping `m` is table `m` of the source store; unit `u` is table `u` of the target store.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The migration's name.
    pub migration: String,
    /// Whether the target's changes are carried back.
    pub two_way: bool,
    /// The mappings, in the order of the configuration.
    pub mappings: Vec<TableMapping>,
    /// The units, in the order of the mappings.
    pub units: Vec<Unit>,
}

impl Plan {
    /// The units of a mapping, in the order of its targets.
    pub fn units_of(&self, mapping: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.units.len()).filter(move |&u| self.units[u].mapping == mapping)
    }

    /// The mapping of a unit.
    #[must_use]
    pub fn mapping(&self, unit: usize) -> &TableMapping {
        &self.mappings[self.units[unit].mapping]
    }
}
