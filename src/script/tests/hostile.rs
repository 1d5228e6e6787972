//! Scripts that mean harm, or might as well: each is stopped, named, and the next batch works.

use super::*;
use crate::rule::FailureKind;

/// The script fails with this kind, with this in its message, and a harmless one works after it.
#[track_caller]
fn stopped(text: &str, kind: FailureKind, part: &str) {
    let e = match ask(text) {
        Err(e) => e,
        Ok(verdict) => panic!("{text}: {verdict:?}"),
    };
    assert_eq!(e.kind, kind, "{e}");
    assert!(e.message.contains(part), "{e}");
    assert_eq!(e.rows, 0..1);
    assert_eq!(body("source").unwrap(), Verdict::Source);
}

fn in_resolve(text: &str) -> String {
    format!("fn resolve(conflict) {{ {text} }}")
}

#[test]
fn endless_loops_run_out_of_operations() {
    for text in [
        "loop {}",
        "while true {}",
        "let i = 0; loop { i += 1; }",
        "for i in 0..9223372036854775807 { let x = i; }",
        "do { } until false;",
    ] {
        stopped(
            &in_resolve(text),
            FailureKind::OutOfFuel,
            "more than 100000 operations for one row",
        );
    }
    stopped(
        "fn helper() { loop {} } fn resolve(conflict) { helper() }",
        FailureKind::OutOfFuel,
        "in resolve or a function that it calls",
    );
}

#[test]
fn operations_of_functions_called_back_count() {
    stopped(
        "fn work(x) { let i = 0; while i < 1000 { i += 1; } i }
         fn resolve(conflict) { let a = []; a.pad(5000, 0); a.map(work); source }",
        FailureKind::OutOfFuel,
        "operations for one row",
    );
}

#[test]
fn an_error_caught_by_the_script_does_not_outlive_a_limit() {
    stopped(
        &in_resolve("loop { try { loop {} } catch { } }"),
        FailureKind::OutOfFuel,
        "operations",
    );
    assert_eq!(
        body("try { reject(\"no\"); } catch { return target; }").unwrap(),
        Verdict::Target
    );
}

#[test]
fn the_clock_stops_what_the_operations_do_not() {
    let written = Written::new("fn resolve(conflict) { loop { } }");
    let mut spec = written.spec();
    spec.limits = Limits {
        call_ms: 20,
        memory_mb: 64,
        operations_per_row: u64::MAX,
    };
    let script = Script::load(spec).unwrap();
    let e = script.resolve(&table(), &[conflict()]).unwrap_err();
    assert_eq!(e.kind, FailureKind::Deadline);
    assert!(
        e.message
            .starts_with("ran longer than 20 ms (limits.call_ms)"),
        "{e}"
    );
}

#[test]
fn many_cheap_rows_are_stopped_by_the_clock_as_well() {
    let written =
        Written::new("fn resolve(conflict) { let x = 0; while x < 50 { x += 1; } source }");
    let mut spec = written.spec();
    spec.limits.call_ms = 1;
    let script = Script::load(spec).unwrap();
    let e = script
        .resolve(&table(), &vec![conflict(); 100_000])
        .unwrap_err();
    assert_eq!(e.kind, FailureKind::Deadline);
    assert_eq!(e.rows.len(), 1, "the row at which the time was up");
}

#[test]
fn deep_recursion_is_stopped_before_the_stack_is() {
    stopped(
        "fn f(n) { f(n + 1) } fn resolve(conflict) { f(0) }",
        FailureKind::Trapped,
        "functions call each other too deeply",
    );
    stopped(
        "fn f(n) { 1 + (2 * (3 - g(n + [n].len()))) } fn g(n) { f(n) } fn resolve(conflict) { f(0) }",
        FailureKind::Trapped,
        "functions call each other too deeply",
    );
}

