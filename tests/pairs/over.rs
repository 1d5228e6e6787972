//! Rows that are compared once more because their table got a column, while the sync is killed again and
//! again: what one side alone has changed stays changed.

use std::process::Child;
use std::time::Duration;

use crate::sim::{Chooser, Seed};
use crate::support::sides::Sides;

use super::schema::{assert_equal, shop};

const ROWS: usize = 1_000;
const ROUNDS: usize = 4;
const CONFIG: &str = r#"on_conflict = "last-write-wins"
batch_rows = 50
chunk_rows = 100

[[migrations.shop.tables]]
source = "items"
"#;

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The other side gets its columns from the sync.
pub(super) fn check_carried(sides: Sides) {
    check(sides, true);
}

/// Both sides get their columns from somebody else.
pub(super) fn check_widened(sides: Sides) {
    check(sides, false);
}

fn check(sides: Sides, carry: bool) {
    let sides = shop(sides);
    let columns = if carry { "carry" } else { "pause" };
    sides.configure(&format!("added_columns = \"{columns}\"\n{CONFIG}"));
    let (a, b) = (&sides.source, &sides.target);
    let rows: Vec<String> = (1..=ROWS).map(|i| format!("({i}, 'n', 0)")).collect();
    a.sql(&format!(
        "INSERT INTO items (id, name, stars) VALUES {}",
        rows.join(", ")
    ));
    sides.sync();
    let mut seed = Seed::new(815);
    let mut nap = || std::thread::sleep(Duration::from_millis(seed.choose(500) as u64));
    let start = || sides.shop.start(&["sync", "shop", "--quiet"]);
    let mut child = start();
    for n in 0..ROUNDS {
        let add = format!("ALTER TABLE items ADD COLUMN extra{n} INTEGER");
        let fill =
            format!("UPDATE items SET extra{n} = id * 3, stars = stars + 1 WHERE id % 100 = {n}");
        let other = format!(
            "UPDATE items SET stars = stars + 1000 WHERE id % 100 = {}",
            50 + n
        );
        if carry {
            a.sql(&add);
            a.sql(&fill);
            nap();
            kill(child);
        } else {
            kill(child);
            a.sql(&add);
            b.sql(&add);
            a.sql(&fill);
        }
        b.sql(&other);
        child = start();
        nap();
        kill(child);
        child = start();
        nap();
    }
    kill(child);
    sides.sync();
    let held = "SELECT id % 100, min(stars), max(stars), count(*) FROM items WHERE stars <> 0 \
                GROUP BY id % 100 ORDER BY 1";
    let each = ROWS / 100;
    let lines = |from: usize, stars: usize| {
        (from..from + ROUNDS).map(move |n| format!(r#""{n}", "{stars}", "{stars}", "{each}""#))
    };
    let expected: Vec<String> = lines(0, 1).chain(lines(50, 1000)).collect();
    for (side, name) in [(a, "source"), (b, "target")] {
        let mut found = side.rows(held);
        found.sort();
        let mut expected = expected.clone();
        expected.sort();
        assert_eq!(found, expected, "{name}");
        for n in 0..ROUNDS {
            let sql = format!("SELECT count(*), min(id % 100) FROM items WHERE extra{n} = id * 3");
            assert_eq!(side.rows(&sql), [format!(r#""{each}", "{n}""#)], "{name}");
        }
    }
    assert_eq!(sides.waiting(), serde_json::json!([]));
    assert_equal(&sides);
    sides.assert_verified();
}
