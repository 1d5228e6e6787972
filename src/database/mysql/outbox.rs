//! Capture by triggers, for servers without a binary log, or with one that may not be read. See
//! [`crate::database::server::outbox`].
//!
//! The migration's own tables `outbox`, `noted`, `layout` and `gate` lie beside the protocol's. The
//! triggers run with the rights of the user who made them, under that session's `sql_mode`. Our own
//! writes are known by a variable of the session.
//!
//! **Who is busy.** An AUTO_INCREMENT number is taken before its row is in the table, so neither a
//! look at uncommitted rows nor a locking read sees everybody who has taken one; and the list of
//! running transactions needs a privilege. So there are the gates: a table of [`GATES`] rows. Before
//! it takes a number, a trigger locks one of them, shared, which the clock chooses; that lock is
//! held until the end of the transaction. The reader asks which gates nobody holds (`FOR UPDATE SKIP
//! LOCKED`: it waits for nobody, and lets go at once). Whoever had taken a number before that
//! question is either at a gate that is not free, or over; and what is over is visible, because
//! InnoDB makes a transaction visible before it releases its locks. Each gate is chosen for
//! [`GATE_MS`] and then left alone for much longer, so that it becomes free however busy the
//! application is. Nothing is concluded from the clock but which gate is chosen.
//!
//! What triggers cannot see: TRUNCATE, and the actions of foreign keys (CASCADE, SET NULL). Dropping
//! a captured column makes writes to the table fail until the trigger is gone.

mod cell;
mod install;
mod snapshot;
mod source;
mod trigger;

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::database::{Findings, SyncTable};
use crate::error::Result;

use super::connect::Server;
use super::error::mysql;
use super::names::{self, Names, quote};

pub(super) use install::{install, install_tables, uninstall};
pub(super) use snapshot::begin;
pub(super) use source::MysqlOutbox;

/// See the module's text.
const GATES: u32 = 64;
/// How long a gate is chosen.
const GATE_MS: u32 = 50;
/// The entry that every outbox begins with.
const OP_BEGIN: u8 = 0;
/// An entry about a table, and not about a row.
const OP_SCHEMA: u8 = 4;

/// Banyan's own tables of one migration, with their database: triggers may lie in another one.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    database: String,
    names: Names,
}

impl Outbox {
    /// Of a migration in the server's database.
    pub(super) fn new(server: &Server, names: &Names) -> Self {
        Self {
            database: server.database().to_owned(),
            names: names.clone(),
        }
    }

    /// A table's quoted name.
    pub(super) fn sql(&self, what: &str) -> String {
        format!(
            "{}.{}",
            quote(&self.database),
            quote(&self.names.object(what))
        )
    }

    /// What tells this migration's triggers and sessions from others.
    fn tag(&self) -> String {
        let text = format!("{}\0{}", self.database, self.names.migration());
        blake3::hash(text.as_bytes()).to_hex()[..12].to_owned()
    }

    /// The variable of sessions that write for the migration.
    fn variable(&self) -> String {
        format!("@_banyan_apply_{}", self.tag())
    }

    /// Says that a session writes for the migration.
    pub(super) fn mark_sql(&self) -> String {
        format!("SET {} = 1", self.variable())
    }

    /// Reads the newest entry's number that is committed.
    pub(super) fn end_sql(&self) -> String {
        format!("SELECT MAX(seq) FROM {}", self.sql("outbox"))
    }
}

/// The newest entry that is committed.
pub(super) async fn end(conn: &mut Conn, outbox: &Outbox) -> Result<u64> {
    let end: Option<Option<u64>> = conn
        .query_first(outbox.end_sql())
        .await
        .map_err(mysql("read the outbox's end"))?;
    Ok(end.flatten().unwrap_or(0))
}

/// Whether the migration's changes are captured here by triggers, by the log, or not yet.
pub(super) async fn installed(conn: &mut Conn, outbox: &Outbox) -> Result<Option<bool>> {
    let names: Vec<String> = conn
        .exec(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? \
             AND TABLE_NAME IN (?, ?)",
            (
                &outbox.database,
                outbox.names.object("outbox"),
                outbox.names.object("log"),
            ),
        )
        .await
        .map_err(mysql("look for Banyan's own tables"))?;
    let is = |what: &str| {
        let name = outbox.names.object(what);
        names.iter().any(|n| n.eq_ignore_ascii_case(&name))
    };
    Ok(match (is("outbox"), is("log")) {
        (true, _) => Some(true),
        (false, true) => {
            // Its table comes before the outbox: interrupted in between, nothing is decided yet.
            let sql = format!("SELECT 1 FROM {} LIMIT 1", outbox.sql("log"));
            let begun: Option<u8> = conn
                .query_first(sql)
                .await
                .map_err(mysql("look whether the log has begun"))?;
            begun.map(|_| false)
        }
        (false, false) => None,
    })
}

