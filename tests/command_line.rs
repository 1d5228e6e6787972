//! The program from outside: exit code, stdout, stderr.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a run shows, with the folder's name taken out.
fn banyan(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_banyan"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("BANYAN_LOG")
        .env_remove("BANYAN_LOG_FORMAT")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .unwrap()
            .replace(folder.to_str().unwrap(), "FOLDER")
    };
    format!(
        "exit code: {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn help_lists_the_commands() {
    insta::assert_snapshot!(banyan(folder().path(), &["--help"]), @r"
exit code: 0
--- stdout
Moves live tables out of a monolith's database into the databases of new services

Usage: banyan [OPTIONS] <COMMAND>

Commands:
  init       Write a commented banyan.toml
  check      Try everything that the configuration names and list every problem at once
  demo       Show a whole migration on generated data, with live writers, conflicts and a crash
  copy       Copy a migration's tables once, without following changes
  sync       Copy what is not copied yet, then follow changes
  verify     Compare both sides of a migration; exit 1 when they differ
  reconcile  Compare both sides and repair what differs; exit 1 when something could not be repaired
  audit      The log of repairs and verifications, in which nothing can be changed unnoticed
  query      Run SQL over all stores: SELECT … FROM monolith.customers a JOIN orders.customers b …
  worker     Compare and query for others: see --workers of verify and query
  conflict   The recorded and the parked conflicts
  migration  The life of a migration
  serve      Host all migrations: sync them and prove their sides equal, until stopped
  script     Check and test rules written in Rhai
  plugin     Write, build, check and test rules that are WebAssembly components

Options:
      --config <FILE>    The configuration [default: banyan.toml]
      --format <FORMAT>  The form of the output: text or json [default: text]
  -v, --verbose...       Log more; again for still more
  -q, --quiet...         Log less and show no progress
  -h, --help             Print help
  -V, --version          Print version

Exit codes: 0 done; 1 a check found a difference, a conflict waits, or a gate refused; 2 wrong usage
or configuration; 3 a store, plugin or network failed.
--- stderr
");
}

#[test]
fn without_a_command_the_help_is_an_error() {
    let shown = banyan(folder().path(), &[]);
    assert!(
        shown.starts_with("exit code: 2\n--- stdout\n--- stderr\n"),
        "{shown}"
    );
    assert!(shown.contains("Usage: banyan"), "{shown}");
}

#[test]
fn a_mistyped_command_is_an_error_with_the_nearest_name() {
    insta::assert_snapshot!(banyan(folder().path(), &["chekc"]), @r"
exit code: 2
--- stdout
--- stderr
error: unrecognized subcommand 'chekc'

  tip: a similar subcommand exists: 'check'

Usage: banyan [OPTIONS] <COMMAND>

For more information, try '--help'.
");
    insta::assert_snapshot!(banyan(folder().path(), &["chekc", "--format", "json"]), @r#"
exit code: 2
--- stdout
--- stderr
{"error":{"kind":"usage","message":"unrecognized subcommand 'chekc'\n\n  tip: a similar subcommand exists: 'check'\n\nUsage: banyan [OPTIONS] <COMMAND>\n\nFor more information, try '--help'.","causes":[],"hints":[],"exit_code":2}}
"#);
}

#[test]
fn init_writes_a_configuration_that_passes_the_check_and_never_overwrites_one() {
    let folder = folder();
    insta::assert_snapshot!(banyan(folder.path(), &["init"]), @r"
exit code: 0
--- stdout
wrote banyan.toml
--- stderr
hint: name your databases in banyan.toml, then run `banyan check`
");
    insta::assert_snapshot!(banyan(folder.path(), &["check"]), @r"
exit code: 3
--- stdout
banyan.toml: stores.monolith: there is no database file monolith.db
  → correct the store's url in the configuration, or create the database first
banyan.toml: stores.orders: there is no database file orders.db
  → correct the store's url in the configuration, or create the database first
--- stderr
error: banyan.toml: 2 problems found
");
    insta::assert_snapshot!(banyan(folder.path(), &["init"]), @r"
exit code: 1
--- stdout
--- stderr
error: banyan.toml is there already

hint: `banyan check` says whether it is right
hint: `--config FILE` writes another one
");
    insta::assert_snapshot!(
        banyan(folder.path(), &["init", "--config", "nowhere/b.toml"]), @r"
exit code: 2
--- stdout
--- stderr
error: there is no folder for nowhere/b.toml

hint: make the folder first
");
    insta::assert_snapshot!(
        banyan(folder.path(), &["init", "--config", "b.toml", "--format", "json"]), @r#"
exit code: 0
--- stdout
{
  "written": "b.toml"
}
--- stderr
"#);
}

#[test]
fn check_lists_every_mistake() {
    let folder = folder();
    insta::assert_snapshot!(banyan(folder.path(), &["check"]), @r"
exit code: 2
--- stdout
--- stderr
error: there is no file banyan.toml

hint: `banyan init` writes one
hint: `--config FILE` names another
");
    std::fs::write(
        folder.path().join("banyan.toml"),
        "[stores.shop]\nurl = \"shop.db\"\ncapture = \"logs\"\n[migration.a]\n",
    )
    .unwrap();
    insta::assert_snapshot!(banyan(folder.path(), &["check"]), @r#"
exit code: 2
--- stdout
banyan.toml: line 2: stores.shop.url: found shop.db, which is no URL; wanted sqlite:PATH, postgres://… or mysql://…
banyan.toml: line 3: stores.shop.capture: found "logs"; did you mean "log"? allowed: auto, log, trigger
banyan.toml: line 4: migration: is no known key; did you mean "migrations"? allowed: checks, control, migrations, router, rules, state, stores
--- stderr
error: banyan.toml has 3 mistakes
"#);
    insta::assert_snapshot!(banyan(folder.path(), &["check", "--format=json"]), @r#"
exit code: 2
--- stdout
{
  "ok": false,
  "problems": [
    {
      "path": "stores.shop.url",
      "line": 2,
      "message": "found shop.db, which is no URL; wanted sqlite:PATH, postgres://… or mysql://…",
      "allowed": [],
      "nearest": null
    },
    {
      "path": "stores.shop.capture",
      "line": 3,
      "message": "found \"logs\"",
      "allowed": [
        "auto",
        "log",
        "trigger"
      ],
      "nearest": "log"
    },
    {
      "path": "migration",
      "line": 4,
      "message": "is no known key",
      "allowed": [
        "checks",
        "control",
        "migrations",
        "router",
        "rules",
        "state",
        "stores"
      ],
      "nearest": "migrations"
    }
  ],
  "notes": []
}
--- stderr
{"error":{"kind":"config","message":"banyan.toml has 3 mistakes","causes":[],"hints":[],"exit_code":2}}
"#);
}

#[test]
fn a_log_format_that_means_nothing_is_a_usage_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_banyan"))
        .arg("init")
        .current_dir(folder().path())
        .env("BANYAN_LOG_FORMAT", "xml")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        shown,
        "error: BANYAN_LOG_FORMAT=xml: allowed are text and json\n"
    );
}

/// The configuration and the strategies live on one floor and cannot import each other.
#[test]
fn the_configuration_knows_the_names_of_the_strategies() {
    assert_eq!(
        banyan::config::BUILT_IN_STRATEGIES,
        banyan::rule::builtin::NAMES
    );
}
