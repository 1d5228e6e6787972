//! `banyan verify`, `reconcile` and `query` from outside.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::support::{app, dump};

pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

pub(super) fn banyan(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_banyan"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("BANYAN_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(super) fn json(folder: &Path, arguments: &[&str]) -> (i32, Json) {
    let ran = banyan(folder, &[arguments, &["--format", "json"]].concat());
    let json = serde_json::from_str(&ran.out);
    (
        ran.code,
        json.unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err)),
    )
}

/// Times are not the same twice.
fn without_seconds(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<String> = line
            .split(' ')
            .map(|w| match w.parse::<f64>() {
                Ok(_) if w.contains('.') => "0.00".to_owned(),
                _ => w.to_owned(),
            })
            .collect();
        out.push_str(&format!("{}\n", words.join(" ")));
    }
    out
}

pub(super) fn shop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for store in ["monolith", "service"] {
        let conn = rusqlite::Connection::open(folder.path().join(format!("{store}.db"))).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, vip BOOLEAN);
             CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers, total NUMERIC);
             INSERT INTO customers VALUES (1, 'Ada', 1), (2, 'Bob', 0), (3, 'Cy', 0);
             INSERT INTO orders VALUES (10, 1, 9.5), (11, 2, 20);",
        )
        .unwrap();
    }
    std::fs::write(
        folder.path().join("banyan.toml"),
        "[stores.monolith]\nurl = \"sqlite:monolith.db\"\n\
         [stores.service]\nurl = \"sqlite:service.db\"\n\
         [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\nmode = \"two-way\"\n\
         on_conflict = \"source-wins\"\n\
         [[migrations.shop.tables]]\nsource = \"customers\"\n\
         [[migrations.shop.tables]]\nsource = \"orders\"\n",
    )
    .unwrap();
    folder
}

pub(super) fn damage(folder: &Path) {
    app(&folder.join("service.db"))
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             UPDATE customers SET name = 'Bob ' WHERE id = 2; DELETE FROM customers WHERE id = 1;
             DELETE FROM orders WHERE id = 10; INSERT INTO orders VALUES (12, 3, 1)",
        )
        .unwrap();
}