/// Fails with `LogGap` unless everything behind the position is in the outbox.
pub(super) async fn check(conn: &mut Conn, outbox: &Outbox, position: u64) -> Result<()> {
    let what = || mysql("look at the outbox");
    let noted: Option<u64> = conn
        .query_first(format!("SELECT position FROM {}", outbox.sql("noted")))
        .await
        .map_err(what())?;
    let there: Option<u64> = conn
        .exec_first(
            format!("SELECT seq FROM {} WHERE seq = ?", outbox.sql("outbox")),
            (position,),
        )
        .await
        .map_err(what())?;
    crate::database::server::outbox::check(position, noted.unwrap_or(0), there.is_some())
}

/// Lets everything that is committed be on disk, as far as the server's settings let it.
pub(super) async fn harden(conn: &mut Conn, outbox: &Outbox) -> Result<()> {
    conn.query_drop(format!(
        "UPDATE {} SET hardened = hardened + 1",
        outbox.sql("noted")
    ))
    .await
    .map_err(mysql("let the outbox be on disk"))
}

/// What is in the way of following these tables by triggers, and what they cannot do.
pub(super) async fn look_over(
    conn: &mut Conn,
    outbox: &Outbox,
    tables: &[SyncTable],
) -> Result<Findings> {
    let mut found = Findings::default();
    if tables.is_empty() {
        return Ok(found);
    }
    found.note(
        "triggers do not see TRUNCATE, and dropping a captured column makes writes to its table fail",
        "use DELETE, and end or abort the migration before columns are dropped",
    );
    let what = || mysql("read the engines of the tables");
    for table in tables {
        let name = &table.schema.name;
        let (own, bare) = names::split(name);
        let database = own.unwrap_or(&outbox.database);
        let engine: Option<Option<String>> = conn
            .exec_first(
                "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND \
                 TABLE_NAME = ?",
                (database, bare),
            )
            .await
            .map_err(what())?;
        let engine = engine.flatten().unwrap_or_default();
        if !engine.eq_ignore_ascii_case("InnoDB") {
            found.problem(
                format!(
                    "table {name} is stored by {engine}: its changes stay when a transaction is \
                     rolled back, and what triggers have written down does not"
                ),
                "ALTER TABLE … ENGINE = InnoDB",
            );
        }
        for key in &table.schema.foreign_keys {
            let acts = |action: &str| {
                ["CASCADE", "SET NULL", "SET DEFAULT"]
                    .iter()
                    .any(|a| action.eq_ignore_ascii_case(a))
            };
            if acts(&key.on_delete) || acts(&key.on_update) {
                found.problem(
                    format!(
                        "rows of table {name} are changed by its foreign key to {} (ON DELETE {}, \
                         ON UPDATE {}): no trigger fires for such changes, and they are not captured",
                        key.parent, key.on_delete, key.on_update
                    ),
                    "let the application delete and update the rows itself, and make the foreign \
                     key RESTRICT for the time of the migration",
                );
            }
        }
    }
    let flush: Option<u8> = conn
        .query_first("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit")
        .await
        .map_err(mysql("read the server's settings"))?;
    if flush != Some(1) {
        found.note(
            "the server does not write transactions to disk as they are committed: a crash may \
             take back what was carried to the other side already",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
        );
    }
    Ok(found)
}

/// How long a new beginning waits for the transactions that are writing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Begins the outbox anew, behind all entries. Answers where: every transaction that commits after
/// this call is behind it.
pub(super) async fn renew(mut conn: Conn, outbox: &Outbox) -> Result<u64> {
    let what = || mysql("begin the outbox anew");
    conn.query_drop(format!(
        "INSERT INTO {} (session, layout, op, us) VALUES (0, 0, {OP_BEGIN}, 0)",
        outbox.sql("outbox")
    ))
    .await
    .map_err(what())?;
    let begin = conn.last_insert_id().unwrap_or(0);
    conn.exec_drop(
        format!("UPDATE {} SET position = ?", outbox.sql("noted")),
        (begin,),
    )
    .await
    .map_err(what())?;
    let mut source = MysqlOutbox::new(conn, outbox.clone(), Vec::new());
    crate::database::server::outbox::settle(&mut source, PATIENCE).await?;
    Ok(begin)
}
