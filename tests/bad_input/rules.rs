//! Rules that cannot be used.

use crate::support::program::{CONFIG, Shop};

use super::{checked, refused_sync};

/// A rule of the configuration that decides the conflicts of `items`.
fn with_rule(shop: &Shop, rule: &str) {
    shop.configure(&format!(
        "{CONFIG}on_conflict = \"judge\"\n[rules.judge]\n{rule}\n"
    ));
}

#[test]
fn a_script_that_does_not_compile_is_shown_with_its_place() {
    let shop = Shop::new();
    std::fs::write(
        shop.path("judge.rhai"),
        "fn resolve(conflict) {\n    let a = ;\n    source\n}\n",
    )
    .unwrap();
    with_rule(&shop, "script = \"judge.rhai\"");
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: rules.judge: Unexpected ';'
  --> judge.rhai:2:13
   |
 2 |     let a = ;
   |             ^
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 3
error: migrations.shop.tables[0].on_conflict: rules.judge: rule judge: Unexpected ';'
  --> judge.rhai:2:13
   |
 2 |     let a = ;
   |             ^
");
}

#[test]
fn a_script_for_another_question_is_refused() {
    let shop = Shop::new();
    std::fs::write(shop.path("judge.rhai"), "fn validate(row) { }\n").unwrap();
    with_rule(&shop, "script = \"judge.rhai\"");
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: migrations.shop.tables[0].on_conflict: rule judge is used to resolve, but it can validate
  → write fn resolve(…) in it, or name another rule
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 2
error: migrations.shop.tables[0].on_conflict: rule judge is used to resolve, but it can validate

hint: write fn resolve(…) in it, or name another rule
");
}

#[test]
fn missing_rule_files_are_named() {
    let shop = Shop::new();
    for (rule, file) in [
        ("script = \"rules/judge.rhai\"", "rules/judge.rhai"),
        ("plugin = \"rules/judge.wasm\"", "rules/judge.wasm"),
    ] {
        with_rule(&shop, rule);
        for shown in [checked(&shop), refused_sync(&shop)] {
            assert_eq!(shown.code, 2, "{shown:?}");
            let told = format!("{}{}", shown.out, shown.errors);
            assert!(told.contains("rules.judge: "), "{told}");
            assert!(told.contains(file), "{told}");
            assert!(told.contains("No such file"), "{told}");
        }
    }
}

#[test]
fn files_that_are_no_rules_are_told_apart() {
    let shop = Shop::new();
    let other = r#"(component
        (component $lifecycle)
        (instance $i (instantiate $lifecycle))
        (export "banyan:rules/lifecycle@9.0.0" (instance $i)))"#;
    for (content, wanted) in [
        (
            other.as_bytes(),
            "is built against banyan:rules@9.0.0; this Banyan expects banyan:rules@0.1.0",
        ),
        (b"(component)", "is no rule: it exports nothing"),
        (b"(component", "is no valid component"),
    ] {
        std::fs::write(shop.path("judge.wat"), content).unwrap();
        with_rule(&shop, "plugin = \"judge.wat\"");
        let shown = checked(&shop);
        assert_eq!(shown.code, 2, "{shown:?}");
        assert!(shown.out.contains("rules.judge: "), "{shown:?}");
        assert!(shown.out.contains(wanted), "{wanted}: {shown:?}");
        assert!(shown.out.contains("\n  → "), "{shown:?}");
        let shown = refused_sync(&shop);
        assert_eq!(shown.code, 3, "{shown:?}");
        assert!(shown.errors.contains(wanted), "{wanted}: {shown:?}");
        assert!(shown.errors.contains("\nhint: "), "{shown:?}");
    }
}

#[test]
fn a_rule_that_is_not_the_pinned_one_is_refused() {
    let shop = Shop::new();
    std::fs::write(shop.path("judge.rhai"), "fn resolve(conflict) { source }\n").unwrap();
    std::fs::write(shop.path("judge.wat"), "(component)").unwrap();
    for rule in ["script = \"judge.rhai\"", "plugin = \"judge.wat\""] {
        with_rule(&shop, &format!("{rule}\nblake3 = \"{}\"", "0".repeat(64)));
        for shown in [checked(&shop), refused_sync(&shop)] {
            let told = format!("{}{}", shown.out, shown.errors);
            assert!(told.contains("rules.judge: "), "{told}");
            assert!(told.contains("digest"), "{told}");
            assert!(told.contains("0000000000"), "{told}");
        }
    }
}
