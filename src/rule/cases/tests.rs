//! Case files are read as documented, mistakes are named, differences are shown.

use super::*;
use crate::data::Value;
use crate::rule::{RuleTable, builtin};
use proptest::prelude::*;

const STOCK: &str = r#"
settings = { columns = ["stock"] }

[table]
name = "products"
columns = { id = "int", sku = "text", stock = "int", price = "decimal?" }
key = ["id"]

[[case]]
name = "both sold some"
base = { id = 1, sku = "a", stock = 10, price = "1.50" }
source = { id = 1, sku = "a", stock = 8, price = "1.50" }
target = { id = 1, sku = "a", stock = 9, price = "1.50" }
expect = { merged = { id = 1, sku = "a", stock = 7, price = "1.5" } }

[[case]]
name = "deleted later"
kind = "update_deleted"
base = { id = 1, sku = "a", stock = 10 }
source = { id = 1, sku = "b", stock = 10 }
source_committed = 2026-11-21T13:05:09Z
target_committed = 2026-11-21T14:05:09.5+00:30
expect = "target"

[[case]]
name = "wrong on purpose"
base = { id = 1, sku = "a", stock = 10 }
source = { id = 1, sku = "a", stock = 11 }
target = { id = 1, sku = "a", stock = 12 }
expect = { merged = { id = 1, sku = "a", stock = 14, price = "2" } }
"#;

#[test]
fn a_file_runs_and_shows_what_differs() {
    let file = CaseFile::parse("stock.toml", STOCK).unwrap();
    let rule = builtin::strategy("add-deltas", &file.settings).unwrap();
    let report = run(
        &file,
        &Rules {
            resolve: Some(rule.as_ref()),
            ..Rules::default()
        },
    );
    assert_eq!(report.failed(), 1);
    insta::assert_snapshot!(report.to_string(), @r#"
    stock.toml: 2 of 3 cases passed
      passed  both sold some
      passed  deleted later
      FAILED  wrong on purpose (stock.toml:25)
          expected  { merged = { id = 1, sku = "a", stock = 14, price = "2" } }
          found     { merged = { id = 1, sku = "a", stock = 13 } }
          column stock: expected 14, found 13
          column price: expected "2", found { null = true }
    "#);
    let none = run(&file, &Rules::default());
    assert_eq!(
        none.cases[0].failure.as_deref(),
        Some("the rule does not answer resolve")
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    let error = |text: &str| CaseFile::parse("x.toml", text).unwrap_err().to_string();
    let table =
        "[table]\nname = \"t\"\ncolumns = { id = \"int\", name = \"text\" }\nkey = [\"id\"]\n";
    let case = |body: &str| error(&format!("{table}[[case]]\nname = \"c\"\n{body}"));
    insta::assert_snapshot!(error("[[case]\n"), @r#"
    x.toml: TOML parse error at line 1, column 8
      |
    1 | [[case]
      |        ^
    unclosed array table, expected `]`
    "#);
    insta::assert_snapshot!(error("[tabel]\n"), @r#"x.toml: unknown key "tabel" (did you mean "table"?); the keys are settings, table, source, target, case"#);
    insta::assert_snapshot!(error("[table]\nname = \"t\"\ncolumns = { id = \"integer\" }\n"), @r#"x.toml: [table]: id: "integer" is no type; the types are any, bool, int, uint, decimal, float, text, bytes, date, time, timestamp, timestamp-utc, uuid, json"#);
    insta::assert_snapshot!(error(table), @r#"x.toml: has no [[case]]"#);
    insta::assert_snapshot!(case("expect = \"sorce\""), @r#"x.toml: line 5, case "c": expect is "source", "target", "delete", "park", "keep-both", { merged = { … } }, { park = "…" } or { fails = "…" }; found "sorce""#);
    insta::assert_snapshot!(case("expect = \"source\"\nsource = { id = 1, nam = \"x\" }"), @r#"x.toml: line 5, case "c": source: table t has no column "nam"; did you mean "name"?"#);
    insta::assert_snapshot!(case("expect = \"source\"\nsource = { id = \"x\" }"), @r#"x.toml: line 5, case "c": source: id: the column is int; write { text = "x" } to give it a value of that type"#);
    insta::assert_snapshot!(case("expect = \"source\"\nkind = \"insert_exist\""), @r#"x.toml: line 5, case "c": kind "insert_exist" is unknown (did you mean "insert_exists"?)"#);
    insta::assert_snapshot!(case("expect = \"source\"\nsource_committed = 2026-01-01T00:00:00"), @r#"x.toml: line 5, case "c": source_committed: 2026-01-01T00:00:00 is no commit time; write one with a zone: 2026-11-21T13:05:09Z"#);
    insta::assert_snapshot!(case("row = { id = { integer = 1 } }\nexpect = \"fine\""), @r#"x.toml: line 5, case "c": row: id: a value is written { type = … } with one of null, bool, int, uint, decimal, float, text, bytes, date, time, timestamp, timestamp-utc, uuid, json, array, other; found { integer }"#);
    insta::assert_snapshot!(case("row = { id = 1 }\nexpect = \"good\""), @r#"x.toml: line 5, case "c": expect: is "fine", { error = "…" }, { warning = "…" } or a list of these; found "good""#);
    insta::assert_snapshot!(case("request = { pth = \"/\" }\nexpect = \"service\""), @r#"x.toml: line 5, case "c": request: unknown key "pth"; the keys are method, path, query, headers, client, service"#);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::UInt),
        (any::<i64>(), 0_usize..5).prop_map(|(n, scale)| {
            let text = format!("{n}.{}", "5".repeat(scale));
            Value::Decimal(text.trim_end_matches('.').parse().unwrap())
        }),
        any::<f64>().prop_map(Value::Float),
        Just(Value::Float(f64::NEG_INFINITY)),
        ".*".prop_map(Value::Text),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        (-700_000..2_900_000).prop_map(Value::Date),
        (-10_000_000_000_000..10_000_000_000_000_i64).prop_map(Value::Time),
        (-60_000_000_000_000_000..250_000_000_000_000_000_i64).prop_map(Value::Timestamp),
        (-60_000_000_000_000_000..250_000_000_000_000_000_i64).prop_map(Value::TimestampUtc),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        Just(Value::Json("{\"a\": [1, \"ü\\n\"]}".to_owned())),
        (".*", any::<Vec<u8>>()).prop_map(|(kind, bytes)| {
            Value::Other(Box::new(crate::data::OtherValue { kind, bytes }))
        }),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        proptest::collection::vec(inner, 0..3).prop_map(Value::Array)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is shown can be pasted into a case file, whatever the value and its column.
    #[test]
    fn every_value_that_is_shown_reads_back(
        shown in any_value(),
        (_, logical) in proptest::sample::select(value::TYPES.to_vec()),
        name in ".*",
    ) {
        // TOML has one NaN only.
        prop_assume!(!matches!(&shown, Value::Float(f) if f.is_nan()));
        prop_assume!(!format!("{shown:?}").contains("NaN"));
        let table = RuleTable {
            name: "t".to_owned(),
            columns: vec![crate::rule::RuleColumn {
                name,
                declared_type: String::new(),
                logical,
                nullable: true,
            }],
            key: vec![],
        };
        let text = show_row(&table, std::slice::from_ref(&shown));
        let read: toml::Table = format!("row = {text}").parse().unwrap();
        prop_assert_eq!(value::row(&table, &read["row"]).unwrap(), vec![shown]);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".*") {
        drop(CaseFile::parse("x", &text));
        drop(CaseFile::parse("x", &format!("{STOCK}\n{text}")));
    }
}
