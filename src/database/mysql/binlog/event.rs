//! What an event of the log says, as far as it matters here.

use mysql_async::binlog::events::Event as Raw;
use mysql_async::binlog::events::{AnonymousGtidEvent, GtidEvent};

use crate::error::{Error, ErrorKind, Result};

use super::statement::Xid;
use super::transaction::damaged;
use super::wire::Input;

/// See the module's text.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// A transaction, or a statement that is one, comes next.
    Announced {
        /// What comes next are its rows: nothing says "begin" any more.
        begun: bool,
        /// When it was committed, microseconds since 1970.
        committed_us: Option<i64>,
    },
    /// SQL text.
    Query {
        /// The database it was run in.
        database: &'a [u8],
        /// The text.
        sql: &'a [u8],
    },
    /// A table's description.
    TableMap {
        /// Its number, which rows events refer to.
        id: u64,
        /// What [`super::layout::TableMap`] reads.
        body: &'a [u8],
    },
    /// Rows: the event's type and body, which [`super::rows::Rows`] reads.
    Rows { id: u64, event: u8, body: &'a [u8] },
    /// Rows in a form that is not read, and what to do about it.
    Refused {
        id: u64,
        what: &'static str,
        hint: &'static str,
    },
    /// The transaction is committed.
    Committed,
    /// The transaction is prepared under this name.
    Prepared(Xid),
    /// The file ends; this one is next.
    Rotate { artificial: bool, file: &'a [u8] },
    /// A file begins. It was made at this second.
    Begin { created: u32 },
    /// Nothing happened; the server is in this file.
    Heartbeat { file: &'a [u8] },
    /// Rows were changed by `LOAD DATA`, logged as a statement.
    Load,
    /// Nothing that matters.
    Ignored,
}

/// What is told of compressed logs.
const COMPRESSED: &str = "the binary log is compressed";
const COMPRESSED_HINT: &str = "SET GLOBAL log_bin_compress = OFF on the server, then abort the \
    migration and start it again: what is compressed in the log is not read";

impl<'a> Event<'a> {
    /// Reads an event; `mariadb` says whose numbers its type counts in.
    pub(super) fn read(raw: &'a Raw, mariadb: bool) -> Result<Self> {
        let header = raw.header();
        let kind = header.event_type_raw();
        let body = raw.data();
        let table = |what, hint| {
            let id = Input(body).uint(6).ok_or_else(damaged)?;
            Ok(Self::Refused { id, what, hint })
        };
        Ok(match kind {
            2 => query(body).ok_or_else(damaged)?,
            3 | 5 | 13 | 14 | 28 | 29 | 35..=37 => Self::Ignored,
            4 => Self::Rotate {
                artificial: header.log_pos() == 0 || header.flags_raw() & 0x20 != 0,
                file: body.get(8..).ok_or_else(damaged)?,
            },
            15 => Self::Begin {
                created: header.timestamp(),
            },
            16 => Self::Committed,
            17 | 18 => Self::Load,
            19 => Self::TableMap {
                id: Input(body).uint(6).ok_or_else(damaged)?,
                body: body.get(8..).ok_or_else(damaged)?,
            },
            23..=25 | 30..=32 => Self::Rows {
                id: Input(body).uint(6).ok_or_else(damaged)?,
                event: kind,
                body,
            },
            26 => {
                return Err(Error::new(
                    ErrorKind::LogGap,
                    "the server reports that its binary log lost events",
                )
                .hint("abort the migration, then start it again: it copies anew"));
            }
            27 => Self::Heartbeat { file: body },
            33 | 42 => Self::Announced {
                begun: false,
                committed_us: raw
                    .read_event::<GtidEvent>()
                    .ok()
                    .and_then(|e| committed(&e)),
            },
            34 => Self::Announced {
                begun: false,
                committed_us: raw
                    .read_event::<AnonymousGtidEvent>()
                    .ok()
                    .and_then(|e| committed(&e.0)),
            },
            38 => prepared(body).ok_or_else(damaged)?,
            39 => table(
                "an update of JSON is logged in part",
                "SET GLOBAL binlog_row_value_options = '' on the server, let its applications \
                 connect anew, then abort the migration and start it again",
            )?,
            40 => {
                return Err(refused(
                    "a transaction in the binary log is compressed",
                    "SET GLOBAL binlog_transaction_compression = OFF on the server, let its \
                     applications connect anew, then abort the migration and start it again",
                ));
            }
            160 | 161 | 163 | 164 if mariadb => Self::Ignored,
            162 if mariadb => {
                let flags = *body.get(12).ok_or_else(damaged)?;
                Self::Announced {
                    begun: flags & 1 == 0,
                    committed_us: None,
                }
            }
            165 if mariadb => return Err(refused(COMPRESSED, COMPRESSED_HINT)),
            166..=171 if mariadb => table(COMPRESSED, COMPRESSED_HINT)?,
            // The server marks what may be passed over.
            _ if header.flags_raw() & 0x80 != 0 => Self::Ignored,
            _ => {
                return Err(Error::new(
                    ErrorKind::Store,
                    format!("the binary log holds an event of type {kind}, which is not known"),
                )
                .hint("use a version of Banyan that knows this version of the server"));
            }
        })
    }
}

/// An error about a form of the log that is not read.
pub(super) fn refused(what: impl Into<String>, hint: &str) -> Error {
    Error::new(ErrorKind::Store, what).hint(hint)
}

/// When the application committed. MariaDB logs whole seconds only, which is no commit time.
fn committed(event: &GtidEvent) -> Option<i64> {
    [
        event.original_commit_timestamp(),
        event.immediate_commit_timestamp(),
    ]
    .into_iter()
    .find(|&us| us > 0)
    .and_then(|us| i64::try_from(us).ok())
}

fn query(body: &[u8]) -> Option<Event<'_>> {
    let mut input = Input(body);
    input.take(8)?;
    let database = usize::try_from(input.uint(1)?).ok()?;
    input.take(2)?;
    let status = usize::try_from(input.uint(2)?).ok()?;
    input.take(status)?;
    let database = input.take(database)?;
    input.take(1)?;
    Some(Event::Query {
        database,
        sql: input.0,
    })
}

fn prepared(body: &[u8]) -> Option<Event<'_>> {
    let mut input = Input(body);
    if input.uint(1)? != 0 {
        // Prepared and committed in one.
        return Some(Event::Committed);
    }
    let format = u32::try_from(input.uint(4)?).ok()?;
    let global = usize::try_from(input.uint(4)?).ok()?;
    let branch = usize::try_from(input.uint(4)?).ok()?;
    Some(Event::Prepared(Xid(
        format,
        input.take(global)?.to_vec(),
        input.take(branch)?.to_vec(),
    )))
}
