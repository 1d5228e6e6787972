//! Whatever a component does, the host lives on, says which plugin did what to which rows, and
//! the next batch is fine.

use banyan::plugin::{Limits, Plugin, PluginSpec};
use banyan::rule::{
    Direction, FailureKind, RequestHead, Resolve, Route, RouteDecision, RuleError, Transform,
    TransformTables, Validate, Verdict,
};
use serde_json::json;

use super::support::{HOST, PATIENT, conflicts, hostile, people, person, root, spec};

fn with_limits(what: &str, limits: Limits) -> std::sync::Arc<Plugin> {
    HOST.load(PluginSpec {
        settings: json!({"what": what}),
        limits,
        ..spec("hostile", root().join("tests/guests/hostile.wasm"))
    })
    .unwrap()
}

/// The failure of a batch of ten, after which a harmless rule on the same host decides it.
fn failure(plugin: &Plugin) -> RuleError {
    let error = plugin.resolve(&people(), &conflicts(10)).unwrap_err();
    assert_eq!(error.rule, "hostile");
    assert_eq!(error.version, "0.1.0");
    assert_eq!(error.digest, Some(plugin.digest()));
    assert_eq!(error.table, "people");
    assert_eq!(error.function, "resolve");
    let next = hostile(json!({"what": "none"}));
    assert_eq!(
        next.resolve(&people(), &conflicts(10)).unwrap(),
        vec![Verdict::Source; 10]
    );
    let stats = plugin.stats();
    assert_eq!(stats.failures.get(&error.kind), Some(&1));
    assert_eq!(stats.last_failure.as_ref(), Some(&error));
    assert_eq!((stats.calls, stats.rows), (1, 10));
    error
}

fn failed(what: &str) -> RuleError {
    failure(&hostile(json!({"what": what})))
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    for what in ["spin", "open-spin"] {
        let limits = Limits {
            fuel_base: 5_000_000,
            ..PATIENT
        };
        let error = failure(&with_limits(what, limits));
        assert_eq!(error.kind, FailureKind::OutOfFuel, "{error}");
        assert!(error.message.contains("fuel of 60"), "{error}");
        assert_eq!(error.rows, 0..10);
    }
}

#[test]
fn an_endless_loop_with_endless_fuel_meets_the_deadline() {
    let limits = Limits {
        fuel_base: u64::MAX,
        call_ms: 20,
        ..PATIENT
    };
    let error = failure(&with_limits("spin", limits));
    assert_eq!(error.kind, FailureKind::Deadline, "{error}");
    assert!(error.message.contains("limits.call_ms = 20"), "{error}");
}

#[test]
fn allocation_without_end_meets_the_memory_limit() {
    for what in ["allocate", "open-allocate"] {
        let limits = Limits {
            memory_mb: 8,
            fuel_base: u64::MAX,
            ..PATIENT
        };
        let error = failure(&with_limits(what, limits));
        assert_eq!(error.kind, FailureKind::OutOfMemory, "{error}");
        assert!(error.message.contains("limits.memory_mb is 8"), "{error}");
    }
}

#[test]
fn a_batch_larger_than_the_memory_limit_is_not_even_tried() {
    let limits = Limits {
        memory_mb: 2,
        ..PATIENT
    };
    let plugin = with_limits("none", limits);
    let mut large = conflicts(10);
    large[3].source.row = Some(person(3, &"x".repeat(3 << 20), 1));
    let error = plugin.resolve(&people(), &large).unwrap_err();
    assert_eq!(error.kind, FailureKind::OutOfMemory);
    assert!(error.message.contains("the rule may use 2 MiB"), "{error}");
}

#[test]
fn a_trap_is_named() {
    let error = failed("trap");
    assert_eq!(error.kind, FailureKind::Trapped);
    assert!(error.message.contains("unreachable"), "{error}");
}

#[test]
fn a_panic_shows_its_own_text() {
    let error = failed("panic");
    assert_eq!(error.kind, FailureKind::Trapped);
    assert!(
        error
            .message
            .contains("index out of bounds: the len is 0 but the index is 3")
            && error.message.contains("src/lib.rs"),
        "{error}"
    );
}

#[test]
fn endless_recursion_exhausts_the_guests_stack_only() {
    let error = failed("recursion");
    assert_eq!(error.kind, FailureKind::Trapped, "{error}");
    assert!(
        error.message.contains("stack") || error.message.contains("out of bounds"),
        "{error}"
    );
}

