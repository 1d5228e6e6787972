//! What the tests of plugins share.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use banyan::data::{LogicalType, Row};
use banyan::plugin::{HostOptions, Limits, Plugin, PluginHost, PluginSpec};
use banyan::rule::{Conflict, ConflictKind, Direction, RuleColumn, RuleTable, Side};

/// One host for all tests, as in production, with compiled code kept from one run to the next.
pub static HOST: LazyLock<PluginHost> = LazyLock::new(|| {
    PluginHost::new(HostOptions {
        cache_dir: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins")),
    })
    .unwrap()
});

/// Time limits that a busy machine does not reach: fuel bounds what the tests run.
pub const PATIENT: Limits = Limits {
    memory_mb: 64,
    call_ms: 60_000,
    fuel_base: 50_000_000,
    fuel_per_row: 100_000,
};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn spec(name: &str, path: impl Into<PathBuf>) -> PluginSpec {
    PluginSpec {
        limits: PATIENT,
        ..PluginSpec::new(name, path)
    }
}

/// The committed hostile guest; what it does is a setting.
pub fn hostile(settings: serde_json::Value) -> Arc<Plugin> {
    let path = root().join("tests/guests/hostile.wasm");
    HOST.load(PluginSpec {
        settings,
        ..spec("hostile", path)
    })
    .unwrap()
}

pub fn column(name: &str, declared: &str, logical: LogicalType, nullable: bool) -> RuleColumn {
    RuleColumn {
        name: name.to_owned(),
        declared_type: declared.to_owned(),
        logical,
        nullable,
    }
}

/// id INTEGER NOT NULL, name TEXT, points INTEGER; key id.
pub fn people() -> RuleTable {
    RuleTable {
        name: "people".to_owned(),
        columns: vec![
            column("id", "INTEGER", LogicalType::Int, false),
            column("name", "TEXT", LogicalType::Text, true),
            column("points", "INTEGER", LogicalType::Int, true),
        ],
        key: vec![0],
    }
}

pub fn person(id: i64, name: &str, points: i64) -> Row {
    vec![id.into(), name.into(), points.into()]
}

pub fn conflict(source: Option<Row>, target: Option<Row>) -> Conflict {
    Conflict {
        kind: ConflictKind::UpdateOriginDiffers,
        direction: Direction::Forward,
        base: None,
        base_known: false,
        source: Side {
            row: source,
            committed_us: Some(1),
        },
        target: Side {
            row: target,
            committed_us: Some(2),
        },
    }
}

/// So many conflicts over [`people`].
pub fn conflicts(count: i64) -> Vec<Conflict> {
    (0..count)
        .map(|i| {
            conflict(
                Some(person(i, "source", i)),
                Some(person(i, "target", i + 1)),
            )
        })
        .collect()
}
