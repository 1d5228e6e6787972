//! Alerts that are posted to a URL.

use std::process::Command;

use serde_json::Value as Json;

use crate::support::hook::{Answer, Hook};
use crate::support::program::{Shop, Shown};

/// Two sides, of which the target lacks a row if they are to differ.
fn shop(differ: bool) -> Shop {
    let shop = Shop::new();
    let rows = if differ {
        "(1, 'one', 1.5)"
    } else {
        "(1, 'one', 1.5), (2, 'two', NULL), (3, 'three', 3)"
    };
    shop.write("target.db", &format!("INSERT INTO items VALUES {rows}"));
    shop
}

fn watch(shop: &Shop, url: &str, sweeps: &str, environment: &[(&str, &str)]) -> Shown {
    let arguments = [
        "verify",
        "shop",
        "--format",
        "json",
        "--recheck-tries",
        "0",
        "--continuous",
        "--interval-s",
        "0",
        "--sweeps",
        sweeps,
        "--alert-url",
        url,
    ];
    let mut command = shop.command(&arguments);
    command.envs(environment.iter().copied());
    Shown::new(&command.output().unwrap(), shop.folder())
}

fn url(hook: &Hook) -> String {
    format!("http://127.0.0.1:{}/alerts?channel=db", hook.port)
}

#[test]
fn an_alert_is_the_report() {
    let (shop, hook) = (shop(true), Hook::new(&[]));
    let shown = watch(&shop, &url(&hook), "2", &[]);
    assert_eq!(shown.code, 1, "{shown:?}");
    let sweeps: Vec<Json> = shown
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(sweeps.len(), 2);
    let posted = hook.posted();
    let reports: Vec<Json> = posted
        .iter()
        .map(|p| serde_json::from_str(&p.body).unwrap())
        .collect();
    assert_eq!(reports, sweeps, "one each");
    assert_eq!(reports[0]["differences_total"], 2);
    let first = &posted[0];
    assert_eq!(first.line, "POST /alerts?channel=db HTTP/1.1");
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(
        first.header("host"),
        Some(&*format!("127.0.0.1:{}", hook.port))
    );
    assert_eq!(first.header("authorization"), None);
}

