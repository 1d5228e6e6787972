//! From the messages of the log to whole transactions of captured tables.
//!
//! Whose a transaction is, its first message says: every transaction of Banyan's begins with one of
//! its own in the log (`pg_logical_emit_message`), and is passed over and only counted. A replication
//! origin would say the same, but needs a superuser's grants, one session each, and a name in the
//! whole cluster; and the server's own filter (`origin = 'none'`, PostgreSQL 16 and later) leaves out
//! the transactions of every other tool, too, which are the application's to us. So origins are
//! neither made nor looked at.

use std::collections::{HashMap, VecDeque};

use crate::data::{Change, Value};
use crate::database::server::driver::LogEvent;
use crate::error::{Error, ErrorKind, Result};

use super::capture_names::CaptureNames;
use super::pgoutput::{Message, Old, RelationMessage, Tuple};
use super::relation::{Relation, Shape, TypeNames, no_old_row};
use super::spill::Spill;

/// Microseconds from 1970 to 2000, where the server's clock begins.
const EPOCH_US: i64 = 946_684_800_000_000;

/// A change takes so much memory beside its text.
const CHANGE_BYTES: usize = 160;

/// What comes out.
#[derive(Debug)]
pub(super) enum Item {
    /// As it is delivered.
    Event(LogEvent),
    /// A whole transaction that lies in a file.
    Spilled {
        /// The position after it.
        end: u64,
        /// When it was committed.
        committed_us: i64,
        /// Its changes.
        spill: Spill,
    },
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Assembler {
    names: CaptureNames,
    shapes: Vec<Shape>,
    types: TypeNames,
    relations: HashMap<u32, Relation>,
    tables: HashMap<u32, usize>,
    /// What was last said of each table.
    reported: Vec<String>,
    open: Option<Open>,
    /// Everything up to here has come out.
    end: u64,
    spill_bytes: usize,
    out: VecDeque<(Item, usize)>,
    delivered: u64,
}

/// A transaction that is being received.
#[derive(Debug, Default)]
struct Open {
    /// Where its commit stands.
    committed: u64,
    own: bool,
    own_rows: u64,
    changes: Vec<Change>,
    bytes: usize,
    spill: Option<Spill>,
    schema: Vec<(usize, String)>,
}

impl Assembler {
    /// For these captured tables, in their order. Transactions of more than `spill_bytes` go to a
    /// file until they are complete.
    pub(super) fn new(
        names: CaptureNames,
        shapes: Vec<Shape>,
        types: TypeNames,
        after: u64,
        spill_bytes: usize,
    ) -> Self {
        let tables = shapes.iter().enumerate().map(|(i, s)| (s.id, i)).collect();
        Self {
            names,
            reported: vec![String::new(); shapes.len()],
            shapes,
            types,
            relations: HashMap::new(),
            tables,
            open: None,
            end: after,
            spill_bytes,
            out: VecDeque::new(),
            delivered: 0,
        }
    }

    /// How many transactions of others have come out.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// What has come out, with the memory it takes.
    pub(super) fn out(&mut self) -> &mut VecDeque<(Item, usize)> {
        &mut self.out
    }

    /// Everything up to here has come out.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The types of a relation message that are not known yet; ask the catalogue, then tell
    /// [`Self::learn`].
    pub(super) fn unknown_types(&self, message: &RelationMessage<'_>) -> Vec<(u32, i32)> {
        if !self.tables.contains_key(&message.id) {
            return Vec::new();
        }
        message
            .columns
            .iter()
            .map(|column| (column.type_id, column.modifier))
            .filter(|key| !self.types.contains_key(key))
            .collect()
    }

    /// Adds what the catalogue says about types.
    pub(super) fn learn(&mut self, types: TypeNames) {
        self.types.extend(types);
    }

    /// The server says that nothing is left to send up to here.
    pub(super) fn keepalive(&mut self, position: u64) {
        if self.open.is_none() {
            self.progress(position, 0);
        }
    }

    /// Says that a table is not what it was.
    pub(super) fn schema(&mut self, table: usize, what: String) {
        let bytes = CHANGE_BYTES + what.len();
        let event = LogEvent::Schema { table, what };
        self.out.push_back((Item::Event(event), bytes));
    }

    fn progress(&mut self, position: u64, own: u64) {
        if position <= self.end && own == 0 {
            return;
        }
        self.end = self.end.max(position);
        if let Some((Item::Event(LogEvent::Progress { end, own: before }), _)) = self.out.back_mut()
        {
            *end = self.end;
            *before += own;
            return;
        }
        let event = LogEvent::Progress { end: self.end, own };
        self.out.push_back((Item::Event(event), CHANGE_BYTES));
    }

    /// Takes the next message, which is so many bytes long.
    pub(super) fn message(&mut self, message: Message<'_>, length: usize) -> Result<()> {
        match message {
            Message::Insert { relation, new } => self.row(relation, None, Some(new), length),
            Message::Update { relation, old, new } => match old {
                Some(old) => self.row(relation, Some(old), Some(new), length),
                None => self.without_old(relation),
            },
            Message::Delete { relation, old } => self.row(relation, Some(old), None, length),
            Message::Begin { final_lsn, .. } => {
                if self.open.is_some() {
                    return Err(out_of_order("a transaction begins inside of another one"));
                }
                self.open = Some(Open {
                    committed: final_lsn,
                    ..Open::default()
                });
                Ok(())
            }
            Message::Commit { end_lsn, time, .. } => self.commit(end_lsn, time),
            Message::Logical {
                transactional: true,
                prefix,
                ..
            } if prefix == self.names.mark() => {
                self.inside()?.own = true;
                Ok(())
            }
            // Says where a transaction of another tool's came from; there is none without one.
            Message::Origin { .. } => self.inside().map(drop),
            Message::Relation(message) => {
                self.relation(&message);
                Ok(())
            }
            Message::Truncate { relations, .. } => self.truncate(&relations),
            Message::Type { .. } | Message::Logical { .. } => Ok(()),
        }
    }

