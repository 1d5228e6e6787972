//! A verification that is killed again and again goes on where it was.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::sim::{Chooser, Seed};
use crate::support::app;
use crate::support::program::wait_until;

const ROWS: u64 = 400_000;
const PART: u64 = 3_000;
const KILLS: usize = 100;

fn shop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, other) in [("a.db", 0), ("b.db", 1)] {
        let sql = format!(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INTEGER);
             WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < {ROWS})
             INSERT INTO t SELECT i, 'row ' || i, CASE WHEN i % 1000 = 7 THEN {other} ELSE 0 END FROM i
             WHERE i % 5000 <> 4999 * {other}"
        );
        app(&folder.path().join(file)).execute_batch(&sql).unwrap();
    }
    std::fs::write(
        folder.path().join("banyan.toml"),
        "[stores.monolith]\nurl = \"sqlite:a.db\"\n[stores.service]\nurl = \"sqlite:b.db\"\n\
         [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\n",
    )
    .unwrap();
    folder
}

fn verify(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_banyan"));
    command
        .current_dir(folder)
        .args([
            "verify",
            "shop",
            "--quiet",
            "--format",
            "json",
            "--recheck-ms",
            "0",
        ])
        .args(more)
        .env_remove("BANYAN_LOG")
        .stdin(Stdio::null());
    command
}

/// Without what is not the same twice.
fn report(output: &[u8]) -> Json {
    let mut report: Json = serde_json::from_slice(output).unwrap();
    report["seconds"] = Json::Null;
    for name in [
        "seconds",
        "compared_at_us",
        "source_held_ms",
        "rows_resumed",
    ] {
        report["tables"][0][name] = Json::Null;
    }
    report
}

#[test]
fn a_killed_verification_goes_on_behind_its_last_part() {
    let part = PART.to_string();
    for level in ["full", "hash"] {
        let folder = shop();
        let whole = verify(folder.path(), &["--level", level]).output().unwrap();
        let ledger = folder.path().join(".banyan/shop.verify");
        assert!(!ledger.exists());
        let parts = || {
            let text = std::fs::read_to_string(&ledger).unwrap_or_default();
            text.lines().count()
        };
        let arguments = [
            "--level",
            level,
            "--resume",
            "--part-rows",
            &part,
            "--rows-per-s-max",
            "30000",
        ];
        let mut seed = Seed::new(3);
        let mut before = 0;
        let mut kills = 0;
        while kills < KILLS && before <= (ROWS / PART) as usize - 5 {
            let mut child = verify(folder.path(), &arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // Some are killed while they start, some while they work.
            if kills % 3 > 0 {
                wait_until("a part is compared", || parts() > before.max(1));
            }
            std::thread::sleep(Duration::from_millis(seed.choose(80) as u64));
            assert!(
                child.try_wait().unwrap().is_none(),
                "it ended after {before} parts"
            );
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            let now = parts();
            assert!(now >= before, "{now} parts, and {before} before");
            before = now;
        }
        assert!(kills > 50 && before > 30, "{kills} kills, {before} parts");
        // A line that a crash left half-written is not believed.
        let mut bytes = std::fs::read(&ledger).unwrap();
        bytes.truncate(bytes.len() - 20);
        let good: Vec<Json> = String::from_utf8(bytes.clone())
            .unwrap()
            .lines()
            .skip(1)
            .map_while(|line| serde_json::from_str(line).ok())
            .collect();
        std::fs::write(&ledger, bytes).unwrap();
        let done = verify(folder.path(), &arguments).output().unwrap();
        assert_eq!(report(&done.stdout), report(&whole.stdout), "{level}");
        let rows = |side: usize| -> u64 {
            let lines = good.iter();
            lines.map(|line| line["rows"][side].as_u64().unwrap()).sum()
        };
        let resumed: Json = serde_json::from_slice(&done.stdout).unwrap();
        let resumed = &resumed["tables"][0]["rows_resumed"];
        assert_eq!(*resumed, rows(0).max(rows(1)), "{} parts", good.len());
        println!("{level}: {kills} kills, {} parts taken over", good.len());
        assert!(!ledger.exists());
    }
}

#[test]
fn what_is_resumed_must_be_the_same() {
    let folder = shop();
    let mut child = verify(
        folder.path(),
        &["--part-rows", "1000", "--rows-per-s-max", "20000"],
    )
    .stdout(Stdio::null())
    .spawn()
    .unwrap();
    let ledger = folder.path().join(".banyan/shop.verify");
    wait_until("a part is compared", || {
        std::fs::read_to_string(&ledger).is_ok_and(|text| text.lines().count() > 1)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let other = verify(folder.path(), &["--resume", "--where", "id > 5"])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(errors.contains("compared something else"), "{errors}");
    // Without being asked to, nothing is taken over.
    let anew = verify(folder.path(), &[]).output().unwrap();
    let anew: Json = serde_json::from_slice(&anew.stdout).unwrap();
    assert_eq!(anew["tables"][0]["rows_resumed"], 0);
}

#[test]
fn a_part_of_the_rows_is_asked_for() {
    let folder = shop();
    let output = verify(folder.path(), &["--where", "id = 1007 OR id = 1008"])
        .output()
        .unwrap();
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["tables"][0]["rows_source"], 2);
    assert_eq!(report["differences_total"], 1);
    assert_eq!(report["consistency_percent"], 50.0);
    let output = verify(folder.path(), &["--where", "no such thing"])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn again_and_again_with_an_alert() {
    let folder = shop();
    let output = verify(
        folder.path(),
        &[
            "--continuous",
            "--sweeps",
            "2",
            "--interval-s",
            "0",
            "--alert-below",
            "99.95",
            "--alert-command",
            "cat >> alert.json",
        ],
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8(output.stdout).unwrap();
    let sweeps: Vec<Json> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(sweeps.len(), 2);
    assert!(sweeps.iter().all(|s| s["consistent"] == false));
    let alerts = std::fs::read_to_string(folder.path().join("alert.json")).unwrap();
    let alerts: Vec<Json> = serde_json::Deserializer::from_str(&alerts)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(alerts, sweeps);
    // 0.12 % differ: that is allowed.
    let output = verify(
        folder.path(),
        &[
            "--continuous",
            "--sweeps",
            "1",
            "--alert-below",
            "99",
            "--alert-command",
            "touch second",
        ],
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.path().join("second").exists());
}

/// One side has a key twice: wherever a part ends, and at the second look, it is a difference.
#[test]
fn a_key_that_is_there_twice_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 1500)
                INSERT INTO t SELECT i, 'v' FROM i";
    app(&folder.path().join("a.db"))
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER NOT NULL, v TEXT);
             CREATE INDEX by_id ON t (id); {rows}"
        ))
        .unwrap();
    app(&folder.path().join("b.db"))
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); {rows}"
        ))
        .unwrap();
    std::fs::write(
        folder.path().join("banyan.toml"),
        "[stores.monolith]\nurl = \"sqlite:a.db\"\n[stores.service]\nurl = \"sqlite:b.db\"\n\
         [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\n\
         [[migrations.shop.tables]]\nsource = \"t\"\nkey = [\"id\"]\n",
    )
    .unwrap();
    for id in [1, 129, 457, 500, 817, 1499, 1500] {
        app(&folder.path().join("a.db"))
            .execute("INSERT INTO t VALUES (?1, 'w')", [id])
            .unwrap();
        for level in ["full", "hash"] {
            for part in ["1", "100", "129", "457", "2000000"] {
                for tries in ["0", "2"] {
                    let output = verify(
                        folder.path(),
                        &[
                            "--level",
                            level,
                            "--part-rows",
                            part,
                            "--recheck-tries",
                            tries,
                        ],
                    );
                    let output = { output }.output().unwrap();
                    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
                    assert_eq!(
                        report["tables"][0]["missing_on_target"], 1,
                        "{id} {level} {part} {tries}: {report}"
                    );
                }
            }
        }
        app(&folder.path().join("a.db"))
            .execute("DELETE FROM t WHERE id = ?1 AND v = 'w'", [id])
            .unwrap();
    }
}

