use banyan_rule::testing::{RowMade, backward, forward, open, table};
use banyan_rule::{Failure, Table, Value};

use super::ReshapeOrders;

fn tables() -> [Table; 3] {
    let source = [
        ("id", "INTEGER"),
        ("first_name", "TEXT"),
        ("last_name", "TEXT"),
        ("price", "REAL"),
        ("status", "INTEGER"),
        ("street", "TEXT"),
        ("city", "TEXT"),
        ("note", "TEXT"),
    ];
    let order = [
        ("id", "INTEGER"),
        ("full_name", "TEXT"),
        ("price_cents", "INTEGER"),
        ("status", "TEXT"),
        ("note", "TEXT"),
    ];
    let address = [("id", "INTEGER"), ("street", "TEXT"), ("city", "TEXT")];
    [
        table("orders", &source, &["id"]),
        table("orders", &order, &["id"]),
        table("addresses", &address, &["id"]),
    ]
}

const SETTINGS: &str = r#"{"address": ["street", "city"]}"#;

fn there(row: &[(&str, Value<'_>)]) -> Result<Vec<RowMade>, Failure> {
    let [source, order, address] = &tables();
    forward::<ReshapeOrders>(SETTINGS, &[source, order, address], row)
}

fn back(table: usize, row: &[(&str, Value<'_>)]) -> Result<Vec<RowMade>, Failure> {
    let [source, order, address] = &tables();
    backward::<ReshapeOrders>(SETTINGS, &[source, order, address], table, row)
}

#[test]
fn an_order_goes_there_and_comes_back() {
    let made = there(&[
        ("id", 1.into()),
        ("first_name", "Ada".into()),
        ("last_name", "King Lovelace".into()),
        ("price", 19.99.into()),
        ("status", 3.into()),
        ("street", "Main 1".into()),
        ("note", "fragile".into()),
    ])
    .unwrap();
    assert_eq!(made.len(), 2);
    let (order, address) = (&made[0], &made[1]);
    assert_eq!((order.table, address.table), (1, 2));
    assert_eq!(order.get("full_name"), Some(&"Ada King Lovelace".into()));
    assert_eq!(order.get("price_cents"), Some(&1999.into()));
    assert_eq!(order.get("status"), Some(&"shipped".into()));
    assert_eq!(order.get("note"), Some(&"fragile".into()));
    assert_eq!(address.get("id"), Some(&1.into()));
    assert_eq!(address.get("street"), Some(&"Main 1".into()));
    assert_eq!(address.get("city"), Some(&Value::Null));

    let cells: Vec<(&str, Value<'_>)> = order
        .cells
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let source = back(1, &cells).unwrap().remove(0);
    assert_eq!(source.table, 0);
    assert_eq!(source.get("first_name"), Some(&"Ada".into()));
    assert_eq!(source.get("last_name"), Some(&"King Lovelace".into()));
    assert_eq!(source.get("price"), Some(&19.99.into()));
    assert_eq!(source.get("status"), Some(&3.into()));
    assert_eq!(source.get("street"), None, "the order says nothing about the address");
}

#[test]
fn every_price_in_cents_comes_back_as_the_same_double() {
    for cents in (0..2_000_000i64).step_by(7) {
        let price = cents as f64 / 100.0;
        assert_eq!(super::cents(price.into()), Ok(cents.into()));
        assert_eq!(super::price(cents.into()), Ok(price.into()));
    }
}

#[test]
fn an_order_without_an_address_has_no_row_there() {
    let made = there(&[("id", 1.into())]).unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].get("full_name"), Some(&Value::Null));
    assert_eq!(made[0].get("price_cents"), Some(&Value::Null));
}

#[test]
fn an_address_comes_back_alone() {
    let made = back(2, &[("id", 1.into()), ("city", "Bern".into())]).unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].get("city"), Some(&"Bern".into()));
    assert_eq!(made[0].get("price"), None);
}

#[test]
fn what_would_not_come_back_is_refused() {
    let refused = |cells: &[(&str, Value<'_>)]| there(cells).unwrap_err().to_string();
    let name = |first: &str, last: &str| {
        refused(&[("first_name", first.to_owned().into()), ("last_name", last.to_owned().into())])
    };
    assert_eq!(
        name("Mary Jane", "Watson"),
        "the names \"Mary Jane\" and \"Watson\" could not be told apart again"
    );
    assert_eq!(
        refused(&[("first_name", "Ada".into())]),
        "\"Ada\" and NULL cannot be joined to a full name"
    );
    assert_eq!(refused(&[("price", 0.125.into())]), "0.125 is no price in whole cents");
    assert_eq!(refused(&[("price", 1e300.into())]), "1e300 is no price in whole cents");
    assert_eq!(refused(&[("price", (-0.0).into())]), "-0.0 is no price in whole cents");
    assert_eq!(refused(&[("price", f64::NAN.into())]), "NaN is no price in whole cents");
    assert_eq!(
        refused(&[("status", 9.into())]),
        "status 9 has no counterpart; there are new, paid, packed, shipped, cancelled"
    );
    let back = |cells: &[(&str, Value<'_>)]| back(1, cells).unwrap_err().to_string();
    assert_eq!(
        back(&[("full_name", "Cher".into())]),
        "the full name \"Cher\" has no space between first and last name"
    );
}

#[test]
fn tables_that_do_not_fit_are_refused_before_anything_runs() {
    let [source, order, address] = &tables();
    let refused = |settings: &str, tables: &[&Table]| match open::<ReshapeOrders>(settings, tables)
    {
        Ok(_) => panic!("{settings} was taken"),
        Err(failure) => failure.to_string(),
    };
    assert!(refused("{}", &[source, order, address]).contains("second target table"));
    assert!(refused(SETTINGS, &[source, order]).contains("no second target table"));
    assert!(refused(r#"{"price": "cost"}"#, &[source, order]).contains("no column \"cost\""));
    assert!(refused(r#"{"prise": "cost"}"#, &[source, order]).contains("unknown setting"));
}
