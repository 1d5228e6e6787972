//! What scripts see and answer.

use super::*;
use crate::data::Decimal;
use crate::rule::laws::{LawOptions, check_resolve, check_transform, check_validate};
use crate::rule::{
    FailureKind, Note, RequestHead, Route, RouteDecision, Routed, Severity, Transform,
    TransformTables, Validate,
};

fn merged(text: &str) -> Row {
    match body(text) {
        Ok(Verdict::Merged(row)) => row,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn verdicts_are_words_rows_or_parks() {
    for (text, verdict) in [
        ("source", Verdict::Source),
        ("\"target\"", Verdict::Target),
        ("delete_row", Verdict::Delete),
        ("park(\"why\")", Verdict::Park("why".into())),
        ("conflict.source", Verdict::Source),
        ("conflict.target", Verdict::Target),
        ("conflict.later", Verdict::Source),
        ("conflict.base", Verdict::Merged(row(10, "1.50", 3))),
        ("if true { return target; } source", Verdict::Target),
    ] {
        assert_eq!(body(text).unwrap(), verdict, "{text}");
    }
}

#[test]
fn a_row_is_made_from_a_copy_or_from_a_whole_map() {
    let expected = row(7, "1.50", 4);
    for text in [
        "let mine = conflict.source.copy(); mine.stock = 7; mine",
        "let mine = conflict.source.copy(); mine[\"stock\"] -= 1; mine",
        "conflict.source.merge(#{ stock: 7 })",
        "let m = conflict.source.to_map(); m.stock = 7; m",
        "let s = conflict.source; #{ id: s.id, sku: s.sku, stock: 7, price: s.price, sold: s.sold,
           weight: s.weight, seen: s.seen }",
    ] {
        assert_eq!(merged(text), expected, "{text}");
    }
}

#[test]
fn numbers_take_the_type_of_their_column() {
    let new = merged("conflict.source.merge(#{ price: 2, sold: 9, weight: 3, stock: () })");
    assert_eq!(new[2], Value::Null);
    assert_eq!(new[3], Value::Decimal("2".parse().unwrap()));
    assert_eq!(new[4], Value::UInt(9));
    assert_eq!(new[5], Value::Float(3.0));
    let mut large = conflict();
    large.source.row = Some(row(1, "1", u64::MAX));
    assert_eq!(
        ask_about(
            "fn resolve(conflict) { conflict.source.merge(#{ stock: 5 }) }",
            &large
        )
        .unwrap(),
        Verdict::Merged(row(5, "1", u64::MAX)),
    );
    assert_eq!(
        ask_about(
            "fn resolve(conflict) { let m = conflict.source.to_map(); m.stock = 5; m }",
            &large
        )
        .unwrap(),
        Verdict::Merged(row(5, "1", u64::MAX)),
        "also through a decimal"
    );
}

#[test]
fn a_truth_value_becomes_the_integer_that_the_store_holds() {
    let flags = RuleTable {
        name: "flags".to_owned(),
        columns: vec![
            column("id", LogicalType::Int, false),
            column("on", LogicalType::Bool, false),
        ],
        key: vec![0],
    };
    let side = |on: i64| Side {
        row: Some(vec![Value::Int(1), Value::Int(on)]),
        committed_us: None,
    };
    let conflict = Conflict {
        base: None,
        source: side(0),
        target: side(1),
        ..conflict()
    };
    let written = Written::new("fn resolve(conflict) { conflict.source.merge(#{ on: true }) }");
    assert_eq!(
        written
            .load()
            .unwrap()
            .resolve(&flags, &[conflict])
            .unwrap(),
        [Verdict::Merged(vec![Value::Int(1), Value::Int(1)])]
    );
}

#[test]
fn the_conflict_says_what_is_known() {
    for (expression, value) in [
        ("conflict.kind", "update_origin_differs"),
        ("conflict.direction", "forward"),
        ("conflict.base_known", "true"),
        ("conflict.source_committed", "1970-01-01T00:00:00.00002Z"),
        (
            "conflict.source_committed - conflict.target_committed",
            "10",
        ),
        (
            "conflict.source.differences(conflict.target)",
            "[\"stock\", \"price\", \"sold\"]",
        ),
        ("conflict.source == conflict.target", "false"),
        ("conflict.source == conflict.source", "true"),
        ("conflict.source.columns().len()", "7"),
        ("conflict.source.table()", "products"),
        ("\"sku\" in conflict.source", "true"),
        ("\"sk\" in conflict.source", "false"),
        ("conflict.source[\"sku\"]", "a"),
        (
            "conflict.source",
            "{ id = 1, sku = \"a\", stock = 8, price = \"1.50\", sold = 4, weight = 1.5, \
          seen = \"1970-01-01T00:00:00Z\" }",
        ),
    ] {
        assert_eq!(value_of(expression), value, "{expression}");
    }
    let mut unknown = conflict();
    unknown.base_known = false;
    unknown.target = Side::default();
    let text = "fn resolve(conflict) {
        park(`${conflict.base == ()} ${conflict.target == ()} ${conflict.target_committed == ()} ${conflict.later == ()}`)
    }";
    assert_eq!(
        ask_about(text, &unknown).unwrap(),
        Verdict::Park("true true true true".into())
    );
}

