//! What a verification leaves behind: checks of one's own, the audit log, the page.

use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use crate::support::{app, dump};

use super::command::{banyan, damage, json, shop};

fn add(folder: &Path, more: &str) {
    let path = folder.join("banyan.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{text}\n{more}")).unwrap();
}

#[test]
fn checks_of_ones_own_run_along() {
    let folder = shop();
    add(
        folder.path(),
        r#"
[checks.no_orphans]
sql = "SELECT o.id FROM service.orders o LEFT JOIN monolith.customers c ON c.id = o.customer WHERE c.id IS NULL"

[checks.total]
sql = "SELECT sum(total) FROM service.orders"
expect = 29.5

[checks.ada]
sql = "SELECT name FROM service.customers WHERE id = 1"
expect = "Ada"

[checks.some_vip]
sql = "SELECT id FROM service.customers WHERE vip"
expect = "one row"
"#,
    );
    let (code, report) = json(folder.path(), &["verify", "shop"]);
    assert_eq!(code, 0, "{report}");
    let passed = |report: &Json| -> Vec<(String, bool)> {
        let checks = report["checks"].as_array().unwrap().iter();
        checks
            .map(|c| {
                let name = c["check"].as_str().unwrap().to_owned();
                (name, c["passed"].as_bool().unwrap())
            })
            .collect()
    };
    let named = |passed: [bool; 4]| -> Vec<(String, bool)> {
        let names = ["ada", "no_orphans", "some_vip", "total"].map(str::to_owned);
        names.into_iter().zip(passed).collect()
    };
    assert_eq!(passed(&report), named([true; 4]));
    // The same on both sides, and yet not what the checks want.
    for file in ["monolith.db", "service.db"] {
        app(&folder.path().join(file))
            .execute_batch(
                "PRAGMA foreign_keys = OFF; UPDATE orders SET customer = 77, total = 9 WHERE id = 10;
                 UPDATE customers SET name = 'ada', vip = 0",
            )
            .unwrap();
    }
    let (code, report) = json(folder.path(), &["verify", "shop", "--recheck-ms", "0"]);
    assert_eq!((code, &report["consistent"]), (1, &Json::from(false)));
    assert_eq!(report["differences_total"], 0);
    assert_eq!(passed(&report), named([false; 4]));
    assert_eq!(report["checks"][1]["rows"][0]["id"], 10);
    let ran = banyan(folder.path(), &["verify", "shop", "--recheck-ms", "0"]);
    assert!(
        ran.out
            .contains("check no_orphans  FAILED: expected empty, found 1 row")
    );
    assert!(ran.out.contains("but a check failed"), "{}", ran.out);
    // Not where they are not asked for.
    for extra in ["--no-checks", "--table=orders"] {
        assert_eq!(banyan(folder.path(), &["verify", "shop", extra]).code, 0);
    }
    // One that cannot be run has not passed, and the rest is said all the same.
    add(
        folder.path(),
        "[checks.wrong]\nsql = \"SELECT nme FROM service.customers\"\n",
    );
    let ran = banyan(folder.path(), &["verify", "shop", "--recheck-ms", "0"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out
            .contains("check wrong  FAILED: checks.wrong: there is no column \"nme\""),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("customers       3       3"), "{}", ran.out);
}

#[test]
fn what_a_check_expects_is_read_strictly() {
    for (wrong, said) in [
        ("[checks.a]\nexpect = 1", "checks.a.sql: is missing"),
        (
            "[checks.a]\nsql = \"SELECT 1\"\nexpect = [1]",
            "checks.a.expect: found a list",
        ),
        (
            "[checks.a]\nsql = \"SELECT 1\"\nexpects = 1",
            "did you mean \"expect\"?",
        ),
    ] {
        let folder = shop();
        add(folder.path(), wrong);
        let ran = banyan(folder.path(), &["verify", "shop"]);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
}

#[test]
fn repairs_are_in_a_log_that_nobody_changes_unnoticed() {
    let folder = shop();
    damage(folder.path());
    let verify = || banyan(folder.path(), &["audit", "verify"]);
    assert_eq!(verify().code, 0);
    let dry = ["reconcile", "shop", "--dry-run", "--recheck-ms", "0"];
    let dry = banyan(folder.path(), &dry);
    let entries = || -> Vec<Json> {
        let shown = banyan(folder.path(), &["audit", "show"]);
        assert_eq!(shown.code, 0, "{}", shown.err);
        let lines = shown.out.lines();
        lines.map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    assert_eq!(entries(), Vec::<Json>::new(), "{}", dry.out);
    let done = banyan(folder.path(), &["reconcile", "shop", "--recheck-ms", "0"]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    // Each row that was written is in an entry before it was, with what it was.
    let entries = entries();
    let intended: Vec<&Json> = entries
        .iter()
        .filter(|e| e["what"] == "repair-intended")
        .flat_map(|e| e["content"]["actions"].as_array().unwrap())
        .collect();
    let name = intended.iter().find(|a| a["key"]["id"] == 2).unwrap();
    assert_eq!(name["before"]["name"], "Bob ");
    assert_eq!(name["after"]["name"], "Bob");
    let outcomes: Vec<&Json> = entries
        .iter()
        .filter(|e| e["what"] == "repair-done")
        .flat_map(|e| e["content"]["outcomes"].as_array().unwrap())
        .collect();
    assert_eq!(outcomes.len(), intended.len());
    assert_eq!(outcomes.iter().filter(|o| **o == "done").count(), 4);
    assert_eq!(verify().code, 0);
    let log = folder.path().join(".banyan/audit.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(4).position(|w| w == b"Bob ").unwrap();
    bytes[at] = b'R';
    std::fs::write(&log, &bytes).unwrap();
    let ran = verify();
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("audit.log, line 1: is not what was written"),
        "{}",
        ran.err
    );
}

/// In a real browser: what a person sees, not what the file holds.
#[test]
fn the_page_needs_nothing_but_a_browser() {
    let folder = shop();
    let page = folder.path().join("report.html");
    let verify = |code: i32| {
        let arguments = [
            "verify",
            "shop",
            "--recheck-ms",
            "0",
            "--report",
            "report.html",
        ];
        let ran = banyan(folder.path(), &arguments);
        assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
    };
    verify(0);
    damage(folder.path());
    let evil = "<script>document.title = 'owned'</script>";
    app(&folder.path().join("service.db"))
        .execute("UPDATE customers SET name = ?1 WHERE id = 3", [evil])
        .unwrap();
    verify(1);
    let browser = ["chromium-headless-shell", "chromium", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
        .expect("no browser; as root, tests/run installs chromium-headless-shell");
    // What is laid out, as its text; nothing may come from anywhere else.
    let shown = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("browser").display()
        ))
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8(shown.stdout).unwrap();
    for part in [
        "<title>shop: NOT consistent</title>",
        "<td>customers</td><td class=\"bad\">different</td>",
        "<td>id = 2</td><td>name</td><td class=\"cell\">\"Bob\"</td><td class=\"cell bad\">\"Bob \"</td>",
        "&lt;script&gt;document.title = 'owned'&lt;/script&gt;",
        "id=\"history\"",
    ] {
        assert!(dom.contains(part), "{part} in {dom}");
    }
    assert!(!dom.contains("http"), "{dom}");
}

#[test]
fn files_are_tables_and_results_are_files() {
    let folder = shop();
    for ending in ["csv", "json", "arrow", "parquet"] {
        let file = format!("customers.{ending}");
        let sql = "SELECT * FROM monolith.customers ORDER BY id";
        let ran = banyan(folder.path(), &["query", sql, "--output", &file]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(ran.out, "");
        if ending == "json" {
            let text = std::fs::read_to_string(folder.path().join(&file)).unwrap();
            let rows: Json = serde_json::from_str(&text).unwrap();
            assert_eq!(rows[0]["name"], "Ada");
            continue;
        }
        let (code, rows) = json(
            folder.path(),
            &[
                "query",
                &format!(
                    "SELECT f.id, f.name, c.vip FROM '{file}' f JOIN service.customers c ON c.id = f.id ORDER BY f.id"
                ),
            ],
        );
        assert_eq!(code, 0);
        assert_eq!(
            rows[1],
            serde_json::json!({"id": 2, "name": "Bob", "vip": false})
        );
    }
    // Files alone ask nothing of the stores.
    let away = |from: &str, to: &str| {
        for name in ["monolith.db", "service.db"] {
            let path = |ending: &str| folder.path().join(format!("{name}{ending}"));
            std::fs::rename(path(from), path(to)).unwrap();
        }
    };
    away("", ".away");
    let sql = "SELECT count(*) n FROM diff('''customers.csv''', '''customers.parquet''', 'id')";
    assert_eq!(json(folder.path(), &["query", sql]).1[0]["n"], 0);
    away(".away", "");
    // A line break within quotes ends no row, however long the file; a name is a name, not a pattern.
    let mut long = String::from("id,text\n");
    for i in 0..300_000 {
        long.push_str(&format!("{i},\"line one of {i}\n1000000,still {i}\"\n"));
    }
    std::fs::write(folder.path().join("a[1] *.csv"), long).unwrap();
    std::fs::write(folder.path().join("a1 x.csv"), "id,text\n1,x\n").unwrap();
    let sql = "SELECT count(*) n, max(id) m FROM 'a[1] *.csv'";
    let (_, rows) = json(folder.path(), &["query", sql]);
    assert_eq!(rows[0], serde_json::json!({"n": 300_000, "m": 299_999}));
    // What fails leaves no file, and what was there stays.
    let before = std::fs::read(folder.path().join("customers.csv")).unwrap();
    let wrong = "SELECT 1 / (id - 2) FROM monolith.customers";
    let ran = banyan(
        folder.path(),
        &["query", wrong, "--output", "customers.csv"],
    );
    assert_ne!(ran.code, 0);
    assert_eq!(
        std::fs::read(folder.path().join("customers.csv")).unwrap(),
        before
    );
    for (sql, said) in [
        (
            "SELECT * FROM customers.parquet",
            "a file's name stands in quotes",
        ),
        (
            "SELECT * FROM 'gone.parquet'",
            "gone.parquet cannot be read",
        ),
    ] {
        let ran = banyan(folder.path(), &["query", sql]);
        assert_ne!(ran.code, 0);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    let ran = banyan(folder.path(), &["query", "SELECT 1", "--output", "x.txt"]);
    assert_eq!(ran.code, 2);
}

#[test]
fn diff_and_set_hash_compare_any_two_tables() {
    let folder = shop();
    let hashes = |folder: &Path| {
        let (_, rows) = json(
            folder,
            &[
                "query",
                "SELECT set_hash(id, name, vip) h FROM monolith.customers \
                        UNION ALL SELECT set_hash(id, name, vip) FROM service.customers",
            ],
        );
        [0, 1].map(|i| rows[i]["h"].as_str().unwrap().to_owned())
    };
    let [a, b] = hashes(folder.path());
    assert_eq!(a, b);
    let differences = |table: &str, key: &str| {
        let sql = format!(
            "SELECT * FROM diff('monolith.{table}', 'service.{table}', '{key}') ORDER BY id"
        );
        json(folder.path(), &["query", &sql])
    };
    assert_eq!(differences("customers", "id"), (0, serde_json::json!([])));
    damage(folder.path());
    let [a, b] = hashes(folder.path());
    assert_ne!(a, b);
    let (_, rows) = differences("customers", "id");
    assert_eq!(
        rows,
        serde_json::json!([
            {"id": 1, "kind": "only in a", "columns": null, "a_name": "Ada", "b_name": null,
             "a_vip": true, "b_vip": null},
            {"id": 2, "kind": "differs", "columns": "name", "a_name": "Bob", "b_name": "Bob ",
             "a_vip": false, "b_vip": false},
        ])
    );
    let (_, rows) = differences("orders", "id, customer");
    assert_eq!(rows.as_array().unwrap().len(), 2);
    for (sql, said) in [
        (
            "SELECT * FROM diff('monolith.customers', 'service.customers', 'idd')",
            "no column \"idd\"",
        ),
        (
            "SELECT * FROM diff('monolith.customers', 'service.nobody', 'id')",
            "no table \"nobody\"",
        ),
        ("SELECT * FROM diff('a', 'b')", "takes three texts"),
        (
            "SELECT * FROM diff('monolith.customers LIMIT 1', 'service.customers', 'id')",
            "is not the name of one table",
        ),
        (
            "SELECT * FROM diff('monolith.customers; DROP TABLE x', 'b', 'id')",
            "is no table",
        ),
    ] {
        let ran = banyan(folder.path(), &["query", sql]);
        assert_eq!(ran.code, 2, "{sql}: {}", ran.err);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    // A query still writes nothing.
    assert_eq!(
        dump(
            &folder.path().join("service.db"),
            "SELECT id FROM customers"
        )
        .len(),
        2
    );
}
