//! What authors are told about their mistakes.

use super::*;

/// The message of a script that does not load.
fn refused(text: &str) -> String {
    let written = Written::new(text);
    match written.load() {
        Err(e) => written.plain(e),
        Ok(_) => panic!("loaded: {text}"),
    }
}

/// The message of a script that fails.
fn failed(text: &str) -> String {
    match ask(text) {
        Err(e) => format!("{}: {}", e.kind.as_str(), e.message),
        Ok(verdict) => panic!("{text}: {verdict:?}"),
    }
}

#[test]
fn what_does_not_compile_is_pointed_at() {
    insta::assert_snapshot!(refused("fn resolve(conflict) {\n    let x = 1\n    source\n}"), @r#"
    rule stock: Expecting ';' to terminate this statement
      --> rule.rhai:3:5
       |
     3 |     source
       |     ^
    "#);
    insta::assert_snapshot!(refused("fn resolve(conflict) {\n    if els { source } else { target }\n}"), @r#"
    rule stock: Undefined variable: els
      --> rule.rhai:2:8
       |
     2 |     if els { source } else { target }
       |        ^
    "#);
    insta::assert_snapshot!(refused("fn resolve(conflict) {\n\tlet s = \"ä\"; sourc\n}"), @r#"
    rule stock: Undefined variable: sourc
      --> rule.rhai:2:15
       |
     2 |  let s = "ä"; sourc
       |               ^
    "#);
    insta::assert_snapshot!(refused("import \"x\" as x;\nfn resolve(conflict) { source }"), @r#"
    rule stock: 'import' is a reserved keyword (a rule is one file that runs as it is written)
      --> rule.rhai:1:1
       |
     1 | import "x" as x;
       | ^
    "#);
    insta::assert_snapshot!(refused("fn resolve(conflict) { eval(\"source\") }"), @r#"
    rule stock: reserved keyword 'eval' is disabled (a rule is one file that runs as it is written)
      --> rule.rhai:1:24
       |
     1 | fn resolve(conflict) { eval("source") }
       |                        ^
    "#);
    insta::assert_snapshot!(refused("fn resolve(conflict) { [1].filter(|x| x > 0) }"), @r#"
    rule stock: Unexpected '|' (closures are off; write a named function and pass its name: list.filter(is_open))
      --> rule.rhai:1:35
       |
     1 | fn resolve(conflict) { [1].filter(|x| x > 0) }
       |                                   ^
    "#);
    // Behind the last word, not on the line below it.
    for end in ["", "\n", "\n\n  \n"] {
        assert_eq!(
            refused(&format!("fn resolve(c) {{ c.{end}")).trim_end(),
            "rule stock: Expecting name of a property\n  --> rule.rhai:1:19\n   |\n 1 | fn resolve(c) { c.\n   |                   ^"
        );
    }
    insta::assert_snapshot!(refused("const LIMIT = 10 / 0;\nfn resolve(conflict) { source }"), @r#"
    rule stock: Division by zero: 10 / 0
      --> rule.rhai:1:18 in the top level
       |
     1 | const LIMIT = 10 / 0;
       |                  ^
    "#);
    insta::assert_snapshot!(refused("const source = 1;\nfn resolve(conflict) { source }"), @r#"rule stock: rule.rhai: source is a word of rules; give the constant another name"#);
}

#[test]
fn missing_and_misspelt_functions_are_found_at_load() {
    insta::assert_snapshot!(refused("fn resolve(a, b) { source }"), @r#"rule stock: rule.rhai: found resolve(a, b), expected resolve(conflict)"#);
    insta::assert_snapshot!(refused("fn transform(row) { row }"), @r#"rule stock: rule.rhai: found transform(row), expected transform(row, direction)"#);
    insta::assert_snapshot!(refused("fn reslove(conflict) { source }"), @r#"rule stock: rule.rhai: has none of the functions resolve(conflict), transform(row, direction), validate(row), route(request); found reslove, did you mean resolve?"#);
    insta::assert_snapshot!(refused(""), @r#"rule stock: rule.rhai: has none of the functions resolve(conflict), transform(row, direction), validate(row), route(request)"#);
}

#[test]
fn what_fails_is_pointed_at_where_it_happens() {
    insta::assert_snapshot!(failed("fn resolve(conflict) {\n    let x = 0;\n    1 / x;\n    source\n}"), @r#"
    trapped: Division by zero: 1 / 0
      --> rule.rhai:3:7 in resolve
       |
     3 |     1 / x;
       |       ^
    "#);
    insta::assert_snapshot!(failed("fn low(row) {\n    row.stok < 5\n}\nfn check(c) { low(c.source) }\nfn resolve(conflict) {\n    if check(conflict) { source } else { target }\n}"), @r#"
    trapped: table products has no column "stok"; did you mean "stock"?
      --> rule.rhai:2:9 in low, called by check in line 4, called by resolve in line 6
       |
     2 |     row.stok < 5
       |         ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { conflict.sorce }"), @r#"
    trapped: a conflict has no property "sorce"; did you mean source?
      --> rule.rhai:1:33 in resolve
       |
     1 | fn resolve(conflict) { conflict.sorce }
       |                                 ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { conflict.source.stock = 1; source }"), @r#"
    trapped: this row cannot be changed; change a copy: let mine = row.copy()
      --> rule.rhai:1:39 in resolve
       |
     1 | fn resolve(conflict) { conflict.source.stock = 1; source }
       |                                       ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { settings.floor }"), @r#"
    trapped: there is no setting "floor"; ask with `"floor" in settings`
      --> rule.rhai:1:33 in resolve
       |
     1 | fn resolve(conflict) { settings.floor }
       |                                 ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { nope(1) }"), @r#"
    trapped: Function not found: nope (i64)
      --> rule.rhai:1:24 in resolve
       |
     1 | fn resolve(conflict) { nope(1) }
       |                        ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { throw \"no\" }"), @r#"
    trapped: no
      --> rule.rhai:1:24 in resolve
       |
     1 | fn resolve(conflict) { throw "no" }
       |                        ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { throw #{ code: 5 } }"), @r#"
    trapped: threw #{"code": 5}
      --> rule.rhai:1:24 in resolve
       |
     1 | fn resolve(conflict) { throw #{ code: 5 } }
       |                        ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { reject(\"stock is short\") }"), @r#"
    rejected: stock is short
      --> rule.rhai:1:24 in resolve
       |
     1 | fn resolve(conflict) { reject("stock is short") }
       |                        ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { loop { } }"), @r#"
    out-of-fuel: used more than 100000 operations for one row (limits.operations_per_row)
      --> rule.rhai in resolve or a function that it calls
    "#);
    insta::assert_snapshot!(failed("fn a(n) { b(n) }\nfn b(n) { a(n) }\nfn resolve(conflict) { a(1) }"), @r#"
    trapped: functions call each other too deeply
      --> rule.rhai in resolve or a function that it calls
    "#);
}

#[test]
fn functions_that_are_not_there_are_answered_with_what_is() {
    let said = |text: &str| failed(text).lines().next().unwrap().to_owned();
    insta::assert_snapshot!(said("fn resolve(c) { c.source.marge(#{ stock: 1 }) }"), @r"trapped: Function not found: marge (row, map); did you mean merge?");
    insta::assert_snapshot!(said("fn resolve(c) { source() }"), @r"trapped: Function not found: source (); source is a value: write it without ()");
    insta::assert_snapshot!(said("fn resolve(c) { c.source.merge(5) }"), @r"trapped: Function not found: merge (row, i64); there is merge(new_row, map), merge(row, map)");
    insta::assert_snapshot!(said("fn cheaper(row) { true }\nfn resolve(c) { chaeper(c.source); source }"), @r"trapped: Function not found: chaeper (row); did you mean cheaper?");
    insta::assert_snapshot!(said("fn resolve(c) { prak(\"x\") }"), @r"trapped: Function not found: prak (string); did you mean park?");
    insta::assert_snapshot!(said("fn resolve(c) { nothing_like_it() }"), @r"trapped: Function not found: nothing_like_it ()");
}

/// Settings are constant, and what is in them can be read and asked.
#[test]
fn settings_can_be_lists_and_maps() {
    let written = Written::new(
        "fn resolve(c) {\n    let n = settings.list.len() + settings[\"list\"].len();\n    \
         if n == 4 && settings.list.contains(2) && settings.list[0] == 1 && settings.map.a.b == 3 \
         && \"list\" in settings && settings.list.filter(\"big\").len() == 1 { source } else { target }\n}\n\
         fn big(x) { x > 1 }",
    );
    let mut spec = written.spec();
    spec.settings = serde_json::json!({ "list": [1, 2], "map": { "a": { "b": 3 } } });
    let script = Script::load(spec).unwrap();
    let verdicts = script.resolve(&table(), &[conflict()]).unwrap();
    assert_eq!(verdicts, [Verdict::Source]);
    for change in [
        "settings.list.push(3)",
        "settings.list[0] = 5",
        "settings.map.a.b = 1",
    ] {
        written.write(format!("fn resolve(c) {{ {change}; source }}"));
        let mut spec = written.spec();
        spec.settings = serde_json::json!({ "list": [1, 2], "map": { "a": { "b": 3 } } });
        let script = Script::load(spec).unwrap();
        let e = script.resolve(&table(), &[conflict()]).unwrap_err();
        assert!(e.message.contains("settings are constant"), "{change}: {e}");
    }
}

#[test]
fn a_wrong_answer_says_what_would_be_right() {
    insta::assert_snapshot!(failed("fn resolve(conflict) { }"), @r#"invalid-output: resolve answered (); it answers source, target, delete_row, park("why") or a row"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { 5 }"), @r#"invalid-output: resolve answered 5; it answers source, target, delete_row, park("why") or a row"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { \"sorce\" }"), @r#"invalid-output: resolve answered "sorce" (did you mean "source"?); it answers source, target, delete_row, park("why") or a row"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { [source] }"), @r#"invalid-output: resolve answered a value of type array; it answers source, target, delete_row, park("why") or a row"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { error(\"x\") }"), @r#"invalid-output: resolve answered what belongs to another question; it answers source, target, delete_row, park("why") or a row"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { #{ stock: 5 } }"), @r#"invalid-output: the merged row lacks column id; start from a whole row: conflict.source.merge(#{ stock: … })"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { let m = conflict.source.to_map(); m.stok = 5; m }"), @r#"invalid-output: table products has no column "stok"; did you mean "stock"?"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { conflict.source.merge(#{ id: 2 }) }"), @r#"invalid-output: key column id became 2; a rule must leave the key as it is"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { conflict.source.merge(#{ sku: () }) }"), @r#"invalid-output: column sku must not be NULL"#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { conflict.source.merge(#{ stock: \"many\" }) }"), @r#"invalid-output: column stock is int, the answer has the text "many""#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { conflict.source.merge(#{ sku: #{} }) }"), @r#"
    trapped: column sku: a map is no value of a column; json(map) makes one for a JSON column
      --> rule.rhai:1:40 in resolve
       |
     1 | fn resolve(conflict) { conflict.source.merge(#{ sku: #{} }) }
       |                                        ^
    "#);
    insta::assert_snapshot!(failed("fn resolve(conflict) { conflict.source.merge(#{ stok: 1 }) }"), @r#"
    trapped: table products has no column "stok"; did you mean "stock"?
      --> rule.rhai:1:40 in resolve
       |
     1 | fn resolve(conflict) { conflict.source.merge(#{ stok: 1 }) }
       |                                        ^
    "#);
}

#[test]
fn a_failure_names_rule_version_digest_function_table_and_row() {
    let e = failure_of("throw \"no\"");
    let digest = e.digest.clone().unwrap();
    insta::assert_snapshot!(e.to_string().replace(&digest[..12], "<digest>"), @r#"
    rule stock unversioned (<digest>) failed in resolve on table products, row 0: trapped: no
      --> rule.rhai:2:1 in resolve
       |
     2 | throw "no"
       | ^
    "#);
}

#[test]
fn wrong_answers_of_the_other_roles() {
    use crate::rule::{RequestHead, Route, Transform, TransformTables, Validate};
    let tables = |targets: usize| TransformTables {
        source: table(),
        targets: (0..targets)
            .map(|n| RuleTable {
                name: format!("t{n}"),
                ..table()
            })
            .collect(),
    };
    let transform = |targets: usize, text: &str| {
        let written = Written::new(&format!("fn transform(row, direction) {{ {text} }}"));
        let rows = [row(1, "1", 1)];
        let script = written.load().unwrap();
        written.plain(
            script
                .transform(&tables(targets), Direction::Forward, 0, &rows)
                .unwrap_err()
                .message,
        )
    };
    insta::assert_snapshot!(transform(1, "5"), @r#"transform answered 5; it answers a map of columns, a map of tables, or () to drop the row"#);
    insta::assert_snapshot!(transform(2, "row"), @r#"there are several tables; transform answers #{ t0: #{ … }, t1: #{ … } }"#);
    insta::assert_snapshot!(transform(2, "#{ t3: #{} }"), @r#"transform answered a row for "t3", which is no table here; did you mean "t0"?"#);
    insta::assert_snapshot!(transform(2, "#{ t1: 5 }"), @r#"transform answered 5 for table t1; a row is a map of columns"#);
    insta::assert_snapshot!(transform(1, "#{ stok: 5 }"), @r#"table t0 has no column "stok"; did you mean "stock"?"#);
    insta::assert_snapshot!(transform(1, "#{ stock: \"x\" }"), @r#"table t0: column stock is int, the answer has the text "x""#);
    let validate = |text: &str| {
        let written = Written::new(&format!("fn validate(row) {{ {text} }}"));
        written
            .load()
            .unwrap()
            .validate(&table(), &[row(1, "1", 1)])
            .unwrap_err()
            .message
    };
    insta::assert_snapshot!(validate("false"), @r#"validate answered false; it answers () when the row is fine, error("…"), warning("…") or a list of these"#);
    insta::assert_snapshot!(validate("[[\"x\"]]"), @r#"validate answered a value of type array; it answers () when the row is fine, error("…"), warning("…") or a list of these"#);
    let route = |text: &str| {
        let written = Written::new(&format!("fn route(request) {{ {text} }}"));
        written
            .load()
            .unwrap()
            .route(&RequestHead::default())
            .unwrap_err()
            .message
    };
    insta::assert_snapshot!(route("\"servise\""), @r#"route answered "servise" (did you mean "service"?); it answers monolith, service, default_route, to_service(#{ header: "…" }), to_monolith(…) or refuse(403, "why")"#);
    insta::assert_snapshot!(route("refuse(200, \"fine\")"), @r#"status 200 is not within 400 to 599"#);
    insta::assert_snapshot!(route("to_service(#{ \"a b\": 1 })"), @r#""a b" is no header name"#);
    insta::assert_snapshot!(route("to_service(#{ a: [1] })"), @r#"header a must be a text, found a value of type array"#);
}
