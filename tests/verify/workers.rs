//! Comparisons and queries on three workers, one of which is killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

use crate::support::net::Proxy;
use crate::support::sides::{Engine, Sides};

use super::readers::settled;

/// Ends when it is dropped.
struct Worker {
    child: Child,
    address: String,
}

impl Worker {
    fn start(sides: &Sides, token: Option<&str>) -> Self {
        Self::of(
            sides.shop.command(&["worker", "--listen", "127.0.0.1:0"]),
            token,
        )
    }

    fn of(mut command: Command, token: Option<&str>) -> Self {
        if let Some(token) = token {
            command.env("BANYAN_WORKER_TOKEN", token);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .expect("its address");
        Self {
            address: address.to_owned(),
            child,
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn addresses(workers: &[Worker]) -> String {
    let all: Vec<&str> = workers.iter().map(|w| w.address.as_str()).collect();
    all.join(",")
}

/// 200,000 rows on both sides, of which a few differ.
fn shop(source: Engine, target: Engine) -> Sides {
    let sides = Sides::new(source, target);
    for (side, other) in [(&sides.source, 0), (&sides.target, 1)] {
        side.sql(
            "CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR(60) NOT NULL, n INTEGER)",
        );
        let mut session = side.session();
        for first in (0..200_000_u32).step_by(5_000) {
            let rows: Vec<String> = (first..first + 5_000)
                .filter(|i| other == 0 || i % 50_021 != 11)
                .map(|i| {
                    format!(
                        "({i}, 'row {i} of many', {})",
                        if i % 40_009 == 5 { other } else { 0 }
                    )
                })
                .collect();
            session
                .execute(&format!("INSERT INTO t VALUES {}", rows.join(", ")))
                .unwrap();
        }
    }
    sides.configure("");
    sides
}

fn verify(sides: &Sides, more: &[&str]) -> (Json, String) {
    let arguments = ["verify", "shop", "--format", "json"];
    let all: Vec<&str> = arguments.iter().chain(more).copied().collect();
    let shown = sides.shop.run(&all);
    assert_eq!(shown.code, 1, "{shown:?}");
    (settled(shown.json()), shown.errors)
}

#[test]
fn a_killed_worker_changes_nothing() {
    let sides = shop(Engine::Postgres, Engine::Mysql);
    for level in ["full", "hash"] {
        let (alone, _) = verify(&sides, &["--level", level]);
        assert_eq!(alone["differences_total"], 4 + 5, "{alone}");
        let mut workers: Vec<Worker> = (0..3).map(|_| Worker::start(&sides, None)).collect();
        let all = addresses(&workers);
        let (with, said) = verify(&sides, &["--level", level, "--workers", &all]);
        assert_eq!(with, alone);
        assert_eq!(said, "");

        let slow = [
            "--level",
            level,
            "--workers",
            &all,
            "--rows-per-s-max",
            "40000",
        ];
        let (with, said) = thread::scope(|scope| {
            let running = scope.spawn(|| verify(&sides, &slow));
            thread::sleep(Duration::from_millis(2_000));
            workers[1].kill();
            running.join().unwrap()
        });
        assert!(said.contains("ranges are compared once more"), "{said}");
        assert_eq!(with, alone);
        // Nor does one that was never there.
        let (with, said) = verify(&sides, &["--level", level, "--workers", &all]);
        assert!(said.contains("goes on without these workers"), "{said}");
        assert_eq!(with, alone);
    }
}

#[test]
fn a_sample_is_the_same_on_workers() {
    let sides = shop(Engine::Sqlite, Engine::Sqlite);
    let workers = [Worker::start(&sides, None), Worker::start(&sides, None)];
    let all = addresses(&workers);
    for level in ["full", "hash"] {
        let sample = ["--level", level, "--sample", "40", "--sample-seed", "3"];
        let (alone, _) = verify(&sides, &sample);
        let table = &alone["tables"][0];
        let compared = table["rows_compared"].as_u64().unwrap();
        assert!((70_000..90_000).contains(&compared), "{alone}");
        assert!(alone["differences_total"].as_u64().unwrap() > 0, "{alone}");
        let with = [&sample[..], &["--workers", &all]].concat();
        let with_rests = [&with[..], &["--busy-percent-max", "60"]].concat();
        assert_eq!(verify(&sides, &with).0, alone);
        assert_eq!(verify(&sides, &with_rests).0, alone);
    }
}

#[test]
fn queries_answer_alike_on_workers() {
    let sides = shop(Engine::Postgres, Engine::Sqlite);
    let workers: Vec<Worker> = (0..3).map(|_| Worker::start(&sides, None)).collect();
    let all = addresses(&workers);
    for sql in [
        "SELECT count(*) AS n, sum(id) AS s, max(v) AS m FROM monolith.t",
        "SELECT n, count(*) AS c FROM service.t GROUP BY n ORDER BY n",
        "SELECT a.id, b.id AS other FROM monolith.t a LEFT JOIN service.t b ON a.id = b.id \
         WHERE b.id IS NULL ORDER BY a.id",
        "SELECT * FROM diff('monolith.t', 'service.t', 'id') ORDER BY id",
        "SELECT set_hash(id, v, n) AS h FROM monolith.t",
        "SELECT id FROM service.t WHERE id > 199990 ORDER BY id DESC LIMIT 3",
    ] {
        let alone = sides.shop.json(&["query", sql]);
        let with = sides.shop.json(&["query", sql, "--workers", &all]);
        assert_eq!(with, alone, "{sql}");
    }
    let explained = sides.shop.run(&[
        "query",
        "EXPLAIN SELECT count(*) FROM monolith.t",
        "--workers",
        &all,
    ]);
    assert!(explained.out.contains("Stage 1"), "{explained:?}");
}

#[test]
fn no_password_travels() {
    let sides = shop(Engine::Postgres, Engine::Postgres);
    let workers = [Worker::start(&sides, None), Worker::start(&sides, None)];
    let proxies = [0, 1].map(|i| Proxy::keeping(&workers[i].address));
    let all = format!(
        "127.0.0.1:{},127.0.0.1:{}",
        proxies[0].port(),
        proxies[1].port()
    );
    verify(&sides, &["--workers", &all]);
    sides.shop.json(&[
        "query",
        "SELECT count(*) FROM monolith.t",
        "--workers",
        &all,
    ]);
    let url = sides.source.url();
    let (user, rest) = url.split_once("://").unwrap().1.split_once(':').unwrap();
    let password = rest.split('@').next().unwrap();
    assert!(!user.is_empty() && password.len() >= 4, "{url}");
    let mut named = false;
    for proxy in &proxies {
        let sent = String::from_utf8_lossy(&proxy.kept()).into_owned();
        assert!(sent.len() > 1_000, "{}", sent.len());
        named |= sent.contains("\"store\":\"monolith\"");
        for secret in [password, user, "postgres://"] {
            assert!(!sent.contains(secret), "{secret} was sent");
        }
    }
    assert!(named, "the plans were not seen");
}

#[test]
fn who_has_another_word_or_configuration_is_refused() {
    let sides = shop(Engine::Sqlite, Engine::Sqlite);
    let worker = Worker::start(&sides, Some("a long word"));
    let with = ["--workers", &worker.address];
    let arguments: Vec<&str> = ["verify", "shop"].iter().chain(&with).copied().collect();
    let shown = sides.shop.run(&arguments);
    assert_ne!(shown.code, 0);
    assert!(shown.errors.contains("BANYAN_WORKER_TOKEN"), "{shown:?}");
    let query: Vec<&str> = ["query", "SELECT count(*) FROM monolith.t"]
        .iter()
        .chain(&with)
        .copied()
        .collect();
    let shown = sides.shop.run(&query);
    assert!(shown.errors.contains("BANYAN_WORKER_TOKEN"), "{shown:?}");
    let knows = sides
        .shop
        .command(&arguments)
        .env("BANYAN_WORKER_TOKEN", "a long word")
        .output()
        .unwrap();
    assert_eq!(knows.status.code(), Some(1), "{knows:?}");

    // Whose tables are mapped otherwise compares something else.
    let other = sides.shop.path("other.toml");
    let text = std::fs::read_to_string(sides.shop.path("banyan.toml")).unwrap();
    std::fs::write(
        &other,
        format!("{text}\n[[migrations.shop.tables]]\nsource = \"t\"\nwhere = \"id > 5\"\n"),
    )
    .unwrap();
    let command = sides.shop.command(&[
        "worker",
        "--listen",
        "127.0.0.1:0",
        "--config",
        "other.toml",
    ]);
    let other = Worker::of(command, None);
    let shown = sides
        .shop
        .run(&["verify", "shop", "--workers", &other.address]);
    assert_ne!(shown.code, 0);
    assert!(
        shown
            .errors
            .contains("says something else about migration shop"),
        "{shown:?}"
    );

    let shown = sides.shop.run(&["worker", "--listen", "0.0.0.0:0"]);
    assert_eq!(shown.code, 1, "{shown:?}");
    let shown = sides
        .shop
        .run(&["verify", "shop", "--workers", "127.0.0.1:1"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(
        shown
            .errors
            .contains("no worker is there (127.0.0.1:1: cannot be reached"),
        "{shown:?}"
    );
}
