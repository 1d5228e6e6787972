//! The check as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    let environment: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::parse(text, Path::new("/srv/shop/banyan.toml"), &environment)
}

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    parse_with(text, &[])
}

fn report(text: &str) -> String {
    let problems = parse(text).expect_err("there are mistakes");
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

const STORES: &str = r#"
[stores.monolith]
url = "sqlite:monolith.db"
[stores.orders]
url = "sqlite:orders.db"
"#;

fn migration(body: &str) -> String {
    format!("{STORES}[migrations.orders]\nsource = \"monolith\"\ntarget = \"orders\"\n{body}")
}

#[test]
fn the_template_is_right_as_it_is_and_with_everything_uncommented() {
    let config = parse(TEMPLATE).unwrap();
    assert_eq!(config.migrations["orders"].mode, Mode::TwoWay);
    assert!(config.rules.is_empty());

    let uncommented: String = TEMPLATE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c != ' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = parse(&uncommented).unwrap();
    assert_eq!(config.rules.len(), 3);
    assert_eq!(config.migrations["orders"].tables.len(), 2);
    let defaults = MigrationOptions {
        chunk_rows: Some(20_000),
        copy_rows_per_s_max: Some(50_000),
        log_kept_mb_max: 10_240,
        ..MigrationOptions::default()
    };
    assert_eq!(
        config.migrations["orders"].options, defaults,
        "the defaults shown are true"
    );
}

#[test]
fn a_whole_configuration_is_read() {
    let text = r#"
[stores.monolith]
url = "sqlite:monolith.db"
capture = "trigger"
[stores.orders]
url = "sqlite:/var/lib/${FILE}"

[rules.vip_merge]
plugin = "plugins/vip_merge.wasm"
blake3 = "AF1349B9F5F9A1A6A0404DEA36DCC9499BCB25C9ADC112B7CC9A93CAE41F3262"
settings = { floor = "${FLOOR}", level = 3, ratio = 0.5, on = true, since = 2024-01-02, list = ["a", { b = 1 }] }
limits = { memory_mb = 64, call_ms = 50 }
on_failure = "source-wins"
[rules.reshape]
script = "/rules/reshape.rhai"

[migrations.orders]
source = "monolith"
target = "orders"
mode = "two-way"
on_conflict = "last-write-wins"
foreign_keys = "ignore"

[[migrations.orders.tables]]
source = "customers"
target = "clients"
columns = { id = "id", full_name = "name" }
key = ["id"]
on_conflict = "vip_merge"
where = "tenant_id = 7"

[[migrations.orders.tables]]
source = "orders"
split = ["addresses"]
transform = "reshape"

[router]
listen = "127.0.0.1:9000"
[[router.services]]
name = "orders"
match = { path_prefix = "/orders" }
monolith = ["http://127.0.0.1:9001"]
service = ["http://127.0.0.1:9002"]
strategy = "canary"
weight = 10
sticky = { cookie = "sid" }
rule = "reshape"

[control]
"#;
    let config = parse_with(text, &[("FILE", "orders.db"), ("FLOOR", "gold")]).unwrap();
    assert_eq!(
        config.state.url.sqlite_path(),
        Some(Path::new("/srv/shop/.banyan/state.db"))
    );
    assert_eq!(config.stores["monolith"].capture, Capture::Trigger);
    assert_eq!(
        config.stores["orders"].url.sqlite_path(),
        Some(Path::new("/var/lib/orders.db"))
    );

    let rule = config.rule("vip_merge").unwrap();
    assert_eq!(
        rule.source,
        RuleSource::Plugin(PathBuf::from("/srv/shop/plugins/vip_merge.wasm"))
    );
    assert_eq!(rule.blake3.as_deref().map(|hex| &hex[..4]), Some("af13"));
    assert_eq!(
        rule.settings.to_string(),
        r#"{"floor":"gold","level":3,"ratio":0.5,"on":true,"since":"2024-01-02","list":["a",{"b":1}]}"#
    );
    assert_eq!(rule.limits.memory_mb, Some(64));
    assert_eq!(rule.limits.fuel_base, None);
    assert_eq!(
        rule.on_failure,
        OnFailure::Strategy("source-wins".to_owned())
    );

    let migration = config.migration("orders").unwrap();
    assert_eq!(migration.options.foreign_keys, ForeignKeys::Ignore);
    let [clients, orders] = migration.tables.as_slice() else {
        panic!("two tables");
    };
    assert_eq!(clients.target, "clients");
    assert_eq!(
        clients.columns.as_deref().unwrap()[1],
        ("full_name".to_owned(), "name".to_owned())
    );
    assert_eq!(
        clients.on_conflict,
        OnConflict::Rule("vip_merge".to_owned())
    );
    assert_eq!(clients.filter.as_deref(), Some("tenant_id = 7"));
    assert_eq!(orders.target, "orders");
    assert_eq!(orders.on_conflict.name(), "last-write-wins");
    assert_eq!(orders.transform.as_deref(), Some("reshape"));

    let router = config.router.unwrap();
    assert_eq!(router.services[0].strategy, RouteStrategy::Canary);
    assert_eq!(router.services[0].weight, 10);
    assert_eq!(
        router.services[0].sticky,
        Some(Sticky::Cookie("sid".to_owned()))
    );
    assert_eq!(config.control.unwrap().listen.port(), 7070);
}

#[test]
fn an_empty_file_is_a_configuration_with_nothing_in_it() {
    let config = parse("").unwrap();
    assert!(config.stores.is_empty() && config.migrations.is_empty());
    assert_eq!(config.router, None);
}

#[test]
fn every_mistake_is_reported_at_once_with_path_line_and_nearest_name() {
    let text = r#"
[store.monolith]
url = "sqlite:monolith.db"

[stores.orders]
url = "orders.db"
captur = "trigger"

[rules.vip_merge]
plugin = "vip.wasm"
script = "vip.rhai"
blake3 = "12"
limits = { memory_mb = 0, call_ms = "fast" }
on_failure = "retry"

[migrations.orders]
source = "monolith"
target = "order"
mode = "twoway"
on_conflict = "last-write-win"
batch_rows = 0

[[migrations.orders.tables]]
target = "customers"

[[migrations.orders.tables]]
source = "customers"
on_conflict = "vip_mrege"
transform = "nothing"
where = ""
"#;
    insta::assert_snapshot!(report(text), @r#"
line 2: store: is no known key; did you mean "stores"? allowed: checks, control, migrations, router, rules, state, stores
line 6: stores.orders.url: found orders.db, which is no URL; wanted sqlite:PATH, postgres://… or mysql://…
line 7: stores.orders.captur: is no known key; did you mean "capture"? allowed: capture, url
line 9: rules.vip_merge: has plugin and script; only one may be given
line 12: rules.vip_merge.blake3: found 2 characters, wanted the 64 hex digits of a blake3 digest
line 13: rules.vip_merge.limits.call_ms: found a string, wanted a whole number from 1 to 600000
line 13: rules.vip_merge.limits.memory_mb: found 0, wanted a whole number from 1 to 4096
line 14: rules.vip_merge.on_failure: found "retry"; allowed: park, halt, last-write-wins, first-write-wins, source-wins, target-wins, merge-columns, add-deltas, max, min, keep-both, skip
line 17: migrations.orders.source: found "monolith", but there is no [stores.monolith]; allowed: orders
line 18: migrations.orders.target: found "order", but there is no [stores.order]; did you mean "orders"? allowed: orders
line 19: migrations.orders.mode: found "twoway"; did you mean "two-way"? allowed: one-way, two-way
line 20: migrations.orders.on_conflict: found "last-write-win", which is neither a rule nor a built-in strategy; did you mean "last-write-wins"? allowed: vip_merge, last-write-wins, first-write-wins, source-wins, target-wins, merge-columns, add-deltas, max, min, keep-both, skip, park
line 21: migrations.orders.batch_rows: found 0, wanted a whole number from 1 to 100000
line 23: migrations.orders.tables[0].source: is missing; wanted the name of a table
line 28: migrations.orders.tables[1].on_conflict: found "vip_mrege", which is neither a rule nor a built-in strategy; did you mean "vip_merge"? allowed: vip_merge, last-write-wins, first-write-wins, source-wins, target-wins, merge-columns, add-deltas, max, min, keep-both, skip, park
line 29: migrations.orders.tables[1].transform: found "nothing", but there is no such rule; allowed: vip_merge
line 30: migrations.orders.tables[1].where: is empty
"#);
}

#[test]
fn the_mistakes_of_tables_are_found() {
    let text = format!(
        "[rules.newest]\nstrategy = \"last-write-wins\"\n{}",
        migration(
            r#"
mode = "two-way"
[[migrations.orders.tables]]
source = "customers"
columns = { id = "id", a = "name", b = "name" }
ignore_columns = ["a", "c", "c"]
key = ["ids", "c"]
transform = "newest"
[[migrations.orders.tables]]
source = "Customers"
split = ["CUSTOMERS"]
[[migrations.orders.tables]]
source = "empty"
columns = {}
"#
        )
    );
    insta::assert_snapshot!(report(&text), @r#"
line 15: migrations.orders.tables[0].columns: columns and transform are both given; the transform names the columns it writes, and ignore_columns those it leaves alone
line 15: migrations.orders.tables[0].columns.b: found "name", which a also comes from; on the way back they could disagree
line 16: migrations.orders.tables[0].ignore_columns: found "a", which is also in columns
line 16: migrations.orders.tables[0].ignore_columns[2]: found "c" twice
line 17: migrations.orders.tables[0].key: found "ids", which is not in columns; did you mean "id"? allowed: id, a, b
line 17: migrations.orders.tables[0].key: found "c", which is not in columns; allowed: id, a, b
line 17: migrations.orders.tables[0].key: found "c", which ignore_columns leaves out
line 18: migrations.orders.tables[0].transform: found "newest", which is a built-in strategy and can only decide conflicts; wanted a plugin or a script
line 19: migrations.orders.tables[1]: the source table "Customers" is already in migrations.orders.tables[0]; a transform with split writes several tables from one
line 19: migrations.orders.tables[1]: the target table "Customers" is already written by migrations.orders.tables[0]
line 19: migrations.orders.tables[1]: the target table "CUSTOMERS" is already written by this entry
line 21: migrations.orders.tables[1].split: only a transform writes several tables; name one, or remove split
line 24: migrations.orders.tables[2].columns: is empty; leave it out to move all columns
"#);
}

#[test]
fn stores_must_be_two_databases_and_apart_from_the_state() {
    let text = r#"
[state]
url = "sqlite:a.db"
[stores.a]
url = "sqlite:a.db"
[stores.b]
url = "sqlite:./a.db"
[migrations.one]
source = "a"
target = "a"
[migrations.two]
source = "a"
target = "b"
"#;
    insta::assert_snapshot!(report(text), @r#"
line 2: state: the state is in the same database as the store "a"; Banyan keeps its own things apart
line 2: state: the state is in the same database as the store "b"; Banyan keeps its own things apart
line 10: migrations.one.target: found "a", which is also the source; a migration joins two stores
line 13: migrations.two.target: found "b", which is the same database as the source, "a"
"#);
}

#[test]
fn a_state_in_a_server_is_refused_without_its_password() {
    let text = r#"
[state]
url = "postgres://app:hunter2@db/shop"
"#;
    insta::assert_snapshot!(report(text), @"line 3: state.url: found postgres://app:****@db/shop; a state in PostgreSQL comes with a later version of Banyan, this one keeps it in a file (sqlite:PATH)");
}

#[test]
fn secrets_from_the_environment_never_show() {
    let text = r#"
[stores.a]
url = "postgres://app:${PASSWORD}@db/shop"
[stores.b]
url = "mongodb:${PASSWORD}"
capture = "${PASSWORD}"
[migrations.m]
source = "${PASSWORD}"
target = "${PASSWORD}"
mode = "${PASSWORD}"
on_conflict = "${PASSWORD}"
"#;
    let problems = parse_with(text, &[("PASSWORD", "hunter2")]).unwrap_err();
    let shown = format!("{problems:?} {}", into_error(Path::new("x"), &problems));
    assert!(shown.contains("${PASSWORD}"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_password_from_the_environment_may_hold_any_character() {
    let StoreUrl::Postgres(server) = StoreUrl::parse(
        &document_url("postgres://app:${PASSWORD}@db/shop", "a@/?#%:b"),
        |path| PathBuf::from(path),
    )
    .unwrap() else {
        panic!("not PostgreSQL");
    };
    assert_eq!(server.password.unwrap().expose(), "a@/?#%:b");
    assert_eq!(server.host, "db");

    // A variable that is the whole URL is taken as it is.
    assert_eq!(
        document_url("${PASSWORD}", "postgres://app:x%40@db/shop"),
        "postgres://app:x%40@db/shop"
    );
}

/// What a store's URL becomes.
fn document_url(template: &str, password: &str) -> String {
    let environment = BTreeMap::from([("PASSWORD".to_owned(), password.to_owned())]);
    let text = format!("url = {template:?}");
    let document = document::Document::new(&text, Path::new(""), &environment);
    let table = toml::de::DeTable::parse(&text).unwrap();
    document::Section::root(&document, table.get_ref())
        .url("url")
        .unwrap()
        .value
}

#[test]
fn a_missing_variable_is_a_mistake_and_an_escaped_one_is_text() {
    let text = r#"
[stores.a]
url = "sqlite:${NOWHERE}/${NOTHING}.db"
[rules.r]
script = "r.rhai"
settings = { greeting = "$${NAME}", "odd key" = "${NOWHERE" }
"#;
    insta::assert_snapshot!(report(text), @r#"
line 3: stores.a.url: the environment variable NOWHERE is not set
line 3: stores.a.url: the environment variable NOTHING is not set
line 6: rules.r.settings."odd key": has ${ without }; write $${ for the two characters themselves
"#);
}

#[test]
fn syntax_errors_give_the_line_and_do_not_quote_it() {
    let text = "[stores.a]\nurl = \"postgres://app:hunter2@db/shop\nb = = 3\n[stores.a]\n";
    let shown = report(text);
    assert!(shown.starts_with("line 2: is no TOML"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn router_and_control_are_checked() {
    let text = r#"
[rules.newest]
strategy = "last-write-wins"
[router]
listen = "here"
[[router.services]]
name = "or ders"
match = { path_prefix = "orders", hots = "x" }
monolith = []
service = ["ftp://x", "http:///"]
strategy = "blue_green"
weight = 101
sticky = {}
rule = "newest"
[[router.services]]
name = "a"
monolith = ["http://127.0.0.1:1"]
service = ["http://127.0.0.1:2"]
strategy = "rule"
[control]
listen = 7070
"#;
    insta::assert_snapshot!(report(text), @r#"
line 5: router.listen: found "here", wanted an address and a port, like 127.0.0.1:8080
line 7: router.services[0].name: found "or ders"; a name is made of letters, digits, _ and -, beginning with a letter or _, at most 63 of them
line 8: router.services[0].match.hots: is no known key; did you mean "host"? allowed: host, path_prefix
line 8: router.services[0].match.path_prefix: found "orders", wanted a path that begins with /
line 9: router.services[0].monolith: names no upstream; wanted a list like ["http://127.0.0.1:9001"]
line 10: router.services[0].service[0]: found "ftp://x", wanted http://HOST:PORT
line 10: router.services[0].service[1]: found "http:///", wanted http://HOST:PORT
line 11: router.services[0].strategy: found "blue_green"; did you mean "blue-green"? allowed: percentage, canary, blue-green, flag, ab, rule
line 12: router.services[0].weight: found 101, wanted a whole number from 0 to 100
line 13: router.services[0].sticky: wants either cookie or header, the name of one
line 14: router.services[0].rule: found "newest", wanted a plugin or a script; allowed: newest
line 19: router.services[1].strategy: found "rule", but no rule is named; add rule = "NAME"
line 21: control.listen: found the number 7070, wanted a string
"#);
}

#[test]
fn wrong_types_are_named() {
    let text = r#"
state = 3
stores = []
[rules]
"9 lives" = 1
[rules.a]
settings = [1]
strategy = "max"
blake3 = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
[rules.max]
script = "x"
settings = { a = nan, b = 99999999999999999999 }
[migrations.m]
tables = { source = "x" }
[migrations.n]
tables = [1]
"#;
    insta::assert_snapshot!(report(text), @r#"
line 2: state: found the number 3, wanted a table
line 3: stores: found a list, wanted a table
line 5: rules."9 lives": a name is made of letters, digits, _ and -, beginning with a letter or _, at most 63 of them
line 5: rules."9 lives": found the number 1, wanted a table
line 7: rules.a.settings: found a list, wanted a table
line 9: rules.a.blake3: a built-in strategy has no file to pin
line 10: rules.max: max is the name of a built-in strategy; give the rule another name
line 12: rules.max.settings.a: found nan; settings are handed over as JSON, which has no such number
line 12: rules.max.settings.b: found 99999999999999999999, which does not fit in 64 bits
line 13: migrations.m.source: is missing; wanted the name of a store
line 13: migrations.m.target: is missing; wanted the name of a store
line 14: migrations.m.tables: found a table, wanted a list of tables, [[migrations.m.tables]]
line 15: migrations.n.source: is missing; wanted the name of a store
line 15: migrations.n.target: is missing; wanted the name of a store
line 16: migrations.n.tables[0]: found the number 1, wanted a table
"#);
}

#[test]
fn a_name_that_does_not_exist_is_answered_with_those_that_do() {
    let config = parse(&migration("")).unwrap();
    let shown = |error: crate::error::Error| format!("{error:?}");
    insta::assert_snapshot!(shown(config.migration("order").unwrap_err()), @r#"
NotFound: there is no migration "order" in /srv/shop/banyan.toml
hint: did you mean "orders"?
"#);
    insta::assert_snapshot!(shown(config.store("x").unwrap_err()), @r#"
NotFound: there is no store "x" in /srv/shop/banyan.toml
hint: there are: monolith, orders
"#);
    insta::assert_snapshot!(shown(config.rule("x").unwrap_err()), @r#"
NotFound: there is no rule "x" in /srv/shop/banyan.toml
hint: /srv/shop/banyan.toml has no rules yet
"#);
}

#[test]
fn files_are_read_and_missing_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("banyan.toml");
    let error = Config::load(&file, &ProcessEnvironment).unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::NotFound);
    assert!(error.hints()[0].contains("banyan init"));

    std::fs::write(&file, STORES).unwrap();
    let config = Config::load(&file, &ProcessEnvironment).unwrap();
    assert_eq!(
        config.stores["monolith"].url.sqlite_path(),
        Some(folder.path().join("monolith.db").as_path())
    );

    std::fs::write(&file, "[state]\nurll = 1\n[states]\n").unwrap();
    let error = Config::load(&file, &ProcessEnvironment).unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::Config);
    assert!(
        error
            .message()
            .contains("has 2 mistakes\n  line 2: state.urll")
    );
    let listed = Config::load_listing(&file, &ProcessEnvironment).unwrap();
    assert_eq!(listed.unwrap_err().len(), 2);

    let unreadable = Config::load(folder.path(), &ProcessEnvironment).unwrap_err();
    assert_eq!(unreadable.kind(), crate::error::ErrorKind::Io);
}

#[test]
fn nearest_names_are_near() {
    let names = ["last-write-wins", "park", "max", "min"];
    assert_eq!(nearest("last_write_win", names), Some("last-write-wins"));
    assert_eq!(nearest("Park", names), Some("park"));
    assert_eq!(nearest("mxa", names), Some("max"));
    assert_eq!(nearest("something", names), None);
    assert_eq!(nearest("c", ["a", "id"]), None);
    assert_eq!(nearest("", names), None);
}
