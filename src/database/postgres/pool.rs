//! Connections kept for transactions: some that write, with Banyan's mark, and some that read.
//!
//! A store has a few connections that write, and who wants to write waits for one. The first thing
//! that a transaction writes is a message into the log that says whose it is. Where the server lets us,
//! its session is a replica's: neither the application's triggers nor the actions of foreign keys
//! run on our writes, whose rows already are what they shall be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::database::server::driver::IDLE_MAX_S;
use crate::error::{Error, ErrorKind, Result};

use super::connect::PgConn;
use super::error::pg;
use super::store::PgStore;
use super::tx::PgTx;

/// How long one waits for the connection that writes, beyond one's patience with locks.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Connections that write.
const WRITERS: usize = 4;
/// Connections that read and are kept.
const READERS_MAX: usize = 4;
/// Undoing what was given up takes no longer than this, or the connection is closed.
const UNDO_MAX: Duration = Duration::from_secs(5);

/// Plans are made once, for few rows out of many: by index wherever there is one, also while a
/// table that is being filled still has the statistics of an empty one.
const WRITE_SETTINGS: &str = "\
SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
SET default_transaction_deferrable = off; SET default_transaction_read_only = off";

/// The connections of one store for one migration. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct PgConnections {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: PgStore,
    mark: String,
    /// With triggers: what a session that writes says of itself, and how the position is read.
    outbox: Option<Outbox>,
    /// Whether nothing but what we write happens in a transaction of ours.
    is_alone: AtomicBool,
    /// Whether that was once refused: then it does not hold any more.
    is_refused: AtomicBool,
    permits: Arc<Semaphore>,
    /// Those that write, while nobody uses them.
    writers: Mutex<Vec<Session>>,
    readers: Mutex<Vec<Session>>,
}

/// What transactions have to do with an outbox.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    /// Says that a session writes for the migration.
    pub(super) mark: String,
    /// Reads the newest entry's number.
    pub(super) end: Arc<str>,
}

/// A connection with what is known of its session.
#[derive(Debug)]
pub(super) struct Session {
    /// The connection.
    pub(super) conn: PgConn,
    /// Whether it is a replica's.
    replica: bool,
    /// How the position is read, unless it is the log's.
    end: Option<Arc<str>>,
}

impl Session {
    /// Whether neither triggers nor the actions of foreign keys run on its writes.
    pub(super) fn is_replica(&self) -> bool {
        self.replica
    }

    /// How the position is read, unless it is the log's.
    pub(super) fn end_sql(&self) -> Option<Arc<str>> {
        self.end.clone()
    }
}

/// A session on loan to a transaction.
#[derive(Debug)]
pub(super) struct Loan {
    /// `None` after it was closed.
    session: Option<Box<Session>>,
    /// Of one that writes.
    permit: Option<OwnedSemaphorePermit>,
    connections: PgConnections,
}

impl Loan {
    /// The session; `None` after it was closed.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        self.session.as_deref_mut()
    }

    /// Closes it.
    pub(super) fn discard(&mut self) {
        self.session = None;
    }

    /// Gives it back; nothing is open on it.
    pub(super) fn give_back(self) {
        let Some(session) = self.session.filter(|session| session.conn.is_open()) else {
            return;
        };
        let inner = &self.connections.inner;
        if self.permit.is_some() {
            idle(&inner.writers).push(*session);
        } else {
            let mut readers = idle(&inner.readers);
            if readers.len() < READERS_MAX {
                readers.push(*session);
            }
        }
    }

    /// Rolls back behind the caller's back, then gives it back.
    pub(super) fn undo(mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            self.discard();
            return;
        };
        runtime.spawn(async move {
            let undone = match self.session() {
                Some(session) => {
                    let undo = session.conn.client().batch_execute("ROLLBACK");
                    matches!(tokio::time::timeout(UNDO_MAX, undo).await, Ok(Ok(())))
                }
                None => false,
            };
            if !undone {
                self.discard();
            }
            self.give_back();
        });
    }
}

