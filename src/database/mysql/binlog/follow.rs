//! Following the log: events become whole transactions, in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use mysql_async::BinlogStream;
use mysql_async::binlog::BinlogChecksumAlg;
use mysql_async::binlog::events::Event as Raw;

use crate::database::server::added;
use crate::database::server::driver::LogEvent;
use crate::error::{Error, ErrorKind, Result};

use super::capture::{Facts, Log};
use super::event::{Event, refused};
use super::layout::{Collations, TableMap};
use super::place::Place;
use super::queue::{Sender, queue};
use super::rows::Unreadable;
use super::statement::{Ddl, Statement, Touch, Xid};
use super::transaction::{Failed, Reading, Transaction, damaged};
use super::watched::Watched;
use crate::database::mysql::connect::Access;

/// A server that says nothing for so long, not even that nothing happens, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Events of a transaction that are decoded before others have their turn.
const DECODE_EVENTS: usize = 64;

/// Where in a transaction the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// Between transactions.
    Outside,
    /// A transaction or a single statement comes next.
    Announced,
    /// In a transaction.
    Inside,
}

/// What the rows of a table number are.
#[derive(Clone, Debug)]
enum Meaning {
    /// Rows of a table that nobody captures.
    Foreign,
    /// Rows of the table that marks a transaction as ours.
    Mark,
    /// Captured rows.
    Captured(Arc<Reading>),
}

/// Reads the log and tells what happens.
#[derive(Debug)]
pub(super) struct Follower {
    log: Log,
    mariadb: bool,
    tables: Vec<Watched>,
    collations: Arc<Collations>,
    /// Names are compared without regard to case.
    fold: bool,
    sender: Sender,
    /// Where the log is read.
    place: Place,
    /// What ends at or before it is known already.
    after: u64,
    /// How far the reader was told.
    told: u64,
    /// Whether the file's beginning was told since it was entered.
    begun: bool,
    group: Group,
    transaction: Transaction,
    prepared: BTreeMap<Xid, Transaction>,
    maps: HashMap<u64, (Vec<u8>, Meaning)>,
}

impl Follower {
    /// Follows `log` from `place` on.
    pub(super) fn new(
        log: Log,
        facts: Facts,
        tables: Vec<Watched>,
        sender: Sender,
        place: Place,
        after: u64,
    ) -> Self {
        Self {
            mariadb: log.server.is_mariadb(),
            log,
            tables,
            collations: facts.collations,
            fold: facts.fold,
            sender,
            place,
            after,
            told: after,
            begun: false,
            group: Group::Outside,
            transaction: Transaction::default(),
            prepared: BTreeMap::new(),
            maps: HashMap::new(),
        }
    }

