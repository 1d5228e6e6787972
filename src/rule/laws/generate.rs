//! Rows, conflicts and requests from a seed.

use crate::data::{LogicalType, Row, Value};
use crate::rule::{Conflict, ConflictKind, Direction, RequestHead, RuleColumn, RuleTable, Side};

/// A small generator of random numbers (splitmix64): the same on every machine, for ever.
#[derive(Clone, Debug)]
pub(super) struct Seeded(u64);

impl Seeded {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n` (0 when `n` is 0).
    pub(super) fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        usize::try_from(self.next() % n.max(1)).unwrap_or(0)
    }

    /// True once in `n`.
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    /// The numbers below `n`, in random order.
    pub(super) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

/// The plainest value of a type, which shrinking aims at.
pub(super) fn plain(column: &RuleColumn) -> Value {
    if column.nullable {
        return Value::Null;
    }
    match column.logical {
        LogicalType::Bool => Value::Bool(false),
        LogicalType::UInt => Value::UInt(0),
        LogicalType::Decimal => "0".parse().map_or(Value::Null, Value::Decimal),
        LogicalType::Float => Value::Float(0.0),
        LogicalType::Text => Value::from(""),
        LogicalType::Bytes => Value::Bytes(Vec::new()),
        LogicalType::Date => Value::Date(0),
        LogicalType::Time => Value::Time(0),
        LogicalType::Timestamp => Value::Timestamp(0),
        LogicalType::TimestampUtc => Value::TimestampUtc(0),
        LogicalType::Uuid => Value::Uuid([0; 16]),
        LogicalType::Json => Value::Json("null".to_owned()),
        _ => Value::Int(0),
    }
}

const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "NULL",
    "O'Brien",
    "ä€😀",
    "a\u{0}b",
    "line\nline",
    " padded ",
    "a|b,c;d",
    "0",
    "-1",
    "true",
    "gold",
    "silver",
    "anna@example.org",
    "bob@example.org",
];
const INTS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    7,
    10,
    100,
    1_000,
    i64::MAX,
    i64::MIN,
    1 << 53,
];
const DECIMALS: &[&str] = &[
    "0",
    "1",
    "-1",
    "0.5",
    "1.50",
    "19.99",
    "-0.05",
    "100",
    "123456789012345678901234567890.12",
];
const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    0.2,
    0.3,
    1.5,
    1e308,
    -1e308,
    5e-324,
    f64::INFINITY,
];
const DAY_US: i64 = 86_400_000_000;

fn value(seeded: &mut Seeded, logical: LogicalType) -> Value {
    let small = |s: &mut Seeded| i64::try_from(s.below(1_000)).unwrap_or(0);
    match logical {
        LogicalType::Bool => Value::Bool(seeded.one_in(2)),
        LogicalType::Int => Value::Int(seeded.pick(INTS).copied().unwrap_or(0)),
        LogicalType::UInt => match seeded.below(8) {
            0 => Value::UInt(u64::MAX),
            n => Value::UInt(n as u64),
        },
        LogicalType::Decimal => seeded
            .pick(DECIMALS)
            .and_then(|d| d.parse().ok())
            .map_or(Value::Null, Value::Decimal),
        LogicalType::Float => Value::Float(seeded.pick(FLOATS).copied().unwrap_or(0.0)),
        LogicalType::Bytes => {
            let n = seeded.below(5);
            Value::Bytes((0..n).map(|_| (seeded.next() % 256) as u8).collect())
        }
        LogicalType::Date => Value::Date(i32::try_from(seeded.below(40_000)).unwrap_or(0) - 10_000),
        LogicalType::Time => Value::Time(small(seeded) * DAY_US / 1_000),
        LogicalType::Timestamp => Value::Timestamp((small(seeded) + 20_000) * DAY_US),
        LogicalType::TimestampUtc => Value::TimestampUtc((small(seeded) + 20_000) * DAY_US),
        LogicalType::Uuid => {
            let mut bytes = [0; 16];
            bytes[15] = (seeded.next() % 4) as u8;
            Value::Uuid(bytes)
        }
        LogicalType::Json => Value::Json(
            seeded
                .pick(&["null", "{}", "{\"a\":1}", "[1,2]", "\"x\""])
                .map_or_else(String::new, |s| (*s).to_owned()),
        ),
        LogicalType::Any => {
            let any = [
                LogicalType::Int,
                LogicalType::Text,
                LogicalType::Float,
                LogicalType::Bytes,
            ];
            let logical = seeded.pick(&any).copied().unwrap_or(LogicalType::Text);
            value(seeded, logical)
        }
        _ => Value::from(seeded.pick(TEXTS).copied().unwrap_or("")),
    }
}

fn cell(seeded: &mut Seeded, column: &RuleColumn) -> Value {
    if column.nullable && seeded.one_in(6) {
        Value::Null
    } else {
        value(seeded, column.logical)
    }
}

/// A key cell that no other row of the batch has.
fn key_cell(logical: LogicalType, n: usize) -> Value {
    let number = i64::try_from(n).unwrap_or(0);
    match logical {
        LogicalType::UInt => Value::UInt(n as u64),
        LogicalType::Decimal => number
            .to_string()
            .parse()
            .map_or(Value::Null, Value::Decimal),
        LogicalType::Text => Value::Text(format!("key-{n}")),
        LogicalType::Bytes => Value::Bytes(number.to_be_bytes().to_vec()),
        LogicalType::Date => Value::Date(i32::try_from(n).unwrap_or(0)),
        LogicalType::Time => Value::Time(number),
        LogicalType::Timestamp => Value::Timestamp(number),
        LogicalType::TimestampUtc => Value::TimestampUtc(number),
        LogicalType::Uuid => {
            let mut bytes = [0; 16];
            bytes[8..].copy_from_slice(&number.to_be_bytes());
            Value::Uuid(bytes)
        }
        _ => Value::Int(number),
    }
}

/// Row number `n` of a batch.
pub(super) fn row(seeded: &mut Seeded, table: &RuleTable, n: usize) -> Row {
    table
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            if table.key.contains(&i) {
                key_cell(column.logical, n)
            } else {
                cell(seeded, column)
            }
        })
        .collect()
}

/// `row` with some of its cells, but not its key, changed.
fn changed(seeded: &mut Seeded, table: &RuleTable, row: &Row) -> Row {
    let mut out = row.clone();
    for (i, column) in table.columns.iter().enumerate() {
        if !table.key.contains(&i) && seeded.one_in(2) {
            out[i] = cell(seeded, column);
        }
    }
    out
}

fn time(seeded: &mut Seeded) -> Option<i64> {
    if seeded.one_in(5) {
        None
    } else {
        Some(1_700_000_000_000_000 + i64::try_from(seeded.below(4)).unwrap_or(0) * 1_000_000)
    }
}

/// Conflict number `n` of a batch: two rows that moved apart, with equal and missing times,
/// deletes, double inserts and unknown bases among them.
pub(super) fn conflict(seeded: &mut Seeded, table: &RuleTable, n: usize) -> Conflict {
    let common = row(seeded, table, n);
    let source = changed(seeded, table, &common);
    let target = changed(seeded, table, &common);
    let (kind, base, source, target) = match seeded.below(8) {
        0 => (ConflictKind::InsertExists, None, Some(source), Some(target)),
        1 => (
            ConflictKind::UpdateDeleted,
            Some(common),
            Some(source),
            None,
        ),
        2 => (
            ConflictKind::DeleteOriginDiffers,
            Some(common),
            None,
            Some(target),
        ),
        _ => (
            ConflictKind::UpdateOriginDiffers,
            Some(common),
            Some(source),
            Some(target),
        ),
    };
    Conflict {
        kind,
        direction: if seeded.one_in(4) {
            Direction::Backward
        } else {
            Direction::Forward
        },
        base,
        base_known: !seeded.one_in(8),
        source: Side {
            row: source,
            committed_us: time(seeded),
        },
        target: Side {
            row: target,
            committed_us: time(seeded),
        },
    }
}

/// A request of some client.
pub(super) fn request(seeded: &mut Seeded) -> RequestHead {
    let mut pick = |from: &[&str]| {
        let n = seeded.below(from.len());
        from.get(n).map_or_else(String::new, |s| (*s).to_owned())
    };
    let mut request = RequestHead {
        method: pick(&["GET", "POST", "PUT", "DELETE", "HEAD"]),
        path: pick(&[
            "/",
            "/orders",
            "/orders/7",
            "/customers/1/orders",
            "/ä%20b",
            "/a//b/../c",
        ]),
        query: pick(&["", "page=2", "a=1&a=2", "q=%00", "debug"]),
        headers: Vec::new(),
        client: pick(&["127.0.0.1", "10.0.0.7", "2001:db8::1"]),
        service: pick(&["orders", "customers"]),
    };
    for (name, values) in [
        ("host", &["shop.example", "localhost:8080"][..]),
        ("cookie", &["sid=1", "sid=abc; vip=1", ""]),
        ("x-user-tier", &["gold", "silver", "none"]),
        ("user-agent", &["curl/8", "Mozilla/5.0 (X11; Linux)"]),
        ("authorization", &["Bearer x.y.z"]),
    ] {
        if seeded.one_in(2) {
            let n = seeded.below(values.len());
            request
                .headers
                .push((name.to_owned(), values[n].to_owned()));
        }
    }
    request
}

/// Plainer forms of a conflict, plainest first.
pub(super) fn simpler_conflict(table: &RuleTable, conflict: &Conflict) -> Vec<Conflict> {
    let mut out = Vec::new();
    let mut push = |change: &dyn Fn(&mut Conflict)| {
        let mut candidate = conflict.clone();
        change(&mut candidate);
        if candidate != *conflict {
            out.push(candidate);
        }
    };
    push(&|c| c.source.committed_us = None);
    push(&|c| c.target.committed_us = None);
    push(&|c| c.source.committed_us = c.source.committed_us.map(|_| 1));
    push(&|c| c.target.committed_us = c.target.committed_us.map(|_| 1));
    push(&|c| c.direction = Direction::Forward);
    for (i, column) in table.columns.iter().enumerate() {
        if table.key.contains(&i) {
            continue;
        }
        let plain = plain(column);
        push(&|c| {
            for row in [&mut c.base, &mut c.source.row, &mut c.target.row]
                .into_iter()
                .flatten()
            {
                row[i] = plain.clone();
            }
        });
        push(&|c| set(&mut c.base, i, &plain));
        push(&|c| set(&mut c.source.row, i, &plain));
        push(&|c| set(&mut c.target.row, i, &plain));
    }
    out
}

fn set(row: &mut Option<Row>, column: usize, value: &Value) {
    if let Some(cell) = row.as_mut().and_then(|r| r.get_mut(column)) {
        *cell = value.clone();
    }
}

/// Plainer forms of a row.
pub(super) fn simpler_row(table: &RuleTable, row: &Row) -> Vec<Row> {
    let mut out = Vec::new();
    for (i, column) in table.columns.iter().enumerate() {
        let plain = plain(column);
        if !table.key.contains(&i) && row.get(i).is_some_and(|v| *v != plain) {
            let mut candidate = row.clone();
            candidate[i] = plain;
            out.push(candidate);
        }
    }
    out
}
