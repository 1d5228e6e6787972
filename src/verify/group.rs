//! Rows that share a place in the order without being identical.
//!
//! Normally one on each side: a row that differs. More where a key holds NULLs (SQLite allows it),
//! or is no key of the other side. Equal rows cancel each other, each copy once; what is left
//! over differs.

use crate::data::{Key, Row, canonical};
use crate::error::Result;

use super::sorter::{Sorted, Sorter};
use super::suspect::{Suspect, SuspectWriter};

/// Above this the rows of a group are sorted on disk, and no longer paired.
const MEMORY_ROWS: usize = 1024;

/// A group that is being gathered.
pub(super) struct Group {
    /// The place.
    pub(super) key: Key,
    before: Option<Key>,
    ordinal: u64,
    source: Bag,
    target: Bag,
}

#[derive(Default)]
struct Bag {
    rows: Vec<Row>,
    sorter: Option<Sorter>,
    count: u64,
}

impl Bag {
    fn push(&mut self, row: Row) -> Result<()> {
        self.count += 1;
        if let Some(sorter) = &mut self.sorter {
            return sorter.push_encoded(&canonical::encode(&row));
        }
        self.rows.push(row);
        if self.rows.len() > MEMORY_ROWS {
            let mut sorter = Sorter::new();
            for row in self.rows.drain(..) {
                sorter.push_encoded(&canonical::encode(&row))?;
            }
            self.sorter = Some(sorter);
        }
        Ok(())
    }

    fn sorted(self) -> Result<Sorted> {
        let mut sorter = self.sorter.unwrap_or_else(Sorter::new);
        for row in &self.rows {
            sorter.push_encoded(&canonical::encode(row))?;
        }
        Ok(sorter.finish())
    }
}

impl Group {
    pub(super) fn new(key: Key, before: Option<Key>, ordinal: u64) -> Self {
        Self {
            key,
            before,
            ordinal,
            source: Bag::default(),
            target: Bag::default(),
        }
    }

    pub(super) fn source(&mut self, row: Row) -> Result<()> {
        self.source.push(row)
    }

    pub(super) fn target(&mut self, row: Row) -> Result<()> {
        self.target.push(row)
    }

    /// Rows of the side that has more.
    pub(super) fn rows(&self) -> u64 {
        self.source.count.max(self.target.count)
    }

    /// Writes down what is left over, in the order of [`Suspect::compare`].
    pub(super) fn close(self, paired: bool, key: &[usize], out: &mut SuspectWriter) -> Result<()> {
        if self.source.sorter.is_some() || self.target.sorter.is_some() {
            return self.close_large(out);
        }
        let suspect = |source, target| Suspect {
            source,
            target,
            before: self.before.clone(),
            ordinal: self.ordinal,
        };
        let mut suspects = Vec::new();
        let (source, target) = cancel(self.source.rows, self.target.rows);
        let (mut source, mut target) = (source.into_iter(), target.into_iter());
        loop {
            match (source.next(), target.next()) {
                (None, None) => break,
                (Some(a), Some(b)) if !paired => {
                    suspects.push(suspect(Some(a), None));
                    suspects.push(suspect(None, Some(b)));
                }
                (a, b) => suspects.push(suspect(a, b)),
            }
        }
        suspects.sort_by(|a, b| a.compare(b, key));
        suspects.iter().try_for_each(|s| out.push(s))
    }

    fn close_large(self, out: &mut SuspectWriter) -> Result<()> {
        let (before, ordinal) = (self.before, self.ordinal);
        let mut source = self.source.sorted()?;
        let mut target = self.target.sorted()?;
        let next = |sorted: &mut Sorted| -> Result<Option<Vec<u8>>> {
            Ok(sorted.next_bytes()?.map(<[u8]>::to_vec))
        };
        let (mut a, mut b) = (next(&mut source)?, next(&mut target)?);
        loop {
            let order = match (&a, &b) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.cmp(b),
            };
            let mut suspect = Suspect {
                source: None,
                target: None,
                before: before.clone(),
                ordinal,
            };
            if order.is_lt() {
                suspect.source = a.as_deref().map(canonical::decode).transpose()?;
                out.push(&suspect)?;
            } else if order.is_gt() {
                suspect.target = b.as_deref().map(canonical::decode).transpose()?;
                out.push(&suspect)?;
            }
            if order.is_le() {
                a = next(&mut source)?;
            }
            if order.is_ge() {
                b = next(&mut target)?;
            }
        }
    }
}

/// Takes away the rows that are on both sides, each copy once; the rest sorted by bytes.
fn cancel(source: Vec<Row>, target: Vec<Row>) -> (Vec<Row>, Vec<Row>) {
    fn sorted(rows: Vec<Row>) -> Vec<(Vec<u8>, Row)> {
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|row| (canonical::encode(&row), row))
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut source = sorted(source).into_iter().peekable();
    let mut target = sorted(target).into_iter().peekable();
    loop {
        let order = match (source.peek(), target.peek()) {
            (None, None) => return (left, right),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.0.cmp(&b.0),
        };
        if order.is_le()
            && let Some((_, row)) = source.next()
            && order.is_lt()
        {
            left.push(row);
        }
        if order.is_ge()
            && let Some((_, row)) = target.next()
            && order.is_gt()
        {
            right.push(row);
        }
    }
}
