//! A store as the sync engine sees it.
//!
//! The engine is written against [`SyncStore`]; SQLite fulfils it, and so does a store in memory
//! that the tests can make fail. A store of a migration plays one [`Role`]. It keeps, in its own
//! database and in the same transactions as the rows:
//!
//! - the *feed*: the application's changes since capture was installed, in commit order;
//! - the *checkpoint* of the direction that writes to it: how far the other store's feed is applied;
//! - *settled* marks: changes that a write of ours has already taken into account;
//! - *open conflicts* and *decision records*;
//! - *chunk marks* of the copy.

use std::future::Future;

use crate::data::{Commit, Key, LogId, Position, Row};
use crate::database::{ChunkRows, Footprint, Turn};
use crate::error::Result;
use crate::rule::{ConflictKind, Direction};

/// Which side of a migration a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The monolith.
    Source,
    /// The service.
    Target,
}

impl Role {
    /// Both, in the order in which locks are taken.
    pub const BOTH: [Self; 2] = [Self::Source, Self::Target];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }

    /// The direction that reads this side's feed.
    #[must_use]
    pub fn outgoing(self) -> Direction {
        match self {
            Self::Source => Direction::Forward,
            Self::Target => Direction::Backward,
        }
    }

    /// 0 and 1.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Source => 0,
            Self::Target => 1,
        }
    }
}

/// A row that exists on both sides: one row of one target table and what it is in the source.
/// Named by the target's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnitKey {
    /// Index of the unit (a target table and its source); the same in both stores.
    pub unit: usize,
    /// The key in the target table.
    pub key: Key,
}

/// A guarded write of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// Index of the table in this store.
    pub table: usize,
    /// Whose row it is.
    pub unit: UnitKey,
    /// The row's key in this store.
    pub key: Key,
    /// What must be there now; `None`: nothing.
    pub expect: Option<Row>,
    /// What shall be there; `None`: nothing.
    pub after: Option<Row>,
    /// For an open conflict, should it become one.
    pub cause: Cause,
}

/// The change that a write carries over.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// What both sides had in common, in the target table's form.
    pub base: Base,
    /// The key of the unit's row in the source.
    pub source_key: Key,
    /// When it was committed.
    pub committed_us: Option<i64>,
    /// A conflict from the start, whatever row is there.
    pub refused: Option<Refusal>,
}

/// Why a change is not even tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What kind of conflict it is.
    pub kind: ConflictKind,
    /// The state in which it begins.
    pub state: OpenState,
    /// Why: what a validator or transform said, or that the table is paused.
    pub reason: String,
}

/// See [`Cause::base`].
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// The same as [`RowChange::expect`].
    Expected,
    /// This.
    Row(Option<Row>),
    /// Nobody knows: the row is copied over whatever is there.
    Unknown,
}

/// What became of a guarded write.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done.
    Written,
    /// The row already was as it shall be.
    Equal,
    /// Another row is there than expected. Nothing was written.
    Suspect {
        /// What kind of conflict that is.
        kind: ConflictKind,
    },
    /// A constraint says no. Nothing was written.
    Blocked {
        /// Which kind.
        kind: ConflictKind,
        /// The constraint, and the row that stands in the way.
        reason: String,
    },
}

/// What state an open conflict is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpenState {
    /// To be decided.
    Open,
    /// Decided or an ordinary change, but a constraint does not let it be written yet; tried again.
    Waiting,
    /// A person must decide.
    Parked,
}

/// A person's answer to a parked conflict.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// The source's row lives.
    Source,
    /// The target's row lives.
    Target,
    /// Neither lives.
    Delete,
    /// Ask the rule again.
    Retry,
}

/// A key whose rows differ and whose changes wait.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenConflict {
    /// Which store it is written down in.
    pub home: Role,
    /// Its number there.
    pub id: i64,
    /// Whose row.
    pub unit: UnitKey,
    /// The key in the source's table.
    pub source_key: Key,
    /// The way of the change that ran into it.
    pub direction: Direction,
    /// What kind.
    pub kind: ConflictKind,
    /// What both sides had in common, in the target table's form.
    pub base: Option<Row>,
    /// Whether that is known.
    pub base_known: bool,
    /// A decision was interrupted between its two commits: the base is the second side's row as
    /// it was then, and a side that equals it has not stood still for that.
    pub interrupted: bool,
    /// When each side was last changed, as far as known; by [`Role::index`].
    pub committed_us: [Option<i64>; 2],
    /// Where it stands.
    pub state: OpenState,
    /// Why it waits or is parked.
    pub reason: String,
    /// The rule that was asked.
    pub rule: String,
    /// A person's answer, with the rows that the person saw (canonical hashes, by role).
    pub request: Option<(Resolution, [[u8; 32]; 2])>,
    /// When it was found, microseconds since 1970.
    pub at_us: i64,
}

