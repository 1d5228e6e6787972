//! Verifying, repairing and querying what the configuration names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;

use crate::config::{Config, MigrationConfig};
use crate::data::{Key, Row};
use crate::database::{AnySync, Base, Cause, Outcome, RowChange, SyncStore, UnitKey};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::mapping::{MappedTable, TableMapping};
use crate::state::AuditLog;
use crate::verify::{
    Action, Cluster, Entry, Flow, Lanes, Ledger, Level, PART_ROWS, PATIENCE, Prefer, Progress,
    QueryOptions, QueryRows, Recheck, ReconcileReport, ReconcileRequest, Repair, RepairOutcome,
    RepairStore, RepairTable, Report, Sample, Strategy, Verified, VerifyRequest,
};

use super::conflicts::conflict_id;
use super::constraints;
use super::flow::MigrationFlow;
use super::open::{open, state_folder, store, stores};
use super::progress::now_us;

/// Kind of the audit log's entries of which history is made.
const VERIFIED: &str = "verified";

/// Changes of a feed that are looked at in one go.
const FEED_ROWS: usize = 10_000;

/// What to compare, and how.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The migration.
    pub migration: String,
    /// How closely.
    pub level: Level,
    /// Who orders rows.
    pub strategy: Strategy,
    /// Only these tables; empty: all.
    pub tables: Vec<String>,
    /// How many differences are listed at most.
    pub differences_max: usize,
    /// How rows that differ are looked at again.
    pub recheck: Recheck,
    /// Whether to count rows first, for progress.
    pub totals: bool,
    /// Only rows for which this SQL is true, in both stores.
    pub filter: Option<String>,
    /// Rows that are read of each side in a second, at most.
    pub rows_per_s_max: Option<u64>,
    /// How much of the time a reader of either side reads, in percent, at most.
    pub busy_percent_max: Option<u8>,
    /// Rows of each side that are compared from one snapshot, about.
    pub part_rows: u64,
    /// Whether to go on where a verification of the same was interrupted.
    pub resume: bool,
    /// Whether to write down which parts are compared, so that an interruption can be resumed.
    pub ledger: bool,
    /// Of large tables only so much is compared; `None`: all.
    pub sample: Option<Sample>,
    /// How long to wait at most, before each look, for what is on its way.
    pub patience: Duration,
    /// Whether the configuration's own checks are run, too; where all tables are compared.
    pub checks: bool,
    /// How many readers of each side a large table has.
    pub readers: usize,
    /// The workers that compare; `None`: this process.
    pub cluster: Option<Cluster>,
}

impl VerifyOptions {
    /// Everything of a migration, FULL, with the defaults.
    #[must_use]
    pub fn new(migration: impl Into<String>) -> Self {
        Self {
            migration: migration.into(),
            level: Level::Full,
            strategy: Strategy::Auto,
            tables: Vec::new(),
            differences_max: 10_000,
            recheck: Recheck::default(),
            totals: false,
            filter: None,
            rows_per_s_max: None,
            busy_percent_max: None,
            part_rows: PART_ROWS,
            resume: false,
            ledger: true,
            sample: None,
            patience: PATIENCE,
            checks: true,
            readers: 1,
            cluster: None,
        }
    }

    /// What is compared, and how closely: what an interrupted verification found is only taken over into
    /// one of the same.
    fn compared(&self, digest: &str) -> String {
        format!(
            "{} {:?} {:?} {digest}",
            self.level, self.tables, self.filter
        )
    }

    fn lanes<'a>(&self, cluster: Option<&'a Cluster>) -> Lanes<'a> {
        match (cluster, self.readers) {
            (Some(cluster), _) => Lanes::Cluster(cluster),
            (None, 0 | 1) => Lanes::One,
            (None, readers) => Lanes::Readers(readers),
        }
    }

    fn fill(&self, request: &mut VerifyRequest<'_>) {
        request.level = self.level;
        request.strategy = self.strategy;
        request.tables = (!self.tables.is_empty()).then(|| self.tables.clone());
        request.differences_max = self.differences_max;
        request.recheck = self.recheck;
        request.totals = self.totals;
        request.patience = self.patience;
        request.filter.clone_from(&self.filter);
        request.rows_per_s_max = self.rows_per_s_max;
        request.busy_percent_max = self.busy_percent_max;
        request.part_rows = self.part_rows;
        request.sample = self.sample;
    }
}

