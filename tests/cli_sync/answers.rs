//! People's answers to conflicts.

use crate::support::program::Shop;

use super::{IDLE, ask, equal, synced};

#[test]
fn every_answer_to_a_conflict_is_carried_out() {
    let shop = Shop::new();
    shop.json(IDLE);
    for (take, outcome, row) in [
        ("source", "source", Some("1, 's', NULL")),
        ("target", "target", Some("1, 't', NULL")),
        ("delete", "delete", None),
    ] {
        for (database, name) in [("source.db", "x"), ("target.db", "x")] {
            shop.write(
                database,
                &format!("INSERT OR REPLACE INTO items VALUES (1, '{name}', NULL)"),
            );
        }
        shop.json(IDLE);
        shop.write("source.db", "UPDATE items SET name = 's' WHERE id = 1");
        shop.write("target.db", "UPDATE items SET name = 't' WHERE id = 1");
        synced(&shop);
        let open = ask(&shop, &["conflict", "list", "--which", "open"]).json();
        let id = open[0]["id"].as_str().unwrap();
        // Asking the rule again changes nothing: it is `park`.
        assert_eq!(
            ask(&shop, &["conflict", "resolve", id, "--take", "retry"]).code,
            1
        );
        let decided = shop.json(&["conflict", "resolve", id, "--take", take]);
        assert_eq!(decided["outcome"], outcome, "{decided}");
        assert_eq!(decided["rule"], "person", "{decided}");
        let both = equal(&shop);
        let found = both.iter().find(|r| r.starts_with("1, "));
        assert_eq!(found.map(String::as_str), row);
    }
    assert_eq!(
        shop.json(&["conflict", "list", "--which", "decided"])
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        shop.json(&["conflict", "list", "--limit", "1"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
