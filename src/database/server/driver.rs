//! What the shared code for database servers needs of one kind of server.
//!
//! [`Driver`] opens things, [`Tx`] is a transaction on a connection whose writes are marked as
//! Banyan's, [`ChangeStream`] is the server's own log of changes. Everything that is the same for
//! all servers (the protocol's tables, guarded writes, recovery) is built from these.

use std::future::Future;

use crate::data::{Change, Key, Row, Value};
use crate::database::{ChunkRows, Findings, SyncOptions, SyncTable};
use crate::error::Result;
use crate::rule::ConflictKind;

/// How long a server waits for the next statement of a transaction that writes, in seconds, before
/// it undoes it. When the network swallows everything, nothing tells the server that we are gone,
/// and the rows that are locked would stay so for hours. Less than the 50 s that MySQL lets an
/// application wait for a lock; more than anything of ours takes between two statements. What is
/// undone is applied again.
pub(in crate::database) const IDLE_MAX_S: u32 = 20;

/// One kind of server, one database of it, one migration. Cheap to clone.
pub(in crate::database) trait Driver: Clone + Send + Sync + 'static {
    /// See [`Tx`].
    type Tx: Tx<Table = Self::Table>;
    /// See [`ChangeStream`].
    type Stream: ChangeStream;
    /// Rows of a table, read in key order from one snapshot.
    type Copy: CopyReader;
    /// What is prepared once for each table that takes part: its statements.
    type Table: Send + Sync + 'static;

    /// The store's name in the configuration.
    fn name(&self) -> &str;

    /// The quoted, qualified name of one of Banyan's own tables of this migration: `log`,
    /// `checkpoint`, …
    fn own(&self, what: &str) -> String;

    /// Whether changes are read from the server's log, and not from what triggers write down.
    fn has_log(&self) -> bool;

    /// The column types of Banyan's own tables.
    fn types(&self) -> OwnTypes;

    /// Prepares what is needed for a table. No round trip.
    fn table(&self, table: &SyncTable) -> Result<Self::Table>;

    /// A transaction, READ COMMITTED on PostgreSQL, REPEATABLE READ on MySQL (gap locks). What it
    /// writes is not delivered by [`Self::stream`]. `patience_ms`: how long a statement waits for a
    /// row lock at most before it fails with `Busy`; 0: until the server gives up.
    fn begin(&self, patience_ms: u64) -> impl Future<Output = Result<Self::Tx>> + Send;

    /// How many transactions may write at once.
    fn writers(&self) -> usize {
        1
    }

    /// A transaction that only reads, and waits for nobody.
    fn begin_read(&self) -> impl Future<Output = Result<Self::Tx>> + Send;

    /// Makes sure that a crash of the server does not take the log back before this position: it is
    /// going to be written down elsewhere.
    fn harden(&self, position: u64) -> impl Future<Output = Result<()>> + Send;

    /// What would keep the migration from running in this database, and what one should know. Changes
    /// nothing.
    fn look_over(&self, options: &SyncOptions) -> impl Future<Output = Result<Findings>> + Send;

    /// Before Banyan's own tables are created: what must exist first (PostgreSQL: the schema).
    fn prepare(&self) -> impl Future<Output = Result<()>> + Send;

    /// Lets the server keep the log for us from now on (PostgreSQL: publication, slot, replica
    /// identity, origin). Idempotent. Answers the position at which the log begins: every
    /// transaction that commits after this call is behind it.
    fn install_capture(&self, options: &SyncOptions) -> impl Future<Output = Result<u64>> + Send;

    /// Begins a new log where the old one has lost something: like [`Self::install_capture`], but
    /// nothing of the old one is kept.
    fn renew_capture(&self, options: &SyncOptions) -> impl Future<Output = Result<u64>> + Send;

    /// The same for a side whose changes nobody follows: only what marks Banyan's own writes.
    fn install_mark(&self, options: &SyncOptions) -> impl Future<Output = Result<()>> + Send;

    /// Fails with `LogGap` when the log does not hold everything after `position` any more.
    fn check_log(&self, position: u64) -> impl Future<Output = Result<()>> + Send;

    /// What the log itself does not tell, asked now and then: captured tables that are not captured
    /// as they should be any more (index, why), and how many bytes of its log the server keeps for
    /// us, where it keeps it only for that.
    fn watch(&self, options: &SyncOptions) -> impl Future<Output = Result<Watched>> + Send;

    /// Takes away everything that Banyan added for this migration, whatever became of the tables:
    /// slots, publications, origins, replica identities as they were, and its own tables. Idempotent.
    fn uninstall(&self) -> impl Future<Output = Result<()>> + Send;

    /// The log's current end: transactions that committed before this call are at or before it.
    fn end(&self) -> impl Future<Output = Result<u64>> + Send;

    /// The log after `after`: whole transactions in commit order.
    fn stream(
        &self,
        options: &SyncOptions,
        after: u64,
    ) -> impl Future<Output = Result<Self::Stream>> + Send;

    /// The rows of `table` behind `after`, in key order (the order of [`crate::data::order`]), from
    /// the snapshot at [`CopyReader::seq`]. All readers of one driver may share one snapshot, which
    /// is made at the first call and held until [`Self::end_copy`].
    fn copy_reader(
        &self,
        table: &SyncTable,
        after: Option<&Key>,
    ) -> impl Future<Output = Result<Self::Copy>> + Send;

    /// Lets the copy's snapshot go.
    fn end_copy(&self) -> impl Future<Output = Result<()>> + Send;
}

