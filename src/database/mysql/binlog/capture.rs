//! The binary log as the place from which changes are captured: what is remembered of it, whether
//! it still holds what is needed, and how it is asked for.
//!
//! Nothing is installed on the server but two tables of our own: `mark`, which every transaction of
//! ours changes first, and `binlog`, which remembers when each file that was read began. A log that
//! was reset counts its files from 1 again; the second a file began tells them apart.

use std::sync::Arc;

use futures::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Error as Mysql, OptsBuilder};

use crate::error::{Error, ErrorKind, Result};

use crate::database::mysql::connect::{Access, Server};
use crate::database::mysql::error::{code, mysql};
use crate::database::mysql::log;
use crate::database::mysql::names::{Names, quote};
use crate::database::mysql::position;

use super::layout::{Collations, TableMap};
use super::watched::Watched;

/// What to do when the log does not hold what is needed.
const ANEW: &str =
    "abort the migration, then start it again: it copies anew and compares every row";
/// The largest event that the server sends.
const PACKET_BYTES_MAX: usize = 1 << 30;
/// Replicas of people have small numbers.
const SERVER_ID_MIN: u32 = 3_000_000_000;
/// Between two signs of life, in nanoseconds.
const HEARTBEAT_NS: u64 = 1_000_000_000;

/// A server's log, for one migration. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::database::mysql) struct Log {
    pub(super) server: Server,
    names: Names,
}

/// See [`Log::facts`].
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The character sets of the server's collations, by their numbers.
    pub(super) collations: Arc<Collations>,
    /// Names of tables are compared without regard to case.
    pub(super) fold: bool,
}

/// Who wrote the log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    /// MySQL's UUID; MariaDB has none.
    uuid: String,
    server_id: u64,
    /// What the names of the files begin with.
    base: String,
}

impl Log {
    /// The log of this server.
    pub(in crate::database::mysql) fn new(server: Server, names: Names) -> Self {
        Self { server, names }
    }

    fn at(&self, what: &str) -> String {
        format!("{what} at {}", self.server.place())
    }

    async fn session(&self) -> Result<Conn> {
        self.server.connect(Access::Read).await
    }

    /// Whether a table is the one that every transaction of ours changes first.
    pub(super) fn is_mark(&self, map: &TableMap<'_>, fold: bool) -> bool {
        map.is(self.server.database(), &self.names.object("mark"), fold)
    }

    /// Creates our tables and remembers whose log it is. Idempotent. Answers the position from
    /// which on changes are captured.
    pub(in crate::database::mysql) async fn install(&self) -> Result<u64> {
        let what = || mysql(self.at("install the capture of changes"));
        let mut conn = self.session().await?;
        let (mark, binlog) = (self.names.sql("mark"), self.names.sql("binlog"));
        conn.query_drop(format!(
            "CREATE TABLE IF NOT EXISTS {mark} (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL, \
             uuid VARCHAR(64) NOT NULL, server_id BIGINT NOT NULL, base VARBINARY(512) NOT NULL) \
             ENGINE = InnoDB"
        ))
        .await
        .map_err(what())?;
        conn.query_drop(format!(
            "CREATE TABLE IF NOT EXISTS {binlog} (file BIGINT NOT NULL PRIMARY KEY, \
             created BIGINT NOT NULL) ENGINE = InnoDB"
        ))
        .await
        .map_err(what())?;
        let identity = self.identity(&mut conn).await?;
        let known = self.remembered(&mut conn).await?;
        if known.as_ref() != Some(&identity) {
            // Files of another log say nothing about this one.
            conn.query_drop(format!("DELETE FROM {binlog}"))
                .await
                .map_err(what())?;
            conn.exec_drop(
                format!(
                    "INSERT INTO {mark} (id, n, uuid, server_id, base) VALUES (1, 0, ?, ?, ?) ON \
                     DUPLICATE KEY UPDATE uuid = VALUES(uuid), server_id = VALUES(server_id), \
                     base = VALUES(base)"
                ),
                (&identity.uuid, identity.server_id, &identity.base),
            )
            .await
            .map_err(what())?;
        }
        let end = self.end(&mut conn).await?;
        drop(conn);
        self.check_file(end).await?;
        Ok(end)
    }

