//! `banyan script` from outside: exit code, stdout, stderr.

use std::path::Path;

/// A run, with the folder's name and the digests taken out.
fn banyan(folder: &Path, arguments: &[&str]) -> String {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let words = ["banyan"].iter().chain(arguments).map(|w| {
        let word = w.replace("FOLDER", folder.to_str().unwrap());
        word.into()
    });
    let code = banyan::cli::run(words, &mut out, &mut errors);
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(folder.to_str().unwrap(), "FOLDER")
    };
    let shown = format!(
        "exit code: {code}\n--- stdout\n{}--- stderr\n{}",
        text(out),
        text(errors)
    );
    // A digest is 64 hexadecimal digits.
    let mut plain = String::new();
    let mut rest = shown.as_str();
    while !rest.is_empty() {
        let hex = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        let (run, after) = rest.split_at(hex);
        plain.push_str(if hex == 64 { "DIGEST" } else { run });
        let next = after.chars().next();
        plain.extend(next);
        rest = &after[next.map_or(0, char::len_utf8)..];
    }
    plain
}

const CASES: &str = r#"
[table]
name = "items"
columns = { id = "int", stock = "int" }
key = ["id"]

[[case]]
name = "the larger stock"
source = { id = 1, stock = 5 }
target = { id = 1, stock = 7 }
expect = "target"

[[case]]
name = "a tie"
source = { id = 1, stock = 5 }
target = { id = 1, stock = 5 }
expect = "target"
"#;

const LARGER: &str = "//! The larger stock wins.
const VERSION = \"2\";
fn resolve(conflict) {
    if conflict.source == () || conflict.target == () { return park(\"deleted\"); }
    if conflict.source.stock >= conflict.target.stock { source } else { target }
}
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn cases_beside_the_script_are_run() {
    let folder = folder(&[("larger.rhai", LARGER), ("larger.cases.toml", CASES)]);
    insta::assert_snapshot!(banyan(folder.path(), &["script", "test", "FOLDER/larger.rhai"]), @r"");
    let json = banyan(folder.path(), &["--format", "json", "script", "test", "FOLDER/larger.rhai"]);
    insta::assert_snapshot!(json, @r"");
}

#[test]
fn cases_of_a_folder_are_run_in_order() {
    let folder = folder(&[
        ("larger.rhai", LARGER),
        ("cases/b.toml", &CASES.replace("expect = \"target\"\n\n[[case]]\nname = \"a tie\"", "expect = \"target\"\n\n[[case]]\nname = \"tie\"").replace("stock = 5 }\nexpect", "stock = 6 }\nexpect")),
        ("cases/a.toml", CASES),
        ("cases/notes.txt", "not a case file"),
    ]);
    let shown = banyan(
        folder.path(),
        &["script", "test", "FOLDER/larger.rhai", "--cases", "FOLDER/cases"],
    );
    insta::assert_snapshot!(shown, @r"");
}

#[test]
fn a_script_is_checked_against_the_laws() {
    let folder = folder(&[("larger.rhai", LARGER), ("larger.cases.toml", CASES)]);
    insta::assert_snapshot!(banyan(folder.path(), &["script", "check", "FOLDER/larger.rhai"]), @r"");
    let bare = self::folder(&[("larger.rhai", LARGER)]);
    insta::assert_snapshot!(banyan(bare.path(), &["script", "check", "FOLDER/larger.rhai"]), @r"");
}

#[test]
fn a_rule_of_the_configuration_is_found_by_name() {
    let folder = folder(&[
        ("rules/larger.rhai", LARGER),
        ("banyan.toml", "[rules.bigger]\nscript = \"rules/larger.rhai\"\n[rules.keep]\nstrategy = \"max\"\n"),
    ]);
    let config = "FOLDER/banyan.toml";
    for name in ["bigger", "keep", "biger"] {
        let shown = banyan(folder.path(), &["script", "check", name, "--config", config]);
        match name {
            "bigger" => insta::assert_snapshot!(shown, @r""),
            "keep" => insta::assert_snapshot!(shown, @r""),
            _ => insta::assert_snapshot!(shown, @r""),
        }
    }
}

#[test]
fn mistakes_end_with_what_to_do() {
    let folder = folder(&[
        ("broken.rhai", "fn resolve(conflict) {\n    sourc\n}\n"),
        ("larger.rhai", LARGER),
        ("empty/readme.md", ""),
    ]);
    insta::assert_snapshot!(banyan(folder.path(), &["script", "check", "FOLDER/broken.rhai"]), @r"");
    insta::assert_snapshot!(banyan(folder.path(), &["script", "check", "FOLDER/missing.rhai"]), @r"");
    insta::assert_snapshot!(banyan(folder.path(), &["script", "test", "FOLDER/larger.rhai"]), @r"");
    insta::assert_snapshot!(banyan(folder.path(), &["script", "test", "FOLDER/larger.rhai", "--cases", "FOLDER/empty"]), @r"");
}
