//! The rows of a rows event.

use crate::data::{Change, Op, Row, Value};

use super::layout::Layout;
use super::wire::Input;

/// What a rows event says before its rows.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    /// What was done.
    pub(super) op: Op,
    width: usize,
    before: &'a [u8],
    after: &'a [u8],
    data: &'a [u8],
}

/// Why rows cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Unreadable {
    /// The bytes do not fit the table's description.
    Damaged,
    /// A captured column, by index, is not logged.
    Partial(usize),
    /// A captured column, by index, holds this.
    Value(usize, String),
}

impl<'a> Rows<'a> {
    /// Reads the event of this type. `None`: it is no rows event that is known.
    pub(super) fn read(event: u8, body: &'a [u8]) -> Option<Self> {
        let (op, second) = match event {
            23 => (Op::Insert, false),
            24 => (Op::Update, false),
            25 => (Op::Delete, false),
            30 => (Op::Insert, true),
            31 => (Op::Update, true),
            32 => (Op::Delete, true),
            _ => return None,
        };
        let mut input = Input(body);
        // The number of its table map.
        input.uint(6)?;
        input.take(2)?;
        if second {
            let extra = usize::try_from(input.uint(2)?).ok()?;
            input.take(extra.checked_sub(2)?)?;
        }
        let width = usize::try_from(input.packed()?).ok()?;
        let bitmap = width.div_ceil(8);
        let none: &[u8] = &[];
        let before = if op == Op::Insert {
            none
        } else {
            input.take(bitmap)?
        };
        let after = if op == Op::Delete {
            none
        } else {
            input.take(bitmap)?
        };
        Some(Self {
            op,
            width,
            before,
            after,
            data: input.0,
        })
    }

    /// How many rows there are, without their values.
    pub(super) fn count(&self, layout: &Layout) -> Result<u64, Unreadable> {
        let mut input = Input(self.data);
        let mut rows = 0;
        while !input.0.is_empty() {
            if self.op != Op::Insert {
                self.skip(self.before, layout, &mut input)
                    .ok_or(Unreadable::Damaged)?;
            }
            if self.op != Op::Delete {
                self.skip(self.after, layout, &mut input)
                    .ok_or(Unreadable::Damaged)?;
            }
            rows += 1;
        }
        Ok(rows)
    }

    /// Appends the changes of the table with this index and key. A changed key becomes a delete and
    /// an insert.
    pub(super) fn changes(
        &self,
        layout: &Layout,
        table: usize,
        key: &[usize],
        seq: u64,
        committed_us: Option<i64>,
        out: &mut Vec<Change>,
    ) -> Result<(), Unreadable> {
        let mut input = Input(self.data);
        while !input.0.is_empty() {
            let mut image = |bitmap: &[u8], wanted: bool| {
                wanted
                    .then(|| self.image(bitmap, layout, &mut input))
                    .transpose()
            };
            let before = image(self.before, self.op != Op::Insert)?;
            let after = image(self.after, self.op != Op::Delete)?;
            let mut push = |before: Option<Row>, after: Option<Row>| {
                out.push(Change {
                    table,
                    before,
                    after,
                    seq,
                    committed_us,
                });
            };
            match (before, after) {
                (Some(b), Some(a)) if key.iter().any(|&k| b[k] != a[k]) => {
                    push(Some(b), None);
                    push(None, Some(a));
                }
                (before, after) => push(before, after),
            }
        }
        Ok(())
    }

    fn skip(&self, bitmap: &[u8], layout: &Layout, input: &mut Input<'_>) -> Option<()> {
        let mut nulls = Nulls::read(bitmap, self.width, input)?;
        if layout.columns.len() != self.width {
            return None;
        }
        for (i, (wire, _)) in layout.columns.iter().enumerate() {
            if bit(bitmap, i) && !nulls.next() {
                wire.take(input)?;
            }
        }
        Some(())
    }

    fn image(
        &self,
        bitmap: &[u8],
        layout: &Layout,
        input: &mut Input<'_>,
    ) -> Result<Row, Unreadable> {
        let damaged = || Unreadable::Damaged;
        let mut nulls = Nulls::read(bitmap, self.width, input).ok_or_else(damaged)?;
        if layout.columns.len() != self.width {
            return Err(damaged());
        }
        let mut row = vec![Value::Null; layout.width];
        for (i, (wire, captured)) in layout.columns.iter().enumerate() {
            if !bit(bitmap, i) {
                if let Some((index, _)) = captured {
                    return Err(Unreadable::Partial(*index));
                }
                continue;
            }
            if nulls.next() {
                continue;
            }
            let raw = wire.take(input).ok_or_else(damaged)?;
            if let Some((index, cell)) = captured {
                row[*index] = cell
                    .value(raw)
                    .map_err(|what| Unreadable::Value(*index, what))?;
            }
        }
        Ok(row)
    }
}

fn bit(bitmap: &[u8], i: usize) -> bool {
    bitmap
        .get(i / 8)
        .is_some_and(|byte| byte >> (i % 8) & 1 == 1)
}

/// Which of the logged columns are NULL.
struct Nulls<'a> {
    bitmap: &'a [u8],
    at: usize,
}

impl<'a> Nulls<'a> {
    fn read(present: &[u8], width: usize, input: &mut Input<'a>) -> Option<Self> {
        let logged = (0..width).filter(|&i| bit(present, i)).count();
        Some(Self {
            bitmap: input.take(logged.div_ceil(8))?,
            at: 0,
        })
    }

    fn next(&mut self) -> bool {
        let null = bit(self.bitmap, self.at);
        self.at += 1;
        null
    }
}

#[cfg(test)]
mod tests;
