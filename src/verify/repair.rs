//! What repairing needs of a store.

use std::collections::HashMap;

use futures::future::BoxFuture;

use crate::data::{Key, Row};
use crate::error::Result;

/// One row to be put right.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// Its key; empty when the table has none.
    pub key: Key,
    /// The row that must be there now, `None` for no row. If it is not, nothing is done.
    pub expected: Option<Row>,
    /// What there is to be, `None` for no row.
    pub row: Option<Row>,
}

/// What became of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairOutcome {
    /// It is done.
    Done,
    /// The row is not the expected one any more; nothing was done.
    Moved,
    /// A constraint says no (why); nothing was done. Another repair may clear the way.
    Blocked(String),
}

impl std::fmt::Display for RepairOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Moved => f.write_str("moved"),
            Self::Blocked(why) => write!(f, "blocked: {why}"),
        }
    }
}

/// Columns of a table, as repairs use them.
#[derive(Clone, Copy, Debug)]
pub struct RepairTable<'a> {
    /// The table.
    pub table: &'a str,
    /// The columns of the rows, in order. Other columns of an existing row stay as they are; in a
    /// new row they get their defaults.
    pub columns: &'a [String],
    /// The key, by index into `columns`. Empty: a row is one that is equal in all columns, and of
    /// several copies exactly one is meant.
    pub key: &'a [usize],
}

/// A store in which rows can be put right.
pub trait RepairStore: Send + Sync {
    /// The rows under these keys as they are now, in the order of the keys.
    fn rows<'a>(
        &'a self,
        table: RepairTable<'a>,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Row>>>>;

    /// Makes the repairs, each only if its row is the expected one *in the transaction that writes*.
    /// The writes carry Banyan's mark, so that no feed takes them for the application's. One
    /// repair's outcome does not depend on another's failing. One outcome for each, in order.
    fn repair<'a>(
        &'a self,
        table: RepairTable<'a>,
        repairs: &'a [Repair],
    ) -> BoxFuture<'a, Result<Vec<RepairOutcome>>>;

    /// The keys whose conflict is open (in the target's table), each with its conflict's id: these
    /// rows are decided by their rule or by a person, not by a repair.
    fn in_conflict<'a>(
        &'a self,
        table: RepairTable<'a>,
    ) -> BoxFuture<'a, Result<HashMap<Key, String>>> {
        let _ = table;
        Box::pin(futures::future::ready(Ok(HashMap::new())))
    }

    /// When the last change of each key, its deletion included, was committed, in microseconds
    /// since 1970 UTC; `None` when unknown.
    fn committed_us<'a>(
        &'a self,
        table: RepairTable<'a>,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<i64>>>> {
        let _ = table;
        Box::pin(futures::future::ready(Ok(vec![None; keys.len()])))
    }
}
