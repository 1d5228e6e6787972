//! From the beginning to the end.

use serde_json::Value as Json;

use crate::support::program::{CONFIG, Shop};

use super::{IDLE, ask, equal, items, schema, synced};

/// JSON for a snapshot, without what differs from run to run.
macro_rules! assert_json {
    ($json:expr, @$snapshot:literal) => {
        insta::with_settings!({filters => vec![
            (r#""(seconds|rate_rows_per_s)": ([0-9.e-]+|null)"#, r#""$1": "N""#),
            (r#""(at_us|updated_us)": \d+"#, r#""$1": "N""#),
            (r#""at": "[^"]+""#, r#""at": "TIME""#),
            (r#""seen": "[0-9a-f]{12}""#, r#""seen": "SEEN""#),
        ]}, {
            insta::assert_snapshot!(serde_json::to_string_pretty(&$json).unwrap(), @$snapshot);
        });
    };
}

#[test]
fn what_init_writes_can_be_used_as_it_is() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("banyan.toml")).unwrap();
    for (from, to) in [("source.db", "monolith.db"), ("target.db", "orders.db")] {
        std::fs::rename(shop.path(from), shop.path(to)).unwrap();
    }
    assert_eq!(shop.run(&["init"]).code, 0);
    let checked = shop.json(&["check"]);
    assert_eq!(checked["ok"], true, "{checked}");
    let report = shop.json(&["sync", "orders", "--until-idle"]);
    assert_eq!(report["tables"][0]["copied"], 3, "{report}");
    let verified = shop.json(&["verify", "orders", "--level", "full"]);
    assert_eq!(verified["consistent"], true, "{verified}");
}

#[test]
fn a_whole_life() {
    let shop = Shop::new();
    let before = [schema(&shop, "source.db"), schema(&shop, "target.db")];
    assert_eq!(shop.phase(), "planned");
    assert_json!(shop.json(&["migration", "status", "shop"]), @r#"
{
  "migration": "shop",
  "phase": "planned",
  "progress_percent": null,
  "rows_copied": 0,
  "rows_total": null,
  "lag_rows": null,
  "lag_ms": null,
  "rate_rows_per_s": "N",
  "eta_s": null,
  "paused": false,
  "reason": null,
  "errors": [],
  "paused_tables": [],
  "parked": 0,
  "updated_us": "N",
  "next_steps": [
    "banyan check",
    "banyan migration start shop"
  ]
}
"#);
    assert_json!(shop.json(&["check"]), @r#"
{
  "ok": true,
  "problems": [],
  "notes": []
}
"#);

    assert_json!(shop.json(IDLE), @r#"
{
  "tables": [
    {
      "table": "items",
      "copied": 3,
      "applied_to_target": 0,
      "applied_to_source": 0,
      "conflicts": 0,
      "parked": 0
    }
  ],
  "echoes_dropped": 3,
  "seconds": "N",
  "paused": []
}
"#);
    assert_eq!(equal(&shop).len(), 3);

    shop.write(
        "source.db",
        "UPDATE items SET name = 'uno' WHERE id = 1; DELETE FROM items WHERE id = 3",
    );
    shop.write("target.db", "INSERT INTO items VALUES (9, 'nine', 9)");
    shop.write("source.db", "UPDATE items SET price = 2.5 WHERE id = 2");
    shop.write("target.db", "UPDATE items SET price = 2.75 WHERE id = 2");
    assert_json!(synced(&shop), @r#"
{
  "tables": [
    {
      "table": "items",
      "copied": 0,
      "applied_to_target": 2,
      "applied_to_source": 1,
      "conflicts": 0,
      "parked": 1
    }
  ],
  "echoes_dropped": 3,
  "seconds": "N",
  "paused": []
}
"#);
    assert_json!(shop.json(&["migration", "status", "shop"]), @r#"
{
  "migration": "shop",
  "phase": "following",
  "progress_percent": 100.0,
  "rows_copied": 3,
  "rows_total": 3,
  "lag_rows": 0,
  "lag_ms": 0,
  "rate_rows_per_s": "N",
  "eta_s": 0.0,
  "paused": false,
  "reason": null,
  "errors": [],
  "paused_tables": [],
  "parked": 1,
  "updated_us": "N",
  "next_steps": [
    "banyan verify shop",
    "banyan conflict list shop --which open",
    "banyan migration abort shop"
  ]
}
"#);

    let listed = ask(&shop, &["conflict", "list"]);
    assert_eq!(listed.code, 1);
    assert_json!(listed.json(), @r#"
[
  {
    "id": "t1",
    "table": "items",
    "key": {
      "id": 2
    },
    "kind": "update_origin_differs",
    "rule": "park",
    "seen": "SEEN",
    "outcome": "parked",
    "reason": "the strategy is park: a person decides",
    "base_row": {
      "id": 2,
      "name": "two",
      "price": null
    },
    "source_row": {
      "id": 2,
      "name": "two",
      "price": 2.5
    },
    "target_row": {
      "id": 2,
      "name": "two",
      "price": 2.75
    },
    "result_row": null,
    "at": "TIME",
    "at_us": "N"
  }
]
"#);
    let id = listed.json()[0]["id"].as_str().unwrap().to_owned();
    let shown = shop.run(&["conflict", "show", &id]);
    assert_eq!(shown.code, 0);
    insta::with_settings!({filters => vec![
        (r"at       \S+", "at       TIME"), (r"seen     \S+", "seen     SEEN"),
    ]}, {
        insta::assert_snapshot!(shown.out, @r#"
id       t1
table    items
kind     update_origin_differs
outcome  parked
rule     park
reason   the strategy is park: a person decides
at       TIME
seen     SEEN
key      id = 2
before:
  id    = 2
  name  = "two"
  price = null
source:
  id    = 2
  name  = "two"
  price = 2.5
target:
  id    = 2
  name  = "two"
  price = 2.75
"#);
    });
    let seen = listed.json()[0]["seen"].as_str().unwrap().to_owned();

    // Ending it now would leave the conflict undecided.
    insta::assert_snapshot!(shop.run(&["migration", "complete", "shop"]).failure(), @r"
exit code: 1
error: migration shop: 1 conflict still waits

hint: banyan conflict list shop --which open shows them
hint: decide each with banyan conflict resolve ID --take source|target|delete, or change what it waits for; then complete
");
    assert_eq!(shop.phase(), "following");

    // A row that changed since somebody looked is not overwritten.
    shop.write("target.db", "UPDATE items SET name = 'deux' WHERE id = 2");
    let resolve = [
        "conflict", "resolve", &id, "--take", "source", "--seen", &seen,
    ];
    let untouched = shop.everything();
    insta::assert_snapshot!(shop.run(&resolve).failure(), @r#"
exit code: 1
error: a row of conflict t1 changed since you looked at it; nothing was done

hint: the source's row is now {"id":2,"name":"two","price":2.5}
hint: the target's row is now {"id":2,"name":"deux","price":2.75}
hint: look again: banyan conflict show t1
"#);
    assert_eq!(shop.everything(), untouched);
    let seen = ask(&shop, &["conflict", "show", &id]).json()["seen"].clone();
    let resolve = [
        "conflict",
        "resolve",
        &id,
        "--take",
        "target",
        "--seen",
        seen.as_str().unwrap(),
    ];
    assert_json!(shop.json(&resolve), @r#"
{
  "id": "t1",
  "table": "items",
  "key": {
    "id": 2
  },
  "kind": "update_origin_differs",
  "rule": "person",
  "outcome": "target",
  "source_row": {
    "id": 2,
    "name": "two",
    "price": 2.5
  },
  "target_row": {
    "id": 2,
    "name": "deux",
    "price": 2.75
  },
  "result_row": {
    "id": 2,
    "name": "deux",
    "price": 2.75
  },
  "at": "TIME",
  "at_us": "N"
}
"#);
    assert_eq!(equal(&shop)[1], "2, 'deux', 2.75");
    assert_eq!(
        shop.json(&["conflict", "list", "--which", "open"]),
        Json::Array(vec![])
    );

    assert_json!(shop.json(&["migration", "complete", "shop"]), @r#"
{
  "migration": "shop",
  "phase": "completed",
  "progress_percent": 100.0,
  "rows_copied": 3,
  "rows_total": 3,
  "lag_rows": 0,
  "lag_ms": 0,
  "rate_rows_per_s": "N",
  "eta_s": 0.0,
  "paused": false,
  "reason": null,
  "errors": [],
  "paused_tables": [],
  "parked": 0,
  "updated_us": "N",
  "next_steps": []
}
"#);
    let after = [schema(&shop, "source.db"), schema(&shop, "target.db")];
    assert_eq!(after, before);

    // Later commands still know what was decided, and add nothing.
    let ended = shop.everything();
    let kept = shop.json(&["conflict", "list"]);
    assert_eq!(kept[0]["outcome"], "target", "{kept}");
    assert_eq!(kept.as_array().unwrap().len(), 1);
    assert_eq!(shop.json(&["conflict", "show", &id]), kept[0]);
    shop.json(&["check"]);
    shop.json(&["verify", "shop", "--level", "full"]);
    shop.json(&["reconcile", "shop", "--dry-run"]);
    shop.json(&["query", "SELECT count(*) AS n FROM monolith.items"]);
    shop.json(&["migration", "list"]);
    shop.json(&["migration", "status", "shop"]);
    assert_eq!(shop.run(&["sync", "shop"]).code, 1);
    assert_eq!(shop.everything(), ended);
    assert!(!shop.path("source.db-wal").exists());
    assert!(!shop.path("target.db-wal").exists());
}

#[test]
fn a_copy_is_the_first_part_of_a_sync() {
    let shop = Shop::new();
    let report = shop.json(&["copy", "shop"]);
    assert_eq!(report["tables"][0]["copied"], 3, "{report}");
    assert_eq!(equal(&shop).len(), 3);
    shop.write("source.db", "UPDATE items SET name = 'uno' WHERE id = 1");
    let report = shop.json(&["copy", "shop"]);
    assert_eq!(report["tables"][0]["copied"], 0, "{report}");
    let report = shop.json(&["migration", "start", "shop"]);
    assert_eq!(report["phase"], "following", "{report}");
    assert_eq!(equal(&shop)[0], "1, 'uno', 1.5");
}

#[test]
fn an_aborted_migration_leaves_the_rows_and_can_begin_again() {
    let shop = Shop::new();
    let before = [schema(&shop, "source.db"), schema(&shop, "target.db")];
    shop.json(IDLE);
    assert_ne!(
        [schema(&shop, "source.db"), schema(&shop, "target.db")],
        before
    );
    let aborted = shop.json(&["migration", "abort", "shop"]);
    assert_eq!(aborted["phase"], "aborted");
    assert_eq!(
        [schema(&shop, "source.db"), schema(&shop, "target.db")],
        before
    );
    assert_eq!(equal(&shop).len(), 3);
    shop.write("source.db", "INSERT INTO items VALUES (4, 'four', 4)");
    shop.json(IDLE);
    assert_eq!(equal(&shop).len(), 4);
    assert_eq!(shop.phase(), "following");
}

/// Whatever became of tables, rules and databases: giving up removes what Banyan added.
#[test]
fn a_migration_can_be_aborted_when_it_cannot_run_any_more() {
    let shop = Shop::new();
    let before = schema(&shop, "source.db");
    shop.json(IDLE);
    shop.write("target.db", "DROP TABLE items");
    assert_ne!(shop.run(IDLE).code, 0);
    assert_eq!(shop.phase(), "failed");
    let shown = shop.run(&["migration", "abort", "shop"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!(schema(&shop, "source.db"), before);
    assert_eq!(schema(&shop, "target.db"), Vec::<String>::new());

    let shop = Shop::new();
    shop.json(IDLE);
    std::fs::remove_file(shop.path("target.db")).unwrap();
    let shown = shop.run(&["migration", "abort", "shop"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.errors.contains("store service is gone"), "{shown:?}");
    assert_eq!(schema(&shop, "source.db"), before);
    assert_eq!(shop.phase(), "aborted");
}

#[test]
fn a_one_way_migration_carries_nothing_back() {
    let shop = Shop::new();
    shop.configure(&CONFIG.replace("two-way", "one-way"));
    shop.json(IDLE);
    let before = items(&shop, "source.db");
    shop.write("target.db", "INSERT INTO items VALUES (7, 'seven', 7)");
    shop.json(IDLE);
    assert_eq!(items(&shop, "source.db"), before);
    shop.json(&["migration", "complete", "shop"]);
    assert_eq!(items(&shop, "target.db").len(), 4);
}

#[test]
fn progress_counts_rows_of_the_source_once() {
    let shop = Shop::new();
    for _ in 0..2 {
        shop.json(IDLE);
        let status = shop.json(&["migration", "status", "shop"]);
        assert_eq!(status["rows_copied"], 3, "{status}");
        assert_eq!(status["rows_total"], 3, "{status}");
    }
    // Copied once more, it counts anew.
    shop.configure(&format!("{CONFIG}where = \"id < 3\"\n"));
    shop.json(IDLE);
    let status = shop.json(&["migration", "status", "shop"]);
    assert_eq!(status["rows_copied"], 2, "{status}");
    assert_eq!(status["rows_total"], 2, "{status}");
}
