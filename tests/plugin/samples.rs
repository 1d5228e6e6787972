//! The sample plugins: the committed components and fresh builds of their sources pass the same
//! cases, and a new rule builds at once.

use std::path::{Path, PathBuf};

use banyan::plugin::build::{BuildOptions, Toolchain, build};

use super::support::root;

/// A run of the program: exit code, stdout, stderr.
fn banyan(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let words = ["banyan"].iter().chain(arguments).map(Into::into);
    let code = banyan::cli::run(words, &mut out, &mut errors);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (code, text(out), text(errors))
}

fn passes(arguments: &[&str]) -> String {
    let (code, out, errors) = banyan(arguments);
    assert_eq!(code, 0, "{arguments:?}\n{out}{errors}");
    out
}

/// Runs the cases, and tries the laws on their tables.
fn tried(component: &str, cases: &str) {
    passes(&["plugin", "test", component, "--cases", cases]);
    let report = passes(&[
        "plugin",
        "check",
        component,
        "--cases",
        cases,
        "--batches",
        "8",
    ]);
    assert!(
        report.contains("imports banyan:rules/host@0.1.0 (log)"),
        "{report}"
    );
}

/// Whether guests can be built here. Where they can't, the committed components are still tested.
fn toolchain() -> bool {
    match Toolchain::find() {
        Ok(_) => true,
        Err(error) => {
            eprintln!("not rebuilt: {error:?}");
            false
        }
    }
}

/// Builds into a folder that all tests share, so that the guests' standard library is built once.
fn rebuilt(crate_dir: &Path, out: PathBuf) -> PathBuf {
    build(&BuildOptions {
        out: Some(out),
        target_dir: Some(root().join("target/guests")),
        root: Some(root().to_owned()),
        ..BuildOptions::new(crate_dir)
    })
    .unwrap()
    .path
}

#[test]
fn the_committed_components_pass_their_cases_and_the_laws() {
    for name in ["vip_merge", "reshape_orders"] {
        let component = root().join("plugins").join(name).with_extension("wasm");
        let cases = component.with_extension("cases.toml");
        tried(component.to_str().unwrap(), cases.to_str().unwrap());
    }
}

#[test]
fn fresh_builds_of_the_sources_pass_the_same_cases() {
    if !toolchain() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["vip_merge", "reshape_orders"] {
        let source = root().join("plugins").join(name);
        let fresh = rebuilt(&source, dir.path().join(format!("{name}.wasm")));
        let cases = source.with_extension("cases.toml");
        tried(fresh.to_str().unwrap(), cases.to_str().unwrap());
        let bytes = std::fs::read(&fresh).unwrap();
        let home = std::env::home_dir().unwrap();
        for path in [root(), &home] {
            let path = path.to_str().unwrap().as_bytes();
            let found = bytes.windows(path.len()).any(|w| w == path);
            assert!(!found, "{name} names a folder of this machine");
        }
    }
}

#[test]
fn a_new_rule_of_every_role_builds_and_passes_at_once() {
    if !toolchain() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let parent = dir.path().to_str().unwrap();
    for role in ["resolver", "transformer", "validator", "router"] {
        let name = format!("my-{role}");
        let out = passes(&["plugin", "new", &name, "--role", role, "--dir", parent]);
        let folder = out.trim();
        assert_eq!(folder, format!("{parent}/{name}"));
        let component = Path::new(folder).join(format!("my_{role}.wasm"));
        rebuilt(Path::new(folder), component);
        passes(&["plugin", "test", folder]);
        let report = passes(&["plugin", "check", folder, "--batches", "4"]);
        assert!(report.contains(role), "{report}");
    }
}

