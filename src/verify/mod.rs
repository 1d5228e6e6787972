//! Proves that both sides are equal, or says exactly where they are not.
//!
//! - [`verify`]: compares the tables of a migration at three levels ([`Level`]) and gives a
//!   [`Report`].
//! - [`query`](fn@query): SQL over all stores by name.
//! - [`reconcile`](fn@reconcile): repairs what differs, through [`RepairStore`].
//!
//! # How a comparison goes
//! Both sides are read in key order, part by part (`look`), each part from snapshots of its own and in
//! a task a side, as Arrow batches; a merge puts rows with one key side by side. What is equal is
//! decided by canonical content ([`crate::data::canonical`]), never by concatenated text and never by
//! the store.
//! Transforms are applied to the source's rows; where they change the order of keys, rows are
//! sorted on disk, as are those of tables without a key, which are compared as multisets. Rows that
//! differ go to a file. So memory does not depend on the number of rows or of differences.
//!
//! Rows that differ are looked at again when what was on its way has got across ([`Flow`]): then they are
//! certain, or they were in flight. Parts that are compared stand in a [`Ledger`].
//!
//! COUNT counts. HASH reduces each side to digests of segments where it is read, and looks at rows
//! only where digests differ. FULL compares every cell, and leaves the digest as evidence.

mod check;
mod cluster;
mod columns;
mod constraints;
mod digest;
mod flow;
mod group;
mod json;
mod lanes;
mod ledger;
mod look;
mod merge;
mod order;
mod pace;
mod proof;
mod query;
mod reader;
mod reconcile;
mod record;
mod repair;
mod report;
mod request;
mod run;
mod sample;
mod segments;
mod side;
mod sorter;
mod suspect;
mod table;
mod tolerance;

pub use check::{CheckReport, check};
pub use cluster::Cluster;
pub use cluster::{Host, Job, Listening, RangeText, compare_range, other_configuration, serve};
pub use constraints::{Pair, SchemaDifference, compare_constraints, late_sequence};
pub use flow::{Across, Flow, Moving};
pub use lanes::Lanes;
pub use ledger::Ledger;
pub use proof::{BothRows, Ground, Proof, ProofTable, Round, Unproven};
pub use query::{FileForm, FileRows, JsonRows, QueryOptions, QueryRows, TextRows, query};
pub use reconcile::{
    Action, Entry, Operation, Prefer, ReconcileReport, ReconcileRequest, ReconcileTable,
    ReconcileWrites, Unrepaired, reconcile,
};
pub use repair::{Repair, RepairOutcome, RepairStore, RepairTable};
pub use report::{Difference, Report, Sampled, TableReport, Verified};
pub use request::{Level, PART_ROWS, PATIENCE, Progress, Recheck, Stage, Strategy, VerifyRequest};
pub use run::verify;
pub use sample::Sample;
pub use suspect::DifferenceKind;
