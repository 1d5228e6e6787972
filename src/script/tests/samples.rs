//! The sample scripts pass their own cases, and the laws on their tables.

use std::path::Path;

use super::*;
use crate::rule::cases::{self, CaseFile, Rules};
use crate::rule::laws::{LawOptions, check_resolve, check_route, check_validate};

fn sample(name: &str) -> (Arc<Script>, CaseFile) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules");
    let file = CaseFile::read(&folder.join(format!("{name}.cases.toml"))).unwrap();
    let script = Script::load(ScriptSpec {
        name: name.to_owned(),
        path: folder.join(format!("{name}.rhai")),
        blake3: None,
        settings: file.settings.clone(),
        limits: Limits::default(),
    });
    (script.unwrap_or_else(|e| panic!("{e}")), file)
}

fn passes(name: &str) -> (Arc<Script>, CaseFile) {
    let (script, file) = sample(name);
    let roles = script.roles();
    let report = cases::run(
        &file,
        &Rules {
            resolve: roles.resolve.then_some(script.as_ref()),
            transform: roles.transform.then_some(script.as_ref()),
            validate: roles.validate.then_some(script.as_ref()),
            route: roles.route.then_some(script.as_ref()),
        },
    );
    assert_eq!(report.failed(), 0, "{report}");
    (script, file)
}

#[test]
fn stock() {
    let (script, file) = passes("stock");
    let report = check_resolve(
        script.as_ref(),
        file.table().unwrap(),
        &[file.conflicts()],
        &LawOptions::default(),
    );
    assert!(report.passed(), "{report}");
}

#[test]
fn customers() {
    let (script, file) = passes("customers");
    let report = check_validate(
        script.as_ref(),
        file.table().unwrap(),
        &[file.rows(0)],
        &LawOptions::default(),
    );
    assert!(report.passed(), "{report}");
}

#[test]
fn vip_route() {
    let (script, file) = passes("vip_route");
    let report = check_route(script.as_ref(), &file.requests(), &LawOptions::default());
    assert!(report.passed(), "{report}");
}