/// Sessions that nobody uses.
fn idle(sessions: &Mutex<Vec<Session>>) -> std::sync::MutexGuard<'_, Vec<Session>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PgConnections {
    /// For a migration; nothing is opened yet.
    pub(super) fn new(store: PgStore, mark: String, outbox: Option<Outbox>) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                mark,
                outbox,
                is_alone: AtomicBool::new(false),
                is_refused: AtomicBool::new(false),
                permits: Arc::new(Semaphore::new(WRITERS)),
                writers: Mutex::default(),
                readers: Mutex::default(),
            }),
        }
    }

    /// How many transactions may write at once: several only where nothing but what we write
    /// happens in them, neither triggers nor actions of foreign keys.
    pub(super) fn writers(&self) -> usize {
        let inner = &self.inner;
        let alone = inner.is_alone.load(Ordering::Relaxed);
        if alone && !inner.is_refused.load(Ordering::Relaxed) {
            WRITERS
        } else {
            1
        }
    }

    /// A transaction that writes with our mark. Statements wait
    /// `patience_ms` for a lock, 0: as long as it takes.
    pub(super) async fn begin(&self, patience_ms: u64) -> Result<PgTx> {
        self.begin_write(patience_ms)
            .await
            .map_err(|e| self.inner.store.place(e))
    }

    async fn begin_write(&self, patience_ms: u64) -> Result<PgTx> {
        let patience = WAIT_MAX + Duration::from_millis(patience_ms);
        let permit = Arc::clone(&self.inner.permits).acquire_owned();
        let permit = tokio::time::timeout(patience, permit).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Error::new(
                ErrorKind::Busy,
                "the connections that write are in use for very long",
            ));
        };
        let timeout = patience_ms.min(i32::MAX.unsigned_abs().into());
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {timeout}; \
             SET LOCAL idle_in_transaction_session_timeout = '{IDLE_MAX_S}s'; SET CONSTRAINTS ALL IMMEDIATE{}",
            // Where nobody reads the log there is nothing to mark in it.
            match &self.inner.outbox {
                Some(_) => String::new(),
                None => format!(
                    "; SELECT pg_logical_emit_message(true, {}, '')",
                    super::names::text(&self.inner.mark)
                ),
            }
        );
        let session = loop {
            let known = idle(&self.inner.writers).pop();
            let is_new = known.is_none();
            let session = match known {
                Some(session) if !session.conn.is_open() => continue,
                Some(session) => session,
                None => self.open().await?,
            };
            let begun = session.conn.client().batch_execute(&sql).await;
            match begun.map_err(pg("begin a transaction")) {
                Ok(()) => break session,
                // It was lost while nobody used it.
                Err(e) if e.kind() == ErrorKind::Unavailable && !is_new => {}
                Err(e) => return Err(e),
            }
        };
        Ok(PgTx::new(Loan {
            session: Some(Box::new(session)),
            permit: Some(permit),
            connections: self.clone(),
        }))
    }

    /// A transaction that only reads: it neither waits for the one that writes nor keeps it waiting. Nor
    /// does it wait for long behind somebody who alters a table: that one may wait for a snapshot that we
    /// hold while we wait here.
    pub(super) async fn begin_read(&self) -> Result<PgTx> {
        let begun = self.begin_reader().await;
        begun.map_err(|e| self.inner.store.place(e))
    }

    async fn begin_reader(&self) -> Result<PgTx> {
        const SQL: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; \
                           SET LOCAL lock_timeout = '2s'";
        let loan = |session| Loan {
            session: Some(Box::new(session)),
            permit: None,
            connections: self.clone(),
        };
        let known = idle(&self.inner.readers).pop();
        if let Some(session) = known
            && session.conn.client().batch_execute(SQL).await.is_ok()
        {
            return Ok(PgTx::new(loan(session)));
        }
        let conn = self.inner.store.endpoint().connect().await?;
        conn.client()
            .batch_execute(SQL)
            .await
            .map_err(pg("begin a transaction"))?;
        Ok(PgTx::new(loan(Session {
            conn,
            replica: false,
            end: self.end(),
        })))
    }

    /// Closes the connections that write, e.g. before everything of ours is dropped. Waits for whoever
    /// uses them.
    pub(super) async fn close(&self) {
        let all = u32::try_from(WRITERS).unwrap_or(u32::MAX);
        let nobody = self.inner.permits.acquire_many(all).await;
        idle(&self.inner.writers).clear();
        idle(&self.inner.readers).clear();
        drop(nobody);
    }

    async fn open(&self) -> Result<Session> {
        let conn = self.inner.store.endpoint().connect().await?;
        let client = conn.client();
        client
            .batch_execute(WRITE_SETTINGS)
            .await
            .map_err(pg("set up a session that writes"))?;
        // A session whose client is gone ends soon, also while it waits for a lock. Not all systems
        // that servers run on can do that.
        let check = "SET client_connection_check_interval = 2000";
        let replica = "SET session_replication_role = replica";
        Self::optional(client, check).await?;
        let replica = Self::optional(client, replica).await?;
        let alone = replica && self.inner.outbox.is_none();
        if alone {
            self.inner.is_alone.store(true, Ordering::Relaxed);
        } else {
            self.inner.is_refused.store(true, Ordering::Relaxed);
        }
        if let Some(outbox) = &self.inner.outbox {
            client
                .batch_execute(&outbox.mark)
                .await
                .map_err(pg("set up a session that writes"))?;
        }
        Ok(Session {
            conn,
            replica,
            end: self.end(),
        })
    }

    fn end(&self) -> Option<Arc<str>> {
        let outbox = self.inner.outbox.as_ref();
        outbox.map(|outbox| Arc::clone(&outbox.end))
    }

    /// Sets what the server may refuse.
    async fn optional(client: &tokio_postgres::Client, sql: &str) -> Result<bool> {
        match client.batch_execute(sql).await {
            Ok(()) => Ok(true),
            Err(e) if e.as_db_error().is_some() => Ok(false),
            Err(e) => Err(pg("set up a session that writes")(e)),
        }
    }
}