#[test]
fn a_folder_that_is_not_built_says_how() {
    let dir = tempfile::tempdir().unwrap();
    let parent = dir.path().to_str().unwrap();
    passes(&["plugin", "new", "fresh", "--dir", parent]);
    let folder = format!("{parent}/fresh");
    let (code, _, errors) = banyan(&["plugin", "check", &folder]);
    assert_eq!(code, 2);
    assert!(errors.contains("is not built"), "{errors}");
    assert!(
        errors.contains(&format!("banyan plugin build {folder}")),
        "{errors}"
    );
    let (code, _, errors) = banyan(&["plugin", "new", "fresh", "--dir", parent]);
    assert_eq!(code, 1, "{errors}");
    let (code, _, errors) = banyan(&["plugin", "new", "x", "--role", "judge"]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("resolver, transformer, validator, router"),
        "{errors}"
    );
    let (code, _, errors) = banyan(&["plugin", "build", parent]);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("is no crate"), "{errors}");
}

#[test]
fn a_failing_case_is_shown_and_exits_1() {
    let dir = tempfile::tempdir().unwrap();
    let cases = dir.path().join("cases.toml");
    let text = r#"
[table]
name = "people"
columns = { id = "int", name = "text" }
key = ["id"]

[[case]]
name = "ties go to the target"
source = { id = 1, name = "a" }
target = { id = 1, name = "b" }
expect = "target"
"#;
    std::fs::write(&cases, text).unwrap();
    let component = root().join("tests/guests/newest-0.1.0.wasm");
    let (code, out, _) = banyan(&[
        "plugin",
        "test",
        component.to_str().unwrap(),
        "--cases",
        cases.to_str().unwrap(),
    ]);
    assert_eq!(code, 1);
    assert!(out.contains("ties go to the target"), "{out}");
}

#[test]
fn a_rule_that_depends_on_its_batch_breaks_a_law() {
    let component = root().join("tests/guests/hostile.wasm");
    let dir = tempfile::tempdir().unwrap();
    let cases = dir.path().join("cases.toml");
    let text = r#"
settings = { what = "park" }

[table]
name = "people"
columns = { id = "int", name = "text" }
key = ["id"]

[[case]]
name = "the first of each batch is parked"
source = { id = 1, name = "a" }
target = { id = 1, name = "b" }
expect = "park"
"#;
    std::fs::write(&cases, text).unwrap();
    let (code, out, errors) = banyan(&[
        "plugin",
        "check",
        component.to_str().unwrap(),
        "--cases",
        cases.to_str().unwrap(),
    ]);
    assert_eq!(code, 1, "{out}{errors}");
    assert!(out.contains("split"), "{out}");
}

#[test]
fn the_configurations_plugins_are_listed_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("banyan.toml");
    let good = root().join("plugins/vip_merge.wasm");
    let text = format!(
        "[rules.vip]\nplugin = {good:?}\n\n[rules.gone]\nplugin = \"gone.wasm\"\n\n\
         [rules.fine]\nscript = \"fine.rhai\"\n\n[rules.bad]\nscript = \"bad.rhai\"\n"
    );
    std::fs::write(dir.path().join("fine.rhai"), "fn resolve(c) { source }").unwrap();
    std::fs::write(dir.path().join("bad.rhai"), "fn resolve(c) { c.").unwrap();
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let (code, out, errors) = banyan(&["--config", config, "plugin", "list", "--format", "json"]);
    assert_eq!(code, 1, "{out}{errors}");
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    let by_rule = |rule: &str| {
        let all = listed.as_array().unwrap().iter();
        all.clone().find(|l| l["rule"] == rule).unwrap().clone()
    };
    assert_eq!(by_rule("vip")["loaded"], true);
    assert_eq!(by_rule("vip")["roles"][0], "resolver");
    assert_eq!(by_rule("gone")["loaded"], false);
    let error = by_rule("gone")["error"].to_string();
    assert!(error.contains("cannot read plugin"), "{error}");
    assert_eq!(by_rule("vip")["kind"], "plugin");
    assert_eq!(by_rule("fine")["kind"], "script");
    assert_eq!(by_rule("fine")["roles"][0], "resolve");
    let error = by_rule("bad")["error"].to_string();
    assert!(error.contains("bad.rhai:1:19"), "{error}");
}