#[test]
fn growing_values_hit_their_limit() {
    for (text, part) in [
        ("let s = \"x\"; loop { s += s; }", "Length of string"),
        ("let s = \"x\"; loop { s = s + s; }", "Length of string"),
        (
            "let s = \"x\"; loop { s = `${s}${s}`; }",
            "Length of string",
        ),
        (
            "let a = []; loop { a.push(1); a += [1, 2, 3, 4, 5, 6, 7, 8]; }",
            "over the limit",
        ),
        ("let a = [1]; loop { a += a; }", "over the limit"),
        ("let a = [1]; loop { a = [a, a]; }", "over the limit"),
        ("let a = []; a.pad(1000000, 0); a", "over the limit"),
        (
            "let m = #{}; loop { m = #{ a: m, b: m }; }",
            "over the limit",
        ),
        (
            "let s = \"x\"; s.pad(100000000, 'x'); s",
            "Length of string",
        ),
        (
            "let a = []; let s = \"x\"; s.pad(500, 'x'); let i = 0; loop { a.push(s + i); i += 1; }",
            "over the limit",
        ),
    ] {
        stopped(&in_resolve(text), FailureKind::OutOfMemory, part);
    }
}

/// Rhai does not look at sizes where an element is assigned.
#[test]
fn assigned_elements_are_counted_as_well() {
    let deep = "nested more than 64 deep";
    let large = "is over the limit";
    for (text, part) in [
        ("let a = [0]; loop { a[0] = a; }", deep),
        ("let a = [0, 0]; loop { a[0] = a; a[1] = a; }", large),
        ("let a = []; a.pad(50, 0); let i = 0; loop { a[i % 50] = a; i += 1; }", large),
        ("let m = #{}; loop { m.a = m; }", deep),
        ("let m = #{}; let i = 0; loop { m[`k${i}`] = m; i += 1; }", large),
        ("let m = #{ a: [0] }; loop { m.a[0] = m; }", deep),
        ("let a = 1; loop { a = [a]; }", deep),
        ("let a = 1; loop { a = #{ a: a }; }", deep),
        ("let a = []; a.pad(9000, 0); loop { a[1] = a; }", large),
        ("let r = conflict.source.copy(); let a = [0]; let s = \"x\"; s.pad(900000, 'x'); r.sku = s;
          let i = 0; loop { r.stock = i; a.push(r); i += 1; }", large),
        ("let m = #{}; let s = \"x\"; s.pad(900000, 'x'); let i = 0;
          loop { m[`k${i}`] = s + i; i += 1; }", large),
    ] {
        stopped(&in_resolve(text), FailureKind::OutOfMemory, part);
    }
    stopped(
        "fn wrap(acc, x) { [acc] }
         fn resolve(conflict) { let a = []; a.pad(5000, 0); a.reduce(wrap, 0) }",
        FailureKind::OutOfMemory,
        deep,
    );
}

#[test]
fn one_call_cannot_blow_up_a_value() {
    let long = "let s = \"a\"; s.pad(1000000, 'a'); ";
    for text in [
        "let t = s; t.replace(\"a\", s); t",
        "let t = s; t.replace('a', s); t",
        "s.split(\"a\")",
        "s.split('a')",
        "s.split_rev(\"a\")",
        "s.split(\"\")",
    ] {
        stopped(
            &in_resolve(&format!("{long}{text}")),
            FailureKind::OutOfMemory,
            "over the limit",
        );
    }
}

#[test]
fn many_large_variables_are_added_up() {
    let many: String = (0..90)
        .map(|i| format!("let v{i} = s + \"{i}\";\n"))
        .collect();
    stopped(
        &in_resolve(&format!(
            "let s = \"x\"; s.pad(1000000, 'x');\n{many} source"
        )),
        FailureKind::OutOfMemory,
        "its variables hold more than 64 MiB",
    );
    stopped(
        "fn f(s, n) {
             let a = s + `${n}`; let b = a + \"b\"; let c = b + \"c\"; let d = c + \"d\";
             let e = d + \"e\"; let g = e + \"f\"; f(g, n + 1)
         }
         fn resolve(conflict) { let s = \"x\"; s.pad(1000000, 'x'); f(s, 0) }",
        FailureKind::OutOfMemory,
        "its variables hold more than 64 MiB",
    );
    let many: String = (0..200).map(|i| format!("let v{i} = 1;\n")).collect();
    stopped(
        &in_resolve(&format!("{many} source")),
        FailureKind::OutOfMemory,
        "too many variables",
    );
}

/// The deepest values that the limits allow are copied, compared, printed and dropped on the
/// small stack of a test's thread.
#[test]
fn the_deepest_values_fit_the_stack() {
    for build in ["a = [a];", "a = #{ a: a };", "a = [#{ a: a }];"] {
        for use_it in [
            "let b = a; b == a",
            "`${a}`",
            "let b = a; b",
            "print(a)",
            "debug(a)",
            "json(a)",
            "[a].contains(a)",
        ] {
            let text = format!(
                "let a = 1; for i in 0..62 {{ {build} }} try {{ {use_it} }} catch {{ }} source"
            );
            let answer = body(&text);
            assert!(
                matches!(&answer, Ok(Verdict::Source))
                    || matches!(&answer, Err(e) if e.kind == FailureKind::OutOfMemory),
                "{text}: {answer:?}"
            );
        }
    }
}

#[test]
fn a_flood_of_log_lines_is_cut_off() {
    assert_eq!(
        body("for i in 0..5000 { log_info(`line ${i}`); print(i); } source").unwrap(),
        Verdict::Source
    );
}

#[test]
fn numbers_do_not_wrap_around() {
    for text in [
        "9223372036854775807 + 1",
        "-9223372036854775808 - 1",
        "9223372036854775807 * 2",
        "1 / 0",
        "1 % 0",
        "2 ** 64",
        "abs(-9223372036854775808)",
    ] {
        let e = failure_of(&format!("let x = {text}; source"));
        assert_eq!(e.kind, FailureKind::Trapped, "{text}: {e}");
    }
}

/// Ten thousand files of noise, and as many of shuffled words of the language: the loader says
/// what is wrong with each and goes on.
#[test]
fn no_bytes_make_the_loader_panic() {
    use proptest::test_runner::{Config, TestRunner};
    let words = [
        "fn",
        "resolve",
        "(",
        ")",
        "{",
        "}",
        "conflict",
        "row",
        "let",
        "const",
        "=",
        "==",
        "#{",
        "[",
        "]",
        ":",
        ",",
        ";",
        "loop",
        "for",
        "in",
        "0..",
        "if",
        "else",
        "switch",
        "=>",
        "return",
        "\"",
        "`",
        "${",
        "1",
        "0x",
        "1e999",
        "'",
        "\\",
        ".",
        "?.",
        "??",
        "|",
        "||",
        "//",
        "/*",
        "*/",
        "//!",
        "throw",
        "try",
        "catch",
        "while",
        "do",
        "until",
        "this",
        "private",
        "\n",
        " ",
        "é",
        "settings",
        "source",
        "-",
        "!",
        "fn resolve(conflict) {",
        "Fn",
        "call",
        "is",
        "import",
    ];
    let noise = proptest::collection::vec(proptest::num::u8::ANY, 0..80);
    let shuffled = proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40);
    let written = Written::new("");
    let load = |bytes: Vec<u8>| {
        let mut spec = written.spec();
        spec.limits = Limits {
            call_ms: 50,
            memory_mb: 1,
            operations_per_row: 1_000,
        };
        let loaded = std::panic::catch_unwind(|| crate::script::load::compile(&spec, bytes));
        proptest::prop_assert!(loaded.is_ok(), "panicked");
        Ok(())
    };
    let config = || Config {
        cases: 10_000,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config()).run(&noise, load).unwrap();
    TestRunner::new(config())
        .run(&shuffled, |words| load(words.join(" ").into_bytes()))
        .unwrap();
    for depth in [100, 10_000, 100_000] {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{", "}"),
            ("-", ""),
            ("!", ""),
            ("if 1 {", "}"),
            ("fn f() {", "}"),
            ("a.", ""),
        ] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            load(text.into_bytes()).unwrap();
        }
    }
}
