//! Mappings, values and short forms for the tests of the verifier.

use std::sync::Arc;

use banyan::data::{OtherValue, Row, Value};
use banyan::rule::RuleTable;
use banyan::rule::mapping::{How, MappedTable, TableMapping};
use banyan::verify::{Level, Recheck, Report, VerifyRequest, verify};

use super::memory::{MemoryStore, schema};

pub(super) fn side(table: &str, columns: &[&str], key: &[usize]) -> MappedTable {
    let all: Vec<usize> = (0..columns.len()).collect();
    MappedTable {
        table: RuleTable::of(&schema(table, columns, key), &all),
        stored: None,
    }
}

/// A mapping column by column between tables of one name.
pub(super) fn mapping(table: &str, columns: &[&str], key: &[usize]) -> TableMapping {
    TableMapping {
        source: side(table, columns, key),
        targets: vec![side(table, columns, key)],
        how: How::Columns,
        filter: None,
        filter_sql: None,
    }
}

pub(super) fn transformed(
    source: MappedTable,
    targets: Vec<MappedTable>,
    rule: impl banyan::rule::Transform + 'static,
) -> TableMapping {
    TableMapping {
        source,
        targets,
        how: How::Rule(Arc::new(rule)),
        filter: None,
        filter_sql: None,
    }
}

/// At first sight, with no second look.
pub(super) const ONCE: Recheck = Recheck {
    wait_ms: 0,
    tries: 0,
};

pub(super) fn run(
    source: &MemoryStore,
    target: &MemoryStore,
    mappings: &[TableMapping],
    level: Level,
    recheck: Recheck,
) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut request = VerifyRequest::new(source, target, mappings);
    request.level = level;
    request.recheck = recheck;
    runtime.block_on(verify(request)).unwrap()
}

/// Compares two lists of rows of one table.
pub(super) fn diff(source: Vec<Row>, target: Vec<Row>, key: &[usize], level: Level) -> Report {
    let width = source.first().or(target.first()).map_or(1, Vec::len);
    let names: Vec<String> = (0..width).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // Batches of unequal size, so that nothing is aligned by chance.
    let source = MemoryStore::new("monolith", 7).with("t", &names, key, source);
    let target = MemoryStore::new("service", 5).with("t", &names, key, target);
    run(&source, &target, &[mapping("t", &names, key)], level, ONCE)
}

/// (missing, extra, differs) of the first table.
pub(super) fn counts(report: &Report) -> (u64, u64, u64) {
    let t = &report.tables[0];
    (
        t.missing_on_target.unwrap(),
        t.extra_on_target.unwrap(),
        t.differs.unwrap(),
    )
}

pub(super) fn int(v: i64) -> Value {
    Value::Int(v)
}

pub(super) fn text(v: &str) -> Value {
    Value::Text(v.into())
}

pub(super) fn invalid_text(bytes: &[u8]) -> Value {
    Value::Other(Box::new(OtherValue {
        kind: "text".into(),
        bytes: bytes.to_vec(),
    }))
}

/// Small random numbers from a seed (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