/// Two databases and what a configuration says about the tables between them, digested.
pub(super) fn mapping_digest(
    places: [String; 2],
    migration: &MigrationConfig,
    mappings: &[TableMapping],
) -> String {
    let tables: Vec<String> = mappings
        .iter()
        .map(|m| {
            let columns = |t: &MappedTable| -> Vec<String> {
                let columns = t.table.columns.iter();
                columns
                    .map(|c| format!("{} {}", c.name, c.declared_type))
                    .collect()
            };
            let targets: Vec<_> = m
                .targets
                .iter()
                .map(|t| (&t.table.name, columns(t)))
                .collect();
            let keys: Vec<_> = m.targets.iter().map(|t| &t.table.key).collect();
            format!(
                "{} {:?} {targets:?} {:?} {:?} {keys:?}",
                m.source.table.name,
                columns(&m.source),
                m.filter_sql,
                m.source.table.key,
            )
        })
        .collect();
    let tolerances = migration.tables.iter().map(|t| (&t.target, &t.tolerance));
    let tolerances: Vec<_> = tolerances.collect();
    let version = env!("CARGO_PKG_VERSION");
    let all = format!("{version} {places:?} {tolerances:?}\n{}", tables.join("\n"));
    blake3::hash(all.as_bytes()).to_hex().to_string()
}

/// Compares both sides of a migration. Differences are no error.
pub async fn verify(
    config: &Config,
    options: &VerifyOptions,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report> {
    let migration = config.migration(&options.migration)?;
    let source = store(config, &migration.source)?;
    let target = store(config, &migration.target)?;
    let (opened, _) = open(config, &options.migration).await?;
    let mut request = VerifyRequest::new(&source, &target, &opened.plan.mappings);
    options.fill(&mut request);
    request.tolerances = tolerances(migration, &opened.plan.mappings)?;
    request.progress = progress;
    let flow = MigrationFlow::of(config, &opened).await?;
    request.flow = flow.as_ref().map(|flow| flow as &dyn Flow);
    let path = state_folder(config)?.join(format!("{}.verify", options.migration));
    let places = [source.identity(), target.identity()];
    let digest = mapping_digest(places, migration, &opened.plan.mappings);
    let compared = options.compared(&digest);
    let cluster = options.cluster.clone();
    let cluster = cluster.map(|cluster| cluster.of(&options.migration, digest));
    request.lanes = options.lanes(cluster.as_ref());
    let ledger = if options.sample.is_some() || !options.ledger {
        // It is soon compared again, and what an interrupted verification has left stays for that one.
        None
    } else {
        match Ledger::open(&path, &compared, options.resume) {
            // Without a ledger it can be compared all the same.
            Err(e) if !options.resume => {
                tracing::warn!("an interruption of this verification could not be resumed: {e}");
                None
            }
            opened => opened?,
        }
    };
    if ledger.is_none() && options.resume {
        return Err(Error::new(
            ErrorKind::Refused,
            format!(
                "migration {} is being verified by another process",
                options.migration
            ),
        ));
    }
    request.ledger = ledger.as_ref();
    let mut report = crate::verify::verify(request).await?;
    if let Some(Err(e)) = ledger.map(Ledger::finish) {
        tracing::warn!("{e}");
    }
    report.schema = constraints::differences(&opened, [&source, &target], &report).await;
    let whole = options.tables.is_empty() && options.filter.is_none();
    if options.checks && whole && !config.checks.is_empty() {
        let stores = stores(config)?;
        let query = query_options(config);
        for (name, check) in &config.checks {
            let flow = flow.as_ref().map(|f| (f as &dyn Flow, options.patience));
            let check = crate::verify::check(&stores, name, check, &query, options.recheck, flow);
            report.add_check(check.await?);
        }
    }
    Ok(report)
}

/// What the configuration tolerates, by table of the target.
pub(super) fn tolerances(
    migration: &MigrationConfig,
    mappings: &[TableMapping],
) -> Result<BTreeMap<String, BTreeMap<String, f64>>> {
    let mut tolerances = BTreeMap::new();
    for table in migration.tables.iter().filter(|t| !t.tolerance.is_empty()) {
        let mapped = mappings.iter().flat_map(|m| &m.targets);
        let mapped = mapped.filter(|t| t.table.name == table.target);
        let columns: Vec<&str> = mapped
            .flat_map(|t| t.table.columns.iter().map(|c| c.name.as_str()))
            .collect();
        if let Some(name) = table
            .tolerance
            .keys()
            .find(|n| !columns.contains(&n.as_str()))
        {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "{}.tolerance: table {} has no compared column {name:?}",
                    table.path, table.target
                ),
            )
            .hint(format!("its compared columns are {}", columns.join(", "))));
        }
        let keys = mappings.iter().flat_map(|m| &m.targets);
        let keys = keys.filter(|t| t.table.name == table.target);
        let mut keys = keys.flat_map(|t| t.table.key.iter().map(|&k| &t.table.columns[k].name));
        if let Some(name) = keys.find(|name| table.tolerance.contains_key(*name)) {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "{}.tolerance: {name} is of the key of table {}, and keys are the same or others",
                    table.path, table.target
                ),
            ));
        }
        tolerances.insert(table.target.clone(), table.tolerance.clone());
    }
    Ok(tolerances)
}

