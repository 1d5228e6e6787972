//! Two SQLite databases and an engine between them.

pub(crate) mod hook;
pub(crate) mod net;
pub(crate) mod program;
pub(crate) mod servers;
pub(crate) mod sides;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use banyan::app::{MigrationSpec, Opened, TableSpec, build};
use banyan::database::AnyStore;
use banyan::database::sqlite::SqliteStore;
use banyan::rule::{OnFailure, Resolve, builtin};
use banyan::sync::{Engine, EngineOptions, RunOptions, SyncReport, run};

/// A folder with a source and a target database.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) dir: tempfile::TempDir,
}

impl Pair {
    /// Both databases in WAL mode, each with this schema.
    pub(crate) fn new(source: &str, target: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pair = Self { dir };
        for (path, schema) in [(pair.source(), source), (pair.target(), target)] {
            let conn = rusqlite::Connection::open(path).unwrap();
            conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
                .unwrap();
            conn.execute_batch(schema).unwrap();
        }
        pair
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("source.db")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.dir.path().join("target.db")
    }

    pub(crate) fn stores(&self) -> (AnyStore, AnyStore) {
        (
            SqliteStore::new("monolith", self.source()).into(),
            SqliteStore::new("service", self.target()).into(),
        )
    }

    pub(crate) async fn open(&self, spec: &MigrationSpec) -> Opened {
        let (source, target) = self.stores();
        build(&source, &target, spec).await.unwrap()
    }

    /// Installs capture if need be, and starts an engine.
    pub(crate) async fn engine(&self, spec: &MigrationSpec) -> Engine<banyan::database::AnySync> {
        let opened = self.open(spec).await;
        opened.source.install().await.unwrap();
        opened.target.install().await.unwrap();
        Engine::start(
            opened.source,
            opened.target,
            opened.plan,
            EngineOptions::default(),
        )
        .await
        .unwrap()
    }

    /// What `migration resume` does, and the sync that follows it.
    pub(crate) async fn resumed(&self, spec: &MigrationSpec) -> SyncReport {
        let opened = self.open(spec).await;
        opened.source.install().await.unwrap();
        opened.target.install().await.unwrap();
        opened.source.resume().await.unwrap();
        opened.target.resume().await.unwrap();
        self.sync(spec).await;
        let mut again = opened.source.recopies().await.unwrap();
        again.extend(opened.target.recopies().await.unwrap());
        opened.target.forget_copies(again).await.unwrap();
        opened.source.recopies_begun().await.unwrap();
        opened.target.recopies_begun().await.unwrap();
        self.sync(spec).await
    }

    /// Syncs until both sides have nothing left.
    pub(crate) async fn sync(&self, spec: &MigrationSpec) -> SyncReport {
        let mut engine = self.engine(spec).await;
        until_idle(&mut engine).await
    }
}

pub(crate) async fn until_idle<S: banyan::database::SyncStore>(
    engine: &mut Engine<S>,
) -> SyncReport {
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let options = RunOptions {
        until_idle: true,
        copy_only: false,
        no_longer_than: None,
        copy_rows_per_s_max: None,
        stop,
    };
    run(engine, &options, |_| ()).await.unwrap()
}

pub(crate) fn strategy(name: &str) -> Arc<dyn Resolve> {
    builtin::strategy(name, &serde_json::Value::Null).unwrap()
}

/// A two-way migration of these tables by name, conflicts decided by a built-in strategy.
pub(crate) fn spec(tables: &[&str], on_conflict: &str) -> MigrationSpec {
    MigrationSpec {
        name: "test".to_owned(),
        two_way: true,
        check_foreign_keys: true,
        log_kept_mb_max: 10_240,
        tables: tables.iter().map(|t| table(t, on_conflict)).collect(),
    }
}

pub(crate) fn table(name: &str, on_conflict: &str) -> TableSpec {
    TableSpec {
        source: name.to_owned(),
        target: name.to_owned(),
        split: Vec::new(),
        columns: Default::default(),
        ignore_columns: Vec::new(),
        key: Vec::new(),
        transform: None,
        validate: None,
        resolver: strategy(on_conflict),
        on_failure: OnFailure::Park,
        filter: None,
    }
}

/// An application's connection.
pub(crate) fn app(path: &Path) -> rusqlite::Connection {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.busy_timeout(std::time::Duration::from_secs(10))
        .unwrap();
    conn.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    conn
}

/// All rows of a query as text, NULL and types visible.
pub(crate) fn dump(path: &Path, sql: &str) -> Vec<String> {
    let conn = app(path);
    let mut stmt = conn.prepare(sql).unwrap();
    let width = stmt.column_count();
    let mut rows = stmt.query([]).unwrap();
    let mut out = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cells: Vec<String> = (0..width)
            .map(|i| format!("{:?}", row.get_ref(i).unwrap()))
            .collect();
        out.push(cells.join(" | "));
    }
    out
}
