//! Tables that do not fit.

use crate::support::program::{CONFIG, ITEMS, Shop};

use super::{checked, refused_sync};

#[test]
fn a_table_without_a_key_is_refused() {
    let keyless = "CREATE TABLE items (id INT, name TEXT NOT NULL, price REAL)";
    let shop = Shop::of(keyless, ITEMS);
    insta::assert_snapshot!(checked(&shop).all(), @r#"
exit code: 2
--- stdout
banyan.toml: migrations.shop.tables[0]: table items has no primary key and no unique key without NULLs, so its rows cannot be told apart
  → add one (CREATE UNIQUE INDEX … ON items(…) over NOT NULL columns), or name unique columns with key = ["…"]
--- stderr
error: banyan.toml: 1 problem found
"#);
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r#"
exit code: 2
error: migration shop: table items has no primary key and no unique key without NULLs, so its rows cannot be told apart

hint: add one (CREATE UNIQUE INDEX … ON items(…) over NOT NULL columns), or name unique columns with key = ["…"]
"#);
}

#[test]
fn rows_without_a_value_in_the_key_are_refused() {
    let shop = Shop::of(
        "CREATE TABLE items (code TEXT PRIMARY KEY, name TEXT)",
        "CREATE TABLE items (code TEXT PRIMARY KEY, name TEXT)",
    );
    shop.write(
        "source.db",
        "INSERT INTO items VALUES (NULL, 'a'), (NULL, 'b')",
    );
    insta::assert_snapshot!(checked(&shop).all(), @r"
exit code: 2
--- stdout
banyan.toml: migrations.shop: store monolith: 2 rows of table items have no value in key column code
  → give these rows a key, then start again
--- stderr
error: banyan.toml: 1 problem found
");
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r"
exit code: 2
error: store monolith: 2 rows of table items have no value in key column code

hint: give these rows a key, then start again
");
}

#[test]
fn unknown_tables_and_columns_are_listed_at_once_with_the_nearest_names() {
    let shop = Shop::of(
        &format!(
            "{ITEMS}; CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL); \
                 CREATE TABLE payments (id INTEGER PRIMARY KEY)"
        ),
        &format!("{ITEMS}; CREATE TABLE orders (id INTEGER PRIMARY KEY, sum REAL NOT NULL)"),
    );
    shop.configure(&format!(
        "{CONFIG}columns = {{ id = \"id\", name = \"nmae\" }}\n\
         [[migrations.shop.tables]]\nsource = \"order\"\n\
         [[migrations.shop.tables]]\nsource = \"orders\"\n\
         [[migrations.shop.tables]]\nsource = \"payments\"\ntarget = \"item\"\n"
    ));
    insta::assert_snapshot!(checked(&shop).all(), @r#"
exit code: 2
--- stdout
banyan.toml: migrations.shop.tables[0]: table items has no column nmae
  → did you mean name?
banyan.toml: migrations.shop.tables[1]: store monolith: there is no table order
  → did you mean orders?
banyan.toml: migrations.shop.tables[2]: column total has no counterpart in the target's table orders
  → map columns by hand with columns = { target = "source" }; those that are not listed stay behind
banyan.toml: migrations.shop.tables[3]: table payments: store service: there is no table item
  → did you mean items?
  → banyan copy and banyan sync create such tables with --create-tables
--- stderr
error: banyan.toml: 4 problems found
"#);
    insta::assert_snapshot!(refused_sync(&shop).failure(), @r#"
exit code: 2
error: migration shop: 4 problems:
  table items has no column nmae
  store monolith: there is no table order
  column total has no counterpart in the target's table orders
  table payments: store service: there is no table item

hint: did you mean name?
hint: did you mean orders?
hint: map columns by hand with columns = { target = "source" }; those that are not listed stay behind
hint: did you mean items?
hint: banyan copy and banyan sync create such tables with --create-tables
"#);
}