    fn inside(&mut self) -> Result<&mut Open> {
        self.open
            .as_mut()
            .ok_or_else(|| out_of_order("a change is outside of any transaction"))
    }

    fn relation(&mut self, message: &RelationMessage<'_>) {
        let Some(&table) = self.tables.get(&message.id) else {
            return;
        };
        let committed = self.open.as_ref().map_or(u64::MAX, |open| open.committed);
        let (relation, what) = Relation::new(&self.shapes[table], message, &self.types, committed);
        self.relations.insert(message.id, relation);
        let what = what.join("; ");
        if self.reported[table] == what {
            return;
        }
        self.reported[table].clone_from(&what);
        if what.is_empty() {
            return;
        }
        match &mut self.open {
            Some(open) => open.schema.push((table, what)),
            None => self.schema(table, what),
        }
    }

    fn truncate(&mut self, relations: &[u32]) -> Result<()> {
        let tables: Vec<usize> = relations
            .iter()
            .filter_map(|id| self.tables.get(id).copied())
            .collect();
        let open = self.inside()?;
        if open.own {
            return Ok(());
        }
        let what = "was truncated; the log does not say which rows it held";
        let events = tables.into_iter().map(|table| (table, what.to_owned()));
        open.schema.extend(events);
        Ok(())
    }

    /// A change without the row before it.
    fn without_old(&mut self, relation: u32) -> Result<()> {
        let table = self.tables.get(&relation).copied();
        let open = self.inside()?;
        match table {
            None => Ok(()),
            Some(_) if open.own => {
                open.own_rows += 1;
                Ok(())
            }
            Some(table) => Err(no_old_row(&self.shapes[table])),
        }
    }

    fn row(
        &mut self,
        relation: u32,
        old: Option<Old<'_>>,
        new: Option<Tuple<'_>>,
        length: usize,
    ) -> Result<()> {
        let Some(open) = &mut self.open else {
            return Err(out_of_order("a change is outside of any transaction"));
        };
        let Some(&table) = self.tables.get(&relation) else {
            return Ok(());
        };
        if open.own {
            open.own_rows += 1;
            return Ok(());
        }
        let shape = &self.shapes[table];
        let Some(relation) = self.relations.get(&relation) else {
            return Err(out_of_order("a table changes before the log describes it"));
        };
        if !relation.complete {
            return Ok(());
        }
        let before = match old {
            Some(old) if old.full => Some(relation.row(shape, old.tuple, None)?),
            Some(_) => return Err(no_old_row(shape)),
            None => None,
        };
        let after = match new {
            Some(new) => Some(relation.row(shape, new, before.as_ref())?),
            None => None,
        };
        let change = |before, after| Change {
            table,
            before,
            after,
            seq: 0,
            committed_us: None,
        };
        open.bytes += CHANGE_BYTES + length + 2 * relation.width() * size_of::<Value>();
        match (before, after) {
            (Some(before), Some(after)) if shape.key.iter().any(|&i| before[i] != after[i]) => {
                open.push(change(Some(before), None), self.spill_bytes)?;
                open.push(change(None, Some(after)), self.spill_bytes)
            }
            (before, after) => open.push(change(before, after), self.spill_bytes),
        }
    }

    fn commit(&mut self, end: u64, time: i64) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Err(out_of_order("a commit is outside of any transaction"));
        };
        for (table, what) in open.schema {
            self.schema(table, what);
        }
        if open.changes.is_empty() && open.spill.is_none() {
            self.progress(end, open.own_rows);
            return Ok(());
        }
        self.end = self.end.max(end);
        let committed_us = time.saturating_add(EPOCH_US);
        let item = match open.spill {
            Some(spill) => {
                let item = Item::Spilled {
                    end,
                    committed_us,
                    spill,
                };
                (item, CHANGE_BYTES)
            }
            None => {
                let mut changes = open.changes;
                for change in &mut changes {
                    change.seq = end;
                    change.committed_us = Some(committed_us);
                }
                let event = LogEvent::Commit { end, changes };
                (Item::Event(event), open.bytes)
            }
        };
        self.out.push_back(item);
        self.delivered += 1;
        Ok(())
    }
}

impl Open {
    fn push(&mut self, change: Change, spill_bytes: usize) -> Result<()> {
        if let Some(spill) = &mut self.spill {
            return spill.push(&change);
        }
        self.changes.push(change);
        if self.bytes > spill_bytes {
            let mut spill = Spill::new()?;
            for change in std::mem::take(&mut self.changes) {
                spill.push(&change)?;
            }
            self.spill = Some(spill);
        }
        Ok(())
    }
}

fn out_of_order(what: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("the log is not in the order that its protocol says: {what}"),
    )
}

#[cfg(test)]
mod tests;