/// See [`Driver::watch`].
#[derive(Clone, Debug, Default)]
pub(in crate::database) struct Watched {
    /// Tables whose changes are not all in the log, and why.
    pub(in crate::database) missed: Vec<(usize, String)>,
    /// Bytes of the log that the server keeps for us.
    pub(in crate::database) kept_bytes: Option<u64>,
}

/// SQL types for Banyan's own tables.
#[derive(Clone, Copy, Debug)]
pub(in crate::database) struct OwnTypes {
    /// 64-bit integers.
    pub(in crate::database) int: &'static str,
    /// Text of up to 255 characters that may be part of a key, compared by its bytes.
    pub(in crate::database) name: &'static str,
    /// Text of any length.
    pub(in crate::database) text: &'static str,
    /// Bytes of any length.
    pub(in crate::database) bytes: &'static str,
    /// Bytes of up to 700 that may be part of a key.
    pub(in crate::database) short_bytes: &'static str,
    /// What stands behind a SELECT so that others may read the rows, but not write them, until the
    /// transaction's end.
    pub(in crate::database) share: &'static str,
}

/// What keeps a statement from being done.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::database) struct Violation {
    /// The constraint's kind; a unique one is `InsertExists`.
    pub(in crate::database) kind: ConflictKind,
    /// The server's message, with the constraint's name.
    pub(in crate::database) reason: String,
}

/// A statement is done, or it ran into a constraint and the transaction must be rolled back to a
/// savepoint.
pub(in crate::database) type Done<T> = std::result::Result<T, Violation>;

/// A transaction. Dropped without [`Tx::commit`], it is undone, and its connection is not used again
/// in the middle of something.
///
/// Rows are the mapped columns of a table ([`SyncTable::columns`], in that order), keys their key
/// cells. An error is for the transaction as a whole; deadlocks, serialization failures and lock
/// timeouts are `Busy`, a lost connection is `Unavailable`.
pub(in crate::database) trait Tx: Send {
    /// See [`Driver::Table`].
    type Table: Send + Sync + 'static;

    /// Runs statements without parameters (savepoints, DDL).
    fn batch(&mut self, sql: &str) -> impl Future<Output = Result<()>> + Send;

    /// Runs a statement on Banyan's own tables: parameters are `?`, in order; values are NULL, Int,
    /// Text, Bytes. Answers the number of rows.
    fn execute(&mut self, sql: &str, values: &[Value]) -> impl Future<Output = Result<u64>> + Send;

    /// Likewise for rows.
    fn query(
        &mut self,
        sql: &str,
        values: &[Value],
    ) -> impl Future<Output = Result<Vec<Row>>> + Send;

    /// Rows by key, without a lock, as committed by now.
    fn rows(
        &mut self,
        table: &Self::Table,
        keys: &[Key],
    ) -> impl Future<Output = Result<Vec<Option<Row>>>> + Send;

    /// Rows by key, newest version, locked against writers until the end. Absent rows are locked
    /// as well where the server can do that by row (MySQL: gap locks).
    fn lock_rows(
        &mut self,
        table: &Self::Table,
        keys: &[Key],
    ) -> impl Future<Output = Result<Vec<Option<Row>>>> + Send;

    /// Keeps others from writing these tables until the end, unless [`Tx::lock_rows`] locks absent
    /// rows anyway. What was committed before is visible afterwards.
    fn lock_tables(&mut self, tables: &[&Self::Table]) -> impl Future<Output = Result<()>> + Send;