#[test]
fn sides_that_are_equal_alert_nobody() {
    let (shop, hook) = (shop(false), Hook::new(&[]));
    let shown = watch(&shop, &url(&hook), "2", &[]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!(hook.posted().len(), 0);
}

#[test]
fn what_does_not_arrive_is_sent_again() {
    let (shop, hook) = (
        shop(true),
        Hook::new(&[Answer::Status(500), Answer::Status(503)]),
    );
    let shown = watch(&shop, &url(&hook), "1", &[]);
    assert_eq!(shown.code, 1, "{shown:?}");
    let bodies: Vec<String> = hook.posted().into_iter().map(|p| p.body).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert!(shown.errors.contains("500"), "{}", shown.errors);
    assert!(!shown.errors.contains("given up"), "{}", shown.errors);
}

#[test]
fn whoever_never_answers_stops_nobody() {
    let (shop, hook) = (shop(true), Hook::new(&[Answer::Silence; 3]));
    let shown = watch(&shop, &url(&hook), "2", &[]);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert_eq!(shown.out.lines().count(), 2);
    // Three for the first comparison, one for the second.
    assert_eq!(hook.posted().len(), 4);
    assert!(
        shown.errors.contains("and was given up: no answer within"),
        "{}",
        shown.errors
    );
}

#[test]
fn what_is_secret_in_a_url_is_told_to_nobody_else() {
    let shop = shop(true);
    let secrets = ["me%40home", "s3cret", "/hooks/", "t0ken"];
    let silent = |shown: &Shown| {
        for secret in secrets {
            assert!(!shown.errors.contains(secret), "{secret}: {}", shown.errors);
            assert!(!shown.out.contains(secret), "{secret}: {}", shown.out);
        }
    };
    let hook = Hook::new(&[
        Answer::Status(302),
        Answer::Status(404),
        Answer::Status(401),
    ]);
    let secret = format!(
        "http://me%40home:s3cret@127.0.0.1:{}/hooks/7?token=t0ken",
        hook.port
    );
    let shown = watch(&shop, &secret, "1", &[("BANYAN_LOG", "debug")]);
    silent(&shown);
    let place = format!(
        "http://127.0.0.1:{}, and was given up: it answers 401",
        hook.port
    );
    assert!(shown.errors.contains(&place), "{}", shown.errors);
    for posted in hook.posted() {
        assert_eq!(posted.line, "POST /hooks/7?token=t0ken HTTP/1.1");
        assert_eq!(
            posted.header("authorization"),
            Some("Basic bWVAaG9tZTpzM2NyZXQ=")
        );
    }
    // Nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let secret = format!("http://me%40home:s3cret@127.0.0.1:{port}/hooks/7?token=t0ken");
    let shown = watch(&shop, &secret, "1", &[]);
    silent(&shown);
    assert!(shown.errors.contains("cannot connect"), "{}", shown.errors);
    for wrong in [
        "ftp://me%40home:s3cret@host/hooks/7?t0ken",
        "me%40home:s3cret@host/hooks/7?t0ken",
        "/hooks/7?t0ken",
        "http://me%40home:s3cret@/hooks/7?t0ken",
        "https://me%40home:s3cret@host:99999/hooks/7?t0ken",
        "",
    ] {
        let shown = watch(&shop, wrong, "1", &[]);
        assert_eq!(shown.code, 2, "{wrong}: {shown:?}");
        silent(&shown);
        assert!(shown.errors.contains("the alert's URL"), "{}", shown.errors);
        assert_eq!(shown.out, "", "nothing was compared");
    }
}

#[test]
fn a_certificate_is_looked_at() {
    let shop = shop(true);
    let made = Command::new("openssl")
        .current_dir(shop.folder())
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-keyout",
            "server.key",
            "-out",
            "server.crt",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let hook = Hook::encrypted(shop.folder());
    let (localhost, address) = (
        format!("https://localhost:{}/alerts", hook.port),
        format!("https://127.0.0.1:{}/alerts", hook.port),
    );
    let trusted = [("SSL_CERT_FILE", "server.crt")];
    // Nobody whom anybody trusts has signed it.
    let shown = watch(&shop, &localhost, "1", &[]);
    assert!(shown.errors.contains("no encryption"), "{}", shown.errors);
    // It is another host's.
    let shown = watch(&shop, &address, "1", &trusted);
    assert!(shown.errors.contains("no encryption"), "{}", shown.errors);
    assert_eq!(hook.posted().len(), 0);
    let shown = watch(&shop, &localhost, "1", &trusted);
    assert_eq!(hook.posted().len(), 1, "{}", shown.errors);
    assert_eq!(hook.posted()[0].line, "POST /alerts HTTP/1.1");
    for file in ["banyan.toml", "nothing.pem"] {
        let shown = watch(&shop, &localhost, "1", &[("SSL_CERT_FILE", file)]);
        assert_eq!(shown.code, 2, "{shown:?}");
        assert!(shown.errors.contains("SSL_CERT_FILE"), "{}", shown.errors);
    }
}

/// The command and the URL are told the same.
#[test]
fn a_command_and_a_url_go_together() {
    let (shop, hook) = (shop(true), Hook::new(&[]));
    let arguments = [
        "verify",
        "shop",
        "--recheck-tries",
        "0",
        "--continuous",
        "--sweeps",
        "1",
        "--alert-url",
        &url(&hook),
        "--alert-command",
        "cat > told.json; exit 3",
    ];
    let shown = shop.run(&arguments);
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(
        shown.errors.contains("the alert's command failed"),
        "{}",
        shown.errors
    );
    let told = std::fs::read_to_string(shop.path("told.json")).unwrap();
    assert_eq!(hook.posted().len(), 1);
    assert_eq!(hook.posted()[0].body, told);
    // Not without a watch.
    let shown = shop.run(&["verify", "shop", "--alert-url", &url(&hook)]);
    assert_eq!(shown.code, 2, "{shown:?}");
}