impl OpenConflict {
    /// That of a change which meets another row than it expected, or cannot be applied, on the side
    /// `role`. `at_us` is now, in microseconds since 1970.
    pub(in crate::database) fn of_change(
        change: &RowChange,
        role: Role,
        kind: ConflictKind,
        state: OpenState,
        reason: String,
        at_us: i64,
    ) -> Self {
        let base = match &change.cause.base {
            Base::Expected => change.expect.clone(),
            Base::Row(row) => row.clone(),
            Base::Unknown => None,
        };
        let mut committed_us = [None; 2];
        committed_us[role.other().index()] = change.cause.committed_us;
        Self {
            home: role,
            id: 0,
            unit: change.unit.clone(),
            source_key: change.cause.source_key.clone(),
            direction: role.other().outgoing(),
            kind,
            base,
            base_known: change.cause.base != Base::Unknown,
            interrupted: false,
            committed_us,
            state,
            reason,
            rule: String::new(),
            request: None,
            at_us,
        }
    }
}

/// A decision, as written into the store whose row it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRecord {
    /// The same in both stores.
    pub id: [u8; 16],
    /// Whose row.
    pub unit: UnitKey,
    /// The key in the source's table.
    pub source_key: Key,
    /// What kind of conflict it was.
    pub kind: ConflictKind,
    /// Who decided.
    pub rule: String,
    /// What: `source`, `target`, `merged`, `delete`, `agreed`, …
    pub outcome: String,
    /// Whether both sides had to be written.
    pub two: bool,
    /// Which was written first.
    pub first: Role,
    /// Where the logs stood; by [`Role::index`].
    pub positions: [u64; 2],
    /// The rows that were seen, each in its own table's form.
    pub seen: [Option<Row>; 2],
    /// The rows that both sides end with, each in its own table's form.
    pub result: [Option<Row>; 2],
    /// What they had in common, in the target table's form.
    pub base: Option<Row>,
    /// Whether that was known.
    pub base_known: bool,
    /// The open conflicts that it closes.
    pub closes: Vec<(Role, i64)>,
    /// The interrupted decision that it replaces.
    pub supersedes: Option<[u8; 16]>,
    /// Microseconds since 1970.
    pub at_us: i64,
}

/// Changes of these keys up to and including `seq` of `role`'s log are accounted for.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Whose log.
    pub role: Role,
    /// Up to where.
    pub seq: u64,
    /// Which rows.
    pub units: Vec<UnitKey>,
}

/// What a row was before its first change of some.
#[derive(Clone, Debug, PartialEq)]
pub enum Image {
    /// In the target table's form; `None`: there was none.
    Row(Option<Row>),
    /// Nobody knows any more.
    Unknown,
}

/// A row of the source that has changed since a copy over the target's rows began, by changes that the
/// copy covers: they are not carried over one by one.
#[derive(Clone, Debug, PartialEq)]
pub struct Began {
    /// Index of the source's table.
    pub table: usize,
    /// Whose row.
    pub unit: UnitKey,
    /// What it was before the first of those changes.
    pub image: Image,
    /// Where the last of them stands in the source's log.
    pub seq: u64,
    /// When the last of them was committed, as far as known.
    pub committed_us: Option<i64>,
}

/// How far a table is copied: every source row whose key is at or below `upper`, as of `seq` of the
/// source's log.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkMark {
    /// Index of the source's table.
    pub table: usize,
    /// The last key; `None`: the table's end.
    pub upper: Option<Key>,
    /// Where the source's log stood when the chunk was read.
    pub seq: u64,
    /// Rows of the chunk.
    pub rows: u64,
    /// Where the target's log stood when the chunk was written there, if the target cannot tell
    /// which of the chunk's keys its application changed before: such a change, at or before this
    /// position, is looked at like a conflict. 0: the target wrote settled marks.
    pub target_seq: u64,
    /// Whether the target held rows of the table before this copy began; true of one chunk, it is
    /// true of the table.
    pub over_rows: bool,
}