/// As far apart as is tolerated, and a little farther.
#[test]
fn numbers_may_be_apart_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (file, near, far) in [("a.db", 0.0, 0.0), ("b.db", 0.000_5, 0.002)] {
        app(&folder.path().join(file))
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL;
                 CREATE TABLE t (id INTEGER PRIMARY KEY, v REAL, w REAL, n INTEGER);
                 INSERT INTO t VALUES (1, 1 + {near}, 1, 1), (2, 1 + {far}, 1, 1), (3, 1, 1 + {near}, 1),
                     (4, 1 + {near}, NULL, 1), (5, 1, 1, 9007199254740992 + ({near} > 0))"
            ))
            .unwrap();
    }
    let configure = |tolerance: &str| {
        std::fs::write(
            folder.path().join("banyan.toml"),
            format!(
                "[stores.monolith]\nurl = \"sqlite:a.db\"\n[stores.service]\nurl = \"sqlite:b.db\"\n\
                 [migrations.shop]\nsource = \"monolith\"\ntarget = \"service\"\n\
                 [[migrations.shop.tables]]\nsource = \"t\"\n{tolerance}"
            ),
        )
        .unwrap();
    };
    let differing = |more: &[&str]| {
        let output = verify(folder.path(), more).output().unwrap();
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        let keys = report["differences"].as_array().unwrap().iter();
        let keys: Vec<u64> = keys.map(|d| d["key"]["id"].as_u64().unwrap()).collect();
        (keys, report["tables"][0]["tolerated"].as_u64().unwrap())
    };
    configure("");
    assert_eq!(differing(&[]), (vec![1, 2, 3, 4, 5], 0));
    configure("tolerance = { v = 0.001, n = 0.5 }\n");
    for level in ["full", "hash"] {
        let all = ["--level", level, "--recheck-tries", "2", "--part-rows", "1"];
        assert_eq!(differing(&all), (vec![2, 3, 5], 2), "{level}");
    }
    configure("tolerance = { x = 0.001, w = \"a\" }\n");
    let output = verify(folder.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("tolerance.w: found a string"), "{errors}");
}
