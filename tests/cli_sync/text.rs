//! What people read.

use crate::support::program::{CONFIG, Shop, Shown, content};

use super::IDLE;

#[test]
fn text_for_people() {
    let shop = Shop::new();
    let filtered = |shown: Shown| {
        let text = shown.all();
        let mut out = String::new();
        for line in text.lines() {
            let line = match line.split_once("took ") {
                Some(_) => "took N s".to_owned(),
                None => match line.split_once("Z  ") {
                    Some((_, rest)) => format!("TIME  {rest}"),
                    None => line.to_owned(),
                },
            };
            if !line.starts_with("rate ") {
                out.push_str(&line);
                out.push('\n');
            }
        }
        out
    };
    insta::assert_snapshot!(filtered(shop.run(&["conflict", "list"])), @r"
exit code: 0
--- stdout
no conflicts
--- stderr
");
    insta::assert_snapshot!(filtered(shop.run(IDLE)), @r"
exit code: 0
--- stdout
table     copied  to target  to source  conflicts  waiting
items          3          0          0          0        0
took N s
--- stderr
hint: both sides have nothing left; prove it: banyan verify shop --level full
");
    shop.write("source.db", "UPDATE items SET name = 'a' WHERE id = 1");
    shop.write("target.db", "DELETE FROM items WHERE id = 1");
    insta::assert_snapshot!(filtered(shop.run(IDLE)), @r"
exit code: 1
--- stdout
table     copied  to target  to source  conflicts  waiting
items          0          0          0          0        1
took N s
--- stderr
hint: 1 conflict waits: banyan conflict list shop --which open
");
    insta::assert_snapshot!(filtered(shop.run(&["conflict", "list"])), @r"
exit code: 1
--- stdout
TIME  t1  items (id = 1)  update_deleted: parked by park; the strategy is park: a person decides
--- stderr
hint: look at one with banyan conflict show ID, decide it with banyan conflict resolve ID --take source|target|delete|retry
");
    insta::assert_snapshot!(filtered(shop.run(&["conflict", "list", "--table", "other"])), @r"
exit code: 0
--- stdout
no conflicts
--- stderr
");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "status", "shop"])), @r"
exit code: 0
--- stdout
migration shop: following
copied    3 of 3 rows (100 %)
waiting   1 conflict
--- stderr
hint: next: banyan verify shop
hint: next: banyan conflict list shop --which open
hint: next: banyan migration abort shop
");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "list"])), @r"
exit code: 0
--- stdout
shop  following
--- stderr
");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "pause", "shop"])), @r"
exit code: 0
--- stdout
migration shop: following
copied    3 of 3 rows (100 %)
waiting   1 conflict
paused    paused by hand
--- stderr
hint: next: banyan migration resume shop
");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "resume", "shop"])), @r"
exit code: 0
--- stdout
migration shop: following
copied    3 of 3 rows (100 %)
waiting   1 conflict
--- stderr
hint: next: banyan verify shop
hint: next: banyan conflict list shop --which open
hint: next: banyan migration abort shop
");
    insta::assert_snapshot!(filtered(shop.run(&["migration", "abort", "shop"])), @r"
exit code: 0
--- stdout
migration shop: aborted
copied    3 of 3 rows (100 %)
--- stderr
hint: next: banyan migration start shop
");
}

#[test]
fn check_notes_what_one_should_know_and_leaves_no_trace() {
    let tables = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT); \
        CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id)); \
        CREATE TRIGGER audit AFTER INSERT ON orders BEGIN SELECT 1; END;";
    let shop = Shop::of(tables, tables);
    shop.configure(&format!(
        "{}\nsource = \"orders\"\n[[migrations.shop.tables]]\nsource = \"customers\"\n",
        CONFIG.replace("\nsource = \"items\"\n", "")
    ));
    shop.write(
        "source.db",
        "PRAGMA journal_mode = DELETE; PRAGMA foreign_keys = OFF; INSERT INTO orders VALUES (1, 7)",
    );
    shop.write(
        "target.db",
        "INSERT INTO customers VALUES (1, 'a'), (2, 'b')",
    );
    let before: Vec<_> = ["source.db", "target.db"]
        .iter()
        .map(|name| {
            (
                content(&shop.path(name)),
                std::fs::read(shop.path(name)).unwrap(),
            )
        })
        .collect();
    let shown = shop.run(&["check"]);
    insta::assert_snapshot!(shown.all(), @r#"
exit code: 0
--- stdout
banyan.toml is right: 2 stores, 0 rules, 1 migration
note: stores.monolith: its journal_mode is delete: readers and writers block each other, your application's and Banyan's
  → run PRAGMA journal_mode = WAL once in this database; it stays
note: migrations.shop: store monolith: table orders has triggers of yours (audit); they do not fire for the rows that Banyan writes
  → what a trigger writes on one side arrives on the other as rows if its tables are synced, too; otherwise it is missing there
note: migrations.shop: store monolith: 1 reference of table orders leads to no row of customers; with foreign_keys = "check" such rows wait for their parents
  → PRAGMA foreign_key_check(orders) lists them; mend them, or set foreign_keys = "ignore" in [migrations.shop]
note: migrations.shop: store monolith: table orders has a foreign key on (customer_id) and no index there: each deleted parent reads the whole table
  → CREATE INDEX orders_customer_id ON orders (customer_id)
note: migrations.shop: store service: table orders has triggers of yours (audit); they do not fire for the rows that Banyan writes
  → what a trigger writes on one side arrives on the other as rows if its tables are synced, too; otherwise it is missing there
note: migrations.shop: store service: table orders has a foreign key on (customer_id) and no index there: each deleted parent reads the whole table
  → CREATE INDEX orders_customer_id ON orders (customer_id)
note: migrations.shop: store service: table customers holds 2 rows before the start: where the source has another row of the same key, that is a conflict; what only the target has is carried to the source
  → empty it first, or compare both: banyan verify shop
--- stderr
"#);
    let after: Vec<_> = ["source.db", "target.db"]
        .iter()
        .map(|name| {
            (
                content(&shop.path(name)),
                std::fs::read(shop.path(name)).unwrap(),
            )
        })
        .collect();
    assert!(before == after, "the databases are not the same bytes");
    assert!(!shop.path(".banyan").exists());
    // Without the check of foreign keys there is less to say.
    shop.configure(
        &std::fs::read_to_string(shop.path("banyan.toml"))
            .unwrap()
            .replace(
                "on_conflict = \"park\"",
                "on_conflict = \"park\"\nforeign_keys = \"ignore\"",
            ),
    );
    let notes = shop.json(&["check"]);
    assert!(!notes.to_string().contains("parents"), "{notes}");
}