/// Adds a verification to the migration's history; answers it all, oldest first.
pub fn remember(config: &Config, migration: &str, report: &Report) -> Result<Vec<Verified>> {
    let log = AuditLog::in_folder(&state_folder(config)?);
    let now = now_us();
    let summary = report.summary(now);
    let content = json!({"migration": migration, "found": summary});
    log.append(now, VERIFIED, content)?;
    let mut history = Vec::new();
    log.read(|entry| {
        let content = &entry["content"];
        if entry["what"] == VERIFIED && content["migration"] == migration {
            history.extend(serde_json::from_value(content["found"].clone()).ok());
        }
    })?;
    Ok(history)
}

/// Paths in the configuration start from its folder.
fn query_options(config: &Config) -> QueryOptions {
    let folder = config.path.parent().unwrap_or(Path::new(""));
    QueryOptions {
        folder: folder.to_owned(),
        ..QueryOptions::default()
    }
}

/// Compares both sides of a migration and repairs what differs.
pub async fn reconcile(
    config: &Config,
    options: &VerifyOptions,
    prefer: Prefer,
    dry_run: bool,
    progress: &(dyn Fn(Progress) + Send + Sync),
    observe: &mut (dyn FnMut(&Action) + Send),
) -> Result<ReconcileReport> {
    let migration = config.migration(&options.migration)?;
    let source = store(config, &migration.source)?;
    let target = store(config, &migration.target)?;
    let (opened, _) = open(config, &options.migration).await?;
    let mut request = VerifyRequest::new(&source, &target, &opened.plan.mappings);
    options.fill(&mut request);
    request.tolerances = tolerances(migration, &opened.plan.mappings)?;
    request.progress = progress;
    let flow = MigrationFlow::of(config, &opened).await?;
    request.flow = flow.as_ref().map(|flow| flow as &dyn Flow);
    let audit = AuditLog::in_folder(&state_folder(config)?);
    let ledger = |entry: Entry<'_>| {
        let (what, content) = match entry {
            Entry::Intended(actions) => (
                "repair-intended",
                json!({"migration": options.migration, "prefer": prefer, "actions": actions}),
            ),
            Entry::Done(outcomes) => {
                let outcomes: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
                (
                    "repair-done",
                    json!({"migration": options.migration, "outcomes": outcomes}),
                )
            }
        };
        audit.append(now_us(), what, content)
    };
    let units = opened.plan.units.iter();
    let resolvers = units.map(|unit| (unit.name.clone(), Arc::clone(&unit.resolver)));
    let repair_source = Repairer::new(&opened.source, &opened.target).await?;
    let repair_target = Repairer::new(&opened.target, &opened.source).await?;
    crate::verify::reconcile(ReconcileRequest {
        verify: request,
        prefer,
        resolvers: resolvers.collect(),
        dry_run,
        repair_source: &repair_source,
        repair_target: &repair_target,
        observe,
        ledger: &ledger,
    })
    .await
}

