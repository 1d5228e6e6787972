//! Rows as the server sent them: what a binary `COPY` gives, a binary `COPY` of columns of the same
//! types takes.

use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;

use crate::data::batch::BatchBuilder;
use crate::data::{Column, TableSchema};
use crate::database::copied::{SentForm, SentRows};
use crate::error::Result;

use super::column::PgColumn;
use super::kind::Kind;
use super::rows::{RowSink, look_at_row, put_row, row_len};

/// Whether rows of these columns of one server may be handed over to those of another one as they are
/// sent.
pub(in crate::database) fn alike<'a>(
    columns: impl IntoIterator<Item = (&'a Column, &'a Column)>,
) -> bool {
    columns.into_iter().all(|(from, to)| {
        from.declared_type == to.declared_type && PgColumn::new(from).is_sent_as_is()
    })
}

/// The same of a table's key: a row without one is none to hand over unseen.
pub(in crate::database) fn has_whole_key(schema: &TableSchema, key: &[usize]) -> bool {
    !key.is_empty() && key.iter().all(|&k| !schema.columns[k].nullable)
}

/// What the rows consist of.
#[derive(Debug)]
struct Form {
    names: Vec<String>,
    kinds: Vec<Kind>,
    is_looked_at: bool,
}

impl SentForm for Form {
    fn cells(&self, mut rows: &[u8]) -> Result<RecordBatch> {
        let mut builder = BatchBuilder::new(self.names.clone());
        while !rows.is_empty() {
            let len = row_len(&self.kinds, rows)?.unwrap_or(rows.len());
            let (row, rest) = rows.split_at(len);
            put_row(&self.kinds, row, &mut builder)?;
            rows = rest;
        }
        builder.finish()
    }
}

/// Collects rows with no more than a look at values that cannot be carried.
#[derive(Debug)]
pub(super) struct SentBuilder {
    form: Arc<Form>,
    bytes: Vec<u8>,
    len: usize,
    last: usize,
}

impl SentBuilder {
    /// No rows of these columns yet.
    pub(super) fn new(columns: &[PgColumn]) -> Self {
        let form = Form {
            names: columns.iter().map(|c| c.name.clone()).collect(),
            kinds: columns.iter().map(|c| c.kind).collect(),
            is_looked_at: columns.iter().any(|c| c.kind.has_more_than_is_carried()),
        };
        Self {
            form: Arc::new(form),
            bytes: Vec::new(),
            len: 0,
            last: 0,
        }
    }

    /// What was collected; the next ones will take about as much room.
    pub(super) fn finish(&mut self) -> SentRows {
        let room = Vec::with_capacity(self.bytes.len());
        let bytes = std::mem::replace(&mut self.bytes, room);
        let len = std::mem::take(&mut self.len);
        SentRows::new(Arc::clone(&self.form) as _, bytes, len, self.last)
    }
}

impl RowSink for SentBuilder {
    fn rows(&self) -> usize {
        self.len
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn put(&mut self, kinds: &[Kind], row: &[u8]) -> Result<()> {
        if self.form.is_looked_at {
            look_at_row(kinds, row)?;
        }
        self.last = self.bytes.len();
        self.bytes.extend_from_slice(row);
        self.len += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Generated, Key, LogicalType, Value};
    use crate::database::copied::ChunkRows;

    fn column(name: &str, declared: &str) -> Column {
        Column {
            name: name.to_owned(),
            declared_type: declared.to_owned(),
            logical: LogicalType::Any,
            nullable: true,
            default: None,
            generated: Generated::No,
            collation: None,
        }
    }

    /// Number of columns, then each with its length.
    fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut out = u16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
        for cell in cells {
            match cell {
                None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(cell) => {
                    out.extend_from_slice(&i32::try_from(cell.len()).unwrap().to_be_bytes());
                    out.extend_from_slice(cell);
                }
            }
        }
        out
    }

