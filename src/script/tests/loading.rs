//! Loading, pinning, checking and reloading.

use super::*;
use crate::error::ErrorKind;
use crate::rule::{FailureKind, Transform};
use crate::script::Roles;

#[test]
fn roles_are_found_by_name_and_number_of_parameters() {
    let written = Written::new(
        "fn helper(a) { a } fn resolve(conflict) { helper(source) } fn validate(row) { () }",
    );
    let roles = written.load().unwrap().roles();
    assert_eq!(
        roles,
        Roles {
            resolve: true,
            validate: true,
            ..Roles::default()
        }
    );
    assert_eq!(roles.to_string(), "resolve, validate");
}

#[test]
fn a_question_that_the_script_does_not_answer_fails() {
    let script = Written::new("fn validate(row) { () }").load().unwrap();
    let e = script.resolve(&table(), &[conflict()]).unwrap_err();
    assert_eq!(e.kind, FailureKind::Fatal);
    assert_eq!(e.message, "the script has no function resolve");
    let tables = crate::rule::TransformTables {
        source: table(),
        targets: vec![table()],
    };
    assert!(
        script
            .transform(&tables, Direction::Forward, 0, &[])
            .is_err()
    );
}

#[test]
fn another_digest_than_the_pinned_one_is_refused() {
    let text = "fn resolve(conflict) { source }";
    let written = Written::new(text);
    let mut spec = written.spec();
    spec.blake3 = Some(
        blake3::hash(text.as_bytes())
            .to_hex()
            .to_string()
            .to_uppercase(),
    );
    let script = Script::load(spec.clone()).unwrap();
    written.write("fn resolve(conflict) { target }");
    let e = script.reload_if_changed().unwrap_err();
    assert!(e.to_string().contains("the configuration pins"), "{e}");
    assert_eq!(
        script.resolve(&table(), &[conflict()]).unwrap(),
        [Verdict::Source]
    );
    assert_eq!(Script::load(spec).unwrap_err().kind(), ErrorKind::Rule);
}

#[test]
fn a_changed_file_is_taken_over_between_batches() {
    let written = Written::new("fn resolve(conflict) { source }");
    let script = written.load().unwrap();
    let ask = || script.resolve(&table(), &[conflict()]).unwrap().remove(0);
    assert!(!script.reload_if_changed().unwrap(), "nothing changed");
    let before = script.info().digest;
    written.write("fn resolve(conflict) { target }");
    assert_eq!(ask(), Verdict::Source, "not before it is taken over");
    assert!(script.reload_if_changed().unwrap());
    assert_eq!(ask(), Verdict::Target);
    assert_ne!(script.info().digest, before);
    assert_eq!(script.stats().reloads, 1);
}

#[test]
fn a_bad_change_is_refused_and_the_old_script_stays() {
    let written = Written::new("fn resolve(conflict) { source }");
    let script = written.load().unwrap();
    for (text, why) in [
        ("fn resolve(conflict) { source", "Expecting ';'"),
        (
            "fn resolve(a, b) { source }",
            "found resolve(a, b), expected resolve(conflict)",
        ),
        (
            "fn validate(row) { () }",
            "the changed script no longer has resolve",
        ),
        (
            "const X = 1 / 0; fn resolve(conflict) { target }",
            "Division by zero",
        ),
    ] {
        written.write(text);
        let e = script.reload_if_changed().unwrap_err();
        assert!(
            e.to_string().to_lowercase().contains(&why.to_lowercase()),
            "{e}"
        );
        assert_eq!(
            e.hints().last().unwrap(),
            "the version in use before stays in use"
        );
        assert_eq!(
            script.resolve(&table(), &[conflict()]).unwrap(),
            [Verdict::Source]
        );
        assert!(script.stats().refused_reload.is_some());
    }
    std::fs::remove_file(&script.spec().path).unwrap();
    assert_eq!(
        script.reload_if_changed().unwrap_err().kind(),
        ErrorKind::NotFound
    );
    written.write("fn resolve(conflict) { target }");
    assert!(script.reload_if_changed().unwrap());
    assert_eq!(script.stats().refused_reload, None);
}

/// A batch that has begun ends with the script that it began with, whatever is stored meanwhile.
#[test]
fn reloading_while_batches_run_never_mixes_two_scripts() {
    let written = Written::new("fn resolve(conflict) { source }");
    let script = written.load().unwrap();
    let batch = vec![conflict(); 200];
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            for _ in 0..60 {
                let answers = script.resolve(&table(), &batch).unwrap();
                assert!(answers.iter().all(|a| *a == answers[0]));
            }
        });
        for i in 0..40 {
            let side = if i % 2 == 0 { "target" } else { "source" };
            written.write(format!("fn resolve(conflict) {{ {side} }}"));
            assert!(script.reload_if_changed().unwrap());
        }
        runs.join().unwrap();
    });
    assert_eq!(script.stats().calls, 60);
    assert_eq!(script.stats().rows, 60 * 200);
}

#[test]
fn files_that_are_no_scripts_are_named() {
    let written = Written::new("");
    let mut spec = written.spec();
    spec.path = written.folder.path().join("missing.rhai");
    let e = Script::load(spec).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(
        written
            .plain(&e)
            .starts_with("script missing.rhai cannot be read"),
        "{e}"
    );
    written.write([b'f', b'n', 0xff]);
    let e = written.load().unwrap_err();
    assert_eq!(written.plain(e), "script rule.rhai is not UTF-8 at byte 2");
    written.write(vec![b' '; (1 << 20) + 1]);
    let e = written.load().unwrap_err();
    assert_eq!(
        written.plain(e),
        "script rule.rhai has 1048577 bytes; a script has 1048576 at most"
    );
    let mut spec = written.spec();
    written.write("fn resolve(conflict) { source }");
    spec.settings = serde_json::json!([1]);
    let e = Script::load(spec).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Config);
}

#[test]
fn one_script_serves_many_threads() {
    let written = Written::new(
        "fn resolve(conflict) { conflict.source.merge(#{ stock: conflict.source.stock * 2 }) }",
    );
    let script = written.load().unwrap();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let script = &script;
            scope.spawn(move || {
                for i in 0..50 {
                    let mut one = conflict();
                    one.source.row = Some(row(n * 1000 + i, "1", 1));
                    let answer = script.resolve(&table(), &[one]).unwrap();
                    assert_eq!(answer, [Verdict::Merged(row((n * 1000 + i) * 2, "1", 1))]);
                }
            });
        }
    });
}
