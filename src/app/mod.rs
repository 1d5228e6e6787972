//! The composition root: configuration → opened stores, loaded rules, a running engine.
//!
//! The only place that names concrete backends and hosts of rules.

mod alert;
mod build;
mod check;
mod conflicts;
mod constraints;
mod create;
mod encoding;
mod ending;
mod flow;
mod host;
mod lease;
mod notebook;
mod open;
mod operate;
mod progress;
mod proof;
mod remap;
mod resume;
mod rules;
mod verify;
mod widen;
mod worker;

pub use alert::{Alert, is_alarming};
pub use build::{MigrationSpec, Opened, TableSpec, build};
pub use check::{Checked, Finding, check};
pub use conflicts::{list as list_conflicts, resolve as resolve_conflict, show as show_conflict};
pub use ending::{Ending, end};
pub use host::{HostEvent, HostEvents, host};
pub use lease::Lease;
pub use open::{open, state, state_folder, store, stores};
pub use operate::{SyncRequest, sync};
pub use progress::Observed;
pub use proof::Board;
pub use resume::resume;
pub use rules::{RuleWatcher, Rules};
pub use worker::{WorkerOptions, work};

pub use verify::{VerifyOptions, query, reconcile, remember, verify};

pub use crate::state::{AuditLog, AuditSummary};