    #[test]
    fn sent_rows_can_be_taken_apart() {
        let columns = [column("id", "integer"), column("note", "text")];
        let columns: Vec<PgColumn> = columns.iter().map(PgColumn::new).collect();
        let mut builder = SentBuilder::new(&columns);
        let rows = [
            row(&[Some(&1_i32.to_be_bytes()), Some(b"")]),
            row(&[Some(&2_i32.to_be_bytes()), None]),
            row(&[Some(&(-3_i32).to_be_bytes()), Some("ä".as_bytes())]),
        ];
        for row in &rows {
            builder.put(&[], row).unwrap();
        }
        let sent = builder.finish();
        assert_eq!(sent.bytes()[..], rows.concat());
        let chunk = ChunkRows::Sent(sent);
        assert_eq!(chunk.len(), 3);
        assert_eq!(
            crate::data::batch::to_rows(&chunk.cells().unwrap()).unwrap(),
            [
                vec![Value::Int(1), Value::Text("".into())],
                vec![Value::Int(2), Value::Null],
                vec![Value::Int(-3), Value::Text("ä".into())],
            ]
        );
        let last = chunk.last_key(&[0]).unwrap();
        assert_eq!(last, Some(Key(vec![Value::Int(-3)])));

        // The next chunk begins empty.
        builder.put(&[], &rows[1]).unwrap();
        let chunk = ChunkRows::Sent(builder.finish());
        assert_eq!(chunk.len(), 1);
        let last = chunk.last_key(&[1, 0]).unwrap();
        assert_eq!(last, Some(Key(vec![Value::Null, Value::Int(2)])));
        let empty = ChunkRows::Sent(builder.finish());
        assert!(empty.is_empty());
        assert_eq!(empty.last_key(&[0]).unwrap(), None);
    }

    #[test]
    fn a_damaged_row_is_said() {
        let columns = [PgColumn::new(&column("id", "integer"))];
        let whole = row(&[Some(&1_i32.to_be_bytes())]);
        let short = &whole[..whole.len() - 1];
        for bytes in [short, &row(&[None, None]), b"\0\x01\0"] {
            let mut builder = SentBuilder::new(&columns);
            builder.put(&[], bytes).unwrap();
            assert!(ChunkRows::Sent(builder.finish()).cells().is_err());
        }
    }

    #[test]
    fn what_cannot_be_carried_is_refused_all_the_same() {
        let column = |(name, declared)| PgColumn::new(&column(name, declared));
        let columns = [("id", "integer"), ("at", "timestamp with time zone")].map(column);
        let mut builder = SentBuilder::new(&columns);
        let kinds = [Kind::Int4, Kind::TimestampTz];
        let mut put = |us: Option<i64>| {
            let us = us.map(i64::to_be_bytes);
            let cells = [Some(&[0, 0, 0, 1][..]), us.as_ref().map(|us| &us[..])];
            builder.put(&kinds, &row(&cells))
        };
        for us in [None, Some(0), Some(i64::MAX), Some(i64::MIN)] {
            assert!(put(us).is_ok(), "{us:?}");
        }
        let error = put(Some(i64::MAX - 5)).unwrap_err();
        assert!(
            error.message().contains("beyond what can be carried"),
            "{error}"
        );
        assert_eq!(builder.finish().len(), 4);
    }

    #[test]
    fn only_the_very_same_types_are_handed_over_unseen() {
        let is_alike = |a: &str, b: &str| alike([(&column("a", a), &column("b", b))]);
        for same in ["integer", "numeric(10,2)", "character(3)", "jsonb", "text"] {
            assert!(is_alike(same, same), "{same}");
        }
        assert!(!is_alike("integer", "bigint"));
        assert!(!is_alike("numeric(10,2)", "numeric(10,3)"));
        assert!(!is_alike("character varying(3)", "text"));
        // Their binary form is none that is the same everywhere, or none at all.
        for other in ["mood", "integer[]", "citext", "inet"] {
            assert!(!is_alike(other, other), "{other}");
        }
    }
}