#[test]
fn what_the_rule_says_itself_is_handed_on() {
    let error = failed("reject");
    assert_eq!((error.kind, error.rows), (FailureKind::Rejected, 0..10));
    let error = failed("reject-row");
    assert_eq!((error.kind, error.rows), (FailureKind::Rejected, 2..3));
    assert_eq!(error.message, "not this one");
    let error = failed("reject-nowhere");
    assert_eq!((error.kind, error.rows), (FailureKind::Rejected, 0..10));
    let error = failed("fatal");
    assert_eq!(error.kind, FailureKind::Fatal);
    assert_eq!(error.message, "the settings are wrong");
    let error = failed("fatal-huge");
    assert_eq!(error.kind, FailureKind::Fatal);
    assert!(error.message.len() < 4096, "{}", error.message.len());
    let error = failed("open-fatal");
    assert_eq!(error.message, "the settings are wrong");
}

#[test]
fn answers_of_the_wrong_shape_are_failures_and_never_rows() {
    let wrong = [
        ("choices-short", "answered 9 choices for 10 conflicts"),
        ("choices-long", "answered 11 choices for 10 conflicts"),
        ("choices-none", "answered 0 choices for 10 conflicts"),
        ("choice-nine", "answered choice 9"),
        ("merged-missing", "answered 0 rows where 1 were announced"),
        ("merged-extra", "answered 1 rows where 0 were announced"),
        (
            "merged-count",
            "answered 4294967295 rows where 1 were announced",
        ),
        (
            "changed-key",
            "changed the key of the merged row to id = 1000",
        ),
        ("null-key", "column id: answered NULL"),
        ("wrong-type", "column points: answered \"ten\" (text)"),
        ("column-missing", "rows of 2 columns instead of 3"),
        ("column-extra", "rows of 4 columns instead of 3"),
        (
            "cells-short",
            "column points: answered 0 cells instead of 1",
        ),
        ("cells-long", "column points: answered 2 cells instead of 1"),
        ("nulls-long", "column points: answered 2 nulls instead of 1"),
        ("nulls-two", "column points: nulls[0] is 2"),
        ("boolean-seven", "column points: booleans[0] is 7"),
        (
            "ends-beyond",
            "column name: ends[0] is 9, beyond the 1 bytes",
        ),
        (
            "ends-short",
            "the last of the ends is 1, but there are 2 bytes",
        ),
        ("ends-missing", "column name: answered 0 ends instead of 1"),
        ("ends-fall", "ends[1] is 1, less than the end before, 3"),
        ("utf8-split", "ends[0] is 1, inside a character"),
        ("uuid-short", "answered 3 bytes of UUIDs instead of 16"),
        ("decimal-words", "\"ten\" is not a decimal number"),
        ("other-garbage", "not one value"),
        ("other-two", "not one value"),
        ("other-nested", "not one value"),
        ("note-nowhere", "a note is about row 10, but there are 10"),
    ];
    for (what, message) in wrong {
        let error = failed(what);
        assert_eq!(error.kind, FailureKind::InvalidOutput, "{what}: {error}");
        assert!(error.message.contains(message), "{what}: {error}");
    }
}

#[test]
fn a_wrong_merged_row_is_blamed_on_its_conflict() {
    assert_eq!(failed("changed-key").rows, 0..1);
    assert_eq!(failed("wrong-type").rows, 0..1);
    assert_eq!(failed("choice-nine").rows, 1..2);
    assert_eq!(failed("choices-short").rows, 0..10);
}

#[test]
fn a_right_merged_row_goes_through() {
    let plugin = hostile(json!({"what": "merged-good"}));
    let verdicts = plugin.resolve(&people(), &conflicts(3)).unwrap();
    assert_eq!(
        verdicts,
        vec![
            Verdict::Merged(person(0, "m", 1)),
            Verdict::Source,
            Verdict::Source
        ]
    );
}