    /// Forgets whose log it was.
    pub(in crate::database::mysql) async fn forget(&self) -> Result<()> {
        let mut conn = self.session().await?;
        for table in ["mark", "binlog"] {
            let table = self.names.sql(table);
            conn.query_drop(format!("DROP TABLE IF EXISTS {table}"))
                .await
                .map_err(mysql(self.at("begin the capture of changes anew")))?;
        }
        Ok(())
    }

    /// Drops all tables of ours that belong to this migration. Idempotent.
    pub(in crate::database::mysql) async fn uninstall(&self) -> Result<()> {
        let what = || mysql(self.at("drop Banyan's own tables"));
        let mut conn = self.session().await?;
        let tables: Vec<String> = conn
            .exec(
                "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND \
                 LEFT(TABLE_NAME, CHAR_LENGTH(?)) = ?",
                (
                    self.server.database(),
                    self.names.prefix(),
                    self.names.prefix(),
                ),
            )
            .await
            .map_err(what())?;
        for table in tables {
            conn.query_drop(format!("DROP TABLE IF EXISTS {}", quote(&table)))
                .await
                .map_err(what())?;
        }
        Ok(())
    }

    /// Where the log ends now: what committed before this call is at or before it.
    pub(in crate::database::mysql) async fn end(&self, conn: &mut Conn) -> Result<u64> {
        log::end(&self.server, conn).await
    }

    async fn identity(&self, conn: &mut Conn) -> Result<Identity> {
        let what = || mysql(self.at("read who the server is"));
        let (file, _) = log::place(&self.server, conn).await?;
        let uuid = if self.server.is_mariadb() {
            None
        } else {
            conn.query_first("SELECT @@GLOBAL.server_uuid")
                .await
                .map_err(what())?
        };
        let server_id: Option<u64> = conn
            .query_first("SELECT @@GLOBAL.server_id")
            .await
            .map_err(what())?;
        Ok(Identity {
            uuid: uuid.unwrap_or_default(),
            server_id: server_id.unwrap_or(0),
            base: position::base(&file).to_owned(),
        })
    }

    async fn remembered(&self, conn: &mut Conn) -> Result<Option<Identity>> {
        let row: Option<(String, u64, String)> = conn
            .query_first(format!(
                "SELECT uuid, server_id, base FROM {} WHERE id = 1",
                self.names.sql("mark")
            ))
            .await
            .map_err(mysql(self.at("read what is remembered of the binary log")))?;
        Ok(row.map(|(uuid, server_id, base)| Identity {
            uuid,
            server_id,
            base,
        }))
    }

    /// Fails with `LogGap` when the log does not hold everything behind `position`.
    pub(in crate::database::mysql) async fn check(&self, position: u64) -> Result<()> {
        self.find(position).await?;
        self.check_file(position).await
    }