#[test]
fn equal_sides_are_consistent() {
    let folder = shop();
    for level in ["count", "hash", "full"] {
        let ran = banyan(folder.path(), &["verify", "shop", "--level", level]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        assert!(
            ran.out
                .contains("consistent: 2 tables, 5 rows, no difference"),
            "{}",
            ran.out
        );
    }
}

#[test]
fn differences_are_shown_cell_by_cell() {
    let folder = shop();
    damage(folder.path());
    let ran = banyan(folder.path(), &["verify", "shop", "--recheck-ms", "0"]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(without_seconds(&ran.out), @r#"
    table      source  target  missing  extra  differ  seconds  
    customers       3       2        1      0       1     0.00  DIFFERENT
    orders          2       2        1      1       0     0.00  DIFFERENT

    customers (id = 1) is missing on the target
    customers (id = 2) differs
        name  source "Bob"  target "Bob "
    orders (id = 10) is missing on the target
    orders (id = 12) is only on the target

    NOT consistent: 4 differences in 2 tables, 5 rows (full in 0.00 s)
    "#);
    assert!(
        ran.err
            .contains("banyan reconcile shop --prefer source --dry-run"),
        "{}",
        ran.err
    );
    let (code, report) = json(
        folder.path(),
        &["verify", "shop", "--level", "hash", "--recheck-ms", "0"],
    );
    assert_eq!(code, 1);
    assert_eq!(report["consistent"], false);
    assert_eq!(report["level"], "hash");
    assert_eq!(report["tables"][0]["missing_on_target"], 1);
    assert_eq!(report["differences"][1]["kind"], "differs");
    assert_eq!(report["differences"][1]["columns"][0], "name");
    assert_eq!(report["differences"][1]["key"]["id"], 2);
    let (code, only) = json(
        folder.path(),
        &[
            "verify",
            "shop",
            "--table",
            "orders",
            "--recheck-tries",
            "0",
        ],
    );
    assert_eq!((code, only["tables"].as_array().unwrap().len()), (1, 1));
    let ran = banyan(folder.path(), &["verify", "shop", "--table", "order"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("did you mean \"orders\"?"), "{}", ran.err);
}

#[test]
fn reconcile_repairs_and_a_second_run_is_clean() {
    for (prefer, right) in [("source", "monolith.db"), ("target", "service.db")] {
        let folder = shop();
        damage(folder.path());
        let all = |file: &str| {
            let file = folder.path().join(file);
            [
                dump(&file, "SELECT * FROM customers"),
                dump(&file, "SELECT * FROM orders"),
            ]
        };
        let expected = all(right);
        let reconcile = |extra: &[&str]| {
            let base = ["reconcile", "shop", "--prefer", prefer, "--recheck-ms", "0"];
            banyan(folder.path(), &[&base[..], extra].concat())
        };
        let dry = reconcile(&["--dry-run"]);
        assert_eq!(dry.code, 0, "{}{}", dry.out, dry.err);
        assert_ne!(all("monolith.db"), all("service.db"));
        let done = reconcile(&[]);
        assert_eq!(done.code, 0, "{}{}", done.out, done.err);
        let actions = |ran: &Ran| {
            let mut lines: Vec<String> = ran
                .out
                .lines()
                .map(|line| line.replace(": would be ", ": "))
                .collect();
            lines.pop();
            lines.sort();
            lines
        };
        assert_eq!(actions(&dry), actions(&done));
        assert_eq!(all("monolith.db"), expected);
        assert_eq!(all("service.db"), expected);
        let again = reconcile(&["--format", "json"]);
        let report: Json = serde_json::from_str(&again.out).unwrap();
        assert_eq!(again.code, 0);
        assert_eq!(report["clean"], true);
        assert_eq!(report["actions"], Json::Array(vec![]));
    }
}

#[test]
fn reconcile_says_what_it_would_do() {
    let folder = shop();
    damage(folder.path());
    let (code, report) = json(
        folder.path(),
        &[
            "reconcile",
            "shop",
            "--dry-run",
            "--recheck-ms",
            "0",
            "--table",
            "customers",
        ],
    );
    assert_eq!(code, 0);
    assert_eq!(report["dry_run"], true);
    assert_eq!(report["actions"].as_array().unwrap().len(), 2);
    assert_eq!(report["actions"][1]["operation"], "update");
    assert_eq!(report["actions"][1]["after"]["name"], "Bob");
    // Times of change are not known without capture.
    let (code, report) = json(
        folder.path(),
        &[
            "reconcile",
            "shop",
            "--prefer",
            "newest",
            "--recheck-ms",
            "0",
        ],
    );
    assert_eq!(code, 1);
    assert_eq!(report["unrepaired"].as_array().unwrap().len(), 4);
}

#[test]
fn queries_join_the_stores() {
    let folder = shop();
    damage(folder.path());
    let sql = "SELECT a.id, a.name AS here, b.name AS there FROM monolith.customers a \
               LEFT JOIN service.customers b USING (id) WHERE a.name IS DISTINCT FROM b.name ORDER BY 1";
    let ran = banyan(folder.path(), &["query", sql]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!(ran.out, @r"
    id  here  there
    --  ----  -----
     1  Ada   NULL
     2  Bob   Bob
    ");
    let (code, rows) = json(folder.path(), &["query", sql]);
    assert_eq!((code, &rows[1]["there"]), (0, &Json::from("Bob ")));
    let ran = banyan(folder.path(), &["query", "DELETE FROM service.customers"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("a query only reads"), "{}", ran.err);
    let ran = banyan(
        folder.path(),
        &["query", "SELECT * FROM service.custommers"],
    );
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("did you mean customers?"), "{}", ran.err);
}