#[test]
fn an_unknown_time_is_not_older() {
    let mut unknown = conflict();
    unknown.target.committed_us = None;
    let text = "fn resolve(conflict) { if conflict.source_committed > conflict.target_committed { source } else { target } }";
    let e = ask_about(text, &unknown).unwrap_err();
    assert_eq!(e.kind, FailureKind::Trapped);
    assert!(
        e.message
            .starts_with("compares a timestamp with (): it is unknown or NULL, not older"),
        "{e}"
    );
}

#[test]
fn the_types_of_cells_are_real() {
    for (expression, value) in [
        ("decimal(\"0.1\") + decimal(\"0.2\")", "0.3"),
        (
            "decimal(\"0.1\") + decimal(\"0.2\") == decimal(\"0.30\")",
            "true",
        ),
        ("decimal(\"19.90\") * 3 - 1", "58.70"),
        ("decimal(\"2.345\").round(2)", "2.35"),
        ("-decimal(\"1.5\")", "-1.5"),
        ("decimal(\"-1.5\").abs()", "1.5"),
        ("decimal(\"10\") > 9", "true"),
        ("2 < decimal(\"1.5\")", "false"),
        ("decimal(\"0.1\") == 0.1", "false"),
        ("decimal(\"7.00\").to_int()", "7"),
        ("conflict.source.price + conflict.target.price", "3.25"),
        ("date(\"2026-11-21\").weekday", "6"),
        ("date(\"2026-11-21\").plus_days(10)", "2026-12-01"),
        ("date(\"2026-12-01\") - date(\"2026-11-21\")", "10"),
        ("time(\"13:05:09.5\").minute", "5"),
        ("timestamp(\"2026-11-21T13:05:09\").year", "2026"),
        (
            "timestamp_utc(\"2026-11-21T13:05:09+01:00\")",
            "2026-11-21T12:05:09Z",
        ),
        (
            "date(timestamp_utc(\"2026-11-21T23:59:59Z\"))",
            "2026-11-21",
        ),
        (
            "timestamp_utc(0).plus_us(1500000)",
            "1970-01-01T00:00:01.5Z",
        ),
        (
            "uuid(\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\")",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        ),
        ("bytes(\"00ff\").len", "2"),
        ("bytes(\"00ff\") == bytes(\"00FF\")", "true"),
        ("json(#{ a: [1, (), \"x\"] })", "{\"a\":[1,null,\"x\"]}"),
        ("json(#{ b: 1, a: 2 }) == json(#{ a: 2, b: 1 })", "true"),
        ("parse_json(\"{\\\"a\\\": 1.5}\").a", "1.5"),
        ("json(#{ a: 5 })[\"a\"]", "5"),
        ("type_of(conflict.source.price)", "decimal"),
        ("type_of(conflict.source.seen)", "timestamp_utc"),
    ] {
        assert_eq!(value_of(expression), value, "{expression}");
    }
}