/// One target transaction of the normal path.
#[derive(Clone, Debug, Default)]
pub struct ApplyBatch {
    /// The engine's epoch; another one in the store means that this engine was replaced.
    pub epoch: i64,
    /// Where the checkpoint must stand.
    pub from: u64,
    /// The log that the checkpoint points into.
    pub log: Option<LogId>,
    /// Where it moves.
    pub to: u64,
    /// What stands there; see [`FeedPage::anchor`].
    pub anchor: Option<i64>,
    /// In order.
    pub changes: Vec<RowChange>,
    /// Changes of keys with an open conflict: only their times are kept.
    pub touched: Vec<(UnitKey, Option<i64>)>,
    /// Each replaces what is kept of its row.
    pub began: Vec<Began>,
    /// Rows of which nothing of that is kept any more (the source's table, and whose).
    pub ended: Vec<(usize, UnitKey)>,
    /// Neither [`Self::began`] nor [`Recovered::former`] is needed any more: all is copied, and the feed is
    /// read beyond that.
    pub is_over: bool,
    /// The copy's progress, if this is a chunk.
    pub chunk: Option<ChunkMark>,
    /// Copied rows that need no mapping but their columns, as they were read; beside `changes`.
    pub copied: Option<CopiedRows>,
    /// For a chunk: how far this store's own feed is read; later changes of copied keys are
    /// settled in the same transaction.
    pub own_feed_read: u64,
}

/// Rows on their way from one store to the other without being boxed: captured column `i` of the one
/// table is captured column `i` of the other.
#[derive(Clone, Debug)]
pub struct CopiedRows {
    /// Index of the table in this store, and of the unit.
    pub table: usize,
    /// The source's key: indexes into the captured columns.
    pub source_key: Vec<usize>,
    /// The rows.
    pub rows: ChunkRows,
}

/// What a transaction did.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Rows of [`ApplyBatch::copied`] that are as they shall be.
    pub copied: u64,
    /// Keys of them that the application touched meanwhile, and that are now settled.
    pub copied_settled: Vec<UnitKey>,
    /// One for each change.
    pub outcomes: Vec<Outcome>,
    /// For [`ChunkMark::target_seq`].
    pub chunk_end: u64,
    /// Where this store's own log stood while its lock was held.
    pub end: u64,
    /// The conflicts that were opened.
    pub opened: Vec<OpenConflict>,
}

/// Everything durable that a starting engine must know of a store.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The feed's identity and end.
    pub end: u64,
    /// The feed's identity.
    pub log: Option<LogId>,
    /// The oldest change that the feed still holds, minus one.
    pub begin: u64,
    /// The checkpoint of the direction that writes to this store.
    pub checkpoint: Option<Position>,
    /// What stood there; see [`FeedPage::anchor`].
    pub anchor: Option<i64>,
    /// Settled marks kept here.
    pub settled: Vec<Settled>,
    /// Open conflicts kept here.
    pub open: Vec<OpenConflict>,
    /// Records of decisions that wrote both sides.
    pub two_sided: Vec<DecisionRecord>,
    /// Open conflicts that a record kept here closes.
    pub closed: Vec<(Role, i64)>,
    /// Chunk marks kept here.
    pub chunks: Vec<ChunkMark>,
    /// The source's tables that are copied over rows which this store held before.
    pub copied_before: Vec<usize>,
    /// Commit times of changes that an open conflict absorbed: the last one of each key.
    pub touched: Vec<(UnitKey, Role, Option<i64>)>,
    /// See [`ApplyBatch::began`].
    pub began: Vec<Began>,
    /// The chunk marks of each copy that was begun once more since. Up to them both sides were alike.
    pub former: Vec<Vec<ChunkMark>>,
}

/// How long [`SyncStore::catch_up`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until there is any change.
    UntilAny,
    /// Until there is more than is read ahead.
    UntilFull,
    /// Whatever it takes.
    Endless,
}

/// A piece of a feed.
#[derive(Clone, Debug, Default)]
pub struct FeedPage {
    /// The changes; empty when there are none.
    pub commit: Commit,
    /// Whether more is waiting behind it.
    pub more: bool,
    /// What stands at its end: the same number when the log is read there again, another one after
    /// the database was replaced by an older copy and written to. `None`: it cannot be told.
    pub anchor: Option<i64>,
    /// The captured tables whose schema is not what it was (index, what changed).
    pub schema_changed: Vec<(usize, String)>,
}

/// One chunk of a table, with the log's position at that same instant.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The captured columns; ordered by key.
    pub rows: ChunkRows,
    /// Where the log stood.
    pub seq: u64,
    /// Whether the table ends here.
    pub last: bool,
}

