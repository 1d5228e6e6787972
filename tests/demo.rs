//! The demo, and what a reader copies from it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_banyan");

fn banyan(arguments: &[&str], config: Option<&Path>) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null());
    command
        .env_remove("BANYAN_LOG")
        .env_remove("BANYAN_LOG_FORMAT");
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Everything, on a small shop and for a short time.
#[test]
fn the_demo_ends_with_both_sides_equal() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("shop");
    let dir = folder.to_str().unwrap();
    let run = [
        "demo",
        "--dir",
        dir,
        "--rows",
        "5000",
        "--seconds",
        "3",
        "--format",
        "json",
    ];
    let output = banyan(&run, None);
    let log = std::fs::read_to_string(folder.join("sync.log")).unwrap_or_default();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}\n{log}",
        text(&output.stderr)
    );
    let summary: Json = serde_json::from_slice(&output.stdout).unwrap();
    let number = |pointer: &str| summary.pointer(pointer).and_then(Json::as_u64).unwrap();

    assert_eq!(summary["ok"], true);
    assert_eq!(summary["verify"]["consistent"], true);
    assert_eq!(
        summary["verify"]["differences"].as_array().unwrap().len(),
        0
    );
    assert_eq!(summary["verify"]["tables"].as_array().unwrap().len(), 13);
    assert_eq!(number("/conflicts/waiting"), 0);
    assert_eq!(number("/latency/unseen"), 0);
    assert!(number("/writers/monolith/changes") > 100);
    assert!(number("/writers/service/changes") > 100);
    assert!(number("/applied_since_restart/to_service") > 0);
    assert!(number("/applied_since_restart/to_monolith") > 0);
    // It was killed, and went on: what was applied since is counted above.
    assert!(summary["kill"]["down_ms"].as_f64().unwrap() > 0.0);
    // A WASM component, a Rhai script and built-ins decided.
    let groups = summary["conflicts"]["groups"].as_array().unwrap();
    for rule in [
        "vip_merge",
        "payment_state",
        "add-deltas",
        "max",
        "keep-both",
        "target-wins",
    ] {
        assert!(
            groups.iter().any(|g| g["rule"] == rule),
            "{rule}: {groups:#?}"
        );
    }
    for kind in ["update_origin_differs", "insert_exists", "fk_child_exists"] {
        assert!(
            groups.iter().any(|g| g["kind"] == kind),
            "{kind}: {groups:#?}"
        );
    }

    // The folder is the example, and passes its check.
    let config = folder.join("banyan.toml");
    assert_eq!(
        std::fs::read(&config).unwrap(),
        std::fs::read(example("banyan.toml")).unwrap()
    );
    let check = banyan(&["check"], Some(&config));
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stderr));
    assert!(text(&check.stdout).contains("is right: 2 stores, 8 rules, 1 migration"));

    // Its rules do what their author expects.
    for rule in ["clients", "products", "payment_state", "review_check"] {
        let tested = banyan(&["script", "test", rule], Some(&config));
        assert_eq!(
            tested.status.code(),
            Some(0),
            "{rule}: {}",
            text(&tested.stdout)
        );
        let checked = banyan(&["script", "check", rule], Some(&config));
        assert_eq!(
            checked.status.code(),
            Some(0),
            "{rule}: {}",
            text(&checked.stdout)
        );
    }

    // At the end nothing of Banyan is left in either database.
    let ended = banyan(&["migration", "complete", "orders"], Some(&config));
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    for (database, schema) in [("shop.db", "shop.sql"), ("orders.db", "orders.sql")] {
        let fresh = rusqlite::Connection::open_in_memory().unwrap();
        let sql = std::fs::read_to_string(example(&format!("schema/{schema}"))).unwrap();
        fresh.execute_batch(&sql).unwrap();
        let used = rusqlite::Connection::open(folder.join(database)).unwrap();
        assert_eq!(objects(&used), objects(&fresh), "{database}");
    }

    // A folder that is to be kept is not replaced.
    let kept = banyan(&["demo", "--dir", dir, "--keep"], None);
    assert_eq!(kept.status.code(), Some(1));
    assert!(folder.join("shop.db").exists());
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/shop")
        .join(name)
}

/// Names of everything in a database, but the statistics that `ANALYZE` makes.
fn objects(connection: &rusqlite::Connection) -> Vec<String> {
    connection
        .prepare("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}