    /// The file that `position` is in, and the offset; fails like [`Self::check`], but does not
    /// look whether it is the same file as before.
    pub(super) async fn find(&self, position: u64) -> Result<(String, u64)> {
        let mut conn = self.session().await?;
        let identity = self.identity(&mut conn).await?;
        match self.remembered(&mut conn).await? {
            None => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "the capture of changes is not installed at {}",
                        self.server.place()
                    ),
                ));
            }
            Some(known) if known != identity => {
                return Err(gap(format!(
                    "the binary log at {} is another server's: it was server {} {}, now it is \
                     server {} {}",
                    self.server.place(),
                    known.server_id,
                    known.uuid,
                    identity.server_id,
                    identity.uuid
                )));
            }
            Some(_) => {}
        }
        let files = self.files(&mut conn).await?;
        let end = self.end(&mut conn).await?;
        let (name, offset) = position::file_and_offset(&identity.base, position);
        if position > end {
            return Err(gap(format!(
                "the binary log at {} ends before {name} {offset}, up to where it was read: it was \
                 reset, or the server was restored from an older copy",
                self.server.place()
            )));
        }
        let begin = position - offset;
        for file in &files {
            if position::position(file, 0)? == begin {
                return Ok((file.clone(), offset));
            }
        }
        Err(gap(format!(
            "the file {name} of the binary log at {} is gone, and not all of it was read",
            self.server.place()
        ))
        .hint(
            "let the server keep its log longer: binlog_expire_logs_seconds (MySQL, MariaDB) or \
             expire_logs_days",
        ))
    }

    async fn files(&self, conn: &mut Conn) -> Result<Vec<String>> {
        let rows: Vec<mysql_async::Row> = conn
            .query("SHOW BINARY LOGS")
            .await
            .map_err(mysql(self.at("list the files of the binary log")))?;
        Ok(rows.iter().filter_map(|row| row.get(0)).collect())
    }

    /// All files of the log, oldest first.
    pub(super) async fn all_files(&self) -> Result<Vec<String>> {
        let mut conn = self.session().await?;
        self.files(&mut conn).await
    }

    /// Asks for the log from an offset in a file on. It ends where the log ends, or goes on.
    pub(super) async fn open(&self, file: &str, offset: u64, ends: bool) -> Result<BinlogStream> {
        let (conn, server_id) = self.dump_connection().await?;
        let mut request = BinlogStreamRequest::new(server_id)
            .with_filename(file.as_bytes())
            .with_pos(offset);
        if ends {
            request = request.with_non_blocking();
        }
        conn.get_binlog_stream(request)
            .await
            .map_err(|e| self.stream_error(e))
    }

    /// Asks for the log from here on, and looks whether something comes.
    pub(super) async fn try_to_read(&self, file: &str, offset: u64) -> Result<()> {
        let mut stream = self.open(file, Self::start(offset), true).await?;
        match stream.next().await {
            Some(Err(error)) => Err(self.stream_error(error)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// What of the server must be known to read its log.
    pub(super) async fn facts(&self) -> Result<Facts> {
        let what = || mysql(self.at("read what the server is set to"));
        let sql = if self.server.is_mariadb() {
            "SELECT ID, CHARACTER_SET_NAME FROM \
             information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS NOT NULL"
        } else {
            "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL"
        };
        let mut conn = self.session().await?;
        let rows: Vec<(u64, String)> = conn.query(sql).await.map_err(what())?;
        let fold: Option<u8> = conn
            .query_first("SELECT @@GLOBAL.lower_case_table_names")
            .await
            .map_err(what())?;
        Ok(Facts {
            collations: Arc::new(rows.into_iter().collect()),
            fold: fold.unwrap_or(0) != 0,
        })
    }

    /// Fails for tables whose log tells more, or less, than what is done to their rows.
    pub(super) async fn check_types(&self, tables: &[Watched]) -> Result<()> {
        let mut conn = self.session().await?;
        for table in tables {
            let kind: Option<String> = conn
                .exec_first(
                    "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND \
                     TABLE_NAME = ?",
                    (&table.database, &table.name),
                )
                .await
                .map_err(mysql(self.at("read the types of the tables")))?;
            if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("SYSTEM VERSIONED")) {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!(
                        "table {} is system-versioned: the binary log holds its old rows as if \
                         they were new ones",
                        table.place()
                    ),
                )
                .hint("ALTER TABLE … DROP SYSTEM VERSIONING, or leave the table out"));
            }
        }
        Ok(())
    }

    /// Where to begin in a file so that the log is read from `offset` on: a request has 32 bits for
    /// it; beyond, the file is read from its beginning, and what is known is passed over.
    pub(super) fn start(offset: u64) -> u64 {
        if u32::try_from(offset).is_ok() {
            offset.max(4)
        } else {
            4
        }
    }

    /// Reads when the file of `position` began, and compares or remembers it.
    async fn check_file(&self, position: u64) -> Result<()> {
        let (file, offset) = self.find(position).await?;
        let mut stream = self.open(&file, Self::start(offset), true).await?;
        while let Some(event) = stream.next().await {
            let header = event.map_err(|e| self.stream_error(e))?.header();
            if header.event_type_raw() == 15 {
                drop(stream);
                let begin = position - offset;
                return self.remember_file(begin, header.timestamp()).await;
            }
        }
        Err(self.lost("the server sent nothing of its binary log"))
    }

    /// Remembers when a file began; fails with `LogGap` when it is known to have begun at another
    /// time. Nothing of a file is used before.
    pub(super) async fn remember_file(&self, file: u64, created: u32) -> Result<()> {
        let what = || mysql(self.at("remember a file of the binary log"));
        let mut conn = self.session().await?;
        let table = self.names.sql("binlog");
        // Another reader of ours may be here at the same time.
        conn.exec_drop(
            format!("INSERT IGNORE INTO {table} (file, created) VALUES (?, ?)"),
            (file, created),
        )
        .await
        .map_err(what())?;
        let known: Option<u32> = conn
            .exec_first(
                format!("SELECT created FROM {table} WHERE file = ?"),
                (file,),
            )
            .await
            .map_err(what())?;
        if known == Some(created) {
            return Ok(());
        }
        Err(gap(format!(
            "a file of the binary log at {} is not the one that was read: the log was reset \
             (RESET MASTER), or the server was restored from an older copy",
            self.server.place()
        )))
    }

    /// A connection that the log can be asked for on, and a number for us that no replica has.
    async fn dump_connection(&self) -> Result<(Conn, u32)> {
        let what = || mysql(self.at("connect to read the binary log"));
        let mut conn = self.session().await?;
        let server_id = self.free_server_id(&mut conn).await?;
        // A row may be larger than what an application may send.
        let opts =
            OptsBuilder::from_opts(conn.opts().clone()).max_allowed_packet(Some(PACKET_BYTES_MAX));
        drop(conn);
        let mut conn = Conn::new(opts).await.map_err(what())?;
        // What is not known to the maker of the server is just a variable. Without the capability
        // MariaDB replaces the events that begin transactions.
        conn.query_drop(format!(
            "SET @mariadb_slave_capability = 4, @master_heartbeat_period = {HEARTBEAT_NS}, \
             @source_heartbeat_period = {HEARTBEAT_NS}, @source_binlog_checksum = 'ALL', \
             SESSION net_write_timeout = 28800"
        ))
        .await
        .map_err(what())?;
        Ok((conn, server_id))
    }

    async fn free_server_id(&self, conn: &mut Conn) -> Result<u32> {
        let sql = if self.server.is_mariadb() {
            "SHOW SLAVE HOSTS"
        } else {
            "SHOW REPLICAS"
        };
        let rows: Vec<mysql_async::Row> = match conn.query(sql).await {
            // Whoever the server does not tell takes the small risk.
            Err(error) if code(&error).is_some() => Vec::new(),
            other => other.map_err(mysql("read the numbers of the server's replicas"))?,
        };
        let mut taken: Vec<u64> = rows.iter().filter_map(|row| row.get(0)).collect();
        taken.push(self.identity(conn).await?.server_id);
        loop {
            let random = getrandom::u32().map_err(|e| {
                Error::new(ErrorKind::Internal, "the system gives no random numbers")
                    .caused_by(e.to_string())
            })?;
            let id = SERVER_ID_MIN + random % (u32::MAX - 1 - SERVER_ID_MIN);
            if !taken.contains(&u64::from(id)) {
                return Ok(id);
            }
        }
    }

    /// The log's stream broke.
    pub(super) fn lost(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "reading the binary log at {} broke off: {why}",
                self.server.place()
            ),
        )
        .hint("check that the server runs and can be reached from here")
    }

    /// An error of the log's stream.
    pub(super) fn stream_error(&self, error: Mysql) -> Error {
        let text = match &error {
            Mysql::Server(e) => e.message.to_lowercase(),
            _ => String::new(),
        };
        match code(&error) {
            // Another client with our number: it is chosen anew each time.
            Some(1236) if text.contains("same server") => {
                self.lost("another client reads it under our number")
            }
            // Also said of an event that is too large; of a log that was reset it is said when the
            // position is in the middle of something else.
            Some(1236) => gap(format!(
                "the server at {} cannot read its binary log from where we are",
                self.server.place()
            ))
            .caused_by(error.to_string())
            .hint("if it names max_allowed_packet, raise that on the server first"),
            Some(1045 | 1227) => mysql(self.at("read the binary log"))(error)
                .hint("GRANT REPLICATION SLAVE ON *.* TO the user of the store's url"),
            _ => mysql(self.at("read the binary log"))(error),
        }
    }
}

/// The log does not hold what is needed.
fn gap(message: String) -> Error {
    Error::new(ErrorKind::LogGap, message).hint(ANEW)
}
