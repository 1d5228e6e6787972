//! Conflicts for people: those that were decided, those that wait, and their answers.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::data::json::object;
use crate::data::{Row, canonical};
use crate::database::AnySync;
use crate::database::{DecisionRecord, OpenConflict, OpenState, Resolution, Role, SyncStore};
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::Shutdown;

use super::Opened;
use super::lease::Lease;
use super::open::{open, state, state_folder};
use super::operate::{SyncRequest, sync};

/// The decisions of a migration and its open conflicts, as the JSON of `conflict list`: oldest
/// first, what waits last. Of an ended migration, what was kept.
pub async fn list(config: &Config, name: &str) -> Result<Vec<Json>> {
    let state = state(config).await?;
    let mut out = state.archived(name).await?;
    let (opened, _) = open(config, name).await?;
    if opened.source.is_installed().await? {
        out.extend(decisions(&opened).await?);
        for conflict in waiting(&opened).await? {
            out.push(show_open(&opened, &conflict).await?);
        }
    }
    Ok(out)
}

/// What a conflict is called: `t2` is the second that was written down in the target.
pub(super) fn conflict_id(home: Role, number: i64) -> String {
    match home {
        Role::Source => format!("s{number}"),
        Role::Target => format!("t{number}"),
    }
}

/// Decisions that a rule or a person made.
pub(super) async fn decisions(opened: &Opened) -> Result<Vec<Json>> {
    if !opened.source.is_installed().await? {
        return Ok(Vec::new());
    }
    let mut seen = BTreeSet::new();
    let mut records = Vec::new();
    for sync in [&opened.source, &opened.target] {
        for record in sync.records().await? {
            if !record.rule.is_empty() && record.outcome != "superseded" && seen.insert(record.id) {
                records.push(record);
            }
        }
    }
    records.sort_by_key(|r| (r.at_us, r.id));
    Ok(records.iter().map(|r| show_decision(opened, r)).collect())
}

fn rows(opened: &Opened, unit: usize, rows: [Option<&Row>; 2]) -> [Json; 2] {
    let mapping = opened.plan.mapping(unit);
    let tables = [
        &mapping.source.table,
        &mapping.targets[opened.plan.units[unit].target].table,
    ];
    [0, 1].map(|i| {
        rows[i].map_or(Json::Null, |row| {
            object(tables[i].columns.iter().map(|c| c.name.as_str()), row)
        })
    })
}

fn key(opened: &Opened, conflict: &crate::database::UnitKey) -> Json {
    let unit = &opened.plan.units[conflict.unit];
    let table = &opened.plan.mapping(conflict.unit).targets[unit.target].table;
    object(
        table.key.iter().map(|&k| table.columns[k].name.as_str()),
        &conflict.key.0,
    )
}

fn time(at_us: i64) -> String {
    let seconds = at_us.div_euclid(1_000_000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    format!(
        "{}T{:02}:{:02}:{:02}.{:03}Z",
        crate::database::sqlite::date_text(days),
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        at_us.rem_euclid(1_000_000) / 1000
    )
}

fn show_decision(opened: &Opened, r: &DecisionRecord) -> Json {
    let unit = r.unit.unit;
    let [source, target] = rows(opened, unit, [r.seen[0].as_ref(), r.seen[1].as_ref()]);
    let [_, result] = rows(opened, unit, [None, r.result[1].as_ref()]);
    let id: String = r.closes.first().map_or_else(
        || r.id.iter().map(|b| format!("{b:02x}")).collect(),
        |(role, n)| conflict_id(*role, *n),
    );
    json!({
        "id": id,
        "table": opened.plan.units[unit].name,
        "key": key(opened, &r.unit),
        "kind": r.kind.as_str(),
        "rule": r.rule,
        "outcome": r.outcome,
        "source_row": source,
        "target_row": target,
        "result_row": result,
        "at": time(r.at_us),
        "at_us": r.at_us,
    })
}

async fn waiting(opened: &Opened) -> Result<Vec<OpenConflict>> {
    let mut out = opened.source.open_conflicts().await?;
    out.extend(opened.target.open_conflicts().await?);
    out.sort_by_key(|c| c.at_us);
    Ok(out)
}

async fn current(opened: &Opened, conflict: &OpenConflict) -> Result<[Option<Row>; 2]> {
    let unit = conflict.unit.unit;
    let one = |sync: &AnySync, table: usize, key| {
        let sync = sync.clone();
        async move { Ok::<_, Error>(sync.read_rows(table, vec![key]).await?.pop().flatten()) }
    };
    Ok([
        one(
            &opened.source,
            opened.plan.units[unit].mapping,
            conflict.source_key.clone(),
        )
        .await?,
        one(&opened.target, unit, conflict.unit.key.clone()).await?,
    ])
}

async fn show_open(opened: &Opened, c: &OpenConflict) -> Result<Json> {
    let now = current(opened, c).await?;
    let [source, target] = rows(opened, c.unit.unit, [now[0].as_ref(), now[1].as_ref()]);
    let [_, base] = rows(opened, c.unit.unit, [None, c.base.as_ref()]);
    Ok(json!({
        "id": conflict_id(c.home, c.id),
        "table": opened.plan.units[c.unit.unit].name,
        "key": key(opened, &c.unit),
        "kind": c.kind.as_str(),
        "rule": c.rule,
        "seen": seen(&now),
        "outcome": match c.state {
            OpenState::Open => "open",
            OpenState::Waiting => "waiting",
            OpenState::Parked => "parked",
        },
        "reason": c.reason,
        "base_row": if c.base_known { base } else { Json::String("unknown".to_owned()) },
        "source_row": source,
        "target_row": target,
        "result_row": Json::Null,
        "at": time(c.at_us),
        "at_us": c.at_us,
    }))
}

fn hash(row: Option<&Row>) -> [u8; 32] {
    match row {
        Some(row) => canonical::hash(row),
        None => *blake3::hash(b"no row").as_bytes(),
    }
}

/// A short name for the two rows as they are, by which one can say later what one has seen.
fn seen(rows: &[Option<Row>; 2]) -> String {
    let both: Vec<u8> = rows.iter().flat_map(|row| hash(row.as_ref())).collect();
    blake3::hash(&both).to_hex()[..12].to_owned()
}

/// One conflict by its id, as in [`list`]. Fails with `NotFound`.
pub async fn show(config: &Config, name: &str, id: &str) -> Result<Json> {
    list(config, name)
        .await?
        .into_iter()
        .find(|c| c.get("id").and_then(Json::as_str) == Some(id))
        .ok_or_else(|| not_found(name, id))
}

fn not_found(name: &str, id: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("migration {name} has no conflict {id}"),
    )
    .hint(format!("banyan conflict list {name} shows them"))
}