#[test]
fn every_kind_of_cell_passes_through_unchanged() {
    let any = |v: Value| vec![Value::Int(1), v];
    let table = RuleTable {
        name: "t".to_owned(),
        columns: vec![
            column("id", LogicalType::Int, false),
            column("v", LogicalType::Any, true),
        ],
        key: vec![0],
    };
    let decimal: Decimal = "-0.0500".parse().unwrap();
    let written = Written::new(
        "fn resolve(conflict) {
            let a = conflict.source.v; let m = conflict.target.to_map(); m.v = a; m
        }",
    );
    let script = written.load().unwrap();
    for value in [
        Value::Null,
        Value::Bool(true),
        Value::Int(i64::MIN),
        Value::UInt(7),
        Value::UInt(u64::MAX),
        Value::Decimal(decimal),
        Value::Float(-0.0),
        Value::Float(f64::NAN),
        Value::from("ü\u{0}"),
        Value::Bytes(vec![0, 255]),
        Value::Date(-1),
        Value::Time(-5),
        Value::Timestamp(i64::MAX),
        Value::TimestampUtc(i64::MIN),
        Value::Uuid([7; 16]),
        Value::Json("{\"b\":1, \"a\":1}".into()),
        Value::Array(vec![Value::Int(1), Value::Null, Value::Json("[]".into())]),
        Value::Other(Box::new(crate::data::OtherValue {
            kind: "text".into(),
            bytes: vec![0xff],
        })),
    ] {
        let conflict = Conflict {
            base: None,
            source: Side {
                row: Some(any(value.clone())),
                committed_us: None,
            },
            target: Side {
                row: Some(any(Value::from("other"))),
                committed_us: None,
            },
            ..conflict()
        };
        let answer = script.resolve(&table, &[conflict]).unwrap();
        let Verdict::Merged(row) = &answer[0] else {
            panic!("{answer:?}")
        };
        let (out, given) = (
            crate::data::canonical::encode_exact(&row[1..]),
            crate::data::canonical::encode_exact(std::slice::from_ref(&value)),
        );
        assert_eq!(out, given, "{value:?} became {:?}", row[1]);
    }
}

#[test]
fn settings_and_constants_are_seen_everywhere() {
    let written = Written::new(
        "//! Parks below a floor.
         //! For the tests.
         const VERSION = \"1.2\";
         const LIMITS = #{ low: 3 };
         fn low() { LIMITS.low + settings.floor }
         fn resolve(conflict) {
             if \"missing\" in settings { return source; }
             park(`${low()} ${settings.names[1]} ${settings.price}`)
         }",
    );
    let mut spec = written.spec();
    spec.settings = serde_json::json!({ "floor": 4, "names": ["a", "b"], "price": 1.5 });
    let script = Script::load(spec).unwrap();
    assert_eq!(
        script.resolve(&table(), &[conflict()]).unwrap(),
        [Verdict::Park("7 b 1.5".into())]
    );
    let info = script.info();
    assert_eq!(info.version, "1.2");
    assert_eq!(info.summary, "Parks below a floor. For the tests.");
    assert_eq!(info.digest.unwrap().len(), 64);
}

