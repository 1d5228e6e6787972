//! The engine is closed: what it can call is a committed list, and what is dangerous is off.

use std::collections::BTreeSet;

use super::*;
use crate::rule::FailureKind;
use crate::script::{engine, view};

/// Everything that scripts can call, one signature a line.
const ALLOWED: &str = include_str!("../allowed.txt");

#[test]
fn scripts_can_call_what_is_on_the_list_and_nothing_else() {
    let engine = engine::build("list", &Limits::default(), &view::Words::new(), "");
    let found: BTreeSet<String> = engine
        .gen_fn_signatures(true)
        .into_iter()
        .filter(|s| !takes_a_type_that_no_script_has(s))
        .map(|s| plain(&s))
        .collect();
    let allowed: BTreeSet<String> = ALLOWED
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
        .map(str::to_owned)
        .collect();
    let more: Vec<&String> = found.difference(&allowed).collect();
    let less: Vec<&String> = allowed.difference(&found).collect();
    assert!(
        more.is_empty() && less.is_empty(),
        "the engine differs from src/script/allowed.txt. Look at what each new function can do \
         (time, files, randomness, results much larger than arguments), then change the list.\n\
         new:\n{}\ngone:\n{}",
        lines(&more),
        lines(&less)
    );
}

fn lines(signatures: &[&String]) -> String {
    signatures.iter().map(|s| format!("{s}\n")).collect()
}

/// Rhai has arithmetic for integers of all widths; scripts hold 64-bit ones only.
fn takes_a_type_that_no_script_has(signature: &str) -> bool {
    [
        "i8", "i16", "i32", "i128", "u8", "u16", "u32", "u64", "u128", "f32",
    ]
    .iter()
    .any(|t| signature.contains(&format!(": {t}")))
}

/// A signature without the paths of types.
fn plain(signature: &str) -> String {
    let mut out = signature.replace("&mut ", "");
    for (long, short) in [
        ("core::result::Result<", "Result<"),
        (",alloc::boxed::Box<rhai::types::error::EvalAltResult>", ""),
        (", Box<EvalAltResult>", ""),
        (
            "smartstring::SmartString<smartstring::config::LazyCompact>",
            "string",
        ),
    ] {
        out = out.replace(long, short);
    }
    // The last part of every path.
    let parts: Vec<&str> = out.split("::").collect();
    let mut plain = String::new();
    for (i, part) in parts.iter().enumerate() {
        let keep = if i + 1 == parts.len() {
            part
        } else {
            let cut = part
                .rfind(|c: char| !c.is_alphanumeric() && c != '_')
                .map_or(0, |n| n + 1);
            &part[..cut]
        };
        plain.push_str(keep);
    }
    plain
}

#[test]
fn nothing_tells_the_time_or_waits() {
    for text in [
        "sleep(1); source",
        "sleep(0.1); source",
        "Fn(\"sle\" + \"ep\").call(1); source",
        "let f = \"sleep\"; Fn(f).call(1); source",
    ] {
        let e = failure_of(text);
        assert_eq!(e.kind, FailureKind::Trapped, "{text}");
        assert!(e.message.starts_with("a rule cannot sleep"), "{text}: {e}");
    }
    for text in [
        "timestamp(); source",
        "Fn(\"time\" + \"stamp\").call(); source",
    ] {
        let e = failure_of(text);
        assert!(
            e.message.starts_with("a rule cannot read the clock"),
            "{text}: {e}"
        );
    }
}

#[test]
fn other_code_cannot_be_reached() {
    for text in [
        "eval(\"source\")",
        "import \"x\" as x; source",
        "let f = Fn(\"f\").curry(1); source",
        "let f = |x| x; source",
        "this; source",
    ] {
        let written = Written::new(&format!("fn resolve(conflict) {{ {text} }}"));
        assert!(written.load().is_err(), "{text}");
    }
    let written = Written::new("export const X = 1; fn resolve(conflict) { source }");
    assert!(written.load().is_err());
    let e = failure_of("get_fn_metadata_list(); source");
    assert!(e.message.starts_with("a rule cannot list functions"), "{e}");
    for text in [
        "Fn(\"ev\" + \"al\").call(\"source\")",
        "Fn(\"cur\" + \"ry\").call(Fn(\"x\"), 1)",
    ] {
        let e = failure_of(text);
        assert_eq!(e.kind, FailureKind::Trapped, "{text}: {e}");
    }
}

#[test]
fn nothing_is_kept_from_one_row_to_the_next() {
    let written = Written::new(
        "let counter = 0;
         fn resolve(conflict) { counter += 1; if counter > 1 { source } else { target } }",
    );
    let e = written.load().unwrap_err();
    assert!(e.to_string().contains("Undefined variable: counter"), "{e}");
    let e = failure_of("settings.seen = 1; source");
    assert!(e.message.contains("constant"), "{e}");
    let e = ask("const SEEN = [0]; fn resolve(conflict) { SEEN.push(1); source }").unwrap_err();
    assert!(e.message.contains("constant"), "{e}");
}

#[test]
fn two_runs_are_equal_whatever_the_script_does() {
    // Maps, floats, texts, types, printing: everything that could depend on memory or on hashing.
    let text = "fn resolve(conflict) {
        let m = #{};
        for i in 0..200 { m[`k${i * 7919 % 1000}`] = i * 0.1; }
        let out = \"\";
        for k in m.keys() { out += `${k}=${m[k]};`; }
        let sorted = m.values();
        sorted.sort();
        park(`${out} ${sorted} ${conflict} ${conflict.source} ${type_of(conflict.source)} ${Fn(\"x\")}`)
    }";
    let answers: BTreeSet<String> = (0..5)
        .map(|_| format!("{:?}", ask(text).unwrap()))
        .collect();
    assert_eq!(answers.len(), 1);
}
