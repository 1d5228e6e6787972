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
        let hex = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_hexdigit())
                .len();
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
    insta::assert_snapshot!(banyan(folder.path(), &["script", "test", "FOLDER/larger.rhai"]), @r#"
    exit code: 1
    --- stdout
    FOLDER/larger.cases.toml: 1 of 2 cases passed
      passed  the larger stock
      FAILED  a tie (FOLDER/larger.cases.toml:13)
          expected  "target"
          found     "source"
    --- stderr
    "#);
    let json = banyan(
        folder.path(),
        &["--format", "json", "script", "test", "FOLDER/larger.rhai"],
    );
    insta::assert_snapshot!(json, @r#"
    exit code: 1
    --- stdout
    {
      "passed": 1,
      "failed": 1,
      "files": [
        {
          "file": "FOLDER/larger.cases.toml",
          "cases": [
            {
              "name": "the larger stock",
              "line": 7,
              "role": "resolve",
              "failure": null
            },
            {
              "name": "a tie",
              "line": 13,
              "role": "resolve",
              "failure": "expected  \"target\"\nfound     \"source\""
            }
          ]
        }
      ]
    }
    --- stderr
    "#);
}

#[test]
fn cases_of_a_folder_are_run_in_order() {
    let folder = folder(&[
        ("larger.rhai", LARGER),
        (
            "cases/b.toml",
            &CASES
                .replace(
                    "expect = \"target\"\n\n[[case]]\nname = \"a tie\"",
                    "expect = \"target\"\n\n[[case]]\nname = \"tie\"",
                )
                .replace("stock = 5 }\nexpect", "stock = 6 }\nexpect"),
        ),
        ("cases/a.toml", CASES),
        ("cases/notes.txt", "not a case file"),
    ]);
    let shown = banyan(
        folder.path(),
        &[
            "script",
            "test",
            "FOLDER/larger.rhai",
            "--cases",
            "FOLDER/cases",
        ],
    );
    insta::assert_snapshot!(shown, @r#"
    exit code: 1
    --- stdout
    FOLDER/cases/a.toml: 1 of 2 cases passed
      passed  the larger stock
      FAILED  a tie (FOLDER/cases/a.toml:13)
          expected  "target"
          found     "source"
    FOLDER/cases/b.toml: 2 of 2 cases passed
      passed  the larger stock
      passed  tie
    --- stderr
    "#);
}

#[test]
fn a_script_is_checked_against_the_laws() {
    let folder = folder(&[("larger.rhai", LARGER), ("larger.cases.toml", CASES)]);
    insta::assert_snapshot!(banyan(folder.path(), &["script", "check", "FOLDER/larger.rhai"]), @r#"
    exit code: 0
    --- stdout
    FOLDER/larger.rhai: answers resolve; version 2, blake3 DIGEST
      The larger stock wins.
    laws of larger, resolve on table items (42 batches)
      passed     determinism
      passed     split
      passed     order
      passed     idempotence
      passed     valid-answers
      holds      mirror: swapping the two sides changes nothing but the names
      holds      three-writers: the order in which three writers meet does not matter
    --- stderr
    "#);
    let bare = self::folder(&[("larger.rhai", LARGER)]);
    insta::assert_snapshot!(banyan(bare.path(), &["script", "check", "FOLDER/larger.rhai"]), @r#"
    exit code: 0
    --- stdout
    FOLDER/larger.rhai: answers resolve; version 2, blake3 DIGEST
      The larger stock wins.
    --- stderr
    hint: the laws were not tried on FOLDER/larger.rhai: they take their tables from case files (--cases)
    "#);
}

#[test]
fn a_rule_of_the_configuration_is_found_by_name() {
    let folder = folder(&[
        ("rules/larger.rhai", LARGER),
        (
            "banyan.toml",
            "[rules.bigger]\nscript = \"rules/larger.rhai\"\n[rules.keep]\nstrategy = \"max\"\n",
        ),
    ]);
    let config = "FOLDER/banyan.toml";
    for name in ["bigger", "keep", "biger"] {
        let shown = banyan(
            folder.path(),
            &["script", "check", name, "--config", config],
        );
        match name {
            "bigger" => insta::assert_snapshot!(shown, @r#"
            exit code: 0
            --- stdout
            FOLDER/rules/larger.rhai: answers resolve; version 2, blake3 DIGEST
              The larger stock wins.
            --- stderr
            hint: the laws were not tried on FOLDER/rules/larger.rhai: they take their tables from case files (--cases)
            "#),
            "keep" => insta::assert_snapshot!(shown, @r#"
            exit code: 2
            --- stdout
            --- stderr
            error: rule keep is no script

            hint: plugins are checked with banyan plugin check
            "#),
            _ => insta::assert_snapshot!(shown, @r#"
            exit code: 2
            --- stdout
            --- stderr
            error: there is no rule "biger" in FOLDER/banyan.toml

            hint: did you mean "bigger"?
            "#),
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
    insta::assert_snapshot!(banyan(folder.path(), &["script", "check", "FOLDER/broken.rhai"]), @r#"
    exit code: 3
    --- stdout
    --- stderr
    error: rule broken: Undefined variable: sourc
      --> FOLDER/broken.rhai:2:5
       |
     2 |     sourc
       |     ^
    "#);
    insta::assert_snapshot!(banyan(folder.path(), &["script", "check", "FOLDER/missing.rhai"]), @r#"
    exit code: 2
    --- stdout
    --- stderr
    error: there is no script FOLDER/missing.rhai
    "#);
    insta::assert_snapshot!(banyan(folder.path(), &["script", "test", "FOLDER/larger.rhai"]), @r#"
    exit code: 2
    --- stdout
    --- stderr
    error: script FOLDER/larger.rhai has no cases

    hint: write FOLDER/larger.cases.toml or give --cases
    "#);
    insta::assert_snapshot!(banyan(folder.path(), &["script", "test", "FOLDER/larger.rhai", "--cases", "FOLDER/empty"]), @r#"
    exit code: 2
    --- stdout
    --- stderr
    error: folder FOLDER/empty has no case files (*.toml)
    "#);
}