#[test]
fn a_rejected_row_is_named_and_so_is_a_wrong_configuration() {
    let written = Written::new(
        "fn resolve(conflict) {
             if conflict.source.stock == 0 { reject(\"no stock\"); }
             if conflict.source.stock < 0 { fatal(\"floor is missing\"); }
             source
         }",
    );
    let script = written.load().unwrap();
    let with = |stock: i64| Conflict {
        source: Side {
            row: Some(row(stock, "1", 1)),
            committed_us: None,
        },
        ..conflict()
    };
    let e = script
        .resolve(&table(), &[with(1), with(2), with(0), with(0)])
        .unwrap_err();
    assert_eq!((e.kind, e.rows.clone()), (FailureKind::Rejected, 2..3));
    assert!(e.message.starts_with("no stock\n  --> "), "{e}");
    let e = script.resolve(&table(), &[with(-1)]).unwrap_err();
    assert_eq!(e.kind, FailureKind::Fatal);
    let stats = script.stats();
    assert_eq!((stats.calls, stats.rows), (2, 5));
    assert_eq!(stats.failures[&FailureKind::Rejected], 1);
    assert_eq!(stats.failures[&FailureKind::Fatal], 1);
    assert!(stats.last_failure.unwrap().contains("floor is missing"));
}

fn people() -> TransformTables {
    let one = |name: &str, columns: &[(&str, LogicalType)]| RuleTable {
        name: name.to_owned(),
        columns: columns
            .iter()
            .map(|(n, l)| column(n, *l, *n != "id"))
            .collect(),
        key: vec![0],
    };
    TransformTables {
        source: one(
            "customers",
            &[
                ("id", LogicalType::Int),
                ("name", LogicalType::Text),
                ("street", LogicalType::Text),
            ],
        ),
        targets: vec![
            one(
                "people",
                &[("id", LogicalType::Int), ("full_name", LogicalType::Text)],
            ),
            one(
                "addresses",
                &[("id", LogicalType::Int), ("street", LogicalType::Text)],
            ),
        ],
    }
}

const SPLIT: &str = "
    fn transform(row, direction) {
        if direction == \"backward\" {
            return if row.table() == \"people\" { #{ id: row.id, name: row.full_name } }
                   else { #{ id: row.id, street: row.street } };
        }
        if row.name == \"drop\" { return (); }
        #{
            people: #{ id: row.id, full_name: row.name },
            addresses: if row.street == () { () } else { #{ id: row.id, street: row.street } },
        }
    }";

#[test]
fn one_row_becomes_rows_of_several_tables_and_comes_back() {
    let script = Written::new(SPLIT).load().unwrap();
    let text = |s: &str| Value::from(s);
    let rows = vec![
        vec![Value::Int(1), text("Ada"), text("Main")],
        vec![Value::Int(2), text("drop"), Value::Null],
        vec![Value::Int(3), text("Bob"), Value::Null],
    ];
    let forward = script
        .transform(&people(), Direction::Forward, 0, &rows)
        .unwrap();
    assert_eq!(
        forward,
        [
            Routed {
                table: 1,
                columns: vec![0, 1],
                origins: vec![0, 2],
                rows: vec![
                    vec![Value::Int(1), text("Ada")],
                    vec![Value::Int(3), text("Bob")],
                ],
            },
            Routed {
                table: 2,
                columns: vec![0, 1],
                origins: vec![0],
                rows: vec![vec![Value::Int(1), text("Main")]],
            },
        ]
    );
    let back = script
        .transform(
            &people(),
            Direction::Backward,
            2,
            &[vec![Value::Int(1), text("Main")]],
        )
        .unwrap();
    assert_eq!(back[0].columns, [0, 2]);
    assert_eq!(back[0].table, 0);
}

#[test]
fn transforms_of_one_table_need_not_name_it() {
    let mut tables = people();
    tables.targets.truncate(1);
    for text in [
        "#{ id: row.id, full_name: row.name }",
        "#{ people: #{ id: row.id, full_name: row.name } }",
    ] {
        let written = Written::new(&format!("fn transform(row, direction) {{ {text} }}"));
        let rows = [vec![Value::Int(1), Value::from("Ada"), Value::Null]];
        let out = written
            .load()
            .unwrap()
            .transform(&tables, Direction::Forward, 0, &rows)
            .unwrap();
        assert_eq!(
            out[0].rows,
            [vec![Value::Int(1), Value::from("Ada")]],
            "{text}"
        );
    }
    let mut same = people();
    same.targets = vec![RuleTable {
        name: "copy".into(),
        ..same.source.clone()
    }];
    let rows = [vec![Value::Int(1), Value::from("Ada"), Value::Null]];
    for (text, name) in [("row", "Ada"), ("row.merge(#{ name: \"Eve\" })", "Eve")] {
        let written = Written::new(&format!("fn transform(row, direction) {{ {text} }}"));
        let out = written
            .load()
            .unwrap()
            .transform(&same, Direction::Forward, 0, &rows)
            .unwrap();
        assert_eq!(out[0].rows[0][1], Value::from(name));
    }
}

#[test]
fn validators_note_what_is_wrong() {
    let written = Written::new(
        "fn validate(row) {
             switch row.stock {
                 0 => warning(\"none left\"),
                 1 => \"one\",
                 2 => [error(\"two\"), warning(\"few\")],
                 3 => true,
                 _ => (),
             }
         }",
    );
    let script = written.load().unwrap();
    let rows: Vec<Row> = (0..5).map(|n| row(n, "1", 1)).collect();
    let note = |row, severity, message: &str| Note {
        row,
        severity,
        message: message.to_owned(),
    };
    assert_eq!(
        script.validate(&table(), &rows).unwrap(),
        [
            note(0, Severity::Warning, "none left"),
            note(1, Severity::Error, "one"),
            note(2, Severity::Error, "two"),
            note(2, Severity::Warning, "few"),
        ]
    );
    let report = check_validate(script.as_ref(), &table(), &[], &LawOptions::default());
    assert!(report.passed(), "{report}");
}

#[test]
fn routers_decide_by_the_head_of_a_request() {
    let written = Written::new(
        "fn route(request) {
             if request.path.starts_with(\"/admin\") { return refuse(403, \"not here\"); }
             if request.header(\"X-Tier\") == \"gold\" { return to_service(#{ \"X-By\": \"vip\" }); }
             if request.cookie(\"beta\") == \"1\" { return service; }
             if request.parameter(\"old\") != () { return monolith; }
             default_route
         }",
    );
    let script = written.load().unwrap();
    let ask = |path: &str, query: &str, header: Option<(&str, &str)>| {
        let request = RequestHead {
            method: "GET".into(),
            path: path.into(),
            query: query.into(),
            headers: header
                .into_iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            ..RequestHead::default()
        };
        script.route(&request).unwrap()
    };
    assert_eq!(
        ask("/admin/x", "", None),
        RouteDecision::Refuse {
            status: 403,
            message: "not here".into()
        }
    );
    assert_eq!(
        ask("/", "", Some(("x-tier", "gold"))),
        RouteDecision::Service {
            headers: vec![("x-by".into(), "vip".into())]
        }
    );
    assert_eq!(
        ask("/", "", Some(("cookie", "a=2; beta=1"))),
        RouteDecision::Service { headers: vec![] }
    );
    assert_eq!(
        ask("/", "a=1&old", None),
        RouteDecision::Monolith { headers: vec![] }
    );
    assert_eq!(ask("/", "", None), RouteDecision::Default);
}

#[test]
fn the_laws_run_over_scripts() {
    let written = Written::new(
        "fn resolve(conflict) {
             if conflict.source == () || conflict.target == () { return park(\"deleted\"); }
             if conflict.later != () { return conflict.later; }
             if conflict.source.stock ?? 0 > conflict.target.stock ?? 0 { source } else { target }
         }",
    );
    let script = written.load().unwrap();
    let report = check_resolve(script.as_ref(), &table(), &[], &LawOptions::default());
    assert!(report.passed(), "{report}");
    let split = Written::new(SPLIT).load().unwrap();
    let report = check_transform(split.as_ref(), &people(), &[], &LawOptions::default());
    assert!(report.passed(), "{report}");
}

#[test]
fn an_order_sensitive_script_is_caught() {
    let written = Written::new(
        "fn resolve(conflict) {
             if conflict.source == () || conflict.target == () { return source; }
             conflict.source.merge(#{ sku: conflict.source.sku + conflict.target.sku })
         }",
    );
    let script = written.load().unwrap();
    let report = check_resolve(script.as_ref(), &table(), &[], &LawOptions::default());
    let holds = |law: &str| {
        report
            .laws
            .iter()
            .find(|l| l.name == law)
            .unwrap()
            .outcome
            .holds()
    };
    assert_eq!(holds("mirror"), Some(false), "{report}");
    assert!(
        !report.passed(),
        "a text that grows with every merge is not idempotent: {report}"
    );
}
