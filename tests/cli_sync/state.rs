//! A state that cannot be written.

use crate::support::program::{ITEMS, Shop};

use super::{IDLE, equal};

/// Progress is for people: that it is lost is said once, and rows go on.
#[test]
fn progress_that_cannot_be_saved_holds_nothing_up() {
    let shop = Shop::new();
    shop.json(IDLE);
    shop.write(
        ".banyan/state.db",
        "CREATE TRIGGER full BEFORE UPDATE ON migration \
         BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    shop.write("source.db", "UPDATE items SET name = 'new' WHERE id = 1");
    let shown = shop.run(IDLE);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(equal(&shop).contains(&"1, 'new', 1.5".to_owned()));
    let warnings = shown.errors.matches("progress is not written down").count();
    assert_eq!(warnings, 1, "{shown:?}");
    assert!(shown.errors.contains("no room"), "{shown:?}");
}

/// The same before anything is begun is a refusal: nobody would know of the migration.
#[test]
fn a_migration_does_not_begin_without_its_state() {
    let shop = Shop::of(ITEMS, ITEMS);
    assert_eq!(shop.phase(), "planned");
    let before = shop.everything();
    shop.write(
        ".banyan/state.db",
        "CREATE TRIGGER full BEFORE INSERT ON migration \
         BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    let shown = shop.run(IDLE);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(
        shown.errors.contains("state: cannot write a migration"),
        "{shown:?}"
    );
    assert_eq!(shop.everything(), before);
}
