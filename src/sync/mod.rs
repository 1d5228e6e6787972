//! Two-way sync of the tables of one migration.
//!
//! [`Engine`] is the protocol, one step at a time; it does nothing on its own, so that a test can
//! interleave its steps with anything. [`run`] drives it: copy, catch up, follow. Only `pipeline`
//! knows the order of steps.
//!
//! The protocol, and where it differs from the form it was proposed in:
//!
//! - One engine works on one thing at a time (one direction's changes, or the conflict path), and
//!   batches that are under way at once have nothing in common (see `follow`), so a key is never in
//!   work twice.
//! - Banyan's own writes leave no trace in a feed: the writing connection fires no triggers.
//!   Instead the transaction writes a *settled mark*: the keys written or found equal, and the log
//!   position read under the lock. Changes of these keys up to that position are skipped. Marks are
//!   what "reading the echoes up to the end" is in other engines; a restart reads them all.
//! - The conflict path reads both rows and asks the rule *before* it takes the locks, then takes
//!   them, reads again, and writes only where both rows are still those that were decided on. A
//!   decision is a function of the rows, so this is the same as asking under the locks, but a slow
//!   rule never holds up an application.
//! - While tables are being copied, the source is followed already, unless its store copies from one
//!   snapshot (servers): then the feed waits until everything is copied, because later chunks do not
//!   hold what was changed since. A source change of a key that is
//!   not copied yet is dropped: the chunk will hold it. One of a key that is copied counts only if
//!   it is newer than the chunk. The target's changes wait until the copy is through: a row that
//!   went back before its key was copied would be in both stores, and yet its next change at the
//!   source would be dropped. For the same reason no row is put beside another while copying.
//! - The target need not be empty. Rows that it alone holds go to the source before a table is copied
//!   (see `adopt`), of rows that differ both feeds tell what they had in common, as far as anybody can
//!   (see `base`, and `began` for what was read of them already), and rows that the source deletes
//!   before they are copied go from the target (see `gone`). Copying a table once more, after changes
//!   were missed or its mapping was edited, is the same.
//! - Changes of one key in one batch are put together by their rows, not by their place in the log
//!   (see `merge`): triggers of the application may fire before the capture's.
//! - A conflict is written down as open in the store whose row the change ran into, and that store
//!   is not always one that the decision writes. The written side then commits first: were the
//!   conflict closed before, a crash in between would leave both rows as they are for ever.
//! - After an interrupted decision neither side counts as unchanged, but the rule is given a base:
//!   the second side's row as the decision saw it. The first side's row was made from it and the
//!   second side's moved on from it, so that counters still add up.
//! - What cannot get across and come back is refused before it is tried, and parked (see
//!   [`crate::rule::mapping`]). A source row outside `where`, or that the transform drops, is no
//!   absence: its key is taken, and neither a strategy nor a person's answer writes over it.
//! - Rows without a value in their key are all one conflict, because nothing tells them apart.

mod adopt;
mod ahead;
mod backward;
mod base;
mod began;
mod compose;
mod conflict;
mod copy;
mod engine;
mod follow;
mod gone;
mod map;
mod merge;
mod pipeline;
mod plan;
mod recover;
mod report;
mod touched;

pub use engine::{Engine, EngineOptions};
pub use pipeline::{RunOptions, run};
pub use plan::{Plan, Unit};
pub use report::{CreatedTable, SyncReport, TableCounts};
pub use touched::{Standing, Touched, Touches};