    /// Updates rows that are what is expected, all in one round trip, and locks them: (key,
    /// expected row, row to be). Answers which were written; the others are looked at one by one.
    /// `None`: the server has no such statement.
    fn guarded_update(
        &mut self,
        table: &Self::Table,
        rows: &[(&Key, &Row, &Row)],
    ) -> impl Future<Output = Result<Done<Option<Vec<bool>>>>> + Send;

    /// Inserts the rows whose key is free; answers which were written.
    fn insert(
        &mut self,
        table: &Self::Table,
        rows: &[&Row],
    ) -> impl Future<Output = Result<Done<Vec<bool>>>> + Send;

    /// Writes all cells of locked rows.
    fn update(
        &mut self,
        table: &Self::Table,
        rows: &[(&Key, &Row)],
    ) -> impl Future<Output = Result<Done<()>>> + Send;

    /// Deletes locked rows.
    fn delete(
        &mut self,
        table: &Self::Table,
        keys: &[&Key],
    ) -> impl Future<Output = Result<Done<()>>> + Send;

    /// Takes locked rows out and puts them back with new cells, those of columns that are not mapped
    /// kept: for unique values that are swapped.
    fn swap(
        &mut self,
        table: &Self::Table,
        rows: &[(&Key, &Row)],
    ) -> impl Future<Output = Result<Done<()>>> + Send;

    /// Loads rows by the fastest way; all or nothing, a key that is taken included (`InsertExists`).
    fn load(
        &mut self,
        table: &Self::Table,
        rows: &ChunkRows,
    ) -> impl Future<Output = Result<Done<()>>> + Send;

    /// The keys of other rows that hold the row's unique values.
    fn holders(
        &mut self,
        table: &Self::Table,
        row: &Row,
    ) -> impl Future<Output = Result<Vec<Key>>> + Send;

    /// Which of the rows refer to parents that are not there (index, what is missing). The parents
    /// that are there stay until the end of the transaction.
    fn missing_parents(
        &mut self,
        table: &Self::Table,
        rows: &[&Row],
    ) -> impl Future<Output = Result<Vec<(usize, String)>>> + Send;

    /// Which of the keys, just deleted, others still refer to (index, who).
    fn children(
        &mut self,
        table: &Self::Table,
        rows: &[&Row],
    ) -> impl Future<Output = Result<Vec<(usize, String)>>> + Send;

    /// One more than the largest key, where the key is one integer.
    fn next_key(&mut self, table: &Self::Table)
    -> impl Future<Output = Result<Option<Key>>> + Send;

    /// The log's position now. A transaction that has changed a row which is locked here, and has
    /// committed, is at or before it; one that changes the row later is behind it.
    fn end(&mut self) -> impl Future<Output = Result<u64>> + Send;

    /// Commits. An error that leaves it open whether it was done is `Unavailable`.
    fn commit(self) -> impl Future<Output = Result<()>> + Send;
}

/// The server's log.
pub(in crate::database) trait ChangeStream: Send + 'static {
    /// What comes next. Cancelling it loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<LogEvent>> + Send;

    /// Everything up to here is durable on the other side: the server need not keep it.
    fn confirm(&mut self, position: u64) -> impl Future<Output = Result<()>> + Send;
}

/// A piece of a log.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::database) enum LogEvent {
    /// A whole transaction of the application: all its changes of captured tables, each with `seq`
    /// equal to `end`. A changed key is a delete and an insert.
    Commit {
        /// The position after it.
        end: u64,
        /// In order.
        changes: Vec<Change>,
    },
    /// Nothing that concerns us up to here (transactions of Banyan's own among it, `own` of them
    /// rows).
    Progress {
        /// The position.
        end: u64,
        /// Rows of Banyan's own that were passed over.
        own: u64,
    },
    /// A captured table is not what it was, from here on (index, what changed).
    Schema {
        /// The table.
        table: usize,
        /// What is different, in words.
        what: String,
    },
}

/// See [`Driver::copy_reader`].
pub(in crate::database) trait CopyReader: Send + 'static {
    /// Transactions at or before this position are in the snapshot, others are not.
    fn seq(&self) -> u64;

    /// The next rows, at most so many, and whether they are the last.
    fn next(&mut self, rows_max: usize) -> impl Future<Output = Result<(ChunkRows, bool)>> + Send;
}
