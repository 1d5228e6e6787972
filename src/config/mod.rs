//! The configuration: TOML as it is written → a pure check → [`Config`].
//!
//! The check touches neither files nor network. It reports every mistake at once ([`Problem`]:
//! path, line, what was found, what is allowed, the nearest name) and answers a [`Config`] only
//! when there is none, so that whatever holds a `Config` need not check it again.
//!
//! - `document`: the parsed tree with lines, and typed access that collects problems.
//! - `environment`: `${NAME}` in string values.
//! - `store`, `rule`, `migration`, `check`, `router`: one section each, raw → checked.
//! - [`Secret`]: what must never reach a log or an error message.

mod check;
mod document;
mod environment;
mod load;
mod migration;
mod name;
mod problem;
mod router;
mod rule;
mod secret;
mod store;
mod strategy;
mod template;
mod verification;

#[cfg(test)]
mod tests;

pub use check::{CheckConfig, Expect};
pub use environment::{Environment, ProcessEnvironment};
pub use load::{Config, ControlConfig, DEFAULT_FILE, StateConfig};
pub use migration::{
    AddedColumns, ForeignKeys, MigrationConfig, MigrationOptions, Mode, OnConflict, TableConfig,
};
pub use name::nearest;
pub use problem::{Problem, into_error};
pub use router::{RouteMatch, RouteStrategy, RouterConfig, ServiceConfig, Sticky};
pub use rule::{OnFailure, RuleConfig, RuleLimits, RuleSource};
pub use secret::Secret;
pub use store::{Capture, ServerUrl, StoreConfig, StoreUrl};
pub use strategy::BUILT_IN_STRATEGIES;
pub use template::TEMPLATE;
pub use verification::{SweepLevel, VerificationConfig};