    /// One like it for the part of the log before this, which tells nobody anything.
    pub(super) fn before(&self, place: Place) -> Self {
        Self::new(
            self.log.clone(),
            Facts {
                collations: Arc::clone(&self.collations),
                fold: self.fold,
            },
            self.tables.clone(),
            queue().0,
            place,
            self.place.position(),
        )
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Takes a transaction that is prepared.
    pub(super) fn take_prepared(&mut self, xid: &Xid) -> Option<Transaction> {
        self.prepared.remove(xid)
    }

    /// The log that it follows.
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Follows the log until something goes wrong; that is the queue's last word.
    pub(super) async fn run(mut self, stream: BinlogStream) {
        if let Err(error) = self.follow(stream).await {
            self.sender.fail(error);
        }
    }

    async fn follow(&mut self, mut stream: BinlogStream) -> Result<()> {
        loop {
            let next = tokio::time::timeout(SILENCE_MAX, stream.next());
            let raw = match next.await {
                Ok(Some(raw)) => raw.map_err(|e| self.log.stream_error(e))?,
                Ok(None) => return Err(self.log.lost("the server ended the stream")),
                Err(_) => return Err(self.log.lost("the server says nothing any more")),
            };
            self.event(&raw).await?;
        }
    }

    pub(super) async fn event(&mut self, raw: &Raw) -> Result<()> {
        let header = raw.header();
        let artificial = header.log_pos() == 0 || header.flags_raw() & 0x20 != 0;
        if !artificial {
            verify(raw)?;
        }
        let event = Event::read(raw, self.mariadb)?;
        if let Event::Heartbeat { file } = event {
            // Its place is where the server stands in the file that it names.
            if self.group == Group::Outside && self.place.is_in(file) {
                self.place.advance(header.log_pos());
                self.progress(0);
            }
            return Ok(());
        }
        if !artificial {
            self.place.advance(header.log_pos());
        }
        match event {
            Event::Ignored | Event::Heartbeat { .. } => {}
            Event::Rotate { artificial, file } => return self.rotate(artificial, file),
            Event::Begin { created } => self.begin_file(created).await?,
            Event::Announced {
                begun,
                committed_us,
            } => {
                self.start(if begun {
                    Group::Inside
                } else {
                    Group::Announced
                });
                self.transaction.committed_us = committed_us;
                return Ok(());
            }
            Event::Query { database, sql } => self.query(database, sql).await?,
            Event::TableMap { id, body } => {
                self.group = Group::Inside;
                self.table_map(id, body).await?;
            }
            Event::Rows { id, event, body } => self.rows(id, event, body)?,
            Event::Refused { id, what, hint } => {
                if let Some((_, Meaning::Captured(reading))) = self.maps.get(&id) {
                    let table = self.tables[reading.table].place();
                    return Err(refused(
                        format!("{what}, rows of table {table} in it"),
                        hint,
                    ));
                }
            }
            Event::Load => {
                self.tell_all("LOAD DATA changed rows, logged as a statement")
                    .await;
            }
            Event::Committed => self.commit().await?,
            Event::Prepared(xid) => {
                let transaction = std::mem::take(&mut self.transaction);
                self.prepared.insert(xid, transaction);
                self.group = Group::Outside;
            }
        }
        if self.group == Group::Outside && !artificial {
            self.progress(0);
        }
        Ok(())
    }

    /// Tells how far the log was read without anything to tell.
    fn progress(&mut self, own: u64) {
        let end = self.place.position();
        if end > self.told {
            self.told = end;
            self.sender.progress(end, own);
        }
    }

    fn start(&mut self, group: Group) {
        self.group = group;
        self.transaction = Transaction::default();
    }

    fn rotate(&mut self, artificial: bool, file: &[u8]) -> Result<()> {
        if self.place.is_in(file) {
            return Ok(());
        }
        self.place.enter(file, artificial)?;
        self.begun = false;
        self.maps.clear();
        // What a crash of the server cut off is not committed.
        self.start(Group::Outside);
        Ok(())
    }

    /// A file's description: also sent when the log is read from the middle of the file.
    async fn begin_file(&mut self, created: u32) -> Result<()> {
        self.maps.clear();
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.log.remember_file(self.place.number(), created).await?;
        // Whoever waits for the log's end may be there already.
        if self.place.position() <= self.after {
            self.sender.progress(self.after, 0);
        }
        Ok(())
    }

    async fn query(&mut self, database: &[u8], sql: &[u8]) -> Result<()> {
        let sql = String::from_utf8_lossy(sql);
        match Statement::read(&sql) {
            Statement::Begin | Statement::XaStart => {
                let committed_us = self.transaction.committed_us;
                self.start(Group::Inside);
                self.transaction.committed_us = committed_us;
            }
            Statement::Commit => self.commit().await?,
            Statement::Rollback => self.start(Group::Outside),
            Statement::Savepoint(name) => self.transaction.savepoint(name),
            Statement::RollbackTo(name) => self.transaction.rollback_to(&name)?,
            Statement::XaCommit(xid) => {
                if self.place.position() <= self.after {
                    // Kept: this may be the very one that is looked for.
                    self.start(Group::Outside);
                    return Ok(());
                }
                let transaction = match self.prepared.remove(&xid) {
                    Some(transaction) => transaction,
                    None => Box::pin(self.prepared_before(&xid)).await?,
                };
                let committed_us = self.transaction.committed_us;
                self.transaction = transaction;
                self.transaction.committed_us = committed_us;
                self.commit().await?;
            }
            Statement::XaRollback(xid) => {
                self.prepared.remove(&xid);
                self.start(Group::Outside);
            }
            Statement::Ddl(ddl) => {
                let database = String::from_utf8_lossy(database);
                self.ddl(&database, &ddl, sql.contains('\u{fffd}')).await?;
                self.end_statement();
            }
            Statement::Dml(words) => {
                let database = String::from_utf8_lossy(database).to_lowercase();
                self.statement(&database, &words).await;
                self.end_statement();
            }
            Statement::Other => self.end_statement(),
        }
        Ok(())
    }

    /// A statement outside a transaction is one by itself.
    fn end_statement(&mut self) {
        if self.group != Group::Inside {
            self.group = Group::Outside;
        }
    }

    /// Rows changed by a statement that is logged as such.
    async fn statement(&mut self, database: &str, words: &[String]) {
        if self.place.position() <= self.after {
            return;
        }
        for i in 0..self.tables.len() {
            let table = &self.tables[i];
            let (of, name) = (table.database.to_lowercase(), table.name.to_lowercase());
            if database == of || words.contains(&name) && words.contains(&of) {
                let what = "rows were changed by a statement that is logged as a statement \
                            (binlog_format is not ROW in some session)";
                self.tell(i, what.to_owned()).await;
            }
        }
    }

    async fn tell_all(&mut self, what: &str) {
        for i in 0..self.tables.len() {
            self.tell(i, what.to_owned()).await;
        }
    }

    /// Tells that a table changed; once is enough, but for what is more than a new column.
    async fn tell(&mut self, table: usize, what: String) {
        // What lies behind is known to whoever reads.
        let known = self.place.position() <= self.after;
        let watched = &mut self.tables[table];
        let more = watched.only_added && added::missed(&what).is_none();
        if !watched.told || more {
            watched.told = true;
            watched.only_added &= !more;
            let table = watched.index();
            if known {
                return;
            }
            self.sender.send(LogEvent::Schema { table, what }).await;
        }
    }

    async fn ddl(&mut self, current: &str, ddl: &Ddl, unclear: bool) -> Result<()> {
        if self.place.position() <= self.after {
            return Ok(());
        }
        for i in 0..self.tables.len() {
            let table = &self.tables[i];
            let columns = table.columns.iter().map(String::as_str);
            let touch = match ddl.touch(current, &table.database, &table.name, columns) {
                // Names that cannot be read may be these.
                Touch::No if unclear => Touch::Schema,
                touch => touch,
            };
            if touch == Touch::No {
                continue;
            }
            self.maps.clear();
            let difference = self.look(i).await?;
            match touch {
                Touch::Rows(what) => self.tell(i, what.to_owned()).await,
                _ => {
                    if let Some(difference) = difference {
                        self.tell(i, difference).await;
                    }
                }
            }
        }
        Ok(())
    }

    async fn look(&mut self, table: usize) -> Result<Option<String>> {
        let mut conn = self.log.server.connect(Access::Read).await?;
        self.tables[table].look(&mut conn).await
    }

    async fn table_map(&mut self, id: u64, body: &[u8]) -> Result<()> {
        if let Some((known, meaning)) = self.maps.get(&id)
            && known == body
        {
            if matches!(meaning, Meaning::Mark) {
                self.own()?;
            }
            return Ok(());
        }
        let map = TableMap::read(body).ok_or_else(damaged)?;
        let meaning = if self.log.is_mark(&map, self.fold) {
            self.own()?;
            Meaning::Mark
        } else {
            match self.tables.iter().position(|t| t.is(&map, self.fold)) {
                None => Meaning::Foreign,
                Some(i) => Meaning::Captured(Arc::new(self.fit(i, &map).await?)),
            }
        };
        self.maps.insert(id, (body.to_vec(), meaning));
        Ok(())
    }

    fn own(&mut self) -> Result<()> {
        self.transaction.set_own().map_err(|_| damaged())
    }

    async fn fit(&mut self, table: usize, map: &TableMap<'_>) -> Result<Reading> {
        match self.tables[table].fit(map, &self.collations)? {
            Ok(reading) => Ok(reading),
            Err(what) => {
                let difference = self.look(table).await?;
                // What else it got since then, the log tells further on.
                let is_grown = |what: &String| added::missed(what).is_some();
                if difference.as_ref().is_none_or(is_grown)
                    && let Some(reading) = self.tables[table].fit_older(map, &self.collations)
                {
                    return Ok(reading);
                }
                self.tell(table, difference.unwrap_or(what)).await;
                self.fit_told(table, map)
            }
        }
    }

    fn fit_told(&self, table: usize, map: &TableMap<'_>) -> Result<Reading> {
        self.tables[table]
            .fit(map, &self.collations)?
            .map_err(|_| damaged())
    }

    fn rows(&mut self, id: u64, event: u8, body: &[u8]) -> Result<()> {
        match self.maps.get(&id) {
            Some((_, Meaning::Captured(reading))) => self.transaction.push(event, body, reading),
            Some(_) => Ok(()),
            // The end of a statement may refer to no table at all.
            None if id == 0xff_ffff => Ok(()),
            None => Err(damaged()),
        }
    }

    async fn commit(&mut self) -> Result<()> {
        let transaction = std::mem::take(&mut self.transaction);
        self.group = Group::Outside;
        let end = self.place.position();
        if end <= self.after {
            return Ok(());
        }
        if let Some(rows) = transaction.own_rows() {
            self.progress(rows);
            return Ok(());
        }
        if transaction.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::new();
        let mut decoder = transaction.decode(end)?;
        for events in 1_usize.. {
            match decoder.next(&mut changes) {
                Ok(true) if events.is_multiple_of(DECODE_EVENTS) => tokio::task::yield_now().await,
                Ok(true) => {}
                Ok(false) => break,
                Err(Failed::File(error)) => return Err(error),
                Err(Failed::Rows(table, why)) => return Err(self.unreadable(table, &why)),
            }
        }
        self.told = end;
        self.sender.send(LogEvent::Commit { end, changes }).await;
        Ok(())
    }

    fn unreadable(&self, table: usize, why: &Unreadable) -> Error {
        let watched = &self.tables[table];
        let place = watched.place();
        match why {
            Unreadable::Damaged => damaged().at(format!("table {place}")),
            Unreadable::Partial(column) => Error::new(
                ErrorKind::Schema,
                format!(
                    "column {} of table {place} is missing in a row of the binary log: \
                     binlog_row_image is not FULL in some session",
                    watched.columns[*column]
                ),
            )
            .hint(
                "SET GLOBAL binlog_row_image = FULL on the server, let its applications connect \
                 anew, then abort the migration and start it again",
            ),
            Unreadable::Value(column, what) => Error::new(
                ErrorKind::Value,
                format!(
                    "column {} of table {place} holds what cannot be read from the binary log: \
                     {what}",
                    watched.columns[*column]
                ),
            )
            .hint("leave the column out of the mapping, or change the value"),
        }
    }
}

/// What a disk or a wire bent must not be believed.
fn verify(raw: &Raw) -> Result<()> {
    let Some(expected) = raw.checksum() else {
        return Ok(());
    };
    match raw.footer().get_checksum_alg() {
        Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)) => {
            let found = raw.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32);
            if found == u32::from_le_bytes(expected) {
                Ok(())
            } else {
                Err(Error::new(
                    ErrorKind::Store,
                    "an event of the binary log has a wrong checksum",
                )
                .hint("check the server's disk and its error log"))
            }
        }
        _ => Ok(()),
    }
}