/// See the module's text. All methods may be called again after an error; after `Fenced` the
/// engine must stop. Errors of kind `Busy` pass by themselves.
pub trait SyncStore: Clone + Send + Sync + 'static {
    /// While it is held, nobody else writes the store's rows.
    type Lock: StoreLock;

    /// Which side this is.
    fn role(&self) -> Role;

    /// Takes the store over: no transaction of an older engine commits afterwards.
    /// `Err(NotFound)` when capture is not installed.
    fn take_over(&self, epoch: i64) -> impl Future<Output = Result<()>> + Send;

    /// Reads what is durable. `Err(Fenced)` when another engine has taken over meanwhile: were it
    /// taken back, each engine would own one store, and neither would know what the other does.
    fn recover(&self, epoch: i64) -> impl Future<Output = Result<Recovered>> + Send;

    /// What stands at `seq` of the log; see [`FeedPage::anchor`].
    fn anchor(&self, seq: u64) -> impl Future<Output = Result<Option<i64>>> + Send;

    /// Changes after `after`, in order, whole commits up to about `rows_max` rows. The same may be
    /// read again, unless it was said to be [`Self::consumed`].
    fn read_feed(
        &self,
        after: u64,
        rows_max: usize,
    ) -> impl Future<Output = Result<FeedPage>> + Send;

    /// Nobody reads from before this position any more: what is kept of the feed in memory may go.
    fn consumed(&self, _position: u64) {}

    /// Waits until [`Self::read_feed`] delivers everything that committed before this call; `false`
    /// where the patience ended before.
    fn catch_up(&self, after: u64, patience: Patience)
    -> impl Future<Output = Result<bool>> + Send;

    /// Returns at once when somebody else committed since the last call, else after `wait_ms`.
    fn wait(&self, wait_ms: u64) -> impl Future<Output = Result<bool>> + Send;

    /// Rows by key, without a lock.
    fn read_rows(
        &self,
        table: usize,
        keys: Vec<Key>,
    ) -> impl Future<Output = Result<Vec<Option<Row>>>> + Send;

    /// A chunk of at most `rows_max` rows after a key.
    fn read_chunk(
        &self,
        table: usize,
        after: Option<Key>,
        rows_max: usize,
    ) -> impl Future<Output = Result<Chunk>> + Send;

    /// Whether all chunks of a table are of one instant, so that a later chunk does not hold what
    /// was changed since an earlier one was read. Otherwise each is as new as can be.
    fn copies_one_instant(&self) -> bool {
        false
    }

    /// How many calls of [`Self::apply`] may be under way at once. More than one: each begins to
    /// work when it is first polled, and goes on without being polled.
    fn writers(&self) -> usize {
        1
    }

    /// What changes touch; asked only where there are several writers.
    fn footprint(&self, _changes: &[RowChange]) -> Footprint {
        Footprint::default()
    }

    /// One transaction: guarded writes, conflicts, settled marks, checkpoint; it commits when its
    /// turn has come. Fails with `Fenced` when epoch or checkpoint are not what the batch says.
    /// Batches that are under way at once must be apart from each other, see [`Self::footprint`].
    fn apply(&self, batch: ApplyBatch, turn: Turn) -> impl Future<Output = Result<Applied>> + Send;

    /// Takes the write lock; `Err(Busy)` after a short wait.
    fn lock(&self) -> impl Future<Output = Result<Self::Lock>> + Send;

    /// Forgets what is behind: feed rows at or below `feed`, settled marks at or below their
    /// log's position.
    fn prune(&self, feed: u64, settled: [u64; 2]) -> impl Future<Output = Result<()>> + Send;

    /// The requests that people made on conflicts kept here, and new states.
    fn open_conflicts(&self) -> impl Future<Output = Result<Vec<OpenConflict>>> + Send;

    /// Those of them that a person answered, and nobody has carried out yet.
    fn answered_conflicts(&self) -> impl Future<Output = Result<Vec<OpenConflict>>> + Send;
}

/// A store's write lock. Dropped without [`StoreLock::commit`], everything is undone.
pub trait StoreLock: Send {
    /// Fails with `Fenced` when another engine has taken over.
    fn check_epoch(&mut self, epoch: i64) -> impl Future<Output = Result<()>> + Send;

    /// Where the store's log stands.
    fn end(&mut self) -> impl Future<Output = Result<u64>> + Send;

    /// Rows by key.
    fn read_rows(
        &mut self,
        table: usize,
        keys: Vec<Key>,
    ) -> impl Future<Output = Result<Vec<Option<Row>>>> + Send;

    /// Guarded writes.
    fn write(
        &mut self,
        changes: Vec<RowChange>,
    ) -> impl Future<Output = Result<Vec<Outcome>>> + Send;

    /// A key for a new row of the table, when the store can give one.
    fn new_key(&mut self, table: usize) -> impl Future<Output = Result<Option<Key>>> + Send;

    /// Writes down decisions and settled marks; closes, changes and opens conflicts kept here.
    /// Answers the numbers of those it opened.
    fn note(
        &mut self,
        records: Vec<DecisionRecord>,
        settled: Vec<Settled>,
        close: Vec<i64>,
        states: Vec<OpenConflict>,
        open: Vec<OpenConflict>,
    ) -> impl Future<Output = Result<Vec<i64>>> + Send;

    /// Commits.
    fn commit(self) -> impl Future<Output = Result<()>> + Send;
}