#[test]
fn reasons_are_kept_to_a_readable_length() {
    let plugin = hostile(json!({"what": "park"}));
    let verdicts = plugin.resolve(&people(), &conflicts(2)).unwrap();
    assert_eq!(verdicts[0], Verdict::Park("ask somebody".to_owned()));
    let plugin = hostile(json!({"what": "park-huge"}));
    match &plugin.resolve(&people(), &conflicts(2)).unwrap()[0] {
        Verdict::Park(reason) => assert!(reason.len() < 4096),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_million_log_lines_are_cut_to_the_quota() {
    let limits = Limits {
        fuel_base: u64::MAX,
        ..PATIENT
    };
    let plugin = with_limits("log-million", limits);
    plugin.resolve(&people(), &conflicts(2)).unwrap();
    assert_eq!(plugin.stats().log_lines_dropped, 1_000_000 - 64);
    let plugin = hostile(json!({"what": "log-huge"}));
    plugin.resolve(&people(), &conflicts(2)).unwrap();
}

#[test]
fn nothing_is_kept_from_one_batch_to_the_next() {
    // The guest counts its calls and would answer differently from the second one on.
    let plugin = HOST
        .load(PluginSpec {
            settings: json!({"what": "counter"}),
            verify_determinism_every: 2,
            ..spec("hostile", root().join("tests/guests/hostile.wasm"))
        })
        .unwrap();
    for _ in 0..4 {
        let verdicts = plugin.resolve(&people(), &conflicts(2)).unwrap();
        assert_eq!(verdicts, vec![Verdict::Source; 2]);
    }
    assert_eq!(plugin.stats().asked_twice, 2);
}

#[test]
fn the_same_batch_takes_the_same_fuel() {
    let plugin = hostile(json!({"what": "merged-good"}));
    let fuel = || {
        plugin.resolve(&people(), &conflicts(50)).unwrap();
        plugin.stats().fuel_last
    };
    let first = fuel();
    assert!(first > 0);
    assert_eq!((fuel(), fuel()), (first, first));
}

#[test]
fn transforms_are_checked_too() {
    let tables = TransformTables {
        source: people(),
        targets: vec![people()],
    };
    let rows = vec![person(1, "a", 1), person(2, "b", 2)];
    let wrong = [
        (
            "table-far",
            "table number 99 is not allowed here; forward it is 1 to 1",
        ),
        ("table-own", "table number 0 is not allowed here"),
        ("column-far", "column number 99: table people has 3 columns"),
        ("column-twice", "gave column id twice"),
        (
            "origin-far",
            "comes from input row 4000000000, but there are 2",
        ),
        ("origin-twice", "answered the row twice for table people"),
        ("origins-short", "answered 2 rows where 1 were announced"),
        ("parts-twice", "answered the row twice for table people"),
    ];
    for (what, message) in wrong {
        let plugin = hostile(json!({"what": what}));
        let error = plugin
            .transform(&tables, Direction::Forward, 0, &rows)
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::InvalidOutput, "{what}: {error}");
        assert_eq!(error.function, "transform");
        assert!(error.message.contains(message), "{what}: {error}");
    }
    let plugin = hostile(json!({"what": "none"}));
    let routed = plugin
        .transform(&tables, Direction::Forward, 0, &rows)
        .unwrap();
    assert_eq!(routed.len(), 1);
    assert_eq!((routed[0].table, &routed[0].rows), (1, &rows));
    let routed = plugin
        .transform(&tables, Direction::Backward, 1, &rows)
        .unwrap();
    assert_eq!((routed[0].table, &routed[0].rows), (0, &rows));
}

#[test]
fn validators_and_routers_are_checked_too() {
    let rows = vec![person(1, "a", 1), person(2, "b", 2)];
    let said = |what: &str| hostile(json!({"what": what})).validate(&people(), &rows);
    assert_eq!(said("none").unwrap(), vec![]);
    assert_eq!(said("note").unwrap()[0].row, 1);
    assert_eq!(
        said("note-nowhere").unwrap_err().kind,
        FailureKind::InvalidOutput
    );
    assert_eq!(said("spin").unwrap_err().kind, FailureKind::OutOfFuel);

    let request = RequestHead {
        path: "/orders".to_owned(),
        client: "10.0.0.1".to_owned(),
        ..RequestHead::default()
    };
    let sent = |what: &str| hostile(json!({"what": what})).route(&request);
    assert_eq!(sent("none"), Ok(RouteDecision::Default));
    assert_eq!(
        sent("header"),
        Ok(RouteDecision::Service {
            headers: vec![("x-user".to_owned(), "10.0.0.1".to_owned())]
        })
    );
    assert_eq!(
        sent("refuse"),
        Ok(RouteDecision::Refuse {
            status: 403,
            message: "/orders".to_owned()
        })
    );
    for what in ["status-fine", "header-split", "header-name", "header-many"] {
        let error = sent(what).unwrap_err();
        assert_eq!(error.kind, FailureKind::InvalidOutput, "{what}: {error}");
        assert_eq!(error.function, "route");
    }
    assert_eq!(sent("panic").unwrap_err().kind, FailureKind::Trapped);
}
