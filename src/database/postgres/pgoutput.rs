//! Reads the messages of the `pgoutput` plug-in, protocol version 1, without copying.
//!
//! Version 1 is the one that delivers transactions whole, at their commit, one after the other.

use crate::error::{Error, ErrorKind, Result};

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message<'a> {
    /// A transaction begins.
    Begin {
        /// Where its commit is.
        final_lsn: u64,
        /// When it committed, microseconds since 2000.
        time: i64,
        /// Its number.
        xid: u32,
    },
    /// The transaction that began is complete.
    Commit {
        /// Where its commit is.
        commit_lsn: u64,
        /// The position after it.
        end_lsn: u64,
        /// When it committed, microseconds since 2000.
        time: i64,
    },
    /// The transaction came by this replication origin.
    Origin {
        /// Its commit in the origin's log.
        lsn: u64,
        /// The origin.
        name: &'a str,
    },
    /// What a table looks like from here on.
    Relation(RelationMessage<'a>),
    /// A type that is not built in.
    Type {
        /// Its object identifier.
        id: u32,
        /// Its schema.
        schema: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A new row.
    Insert {
        /// The table.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A changed row.
    Update {
        /// The table.
        relation: u32,
        /// What is known of the row before.
        old: Option<Old<'a>>,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row that is gone.
    Delete {
        /// The table.
        relation: u32,
        /// What is known of the row.
        old: Old<'a>,
    },
    /// Tables that were emptied.
    Truncate {
        /// The tables.
        relations: Vec<u32>,
        /// 1: cascade, 2: restart sequences.
        flags: u8,
    },
    /// What somebody wrote into the log with `pg_logical_emit_message`.
    Logical {
        /// Whether it belongs to a transaction.
        transactional: bool,
        /// Where it is.
        lsn: u64,
        /// Whose it is.
        prefix: &'a str,
        /// What it says.
        content: &'a [u8],
    },
}

/// See [`Message::Relation`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RelationMessage<'a> {
    /// Its object identifier.
    pub(super) id: u32,
    /// Its schema; empty for `pg_catalog`.
    pub(super) schema: &'a str,
    /// Its name.
    pub(super) name: &'a str,
    /// `d`, `n`, `f` or `i`.
    pub(super) identity: u8,
    /// The published columns.
    pub(super) columns: Vec<ColumnMessage<'a>>,
}

/// A column of a [`RelationMessage`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ColumnMessage<'a> {
    /// 1: part of the replica identity.
    pub(super) flags: u8,
    /// Its name.
    pub(super) name: &'a str,
    /// Its type, domains not resolved.
    pub(super) type_id: u32,
    /// The type's modifier, -1 for none.
    pub(super) modifier: i32,
}

/// What the log holds of a row before its change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Old<'a> {
    /// All columns, not only those of the replica identity.
    pub(super) full: bool,
    /// The cells.
    pub(super) tuple: Tuple<'a>,
}

/// The cells of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tuple<'a> {
    count: u16,
    bytes: &'a [u8],
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// NULL.
    Null,
    /// A large value that lies outside of the row and was not changed: it is not in the log.
    Unchanged,
    /// As the type's output function writes it.
    Text(&'a [u8]),
    /// As the type's send function writes it; never asked for.
    Binary(&'a [u8]),
}

/// Reads a message. Fails with `Internal` on bytes that the protocol does not know.
pub(super) fn read(bytes: &[u8]) -> Result<Message<'_>> {
    let mut reader = Reader(bytes);
    message(&mut reader)
        .filter(|_| reader.0.is_empty())
        .ok_or_else(|| {
            let tag = bytes.first().copied().unwrap_or_default();
            Error::new(
                ErrorKind::Internal,
                format!(
                    "a message of the log cannot be read: kind {:?}, {} bytes",
                    char::from(tag),
                    bytes.len()
                ),
            )
        })
}