/// Runs one query over all stores of the configuration.
pub async fn query(config: &Config, sql: &str, options: &QueryOptions) -> Result<QueryRows> {
    crate::verify::query(&stores(config)?, sql, options).await
}

/// Repairs through the store's guarded writes, which carry Banyan's mark.
struct Repairer {
    sync: Arc<AnySync>,
    other: AnySync,
    captured: bool,
}

impl Repairer {
    async fn new(sync: &AnySync, other: &AnySync) -> Result<Self> {
        Ok(Self {
            sync: Arc::new(sync.clone()),
            other: other.clone(),
            captured: sync.is_installed().await? && other.is_installed().await?,
        })
    }

    fn index(&self, table: RepairTable<'_>) -> Result<usize> {
        self.sync
            .tables()
            .iter()
            .position(|t| t.schema.name == table.table)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Internal,
                    format!("table {} is not of this migration", table.table),
                )
            })
    }
}

impl RepairStore for Repairer {
    fn rows<'a>(
        &'a self,
        table: RepairTable<'a>,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<Row>>>> {
        Box::pin(async move { self.sync.read_rows(self.index(table)?, keys.to_vec()).await })
    }

    fn repair<'a>(
        &'a self,
        table: RepairTable<'a>,
        repairs: &'a [Repair],
    ) -> BoxFuture<'a, Result<Vec<RepairOutcome>>> {
        Box::pin(async move {
            let index = self.index(table)?;
            if table.key.is_empty() {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!(
                        "table {} has no key, so its rows cannot be repaired",
                        table.table
                    ),
                )
                .hint("name unique columns in the migration's table with key = [\"…\"]"));
            }
            let changes = repairs
                .iter()
                .map(|repair| RowChange {
                    table: index,
                    unit: UnitKey {
                        unit: index,
                        key: repair.key.clone(),
                    },
                    key: repair.key.clone(),
                    expect: repair.expected.clone(),
                    after: repair.row.clone(),
                    cause: Cause {
                        base: Base::Expected,
                        source_key: repair.key.clone(),
                        committed_us: None,
                        refused: None,
                    },
                })
                .collect();
            let outcomes = self.sync.repair(changes).await?;
            Ok(outcomes
                .into_iter()
                .map(|outcome| match outcome {
                    Outcome::Written | Outcome::Equal => RepairOutcome::Done,
                    Outcome::Suspect { .. } => RepairOutcome::Moved,
                    Outcome::Blocked { reason, .. } => RepairOutcome::Blocked(reason),
                })
                .collect())
        })
    }

    fn in_conflict<'a>(
        &'a self,
        table: RepairTable<'a>,
    ) -> BoxFuture<'a, Result<HashMap<Key, String>>> {
        Box::pin(async move {
            let mut found = HashMap::new();
            if !self.captured {
                return Ok(found);
            }
            let unit = self.index(table)?;
            for sync in [&*self.sync, &self.other] {
                for conflict in sync.open_conflicts().await? {
                    if conflict.unit.unit == unit {
                        let id = conflict_id(conflict.home, conflict.id);
                        found.insert(conflict.unit.key, id);
                    }
                }
            }
            Ok(found)
        })
    }

    /// From what the change log still holds.
    fn committed_us<'a>(
        &'a self,
        table: RepairTable<'a>,
        keys: &'a [Key],
    ) -> BoxFuture<'a, Result<Vec<Option<i64>>>> {
        Box::pin(async move {
            let mut times: HashMap<&Key, Option<i64>> = HashMap::new();
            let index = self.index(table)?;
            let mut after = 0;
            if !self.captured {
                return Ok(vec![None; keys.len()]);
            }
            loop {
                let page = self.sync.read_feed(after, FEED_ROWS).await?;
                for change in page.commit.changes.iter().filter(|c| c.table == index) {
                    for row in [&change.before, &change.after].into_iter().flatten() {
                        let key = Key::of(row, table.key);
                        if let Some(key) = keys.iter().find(|k| **k == key) {
                            times.insert(key, change.committed_us);
                        }
                    }
                }
                after = page.commit.end;
                if !page.more {
                    break;
                }
            }
            Ok(keys
                .iter()
                .map(|k| times.get(k).copied().flatten())
                .collect())
        })
    }
}
