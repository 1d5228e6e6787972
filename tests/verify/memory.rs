//! A store in memory, which can be edited between two snapshots.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use banyan::data::batch::BatchBuilder;
use banyan::data::{Column, Generated, Key, LogicalType, Position, Row, TableSchema, Value};
use banyan::database::{ReadRequest, ReadStore, Snapshot};
use banyan::error::{Error, ErrorKind, Result};
use datafusion::arrow::record_batch::RecordBatch;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream, StreamExt};

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: TableSchema,
    pub(super) rows: Vec<Row>,
}

pub(super) type Tables = BTreeMap<String, Table>;
type Edit = Box<dyn FnOnce(&mut Tables) + Send>;

pub(super) struct MemoryStore {
    name: String,
    batch_rows: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    tables: Tables,
    snapshots: usize,
    edits: BTreeMap<usize, Vec<Edit>>,
    reads: Vec<ReadRequest>,
}

impl MemoryStore {
    pub(super) fn new(name: &str, batch_rows: usize) -> Self {
        Self {
            name: name.into(),
            batch_rows,
            state: Arc::default(),
        }
    }

    /// Adds a table; the columns in `key` are its key.
    pub(super) fn with(self, table: &str, columns: &[&str], key: &[usize], rows: Vec<Row>) -> Self {
        let schema = schema(table, columns, key);
        self.state
            .lock()
            .unwrap()
            .tables
            .insert(table.into(), Table { schema, rows });
        self
    }

    /// Edits the data just before snapshot number `n` (from 0) is taken.
    pub(super) fn before_snapshot(
        &self,
        n: usize,
        edit: impl FnOnce(&mut Tables) + Send + 'static,
    ) {
        let mut state = self.state.lock().unwrap();
        state.edits.entry(n).or_default().push(Box::new(edit));
    }

    pub(super) fn edit(&self, edit: impl FnOnce(&mut Tables)) {
        edit(&mut self.state.lock().unwrap().tables);
    }

    /// All reads so far.
    pub(super) fn reads(&self) -> Vec<ReadRequest> {
        self.state.lock().unwrap().reads.clone()
    }
}

pub(super) fn schema(table: &str, columns: &[&str], key: &[usize]) -> TableSchema {
    TableSchema {
        name: table.into(),
        columns: columns
            .iter()
            .enumerate()
            .map(|(i, name)| Column {
                name: (*name).into(),
                declared_type: String::new(),
                logical: LogicalType::Any,
                nullable: !key.contains(&i),
                default: None,
                generated: Generated::No,
                collation: None,
            })
            .collect(),
        key: key.to_vec(),
        unique: vec![],
        foreign_keys: vec![],
        without_rowid: false,
        strict: false,
        triggers: vec![],
    }
}

/// The promised order, written down a second time and without cleverness.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    fn rank(v: &Value) -> u8 {
        match v {
            Value::Null => 0,
            Value::Int(_) | Value::Float(_) => 1,
            Value::Text(_) => 2,
            Value::Other(o) if o.kind == "text" => 2,
            Value::Bytes(_) => 3,
            other => panic!("{other} is not of this store"),
        }
    }
    fn bytes(v: &Value) -> &[u8] {
        match v {
            Value::Text(v) => v.as_bytes(),
            Value::Bytes(v) => v,
            Value::Other(v) => &v.bytes,
            _ => &[],
        }
    }
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap(),
        (Value::Int(a), Value::Float(b)) => int_float(*a, *b),
        (Value::Float(a), Value::Int(b)) => int_float(*b, *a).reverse(),
        _ => bytes(a).cmp(bytes(b)),
    })
}

fn int_float(a: i64, b: f64) -> Ordering {
    // Below 2^53 both are exact as floats; above, floats are whole.
    if a.unsigned_abs() < 1 << 53 {
        (a as f64).partial_cmp(&b).unwrap()
    } else {
        i128::from(a).cmp(&(b as i128))
    }
}

pub(super) fn compare_rows(a: &[Value], b: &[Value]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| compare(a, b))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

impl ReadStore for MemoryStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        let names = self.state.lock().unwrap().tables.keys().cloned().collect();
        Box::pin(future::ready(Ok(names)))
    }

    fn schema<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<TableSchema>> {
        let state = self.state.lock().unwrap();
        let schema = state.tables.get(table).map(|t| t.schema.clone());
        Box::pin(future::ready(schema.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no table {table}"))
        })))
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>>> {
        let mut state = self.state.lock().unwrap();
        let n = state.snapshots;
        state.snapshots += 1;
        for edit in state.edits.remove(&n).unwrap_or_default() {
            edit(&mut state.tables);
        }
        let snapshot = MemorySnapshot {
            tables: Arc::new(state.tables.clone()),
            batch_rows: self.batch_rows,
            state: Arc::clone(&self.state),
        };
        drop(state);
        let reads: Box<dyn Snapshot> = Box::new(snapshot);
        Box::pin(future::ready(Ok(reads)))
    }
}

struct MemorySnapshot {
    tables: Arc<Tables>,
    batch_rows: usize,
    state: Arc<Mutex<State>>,
}

/// `column = integer`, the only filter that this store knows.
fn matches(table: &Table, row: &Row, filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| {
        let (column, value) = filter.split_once(" = ").unwrap();
        row[table.schema.column(column).unwrap()] == Value::Int(value.parse().unwrap())
    })
}

impl Snapshot for MemorySnapshot {
    fn position(&self) -> Option<Position> {
        None
    }

    fn count<'a>(
        &'a mut self,
        table: &'a str,
        filter: Option<&'a str>,
    ) -> BoxFuture<'a, Result<u64>> {
        let table = &self.tables[table];
        let rows = table
            .rows
            .iter()
            .filter(|r| matches(table, r, filter))
            .count();
        Box::pin(future::ready(Ok(rows as u64)))
    }

    fn read(&mut self, request: ReadRequest) -> BoxStream<'_, Result<RecordBatch>> {
        self.state.lock().unwrap().reads.push(request.clone());
        let table = &self.tables[&request.table];
        let index = |name: &String| table.schema.column(name).unwrap();
        let order: Vec<usize> = request.order_by.iter().map(index).collect();
        let columns: Vec<usize> = request.columns.iter().map(index).collect();
        let key = |row: &Row| Key::of(row, &order).0;
        let mut rows: Vec<&Row> = table
            .rows
            .iter()
            .filter(|row| matches(table, row, request.filter.as_deref()))
            .filter(|row| {
                let after = request.after.as_ref();
                let up_to = request.up_to.as_ref();
                after.is_none_or(|k| compare_rows(&key(row), &k.0).is_gt())
                    && up_to.is_none_or(|k| compare_rows(&key(row), &k.0).is_le())
            })
            .collect();
        rows.sort_by(|a, b| compare_rows(&key(a), &key(b)));
        rows.truncate(request.limit.unwrap_or(usize::MAX));
        let mut batches = Vec::new();
        for chunk in rows.chunks(self.batch_rows) {
            let mut builder = BatchBuilder::new(request.columns.clone());
            for row in chunk {
                for (i, &c) in columns.iter().enumerate() {
                    builder.push(i, (&row[c]).into());
                }
                builder.end_row();
            }
            batches.push(builder.finish());
        }
        stream::iter(batches).boxed()
    }
}
