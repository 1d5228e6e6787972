//! A migration's life on the command line.

mod answers;
mod edited;
mod endings;
mod keys;
mod life;
mod lossy;
mod mapping;
mod outside;
mod processes;
mod state;
mod text;
mod waiting;

use crate::support::program::{Shop, Shown, rows};

pub(crate) const IDLE: &[&str] = &["sync", "shop", "--until-idle"];

pub(crate) fn items(shop: &Shop, database: &str) -> Vec<String> {
    rows(&shop.path(database), "SELECT * FROM items ORDER BY id")
}

/// Syncs until nothing is left but conflicts that wait: exit code 1 if there are any.
pub(crate) fn synced(shop: &Shop) -> serde_json::Value {
    let shown = ask(shop, IDLE);
    let report = shown.json();
    let tables = report["tables"].as_array().unwrap();
    let waits = tables.iter().any(|t| t["parked"] != 0);
    assert_eq!(shown.code, i32::from(waits), "{shown:?}");
    report
}

/// Both sides hold the same rows.
pub(crate) fn equal(shop: &Shop) -> Vec<String> {
    let source = items(shop, "source.db");
    assert_eq!(items(shop, "target.db"), source);
    source
}

pub(super) fn schema(shop: &Shop, database: &str) -> Vec<String> {
    rows(
        &shop.path(database),
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2",
    )
}

pub(super) fn ask(shop: &Shop, arguments: &[&str]) -> Shown {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--format", "json"]);
    shop.run(&arguments)
}
