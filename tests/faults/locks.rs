//! Applications that hold locks which the program needs.

use crate::support::servers::{Kind, Server, Session};
use crate::support::sides::Side;

use super::{Following, Place, assert_same, count, each_server, insert, server_side, sides};

each_server!(
    a_deadlock_with_an_application,
    a_row_that_is_locked_for_long,
    a_transaction_that_stays_open,
);

/// Rows are locked in an order which the program does not have: one of the two is chosen by the
/// server, and both get there in the end.
fn a_deadlock_with_an_application(kind: Kind) {
    let sides = sides(Server::shared(kind), Place::Target);
    sides.sync();
    let mut following = Following::start(&sides);
    let mut application = sides.target.session();
    let mut again = 0;
    for round in 0..20 {
        sides.source.sql(&format!(
            "UPDATE items SET stars = {round} WHERE id BETWEEN 1 AND 50"
        ));
        let mut tries = 0;
        application.transact("BEGIN", |session| {
            tries += 1;
            for id in [50, 49, 25, 2, 1] {
                // Rows of its own, so that the program's are only touched, not changed.
                session.rows(&format!("SELECT id FROM items WHERE id = {id} FOR UPDATE"))?;
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            session.execute(&format!(
                "INSERT INTO items VALUES ({}, 'mine', 0)",
                1000 + round
            ))?;
            Ok(())
        });
        again += tries - 1;
    }
    println!("{again} transactions of the application were chosen");
    following.until("all is there", || {
        count(&sides.target, "stars = 19 AND id <= 50") == 50
            && count(&sides.source, "name = 'mine'") == 20
    });
    following.end();
    assert_same(&sides);
    sides.assert_still();
}

/// A session that has locked a row.
fn locked(side: &Side, id: i64) -> Session {
    let mut session = side.session();
    session.execute("BEGIN").unwrap();
    session
        .rows(&format!("SELECT id FROM items WHERE id = {id} FOR UPDATE"))
        .unwrap();
    session
}

/// What waits for the lock arrives when it is free; nothing is taken for a conflict.
fn a_row_that_is_locked_for_long(kind: Kind) {
    let sides = sides(Server::shared(kind), Place::Target);
    sides.sync();
    let mut following = Following::start(&sides);
    let mut holder = locked(server_side(&sides, Place::Target), 7);
    sides
        .source
        .sql("UPDATE items SET name = 'waits' WHERE id = 7");
    insert(&sides.source, 101..111);
    std::thread::sleep(std::time::Duration::from_secs(3));
    holder.execute("COMMIT").unwrap();
    following.until("the row arrives", || {
        count(&sides.target, "name = 'waits'") == 1 && count(&sides.target, "id > 100") == 10
    });
    following.end();
    assert_same(&sides);
    let decided = sides.shop.json(&["conflict", "list", "shop"]);
    assert_eq!(decided, serde_json::json!([]));
}

/// A transaction is only there when it is committed, however long it was open and whatever was
/// committed meanwhile; also one that was open when the migration began.
fn a_transaction_that_stays_open(kind: Kind) {
    let sides = sides(Server::shared(kind), Place::Source);
    let mut early = sides.source.session();
    early.execute("BEGIN").unwrap();
    early
        .execute("INSERT INTO items VALUES (901, 'from before', 1)")
        .unwrap();
    let mut following = Following::start(&sides);
    // The program may wait for the transaction, but not need it.
    std::thread::sleep(std::time::Duration::from_secs(1));
    early
        .execute("UPDATE items SET name = 'from before' WHERE id = 3")
        .unwrap();
    early.execute("COMMIT").unwrap();
    following.until("it arrives", || {
        count(&sides.target, "name = 'from before'") == 2
    });
    let mut late = sides.source.session();
    late.execute("BEGIN").unwrap();
    late.execute("INSERT INTO items VALUES (902, 'from within', 1)")
        .unwrap();
    insert(&sides.source, 101..111);
    following.until("others arrive", || {
        count(&sides.target, "id BETWEEN 101 AND 110") == 10
    });
    assert_eq!(count(&sides.target, "id = 902"), 0);
    late.execute("COMMIT").unwrap();
    following.until("it arrives", || count(&sides.target, "id = 902") == 1);
    let mut undone = sides.source.session();
    undone.execute("BEGIN").unwrap();
    undone
        .execute("INSERT INTO items VALUES (903, 'never', 1)")
        .unwrap();
    undone.execute("ROLLBACK").unwrap();
    following.end();
    sides.sync();
    assert_same(&sides);
    assert_eq!(count(&sides.target, "id = 903"), 0);
}