async fn decided_or_unknown(config: &Config, name: &str, id: &str) -> Result<Error> {
    let is_this = |c: &Json| c.get("id").and_then(Json::as_str) == Some(id);
    let Some(decision) = list(config, name).await?.into_iter().rfind(is_this) else {
        return Ok(not_found(name, id));
    };
    let text = |field: &str| decision.get(field).and_then(Json::as_str).unwrap_or("");
    Ok(Error::new(
        ErrorKind::Refused,
        format!(
            "conflict {id} is decided already: {} by {}",
            text("outcome"),
            match text("rule") {
                "" => "the rows themselves",
                rule => rule,
            }
        ),
    )
    .hint(format!(
        "banyan conflict show {id} shows both rows and the result"
    ))
    .hint("to change a row now, write it as any application does: the change is carried over"))
}

/// Answers a conflict that is parked or waits. Refused when a row changed since it was looked at: `looked_at` is the
/// `seen` of [`show`]; without it, that is now. The answer holds only for these rows. If no other process syncs the migration, it
/// is carried out here; else the other process does it. Answers the conflict as it then is.
pub async fn resolve(
    config: &Config,
    name: &str,
    id: &str,
    resolution: Resolution,
    looked_at: Option<&str>,
    shutdown: &Shutdown,
) -> Result<Json> {
    let (opened, _) = open(config, name).await?;
    if !opened.source.is_installed().await? {
        return Err(not_found(name, id));
    }
    let found = waiting(&opened)
        .await?
        .into_iter()
        .find(|c| conflict_id(c.home, c.id) == id);
    let Some(conflict) = found else {
        return Err(decided_or_unknown(config, name, id).await?);
    };
    if conflict.state == OpenState::Open {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("conflict {id} is about to be decided by its rule"),
        )
        .hint(format!("banyan sync {name} --until-idle does that")));
    }
    let now = current(&opened, &conflict).await?;
    if let Some(wanted) = looked_at
        && wanted != seen(&now)
    {
        let [source, target] = rows(
            &opened,
            conflict.unit.unit,
            [now[0].as_ref(), now[1].as_ref()],
        );
        return Err(Error::new(
            ErrorKind::Refused,
            format!("a row of conflict {id} changed since you looked at it; nothing was done"),
        )
        .hint(format!("the source's row is now {source}"))
        .hint(format!("the target's row is now {target}"))
        .hint(format!("look again: banyan conflict show {id}")));
    }
    let home = match conflict.home {
        Role::Source => &opened.source,
        Role::Target => &opened.target,
    };
    home.request(
        conflict.id,
        resolution,
        [hash(now[0].as_ref()), hash(now[1].as_ref())],
    )
    .await?;
    drop(opened);
    if Lease::take(&state_folder(config)?, name)?.is_some() {
        // Nobody else is at it.
        let request = SyncRequest {
            migration: name.to_owned(),
            until_idle: true,
            copy_only: false,
            create_tables: false,
            board: None,
        };
        sync(config, &request, shutdown, |_| ()).await?;
    } else {
        wait_for(config, name, id).await?;
    }
    show(config, name, id).await
}

/// Waits, a bounded time, until the other process has taken the answer up.
async fn wait_for(config: &Config, name: &str, id: &str) -> Result<()> {
    for _ in 0..50 {
        let (opened, _) = open(config, name).await?;
        let still = waiting(&opened)
            .await?
            .into_iter()
            .any(|c| conflict_id(c.home, c.id) == id && c.request.is_some());
        if !still {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(Error::new(
        ErrorKind::Busy,
        format!("the answer to conflict {id} is written down, but not carried out yet"),
    )
    .hint("the process that syncs the migration will carry it out"))
}