fn message<'a>(reader: &mut Reader<'a>) -> Option<Message<'a>> {
    Some(match reader.u8()? {
        b'I' => Message::Insert {
            relation: reader.u32()?,
            new: reader.marked(b'N')?,
        },
        b'U' => {
            let relation = reader.u32()?;
            let old = match reader.0.first()? {
                b'O' | b'K' => Some(reader.old()?),
                _ => None,
            };
            Message::Update {
                relation,
                old,
                new: reader.marked(b'N')?,
            }
        }
        b'D' => Message::Delete {
            relation: reader.u32()?,
            old: reader.old()?,
        },
        b'B' => Message::Begin {
            final_lsn: reader.u64()?,
            time: reader.i64()?,
            xid: reader.u32()?,
        },
        b'C' => {
            // No flags are defined.
            if reader.u8()? != 0 {
                return None;
            }
            Message::Commit {
                commit_lsn: reader.u64()?,
                end_lsn: reader.u64()?,
                time: reader.i64()?,
            }
        }
        b'O' => Message::Origin {
            lsn: reader.u64()?,
            name: reader.text()?,
        },
        b'R' => Message::Relation(relation(reader)?),
        b'Y' => Message::Type {
            id: reader.u32()?,
            schema: reader.text()?,
            name: reader.text()?,
        },
        b'T' => {
            let count = reader.u32()?;
            let flags = reader.u8()?;
            let relations = (0..count).map(|_| reader.u32()).collect::<Option<_>>()?;
            Message::Truncate { relations, flags }
        }
        b'M' => {
            let transactional = reader.u8()? & 1 == 1;
            let lsn = reader.u64()?;
            let prefix = reader.text()?;
            let length = reader.u32()?;
            Message::Logical {
                transactional,
                lsn,
                prefix,
                content: reader.take(length as usize)?,
            }
        }
        _ => return None,
    })
}

fn relation<'a>(reader: &mut Reader<'a>) -> Option<RelationMessage<'a>> {
    let id = reader.u32()?;
    let schema = reader.text()?;
    let name = reader.text()?;
    let identity = reader.u8()?;
    let count = reader.u16()?;
    let columns = (0..count)
        .map(|_| {
            Some(ColumnMessage {
                flags: reader.u8()?,
                name: reader.text()?,
                type_id: reader.u32()?,
                modifier: i32::from_be_bytes(reader.array()?),
            })
        })
        .collect::<Option<_>>()?;
    Some(RelationMessage {
        id,
        schema,
        name,
        identity,
        columns,
    })
}

impl<'a> Tuple<'a> {
    /// How many cells it has.
    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// The cells in order.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        let mut reader = Reader(self.bytes);
        (0..self.count).map_while(move |_| reader.cell())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Text that a zero byte ends.
    fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|&b| b == 0)?;
        let text = std::str::from_utf8(&self.0[..end]).ok()?;
        self.0 = &self.0[end + 1..];
        Some(text)
    }

    fn cell(&mut self) -> Option<Cell<'a>> {
        Some(match self.u8()? {
            b't' => {
                let length = self.u32()?;
                Cell::Text(self.take(length as usize)?)
            }
            b'n' => Cell::Null,
            b'u' => Cell::Unchanged,
            b'b' => {
                let length = self.u32()?;
                Cell::Binary(self.take(length as usize)?)
            }
            _ => return None,
        })
    }

    fn tuple(&mut self) -> Option<Tuple<'a>> {
        let count = self.u16()?;
        let start = self.0;
        for _ in 0..count {
            self.cell()?;
        }
        let bytes = &start[..start.len() - self.0.len()];
        Some(Tuple { count, bytes })
    }

    fn marked(&mut self, mark: u8) -> Option<Tuple<'a>> {
        if self.u8()? == mark {
            self.tuple()
        } else {
            None
        }
    }

    fn old(&mut self) -> Option<Old<'a>> {
        let full = match self.u8()? {
            b'O' => true,
            b'K' => false,
            _ => return None,
        };
        Some(Old {
            full,
            tuple: self.tuple()?,
        })
    }
}

#[cfg(test)]
mod tests;
