//! A store in memory, which can be edited between two snapshots.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use banyan::data::batch::BatchBuilder;
use banyan::data::{Column, Generated, Key, LogicalType, Position, Row, TableSchema, Value};
use banyan::database::{ReadRequest, ReadStore, Snapshot};
use banyan::error::{Error, ErrorKind, Result};
use banyan::verify::{Repair, RepairOutcome, RepairStore, RepairTable};
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
    /// Child → parent, and the child's column that names the parent's first.
    parents: BTreeMap<String, (String, usize)>,
    /// When a key was last written.
    times: BTreeMap<String, i64>,
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

    /// Rows of `child` need a row of `parent` whose first cell is their cell `column`.
    pub(super) fn refer(&self, child: &str, column: usize, parent: &str) {
        let mut state = self.state.lock().unwrap();
        state.parents.insert(child.into(), (parent.into(), column));
    }

    /// The key was last written at that time.
    pub(super) fn written_at(&self, key: i64, us: i64) {
        let mut state = self.state.lock().unwrap();
        state.times.insert(key.to_string(), us);
    }

    pub(super) fn rows_of(&self, table: &str) -> Vec<Row> {
        let mut rows = self.state.lock().unwrap().tables[table].rows.clone();
        rows.sort_by(|a, b| compare_rows(a, b));
        rows
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
        encoding: None,
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

/// Writes at once; parents must be there before children when `parent` says so.
impl RepairStore for MemoryStore {
    fn rows<'a>(
        &'a self,
        table: RepairTable<'a>,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Row>>>> {
        let state = self.state.lock().unwrap();
        let rows = keys
            .iter()
            .map(|k| find(&state.tables, table, k).map(|(_, row)| row));
        let rows: Vec<_> = rows.collect();
        Box::pin(future::ready(Ok(rows)))
    }

    fn repair<'a>(
        &'a self,
        table: RepairTable<'a>,
        repairs: &'a [Repair],
    ) -> BoxFuture<'a, Result<Vec<RepairOutcome>>> {
        let mut state = self.state.lock().unwrap();
        let outcomes = repairs
            .iter()
            .map(|r| write(&mut state, table, r))
            .collect();
        Box::pin(future::ready(Ok(outcomes)))
    }

    fn committed_us<'a>(
        &'a self,
        _: RepairTable<'a>,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<i64>>>> {
        let state = self.state.lock().unwrap();
        let times = keys
            .iter()
            .map(|k| state.times.get(&k.to_string()).copied())
            .collect();
        Box::pin(future::ready(Ok(times)))
    }
}

fn find(tables: &Tables, table: RepairTable<'_>, key: &Key) -> Option<(usize, Row)> {
    let held = &tables[table.table];
    let columns: Vec<usize> = table
        .columns
        .iter()
        .map(|c| held.schema.column(c).unwrap())
        .collect();
    let keyed: Vec<usize> = table.key.iter().map(|&k| columns[k]).collect();
    let at = held.rows.iter().position(|r| Key::of(r, &keyed) == *key)?;
    Some((
        at,
        columns.iter().map(|&c| held.rows[at][c].clone()).collect(),
    ))
}

fn write(state: &mut State, table: RepairTable<'_>, repair: &Repair) -> RepairOutcome {
    let found = if table.key.is_empty() {
        repair.expected.as_ref().and_then(|row| {
            let at = state.tables[table.table]
                .rows
                .iter()
                .position(|r| r == row)?;
            Some((at, row.clone()))
        })
    } else {
        find(&state.tables, table, &repair.key)
    };
    if found.as_ref().map(|(_, row)| row) != repair.expected.as_ref() {
        return RepairOutcome::Moved;
    }
    if let Some((parent, column)) = state.parents.get(table.table)
        && let Some(row) = &repair.row
        && !state.tables[parent]
            .rows
            .iter()
            .any(|p| p[0] == row[*column])
    {
        return RepairOutcome::Blocked(format!("{} has no parent", row[*column]));
    }
    let held = state.tables.get_mut(table.table).unwrap();
    let columns: Vec<usize> = table
        .columns
        .iter()
        .map(|c| held.schema.column(c).unwrap())
        .collect();
    match (found, &repair.row) {
        (None, None) => {}
        (Some((at, _)), None) => drop(held.rows.remove(at)),
        (found, Some(row)) => {
            let width = held.schema.columns.len();
            let at = found.map_or_else(
                || {
                    held.rows.push(vec![Value::Null; width]);
                    held.rows.len() - 1
                },
                |(at, _)| at,
            );
            for (&column, cell) in columns.iter().zip(row) {
                held.rows[at][column] = cell.clone();
            }
        }
    }
    RepairOutcome::Done
}
